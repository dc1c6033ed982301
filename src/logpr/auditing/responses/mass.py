"""Checks of the probability that a response's listed tokens have together.

As in `_response_lists`: a check returns a `Finding` for what it saw, `rows` counts the steps
struck, and one accuses only of what no log-probabilities could be.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from logpr._values.audit import Finding
from logpr.auditing.responses.units import (
    Check,
    entries_of,
    listed_steps,
    lists_of,
    of_lists,
    upright,
)
from logpr.auditing.responses.values import Response, ResponseStep, TopEntry, in_nats

_CLIFF = 50.0
"""How far the last listed token must stand above all that is unlisted, to tell a cut tail."""

_MASKED = -100.0
"""Nats below which a listed token counts for nothing."""

_SETS_TO_ACCUSE = 5
"""Different lists whose tail is cut, before the distribution itself is ruled out."""

_SHARE_TO_ACCUSE = 0.25
"""Share of the lists that have to be cut visibly."""


def _mass(response: Response, step: ResponseStep) -> tuple[float, float]:
    """Return the least and the largest probability that the listed tokens may have together."""
    spans = []
    seen: set[int] = set()
    for entry in step.top or ():
        if entry.value is None or (entry.id is not None and entry.id in seen):
            continue
        if entry.id is not None:
            seen.add(entry.id)
        spans.append(in_nats(entry.value, response.unit))
    if step.value is not None and entries_of(step) == ():
        spans.append(in_nats(step.value, response.unit))
    return sum(_exp(low) for low, _ in spans), sum(_exp(high) for _, high in spans)


def _exp(value: float) -> float:
    return math.inf if value > 700 else math.exp(value)  # noqa: PLR2004 - beyond it exp overflows


def top_mass_above_one(responses: Sequence[Response]) -> tuple[Finding, ...]:
    """Find lists whose tokens would have a probability above 1 together."""
    struck = [
        (low, step.where)
        for response, step in listed_steps(upright(responses))
        if (low := _mass(response, step)[0]) > 1.0
    ]
    if not struck:
        return ()
    worst, where = max(struck)
    says = (
        f"the listed tokens have a probability above 1 together at {of_lists(struck, responses)}: "
        f"at least {worst:.4g} at {where}"
    )
    return (
        Finding(
            id="top_mass_above_one",
            says=says,
            rows=len(struck),
            suggests=(
                "raw_logit_sum",
                "logprob_over_temperature",
                "shortlist_without_target",
                "linear_normalisation",
                "half_precision",
            ),
            accuses=True,
        ),
    )


def mass_is_exactly_one(responses: Sequence[Response]) -> tuple[Finding, ...]:
    """Find lists that have all of the probability although their last token is no rare one.

    Log-probabilities over a vocabulary leave something for the tokens unlisted. A step counts
    where the listed ones sum to 1 within rounding, and where the last of them is at least 50 times
    as likely as all the unlisted together. It accuses where every list of a response sums to 1,
    and a good part of them is cut so, of five sets of tokens at least: a right distribution has
    such a step now and then, as where it draws a digit. `constant_mass` says that the lists are
    all of one size too.
    """
    cut_steps, constant, sizes, accuses = 0, 0, set[int](), False
    for response in responses:
        cut, certain = _cut_steps(response)
        cut_steps += len(cut)
        accuses |= certain
        size = shortlist_size(response)
        if size is not None:
            constant += len(cut)
            sizes.add(size)
    if not cut_steps:
        return ()
    out = [
        Finding(
            id="mass_is_exactly_one",
            says=(
                f"the listed tokens have all of the probability at {cut_steps} of "
                f"{lists_of(responses)} positions, and the last of them is no rare one: nothing is "
                f"left for the rest of the vocabulary"
            ),
            rows=cut_steps,
            suggests=("shortlist_softmax", "nucleus_renormalised"),
            accuses=accuses,
        )
    ]
    if constant:
        named = " or ".join(map(str, sorted(sizes)))
        out.append(
            Finding(
                id="constant_mass",
                says=(
                    f"every list has {named} tokens and sums to 1: the normaliser covers the "
                    f"{named} listed tokens alone, not the vocabulary"
                ),
                rows=constant,
                suggests=("shortlist_softmax",),
                accuses=True,
            )
        )
    return tuple(out)


def shortlist_size(response: Response) -> int | None:
    """Return k where every list of a response is cut and has k tokens, masked ones left out."""
    sizes = {len(_live(response, step)) for _, step in listed_steps([response])}
    return sizes.pop() if len(sizes) == 1 and _cut_steps(response)[1] else None


def _live(response: Response, step: ResponseStep) -> list[TopEntry]:
    """Return the listed tokens that a sampler left: a masked one may be listed with −9999."""
    return [
        entry
        for entry in step.top or ()
        if entry.value is not None and in_nats(entry.value, response.unit)[0] > _MASKED
    ]


def _cut_steps(response: Response) -> tuple[list[ResponseStep], bool]:
    """Return the steps with a cut tail, and whether they prove the response's lists to be cut."""
    cut: list[ResponseStep] = []
    every = True
    sets: set[frozenset[object]] = set()
    tokens: set[object] = set()
    largest = lists = 0
    for _, step in listed_steps([response]):
        top = _live(response, step)
        names = frozenset(entry.token if entry.id is None else entry.id for entry in top)
        tokens |= names
        largest, lists = max(largest, len(top)), lists + 1
        low, high = _mass(response, step)
        if not low <= 1.0 <= high:
            every = False
            continue
        lows = [in_nats(entry.value, response.unit)[0] for entry in top if entry.value is not None]
        if len(lows) > 1 and _exp(min(lows)) > _CLIFF * max(1.0 - low, 0.0):
            cut.append(step)
            sets.add(names)
    if len(tokens) <= largest:
        # A list as large as the vocabulary has all of the probability by right.
        return [], False
    return cut, every and len(sets) >= _SETS_TO_ACCUSE and len(cut) >= _SHARE_TO_ACCUSE * lists


MASS_CHECKS: tuple[Check, ...] = (top_mass_above_one, mass_is_exactly_one)
"""Every check of the lists' masses."""
