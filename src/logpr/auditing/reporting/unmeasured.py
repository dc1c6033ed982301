"""Claims without a model and without rows: what their numbers say of each other.

Where a candidate's tokens were claimed beside its score, the tokens are taken as they are and the
stages after them are looked for: a mean called a sum needs no model to be seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from logpr._values import AuditReport, AuditRow, Untested
from logpr.auditing.claims.fingerprints import fingerprints
from logpr.auditing.claims.values import Claim, ClaimRow, Declares
from logpr.auditing.faults import FAULTS
from logpr.auditing.reporting.sentence import declared_phrase
from logpr.auditing.scene.rows import RecordedRows
from logpr.auditing.scene.scene import Case, Material, Scene
from logpr.auditing.search.identify import Progress
from logpr.auditing.search.judge import Judgement, judge
from logpr.auditing.search.naming import correction, found_in, phrase
from logpr.auditing.search.targets import Claimed, declared_of
from logpr.models.logits import LogitsModel
from logpr.numerics import log1mexp

_NEEDS = "a model, recorded logits, full log-probabilities or a compact record"
_LEAST = 1e-9


def numbers_alone(
    rows: Sequence[ClaimRow], claimed: Claimed, declares: Declares, progress: Progress
) -> AuditReport:
    """Return what claims show with no evidence at all. No accusation without evidence."""
    findings = fingerprints(rows)
    accusing = [finding for finding in findings if finding.accuses]
    total = len(claimed.numbers)
    plain = AuditReport(
        verdict="unexplained" if accusing else "not_enough_evidence",
        sentence=_sentence(total, accusing[0].says if accusing else None),
        rows_total=total,
        rows=_rows(rows, claimed),
        findings=findings,
        untested=(Untested(ids=tuple(FAULTS), needs=_NEEDS),),
        declared=(("rule", declares.rule), ("unit", declares.unit)),
    )
    scene = _scene_of_tokens(rows, claimed)
    if scene is None or claimed.summed:
        return plain
    found = judge(
        scene,
        declared_of(declares, summed=False),
        claimed.targets,
        claimed.numbers,
        progress=progress,
    )
    return _of_tokens(plain, found)


def _of_tokens(plain: AuditReport, found: Judgement) -> AuditReport:
    total = plain.rows_total
    what = declared_phrase(dict(plain.declared))
    if found.verdict == "correct":
        says = (
            f"These {total} scores are what their token scores give as {what}; whether the token "
            f"scores are log-probabilities cannot be told without {_NEEDS}."
        )
        return replace(plain, sentence=says, evidence="token scores")
    if found.leader is None or found.verdict not in ("fault", "other_definition"):
        return plain
    named = found_in(found.leader)
    return replace(
        plain,
        verdict=found.verdict,
        sentence=(
            f"Taking their token scores as they are, these {total} scores are {phrase(named)}: "
            f"reproduced to the printed digits, {total} of {total}."
        ),
        faults=named,
        explained_rows=total,
        expected_accidental_matches=found.expected,
        correction=correction(named),
        hypotheses=found.tried,
        evidence="token scores",
    )


def _sentence(total: int, accusing: str | None) -> str:
    these = f"these {total} scores" if total != 1 else "this score"
    if accusing is not None:
        return f"No log-probabilities look like {these}: {accusing}"
    return (
        f"Nothing in the numbers contradicts log-probabilities; what {these} should be cannot be "
        f"told without {_NEEDS}."
    )


def _rows(rows: Sequence[ClaimRow], claimed: Claimed) -> tuple[AuditRow, ...]:
    out: list[AuditRow] = []
    for row in rows:
        for place, candidate in enumerate(row.query.candidates):
            score = claimed.scores[len(out)]
            tokens = claimed.claims[len(out)].token_scores
            out.append(
                AuditRow(
                    id=row.query.id,
                    index=place,
                    text=candidate.text,
                    tokens=None if candidate.token_ids is None else len(candidate.token_ids),
                    claimed=None if score is None or claimed.summed else score.value,
                    printed=None if score is None or claimed.summed else score.text,
                    low=None if score is None else score.low,
                    high=None if score is None else score.high,
                    reproduced=None,
                    true=None,
                    logprob=None,
                    explained=False,
                    token_claimed=None
                    if tokens is None
                    else tuple(token.value for token in tokens),
                )
            )
    return tuple(out)


def _scene_of_tokens(rows: Sequence[ClaimRow], claimed: Claimed) -> Scene | None:
    """Return a scene whose step log-probabilities are the claimed ones, or None."""
    usable = [
        claim.token_scores is not None
        and all(token.value <= 0 and np.isfinite(token.value) for token in claim.token_scores)
        for claim in claimed.claims
    ]
    if not any(usable) or not all(usable[number] for number in claimed.numbers):
        return None
    cases: list[Case] = []
    models: list[LogitsModel | None] = []
    half = 0.0
    for record, row in enumerate(rows):
        for place, (candidate, claim) in enumerate(
            zip(row.query.candidates, row.claims, strict=True)
        ):
            tokens = claim.token_scores or ()
            text = candidate.text
            half = max([half, *((token.high - token.low) / 2 for token in tokens)])
            cases.append(
                Case(
                    number=len(cases),
                    record=record,
                    place=place,
                    material=Material(
                        (),
                        (0,) * len(tokens),
                        chars=None if text is None else len(text),
                        bytes=None if text is None else len(text.encode(errors="replace")),
                    ),
                    text=text,
                    shown=text,
                    owner=len(cases),
                )
            )
            recording = ((), (0,) * len(tokens), _table(claim))
            models.append(LogitsModel.from_rows([recording], name=row.where) if tokens else None)
    return Scene(
        cases=tuple(cases),
        source=RecordedRows(models, raw=False, rest=True, top=0),
        noise=max(half, _LEAST),
    )


def _table(claim: Claim) -> np.ndarray:
    values = np.array([min(token.value, -1e-12) for token in claim.token_scores or ()])
    return np.stack([values, np.asarray(log1mexp(values))], axis=1)
