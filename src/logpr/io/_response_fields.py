"""The fields of a recorded response, each taken as what it has to be, or refused with its path."""

from __future__ import annotations

import re
from typing import Any, Self

from logpr.auditing.claims.printed import printed
from logpr.auditing.claims.values import Printed
from logpr.auditing.responses.values import ResponseStep, ResponseUnit, TopEntry
from logpr.errors import NumbersError
from logpr.io._fault import RowFault, shown

_TOKEN_ID = re.compile(r"token_id:([0-9]{1,18})")
_NON_FINITE = frozenset(("-Infinity", "Infinity", "NaN", "-inf", "inf", "nan"))


class JsonNumber(float):
    """A number of a JSON document that still has its text: -0.50 has two decimals."""

    __slots__ = ("text",)
    text: str

    def __new__(cls, text: str) -> Self:
        """Return the float that the text stands for, with the text."""
        number = super().__new__(cls, text)
        number.text = text
        return number


def object_at(value: object, path: str) -> dict[str, Any]:
    """Return an object.

    Raises:
        RowFault: it is none.
    """
    if isinstance(value, dict):
        return value
    msg = f"an object is wanted, found {shown(value)}"
    raise RowFault(msg, path)


def list_at(value: object, path: str) -> list[Any]:
    """Return a list.

    Raises:
        RowFault: it is none.
    """
    if isinstance(value, list):
        return value
    msg = f"a list is wanted, found {shown(value)}"
    raise RowFault(msg, path)


def text_at(value: object, path: str) -> str | None:
    """Return a text or null; halves of surrogate pairs become U+FFFD, as in any decoder.

    Raises:
        RowFault: it is something else.
    """
    if value is None:
        return None
    if isinstance(value, str):
        return (
            value
            if value.isascii()
            else value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        )
    msg = f"a text is wanted, found {shown(value)}"
    raise RowFault(msg, path)


def number_at(value: object, path: str) -> Printed | None:
    """Return a number as it was printed, or null.

    Raises:
        RowFault: it is something else.
    """
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        msg = f"a number or null is wanted, found {shown(value)}"
        raise RowFault(msg, path)
    if isinstance(value, str) and value not in _NON_FINITE:
        msg = f"a number or null is wanted, found the text {shown(value)}; write it without quotes"
        raise RowFault(msg, path)
    try:
        return printed(value.text if isinstance(value, JsonNumber) else value)
    except NumbersError as error:
        raise RowFault(str(error), path) from error


def id_at(value: object, path: str) -> int | None:
    """Return a token's id, or null.

    Raises:
        RowFault: it is something else.
    """
    if value is None:
        return None
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 63:
        return value
    msg = f"a token's id, a whole number from 0, is wanted, found {shown(value)}"
    raise RowFault(msg, path)


def bytes_at(value: object, path: str) -> bytes | None:
    """Return a list of bytes, or null.

    Raises:
        RowFault: it is something else.
    """
    if value is None:
        return None
    try:
        return bytes(list_at(value, path))
    except (TypeError, ValueError) as error:
        msg = f"a list of bytes, 0 to 255, is wanted, found {shown(value)}"
        raise RowFault(msg, path) from error


def of_token_text(text: str | None) -> tuple[str | None, int | None]:
    """Return text and id of a token; "token_id:5" is how vLLM writes an id in a text's place."""
    match = None if text is None else _TOKEN_ID.fullmatch(text)
    return (text, None) if match is None else (None, int(match[1]))


def unit_of(entry: dict[str, Any]) -> ResponseUnit:
    """Return what a token's own field name says its number is."""
    return "probability" if "prob" in entry and "logprob" not in entry else "nats"


def _value_of(entry: dict[str, Any], path: str) -> Printed | None:
    for name in ("logprob", "prob", "logProbability", "log_probability"):
        if name in entry:
            return number_at(entry[name], f"{path}.{name}")
    return None


def entry_at(value: object, path: str) -> TopEntry:
    """Return one listed token, as an object with its text, its number and perhaps more.

    Raises:
        RowFault: it is none, or a field of it is of the wrong type.
    """
    entry = object_at(value, path)
    name = next((name for name in ("token", "tok_str", "text") if name in entry), "token")
    token, named = of_token_text(text_at(entry.get(name), f"{path}.{name}"))
    given = "id" if "id" in entry else "tokenId"
    found = id_at(entry.get(given), f"{path}.{given}")
    return TopEntry(
        token=token,
        value=_value_of(entry, path),
        id=named if found is None else found,
        raw=None if token is None else bytes_at(entry.get("bytes"), f"{path}.bytes"),
    )


def step_at(value: object, path: str, *, top: str | None = None) -> ResponseStep:
    """Return one chosen token with its list.

    Args:
        value: the object.
        path: where it stands.
        top: the name of its list, where it is not `top_logprobs` or `top_probs`.

    Raises:
        RowFault: as `entry_at`.
    """
    entry = object_at(value, path)
    own = entry_at(entry, path)
    name = top or ("top_logprobs" if "top_logprobs" in entry else "top_probs")
    listed = entry.get(name)
    return ResponseStep(
        token=own.token,
        value=own.value,
        id=own.id,
        raw=own.raw,
        where=path,
        top=None
        if listed is None
        else tuple(
            entry_at(item, f"{path}.{name}[{place}]")
            for place, item in enumerate(list_at(listed, f"{path}.{name}"))
        ),
    )


def steps_at(value: object, path: str) -> tuple[ResponseStep, ...]:
    """Return a list of chosen tokens with their lists; null is none.

    Raises:
        RowFault: as `entry_at`.
    """
    if value is None:
        return ()
    return tuple(
        step_at(item, f"{path}[{place}]") for place, item in enumerate(list_at(value, path))
    )


def steps_unit(value: object) -> ResponseUnit:
    """Return the unit of a list of chosen tokens, as its first one names it."""
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return unit_of(value[0])
    return "nats"


def object_or_empty(value: object) -> dict[str, Any]:
    """Return an object, an empty one for anything else."""
    return value if isinstance(value, dict) else {}


def text_or_none(fields: dict[str, Any], name: str) -> str | None:
    """Return a field that is a text, None for anything else."""
    value = fields.get(name)
    return value if isinstance(value, str) else None
