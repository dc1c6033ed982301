"""From the numbers of a search to a certificate: what is proven, and what is not."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from logpr._values import Certificate, Constraint, MassLedger
from logpr._values.decoding import Status, Stopped
from logpr.decoding.batch import bounds_of
from logpr.decoding.finished import Output
from logpr.decoding.space import Space
from logpr.models.base import Stepper

ROUNDING = 1e-12
"""Nats that sums in float64 may be off by: an output this far below a threshold is at it."""


@dataclass(frozen=True, slots=True)
class Work:
    """What a search cost."""

    calls: int
    fed: int
    fed_again: int

    @classmethod
    def of(cls, stepper: Stepper) -> Work:
        """Return what was asked of a stepper so far."""
        return cls(stepper.calls, stepper.fed, stepper.fed_again)

    def since(self, before: Work) -> Work:
        """Return the part of it that came after `before`."""
        return Work(
            self.calls - before.calls, self.fed - before.fed, self.fed_again - before.fed_again
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What a search knows at its end.

    `outputs` are those that ended, best first; `rival_mass` the probability of beginnings that may
    still lead to more than the best score, or than the threshold.
    """

    outputs: tuple[Output, ...]
    ledger: MassLedger
    largest_open: float
    largest_dropped: float
    largest_truncated: float
    rival_mass: float
    expansions: int
    stopped: Stopped
    work: Work


def certify(
    space: Space,
    found: Findings,
    *,
    prompt_ids: tuple[int, ...],
    constraint: Constraint | None,
    threshold: float | None,
    tolerance: float,
    epsilon: float,
    count: int,
) -> Certificate:
    """Return what the findings prove.

    Args:
        space: the outputs.
        found: what the search knows.
        prompt_ids: what they follow.
        constraint: as the caller gave it.
        threshold: the probability from which on every output was to be found; None otherwise.
        tolerance: nats that the caller is content with.
        epsilon: nats that scores may be off by.
        count: outputs that were asked for.
    """
    best = found.outputs[0] if found.outputs else None
    bound = max(found.largest_open, found.largest_dropped)
    lower = -math.inf if best is None else best.score
    if threshold is not None:
        lower = math.log(threshold)
        # An output with the threshold itself is to be found, so that what is open there is a gap.
        may_reach = bound >= lower - ROUNDING
        bound = max(bound, math.nextafter(lower, math.inf)) if may_reach else -math.inf
    upper = max(lower, bound)
    gap = 0.0 if upper == lower else upper - lower
    rivals = best is not None and threshold is None and _has_rival(found.outputs, bound, epsilon)
    if gap == 0.0 and rivals:
        # The arithmetic does not tell the best apart from what comes next.
        gap, upper = epsilon, lower + epsilon
    return Certificate(
        status=_status(best, gap, bound=bound, within=max(tolerance, epsilon)),
        token_ids=None if best is None else best.token_ids,
        lower=lower,
        upper=upper,
        gap=gap,
        objective=space.objective.name,
        end=space.end,
        end_ids=space.end_ids,
        min_new_tokens=space.min_tokens,
        max_new_tokens=space.max_tokens,
        min_length=space.min_length,
        constraint=constraint,
        threshold=threshold,
        tolerance=tolerance,
        epsilon=epsilon,
        # A longer output is divided by more than the bounds of what was pruned were.
        any_length=space.ended and space.objective.is_plain and found.largest_truncated <= lower,
        stopped=found.stopped,
        expansions=found.expansions,
        forward_passes=found.work.calls,
        tokens_fed=found.work.fed,
        tokens_fed_again=found.work.fed_again,
        largest_open=found.largest_open,
        largest_dropped=found.largest_dropped,
        largest_truncated=found.largest_truncated,
        at_most_better=_at_most(space, found.rival_mass, lower, bound),
        mass=found.ledger,
        prompt_ids=prompt_ids,
        bias=space.bias,
        nbest_proven=sum(output.score >= bound for output in found.outputs[:count]),
    )


def _has_rival(outputs: tuple[Output, ...], bound: float, epsilon: float) -> bool:
    """Return whether something may be above the best once both are off by epsilon."""
    second = max([bound, *(output.score for output in outputs[1:2])])
    return outputs[0].score - second < 2.0 * epsilon - ROUNDING


def _status(best: Output | None, gap: float, *, bound: float, within: float) -> Status:
    if best is None:
        return "infeasible" if bound == -math.inf else "gap"
    if gap == 0.0:
        return "optimal"
    return "optimal_within" if gap <= within else "gap"


def _at_most(space: Space, mass: float, lower: float, bound: float) -> int | None:
    """Return how many outputs with more than `lower` can share a probability mass.

    Each has h above what `lower` takes, and no bias adds to log Pr: so each has that much mass.
    """
    if bound <= lower:
        return 0
    least = space.objective.least_total(lower, longest=space.max_tokens, ended=space.ended)
    each = math.exp(least) if least > -math.inf else 0.0
    return math.floor(mass / each) if each > 0.0 and math.isfinite(mass / each) else None


def left_over(space: Space, mass: float) -> float:
    """Return the bound on the score of any output in what is left of the probability.

    Args:
        space: the outputs.
        mass: that is left.
    """
    total = math.log(mass) if mass > 0.0 else -math.inf
    return float(bounds_of(space, np.array([total]))[0])
