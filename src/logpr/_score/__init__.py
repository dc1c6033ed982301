"""The verb under all others: log Pr(y | x) of given candidates."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import islice
from typing import Any

from logpr._score._assemble import Scored
from logpr._score._settings import DEFAULT_ALTERNATIVES, DEFAULT_MARGINAL_BUDGET, Settings
from logpr._score._top import TopRow, score_top
from logpr._score._window import score_window
from logpr._types import Bos, Boundary, End, Special, Truncate
from logpr._values import Candidate, Message, Query, Score
from logpr.errors import QueryError, WrongTypeError
from logpr.models._load import load
from logpr.models.base import Model, Refining, Reusing
from logpr.tokens.chat import assistant_turns

__all__ = [
    "WINDOW",
    "Scored",
    "Settings",
    "TopRow",
    "as_exact_model",
    "as_model",
    "score",
    "score_many",
    "score_top",
    "score_turns",
    "score_window",
    "windowed",
    "windows",
]

WINDOW = 256
"""Queries that share a trie; a file run cuts its windows at multiples of it."""


def score(
    prompt: str | None = None,
    candidate: str | Sequence[int] | Mapping[str, Any] | Candidate | None = None,
    *,
    messages: Iterable[Mapping[str, str] | Message] | None = None,
    prompt_ids: Iterable[int] | None = None,
    candidate_ids: Sequence[int] | None = None,
    model: Model | str | None = None,
    end: End | None = None,
    boundary: Boundary = "separate",
    bos: Bos = "auto",
    evidence: bool = False,
    alternatives: int = DEFAULT_ALTERNATIVES,
    joint: bool = False,
    truncate: Truncate | None = None,
    special: Special = "auto",
    end_ids: Sequence[int] | None = None,
    marginal_budget: int = DEFAULT_MARGINAL_BUDGET,
) -> Score:
    """Return log Pr(y | x) = Σ_i log Pr(y_i | x, y_<i), in nats, with its evidence on request.

    Args:
        prompt: x as text ("" is allowed where the model declares a start token); or `messages`, or
            `prompt_ids`.
        candidate: y as text, token ids, or a mapping with its own token_logprobs or logits; or
            `candidate_ids`. With `messages` ending in an assistant turn it may be left out: that
            turn is y (every one of them: `score_turns`).
        model: from `logpr.load`, or a name that it takes. Not needed where y brings its numbers.
        end: "open": the output begins with y (default). "stop": it is exactly y (default for
            messages), so log Pr(END | x, y) is part of the sum.
        boundary: "separate", "joint" or "marginal": how x and y are tokenised where they meet.
        bos: "auto", "always" or "never": whether a start token is fed before x.
        evidence: also logit, log-normaliser, rank, favourite, entropy and alternatives per token.
        alternatives: how many best tokens to list per position, with evidence.
        joint: also log Pr(x) and log Pr(x, y).
        truncate: "left" drops tokens from the left of x where x + y overflows the context.
        special: whether special-token strings in texts are parsed ("auto": in prompts only).
        end_ids: the end tokens, in place of those the model declares.
        marginal_budget: prefixes to expand under boundary "marginal".

    Raises:
        InputError: what was given cannot be scored; says where, and each way out.
        ModelError: the model failed.
    """
    if messages is not None and candidate is None and candidate_ids is None:
        messages, candidate = _turns(messages)[-1]
    query = Query.of(
        prompt,
        () if candidate is None else (candidate,),
        messages=messages,
        prompt_ids=prompt_ids,
        candidate_ids=None if candidate_ids is None else (candidate_ids,),
        end=end,
        boundary=boundary,
        bos=bos,
    )
    settings = Settings(
        evidence=evidence,
        alternatives=alternatives,
        truncate=truncate,
        special=special,
        end_ids=None if end_ids is None else tuple(end_ids),
        joint=joint,
        marginal_budget=marginal_budget,
    )
    ((scored,),) = score_window([query], model=as_exact_model(model), settings=settings)
    return scored.score


def score_turns(
    messages: Iterable[Mapping[str, str] | Message],
    *,
    model: Model | str,
    end: End | None = None,
    boundary: Boundary = "separate",
    bos: Bos = "auto",
    settings: Settings | None = None,
) -> tuple[Score, ...]:
    """Return the score of every assistant turn of a conversation, each given all before it.

    Their sum is log Pr of all the assistant said. Prefixes are shared: each turn goes through the
    model once.

    Raises:
        QueryError: the conversation holds no assistant turn.
    """
    queries = [
        Query.of(
            messages=before, candidates=(content,), end=end, boundary=boundary, bos=bos, id=number
        )
        for number, (before, content) in enumerate(_turns(messages))
    ]
    rows = score_window(queries, model=as_exact_model(model), settings=settings or Settings())
    return tuple(scored.score for (scored,) in rows)


def score_many(
    queries: Iterable[Query],
    *,
    model: Model | str | None = None,
    settings: Settings | None = None,
    window: int = WINDOW,
) -> Iterator[tuple[Score, ...]]:
    """Yield the scores of each query's candidates, in order; lazy, at most one window ahead.

    Queries of one window share their prefixes: each unique (prefix, token) is computed once.
    """
    chosen = as_exact_model(model)
    for chunk in windows(queries, window):
        with windowed(chosen):
            rows = score_window(chunk, model=chosen, settings=settings or Settings())
        for row in rows:
            yield tuple(scored.score for scored in row)


def windowed(model: Model | None) -> AbstractContextManager[int | None]:
    """Return a block for one of many windows: it reuses nothing of others, and leaves nothing.

    So a window's numbers do not depend on which windows went before, in a run that was stopped and
    goes on.
    """
    return model.apart(keep=False) if isinstance(model, Reusing) else nullcontext()


def windows(queries: Iterable[Query], size: int) -> Iterator[list[Query]]:
    """Yield the queries in lists of `size`.

    Raises:
        QueryError: size is less than 1.
    """
    if size < 1:
        msg = f"window is the number of queries scored together, at least 1; found {size}"
        raise QueryError(msg)
    source = iter(queries)
    while chunk := list(islice(source, size)):
        for query in chunk:
            if not isinstance(query, Query):
                msg = (
                    f"queries are logpr.Query values, found {query!r}; logpr.Query.of(…) makes one"
                )
                raise WrongTypeError(msg)
        yield chunk


def as_model(model: Model | str | None) -> Model | None:
    """Return a model from itself or from a name that `logpr.load` takes."""
    if model is None or isinstance(model, Model):
        return model
    if isinstance(model, str):
        return load(model)
    msg = f"model is what logpr.load returns, or a name that it takes; found {model!r}"
    raise WrongTypeError(msg)


def as_exact_model(model: Model | str | None) -> Model | None:
    """Return `as_model`; of a fast model with an exact twin, the twin.

    For numbers that stand alone: nobody compares them with others and asks again where it is close,
    so their precision is all that the caller gets.
    """
    found = as_model(model)
    return found.refined if isinstance(found, Refining) else found


def _turns(
    messages: Iterable[Mapping[str, str] | Message],
) -> tuple[tuple[tuple[Message, ...], str], ...]:
    found = assistant_turns(Query.of(messages=messages).messages or ())
    if not found:
        msg = "messages hold no assistant turn to score; give candidate='…', or add such a turn"
        raise QueryError(msg)
    return found
