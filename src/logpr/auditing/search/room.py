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

_COARSE = 1.0
"""Claims rounded to whole nats do not show what tells scorers apart."""

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

    def half(self) -> tuple[str, float, Values] | None:
        """Return the half type that explains all claims, its noise per token, and its room."""
        right = self.base.within(self._targets, self._at)
        if not right.any() and not self._holds(self._loose(_MOST_HALF)):
            # No half type is that far off: the weights need not be rounded to see it.
            return None
        _, scale = self._scale()
        off = (self._targets.low + self._targets.high) / 2.0 - self.base.value
        for name, noise in sorted(self._half_noise().items(), key=lambda item: item[1].largest):
            loose = self._loose(noise.largest)
            if not self._holds(loose):
                continue
            at = [n for n in self._at if n in noise.moved and np.isfinite(off[n])]
            moved = np.array([noise.moved[number] for number in at]) * scale[at]
            width = self._targets.width[at]
            # A perplexity falls where log Pr rises.
            if fits(off[at], moved, width) or fits(off[at], -moved, width):
                return name, noise.largest, loose
        return None

    def half_expects(self, tried: int, solved: int) -> float:
        """Return how many of so many computations would fit half-precision noise by accident.

        0 where that noise does not hold the claims: then it is no reason for them.
        """
        noise = self._half_noise()
        if not noise:
            return 0.0
        loose = self._loose(max(each.largest for each in noise.values()))
        if not self._holds(loose):
            return 0.0
        with np.errstate(divide="ignore", invalid="ignore"):
            share = (self._targets.width + 2 * self.base.noise)[self._at]
            share = share / (2 * loose.noise)[self._at]
        share = np.sort(np.clip(np.nan_to_num(share, nan=1.0), 0.0, 1.0))[solved:]
        return float(tried * np.prod(share))

    def _near(self, *, digits: float) -> Values:
        """Return the declared computation with room for other rounding, of `digits` last places."""
        room = _NEAR * self.base.noise + digits * self._targets.width
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
        room = (_NEAR * self.base.noise)[self._at]
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

    def _loose(self, per_token: float) -> Values:
        """Return the declared computation with the noise that a half type brings."""
        steps, scale = self._scale()
        room = self.base.noise + HALF * per_token * steps * scale
        return Values(self.base.value, room, self.base.known)
