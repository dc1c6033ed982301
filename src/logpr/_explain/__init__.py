"""Explain: why one candidate leads another, in parts that sum to the gap."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Literal, TypeAlias

from logpr._explain.columns import curve, segments, split
from logpr._explain.context import influence_of
from logpr._explain.decisions import decisions_of
from logpr._explain.evidence import mixed, with_evidence
from logpr._explain.gap import bars_of, gap_of
from logpr._explain.parts import Part, sentences, spans, turns
from logpr._score import Settings, as_model
from logpr._score._settings import DEFAULT_ALTERNATIVES
from logpr._values import Explanation, Message, Query, Ranking, Score
from logpr.errors import QueryError, WrongTypeError
from logpr.models.base import Model

__all__ = ["InfluenceOf", "decisions_of", "explain"]

InfluenceOf: TypeAlias = Literal["sentences", "turns"] | Sequence[tuple[int, int]]


def explain(
    ranking: Ranking,
    *,
    first: int | None = None,
    second: int | None = None,
    model: Model | str | None = None,
    influence: InfluenceOf | None = None,
    messages: Iterable[Mapping[str, str] | Message] | None = None,
    settings: Settings | None = None,
    alternatives: int = DEFAULT_ALTERNATIVES,
) -> Explanation:
    """Return why one candidate of a ranking leads another, by log Pr(y | x).

    gap = log Pr(first) − log Pr(second) = 0 (shared tokens) + the fork + tail − tail, exactly.

    Args:
        ranking: from `logpr.rank`; with `evidence=True` it has all that is shown.
        first: index of a candidate; the winner by default.
        second: index of another; the runner-up by default, or the winner where `first` is not it.
        model: that ranked: the two are scored by it once more, where the ranking has no evidence,
            and `influence` asks it.
        influence: "sentences", "turns", or (start, end) spans of the prompt's characters: how far
            each moves the candidates, by leaving it out.
        messages: the chat that was ranked, for `influence`: a ranking keeps only its last turn.
        settings: those of the ranking, for what the model is asked.
        alternatives: how many best tokens to list per position.

    Raises:
        InputError: the ranking has one candidate, or was pruned; indexes or spans that are none;
            a model that gives other numbers; says the way out.
        ModelError: the model failed.
    """
    if not isinstance(ranking, Ranking):
        msg = (
            f"explain takes a ranking, found {type(ranking).__name__}; "
            f"explain(logpr.rank(prompt, candidates, model=model, evidence=True))"
        )
        raise WrongTypeError(msg)
    one, two = _pair(ranking, first, second)
    lm = as_model(model)
    asked = replace(settings or Settings(), evidence=True, alternatives=alternatives)
    if lm is not None:
        ranking = with_evidence(ranking, (one, two), model=lm, settings=asked)
    chat = None if messages is None else Query.of(messages=messages)
    left, right = ranking.candidates[one], ranking.candidates[two]
    gap = gap_of(left, right)
    found = [split(left), split(right)]
    return Explanation(
        ranking=ranking,
        first=one,
        second=two,
        gap=gap.gap,
        noise=gap.noise,
        tie=gap.tie,
        fork=gap.fork,
        bars=bars_of(left, right),
        pairs=tuple(
            gap_of(left, other)
            for other in ranking.candidates
            if other.index != one and other.logprob is not None
        ),
        splits=tuple(each for each in found if each is not None) if all(found) else (),
        segments=segments(left, right),
        curves=tuple(each for each in (curve(left), curve(right)) if each is not None),
        influence=()
        if influence is None
        else influence_of(
            ranking,
            (one, two),
            _parts(ranking, influence, chat),
            chat=chat,
            model=lm,
            settings=asked,
        ),
        warnings=_warnings(left, right),
        provenance=ranking.provenance,
    )


def _pair(ranking: Ranking, first: int | None, second: int | None) -> tuple[int, int]:
    """Return the indexes of two candidates that have numbers.

    Raises:
        QueryError: there are no two, or they were not scored.
    """
    size = len(ranking.candidates)
    if size < 2:  # noqa: PLR2004 - a pair
        msg = "one candidate leads nobody: explain takes a ranking of two or more"
        raise QueryError(msg)
    for name, index in (("first", first), ("second", second)):
        if index is not None and not (isinstance(index, int) and 0 <= index < size):
            msg = f"{name} is the index of a candidate, 0 to {size - 1}; found {index!r}"
            raise QueryError(msg)
    one = ranking.best if first is None else first
    order = [*ranking.order, *(i for i in range(size) if i not in ranking.order)]
    two = next(i for i in order if i != one) if second is None else second
    if one == two:
        msg = (
            f"first and second are both candidate {one}; give another index as first= (--first) or "
            f"second= (--second)"
        )
        raise QueryError(msg)
    for index in (one, two):
        if ranking.candidates[index].logprob is None:
            msg = (
                f"candidate {index} was dropped by top={ranking.top} before it was scored; rank "
                f"without top (--top), or explain two that were"
            )
            raise QueryError(msg)
    return one, two


def _parts(ranking: Ranking, influence: InfluenceOf, chat: Query | None) -> list[Part]:
    """Return what is left out, one after the other.

    Raises:
        QueryError: it is no part of such a prompt, or there is nothing to leave out.
    """
    found = _found(ranking, influence, chat)
    if not found:
        msg = (
            "influence leaves out parts of the prompt, and there are none here; do without "
            "influence (--influence), or rank with a prompt of text"
        )
        raise QueryError(msg)
    return found


def _found(ranking: Ranking, influence: InfluenceOf, chat: Query | None) -> list[Part]:
    if influence == "turns":
        if chat is None:
            msg = "influence='turns' leaves out turns of a chat; give it as messages="
            raise QueryError(msg)
        return turns(chat.messages or ())
    if chat is not None:
        msg = "with messages= leave out turns: influence='turns'"
        raise QueryError(msg)
    if ranking.prompt is None:
        msg = (
            "influence leaves out parts of the prompt's text, and this ranking was made from token "
            "ids; rank with prompt="
        )
        raise QueryError(msg)
    if isinstance(influence, str):
        if influence != "sentences":
            msg = (
                f"influence is 'sentences', 'turns' or a list of (start, end) characters; "
                f"found {influence!r}"
            )
            raise QueryError(msg)
        return sentences(ranking.prompt)
    return spans(ranking.prompt, influence)


def _warnings(left: Score, right: Score) -> tuple[str, ...]:
    out = list(dict.fromkeys((*left.warnings, *right.warnings)))
    if mixed((left, right)):
        out.append(
            "mixed_models: one of the two was scored by a fast model and one by its exact twin, so "
            "the gap holds a difference between the models; explain with model= scores both anew"
        )
    if math.inf in (-(left.logprob or 0.0), -(right.logprob or 0.0)):
        out.append("impossible: the model gives a candidate probability 0, and the gap is infinite")
    return tuple(out)
