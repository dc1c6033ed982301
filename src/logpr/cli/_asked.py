"""From what was typed to one query, or to the file that holds many."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

import typer

from logpr._types import Bos, Boundary, End
from logpr._values import Query
from logpr.cli._command import corrected, given, spelled
from logpr.cli._lists import ids_of, messages_of, numbers_of
from logpr.errors import MissingFileError, QueryError

ON_THE_LINE = ("prompt", "prompt_ids", "messages", "candidate_ids", "token_logprobs", "end_logprob")
"""Options that say a query on the command line itself."""

OF_FILES = (
    *("map", "template", "format", "on_error", "rejects", "by", "window", "restart"),
    *("output", "show", "id"),
)
"""Options that mean something for a file alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The arguments, and the options that say a query."""

    context: typer.Context
    inputs: tuple[str, ...]
    prompt: str | None
    prompt_ids: str | None
    messages: str | None
    candidate_ids: tuple[str, ...]
    token_logprobs: tuple[str, ...]
    end_logprob: tuple[float, ...]
    end: End | None
    boundary: Boundary
    bos: Bos
    sep: str | None

    @property
    def on_the_line(self) -> bool:
        """Return whether the query stands on the command line."""
        return bool(given(self.context, *ON_THE_LINE))

    def query(self) -> Query:
        """Return the query that stands on the command line.

        Raises:
            QueryError: it is not whole, or an option has no use beside it.
        """
        self._refuse_options_of_files()
        candidates = self._candidates()
        query = Query.of(
            "" if candidates and not self._has_prompt and self.token_logprobs else self.prompt,
            candidates,
            messages=None if self.messages is None else messages_of(self.messages, "--messages"),
            prompt_ids=None if self.prompt_ids is None else ids_of(self.prompt_ids, "--prompt-ids"),
            candidate_ids=None if self.token_logprobs else self._ids(),
            end=self.end,
            boundary=self.boundary,
            bos=self.bos,
        )
        self._refuse_idle("end_ids", query.effective_end == "stop", "--end stop")
        self._refuse_idle("marginal_budget", query.boundary == "marginal", "--boundary marginal")
        # A verb without the option always shows it.
        evidence = self.context.params.get("evidence", True)
        self._refuse_idle("alternatives", bool(evidence), "--evidence")
        return query

    def _refuse_idle(self, name: str, used: bool, needed: str) -> None:  # noqa: FBT001
        """Refuse an option that this query has no use for; rows of a file may say otherwise."""
        if given(self.context, name) and not used:
            msg = f"{spelled(self.context, name)} goes with {needed}, and would do nothing here"
            raise QueryError(msg)

    def file(self) -> str | None:
        """Return the file that was named, or None where nothing was.

        Raises:
            QueryError: more than one argument and no --prompt: the corrected command.
            MissingFileError: the only argument is no file and does not look like one.
        """
        if not self.inputs:
            return None
        if len(self.inputs) == 1:
            self._require_file(self.inputs[0])
            return self.inputs[0]
        verb = self.context.info_name
        if all(Path(name).is_file() for name in self.inputs):
            names = " ".join(self.inputs)
            msg = (
                f"{verb} takes one FILE, found {len(self.inputs)}: {names}; run it for each, or "
                f"join JSON Lines: cat {names} | logpr {verb} - --model MODEL"
            )
            raise QueryError(msg)
        prompt, *candidates = self.inputs
        command = corrected(self.context, candidates, {"prompt": prompt})
        msg = f"found {len(self.inputs)} arguments and no --prompt; did you mean:\n  {command}"
        raise QueryError(msg)

    def _require_file(self, name: str) -> None:
        # What looks like a path gets the reader's own message, which knows the folder.
        if name == "-" or Path(name).suffix or Path(name).exists() or ":" in name or "/" in name:
            return
        command = corrected(self.context, [" mat.", " of."], {"prompt": name})
        msg = f"there is no file {name!r}; if it is a prompt, give it candidates:\n  {command}"
        raise MissingFileError(msg)

    @property
    def _has_prompt(self) -> bool:
        return bool(given(self.context, "prompt", "prompt_ids", "messages"))

    def _candidates(self) -> Sequence[Any]:
        prompts = given(self.context, "prompt", "prompt_ids", "messages")
        if len(prompts) > 1:
            names = " and ".join(spelled(self.context, name) for name in prompts)
            msg = f"{names} are both given; a query has one prompt"
            raise QueryError(msg)
        if self.end_logprob and not self.token_logprobs:
            msg = "--end-logprob goes with --token-logprobs, once for each"
            raise QueryError(msg)
        if not self.token_logprobs:
            if not (self.inputs or self.candidate_ids or self.messages is not None):
                command = corrected(self.context, [" warm mat", " plush rug"])
                msg = f"there are no candidates; write them after the options:\n  {command}"
                raise QueryError(msg)
            # As in records: nothing is put before the first text of all.
            joined = (self.sep or "") if self.prompt or self.prompt_ids else ""
            return [joined + text for text in self.inputs]
        for count, what in (
            (len(self.inputs), "texts"),
            (len(self.candidate_ids), "--candidate-ids"),
            (len(self.end_logprob), "--end-logprob"),
        ):
            if count and count != len(self.token_logprobs):
                msg = (
                    f"{count} {what} and {len(self.token_logprobs)} --token-logprobs; give one "
                    f"each, in the same order"
                )
                raise QueryError(msg)
        return [
            {
                "text": text,
                "token_ids": ids,
                "token_logprobs": numbers_of(values, "--token-logprobs"),
                "end_logprob": end,
            }
            for values, text, ids, end in zip_longest(
                self.token_logprobs, self.inputs, self._ids(), self.end_logprob
            )
        ]

    def _ids(self) -> list[tuple[int, ...]]:
        return [ids_of(ids, "--candidate-ids") for ids in self.candidate_ids]

    def _refuse_options_of_files(self) -> None:
        useless = given(self.context, *OF_FILES)
        if useless:
            name = spelled(self.context, useless[0])
            msg = f"{name} is for a FILE, and this query stands on the command line; leave it out"
            if useless[0] == "output":
                msg += ", and write the result yourself: --json > FILE"
            raise QueryError(msg)
