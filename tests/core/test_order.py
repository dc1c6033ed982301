"""Order, lead, noise and tie: what holds of them under the rule `choice_prob`."""

from __future__ import annotations

import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from logpr._order import ordered, placed, values_of
from logpr._rules import CHOICE_PROB, LOGPROB, Totals
from logpr._values import Score

LOGPROBS = st.floats(-40.0, 0.0) | st.just(-math.inf) | st.sampled_from([-3.0, -1.0, 0.0])
NATS = st.sampled_from([0.0, 1e-6, 0.25, 0.75, 3.0, 2000.0])
PAIRS = st.lists(st.tuples(LOGPROBS, NATS), min_size=1, max_size=60)

Drawn = list[tuple[float, float]]


def candidates(drawn: Drawn) -> tuple[list[Totals], list[Score]]:
    """Return what rules look at, and scores with their noise."""
    rivals = tuple(logprob for logprob, _ in drawn)
    totals = [
        Totals(logprob=logprob, tokens=1, index=index, rivals=rivals)
        for index, logprob in enumerate(rivals)
    ]
    scores = [
        Score(
            index=index, text=None, logprob=logprob, per_token=None, per_char=None, per_byte=None,
            bits_per_byte=None, tokens=1, bytes=None, chars=None, boundary=None, noise=noise,
        )
        for index, (logprob, noise) in enumerate(drawn)
    ]  # fmt: skip
    return totals, scores


@given(PAIRS)
@example([(-4.6, 0.75)] * 50 + [(-3.0, 0.75)])
@example([(-0.01, 2.5), (-4.61, 2.5)])
def test_shares_are_in_the_order_of_log_probabilities(drawn: Drawn) -> None:
    """A share grows with the log-probability: the same order and ties, whatever the company."""
    totals, scores = candidates(drawn)
    order, margin, noise, tie = placed(CHOICE_PROB, totals, scores)
    shares = values_of(CHOICE_PROB, totals)
    expected = placed(LOGPROB, totals, scores)
    if margin == 0.0 and not expected[3]:  # told apart by a digit that shares round away
        assert tie
        assert shares[order[0]] == shares[order[1]] == shares[expected[0][0]]
    elif margin is not None:
        assert (order, tie) == (expected[0], expected[3])
    if margin is not None and noise is not None:
        assert tie == (margin <= noise)
        best, second = sorted((share or 0.0 for share in shares), reverse=True)[:2]
        assert margin == best - second


@given(PAIRS)
def test_shares_at_once_are_the_rules_own(drawn: Drawn) -> None:
    """The sum over all is taken once, and no bit of a share is another."""
    totals, _ = candidates(drawn)
    assert values_of(CHOICE_PROB, totals) == [CHOICE_PROB.value(facts) for facts in totals]


def test_the_noise_of_shares_is_what_the_lead_may_lose() -> None:
    """Of two candidates a nat apart, tanh(1/2) is left as tanh(1/4) where each errs by 1/4."""
    _, margin, noise, tie = placed(CHOICE_PROB, *candidates([(-2.0, 0.25), (-1.0, 0.25)]))
    assert margin == pytest.approx(math.tanh(0.5), abs=1e-15)
    assert noise == pytest.approx(math.tanh(0.5) - math.tanh(0.25), abs=1e-15)
    assert not tie
    _, margin, noise, tie = placed(CHOICE_PROB, *candidates([(-2.0, 0.75), (-1.0, 0.75)]))
    assert noise == pytest.approx(math.tanh(0.5) + math.tanh(0.25), abs=1e-15)
    assert tie


def test_nobody_has_a_share_of_nothing() -> None:
    """Where all have probability 0 there is no share, and the input order stands."""
    totals, scores = candidates([(-math.inf, 0.25)] * 3)
    assert placed(CHOICE_PROB, totals, scores) == ((0, 1, 2), None, None, True)


def test_a_dropped_candidate_leaves_no_shares() -> None:
    """A share of all needs all."""
    totals, _ = candidates([(-1.0, 0.0), (-2.0, 0.0)])
    assert values_of(CHOICE_PROB, [totals[0], None]) == [None, None]
    assert values_of(LOGPROB, [totals[0], None]) == [-1.0, None]


def test_what_is_within_noise_keeps_the_input_order() -> None:
    """Candidates that the noise cannot tell from the best stand in the caller's order."""
    order, margin, noise, tie = ordered(LOGPROB, [-1.0, -0.999, -5.0], [0.01, 0.01, 0.01])
    assert (order, tie) == ((0, 1, 2), True)
    assert margin == pytest.approx(0.001)
    assert noise == pytest.approx(0.02)
    assert ordered(LOGPROB, [-1.0, -0.999, -5.0], [0.0, 0.0, 0.0])[0] == (1, 0, 2)
