"""Where the whole probability went, as one bar of characters: each part has its own."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from rich.text import Text

from logpr._values import MassLedger
from logpr.report.numbers import percent
from logpr.report.terminal._pen import Pen
from logpr.report.words import certificate as words

_WIDEST = 60
_LOOKS = {
    "finished": ("█", "#", "#009e73"),
    "open": ("▒", "o", "#c77700"),
    "pruned": ("░", ".", "#8a8a8a"),
    "dropped": ("▚", "x", "#c0392b"),
    "truncated": ("▞", "/", "#a05195"),
    "excluded": ("▤", "-", "#56799a"),
    "unnamed": ("?", "?", ""),
}
"""The character of each part, its likeness in ASCII, and its colour."""


def ledger(mass: MassLedger, pen: Pen) -> Iterator[Text]:
    """Yield the bar, its legend and the sum of its parts."""
    found = words.parts(mass)
    cells = apportioned([part.share for part in found], min(_WIDEST, pen.width))
    bar = Text(no_wrap=True, overflow="crop")
    keys = []
    for part, size in zip(found, cells, strict=True):
        sign, style = _look(part.name, pen)
        bar.append(sign * size, style)
        keys.append(Text.assemble((sign, style), pen.words(f" {part.name} {percent(part.share)}")))
    yield bar
    total = pen.words(words.summed(mass), "dim" if words.adds_up(mass) else "yellow")
    yield pen.flowing([*keys, total], pen.width)


def apportioned(shares: Sequence[float], cells: int) -> list[int]:
    """Return how many of `cells` each share takes: something is never drawn as nothing.

    Cells that rounding leaves over go to the parts that lost most by it.
    """
    sound = [share if math.isfinite(share) and share > 0 else 0.0 for share in shares]
    total = math.fsum(sound)
    if not total:
        return [0] * len(sound)
    exact = [share / total * cells for share in sound]
    taken = [
        max(1, math.floor(part)) if share else 0 for share, part in zip(sound, exact, strict=True)
    ]
    while sum(taken) < cells:
        taken[max(range(len(taken)), key=lambda at: exact[at] - taken[at])] += 1
    while sum(taken) > cells and max(taken) > 1:
        taken[max(range(len(taken)), key=lambda at: (taken[at] > 1, taken[at] - exact[at]))] -= 1
    return taken


def _look(name: str, pen: Pen) -> tuple[str, str]:
    sign, plain, style = _LOOKS[name]
    return plain if pen.ascii_only else sign, style
