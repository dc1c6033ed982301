"""What claims show in their numbers alone, with nothing recomputed.

A check returns a `Finding` for what it saw. It accuses only of what no correct log-probabilities,
under what was declared, could be. A number is read as the interval that its digits stand for, and
where chance alone could make what is seen, nothing is said.
"""

from __future__ import annotations

from collections.abc import Sequence

from logpr._values.audit import Finding
from logpr.auditing.claims import bounds, meetings
from logpr.auditing.claims.items import Check, items_of
from logpr.auditing.claims.ratios import column_ratios, score_per_token
from logpr.auditing.claims.values import ClaimRow

_CHECKS: tuple[Check, ...] = (
    bounds.nan_values,
    bounds.positive_value,
    bounds.outside_probability,
    bounds.infinite_values,
    bounds.looks_like_probability,
    meetings.sums_to_one,
    bounds.percent,
    meetings.power_of_two_grid,
    meetings.all_equal,
    meetings.duplicates,
    meetings.integers,
)


def fingerprints(
    rows: Sequence[ClaimRow], *, counts: Sequence[int | None] | None = None
) -> tuple[Finding, ...]:
    """Return what the numbers show by themselves, what accuses first.

    `rows` of a finding counts the candidates struck. The ids: `nan_values`, `positive_value`,
    `above_one`, `negative_probability`, `infinite_values`, `underflow`, `looks_like_probability`,
    `sums_to_one`, `percent`, `constant_ratio` (one a column), `constant_per_token`,
    `power_of_two_grid`, `all_equal`, `duplicates`, `integers`.

    Args:
        rows: the claims.
        counts: |y| in tokens of every candidate of the file, where it is known.
    """
    items = list(items_of(rows))
    found = [finding for check in _CHECKS for finding in check(items)]
    found += column_ratios(rows, counts)
    if counts is not None:
        found += score_per_token(rows, counts)
    return tuple(sorted(found, key=lambda finding: not finding.accuses))
