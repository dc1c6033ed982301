"""Evidence without whole rows, as rows: full log-probabilities, and the compact record.

A compact step knows a few logits and the log-normaliser. The rest of the row's mass stands in one
more column, so that every sum over the vocabulary is right; what else the rest would say is not
asked (`RecordedRows.top`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from logpr._values import Query
from logpr.auditing.claims.values import ClaimRow, CompactStep
from logpr.errors import NumbersError
from logpr.models.logits import LogitsModel
from logpr.numerics import log_sub, logsumexp


def full_logprob_models(
    rows: Sequence[ClaimRow], queries: Sequence[Query]
) -> list[LogitsModel | None]:
    """Return for each record a model of its rows of log-probabilities, or None."""
    out: list[LogitsModel | None] = []
    for row, query in zip(rows, queries, strict=True):
        found = [
            (query.prompt_ids or (), candidate.token_ids, claim.logprobs)
            for candidate, claim in zip(query.candidates, row.claims, strict=True)
            if claim.logprobs is not None and candidate.token_ids is not None
        ]
        out.append(LogitsModel.from_rows(found, name=row.where) if found else None)
    return out


def compact_models(rows: Sequence[ClaimRow], queries: Sequence[Query]) -> list[LogitsModel | None]:
    """Return for each record a model of its compact steps, or None.

    Raises:
        NumbersError: a step's logits hold more mass than its log-normaliser.
    """
    width = 2 + max(
        (
            token
            for row in rows
            for claim in row.claims
            for step in claim.steps or ()
            for token in (step.token_id, *step.top_ids, *(step.shortlist_ids or ()))
        ),
        default=0,
    )
    out: list[LogitsModel | None] = []
    for row, query in zip(rows, queries, strict=True):
        found = []
        for place, claim in enumerate(row.claims):
            if not claim.steps or any(s.logit is None or s.logz is None for s in claim.steps):
                continue
            ids = tuple(step.token_id for step in claim.steps)
            table = np.stack(
                [
                    _row(step, width, f"{row.where}, candidate {place}, step {number}")
                    for number, step in enumerate(claim.steps)
                ]
            )
            found.append((query.prompt_ids or (), ids, table))
        out.append(LogitsModel.from_rows(found, name=row.where) if found else None)
    return out


def _row(step: CompactStep, width: int, where: str) -> np.ndarray:
    assert step.logit is not None
    assert step.logz is not None
    row = np.full(width, -np.inf)
    known: dict[int, float] = dict(zip(step.top_ids, step.top_logits, strict=True))
    if step.shortlist_ids is not None and step.shortlist_logits is not None:
        known |= dict(zip(step.shortlist_ids, step.shortlist_logits, strict=True))
    known[step.token_id] = step.logit
    row[list(known)] = list(known.values())
    held = float(logsumexp(np.asarray(list(known.values()))))
    # Logits are recorded as float64 of what may have been float32: a rounding over is no fault.
    if held > step.logz + 1e-3:
        msg = (
            f"{where}: its logits hold {np.exp(held - step.logz):.4g} times the mass of its logz "
            f"{step.logz:.6g}; one of them is of another step: record logz of the whole row"
        )
        raise NumbersError(msg)
    if held < step.logz:
        row[-1] = float(log_sub(step.logz, held))
    return row
