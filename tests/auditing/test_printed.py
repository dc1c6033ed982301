"""Numbers as they were printed, and the intervals they stand for."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from logpr.auditing.claims.printed import printed
from logpr.errors import NumbersError, WrongTypeError

NUMBERS = st.floats(-1e6, 1e6) | st.floats(-20.0, 0.0) | st.floats(-1e-3, 1e-3)
DIGITS = st.integers(0, 10)
ANY_FLOAT = st.floats(allow_nan=False, allow_infinity=False)


@given(NUMBERS, DIGITS)
def test_what_prints_so_lies_in_the_interval(x: float, digits: int) -> None:
    """Of a fixed number of digits: the interval holds x, and is one unit wide."""
    text = f"{x:.{digits}f}"
    found = printed(text)
    assert found.low <= x <= found.high
    assert found.value == float(text)
    assert found.decimals == digits
    assert found.text == text
    assert found.high - found.low == pytest.approx(10.0**-digits, rel=1e-9, abs=4e-10)


@given(ANY_FLOAT, DIGITS)
def test_with_a_power_of_ten(x: float, digits: int) -> None:
    """Of a mantissa's digits: the interval holds x, and half of it is half its last digit."""
    text = f"{x:.{digits}e}"
    if math.isinf(float(text)):
        return
    found = printed(text)
    assert found.low <= x <= found.high
    assert found.value == float(text)
    assert found.decimals is None


@given(st.floats(-10.0, 10.0), DIGITS)
def test_percentages(x: float, digits: int) -> None:
    """A percentage is the share it means."""
    found = printed(f"{x:.{digits}%}")
    assert found.percent
    assert found.low <= x <= found.high
    assert found.decimals == digits
    assert found.high - found.low == pytest.approx(10.0 ** -(digits + 2), rel=1e-3, abs=2e-14)


@given(ANY_FLOAT)
def test_a_float_is_taken_at_its_shortest_repr(x: float) -> None:
    """A float is read as its repr is, and a NumPy float as the same float."""
    found = printed(x)
    assert found == printed(repr(x)) == printed(np.float64(x))
    assert found.low <= found.value == x <= found.high
    assert math.copysign(1.0, found.value) == math.copysign(1.0, x)


@given(NUMBERS, DIGITS, st.integers(0, 3))
def test_trailing_digits_that_were_lost_are_declared(x: float, digits: int, lost: int) -> None:
    """What was rounded and then read as a float has the decimals that are declared for it."""
    rounded = round(x, digits)
    found = printed(rounded, decimals=digits)
    assert found.decimals == digits
    assert found.low <= x <= found.high
    coarse = printed(rounded, decimals=digits + lost)
    assert found.low <= coarse.low <= coarse.high <= found.high


@pytest.mark.parametrize(
    ("value", "number", "low", "high", "decimals"),
    [
        ("-2.30", -2.3, -2.305, -2.295, 2),
        (-2.3, -2.3, -2.35, -2.25, 1),
        ("-3", -3.0, -3.5, -2.5, 0),
        (-3, -3.0, -3.5, -2.5, 0),
        ("−2.5", -2.5, -2.55, -2.45, 1),
        (" +.5\n", 0.5, 0.45, 0.55, 1),
        ("2.", 2.0, 1.5, 2.5, 0),
        ("1.2e-05", 1.2e-05, 1.15e-05, 1.25e-05, None),
        ("-1E2", -100.0, -150.0, -50.0, None),
        (1e-07, 1e-07, 0.5e-07, 1.5e-07, None),
        ("1e-999999999999", 0.0, 0.0, 0.0, None),
        ("5e-00000001", 0.5, 0.45, 0.55, None),
        ("0e5", 0.0, -5e4, 5e4, None),
    ],
)
def test_texts(value: Any, number: float, low: float, high: float, decimals: int | None) -> None:  # noqa: ANN401
    """Signs, points and powers in every form that people print."""
    found = printed(value)
    assert (found.value, found.decimals, found.percent) == (number, decimals, False)
    assert (found.low, found.high) == (low, high)


def test_percentages_by_hand() -> None:
    """12.3% is between 0.1225 and 0.1235, and further digits may be declared."""
    found = printed("12.3 %")
    assert found.value == 0.123
    assert (found.low, found.high) == pytest.approx((0.1225, 0.1235), rel=1e-12)
    finer = printed("12.3%", decimals=2)
    assert (finer.low, finer.high) == pytest.approx((0.12295, 0.12305), rel=1e-12)


@pytest.mark.parametrize(
    ("value", "number"),
    [
        *((text, -math.inf) for text in ("-inf", "-Infinity", "−INF", "-∞", -math.inf)),
        *((text, math.inf) for text in ("inf", "+Infinity", math.inf)),
    ],
)
def test_infinite_numbers_stand_for_themselves(value: str | float, number: float) -> None:
    """Infinite claims are claims: no interval, no digits."""
    found = printed(value, decimals=2)
    assert (found.low, found.value, found.high) == (number, number, number)
    assert found.decimals is None


@pytest.mark.parametrize("value", ["nan", "NaN", "-nan", math.nan])
def test_nan_stands_for_itself(value: str | float) -> None:
    """So is NaN."""
    found = printed(value)
    assert all(math.isnan(number) for number in (found.low, found.value, found.high))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("abc", r"'abc' is no number; write it as it was printed"),
        ("", r"it is empty; write null"),
        ("%", r"is no number"),
        (".", r"'\.' is no number"),
        ("--1", r"is no number"),
        ("-2.3.1", r"is no number"),
        ("nan%", r"'nan%' is no number"),
        ("0x1p3", r"is no number"),
        ("1_000", r"no separators of thousands: -2\.30, -1234\.5"),
        ("-1,234.5", r"'-1,234\.5' has something between its digits; write a point"),
        ("-2,30", r"has something between its digits"),
        ("1 234", r"has something between its digits"),
        ("1e400", r"'1e400' is too large for a float; write Infinity"),
        ("1e99999999999", r"is too large for a float"),
        (10**400, r"a whole number of 1329 bits is too large"),
        ("1" * 900, r"it has 900 characters"),
        ("٣", r"is no number"),
    ],
)
def test_what_is_no_number(value: Any, message: str) -> None:  # noqa: ANN401
    """A text that is no number is shown, with how to write it."""
    with pytest.raises(NumbersError, match=message):
        printed(value)


def test_what_is_no_text_and_no_number(unchecked: None) -> None:
    """Lists and booleans are somebody's mistake; so are decimals that no float has."""
    del unchecked
    wrong: list[Any] = [True, None, [-2.3], {"a": 1}]
    for value in wrong:
        with pytest.raises(WrongTypeError, match="a number is wanted, found"):
            printed(value)
    for decimals in (-1, 401):
        with pytest.raises(NumbersError, match=f"decimals is {decimals}; give the digits"):
            printed(-2.3, decimals=decimals)


@given(st.text(max_size=12))
def test_any_text_is_a_number_or_a_named_error(text: str) -> None:
    """No text raises anything but our own error, and what is read agrees with float()."""
    try:
        found = printed(text)
    except NumbersError:
        return
    plain = text.replace("−", "-").replace("∞", "inf").strip()
    if not found.percent:
        assert found.value == float(plain) or math.isnan(found.value)
    assert found.low <= found.value <= found.high or math.isnan(found.value)
