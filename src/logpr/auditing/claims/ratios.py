"""Claims that are a constant times something else: another column of the file, the tokens."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from logpr._values.audit import Finding
from logpr.auditing.claims.printed import printed
from logpr.auditing.claims.values import ClaimRow, Printed
from logpr.errors import NumbersError

Span: TypeAlias = tuple[float, float]

_SINGLE = 1e-6
"""Float32 numbers that should be equal differ by less than this share of themselves."""

_FEW = 4
_CHANCE = 1e-3

_BITS, _LOG10 = 1.0 / math.log(2.0), 1.0 / math.log(10.0)

_NAMED: tuple[tuple[float, str, tuple[str, ...]], ...] = (
    (1.0, "equal to", ()),
    (-1.0, "−1 times", ("negated",)),
    (_BITS, "1/ln 2 times", ("in_bits",)),
    (_LOG10, "1/ln 10 times", ("in_log10",)),
    (-_BITS, "−1/ln 2 times", ("in_bits", "negated")),
    (-_LOG10, "−1/ln 10 times", ("in_log10", "negated")),
    (1.0 / _BITS, "ln 2 times", ()),
    (1.0 / _LOG10, "ln 10 times", ()),
)


def column_ratios(rows: Sequence[ClaimRow], counts: Sequence[int | None] | None) -> list[Finding]:
    """Return the columns that the claims are a constant times, or that divided by the tokens.

    Columns are the numeric fields of candidates, and lists of one number a candidate beside them.
    """
    found = []
    scores = [claim.score for row in rows for claim in row.claims]
    for name, column in _columns(rows).items():
        spans = [_span(value) for value in column]
        ratio = _constant(scores, spans, distinct=3)
        if ratio is not None:
            says, suggests = _named(ratio[0])
            found.append(
                Finding(
                    id="constant_ratio",
                    says=f"the claims are {says} the column {name!r}, in all {ratio[1]} rows",
                    rows=ratio[1],
                    suggests=suggests,
                )
            )
            continue
        if counts is None:
            continue
        mean = [
            None if span is None or not count else (span[0] / count, span[1] / count)
            for span, count in zip(spans, counts, strict=True)
        ]
        ratio = _constant(scores, mean, distinct=3)
        sign = None if ratio is None else _sign(ratio[0])
        if ratio is not None and sign is not None:
            turned = "" if sign > 0 else "minus "
            found.append(
                Finding(
                    id="constant_ratio",
                    says=(
                        f"the claims are {turned}the column {name!r} divided by the tokens, in "
                        f"all {ratio[1]} rows"
                    ),
                    rows=ratio[1],
                    suggests=("mean",) if sign > 0 else ("mean", "negated"),
                )
            )
    return found


def score_per_token(rows: Sequence[ClaimRow], counts: Sequence[int | None]) -> list[Finding]:
    """Return a finding where each claim is the same number times its candidate's tokens."""
    scores = [claim.score for row in rows for claim in row.claims]
    spans = [None if not count else (float(count), float(count)) for count in counts]
    ratio = _constant(scores, spans, distinct=2)
    if ratio is None:
        return []
    low, high = ratio[0]
    return [
        Finding(
            id="constant_per_token",
            says=(
                f"the claim per token is the same, {(low + high) / 2:.4g}, for all {ratio[1]} "
                f"candidates, whatever the tokens"
            ),
            rows=ratio[1],
            suggests=("double_softmax", "log_epsilon"),
        )
    ]


def _columns(rows: Sequence[ClaimRow]) -> dict[str, list[Any]]:
    """Return the further columns of the candidates, None where a candidate lacks it."""
    total = sum(len(row.claims) for row in rows)
    out: dict[str, list[Any]] = {}
    start = 0
    for row in rows:
        size = len(row.claims)
        lists: Mapping[str, Any] = {
            name: value
            for name, value in row.fields.items()
            if isinstance(value, (list, tuple)) and len(value) == size
        }
        for name, values in lists.items():
            out.setdefault(name, [None] * total)[start : start + size] = values
        for place, candidate in enumerate(row.query.candidates):
            for name, value in candidate.extra:
                out.setdefault(name, [None] * total)[start + place] = value
        start += size
    return out


def _span(value: object) -> Span | None:
    """Return the interval of a number that is not 0, or None."""
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        return None
    try:
        number = printed(value)
    except NumbersError:
        return None
    return _sided(number)


def _sided(number: Printed | None) -> Span | None:
    """Return the interval, a float's own error allowed for; None where it has no sign."""
    if number is None or not math.isfinite(number.value):
        return None
    slack = abs(number.value) * _SINGLE
    low, high = number.low - slack, number.high + slack
    return (low, high) if low > 0 or high < 0 else None


def _constant(
    scores: Sequence[Printed | None], column: Sequence[Span | None], *, distinct: int
) -> tuple[Span, int] | None:
    """Return the ratio that all scores may have to a column, and of how many; None: there is none.

    Every candidate with a claim and a number in the column must fit, and so closely that chance
    would not do it.
    """
    pairs = [
        (mine, other)
        for score, other in zip(scores, column, strict=True)
        if other is not None and (mine := _sided(score)) is not None
    ]
    wanted = sum(score is not None and math.isfinite(score.value) for score in scores)
    different = {round(other[0] + other[1], 9) for _, other in pairs}
    if len(pairs) < _FEW or len(different) < distinct or 2 * len(pairs) <= wanted:
        return None
    ratios = []
    for mine, other in pairs:
        ends = [first / second for first in mine for second in other]
        ratios.append((min(ends), max(ends)))
    low, high = max(one[0] for one in ratios), min(one[1] for one in ratios)
    if low > high:
        return None
    widths = sorted((one[1] - one[0]) / max(map(abs, one)) for one in ratios)
    # The first fixes the ratio; each further one would miss it but for its own width.
    chance = math.fsum(math.log(min(1.0, width)) for width in widths[1:])
    return ((low, high), len(pairs)) if chance < math.log(_CHANCE) else None


def _named(span: Span) -> tuple[str, tuple[str, ...]]:
    for value, says, suggests in _NAMED:
        if span[0] <= value <= span[1]:
            return says, suggests
    return f"{(span[0] + span[1]) / 2:.4g} times", ()


def _sign(span: Span) -> int | None:
    return next((sign for sign in (1, -1) if span[0] <= sign <= span[1]), None)
