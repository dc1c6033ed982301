"""Two responses held against each other: the same distribution at two temperatures.

softmax(u/T) keeps the order of a row and divides every difference by T. So where two responses
read the same rows (the same tokens so far), and all differences inside the lists of one are those
of the other times one constant s ≠ 1, one of them was taken at T times the other's temperature,
T = 1/s.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence

from logpr._values.audit import Finding
from logpr.auditing.claims.values import Printed
from logpr.auditing.responses.values import Response, ResponseStep, TopEntry, in_nats

_MOST_RESPONSES = 8
"""Responses that are paired with one another."""

_LEAST_DIFFERENCES = 4
_GRID = 0.125
"""Nats between two logits of half precision: noise moves differences by no less."""

_BY_CHANCE = 1e-4
"""Probability of agreeing by accident above which nothing is said."""

_Span = tuple[float, float]


def temperature_between(first: Response, second: Response) -> tuple[float, float] | None:
    """Return the interval of T, the second's temperature over the first's, where one is certain.

    None where the two share too few numbers, where no constant fits all of their differences
    within rounding, and where the constant may be 1.
    """
    pairs = list(_differences(first, second)) if _comparable(first, second) else []
    if len(pairs) < _LEAST_DIFFERENCES:
        return None
    low, high, chance = 0.0, math.inf, []
    for (a_low, a_high), (b_low, b_high) in pairs:
        # s lies in b / a for some a and b of their intervals; an a that may be 0 binds nothing.
        if b_high <= 0 or a_high <= 0:
            return None
        low = max(low, max(b_low, 0.0) / a_high)
        if a_low > 0:
            high = min(high, b_high / a_low)
            chance.append(min(1.0, _width(b_low, b_high) / b_high + _width(a_low, a_high) / a_high))
    if not 0 < low <= high < math.inf or low <= 1.0 <= high:
        return None
    # The sharpest difference fixes s, each further one agrees with it by chance or by law.
    if math.prod(sorted(chance)[1:]) > _BY_CHANCE:
        return None
    return 1.0 / high, 1.0 / low


def processed_by_temperature(responses: Sequence[Response]) -> tuple[Finding, ...]:
    """Find two responses of one prompt whose lists are one distribution at two temperatures."""
    struck: set[int] = set()
    said: list[str] = []
    for (i, first), (j, second) in itertools.combinations(
        enumerate(responses[:_MOST_RESPONSES]), 2
    ):
        found = temperature_between(first, second)
        if found is not None:
            struck |= {i, j}
            said.append(
                f"{second.where} has the differences of {first.where} divided by {_interval(found)}"
            )
    if not struck:
        return ()
    says = (
        f"{said[0]}: one distribution at two temperatures, so one of the two at least is no "
        f"log-probability of the model"
    )
    rows = sum(len(responses[place].steps) for place in struck)
    return (
        Finding(
            id="processed_by_temperature",
            says=says,
            rows=rows,
            suggests=("temperature",),
            accuses=True,
        ),
    )


def _width(low: float, high: float) -> float:
    # Differences of half-precision logits meet by chance more often than their digits say.
    return max(high - low, _GRID)


def _comparable(first: Response, second: Response) -> bool:
    models = {first.model, second.model} - {None}
    return first.unit == second.unit and len(models) <= 1


def _differences(first: Response, second: Response) -> Iterator[tuple[_Span, _Span]]:
    """Yield, for each step after the same tokens, the differences of both to a shared token."""
    for a, b in zip(first.steps, second.steps, strict=False):
        yield from _of_step(a, b, first, second)
        if (a.id, a.token, a.raw) != (b.id, b.token, b.raw):
            return


def _of_step(
    a: ResponseStep, b: ResponseStep, first: Response, second: Response
) -> Iterator[tuple[_Span, _Span]]:
    ours = _named(a)
    theirs = _named(b)
    shared = [name for name in ours if name in theirs]
    if len(shared) < 2:  # noqa: PLR2004 - a difference is of two
        return
    shared.sort(key=lambda name: in_nats(ours[name], first.unit), reverse=True)
    top = shared[0]
    top_a, top_b = in_nats(ours[top], first.unit), in_nats(theirs[top], second.unit)
    for name in shared[1:]:
        span_a, span_b = in_nats(ours[name], first.unit), in_nats(theirs[name], second.unit)
        if not all(map(math.isfinite, (*span_a, *span_b))):
            continue
        yield (
            (top_a[0] - span_a[1], top_a[1] - span_a[0]),
            (top_b[0] - span_b[1], top_b[1] - span_b[0]),
        )


def _named(step: ResponseStep) -> dict[object, Printed]:
    """Return the values of a list by token; names that stand twice are left out."""
    top = step.top or ()
    names = [_name(entry) for entry in top]
    return {
        name: entry.value
        for name, entry in zip(names, top, strict=True)
        if entry.value is not None and names.count(name) == 1
    }


def _name(entry: TopEntry) -> object:
    return entry.id if entry.id is not None else (entry.token, entry.raw)


def _interval(found: tuple[float, float]) -> str:
    low, high = found
    middle = f"{(low + high) / 2:.4g}"
    return middle if high - low < 1e-3 else f"T between {low:.4g} and {high:.4g}"  # noqa: PLR2004
