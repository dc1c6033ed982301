"""One run over a file: windows of records in, lines out, each window safe before the next begins.

The output is staged as `<output>.part` beside its journal `<output>.part.json`. After a window
both are flushed to the disk; a run that was killed starts again behind its last whole window, with
the staged file cut back to it, and ends with the bytes it would have had.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from logpr._types import JsonValue
from logpr._values import Provenance, jsonable
from logpr.errors import InputError, LogprError, MissingFileError, QueryError
from logpr.io.journal import Journal, load_journal
from logpr.io.staged import Staged, part_of
from logpr.io.stream import Record, RecordStream, Rejected
from logpr.io.writers import output_format, publish

WINDOW = 256
"""Rows a window covers: what a kill may cost, and what may share prefixes."""


def open_run(
    stream: RecordStream,
    output: str | None,
    *,
    options: Mapping[str, JsonValue],
    rejects: str | None = None,
    window: int = WINDOW,
    restart: bool = False,
) -> Run:
    """Return the run that reads `stream` and writes `output`; enter it with `with`.

    Args:
        stream: the records; not yet iterated.
        output: a path (.jsonl, .parquet, .csv), `-` for JSON Lines on stdout, or None where the
            caller shows the results itself.
        options: all that decides the output's bytes beside the input and how it is read: verb,
            rule, weights digest, dtype and the like. No secrets: they are written to the journal.
        rejects: where rows put aside go; None: `<output>.rejected.jsonl`, or with no output file
            `<input's name>.rejected.jsonl` in the current folder.
        window: rows per window.
        restart: whether to begin anew where an earlier run left off.

    Raises:
        QueryError: the output was begun by another command, or is the input itself.
        MissingFileError: the output's folder does not exist.
    """
    target = None if output in (None, "-") else Path(str(output))
    aside: Path | None = None
    if stream.on_error == "stop" and rejects is not None:
        msg = f"--rejects {rejects} takes rows put aside, and none are: add --on-error skip"
        raise QueryError(msg)
    if stream.on_error == "skip":
        name = Path(stream.source.name.strip("<>").replace(":", "_")).name
        aside = Path(rejects or f"{target or name}.rejected.jsonl")
    for path in (target, aside):
        if path is not None:
            _require_place(path, stream)
    if target is not None and aside is not None and target.resolve() == aside.resolve():
        msg = f"the output and the rejected rows are both to be {target}; give another --rejects"
        raise QueryError(msg)
    if target is not None:
        output_format(target.name)
    command = {**{name: jsonable(value) for name, value in options.items()}, "window": window}
    return Run(
        stream,
        target,
        command={**stream.options, **command},
        echo=output == "-",
        aside=aside,
        window=window,
        restart=restart,
    )


def _require_place(path: Path, stream: RecordStream) -> None:
    if not path.parent.is_dir():
        msg = f"there is no folder {path.parent} to write {path.name} into: mkdir -p {path.parent}"
        raise MissingFileError(msg)
    if path.is_dir():
        msg = f"{path} is a folder; name a file in it: {path / 'out.jsonl'}"
        raise InputError(msg)
    source = stream.source.path
    if source is not None and path.exists() and path.samefile(source):
        msg = f"{path} is the input itself; writing it would destroy it: give another name"
        raise QueryError(msg)


class Run:
    """A run over a stream; made by `open_run`.

    Iterating yields the windows that are left to do, each a list of records. What is written while
    a window is the current one is made safe when the next is asked for. Leaving the `with` after
    the last window puts the files in their places; leaving it by an exception keeps them staged.

    `provenance`: set it once the numbers have one; of the first process that set one with a
    model, or of the first that set any, it goes with the output.
    `state`: what the caller counts, as JSON; it is kept with each window, and a resumed run has it
    as it was.
    """

    def __init__(
        self,
        stream: RecordStream,
        target: Path | None,
        *,
        command: dict[str, Any],
        echo: bool,
        aside: Path | None,
        window: int,
        restart: bool,
    ) -> None:
        self.stream = stream
        self.target = target
        self.rejects_path = aside
        self.provenance: Provenance | None = None
        self.state: dict[str, JsonValue] | None = None
        self.records = 0
        self.resumed_records = 0
        self._echo = echo
        self._window = window
        self._restart = restart
        self._command = command
        self._out: Staged | None = None
        self._aside: Staged | None = None
        self._journal: Journal | None = None
        self._exhausted = False

    @property
    def rejected(self) -> int:
        """Return how many rows were put aside so far, earlier processes of this run included."""
        return self.stream.rejected

    @property
    def resumable(self) -> bool:
        """Return whether there are windows done that the same command would go on behind."""
        return self._journal is not None and self._journal.windows > 0

    def __enter__(self) -> Self:
        """Open the files, at the place where an earlier process left off.

        Raises:
            QueryError: another command began this output, or is writing it now.
        """
        self.stream.rejects = self._put_aside
        try:
            if self.target is not None:
                self._resume(self.target)
            elif self.rejects_path is not None:
                self._aside = Staged(self.rejects_path)
                self._aside.cut(0)
        except BaseException:
            self._close()
            raise
        return self

    def _resume(self, target: Path) -> None:
        # stdin cannot be read again, so there is nothing to go back to.
        source = self.stream.identity()
        fresh = source is None or self._restart
        found = None if fresh else load_journal(self._journal_path)
        if found is None or not found.complete:
            self._out = Staged(part_of(target))
            # Read only now that no other process can write it.
            found = None if fresh else load_journal(self._journal_path)
        if found is not None:
            found.require_same_run(self._command, source or {}, str(target))
        if self._out is not None:
            self._out.cut(0 if found is None else found.output_bytes)
            if self.rejects_path is not None:
                self._aside = Staged(part_of(self.rejects_path))
                self._aside.cut(0 if found is None else found.rejects_bytes)
        # With only renaming left nothing is opened: some of it may be done, and an empty file
        # would take the place of a whole one.
        if source is None:
            self._journal_path.unlink(missing_ok=True)
        else:
            self._journal = found or Journal(command=self._command, source=source)
            self._journal.save(self._journal_path)
        self.records = self.resumed_records = 0 if found is None else found.records
        self.state = None if found is None else found.state
        self.stream.rejected = 0 if found is None else found.rejected

    @property
    def _journal_path(self) -> Path:
        assert self.target is not None, "only files have a journal"
        return self.target.with_name(f"{self.target.name}.part.json")

    def __iter__(self) -> Iterator[list[Record]]:
        """Yield the windows that are left, and make each safe when the next is asked for."""
        done = self._journal.windows if self._journal is not None else 0
        for number, records, rejected in self.stream.windows(self._window):
            if number < done:
                # Read again for its ids alone: one of them may come back further down.
                continue
            for row in rejected:
                self.stream.put_aside(row)
            if records:
                yield records
            self._commit(number + 1, complete=False)
        self._exhausted = True

    def write(self, record: dict[str, JsonValue]) -> None:
        """Write one output record."""
        self.records += 1
        # Escapes where the terminal speaks another encoding: JSON means the same with them.
        escaped = self._echo and not (sys.stdout.encoding or "").lower().startswith("utf")
        line = json.dumps(record, ensure_ascii=escaped, allow_nan=False) + "\n"
        if self._out is not None:
            self._out.write(line)
        elif self._echo:
            sys.stdout.write(line)

    def reject(self, record: Record, error: LogprError) -> None:
        """Put a record aside because of an error of scoring it.

        Raises:
            LogprError: the stream stops at errors: the error itself, with the record's place.
        """
        located = record.located(error)
        if self.stream.on_error == "stop":
            raise located from error
        self.stream.put_aside(
            Rejected(index=record.index, line=record.line, error=str(located), row=record.row)
        )

    def _put_aside(self, row: Rejected) -> None:
        assert self._aside is not None, "a run that skips has a file of rejected rows"
        # Escapes keep what no UTF-8 file can hold: halves of surrogate pairs.
        self._aside.write(json.dumps(row.to_dict(), allow_nan=False) + "\n")

    def _commit(self, windows: int, *, complete: bool) -> None:
        output_bytes = self._out.commit() if self._out is not None else 0
        rejects_bytes = self._aside.commit() if self._aside is not None else 0
        if self._echo:
            sys.stdout.flush()
        if self._journal is None:
            return
        told = None if self.provenance is None else self.provenance.to_dict()
        self._journal = dataclasses.replace(
            self._journal,
            windows=windows,
            records=self.records,
            rejected=self.rejected,
            output_bytes=output_bytes,
            rejects_bytes=rejects_bytes,
            provenance=_modelled(self._journal.provenance, told),
            state=self.state,
            complete=complete,
        )
        self._journal.save(self._journal_path)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Put the files in their places after the last window; otherwise leave them staged."""
        try:
            if error is None and self._exhausted:
                self._finish()
        finally:
            self.stream.close()
            self._close()
            if not self._exhausted and self._journal is not None and not self._journal.windows:
                # Nothing to go on from: leave no trace.
                for path in (self.target, self.rejects_path):
                    if path is not None:
                        part_of(path).unlink(missing_ok=True)
                self._journal_path.unlink(missing_ok=True)

    def _finish(self) -> None:
        if self.target is None:
            return
        aside = self.rejects_path
        journal = self._journal
        if journal is not None and not journal.complete:
            self._commit(journal.windows, complete=True)
        told = None if self.provenance is None else self.provenance.to_dict()
        provenance = told if self._journal is None else self._journal.provenance
        self._close()
        # The journal goes last: a kill between these steps repeats the ones that are left.
        if aside is not None and part_of(aside).exists():
            part_of(aside).replace(aside)
        publish(part_of(self.target), self.target, provenance)
        if self._journal is not None:
            self._journal_path.unlink(missing_ok=True)

    def _close(self) -> None:
        for staged in (self._out, self._aside):
            if staged is not None:
                staged.close()
        self._out = self._aside = None


def _modelled(
    known: dict[str, JsonValue] | None, told: dict[str, JsonValue] | None
) -> dict[str, JsonValue] | None:
    """Return what was known first, unless no model was, as where all rows brought their numbers."""
    return told if known is None or (told is not None and known.get("model") is None) else known
