"""Responses made of bare lists: SGLang's triples and GLTR's pairs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from logpr.auditing.responses.values import Response, ResponseStep, TopEntry
from logpr.io._fault import RowFault
from logpr.io._response_fields import (
    id_at,
    list_at,
    number_at,
    object_at,
    object_or_empty,
    text_at,
    text_or_none,
)
from logpr.tokens._notation import BYTE_OF


def is_sglang(document: dict[str, Any]) -> bool:
    """Return whether a document is of SGLang's /generate."""
    return "output_token_logprobs" in object_or_empty(document.get("meta_info"))


def read_sglang(document: dict[str, Any]) -> list[Response]:
    """Return a response of SGLang: triples of log-probability, id and text.

    Raises:
        RowFault: an entry is no triple.
    """
    meta = object_at(document["meta_info"], "meta_info")
    before = _triples(meta, "input")
    ids = tuple(step.id for step in before if step.id is not None)
    return [
        Response(
            format="sglang",
            steps=_triples(meta, "output"),
            where="meta_info",
            text=text_at(document.get("text"), "text"),
            prompt_steps=before,
            # Numbers of the prompt may begin in its middle, and then its ids do too.
            prompt_ids=ids if len(ids) == meta.get("prompt_tokens") else None,
            id=text_or_none(meta, "id"),
        )
    ]


def _triples(meta: dict[str, Any], side: str) -> tuple[ResponseStep, ...]:
    path = f"meta_info.{side}_token_logprobs"
    items = list_at(meta.get(f"{side}_token_logprobs") or [], path)
    tops = meta.get(f"{side}_top_logprobs")
    lists = tops if isinstance(tops, list) and len(tops) == len(items) else [None] * len(items)
    steps = []
    for place, (item, top) in enumerate(zip(items, lists, strict=True)):
        own = _triple(item, f"{path}[{place}]")
        name = f"meta_info.{side}_top_logprobs[{place}]"
        steps.append(
            ResponseStep(
                token=own.token,
                value=own.value,
                id=own.id,
                where=f"{path}[{place}]",
                top=tuple(_triple(entry, name) for entry in list_at(top, name)) if top else None,
            )
        )
    return tuple(steps)


def _triple(value: object, path: str) -> TopEntry:
    item = list_at(value, path)
    if len(item) not in (2, 3):
        msg = f"a log-probability, an id and perhaps a text are wanted, found {len(item)} entries"
        raise RowFault(msg, path)
    return TopEntry(
        token=text_at(item[2], f"{path}[2]") if len(item) > 2 else None,  # noqa: PLR2004 - a text is there
        value=number_at(item[0], f"{path}[0]"),
        id=id_at(item[1], f"{path}[1]"),
    )


def is_gltr(document: dict[str, Any]) -> bool:
    """Return whether a document is a GLTR analysis: ranks and probabilities of a given text."""
    result = object_or_empty(document.get("result"))
    return "bpe_strings" in result and "real_topk" in result


def read_gltr(document: dict[str, Any]) -> list[Response]:
    """Return a GLTR analysis as a response: (rank, probability) of each token after the first.

    Raises:
        RowFault: the lists are not one for each token after the first.
    """
    result = object_at(document["result"], "result")
    tokens = [text_at(item, "result.bpe_strings") for item in list_at(result["bpe_strings"], "…")]
    own = list_at(result["real_topk"], "result.real_topk")
    lists = list_at(result.get("pred_topk") or [None] * len(own), "result.pred_topk")
    if not len(own) == len(lists) == len(tokens) - 1:
        msg = (
            f"found {len(own)} numbers, {len(lists)} lists and {len(tokens)} tokens; there is one "
            f"number and one list for each token after the first"
        )
        raise RowFault(msg, "result.real_topk")
    steps = []
    for place, (pair, top) in enumerate(zip(own, lists, strict=True)):
        path = f"result.real_topk[{place}]"
        rank, value = _two(pair, path)
        name = f"result.pred_topk[{place}]"
        steps.append(
            ResponseStep(
                token=_plain(tokens[place + 1]),
                value=number_at(value, path),
                where=path,
                rank=rank + 1 if isinstance(rank, int) else None,
                top=None if top is None else tuple(_gltr_entries(top, name)),
            )
        )
    return [
        Response(
            format="gltr",
            steps=tuple(steps),
            where="result",
            text=text_or_none(object_or_empty(document.get("request")), "text"),
            prompt=tokens[0],
            unit="probability",
            text_keyed=True,
        )
    ]


def _gltr_entries(value: object, path: str) -> Iterable[TopEntry]:
    for place, pair in enumerate(list_at(value, path)):
        token, number = _two(pair, f"{path}[{place}]")
        yield TopEntry(
            token=_plain(text_at(token, f"{path}[{place}]")),
            value=number_at(number, f"{path}[{place}]"),
        )


def _two(value: object, path: str) -> tuple[object, object]:
    pair = list_at(value, path)
    if len(pair) != 2:  # noqa: PLR2004 - a pair
        msg = f"a pair is wanted, found {len(pair)} entries"
        raise RowFault(msg, path)
    return pair[0], pair[1]


def _plain(token: str | None) -> str | None:
    """Return the text of a token in the byte-level notation; other texts stay as they are."""
    if token is None or not all(letter in BYTE_OF for letter in token):
        return token
    return bytes(BYTE_OF[letter] for letter in token).decode(errors="replace")
