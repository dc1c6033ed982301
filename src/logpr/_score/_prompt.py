"""A prompt alone, with no candidate behind it: what `next` and searches go on from."""

from __future__ import annotations

from dataclasses import dataclass

from logpr._score._sources import check_sourced
from logpr._types import Special
from logpr._values import Query
from logpr.errors import EmptyContextError, QueryError, TokenizationError
from logpr.models.base import EncoderDecoder, Model, Unconditional
from logpr.tokens.boundary import encode
from logpr.tokens.chat import encode_chat
from logpr.tokens.seq2seq import encode_apart

_NO_PROMPT = "there is no prompt; give prompt='…' (may be ''), messages=[…] or prompt_ids=[…]"
_NO_TOKENIZER = "this model has no tokenizer, so it takes no text; give prompt_ids=[…]"


@dataclass(frozen=True, slots=True)
class Prompt:
    """The ids of a prompt, and the model and the ids that its continuations begin after.

    They are the model's own and `ids` again, but for encoder–decoder models: there `model` has
    read x, and `fed` is what its decoder begins with.
    """

    ids: tuple[int, ...]
    bos_count: int
    warnings: tuple[str, ...]
    model: Model
    fed: tuple[int, ...]


def prompt_of(query: Query, model: Model, special: Special) -> Prompt:
    """Return a query's prompt as ids.

    Args:
        query: whose candidates are not looked at.
        model: that reads it.
        special: whether special-token strings are parsed.

    Raises:
        QueryError: there is no prompt, or no tokenizer to read it with.
        TokenizationError: an id is outside the vocabulary.
        EmptyContextError: the first token would have nothing before it.
    """
    if isinstance(model, EncoderDecoder):
        return _sourced(query, model, special)
    ids, bos_count, warnings = _encoded(query, model, special)
    _check_ids(ids, model.vocab_size)
    if not ids and not isinstance(model, Unconditional):
        msg = (
            "the prompt is empty and no start token is fed, so the first token cannot be "
            "conditioned on anything; give a prompt, or bos='auto' with a model that declares one"
        )
        raise EmptyContextError(msg)
    return Prompt(ids, bos_count, warnings, model, ids)


def _sourced(query: Query, model: EncoderDecoder, special: Special) -> Prompt:
    """Return a prompt that the encoder reads."""
    check_sourced(query, "the prompt")
    prompt = query.prompt if query.prompt is not None else query.prompt_ids
    if prompt is None:
        raise QueryError(_NO_PROMPT)
    if isinstance(prompt, str) and model.source_tokenizer is None:
        raise QueryError(_NO_TOKENIZER)
    if not isinstance(prompt, str):
        _check_ids(prompt, model.source_vocab_size)
    encoded = encode_apart(
        prompt,
        (),
        source=model.source_tokenizer,
        target=model.tokenizer,
        frame=model.source_frame,
        start_ids=model.decoder_start_ids,
        special=special,
    )
    return Prompt(
        encoded.source_ids,
        encoded.bos_count,
        encoded.warnings,
        model.given(encoded.source_ids),
        model.decoder_start_ids,
    )


def _check_ids(ids: tuple[int, ...], vocab_size: int) -> None:
    for position, token in enumerate(ids):
        if not 0 <= token < vocab_size:
            msg = (
                f"token id {token} at position {position} of the prompt is outside the model's "
                f"vocabulary of {vocab_size} (ids 0 to {vocab_size - 1})"
            )
            raise TokenizationError(msg)


def _encoded(
    query: Query, model: Model, special: Special
) -> tuple[tuple[int, ...], int, tuple[str, ...]]:
    """Return the ids fed for a query's prompt, how many start tokens they hold, and warnings."""
    if query.prompt_ids is not None and query.messages is None and query.prompt is None:
        return query.prompt_ids, 0, ()
    if query.messages is None and query.prompt is None:
        raise QueryError(_NO_PROMPT)
    if model.tokenizer is None:
        raise QueryError(_NO_TOKENIZER)
    if query.messages is not None:
        encoded = encode_chat(
            model.tokenizer,
            query.messages,
            (),
            boundary="separate",
            bos=query.bos,
            special=special,
        )
    else:
        encoded = encode(
            model.tokenizer,
            query.prompt or "",
            (),
            boundary="separate",
            bos=query.bos,
            special=special,
        )
    return encoded.context_ids, encoded.bos_count, encoded.warnings
