"""Half precision as an explanation: how far weights rounded to 16 bits move these very numbers.

Numbers that were computed in bfloat16 depart from those in float32 by its rounding, and not
otherwise: the departures of the same weights, rounded, are among theirs. So it is not enough that
claims lie as far off as half precision might; they have to lie off as it does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import numpy as np
from jaxtyping import Float64

from logpr.auditing.scene.scene import Scene


@dataclass(frozen=True, slots=True)
class HalfNoise:
    """What rounded weights do to log-probabilities, in nats.

    `largest` is the most that one token moves by, `typical` the root mean square over whole rows,
    `moved` log Pr with rounded weights less log Pr, by candidate, for those measured. `assumed`
    says why these are usual sizes and not this model's own.
    """

    largest: float
    typical: float = 0.0
    moved: Mapping[int, float] = field(default_factory=dict)
    assumed: str | None = None


Halves: TypeAlias = Callable[[Scene, Sequence[int]], Mapping[str, HalfNoise]]
"""From candidates to what each half type does, by its name; empty where it cannot be measured."""

UNMEASURED = {"float16": HalfNoise(0.01), "bfloat16": HalfNoise(0.08)}
"""What is allowed for where no weights can be rounded: nobody is accused within it."""

_PEAK = 4.0
"""Typical moves in the largest of a few: what a small file has not met, the next one may."""
_STEPS = 8.0
"""bfloat16 has three bits fewer than float16, and rounds so many times as coarsely."""
_STILL = 1e-4
"""Nats below which rounding the weights did nothing: they were of the type before."""

_LEAST = 5
_SIZE = 6.0
"""Rounded activations move numbers up to so many times as far as rounded weights alone."""
_SIDE, _SIDE_OF_FEW = 1.5, 6.0
"""Spreads by which departures may lie on one side: the same weights lean one way everywhere."""
_AGAINST = 4.0
"""Standard errors by which departures may go against those of the rounded weights."""


def unmeasured(reason: str) -> dict[str, HalfNoise]:
    """Return the usual sizes, with the reason why they are not measured."""
    return {name: replace(noise, assumed=reason) for name, noise in UNMEASURED.items()}


def measured(
    moves: Mapping[str, Float64[np.ndarray, " moves"]],
    tokens: Mapping[str, Float64[np.ndarray, " tokens"]],
    sums: Mapping[str, Mapping[int, float]],
) -> dict[str, HalfNoise]:
    """Return the noise of each half type, from what its rounded weights move.

    Weights that are of a type already do not move by being rounded to it, and what is computed in
    it does: no type is taken to move less than the coarser one does, divided by 8. A type in which
    the model gives no numbers is left out.

    Args:
        moves: log-probabilities with rounded weights less those without, root mean squares of rows.
        tokens: the same of the claimed tokens.
        sums: the same summed, by candidate.
    """
    typical = {
        name: float(np.sqrt(np.mean(found**2))) if len(found) else 0.0
        for name, found in moves.items()
    }
    if not any(map(len, moves.values())):
        return unmeasured("no claim has rows to measure it on")
    if max(typical.values()) < _STILL:
        return unmeasured("its weights are of half precision already, and rounding moves none")
    coarse = max(typical.values())
    floor = {"bfloat16": coarse, "float16": coarse / _STEPS}
    out: dict[str, HalfNoise] = {}
    for name, own in typical.items():
        size = max(own, floor[name])
        most = float(np.abs(tokens[name]).max(initial=0.0))
        # Departures that are no type's own say nothing of where its numbers lie.
        moved = sums[name] if own >= floor[name] / 2.0 else dict.fromkeys(sums[name], 0.0)
        out[name] = HalfNoise(max(most, _PEAK * size), size, moved)
    return out


def fits(
    off: Float64[np.ndarray, " claims"],
    theirs: Float64[np.ndarray, " claims"],
    width: Float64[np.ndarray, " claims"],
    typical: Float64[np.ndarray, " claims"],
) -> bool:
    """Return whether departures look like those of a half type.

    They are no larger than its roundings make them, do not all lie to one side by much the same,
    are 0 no more often than the printed digits make them so, and do not go against the departures
    of the rounded weights: Σ off · theirs is no further below 0 than chance puts it. Digits that
    were cut off instead of rounded put all claims to one side by half their width.

    Args:
        off: claimed − declared, in nats, of claims narrow enough to show half precision.
        theirs: the departures that rounded weights alone bring.
        width: of each claim's interval.
        typical: how far rounded weights usually move each claim.
    """
    if len(off) < _LEAST:
        # Too few to tell: that they are no further off is all there is.
        return True
    count = np.sqrt(len(off))
    size = float(np.sqrt(max(np.mean(theirs**2), np.mean(typical**2))))
    own, spread = float(np.sqrt(np.mean(off**2))), float(np.std(off))
    half = float(np.mean(width)) / 2.0
    hidden = np.clip(width / np.maximum(typical, 1e-300), 0.0, 1.0)
    at_zero = float(np.mean(np.abs(off) <= width / 2.0))
    return bool(
        own <= _SIZE * size + 2.0 * half
        and abs(float(np.mean(off))) - half <= (_SIDE + _SIDE_OF_FEW / count) * spread
        and at_zero <= 3.0 * float(np.mean(hidden)) + 0.2
        and float(np.sum(off * theirs)) >= -_AGAINST * size * own * count
    )
