"""Candidates of encoder–decoder models: x goes to the encoder, y is the decoder's text."""

from __future__ import annotations

from dataclasses import replace

from logpr._score._settings import Settings
from logpr._types import End
from logpr._values import Query
from logpr.errors import ContextLengthError, EmptyContextError, QueryError
from logpr.models.base import EncoderDecoder
from logpr.tokens.boundary import Encoded, Text
from logpr.tokens.seq2seq import encode_apart


def encode_sourced(x: Text, y: Text, *, model: EncoderDecoder, settings: Settings) -> Encoded:
    """Return the ids of x for the encoder and of y for the decoder."""
    return encode_apart(
        x,
        y,
        source=model.source_tokenizer,
        target=model.tokenizer,
        frame=model.source_frame,
        start_ids=model.decoder_start_ids,
        special=settings.special,
    )


def check_sourced(query: Query, where: str) -> None:
    """Refuse what has no meaning for an encoder–decoder model.

    Raises:
        QueryError: messages, boundary `joint`, or no start token.
    """
    if query.messages is not None:
        msg = (
            f"{where}: messages are one text that the answer goes on from, and an "
            f"encoder–decoder model reads x apart; give x as text (prompt='…')"
        )
        raise QueryError(msg)
    if query.boundary == "joint":
        msg = (
            f"{where}: boundary 'joint' is about a token that x and y share, and in an "
            f"encoder–decoder model they share none; use boundary='separate'"
        )
        raise QueryError(msg)
    if query.bos == "never":
        msg = (
            f"{where}: the decoder of an encoder–decoder model always begins with its start "
            f"token; use bos='auto', and prompt_ids=[…] for an x without special tokens"
        )
        raise QueryError(msg)


def fitted_sourced(
    encoded: Encoded, end: End, *, model: EncoderDecoder, settings: Settings, where: str
) -> Encoded:
    """Return `encoded` within the lengths of encoder and decoder, or say which cannot hold it.

    Raises:
        EmptyContextError: there is nothing for the encoder to read.
        ContextLengthError: y is too long, or x is and may not be cut.
    """
    if not encoded.source_ids:
        msg = (
            f"{where}: the prompt is empty and the tokenizer puts no token of its own around it, "
            f"so the encoder has nothing to read; give a prompt"
        )
        raise EmptyContextError(msg)
    # The last token asked about is not fed, unless END is asked after it.
    fed = len(encoded.context_ids) + len(encoded.token_ids) - (0 if end == "stop" else 1)
    if fed > model.context_length:
        msg = (
            f"{where}: the continuation is {len(encoded.token_ids)} tokens, and the decoder holds "
            f"{model.context_length} with the {len(encoded.context_ids)} that it starts from (the "
            f"last token scored need not fit in); shorten the continuation"
        )
        raise ContextLengthError(msg)
    size = len(encoded.source_ids)
    over = size - model.source_length
    if over <= 0:
        return encoded
    before, after = model.source_frame
    keep = len(before) if encoded.source_ids[: len(before)] == before else 0
    if settings.truncate == "left" and keep + len(after) < model.source_length:
        cut = (*encoded.source_ids[:keep], *encoded.source_ids[keep + over :])
        note = (
            f"truncated: {over} tokens were dropped from the left of the prompt, which leaves "
            f"{len(cut)}"
        )
        return replace(encoded, source_ids=cut, warnings=(*encoded.warnings, note))
    msg = (
        f"{where}: the prompt is {size} tokens, and the encoder holds {model.source_length}; "
        f"shorten the prompt, or drop tokens from its left with truncate='left' (--truncate left)"
    )
    raise ContextLengthError(msg)
