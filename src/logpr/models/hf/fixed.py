"""The head in products of fixed shape: a row's scores do not depend on the rows beside it."""

from __future__ import annotations

import dataclasses

import torch
from jaxtyping import Float

from logpr._types import IntEdges
from logpr.models._head import joined
from logpr.models.base import EdgeScores, Evidence
from logpr.models.hf.head import Head, Logits, Rows
from logpr.models.hf.pieces import States
from logpr.models.hf.tiles import ROWS

_WHOLE = 64
"""Rows in a product where whole rows of logits are wanted: `ROWS` of them could be large."""


class FixedHead(Head):
    """A head whose products have `ROWS` rows, or `_WHOLE` for whole rows, some of them padding."""

    __slots__ = ()

    @classmethod
    def like(cls, head: Head) -> FixedHead:
        """Return a head with the same weights.

        Args:
            head: any.
        """
        return cls(*(getattr(head, field.name) for field in dataclasses.fields(head)))

    def logits(self, rows: Rows) -> Logits:
        """Return whole rows of logits, at least float32.

        Args:
            rows: states, few enough for the memory at hand.
        """
        parts = [rows[start : start + _WHOLE] for start in range(0, len(rows), _WHOLE)]
        return torch.cat([Head.logits(self, _filled(part, _WHOLE))[: len(part)] for part in parts])

    def score(
        self,
        states: States,
        edge_tokens: IntEdges,
        end_ids: tuple[int, ...],
        evidence: Evidence,
    ) -> EdgeScores:
        """Return the scores of the edges that `states` are for: see `Head.score`.

        Args:
            states: rows, and which edges of the pack are read in which.
            edge_tokens: the token that each edge of the pack asks for, or END.
            end_ids: the tokens that are END together.
            evidence: which columns are wanted.

        Raises:
            ModelOutputError: a row has no distribution; names an edge of the pack.
            QueryError: an edge asks for END and there are no end ids.
        """
        parts: list[EdgeScores] = []
        for start in range(0, len(states.rows), ROWS):
            some = states.part(start, start + ROWS)
            filled = dataclasses.replace(some, rows=_filled(some.rows, ROWS))
            parts.append(Head.score(self, filled, edge_tokens, end_ids, evidence))
        return joined(parts)


def _filled(rows: Rows, count: int) -> Float[torch.Tensor, "_ width"]:
    """Return `count` rows: the last one stands again in the places left over."""
    return torch.cat([rows, rows[-1:].expand(count - len(rows), -1)])
