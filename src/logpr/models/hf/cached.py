"""The executor `cache`: batches of rows of one length, going on from what their prefixes left.

For networks whose siblings cannot lie in one row (ALiBi, no position ids, state-space layers). All
rows of a batch have as many tokens behind them and as many to come, so there is no padding and no
mask, and the network runs by its own code. A prefix runs once: where the trie branches, what it
left in the layers is duplicated to its children.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int64

from logpr._types import IntEdges, IntNodes
from logpr.errors import ModelOutputError
from logpr.models.hf.caches import bytes_of, selected
from logpr.models.hf.memory import out_of_memory
from logpr.models.hf.pieces import Executor, States, enough
from logpr.tokens.pack import ROOT, Pack

_LONG = 32
"""Tokens that take a network about as long as one: its weights are read once either way. A run of
this many loses nothing in a batch of its own."""

_Fed = Int64[np.ndarray, "batch tokens"]
_Rows = Float[torch.Tensor, "batch tokens width"]


@runtime_checkable
class CachedTrunk(Protocol):
    """A network that can go on from prefixes that it has read before."""

    def __call__(self, token_ids: _Fed, cache: object) -> tuple[_Rows, object]:
        """Return the state after each token, and the cache of all tokens so far.

        Args:
            token_ids: the next tokens of each row; all rows have as many tokens before them.
            cache: what a call returned for the tokens before them, or rows of it picked by
                `caches.selected`; None at the start. The caller gives it up: it may be changed in
                place.
        """
        ...


@dataclass(frozen=True, slots=True)
class Cached:
    """Runs a pack in batches, each prefix once.

    `tokens` bounds the tokens of a batch (one row of one token is the least), and `room` the bytes
    of the caches that wait beside it: a prefix whose cache has to go for others runs again. A batch
    has at most `rows` rows. With `steps` the network goes on from a cache by one token at a time
    only, as some recurrent layers do, so that a long run costs less read again with its prefix.
    What is read at depth `limit` and beyond goes to `plain`.
    """

    trunk: CachedTrunk
    plain: Executor
    tokens: int = 1024
    room: int = 2**28
    rows: int = 2**10
    steps: bool = False
    limit: int | None = None

    @property
    def name(self) -> str:
        """Return what `executor=` calls it."""
        return "cache"

    def states(self, pack: Pack) -> Iterator[States]:
        """Yield the states of about `tokens` rows at a time.

        Raises:
            ModelOutputError: memory ran out for the smallest batch; larger ones are divided.
        """
        beyond = np.zeros(len(pack.edge_nodes), dtype=np.bool_)
        if self.limit is not None:
            beyond = pack.depths[pack.edge_nodes] >= self.limit
        near, far = np.flatnonzero(~beyond), np.flatnonzero(beyond)
        for states in self._runs(_asking(pack, near)):
            yield replace(states, edges=near[states.edges])
        if len(far):
            for states in self.plain.states(_asking(pack, far)):
                yield replace(states, edges=far[states.edges])

    def _runs(self, pack: Pack) -> Iterator[States]:
        tree = _Tree.of(pack)
        gathered: list[States] = []
        for fed, rows in _Walk(self, tree).runs():
            gathered.append(tree.read(fed, rows))
            # The head reads all of its weights for one row as for hundreds.
            if enough(gathered, self.tokens):
                yield _joined(gathered)
                gathered.clear()
        if gathered:
            yield _joined(gathered)


def _asking(pack: Pack, edges: IntEdges) -> Pack:
    """Return the same nodes with some of the edges."""
    return replace(pack, edge_nodes=pack.edge_nodes[edges], edge_tokens=pack.edge_tokens[edges])


def _joined(parts: list[States]) -> States:
    starts = np.cumsum([0, *(len(one.rows) for one in parts)]).tolist()
    row_of_edge = [one.row_of_edge + start for one, start in zip(parts, starts, strict=False)]
    return States(
        torch.cat([one.rows for one in parts]),
        np.concatenate([one.edges for one in parts]),
        np.concatenate(row_of_edge),
    )


@dataclass(frozen=True, slots=True)
class _Tree:
    """The nodes of a pack that something is read at or below, and where each run of them ends.

    Node i is in a run of only children that ends at `lasts[i]`: a leaf, or where the trie branches.
    Edges `edge_starts[i]` up to `edge_stops[i]` are read after it.
    """

    token_ids: IntNodes
    parents: IntNodes
    depths: IntNodes
    ends: IntNodes
    lasts: IntNodes
    edge_starts: IntNodes
    edge_stops: IntNodes

    @classmethod
    def of(cls, pack: Pack) -> _Tree:
        starts = np.searchsorted(pack.edge_nodes, np.arange(len(pack) + 1))
        nodes = np.flatnonzero(starts[pack.ends] > starts[:-1])
        size = len(nodes)
        parents = pack.parents[nodes]
        parents = np.where(parents == ROOT, ROOT, np.searchsorted(nodes, parents))
        children = np.bincount(parents[parents != ROOT], minlength=size)
        # Depth-first, an only child comes right after its parent: the next end is the run's own.
        ends_here = np.where(children == 1, size, np.arange(size))
        return cls(
            token_ids=pack.token_ids[nodes],
            parents=parents,
            depths=pack.depths[nodes],
            ends=np.searchsorted(nodes, pack.ends[nodes]),
            lasts=np.minimum.accumulate(ends_here[::-1])[::-1],
            edge_starts=starts[nodes],
            edge_stops=starts[nodes + 1],
        )

    def children(self, node: int) -> list[int]:
        """Return the nodes right after one; after ROOT, the first of all sequences."""
        first, stop = node + 1, len(self.ends) if node == ROOT else int(self.ends[node])
        out: list[int] = []
        while first < stop:
            out.append(first)
            first = int(self.ends[first])
        return out

    def paths(self, nodes: Iterable[int]) -> _Fed:
        """Return the token ids from the start through each node; all are at one depth."""
        out: list[list[int]] = []
        for last in nodes:
            node, path = last, []
            while node != ROOT:
                path.append(int(self.token_ids[node]))
                node = int(self.parents[node])
            out.append(path[::-1])
        return np.asarray(out, dtype=np.int64)

    def read(self, fed: _Fed, rows: _Rows) -> States:
        """Return the states that edges are read from, of those after the nodes of a batch."""
        nodes = fed.reshape(-1)
        counts = self.edge_stops[nodes] - self.edge_starts[nodes]
        read = np.flatnonzero(counts)
        row_of_edge = np.repeat(np.arange(len(read)), counts[read])
        within = np.arange(len(row_of_edge)) - (np.cumsum(counts[read]) - counts[read])[row_of_edge]
        chosen = rows.reshape(len(nodes), -1)[torch.from_numpy(read).to(rows.device)]
        return States(chosen, self.edge_starts[nodes[read]][row_of_edge] + within, row_of_edge)


@dataclass(slots=True, eq=False)
class _Held:
    """The cache of a batch that ran up to the nodes `lasts`, for the batches that go on from it.

    It is None where it had to go for others.
    """

    cache: object
    lasts: list[int]
    nbytes: int
    waiting: int = 0


@dataclass(frozen=True, slots=True)
class _Batch:
    """The nodes that come next, each in a row of its own, and the row of `held` before each."""

    nodes: list[int]
    rows: list[int]
    held: _Held


class _Walk:
    """Depth-first over batches: what was reached last goes on first, so that little waits."""

    __slots__ = ("_set", "_stack", "_tokens", "_tree")

    def __init__(self, settings: Cached, tree: _Tree) -> None:
        self._set = settings
        self._tokens = settings.tokens  # halved where memory runs out
        self._tree = tree
        self._stack: list[_Batch] = []

    def runs(self) -> Iterator[tuple[_Fed, _Rows]]:
        """Yield the nodes of each run of the network, and the states after them."""
        tree = self._tree
        self._push(_Held(None, [ROOT], 0))
        while self._stack:
            batch = self._stack.pop()
            first = np.asarray(batch.nodes)
            run = int((tree.lasts[first] - first).min()) + 1
            if not self._set.steps:
                run = min(run, max(1, self._tokens // len(first)))
            fed = first[:, None] + np.arange(run)
            try:
                rows, cache = self._forward(batch, fed)
            except Exception as error:
                if not out_of_memory(error):
                    raise
                self._divide(batch, fed.shape[1], error)
                continue
            yield fed, rows
            self._push(_Held(cache, fed[:, -1].tolist(), bytes_of(cache)))
            del cache
            self._make_room()

    def _push(self, held: _Held) -> None:
        """Put what comes after the last nodes of a batch on the stack."""
        lengths: dict[int, list[tuple[int, int, int]]] = {}
        for row, last in enumerate(held.lasts):
            for node in self._tree.children(last):
                run = int(self._tree.lasts[node]) - node + 1
                # Short runs go together as far as the shortest of them, and on without it: then
                # there are no more calls than levels, however the trie branches.
                lengths.setdefault(run if run >= _LONG else 0, []).append((run, node, row))
        left = self._set.room - self._waiting_bytes() - held.nbytes
        for kind in sorted(lengths, reverse=True):
            found = sorted(lengths[kind])
            while found:
                count = self._rows_at_once(held, found[0][0], left)
                part, found = found[:count], found[count:]
                self._stack.append(_Batch([one[1] for one in part], [one[2] for one in part], held))
                held.waiting += 1

    def _rows_at_once(self, held: _Held, run: int, left: int) -> int:
        count = max(1, self._tokens // run)
        if held.nbytes:
            depth = int(self._tree.depths[held.lasts[0]]) + 1
            grown = held.nbytes / len(held.lasts) * (depth + min(run, self._tokens)) / depth
            count = min(count, int(left / grown))
        return max(1, min(count, self._set.rows))

    def _forward(self, batch: _Batch, fed: _Fed) -> tuple[_Rows, object]:
        """Return the states after the nodes of a batch, and the cache of all tokens so far."""
        trunk, ids, held = self._set.trunk, self._tree.token_ids[fed], batch.held
        held.waiting -= 1
        if held.lasts == [ROOT]:
            return trunk(ids, None)
        if not self._set.steps:
            return trunk(ids, self._resumed(batch))
        count, run = fed.shape
        depth = int(self._tree.depths[fed[0, 0]])
        if count * (depth + run) <= run * max(count, _LONG):
            rows, cache = trunk(self._tree.paths(fed[:, -1].tolist()), None)
            return rows[:, depth:], cache
        cache = self._resumed(batch)
        each: list[torch.Tensor] = []
        for place in range(run):
            rows, cache = trunk(ids[:, place : place + 1], cache)
            each.append(rows)
        return torch.cat(each, dim=1), cache

    def _divide(self, batch: _Batch, run: int, error: Exception) -> None:
        """Put a batch for which there was no memory back, in two; or its one row, in more runs."""
        count, held = len(batch.nodes), batch.held
        if count == 1 and (run <= _LONG or self._set.steps):
            msg = (
                f"there is no memory for {run} tokens at once: give less, or a smaller model, or "
                f"another dtype"
            )
            raise ModelOutputError(msg) from error
        self._tokens = max(_LONG, self._tokens // 2)
        held.cache = None  # it may have been changed in part
        for part in (slice(0, count // 2), slice(count // 2, count)):
            if batch.nodes[part]:
                self._stack.append(_Batch(batch.nodes[part], batch.rows[part], held))
                held.waiting += 1

    def _resumed(self, batch: _Batch) -> object:
        """Return the cache that a batch goes on from; the last batch of several may have all."""
        held, rows = batch.held, np.asarray(batch.rows)
        if held.cache is None:
            needed, rows = np.unique(rows, return_inverse=True)
            cache = self._again([held.lasts[row] for row in needed.tolist()])
        else:
            cache = held.cache
            if held.waiting:
                return selected(cache, rows)
            held.cache = None
            needed = np.arange(len(held.lasts))
        return cache if np.array_equal(rows, np.arange(len(needed))) else selected(cache, rows)

    def _again(self, lasts: list[int]) -> object:
        """Return the cache of prefixes that ran before, from their first token on."""
        paths = self._tree.paths(lasts)
        # What goes on by single tokens reads a prefix all at once, or it would be done one by one.
        step = paths.shape[1] if self._set.steps else max(1, self._tokens // len(paths))
        cache: object = None
        for start in range(0, paths.shape[1], step):
            _, cache = self._set.trunk(paths[:, start : start + step], cache)
        return cache

    def _waiting(self) -> list[_Held]:
        return list({id(batch.held): batch.held for batch in self._stack}.values())

    def _waiting_bytes(self) -> int:
        return sum(held.nbytes for held in self._waiting() if held.cache is not None)

    def _make_room(self) -> None:
        """Let go of caches until those that wait fit, but for the one that is needed next."""
        total = self._waiting_bytes()
        for held in self._waiting()[:-1]:  # the first one on the stack is needed last
            if total <= self._set.room:
                return
            if held.cache is not None:
                held.cache = None
                total -= held.nbytes
