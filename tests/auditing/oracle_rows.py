"""Rows of logits by prefix, each asked of the model once."""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np

from logpr._types import END
from logpr.models.base import Predictive

Ids: TypeAlias = tuple[int, ...]

_AT_ONCE = 256


class Row:
    """The logits over the whole vocabulary after one prefix; END is one outcome made of end ids."""

    def __init__(self, u: np.ndarray[Any, Any], end_ids: Ids) -> None:
        assert u.dtype == np.float64
        self.u = u
        self.end_ids = end_ids

    @cached_property
    def z(self) -> float:
        """Return the logsumexp of the row."""
        return logsumexp(self.u)

    @cached_property
    def order(self) -> list[int]:
        """Return the ids, largest logit first, ties by smaller id."""
        return [int(token) for token in np.argsort(-self.u, kind="stable")]

    @cached_property
    def masses(self) -> np.ndarray[Any, Any]:
        """Return the mass of the 1, 2, … largest tokens."""
        return np.cumsum(np.exp(self.u[self.order] - self.z))

    @cached_property
    def sum(self) -> float:
        """Return Σu."""
        return math.fsum(self.u.tolist())

    @property
    def best(self) -> int:
        """Return the id with the largest logit, the smaller one of a tie."""
        return int(np.argmax(self.u))

    def ids(self, token: int) -> Ids:
        """Return the vocabulary ids that a step's token stands for."""
        return self.end_ids if token == END else (token,)

    def logit(self, token: int) -> float:
        """Return the logit of a token, or of END."""
        return self.over(self.end_ids) if token == END else float(self.u[token])

    def over(self, ids: Iterable[int]) -> float:
        """Return the logsumexp over some ids, each counted once."""
        chosen = np.zeros(self.u.shape, dtype=bool)
        chosen[[*ids]] = True
        return logsumexp(self.u[chosen])


class Rows:
    """The rows of a model, kept by prefix."""

    def __init__(self, model: Predictive) -> None:
        self.model = model
        self._kept: dict[Ids, Row] = {}

    def need(self, prefixes: Iterable[Ids]) -> None:
        """Ask the model for the rows that are not here yet."""
        missing = list(dict.fromkeys(p for p in prefixes if p not in self._kept))
        for begin in range(0, len(missing), _AT_ONCE):
            part = missing[begin : begin + _AT_ONCE]
            found = self.model.next_logits(part)
            rows = found.logprobs if found.logits is None else found.logits
            for prefix, row in zip(part, rows, strict=True):
                self._kept[prefix] = Row(np.array(row, dtype=np.float64), self.model.end_ids)

    def __getitem__(self, prefix: Ids) -> Row:
        """Return the row after a prefix."""
        self.need([prefix])
        return self._kept[prefix]


def logsumexp(values: Iterable[float] | np.ndarray[Any, Any]) -> float:
    """Return log Σ exp, −inf for none."""
    array = np.asarray(values, dtype=np.float64)
    if array.size == 0:
        return -math.inf
    top = float(array.max())
    if math.isinf(top):
        return top
    return top + math.log(float(np.exp(array - top).sum()))


def add(values: Iterable[float]) -> float:
    """Return an exact sum; infinities of both signs give NaN."""
    listed = list(values)
    if all(math.isfinite(value) for value in listed):
        return math.fsum(listed)
    return sum(listed)


def exp(value: float) -> float:
    """Return e to a power, inf where a float cannot hold it."""
    try:
        return math.exp(value)
    except OverflowError:
        return math.inf


def log(value: float) -> float:
    """Return the natural logarithm, −inf of zero, NaN of what is below it."""
    if value > 0.0:
        return math.log(value)
    return -math.inf if value == 0.0 else math.nan


def ratio(above: float, below: float) -> float:
    """Return a quotient, NaN where nothing is divided by."""
    return above / below if below else math.nan
