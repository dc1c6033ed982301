"""A pack through an executor and the head: the scores of its edges, in its own order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import torch

from logpr._types import IntEdges
from logpr.models._head import joined, reordered
from logpr.models.base import EdgeScores, Evidence
from logpr.models.hf.devices import exact_float32
from logpr.models.hf.head import Head
from logpr.models.hf.memory import named_lack
from logpr.models.hf.pieces import Executor, States, enough
from logpr.tokens.pack import Pack

_ROWS = 1024
"""Rows that the head is given at least, except the last: where few are read of each piece, each by
itself would be projected at a lower rate."""


@exact_float32()
def score_pack(executor: Executor, head: Head, pack: Pack, evidence: Evidence) -> EdgeScores:
    """Return the scores of the edges of `pack`.

    Args:
        executor: how the pack runs.
        head: of the same model.
        pack: no edge at ROOT.
        evidence: which columns are wanted.

    Raises:
        ModelOutputError: a row has no distribution (nan, +inf, nothing but −inf), or memory ran
            out for the least that can be run at once.
    """
    parts: list[EdgeScores] = []
    edges: list[IntEdges] = []
    with named_lack():
        for states in _gathered(executor.states(pack)):
            parts.append(head.score(states, pack.edge_tokens, pack.end_ids, evidence))
            edges.append(states.edges)
    if not parts:
        nothing = np.empty(0)
        return EdgeScores(nothing, logit=nothing, logz=nothing)
    order = np.argsort(np.concatenate(edges), kind="stable")
    assert len(order) == len(pack.edge_nodes), "every edge is read once"
    return reordered(joined(parts), order)


def _gathered(pieces: Iterable[States]) -> Iterator[States]:
    waiting: list[States] = []
    for states in pieces:
        waiting.append(states)
        if enough(waiting, _ROWS):
            yield _together(waiting)
            waiting = []
    if waiting:
        yield _together(waiting)


def _together(parts: list[States]) -> States:
    if len(parts) == 1:
        return parts[0]
    sizes = [len(part.rows) for part in parts]
    before = np.cumsum([0, *sizes[:-1]])
    return States(
        torch.cat([part.rows for part in parts]),
        np.concatenate([part.edges for part in parts]),
        np.concatenate(
            [part.row_of_edge + first for part, first in zip(parts, before, strict=True)]
        ),
    )
