"""What outputs are drawn from: a model's steps after temperature, top-k and top-p."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from logpr._types import FloatPrefixesVocab
from logpr.errors import QueryError
from logpr.numerics import log_softmax


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """How q is made of the model's log Pr at each step; END is one outcome among the tokens.

    In this order: what is not allowed is left out, `temperature`, `top_k`, `top_p`, and what is
    left is normalised.

    Args:
        temperature: log Pr is divided by it.
        top_k: that many best outcomes are kept, of equal ones those that come first.
        top_p: the fewest best outcomes with at least this probability are kept.

    Raises:
        QueryError: one of them is out of its range.
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None

    def __post_init__(self) -> None:
        """Refuse what draws nothing."""
        if not 0.0 < self.temperature < math.inf:
            msg = (
                f"temperature is a number above 0, found {self.temperature!r}; the most probable "
                f"token at each step is method='greedy'"
            )
            raise QueryError(msg)
        if self.top_k is not None and self.top_k < 1:
            msg = f"top_k is at least 1, found {self.top_k!r}; top_k=None keeps every token"
            raise QueryError(msg)
        if self.top_p is not None and not 0.0 < self.top_p <= 1.0:
            msg = (
                f"top_p is above 0 and at most 1, found {self.top_p!r}; top_p=None keeps every "
                f"token"
            )
            raise QueryError(msg)

    def logprobs(self, logprobs: FloatPrefixesVocab) -> FloatPrefixesVocab:
        """Return log q of every outcome of some steps; −inf throughout where none is allowed.

        Args:
            logprobs: log Pr of each under the model, −inf of what is not allowed.
        """
        out = logprobs
        if self.temperature != 1.0:
            # Up from the largest: a low temperature would take all of them below what floats hold.
            top = out.max(axis=1, keepdims=True)
            with np.errstate(over="ignore"):
                out = (out - np.where(np.isfinite(top), top, 0.0)) / self.temperature
        if self.top_k is not None and self.top_k < out.shape[1]:
            out = _largest(out, self.top_k)
        out = _normalised(out)
        if self.top_p is not None and self.top_p < 1.0:
            out = _normalised(_nucleus(out, self.top_p))
        return out


def _largest(values: FloatPrefixesVocab, count: int) -> FloatPrefixesVocab:
    """Return rows with −inf for all but their largest entries, of equal ones the first."""
    least = -np.partition(-values, count - 1, axis=1)[:, count - 1 : count]
    above, equal = values > least, values == least
    room = count - np.count_nonzero(above, axis=1, keepdims=True)
    kept = above | (equal & (np.cumsum(equal, axis=1) <= room))
    return np.where(kept, values, -np.inf)


def _nucleus(logprobs: FloatPrefixesVocab, mass: float) -> FloatPrefixesVocab:
    """Return rows with −inf for all but the fewest best entries that have so much probability."""
    order = np.argsort(-logprobs, axis=1, kind="stable")
    probs = np.exp(np.take_along_axis(logprobs, order, axis=1))
    kept = np.empty(logprobs.shape, dtype=np.bool_)
    # An entry stays while those before it have less than the mass: the best one always.
    np.put_along_axis(kept, order, np.cumsum(probs, axis=1) - probs < mass, axis=1)
    return np.where(kept, logprobs, -np.inf)


def _normalised(values: FloatPrefixesVocab) -> FloatPrefixesVocab:
    out: FloatPrefixesVocab = log_softmax(values)
    out[np.isnan(out)] = -np.inf  # rows of −inf alone, in which nothing can be drawn
    return out
