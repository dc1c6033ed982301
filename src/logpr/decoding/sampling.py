"""Drawing outputs, with and without replacement, each with the probability it was drawn by.

Without replacement: stochastic beam search (Kool, van Hoof and Welling 2019, Stochastic Beams and
Where to Find Them). Log q of every leaf gets Gumbel noise of its own; the leaves with the largest
sums are a sample without replacement, in its order. The sums are drawn from the root downwards, the
largest below each beginning first, so that the others are never looked at.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from jaxtyping import Float64

from logpr._types import IntNodes
from logpr._values.decoding import Stopped
from logpr.decoding.descent import NOTHING, Beginning, Descent, Draw, OutcomeRows, Steps
from logpr.decoding.limits import Clock
from logpr.decoding.proposal import Proposal
from logpr.decoding.space import Space
from logpr.errors import QueryError
from logpr.models.base import Stepper
from logpr.numerics import log1mexp

__all__ = ["Draw", "Draws", "sample", "sample_without_replacement"]

Column: TypeAlias = Float64[np.ndarray, " prefixes"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Draws:
    """Leaves in the order they were drawn in: without replacement, by falling `gumbel`.

    `expansions` counts the beginnings whose next-token distribution was looked at. The rest is of
    draws without replacement: `kappa` is the sum that the next leaf has, −inf where there is none,
    and `exhausted` says that there were fewer than asked for. Where q is the model, the sum of
    f(y)·Pr(y) / (1 − exp(−exp(log q(y) − kappa))) over the draws has the expectation Σ f(y)·Pr(y).
    """

    outputs: tuple[Draw, ...]
    expansions: int
    stopped: Stopped = "finished"
    """Where the clock ended it, draws that were still on their way are left out."""
    kappa: float | None = None
    exhausted: bool = False


def sample(
    stepper: Stepper,
    space: Space,
    *,
    count: int,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    seed: int,
    clock: Clock | None = None,
) -> Draws:
    """Return independent draws; all go on together, and those that begin alike as one.

    Args:
        stepper: of the prompt.
        space: which outputs there are.
        count: draws.
        temperature: this and the next two make q, see `Proposal`.
        top_k: outcomes that are kept at each step.
        top_p: their probability.
        seed: equal seeds draw the same.
        clock: says when to stop; never by default.

    Raises:
        QueryError: an option is out of its range.
    """
    _check(count)
    tree = Descent(stepper, space, Proposal(temperature=temperature, top_k=top_k, top_p=top_p))
    random = np.random.default_rng(seed)
    out: dict[int, Draw] = {}
    level = [Beginning()]
    standing = [np.arange(count)]  # which draws stand at each beginning of the level
    stopped: Stopped = "finished"
    while level:
        if clock is not None and (told := clock.stop(tree.expansions)) is not None:
            stopped = told
            break
        chances = random.random(count)
        longer: list[Beginning] = []
        after: list[IntNodes] = []
        for first, steps in tree.steps(level):
            for place, draws in enumerate(standing[first : first + len(steps.q)]):
                for outcome, those in _drawn(steps.q[place], draws, chances):
                    child = steps.child(place, outcome)
                    if isinstance(child, Draw):
                        out |= dict.fromkeys(those.tolist(), child)
                    else:
                        longer.append(child)
                        after.append(those)
        level, standing = longer, after
    tree.release()
    return Draws(
        outputs=tuple(out[draw] for draw in range(count) if draw in out),
        expansions=tree.expansions,
        stopped=stopped,
    )


def sample_without_replacement(
    stepper: Stepper,
    space: Space,
    *,
    count: int,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    seed: int,
    clock: Clock | None = None,
) -> Draws:
    """Return distinct draws: the first as `sample` draws it, each other from what is left.

    Args:
        stepper: of the prompt.
        space: which outputs there are.
        count: leaves; fewer come where there are no more, and `exhausted` says so.
        temperature: this and the next two make q, see `Proposal`.
        top_k: outcomes that are kept at each step.
        top_p: their probability.
        seed: equal seeds draw the same.
        clock: says when to stop; never by default.

    Raises:
        QueryError: an option is out of its range.
    """
    _check(count)
    tree = Descent(stepper, space, Proposal(temperature=temperature, top_k=top_k, top_p=top_p))
    random = np.random.default_rng(seed)
    leaves: list[Draw] = []
    level = [Beginning(gumbel=float(random.gumbel()))]
    stopped: Stopped = "finished"
    while level:
        if clock is not None and (told := clock.stop(tree.expansions)) is not None:
            stopped = told
            break
        kept: list[Beginning | Draw] = [*leaves]
        for first, steps in tree.steps(level):
            part = level[first : first + len(steps.q)]
            # One more than asked for: its sum is kappa.
            kept += _best_children(steps, part, count + 1, random)
            kept.sort(key=_gumbel_of, reverse=True)
            del kept[count + 1 :]
        leaves = [one for one in kept if isinstance(one, Draw)]
        level = [one for one in kept if isinstance(one, Beginning)]
    tree.release()
    return Draws(
        outputs=tuple(leaves[:count]),
        expansions=tree.expansions,
        stopped=stopped,
        kappa=None if stopped != "finished" else _kappa(leaves, count),
        exhausted=stopped == "finished" and len(leaves) < count,
    )


def _kappa(leaves: Sequence[Draw], count: int) -> float:
    return _gumbel_of(leaves[count]) if len(leaves) > count else -math.inf


def _drawn(
    q: Float64[np.ndarray, " outcomes"], draws: IntNodes, chances: Float64[np.ndarray, " all"]
) -> Iterator[tuple[int, IntNodes]]:
    """Yield each outcome that some draws come to, and which of them."""
    below = np.cumsum(np.exp(q))
    if below[-1] == 0.0:
        yield NOTHING, draws
        return
    # Below the sum of all, so that rounding never comes to an outcome that cannot be.
    at = np.minimum(chances[draws] * below[-1], np.nextafter(below[-1], 0.0))
    outcomes = np.searchsorted(below, at, side="right")
    order = np.argsort(outcomes, kind="stable")
    different, starts = np.unique(outcomes[order], return_index=True)
    yield from zip(different.tolist(), np.split(draws[order], starts[1:]), strict=True)


def _best_children(
    steps: Steps, beginnings: Sequence[Beginning], count: int, random: np.random.Generator
) -> list[Beginning | Draw]:
    """Return the children with the largest sums, at most so many."""
    above = np.array([one.gumbel for one in beginnings])
    totals = np.array([one.proposal for one in beginnings])[:, None] + steps.q
    sums = _sums_below(above, totals + random.gumbel(size=totals.shape))
    flat = sums.ravel()
    count = min(count, len(flat))
    best = np.argpartition(-flat, count - 1)[:count]
    best = best[flat[best] > -np.inf]
    width = sums.shape[1]
    out = [steps.child(cell // width, cell % width, float(flat[cell])) for cell in best.tolist()]
    # A beginning that nothing may follow is a leaf, and keeps its sum.
    ended = np.flatnonzero(np.all(steps.q == -np.inf, axis=1))
    return out + [steps.child(place, NOTHING, float(above[place])) for place in ended.tolist()]


def _sums_below(above: Column, noisy: OutcomeRows) -> OutcomeRows:
    """Return the noisy sums of children, given that the largest below each beginning is its own.

    With Z the largest of a row and G what it has to be, −log(exp(−G) − exp(−Z) + exp(−g)) for each
    g, in a form that neither overflows nor cancels (Kool et al. 2019, appendix B.3).

    Args:
        above: the sum of each beginning.
        noisy: sums of its children that were drawn freely.
    """
    largest = noisy.max(axis=1, keepdims=True)
    largest[largest == -np.inf] = 0.0
    given = above[:, None]
    with np.errstate(over="ignore"):
        v = given - noisy + log1mexp(noisy - largest)
        out: OutcomeRows = given - np.maximum(v, 0.0) - np.log1p(np.exp(-np.abs(v)))
    return out


def _gumbel_of(one: Beginning | Draw) -> float:
    assert one.gumbel is not None, "drawn without replacement"
    return one.gumbel


def _check(count: int) -> None:
    if count < 1:
        msg = f"the number of draws is at least 1, found {count!r}; e.g. n=10"
        raise QueryError(msg)
