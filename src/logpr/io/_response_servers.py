"""Responses in the servers' own formats: llama.cpp, Ollama, Gemini, TGI."""

from __future__ import annotations

import dataclasses
from typing import Any

from logpr.auditing.responses.values import Response, ResponseStep, TopEntry
from logpr.io._fault import RowFault
from logpr.io._response_fields import (
    entry_at,
    list_at,
    object_at,
    object_or_empty,
    step_at,
    steps_at,
    steps_unit,
    text_at,
    text_or_none,
)


def is_llama_cpp(document: dict[str, Any]) -> bool:
    """Return whether a document is of llama.cpp's /completion, or a chunk of its stream."""
    return "completion_probabilities" in document or (
        isinstance(document.get("content"), str) and isinstance(document.get("stop"), bool)
    )


def read_llama_cpp(document: dict[str, Any]) -> list[Response]:
    """Return a response of llama.cpp: log-probabilities, or probabilities after sampling.

    The older format has probabilities alone, and the chosen token's is the one in its list.

    Raises:
        RowFault: a field is of the wrong type.
    """
    name = "completion_probabilities"
    items = document.get(name)
    older = isinstance(items, list) and any(
        isinstance(item, dict) and "probs" in item for item in items
    )
    steps = (
        tuple(_older_step(item, f"{name}[{place}]") for place, item in enumerate(items))
        if older and isinstance(items, list)
        else steps_at(items, name)
    )
    prompt = document.get("prompt")
    return [
        Response(
            format="llama.cpp",
            steps=steps,
            where=name,
            text=text_at(document.get("content"), "content"),
            prompt=prompt if isinstance(prompt, str) and prompt else None,
            index=_index(document),
            model=text_or_none(document, "model"),
            unit="probability" if older else steps_unit(items),
            text_keyed=older,
        )
    ]


def _older_step(value: object, path: str) -> ResponseStep:
    item = object_at(value, path)
    token = text_at(item.get("content"), f"{path}.content")
    top = _entries(item.get("probs") or [], f"{path}.probs")
    own = next((entry for entry in top if entry.token == token), None)
    return ResponseStep(
        token=token, value=None if own is None else own.value, where=path, top=top or None
    )


def _entries(value: object, path: str) -> tuple[TopEntry, ...]:
    return tuple(
        entry_at(item, f"{path}[{place}]") for place, item in enumerate(list_at(value, path))
    )


def is_ollama(document: dict[str, Any]) -> bool:
    """Return whether a document is of Ollama's /api/generate or /api/chat, or a chunk of one."""
    if isinstance(document.get("done"), bool):
        return "response" in document or "message" in document
    logprobs = document.get("logprobs")
    return isinstance(logprobs, list) and any(
        isinstance(item, dict) and "logprob" in item for item in logprobs
    )


def read_ollama(document: dict[str, Any]) -> list[Response]:
    """Return a response of Ollama.

    Raises:
        RowFault: a field is of the wrong type.
    """
    message = document.get("message")
    text = message.get("content") if isinstance(message, dict) else document.get("response")
    return [
        Response(
            format="ollama",
            steps=steps_at(document.get("logprobs"), "logprobs"),
            where="logprobs",
            text=text_at(text, "response"),
            model=text_or_none(document, "model"),
        )
    ]


def is_gemini(document: dict[str, Any]) -> bool:
    """Return whether a document is a Gemini response: its candidates have parts, or numbers."""
    candidates = document.get("candidates")
    return isinstance(candidates, list) and any(
        isinstance(item, dict)
        and ("logprobsResult" in item or "parts" in (object_or_empty(item.get("content"))))
        for item in candidates
    )


