"""How much each part of the prompt does: log Pr with it less log Pr without it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeAlias

from logpr._explain.evidence import check_same
from logpr._explain.parts import Part
from logpr._score import WINDOW, Settings, score_window, windows
from logpr._values import Candidate, Influence, Query, Ranking, Score
from logpr.errors import InputError, QueryError
from logpr.models.base import Model, Refining

Row: TypeAlias = tuple[Score, ...]
"""The scores of all candidates after one prompt."""


def influence_of(
    ranking: Ranking,
    pair: tuple[int, int],
    parts: Sequence[Part],
    *,
    chat: Query | None,
    model: Model | None,
    settings: Settings,
) -> tuple[Influence, ...]:
    """Return what each part does to each candidate, and to the gap of the pair.

    The prompt as it is and without each part are scored as one trie, so that what they share is
    computed once. A part that cannot be left out (nothing remains to condition on, a chat template
    that refuses the rest) says why.

    Args:
        ranking: whose prompt it is.
        pair: indexes of the two that are explained.
        parts: of the prompt.
        chat: the query with the messages, where the prompt is a chat.
        model: that ranked.
        settings: of the scores.

    Raises:
        QueryError: there is no model to ask, or it gives other numbers than the ranking has.
    """
    if model is None:
        msg = "influence asks a model what the prompt says without each part; give model= (--model)"
        raise QueryError(msg)
    asked = replace(settings, evidence=False, joint=False)
    lm = model.refined if isinstance(model, Refining) else model
    whole, *rest = [
        _query(ranking, chat, without) for without in (None, *(part.without for part in parts))
    ]
    queries = [whole, *rest]
    rows: list[Row | str]
    try:
        rows = [*_scored(queries, lm, asked)]
    except InputError:
        rows = [_or_reason(query, lm, asked) for query in queries]
    base = rows[0]
    if isinstance(base, str):
        raise QueryError(base)
    for old, new in zip(ranking.candidates, base, strict=True):
        check_same(old, new, ranking)
    return tuple(
        _influence(part, base, row, pair) for part, row in zip(parts, rows[1:], strict=True)
    )


def _influence(part: Part, base: Row, row: Row | str, pair: tuple[int, int]) -> Influence:
    if isinstance(row, str):
        return Influence(kind=part.kind, start=part.start, end=part.end, text=part.text, note=row)
    # Of two that are impossible with and without a part, it moves nothing.
    moved = tuple(
        0.0 if with_it == without else with_it - without
        for with_it, without in zip(_logprobs(base), _logprobs(row), strict=True)
    )
    return Influence(
        kind=part.kind,
        start=part.start,
        end=part.end,
        text=part.text,
        moved=moved,
        gap=moved[pair[0]] - moved[pair[1]],
    )


def _query(ranking: Ranking, chat: Query | None, without: object) -> Query:
    scores = ranking.candidates
    candidates = tuple(_candidate(score) for score in scores)
    said = ranking.provenance
    boundary = scores[0].boundary_policy
    if chat is not None:
        messages = chat.messages if without is None else without
        assert isinstance(messages, tuple), "a turn is left out of messages"
        return replace(chat, messages=messages, candidates=candidates, end=ranking.end)
    prompt = ranking.prompt if without is None else without
    assert isinstance(prompt, str), "a sentence is left out of a text"
    # The spaces at the prompt's end are at the front of the candidates' texts by now.
    text = prompt.rstrip(" ") if boundary == "separate" else prompt
    bos = "auto" if said is None else said.bos
    return Query(prompt=text, candidates=candidates, end=ranking.end, boundary=boundary, bos=bos)


def _candidate(score: Score) -> Candidate:
    if score.text is not None:
        return Candidate(text=score.text)
    return Candidate(token_ids=score.token_ids)


def _scored(queries: Sequence[Query], model: Model, settings: Settings) -> list[Row]:
    """Return the scores of each query, a window at a time: prompts may have many parts."""
    return [
        tuple(item.score for item in row)
        for chunk in windows(queries, WINDOW)
        for row in score_window(chunk, model=model, settings=settings)
    ]


def _logprobs(row: Sequence[Score]) -> list[float]:
    found = [score.logprob for score in row]
    assert all(each is not None for each in found), "nothing is dropped here"
    return [each for each in found if each is not None]


def _or_reason(query: Query, model: Model, settings: Settings) -> Row | str:
    try:
        (row,) = _scored([query], model, settings)
    except InputError as error:
        return str(error)
    return row
