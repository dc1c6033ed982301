"""From a query's candidate to the ids that are fed and asked about, checked against the model."""

from __future__ import annotations

from dataclasses import replace

from logpr._score._settings import Settings
from logpr._score._sources import check_sourced, encode_sourced, fitted_sourced
from logpr._types import End
from logpr._values import Candidate, Query
from logpr.errors import ContextLengthError, EmptyContextError, QueryError, TokenizationError
from logpr.models.base import EncoderDecoder, Model, Unconditional
from logpr.tokens.base import Tokenizer
from logpr.tokens.boundary import Encoded, encode
from logpr.tokens.chat import encode_chat, turn_end_ids


def name_of(query: Query, index: int) -> str:
    """Return how messages call one candidate of a query."""
    return (
        f"query {query.id!r}, candidate {index}" if query.id is not None else f"candidate {index}"
    )


def check_query(query: Query) -> None:
    """Refuse a query that asks nothing or asks twice.

    Raises:
        QueryError: not exactly one prompt, no candidates, or an option outside its set.
    """
    where = f"query {query.id!r}: " if query.id is not None else ""
    given = [
        name
        for name, value in (
            ("prompt", query.prompt),
            ("messages", query.messages),
            ("prompt_ids", query.prompt_ids),
        )
        if value is not None
    ]
    if len(given) > 1:
        msg = f"{where}{' and '.join(given)} are both given; a query has one prompt"
        raise QueryError(msg)
    if not given and any(candidate.needs_model for candidate in query.candidates):
        msg = (
            f"{where}there is no prompt; give prompt='…' (may be ''), messages=[…] or "
            f"prompt_ids=[…]"
        )
        raise QueryError(msg)
    if query.messages is not None and not query.messages:
        msg = f"{where}messages is empty; give at least one {{'role': 'user', 'content': '…'}}"
        raise QueryError(msg)
    if not query.candidates:
        msg = f"{where}there are no candidates; give at least one continuation"
        raise QueryError(msg)
    for name, value, allowed in (
        ("end", query.end, (None, "open", "stop")),
        ("boundary", query.boundary, ("separate", "joint", "marginal")),
        ("bos", query.bos, ("auto", "always", "never")),
    ):
        if value not in allowed:
            words = ", ".join(repr(word) for word in allowed if word is not None)
            msg = f"{where}{name} is one of {words}; found {value!r}"
            raise QueryError(msg)
    for index, candidate in enumerate(query.candidates):
        if candidate.text is None and candidate.token_ids is None and candidate.needs_model:
            msg = f"{where}candidate {index} has neither text nor token_ids"
            raise QueryError(msg)


def encode_candidate(
    query: Query, candidate: Candidate, index: int, *, model: Model, settings: Settings
) -> Encoded:
    """Return one candidate's fed and asked ids.

    Raises:
        QueryError: text for a model of ids alone.
        TokenizationError: ids outside the vocabulary.
    """
    continuation: str | tuple[int, ...]
    if candidate.token_ids is not None:
        continuation = candidate.token_ids
    elif candidate.text is not None:
        continuation = candidate.text
    else:
        msg = f"{name_of(query, index)} has neither text nor token_ids"
        raise QueryError(msg)
    # Before the tokenizer sees them: it looks ids up, and not every number fits its integers.
    where = name_of(query, index)
    _check_range(query.prompt_ids or (), "prompt", _prompt_vocab(model), where)
    _check_range(candidate.token_ids or (), "candidate", model.vocab_size, where)
    if isinstance(model, EncoderDecoder):
        check_sourced(query, where)
    if query.messages is not None:
        encoded = encode_chat(
            needs_text(model.tokenizer, query, index),
            query.messages,
            continuation,
            boundary="joint" if query.boundary == "joint" else "separate",
            bos=query.bos,
            special=settings.special,
        )
    else:
        prompt = query.prompt if query.prompt is not None else query.prompt_ids or ()
        encoded = encode_pair(prompt, continuation, query, index, model=model, settings=settings)
    if candidate.token_ids is not None and candidate.text is not None:
        encoded = replace(encoded, text=candidate.text)
    check_ids(encoded, model, where)
    return encoded


def encode_pair(
    prompt: str | tuple[int, ...],
    continuation: str | tuple[int, ...],
    query: Query,
    index: int,
    *,
    model: Model,
    settings: Settings,
) -> Encoded:
    """Return the encoding of a prompt and a continuation under the query's conventions."""
    tokenizer = model.tokenizer
    if isinstance(model, EncoderDecoder):
        if isinstance(prompt, str):
            needs_text(model.source_tokenizer, query, index)
        if isinstance(continuation, str):
            needs_text(tokenizer, query, index)
        return encode_sourced(prompt, continuation, model=model, settings=settings)
    if tokenizer is None and not isinstance(prompt, str) and not isinstance(continuation, str):
        return Encoded(
            context_ids=prompt,
            token_ids=continuation,
            text=None,
            token_texts=None,
            token_spans=None,
            verdict="given",
            policy=query.boundary,
            bos_count=0,
        )
    return encode(
        needs_text(tokenizer, query, index),
        prompt,
        continuation,
        boundary="joint" if query.boundary == "joint" else "separate",
        bos=query.bos,
        special=settings.special,
    )


