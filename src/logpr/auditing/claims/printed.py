"""Numbers as they were printed: which values print so."""

from __future__ import annotations

import math
import re

from logpr.auditing.claims.values import Printed
from logpr.errors import NumbersError, WrongTypeError

MOST_DECIMALS = 400
"""No float has a digit that matters further behind the point."""

_NUMBER = re.compile(
    r"(?P<sign>[+-]?)(?P<whole>[0-9]*)(?P<point>\.?)(?P<part>[0-9]*)(?:[eE](?P<power>[+-]?[0-9]+))?"
)
_WORDS = {"inf": math.inf, "infinity": math.inf, "∞": math.inf, "nan": math.nan}
_SEPARATED = re.compile(r"[+-]?[0-9]+(?:[,_'’\s][0-9]+)+(?:\.[0-9]*)?(?:[eE][+-]?[0-9]+)?")
_LONGEST = 800


def printed(value: str | int | float, *, decimals: int | None = None) -> Printed:  # noqa: PYI041 - an int has no digits after its point
    """Return a number with its rounding interval: every x in [low, high] may print so.

    A text of d digits after the point stands for [v − 10^−d / 2, v + 10^−d / 2], so "-2.30" for
    [−2.305, −2.295]. With a power of ten it is half a unit of the mantissa's last digit: "1.2e-05"
    for [1.15e−05, 1.25e−05]. A percentage is read as the share it means: "12.3%" is 0.123, from
    0.1225 to 0.1235. Infinite numbers and NaN stand for themselves.

    Args:
        value: a text as it was printed, or a number, which is taken at its shortest repr: -2.3 has
            one decimal, and an int none.
        decimals: how many digits after the point it was rounded to, where the text does not show
            it (a percentage: the digits of the percentage).

    Raises:
        NumbersError: the text is no number, or one that no float holds.
        WrongTypeError: it is neither a text nor a number.
    """
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        msg = f"a number is wanted, found {value!r}; write -2.3, or as it was printed: '-2.30'"
        raise WrongTypeError(msg)
    if decimals is not None and not 0 <= decimals <= MOST_DECIMALS:
        msg = f"decimals is {decimals}; give the digits after the point: 0, 1, 2, …"
        raise NumbersError(msg)
    text = _text_of(value)
    plain = text.replace("−", "-").strip()
    percent = plain.endswith("%")
    if percent:
        plain = plain[:-1].rstrip()
    word = plain.lower().lstrip("+-")
    if word in _WORDS and not percent and len(plain) - len(word) <= 1:
        number = -_WORDS[word] if plain.startswith("-") else _WORDS[word]
        return Printed(text=text, value=number, low=number, high=number, decimals=None)
    return _finite(text, plain, decimals, percent=percent)


def _text_of(value: str | int | float) -> str:  # noqa: PYI041 - as above
    if isinstance(value, str):
        return value
    if isinstance(value, float):
        # A NumPy float is a float whose repr says so.
        return float.__repr__(float(value))
    try:
        float(value)
    except OverflowError as error:
        msg = f"a whole number of {value.bit_length()} bits is too large for a float"
        raise NumbersError(msg) from error
    return str(int(value))


def _finite(text: str, plain: str, decimals: int | None, *, percent: bool) -> Printed:
    match = _NUMBER.fullmatch(plain) if len(plain) <= _LONGEST else None
    if match is None or not (match["whole"] or match["part"]):
        raise NumbersError(_no_number(text, plain))
    power = 0 if match["power"] is None else _power(match["power"])
    if power is None:
        raise NumbersError(_too_large(text))
    shown = len(match["part"])
    # Whole numbers, since their quotient is rounded once: v = top / bottom, and the half of the
    # last digit is unit / twice.
    top = int(match["sign"] + match["whole"] + match["part"]) * 10 ** max(power, 0)
    bottom = 10 ** (shown + max(-power, 0)) * (100 if percent else 1)
    unit = 10 ** max(power, 0)
    twice = 2 * bottom
    if decimals is not None:
        unit, twice = 1, 2 * 10**decimals * (100 if percent else 1)
    below, above = top * twice - unit * bottom, top * twice + unit * bottom
    low, value, high = (
        _ratio(below, bottom * twice),
        _ratio(top, bottom),
        _ratio(above, bottom * twice),
    )
    if math.isinf(value):
        raise NumbersError(_too_large(text))
    if percent:
        # Printing multiplied by 100 first, and that rounds too.
        for _ in range(2):
            low, high = math.nextafter(low, -math.inf), math.nextafter(high, math.inf)
    if value == 0.0 and match["sign"] == "-":
        value = -0.0
    digits = shown if match["power"] is None else None
    return Printed(
        text=text,
        value=value,
        low=low,
        high=high,
        decimals=digits if decimals is None else decimals,
        percent=percent,
    )


def _ratio(top: int, bottom: int) -> float:
    try:
        return top / bottom
    except OverflowError:
        return math.inf if top > 0 else -math.inf


def _power(text: str) -> int | None:
    """Return the exponent, where its power of ten is of a size that can be computed."""
    # A float's powers end at 308 and −324; what has many digits before its point may go further.
    value, most = int(text), 2 * _LONGEST
    return None if value > most else max(value, -most)


def _too_large(text: str) -> str:
    return f"{_short(text)} is too large for a float; write Infinity if that is what was meant"


def _no_number(text: str, plain: str) -> str:
    if not plain:
        return f"{text!r} is no number: it is empty; write null where nothing was claimed"
    if len(plain) > _LONGEST:
        return f"{_short(text)} is no number: it has {len(plain)} characters"
    if _SEPARATED.fullmatch(plain):
        return (
            f"{text!r} has something between its digits; write a point before the decimals and no "
            f"separators of thousands: -2.30, -1234.5"
        )
    return f"{_short(text)} is no number; write it as it was printed: -2.30, 1.2e-05, 12.3%, -inf"


def _short(text: str) -> str:
    most = 60
    return repr(text if len(text) <= most else text[:most] + "…")
