"""The geometry of an audit's charts: where on a canvas each point, bar and tick stands.

Templates draw what is said here; nothing of it is a text. A canvas is `WIDTH` by `HEIGHT` units
with its origin at the top left, as in SVG.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from logpr._values import Drift, ShortlistStep
from logpr.report.numbers import scientific

WIDTH, HEIGHT = 640.0, 260.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 64.0, 12.0, 18.0, 44.0
MOST_POINTS = 500
MOST_BARS = 200
_TICKS = 5
_WIDEST_BAR = 56.0
_MOST_PLACES = 5
_LONG = 1e5
_ALIKE = 1e-9
"""Numbers that differ by less, in proportion, stand in the middle of their axis."""
_DRAWABLE = 1e12
"""Numbers from here on are counted and not drawn: the rest would lie on one line beside them."""


@dataclass(frozen=True, slots=True)
class Tick:
    """A number on an axis, and where it stands."""

    at: float
    label: str


@dataclass(frozen=True, slots=True)
class Plane:
    """A frame with two axes."""

    left: float
    right: float
    top: float
    bottom: float
    across: tuple[Tick, ...]
    up: tuple[Tick, ...]


@dataclass(frozen=True, slots=True)
class Scatter:
    """Claimed − true against a quantity: its points, its least-squares line and where no error is.

    `drawn` of `points` are drawn, evenly chosen; the line belongs to all that are finite.
    """

    plane: Plane
    dots: tuple[tuple[float, float], ...]
    line: tuple[float, float, float, float] | None
    zero: float
    points: int
    drawn: int


@dataclass(frozen=True, slots=True)
class Bar:
    """The share that one step's implied normaliser covers; `first` of its candidate."""

    x: float
    y: float
    width: float
    height: float
    first: bool
    step: ShortlistStep


@dataclass(frozen=True, slots=True)
class Bars:
    """The masses of the first steps, candidate after candidate; `hidden` are left out."""

    plane: Plane
    bars: tuple[Bar, ...]
    hidden: int


def scatter(drift: Drift) -> Scatter | None:
    """Return the chart of a drift, or None where it has no point that can be drawn."""
    sound = [(x, y) for x, y in drift.points if _drawable(x) and _drawable(y)]
    if not sound:
        return None
    kept = _evenly(sound)
    whole = drift.quantity == "tokens"
    x_low, x_high = _room([x for x, _ in kept])
    y_low, y_high = _room([*(y for _, y in kept), 0.0])
    plane = _plane(
        ticks(x_low, x_high, least=1.0 if whole else 0.0), ticks(y_low, y_high),
        (x_low, x_high), (y_low, y_high),
    )  # fmt: skip
    across = _Scale(x_low, x_high, plane.left, plane.right)
    up = _Scale(y_low, y_high, plane.bottom, plane.top)
    return Scatter(
        plane=plane,
        dots=tuple((round(across(x), 1), round(up(y), 1)) for x, y in kept),
        line=_line(drift, sound, across, up),
        zero=round(up(0.0), 1),
        points=len(drift.points),
        drawn=len(kept),
    )


def masses(steps: Sequence[ShortlistStep]) -> Bars | None:
    """Return the bars of the shortlists' masses, or None where there are none."""
    shown = steps[:MOST_BARS]
    if not shown:
        return None
    plane = _plane(
        (), [(share, f"{share * 100:.0f}%") for share in (0.0, 0.25, 0.5, 0.75, 1.0)],
        (0.0, 1.0), (0.0, 1.0),
    )  # fmt: skip
    pitch = min(_WIDEST_BAR, (plane.right - plane.left) / len(shown))
    depth = plane.bottom - plane.top
    bars = []
    for at, step in enumerate(shown):
        height = depth * (min(1.0, max(0.0, step.mass)) if not math.isnan(step.mass) else 0.0)
        before = shown[at - 1]
        bars.append(
            Bar(
                x=round(plane.left + pitch * (at + 0.1), 2),
                y=round(plane.bottom - height, 2),
                width=round(pitch * 0.8, 2),
                height=round(height, 2),
                first=at == 0 or (before.id, before.index) != (step.id, step.index),
                step=step,
            )
        )
    return Bars(plane, tuple(bars), len(steps) - len(shown))