def needs_text(tokenizer: Tokenizer | None, query: Query, index: int) -> Tokenizer:
    """Return the tokenizer, or say that this model has none."""
    if tokenizer is None:
        msg = (
            f"{name_of(query, index)}: this model has no tokenizer, so it takes no text; "
            f"give prompt_ids=[…] and candidate_ids=[[…], …]"
        )
        raise QueryError(msg)
    return tokenizer


def check_ids(encoded: Encoded, model: Model, where: str) -> None:
    """Refuse ids that the model has no row for."""
    _check_range(encoded.context_ids, "prompt", model.vocab_size, where)
    _check_range(encoded.source_ids, "prompt", _prompt_vocab(model), where)
    _check_range(encoded.token_ids, "candidate", model.vocab_size, where)


def _prompt_vocab(model: Model) -> int:
    return model.source_vocab_size if isinstance(model, EncoderDecoder) else model.vocab_size


def _check_range(ids: tuple[int, ...], part: str, size: int, where: str) -> None:
    if not ids or (min(ids) >= 0 and max(ids) < size):
        return
    position, token = next(
        (position, token) for position, token in enumerate(ids) if not 0 <= token < size
    )
    msg = (
        f"{where}: token id {token} at position {position} of the {part} is outside the model's "
        f"vocabulary of {size} (ids 0 to {size - 1})"
    )
    raise TokenizationError(msg)


def end_ids_of(query: Query, *, model: Model | None, settings: Settings) -> tuple[int, ...]:
    """Return the end tokens of a query, () where END is not scored.

    Raises:
        QueryError: END is to be scored and nobody says what ends an output.
    """
    if query.effective_end == "open":
        return ()
    if settings.end_ids is not None:
        if model is not None:
            for token in settings.end_ids:
                if not 0 <= token < model.vocab_size:
                    msg = (
                        f"end_ids: token id {token} is outside the model's vocabulary of "
                        f"{model.vocab_size}"
                    )
                    raise TokenizationError(msg)
        return settings.end_ids
    if model is not None:
        if query.messages is not None and model.tokenizer is not None:
            turn = turn_end_ids(model.tokenizer)
            if turn:
                return turn
        if model.end_ids:
            return model.end_ids
    msg = (
        "end='stop' scores the end of the output, and this model declares no end token; "
        "name it with end_ids=[…] (--end-ids), or use end='open'"
    )
    raise QueryError(msg)


def fitted(encoded: Encoded, end: End, *, model: Model, settings: Settings, where: str) -> Encoded:
    """Return `encoded` within the model's context, or say why it cannot be.

    Raises:
        EmptyContextError: the first token has nothing to be conditioned on.
        ContextLengthError: x + y is too long and may not be cut.
    """
    if isinstance(model, EncoderDecoder):
        return fitted_sourced(encoded, end, model=model, settings=settings, where=where)
    asks = bool(encoded.token_ids) or end == "stop"
    if asks and not encoded.context_ids and not isinstance(model, Unconditional):
        msg = (
            f"{where}: the prompt is empty and no start token is fed, so the first token of the "
            f"continuation cannot be conditioned on anything; give a prompt, or use bos='auto' "
            f"or 'always' (--bos) with a model that declares a start token"
        )
        raise EmptyContextError(msg)
    # The last token asked about is not fed, unless END is asked after it.
    fed = len(encoded.context_ids) + len(encoded.token_ids) - (0 if end == "stop" else 1)
    over = fed - model.context_length
    if over <= 0:
        return encoded
    keep = min(encoded.bos_count, 1)
    room = len(encoded.context_ids) - keep - (0 if keep else 1)
    if settings.truncate == "left" and over <= room:
        cut = (*encoded.context_ids[:keep], *encoded.context_ids[keep + over :])
        note = (
            f"truncated: {over} tokens were dropped from the left of the prompt, which leaves "
            f"{len(cut)}"
        )
        return replace(encoded, context_ids=cut, warnings=(*encoded.warnings, note))
    msg = (
        f"{where}: prompt and continuation are "
        f"{len(encoded.context_ids) + len(encoded.token_ids)} tokens, the model's context is "
        f"{model.context_length} (the last token scored need not fit in); "
    )
    if settings.truncate == "left":
        msg += f"the continuation alone ({len(encoded.token_ids)} tokens) does not fit"
    else:
        msg += (
            "shorten the prompt, or drop tokens from its left with truncate='left' "
            "(--truncate left)"
        )
    raise ContextLengthError(msg)
