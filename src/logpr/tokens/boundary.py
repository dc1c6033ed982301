"""Where a prompt ends and its continuation begins, in tokens: DESIGN's policies to the letter.

`separate`: trailing spaces of x move to the front of y; with a = tok(x) and j = tok(x + y), the
boundary is clean where j starts with a, and y's tokens are the rest of j; else it is merged, and y
is encoded on its own as a continuation. `joint`: tok(x + y), scored from the first token that
reaches into y.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal, TypeAlias

from logpr._types import Bos, Boundary, Special, Verdict
from logpr.errors import QueryError, TokenizationError
from logpr.tokens import _notes
from logpr.tokens._align import Alignment, align
from logpr.tokens._text import readable, shorten
from logpr.tokens.base import SpecialSpan, Tokenizer

Text: TypeAlias = str | tuple[int, ...]
"""A text, or token ids that are used as they are."""

Policy: TypeAlias = Literal["separate", "joint"]

_PROMPTS_KEPT = 16
_INNER_BYTES = range(0x80, 0xC0)
"""Bytes of UTF-8 that begin no character."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoded:
    """A prompt and one continuation in token ids.

    `context_ids` is all that is fed before y, start token included; it may be empty. `text` is
    the text that is scored, as its ids carry it, moved spaces included; None without a tokenizer.
    `token_spans` are offsets into its bytes: a token that is part of a character has the bytes it
    is. Where the ids given are no whole characters, `text` shows U+FFFD and the spans are right.
    Under `joint` a first token that begins inside x covers `prompt_covered` bytes of it, and its
    span begins at 0. On a merged boundary `joint` is the encoding under that policy. Where an
    encoder reads x, `source_ids` is x and the context what its decoder is fed before y.
    """

    context_ids: tuple[int, ...]
    token_ids: tuple[int, ...]
    text: str | None
    token_texts: tuple[str, ...] | None
    token_spans: tuple[tuple[int, int], ...] | None
    verdict: Verdict
    policy: Boundary
    bos_count: int
    prompt_covered: int | None = None
    warnings: tuple[str, ...] = ()
    joint: Encoded | None = None
    source_ids: tuple[int, ...] = ()


def encode(
    tokenizer: Tokenizer,
    prompt: Text,
    continuation: Text,
    *,
    boundary: Policy = "separate",
    bos: Bos = "auto",
    special: Special = "auto",
) -> Encoded:
    """Return the ids of one continuation after a prompt.

    The prompts last used stay encoded, so that many candidates after one prompt cost one prompt.

    Args:
        tokenizer: the model's.
        prompt: x; ids are used as they are.
        continuation: y; ids are used as they are. It may be empty.
        boundary: how the place where they meet is tokenised.
        bos: whether a start token is put before the prompt. `auto` adds it once where the
            tokenizer does, never to ids, and wherever else there would be nothing before y.
        special: where special-token strings are parsed; `auto` in x, `parse` in both, `text` in
            neither.

    Raises:
        TokenizationError: lone surrogates, or a text that the tokenizer does not carry.
        QueryError: `bos="always"` and the tokenizer declares no start token.
    """
    return _prompt_encoder(tokenizer, prompt, boundary, bos, special).encode(continuation)


