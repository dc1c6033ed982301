"""Numbers that are not what they were declared to be: their sign, their size, their form."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Literal

from logpr._values.audit import Finding
from logpr.auditing.claims.items import Item, finite, share_of
from logpr.auditing.claims.values import Printed

_NOISE = 1e-3
"""Nats, or probability, that float arithmetic may carry a correct number over its bound."""

_UNDERFLOW = (("float32", -103.28), ("float64", -745.14))
"""The logarithm of the smallest float above 0: a probability below it is 0."""

_MOSTLY = 0.8


def nan_values(items: Sequence[Item]) -> Iterator[Finding]:
    """Find NaN among scores and tokens' scores."""
    struck = [item for item in items if any(math.isnan(one.value) for one in item.numbers())]
    if struck:
        yield Finding(
            id="nan_values",
            says=f"{share_of(struck, items)} not a number (NaN)",
            rows=len(struck),
            suggests=("linear_normalisation",),
            accuses=True,
        )


def positive_value(items: Sequence[Item]) -> Iterator[Finding]:
    """Find logarithms of probabilities above 0, scores and tokens' scores."""
    logs = [item for item in items if item.nature == "logarithm"]
    over = [(top, item) for item in logs if (top := _highest(item)) * item.nats > _NOISE]
    if not over:
        return
    _, where = max(over, key=lambda pair: pair[0])
    says = (
        f"{share_of(over, logs)} above 0, so the probability would be above 1: the largest is "
        f"{max(_finite_values(where)):.6g}, of {_name(where)}"
    )
    suggests = _makes_positive([score for _, score in finite(logs)])
    yield Finding(id="positive_value", says=says, rows=len(over), suggests=suggests, accuses=True)


def _makes_positive(scores: Sequence[Printed]) -> tuple[str, ...]:
    """Return what makes such numbers, the likeliest first."""
    found: tuple[str, ...] = ("raw_logit_sum", "shortlist_without_target", "linear_normalisation")
    if any(score.high < 0 for score in scores):
        return (*found, "pmi")
    found = ("negated", *found)
    if all(score.high >= 1 for score in scores):
        found = ("perplexity", *found)
    if all(score.low <= 1 for score in scores):
        found = ("probability", *found)
    return found


def _highest(item: Item) -> float:
    """Return the least value that the item's largest finite number may have had."""
    lows = [one.low for one in item.numbers() if math.isfinite(one.value)]
    return max(lows, default=-math.inf)


def _finite_values(item: Item) -> list[float]:
    return [one.value for one in item.numbers() if math.isfinite(one.value)]


def outside_probability(items: Sequence[Item]) -> Iterator[Finding]:
    """Find numbers declared to be probabilities that are above 1, and such below 0."""
    declared = finite([item for item in items if item.nature == "probability"])
    above = [score.value for _, score in declared if score.low > 1 + _NOISE]
    below = [score.value for _, score in declared if score.high < -_NOISE]
    if above:
        yield Finding(
            id="above_one",
            says=f"{share_of(above, declared)} above 1, and no probability is: {max(above):.6g}",
            rows=len(above),
            suggests=("linear_normalisation", "perplexity"),
            accuses=True,
        )
    if below:
        all_are = len(below) == len(declared)
        yield Finding(
            id="negative_probability",
            says=f"{share_of(below, declared)} below 0, and no probability is: {min(below):.6g}",
            rows=len(below),
            suggests=("nats",) if all_are else ("linear_normalisation",),
            accuses=True,
        )


def looks_like_probability(items: Sequence[Item]) -> Iterator[Finding]:
    """Find numbers declared to be no probabilities that all, or nearly all, lie in [0, 1]."""
    natures: tuple[Literal["logarithm", "perplexity"], ...] = ("logarithm", "perplexity")
    for nature in natures:
        scores = [score for _, score in finite([one for one in items if one.nature == nature])]
        if not scores or any(score.value < 0 for score in scores):
            continue
        within = sum(score.low > 0 and score.high < 1 for score in scores)
        over = sum(score.low > 1 for score in scores)
        if not over and within > 1:
            yield Finding(
                id="looks_like_probability",
                says=f"all {len(scores)} claims lie between 0 and 1, as probabilities do",
                rows=len(scores),
                suggests=("probability", "choice_prob", "mean_probability"),
            )
        elif nature == "logarithm" and over and within >= max(4, _MOSTLY * len(scores)):
            yield Finding(
                id="above_one",
                says=(
                    f"{within} of {len(scores)} claims lie between 0 and 1, as probabilities do, "
                    f"and {over} above 1"
                ),
                rows=over,
                suggests=("linear_normalisation", "negated"),
            )


def infinite_values(items: Sequence[Item]) -> Iterator[Finding]:
    """Find infinite numbers; −inf where a product of probabilities would be 0 is `underflow`."""
    above = [item for item in items if any(one.value == math.inf for one in item.numbers())]
    below = [item for item in items if any(one.value == -math.inf for one in item.numbers())]
    if above:
        wrong = any(item.nature in ("logarithm", "probability") for item in above)
        yield Finding(
            id="infinite_values",
            says=f"{share_of(above, items)} +inf",
            rows=len(above),
            suggests=("linear_normalisation", "negated") if wrong else ("product_then_log",),
            accuses=wrong,
        )
    lost = list(_underflow(items))
    yield from lost
    if below and not lost:
        yield Finding(
            id="infinite_values",
            says=f"{share_of(below, items)} −inf, the logarithm of probability 0",
            rows=len(below),
            suggests=("vocab_rows_masked",),
        )


def _underflow(items: Sequence[Item]) -> Iterator[Finding]:
    # The logarithm of a product is asked about: one divided by a length lies elsewhere.
    logs = [item for item in items if item.nature == "logarithm" and item.plain and item.score]
    lost = [item for item in logs if item.score is not None and item.score.value == -math.inf]
    least = min((score.value * item.nats for item, score in finite(logs)), default=-math.inf)
    found = next(((name, floor) for name, floor in _UNDERFLOW if least >= floor), None)
    if not lost or found is None:
        return
    dtype, floor = found
    suggests = ("product_then_log", "vocab_rows_masked")
    yield Finding(
        id="underflow",
        says=(
            f"{share_of(lost, logs)} −inf, and no finite one lies below {least:.6g} nats: a "
            f"product of probabilities in {dtype} is 0 from about {floor:.2f} nats on"
        ),
        rows=len(lost),
        # Far above any floor little speaks for it; a token of probability 0 does the same.
        suggests=suggests if least < _UNDERFLOW[0][1] / 2 else suggests[::-1],
    )


def percent(items: Sequence[Item]) -> Iterator[Finding]:
    """Find percentages."""
    struck = [item for item in items if any(one.percent for one in item.numbers())]
    if struck:
        logs = any(item.nature == "logarithm" for item in struck)
        yield Finding(
            id="percent",
            says=f"{share_of(struck, items)} printed as a percentage, and read as the share it is",
            rows=len(struck),
            suggests=("probability", "choice_prob") if logs else (),
        )


def _name(item: Item) -> str:
    text = item.candidate.text
    return f"candidate {item.number} of the file" if text is None else repr(text)
