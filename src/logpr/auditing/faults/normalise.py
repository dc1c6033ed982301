"""Stage normalise: from a row and a token to the step's score.

A formula takes the steps and the values of its one varying parameter, [grid]; it gives the scores
[grid, steps] (one line where nothing varies) and how far numerical noise may move each of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from jaxtyping import Float64, Int64

from logpr.auditing.faults._entry import Grid
from logpr.auditing.faults._sketch import Sketch
from logpr.auditing.scene.steps import Steps
from logpr.numerics import log1mexp, logsumexp

Scores: TypeAlias = Float64[np.ndarray, "grid steps"]
Normalised: TypeAlias = tuple[Scores, Scores]
Formula: TypeAlias = Callable[[Steps, Grid], Normalised]


def _steady(steps: Steps, scores: Float64[np.ndarray, "*_"], gain: object = 1.0) -> Normalised:
    """Return scores with noise of `gain` times that of a log-probability."""
    table = np.atleast_2d(scores)
    noise = np.broadcast_to(np.asarray(gain, dtype=np.float64) * steps.step_noise, table.shape)
    return table, np.array(noise)


def log_softmax(steps: Steps, grid: Grid) -> Normalised:
    """Return v = u[t] − logsumexp(u), what is right."""
    del grid
    return _steady(steps, steps.logprob)


def raw_logit(steps: Steps, grid: Grid) -> Normalised:
    """Return v = u[t]."""
    del grid
    steps.require_raw()
    return _steady(steps, steps.logit)


def linear(form: str) -> Formula:
    """Return v = log(u[t] / Σu), per step; as a product, the sign is left for the end."""

    def run(steps: Steps, grid: Grid) -> Normalised:
        del grid
        steps.require_raw()
        with np.errstate(invalid="ignore", divide="ignore"):
            total = steps.of_rows(steps.used_rows().sum(axis=1))
            share = steps.logit / total
            scores = np.log(np.abs(share))
            # Errors of many logits add up like a random walk.
            spread = 2.0 * np.sqrt(steps.rows.shape[1])
            gain = 1.0 / np.abs(steps.logit) + spread / np.abs(total)
        # As a product a negative factor is a sign, which `odd_negatives` looks at in the end.
        return _steady(
            steps, np.where(share > 0, scores, np.nan) if form == "per_step" else scores, gain
        )

    return run


def odd_negatives(steps: Steps, totals: Scores) -> Scores:
    """Return totals with NaN where an odd number of a candidate's factors u[t]/Σu is negative."""
    negative = (steps.logit < 0) != (steps.of_rows(steps.used_rows().sum(axis=1)) < 0)
    counts = np.concatenate([[0], np.cumsum(negative)])
    odd = np.diff(counts[steps.offsets]) % 2 == 1
    out: Scores = np.where(odd[None, :], np.nan, totals)
    return out


def top_k(steps: Steps, grid: Grid) -> Normalised:
    """Return v = u[t] − logsumexp over the k largest ∪ {t}."""
    sizes = grid.astype(np.int64)
    sums = _largest(steps, sizes)
    return _steady(steps, steps.logit - steps.with_outcome(sums, sizes[:, None]))


def top_k_without(steps: Steps, grid: Grid) -> Normalised:
    """Return v = u[t] − logsumexp over the k largest of the step's row."""
    return _steady(steps, steps.logit - _largest(steps, grid.astype(np.int64)), 2.0)


def top_k_of_request(steps: Steps, grid: Grid) -> Normalised:
    """Return v = u[t] − logsumexp over the k largest tokens of the candidate's first row."""
    sizes = grid.astype(np.int64)
    tokens = steps.tokens_of(steps.rows)
    width = min(tokens.shape[1], int(sizes.max()))
    sums = np.empty((width, len(steps)))
    for begin, end in zip(steps.offsets[:-1], steps.offsets[1:], strict=True):
        if begin == end:
            continue
        order = np.argsort(-tokens[steps.row_of[begin]], kind="stable")[:width]
        rows = tokens[steps.row_of[begin:end]][:, order]
        best = rows.max(axis=1, keepdims=True)
        with np.errstate(divide="ignore"):
            running = np.log(np.cumsum(np.exp(rows - best), axis=1))
        sums[:, begin:end] = (running + best).T
    return _steady(steps, steps.logit - sums[np.minimum(sizes, width) - 1], 2.0)


def _largest(steps: Steps, sizes: Int64[np.ndarray, " grid"]) -> Scores:
    """Return logsumexp over the k largest, for each k."""
    known = steps.top_logsumexp
    out: Scores = known[np.minimum(sizes, len(known)) - 1]
    for line in np.flatnonzero(sizes > len(known)):
        out[line] = steps.largest(int(sizes[line]))
    return out


def given_list(*, with_target: bool) -> Formula:
    """Return v = u[t] − logsumexp over the list that was logged for the step (∪ {t})."""

    def run(steps: Steps, grid: Grid) -> Normalised:
        del grid
        scores = np.full(len(steps), np.nan)
        step = 0
        for reading, lists in zip(steps.readings, steps.lists, strict=True):
            for each in reading.steps:
                place = each.place
                if lists is not None and place is not None and place < len(lists) and lists[place]:
                    ids = {*lists[place], *(steps.outcome(step) if with_target else ())}
                    row = steps.rows[steps.row_of[step]]
                    scores[step] = steps.logit[step] - float(logsumexp(row[sorted(ids)]))
                step += 1
        return _steady(steps, scores, 2.0)

    return run


