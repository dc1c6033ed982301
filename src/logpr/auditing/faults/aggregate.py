"""Stage aggregate: from a candidate's step scores to one number.

A formula takes the step scores [grid, steps] with their noise, the shape of the candidates and the
values of its own varying parameter [grid or 1]; it gives [grid, candidates] with noise.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from jaxtyping import Float64, Int64

from logpr.auditing.faults._entry import Grid
from logpr.auditing.scene.scene import Company

Table: TypeAlias = Float64[np.ndarray, "_ _"]
"""[grid, steps] comes in and [grid, candidates] goes out; one line stands for any grid."""
Totals: TypeAlias = tuple[Table, Table]
Column: TypeAlias = Float64[np.ndarray, " candidates"]


@dataclass(frozen=True, slots=True)
class Shape:
    """Lengths of the candidates, and who is with whom.

    `counts` are their steps, `prompts` |x| in tokens; `longest` gives the most steps in a
    candidate's company; `neutral` what the same scorer gives each without its prompt;
    `groups` numbers their records; `plain` says whether what comes is a sum over steps; `finish`
    is what the normalisation does to a sum: round it, or look at the signs of its factors.
    """

    offsets: Int64[np.ndarray, " cuts"]
    counts: Column
    prompts: Column
    chars: Column
    bytes: Column
    longest: Callable[[Company], Column]
    groups: Int64[np.ndarray, " candidates"]
    neutral: Totals | None = None
    plain: bool = True
    finish: Callable[[Table], Table] | None = None


Aggregate: TypeAlias = Callable[[Table, Table, Shape, Grid], Totals]


def _reduced(table: Table, shape: Shape, how: np.ufunc, empty: float) -> Table:
    """Return `how` over each candidate's steps; `empty` where there are none."""
    out = np.full((len(table), len(shape.counts)), empty)
    some = np.flatnonzero(shape.counts > 0)
    if len(some):
        with np.errstate(invalid="ignore", over="ignore"):
            out[:, some] = how.reduceat(table, shape.offsets[:-1][some], axis=1)
    return out


def summed(scores: Table, noise: Table, shape: Shape, grid: Grid) -> Totals:
    """Return A = Σ v."""
    del grid
    total, spread = _reduced(scores, shape, np.add, 0.0), _reduced(noise, shape, np.add, 0.0)
    if shape.finish is None:
        return total, spread
    done = shape.finish(total)
    # A sum within noise of where rounding turns over may fall to either side.
    either = np.abs(shape.finish(total + spread) - shape.finish(total - spread))
    return done, spread + np.nan_to_num(either)


def divided(by: Callable[[Shape, Grid], Float64[np.ndarray, "*_"]]) -> Aggregate:
    """Return A = Σ v / by."""

    def run(scores: Table, noise: Table, shape: Shape, grid: Grid) -> Totals:
        total, spread = summed(scores, noise, shape, grid)
        with np.errstate(divide="ignore", invalid="ignore"):
            size = np.asarray(by(shape, grid), dtype=np.float64)
            return total / size, spread / np.abs(size)

    return run


def product(dtype: type[np.floating]) -> Aggregate:
    """Return A = log of the running product of exp(v) in `dtype`."""

    def run(scores: Table, noise: Table, shape: Shape, grid: Grid) -> Totals:
        del grid
        with np.errstate(all="ignore"):
            factors = np.exp(scores).astype(dtype)
            out = np.zeros((len(scores), len(shape.counts)), dtype=dtype) + dtype(1)
            for place, (begin, end) in enumerate(
                zip(shape.offsets[:-1], shape.offsets[1:], strict=True)
            ):
                out[:, place] = np.multiply.reduce(factors[:, begin:end], axis=1, dtype=dtype)
            found = out.astype(np.float64)
            least = float(np.finfo(dtype).smallest_subnormal)
            loss = np.where(found > 0, least / found, 0.0)
            spread = _reduced(noise, shape, np.add, 0.0)
            spread = spread + float(np.finfo(dtype).eps) * (2.0 + 2.0 * shape.counts) + loss
            total = np.log(found)
            # The sign of the product, not its rounding: here the product is what is kept.
            signed = total if shape.finish is None else shape.finish(total)
            return np.where(np.isnan(signed), np.nan, total), spread

    return run


def mean_probability(*, log: bool) -> Aggregate:
    """Return A = mean of exp(v), or its logarithm."""

    def run(scores: Table, noise: Table, shape: Shape, grid: Grid) -> Totals:
        del grid
        with np.errstate(all="ignore"):
            probs = np.exp(scores)
            mean = _reduced(probs, shape, np.add, np.nan) / shape.counts
            spread = _reduced(probs * noise, shape, np.add, 0.0) / shape.counts
            return (np.log(mean), spread / mean) if log else (mean, spread)

    return run


def one_step(which: str) -> Aggregate:
    """Return A = the first or the last v."""

    def run(scores: Table, noise: Table, shape: Shape, grid: Grid) -> Totals:
        del grid
        some = shape.counts > 0
        at = (shape.offsets[:-1] if which == "first" else shape.offsets[1:] - 1)[some]
        total = np.full((len(scores), len(shape.counts)), np.nan)
        spread = np.zeros_like(total)
        total[:, some], spread[:, some] = scores[:, at], noise[:, at]
        return total, spread

    return run


def smallest(scores: Table, noise: Table, shape: Shape, grid: Grid) -> Totals:
    """Return A = min v."""
    del grid
    low = _reduced(scores, shape, np.minimum, np.nan)
    return low, _reduced(noise, shape, np.maximum, 0.0)


def difference(scores: Table, noise: Table, shape: Shape, grid: Grid) -> Totals:
    """Return A = Σ v − Σ of the same without the prompt."""
    total, spread = summed(scores, noise, shape, grid)
    assert shape.neutral is not None, "whoever asks for pmi gives what it is taken from"
    with np.errstate(invalid="ignore"):
        return total - shape.neutral[0], spread + shape.neutral[1]
