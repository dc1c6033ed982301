"""Rankings by a fast model whose exact twin decides what the fast one cannot tell apart.

The fast numbers v_i are off by at most n_i, their noise. Two candidates are in doubt where
|v_i − v_j| <= n_i + n_j: then either may be the better one. Whoever is in doubt with the best is
scored again by the twin, and the question put anew, until no fast one is in doubt with the best:
then the winner is the twin's own. (The exact best is no worse than v_b − n_b of the fast best b, so
one round mostly does; a further one comes where the twin's numbers are noisy too, where more than
the first place is asked for, or for the runner-up.)
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

from logpr._rules import CHOICE_PROB, LOGPROB, Rule
from logpr._score import Scored, Settings, score_window
from logpr._values import Query
from logpr.models.base import Model, Refining

Row = tuple[Scored, ...]


def refined_rows(
    queries: Sequence[Query],
    rows: Sequence[Row],
    *,
    model: Model | None,
    rule: Rule,
    settings: Settings,
    top: int = 1,
) -> list[Row]:
    """Return the rows with the scores of the exact twin where the first places hang on them.

    Of a model that is not `Refining` the rows come back as they are. All queries go to the twin
    together, in a call a round; mostly there is one.

    Args:
        queries: of the window.
        rows: their fast scores, of all candidates.
        model: that gave the scores.
        rule: that ranks. Who is first under other rules is not asked of the twin: on one set of
            questions deciding all six would have scored 40 % of the candidates again, not 9 %.
        settings: of the scores.
        top: how many first places are to be the twin's, in their order.

    Raises:
        ModelOutputError: the twin returned no distribution; names query, candidate and position.
    """
    out = list(rows)
    if not isinstance(model, Refining):
        return out
    # What a candidate brought itself is as exact as it will be; a dropped one is out of the race.
    exact = [
        {
            place
            for place, item in enumerate(row)
            if item.score.pruned
            or item.score.provenance is None
            or item.score.provenance.model is None
        }
        for row in rows
    ]
    given = [frozenset(places) for places in exact]
    while True:
        asked = [
            _in_doubt(row, rule, top, exact=done, given=fixed)
            for row, done, fixed in zip(out, exact, given, strict=True)
        ]
        busy = [number for number, places in enumerate(asked) if places]
        if not busy:
            return out
        found = score_window(
            [queries[number] for number in busy],
            model=model.refined,
            settings=settings,
            only=[asked[number] for number in busy],
        )
        for number, row in zip(busy, found, strict=True):
            new = {item.score.index: item for item in row}
            out[number] = tuple(new.get(place, item) for place, item in enumerate(out[number]))
            exact[number] |= asked[number]


def _in_doubt(
    row: Row, rule: Rule, top: int, *, exact: Collection[int], given: Collection[int]
) -> set[int]:
    """Return the places of fast scores on which the first places hang."""
    values, noises = _under(rule, row)
    order = _best_first(rule, values)
    out = _neighbours(order, values, noises, top)
    # Margin and fork are differences between the first two: both are of one arithmetic.
    first = set(order[:2])
    if len(first & set(exact)) == 1 and not first & set(given):
        out |= first
    return out - set(exact)


def _under(rule: Rule, row: Row) -> tuple[list[float | None], list[float]]:
    """Return each candidate's value under a rule, None where it has none, and its noise."""
    if rule == CHOICE_PROB:
        # Shares are placed by it: a share's noise is not only its own, the others' move it too.
        rule = LOGPROB
    rivals = tuple(item.score.logprob for item in row if item.score.logprob is not None)
    values: list[float | None] = []
    noises: list[float] = []
    for item in row:
        if item.score.pruned:
            values.append(None)
            noises.append(0.0)
            continue
        totals = item.totals(rivals if len(rivals) == len(row) else ())
        value = rule.value(totals)
        values.append(None if value is None or math.isnan(value) else value)
        noises.append(rule.noise(totals, item.score.noise))
    return values, noises


def _best_first(rule: Rule, values: Sequence[float | None]) -> list[int]:
    sign = -1.0 if rule.higher_wins else 1.0
    known = {place: sign * value for place, value in enumerate(values) if value is not None}
    return sorted(known, key=lambda place: known[place])


def _neighbours(
    order: Sequence[int], values: Sequence[float | None], noises: Sequence[float], top: int
) -> set[int]:
    """Return the candidates that noise may move into, out of or within the first `top` places."""
    out: set[int] = set()
    for rank, place in enumerate(order[:top]):
        for other in order[rank + 1 :]:
            first, second = values[place], values[other]
            assert first is not None, "only known values are in order"
            assert second is not None, "only known values are in order"
            # Two infinities of one sign are equal, though their difference is no number.
            if first == second or abs(first - second) <= noises[place] + noises[other]:
                out |= {place, other}
    return out
