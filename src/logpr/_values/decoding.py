"""What a decoder found, and what is proven about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, TypeAlias

from logpr._types import End
from logpr._values._base import Value
from logpr._values.explanation import Explanation
from logpr._values.provenance import Provenance

Method: TypeAlias = Literal[
    "greedy", "beam", "exact", "threshold", "sample", "sample_without_replacement"
]
MinLength: TypeAlias = Literal["restrict", "renormalise"]
"""`restrict`: shorter outputs are left out, each other keeps its probability. `renormalise`: END is
masked before that length and the rest of the row shares its probability."""

Status: TypeAlias = Literal["optimal", "optimal_within", "gap", "infeasible"]
Stopped: TypeAlias = Literal["finished", "budget", "interrupted", "tolerance"]
NodeKind: TypeAlias = Literal["finished", "expanded", "open", "pruned", "dropped"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoded(Value):
    """One output y. `logprob` = log Pr(y | x), in nats: Σ token_logprobs + end_logprob.

    END is no token of it. `score` is the number that the objective ranks by. `finished` is False
    for what was cut at `max_new_tokens` before its end: its `logprob` is that of a beginning, and
    is never compared with those of finished outputs.
    """

    token_ids: tuple[int, ...]
    text: str | None
    token_texts: tuple[str, ...]
    logprob: float
    score: float
    token_logprobs: tuple[float, ...]
    end_logprob: float | None
    finished: bool
    names: tuple[str, ...] = ()
    """Who came to it: greedy, beam-5, mode, sample, empty."""
    string_mass: float | None = None
    """Pr of its text: the sum over those of its spellings that the search finished."""
    logprob_given_constraint: tuple[float, float] | None = None
    """log Pr(y | x, y in C) lies between these, under a constraint C."""
    proposal_logprob: float | None = None
    """log q of a sample: under the distribution it was drawn from."""
    gumbel: float | None = None
    """log q plus Gumbel noise: sampling without replacement keeps the largest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MassLedger(Value):
    """Where the whole probability of 1 went: parts by their sum of Pr, which add up to 1.

    `finished`: outputs that ended. `open`: beginnings that could still be gone on with and may
    beat the best. `pruned`: beginnings that cannot. `dropped`: beginnings let go without that
    proof (a beam's width, the bound on memory, tokens that a model does not show). `truncated`:
    beginnings of outputs longer than `max_new_tokens`. `excluded`: what the constraint or the least
    length rules out. `unnamed`: what the model gives to no outcome (tables of probabilities).
    """

    finished: float = 0.0
    open: float = 0.0
    pruned: float = 0.0
    dropped: float = 0.0
    truncated: float = 0.0
    excluded: float = 0.0
    unnamed: float = 0.0

    @property
    def total(self) -> float:
        """Return the sum of the parts: 1 within rounding, or something was lost."""
        return (
            self.finished
            + self.open
            + self.pruned
            + self.dropped
            + self.truncated
            + self.excluded
            + self.unnamed
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Constraint(Value):
    """The outputs that are allowed, as they were asked for.

    `choices` and `choice_ids` hold token sequences; `regex` a regular expression over the whole
    text of the output, `json_schema` a schema as JSON text.
    """

    kind: Literal["choices", "choice_ids", "regex", "json_schema"]
    source: str | None = None
    sequences: tuple[tuple[int, ...], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate(Value):
    """What is proven of the best output: its score, and a bound that no other output exceeds.

    lower = score(y) <= max over outputs <= upper, gap = upper − lower. `status`: `optimal` (gap 0);
    `optimal_within` (gap above 0, at most `tolerance` or the numerical `epsilon`); `gap`;
    `infeasible` (no output is allowed, or none has a probability above 0 or the threshold).
    Outputs have at most `max_new_tokens` tokens; `any_length` says that longer ones are beaten too.
    Under method `threshold` the claim is that every output with Pr >= threshold was found: `lower`
    is log threshold, and `upper` bounds the score of what may be missing.
    """

    status: Status
    token_ids: tuple[int, ...] | None
    lower: float
    upper: float
    gap: float
    objective: str
    end: End
    end_ids: tuple[int, ...]
    min_new_tokens: int
    max_new_tokens: int
    min_length: MinLength
    constraint: Constraint | None
    threshold: float | None
    tolerance: float
    epsilon: float
    """Nats that the scores may be off by: the best and the first open ones, scored by the plain
    path beside the search, and the model's measured noise."""
    any_length: bool
    stopped: Stopped
    expansions: int
    """Beginnings whose next-token distribution was computed."""
    forward_passes: int
    tokens_fed: int
    tokens_fed_again: int
    """Of `tokens_fed`: those that had gone through before. Their keys and values had been let go
    for lack of room, or the model keeps none."""
    largest_open: float
    """Bound on the score of whatever an open beginning leads to; −inf where none is open."""
    largest_dropped: float
    largest_truncated: float
    at_most_better: int | None
    """At most so many outputs could still beat the best; None where nothing bounds them."""
    mass: MassLedger
    prompt_ids: tuple[int, ...]
    bias: tuple[tuple[int, float], ...] = ()
    nbest_proven: int = 0
    """So many outputs of the list are proven to be the best ones, in their order."""

    _rich_view: ClassVar[str | None] = "logpr.report.terminal:certificate"


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeNode(Value):
    """A beginning of outputs that the search looked at, for the picture of its tree.

    `parent` is the place of the beginning that is one token shorter, None for the empty one.
    """

    parent: int | None
    token_id: int | None
    text: str
    logprob: float
    kind: NodeKind
    names: tuple[str, ...] = ()
    """Whose path it is on: greedy, beam-5, mode."""
    end_logprob: float | None = None
    """log Pr of ending here, where that was allowed and looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment(Value):
    """How far a search was: what its live line shows, and its picture over time."""

    seconds: float
    expansions: int
    lower: float
    upper: float
    open: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoding(Value):
    """The best output that was found, others beside it, and the certificate.

    `best` is None where nothing was found; where nothing ended, it is a beginning that was cut, and
    the certificate speaks of no output. `nbest` holds it, first but for draws. `compared` are the
    outputs of other ways to decode, best or not: greedy, beam-5, a typical sample, the empty
    output. `empty_rank` is the rank of the empty output among all, as (at least, at most or None).
    """

    prompt: str | None
    prompt_ids: tuple[int, ...]
    method: Method
    width: int | None
    objective: str
    best: Decoded | None
    nbest: tuple[Decoded, ...]
    greedy: Decoded | None
    compared: tuple[Decoded, ...] = ()
    empty_rank: tuple[int, int | None] | None = None
    certificate: Certificate
    history: tuple[Moment, ...] = ()
    tree: tuple[TreeNode, ...] = ()
    kappa: float | None = None
    """Of draws without replacement: the `gumbel` that the next one has. Σ f(y) Pr(y) / (1 −
    exp(−exp(log q(y) − kappa))) over the draws has the expectation Σ f(y) Pr(y)."""
    explanation: Explanation | None = None
    """Why the greedy output lost to the best, where that was asked and they differ."""
    seconds: float
    peak_bytes: int
    """Keys, values, rows and records that the search held at most."""
    warnings: tuple[str, ...] = ()
    provenance: Provenance

    _rich_view: ClassVar[str | None] = "logpr.report.terminal:decoding"
    _html_view: ClassVar[str | None] = "logpr.report.html:decoding"


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim(Value):
    """One thing that a certificate says, looked at again."""

    id: str
    holds: bool | None
    """None: it was not settled within the budget."""
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification(Value):
    """A certificate looked at again, by other code than the search.

    `counterexample` is an output that the certificate says cannot be.
    """

    verified: bool | None
    """True: all claims hold. False: one does not. None: the budget ended before the last one."""
    subject: str = ""
    """What the certificate says, of which output, after which prompt, by which model."""
    claims: tuple[Claim, ...]
    expansions: int
    counterexample: Decoded | None = None

    _rich_view: ClassVar[str | None] = "logpr.report.terminal:verification"
