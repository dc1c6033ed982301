"""What an entry of the zoo is: its name, its stage, its parameters, and the formula it applies.

A scorer is encode → context → align → normalise → mask → aggregate → unit. An entry changes one
stage; its `changes` are the ways it can do so on given claims, each with its parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from jaxtyping import Float64

from logpr._values.audit import FaultKind, Parameter, Stage
from logpr.auditing.scene.scene import Scene

Parameters: TypeAlias = tuple[tuple[str, Parameter], ...]

Grid: TypeAlias = Float64[np.ndarray, " grid"]

Count: TypeAlias = Literal["own", "same", "context"]
"""How many steps a change leaves: "same" as many as there were, "own" as its formula says of y
alone, "context" as many as have rows, which what stands before y decides."""


@dataclass(frozen=True, slots=True)
class Axis:
    """A parameter that is found from the claims.

    `integer`: every value from `low` to `high` is tried. Otherwise it is solved within these
    bounds, on a logarithmic scale where `log`.
    """

    name: str
    low: float
    high: float
    integer: bool = False
    log: bool = True

    def grid(self, size: int) -> Grid:
        """Return so many values from low to high; all of them where it is an integer."""
        if self.integer:
            return np.arange(int(self.low), int(self.high) + 1, dtype=np.float64)
        if self.log:
            return np.geomspace(self.low, self.high, size)
        return np.linspace(self.low, self.high, size)


@dataclass(frozen=True, slots=True)
class Change:
    """One way to change one stage: `fixed` parameters, and at most one that varies along `axis`.

    `run` is the formula; what it takes and gives is the stage's. `tier` is how many ways there
    were to choose the fixed parameters: 0 a few words, 1 a whole number, 2 a real one. Whatever the
    search knows of a formula stands here, so that a new entry is written in one place.
    """

    fault: str
    stage: Stage
    run: Callable[..., Any]
    fixed: Parameters = ()
    axis: Axis | None = None
    tier: int = 0
    needs: str = ""
    """What the evidence must hold: "" log-probabilities alone, "logit" raw ones, "top" a row's
    largest, "row" all of it, "raw" all of it as logits, "positions" that after every prefix,
    "lists" logged shortlists, "text" texts, "neutral" rows after other prompts."""
    rivals: bool = False
    """Whether a candidate's number takes the others of its record: their tokens where it
    normalises, their totals where it is a unit."""
    count: Count = "own"
    sized: Callable[..., int] | None = None
    """Of a mask: the number of steps it makes of a layout's, found without laying them out."""
    greedy: bool = False
    """Of an alignment: whether it reads along the model's own greedy continuation."""
    partial: bool = False
    """Of a normalisation: whether its normaliser leaves out a part of the vocabulary."""
    finish: Callable[..., Any] | None = None
    """Of a normalisation: what it does to the aggregate, given the steps."""
    grows: bool = False
    """Of an aggregate: whether it grows with the steps, so that a perplexity divides by them."""
    of_any: Callable[..., Any] | None = None
    """Of a unit: what it makes of any number, a step's score too, where it needs no more."""

    @property
    def freedom(self) -> int:
        """Return the tier, its axis counted: fewer is preferred."""
        if self.axis is None:
            return self.tier
        return max(self.tier, 1 if self.axis.integer else 2)


@dataclass(frozen=True, slots=True)
class ParameterSpec:
    """A parameter of an entry, for people: how it is found, and the values it takes."""

    name: str
    found: Literal["given", "enumerated", "solved"]
    values: str


@dataclass(frozen=True, slots=True)
class Fault:
    """An entry of the zoo.

    `changes` lists the ways it can be tried on a scene; `apply` makes the one with given
    parameters, for a scorer that has it.
    """

    id: str
    stage: Stage
    kind: FaultKind
    changes: Callable[[Scene], Sequence[Change]]
    apply: Callable[..., Change]
    parameters: tuple[ParameterSpec, ...] = ()
