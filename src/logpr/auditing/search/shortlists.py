"""Shortlists seen through their token scores: the mass each step's normaliser covered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from logpr._values import ShortlistStep
from logpr.auditing.claims.values import ClaimRow
from logpr.auditing.faults import FAULTS
from logpr.auditing.scene.scene import Scene
from logpr.auditing.search.judge import CHANCE, Judgement
from logpr.auditing.search.panel import Values
from logpr.auditing.search.pipeline import Declared, Pipeline
from logpr.auditing.search.race import Trial
from logpr.auditing.search.targets import Claimed
from logpr.auditing.search.tokens import implied_shortlists

_PLAINLY = 6.0
"""Half last places that the middle step has to gain for lists to be the reason."""


def with_shortlists(
    found: Judgement,
    scene: Scene,
    declared: Declared,
    claimed: Claimed,
    *,
    numbers: Sequence[int],
    rows: Sequence[ClaimRow],
) -> tuple[Judgement, tuple[ShortlistStep, ...]]:
    """Return the judgement, and each claimed step's excess over log Pr where a list explains it.

    Where nothing else explains the claims, and every step's implied normaliser covers a share of
    the distribution, they are a softmax over lists that nobody logged: `shortlist_unknown`. Wrong
    numbers of another kind would have each step's excess on either side of 0.
    """
    leader = found.leader
    named = leader is not None and any(change.partial for change in leader.pipeline.changes)
    if not named and found.verdict != "unexplained":
        return found, ()
    steps = tuple(
        replace(step, id=rows[_record(step)].query.id)
        for step in implied_shortlists(scene, declared, claimed.claims, numbers)
    )
    if named or not steps:
        return found, steps
    noise = scene.noise
    spread = [max(_half(claimed, numbers), noise) for _ in steps]
    excess = np.array([step.excess for step in steps])
    room = np.array(spread)
    above = int(np.count_nonzero(excess > room))
    expected = float(found.tried * 0.5 ** max(1, above))
    # Digits that were cut off, or another build of the model, move every step a little one way.
    plain = float(np.median(excess)) <= _PLAINLY * float(room.max())
    astray = not (excess >= -2 * room).all()
    if plain or astray or expected > CHANCE or not _sums(claimed, numbers):
        return found, ()
    found.verdict = "fault"
    found.leader = Trial(Pipeline((FAULTS["shortlist_unknown"].apply(),)))
    found.expected = expected
    found.parts = ()
    value = np.array(
        [np.nan if score is None else score.value for score in claimed.scores], dtype=np.float64
    )
    known = np.isfinite(value)
    found.reproduced = Values(value, np.zeros(len(value)), known)
    return found, steps


def _record(step: ShortlistStep) -> int:
    assert isinstance(step.id, int)
    return step.id


def _half(claimed: Claimed, numbers: Sequence[int]) -> float:
    return max(
        (
            (token.high - token.low) / 2
            for number in numbers
            for token in claimed.claims[number].token_scores or ()
        ),
        default=0.0,
    )


def _sums(claimed: Claimed, numbers: Sequence[int]) -> bool:
    """Return whether the scores are the sums of their token scores."""
    for number in numbers:
        score, tokens = claimed.scores[number], claimed.claims[number].token_scores or ()
        if score is None:
            continue
        low, high = sum(token.low for token in tokens), sum(token.high for token in tokens)
        if not (high + 1e-6 >= score.low and low - 1e-6 <= score.high):
            return False
    return True
