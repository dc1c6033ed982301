"""Responses in OpenAI's formats: completions, chat completions, responses; vLLM's additions.

Servers that speak the same formats (vLLM, SGLang, llama.cpp, TGI, Together) are read here too.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from logpr.auditing.responses.values import Response, ResponseStep, TopEntry
from logpr.io._fault import RowFault
from logpr.io._response_fields import (
    entry_at,
    id_at,
    list_at,
    number_at,
    object_at,
    of_token_text,
    steps_at,
    steps_unit,
    text_at,
)


def is_openai(document: dict[str, Any]) -> bool:
    """Return whether a document is a completion, a chat completion, or a chunk of one."""
    choices = document.get("choices")
    if not isinstance(choices, list):
        return False
    if not choices:
        # The last chunk of a stream has the usage alone.
        return str(document.get("object")).startswith(("chat.completion", "text_completion"))
    # A question's choices are called so too: texts, or objects with a text and no more.
    return all(
        isinstance(choice, dict)
        and not {"message", "delta", "logprobs", "finish_reason"}.isdisjoint(choice)
        for choice in choices
    )


def read_openai(document: dict[str, Any]) -> list[Response]:
    """Return the choices of a completion or a chat completion, or of one chunk of their streams.

    Raises:
        RowFault: a field is of the wrong type, or lists that belong together differ in length.
    """
    out = []
    choices = list_at(document["choices"], "choices")
    for place, item in enumerate(choices):
        path = f"choices[{place}]"
        choice = object_at(item, path)
        logprobs = choice.get("logprobs")
        if isinstance(logprobs, dict) and "token_logprobs" in logprobs:
            response = _completion(choice, logprobs, f"{path}.logprobs", path)
            response = _cut_echo(response, document, single=len(choices) == 1)
        else:
            response = _chat(choice, logprobs, path)
        before, ids = _prompt_of(document, choice, path)
        out.append(
            dataclasses.replace(
                response,
                id=_name(document),
                index=choice["index"] if isinstance(choice.get("index"), int) else place,
                model=text_at(document.get("model"), "model"),
                prompt_steps=before or response.prompt_steps,
                prompt_ids=ids or response.prompt_ids,
            )
        )
    return out


def _name(document: dict[str, Any]) -> str | None:
    name = document.get("id")
    return name if isinstance(name, str) else None


def _chat(choice: dict[str, Any], logprobs: object, path: str) -> Response:
    key = "delta" if "delta" in choice else "message"
    message = object_at(choice.get(key) or {}, f"{path}.{key}")
    fields = {} if logprobs is None else object_at(logprobs, f"{path}.logprobs")
    steps: tuple[ResponseStep, ...] = ()
    for name in ("content", "refusal"):
        steps += steps_at(fields.get(name), f"{path}.logprobs.{name}")
    text = message.get("content")
    if text is None:
        text = message.get("refusal")
    if text is None and isinstance(choice.get("text"), str):
        text = choice["text"]
    return Response(
        format="openai chat",
        steps=steps,
        where=path,
        text=text if isinstance(text, str) else None,
        unit=steps_unit(fields.get("content")),
    )


def _completion(
    choice: dict[str, Any], logprobs: dict[str, Any], path: str, where: str
) -> Response:
    tokens = list_at(logprobs.get("tokens"), f"{path}.tokens")
    values = list_at(logprobs.get("token_logprobs"), f"{path}.token_logprobs")
    tops = logprobs.get("top_logprobs")
    lists = [None] * len(tokens) if tops is None else list_at(tops, f"{path}.top_logprobs")
    for name, column in (("token_logprobs", values), ("top_logprobs", lists)):
        if len(column) != len(tokens):
            msg = (
                f"found {len(column)} entries and {len(tokens)} tokens; a response has one each: "
                f"was it cut, or put together by hand?"
            )
            raise RowFault(msg, f"{path}.{name}")
    holder = logprobs if isinstance(logprobs.get("token_ids"), list) else choice
    ids = _ids(holder.get("token_ids"), f"{where}.token_ids", len(tokens))
    steps = []
    for place, item in enumerate(tokens):
        token, named = of_token_text(text_at(item, f"{path}.tokens[{place}]"))
        found = named if ids is None else ids[place]
        steps.append(
            ResponseStep(
                token=token,
                value=number_at(values[place], f"{path}.token_logprobs[{place}]"),
                where=f"{path}.token_logprobs[{place}]",
                id=found,
                top=_map(lists[place], f"{path}.top_logprobs[{place}]"),
            )
        )
    return Response(
        format="openai completion",
        steps=tuple(steps),
        where=where,
        text=text_at(choice.get("text"), f"{where}.text"),
        echoed=len(steps) > 0 and steps[0].value is None,
        text_keyed=True,
    )


def _map(value: object, path: str) -> tuple[TopEntry, ...] | None:
    if value is None:
        return None
    if isinstance(value, list):
        return tuple(entry_at(item, f"{path}[{place}]") for place, item in enumerate(value))
    entries = []
    for name, number in object_at(value, path).items():
        token, found = of_token_text(text_at(name, path))
        entries.append(
            TopEntry(token=token, id=found, value=number_at(number, f"{path}[{name!r}]"))
        )
    return tuple(entries)


def _ids(value: object, path: str, count: int) -> list[int | None] | None:
    if not isinstance(value, list) or len(value) != count:
        # Some servers count the end token among the ids and not among the tokens.
        return None
    return [id_at(item, f"{path}[{place}]") for place, item in enumerate(value)]


def _cut_echo(response: Response, document: dict[str, Any], *, single: bool) -> Response:
    """Return an echoed completion cut where the prompt ends, where the usage says where."""
    usage = document.get("usage")
    count = usage.get("prompt_tokens") if isinstance(usage, dict) else None
    if not response.echoed or not single or not isinstance(count, int):
        return response
    steps = response.steps
    if not 0 < count <= len(steps):
        return response
    before, after = steps[:count], steps[count:]
    prompt = "".join(step.token or "" for step in before)
    if not after or any(step.token is None for step in before):
        # Nothing was generated: the numbers are those of the prompt, which is all text there is.
        return response
    text = response.text
    known = text is not None and text.startswith(prompt)
    return dataclasses.replace(
        response,
        steps=after,
        prompt_steps=before,
        prompt=prompt,
        text=text[len(prompt) :] if known and text is not None else None,
        echoed=False,
    )


def _prompt_of(
    document: dict[str, Any], choice: dict[str, Any], path: str
) -> tuple[tuple[ResponseStep, ...], tuple[int, ...] | None]:
    """Return the prompt's tokens and ids, which vLLM gives for the choice or the whole document."""
    where = path if choice.get("prompt_logprobs") is not None else ""
    holder = choice if where else document
    ids = choice.get("prompt_token_ids") or document.get("prompt_token_ids")
    known = None
    if isinstance(ids, list):
        read = [id_at(item, f"prompt_token_ids[{place}]") for place, item in enumerate(ids)]
        known = tuple(item for item in read if item is not None)
    maps = holder.get("prompt_logprobs")
    if maps is None:
        return (), known
    name = f"{where}.prompt_logprobs" if where else "prompt_logprobs"
    steps = tuple(
        _prompt_step(item, f"{name}[{place}]", None if known is None else known[place : place + 1])
        for place, item in enumerate(list_at(maps, name))
    )
    return steps, known


