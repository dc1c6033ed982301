"""Numbers that meet more often than chance has it: sums of 1, grids, ties, whole numbers."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TypeAlias

from logpr._values.audit import Finding
from logpr.auditing.claims.grid import grid_of
from logpr.auditing.claims.items import Item, by_record, finite
from logpr.auditing.claims.values import Printed

_SUM_SLACK = 1e-3
"""How far probabilities kept in half precision may sum from 1."""

_SUM_CHANCE = 0.1
"""Six numbers of two decimals are known to sum to 1 within 0.06; less exactly is no evidence."""

_CHANCE = 1e-3

_CROWD = 4.0
"""So many times more of the claims meet than if they lay evenly over their range."""

_Span: TypeAlias = tuple[float, float]


def sums_to_one(items: Sequence[Item]) -> Iterator[Finding]:
    """Find claims, or exp of claims, that sum to 1 over the candidates of each record."""
    several = [group for group in by_record(items) if len(group) > 1 and all(map(_summable, group))]
    members = [item for group in several for item in group]
    if len(members) <= 2:  # noqa: PLR2004 - one pair is little
        return
    where = "in the one record" if len(several) == 1 else f"in all {len(several)} records"
    # A declared choice_prob is meant to.
    meant = any(item.nature == "probability" and not item.plain for item in members)
    if not meant and _all_one([_sum([_span(item) for item in group]) for group in several]):
        yield Finding(
            id="sums_to_one",
            says=f"the claims of a record's candidates sum to 1, {where}",
            rows=len(members),
            suggests=("choice_prob",),
        )
    logs = all(item.nature == "logarithm" for item in members)
    if logs and _all_one([_sum([_exponential(item) for item in group]) for group in several]):
        yield Finding(
            id="sums_to_one",
            says=(
                f"exp of the claims of a record's candidates sums to 1, {where}, as if there were "
                f"no other continuation"
            ),
            rows=len(members),
            suggests=("candidates_softmax", "choice_prob"),
        )


def _summable(item: Item) -> bool:
    return item.score is not None and item.score.value < math.inf


def _span(item: Item) -> _Span:
    assert item.score is not None, "asked of candidates with a score"
    return item.score.low, item.score.high


def _exponential(item: Item) -> _Span:
    low, high = _span(item)
    # From 1 nat on the sum is too large, by however much.
    return math.exp(min(low * item.nats, 1.0)), math.exp(min(high * item.nats, 1.0))


def _sum(spans: Sequence[_Span]) -> _Span | None:
    """Return what the candidates' numbers sum to at least and at most; None: no probabilities."""
    if any(high < 0 or low > 1 + _SUM_SLACK for low, high in spans):
        return None
    low, high = (math.fsum(ends) for ends in zip(*spans, strict=True))
    return low - _SUM_SLACK, high + _SUM_SLACK


def _all_one(sums: Sequence[_Span | None]) -> bool:
    """Return whether every sum may be 1, and so many so exactly that it is no accident."""
    chance = 1.0
    for span in sums:
        if span is None or not span[0] <= 1.0 <= span[1]:
            return False
        chance *= min(1.0, span[1] - span[0])
    return chance <= _SUM_CHANCE


def power_of_two_grid(items: Sequence[Item]) -> Iterator[Finding]:
    """Find scores, or else tokens' scores, that lie on the grid of a half-precision float."""
    scores = [item.score for item in items if item.score is not None]
    tokens = [one for item in items for one in item.tokens]
    with_tokens = sum(bool(item.tokens) for item in items)
    for name, numbers, rows in (
        ("claims", scores, len(scores)),
        ("tokens' scores", tokens, with_tokens),
    ):
        grid = grid_of(numbers)
        if grid is not None:
            yield Finding(
                id="power_of_two_grid",
                says=f"all {len(numbers)} {name} {grid}, though more digits are printed",
                rows=rows,
                suggests=("half_precision",),
            )
            return


def all_equal(items: Sequence[Item]) -> Iterator[Finding]:
    """Find one number claimed for everything."""
    scored = finite(items)
    values = {score.value for _, score in scored}
    texts = {_text(item) for item, _ in scored}
    if len(values) == 1 and len(texts) > 1 and len(scored) > 2:  # noqa: PLR2004 - two may agree
        yield Finding(
            id="all_equal",
            says=f"all {len(scored)} claims are {values.pop():.6g}, whatever the candidate",
            rows=len(scored),
            suggests=("first_token_only", "double_softmax", "log_epsilon"),
        )


def duplicates(items: Sequence[Item]) -> Iterator[Finding]:
    """Find more equal claims for different texts of a record than their digits explain."""
    scored = finite(items)
    values = [score.value for _, score in scored]
    if len(set(values)) < 2:  # noqa: PLR2004 - all equal is another finding
        return
    reach = max(values) - min(values)
    struck, seen, expected = 0, 0, 0.0
    for group in by_record([item for item, _ in scored]):
        distinct = _distinct(group)
        ties = [n for n in Counter(score.value for score in distinct).values() if n > 1]
        struck += sum(ties)
        # Of three that meet, two were needed to find the first.
        seen += sum(ties) - len(ties)
        width = max((score.high - score.low for score in distinct), default=0.0)
        expected += math.comb(len(distinct), 2) * min(1.0, _CROWD * width / reach)
    if seen and _at_least(seen, expected) < _CHANCE:
        yield Finding(
            id="duplicates",
            says=(
                f"{struck} claims are equal to that of another text of their record, more than "
                f"their digits explain"
            ),
            rows=struck,
            suggests=("half_precision", "log_epsilon", "first_token_only", "min_token"),
        )


def _distinct(group: Sequence[Item]) -> list[Printed]:
    """Return the scores of a record's candidates, those of one text once."""
    return list({_text(item): score for item, score in finite(group)}.values())


def _text(item: Item) -> tuple[str | None, tuple[int, ...] | None]:
    return item.candidate.text, item.candidate.token_ids


def _at_least(seen: int, expected: float) -> float:
    """Return the probability that a Poisson variable of this mean is `seen` or more."""
    if expected >= seen:
        return 1.0
    if expected == 0.0:
        return 0.0
    log = math.log(expected)
    # Terms only fall from here on; ten standard deviations hold all of them that matter.
    end = seen + 100 + 10 * math.isqrt(seen)
    return math.fsum(math.exp(n * log - expected - math.lgamma(n + 1)) for n in range(seen, end))


def integers(items: Sequence[Item]) -> Iterator[Finding]:
    """Find claims that are all whole numbers."""
    scores = [score for _, score in finite(items)]
    # One number of one decimal in ten is whole anyway.
    enough = 4 if any(score.decimals for score in scores) else 2
    if len(scores) >= enough and all(score.value == round(score.value) for score in scores):
        yield Finding(
            id="integers",
            says=f"all {len(scores)} claims are whole numbers: they say little of what made them",
            rows=len(scores),
        )
