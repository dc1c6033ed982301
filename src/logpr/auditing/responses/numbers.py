"""Checks of a response's numbers, one by one: their sign, their digits, their gaps.

As in `_response_lists`: a check returns a `Finding` for what it saw, `rows` counts the steps
struck, and one accuses only of what no log-probabilities could be.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np

from logpr._values.audit import Finding
from logpr.auditing.claims.values import Printed
from logpr.auditing.responses.units import (
    Check,
    listed_steps,
    probability_like,
    steps_of,
    surprisal_like,
    turned,
)
from logpr.auditing.responses.values import NOISE, Response, ResponseStep, half_grid, in_nats

_FLOORS = tuple(math.log(10.0**-power) for power in range(5, 46))
"""log ε for the ε that people add to a probability before they take its logarithm."""

_SENTINELS = frozenset((-100.0, -999.0, -1000.0, -9999.0, -10000.0, -65504.0))
_SENTINEL_BELOW = -1e5
"""No log-probability of float32 logits is as low as this."""

_GRID_VALUES = 8
"""Numbers that must lie on a grid before it is called one."""


def positive_logprob(responses: Sequence[Response]) -> tuple[Finding, ...]:
    """Find numbers above 0, which would be probabilities above 1."""
    struck = [
        (max(lows), step.where)
        for response, step in steps_of([one for one in responses if not turned(one)])
        if (
            lows := [
                low for value in _values(step) if (low := in_nats(value, response.unit)[0]) > NOISE
            ]
        )
    ]
    if not struck:
        return ()
    worst, where = max(struck)
    says = (
        f"a number is above 0, so its probability would be above 1, at {len(struck)} of "
        f"{_count(responses)} positions: {worst:.4g} nats at {where}"
    )
    suggests = (
        "raw_logit_sum",
        "shortlist_without_target",
        "linear_normalisation",
        "negated",
        "probability",
    )
    return (
        Finding(
            id="positive_logprob", says=says, rows=len(struck), suggests=suggests, accuses=True
        ),
    )


def not_a_number(responses: Sequence[Response]) -> tuple[Finding, ...]:
    """Find NaN, which is no number, where one belongs."""
    struck = [
        step.where
        for _, step in steps_of(responses)
        if any(math.isnan(value.value) for value in _values(step))
    ]
    if not struck:
        return ()
    says = f"NaN stands for a number at {len(struck)} positions, first at {struck[0]}"
    return (
        Finding(
            id="not_a_number",
            says=says,
            rows=len(struck),
            suggests=("linear_normalisation",),
            accuses=True,
        ),
    )


def probabilities_not_logprobs(responses: Sequence[Response]) -> tuple[Finding, ...]:
    """Find responses whose log-probabilities are probabilities: all in [0, 1]."""
    struck = [response for response in responses if probability_like(response)]
    if not struck:
        return ()
    says = (
        "every number lies between 0 and 1 and no list sums to more than 1: these are "
        "probabilities, sold as log-probabilities"
    )
    return (
        Finding(
            id="probabilities_not_logprobs",
            says=says,
            rows=_valued(struck),
            suggests=("probability",),
            accuses=True,
        ),
    )


def surprisals_not_logprobs(responses: Sequence[Response]) -> tuple[Finding, ...]:
    """Find responses whose log-probabilities have their sign turned."""
    struck = [response for response in responses if surprisal_like(response)]
    if not struck:
        return ()
    says = (
        "no number is below 0, each list begins with its smallest, and exp(−value) sums to 1 at "
        "most: the sign is turned, these are −log Pr"
    )
    return (
        Finding(
            id="surprisals_not_logprobs",
            says=says,
            rows=_valued(struck),
            suggests=("negated",),
            accuses=True,
        ),
    )


def sentinel_values(responses: Sequence[Response]) -> tuple[Finding, ...]:
    """Find numbers that stand for "none" or for a floor: −9999, −1e30, log(1e-10)."""
    out: list[Finding] = []
    marked = [
        (value.text, step.where)
        for response, step in steps_of(responses)
        if response.unit == "nats"
        for value in _values(step)
        if value.value in _SENTINELS or value.value < _SENTINEL_BELOW
    ]
    if marked:
        names = ", ".join(dict.fromkeys(text for text, _ in marked[:50]))
        says = (
            f"{names} stands for a token without a log-probability (it was masked, or none was "
            f"kept), first at {marked[0][1]}: no sum may count it"
        )
        rows = len({where for _, where in marked})
        out.append(Finding(id="sentinel_values", says=says, rows=rows))
    floored = [
        (value, step.where)
        for response, step in steps_of(responses)
        if response.unit == "nats"
        for value in _values(step)
        if (value.decimals is None or value.decimals > 2)  # noqa: PLR2004 - −23.03 says nothing
        and any(value.low <= floor <= value.high for floor in _FLOORS)
    ]
    least = min((value.value for response in responses for value in response.values()), default=0)
    floored = [(value, where) for value, where in floored if value.value == least]
    if len(floored) > 1:
        says = (
            f"{floored[0][0].text} stands {len(floored)} times and nothing lies below it: it is "
            f"the logarithm of 1e{math.log10(math.exp(least)):.0f}, a floor that was added"
        )
        rows = len({where for _, where in floored})
        out.append(Finding(id="floor_at_epsilon", says=says, rows=rows, suggests=("log_epsilon",)))
    return tuple(out)


def rounding_grid(responses: Sequence[Response]) -> tuple[Finding, ...]:
    """Find the grid that numbers lie on: decimals, a half-precision float, a power of two.

    Only log-probabilities that are half-precision floats themselves accuse. Where it is their
    differences that lie on a power-of-two grid, the logits were of half precision and the
    softmax was not: that is right to the logits' own precision.
    """
    out: list[Finding] = []
    halves = [(response, dtype) for response in responses if (dtype := half_grid(response))]
    if halves:
        names = " and ".join(sorted({dtype for _, dtype in halves}))
        says = (
            f"every number is exactly a {names}: the log-softmax was rounded to half precision, "
            f"so likely tokens tie and sums drift"
        )
        out.append(
            Finding(
                id="half_precision_grid",
                says=says,
                rows=_valued([response for response, _ in halves]),
                suggests=("half_precision",),
                accuses=True,
            )
        )
    rest = [response for response in responses if not half_grid(response)]
    gaps = [gap for response in rest for gap in _gaps(response)]
    grid = _grid_of(gaps)
    if grid is not None:
        says = (
            f"all {len(gaps)} differences between two tokens of one list are multiples of "
            f"1/{round(1 / grid)}: the logits were rounded to a power-of-two grid (half precision) "
            f"and then normalised in full"
        )
        rows = sum(1 for _ in listed_steps(rest))
        out.append(Finding(id="rounding_grid", says=says, rows=rows))
    printed_at = {_decimals(response) for response in responses}
    if len(printed_at) == 1 and (decimals := printed_at.pop()) is not None:
        plural = "decimal" if decimals == 1 else "decimals"
        says = (
            f"the numbers are printed to {decimals} {plural}, and each stands for all that round "
            f"to it"
        )
        out.append(Finding(id="rounding_grid", says=says, rows=_valued(responses)))
    return tuple(out)


def _gaps(response: Response) -> list[float]:
    """Return the differences inside the lists whose numbers were written in full."""
    gaps = []
    for _, step in listed_steps([response]):
        values = [entry.value for entry in step.top or () if entry.value is not None]
        if response.unit != "nats" or any(
            not value.high - value.low < NOISE or value.value < _SENTINEL_BELOW for value in values
        ):
            continue
        gaps += [values[0].value - value.value for value in values[1:]]
    return [gap for gap in gaps if gap]


def _grid_of(gaps: Sequence[float]) -> float | None:
    if len(gaps) < _GRID_VALUES:
        return None
    steps = np.array(gaps, dtype=np.float64)
    for power in range(9):
        grid = 2.0**-power
        # The chosen token's own value, near 0, is a float32 difference of large numbers.
        if (np.abs(steps / grid - np.round(steps / grid)) * grid < NOISE).all():
            return grid
    return None


def _decimals(response: Response) -> int | None:
    found = {value.decimals for value in response.values()}
    only = found.pop() if len(found) == 1 else None
    wide = all(value.high - value.low > NOISE / 10 for value in response.values())
    return only if wide else None


def all_equal(responses: Sequence[Response]) -> tuple[Finding, ...]:
    """Find responses whose tokens all have one value, or whose lists hardly differ inside."""
    out: list[Finding] = []
    same = [
        response
        for response in responses
        if len(values := [s.value.value for s in response.all_steps if s.value is not None]) > 2  # noqa: PLR2004
        and len(set(values)) == 1
    ]
    if same:
        says = "every chosen token has the same value: no model computes that from its input"
        out.append(Finding(id="all_equal", says=says, rows=_valued(same)))
    flat = [response for response in responses if response not in same and _flat(response)]
    if flat:
        says = (
            "the listed tokens lie within 1 nat of one another at every position: nearly uniform, "
            "as a softmax of probabilities is"
        )
        out.append(Finding(id="flat", says=says, rows=_valued(flat), suggests=("double_softmax",)))
    return tuple(out)


def _flat(response: Response) -> bool:
    spans = []
    for _, step in listed_steps([response]):
        bounds = [
            in_nats(entry.value, response.unit)
            for entry in step.top or ()
            if entry.value is not None
        ]
        if len(bounds) > 2:  # noqa: PLR2004 - two tokens are often near
            spans.append(max(high for _, high in bounds) - min(low for low, _ in bounds))
    return len(spans) > 2 and all(span <= 1.0 for span in spans)  # noqa: PLR2004


def _values(step: ResponseStep) -> Iterable[Printed]:
    if step.value is not None:
        yield step.value
    for entry in step.top or ():
        if entry.value is not None:
            yield entry.value


def _count(responses: Sequence[Response]) -> int:
    return sum(len(response.all_steps) for response in responses)


def _valued(responses: Sequence[Response]) -> int:
    return sum(1 for _, step in steps_of(responses) if any(True for _ in _values(step)))


NUMBER_CHECKS: tuple[Check, ...] = (
    probabilities_not_logprobs,
    surprisals_not_logprobs,
    positive_logprob,
    not_a_number,
    rounding_grid,
    sentinel_values,
    all_equal,
)
"""Every check of the numbers themselves, those that may accuse first."""
