"""Stage normalise, in half precision: log-softmax of rounded logits, rounded."""

from __future__ import annotations

import numpy as np

from logpr.auditing.faults._entry import Grid
from logpr.auditing.faults.normalise import Formula, Normalised
from logpr.auditing.scene.steps import Steps
from logpr.numerics import logsumexp
from logpr.numerics.half import HalfType, rounded


def half_log_softmax(dtype: HalfType) -> Formula:
    """Return v = H(H(u)[t] − logsumexp(H(u))), H rounding to `dtype`."""

    def run(steps: Steps, grid: Grid) -> Normalised:
        del grid
        rows = rounded(steps.used_rows(), dtype)
        sums = steps.of_rows(np.asarray(logsumexp(rows)).reshape(len(rows)))
        noise = steps.step_noise

        def scores(shift: float) -> np.ndarray:
            logit = rounded(steps.logit + shift, dtype)
            for step, ids in steps.several.items():
                own = steps.rows[steps.row_of[step], list(ids)]
                logit[step] = float(logsumexp(rounded(own + shift, dtype)))
            return rounded(logit - sums + shift, dtype)

        middle, low, high = scores(0.0), scores(-noise), scores(noise)
        # A logit within noise of where rounding turns over may fall to either side; and torch on a
        # CPU rounds logsumexp − max before it takes it off, where on a GPU it does not.
        best = steps.of_rows(rows.max(axis=1))
        own = rounded(steps.logit, dtype)
        others = [
            rounded(own - best - rounded(sums - best + shift, dtype), dtype)
            for shift in (-noise, noise)
        ]
        spread = np.maximum(high - middle, middle - low)
        for other in others:
            spread = np.fmax(spread, np.abs(other - middle))
        spread = spread + noise
        return middle[None, :], spread[None, :]

    return run
