"""Cases and what is declared: ids that hold everything, units that come back to nats."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logpr.conformance import LAWS, Declares
from logpr.conformance.case import Case
from logpr.conformance.toy import VARIANTS
from logpr.errors import QueryError, UnknownNameError

part = st.lists(st.integers(0, 300), max_size=6).map(tuple)
parts = st.lists(part, max_size=4).map(tuple)


@given(
    st.sampled_from(sorted(LAWS)),
    st.sampled_from([*VARIANTS, "own"]),
    parts,
    st.lists(st.integers(0, 3000), max_size=4),
)
def test_an_id_holds_the_whole_case(
    law: str, model: str, texts: tuple[tuple[int, ...], ...], numbers: list[int]
) -> None:
    """Reading a case's id gives the case."""
    case = Case(law, model, texts, tuple(numbers))
    assert Case.read(case.id) == case


@given(parts)
def test_smaller_cases_are_smaller(texts: tuple[tuple[int, ...], ...]) -> None:
    """A smaller case lacks a candidate, or has fewer tokens in exactly one part."""
    for smaller in Case("oracle", "toy", texts).smaller():
        if len(smaller.parts) < len(texts):
            assert smaller.parts[:1] == texts[:1]
            continue
        assert sum(map(len, smaller.parts)) < sum(map(len, texts))
        assert sum(a != b for a, b in zip(smaller.parts, texts, strict=True)) == 1


@pytest.mark.parametrize("text", ["", "chain_rule", "chain_rule/toy/x", "oracle/toy/1.2@a"])
def test_what_is_no_id_is_refused(text: str) -> None:
    """A text that no report printed is an error that shows one."""
    with pytest.raises(QueryError, match="case's id"):
        Case.read(text)


logprobs = st.floats(-700, -1e-3)


@given(logprobs, st.integers(1, 9))
def test_units_come_back_to_nats(value: float, tokens: int) -> None:
    """A score in any unit and aggregate is the same sum in nats."""
    given_as = {
        "nats": value,
        "bits": value / math.log(2),
        "log10": value / math.log(10),
        "probability": math.exp(value),
    }
    for unit, said in given_as.items():
        assert Declares.of({"unit": unit}).total(said, tokens=tokens) == pytest.approx(value)
    mean = Declares(aggregate="mean").total(value / tokens, tokens=tokens)
    assert mean == pytest.approx(value)
    perplexity = math.exp(-value / tokens)
    assert Declares(unit="perplexity").total(perplexity, tokens=tokens) == pytest.approx(value)


def test_no_number_stays_none() -> None:
    """NaN stays NaN, a probability of 0 is −inf, a negative one is no number."""
    assert math.isnan(Declares().total(math.nan, tokens=1))
    assert Declares(unit="probability").total(0.0, tokens=1) == -math.inf
    assert math.isnan(Declares(unit="probability").total(-0.1, tokens=1))


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"unit": "bit"}, "one of nats, bits"),
        ({"units": "bits"}, "nothing is declared under 'units'"),
        ({"end": "closed"}, "one of open, stop"),
        ({"per_token": "perhaps"}, "True or False"),
        ({"boundary": "marginal"}, "one of separate, joint, split, verbatim"),
    ],
)
def test_unknown_words_are_refused(given: dict[str, str], message: str) -> None:
    """A field or a word that nobody knows is an error that lists those there are."""
    with pytest.raises((UnknownNameError, QueryError), match=message):
        Declares.of(dict(given))


def test_words_for_flags_are_read() -> None:
    """The command line's true and false are flags."""
    assert Declares.of({"per_token": "true", "ids": "no"}) == Declares(per_token=True)
