"""A program as a scorer: JSON Lines on its stdin, JSON Lines from its stdout.

    {"id": 0, "prompt": "The cat", "candidates": [" sat", " ran"]}      to it, one line a request
    {"id": 0, "scores": [-2.1, -3.4]}                                   from it, in any order

With `token_scores`, a list a candidate, where per_token is declared; with `prompt_ids` and
`candidate_ids` in place of texts where ids are. {"id": 0, "error": "…"} is a refusal.
"""

from __future__ import annotations

import json
import shlex
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, final

from logpr.conformance.declares import Declares
from logpr.conformance.targets.base import Answer, Request, ScorerError, Scoring
from logpr.conformance.targets.called import TIME_LIMIT
from logpr.conformance.targets.program import Program
from logpr.conformance.targets.reading import answer_of, shown
from logpr.errors import QueryError, UnknownNameError

MODEL = "{model}"
"""Stands in a command for the folder of a model: the program is then started for each."""

_WANTED = "a program that reads JSON Lines on stdin and answers each with a line"


@final
class Command:
    """A command, run without a shell; with the word `{model}` in it, a factory.

    Args:
        command: as it would be typed.
        declares: what it is sent, and what its numbers are.
        time_limit: seconds for a call.
        name: what reports call it; the command by default.

    Raises:
        QueryError: it cannot be split into words.
        UnknownNameError: there is no such program.
    """

    def __init__(
        self,
        command: str,
        *,
        declares: Declares | None = None,
        time_limit: float = TIME_LIMIT,
        name: str | None = None,
    ) -> None:
        self.name = command if name is None else name
        self._words = words_of(command)
        self._declares = declares or Declares()
        self._time_limit = time_limit

    @property
    def factory(self) -> bool:
        """Whether `{model}` stands in it."""
        return any(MODEL in word for word in self._words)

    def open(self, folder: Path | None) -> Scoring:
        """Return the program; it starts when it is first asked."""
        words = self._words
        if folder is not None:
            words = [word.replace(MODEL, str(folder)) for word in words]
        return Running(Program(words, self._time_limit), self._declares)


@final
class Running:
    """A program that is asked."""

    together = True
    vocab_size = None

    def __init__(self, program: Program, declares: Declares) -> None:
        self._program = program
        self._declares = declares
        self._next = 0

    def ask(self, requests: Sequence[Request]) -> list[Answer]:
        """Return an answer for each request; all of them are written before one is read."""
        first, self._next = self._next, self._next + len(requests)
        lines = {first + place: self._line(first + place, r) for place, r in enumerate(requests)}
        found = self._program.ask(lines)
        return [self._read(found[first + place], request) for place, request in enumerate(requests)]

    def said(self) -> list[str]:
        """Return and forget its lines on stderr, and those on stdout that answer nothing."""
        return self._program.said()

    def close(self) -> None:
        """End its stdin, and the program where it does not end by itself."""
        self._program.close()

    def _line(self, number: int, request: Request) -> str:
        ids = not isinstance(request.prompt, str)
        sent: dict[str, Any] = {
            "id": number,
            "prompt_ids" if ids else "prompt": _plain(request.prompt),
            "candidate_ids" if ids else "candidates": [_plain(each) for each in request.candidates],
        }
        # Half a pair of surrogates has no UTF-8: it is escaped, as is all that is not ASCII.
        return json.dumps(sent)

    def _read(self, found: dict[str, Any], request: Request) -> Answer:
        said = found.get("error")
        if said is not None:
            message = said if isinstance(said, str) else shown(said)
            raise ScorerError(
                kind="raised",
                message=f"the command answered with an error: {message or 'no message'}",
                refusal=bool(message.strip()),
            )
        if "scores" not in found:
            msg = f"the command answered {shown(found)}; wanted is {{'id': …, 'scores': […]}}"
            raise ScorerError(kind="wrong_shape", message=msg)
        scores, tokens = found["scores"], found.get("token_scores")
        if tokens is None and self._declares.per_token:
            msg = (
                f"the command answered {shown(found)}; per_token is declared, so wanted are "
                f"'token_scores' too, a list a candidate; answer with both, or do not declare it"
            )
            raise ScorerError(kind="wrong_shape", message=msg)
        return answer_of(
            scores if tokens is None else (scores, tokens),
            candidates=len(request.candidates),
            per_token=tokens is not None,
            whose="the command",
        )


def words_of(command: str) -> list[str]:
    """Return a command's words.

    Raises:
        QueryError: it has none, or a quotation is not closed.
        UnknownNameError: its first word is no program.
    """
    try:
        words = shlex.split(command)
    except ValueError as error:
        msg = f"the command {command!r} cannot be split into words: {error}"
        raise QueryError(msg) from error
    if not words:
        msg = f"the command is empty; give {_WANTED}: cmd:'python scorer.py'"
        raise QueryError(msg)
    if shutil.which(words[0]) is None:
        msg = (
            f"the command {command!r}: there is no program {words[0]!r} on the path that can be "
            f"run; give {_WANTED}"
        )
        raise UnknownNameError(msg)
    return words


def _plain(text: object) -> object:
    return text if isinstance(text, str) else list(text)  # type: ignore[call-overload]
