"""Claims that no one formula explains: the largest part that something does, then of the rest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64

from logpr.auditing.faults import Change
from logpr.auditing.search.chance import Chance
from logpr.auditing.search.identify import Search
from logpr.auditing.search.panel import Values, predict_all, tables
from logpr.auditing.search.pipeline import Pipeline
from logpr.auditing.search.race import Trial, matches

_SAMPLE = 48
"""Claims that a computation is tried on before all of them are."""
_LEAST_SHARE = 0.25
_LEAST_ROWS = 3
_MOST_PARTS = 4
_CHANCE = 0.01


@dataclass(frozen=True, slots=True)
class Part:
    """Candidates that one computation explains; `trial` None: the declared one, or nothing.

    `explained` says whether anything does.
    """

    numbers: tuple[int, ...]
    trial: Trial | None
    explained: bool
    expected: float | None = None


def parts_of(search: Search, base: Values, possible: Sequence[Change]) -> list[Part]:
    """Return the claims in parts, the largest explained first, what nothing explains last."""
    out: list[Part] = []
    rest = list(search.numbers)
    right = base.reached(search.targets)
    mine = [number for number in rest if right[number]]
    while len(out) < _MOST_PARTS and rest:
        best = _best(search, base, possible, rest)
        if len(mine) >= max(_LEAST_ROWS, 0 if best is None else len(best.numbers)):
            out.append(Part(tuple(mine), None, explained=True))
            rest = [number for number in rest if number not in set(mine)]
            mine = []
            continue
        if best is None:
            break
        out.append(best)
        taken = set(best.numbers)
        rest = [number for number in rest if number not in taken]
        mine = [number for number in mine if number not in taken]
    if mine:
        out.append(Part(tuple(mine), None, explained=True))
        rest = [number for number in rest if number not in set(mine)]
    if rest and out:
        out.append(Part(tuple(rest), None, explained=False))
    return out


def _best(
    search: Search, base: Values, possible: Sequence[Change], numbers: Sequence[int]
) -> Part | None:
    """Return the single change that explains most of these claims, beyond what chance would."""
    if len(numbers) < _LEAST_ROWS:
        return None
    rng = np.random.default_rng(len(numbers))
    sample = tuple(sorted(rng.permutation(np.asarray(numbers))[:_SAMPLE].tolist()))
    trials = [
        Trial(Pipeline((change,)))
        for change in possible
        if change.axis is None or change.axis.integer
    ]
    counts = _explained(search, trials, sample)
    # The order of preference breaks ties: the first of the zoo's that explains as many.
    most = [int(count.max(initial=0)) for count in counts]
    best = max(most, default=0)
    if best < max(_LEAST_ROWS - 1, _LEAST_SHARE * len(sample)):
        return None
    trial, count = trials[most.index(best)], counts[most.index(best)]
    trial.keep(np.arange(trial.size) == int(count.argmax()))
    points = dict(trial.low)
    values = predict_all(search.scene, search.declared, trial.pipeline, points, numbers)
    reached = values.reached(search.targets)
    mine = tuple(number for number in numbers if reached[number])
    if len(mine) < _LEAST_ROWS:
        return None
    part = Search(search.scene, search.declared, search.targets, mine)
    expected = Chance.of(part, base, possible).expected(
        sum(each.tried for each in trials), leader=values
    )
    return None if expected > _CHANCE else Part(mine, trial, explained=True, expected=expected)


def _explained(
    search: Search, trials: Sequence[Trial], sample: tuple[int, ...]
) -> list[Int64[np.ndarray, " cells"]]:
    """Return for each trial how many claims each value of its parameter explains."""
    for trial in trials:
        trial.begin()
    asked = [(trial.pipeline, dict(trial.low)) for trial in trials]
    found = tables(search.scene, search.declared, asked, sample)
    targets = search.targets.of(sample)
    return [
        np.zeros(trial.size, dtype=np.int64)
        if table is None
        else matches(table, targets).sum(axis=1)
        for trial, table in zip(trials, found, strict=True)
    ]
