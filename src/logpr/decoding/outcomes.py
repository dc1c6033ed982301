"""What may come next after some beginnings: rows of a model, read under the rules of a space."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float64

from logpr._types import IntNodes
from logpr.decoding.automaton import Automaton
from logpr.decoding.space import Space
from logpr.models.base import StepRows
from logpr.numerics import logsumexp

Column = Float64[np.ndarray, " prefixes"]


@dataclass(frozen=True, slots=True)
class Outcomes:
    """The next-token distributions of some beginnings, what is not allowed taken out.

    log Pr(token) = values − logz for tokens that are no end tokens and may follow; −inf for all
    others. `end` is log Pr(END) as one outcome and `ends` of each end token, −inf where an output
    may not end. `excluded` is the probability that the rules take out, `unnamed` what the model
    gives to no outcome, `hidden` what it gives to outcomes that it does not show; no one of these
    has a log-probability above `unseen`.
    """

    values: Float[np.ndarray, "prefixes vocab"]
    logz: Column
    end: Column
    ends: Float64[np.ndarray, "prefixes ends"]
    excluded: Column
    unnamed: Column
    hidden: Column
    unseen: Column

    @property
    def tokens_mass(self) -> Column:
        """Return the probability of all tokens that may follow, the hidden ones not among them."""
        rest = 1.0 - np.exp(self.end) - self.excluded - self.unnamed - self.hidden
        out: Column = np.maximum(rest, 0.0)
        return out

    def logprobs(self) -> Float64[np.ndarray, "prefixes vocab"]:
        """Return log Pr of every token that may follow: for a few rows."""
        out: Float64[np.ndarray, "prefixes vocab"] = np.minimum(
            self.values - self.logz[:, None], 0.0
        )
        return out


def read(
    space: Space, rows: StepRows, lengths: IntNodes, states: IntNodes | None = None
) -> Outcomes:
    """Return what may come next; the rows' own values are written into.

    Args:
        space: its rules.
        rows: after some beginnings.
        lengths: |y| of each beginning.
        states: of the constraint's automaton; None without one.
    """
    values, logz = rows.values, rows.logz
    count = len(values)
    named = np.exp(logsumexp(values) - logz) if _may_lack(rows) else np.ones(count)
    lacking = np.maximum(1.0 - named, 0.0)
    hides = np.zeros(count, dtype=bool) if rows.unseen is None else rows.unseen > -np.inf
    hidden, unnamed = np.where(hides, lacking, 0.0), np.where(hides, 0.0, lacking)
    columns = list(space.end_ids)
    ends = np.minimum(values[:, columns] - logz[:, None], 0.0).astype(np.float64)
    end = np.full(count, -np.inf)
    if columns:
        end = ends[:, 0].copy() if len(columns) == 1 else np.minimum(logsumexp(ends), 0.0)
    excluded = np.zeros(count)
    unseen = np.full(count, -np.inf) if rows.unseen is None else _unseen(rows.unseen, end, ends)
    if columns:
        values[:, columns] = -np.inf
    short = np.flatnonzero((lengths < space.min_tokens) & (end > -np.inf))
    if len(short) and space.min_length == "renormalise":
        logz, unnamed = logz.copy(), unnamed.copy()
        with np.errstate(divide="ignore"):
            rest = np.logaddexp(logsumexp(values[short]), logz[short] + np.log(unnamed[short]))
        # A row that holds nothing but END has nothing to share its probability out to.
        empty = rest == -np.inf
        excluded[short[empty]] = 1.0
        shared = short[~empty]
        unnamed[shared] *= np.exp(logz[shared] - rest[~empty])
        logz[shared] = rest[~empty]
    elif len(short):
        excluded[short] = np.exp(end[short])
    end[short] = -np.inf
    ends[short] = -np.inf
    if space.constraint is not None:
        assert states is not None, "a constraint has states"
        barred = np.array([not space.constraint.accepts(state) for state in states.tolist()])
        barred &= end > -np.inf
        excluded[barred] += np.exp(end[barred])
        end[barred] = -np.inf
        ends[barred] = -np.inf
        last = (lengths == space.max_tokens - 1) & (space.end == "open")
        values = _allowed(space.constraint, values, states, last)
        inside = np.exp(logsumexp(values) - logz)
        outside = 1.0 - inside - np.exp(end) - excluded - unnamed - hidden
        excluded += np.maximum(outside, 0.0)
    return Outcomes(values, logz, end, ends, excluded, unnamed, hidden, unseen)


def _may_lack(rows: StepRows) -> bool:
    """Return whether rows may name outcomes for less than all of the probability.

    Logits have a normaliser, and what they are normalised by is their own sum.
    """
    return rows.unseen is not None or not rows.logz.any()


def _unseen(unseen: Column, end: Column, ends: Float64[np.ndarray, "prefixes ends"]) -> Column:
    """Return what no hidden outcome has more than; END is one where a token of it is hidden."""
    hiding = np.count_nonzero(ends == -np.inf, axis=1)
    with np.errstate(divide="ignore"):
        most = np.logaddexp(end, unseen + np.log(hiding))
    out: Column = np.where(hiding > 0, np.maximum(unseen, np.minimum(most, 0.0)), unseen)
    return out


def _allowed(
    constraint: Automaton,
    values: Float[np.ndarray, "prefixes vocab"],
    states: IntNodes,
    last: Bool[np.ndarray, " prefixes"],
) -> Float[np.ndarray, "prefixes vocab"]:
    """Return the rows with −inf for all tokens that the constraint does not let follow.

    The token after a `last` row is the output's last one, and has to lead to where it may end.
    """
    out = np.full_like(values, -np.inf)
    for state in np.unique(states).tolist():
        tokens, after = constraint.steps(state)
        here = states == state
        inner, ending = np.flatnonzero(here & ~last)[:, None], np.flatnonzero(here & last)[:, None]
        out[inner, tokens] = values[inner, tokens]
        if len(ending):
            tokens = tokens[[constraint.accepts(other) for other in after.tolist()]]
            out[ending, tokens] = values[ending, tokens]
    return out


def states_after(constraint: Automaton, states: IntNodes, tokens: IntNodes) -> IntNodes:
    """Return the automaton's states after one token more each.

    Args:
        constraint: whose states they are.
        states: before.
        tokens: that may follow.
    """
    out = np.empty_like(states)
    for state in np.unique(states).tolist():
        places = np.flatnonzero(states == state)
        known, after = constraint.steps(state)
        out[places] = after[np.searchsorted(known, tokens[places])]
    return out
