"""The tokenizer inside a GGUF file, as llama.cpp runs it: for byte-level BPE, exact to the byte."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import final

from logpr.errors import TokenizationError
from logpr.models._digest import weights_digest
from logpr.models.gguf.runner import Runner
from logpr.tokens.base import SpecialSpan

_SPACE = " \t\n\v\f\r"
"""What llama.cpp strips beside a special token that swallows white space."""

_SHOWN = 40


@final
class GgufTokenizer:
    """Byte-level BPE: a token is bytes, nothing is put before a text, and nothing is normalised.

    Args:
        runner: of a file whose vocabulary is byte-level BPE.
        file: where it is, for the digest.
    """

    def __init__(self, runner: Runner, file: Path) -> None:
        self._runner = runner
        self._file = file
        self._bytes: dict[int, bytes] = {}
        size = runner.vocab_size
        self.vocab_size = size
        self.special_ids = frozenset(token for token in range(size) if runner.is_special(token))
        named = [
            (runner.piece(token).decode("utf-8", "replace"), token) for token in self.special_ids
        ]
        # llama.cpp looks for the longest first, in all of the text.
        self._named = sorted((each for each in named if each[0]), key=lambda each: -len(each[0]))
        self.bos_id, self.eos_id, self.adds_bos = runner.declared()
        self.unk_id: int | None = None
        self.chat_template = runner.chat_template

    @functools.cached_property
    def digest(self) -> str:
        """The file's: its merges are read by llama.cpp alone."""
        return weights_digest((self._file,))

    def encode(self, text: str, *, parse_special: bool, start: bool = True) -> tuple[int, ...]:
        specials = self.special_spans(text) if parse_special else ()
        return self.encode_around(text, specials, start=start)

    def special_spans(self, text: str) -> tuple[SpecialSpan, ...]:
        found: list[SpecialSpan] = []
        left = [(0, len(text))]
        for name, token in self._named:
            if name not in text:
                continue
            strips = self._runner.strips(token)
            rest: list[tuple[int, int]] = []
            for first, stop in left:
                start = first
                while (place := text.find(name, start, stop)) >= 0:
                    begin, end = place, place + len(name)
                    while strips[0] and begin > start and text[begin - 1] in _SPACE:
                        begin -= 1
                    while strips[1] and end < stop and text[end] in _SPACE:
                        end += 1
                    found.append((begin, end, token))
                    rest.append((start, begin))
                    start = end
                rest.append((start, stop))
            left = [each for each in rest if each[0] < each[1]]
        return tuple(sorted(found))

    def encode_around(
        self, text: str, specials: Sequence[SpecialSpan], *, start: bool = True
    ) -> tuple[int, ...]:
        del start  # a continuation is encoded as a text is
        out: list[int] = []
        place = 0
        for begin, end, token in specials:
            out += (*self._plain(text[place:begin]), token)
            place = end
        return (*out, *self._plain(text[place:]))

    def token_bytes(self, token: int) -> bytes:
        if token not in self._bytes:
            self._bytes[token] = self._runner.piece(token) if self._runner.is_text(token) else b""
        return self._bytes[token]

    def token_text(self, token: int) -> str:
        piece = self._runner.piece(token)
        try:
            return piece.decode()
        except UnicodeDecodeError:
            return "".join(f"<0x{byte:02X}>" for byte in piece)

    def decode(self, ids: Sequence[int]) -> str:
        return b"".join(self._runner.piece(token) for token in ids).decode("utf-8", "replace")

    def normalise(self, text: str, *, start: bool = True) -> str:
        del start
        return text

    def _plain(self, text: str) -> list[int]:
        """Return the ids of ordinary text.

        Raises:
            TokenizationError: the text holds lone surrogates, or llama.cpp loses some of it.
        """
        if not text:
            return []
        try:
            data = text.encode()
        except UnicodeEncodeError as error:
            msg = (
                f"character {error.start} of the text is half of a pair of surrogates, which no "
                f"tokenizer reads; take it out"
            )
            raise TokenizationError(msg) from None
        ids = self._runner.tokenised(data)
        spelt = b"".join(map(self.token_bytes, ids))
        if spelt != data:
            msg = (
                f"llama.cpp reads {text[:_SHOWN]!r} as tokens that spell "
                f"{spelt.decode('utf-8', 'replace')[:_SHOWN]!r}: the vocabulary of "
                f"{self._file} does not hold all its characters; give token ids, or the model's "
                f"own tokenizer: gguf:{self._file}#tokenizer=FOLDER"
            )
            raise TokenizationError(msg)
        return ids
