"""A window of queries of which only the k best candidates are scored whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from logpr._engine import JobScores, run
from logpr._score._assemble import Scored
from logpr._score._jobs import Plan, Window
from logpr._score._settings import Settings
from logpr._score._window import plan_query
from logpr._topk import Race, Rivals, apart, groups, search
from logpr._values import Query
from logpr.errors import QueryError
from logpr.models.base import Model


@dataclass(frozen=True, slots=True)
class TopRow:
    """A query's candidates, of which some may be dropped, and the tokens that it took."""

    scored: tuple[Scored, ...]
    fed: int
    full: int


def score_top(
    queries: Sequence[Query], *, model: Model | None, settings: Settings, top: int
) -> list[TopRow]:
    """Return the scores of every query's candidates; all but the `top` best may be dropped.

    Raises:
        InputError: a query cannot be scored; the message names query, candidate and way out.
        ModelOutputError: the model returned no distribution; names query, candidate and position.
    """
    # Under the rule `logprob` nobody asks what `pmi` and `vocab_subset` stand on.
    window = Window(model=model, settings=replace(settings, neutral=None, among=None))
    rows: list[list[Plan]] = []
    for query in queries:
        _refuse_strings(query)
        rows.append(plan_query(query, window))
    if not window.jobs or model is None:
        return [TopRow(tuple(plan.finish([]) for plan in row), 0, 0) for row in rows]
    results: list[JobScores | None] = [None] * len(window.jobs)
    with apart(model) as room:
        races = [Race(_rivals(row, window), top=top, model=model, room=room) for row in rows]
        for group in groups(races, room=room):
            found = search(model, [races[number] for number in group], evidence=settings.asked)
            for number, scores in zip(group, found, strict=True):
                _enter(rows[number], scores, results)
            _ask_beside([rows[number] for number in group], window, model, results)
    # Nobody reads what stands beside a dropped candidate.
    unread = next(scores for scores in results if scores is not None)
    answers = [unread if scores is None else scores for scores in results]
    return [
        TopRow(tuple(plan.finish(answers) for plan in row), race.fed, race.full)
        for row, race in zip(rows, races, strict=True)
    ]


def _rivals(row: Sequence[Plan], window: Window) -> Rivals:
    known = (plan.finish([]).score.logprob for plan in row if not plan.jobs)
    return Rivals(
        jobs=tuple(window.jobs[plan.jobs[0]] for plan in row if plan.jobs),
        known=tuple(logprob for logprob in known if logprob is not None),
    )


def _enter(
    row: Sequence[Plan], found: Sequence[JobScores], results: list[JobScores | None]
) -> None:
    numbers = (plan.jobs[0] for plan in row if plan.jobs)
    for number, scores in zip(numbers, found, strict=True):
        results[number] = scores


def _ask_beside(
    rows: Sequence[Sequence[Plan]],
    window: Window,
    model: Model,
    results: list[JobScores | None],
) -> None:
    """Ask what stands beside a whole candidate's own job: its value under boundary `joint`."""
    beside = [
        number
        for row in rows
        for plan in row
        for number in plan.jobs[1:]
        if (own := results[plan.jobs[0]]) is not None and own.whole
    ]
    if not beside:
        return
    jobs = [window.jobs[number] for number in beside]
    for number, scores in zip(
        beside, run(model, jobs, evidence=window.settings.asked), strict=True
    ):
        results[number] = scores


def _refuse_strings(query: Query) -> None:
    if query.boundary == "marginal":
        where = "" if query.id is None else f"query {query.id!r}: "
        msg = (
            f"{where}top drops a candidate by the sum over its first tokens, and "
            f"boundary 'marginal' sums over all spellings of a text; leave out top (--top), or use "
            f"boundary='separate'"
        )
        raise QueryError(msg)
