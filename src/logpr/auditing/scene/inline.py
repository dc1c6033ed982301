"""Whole rows that came with the claims, one recording a candidate.

Rows of log-probabilities get one more column for the mass that they lack.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from logpr._score.given import check_rows
from logpr._values import Candidate, Query
from logpr.auditing.claims.values import Claim
from logpr.models.logits import LogitsModel
from logpr.numerics import log1mexp, logsumexp


@dataclass(frozen=True, slots=True)
class Recorded:
    """What one candidate brought: its ids, END apart, and the model of its rows."""

    model: LogitsModel
    token_ids: tuple[int, ...]
    end_ids: tuple[int, ...] = ()


def inline_logits(
    query: Query, candidate: Candidate, where: str, end_ids: Sequence[int]
) -> Recorded | None:
    """Return a candidate's rows of logits, or None where it has none.

    Raises:
        QueryError: they are not one a token.
        NumbersError: they are ragged, or no logits.
    """
    if candidate.logits is None or candidate.token_ids is None:
        return None
    stop = query.effective_end == "stop"
    check_rows(candidate.logits, len(candidate.token_ids), end_scored=stop, where=where)
    rows = np.asarray(candidate.logits, dtype=np.float64)
    model = LogitsModel.from_rows(
        [(query.prompt_ids or (), candidate.token_ids, rows)], name=where, end_ids=end_ids
    )
    return Recorded(model, candidate.token_ids, tuple(end_ids) if stop else ())


def full_logprobs(
    query: Query, candidate: Candidate, claim: Claim, *, where: str, end_ids: Sequence[int]
) -> Recorded | None:
    """Return a candidate's rows of log-probabilities, or None where it has none."""
    if claim.logprobs is None or candidate.token_ids is None:
        return None
    rows = np.asarray(claim.logprobs, dtype=np.float64)
    mass = np.minimum(np.reshape(logsumexp(rows), len(rows)), -1e-300)
    table = np.concatenate([rows, np.reshape(log1mexp(mass), (-1, 1))], axis=1)
    stop = query.effective_end == "stop"
    model = LogitsModel.from_rows(
        [(query.prompt_ids or (), candidate.token_ids, table)], name=where
    )
    return Recorded(model, candidate.token_ids, tuple(end_ids) if stop else ())
