"""The trie of all token sequences of a window: every unique (prefix, token) is one node.

Where x goes to an encoder, each source has a root of its own: equal tokens below different sources
are different nodes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from logpr._types import END
from logpr.tokens.pack import ROOT, Pack


class TokenTrie:
    """Grows by sequences; `pack` lays it out depth-first."""

    __slots__ = ("_children", "_edges", "_parents", "_sources", "_tokens")

    def __init__(self) -> None:
        self._tokens: list[int] = []
        self._parents: list[int] = []
        # Keyed by (parent, token): one dict of pairs is several times smaller than a dict a node.
        self._children: dict[tuple[int, int], int] = {}
        self._edges: dict[tuple[int, int], int] = {}
        self._sources: dict[tuple[int, ...], int] = {}

    def __len__(self) -> int:
        """Return the number of nodes."""
        return len(self._tokens)

    def below(self, source: Sequence[int]) -> int:
        """Return the node before any token of the sequences below `source`; () is no source."""
        if not source:
            return ROOT
        # Counted down from the ROOT of sequences without a source.
        return self._sources.setdefault(tuple(source), ROOT - 1 - len(self._sources))

    def feed(self, tokens: Sequence[int], after: int = ROOT) -> int:
        """Add the path of `tokens` below node `after`; return its last node."""
        node = after
        children = self._children
        for token in tokens:
            key = (node, token)
            child = children.get(key)
            if child is None:
                child = len(self._tokens)
                self._tokens.append(token)
                self._parents.append(node)
                children[key] = child
            node = child
        return node

    def ask(
        self,
        context: Sequence[int],
        continuation: Sequence[int],
        *,
        with_end: bool = False,
        source: Sequence[int] = (),
    ) -> tuple[int, ...]:
        """Add the questions of one continuation after one context; return their edge numbers."""
        node = self.feed(context, self.below(source))
        out: list[int] = []
        last = len(continuation) - 1
        for i, token in enumerate(continuation):
            out.append(self._edge(node, token))
            if i < last or with_end:
                node = self.feed((token,), node)
        if with_end:
            out.append(self._edge(node, END))
        return tuple(out)

    def ask_among(
        self,
        context: Sequence[int],
        continuation: Sequence[int],
        among: Sequence[int],
        *,
        source: Sequence[int] = (),
    ) -> tuple[tuple[int, ...], ...]:
        """Ask for each token of `among` at each step of a continuation; return the edge numbers."""
        node = self.feed(context, self.below(source))
        out: list[tuple[int, ...]] = []
        for step in range(len(continuation)):
            if step:
                node = self.feed(continuation[step - 1 : step], node)
            out.append(tuple(self._edge(node, token) for token in among))
        return tuple(out)

    def _edge(self, node: int, token: int) -> int:
        return self._edges.setdefault((node, token), len(self._edges))

    def pack(self, *, end_ids: tuple[int, ...] = ()) -> tuple[Pack, list[int]]:
        """Return the depth-first pack, and the place of each edge number in it."""
        size = len(self._tokens)
        # The last lists are the roots': of no source, and before it of each source.
        tops = 1 + len(self._sources)
        below: list[list[int]] = [[] for _ in range(size + tops)]
        for node, parent in enumerate(self._parents):
            below[parent].append(node)
        order: list[int] = []
        place = np.empty(size + tops, dtype=np.int64)
        place[size:] = ROOT
        stack = [node for top in range(-tops, 0) for node in reversed(below[top])]
        while stack:
            node = stack.pop()
            place[node] = len(order)
            order.append(node)
            stack.extend(reversed(below[node]))
        old = np.asarray(order, dtype=np.int64)
        tokens = np.asarray(self._tokens, dtype=np.int64)[old]
        parents = place[np.asarray(self._parents, dtype=np.int64)[old]]
        depths = np.zeros(size, dtype=np.int64)
        ends = np.arange(1, size + 1, dtype=np.int64)
        parent_list = parents.tolist()
        depth_list = depths.tolist()
        end_list = ends.tolist()
        for i, parent in enumerate(parent_list):
            if parent != ROOT:
                depth_list[i] = depth_list[parent] + 1
        for i in range(size - 1, -1, -1):
            parent = parent_list[i]
            if parent != ROOT and end_list[i] > end_list[parent]:
                end_list[parent] = end_list[i]
        edges = list(self._edges)
        nodes = place[np.asarray([node for node, _ in edges], dtype=np.int64)]
        asked = np.asarray([token for _, token in edges], dtype=np.int64)
        sequence = np.lexsort((asked, nodes))
        where = np.empty(len(edges), dtype=np.int64)
        where[sequence] = np.arange(len(edges), dtype=np.int64)
        pack = Pack(
            token_ids=tokens,
            parents=parents,
            depths=np.asarray(depth_list, dtype=np.int64),
            ends=np.asarray(end_list, dtype=np.int64),
            edge_nodes=nodes[sequence],
            edge_tokens=asked[sequence],
            end_ids=end_ids,
            sources=tuple(self._sources),
            root_sources=tuple(
                source for source in range(len(self._sources)) for _ in below[ROOT - 1 - source]
            ),
        )
        assert not self._sources or not below[ROOT], "sequences with and without a source"
        return pack, where.tolist()


def pack_of_sequences(
    contexts: Sequence[Sequence[int]],
    continuations: Sequence[Sequence[int]],
    *,
    end_ids: tuple[int, ...] = (),
    score_end: Sequence[bool] | None = None,
    sources: Sequence[Sequence[int]] | None = None,
) -> tuple[Pack, list[tuple[int, ...]]]:
    """Return the pack of (context, continuation) pairs, and for each pair its edges in order.

    With `score_end[i]` the i-th pair's last edge asks for END; with `sources[i]` it stands below
    that x of an encoder. Equal prefixes below one source are one node and equal questions one edge.
    """
    trie = TokenTrie()
    asked: list[tuple[int, ...]] = []
    for i, (context, continuation) in enumerate(zip(contexts, continuations, strict=True)):
        with_end = score_end is not None and score_end[i]
        source = () if sources is None else sources[i]
        asked.append(trie.ask(context, continuation, with_end=with_end, source=source))
    pack, place = trie.pack(end_ids=end_ids)
    return pack, [tuple(place[edge] for edge in edges) for edges in asked]
