"""How long a proof may take, from what a search knows on its way."""

from __future__ import annotations

import math


def forecast(lower: float, longest: int, expansions: int, seconds: float) -> str | None:
    """Return how long a proof may take; None where nothing is known.

    At most (longest + 1) / Pr(y) beginnings have more probability than an output y.

    Args:
        lower: log Pr of the best output so far.
        longest: |y| of the longest output.
        expansions: made so far.
        seconds: that they took.
    """
    if lower == -math.inf or not expansions or seconds <= 0.0:
        return None
    most = (longest + 1) / math.exp(max(lower, -700.0))
    return (
        f"with log Pr(best) = {lower:.2f} a proof may need up to {most:.2g} expansions, "
        f"{_spoken(most * seconds / expansions)} at {expansions / seconds:,.0f} a second"
    )


_UNITS = ((31_557_600.0, "years"), (86_400.0, "days"), (3_600.0, "hours"), (60.0, "minutes"))


def _spoken(seconds: float) -> str:
    for size, name in _UNITS:
        if seconds >= size:
            return f"{seconds / size:.3g} {name}"
    return f"{seconds:.2g} seconds"
