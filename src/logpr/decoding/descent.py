"""The way down the tree that draws take, level by level, and the leaves that it ends in.

A leaf is an output; or a beginning of `max_tokens` tokens after which END did not come, all the
tokens that could follow being one leaf together; or a beginning after which nothing is allowed. The
first are `finished`, the others are not.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
from jaxtyping import Float64

from logpr._types import FloatPrefixesVocab, IntNodes
from logpr.decoding.outcomes import read
from logpr.decoding.proposal import Proposal
from logpr.decoding.space import Space
from logpr.models.base import Stepper, StepRows
from logpr.numerics import logsumexp

ENTRIES = 2**22
"""Entries of rows that are looked at at once: 32 MiB of float64, whatever the vocabulary."""

NOTHING = -1
"""The outcome of a step in which nothing is allowed."""

OutcomeRows: TypeAlias = Float64[np.ndarray, "prefixes outcomes"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Draw:
    """One leaf that was drawn.

    `logprob` is log Pr under the model: of the output, or where it is not `finished` of the
    beginning. `proposal_logprob` is log q of the leaf. `gumbel` is that plus noise, without
    replacement.
    """

    token_ids: tuple[int, ...]
    token_logprobs: tuple[float, ...]
    end_logprob: float | None
    finished: bool
    proposal_logprob: float
    gumbel: float | None = None

    @property
    def logprob(self) -> float:
        """Return Σ token_logprobs + end_logprob."""
        return math.fsum([*self.token_logprobs, self.end_logprob or 0.0])


@dataclass(frozen=True, slots=True)
class Beginning:
    """Tokens with room for more, after a node of the stepper that is one shorter."""

    token_ids: tuple[int, ...] = ()
    token_logprobs: tuple[float, ...] = ()
    parent: int = NOTHING
    state: int = 0
    proposal: float = 0.0
    gumbel: float | None = None


@dataclass(frozen=True, slots=True)
class Steps:
    """What may come next after some beginnings of one length.

    `logprobs` and `q` have a column for each token; END has the first of its own. At `last`, where
    no token has room, the columns are END, and all that is not END.
    """

    space: Space
    beginnings: Sequence[Beginning]
    nodes: IntNodes
    logprobs: OutcomeRows
    q: OutcomeRows
    end: int
    last: bool

    def child(self, place: int, outcome: int, gumbel: float | None = None) -> Beginning | Draw:
        """Return what a beginning becomes.

        Args:
            place: of the beginning.
            outcome: the column that was drawn, or NOTHING.
            gumbel: the sum that was drawn for it.
        """
        before = self.beginnings[place]
        leaf = Draw(
            token_ids=before.token_ids,
            token_logprobs=before.token_logprobs,
            end_logprob=None,
            finished=False,
            proposal_logprob=before.proposal,
            gumbel=gumbel,
        )
        if outcome == NOTHING:
            return leaf
        proposal = before.proposal + float(self.q[place, outcome])
        leaf = replace(leaf, proposal_logprob=proposal)
        if outcome == self.end:
            end_logprob = float(self.logprobs[place, outcome])
            return replace(leaf, end_logprob=end_logprob, finished=True)
        if self.last:
            return leaf
        tokens = (*before.token_ids, outcome)
        logprobs = (*before.token_logprobs, float(self.logprobs[place, outcome]))
        constraint = self.space.constraint
        state = 0
        if constraint is not None:
            known, after = constraint.steps(before.state)
            state = int(after[np.searchsorted(known, outcome)])
        if self.space.ended or len(tokens) < self.space.max_tokens:
            parent = int(self.nodes[place])
            return Beginning(tokens, logprobs, parent, state, proposal, gumbel)
        # Of last tokens `read` leaves those alone that lead to where an output may end.
        return replace(leaf, token_ids=tokens, token_logprobs=logprobs, finished=True)


class Descent:
    """Goes down the tree of beginnings, a level at a time, and holds the nodes of one level."""

    __slots__ = ("_held", "_proposal", "_size", "_space", "_stepper", "expansions")

    def __init__(self, stepper: Stepper, space: Space, proposal: Proposal) -> None:
        self._stepper = stepper
        self._space = space
        self._proposal = proposal
        self._held: IntNodes = np.empty(0, dtype=np.int64)
        self._size = 1
        self.expansions = 0

    def steps(self, level: Sequence[Beginning]) -> Iterator[tuple[int, Steps]]:
        """Yield the steps after all beginnings of one length, some at a time, and where they begin.

        Args:
            level: the empty beginning alone, or children of the level before.
        """
        held: list[IntNodes] = []
        for first in range(0, len(level), self._size):
            part = level[first : first + self._size]
            if part[0].token_ids:
                parents = np.array([one.parent for one in part])
                tokens = np.array([one.token_ids[-1] for one in part])
                nodes, rows = self._stepper.extend(parents, tokens)
                held.append(nodes)
            else:
                nodes, rows = np.array([self._stepper.root]), self._stepper.start()
                self._size = max(1, ENTRIES // rows.values.shape[1])
                if self._space.constraint is not None:
                    part = [replace(part[0], state=self._space.constraint.start)]
            self.expansions += len(part)
            yield first, self._read(part, nodes, rows)
        self.release()
        self._held = np.concatenate(held) if held else self._held

    def release(self) -> None:
        """Let the nodes of the last level go."""
        if len(self._held):
            self._stepper.release(self._held)
        self._held = self._held[:0]

    def _read(self, part: Sequence[Beginning], nodes: IntNodes, rows: StepRows) -> Steps:
        space = self._space
        length = len(part[0].token_ids)
        states = np.array([one.state for one in part])
        outcomes = read(space, rows, np.full(len(part), length), states)
        end = space.end_ids[0] if space.ended else NOTHING
        logprobs = outcomes.logprobs()
        if space.ended:
            logprobs[:, end] = outcomes.end
        q = self._proposal.logprobs(logprobs)
        last = space.ended and length == space.max_tokens
        if last:
            logprobs, q, end = _end_or_not(logprobs, end), _end_or_not(q, end), 0
        return Steps(space, part, nodes, logprobs, q, end, last)


def _end_or_not(logprobs: FloatPrefixesVocab, end: int) -> OutcomeRows:
    """Return the columns END and all that is not END."""
    ending = logprobs[:, end].copy()
    logprobs[:, end] = -np.inf
    return np.stack([ending, logsumexp(logprobs)], axis=1)
