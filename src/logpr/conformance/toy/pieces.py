"""The toys' tokens: byte-level pieces and the merges that make them, with an encoder of our own.

A piece is the text of a token; `MERGED` pieces come from two others, joined in this order, as byte
pair encoding does. The encoder is written apart from the `tokenizers` library, whose files the
exports carry: what a scorer reads with the one is held against what the suite reads with the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

START, END = b"<s>", b"</s>"
RARE = b"z"
"""A token of probability about 1e-12: what underflows, and what floors hide."""


@dataclass(frozen=True)
class Pieces:
    """A vocabulary: `singles` bytes, `merges` (left, right), then the start and the end token.

    `unnamed` rows of the head lie beyond the tokenizer, as in models padded to a round size.
    """

    singles: tuple[bytes, ...]
    merges: tuple[tuple[bytes, bytes], ...]
    unnamed: int = 0

    @cached_property
    def names(self) -> tuple[bytes, ...]:
        """All pieces by id."""
        return (*self.singles, *(left + right for left, right in self.merges), START, END)

    @property
    def start_id(self) -> int:
        """The start token's."""
        return len(self.names) - 2

    @property
    def end_id(self) -> int:
        """The end token's."""
        return len(self.names) - 1

    @property
    def ordinary(self) -> tuple[int, ...]:
        """Ids that stand for text."""
        return tuple(range(self.start_id))

    @property
    def vocab_size(self) -> int:
        """Rows of the head."""
        return len(self.names) + self.unnamed

    @cached_property
    def _ids(self) -> dict[bytes, int]:
        return {name: token for token, name in enumerate(self.names[: self.start_id])}

    def encode(self, text: str) -> tuple[int, ...]:
        """Return the ids of a text: its bytes, then each merge in order wherever it applies."""
        parts = [bytes([byte]) for byte in text.encode()]
        for left, right in self.merges:
            joined: list[bytes] = []
            for part in parts:
                if part == right and joined and joined[-1] == left:
                    joined[-1] = left + right
                else:
                    joined.append(part)
            parts = joined
        return tuple(self._ids[part] for part in parts)

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of ids; special and unnamed ones stand for none."""
        return b"".join(self.names[token] for token in ids if token < self.start_id).decode(
            errors="replace"
        )

    def spells(self, *parts: Sequence[int]) -> bool:
        """Return whether the parts' texts, set side by side, are cut where the parts are."""
        whole = [token for part in parts for token in part]
        return self.encode("".join(map(self.decode, parts))) == tuple(whole)


def _bytes(text: str) -> tuple[bytes, ...]:
    return tuple(bytes([byte]) for byte in text.encode())


MERGING = Pieces(
    # Id 0 is a letter: what fills a batch with zeros and then masks them loses it.
    singles=_bytes("abcd z"),
    merges=((b"a", b"b"), (b" ", b"c"), (b"c", b"d")),
    unnamed=3,
)
"""A dozen tokens, with merges across every kind of boundary."""

LETTERS = Pieces(singles=_bytes("abcd"), merges=())
"""One letter a token: every sequence of ordinary tokens has one spelling."""

BYTES = Pieces(
    singles=tuple(bytes([byte]) for byte in range(256)),
    merges=(
        (b"\xc3", b"\xa9"),  # é whole
        (b"\xf0", b"\x9f"),  # half of an emoji
        (b"e", b"\xcc"),  # e and half of a combining accent
        (b" ", b"\xf0\x9f"),
    ),
)
"""Every byte, and merges that end inside a character."""
