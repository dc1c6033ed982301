"""The tokens of an explained candidate, a row each: what it is, what it cost, who was likelier."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from logpr._pair import shared_tokens, step_logprobs, step_text
from logpr._values import Alternative, Explanation, Score
from logpr.report.words.explanation import pair

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class TokenRow:
    """One token, or END; None for what is not known of it."""

    position: int
    text: str
    end: bool
    id: int | None
    logprob: float
    logit: float | None = None
    logz: float | None = None
    logit_gap: float | None = None
    top_surprisal: float | None = None
    rank: int | None = None
    favourite: str | None = None


def parted(value: Explanation) -> int:
    """Return the position at which the two part; 0 where they have no step in common."""
    first, second = pair(value)
    return shared_tokens(first, second)


def leading(value: Explanation) -> str:
    """Return what both have seen when they part: the prompt and the tokens that they share."""
    first, _ = pair(value)
    shared = (step_text(first, place) for place in range(parted(value)))
    return (value.ranking.prompt or "") + "".join(shared)


def rows(value: Explanation, score: Score) -> list[TokenRow]:
    """Return a row for each token of one of the two, END last where it is scored."""
    size = len(score.token_logprobs or ())
    split = next((each for each in value.splits if each.index == score.index), None)
    out: list[TokenRow] = []
    for place, logprob in enumerate(step_logprobs(score)):
        evidence = score.end_evidence if place == size else None
        out.append(
            TokenRow(
                position=place,
                text=step_text(score, place),
                end=place == size,
                id=_at(score.token_ids, place),
                logprob=logprob,
                logit=evidence.logit if evidence else _at(score.logit, place),
                logz=evidence.logz if evidence else _at(score.logz, place),
                logit_gap=None if split is None else split.logit_gap[place],
                top_surprisal=None if split is None else split.top_surprisal[place],
                rank=evidence.rank if evidence else _at(score.rank, place),
                favourite=(
                    _named(evidence.top_id, evidence.alternatives)
                    if evidence
                    else _named(_at(score.top_id, place), _at(score.alternatives, place) or ())
                ),
            )
        )
    return out


def _at(column: Sequence[T] | None, place: int) -> T | None:
    return None if column is None or place >= len(column) else column[place]


def _named(token: int | None, alternatives: Sequence[Alternative]) -> str | None:
    if token is None:
        return None
    return next((item.text for item in alternatives if item.id == token), f"#{token}")
