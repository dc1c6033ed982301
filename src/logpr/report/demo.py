"""What a worked example is told with: steps with a table each, and one picture of it all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from logpr._types import JsonValue
from logpr._values import Explanation, jsonable

Mark: TypeAlias = Literal["", "wrong", "right"]
"""Whose pick a line is: nobody's, the wrong way's, or log Pr's. Its note says so in words."""


@dataclass(frozen=True, slots=True)
class Row:
    """A line of a table: what it is of, its figures as written, and a bar of `share` in [0, 1]."""

    name: str
    figures: tuple[str, ...]
    share: float | None = None
    mark: Mark = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """Lines under each other; `headers` has one for the names, then one a figure."""

    headers: tuple[str, ...]
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Step:
    """One idea: a heading, a few sentences, and the table that shows it.

    `says` stands before the table, `after` behind it.
    """

    heading: str
    says: tuple[str, ...]
    table: Table | None = None
    after: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PictureBar:
    """A bar of the picture: its name, its length as a share of the longest, its figure."""

    name: str
    share: float
    figure: str


@dataclass(frozen=True, slots=True)
class Panel:
    """Two or more bars; `best` is the one that is picked, `verdict` says so, `detail` by what."""

    title: str
    bars: tuple[PictureBar, ...]
    best: int
    verdict: str
    detail: str


@dataclass(frozen=True, slots=True)
class Picture:
    """The example in one look: its numbers, what the wrong way picks, what log Pr picks.

    `lines` are up to four, each a name and up to three figures; `asks` is two lines under them.
    """

    title: str
    head: str
    lines: tuple[tuple[str, tuple[str, ...]], ...]
    asks: tuple[str, str]
    wrong: Panel
    right: Panel


@dataclass(frozen=True, slots=True)
class Story:
    """A worked example, step by step.

    `numbers` are all that it computes, by name; the sentences and figures are written from them.
    `commands` do the like on the reader's own data.
    """

    name: str
    title: str
    steps: tuple[Step, ...]
    lesson: str
    commands: tuple[str, ...]
    picture: Picture
    numbers: Mapping[str, object]
    explanation: Explanation | None = None

    def to_dict(self) -> dict[str, JsonValue]:
        """Return the name, the title, the lesson and the numbers."""
        return {
            "demo": self.name,
            "title": self.title,
            "lesson": self.lesson,
            "numbers": jsonable(dict(self.numbers)),
        }
