"""How far a run has come, written so that it can be killed at any moment and go on."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from logpr.errors import InputError, QueryError
from logpr.io._fault import shown
from logpr.io.writers import write_whole

_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Journal:
    """What is done of one run, and which run it is.

    Args:
        command: everything that decides the output's bytes, as given by the caller.
        source: the input's size and digest.
        windows: whole windows done.
        records: records written in them.
        rejected: rows put aside in them.
        output_bytes: length of the staged output after them.
        rejects_bytes: length of the staged file of rejected rows after them.
        provenance: of the numbers written, as the first process to write some had it.
        state: what the caller had counted by then.
        complete: whether the input is at its end, and only renaming is left.
    """

    command: dict[str, Any]
    source: dict[str, Any]
    windows: int = 0
    records: int = 0
    rejected: int = 0
    output_bytes: int = 0
    rejects_bytes: int = 0
    provenance: dict[str, Any] | None = None
    state: dict[str, Any] | None = None
    complete: bool = False

    def save(self, path: Path) -> None:
        """Write the journal in one piece."""
        write_whole(path, json.dumps({"journal": _VERSION, **asdict(self)}, ensure_ascii=False))

    def require_same_run(
        self, command: dict[str, Any], source: dict[str, Any], output: str
    ) -> None:
        """Raise QueryError where another run began this output, saying what differs."""
        differences = [
            f"{name} was {_said(self.command.get(name))} and is {_said(command.get(name))}"
            for name in sorted({*self.command, *command})
            if self.command.get(name) != command.get(name)
        ]
        if self.source != source:
            differences.append(f"the input was {_said(self.source)} and is {_said(source)}")
        if differences:
            msg = (
                f"{output} was begun by another command, {self.records} records of it are done: "
                f"{'; '.join(differences)}. {self._way_on(command)}, or give another -o"
            )
            raise QueryError(msg)

    def _way_on(self, command: dict[str, Any]) -> str:
        """Return how to go on, or else to begin anew, with another command than the first."""
        was, now = self.command.get("refines"), command.get("refines")
        if was == now:
            return "Give the first command again to go on, --restart to begin anew"
        # The same --dtype auto may come to another decision, and then the first command is no way.
        if was is None:
            return (
                f"--dtype auto decides by measured speed, and this time for two precisions: give "
                f"--dtype {self.command.get('dtype')} to go on, --restart to begin anew"
            )
        return (
            f"The first was --dtype auto, which decides by measured speed and took two precisions: "
            f"give --dtype auto again while nothing else runs here to go on, or begin anew in one "
            f"that you name: --restart --dtype {was} (or {self.command.get('dtype')})"
        )


def _said(value: object) -> str:
    return "absent" if value is None else shown(value)


def load_journal(path: Path) -> Journal | None:
    """Return the journal of a run begun earlier, or None.

    Raises:
        InputError: the file is not a journal of this version.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    try:
        data = json.loads(text)
        if data.pop("journal") != _VERSION:
            raise ValueError  # noqa: TRY301 - one way out for all that is no journal
        return Journal(**data)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        msg = f"{path} is no journal that this version wrote; begin anew with --restart"
        raise InputError(msg) from error
