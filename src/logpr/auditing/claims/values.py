"""What is audited: numbers as they were printed, and what they are declared to be."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from logpr._types import Bos, Boundary, End
from logpr._values import Query

Unit: TypeAlias = Literal["nats", "bits", "log10", "probability", "perplexity"]
"""What a claim is declared to be counted in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Printed:
    """A number as it was printed: every value in [low, high] prints so.

    -inf, inf and NaN stand for themselves: low = high = value.
    """

    text: str
    value: float
    low: float
    high: float
    decimals: int | None
    """Digits after the point; None where the text is no decimal fraction (1e-7, -inf)."""
    percent: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CompactStep:
    """What a compact record keeps of one step: no whole row, so it may leave the machine.

    logit − logz is the step's log-probability; `top_*` the k best, best first. Any may be absent.
    """

    token_id: int
    logit: float | None = None
    logz: float | None = None
    top_ids: tuple[int, ...] = ()
    top_logits: tuple[float, ...] = ()
    shortlist_ids: tuple[int, ...] | None = None
    shortlist_logits: tuple[float, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What was claimed for one candidate: its score, its tokens' scores, or both.

    `shortlist_ids` has one list per step; `logprobs` one row of the vocabulary per step, full
    log-probabilities; `steps` the compact record. (Rows of logits are in the query's candidate.)
    """

    score: Printed | None = None
    token_scores: tuple[Printed, ...] | None = None
    shortlist_ids: tuple[tuple[int, ...], ...] | None = None
    logprobs: tuple[tuple[float, ...], ...] | None = None
    steps: tuple[CompactStep, ...] | None = None


def is_claimed(claim: Claim) -> bool:
    """Return whether any number was claimed for a candidate: its score, or its tokens'."""
    return claim.score is not None or claim.token_scores is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Declares:
    """What the numbers are declared to be; the defaults are log Pr(y | x) in nats.

    `end`, `boundary` and `bos` None: as the record says, or the default of its kind.
    """

    rule: str = "logprob"
    end: End | None = None
    boundary: Boundary | None = None
    bos: Bos | None = None
    unit: Unit = "nats"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimRow:
    """One record of claims: a query, and what was claimed for each of its candidates.

    `chosen` is the index that the scorer's user took, the largest claim by default (None where no
    score was claimed). `where` is the record's place as messages name it.
    """

    query: Query
    claims: tuple[Claim, ...]
    where: str
    declares: Declares = field(default_factory=Declares)
    chosen: int | None = None
    arm: str | None = None
    fields: dict[str, Any] = field(default_factory=dict)
