"""A case of a law: which model, which sequences; with an id that holds all of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TypeAlias

from logpr.errors import QueryError

Part: TypeAlias = tuple[int, ...]
"""A piece of text, as numbers of a model's alphabet: tokens of a toy, words of the suite's list."""

_FEW = 2
"""Parts of which one at a time is left out."""

OWN = "own"
"""The scorer's own model, where it is made for none of the suite's."""


@dataclass(frozen=True, slots=True)
class Case:
    """A model, parts of text (the first is a prompt), and numbers that the law gives a meaning.

    >>> Case("chain_rule", "toy", ((9, 0), (), (2,)), (1,)).id
    'chain_rule/toy/9.0/-/2@1'
    >>> Case.read("chain_rule/toy/9.0/-/2@1").parts
    ((9, 0), (), (2,))
    """

    check: str
    model: str
    parts: tuple[Part, ...]
    numbers: tuple[int, ...] = ()

    @property
    def id(self) -> str:
        """The case in one word: what `--replay` takes."""
        parts = [".".join(map(str, part)) or "-" for part in self.parts]
        numbers = f"@{'.'.join(map(str, self.numbers))}" if self.numbers else ""
        return "/".join((self.check, self.model, *parts)) + numbers

    @classmethod
    def read(cls, text: str) -> Case:
        """Return the case with an id.

        Raises:
            QueryError: the text is no case's id.
        """
        body, at, numbers = text.strip().partition("@")
        try:
            check, model, *parts = body.split("/")
            return cls(
                check,
                model,
                tuple(_part(part) for part in parts),
                _part(numbers) if at else (),
            )
        except ValueError:
            msg = (
                f"{text!r} is no case's id; give one as a report prints it, such as "
                f"chain_rule/toy/9.0/5/2@0"
            )
            raise QueryError(msg) from None

    def smaller(self) -> Iterator[Case]:
        """Yield cases without one candidate, then with less in one part: halves, single tokens."""
        middle = (len(self.parts) + 1) // 2
        if middle > _FEW:
            for half in (self.parts[1:middle], self.parts[middle:]):
                yield replace(self, parts=(self.parts[0], *half))
        for place in range(1, len(self.parts)):
            yield replace(self, parts=self.parts[:place] + self.parts[place + 1 :])
        for place, part in enumerate(self.parts):
            size = len(part) // 2
            while size:
                for start in range(0, len(part) - size + 1, size):
                    kept = part[:start] + part[start + size :]
                    parts = (*self.parts[:place], kept, *self.parts[place + 1 :])
                    yield replace(self, parts=parts)
                size //= 2


def _part(text: str) -> Part:
    return () if text == "-" else tuple(int(number) for number in text.split("."))
