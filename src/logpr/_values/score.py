"""One candidate's log-probability, token by token."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from logpr._types import Boundary, End, Verdict
from logpr._values._base import Value
from logpr._values.provenance import Provenance


@dataclass(frozen=True, slots=True, kw_only=True)
class Alternative(Value):
    """One of the k best tokens at a position."""

    id: int
    text: str
    logprob: float
    logit: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenEvidence(Value):
    """What the model said at one position: the columns of a score, for a single outcome."""

    logit: float | None
    logz: float | None
    rank: int
    top_id: int
    top_logit: float | None
    top_logprob: float
    entropy: float
    alternatives: tuple[Alternative, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Score(Value):
    """log Pr(y | x) of one candidate.

    `logprob` = Σ token_logprobs (+ end_logprob under `stop`), natural log, float64. `tokens` and
    `bytes` count y (END never counts); `per_token` divides by tokens, plus 1 under `stop`.
    `token_spans` are byte offsets into `text`. The evidence columns (`logit` … `alternatives`) are
    None unless evidence was asked for; `rank` is 1 + the number of strictly larger logits.
    Under boundary `marginal` there are bounds instead of token columns: `lower`, `upper`, `exact`.
    A candidate that `rank(…, top=k)` dropped is `pruned`: `logprob` and what follows from it are
    None, and `upper` is what its first tokens sum to, which the whole cannot exceed.
    `noise` is the numerical uncertainty of `logprob` in nats, and of `upper` where that is None.
    """

    index: int = 0
    text: str | None
    logprob: float | None
    per_token: float | None
    per_char: float | None
    per_byte: float | None
    bits_per_byte: float | None
    choice_prob: float | None = None
    tokens: int | None
    bytes: int | None
    chars: int | None
    boundary: Verdict | None
    boundary_policy: Boundary = "separate"
    end: End = "open"
    end_logprob: float | None = None
    noise: float = 0.0
    prompt_ids: tuple[int, ...] | None = None
    token_ids: tuple[int, ...] | None = None
    token_texts: tuple[str, ...] | None = None
    token_spans: tuple[tuple[int, int], ...] | None = None
    token_logprobs: tuple[float, ...] | None = None
    logit: tuple[float | None, ...] | None = None
    logz: tuple[float | None, ...] | None = None
    rank: tuple[int, ...] | None = None
    top_id: tuple[int, ...] | None = None
    top_logit: tuple[float | None, ...] | None = None
    top_logprob: tuple[float, ...] | None = None
    entropy: tuple[float, ...] | None = None
    alternatives: tuple[tuple[Alternative, ...], ...] | None = None
    end_evidence: TokenEvidence | None = None
    joint_boundary_logprob: float | None = None
    """On a merged boundary: the value under boundary `joint`."""
    prompt_covered: int | None = None
    """Bytes of x that the first scored token covers (boundary `joint`, straddling token)."""
    lower: float | None = None
    upper: float | None = None
    exact: bool | None = None
    pruned: bool = False
    prompt_logprob: float | None = None
    joint_logprob: float | None = None
    rule_values: tuple[tuple[str, float | None], ...] = ()
    """Values of rules beyond the standing ones, by name."""
    warnings: tuple[str, ...] = ()
    provenance: Provenance | None = None

    _pairs: ClassVar[tuple[str, ...]] = ("rule_values",)
    _spill: ClassVar[str | None] = "rule_values"
    _rich_view: ClassVar[str | None] = "logpr.report.terminal:score"
    _html_view: ClassVar[str | None] = "logpr.report.html:score"