def _prompt_step(value: object, path: str, known: tuple[int, ...] | None) -> ResponseStep:
    if value is None:
        return ResponseStep(token=None, value=None, where=path, id=known[0] if known else None)
    entries = []
    for name, item in object_at(value, path).items():
        entry = object_at(item, f"{path}.{name}")
        if not (name.isascii() and name.isdecimal()):
            msg = f"a token's id is wanted as the name, found {name!r}"
            raise RowFault(msg, path)
        rank = entry.get("rank")
        entries.append(
            TopEntry(
                token=text_at(entry.get("decoded_token"), f"{path}.{name}.decoded_token"),
                value=number_at(entry.get("logprob"), f"{path}.{name}.logprob"),
                id=id_at(int(name[:20]), path),
                rank=rank if isinstance(rank, int) else None,
            )
        )
    if not entries:
        return ResponseStep(token=None, value=None, where=path, id=known[0] if known else None)
    # vLLM puts the prompt's own token first, then the likeliest.
    own = next((entry for entry in entries if known and entry.id == known[0]), entries[0])
    return ResponseStep(
        token=own.token,
        value=own.value,
        where=path,
        id=own.id,
        rank=own.rank,
        top=tuple(entries) if len(entries) > 1 else None,
    )


def is_openai_response(document: dict[str, Any]) -> bool:
    """Return whether a document is of OpenAI's Responses API."""
    output = document.get("output")
    return isinstance(output, list) and any(
        isinstance(item, dict) and isinstance(item.get("content"), list) for item in output
    )


def read_openai_response(document: dict[str, Any]) -> list[Response]:
    """Return the texts of a document of the Responses API.

    Raises:
        RowFault: a field is of the wrong type.
    """
    out: list[Response] = []
    for number, item in enumerate(list_at(document["output"], "output")):
        parts = item.get("content") if isinstance(item, dict) else None
        for place, part in enumerate(parts if isinstance(parts, list) else ()):
            path = f"output[{number}].content[{place}]"
            fields = object_at(part, path)
            if fields.get("logprobs") is None:
                continue
            out.append(
                Response(
                    format="openai response",
                    steps=steps_at(fields["logprobs"], f"{path}.logprobs"),
                    where=path,
                    text=text_at(fields.get("text"), f"{path}.text"),
                    id=_name(document),
                    index=len(out),
                    model=text_at(document.get("model"), "model"),
                )
            )
    return out
