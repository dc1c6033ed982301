"""Packs cut into pieces of bounded size, and the form in which states come back from a run.

A piece is a set of whole root-to-leaf paths, next to each other in depth-first order; the ancestors
that it shares with the piece before are fed again. (`spans` feeds nothing again.)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int64

from logpr._types import IntEdges, IntNodes
from logpr.tokens.pack import ROOT, Pack


@dataclass(frozen=True, slots=True)
class States:
    """States of some rows of a pack, and the edges that are read from them.

    Edge `edges[j]` of the pack is read in row `row_of_edge[j]`.
    """

    rows: Float[torch.Tensor, "rows width"]
    edges: IntEdges
    row_of_edge: IntEdges

    def part(self, start: int, stop: int) -> States:
        """Return the rows start … stop − 1, and the edges that are read from them.

        Args:
            start: the first row.
            stop: the row after the last.
        """
        first, last = np.searchsorted(self.row_of_edge, [start, stop])
        here = slice(first, last)
        return States(self.rows[start:stop], self.edges[here], self.row_of_edge[here] - start)


_MOST = 2**24
"""Numbers in the states that are gathered: 64 MiB in float32, where they are whole logits."""


def enough(parts: Sequence[States], rows: int) -> bool:
    """Return whether states that wait are enough for the head.

    Args:
        parts: that wait.
        rows: that are enough, unless what waits is large before.
    """
    waiting = sum(len(one.rows) for one in parts)
    return waiting >= rows or sum(one.rows.numel() for one in parts) >= _MOST


@runtime_checkable
class Executor(Protocol):
    """A way to run a pack."""

    @property
    def name(self) -> str:
        """What `executor=` calls it."""
        ...

    def states(self, pack: Pack) -> Iterator[States]:
        """Yield the states that the edges of `pack` are read from, every edge once.

        Pieces come in bounded size and in no promised order.

        Raises:
            ModelOutputError: the network did not do what its probe saw it do.
        """
        ...


@dataclass(frozen=True, slots=True)
class Piece:
    """Part of a pack that is run at once: a pack itself, whose edges are `edges` of the whole."""

    pack: Pack
    edges: IntEdges


def pieces(pack: Pack, *, budget: int, limit: int | None = None) -> Iterator[Piece]:
    """Yield pieces that together have every edge of `pack` once; nodes nobody reads are left out.

    A piece has at most max(budget, 2 × shared ancestors) nodes, so that feeding ancestors again
    never more than doubles the work; a single longer path stays whole.

    Args:
        pack: no edge at ROOT.
        budget: nodes in a piece.
        limit: nodes that a piece never exceeds unless one path does.
    """
    kept = read_part(pack)
    if len(kept) == 0:
        return
    parents = kept.parents.tolist()
    leaves = np.flatnonzero(kept.ends == np.arange(1, len(kept) + 1)).tolist()
    above: list[int] = []  # ancestors that are fed again
    first = 0
    stop = 0
    room = _room(budget, limit, 0)
    for leaf in leaves:
        if stop > first and len(above) + leaf + 1 - first > room:
            yield _piece(kept, above, first, stop)
            first = stop
            above = _ancestors(parents, first)
            room = _room(budget, limit, len(above))
        stop = leaf + 1
    yield _piece(kept, above, first, stop)


def read_part(pack: Pack) -> Pack:
    """Return the pack without the nodes below which nothing is read; its edges are all there.

    Args:
        pack: no edge at ROOT.
    """
    starts = np.searchsorted(pack.edge_nodes, np.arange(len(pack) + 1))
    return _subset(pack, np.flatnonzero(starts[pack.ends] > starts[:-1]))


def _room(budget: int, limit: int | None, ancestors: int) -> int:
    room = max(budget, 2 * ancestors)
    return room if limit is None else min(room, limit)


def _ancestors(parents: list[int], node: int) -> list[int]:
    out: list[int] = []
    node = parents[node]
    while node != ROOT:
        out.append(node)
        node = parents[node]
    return out[::-1]


def _piece(pack: Pack, above: list[int], first: int, stop: int) -> Piece:
    nodes = np.asarray([*above, *range(first, stop)], dtype=np.int64)
    start, end = np.searchsorted(pack.edge_nodes, [first, stop])
    edges = np.arange(start, end, dtype=np.int64)
    return Piece(pack=_subset(pack, nodes, edges), edges=edges)


def _subset(pack: Pack, nodes: IntNodes, edges: Int64[np.ndarray, " chosen"] | None = None) -> Pack:
    """Return the pack of some nodes, in order, whose ancestors are all among them."""
    chosen = slice(None) if edges is None else edges
    parents = pack.parents[nodes]
    return Pack(
        token_ids=pack.token_ids[nodes],
        parents=np.where(parents == ROOT, ROOT, np.searchsorted(nodes, parents)),
        depths=pack.depths[nodes],
        ends=np.searchsorted(nodes, pack.ends[nodes]).astype(np.int64),
        edge_nodes=np.searchsorted(nodes, pack.edge_nodes[chosen]).astype(np.int64),
        edge_tokens=pack.edge_tokens[chosen],
        end_ids=pack.end_ids,
    )
