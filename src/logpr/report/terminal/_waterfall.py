"""The bars of a gap in characters: each begins where the one before it ended."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import accumulate

from rich.text import Text

from logpr._values import Explanation
from logpr.report.numbers import signed
from logpr.report.scales import FIRST, SECOND
from logpr.report.terminal._columns import Column, TextColumn, columns, figures
from logpr.report.terminal._pen import Pen
from logpr.report.words.explanation import largest
from logpr.report.words.parts import Quoted, Sentence

_NARROWEST = 8
_WIDEST = 60
_NARROWEST_LABEL = 30


def waterfall(value: Explanation, pen: Pen) -> Iterator[Text]:
    """Yield a line for each bar, and last the gap, which is their sum."""
    bars = largest(value)
    cells = max(_NARROWEST_LABEL, pen.width * 2 // 5)
    labels = [_label(bar.label, cells, pen) for bar in bars]
    written = [signed(bar.contribution) for bar in bars]
    yield pen.words("Where the gap comes from, in nats: above 0 speaks for A, below for B")
    table: list[Column | TextColumn] = [
        TextColumn("", (*labels, Text("gap", "bold")), lines=2),
        figures(pen, "", [*written, signed(value.gap)]),
    ]
    taken = max((label.cell_len for label in labels), default=3)
    room = pen.width - taken - max(map(len, [*written, signed(value.gap)])) - 4
    if room >= _NARROWEST:
        steps = [bar.contribution for bar in bars]
        drawn = _drawn(steps, value.gap, min(_WIDEST, room), pen)
        table.append(Column("", tuple(drawn), worth=50, right=False))
    yield from columns(pen, table)


def _label(parts: Sentence, cells: int, pen: Pen) -> Text:
    """Return a label of about `cells`: its texts share what our own words leave."""
    quoted = sum(isinstance(part, Quoted) for part in parts)
    ours = sum(len(part) for part in parts if isinstance(part, str)) + 2 * quoted
    return pen.sentence(parts, cells=max(6, (cells - ours) // max(1, quoted)))


def _drawn(steps: Sequence[float], gap: float, cells: int, pen: Pen) -> Iterator[Text]:
    """Yield a bar for each step from where the one before it ended, then one from 0 to the gap.

    What is infinite has no bar: its figure says it.
    """
    ends = list(accumulate((_finite(step) for step in steps), initial=0.0))
    low, high = min(*ends, _finite(gap)), max(*ends, _finite(gap))

    def place(at: float) -> float:
        return (at - low) / (high - low) * cells if high > low else 0.0

    for start, step in zip(ends, steps, strict=False):
        yield _bar(place(start), place(start + _finite(step)), step, cells, pen)
    yield _bar(place(0.0), place(_finite(gap)), gap, cells, pen)


def _bar(start: float, end: float, step: float, cells: int, pen: Pen) -> Text:
    if not math.isfinite(step):
        return Text()
    left = min(round(min(start, end)), cells - 1)
    if step == 0:
        return Text(" " * left).append("|" if pen.ascii_only else "│", "dim")
    # Something is never drawn as nothing, and its sign is seen without colour too.
    size = max(1, round(max(start, end)) - left)
    full, light = ("+", "-") if pen.ascii_only else ("█", "▒")
    bar = (full * size, FIRST) if step > 0 else (light * size, SECOND)
    return Text(" " * left).append(*bar)


def _finite(value: float) -> float:
    return value if math.isfinite(value) else 0.0
