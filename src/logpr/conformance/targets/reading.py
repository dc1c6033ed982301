"""What came back, as numbers: scores of each candidate, or what is wrong with the shape of it."""

from __future__ import annotations

import inspect
import re
import reprlib
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from decimal import Decimal
from numbers import Real
from typing import Any, NoReturn

from logpr.conformance.targets.base import Answer, ScorerError

_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 80
_SHORT.maxlong = 40
_PAIR = 2
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")


def shown(value: object) -> str:
    """Return a value as a message shows it: its repr, short, on one line, without an address."""
    return _ADDRESS.sub("", " ".join(_SHORT.repr(value).split()))


def answer_of(given: object, *, candidates: int, per_token: bool, whose: str) -> Answer:
    """Return one request's answer: a score for each candidate, or a pair with their token scores.

    Lists, tuples, arrays and tensors are taken; NaN and infinities are numbers.

    Args:
        given: what came.
        candidates: how many were asked for.
        per_token: whether token scores were declared.
        whose: who gave it, as the subject of a sentence: "the scorer".

    Raises:
        ScorerError: `wrong_shape`, `not_numbers`.
    """
    scores, tokens = given, None
    if _is_pair(given):
        scores, tokens = given  # type: ignore[misc] # two items, as was seen
    elif per_token:
        # What is no list at all is told as such.
        listed(given, whose, f"a score for each of {_counted(candidates)}")
        _refuse(
            f"{whose} returned {shown(given)}; per_token is declared, so wanted is a pair, "
            f"(scores, token_scores), with one list of token scores a candidate; return both, or "
            f"do not declare per_token"
        )
    wanted = f"one score for each of {_counted(candidates)}"
    numbers = _numbers(scores, f"{whose} returned", wanted, size=candidates)
    if tokens is None:
        return Answer(numbers)
    wanted = f"a list of token scores for each of {_counted(candidates)}"
    rows = listed(tokens, f"{whose}, as token scores,", wanted, size=candidates)
    return Answer(
        numbers,
        tuple(
            _numbers(row, f"{whose}, as token scores of candidate {place}, returned", "of numbers")
            for place, row in enumerate(rows)
        ),
    )


def listed(given: object, whose: str, wanted: str, *, size: int | None = None) -> list[Any]:
    """Return what was given as a list, where it is one or like one.

    Raises:
        ScorerError: `wrong_shape`.
    """
    found = _unpacked(given)
    if not isinstance(found, list):
        _refuse(
            f"{whose} returned {_described(given)}; wanted is a list, {wanted}{_way_out(given)}"
        )
    if size is not None and len(found) != size:
        _refuse(
            f"{whose} returned {len(found)} of them, {shown(given)}; wanted is a list of {size}, "
            f"{wanted}"
        )
    return found


def _numbers(
    given: object, says: str, wanted: str, *, size: int | None = None
) -> tuple[float, ...]:
    """Return a list of numbers; `says` begins the sentence that refuses it."""
    found = _unpacked(given)
    if not isinstance(found, list):
        _refuse(f"{says} {_described(given)}; wanted is a list, {wanted}{_way_out(given)}")
    for place, value in enumerate(found):
        if isinstance(_unpacked(value), list):
            _refuse(
                f"{says} {shown(given)}, and a list stands at place {place} of it; wanted is a "
                f"flat list of numbers, {wanted}"
            )
    if size is not None and len(found) != size:
        number = "1 number" if len(found) == 1 else f"{len(found)} numbers"
        _refuse(f"{says} {number}, {shown(given)}; wanted is a list of {size}, {wanted}")
    return tuple(_number(value, place, says) for place, value in enumerate(found))


def _number(given: object, place: int, says: str) -> float:
    value = _unpacked(given)
    if isinstance(value, bool) or not isinstance(value, (Real, Decimal)):
        way_out = "; return float(…) of it" if isinstance(value, str) else ""
        msg = f"{says} {_described(given)} at place {place}; wanted is a number{way_out}"
        raise ScorerError(kind="not_numbers", message=msg)
    try:
        return float(value)
    except OverflowError:
        msg = f"{says} {shown(given)} at place {place}, which is beyond every float"
        raise ScorerError(kind="not_numbers", message=msg) from None
    except Exception:  # noqa: BLE001 - a stranger's kind of number, or a signalling NaN
        msg = f"{says} {_described(given)} at place {place}, of which float(…) makes no number"
        raise ScorerError(kind="not_numbers", message=msg) from None


def _unpacked(given: object) -> object:
    """Return lists and tuples as a list, tensors and arrays as the numbers they hold."""
    if isinstance(given, (list, tuple)):
        return list(given)
    if isinstance(given, (str, bytes, Mapping, type)):
        return given
    # NumPy, torch, JAX, pandas: none of them is imported for this.
    unpack = getattr(given, "tolist", None)
    if not callable(unpack):
        return given
    try:
        return unpack()
    except Exception:  # noqa: BLE001 - a stranger's
        return given


def _is_pair(given: object) -> bool:
    """Return whether it is scores beside lists of token scores; two scores are none."""
    if not isinstance(given, (list, tuple)) or len(given) != _PAIR:
        return False
    scores, tokens = map(_unpacked, given)
    if not isinstance(scores, list) or not isinstance(tokens, list):
        return False
    # A list of two lists of numbers is no pair: it is nested.
    return isinstance(given, tuple) or any(isinstance(_unpacked(row), list) for row in tokens)


def _described(given: object) -> str:
    if given is None:
        return "None"
    return f"{shown(given)} ({type(given).__name__})"


def _way_out(given: object) -> str:
    """Return what to do about something that is no list."""
    if inspect.isawaitable(given):
        if inspect.iscoroutine(given):
            given.close()  # Never awaited, it would warn as it is thrown away.
        return "; await it: return asyncio.run(…)"
    ways: tuple[tuple[type | tuple[type, ...], str], ...] = (
        (type(None), "; is there a return?"),
        ((str, bytes), ""),
        (Mapping, "; return its values in the order of the candidates"),
        (AbstractSet, "; a set has no order"),
        (Iterable, "; return list(…) of it"),
        (Real, "; of one candidate too: return [score]"),
    )
    for kind, way in ways:
        if isinstance(given, kind) or isinstance(_unpacked(given), kind):
            return way
    return ""


def _counted(candidates: int) -> str:
    return "1 candidate" if candidates == 1 else f"{candidates} candidates"


def _refuse(message: str) -> NoReturn:
    raise ScorerError(kind="wrong_shape", message=message)
