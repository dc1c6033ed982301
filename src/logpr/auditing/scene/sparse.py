"""Evidence that came with the claims, one recording a candidate, as rows over a vocabulary.

Rows of log-probabilities get one more column for the mass that they lack. A compact step knows a
few logits and the log-normaliser: the rest of its row's mass stands in one more column, so that
every sum over the vocabulary is right; what else the rest would say is not asked
(`RecordedRows.top`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from logpr._score._given import check_rows
from logpr._values import Candidate, Query
from logpr.auditing.claims.values import Claim, ClaimRow, CompactStep
from logpr.errors import NumbersError
from logpr.models.logits import LogitsModel
from logpr.numerics import log1mexp, log_sub, logsumexp

END = -1
"""How a compact record writes the token of its END step."""

_OVER = 1e-3
"""Logits are recorded as float64 of what may have been float32: a rounding over is no fault."""

_SAME = 1e-5
"""Two logits of one row this near are one logit, recorded twice."""


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


def compact(
    query: Query, claim: Claim, *, where: str, width: int, known: Mapping[object, dict[int, float]]
) -> Recorded | None:
    """Return a candidate's compact steps as rows of `width` columns, or None where it has none.

    Args:
        query: its record.
        claim: what it brought.
        where: its name.
        width: of a row: the last column is the rest, the one before it END.
        known: the logits that any candidate of the record knows after the same tokens.

    Raises:
        NumbersError: a step's logits hold more mass than its log-normaliser.
    """
    if not claim.steps or any(step.logit is None or step.logz is None for step in claim.steps):
        return None
    ids = tuple(step.token_id for step in claim.steps)
    table = np.stack(
        [
            _row(step, width, known[prefix], f"{where}, step {number}")
            for number, (step, prefix) in enumerate(
                zip(claim.steps, _prefixes(query, ids), strict=True)
            )
        ]
    )
    ended = ids[-1] == END
    tokens = ids[:-1] if ended else ids
    model = LogitsModel.from_rows([(query.prompt_ids or (), tokens, table)], name=where)
    return Recorded(model, tokens, (width - 2,) if ended else ())


def compact_width(rows: Sequence[ClaimRow]) -> int:
    """Return the columns of a row of compact steps: every id that is named, END, the rest."""
    named = (
        token
        for row in rows
        for claim in row.claims
        for step in claim.steps or ()
        for token in (step.token_id, *step.top_ids, *(step.shortlist_ids or ()))
    )
    return 3 + max(named, default=0)


def known_logits(row: ClaimRow, width: int) -> dict[object, dict[int, float]]:
    """Return the logits that the record's candidates know, by the tokens before them."""
    out: dict[object, dict[int, float]] = {}
    for claim in row.claims:
        steps = claim.steps or ()
        ids = tuple(step.token_id for step in steps)
        for step, prefix in zip(steps, _prefixes(row.query, ids), strict=True):
            mine = out.setdefault(prefix, {})
            mine |= dict(zip(step.top_ids, step.top_logits, strict=True))
            if step.shortlist_ids is not None and step.shortlist_logits is not None:
                mine |= dict(zip(step.shortlist_ids, step.shortlist_logits, strict=True))
            if step.logit is not None:
                mine[step.token_id if step.token_id != END else width - 2] = step.logit
    return out


def _prefixes(query: Query, ids: tuple[int, ...]) -> list[tuple[int, ...]]:
    prompt = query.prompt_ids or ()
    return [(*prompt, *ids[:place]) for place in range(len(ids))]


def _row(
    step: CompactStep, width: int, known: Mapping[int, float], where: str
) -> Float64[np.ndarray, " columns"]:
    assert step.logz is not None
    row = np.full(width, -np.inf)
    known = _end_once(known, width - 2, step.logz)
    row[list(known)] = list(known.values())
    held = float(logsumexp(np.asarray(list(known.values()))))
    if held > step.logz + _OVER:
        msg = (
            f"{where}: its logits hold {np.exp(held - step.logz):.4g} times the mass of its logz "
            f"{step.logz:.6g}; one of them is of another step: record logz of the whole row"
        )
        raise NumbersError(msg)
    if held < step.logz:
        row[-1] = float(log_sub(step.logz, held))
    return row


def _end_once(known: Mapping[int, float], end: int, logz: float) -> Mapping[int, float]:
    """Return the logits without the ids that END, which has a column of its own, is made of.

    Which ids those are is not recorded: the one that has END's own logit; of several, the largest
    that together are no more than END, as long as there is too much mass.
    """
    if end not in known:
        return known
    most = known[end]
    kept = dict(known)
    same = [token for token in known if token != end and abs(known[token] - most) <= _SAME]
    if same:
        del kept[same[0]]
        return kept
    taken = -np.inf
    for token in sorted(known, key=lambda token: -known[token]):
        both = float(np.logaddexp(taken, known[token]))
        over = float(logsumexp(np.array([*kept.values()]))) > logz + _OVER
        if over and token != end and both <= most + _SAME:
            del kept[token]
            taken = both
    return kept
