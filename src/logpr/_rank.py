"""Rank a prompt's candidates: scores, one rule, an order, and whether it can be told from noise."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from logpr._order import placed, values_of
from logpr._pair import fork_of
from logpr._refine import refined_rows
from logpr._rules import CHOICE_PROB, LOGPROB, STANDING, Rule, rule_named
from logpr._score import WINDOW as _WINDOW
from logpr._score import (
    Scored,
    Settings,
    TopRow,
    as_model,
    score_top,
    score_window,
    windowed,
    windows,
)
from logpr._score._settings import DEFAULT_ALTERNATIVES, DEFAULT_MARGINAL_BUDGET
from logpr._types import Bos, Boundary, End, Special, Truncate
from logpr._values import Candidate, Message, Provenance, Query, Ranking, Score
from logpr.errors import QueryError, WrongTypeError
from logpr.models.base import Model

__all__ = ["check_top", "rank", "rank_many", "rank_window"]


def rank(
    prompt: str | None = None,
    candidates: Iterable[str | Sequence[int] | Mapping[str, Any] | Candidate] = (),
    *,
    messages: Iterable[Mapping[str, str] | Message] | None = None,
    prompt_ids: Iterable[int] | None = None,
    candidate_ids: Iterable[Sequence[int]] | None = None,
    model: Model | str | None = None,
    rule: str | Rule = "logprob",
    neutral: str = "",
    among: Sequence[str | int] | None = None,
    top: int | None = None,
    end: End | None = None,
    boundary: Boundary = "separate",
    bos: Bos = "auto",
    evidence: bool = False,
    alternatives: int = DEFAULT_ALTERNATIVES,
    truncate: Truncate | None = None,
    special: Special = "auto",
    end_ids: Sequence[int] | None = None,
    marginal_budget: int = DEFAULT_MARGINAL_BUDGET,
) -> Ranking:
    """Return the candidates in order of log Pr(y | x), or of another rule.

    Args:
        prompt: x as text; or `messages`, or `prompt_ids`.
        candidates: texts, lists of token ids, or mappings {"text": …} that may bring their own
            "token_logprobs" or "token_ids" with "logits" (then no model is needed).
        model: from `logpr.load`, or a name that it takes.
        rule: "logprob" (default), "per_token", "per_char", "per_byte", "bits_per_byte",
            "choice_prob", "length_penalty(0.6)", "pmi" (see `neutral`), "vocab_subset" (see
            `among`), or a `logpr.Rule`.
        neutral: the prompt that `pmi` compares with.
        among: the tokens that `vocab_subset` normalises over.
        top: only the k best are wanted, under the rule "logprob": `order` holds the k that a full
            ranking begins with. A candidate is dropped once its first tokens alone prove that it
            is none of them; it is then `pruned`, with `upper` in place of its `logprob`. (Of a
            model of dtype "auto" all k places are decided in float32. A full ranking decides the
            first one so, and its further places may differ where bfloat16 cannot tell who is next.)
        end, boundary, bos, evidence, alternatives, truncate, special, end_ids, marginal_budget: as
            in `logpr.score`.

    Raises:
        InputError: what was given cannot be ranked; says where, and each way out.
        ModelError: the model failed.
    """
    query = Query.of(
        prompt,
        candidates,
        messages=messages,
        prompt_ids=prompt_ids,
        candidate_ids=candidate_ids,
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
        marginal_budget=marginal_budget,
    )
    chosen = rule_named(rule, neutral=neutral, among=among)
    check_top(top, chosen)
    (ranking,) = rank_window(
        [query], model=as_model(model), rule=chosen, settings=settings, top=top
    )
    return ranking


def rank_many(
    queries: Iterable[Query],
    *,
    model: Model | str | None = None,
    rule: str | Rule = "logprob",
    neutral: str = "",
    among: Sequence[str | int] | None = None,
    top: int | None = None,
    settings: Settings | None = None,
    window: int = _WINDOW,
) -> Iterator[Ranking]:
    """Yield one ranking a query, in order; lazy, at most one window of queries ahead.

    Queries of one window share their prefixes: each unique (prefix, token) is computed once.
    """
    chosen = rule_named(rule, neutral=neutral, among=among)
    check_top(top, chosen)
    lm = as_model(model)
    for chunk in windows(queries, window):
        with windowed(lm):
            rankings = rank_window(
                chunk, model=lm, rule=chosen, settings=settings or Settings(), top=top
            )
        yield from rankings


def check_top(top: int | None, rule: Rule) -> None:
    """Refuse a `top` that is no count, or that goes with a rule under which nothing is proven.

    Raises:
        QueryError: says why, and what to leave out.
        WrongTypeError: it is no whole number.
    """
    if top is None:
        return
    if not isinstance(top, int) or isinstance(top, bool):
        msg = f"top is how many of the best candidates are wanted, found {top!r}; e.g. top=1"
        raise WrongTypeError(msg)
    if top < 1:
        msg = f"top is how many of the best candidates are wanted, at least 1; found {top}"
        raise QueryError(msg)
    if rule != LOGPROB:
        msg = (
            f"top goes with the rule logprob alone: log Pr(y | x) never rises as y grows, so the "
            f"first tokens of a candidate can prove that others are better, and under the rule "
            f"{rule.name} they cannot; leave out top (--top), or take rule='logprob'"
        )
        raise QueryError(msg)


def rank_window(
    queries: Sequence[Query],
    *,
    model: Model | None,
    rule: Rule,
    settings: Settings,
    top: int | None = None,
) -> list[Ranking]:
    """Return the rankings of queries that share one trie."""
    if top is not None:
        found = score_top(queries, model=model, settings=settings, top=top)
        fast = [row.scored for row in found]
        rows = refined_rows(queries, fast, model=model, rule=rule, settings=settings, top=top)
        return [
            _topped(_ranked(query, row, rule, told=_told(first.scored)), first, top)
            for query, row, first in zip(queries, rows, found, strict=True)
        ]
    wanted = replace(
        settings,
        neutral=rule.neutral if rule.neutral is not None else settings.neutral,
        among=rule.among if rule.among is not None else settings.among,
    )
    fast = score_window(queries, model=model, settings=wanted)
    rows = refined_rows(queries, fast, model=model, rule=rule, settings=wanted)
    return [
        _ranked(query, row, rule, told=_told(first))
        for query, row, first in zip(queries, rows, fast, strict=True)
    ]


def _told(row: tuple[Scored, ...]) -> Provenance | None:
    """Return what a ranking rests on: the model that was asked, not the twin that it asks.

    Numbers that came with a candidate rest on nothing that is known here.
    """
    asked = (item.score for item in row if item.score.boundary != "given")
    return next(asked, row[0].score).provenance


def _topped(ranking: Ranking, row: TopRow, top: int) -> Ranking:
    """Return a ranking of whole and dropped candidates with the `top` best alone in its order."""
    order = ranking.order
    # A bound is as far off as its noise says, even where a twin told the others more exactly.
    pruned = [s.upper + s.noise for s in ranking.candidates if s.pruned and s.upper is not None]
    second = ranking.candidates[order[1]].logprob if len(order) > 1 else None
    # A dropped one may be the runner-up, also at the same number; never a tied one, and never with
    # k > 1.
    unknown = bool(pruned) and not ranking.tie and (second is None or max(pruned) >= second)
    return replace(
        ranking,
        order=order[:top],
        margin=None if unknown else ranking.margin,
        noise=None if unknown else ranking.noise,
        fork=None if unknown else ranking.fork,
        top=top,
        tokens_fed=row.fed,
        tokens_full=row.full,
    )


def _ranked(
    query: Query, row: tuple[Scored, ...], rule: Rule, *, told: Provenance | None
) -> Ranking:
    pruned = any(item.score.pruned for item in row)
    # What is a share of all needs all.
    rivals = () if pruned else tuple(_known(item.score) for item in row)
    totals = [None if item.score.pruned else item.totals(rivals) for item in row]
    values = values_of(rule, totals)
    standing = rule.name in {known.name for known in STANDING}
    scores = tuple(
        replace(
            item.score,
            choice_prob=share,
            rule_values=item.score.rule_values if standing else ((rule.name, value),),
        )
        for item, share, value in zip(row, values_of(CHOICE_PROB, totals), values, strict=True)
    )
    order, margin, noise, tie = placed(rule, totals, scores)
    winners: list[tuple[str, int | None]] = []
    for known in (rule,) if pruned else STANDING:
        first = placed(known, totals, scores)[0][0]
        winners.append((known.name, None if values_of(known, totals)[first] is None else first))
    if not standing:
        winners.append((rule.name, None if values[order[0]] is None else order[0]))
    return Ranking(
        id=query.id,
        rule=rule.name,
        end=query.effective_end,
        best=order[0],
        order=order,
        margin=margin,
        noise=noise,
        tie=tie,
        label=query.label,
        fork=fork_of(scores[order[0]], scores[order[1]]) if len(order) > 1 else None,
        winners=tuple(winners),
        warnings=_warnings(scores, query),
        prompt=query.prompt if query.messages is None else query.messages[-1].content,
        candidates=scores,
        higher_wins=rule.higher_wins,
        provenance=told,
    )


def _known(score: Score) -> float:
    assert score.logprob is not None, "only dropped candidates have none"
    return score.logprob


def _warnings(scores: Sequence[Score], query: Query) -> tuple[str, ...]:
    out: list[str] = []
    for score in scores:
        for warning in score.warnings:
            if warning not in out:
                out.append(warning)
    if len({score.prompt_ids for score in scores if score.prompt_ids is not None}) > 1:
        out.append(_CONTEXTS)
    if query.effective_end == "open":
        out.extend(_prefix_warnings(scores))
    return tuple(out)


_CONTEXTS = (
    "contexts_differ: the candidates were scored after different tokens of the prompt (a token "
    "that straddles the boundary, or a prompt cut to fit), so their log-probabilities answer "
    "different questions; boundary 'separate' or 'marginal', or a shorter prompt, gives them one"
)


def _prefix_warnings(scores: Sequence[Score]) -> Iterator[str]:
    known = {
        score.token_ids: score.index for score in reversed(scores) if score.token_ids is not None
    }
    for score in scores:
        ids = score.token_ids or ()
        for size in range(len(ids)):
            shorter = known.get(ids[:size])
            if shorter is not None and scores[shorter].prompt_ids == score.prompt_ids:
                yield (
                    f"prefix_candidates: candidate {shorter} is a prefix of candidate "
                    f"{score.index}, and under end 'open' a prefix always ranks first; compare "
                    f"finished outputs with end='stop' (--end stop)"
                )
                return
