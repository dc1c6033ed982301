"""What texts are made of: a toy's tokens, or, for a scorer's own model, the suite's own words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, final, runtime_checkable

from logpr.conformance.case import Part
from logpr.conformance.toy import Toy

_WORDS = (
    *("The", "cat", "dog", "girl", "boy", "sat", "ran", "on", "in", "the", "a", "red", "big"),
    *("mat", "park", "house", "and", "was", "very", "happy", "with", "his", "her", "friend"),
    *("ball", "tree", "water", "saw", "went", "home", "day", "little", "said", "to", "play"),
)
_CASED = ("THE", "Cat", "cAT", "")
"""Written otherwise; the empty word makes two spaces."""

_SIGNS = (
    "café",
    "cafe\u0301",
    "😀",
    "👩\u200d👩\u200d👧",
    "日本語",
    "שלום",
    "naïve",
    "½",
    "e\u0301",
)
_FIRST_ID, _LAST_ID = 3, 200
_FEWEST = 2
"""Ids that a vocabulary has: of one, no two cases differ."""


@runtime_checkable
class Alphabet(Protocol):
    """Numbers, and the text or ids that they stand for."""

    @property
    def plain(self) -> Part:
        """Numbers that ordinary text is made of."""
        ...

    def prompt(self, part: Part) -> str | tuple[int, ...]:
        """Return a prompt as a scorer is given it."""
        ...

    def candidate(self, part: Part) -> str | tuple[int, ...]:
        """Return a candidate as a scorer is given it."""
        ...

    def clean(self, parts: Sequence[Part]) -> bool:
        """Return whether parts set side by side are cut where they meet, however one encodes."""
        ...

    def meets(self, pair: Part, *, ends: bool) -> bool:
        """Return whether a number may follow another, and end a part where it `ends` one."""
        ...


@final
class Tokens:
    """A toy's tokens, given as texts, or as ids behind the start token.

    Args:
        toy: the model.
        ids: whether the scorer takes ids.
    """

    def __init__(self, toy: Toy, *, ids: bool) -> None:
        self._toy = toy
        self._ids = ids
        rare = {token for token in toy.pieces.ordinary if toy.pieces.names[token] == b"z"}
        self.plain: Part = tuple(token for token in toy.pieces.ordinary if token not in rare)

    def prompt(self, part: Part) -> str | tuple[int, ...]:
        """Return its text, or the start token and its ids."""
        if self._ids:
            return (self._toy.pieces.start_id, *part) if self._toy.variant.adds_start else part
        return self._toy.pieces.decode(part)

    def candidate(self, part: Part) -> str | tuple[int, ...]:
        """Return its text or its ids."""
        return part if self._ids else self._toy.pieces.decode(part)

    def clean(self, parts: Sequence[Part]) -> bool:
        """Return whether every part is encoded alike alone and among the others.

        A part that ends in a space is not: the space may move to what follows.
        """
        pieces = self._toy.pieces
        if self._ids:
            return all(0 <= token < pieces.vocab_size for part in parts for token in part)
        if any(token not in pieces.ordinary for part in parts for token in part):
            return False
        texts = [pieces.decode(part) for part in parts]
        if any(text.endswith(" ") for text in texts):
            return False
        return pieces.spells(*parts) and all(pieces.spells(part) for part in parts)

    def meets(self, pair: Part, *, ends: bool) -> bool:
        """Return whether two tokens keep apart side by side."""
        if self._ids:
            return True
        pieces = self._toy.pieces
        return pieces.spells(pair) and not (ends and pieces.decode(pair).endswith(" "))


@final
class Words:
    """The suite's words, each behind a space; the first word of a prompt without."""

    plain: Part = tuple(range(len(_WORDS)))
    cased: Part = tuple(range(len(_WORDS), len(_WORDS) + len(_CASED)))
    signs: Part = tuple(range(len(_WORDS) + len(_CASED), len(_WORDS + _CASED + _SIGNS)))

    def prompt(self, part: Part) -> str:
        """Return the words as a text."""
        return self.candidate(part)[1:]

    def candidate(self, part: Part) -> str:
        """Return the words as what goes on from a text."""
        words = (*_WORDS, *_CASED, *_SIGNS)
        return "".join(f" {words[number]}" for number in part)

    def clean(self, parts: Sequence[Part]) -> bool:
        """Return whether the words are known and no part ends in a space."""
        known = len(self.plain) + len(self.cased) + len(self.signs)
        return all(0 <= number < known for part in parts for number in part)

    def meets(self, pair: Part, *, ends: bool) -> bool:
        """Return True: words stand behind spaces."""
        del pair, ends
        return True


@final
class Ids:
    """Ids of a vocabulary that nothing is known of.

    Args:
        size: how many there are; None: the first few hundred are taken to be there.
    """

    def __init__(self, size: int | None) -> None:
        last = _LAST_ID if size is None or size < _FEWEST else min(size, _LAST_ID)
        # The first are special in many vocabularies, but a tiny one has no others.
        self.plain: Part = tuple(range(_FIRST_ID if last > 2 * _FIRST_ID else 0, last))

    def prompt(self, part: Part) -> tuple[int, ...]:
        """Return the ids."""
        return part

    def candidate(self, part: Part) -> tuple[int, ...]:
        """Return the ids."""
        return part

    def clean(self, parts: Sequence[Part]) -> bool:
        """Return whether there are no negative ones."""
        return all(number >= 0 for part in parts for number in part)

    def meets(self, pair: Part, *, ends: bool) -> bool:
        """Return True: ids are fed as they are."""
        del pair, ends
        return True
