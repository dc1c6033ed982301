"""The executor `forest` over packs of any size: spans of rows, what lies above them kept.

A pack is cut anywhere in its depth-first order. What a span sees of the rows before it are the
ancestors of its first node, so their keys and values alone are held from span to span; a prefix
longer than a span is fed in chunks, and a finished subtree leaves nothing. With a store, keys
and values of past calls are seen in the same way, and no prefix is fed twice.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from logpr.errors import ModelOutputError
from logpr.models.hf.forest import Forest
from logpr.models.hf.kept import PrefixStore
from logpr.models.hf.memory import out_of_memory
from logpr.models.hf.pieces import States, read_part
from logpr.models.hf.walk import Walk
from logpr.tokens.pack import Pack
from logpr.tokens.trie import pack_of_sequences

BUDGET = 1024
"""Rows of a span: matrix products are as fast as they get, and what a span needs stays small."""

KEPT_BYTES = 2**30
"""Keys and values of the active path; a longer path is fed again instead."""

_LEAST = 32
"""Rows of the shortest span that memory errors lead to."""


class Spanned:
    """Runs a pack span by span through `forest`.

    `store` is where keys and values of past calls are looked up and left; None keeps nothing.
    """

    __slots__ = ("_forest", "_token_bytes", "budget", "kept_bytes", "store")

    def __init__(
        self,
        forest: Forest,
        *,
        budget: int = BUDGET,
        kept_bytes: int = KEPT_BYTES,
        store: PrefixStore | None = None,
    ) -> None:
        self._forest = forest
        self._token_bytes = 0  # of one token's keys and values; known once some were held
        self.budget = budget
        self.kept_bytes = kept_bytes
        self.store = store

    @property
    def name(self) -> str:
        """Return what `executor=` calls it."""
        return "forest"

    @property
    def forest(self) -> Forest:
        """Return what runs the rows of a span."""
        return self._forest

    @contextmanager
    def storing(self, store: PrefixStore | None) -> Iterator[None]:
        """Use another store inside the block.

        Args:
            store: None keeps nothing.
        """
        own = self.store
        self.store = store
        try:
            yield
        finally:
            self.store = own

    def surely_held(self, room: int) -> int:
        """Return of how many tokens a store holds what the last calls used, whatever their spans.

        A span is held or dropped whole, so one of which little is in use (a header that other
        queries went behind) may take its whole length from the rest.

        Args:
            room: bytes of the store.
        """
        room = min(room, self.kept_bytes)  # a longer path is fed again, held or not
        if not room:
            return 0
        if not self._token_bytes:
            one, _ = pack_of_sequences([(0,)], [(0,)])
            _, keys = self._forest.run(one, everything=True)
            assert keys is not None, "everything is kept"
            self._token_bytes = keys.nbytes
        tokens = room // self._token_bytes
        return tokens - min(self.budget, tokens // 2)

    def states(self, pack: Pack) -> Iterator[States]:
        """Yield the states of each span in turn."""
        walk = Walk(read_part(pack), self.store)
        while walk.left:
            budget = self.budget
            try:
                states = self._span(walk, budget)
            except Exception as error:
                if not out_of_memory(error):
                    raise
                if budget <= _LEAST:
                    msg = (
                        f"there is no memory for {budget} tokens at once: give less, or a smaller "
                        f"model, or another dtype"
                    )
                    raise ModelOutputError(msg) from error
                self.budget = max(_LEAST, budget // 2)
                continue
            if states is not None:
                yield states

    def _span(self, walk: Walk, budget: int) -> States | None:
        """Run the next rows of a walk, and take note of what the rows after them will need."""
        again = walk.above if walk.again else walk.above[:0]
        # At least as many new rows as old ones, so that the work stays within a factor; and spans
        # of one length, since a short last one would be multiplied at a lower rate.
        count = max(budget - len(again), len(again), 1)
        count = math.ceil(walk.left / math.ceil(walk.left / count))
        nodes = np.concatenate([again, walk.rows[walk.at : walk.at + count]])
        first, stop = int(nodes[len(again)]), int(nodes[-1]) + 1
        store = walk.store
        everything = store is not None and len(nodes) * self._token_bytes <= store.room
        path = walk.path_after(count)
        keep = np.searchsorted(nodes, path[np.isin(path, nodes)])
        fits = len(path) * self._token_bytes <= self.kept_bytes
        states, keys = self._forest.run(
            walk.part(nodes),
            pasts=walk.pasts(nodes),
            keep=keep if fits and len(keep) else None,
            everything=everything,
            room=budget,
        )
        # Before the walk goes on: where memory runs out here, the span runs again.
        read = walk.states_of(states, nodes, first, stop)
        if keys is not None:
            held = len(nodes) if everything else len(keep)
            self._token_bytes = max(self._token_bytes, -(-keys.nbytes // held))
            fits = len(path) * self._token_bytes <= self.kept_bytes
        walk.step(count, path)
        if not fits:
            walk.forget()
        elif keys is not None and len(keep):
            walk.hold(keys, nodes[keep], keep if everything else np.arange(len(keep)))
        if everything and keys is not None:
            walk.leave(keys, nodes)
        return read
