"""Reports of audits built by hand, as `audit` would return them."""

from __future__ import annotations

import math

from logpr._values import (
    ArmReport,
    AuditAlternative,
    AuditReport,
    AuditRow,
    Correction,
    Damage,
    Drift,
    FaultFound,
    Finding,
    Flip,
    MixedGroup,
    NextInput,
    ShortlistStep,
    Untested,
)
from tests.report.values import PROVENANCE

DECLARED = (("rule", "logprob"), ("end", "open"), ("unit", "nats"))
RAW = FaultFound(id="raw_logit_sum", stage="normalise", kind="fault")
SHORTLIST = FaultFound(
    id="shortlist_without_target",
    stage="normalise",
    kind="fault",
    parameters=(("k", 50), ("per", "request")),
)
TEMPERATURE = FaultFound(
    id="temperature", stage="normalise", kind="fault", parameters=(("T", (0.699, 0.701)),)
)
MEAN = FaultFound(id="mean", stage="aggregate", kind="choice")
PER_CHAR = FaultFound(id="per_char", stage="aggregate", kind="choice")
PER_BYTE = FaultFound(id="per_byte", stage="aggregate", kind="choice")


def a_row(**fields: object) -> AuditRow:
    """Return one claim of a shortlisted score, token by token; any field can be replaced."""
    known: dict[str, object] = {
        "id": "q1",
        "index": 1,
        "text": " plush rug",
        "tokens": 2,
        "claimed": -1.5,
        "printed": "-1.50",
        "low": -1.505,
        "high": -1.495,
        "reproduced": -1.4973,
        "true": -2.6,
        "logprob": -2.6,
        "explained": True,
        "token_texts": (" plush", " rug"),
        "token_claimed": (-1.81, 0.31),
        "token_reproduced": (-1.8085, 0.3112),
        "token_logprobs": (-2.1, -0.5),
    }
    return AuditRow(**(known | fields))  # type: ignore[arg-type]


def a_flip(**fields: object) -> Flip:
    """Return a decision that the true numbers make otherwise."""
    known: dict[str, object] = {
        "id": "q1",
        "chosen": 1,
        "best": 0,
        "nats": 0.2,
        "chosen_text": " plush rug",
        "best_text": " warm mat",
        "chosen_tokens": 2,
        "best_tokens": 2,
    }
    return Flip(**(known | fields))  # type: ignore[arg-type]


LENGTHS = Drift(
    quantity="tokens",
    points=tuple((float(1 + at % 9), 0.4 * (at % 9) + 0.1 * (at % 4)) for at in range(36)),
    slope=0.42,
    correlation=0.93,
    chosen=8.3,
    best=6.2,
)
FREQUENCIES = Drift(
    quantity="token_frequency",
    points=tuple((0.1 * at, 2 - 0.05 * at) for at in range(36)),
    slope=-0.5,
    correlation=-0.81,
    chosen=2.3,
    best=2.0,
)
DAMAGE = Damage(
    decisions=20,
    flips=(a_flip(id="q7", nats=0.05, label=0), a_flip(nats=1.2149, label=1)),
    drifts=(LENGTHS, FREQUENCIES),
    labelled=20,
    claimed_right=12,
    true_right=15,
    label_disagrees=5,
)
STEPS = (
    ShortlistStep(id="q1", index=1, position=0, token=" plush", excess=0.29, mass=0.748, size=50),
    ShortlistStep(id="q1", index=1, position=1, token=" rug", excess=0.81, mass=0.445),
    ShortlistStep(id="q1", index=0, position=0, token=" warm", excess=0.02, mass=0.98, size=50),
)
CORRECTION = Correction(
    used="sum of u[y_i] - log(sum of exp(u[t]) for t in S)",
    use="sum of u[y_i] - log(sum of exp(u[t]) for t in V)",
    code="logz = torch.logsumexp(logits, dim=-1)\nscore = (logits[y] - logz).sum()",
    page="docs/faults.md#shortlist_without_target",
)
ALTERNATIVES = (
    AuditAlternative(changes=(RAW,), stands=False, explained=0, tested=6, off_by=11.25),
    AuditAlternative(
        changes=(TEMPERATURE, MEAN), stands=False, explained=12, tested=40, off_by=0.3
    ),
    AuditAlternative(changes=(), stands=False, explained=3, tested=40, off_by=1.1),
    AuditAlternative(changes=(PER_CHAR,), stands=True, explained=40, tested=40),
    AuditAlternative(changes=(PER_BYTE,), stands=True, same=True, explained=40, tested=40),
)
UNTESTED = Untested(ids=("raw_logit_sum", "temperature"), needs="logits: --model, or recorded rows")
FINDING = Finding(
    id="positive",
    says="values above 0",
    rows=3,
    suggests=("raw_logit_sum", "shortlist_without_target"),
    accuses=True,
)
NEXT_INPUT = NextInput(
    says="Score a candidate with a letter outside ASCII.",
    prompt="The cat sat on the",
    candidate=" caf\u00e9",
    predictions=(("per_char", -0.51), ("per_byte", None)),
)


