"""Reading a response: its steps in turn, the chosen token's place in its list, the unit."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

from logpr._values.audit import Finding
from logpr.auditing.claims.values import Printed
from logpr.auditing.responses.values import NOISE, Response, ResponseStep, TopEntry

Check: TypeAlias = Callable[[Sequence[Response]], tuple[Finding, ...]]
"""One check of responses that were audited together."""


_FEW = 4
"""Numbers between 0 and 1 that are needed: a few logits may lie there too."""


def steps_of(responses: Sequence[Response]) -> Iterator[tuple[Response, ResponseStep]]:
    """Yield every step of every response, the prompts' first."""
    for response in responses:
        for step in response.all_steps:
            yield response, step


def listed_steps(responses: Sequence[Response]) -> Iterator[tuple[Response, ResponseStep]]:
    """Yield the steps that have a list of one entry or more."""
    return ((response, step) for response, step in steps_of(responses) if step.top)


def surprisal_like(response: Response) -> bool:
    """Return whether the numbers are −log Pr: none below 0, masses that fit, least first."""
    if response.unit != "nats" or not _all(response, lambda value: value.high >= 0):
        return False
    masses = []
    for _, step in listed_steps([response]):
        values = [entry.value.value for entry in step.top or () if entry.value is not None]
        if len(values) < 2:  # noqa: PLR2004 - one token has no order
            continue
        # Servers may put the chosen token in front of the list or behind it.
        if not (_rises(values[1:]) and values[0] < values[-1]) and not _rises(values[:-1]):
            return False
        masses.append(sum(math.exp(-min(value, 700.0)) for value in values))
    # Logits of a list may all be positive too, but then exp of their negatives sums to nothing.
    return (
        len(masses) > 2  # noqa: PLR2004 - one list may look so by chance
        and max(masses) < 1.01  # noqa: PLR2004 - 1 within two decimals
        and statistics.median(masses) > 0.3  # noqa: PLR2004 - of a few of the likeliest
    )


def _rises(values: Sequence[float]) -> bool:
    return all(first <= second for first, second in itertools.pairwise(values))


def probability_like(response: Response) -> bool:
    """Return whether numbers sold as log-probabilities are probabilities: in [0, 1], masses too."""
    if response.unit != "nats" or surprisal_like(response):
        return False
    if not _all(response, lambda value: value.value >= 0 and value.low <= 1):
        return False
    if sum(value.low > 0 and value.high < 1 for value in response.values()) < _FEW:
        return False
    return all(
        sum(entry.value.low for entry in step.top or () if entry.value is not None) <= 1 + NOISE
        for _, step in listed_steps([response])
    )


def _all(response: Response, holds: Callable[[Printed], bool]) -> bool:
    return all(map(holds, response.values())) and any(value.low > 0 for value in response.values())


def turned(response: Response) -> bool:
    """Return whether the numbers are in another unit as a whole, and not wrong one by one."""
    return probability_like(response) or surprisal_like(response)


def upright(responses: Sequence[Response]) -> list[Response]:
    """Return the responses whose larger numbers are the likelier ones, and logarithms."""
    return [response for response in responses if not turned(response)]


def garbled(text: str | None, raw: bytes | None) -> bool:
    """Return whether a token's text cannot say which token it was: half a character, or none."""
    return text is None or (
        ("�" in text or text.startswith("bytes:")) and (raw is None or raw == text.encode())
    )


def entries_of(step: ResponseStep) -> tuple[TopEntry, ...] | None:
    """Return the list's entries that are the chosen token; None where that cannot be told.

    By id where both have one, else by bytes, else by text. Where two entries share the text, both
    are returned: either may be meant.
    """
    top = step.top or ()
    if step.id is not None and any(entry.id is not None for entry in top):
        return tuple(entry for entry in top if entry.id == step.id)
    if garbled(step.token, step.raw):
        return None
    if step.raw is not None and any(entry.raw is not None for entry in top):
        same = tuple(entry for entry in top if entry.raw == step.raw)
        if same:
            return same
    return tuple(entry for entry in top if entry.token == step.token)


def lists_of(responses: Sequence[Response]) -> int:
    """Return the number of steps that have a list."""
    return sum(1 for _ in listed_steps(responses))


def of_lists(struck: Sequence[object], responses: Sequence[Response]) -> str:
    """Return how many of the positions with a list were struck, in words."""
    return f"{len(struck)} of {lists_of(responses)} positions"