@dataclass(frozen=True, slots=True)
class Span:
    """Where a bar from zero to a number starts and how long it is, in percent of its cell."""

    start: float
    length: float


def spans(values: Sequence[float | None]) -> tuple[tuple[Span | None, ...], float]:
    """Return a bar for each of `values` on one axis that holds zero, and where zero is on it.

    What is null, infinite or beyond drawing has no bar.
    """
    sound = [value for value in values if value is not None and _drawable(value)]
    low, high = min([0.0, *sound]), max([0.0, *sound])
    scale = _Scale(low, high if high > low else low + 1.0, 0.0, 100.0)
    zero = scale(0.0)
    found = tuple(
        None
        if value is None or not _drawable(value)
        else Span(round(min(zero, scale(value)), 2), round(abs(scale(value) - zero), 2))
        for value in values
    )
    return found, round(zero, 2)


@dataclass(frozen=True, slots=True)
class _Scale:
    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        part = (value - self.low) / (self.high - self.low)
        return self.start + part * (self.end - self.start)


def _drawable(value: float) -> bool:
    return math.isfinite(value) and abs(value) < _DRAWABLE


def _evenly(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    if len(points) <= MOST_POINTS:
        return points
    return [points[at * len(points) // MOST_POINTS] for at in range(MOST_POINTS)]


def _room(values: Sequence[float], margin: float = 0.05) -> tuple[float, float]:
    """Return the ends of an axis: a little more than the values take, and never nothing."""
    low, high = min(values), max(values)
    if high - low < _ALIKE * max(1.0, abs(low), abs(high)):
        return low - 0.5 * max(1.0, abs(low)), high + 0.5 * max(1.0, abs(high))
    space = margin * (high - low)
    return low - space, high + space


def ticks(low: float, high: float, least: float = 0.0) -> list[tuple[float, str]]:
    """Return about `_TICKS` round numbers within [low, high], at least `least` apart."""
    rough = (high - low) / _TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = max(least, next(power * nice for nice in (1, 2, 5, 10) if power * nice >= rough))
    first, last = math.ceil(low / step), math.floor(high / step)
    places = max(0, -math.floor(math.log10(step)))
    # A step far below a float's spacing at these numbers would count for ever.
    numbers = [at * step for at in range(first, min(last, first + 2 * _TICKS) + 1)]
    return [(number, _written(number, places)) for number in numbers]


def _written(number: float, places: int) -> str:
    if number and (abs(number) >= _LONG or places > _MOST_PLACES):
        return scientific(number)
    return f"{number:.{places}f}" if number else "0"


def _plane(
    across: Sequence[tuple[float, str]],
    up: Sequence[tuple[float, str]],
    x_ends: tuple[float, float],
    y_ends: tuple[float, float],
) -> Plane:
    left, right, top, bottom = _LEFT, WIDTH - _RIGHT, _TOP, HEIGHT - _BOTTOM
    x, y = _Scale(*x_ends, left, right), _Scale(*y_ends, bottom, top)
    return Plane(
        left,
        right,
        top,
        bottom,
        tuple(Tick(round(x(number), 1), label) for number, label in across),
        tuple(Tick(round(y(number), 1), label) for number, label in up),
    )


def _line(
    drift: Drift, points: Sequence[tuple[float, float]], across: _Scale, up: _Scale
) -> tuple[float, float, float, float] | None:
    """Return the least-squares line within the frame: it goes through the mean of all points."""
    slope = drift.slope
    if slope is None or not math.isfinite(slope):
        return None
    mean_x = math.fsum(x for x, _ in points) / len(points)
    mean_y = math.fsum(y for _, y in points) / len(points)
    ends = [across.low, across.high]
    if slope:
        # Where it would leave the frame above or below, it ends there.
        crossings = sorted(mean_x + (y - mean_y) / slope for y in (up.low, up.high))
        ends = [max(ends[0], crossings[0]), min(ends[1], crossings[1])]
    if ends[0] >= ends[1]:
        return None
    # On a steep line a rounding of x is more than the frame is high.
    ys = [min(up.high, max(up.low, mean_y + slope * (x - mean_x))) for x in ends]
    first, last = ((across(x), up(y)) for x, y in zip(ends, ys, strict=True))
    return round(first[0], 1), round(first[1], 1), round(last[0], 1), round(last[1], 1)