def candidates_alone(steps: Steps, grid: Grid) -> Normalised:
    """Return v = u[t] − logsumexp over the tokens of the record's candidates at this step."""
    del grid
    scores = np.empty(len(steps))
    step = 0
    for reading, rivals in zip(steps.readings, steps.rivals, strict=True):
        for place in range(len(reading.steps)):
            ids = sorted({*(rivals[place] if place < len(rivals) else ()), *steps.outcome(step)})
            row = steps.rows[steps.row_of[step]]
            scores[step] = steps.logit[step] - float(logsumexp(row[ids]))
            step += 1
    return _steady(steps, scores)


def nucleus(steps: Steps, grid: Grid) -> Normalised:
    """Return v = u[t] − logsumexp over the fewest largest tokens of mass >= p, ∪ {t}."""
    sums = steps.sorted_logsumexp
    mass = np.exp(sums - steps.logz[None, :])
    scores = np.full((len(grid), len(steps)), np.nan)
    lines = np.arange(len(steps))
    for line, least in enumerate(grid):
        enough = mass >= least
        size = enough.argmax(axis=0)
        found = enough[size, lines]
        norm = steps.with_outcome(sums[size, lines][None, :], size[None, :] + 1)[0]
        scores[line] = np.where(found, steps.logit - norm, np.nan)
    return _steady(steps, scores)


def temperature(steps: Steps, grid: Grid) -> Normalised:
    """Return v = u[t]/T − logsumexp(u/T)."""
    sketch = steps.kept.get("sketch")
    if not isinstance(sketch, Sketch):
        sketch = steps.kept["sketch"] = Sketch.of(steps.used_rows())
    scores = np.empty((len(grid), len(steps)))
    for line, heat in enumerate(grid):
        scores[line] = steps.logit / heat - steps.of_rows(sketch.logsumexp(1.0 / heat))
    return _steady(steps, scores, 1.0 / grid[:, None])


def over_temperature(steps: Steps, grid: Grid) -> Normalised:
    """Return v = (u[t] − logsumexp(u)) / T."""
    return _steady(steps, steps.logprob[None, :] / grid[:, None], 1.0 / grid[:, None])


def double_softmax(steps: Steps, grid: Grid) -> Normalised:
    """Return v = p[t] − log Σ exp(p)."""
    del grid
    tokens = steps.tokens_of(steps.used_rows())
    probs = np.exp(tokens - steps.row_logz[steps.used][:, None])
    sums = np.log(np.exp(probs).sum(axis=1))
    return _steady(steps, np.exp(steps.logprob) - steps.of_rows(sums))


def plus_epsilon(steps: Steps, grid: Grid) -> Normalised:
    """Return v = log(p[t] + ε)."""
    return _steady(steps, np.logaddexp(steps.logprob[None, :], np.log(grid)[:, None]))


def masked_rows(ids: tuple[int, ...]) -> Formula:
    """Return v = u[t] − logsumexp(u without ids)."""

    def run(steps: Steps, grid: Grid) -> Normalised:
        del grid
        away = np.asarray(logsumexp(steps.used_rows()[:, list(ids)])).reshape(-1)
        gap = np.minimum(steps.of_rows(away) - steps.logz, -1e-300)
        scores = np.where(np.isin(steps.shown, ids), -np.inf, steps.logprob)
        for step, outcome in steps.several.items():
            kept = steps.rows[steps.row_of[step], sorted({*outcome} - {*ids})]
            scores[step] = float(logsumexp(kept)) - steps.logz[step] if len(kept) else -np.inf
        return _steady(steps, scores - np.asarray(log1mexp(gap)).reshape(-1), 2.0)

    return run


def over_positions(over: str) -> Formula:
    """Return v = u[t] − logsumexp of the token's logit over positions instead of the vocabulary."""

    def run(steps: Steps, grid: Grid) -> Normalised:
        del grid
        steps.require_raw()
        scores = np.empty(len(steps))
        step = 0
        for place, reading in enumerate(steps.readings):
            count = len(reading.steps)
            mine = steps.row_of[steps.offsets[place] : steps.offsets[place + 1]]
            if over == "sequence":
                fed = reading.sequence
                mine = np.array(
                    [
                        steps.position_rows[fed[:cut]]
                        for cut in range(1, len(fed) + 1)
                        if fed[:cut] in steps.position_rows
                    ],
                    dtype=np.int64,
                )
            tokens = steps.shown[step : step + count]
            if count and len(mine):
                scores[step : step + count] = logsumexp(steps.rows[mine][:, tokens].T)
                for at in range(step, step + count):
                    if at in steps.several:
                        scores[at] = float(
                            logsumexp(steps.rows[mine][:, steps.several[at]].reshape(-1))
                        )
            step += count
        return _steady(steps, steps.logit - scores)

    return run