def a_fault(**fields: object) -> AuditReport:
    """Return a report of a shortlisted score, with all that a report may hold."""
    known: dict[str, object] = {
        "verdict": "fault",
        "sentence": "These 40 scores are no log-probabilities: reproduced to the printed digits.",
        "faults": (SHORTLIST,),
        "alternatives": ALTERNATIVES,
        "explained_rows": 40,
        "rows_total": 40,
        "flips": 2,
        "max_residual": 0.0047,
        "expected_accidental_matches": 1.2e-14,
        "damage": DAMAGE,
        "correction": CORRECTION,
        "rows": (
            a_row(index=2, text=" hat", claimed=-9.0, printed="-9.00", true=-9.1, reproduced=-9.0),
            a_row(id="q7", claimed=-2.3, printed="-2.30", true=-2.4, token_claimed=None,
                  token_reproduced=None, token_texts=None, token_logprobs=None),
            a_row(index=0, text=" warm mat", claimed=-2.4, printed="-2.40", true=-2.4),
            a_row(),
        ),
        "shortlist": STEPS,
        "findings": (FINDING,),
        "untested": (UNTESTED,),
        "hypotheses": 312,
        "noise": 2.3e-6,
        "evidence": "model",
        "declared": DECLARED,
        "end": "open",
        "provenance": PROVENANCE,
        "warnings": ("merged: the boundary is inside a token",),
    }  # fmt: skip
    return AuditReport(**(known | fields))  # type: ignore[arg-type]


CORRECT = AuditReport(
    verdict="correct",
    sentence="These 40 scores are log Pr(y | x), as declared: 40 of 40 within the printed digits.",
    alternatives=(
        AuditAlternative(changes=(PER_BYTE,), stands=True, same=True, explained=40, tested=40),
        AuditAlternative(changes=(RAW,), stands=False, explained=0, tested=40, off_by=11.0),
    ),
    explained_rows=40,
    rows_total=40,
    max_residual=0.0049,
    expected_accidental_matches=3e-20,
    hypotheses=312,
    rows=(a_row(claimed=-2.6, printed="-2.60"),),
    damage=Damage(decisions=20, flips=(), labelled=20, claimed_right=15, true_right=15,
                  label_disagrees=5),
    noise=2e-6,
    evidence="model",
    declared=DECLARED,
)  # fmt: skip

AMBIGUOUS = AuditReport(
    verdict="ambiguous",
    sentence="Two computations give these 6 numbers.",
    alternatives=ALTERNATIVES[3:],
    explained_rows=6,
    rows_total=6,
    next_input=NEXT_INPUT,
    rows=(a_row(token_texts=None, token_claimed=None, token_reproduced=None, token_logprobs=None),),
    declared=DECLARED,
)

MIXED = a_fault(
    verdict="unexplained",
    sentence="No one computation explains all 40: raw_logit_sum explains 30.",
    faults=(),
    explained_rows=30,
    groups=(
        MixedGroup(changes=(RAW,), rows=(("q1", 0), (None, 3)), common=()),
        MixedGroup(changes=(), rows=(("q2", 0),)),
        MixedGroup(
            changes=None,
            rows=tuple((f"q{at}", at) for at in range(9)),
            common=("All of these end in a merged boundary.",),
        ),
    ),
    rows=(a_row(explained=False, struck=True), a_row(index=0)),
    arms=(
        ArmReport(arm="A", decisions=10, flips=0, mean_tokens=6.1, mean_token_frequency=2.0,
                  explained=20, rows=20),
        ArmReport(arm="B", decisions=10, flips=2, mean_tokens=None, mean_token_frequency=None,
                  explained=10, rows=20),
    ),
)  # fmt: skip

NOT_ENOUGH = AuditReport(
    verdict="not_enough_evidence",
    sentence="Two numbers without a model can be compared with nothing.",
    rows_total=2,
    rows=(
        a_row(explained=False, reproduced=None, true=None, logprob=None, token_reproduced=None,
              token_logprobs=None),
        a_row(id=None, index=0, text=None, tokens=None, claimed=None, printed=None, low=None,
              high=None, reproduced=None, true=None, logprob=None, explained=False,
              token_texts=None, token_claimed=None, token_reproduced=None, token_logprobs=None),
    ),
    untested=(UNTESTED,),
)  # fmt: skip

BARE = AuditReport(verdict="not_enough_precision", sentence="One digit does not tell.")

NON_FINITE = a_fault(
    rows=(
        a_row(claimed=-math.inf, printed="-inf", low=-math.inf, high=-math.inf, reproduced=None),
        a_row(index=0, claimed=math.nan, printed="nan", reproduced=math.nan, true=-math.inf),
        a_row(index=2, claimed=1e22, printed=None, reproduced=1e22, true=-3.0),
    ),
    damage=Damage(
        decisions=1,
        flips=(a_flip(nats=math.inf),),
        drifts=(
            Drift(quantity="tokens", points=((1.0, math.inf), (2.0, math.nan), (3.0, 1e300)),
                  slope=math.nan, correlation=None, chosen=math.nan, best=None),
        ),
    ),
    shortlist=(ShortlistStep(id=None, index=0, position=0, token=None, excess=-math.inf,
                             mass=math.inf),),
    max_residual=math.inf,
    noise=0.0,
)  # fmt: skip

EVERY = {
    "fault": a_fault(),
    "correct": CORRECT,
    "ambiguous": AMBIGUOUS,
    "mixed": MIXED,
    "not_enough": NOT_ENOUGH,
    "bare": BARE,
    "non_finite": NON_FINITE,
}
