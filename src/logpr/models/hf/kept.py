"""Keys and values that outlive the forward pass that made them: of the active path, of past calls.

`Keys` holds what each attention call of a forward pass read of some tokens. `PrefixStore` finds it
again by token ids: a trie whose entries point into such holdings, bounded in bytes; the holding
that was used longest ago goes first, whole.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Int64

from logpr.tokens.pack import ROOT

Layer = tuple[
    Float[torch.Tensor, "1 key_heads tokens width"], Float[torch.Tensor, "1 key_heads tokens out"]
]


@dataclass(frozen=True, slots=True, eq=False)
class Keys:
    """Keys and values of some tokens, for each call of the attention function in a forward pass."""

    layers: tuple[Layer, ...]

    @property
    def nbytes(self) -> int:
        """Return the memory that is held."""
        return sum(key.nbytes + value.nbytes for key, value in self.layers)


def held(
    key: torch.Tensor, value: torch.Tensor, rows: Int64[torch.Tensor, " rows"] | None
) -> Layer:
    """Return a layer's keys and values of some rows, apart from the memory they were computed in.

    Args:
        key: of all rows.
        value: of all rows.
        rows: which to keep; None keeps all.
    """
    if rows is not None:
        return key.index_select(2, rows), value.index_select(2, rows)
    return _own(key), _own(value)


def _own(tensor: torch.Tensor) -> torch.Tensor:
    """Return the tensor, copied where it is a view of more than itself (queries beside keys)."""
    return tensor if tensor.untyped_storage().nbytes() <= tensor.nbytes else tensor.clone()


ABSENT = -2
"""In place of an entry: this prefix is not held."""


@dataclass(slots=True)
class _Holding:
    """Keys, their entries, and the holdings that these go on from."""

    keys: Keys
    nbytes: int
    entries: list[tuple[int, int]] = field(default_factory=list)
    above: set[int] = field(default_factory=set)


class PrefixStore:
    """Keys and values of prefixes by their token ids, at most `room` bytes of them.

    Not thread-safe, as the model that it belongs to.
    """

    __slots__ = ("_children", "_holdings", "_nbytes", "_next", "_places", "room")

    def __init__(self, room: int) -> None:
        self.room = room
        self._children: dict[tuple[int, int], int] = {}
        # Of each entry: its holding, and its row there.
        self._places: dict[int, tuple[int, int]] = {}
        self._holdings: OrderedDict[int, _Holding] = OrderedDict()
        self._nbytes = 0
        self._next = 0

    @property
    def nbytes(self) -> int:
        """Return the memory that is held."""
        return self._nbytes

    def __len__(self) -> int:
        """Return the number of prefixes that are held."""
        return len(self._places)

    def child(self, entry: int, token: int) -> int | None:
        """Return the entry of a prefix that is one token longer, or None.

        Args:
            entry: of the shorter prefix; ROOT for the empty one.
            token: the one more.
        """
        return self._children.get((entry, token))

    def place(self, entry: int) -> tuple[int, int]:
        """Return the holding of an entry, and its row there.

        Args:
            entry: that was found or added.
        """
        return self._places[entry]

    def keys(self, holding: int) -> Keys:
        """Return what is held.

        Args:
            holding: from `place`.
        """
        return self._holdings[holding].keys

    def touch(self, holdings: Collection[int]) -> None:
        """Mark holdings as used now; a prefix outlives what extends it.

        Args:
            holdings: each with all that it goes on from.
        """
        # What is extended was held before what extends it, so its number is lower.
        for number in sorted(holdings, reverse=True):
            self._holdings.move_to_end(number)

    def add(
        self, keys: Keys, tokens: Sequence[int], parents: Sequence[int], entries: Sequence[int]
    ) -> list[int]:
        """Hold rows of a forward pass; return the entry of each, ABSENT where it is not held.

        Where room is lacking, what was used longest ago goes first; of what is used now, extensions
        go before what they extend. What extends a prefix that is gone could not be found again, and
        is not held.

        Args:
            keys: of the rows.
            tokens: of the rows, in depth-first order.
            parents: the row before each, or −1 − i for the i-th of `entries`.
            entries: of prefixes held before (ROOT for the empty one, ABSENT for one that is not).
        """
        number, self._next = self._next, self._next + 1
        holding = _Holding(keys, keys.nbytes)
        out: list[int] = []
        for row, (token, parent) in enumerate(zip(tokens, parents, strict=True)):
            above = out[parent] if parent >= 0 else entries[-1 - parent]
            if above != ROOT and above not in self._places:
                out.append(ABSENT)
                continue
            entry = self._children.get((above, token))
            if entry is None:
                entry, self._next = self._next, self._next + 1
                self._children[above, token] = entry
                self._places[entry] = (number, row)
                holding.entries.append((above, token))
                if above != ROOT and self._places[above][0] != number:
                    holding.above.add(self._places[above][0])
            out.append(entry)
        if holding.entries:
            self._holdings[number] = holding
            self._nbytes += holding.nbytes
            self._outlive(holding)
        while self._nbytes > self.room:
            self._drop()
        return out

    def _outlive(self, holding: _Holding) -> None:
        """Mark all that a holding goes on from as used after it, the shortest prefix last."""
        chain: set[int] = set()
        left = list(holding.above)
        while left:
            number = left.pop()
            # One that only another branch of a holding goes on from may be gone.
            if number in self._holdings and number not in chain:
                chain.add(number)
                left.extend(self._holdings[number].above)
        self.touch(chain)

    def clear(self) -> None:
        """Drop everything."""
        while self._holdings:
            self._drop()

    def _drop(self) -> None:
        _, holding = self._holdings.popitem(last=False)
        self._nbytes -= holding.nbytes
        for key in holding.entries:
            del self._places[self._children.pop(key)]


assert ROOT == -1, "the entry of the empty prefix is ROOT"
