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
from logpr.auditing.search.identify import Search
from logpr.auditing.search.panel import Values, tables
from logpr.auditing.search.pipeline import Pipeline
from logpr.auditing.search.predict import Points

_CLAIMS = 12
"""More claims than these make chance smaller still, and nothing else."""
_CHEAP = ("normalise", "aggregate", "unit", "align")
_LEAST = 1e-12


@dataclass(frozen=True, slots=True)
class Chance:
    """Some claims, the widths of their intervals, and how far predictions for them spread.

    `spread` is 0 where a claim tells nothing.
    """

    numbers: tuple[int, ...]
    width: Float64[np.ndarray, " claims"]
    noise: Float64[np.ndarray, " claims"]
    spread: Float64[np.ndarray, " claims"]
    records: int

    @classmethod
    def of(cls, search: Search, base: Values, possible: Sequence[Change]) -> Chance:
        """Return what the first claims of a search can tell."""
        scene = search.scene
        numbers = tuple(distinct(search)[:_CLAIMS])
        tries = [
            Pipeline((change,))
            for change in possible
            if change.freedom == 0 and change.stage in _CHEAP
        ]
        asked = [(pipeline, Points()) for pipeline in (Pipeline(), *tries)]
        found = tables(scene, search.declared, asked, numbers)
        seen_by = np.array([table.values[0] for table in found if table is not None])
        spreads = np.zeros(len(numbers))
        for place, number in enumerate(numbers):
            seen = seen_by[:, place]
            seen = seen[np.isfinite(seen)]
            # Where a claim is not finite, every scorer that fails there says the same.
            if len(seen) > 1 and np.isfinite(search.targets.low[number]):
                low, high = np.quantile(seen, (0.1, 0.9))
                spreads[place] = float(high - low)
        return cls(
            numbers,
            search.targets.width[list(numbers)],
            base.noise[list(numbers)],
            spreads,
            len({scene.cases[number].record for number in numbers}),
        )

    def expected(
        self,
        hypotheses: int,
        *,
        solved: int = 0,
        leader: Values | None = None,
        shares: bool = False,
    ) -> float:
        """Return how many of so many wrong hypotheses would fit all claims by accident.

        Args:
            hypotheses: that were tried.
            solved: parameters that were fitted to claims.
            leader: the computation that fits: what is rounded coarsely meets more claims.
            shares: whether a record's claims sum to 1, so that one of them says nothing new.
        """
        noise = self.noise if leader is None else leader.noise[list(self.numbers)]
        with np.errstate(divide="ignore", invalid="ignore"):
            taken = (self.width + 2 * np.fmax(noise, self.noise)) / self.spread
        taken = np.sort(np.clip(np.nan_to_num(taken, nan=1.0, posinf=1.0), _LEAST, 1.0))
        # Of claims that sum to 1 any one says nothing new: one a record, the widest.
        told = len(taken) - (self.records if shares else 0)
        return float(hypotheses * np.prod(taken[solved : max(told, solved)]))


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
