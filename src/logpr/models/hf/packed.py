"""Executors that run many sequences in one row, piece by piece."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch

from logpr.models.hf.memory import out_of_memory
from logpr.models.hf.pieces import Executor, States, pieces
from logpr.tokens.pack import Pack

_LEAST = 32
"""Nodes of a piece that is not cut any more: too little memory for it is too little for any."""


@dataclass(frozen=True, slots=True)
class Packed:
    """Runs each piece of a pack in one forward pass.

    A piece of more than `limit` nodes (a length beyond which the packed run is not known to be
    right) goes to `plain`. One for which memory runs out is cut in two, unless it is one path.
    """

    name: str
    run: Callable[[Pack], torch.Tensor]
    plain: Executor
    budget: int
    limit: int | None = None

    def states(self, pack: Pack) -> Iterator[States]:
        """Yield the states of each piece in turn."""
        budget = self.budget if self.limit is None else min(self.budget, self.limit)
        for piece in pieces(pack, budget=budget, limit=self.limit):
            if self.limit is not None and len(piece.pack) > self.limit:
                for states in self.plain.states(piece.pack):
                    yield States(states.rows, piece.edges[states.edges], states.row_of_edge)
                continue
            nodes, row_of_edge = np.unique(piece.pack.edge_nodes, return_inverse=True)
            try:
                rows = self.run(piece.pack)
            except Exception as error:
                if not out_of_memory(error) or len(piece.pack) <= _LEAST:
                    raise
                half = replace(self, budget=len(piece.pack) // 2)
                for states in half.states(piece.pack):
                    yield States(states.rows, piece.edges[states.edges], states.row_of_edge)
                continue
            yield States(rows[torch.from_numpy(nodes).to(rows.device)], piece.edges, row_of_edge)
