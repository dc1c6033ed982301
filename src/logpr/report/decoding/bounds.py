"""The bounds of a search against time: where both lines and their ticks stand, in percent."""

from __future__ import annotations

import math
from dataclasses import dataclass

from logpr._values import Decoding
from logpr.report.charts import Tick, ticks

MOST_POINTS = 600
_MARGIN = 0.06


@dataclass(frozen=True, slots=True)
class Chart:
    """Two lines that only draw nearer, as corners of steps, and the area between them.

    `lower` begins where the first output had ended; `ends` are both bounds at the last moment.
    """

    lower: tuple[tuple[float, float], ...]
    upper: tuple[tuple[float, float], ...]
    area: tuple[tuple[float, float], ...]
    across: tuple[Tick, ...]
    up: tuple[Tick, ...]
    ends: tuple[float, float]
    seconds: float
    meets: bool


def bounds(value: Decoding) -> Chart | None:
    """Return the chart, or None where fewer than two moments were noted."""
    moments = value.history
    if len(moments) > MOST_POINTS:
        last = len(moments) - 1
        moments = tuple(moments[at * last // (MOST_POINTS - 1)] for at in range(MOST_POINTS))
    low = [(each.seconds, each.lower) for each in moments if math.isfinite(each.lower)]
    high = [(each.seconds, each.upper) for each in moments if math.isfinite(each.upper)]
    numbers = [number for _, number in (*low, *high)]
    wide = max((each.seconds for each in moments), default=0.0)
    if len(moments) < 2 or not numbers or wide <= 0:  # noqa: PLR2004 - no line
        return None
    least, most = min(numbers), max(numbers)
    room = (most - least) * _MARGIN or 0.5
    least, most = least - room, most + room

    def place(x: float, y: float) -> tuple[float, float]:
        return round(x / wide * 100, 2), round((most - y) / (most - least) * 100, 2)

    lower = _steps([place(*point) for point in low])
    upper = _steps([place(*point) for point in high])
    return Chart(
        lower=lower,
        upper=upper,
        area=(*lower, *reversed([point for point in upper if point[0] >= lower[0][0]]))
        if lower and upper
        else (),
        across=tuple(Tick(place(x, most)[0], label) for x, label in ticks(0.0, wide)),
        up=tuple(Tick(place(0.0, y)[1], label) for y, label in ticks(least, most)),
        ends=(value.history[-1].lower, value.history[-1].upper),
        seconds=wide,
        meets=value.history[-1].upper <= value.history[-1].lower
        and value.certificate.status != "gap",
    )


def _steps(points: list[tuple[float, float]]) -> tuple[tuple[float, float], ...]:
    """Return the corners of a line that keeps its height until it moves."""
    out = points[:1]
    for x, y in points[1:]:
        if y != out[-1][1]:
            out.append((x, out[-1][1]))
        out.append((x, y))
    return tuple(out)
