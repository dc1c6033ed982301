"""Texts of encoder–decoder models: x in the encoder's tokens, y in the decoder's, never joined.

    encoder: the tokenizer's own tokens before x, tok(x), its tokens after x
    decoder: its start tokens (conditioned on), then tok(y)

y is a text of its own, tokenised as the tokenizer does a text that it is handed alone: there is no
boundary with x, so no spaces move and no token is shared.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Protocol, TypeAlias, runtime_checkable

from logpr._types import Special
from logpr.errors import TokenizationError
from logpr.tokens import _notes
from logpr.tokens._align import align
from logpr.tokens.base import Tokenizer
from logpr.tokens.boundary import Encoded, Text, encode
from logpr.tokens.tokenizer import SlowTokenizer, from_transformers

Frame: TypeAlias = tuple[tuple[int, ...], tuple[int, ...]]
"""The special tokens before a text and after it."""

_SOURCES_KEPT = 16
_ANY_WORD = "a"


@dataclass(frozen=True, slots=True)
class Sides:
    """How a model's texts become ids: x by `source`, in its `frame`; y by `target`.

    `target_before` are the special tokens that the tokenizer puts before a text to be learnt (BART:
    `<s>`): a decoder that learnt with them is fed them before y.
    """

    source: Tokenizer
    target: Tokenizer
    frame: Frame = ((), ())
    target_before: tuple[int, ...] = ()

    @property
    def digest(self) -> str:
        """Return a digest of everything that decides ids: "sha256:…"."""
        if self.source is self.target:
            return self.target.digest
        both = f"{self.source.digest} {self.target.digest}"
        return f"sha256:{hashlib.sha256(both.encode()).hexdigest()}"

    @classmethod
    def of(cls, tokenizer: object) -> Sides:
        """Return the two sides of a transformers tokenizer.

        Raises:
            TokenizationError: the object is no transformers tokenizer, or adds tokens to a text in
                the midst of it.
        """
        target = from_transformers(tokenizer)
        source = target
        assert isinstance(tokenizer, _TwoSided)
        if isinstance(target, SlowTokenizer):
            # Marian: one vocabulary, and a way to cut up text for each language.
            target = SlowTokenizer(_TargetSide(tokenizer))
        frame = _frame(tokenizer(_ANY_WORD), tokenizer(_ANY_WORD, add_special_tokens=False))
        target_before, _ = _frame(
            tokenizer(text_target=_ANY_WORD),
            tokenizer(text_target=_ANY_WORD, add_special_tokens=False),
        )
        return cls(source, target, frame, target_before)


@runtime_checkable
class _TwoSided(Protocol):
    """A transformers tokenizer: called with `text_target`, it writes what a decoder is to say."""

    bos_token_id: Any
    eos_token_id: Any
    unk_token_id: Any
    chat_template: Any
    all_special_ids: Any

    def __len__(self) -> int: ...

    def __call__(
        self, text: str | None = None, *, text_target: str | None = None, **options: bool
    ) -> Mapping[str, Any]: ...

    def decode(self, token_ids: Any, **options: Any) -> Any: ...  # noqa: ANN401

    def convert_ids_to_tokens(self, ids: Any) -> Any: ...  # noqa: ANN401


class _TargetSide:
    """The same tokenizer, which encodes as its target side does."""

    def __init__(self, tokenizer: _TwoSided) -> None:
        self._tokenizer = tokenizer
        self.bos_token_id = tokenizer.bos_token_id
        self.eos_token_id = tokenizer.eos_token_id
        self.unk_token_id = tokenizer.unk_token_id
        self.chat_template = tokenizer.chat_template
        self.all_special_ids = tokenizer.all_special_ids

    def __len__(self) -> int:
        return len(self._tokenizer)

    def encode(self, text: str, **options: Any) -> list[int]:  # noqa: ANN401
        return list(self._tokenizer(text_target=text, **options)["input_ids"])

    def decode(self, token_ids: Any, **options: Any) -> Any:  # noqa: ANN401
        return self._tokenizer.decode(token_ids, **options)

    def convert_ids_to_tokens(self, ids: Any) -> Any:  # noqa: ANN401
        return self._tokenizer.convert_ids_to_tokens(ids)


def _frame(framed: Mapping[str, Any], bare: Mapping[str, Any]) -> Frame:
    """Return what stands before and after the ids of a text."""
    whole, inner = tuple(framed["input_ids"]), tuple(bare["input_ids"])
    size = len(inner)
    for begin in range(len(whole) - size + 1):
        if whole[begin : begin + size] == inner:
            return whole[:begin], whole[begin + size :]
    msg = (
        f"the tokenizer writes {_ANY_WORD!r} as {list(inner)}, and with its special tokens as "
        f"{list(whole)}: where they stand cannot be told; give prompt_ids and candidate_ids"
    )
    raise TokenizationError(msg)


def encode_apart(
    x: Text,
    y: Text,
    *,
    source: Tokenizer | None,
    target: Tokenizer | None,
    frame: Frame,
    start_ids: tuple[int, ...],
    special: Special = "auto",
) -> Encoded:
    """Return the ids of x for the encoder and of y for the decoder.

    Args:
        x: a text, which gets its frame, or ids, which are used as they are.
        y: a text or ids. Most tokenizers of encoder–decoder models put a space of their own before
            a text: with those " a" and "a" are the same ids, and the former warns `normalised`.
        source: the tokenizer of x; None where x is ids.
        target: the tokenizer of y; None where there are no texts.
        frame: the special tokens around x; not doubled where x has them.
        start_ids: what the decoder is fed before y.
        special: where special-token strings are parsed; `auto` in x, `parse` in both, `text` in
            neither.

    Raises:
        TokenizationError: lone surrogates, or a text that the tokenizer does not carry.
    """
    notes: tuple[str, ...] = ()
    if isinstance(x, str):
        assert source is not None, "a text without a tokenizer"
        source_ids, notes = _source(source, frame, x, special)
    else:
        source_ids = x
    if target is None:
        assert not isinstance(y, str), "a text without a tokenizer"
        return Encoded(
            context_ids=start_ids,
            token_ids=y,
            text=None,
            token_texts=None,
            token_spans=None,
            verdict="given",
            policy="separate",
            bos_count=len(start_ids),
            source_ids=source_ids,
        )
    # After no ids at all, and with no start token of the tokenizer's: as a text of its own.
    encoded = encode(target, (), y, bos="never", special=special)
    if isinstance(y, str):
        notes += tuple(_notes.leading_space(encoded.text or ""))
    return replace(
        encoded,
        context_ids=start_ids,
        bos_count=len(start_ids),
        verdict="clean" if isinstance(y, str) else "given",
        source_ids=source_ids,
        warnings=(*notes, *encoded.warnings),
    )


@lru_cache(maxsize=_SOURCES_KEPT)
def _source(
    tokenizer: Tokenizer, frame: Frame, x: str, special: Special
) -> tuple[tuple[int, ...], tuple[str, ...]]:
    specials = () if special == "text" else tokenizer.special_spans(x)
    ids = tokenizer.encode_around(x, specials)
    notes = _notes.changes(x, align(tokenizer, ids, x, specials))
    before, after = frame
    if ids[: len(before)] != before:
        ids = (*before, *ids)
    if not after or ids[-len(after) :] != after:
        ids = (*ids, *after)
    return ids, tuple(notes)
