"""Compact records as evidence: of each row a few logits, and the log-normaliser of the whole.

A row has a column for every id that its candidate's steps name, in order; one for any other id,
without mass; and one for the mass of all that was not recorded, so that sums over the vocabulary
are right. What else the rest would say is not asked (`CompactRows.top`). So a row is as wide as
what was recorded, whatever the vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from logpr._values import Query
from logpr.auditing.claims.values import Claim, ClaimRow, CompactStep
from logpr.auditing.scene.rows import Asked, Columns, Known, Prefix, Rows
from logpr.errors import NumbersError
from logpr.numerics import log_sub, logsumexp

END = -1
"""How a compact record writes the token of its END step."""

_OVER = 1e-3
"""Logits are recorded as float64 of what may have been float32: a rounding over is no fault."""

_SAME = 1e-5
"""Two logits of one row this near are one logit, recorded twice."""

_BESIDE = 2
"""Columns beside those of ids: any other id, and the rest."""

Logits: TypeAlias = dict[int, float]


@dataclass(frozen=True, slots=True)
class Compact:
    """One candidate's steps: its ids, END apart, the ids that its columns stand for, and its rows.

    Args:
        token_ids: of y.
        end_ids: the id that END's column stands for, where END was recorded.
        ids: of the columns.
        rows: [steps, ids + 1], the last column the rest.
        places: the row after each prefix.
    """

    token_ids: tuple[int, ...]
    end_ids: tuple[int, ...]
    ids: Columns
    rows: Rows
    places: Mapping[Prefix, int]


class CompactRows:
    """The rows of compact records, one record an owner."""

    raw = True
    rest = True
    starts = True

    def __init__(self, found: Sequence[Compact | None], *, top: int) -> None:
        self._found = found
        self.top = top
        widths = (len(each.ids) for each in found if each is not None)
        self.vocab = _BESIDE + max(widths, default=0)

    def rows(self, asked: Sequence[Asked]) -> tuple[Rows, Known]:
        """Return the rows recorded after each prefix by its own owner."""
        rows = np.full((len(asked), self.vocab), -np.inf)
        known = np.zeros(len(asked), dtype=np.bool_)
        for line, (owner, prefix) in enumerate(asked):
            mine = self._found[owner]
            place = None if mine is None else mine.places.get(prefix)
            if mine is not None and place is not None:
                row = mine.rows[place]
                rows[line, : len(row) - 1], rows[line, -1] = row[:-1], row[-1]
                known[line] = True
        rows[~known] = 0.0
        return rows, known

    def columns(self, owner: int) -> Columns | None:
        """Return which ids an owner's columns stand for."""
        mine = self._found[owner]
        return None if mine is None else mine.ids


def compact(
    query: Query, claim: Claim, *, where: str, end: int, known: Mapping[Prefix, Logits]
) -> Compact | None:
    """Return a candidate's compact steps, or None where it has none.

    Args:
        query: its record.
        claim: what it brought.
        where: its name.
        end: the id that END goes by.
        known: the logits that any candidate of the record knows after the same tokens.

    Raises:
        NumbersError: a step's logits hold more mass than its log-normaliser.
    """
    if not claim.steps or any(step.logit is None or step.logz is None for step in claim.steps):
        return None
    ids = tuple(step.token_id for step in claim.steps)
    prefixes = _prefixes(query, ids)
    mine = [
        _end_once(known[prefix], end, step.logz or 0.0)
        for step, prefix in zip(claim.steps, prefixes, strict=True)
    ]
    tokens = ids[:-1] if ids[-1] == END else ids
    named = sorted({*tokens, end, *(token for each in mine for token in each)})
    column = {token: place for place, token in enumerate(named)}
    rows = np.full((len(ids), len(named) + 1), -np.inf)
    for number, (step, logits) in enumerate(zip(claim.steps, mine, strict=True)):
        rows[number, [column[token] for token in logits]] = list(logits.values())
        rows[number, -1] = _rest(step, logits, f"{where}, step {number}")
    return Compact(
        token_ids=tokens,
        end_ids=(end,) if ids[-1] == END else (),
        ids=np.asarray(named, dtype=np.int64),
        rows=rows,
        places={prefix: number for number, prefix in enumerate(prefixes)},
    )


def end_id(rows: Sequence[ClaimRow]) -> int:
    """Return an id for END that no compact step of the file names."""
    named = (
        token
        for row in rows
        for claim in row.claims
        for step in claim.steps or ()
        for token in (step.token_id, *step.top_ids, *(step.shortlist_ids or ()))
    )
    return 1 + max(named, default=0)


def known_logits(row: ClaimRow, end: int) -> dict[Prefix, Logits]:
    """Return the logits that the record's candidates know, by the tokens before them."""
    out: dict[Prefix, Logits] = {}
    for claim in row.claims:
        steps = claim.steps or ()
        ids = tuple(step.token_id for step in steps)
        for step, prefix in zip(steps, _prefixes(row.query, ids), strict=True):
            mine = out.setdefault(prefix, {})
            mine |= dict(zip(step.top_ids, step.top_logits, strict=True))
            if step.shortlist_ids is not None and step.shortlist_logits is not None:
                mine |= dict(zip(step.shortlist_ids, step.shortlist_logits, strict=True))
            if step.logit is not None:
                mine[step.token_id if step.token_id != END else end] = step.logit
    return out


def _prefixes(query: Query, ids: tuple[int, ...]) -> list[Prefix]:
    prompt = query.prompt_ids or ()
    return [(*prompt, *ids[:place]) for place in range(len(ids))]


def _rest(step: CompactStep, known: Logits, where: str) -> float:
    """Return the logsumexp of what a step did not record."""
    assert step.logz is not None
    held = float(logsumexp(np.asarray(list(known.values()))))
    if held > step.logz + _OVER:
        msg = (
            f"{where}: its logits hold {np.exp(held - step.logz):.4g} times the mass of its logz "
            f"{step.logz:.6g}; one of them is of another step, or another candidate of the record "
            f"has other logits after the same tokens: record logz of the whole row, and one row a "
            f"prefix"
        )
        raise NumbersError(msg)
    return float(log_sub(step.logz, held)) if held < step.logz else -np.inf


def _end_once(known: Logits, end: int, logz: float) -> Logits:
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
