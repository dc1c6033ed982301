"""The executor `forest` in passes of fixed shape: no score depends on what it is computed beside.

Libraries choose their arithmetic by the shape of a product: a row's result differs in its last bits
between a matrix of 5 rows and one of 500. Here every pass has `ROWS` rows and every product of
attention one shape, so that a token's states are the same bits in any company, order, window, span
or state of the store. That a row's bits depend on neither its place nor its neighbours is tried at
load, by `company`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence

import numpy as np
import torch

from logpr.errors import ModelOutputError
from logpr.models.hf.forest import Forest
from logpr.models.hf.kept import PrefixStore
from logpr.models.hf.memory import out_of_memory
from logpr.models.hf.pieces import States, read_part
from logpr.models.hf.spans import Spanned
from logpr.models.hf.tiles import ROWS
from logpr.models.hf.walk import Walk
from logpr.tokens.pack import Pack

NAME = "forest, batch-invariant"
"""What provenance calls it."""


class Invariant(Spanned):
    """Runs a pack in passes of `ROWS` rows, and hands out states `ROWS` at a time.

    `limit` is the length beyond which the run is not known to be right; None where there is none.
    """

    __slots__ = ("limit",)

    def __init__(
        self, forest: Forest, *, limit: int | None = None, store: PrefixStore | None = None
    ) -> None:
        super().__init__(forest, budget=ROWS, kept_bytes=sys.maxsize, store=store)
        self.limit = limit

    def states(self, pack: Pack) -> Iterator[States]:
        """Yield the states that are read, `ROWS` at a time, at the end what is left."""
        walk = Walk(read_part(pack), self.store)
        waiting: list[States] = []
        while walk.left:
            try:
                states = self._span(walk, ROWS)
            except Exception as error:
                if not out_of_memory(error):
                    raise
                msg = (
                    f"there is no memory for the {ROWS} tokens of a batch-invariant pass: leave "
                    f"batch_invariant out, or take a smaller model, or another dtype"
                )
                raise ModelOutputError(msg) from error
            if states is None:
                continue
            waiting.append(states)
            if sum(len(one.rows) for one in waiting) >= ROWS:
                whole = _joined(waiting)
                yield whole.part(0, ROWS)
                rest = whole.part(ROWS, len(whole.rows))
                waiting = [rest] if len(rest.rows) else []
        if waiting:
            yield _joined(waiting)


def _joined(parts: Sequence[States]) -> States:
    starts = np.cumsum([0, *(len(one.rows) for one in parts)])
    return States(
        torch.cat([one.rows for one in parts]),
        np.concatenate([one.edges for one in parts]),
        np.concatenate([one.row_of_edge + at for one, at in zip(parts, starts, strict=False)]),
    )
