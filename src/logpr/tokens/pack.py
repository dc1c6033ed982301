"""The token trie of a window, laid out depth-first: what a model is asked, in token ids alone.

A node is a token that goes through the network once for all the sequences that share its prefix.
An edge is a question: the log-probability of one token (or of END) in the row that follows a node.
The last token of a candidate is asked about and never fed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from logpr._types import END, IntEdges, IntNodes

ROOT = -1
"""The node before any token: its row is the distribution of a sequence's first token."""


@dataclass(frozen=True, slots=True)
class Pack:
    """A forest of prefixes in depth-first order, and the edges read from it.

    Node i is the token `token_ids[i]` at position `depths[i]`, after node `parents[i]` (ROOT for
    the first token of a sequence); its subtree is the nodes i … `ends[i]` − 1, so k is an
    ancestor of q exactly when k <= q < ends[k]. Edge j asks for token `edge_tokens[j]` (END, -1,
    for any of `end_ids`) in the row after node `edge_nodes[j]`; edges are sorted by node.

    For models that read x in an encoder, `sources` are the token ids of each x and the j-th root,
    in node order, stands below `sources[root_sources[j]]`; for all others both are empty.
    """

    token_ids: IntNodes
    parents: IntNodes
    depths: IntNodes
    ends: IntNodes
    edge_nodes: IntEdges
    edge_tokens: IntEdges
    end_ids: tuple[int, ...] = ()
    sources: tuple[tuple[int, ...], ...] = ()
    root_sources: tuple[int, ...] = ()

    def __len__(self) -> int:
        """Return the number of tokens that go through the network."""
        return len(self.token_ids)

    def path(self, node: int) -> tuple[int, ...]:
        """Return the token ids from the start of the sequence through `node`."""
        out: list[int] = []
        while node != ROOT:
            out.append(int(self.token_ids[node]))
            node = int(self.parents[node])
        return tuple(reversed(out))

    def segments(self) -> Iterator[tuple[int, int]]:
        """Yield maximal runs [start, stop) of nodes that each have the one before as only parent.

        Within a run attention is causal; to a run's ancestors it is full.
        """
        size = len(self.token_ids)
        if size == 0:
            return
        # An only child ends where its parent does. (In a part of a larger pack a sibling may have
        # lost its parent, which was not fed again, and still lies below it.)
        goes_on = (self.parents[1:] == np.arange(size - 1)) & (np.diff(self.ends) == 0)
        starts = [0, *(np.flatnonzero(~goes_on) + 1).tolist(), size]
        yield from pairwise(starts)

    def check_integrity(self) -> None:
        """Raise AssertionError where the arrays contradict each other (for tests)."""
        size = len(self.token_ids)
        assert len(self.parents) == len(self.depths) == len(self.ends) == size
        assert len(self.edge_nodes) == len(self.edge_tokens)
        assert np.all(np.diff(self.edge_nodes) >= 0)
        assert np.all(self.edge_nodes >= ROOT)
        assert np.all(self.edge_nodes < size)
        assert np.all(self.edge_tokens >= END)
        for node in range(size):
            parent = int(self.parents[node])
            assert ROOT <= parent < node
            assert node < self.ends[node] <= size
            assert self.depths[node] == (0 if parent == ROOT else self.depths[parent] + 1)
            if parent != ROOT:
                assert self.ends[node] <= self.ends[parent]
        roots = np.flatnonzero(self.parents == ROOT).tolist()
        below: dict[int, int] = {}
        if self.sources:
            assert len(self.root_sources) == len(roots), "a root without its source"
            assert set(self.root_sources) == set(range(len(self.sources)))
            assert len(set(self.sources)) == len(self.sources), "a source appears twice"
            assert all(self.sources), "an encoder reads one token at least"
            assert np.all(self.edge_nodes > ROOT), "a decoder is fed a token before any is asked"
            below = dict(zip(roots, self.root_sources, strict=True))
        else:
            assert not self.root_sources
        seen = {
            (below.get(node, ROOT), int(self.parents[node]), int(self.token_ids[node]))
            for node in range(size)
        }
        assert len(seen) == size, "a prefix appears twice"
