"""The evidence of two candidates, asked of the model that ranked them, where it is absent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from logpr._score import Settings, score_window
from logpr._values import Query, Ranking, Score
from logpr.errors import QueryError
from logpr.models.base import Model, Refining

_SAME = 1e-4
"""Nats per token beside the noise: what a model of other weights is always beyond."""


def with_evidence(
    ranking: Ranking, indexes: Sequence[int], *, model: Model, settings: Settings
) -> Ranking:
    """Return the ranking with the evidence of some candidates, from the ids that were fed.

    Candidates that brought their own numbers, or were scored over all their spellings, stay.

    Raises:
        QueryError: the model gives other numbers than the ranking has.
    """
    wanted = [
        index
        for index in indexes
        if ranking.candidates[index].prompt_ids is not None
        and ranking.candidates[index].token_ids is not None
        and ranking.candidates[index].token_logprobs is not None
    ]
    again = mixed([ranking.candidates[index] for index in indexes])
    if not again and all(_complete(ranking.candidates[index]) for index in wanted):
        return ranking
    # Both where one has to be: two passes differ by noise, and what is shared gives exactly 0.
    lm = model.refined if isinstance(model, Refining) else model
    scores = list(ranking.candidates)
    queries = [
        Query.of(
            prompt_ids=scores[index].prompt_ids,
            candidate_ids=[scores[index].token_ids or ()],
            end=scores[index].end,
        )
        for index in wanted
    ]
    found = score_window(queries, model=lm, settings=settings)
    for index, (item,) in zip(wanted, found, strict=True):
        scores[index] = _merged(scores[index], item.score, ranking)
    return replace(ranking, candidates=tuple(scores))


def mixed(scores: Sequence[Score]) -> bool:
    """Return whether scores are of several models, as a fast one's and its exact twin's are.

    Then no row is common to them, and a gap at the fork holds the difference of two models.
    """
    told = (score.provenance for score in scores if score.provenance is not None)
    found = {provenance.model for provenance in told if provenance.model is not None}
    return len(found) > 1


def check_same(old: Score, new: Score, ranking: Ranking) -> None:
    """Refuse a model that gives another number than a ranking has for a candidate.

    Raises:
        QueryError: names both numbers, and the model that ranked.
    """
    if old.logprob is None or new.logprob is None or old.logprob == new.logprob:
        return
    room = old.noise + new.noise + _SAME * (1 + len(new.token_ids or ()))
    if abs(old.logprob - new.logprob) <= room:
        return
    if old.boundary == "given":
        msg = (
            f"candidate {old.index} brought its own numbers, log Pr {old.logprob:.6g}, and this "
            f"model gives {new.logprob:.6g}; explain with the model that they are of, or leave out "
            f"token_logprobs and logits to have all scored by one"
        )
        raise QueryError(msg)
    name = None if ranking.provenance is None else ranking.provenance.model
    ranked_by = "" if name is None else f" (it was {name.model!r})"
    msg = (
        f"candidate {old.index}: this model gives log Pr {new.logprob:.6g}, the ranking has "
        f"{old.logprob:.6g}; explain with the model and the settings that ranked{ranked_by}"
    )
    raise QueryError(msg)


def _complete(score: Score) -> bool:
    return score.top_logprob is not None and (
        score.end_logprob is None or score.end_evidence is not None
    )


def _merged(old: Score, new: Score, ranking: Ranking) -> Score:
    """Return a score with the numbers of both rows of evidence and what was known of its text."""
    check_same(old, new, ranking)
    return replace(
        old,
        logprob=new.logprob,
        end_logprob=new.end_logprob,
        token_logprobs=new.token_logprobs,
        noise=new.noise,
        logit=new.logit,
        logz=new.logz,
        rank=new.rank,
        top_id=new.top_id,
        top_logit=new.top_logit,
        top_logprob=new.top_logprob,
        entropy=new.entropy,
        alternatives=new.alternatives,
        end_evidence=new.end_evidence,
        provenance=new.provenance,
    )
