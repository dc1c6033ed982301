"""Recorded rows that were rounded to 16 bits: whose numbers they are, and the room they need.

A scorer may have computed its numbers from the rounded rows themselves, and then gives them to the
printed digits; or from the rows before they were rounded, and then it is off by that rounding. The
first is asked first, since it tells computations apart; the second only where nothing gives the
numbers from the rows as they stand.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float64

from logpr.auditing.scene.rows import Prefix, Rows
from logpr.auditing.scene.scene import Case, Scene
from logpr.auditing.search.halves import Halves
from logpr.auditing.search.identify import Progress
from logpr.auditing.search.judge import Judgement, judge
from logpr.auditing.search.pipeline import Declared
from logpr.auditing.search.race import Targets
from logpr.auditing.search.room import ACCUSED
from logpr.numerics import logsumexp

_LEAST = 64
"""So many numbers are not all short by chance; a few that a person typed may be."""

_FRACTION = {"bfloat16": 7, "float16": 10}
"""Bits behind the first of a number; the coarser type first: its numbers are the other's too."""

_SUBNORMAL = {"bfloat16": -133, "float16": -24}
"""The smallest step between two numbers, as a power of two."""


@dataclass(frozen=True, slots=True)
class Rounded:
    """The type that rows were rounded to, and nats by which that moves a log-probability at most.

    log Pr = u_t − log Σ_j e^{u_j} moves by |e_t| + Σ_j p_j |e_j| at most, where |e_j| is half the
    step between the numbers of the type near u_j.
    """

    dtype: str
    noise: float


def judge_rounded(
    scene: Scene,
    declared: Declared,
    targets: Targets,
    numbers: Sequence[int],
    *,
    halves: Halves = lambda *_: {},
    progress: Progress = lambda *_: None,
) -> tuple[Judgement, Scene, Rounded | None]:
    """Return the verdict on claims beside recorded rows, the scene it holds in, and the rounding.

    The rounding is None, and the scene the same, where the rows are taken as they stand. The
    arguments are those of `judge`.
    """
    found = judge(scene, declared, targets, numbers, halves=halves, progress=progress)
    if found.verdict == "correct" or found.verdict.startswith("not_enough"):
        return found, scene, None
    rounded = rounded_rows(scene)
    if rounded is None or rounded.noise <= scene.noise:
        return found, scene, None
    if _from_these_rows(found, targets, rounded.noise / scene.noise):
        return found, scene, None
    wide = replace(scene, noise=rounded.noise, rounded=True)
    again = judge(wide, declared, targets, numbers, halves=halves, progress=progress)
    if again.verdict == "unexplained" or again.parts:
        return found, scene, None
    return again, wide, rounded


def rounded_rows(scene: Scene) -> Rounded | None:
    """Return what the rows of a scene were rounded to: every number in them is one of the type.

    None where some number is none, or where there are too few to say so.
    """
    kinds = list(_FRACTION)
    count = 0
    for _, rows in _rows(scene):
        finite = rows[np.isfinite(rows)]
        kinds = [kind for kind in kinds if _on_grid(finite, kind)]
        if not kinds:
            return None
        count += int(np.count_nonzero(finite))
    if count < _LEAST:
        return None
    return Rounded(
        kinds[0], max(_moved(scene, case, rows, kinds[0]) for case, rows in _rows(scene))
    )


def _rows(scene: Scene) -> Iterator[tuple[Case, Rows]]:
    """Yield each candidate's known rows, their columns of no one token left out."""
    for case in scene.cases:
        context, tokens = case.material.context, case.material.tokens
        places = range(len(tokens) + bool(case.material.end_ids))
        asked: list[tuple[int, Prefix]] = [
            (case.owner, context + tokens[:place]) for place in places
        ]
        if not asked:
            continue
        rows, known = scene.source.rows(asked)
        if scene.source.rest:
            rows = rows[:, :-1]
        ids = scene.source.columns(case.owner)
        if ids is not None:
            # Of a compact step END is a sum over its ids, and such sums are on no grid.
            rows = rows.copy()
            rows[:, np.searchsorted(ids, case.material.end_ids)] = -np.inf
        if known.any():
            yield case, rows[known]


def _on_grid(values: Float64[np.ndarray, " numbers"], kind: str) -> bool:
    step = _step(values, kind)
    return bool((np.round(values / step) * step == values).all())


def _step(values: np.ndarray, kind: str) -> np.ndarray:
    """Return the step between the numbers of a type near these."""
    _, exponent = np.frexp(values)
    power = np.maximum(exponent - 1 - _FRACTION[kind], _SUBNORMAL[kind])
    return np.asarray(np.ldexp(1.0, power))


def _moved(scene: Scene, case: Case, rows: Rows, kind: str) -> float:
    """Return by how much the log-probabilities of a candidate's steps may have moved."""
    finite = np.isfinite(rows)
    half = np.where(finite & (rows != 0), _step(np.where(finite, rows, 0.0), kind) / 2.0, 0.0)
    share = np.exp(rows - np.reshape(np.asarray(logsumexp(rows)), (-1, 1)))
    mean = (share * half).sum(axis=1)
    tokens = case.material.tokens[: len(rows)]
    ids = scene.source.columns(case.owner)
    columns = list(tokens) if ids is None else np.searchsorted(ids, tokens).tolist()
    own = half[np.arange(len(columns)), columns] if len(columns) else mean
    return float(mean.max(initial=0.0) + own.max(initial=0.0))


def _from_these_rows(found: Judgement, targets: Targets, times: float) -> bool:
    """Return whether claims were computed from the rounded rows, so that these tell them apart.

    So they were where far more of them are the declared numbers to the digit than the rounding
    leaves to chance; and where one computation gives them all, and of so many tried none would by
    chance, had the rounding moved each claim by its own.

    Args:
        found: the judgement with the rows as they stand.
        targets: the claims.
        times: the noise of the rounding, in that of the rows as they stand.
    """
    at = list(found.numbers)
    noise = found.base.noise[at]
    if found.reproduced is not None:
        # What is itself rounded coarsely meets more claims.
        noise = np.fmax(noise, np.nan_to_num(found.reproduced.noise[at]))
    with np.errstate(divide="ignore", invalid="ignore"):
        share = (targets.width[at] + 2.0 * noise) / (2.0 * found.base.noise[at] * times)
    share = np.clip(np.nan_to_num(share, nan=1.0), 0.0, 1.0)
    exact = float(np.mean(found.base.within(targets, at)))
    if exact > 3.0 * float(np.mean(share)) + 0.2:
        return True
    if found.leader is None or found.parts:
        return False
    solved = len(found.leader.solved)
    return bool(found.tried * np.prod(np.sort(share)[solved:]) <= ACCUSED)
