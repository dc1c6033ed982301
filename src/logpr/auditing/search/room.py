"""The room that right numbers need: other programs' rounding, cut-off digits, half precision.

What a claim may be off by, and still be what was declared. Nobody is accused inside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from logpr.auditing.search.halves import HalfNoise, Halves, fits
from logpr.auditing.search.identify import Search
from logpr.auditing.search.panel import Values
from logpr.auditing.search.race import Targets

_NEAR = 4.0
"""Within so many times the noise of the declared computation, another one is no other."""

_BESIDE = 1.5
"""Claims in that room and a computation that meets them are apart by a little more."""

HALF = 3.0
"""Half-precision computations differ from each other by up to so many times their largest step."""

_MOST_HALF = 0.5
"""Nats per token beyond which nobody looks for half precision."""

ACCUSED = 0.01
"""A match that accuses, and of which more are expected by accident, is no match."""

_COARSE = 1.0
"""Claims rounded to whole nats do not show what tells scorers apart."""

_FALLING = frozenset({"bits_per_byte", "perplexity"})

_WHOLE = 1e-3
"""Numbers this near to whole ones are whole."""


@dataclass(slots=True)
class Room:
    """The claims of a search beside the declared computation, `base`.

    `halves` is how far half precision is from the running one, asked only where it matters.
    """

    search: Search
    base: Values
    halves: Halves
    _half: Mapping[str, HalfNoise] | None = None

    @property
    def _targets(self) -> Targets:
        return self.search.targets

    @property
    def _at(self) -> list[int]:
        return list(self.search.numbers)

    def last_places(self) -> bool:
        """Return whether all claims are the declared numbers to within one last place."""
        return self._holds(self._near(digits=1.0))

    def last_digits(self) -> tuple[int, Values]:
        """Return how many claims are off in their last place, and the room that holds them all."""
        tight = self._near(digits=0.0)
        missed = int((~tight.within(self._targets, self._at)).sum())
        return missed, self._near(digits=1.0) if missed else tight

    def is_declared(self, lead: Values, *, solved: bool) -> bool:
        """Return whether a computation is the declared one but for rounding, as are the claims.

        A parameter that was solved fits claims whose last digit was cut off, not rounded: it is 1
        but for a hair, and no fault. Where all claims are cut off, so is what else fits them.
        """
        if self._cut_off():
            return self._beside(lead, self._near(digits=1.0))
        wide = self._near(digits=1.0 if solved else 0.0)
        return self._beside(lead, wide) and self._holds(wide)

    def coarse(self) -> bool:
        """Return whether all claims are whole numbers where the declared ones are not."""
        width = self._targets.width[self._at]
        finite = np.isfinite(self._targets.low[self._at])
        if not finite.any() or width[finite].min() < _COARSE:
            return False
        value = self.base.value[self._at][finite]
        value = value[np.isfinite(value)]
        return bool(np.abs(value - np.round(value)).max(initial=0.0) > _WHOLE)

    def half(self) -> tuple[str, HalfNoise, Values] | None:
        """Return the half type that explains all claims, its noise, and its room."""
        right = self.base.within(self._targets, self._at)
        if not right.any() and not self._holds(self._loose(_MOST_HALF)):
            # No half type is that far off: the weights need not be rounded to see it.
            return None
        found: list[tuple[float, str, HalfNoise, Values]] = []
        for name, noise in sorted(self._half_noise().items(), key=lambda item: item[1].largest):
            loose = self._loose(noise.largest)
            near = self._alike(noise) if self._holds(loose) else None
            if near is not None:
                found.append((near, name, noise, loose))
        # Of both types the one whose size the departures are of.
        return min(found, key=lambda each: each[0])[1:] if found else None

    def _alike(self, noise: HalfNoise) -> float | None:
        """Return how far the claims are from departing by a half type's size, as |log of times|.

        None where those that can show it depart as no such type does.
        """
        steps, scale = self._scale()
        with np.errstate(divide="ignore", invalid="ignore"):
            off = ((self._targets.low + self._targets.high) / 2.0 - self.base.value) / scale
            width = self._targets.width / scale
        # A probability printed as 0.0000 shows nothing, whatever computed it.
        shows = np.isfinite(off) & (width <= 2.0 * HALF * noise.largest * steps)
        at = [number for number in self._at if number in noise.moved and shows[number]]
        moved = np.array([noise.moved[number] for number in at], dtype=np.float64)
        typical = noise.typical * np.sqrt(steps[at])
        if not fits(off[at], self._sense() * moved, width[at], typical):
            return None
        own = float(np.sum(off[at] ** 2))
        # What the rounded weights do to these very claims says more than what they usually do.
        size = float(np.sum(moved**2)) or float(np.sum(typical**2))
        return abs(float(np.log(own / size))) if own > 0 and size > 0 else 0.0

    def half_expects(self, lead: Values, tried: int, solved: int) -> float:
        """Return how many of so many computations like one would fit half precision by chance.

        0 where that noise does not hold the claims: then it is no reason for them.
        """
        least = self._least_half()
        # More noise leaves less to chance, so that most need not be measured to be told apart.
        if least > _MOST_HALF or self._by_chance(lead, least, tried, solved) <= ACCUSED:
            return 0.0
        sizes = [each.largest for each in self._half_noise().values()]
        return max(
            (
                self._by_chance(lead, size, tried, solved)
                for size in sizes
                if self._holds(self._loose(size))
            ),
            default=0.0,
        )

    def _least_half(self) -> float:
        """Return the least noise per token that holds all claims."""
        steps, scale = self._scale()
        room = (HALF * steps * scale)[self._at]
        off = self.base.off_by(self._targets)[self._at]
        with np.errstate(divide="ignore", invalid="ignore"):
            return float(np.where(off > 0, off / room, 0.0).max(initial=0.0))

    def _by_chance(self, lead: Values, per_token: float, tried: int, solved: int) -> float:
        loose = self._loose(per_token)
        # What is itself rounded coarsely meets more claims.
        noise = np.fmax(np.nan_to_num(lead.noise), self.base.noise)
        with np.errstate(divide="ignore", invalid="ignore"):
            share = (self._targets.width + 2 * noise)[self._at]
            share = share / (2 * loose.noise)[self._at]
        share = np.sort(np.clip(np.nan_to_num(share, nan=1.0), 0.0, 1.0))[solved:]
        return float(tried * np.prod(share))

    @property
    def _beyond(self) -> float:
        # Rounded rows are off by a bound, which no other program goes beyond.
        return 1.0 if self.search.scene.rounded else _NEAR

    def _near(self, *, digits: float) -> Values:
        """Return the declared computation with room for other rounding, of `digits` last places."""
        room = self._beyond * self.base.noise + digits * self._targets.width
        return Values(self.base.value, room, self.base.known)

    def _holds(self, wide: Values) -> bool:
        return bool(wide.within(self._targets, self._at).all())

    def _beside(self, lead: Values, wide: Values) -> bool:
        """Return whether a computation differs from the declared one by no more than that."""
        with np.errstate(invalid="ignore"):
            gap = np.abs(lead.value - self.base.value)[self._at]
        return bool((gap <= _BESIDE * wide.noise[self._at]).all())

    def _cut_off(self) -> bool:
        """Return whether the claims are the declared numbers with their further digits cut off.

        All lie on one side of the truth then, by less than one in the last place.
        """
        room = (self._beyond * self.base.noise)[self._at]
        width = self._targets.width[self._at]
        with np.errstate(invalid="ignore"):
            middle = (self._targets.low + self._targets.high)[self._at] / 2.0
            off = middle - self.base.value[self._at]
        up = (off >= -room) & (off <= width + room)
        down = (off <= room) & (off >= -width - room)
        return bool(up.all() or down.all())

    def _half_noise(self) -> Mapping[str, HalfNoise]:
        if self._half is None:
            self._half = self.halves(self.search.scene, self.search.numbers)
        return self._half

    def _scale(self) -> tuple[np.ndarray, np.ndarray]:
        """Return each candidate's steps, and how a nat of log Pr moves its declared number."""
        cases = self.search.scene.cases
        steps = np.array(
            [len(case.material.tokens) + bool(case.material.end_ids) for case in cases],
            dtype=np.float64,
        )
        # Noise was carried through rule and unit; a larger one scales alike to first order.
        own = np.maximum(self.search.scene.noise * steps, 1e-300)
        return steps, np.where(steps > 0, self.base.noise / own, 1.0)

    def _sense(self) -> float:
        """Return −1 where the declared numbers fall as log Pr rises, otherwise 1."""
        declared = self.search.declared
        return -1.0 if {declared.aggregate.fault, declared.unit.fault} & _FALLING else 1.0

    def _loose(self, per_token: float) -> Values:
        """Return the declared computation with the noise that a half type brings."""
        steps, scale = self._scale()
        room = self.base.noise + HALF * per_token * steps * scale
        return Values(self.base.value, room, self.base.known)
