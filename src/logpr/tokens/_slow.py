"""Tokenizers that transformers runs in Python: no backend to look into, only their methods."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, final, runtime_checkable

from logpr.tokens._declared import pick_template
from logpr.tokens._text import after_anchor, check_text, readable, scanner
from logpr.tokens.base import SpecialSpan


@runtime_checkable
class TransformersTokenizer(Protocol):
    """What is asked of a transformers tokenizer, fast or slow."""

    bos_token_id: Any
    eos_token_id: Any
    unk_token_id: Any
    chat_template: Any
    all_special_ids: Any

    def __len__(self) -> int:
        """Return the size of the vocabulary, added tokens included."""
        ...

    def encode(self, text: str, **options: Any) -> list[int]:  # noqa: ANN401
        """Return the ids of a text."""
        ...

    def decode(self, token_ids: Any, **options: Any) -> Any:  # noqa: ANN401
        """Return the text of ids."""
        ...

    def convert_ids_to_tokens(self, ids: Any) -> Any:  # noqa: ANN401
        """Return the token of an id."""
        ...


@final
class SlowTokenizer:
    """A transformers tokenizer without a `tokenizers` backend.

    A continuation is encoded behind an anchor whose ids are cut off, and a token's bytes are what
    decoding adds when it comes between two anchors: at the end some decoders drop a space.
    """

    def __init__(self, tokenizer: TransformersTokenizer) -> None:
        self._tokenizer = tokenizer
        self._names = {
            int(token): str(tokenizer.convert_ids_to_tokens(int(token)))
            for token in tokenizer.all_special_ids
        }
        self._scan = scanner(self._names.values())
        self._special_of = {name: token for token, name in self._names.items()}
        self._anchor = self._ordinary("a")
        self._anchor_text = self._decoded(self._anchor)
        self._anchor_after = self._between()
        self._digest: str | None = None

    @property
    def vocab_size(self) -> int:
        return len(self._tokenizer)

    @property
    def bos_id(self) -> int | None:
        return _id(self._tokenizer.bos_token_id)

    @property
    def adds_bos(self) -> bool:
        return self.bos_id is not None and self._tokenizer.encode("a")[:1] == [self.bos_id]

    @property
    def eos_id(self) -> int | None:
        return _id(self._tokenizer.eos_token_id)

    @property
    def special_ids(self) -> frozenset[int]:
        return frozenset(self._names)

    @property
    def unk_id(self) -> int | None:
        return _id(self._tokenizer.unk_token_id)

    @property
    def chat_template(self) -> str | None:
        return pick_template(self._tokenizer.chat_template)

    @property
    def digest(self) -> str:
        if self._digest is None:
            tokens = [self._tokenizer.convert_ids_to_tokens(i) for i in range(self.vocab_size)]
            kind = type(self._tokenizer).__qualname__
            text = json.dumps([kind, tokens, sorted(self._names)], default=str)
            self._digest = f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"
        return self._digest

    def encode(self, text: str, *, parse_special: bool, start: bool = True) -> tuple[int, ...]:
        specials = self.special_spans(text) if parse_special else ()
        return self.encode_around(text, specials, start=start)

    def special_spans(self, text: str) -> tuple[SpecialSpan, ...]:
        if self._scan is None:
            return ()
        return tuple(
            (*match.span(), self._special_of[match[0]]) for match in self._scan.finditer(text)
        )

    def encode_around(
        self, text: str, specials: Sequence[SpecialSpan], *, start: bool = True
    ) -> tuple[int, ...]:
        check_text(text)
        out: list[int] = []
        place = 0
        for begin, stop, token in (*specials, (len(text), len(text), None)):
            if begin > place:
                here = text[place:begin]
                first = start and place == 0
                out += self._ordinary(here) if first else after_anchor(self._ordinary, here)
            if token is not None:
                out.append(token)
            place = stop
        return tuple(out)

    def token_bytes(self, token: int) -> bytes:
        if token in self._names:
            return b""
        name = self._tokenizer.convert_ids_to_tokens(token)
        if isinstance(name, bytes):
            return name
        text = self._between(token)
        if self._anchor_after and text.endswith(self._anchor_after):
            text = text.removesuffix(self._anchor_after)
        else:
            text = self._decoded((*self._anchor, token)).removeprefix(self._anchor_text)
        if text and "\ufffd" not in text:
            return text.encode()
        # Not a whole character. ByT5 and its like name a byte by the Latin-1 character it is.
        try:
            return bytes([ord(name)])
        except (TypeError, ValueError):
            return text.encode()

    def token_text(self, token: int) -> str:
        if token in self._names:
            return self._names[token]
        return readable(self.token_bytes(token))

    def decode(self, ids: Sequence[int]) -> str:
        return self._decoded(ids)

    def normalise(self, text: str, *, start: bool = True) -> str:
        ids = self.encode(text, parse_special=False, start=start)
        if start:
            return self._decoded(ids)
        return self._decoded((*self._anchor, *ids)).removeprefix(self._anchor_text)

    def _between(self, *tokens: int) -> str:
        """Return the text of some tokens and an anchor, after an anchor."""
        both = self._decoded((*self._anchor, *tokens, *self._anchor))
        return both.removeprefix(self._anchor_text)

    def _ordinary(self, text: str) -> tuple[int, ...]:
        options: Mapping[str, bool] = {"add_special_tokens": False}
        if self._scan is not None and self._scan.search(text):
            options = {**options, "split_special_tokens": True}
        return tuple(map(int, self._tokenizer.encode(text, **options)))

    def _decoded(self, ids: Sequence[int]) -> str:
        options = {"skip_special_tokens": False, "clean_up_tokenization_spaces": False}
        return str(self._tokenizer.decode(list(ids), **options))


def _id(given: Any) -> int | None:  # noqa: ANN401 - whatever the tokenizer's attribute holds
    return None if given is None else int(given)
