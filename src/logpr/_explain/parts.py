"""A prompt in parts that can be left out: sentences, turns of a chat, or given spans."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from logpr._values import Message
from logpr._values.explanation import ContextKind
from logpr.errors import QueryError

_END = re.compile(r"[.!?。！？]+[\"'”’»)\]]*(?:\s+|$)|[。！？]+|\n+")


@dataclass(frozen=True, slots=True)
class Part:
    """One part: where it is, what it says, and the prompt (or the chat) without it."""

    kind: ContextKind
    start: int
    end: int
    text: str
    without: str | tuple[Message, ...]


def sentences(prompt: str) -> list[Part]:
    """Return a prompt's sentences; each takes the space after it along, the last the one before.

    A sentence ends at a full stop, a question or an exclamation mark before a space, and at a new
    line; what stands after the last one is a part too.
    """
    cuts = [0, *(match.end() for match in _END.finditer(prompt)), len(prompt)]
    bounds = sorted(set(cuts))
    found = [
        _part("sentence", prompt, start, end)
        for start, end in itertools.pairwise(bounds)
        if prompt[start:end].strip()
    ]
    if found and found[-1].end == len(prompt) and not prompt[-1].isspace():
        # Else the space that parted them would stand before the candidates, beside their own.
        found[-1] = replace(found[-1], without=prompt[: found[-1].start].rstrip(" "))
    return found


def spans(prompt: str, found: Sequence[tuple[int, int]]) -> list[Part]:
    """Return given spans of a prompt's characters.

    Raises:
        QueryError: a span is empty, or not within the prompt.
    """
    out: list[Part] = []
    for number, span in enumerate(found):
        try:
            start, end = (int(each) for each in span)
        except (TypeError, ValueError) as error:
            msg = f"span {number} is {span!r}; a span is (start, end), two numbers of characters"
            raise QueryError(msg) from error
        if not 0 <= start < end <= len(prompt):
            msg = (
                f"span {number} is {start} to {end}, and the prompt has {len(prompt)} characters; "
                f"a span has 0 <= start < end <= {len(prompt)}"
            )
            raise QueryError(msg)
        out.append(_part("span", prompt, start, end))
    return out


def turns(messages: tuple[Message, ...]) -> list[Part]:
    """Return the turns of a chat, one part each."""
    return [
        Part(
            "turn",
            place,
            place + 1,
            f"{each.role}: {each.content}",
            messages[:place] + messages[place + 1 :],
        )
        for place, each in enumerate(messages)
    ]


def _part(kind: ContextKind, prompt: str, start: int, end: int) -> Part:
    return Part(kind, start, end, prompt[start:end], prompt[:start] + prompt[end:])
