"""What was claimed, as intervals over the candidates of a scene."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from logpr.auditing.claims.values import Claim, ClaimRow, Declares, Printed
from logpr.auditing.faults.totals import declared_totals
from logpr.auditing.search.pipeline import Declared
from logpr.auditing.search.race import Targets
from logpr.errors import QueryError


@dataclass(frozen=True, slots=True)
class Claimed:
    """The claims of a file: one a candidate, `numbers` those that have one.

    `summed`: no candidate's own score was claimed, only its tokens', and their sums are audited.
    """

    claims: tuple[Claim, ...]
    scores: tuple[Printed | None, ...]
    targets: Targets
    numbers: tuple[int, ...]
    summed: bool


def claimed_of(rows: Sequence[ClaimRow]) -> Claimed:
    """Return the claims of all candidates, in file order."""
    claims = tuple(claim for row in rows for claim in row.claims)
    summed = all(claim.score is None for claim in claims)
    scores = tuple(_sum(claim) if summed else claim.score for claim in claims)
    low = np.array([np.nan if score is None else score.low for score in scores])
    high = np.array([np.nan if score is None else score.high for score in scores])
    numbers = tuple(number for number, score in enumerate(scores) if score is not None)
    return Claimed(claims, scores, Targets(low, high), numbers, summed)


def _sum(claim: Claim) -> Printed | None:
    tokens = claim.token_scores
    if tokens is None:
        return None
    value = sum(token.value for token in tokens)
    low, high = sum(token.low for token in tokens), sum(token.high for token in tokens)
    return Printed(text=f"{value:g}", value=value, low=low, high=high, decimals=None)


def declares_of_all(rows: Sequence[ClaimRow]) -> Declares:
    """Return what all claims are declared to be.

    Raises:
        QueryError: rows declare different rules or units: they are audited apart.
    """
    first = rows[0]
    for row in rows[1:]:
        for name in ("rule", "unit"):
            mine, other = getattr(first.declares, name), getattr(row.declares, name)
            if mine != other:
                msg = (
                    f"{row.where} declares {name} {other!r} and {first.where} {mine!r}; numbers of "
                    f"two kinds are audited apart: one file for each"
                )
                raise QueryError(msg)
    ends = {row.declares.end for row in rows}
    return first.declares if len(ends) == 1 else replace(first.declares, end=None)


def declared_of(declares: Declares, *, summed: bool) -> Declared:
    """Return the declared aggregate and unit; of sums of token claims, the sum in nats."""
    rule = "logprob" if summed else declares.rule
    return Declared(*declared_totals(rule, declares.unit))