def read_gemini(document: dict[str, Any]) -> list[Response]:
    """Return the candidates of a Gemini response.

    Raises:
        RowFault: a field is of the wrong type, or the lists are not one for each chosen token.
    """
    out = []
    for place, item in enumerate(list_at(document["candidates"], "candidates")):
        path = f"candidates[{place}]"
        candidate = object_at(item, path)
        parts = object_or_empty(candidate.get("content")).get("parts") or []
        texts = [
            part.get("text")
            for part in list_at(parts, f"{path}.content.parts")
            if isinstance(part, dict) and not part.get("thought")
        ]
        found = object_at(candidate.get("logprobsResult") or {}, f"{path}.logprobsResult")
        out.append(
            Response(
                format="gemini",
                steps=_gemini_steps(found, f"{path}.logprobsResult"),
                where=path,
                text="".join(text for text in texts if isinstance(text, str)),
                id=text_or_none(document, "responseId"),
                index=candidate["index"] if isinstance(candidate.get("index"), int) else place,
                model=text_or_none(document, "modelVersion"),
            )
        )
    return out


def _gemini_steps(found: dict[str, Any], path: str) -> tuple[ResponseStep, ...]:
    name = f"{path}.chosenCandidates"
    chosen = list_at(found.get("chosenCandidates") or [], name)
    tops = list_at(found.get("topCandidates") or [], f"{path}.topCandidates")
    if tops and chosen and len(tops) != len(chosen):
        msg = f"found {len(tops)} lists and {len(chosen)} chosen tokens; there is one each"
        raise RowFault(msg, f"{path}.topCandidates")
    steps = [step_at(item, f"{name}[{place}]") for place, item in enumerate(chosen)]
    for place, item in enumerate(tops[: len(steps)]):
        where = f"{path}.topCandidates[{place}]"
        listed = _entries(object_at(item, where).get("candidates") or [], f"{where}.candidates")
        steps[place] = dataclasses.replace(steps[place], top=listed or None)
    return tuple(steps)


def is_tgi(document: dict[str, Any]) -> bool:
    """Return whether a document is of Text Generation Inference, or a token of its stream."""
    token, details = document.get("token"), document.get("details")
    return (isinstance(token, dict) and "logprob" in token) or (
        isinstance(details, dict) and "tokens" in details
    )


def read_tgi(document: dict[str, Any]) -> list[Response]:
    """Return a response of TGI, the other sequences of best_of after it.

    Raises:
        RowFault: a field is of the wrong type.
    """
    text = text_at(document.get("generated_text"), "generated_text")
    if isinstance(document.get("token"), dict):
        step = step_at(document["token"], "token")
        listed = document.get("top_tokens")
        top = None if not listed else _entries(listed, "top_tokens")
        step = dataclasses.replace(step, top=top)
        return [Response(format="tgi", steps=(step,), where="token", text=text)]
    details = object_at(document["details"], "details")
    out = [_tgi_sequence(details, "details", text, 0)]
    for place, item in enumerate(details.get("best_of_sequences") or []):
        path = f"details.best_of_sequences[{place}]"
        fields = object_at(item, path)
        own = text_at(fields.get("generated_text"), f"{path}.generated_text")
        out.append(_tgi_sequence(fields, path, own, place + 1))
    return out


def _tgi_sequence(fields: dict[str, Any], path: str, text: str | None, index: int) -> Response:
    steps = steps_at(fields.get("tokens"), f"{path}.tokens")
    lists = fields.get("top_tokens")
    if isinstance(lists, list) and len(lists) == len(steps):
        steps = tuple(
            dataclasses.replace(step, top=_entries(item, f"{path}.top_tokens[{place}]") or None)
            for place, (step, item) in enumerate(zip(steps, lists, strict=True))
        )
    before = steps_at(fields.get("prefill"), f"{path}.prefill")
    ids = tuple(step.id for step in before if step.id is not None)
    return Response(
        format="tgi",
        steps=steps,
        where=path,
        text=text,
        prompt_steps=before,
        prompt_ids=ids if before and len(ids) == len(before) else None,
        index=index,
    )


def _index(document: dict[str, Any]) -> int:
    index = document.get("index")
    return index if isinstance(index, int) else 0
