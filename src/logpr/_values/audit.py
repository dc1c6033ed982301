"""What an audit found: the verdict, the computation that reproduces the numbers, the damage."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, TypeAlias

from logpr._types import End
from logpr._values._base import Value
from logpr._values.provenance import Provenance

AuditVerdict: TypeAlias = Literal[
    "correct",
    "fault",
    "other_definition",
    "ambiguous",
    "unexplained",
    "not_enough_precision",
    "not_enough_evidence",
]
"""`correct`: what was declared. `fault`: a fault of the zoo reproduces the numbers.
`other_definition`: a choice of the zoo does, another question and no bug. `ambiguous`: several
computations do. `unexplained`: none does. The last two: it could not be judged."""

Stage: TypeAlias = Literal["encode", "context", "align", "normalise", "mask", "aggregate", "unit"]
"""The part of a scorer that an entry of the zoo changes."""

FaultKind: TypeAlias = Literal["fault", "choice"]
"""`fault`: wrong under every reading. `choice`: another quantity, right if that was asked."""

Parameter: TypeAlias = int | float | str | tuple[int, ...] | tuple[float, float]
"""A parameter of a fault: solved ones are an interval [low, high]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultFound(Value):
    """One entry of the zoo with its parameters, as it reproduces the claims."""

    id: str
    stage: Stage
    kind: FaultKind
    parameters: tuple[tuple[str, Parameter], ...] = ()

    _pairs: ClassVar[tuple[str, ...]] = ("parameters",)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditAlternative(Value):
    """Another computation that was tried; no changes at all is the declared one.

    `stands`: it reproduces the claims too. `same` then says that this input cannot tell it from
    the one that was named: on it both give the same numbers, not only the same printed digits.
    Where it does not stand, `explained` of the `tested` claims lie in their intervals, and
    `off_by` is how far the worst lies outside its own, in the claims' unit.
    """

    changes: tuple[FaultFound, ...]
    stands: bool
    same: bool = False
    explained: int
    tested: int
    off_by: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRow(Value):
    """One candidate: what was claimed, what reproduces it, and what is true.

    `claimed` is null where only tokens were claimed; `printed` is the text it was read from.
    [low, high] is the interval that its digits stand for. `reproduced` is the number of the named
    computation, `true` the number of what was declared (rule and unit), `logprob` log Pr(y | x).
    The token columns are null where no token was claimed or the evidence has none.
    """

    id: str | int | None
    index: int
    text: str | None
    tokens: int | None
    claimed: float | None
    printed: str | None
    low: float | None
    high: float | None
    reproduced: float | None
    true: float | None
    logprob: float | None
    explained: bool
    struck: bool = False
    """Whether the declared computation does not give it."""
    token_texts: tuple[str, ...] | None = None
    token_claimed: tuple[float | None, ...] | None = None
    token_reproduced: tuple[float | None, ...] | None = None
    token_logprobs: tuple[float, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Flip(Value):
    """A decision that the true numbers make otherwise.

    `nats` = log Pr(best) − log Pr(chosen) > 0 (in the declared rule's unit where that is not
    `logprob`). Frequencies are the mean log10 of how often a token comes in the claims' own
    candidates.
    """

    id: str | int | None
    chosen: int
    best: int
    nats: float
    chosen_text: str | None
    best_text: str | None
    chosen_tokens: int | None
    best_tokens: int | None
    label: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift(Value):
    """How claims depart from the truth, along one quantity of the candidate.

    `points` are (quantity, claimed − true) of the candidates, `slope` and `correlation` of their
    least-squares line; `chosen` and `best` are the mean quantity of the winners by the claims and
    by the true numbers.
    """

    quantity: Literal["tokens", "token_frequency"]
    points: tuple[tuple[float, float], ...]
    slope: float | None
    correlation: float | None
    chosen: float | None
    best: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Damage(Value):
    """What the numbers did to the decisions: `decisions` of two candidates or more.

    `label_disagrees` counts decisions where the label is not what the true numbers prefer: no
    fault of the scorer, the objective disagrees with the label.
    """

    decisions: int
    flips: tuple[Flip, ...]
    drifts: tuple[Drift, ...] = ()
    labelled: int = 0
    claimed_right: int = 0
    true_right: int = 0
    label_disagrees: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ShortlistStep(Value):
    """One step of a token claimed against an unlogged or a given shortlist.

    `excess` = claimed − log Pr, `mass` = exp(−excess) the share of the distribution that the
    implied normaliser covers; `k` the sizes of a top-k list that would give it, if any.
    """

    id: str | int | None
    index: int
    position: int
    token: str | None
    excess: float
    mass: float
    size: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmReport(Value):
    """One arm of an A/B test: its decisions, its winners' length and their tokens' frequency."""

    arm: str
    decisions: int
    flips: int
    mean_tokens: float | None
    mean_token_frequency: float | None
    explained: int
    rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MixedGroup(Value):
    """Claims of one file that one computation explains, where none explains all.

    `changes` None: nothing tried explains these. `common` says what they have in common and the
    others have not, one sentence each.
    """

    changes: tuple[FaultFound, ...] | None
    rows: tuple[tuple[str | int | None, int], ...]
    common: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding(Value):
    """Something seen in the numbers themselves, without recomputing any: a fingerprint.

    `id` is stable; `suggests` are zoo ids that leave this mark.
    """

    id: str
    says: str
    rows: int
    suggests: tuple[str, ...] = ()
    accuses: bool = False
    """Whether no correct log-probabilities could look so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Untested(Value):
    """Hypotheses that the evidence at hand cannot test, and what would."""

    ids: tuple[str, ...]
    needs: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NextInput(Value):
    """The cheapest input that would tell the survivors apart, and what each would print."""

    says: str
    prompt: str | None = None
    candidate: str | None = None
    predictions: tuple[tuple[str, float | None], ...] = ()

    _pairs: ClassVar[tuple[str, ...]] = ("predictions",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Correction(Value):
    """The formula that was used, the one to use, and the line of code that computes it."""

    used: str
    use: str
    code: str
    page: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditReport(Value):
    """What computation made these numbers: the verdict, its evidence, and what it did.

    `faults` are the changes of the named computation (two for a pair); none for `correct`.
    `explained_rows` of `rows_total` claims lie in their intervals under it. `max_residual` is the
    largest distance between a claim and its reproduction, in the claims' unit.
    `expected_accidental_matches` is how many of the computations tried would be expected to fit
    all claims by chance.
    """

    verdict: AuditVerdict
    sentence: str
    faults: tuple[FaultFound, ...] = ()
    alternatives: tuple[AuditAlternative, ...] = ()
    explained_rows: int = 0
    rows_total: int = 0
    flips: int = 0
    max_residual: float | None = None
    expected_accidental_matches: float | None = None
    next_input: NextInput | None = None
    computed_in: str | None = None
    damage: Damage | None = None
    correction: Correction | None = None
    rows: tuple[AuditRow, ...] = ()
    shortlist: tuple[ShortlistStep, ...] = ()
    groups: tuple[MixedGroup, ...] = ()
    arms: tuple[ArmReport, ...] = ()
    findings: tuple[Finding, ...] = ()
    untested: tuple[Untested, ...] = ()
    hypotheses: int = 0
    noise: float | None = None
    evidence: str = "none"
    declared: tuple[tuple[str, str], ...] = ()
    warnings: tuple[str, ...] = ()
    end: End | None = None
    provenance: Provenance | None = None

    _pairs: ClassVar[tuple[str, ...]] = ("declared",)
    _rich_view: ClassVar[str | None] = "logpr.report.terminal:audit"
    _html_view: ClassVar[str | None] = "logpr.report.html:audit"

    @property
    def exit_code(self) -> int:
        """Return the exit code of `logpr audit`: 0 correct, 1 found something, 2 not judged."""
        if self.verdict == "correct":
            return 0
        return 2 if self.verdict.startswith("not_enough") else 1


def alike(rows: Sequence[AuditRow]) -> Literal["nan", "equal"] | None:
    """Return in what way all claimed scores are the same, so that nothing can be told from them."""
    claimed = [row.claimed for row in rows if row.printed is not None]
    if claimed and all(value is not None and math.isnan(value) for value in claimed):
        return "nan"
    return "equal" if len(claimed) > 1 and len(set(claimed)) == 1 else None
