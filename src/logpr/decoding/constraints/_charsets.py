"""Sets of characters, and the bytes that spell them in UTF-8."""

from __future__ import annotations

import functools
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

Ranges: TypeAlias = tuple[tuple[int, int], ...]
"""Code points from first to last, both in it: ascending, apart from each other."""


@dataclass(frozen=True, slots=True, eq=False)
class ByteTree:
    """The spellings of a set of characters, byte by byte.

    Equal parts of a tree are one object, so that an automaton can share them.

    Attributes:
        edges: bytes from first to last, and what follows them; None: the character ends here.
    """

    edges: tuple[tuple[int, int, ByteTree | None], ...]


_LAST = sys.maxunicode
_SURROGATES = (0xD800, 0xDFFF)
# The last code point of one byte, of two, three and four; a further byte holds six bits.
_LAST_OF_LENGTH = (0x7F, 0x7FF, 0xFFFF, _LAST)
_FIRST_BYTE = (0x00, 0xC0, 0xE0, 0xF0)
_BITS = 6


def merged(ranges: Iterable[tuple[int, int]]) -> Ranges:
    """Return the union of ranges."""
    out: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if out and first <= out[-1][1] + 1:
            out[-1] = (out[-1][0], max(last, out[-1][1]))
        else:
            out.append((first, last))
    return tuple(out)


def complement(ranges: Iterable[tuple[int, int]]) -> Ranges:
    """Return all characters but these."""
    out = []
    place = 0
    for first, last in merged(ranges):
        if first > place:
            out.append((place, first - 1))
        place = last + 1
    if place <= _LAST:
        out.append((place, _LAST))
    return tuple(out)


@functools.lru_cache(maxsize=256)
def matched_by(pattern: str, flags: int) -> Ranges:
    r"""Return the characters that a pattern of one character matches, by asking `re` for each.

    Args:
        pattern: `\w`, `[^\d_]`: as `re` reads it, so that its tables are the only ones.
        flags: of `re`.
    """
    characters = _all_characters()
    found = re.compile(f"(?:{pattern})+", flags).finditer(characters)
    spans = [(_code(match.start()), _code(match.end() - 1)) for match in found]
    return merged(spans)


@functools.lru_cache(maxsize=1)
def _all_characters() -> str:
    low = map(chr, range(_SURROGATES[0]))
    return "".join(low) + "".join(map(chr, range(_SURROGATES[1] + 1, _LAST + 1)))


def _code(place: int) -> int:
    return place if place < _SURROGATES[0] else place + _SURROGATES[1] + 1 - _SURROGATES[0]


@functools.lru_cache(maxsize=1024)
def byte_tree(ranges: Ranges) -> ByteTree:
    """Return the spellings of characters in UTF-8; surrogates have none and are left out."""
    below = complement([*complement(ranges), _SURROGATES])
    edges: list[tuple[int, int, ByteTree | None]] = []
    start = 0
    for more, (last, lead) in enumerate(zip(_LAST_OF_LENGTH, _FIRST_BYTE, strict=True)):
        part = tuple(
            (max(first, start), min(end, last))
            for first, end in below
            if first <= last and end >= start
        )
        edges += _split(part, more, lead)
        start = last + 1
    return ByteTree(tuple(edges))


@functools.lru_cache(maxsize=16384)
def _tail(ranges: Ranges, more: int) -> ByteTree:
    return ByteTree(tuple(_split(ranges, more, 0x80)))


def _split(ranges: Ranges, more: int, lead: int) -> list[tuple[int, int, ByteTree | None]]:
    """Return the edges for characters of which `more` bytes follow the one at hand."""
    if not more:
        return [(lead + first, lead + last, None) for first, last in ranges]
    size = 1 << (_BITS * more)
    whole = ((0, size - 1),)
    parts: dict[int, list[tuple[int, int]]] = {}
    edges: list[tuple[int, int, ByteTree | None]] = []

    def add(first: int, last: int, inside: Ranges) -> None:
        tree = _tail(inside, more - 1)
        if edges and edges[-1][1] == first - 1 and edges[-1][2] is tree:
            edges[-1] = (edges[-1][0], last, tree)
        else:
            edges.append((first, last, tree))

    # Blocks that a range covers in part are few; the ones between need no look each.
    full: list[tuple[int, int]] = []
    for first, last in ranges:
        low, high = first // size, last // size
        if low == high:
            parts.setdefault(low, []).append((first % size, last % size))
            continue
        parts.setdefault(low, []).append((first % size, size - 1))
        parts.setdefault(high, []).append((0, last % size))
        if high > low + 1:
            full.append((low + 1, high - 1))
    blocks = [(block, block, tuple(inside)) for block, inside in parts.items()]
    for low, high, inside in sorted([*blocks, *((low, high, whole) for low, high in full)]):
        add(lead + low, lead + high, inside)
    return edges
