"""Beginnings whose next-token distributions were just computed, and the children they have."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64

from logpr._types import FloatVocab, IntNodes
from logpr.decoding.outcomes import Outcomes, read
from logpr.decoding.space import Space
from logpr.models.base import StepRows

Column = Float64[np.ndarray, " prefixes"]
Rows = Bool[np.ndarray, " prefixes"]


@dataclass(frozen=True, slots=True)
class Batch:
    """Beginnings: their nodes, |y|, log Pr, the same with biases, and what may come next."""

    nodes: IntNodes
    lengths: IntNodes
    logprobs: Column
    totals: Column
    states: IntNodes
    outcomes: Outcomes

    @property
    def mass(self) -> Column:
        """Return the probability of each beginning."""
        out: Column = np.exp(self.logprobs)
        return out


def root_batch(space: Space, root: int, rows: StepRows) -> Batch:
    """Return the empty beginning.

    Args:
        space: the outputs.
        root: its node.
        rows: the distribution after the prompt.
    """
    state = 0 if space.constraint is None else space.constraint.start
    lengths, states = np.zeros(1, dtype=np.int64), np.array([state])
    return Batch(
        nodes=np.array([root]),
        lengths=lengths,
        logprobs=np.zeros(1),
        totals=np.zeros(1),
        states=states,
        outcomes=read(space, rows, lengths, states),
    )


def bounds_of(space: Space, totals: Column) -> Column:
    """Return what no output that a beginning leads to has a higher score than.

    Args:
        space: the outputs.
        totals: of the beginnings.
    """
    return space.objective.bounds(totals, longest=space.max_tokens, ended=space.ended)


def bias_of(space: Space, vocab: int) -> FloatVocab | None:
    """Return the bias of every token; None where there is none.

    Args:
        space: the outputs.
        vocab: how many tokens there are.
    """
    if not space.bias:
        return None
    out = np.zeros(vocab)
    for token, nats in space.bias:
        out[token] = nats
    return out


@dataclass(frozen=True, slots=True)
class Children:
    """Tokens after rows of a batch: log Pr of each beginning that is one longer, and its total."""

    rows: IntNodes
    tokens: IntNodes
    logprobs: Column
    totals: Column


def children_of(
    batch: Batch, chosen: Rows, least: float, bias: FloatVocab | None = None
) -> Children:
    """Return the children of some rows whose total is above `least`, and few that are not.

    Args:
        batch: beginnings.
        chosen: which of them.
        least: to be above.
        bias: of every token.
    """
    out = batch.outcomes
    thresholds = np.where(chosen, least - batch.totals + out.logz, np.inf)
    values = out.values if bias is None else out.values + bias
    # Rounded down, so that comparing in the rows' own type loses no child.
    lowest = np.array(-np.inf, dtype=values.dtype)
    with np.errstate(over="ignore"):
        narrow = np.nextafter(thresholds.astype(values.dtype), lowest)
    narrow[~chosen] = np.inf
    rows, tokens = np.nonzero(values > narrow[:, None])
    steps = np.minimum(out.values[rows, tokens].astype(np.float64) - out.logz[rows], 0.0)
    totals = batch.totals[rows] + steps
    if bias is not None:
        totals += bias[tokens]
    return Children(rows, tokens, batch.logprobs[rows] + steps, totals)