class PromptEncoder:
    """A prompt, encoded once for all its continuations; arguments as for `encode`.

    Args:
        tokenizer: as above.
        prompt: as above.
        boundary: as above.
        bos: as above.
        special: as above.
        specials: the special tokens of the prompt where the caller knows better than the text
            itself says (a chat template's own, and none of the messages').
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        prompt: Text,
        *,
        boundary: Policy = "separate",
        bos: Bos = "auto",
        special: Special = "auto",
        specials: tuple[SpecialSpan, ...] | None = None,
    ) -> None:
        self._tokenizer = tokenizer
        self._boundary: Policy = boundary
        self._bos: Bos = bos
        self._parse_y = special == "parse"
        if bos == "always" and tokenizer.bos_id is None:
            msg = "bos='always', but this tokenizer declares no start token; use bos='auto'"
            raise QueryError(msg)
        self._prompt = prompt
        if isinstance(prompt, str):
            bare = prompt.rstrip(" ") if boundary == "separate" else prompt
            if specials is None:
                specials = () if special == "text" else tokenizer.special_spans(prompt)
            self._full = _Side(prompt, specials, tokenizer.encode_around(prompt, specials))
            if bare != prompt:
                specials = _within(specials, len(bare))
                self._bare = _Side(bare, specials, tokenizer.encode_around(bare, specials))
            else:
                self._bare = self._full

    def encode(self, continuation: Text) -> Encoded:
        """Return the ids of one continuation after this prompt; raises as `encode`."""
        if isinstance(self._prompt, str) and isinstance(continuation, str):
            return self._texts(continuation)
        return self._given(continuation)

    def _texts(self, continuation: str) -> Encoded:
        if self._boundary == "joint":
            return self._joint(continuation, _notes.no_separator(self._full.text, continuation))
        tokenizer, x = self._tokenizer, self._bare
        moved = self._full.text[len(x.text) :]
        y = moved + continuation
        notes = _notes.spaces_moved(moved, y) + _notes.no_separator(x.text, y)
        own = tokenizer.special_spans(y) if self._parse_y else ()
        both = x.text + y
        specials = (*x.specials, *_shifted(own, len(x.text)))
        ids = tokenizer.encode_around(both, specials)
        size = len(x.ids)
        if ids[:size] == x.ids:
            whole = align(tokenizer, ids, both, specials)
            return self._made(
                x.ids,
                ids[size:],
                whole.pieces[size:],
                "clean",
                notes=notes + _notes.changes(both, whole),
            )
        before = x.aligned(tokenizer)
        ids = tokenizer.encode_around(y, own, start=False)
        after = align(tokenizer, ids, y, own, start=False)
        whole = Alignment(before.pieces + after.pieces, before.lost + after.lost)
        losses = _notes.changes(both, whole)
        if losses and not whole.lost and tokenizer.normalise(both) == both:
            msg = (
                f"{shorten(x.text, len(x.text))} and {shorten(y)} cannot be tokenised apart: they "
                f"come back as {shorten(whole.text(), len(x.text))}; use boundary='joint', or "
                f"begin the continuation with a space"
            )
            raise TokenizationError(msg)
        notes.append(_notes.merged(x.text, y))
        return self._made(
            x.ids,
            ids,
            after.pieces,
            "merged",
            notes=notes + losses,
            joint=self._joint(continuation, []),
        )

    def _joint(self, y: str, notes: list[str]) -> Encoded:
        tokenizer, x = self._tokenizer, self._full
        own = tokenizer.special_spans(y) if self._parse_y else ()
        both = x.text + y
        specials = (*x.specials, *_shifted(own, len(x.text)))
        ids = tokenizer.encode_around(both, specials)
        whole = align(tokenizer, ids, both, specials)
        cut = _shared(x.aligned(tokenizer).joined(), whole.joined())
        first = begin = 0
        while first < len(ids) and begin + len(whole.pieces[first]) <= cut:
            begin += len(whole.pieces[first])
            first += 1
        covered = cut - begin
        pieces = whole.pieces[first:]
        if covered:
            pieces = (pieces[0][covered:], *pieces[1:])
        made = self._made(
            ids[:first],
            ids[first:],
            pieces,
            "clean" if ids[:first] == x.ids else "merged",
            notes=notes + _notes.changes(both, whole),
        )
        return replace(made, policy="joint", prompt_covered=covered or None)

    def _given(self, continuation: Text) -> Encoded:
        tokenizer, notes = self._tokenizer, list[str]()
        if isinstance(self._prompt, str):
            context = self._full.ids
            notes += _notes.changes(self._full.text, self._full.aligned(tokenizer))
        else:
            context = self._prompt
        if isinstance(continuation, str):
            ids, found = self._after_ids(context, continuation)
            notes += _notes.changes(continuation, found)
            return self._made(context, ids, found.pieces, "given", notes=notes)
        special = tokenizer.special_ids
        pieces = tuple(
            tokenizer.token_text(token).encode()
            if token in special
            else tokenizer.token_bytes(token)
            for token in continuation
        )
        return self._made(context, continuation, pieces, "given", notes=notes)

    def _after_ids(self, context: tuple[int, ...], y: str) -> tuple[tuple[int, ...], Alignment]:
        tokenizer = self._tokenizer
        own = tokenizer.special_spans(y) if self._parse_y else ()
        if not context or set(context) == {tokenizer.bos_id}:
            ids = tokenizer.encode_around(y, own)
            return ids, align(tokenizer, ids, y, own)
        if context[-1] not in tokenizer.special_ids:
            ids = tokenizer.encode_around(y, own, start=False)
            return ids, align(tokenizer, ids, y, own, start=False)
        # Some tokenizers put a dummy space after a special token: let this one have its way.
        name = tokenizer.token_text(context[-1])
        specials = ((0, len(name), context[-1]), *_shifted(own, len(name)))
        ids = tokenizer.encode_around(name + y, specials)
        found = align(tokenizer, ids, name + y, specials)
        return ids[1:], replace(found, pieces=found.pieces[1:])

    def _made(
        self,
        context: tuple[int, ...],
        ids: tuple[int, ...],
        pieces: tuple[bytes, ...],
        verdict: Verdict,
        *,
        notes: list[str],
        joint: Encoded | None = None,
    ) -> Encoded:
        context, count, started = self._started(context)
        spans: list[tuple[int, int]] = []
        place = 0
        for piece in pieces:
            spans.append((place, place + len(piece)))
            place += len(piece)
        return Encoded(
            context_ids=context,
            token_ids=ids,
            text=b"".join(pieces).decode(errors="replace"),
            token_texts=tuple(map(readable, pieces)),
            token_spans=tuple(spans),
            verdict=verdict,
            policy=self._boundary,
            bos_count=count,
            warnings=(*notes, *started),
            joint=joint,
        )

    def _started(self, context: tuple[int, ...]) -> tuple[tuple[int, ...], int, list[str]]:
        tokenizer, notes = self._tokenizer, list[str]()
        start = tokenizer.bos_id
        if start is not None and context[:1] != (start,):
            asked = self._bos == "always"
            usual = self._bos == "auto" and tokenizer.adds_bos
            if usual and context and not isinstance(self._prompt, str):
                notes.append(_notes.no_start_token(tokenizer))
            elif asked or usual:
                context = (start, *context)
            elif self._bos == "auto" and not context:
                context = (start,)
                notes.append(_notes.start_token_added(tokenizer))
        count = 0
        while count < len(context) and context[count] == start:
            count += 1
        return context, count, notes


@dataclass(frozen=True, slots=True)
class _Side:
    """A prompt text, where its special tokens are, and its ids."""

    text: str
    specials: tuple[SpecialSpan, ...]
    ids: tuple[int, ...]

    def aligned(self, tokenizer: Tokenizer) -> Alignment:
        return align(tokenizer, self.ids, self.text, self.specials)


@lru_cache(maxsize=_PROMPTS_KEPT)
def _prompt_encoder(
    tokenizer: Tokenizer, prompt: Text, boundary: Policy, bos: Bos, special: Special
) -> PromptEncoder:
    return PromptEncoder(tokenizer, prompt, boundary=boundary, bos=bos, special=special)


def _within(specials: tuple[SpecialSpan, ...], size: int) -> tuple[SpecialSpan, ...]:
    return tuple((begin, min(stop, size), token) for begin, stop, token in specials)


def _shifted(specials: tuple[SpecialSpan, ...], by: int) -> tuple[SpecialSpan, ...]:
    return tuple((begin + by, stop + by, token) for begin, stop, token in specials)


def _shared(x: bytes, both: bytes) -> int:
    if both.startswith(x):
        return len(x)
    # The normaliser joined the end of x with y: what it joined counts for y.
    cut = next(i for i, (a, b) in enumerate(zip(x, both, strict=False)) if a != b)
    while both[cut] in _INNER_BYTES:
        cut -= 1
    return cut
