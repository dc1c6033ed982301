"""Where a parameter fits all claims: by counting, by halving, on a grid that is refined."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeAlias

import numpy as np

Check: TypeAlias = tuple[int, int | None]
"""A candidate and one of its steps, or its score."""

Span: TypeAlias = tuple[float, float]

_BISECTIONS = 40
_INNER = 9


def points(low: float, high: float, count: int, *, log: bool = False) -> tuple[float, ...]:
    """Return points of even distance, or ratio."""
    spaced = np.geomspace(low, high, count) if log else np.linspace(low, high, count)
    return tuple(float(x) for x in spaced)


def enumerated(
    off: Callable[[int, Check], float], values: Iterable[int], checks: Sequence[Check]
) -> Iterator[Span]:
    """Return the runs of integers that fit all claims."""
    run: list[int] = []
    for value in values:
        if all(off(value, check) == 0.0 for check in checks):
            run.append(value)
        elif run:
            yield run[0], run[-1]
            run = []
    if run:
        yield run[0], run[-1]


def monotone(
    off: Callable[[int, Check], float], low: int, high: int, checks: Sequence[Check]
) -> Iterator[Span]:
    """Return the integers that fit all claims, each claim being monotone in them."""
    for check in checks:
        ends = off(low, check), off(high, check)
        if any(map(math.isnan, ends)):
            return
        rising = ends[0] <= ends[1]

        def below(value: int, *, check: Check = check, rising: bool = rising) -> bool:
            found = off(value, check)
            return found < 0.0 if rising else found > 0.0

        def up_to(value: int, *, check: Check = check, rising: bool = rising) -> bool:
            found = off(value, check)
            return found <= 0.0 if rising else found >= 0.0

        low, high = _first(below, low, high), _first(up_to, low, high) - 1
        if low > high:
            return
    yield low, high


def _first(holds: Callable[[int], bool], low: int, high: int) -> int:
    """Return the first integer of low..high for which something holds no longer, or high + 1."""
    high += 1
    while low < high:
        middle = (low + high) // 2
        if holds(middle):
            low = middle + 1
        else:
            high = middle
    return low


def continuous(
    off: Callable[[float, Check], float], grid: Sequence[float], checks: Sequence[Check]
) -> list[Span]:
    """Return the spans of a parameter that fit all claims."""
    spans = [*_refined(lambda x: off(x, checks[0]), grid)]
    for check in checks[1:]:
        spans = [
            part
            for low, high in spans
            for part in _refined(
                lambda x, check=check: off(x, check),  # type: ignore[misc]
                points(low, high, _INNER) if high > low else (low,),
            )
        ]
    return spans


def _refined(f: Callable[[float], float], points: Sequence[float]) -> Iterator[Span]:
    """Return where a function is 0, found from a grid: its runs, its crossings, its touchings."""
    xs, ys = [*points], [f(x) for x in points]
    extra = [_crossing(f, xs[i], xs[i + 1]) for i in range(len(xs) - 1) if ys[i] * ys[i + 1] < 0.0]
    for i in range(1, len(xs) - 1):
        a, b, c = ys[i - 1 : i + 2]
        if a * b > 0.0 and b * c > 0.0 and abs(b) < min(abs(a), abs(c)):
            extra.append(_nearest(f, xs[i - 1], xs[i + 1]))
    pairs = sorted([*zip(xs, ys, strict=True), *((x, 0.0) for x in extra if x is not None)])
    run: list[float] = []
    for i, (x, y) in enumerate(pairs):
        if y != 0.0:
            continue
        if not run:
            run = [_border(f, x, pairs[i - 1][0]) if i else x]
        if i + 1 == len(pairs) or pairs[i + 1][1] != 0.0:
            yield run[0], (_border(f, x, pairs[i + 1][0]) if i + 1 < len(pairs) else x)
            run = []


def _crossing(f: Callable[[float], float], low: float, high: float) -> float | None:
    """Return a zero between two points of different signs, None where the function jumps."""
    sign = f(low)
    for _ in range(2 * _BISECTIONS):
        middle = (low + high) / 2
        found = f(middle)
        if found == 0.0:
            return middle
        if found * sign > 0.0:
            low = middle
        else:
            high = middle
    return None


def _nearest(f: Callable[[float], float], low: float, high: float) -> float | None:
    """Return a zero where a function comes nearest to 0 between two points, if it gets there."""
    for _ in range(_BISECTIONS):
        a, b = low + (high - low) / 3, high - (high - low) / 3
        u, v = f(a), f(b)
        if u == 0.0 or v == 0.0:
            return a if u == 0.0 else b
        low, high = (low, b) if abs(u) < abs(v) else (a, high)
    return None


def _border(f: Callable[[float], float], inside: float, outside: float) -> float:
    """Return the last point inside on the way from one that fits to one that does not."""
    for _ in range(_BISECTIONS):
        middle = (inside + outside) / 2
        if f(middle) == 0.0:
            inside = middle
        else:
            outside = middle
    return inside
