"""Where a run through a pack is, and which keys and values its next rows see of before.

Keys come from two places: rows of the same run that lie on the active path, and, with a store, past
calls. Either way they are seen by the descendants of the tokens they are of, a slice of the pack.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Int64

from logpr._types import IntNodes
from logpr.models.hf.kept import ABSENT, Keys, PrefixStore
from logpr.models.hf.pieces import States
from logpr.models.hf.plan import Past
from logpr.tokens.pack import ROOT, Pack


@dataclass(frozen=True, slots=True)
class _Group:
    """Nodes one after the other on a path, whose keys lie next to each other; and who sees them.

    The nodes after `last`, up to `end`, do.
    """

    keys: Keys
    places: slice
    first_depth: int
    last: int
    end: int


class Walk:
    """Where in a pack a run is, and what is held of the rows before."""

    __slots__ = (
        "_entries",
        "_fed",
        "_groups",
        "_outside",
        "above",
        "again",
        "at",
        "pack",
        "rows",
        "store",
    )

    def __init__(self, pack: Pack, store: PrefixStore | None) -> None:
        self.pack = pack
        self.store = store
        self._entries = np.full(len(pack), ABSENT, dtype=np.int64)
        if store is not None and len(store):
            _look_up(pack, store, self._entries)
        fed: Bool[np.ndarray, " nodes"] = self._entries == ABSENT
        fed[pack.edge_nodes] = True  # of a prefix keys are held and its state is not
        self._fed = fed
        self.rows: IntNodes = np.flatnonzero(fed)
        self.at = 0
        # Nodes above the next row that were fed in this walk, and whether to feed them again.
        self.above: IntNodes = self.rows[:0]
        self.again = False
        self._groups: list[_Group] = []
        self._outside = [] if store is None else _groups_outside(pack, store, self._entries, fed)

    @property
    def left(self) -> int:
        """Return how many rows are still to be fed."""
        return len(self.rows) - self.at

    def path_after(self, count: int) -> IntNodes:
        """Return the ancestors of the row after the next `count` that are fed in this walk."""
        after = self.at + count
        if after >= len(self.rows):
            return self.rows[:0]
        node = int(self.pack.parents[self.rows[after]])
        out: list[int] = []
        while node != ROOT:
            out.append(node)
            node = int(self.pack.parents[node])
        path = np.asarray(out[::-1], dtype=np.int64)
        above: IntNodes = path[self._fed[path]]
        return above

    def part(self, nodes: IntNodes) -> Pack:
        """Return the rows `nodes` as a pack; where a parent is not among them it is ROOT."""
        parents = self.pack.parents[nodes]
        place = np.searchsorted(nodes, parents)
        here = nodes[np.minimum(place, len(nodes) - 1)] == parents
        nothing = np.empty(0, dtype=np.int64)
        return Pack(
            token_ids=self.pack.token_ids[nodes],
            parents=np.where(here, place, ROOT),
            depths=self.pack.depths[nodes],
            ends=np.searchsorted(nodes, self.pack.ends[nodes]).astype(np.int64),
            edge_nodes=nothing,
            edge_tokens=nothing,
        )

    def pasts(self, nodes: IntNodes) -> list[Past]:
        """Return what the rows `nodes` see of before."""
        out: list[Past] = []
        for group in (*self._outside, *self._groups):
            start, stop = np.searchsorted(nodes, [group.last + 1, group.end])
            if stop > start:
                rows = slice(int(start), int(stop))
                out.append(Past(group.keys, group.places, group.first_depth, rows))
        return out

    def step(self, count: int, path: IntNodes) -> None:
        """Go on to the rows after the next `count`, which lie below `path`."""
        self.at += count
        self.above = path
        self.again = False
        here = int(self.rows[self.at]) if self.left else len(self.pack)
        self._groups = [group for group in self._groups if group.end > here]
        self._outside = [group for group in self._outside if group.end > here]

    def forget(self) -> None:
        """Hold nothing of the active path: it is fed again."""
        self._groups = []
        self.again = True

    def hold(self, keys: Keys, nodes: IntNodes, places: IntNodes) -> None:
        """Hold keys of some nodes of the active path, which lie at `places` of them."""
        ends, depths = self.pack.ends[nodes], self.pack.depths[nodes]
        # What lies between two of them may have been found in the store, and not fed.
        goes_on = (np.diff(places) == 1) & (np.diff(ends) == 0) & (np.diff(depths) == 1)
        cuts = np.flatnonzero(~goes_on) + 1
        for part in np.split(np.arange(len(nodes)), cuts):
            first, last = int(part[0]), int(part[-1])
            self._groups.append(
                _Group(
                    keys,
                    slice(int(places[first]), int(places[last]) + 1),
                    int(depths[first]),
                    int(nodes[last]),
                    int(ends[last]),
                )
            )

    def leave(self, keys: Keys, nodes: IntNodes) -> None:
        """Leave the keys of rows in the store."""
        store = self.store
        assert store is not None, "only with a store is everything kept"
        place = {node: row for row, node in enumerate(nodes.tolist())}
        outside: list[int] = []
        parents: list[int] = []
        for parent in self.pack.parents[nodes].tolist():
            row = place.get(parent)
            if row is None:
                outside.append(ROOT if parent == ROOT else int(self._entries[parent]))
                row = -len(outside)
            parents.append(row)
        self._entries[nodes] = store.add(
            keys, self.pack.token_ids[nodes].tolist(), parents, outside
        )

    def states_of(
        self, states: torch.Tensor, nodes: IntNodes, first: int, stop: int
    ) -> States | None:
        """Return the states that the edges of the nodes first … stop − 1 are read from."""
        start, end = np.searchsorted(self.pack.edge_nodes, [first, stop])
        if start == end:
            return None
        read, row_of_edge = np.unique(self.pack.edge_nodes[start:end], return_inverse=True)
        rows = torch.from_numpy(np.searchsorted(nodes, read)).to(states.device)
        edges: Int64[np.ndarray, " edges"] = np.arange(start, end, dtype=np.int64)
        return States(states[rows], edges, row_of_edge)


def _look_up(pack: Pack, store: PrefixStore, entries: IntNodes) -> None:
    """Write the entry of every node whose prefix is held, and mark what was found as used."""
    parents, tokens, ends = pack.parents.tolist(), pack.token_ids.tolist(), pack.ends.tolist()
    used: dict[int, None] = {}
    node = 0
    while node < len(tokens):
        parent = parents[node]
        found = store.child(ROOT if parent == ROOT else int(entries[parent]), tokens[node])
        if found is None:
            node = ends[node]
            continue
        entries[node] = found
        used[store.place(found)[0]] = None
        node += 1
    store.touch(used)


def _groups_outside(
    pack: Pack, store: PrefixStore, entries: IntNodes, fed: Bool[np.ndarray, " nodes"]
) -> list[_Group]:
    """Return what of the store stands in for nodes that are not fed."""
    nodes = np.flatnonzero(~fed)
    if len(nodes) == 0:
        return []
    found = np.asarray([store.place(entry) for entry in entries[nodes].tolist()], dtype=np.int64)
    goes_on = (
        (np.diff(nodes) == 1)
        & (pack.parents[nodes[1:]] == nodes[:-1])
        & (np.diff(pack.ends[nodes]) == 0)
        & (np.diff(found[:, 0]) == 0)
        & (np.diff(found[:, 1]) == 1)
    )
    out: list[_Group] = []
    for part in np.split(np.arange(len(nodes)), np.flatnonzero(~goes_on) + 1):
        first, last = int(part[0]), int(part[-1])
        out.append(
            _Group(
                store.keys(int(found[first, 0])),
                slice(int(found[first, 1]), int(found[last, 1]) + 1),
                int(pack.depths[nodes[first]]),
                int(nodes[last]),
                int(pack.ends[nodes[last]]),
            )
        )
    return out
