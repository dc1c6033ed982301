"""Objectives: the number that the best output has most of, and what bounds it from above.

Every objective is a log-probability divided by a power of the length. With h = log Pr(y | x) plus
the biases of its tokens, which are at most 0, h never rises as y grows: a beginning with h leads
to no output whose score is above `bound(h)`, the one that the longest output would have.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from jaxtyping import Float64, Int64

from logpr.errors import QueryError, UnknownNameError, WrongTypeError

Kind: TypeAlias = Literal["logprob", "per_token", "length_penalty"]


@dataclass(frozen=True, slots=True)
class Objective:
    """What is to be maximised.

    - `logprob`: h.
    - `per_token`: h / n^alpha, n the tokens and END: what transformers ranks beams by, where alpha
      is its `length_penalty`.
    - `length_penalty`: h / ((5 + |y|) / 6)^alpha, |y| in tokens without END (Wu et al. 2016, as
      `logpr rank --rule length_penalty(alpha)`); an empty y has none, and is left out.
    """

    kind: Kind = "logprob"
    alpha: float = 0.0

    @property
    def name(self) -> str:
        """Return what the caller writes for it."""
        if self.kind == "logprob" or (self.kind == "per_token" and self.alpha == 1.0):
            return self.kind
        return f"{self.kind}({self.alpha:g})"

    @property
    def is_plain(self) -> bool:
        """Return whether the score is h itself."""
        return self.kind == "logprob" or self.alpha == 0.0

    def scores(
        self,
        totals: Float64[np.ndarray, " prefixes"],
        tokens: Int64[np.ndarray, " prefixes"] | int,
        *,
        ended: bool,
    ) -> Float64[np.ndarray, " prefixes"]:
        """Return the score of outputs.

        Args:
            totals: h of each, END's part in it where it is scored.
            tokens: |y| of each, END not counted.
            ended: whether END is scored.
        """
        if self.kind == "logprob":
            return totals
        lengths = np.asarray(tokens, dtype=np.float64)
        if self.kind == "per_token":
            counted = lengths + (1.0 if ended else 0.0)
            return totals / np.maximum(counted, 1.0) ** self.alpha
        return np.where(lengths > 0, totals / ((5.0 + lengths) / 6.0) ** self.alpha, -np.inf)

    def bounds(
        self, totals: Float64[np.ndarray, " prefixes"], *, longest: int, ended: bool
    ) -> Float64[np.ndarray, " prefixes"]:
        """Return what no output that a beginning leads to has a higher score than.

        Args:
            totals: h of each beginning.
            longest: |y| of the longest output.
            ended: whether END is scored.
        """
        if self.is_plain:
            return totals
        return self.scores(totals, longest, ended=ended)

    def least_total(self, score: float, *, longest: int, ended: bool) -> float:
        """Return the h below which no beginning leads to more than `score`.

        Args:
            score: of the output to beat.
            longest: |y| of the longest output.
            ended: whether END is scored.
        """
        if self.is_plain or score == -math.inf:
            return score
        scale = float(self.scores(np.array([-1.0]), longest, ended=ended)[0])
        return score / -scale


LOGPROB = Objective()
"""log Pr(y | x) itself."""

_CALL = re.compile(r"^(?P<name>[a-z_]+)(?:[(:](?P<argument>[^()]*)\)?)?$")
_MOST_ALPHA = 40.0


def objective_named(name: str | Objective) -> Objective:
    """Return the objective that is called so: "logprob", "per_token", "length_penalty(0.6)".

    Args:
        name: `per_token` takes an exponent too: per_token(0.8).

    Raises:
        UnknownNameError: no objective has that name.
        QueryError: its exponent is missing, below 0 or no number.
    """
    if isinstance(name, Objective):
        return name
    if not isinstance(name, str):
        msg = f"an objective is a name, found {name!r}; e.g. objective='length_penalty(0.6)'"
        raise WrongTypeError(msg)
    match = _CALL.match(name.strip())
    word = match["name"] if match else name
    argument = match["argument"] if match else None
    if word == "logprob" and argument is None:
        return LOGPROB
    if word == "per_token":
        return Objective("per_token", _alpha(name, "1" if argument is None else argument))
    if word == "length_penalty":
        return Objective("length_penalty", _alpha(name, argument or ""))
    known = "logprob, per_token, per_token(ALPHA), length_penalty(ALPHA)"
    msg = f"no objective is called {name!r}; the objectives are {known}"
    raise UnknownNameError(msg)


def _alpha(name: str, argument: str) -> float:
    try:
        alpha = float(argument)
    except ValueError:
        alpha = math.nan
    if not 0.0 <= alpha <= _MOST_ALPHA:  # nan is not either
        msg = (
            f"objective {name!r}: the exponent is a number from 0 to {_MOST_ALPHA:g}, e.g. "
            f"length_penalty(0.6); below 0 the shortest output wins anyway, and nothing bounds the "
            f"rest"
        )
        raise QueryError(msg)
    return alpha
