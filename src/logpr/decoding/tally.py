"""Where the probability of 1 went, and the bounds of what was let go."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from logpr._values import MassLedger
from logpr.decoding.batch import Batch, Rows, bounds_of
from logpr.decoding.space import Space


@dataclass(slots=True)
class Tally:
    """Where probability went, but for what is open, and the bounds of what was let go."""

    finished: float = 0.0
    pruned: float = 0.0
    dropped: float = 0.0
    truncated: float = 0.0
    excluded: float = 0.0
    unnamed: float = 0.0
    largest_dropped: float = -math.inf
    largest_truncated: float = -math.inf
    blurred: bool = False
    """Whether END of what is finished may have more probability than was shown of it."""
    dropped_paths: list[tuple[float, tuple[int, ...]]] = field(default_factory=list)

    @property
    def rival_mass(self) -> float:
        """Return the probability of what was let go and may still lead to the best output."""
        return self.dropped + (self.finished if self.blurred else 0.0)

    def ledger(self, open_mass: float) -> MassLedger:
        """Return all parts of the probability.

        Args:
            open_mass: of the beginnings that are open.
        """
        return MassLedger(
            finished=self.finished,
            open=open_mass,
            pruned=self.pruned,
            dropped=self.dropped,
            truncated=self.truncated,
            excluded=self.excluded,
            unnamed=self.unnamed,
        )

    def count(self, space: Space, batch: Batch) -> None:
        """Take note of what is no beginning of an output.

        Args:
            space: the outputs.
            batch: beginnings.
        """
        out, mass = batch.outcomes, batch.mass
        self.excluded += float(mass @ out.excluded)
        self.unnamed += float(mass @ out.unnamed)
        # Not where `hidden` is above 0: what is shown may sum to 1 by a server's rounding alone.
        hidden = out.unseen > -math.inf
        if hidden.any():
            self.blurred |= len(space.end_ids) > 1
            self.dropped += float(mass @ out.hidden)
            bounds = bounds_of(space, batch.totals[hidden] + out.unseen[hidden])
            self.largest_dropped = max(self.largest_dropped, float(bounds.max()))

    def cut(self, space: Space, batch: Batch, last: Rows) -> None:
        """Take note of beginnings that are as long as outputs may be, and would go on.

        Args:
            space: the outputs.
            batch: beginnings.
            last: which of them.
        """
        out = batch.outcomes
        lost = batch.mass[last] * out.tokens_mass[last]
        self.truncated += float(lost.sum())
        if not (out.values[last] > -math.inf).any():
            return
        # A longer output is divided by more: under a penalty nothing but 0 bounds it.
        bound = 0.0
        if space.objective.is_plain:
            after = out.values[last].max(axis=1) - out.logz[last]
            bound = float((batch.totals[last] + after).max())
        self.largest_truncated = max(self.largest_truncated, bound)
