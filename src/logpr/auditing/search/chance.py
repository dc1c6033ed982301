"""How many matches chance would give: hypotheses times the share of its range that a claim is.

A claim of width w, among hypotheses whose predictions for it spread over R, is met by a wrong one
with probability w / R. All claims together: Π w / R. A parameter that was solved took one claim.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from logpr.auditing.faults import Change
from logpr.auditing.scene.steps import Unavailable
from logpr.auditing.search.identify import Search
from logpr.auditing.search.panel import Values
from logpr.auditing.search.pipeline import Pipeline
from logpr.auditing.search.predict import Bench

_CLAIMS = 12
"""More claims than these make chance smaller still, and nothing else."""
_CHEAP = ("normalise", "aggregate", "unit", "align")
_LEAST = 1e-12


@dataclass(frozen=True, slots=True)
class Chance:
    """The share of its range that each of some claims takes, smallest first."""

    shares: Float64[np.ndarray, " claims"]

    @classmethod
    def of(cls, search: Search, base: Values, possible: Sequence[Change]) -> Chance:
        """Return the shares of the first claims of a search."""
        numbers = distinct(search)[:_CLAIMS]
        tries = [
            Pipeline((change,))
            for change in possible
            if change.freedom == 0 and change.stage in _CHEAP
        ]
        bench = Bench(search.scene, search.declared, tuple(numbers))
        bench.fetch(tries)
        tables: list[np.ndarray] = []
        for pipeline in (Pipeline(), *tries):
            try:
                tables.append(bench.predict(pipeline, {}).values[0])
            except Unavailable:
                continue
        shares = []
        for place, number in enumerate(numbers):
            seen = np.array([table[place] for table in tables])
            seen = seen[np.isfinite(seen)]
            spread = 0.0
            if len(seen) > 1:
                low, high = np.quantile(seen, (0.1, 0.9))
                spread = float(high - low)
            if not np.isfinite(search.targets.low[number]):
                # Every scorer that fails there says the same.
                shares.append(1.0)
                continue
            width = float(search.targets.width[number] + 2 * base.noise[number])
            shares.append(min(1.0, max(_LEAST, width / spread)) if spread > 0 else 1.0)
        return cls(np.sort(np.asarray(shares, dtype=np.float64)))

    def expected(self, hypotheses: int, *, solved: int = 0) -> float:
        """Return how many of so many wrong hypotheses would fit all claims by accident."""
        return float(hypotheses * np.prod(self.shares[solved:]))


def distinct(search: Search) -> list[int]:
    """Return the candidates in the search's order, one for each different claim.

    Equal claims say one thing: a scorer that gives 0 for all is met by every one that gives little.
    """
    seen: set[float] = set()
    out: list[int] = []
    for number in search.numbers:
        at = float(search.targets.low[number])
        at = at if np.isfinite(at) else np.inf
        if at not in seen:
            seen.add(at)
            out.append(number)
    return out
