"""Half precision as an explanation: how far weights rounded to 16 bits move these very numbers.

Numbers that were computed in bfloat16 depart from those in float32 by its rounding, and not
otherwise: the departures of the same weights, rounded, are among theirs. So it is not enough that
claims lie as far off as half precision might; they have to lie off as it does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from jaxtyping import Float64

from logpr.auditing.scene.scene import Scene


@dataclass(frozen=True, slots=True)
class HalfNoise:
    """What rounded weights do to log-probabilities: the most per token, and each candidate's sum.

    `moved` is log Pr with rounded weights less log Pr, by candidate, for those measured.
    """

    largest: float
    moved: Mapping[int, float] = field(default_factory=dict)


Halves: TypeAlias = Callable[[Scene, Sequence[int]], Mapping[str, HalfNoise]]
"""From candidates to what each half type does, by its name; empty where it cannot be measured."""

UNMEASURED = {"float16": HalfNoise(0.01), "bfloat16": HalfNoise(0.08)}
"""What is allowed for where no weights can be rounded: nobody is accused within it."""

_LEAST = 5
_SIZE = 6.0
"""Rounded activations move numbers up to so many times as far as rounded weights alone."""
_ASTRAY = 4.0
"""Standard errors by which the mean departure may differ from 0: rounding has no side."""


def fits(
    off: Float64[np.ndarray, " claims"],
    theirs: Float64[np.ndarray, " claims"],
    width: Float64[np.ndarray, " claims"],
) -> bool:
    """Return whether departures look like those of a half type.

    They are no larger than its roundings make them, lie on both sides of 0, are 0 no more often
    than the printed digits make them so, and do not go against the departures of the rounded
    weights: Σ off · theirs is no further below 0 than chance puts it, one standard error.

    Args:
        off: claimed − declared.
        theirs: the departures that rounded weights alone bring, in the same unit.
        width: of each claim's interval.
    """
    if len(off) < _LEAST:
        # Too few to tell: that they are no further off is all there is.
        return True
    size, own = float(np.sqrt(np.mean(theirs**2))), float(np.sqrt(np.mean(off**2)))
    spread = max(float(np.std(off)), 1e-300)
    hidden = np.clip(width / max(own, 1e-300), 0.0, 1.0)
    at_zero = float(np.mean(np.abs(off) <= width / 2.0))
    return bool(
        own <= _SIZE * size
        and abs(float(np.mean(off))) * np.sqrt(len(off)) <= _ASTRAY * spread
        and at_zero <= 3.0 * float(np.mean(hidden)) + 0.2
        and float(np.sum(off * theirs)) >= -size * own * np.sqrt(len(off))
    )
