"""What a completion says, in the shapes that servers use: best next tokens, and echoed ones."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NoReturn

import numpy as np

from logpr.errors import ModelOutputError
from logpr.models.base import Glimpses
from logpr.models.openai.names import Names
from logpr.models.openai.wire import EndpointError, Json

_FLOOR = -9999.0
"""What several servers write for −inf."""

_MASS_TOLERANCE = 1e-3
"""Beyond 1, for log-probabilities that a server rounds to three digits."""

_ABOVE_ZERO = 1e-4
_MOST_SHOWN = 120


class NotGivenError(Exception):
    """The answer holds no log-probabilities of what was asked about."""


@dataclass(frozen=True, slots=True)
class Listed:
    """One of the best next tokens: its id where its name can mean one token alone."""

    name: str
    token: int | None
    logprob: float


@dataclass(frozen=True, slots=True)
class Best:
    """The best next tokens that a server lists, best first, and the one that it generated.

    `by_name`: a list in which tokens of one name stand once.
    """

    listed: tuple[Listed, ...]
    generated: Listed
    by_name: bool


def best_of(choice: Json, names: Names) -> Best:
    """Return what a choice says of its first generated token, and of those beside it.

    Raises:
        NotGivenError: it lists no log-probabilities of alternatives.
        ModelOutputError: what it lists are no log-probabilities.
    """
    said = choice.get("logprobs")
    if not isinstance(said, dict):
        raise NotGivenError
    content, top = said.get("content"), said.get("top_logprobs")
    if isinstance(content, list) and content and isinstance(content[0], dict):
        # llama.cpp, and the shape of chats: {"id", "token", "bytes", "logprob"}.
        first = content[0]
        found = _items(first.get("top_logprobs"), names)
        own, by_name = _item(first, names), False
    elif isinstance(top, list) and top and top[0]:
        found, own = _items(top[0], names), _generated(said, names)
        by_name = isinstance(top[0], dict)
    else:
        raise NotGivenError
    # Servers that list other tokens by id list all of them.
    by_name = by_name and not all(each.name.startswith("token_id:") for each in found)
    if not found:
        raise NotGivenError
    found.sort(key=lambda each: (-each.logprob, -1 if each.token is None else each.token))
    mass = math.fsum(math.exp(each.logprob) for each in found)
    if mass > 1 + _MASS_TOLERANCE:
        msg = (
            f"the endpoint lists {len(found)} next tokens of total probability {mass:.6g}, more "
            f"than 1: they are no log-probabilities of one distribution"
        )
        raise ModelOutputError(msg)
    if mass > 1:
        # Rounded digits: no more than the tolerance goes from any of them.
        found = [replace(each, logprob=each.logprob - math.log(mass)) for each in found]
    ids = [each.token for each in found if each.token is not None]
    if len(ids) != len(set(ids)):
        msg = f"the endpoint lists one token twice among {shown([each.name for each in found])}"
        raise ModelOutputError(msg)
    return Best(tuple(found), own, by_name)


def known_best(best: Best, most: int) -> tuple[Listed, ...]:
    """Return the best next tokens whose ids are known, such that no other token is better.

    A token without an id ends the list. So does, in a list by names that is shorter than asked
    for, a probability that a token hidden behind another's name may have.

    Args:
        best: what a server lists.
        most: how many it lists where it has as many.
    """
    listed = best.listed[:most]
    if best.by_name and len(listed) < most:
        left = 1 - math.fsum(math.exp(each.logprob) for each in listed)
        listed = tuple(each for each in listed if math.exp(each.logprob) >= left)
    out: list[Listed] = []
    for each in listed:
        if each.token is None:
            break
        if each.logprob > _FLOOR:
            out.append(each)
    return tuple(out)


def echoed_of(choice: Json, sent: Sequence[int]) -> tuple[tuple[str, ...], tuple[float, ...]]:
    """Return names and log-probabilities of the tokens sent, from the second on, as echoed.

    Raises:
        NotGivenError: they were not echoed.
        ModelOutputError: what was echoed are no log-probabilities.
    """
    said = choice.get("logprobs")
    found = said if isinstance(said, dict) else {}
    names, logprobs = found.get("tokens"), found.get("token_logprobs")
    if not isinstance(names, list) or not isinstance(logprobs, list):
        raise NotGivenError
    # One more where a server does not generate nothing.
    if not len(sent) <= len(names) == len(logprobs) <= len(sent) + 1:
        raise NotGivenError
    used = range(1, len(sent))
    return (
        tuple(str(names[place]) for place in used),
        tuple(_logprob(logprobs[place], str(names[place])) for place in used),
    )


def prompt_logprobs_of(
    choice: Json, sent: Sequence[int]
) -> tuple[tuple[str, ...], tuple[float, ...]]:
    """Return the same from `prompt_logprobs`, as vLLM gives them: {id: {"logprob": …}} a token.

    Raises:
        NotGivenError: there are none, or not of these tokens.
        ModelOutputError: they are no log-probabilities.
    """
    given = choice.get("prompt_logprobs")
    if not isinstance(given, list) or len(given) != len(sent):
        raise NotGivenError
    out: list[float] = []
    for entry, token in zip(given[1:], sent[1:], strict=True):
        own = entry.get(str(token)) if isinstance(entry, dict) else None
        if not isinstance(own, dict):
            raise NotGivenError
        out.append(_logprob(own.get("logprob"), f"token_id:{token}"))
    return tuple(f"token_id:{token}" for token in sent[1:]), tuple(out)


def choices_of(found: Json, count: int) -> list[Json]:
    """Return a choice for each of so many prompts, in their order.

    Raises:
        EndpointError: there are fewer or more, or their numbers are others.
    """
    given = found.get("choices")
    if not isinstance(given, list) or not all(isinstance(each, dict) for each in given):
        msg = f"the endpoint answered otherwise: choices is {shown(given)}; wanted is a list"
        raise EndpointError(msg)
    if len(given) != count:
        msg = f"the endpoint answered {len(given)} choices to {count} prompts"
        raise EndpointError(msg)
    order = [each.get("index", place) for place, each in enumerate(given)]
    if sorted(map(repr, order)) != sorted(map(repr, range(count))):
        msg = f"the endpoint numbers its choices {shown(order)}; wanted is 0 to {count - 1}"
        raise EndpointError(msg)
    return [given[order.index(place)] for place in range(count)]


def require_count(found: Json, prompts: Sequence[Sequence[int]]) -> None:
    """Refuse an answer in which the server counts other prompt tokens than were sent.

    Raises:
        EndpointError: it does; one that counts none is no contradiction.
    """
    usage = found.get("usage")
    counted = usage.get("prompt_tokens") if isinstance(usage, dict) else None
    sent = sum(map(len, prompts))
    if type(counted) is int and counted != sent:
        msg = (
            f"the endpoint counts {counted} prompt tokens where {sent} ids were sent: it adds a "
            f"start token to them or drops some, so its numbers are of another prompt; start the "
            f"server so that it takes token ids as they are"
        )
        raise EndpointError(msg)


def shown(value: object) -> str:
    """Return a stranger's value, short."""
    text = repr(value)
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}…"


