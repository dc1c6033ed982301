"""Claims of single tokens: held against step scores; what unlogged shortlists they imply."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from logpr._values import ShortlistStep
from logpr.auditing.claims.values import Claim, Printed
from logpr.auditing.faults.unit import OfAny
from logpr.auditing.scene.scene import Scene
from logpr.auditing.scene.steps import Steps, Unavailable
from logpr.auditing.search.judge import middle
from logpr.auditing.search.panel import benches
from logpr.auditing.search.pipeline import Declared, Pipeline
from logpr.auditing.search.race import Trial


@dataclass(frozen=True, slots=True)
class TokenScores:
    """Step scores of one candidate with their noise, in the unit of the claims."""

    values: tuple[float, ...]
    noise: tuple[float, ...]


def step_scores(
    scene: Scene, declared: Declared, trial: Trial, numbers: Sequence[int]
) -> dict[int, TokenScores]:
    """Return the step scores of candidates under a computation, those that it can be asked of."""
    out: dict[int, TokenScores] = {}
    for bench, _ in benches(scene, declared, [trial.pipeline], numbers):
        try:
            found, steps = bench.step_scores(trial.pipeline, middle(trial))
        except Unavailable:
            continue
        for place, number in enumerate(bench.numbers):
            begin, end = int(steps.offsets[place]), int(steps.offsets[place + 1])
            out[number] = TokenScores(
                tuple(found.values[0, begin:end].tolist()),
                tuple(found.noise[0, begin:end].tolist()),
            )
    return out


def agrees(
    trial: Trial,
    found: TokenScores,
    claimed: Sequence[Printed],
    *,
    declared: Declared,
    room: float = 0.0,
) -> bool:
    """Return whether a candidate's token claims are the step scores, in nats or in their unit.

    `room` is how far each may be off beside its noise, in nats.
    """
    if _lies(found, claimed, None, room):
        return True
    unit = trial.pipeline.of("unit") or declared.unit
    return unit.of_any is not None and _lies(found, claimed, unit.of_any, room)


def _lies(found: TokenScores, claimed: Sequence[Printed], unit: OfAny | None, room: float) -> bool:
    values, noise = np.array([found.values]), np.array([found.noise]) + room
    if unit is not None:
        values, noise = unit(values, noise)
    # Some lists end with END and some do not; END is the last step.
    for size in {len(found.values), len(found.values) - 1}:
        if len(claimed) != size:
            continue
        low = np.array([each.low for each in claimed])
        high = np.array([each.high for each in claimed])
        with np.errstate(invalid="ignore"):
            inside = (values[0, :size] + noise[0, :size] >= low) & (
                values[0, :size] - noise[0, :size] <= high
            )
        if bool((inside | (np.isnan(values[0, :size]) & np.isnan(low))).all()):
            return True
    return False


def implied_shortlists(
    scene: Scene, declared: Declared, claims: Sequence[Claim], numbers: Sequence[int]
) -> tuple[ShortlistStep, ...]:
    """Return for each claimed token what its score implies of a shortlist that nobody logged.

    excess = claimed − log Pr = −log(mass), mass the share of the distribution that the implied
    normaliser covers. `size` is the k of the top-k list that would give it, where one does.
    """
    out: list[ShortlistStep] = []
    for bench, _ in benches(scene, declared, [Pipeline()], numbers):
        try:
            steps = bench.steps(Pipeline(), bench.numbers)
        except Unavailable:
            continue
        sums = steps.top_logsumexp
        for place, number in enumerate(bench.numbers):
            claimed = claims[number].token_scores or ()
            begin, end = int(steps.offsets[place]), int(steps.offsets[place + 1])
            if len(claimed) != end - begin:
                continue
            for at, printed in zip(range(begin, end), claimed, strict=True):
                out.append(
                    _step(scene, steps, sums, at, printed, number=number, position=at - begin)
                )
    return tuple(out)


def _step(
    scene: Scene,
    steps: Steps,
    sums: np.ndarray,
    at: int,
    printed: Printed,
    *,
    number: int,
    position: int,
) -> ShortlistStep:
    case = scene.cases[number]
    excess = printed.value - float(steps.logprob[at])
    texts = case.token_texts
    width = (printed.high - printed.low) / 2 + steps.step_noise
    wanted = float(steps.logit[at]) - printed.value
    near = np.flatnonzero(np.abs(sums[:, at] - wanted) <= width)
    return ShortlistStep(
        id=case.record,
        index=case.place,
        position=position,
        token=None if texts is None or position >= len(texts) else texts[position],
        excess=excess,
        mass=math.exp(-excess) if abs(excess) < 700 else math.nan,  # noqa: PLR2004 - exp's range
        size=int(near[0]) + 1 if len(near) else None,
    )
