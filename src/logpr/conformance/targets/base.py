"""What the suite asks of whatever it checks: numbers for requests, or why there are none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, TypeAlias, runtime_checkable

Text: TypeAlias = str | tuple[int, ...]
"""A text, or token ids where the scorer declares that it takes them."""

ErrorKind: TypeAlias = Literal[
    "raised", "timed_out", "wrong_shape", "not_numbers", "mutated_input", "died"
]


@dataclass(frozen=True, slots=True)
class Request:
    """One prompt and its candidates."""

    prompt: Text
    candidates: tuple[Text, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """A score for each candidate, as the scorer gave it; token scores where it gives them."""

    scores: tuple[float, ...]
    token_scores: tuple[tuple[float, ...], ...] | None = None


class ScorerError(Exception):
    """A scorer gave no numbers.

    Args:
        kind: what happened.
        message: in one sentence, with the value that came.
        exception: the name of the exception's type where one was raised ("ValueError"), or "" for
            a refusal that came over a wire.
        refusal: whether it reads as a deliberate "no" to this input: a ValueError or TypeError (or
            one of their kind, NotImplementedError too) with a message, an error response with one.
        where: the line of the scorer's own code.
        fatal: whether asking again is pointless: it hung, or its process died.
    """

    def __init__(
        self,
        kind: ErrorKind,
        message: str,
        *,
        exception: str = "",
        refusal: bool = False,
        where: str | None = None,
        fatal: bool = False,
    ) -> None:
        super().__init__(message)
        self.kind: ErrorKind = kind
        self.message = message
        self.exception = exception
        self.refusal = refusal
        self.where = where
        self.fatal = fatal


@runtime_checkable
class Scoring(Protocol):
    """A scorer that holds a model and can be asked."""

    @property
    def together(self) -> bool:
        """Whether requests of several prompts reach it in one call."""
        ...

    @property
    def vocab_size(self) -> int | None:
        """How many ids it takes, where it says so."""
        ...

    def ask(self, requests: Sequence[Request]) -> list[Answer]:
        """Return an answer for each request, in their order.

        Raises:
            ScorerError: it gave no numbers.
        """
        ...

    def said(self) -> list[str]:
        """Return and forget what it said beside its numbers since the last call.

        Warnings and log records of level WARNING or more, one text each, printed lines marked
        `printed: …`.
        """
        ...

    def close(self) -> None:
        """Let go of processes and connections."""
        ...


@runtime_checkable
class Target(Protocol):
    """Something that can be checked: on its own model, or on models of the suite."""

    @property
    def name(self) -> str:
        """What reports call it."""
        ...

    @property
    def factory(self) -> bool:
        """Whether it is made for a model's folder."""
        ...

    def open(self, folder: Path | None) -> Scoring:
        """Return the scorer, on the model in `folder` where it is a factory, else on its own.

        Raises:
            ScorerError: it could not be made.
        """
        ...
