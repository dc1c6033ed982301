"""Chunks of a stream joined to the responses that they belong to."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from logpr.auditing.responses.values import Response


def unwrapped(document: dict[str, Any]) -> dict[str, Any]:
    """Return the response in a line of a batch's output, which wraps it with the request's id."""
    response = document.get("response")
    body = response.get("body") if isinstance(response, dict) else None
    return body if isinstance(body, dict) else document


@dataclass
class Joined:
    """Responses as they come, chunks of one joined to it."""

    streamed: bool

    def __post_init__(self) -> None:
        self.parts: list[list[Response]] = []
        self.open: dict[tuple[object, ...], int] = {}

    def add(self, response: Response, document: object) -> None:
        """Add a response, or what a chunk adds to the one that it belongs to."""
        key = (response.format, response.id, response.index)
        more = _is_chunk(response, document, streamed=self.streamed)
        place = self.open.get(key)
        if place is None:
            place = len(self.parts)
            self.parts.append([])
        self.parts[place].append(response)
        if more:
            self.open[key] = place
        else:
            self.open.pop(key, None)

    @property
    def responses(self) -> list[Response]:
        """Return what came, joined."""
        return [_join(parts) for parts in self.parts]


def _is_chunk(response: Response, document: object, *, streamed: bool) -> bool:
    """Return whether more of the response may follow in a later document."""
    assert isinstance(document, dict), "it was read as a response"
    inner = unwrapped(document)
    if response.format == "tokens" or streamed:
        return True
    if response.format in ("llama.cpp", "ollama"):
        return inner.get("stop" if response.format == "llama.cpp" else "done") is False
    if response.format == "tgi":
        return isinstance(inner.get("token"), dict) and inner.get("generated_text") is None
    if response.format == "openai chat":
        return any("delta" in choice for choice in inner["choices"] if isinstance(choice, dict))
    if response.format == "openai completion":
        ended = [choice.get("finish_reason") for choice in inner["choices"]]
        return response.id is not None and None in ended
    return False


def _join(parts: list[Response]) -> Response:
    """Return one response of its chunks; TGI's last one brings the whole text."""
    if len(parts) == 1:
        return parts[0]
    texts = [part.text for part in parts if part.text is not None]
    first, last = parts[0], parts[-1]
    whole = last.text if first.format == "tgi" else "".join(texts)
    with_steps = next((part for part in parts if part.steps), first)
    return dataclasses.replace(
        with_steps,
        steps=tuple(step for part in parts for step in part.steps),
        prompt_steps=next((part.prompt_steps for part in parts if part.prompt_steps), ()),
        prompt_ids=next((part.prompt_ids for part in parts if part.prompt_ids), None),
        prompt=next((part.prompt for part in parts if part.prompt), None),
        text=whole if texts else None,
        where=first.where,
        document=first.document,
    )
