"""Stage unit: from the aggregate to the number that is printed, values with their noise."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from logpr.auditing.faults.aggregate import Shape, Table, Totals

Unit: TypeAlias = Callable[[Table, Table, Shape], Totals]
OfAny: TypeAlias = Callable[[Table, Table], Totals]
"""A unit of any number, whatever it adds up: of a total, and of a step's score."""


def of_totals(of_any: OfAny) -> Unit:
    """Return such a unit as the stage takes it."""

    def run(total: Table, noise: Table, shape: Shape) -> Totals:
        del shape
        return of_any(total, noise)

    return run


def scaled(by: float) -> OfAny:
    """Return A · by."""

    def run(total: Table, noise: Table) -> Totals:
        return total * by, noise * abs(by)

    return run


def exponential(total: Table, noise: Table) -> Totals:
    """Return exp(A)."""
    with np.errstate(over="ignore"):
        value = np.exp(total)
        return value, value * np.expm1(noise)


def perplexity(total: Table, noise: Table, shape: Shape) -> Totals:
    """Return exp(−A / N), or exp(−A) of an aggregate that is divided already."""
    size = shape.counts if shape.plain else 1.0
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        value = np.exp(-total / size)
        return value, value * np.expm1(noise / size)


def choice(total: Table, noise: Table, shape: Shape) -> Totals:
    """Return exp(A_i) / Σ exp(A) over the record's candidates."""
    out, spread = np.empty_like(total), np.empty_like(total)
    for group in np.unique(shape.groups):
        members = np.flatnonzero(shape.groups == group)
        mine = total[:, members]
        with np.errstate(invalid="ignore"):
            best = np.nanmax(np.where(np.isnan(mine), -np.inf, mine), axis=1, keepdims=True)
            mass = np.exp(mine - np.where(np.isfinite(best), best, 0.0))
            share = mass / mass.sum(axis=1, keepdims=True)
        out[:, members] = share
        spread[:, members] = share * 2.0 * noise[:, members].max(axis=1, keepdims=True)
    return out, spread


BITS = scaled(1.0 / math.log(2.0))
LOG10 = scaled(1.0 / math.log(10.0))
NEGATED = scaled(-1.0)
PLAIN = scaled(1.0)
