"""Records out: a ranking or scores as the one JSON object that a file's line holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from logpr._types import JsonValue
from logpr._values import Candidate, Query, Ranking, Score, jsonable

_RATIOS = ("per_token", "per_char", "per_byte", "bits_per_byte", "choice_prob")
_TOKEN_COLUMNS = (
    *("token_ids", "token_texts", "token_logprobs", "logit", "logz", "rank"),
    *("top_id", "top_logit", "top_logprob", "entropy", "alternatives", "end_evidence"),
)
_WHERE_GIVEN = ("joint_boundary_logprob", "prompt_logprob", "joint_logprob")
GIVEN = "given_"
"""Put before a carried field whose name is one of the output's own."""


def record_of(
    ranking: Ranking,
    *,
    tokens: bool = False,
    query: Query | None = None,
    fields: Mapping[str, Any] | None = None,
) -> dict[str, JsonValue]:
    """Return a ranking as an output record, ready for JSON: non-finite numbers are strings.

    Args:
        ranking: what `rank` returned.
        tokens: also each candidate's tokens, and the prompt, so that the record can be read
            again as input.
        query: what was asked: its candidates' further fields are carried through.
        fields: the input row's further fields, carried through. One that bears a name of the
            output's own is written as `given_NAME`.
    """
    head: dict[str, JsonValue] = {
        "id": ranking.id,
        "rule": ranking.rule,
        "end": ranking.end,
        "best": ranking.best,
        "order": list(ranking.order),
        "margin": jsonable(ranking.margin),
        "noise": jsonable(ranking.noise),
        "tie": ranking.tie,
        "warnings": list(ranking.warnings),
    }
    if ranking.top is not None:
        names = ("top", "tokens_fed", "tokens_full")
        head |= {name: jsonable(getattr(ranking, name)) for name in names}
    if ranking.label is not None:
        head["label"] = ranking.label
    if tokens:
        head |= _prompt_of(query, ranking.prompt)
    head["candidates"] = _candidates(
        ranking.candidates, tokens=tokens, query=query, topped=ranking.top is not None
    )
    return _carrying(head, fields or {})


def score_record_of(
    scores: Sequence[Score],
    *,
    id: str | int | None,  # noqa: A002 - the record's own field name
    tokens: bool = False,
    query: Query | None = None,
    fields: Mapping[str, Any] | None = None,
) -> dict[str, JsonValue]:
    """Return the scores of one query's candidates as an output record: as `record_of`, no order."""
    head: dict[str, JsonValue] = {
        "id": id,
        "end": scores[0].end,
        "warnings": list(dict.fromkeys(text for score in scores for text in score.warnings)),
    }
    if query is not None and query.label is not None:
        head["label"] = query.label
    if tokens:
        head |= _prompt_of(query, None)
    head["candidates"] = _candidates(scores, tokens=tokens, query=query)
    return _carrying(head, fields or {})


def query_row(query: Query) -> dict[str, JsonValue]:
    """Return a query as an input record in the one shape; reading it gives the query back."""
    row: dict[str, JsonValue] = {} if query.id is None else {"id": query.id}
    row |= _prompt_of(query, None)
    row["candidates"] = [_candidate_row(candidate) for candidate in query.candidates]
    for name in ("label", "end"):
        if getattr(query, name) is not None:
            row[name] = getattr(query, name)
    row["boundary"] = query.boundary
    row["bos"] = query.bos
    return row


def _candidate_row(candidate: Candidate) -> JsonValue:
    given = {
        name: jsonable(getattr(candidate, name))
        for name in ("text", "token_ids", "logits", "token_logprobs", "end_logprob")
        if getattr(candidate, name) is not None
    }
    if list(given) == ["text"] and not candidate.extra:
        return candidate.text
    return {**given, **{name: jsonable(value) for name, value in candidate.extra}}


def _prompt_of(query: Query | None, prompt: str | None) -> dict[str, JsonValue]:
    if query is not None and query.messages is not None:
        return {"messages": jsonable(query.messages)}
    if query is not None and query.prompt_ids is not None:
        return {"prompt_ids": list(query.prompt_ids)}
    text = prompt if query is None else query.prompt
    return {} if text is None else {"prompt": text}


def _candidates(
    scores: Sequence[Score], *, tokens: bool, query: Query | None, topped: bool = False
) -> list[JsonValue]:
    extras = {} if query is None else {i: dict(c.extra) for i, c in enumerate(query.candidates)}
    return [
        _carrying(_candidate(score, tokens=tokens, topped=topped), extras.get(score.index, {}))
        for score in scores
    ]


def _candidate(score: Score, *, tokens: bool, topped: bool) -> dict[str, JsonValue]:
    names = ["index", "text", "logprob", *_RATIOS]
    out = {name: jsonable(getattr(score, name)) for name in names}
    out |= {name: jsonable(value) for name, value in score.rule_values}
    out |= {"tokens": score.tokens, "bytes": score.bytes, "boundary": score.boundary}
    if score.end == "stop":
        out["end_logprob"] = jsonable(score.end_logprob)
    if score.boundary_policy == "marginal":
        out |= {name: jsonable(getattr(score, name)) for name in ("lower", "upper", "exact")}
    if topped:
        out |= {"pruned": score.pruned, "upper": jsonable(score.upper)}
    given = (*_WHERE_GIVEN, *_TOKEN_COLUMNS) if tokens else _WHERE_GIVEN
    for name in given:
        value = getattr(score, name)
        if value is not None:
            out[name] = jsonable(value)
    return out


def _carrying(record: dict[str, JsonValue], fields: Mapping[str, Any]) -> dict[str, JsonValue]:
    taken = set(record) | set(fields)
    for name, value in fields.items():
        said = name
        while said in record or (said != name and said in taken):
            said = GIVEN + said
        record[said] = jsonable(value)
    return record
