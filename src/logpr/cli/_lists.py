"""Lists typed on one line, or named by their file: ids, numbers, names, messages, choices."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from logpr.errors import InputError, MissingFileError, QueryError
from logpr.models.base import Model

_LONGEST_ID = 18
"""Digits of a number that fits 64 bits."""


def ids_of(text: str, option: str) -> tuple[int, ...]:
    """Return "1,5,9" as token ids; an empty text is none.

    Raises:
        QueryError: a part is no whole number.
    """
    out: list[int] = []
    for part in _parts(text):
        if not part.isdecimal() or len(part) > _LONGEST_ID:
            msg = f"{option} {text!r}: {part!r} is no token id; write whole numbers: {option} 1,5,9"
            raise QueryError(msg)
        out.append(int(part))
    return tuple(out)


def numbers_of(text: str, option: str) -> tuple[float, ...]:
    """Return "-0.9,-1.5" as numbers; -inf, inf and nan are read, and judged where they are used.

    Raises:
        QueryError: a part is no number.
    """
    out: list[float] = []
    for part in _parts(text):
        try:
            out.append(float(part))
        except ValueError:
            msg = f"{option} {text!r}: {part!r} is no number; write {option}=-0.9,-1.5"
            raise QueryError(msg) from None
    return tuple(out)


def names_of(values: Iterable[str]) -> tuple[str, ...]:
    """Return names parted by commas; spaces belong to them, and a comma alone is itself."""
    out: list[str] = []
    for value in values:
        out += [value] if value == "," else value.split(",")
    return tuple(out)


def tokens_of(values: Iterable[str]) -> tuple[str | int, ...]:
    """Return tokens parted by commas: texts, or ids written #7."""
    return tuple(token_of(name) for name in names_of(values))


def token_of(name: str) -> str | int:
    """Return a token's text, or its id where it is written #7."""
    number = name[1:]
    written = name[:1] == "#" and number.isdecimal() and len(number) <= _LONGEST_ID
    return int(number) if written else name


def settings_of(
    values: Iterable[str], option: str, example: str = "C=12"
) -> dict[str | int, float]:
    """Return ["C=12"] as {"C": 12.0}.

    Raises:
        QueryError: one is not TOKEN=NUMBER, or a token comes twice.
    """
    out: dict[str | int, float] = {}
    for value in values:
        name, equals, number = value.rpartition("=")
        try:
            parsed = float(number)
        except ValueError:
            parsed = math.nan
        if not equals or not name or math.isnan(parsed):
            msg = f"{option} {value!r} is not TOKEN=NUMBER; write {option} {example}"
            raise QueryError(msg)
        token = token_of(name)
        if token in out:
            msg = f"{option} sets {name!r} twice; leave one out"
            raise QueryError(msg)
        out[token] = parsed
    return out


def messages_of(value: str, option: str) -> list[dict[str, str]]:
    """Return chat messages from a JSON file, stdin (-), or JSON itself.

    Raises:
        MissingFileError: there is no such file.
        InputError: it is no JSON list of messages.
    """
    name, found = _json_of(value, option, "messages", "the list", _wanted(option))
    if isinstance(found, dict) and "messages" in found:
        found = found["messages"]
    if not isinstance(found, list):
        msg = f"{name}: found {type(found).__name__}, no list of messages; {_wanted(option)}"
        raise InputError(msg)
    return [_message(item, place, name, option) for place, item in enumerate(found)]


def _message(item: Any, place: int, name: str, option: str) -> dict[str, str]:  # noqa: ANN401 - JSON
    if (
        isinstance(item, dict)
        and isinstance(item.get("role"), str)
        and isinstance(item.get("content"), str)
    ):
        return {"role": item["role"], "content": item["content"]}
    msg = f"{name}: message {place} is {item!r}, without a role and a content; {_wanted(option)}"
    raise InputError(msg)


def schema_of(value: str, option: str) -> dict[str, Any]:
    """Return a JSON schema from a file, stdin (-), or JSON itself.

    Raises:
        MissingFileError: there is no such file.
        InputError: it is no JSON object.
    """
    wanted = f'{option} takes {{"type": "object", …}}, or a file of it'
    name, found = _json_of(value, option, "the schema", "the schema itself", wanted)
    if not isinstance(found, dict):
        msg = f"{name}: found {type(found).__name__}, no schema; {wanted}"
        raise InputError(msg)
    return found


def choices_of(texts: Iterable[str] | None, file: str | None) -> list[str] | None:
    """Return the texts of --choice, and the lines of a file; None where neither is given.

    Raises:
        MissingFileError: there is no such file.
        InputError: it is not UTF-8, or has no line.
    """
    out = None if texts is None else list(texts)
    if file is None:
        return out
    name, text = _text_of(file, "give a file of one choice a line, or - for stdin")
    found = [line for line in text.splitlines() if line.strip()]
    if not found:
        msg = f"{name}: there is no choice in it; write one a line, or --choice TEXT for each"
        raise InputError(msg)
    return [*(out or ()), *found]


def biases_of(values: Iterable[str], option: str, model: Model) -> dict[int, float]:
    """Return ["mat=-2"] as nats by token id.

    Raises:
        QueryError: one is not TOKEN=NUMBER, or names no single token.
    """
    out: dict[int, float] = {}
    for name, nats in settings_of(values, option, "#7=-2").items():
        token = name if isinstance(name, int) else _token_id(name, option, model)
        if token in out:
            msg = f"{option} sets token #{token} twice; leave one out"
            raise QueryError(msg)
        out[token] = nats
    return out


def _token_id(name: str, option: str, model: Model) -> int:
    if model.tokenizer is None:
        msg = (
            f"{option} {name!r}: this model has no tokenizer; name the token by id: {option} #7=-2"
        )
        raise QueryError(msg)
    ids = model.tokenizer.encode(name, parse_special=True, start=False)
    if len(ids) == 1:
        return ids[0]
    msg = (
        f"{option}: {name!r} is {len(ids)} tokens; name one token as the tokenizer writes it "
        f"(often with a leading space: {option} {' ' + name.strip() + '=-2'!r}), or its id: "
        f"{option} #7=-2"
    )
    raise QueryError(msg)


def _json_of(value: str, option: str, what: str, inline: str, wanted: str) -> tuple[str, Any]:
    """Return where a value of JSON stands, and what it is."""
    if value.lstrip().startswith(("[", "{")):
        name, text = option, value
    else:
        name, text = _text_of(value, f"give a JSON file of {what}, - for stdin, or {inline}")
    try:
        return name, json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        line = f":{error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        msg = f"{name}{line}: the JSON is malformed: {error}; {wanted}"
        raise InputError(msg) from error


def _text_of(value: str, ways: str) -> tuple[str, str]:
    if value == "-":
        name, data = "<stdin>", sys.stdin.buffer.read()
    elif Path(value).is_file():
        name, data = value, Path(value).read_bytes()
    else:
        msg = f"there is no file {value}; {ways}"
        raise MissingFileError(msg)
    try:
        return name, data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        msg = f"{name} is not UTF-8: {error}; write it in UTF-8"
        raise InputError(msg) from error


def _wanted(option: str) -> str:
    return f'{option} takes [{{"role": "user", "content": "Hi"}}, …]'


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(",")] if text.strip() else []
