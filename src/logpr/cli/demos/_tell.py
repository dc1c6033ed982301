"""What the stories share: rows as models, figures in columns, bars that compare."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from logpr.models.table import TableModel
from logpr.report.demo import Mark, Panel, PictureBar
from logpr.report.numbers import fixed


def table(tokens: Sequence[str], rows: Mapping[str, object], kind: str = "logits") -> TableModel:
    """Return a model of these rows: context -> a number for each token."""
    return TableModel.from_dict({"tokens": list(tokens), "kind": kind, "rows": dict(rows)})


def known(value: float | None) -> float:
    """Return a number that the library gives wherever it is asked for as here."""
    assert value is not None, "scored in full"
    return value


def logprobs(values: Sequence[float], places: int = 4) -> tuple[str, ...]:
    """Write numbers of one column."""
    return tuple(fixed(value, places) for value in values)


def plainly(value: float) -> str:
    """Write a number as it was given: 10, 0.004, −3."""
    return f"{value:g}"


def signs(text: str) -> str:
    """Return a figure with the sign of a minus, for a picture: nobody pastes from one."""
    return text.replace("-", "−")


def shares(sizes: Sequence[float]) -> tuple[float, ...]:
    """Return bars for sizes from 0: the longest is 1."""
    top = max(sizes)
    return tuple(size / top if top > 0 else 0.0 for size in sizes)


def odds(values: Sequence[float]) -> tuple[float, ...]:
    """Return bars of exp(values), so that longer is better: the best is 1."""
    top = max(values)
    return tuple(math.exp(value - top) for value in values)


def best(values: Sequence[float]) -> int:
    """Return where the largest is; NaN is never it."""
    return max(range(len(values)), key=lambda at: (not math.isnan(values[at]), values[at]))


class Picked(NamedTuple):
    """Bars, figures, and which line is picked by whom."""

    shares: tuple[float, ...]
    figures: tuple[str, ...]
    best: int

    def mark(self, at: int, mark: Mark) -> Mark:
        """Return the mark of a line: only the one that is picked has one."""
        return mark if at == self.best else ""

    def note(self, at: int, words: str = "picked") -> str:
        """Return the words beside a line."""
        return words if at == self.best else ""

    def panel(self, names: Sequence[str], title: str, verdict: str, detail: str) -> Panel:
        """Return the same as a panel of the picture."""
        bars = tuple(
            PictureBar(name, share, signs(figure))
            for name, share, figure in zip(names, self.shares, self.figures, strict=True)
        )
        return Panel(title, bars, self.best, verdict, detail)