def _generated(said: Json, names: Names) -> Listed:
    tokens, logprobs = said.get("tokens"), said.get("token_logprobs")
    if not isinstance(tokens, list) or not isinstance(logprobs, list) or not tokens or not logprobs:
        raise NotGivenError
    name = str(tokens[0])
    return Listed(name, names.of_name(name), _logprob(logprobs[0], name))


def _items(given: Any, names: Names) -> list[Listed]:  # noqa: ANN401 - JSON
    if isinstance(given, dict):
        return [
            Listed(name, names.of_name(name), _logprob(value, name))
            for name, value in given.items()
        ]
    if not isinstance(given, list):
        raise NotGivenError
    return [_item(each, names) for each in given]


def _item(given: Any, names: Names) -> Listed:  # noqa: ANN401 - JSON
    if not isinstance(given, dict):
        _wrong(given, "a token")
    name = str(given.get("token", ""))
    number, piece = given.get("id"), given.get("bytes")
    if type(number) is int:
        token = names.of_id(number)
    elif isinstance(piece, list) and piece:
        token = names.of_bytes(piece)
    else:
        token = names.of_name(name)
    return Listed(name, token, _logprob(given.get("logprob"), name))


def _logprob(value: object, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        _wrong(value, f"the log-probability of {name!r}")
    try:
        number = float(value)
    except OverflowError:  # a whole number of hundreds of digits
        number = math.inf if value > 0 else -math.inf
    if not number <= _ABOVE_ZERO:  # not >, which nan would pass
        _wrong(value, f"the log-probability of {name!r}")
    return -math.inf if number <= _FLOOR else min(0.0, number)


def _wrong(value: object, place: str) -> NoReturn:
    msg = f"the endpoint gave {shown(value)} as {place}; wanted is a number, at most 0"
    raise ModelOutputError(msg)


def glimpses_of(found: Sequence[Sequence[Listed]]) -> Glimpses:
    """Return rows of tokens whose ids are known as arrays, filled up with −1 and −inf."""
    width = max((len(row) for row in found), default=0)
    ids = np.full((len(found), width), -1, dtype=np.int64)
    logprobs = np.full((len(found), width), -np.inf)
    for place, row in enumerate(found):
        ids[place, : len(row)] = [-1 if each.token is None else each.token for each in row]
        logprobs[place, : len(row)] = [each.logprob for each in row]
    return Glimpses(token_ids=ids, logprobs=logprobs)
