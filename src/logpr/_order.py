"""The order that a rule gives to candidates, and whether noise leaves its first place open.

A value v_i is off by at most n_i, the noise of the candidate's log-probability pushed through the
rule. The first leads the second by |v_1 − v_2|, and the lead is off by at most n_1 + n_2, its own
noise. Where the lead is not larger, the two are tied.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeAlias

from logpr._rules import CHOICE_PROB, LOGPROB, Rule, Totals
from logpr._values import Score

Placed: TypeAlias = tuple[tuple[int, ...], float | None, float | None, bool]
"""Order, margin, noise and tie, as a `Ranking` has them."""


def placed(rule: Rule, totals: Sequence[Totals | None], scores: Sequence[Score]) -> Placed:
    """Return order, margin, noise and tie of one query's candidates under a rule.

    Args:
        rule: that ranks.
        totals: what it looks at; None for a candidate that was dropped.
        scores: of the same candidates, for their noise.
    """
    values, noises = values_of(rule, totals), _noises(rule, totals, scores)
    return (
        _by_share(totals, values, noises) if rule == CHOICE_PROB else ordered(rule, values, noises)
    )


def values_of(rule: Rule, totals: Sequence[Totals | None]) -> list[float | None]:
    """Return each candidate's value under a rule, None where it has none."""
    if rule != CHOICE_PROB:
        return [None if facts is None else rule.value(facts) for facts in totals]
    # The same numbers as the rule's own, whose sum over all would be taken anew for each.
    shares = _shares([facts.logprob for facts in totals if facts is not None])
    return list(shares) if len(shares) == len(totals) else [None] * len(totals)


def ordered(rule: Rule, values: Sequence[float | None], noises: Sequence[float]) -> Placed:
    """Return order, margin, noise and tie of candidates by their values under a rule."""
    order = _best_first(rule, values)
    if len(order) == 1:
        return (order[0],), None, None, False
    first, second = values[order[0]], values[order[1]]
    if first is None:  # nobody has a value: the input order is all there is
        return tuple(order), None, None, True
    if second is None:
        return tuple(order), None, None, False
    noise = noises[order[0]] + noises[order[1]]
    # Two infinities of one sign are equal, though their difference is no number.
    margin = 0.0 if first == second else abs(first - second)
    if margin > noise:
        return tuple(order), margin, noise, False
    # The numbers cannot tell these apart from the first, so the caller's order decides.
    tied = [
        index
        for index in order
        if (value := values[index]) is not None
        and (value == first or abs(first - value) <= noises[order[0]] + noises[index])
    ]
    rest = [index for index in order if index not in tied]
    return (*sorted(tied), *rest), margin, noise, True


def _best_first(rule: Rule, values: Sequence[float | None]) -> list[int]:
    """Return the places by value; equal ones, and those without, in the caller's order."""
    sign = -1.0 if rule.higher_wins else 1.0

    def key(index: int) -> tuple[bool, float, int]:
        value = values[index]
        if value is None or math.isnan(value):
            return (True, 0.0, index)
        return (False, sign * value, index)

    return sorted(range(len(values)), key=key)


def _noises(rule: Rule, totals: Sequence[Totals | None], scores: Sequence[Score]) -> list[float]:
    """Return each value's noise; under `choice_prob` that of the log-probability, in nats."""
    used = LOGPROB if rule == CHOICE_PROB else rule
    return [
        0.0 if facts is None else used.noise(facts, score.noise)
        for facts, score in zip(totals, scores, strict=True)
    ]


def _by_share(
    totals: Sequence[Totals | None], shares: Sequence[float | None], nats: Sequence[float]
) -> Placed:
    """Return order, margin, noise and tie under `choice_prob`.

    Of one query's candidates the share grows with the log-probability, so order and ties are those
    of `logprob`. Two noises of shares do not add up to that, for one candidate's error moves the
    shares of all. So the lead's noise is by how much it shrinks when the first is off downwards and
    the second upwards at once: all of it where their log-probabilities then meet.
    """
    logprobs = [facts.logprob for facts in totals if facts is not None]
    order, margin, _, tie = ordered(LOGPROB, logprobs, nats)
    if margin is None or None in shares:  # one candidate, or all of probability 0
        return ordered(CHOICE_PROB, shares, nats)
    first, second = _best_first(LOGPROB, logprobs)[:2]
    moved = list(logprobs)
    moved[first] -= nats[first]
    moved[second] += nats[second]
    now, then = _shares(logprobs), _shares(moved)
    lead, left = now[first] - now[second], then[first] - then[second]
    if lead == 0.0 and not tie:  # told apart only by digits that shares round away
        return ordered(CHOICE_PROB, shares, [0.0] * len(shares))
    # The last digit of a share must not say otherwise than the log-probabilities.
    noise = max(lead - left, lead) if tie else min(lead - left, math.nextafter(lead, 0.0))
    return order, lead, max(noise, 0.0), tie


def _shares(logprobs: Sequence[float]) -> list[float]:
    """Return the softmax over candidates; nothing where all have probability 0."""
    top = max(logprobs, default=-math.inf)
    if top == -math.inf:
        return []
    mass = math.fsum(math.exp(logprob - top) for logprob in logprobs)
    return [math.exp(logprob - top) / mass for logprob in logprobs]
