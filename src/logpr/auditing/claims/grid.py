"""Whether numbers lie on a power-of-two grid, although more digits were printed."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from logpr.auditing.claims.values import Printed

_CHANCE = 1e-6
"""Numbers are on a grid where those without one would all meet it this rarely."""

_FEW = 4

_SIGNIFICANT = {"bfloat16": 8, "float16": 11}
_SMALLEST = {"bfloat16": -133, "float16": -24}
_FINEST = 16
_SINGLE = 18


def grid_of(numbers: Sequence[Printed]) -> str | None:
    """Return what grid all numbers lie on ("are bfloat16 numbers"), or None.

    A number lies on it where a point of the grid is in its printed interval; by chance that is
    so with probability width / spacing. Grids are those of the two half-precision floats, whose
    spacing goes with the number's size, and the multiples of 2^−k, which sums of such floats are.
    Whole numbers are no such grid: they are rounded, in decimals too.
    """
    values = list(
        {one.value: one for one in numbers if math.isfinite(one.value) and one.value}.values()
    )
    if len(values) < _FEW or all(one.value == round(one.value) for one in values):
        return None
    for dtype in _SIGNIFICANT:
        if _lies(values, lambda value, dtype=dtype: _spacing(value, dtype)):  # type: ignore[misc]
            return f"are {dtype} numbers"
    # Float32 numbers of this size are multiples of 2^(size − 24), and no finding.
    size = min(math.frexp(one.value)[1] for one in values)
    for power in range(1, min(_FINEST, _SINGLE - size) + 1):
        if _lies(values, lambda _, power=power: 2.0**-power):  # type: ignore[misc]
            return f"are multiples of 1/{2**power}"
    return None


def _lies(values: Sequence[Printed], spacing: Callable[[float], float]) -> bool:
    log = 0.0
    for one in values:
        step = spacing(one.value)
        # Dividing by a power of two is exact.
        if math.ceil(one.low / step) > math.floor(one.high / step):
            return False
        width = (one.high - one.low) / step
        log += math.log(width) if 0.0 < width < 1.0 else (0.0 if width else -math.inf)
    return log < math.log(_CHANCE)


def _spacing(value: float, dtype: str) -> float:
    """Return the distance of that dtype's numbers at a number's size."""
    exponent = math.frexp(value)[1] - _SIGNIFICANT[dtype]
    return math.ldexp(1.0, max(exponent, _SMALLEST[dtype]))
