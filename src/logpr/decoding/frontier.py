"""The beginnings that are still to be gone on with, as columns of small records.

A record is one token after a node that was expanded; its own distribution is not known yet. Its
`logprob` is that of the beginning, `total` the same with the biases of its tokens, and `bound`
what no output that it leads to has a higher score than.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64

from logpr._types import IntNodes

Column = Float64[np.ndarray, " records"]
Places = Int64[np.ndarray, " places"]

_LEAST = 1024
RECORD_BYTES = 7 * 8
"""Of one record."""


@dataclass(frozen=True, slots=True)
class Records:
    """Some records, column by column."""

    nodes: IntNodes
    tokens: IntNodes
    logprobs: Column
    totals: Column
    bounds: Column
    lengths: IntNodes
    states: IntNodes

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.nodes)


_COLUMNS = ("nodes", "tokens", "logprobs", "totals", "bounds", "lengths", "states")
_FLOATS = frozenset({"logprobs", "totals", "bounds"})


class Frontier:
    """Records that come and go: added in blocks, taken by place."""

    __slots__ = ("_data", "_size")

    def __init__(self) -> None:
        self._size = 0
        self._data = {
            name: np.empty(_LEAST, dtype=np.float64 if name in _FLOATS else np.int64)
            for name in _COLUMNS
        }

    def __len__(self) -> int:
        """Return how many records there are."""
        return self._size

    @property
    def nbytes(self) -> int:
        """Return the memory that the records take."""
        return sum(column.nbytes for column in self._data.values())

    @property
    def bounds(self) -> Column:
        """Return the bound of every record."""
        return self._data["bounds"][: self._size]

    @property
    def logprobs(self) -> Column:
        """Return log Pr of every record's beginning."""
        return self._data["logprobs"][: self._size]

    @property
    def lengths(self) -> IntNodes:
        """Return |y| of every record's beginning."""
        return self._data["lengths"][: self._size]

    @property
    def best(self) -> float:
        """Return the largest bound; −inf where there is no record."""
        return float(self.bounds.max(initial=-np.inf))

    def add(self, records: Records) -> None:
        """Add records.

        Args:
            records: any number of them.
        """
        stop = self._size + len(records)
        for name in _COLUMNS:
            column = self._data[name]
            if stop > len(column):
                longer = np.empty(max(stop, 2 * len(column)), dtype=column.dtype)
                longer[: self._size] = column[: self._size]
                self._data[name] = column = longer
            column[self._size : stop] = getattr(records, name)
        self._size = stop

    def look(self, places: Places) -> Records:
        """Return the records at some places, which stay.

        Args:
            places: of records.
        """
        return Records(*(self._data[name][: self._size][places] for name in _COLUMNS))

    def take(self, places: Places) -> Records:
        """Return the records at some places and let them go; the others may change places.

        Args:
            places: each once.
        """
        taken = self.look(places)
        left = self._size - len(places)
        # The last ones move into the gaps before them.
        gone = np.zeros(self._size - left, dtype=bool)
        gone[places[places >= left] - left] = True
        movers = left + np.flatnonzero(~gone)
        gaps = places[places < left]
        for name in _COLUMNS:
            column = self._data[name]
            column[gaps] = column[movers]
        self._size = left
        return taken

    def largest(self, count: int, *, deep: bool = False) -> Places:
        """Return the places of the records with the largest bounds.

        Args:
            count: how many at most.
            deep: the longest beginnings first.
        """
        if self._size <= count:
            return np.arange(self._size)
        if not deep:
            return np.argpartition(-self.bounds, count)[:count]
        # All that are longer than some length, and the best of that length: nothing is sorted.
        lengths = self.lengths
        so_long = np.bincount(lengths)[::-1].cumsum()[::-1]
        least = int(np.flatnonzero(so_long >= count)[-1])
        longer, there = np.flatnonzero(lengths > least), np.flatnonzero(lengths == least)
        left = count - len(longer)
        if len(there) > left:
            there = there[np.argpartition(-self.bounds[there], left - 1)[:left]]
        return np.concatenate([longer, there])
