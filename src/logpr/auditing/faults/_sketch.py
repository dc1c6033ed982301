"""A row of logits in a few hundred numbers, for its logsumexp at any temperature.

The largest logits stand for themselves. The others are put in bins of equal width, and a bin is
Σ e^(βu) ≈ n e^(βm) (1 + β²s²/2 + β³c/6), m their mean, s² their variance, c their third moment: of
a width w what is left out is of the order (βw)⁴ / 400 of the bins' share, under 1e-7 where the bins
have a share to speak of.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from logpr.auditing.scene.rows import Rows

_WHOLE = 4096
"""Rows of no more entries are taken as they are."""
_TOP = 512
_BINS = 512

RowValues = Float64[np.ndarray, " rows"]


@dataclass(frozen=True, slots=True)
class Sketch:
    """Rows as their largest logits and, where they are wide, the moments of bins of the others."""

    best: RowValues
    top: Float64[np.ndarray, "rows top"]
    count: Float64[np.ndarray, "rows bins"] | None = None
    mean: Float64[np.ndarray, "rows bins"] | None = None
    second: Float64[np.ndarray, "rows bins"] | None = None
    third: Float64[np.ndarray, "rows bins"] | None = None

    @classmethod
    def of(cls, rows: Rows) -> Sketch:
        """Return the sketch of some rows, each less its largest logit."""
        best = rows.max(axis=1)
        moved = rows - best[:, None]
        if rows.shape[1] <= _WHOLE:
            return cls(best, moved)
        moved = np.partition(moved, rows.shape[1] - _TOP, axis=1)
        tables = np.zeros((4, len(rows), _BINS))
        for line, tail in enumerate(moved[:, :-_TOP]):
            tables[:, line] = _binned(tail[np.isfinite(tail)])
        return cls(best, moved[:, -_TOP:], *tables)

    def logsumexp(self, beta: float) -> RowValues:
        """Return each row's log of Σ e^(βu)."""
        mass = np.exp(beta * self.top).sum(axis=1)
        if self.count is not None and self.mean is not None:
            assert self.second is not None
            assert self.third is not None
            bend = 1.0 + beta**2 * self.second / 2.0 + beta**3 * self.third / 6.0
            mass = mass + (self.count * np.exp(beta * self.mean) * bend).sum(axis=1)
        out: RowValues = np.log(mass) + beta * self.best
        return out


def _binned(values: Float64[np.ndarray, " tail"]) -> Float64[np.ndarray, "moments bins"]:
    """Return count, mean, variance and third moment of the values in bins of equal width."""
    out = np.zeros((4, _BINS))
    if not len(values):
        return out
    low, high = float(values.min()), float(values.max())
    width = max(high - low, 1e-300) / _BINS
    place = np.minimum(((values - low) / width).astype(np.int64), _BINS - 1)
    centre = low + (place + 0.5) * width
    off = values - centre
    count = np.bincount(place, minlength=_BINS).astype(np.float64)
    some = np.maximum(count, 1.0)
    first = np.bincount(place, weights=off, minlength=_BINS) / some
    spread = off - first[place]
    out[0] = count
    out[1] = low + (np.arange(_BINS) + 0.5) * width + first
    out[2] = np.bincount(place, weights=spread**2, minlength=_BINS) / some
    out[3] = np.bincount(place, weights=spread**3, minlength=_BINS) / some
    return out
