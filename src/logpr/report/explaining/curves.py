"""Cumulative log-probability against bytes: where the lines and their ticks stand, in percent."""

from __future__ import annotations

import math
from dataclasses import dataclass

from logpr._values import Curve, Explanation
from logpr.report.charts import Tick, ticks

MOST_DOTS = 60
MOST_POINTS = 1000
_APART = 8.0
"""Percent of the height by which the letters at the lines' ends keep apart."""


@dataclass(frozen=True, slots=True)
class Line:
    """One candidate's line: `points` from (0, 0) on, `letter` and where it stands, `last` in nats.

    `cut`: it falls to minus infinity after its last point.
    """

    letter: str
    points: tuple[tuple[float, float], ...]
    dots: bool
    place: tuple[float, float]
    last: float
    cut: bool


@dataclass(frozen=True, slots=True)
class Chart:
    """Both lines in one frame, and the byte at which they fork."""

    lines: tuple[Line, ...]
    across: tuple[Tick, ...]
    up: tuple[Tick, ...]
    fork: float | None


def curves(value: Explanation) -> Chart | None:
    """Return the chart, or None where the bytes of no candidate are known."""
    drawn = [_finite(each) for each in value.curves]
    found = [points for points in drawn if len(points) > 1]
    if not found:
        return None
    wide = max(1, *(x for points in found for x, _ in points))
    low = min(y for points in found for _, y in points)
    high = max(y for points in found for _, y in points)
    if high - low < 1e-9:  # noqa: PLR2004 - nats: a flat line
        low -= 1.0
    low -= 0.06 * (high - low)

    def place(x: float, y: float) -> tuple[float, float]:
        return round(x / wide * 100, 2), round((high - y) / (high - low) * 100, 2)

    letters = {value.first: "A", value.second: "B"}
    lines: list[Line] = []
    for each, points in zip(value.curves, drawn, strict=True):
        if len(points) < 2:  # noqa: PLR2004 - no line
            continue
        placed = [place(x, y) for x, y in points]
        end = placed[-1]
        near = next((line.place for line in lines if abs(line.place[1] - end[1]) < _APART), None)
        if near is not None and abs(near[0] - end[0]) < _APART:
            end = (end[0], near[1] + (_APART if end[1] >= near[1] else -_APART))
        lines.append(
            Line(
                letter=letters[each.index],
                points=tuple(placed),
                dots=len(points) <= MOST_DOTS,
                place=end,
                last=points[-1][1],
                cut=len(points) < len(each.bytes) and _is_impossible(each),
            )
        )
    return Chart(
        lines=tuple(lines),
        across=tuple(
            Tick(place(x, 0.0)[0], label) for x, label in ticks(0.0, float(wide), least=1.0)
        ),
        up=tuple(Tick(place(0.0, y)[1], label) for y, label in ticks(low, high)),
        fork=_fork(value, wide),
    )


def _finite(curve: Curve) -> list[tuple[float, float]]:
    points = [
        (float(x), y)
        for x, y in zip(curve.bytes, curve.logprob, strict=True)
        if math.isfinite(y)
    ]  # fmt: skip
    if len(points) <= MOST_POINTS:
        return points
    last = len(points) - 1
    return [points[at * last // (MOST_POINTS - 1)] for at in range(MOST_POINTS)]


def _is_impossible(curve: Curve) -> bool:
    return not all(map(math.isfinite, curve.logprob))


def _fork(value: Explanation, wide: float) -> float | None:
    spans = value.ranking.candidates[value.first].token_spans
    if value.fork is None or spans is None:
        return None
    at = value.fork.position
    start = spans[at][0] if at < len(spans) else spans[-1][1] if spans else 0
    return round(start / wide * 100, 2)
