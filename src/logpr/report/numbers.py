"""How numbers are written: as many digits as a reader can use, in characters one can paste.

A minus is the ASCII hyphen, so that a figure copied from a table is still a number to Python,
grep and spreadsheets. A figure too small for its decimals is written as a power of ten, never as
zero; null is a dash, and infinities and NaN are spelt out.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

NULL = "–"
"""What stands where a value is null."""

_SCIENTIFIC_BELOW = 1e-3
"""Probabilities under 0.1 % are easier to compare as powers of ten."""

_NEARLY_ONE = 0.9995
"""From here on one decimal of a percentage would round to 100.0 %."""


def decimals(values: Iterable[float | None], most: int = 4) -> int:
    """Return how many decimals a column of `values` takes, so that its points line up.

    `most` up to ±99, one fewer for each further digit before the point, at least 1.
    """
    found = (abs(value) for value in values if value is not None and math.isfinite(value))
    largest = max(found, default=0.0)
    digits = 1 if largest < 1 else math.floor(math.log10(largest)) + 1
    return max(1, most - max(0, digits - 2))


def fixed(value: float | None, places: int = 4) -> str:
    """Write `value` with `places` decimals; non-zero values that would show as zero as 2.3e-7."""
    if value is None:
        return NULL
    if not math.isfinite(value):
        return _non_finite(value)
    text = f"{value + 0.0:.{places}f}"  # + 0.0 makes -0.0 a plain zero
    # Read back, since a half rounds to the even neighbour: 0.5 without decimals would be 0.
    return scientific(value) if value != 0 and float(text) == 0 else text


def signed(value: float | None, places: int = 3) -> str:
    """Write `value` as `fixed` does, with its sign."""
    text = fixed(value, places)
    return text if value is None or text.startswith("-") or text == "nan" else f"+{text}"


def scientific(value: float, digits: int = 2) -> str:
    """Write `value` as 2.3e-7, with `digits` significant digits and no padding in the exponent."""
    if not math.isfinite(value):
        return _non_finite(value)
    mantissa, _, exponent = f"{value:.{digits - 1}e}".partition("e")
    return f"{mantissa}e{int(exponent)}"


def figure(value: float | None, digits: int = 4) -> str:
    """Write `value` with `digits` significant digits, as a power of ten where it is far from 1."""
    if value is None:
        return NULL
    if not math.isfinite(value):
        return _non_finite(value)
    if value == 0:
        return "0"
    exponent = math.floor(math.log10(abs(value)))
    if -4 <= exponent < 6:  # noqa: PLR2004 - what reads well without a power of ten
        return f"{value:.{max(0, digits - 1 - exponent)}f}"
    return scientific(value, digits)


def percent(share: float | None) -> str:
    """Write a probability as 24.4%, under 0.1 % as 1.2e-5, and just under one as >99.9%."""
    if share is None:
        return NULL
    if not math.isfinite(share):
        return _non_finite(share)
    if share == 0:
        return "0"
    if _NEARLY_ONE <= share < 1:
        return ">99.9%"
    if share == 1:
        return "100%"
    return scientific(share) if abs(share) < _SCIENTIFIC_BELOW else f"{share * 100:.1f}%"


def rate(share: float | None) -> str:
    """Write a share of a count as 24.4%, always with one decimal, so that columns compare."""
    if share is None:
        return NULL
    return f"{share * 100:.1f}%" if math.isfinite(share) else _non_finite(share)


def probability(logprob: float | None) -> str:
    """Write exp(`logprob`) as `percent` does, also where it is too small for a float."""
    if logprob is None or not math.isfinite(logprob):
        return "0" if logprob == -math.inf else percent(logprob)
    if math.log(_NEARLY_ONE) <= logprob < 0:
        return ">99.9%"  # exp() of a tiny number is one
    if math.log(_SCIENTIFIC_BELOW) <= logprob < math.log(1e6):
        return percent(math.exp(logprob))
    return _power(logprob)


def times(nats: float) -> str:
    """Write exp(`nats`) as a ratio: 3.37×, 1,204×, 1.2e9×."""
    if not math.isfinite(nats):
        return f"{_non_finite(nats)}×"
    if nats >= math.log(1e6):
        return f"{_power(nats)}×"
    ratio = math.exp(nats)
    if ratio < 10:  # noqa: PLR2004
        return f"{ratio:.2f}×"
    return f"{ratio:.1f}×" if ratio < 100 else f"{ratio:,.0f}×"  # noqa: PLR2004


def count(number: int | None) -> str:
    """Write a whole number with its thousands parted."""
    return NULL if number is None else f"{number:,}"


def plural(number: int, noun: str) -> str:
    """Write a count with its noun: 1 token, 2 tokens."""
    return f"{count(number)} {noun}" if number == 1 else f"{count(number)} {noun}s"


def _power(nats: float) -> str:
    # exp() underflows at -745 and overflows at 709; the decimal exponent of either does not.
    tens = nats / math.log(10)
    exponent = math.floor(tens)
    mantissa = f"{10.0 ** (tens - exponent):.1f}"
    return f"1.0e{exponent + 1}" if mantissa == "10.0" else f"{mantissa}e{exponent}"


def _non_finite(value: float) -> str:
    if math.isnan(value):
        return "nan"
    return "inf" if value > 0 else "-inf"
