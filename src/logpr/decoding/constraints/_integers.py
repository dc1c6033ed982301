"""Whole numbers between bounds, as a regular expression over their digits."""

from __future__ import annotations

ANY_INTEGER = "(?:0|-?[1-9][0-9]*)"


def integers_between(least: int | None, most: int | None) -> str | None:
    """Return the pattern of whole numbers from `least` to `most`, both in it; None for none.

    Each number has one spelling: no sign before 0, no leading zeros.

    Args:
        least: no bound where it is None.
        most: likewise.
    """
    if least is None and most is None:
        return ANY_INTEGER
    if least is not None and most is not None and least > most:
        return None
    parts = []
    if least is None or least < 0:
        below = 1 if most is None or most >= 0 else -most
        parts.append("-" + _natural(below, None if least is None else -least))
    if most is None or most >= 0:
        parts.append(_natural(max(least or 0, 0), most))
    return _either(parts)


def _natural(least: int, most: int | None) -> str:
    digits = len(str(least))
    if most is None:
        longer = f"[1-9][0-9]{{{digits},}}"
        return _either([_same_length(str(least), "9" * digits), longer])
    parts = []
    low = least
    for length in range(digits, len(str(most)) + 1):
        high = min(most, 10**length - 1)
        parts.append(_same_length(str(low), str(high)))
        low = high + 1
    return _either(parts)


def _same_length(low: str, high: str) -> str:
    rest = len(low) - 1
    if set(low[1:]) <= {"0"} and set(high[1:]) <= {"9"}:
        return _digit(low[0], high[0]) + _any_digits(rest)
    if low[0] == high[0]:
        return low[0] + _same_length(low[1:], high[1:])
    parts = [low[0] + _same_length(low[1:], "9" * rest)]
    if int(high[0]) - int(low[0]) > 1:
        parts.append(_digit(chr(ord(low[0]) + 1), chr(ord(high[0]) - 1)) + _any_digits(rest))
    parts.append(high[0] + _same_length("0" * rest, high[1:]))
    return _either(parts)


def _digit(low: str, high: str) -> str:
    return low if low == high else f"[{low}-{high}]"


def _any_digits(count: int) -> str:
    return f"[0-9]{{{count}}}" if count else ""


def _either(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else "(?:" + "|".join(parts) + ")"
