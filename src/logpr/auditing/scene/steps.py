"""Steps of a scorer: which token is read in which row, and what the row says of it.

Everything a normalisation needs is here as columns over the steps of many candidates, so that one
hypothesis is a few array operations whatever their number.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeAlias

import numpy as np
from jaxtyping import Bool, Float64, Int64

from logpr.auditing.scene.rows import Prefix, Rows
from logpr.numerics import logsumexp

FloatSteps: TypeAlias = Float64[np.ndarray, " steps"]
IntSteps: TypeAlias = Int64[np.ndarray, " steps"]

TOP = 1024
"""So many of a row's largest logits are kept sorted."""

_MOST_SORTED = 1 << 25
"""Entries that are sorted whole: a quarter of a gigabyte."""


@dataclass(frozen=True, slots=True)
class Step:
    """A token (END: -1) read in the row after `prefix`.

    `place` is its number in y, END after the last; None for a token that is not of y.
    """

    prefix: Prefix
    token: int
    place: int | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """The steps of one candidate as some pipeline reads them, and the lengths it counts.

    `prompt_tokens` is |x| in tokens, start token included; `sequence` all that is fed.
    """

    number: int
    steps: tuple[Step, ...]
    prompt_tokens: int
    sequence: tuple[int, ...]
    chars: int | None
    bytes: int | None
    end_ids: tuple[int, ...] = ()


class Unavailable(Exception):  # noqa: N818 - no fault: the evidence has no such column
    """The evidence at hand cannot say; `needs` is what could."""

    def __init__(self, needs: str) -> None:
        super().__init__(needs)
        self.needs = needs


@dataclass
class Steps:
    """Columns over the steps of some candidates, `offsets` cutting them up by candidate.

    `rows[row_of[i]]` is the row that step i is read in. `numbers` are the candidates.
    """

    readings: tuple[Reading, ...]
    rows: Rows
    row_of: IntSteps
    raw: bool
    step_noise: float
    position_rows: dict[Prefix, int] = field(default_factory=dict)
    """Rows after every prefix of a sequence, where they were asked for."""
    lists: tuple[tuple[tuple[int, ...], ...] | None, ...] = ()
    """The shortlists that were logged with each candidate, a list a step."""
    rivals: tuple[tuple[tuple[int, ...], ...], ...] = ()
    """For each candidate, for each of its steps, the tokens that its record's candidates have."""

    @cached_property
    def offsets(self) -> Int64[np.ndarray, " cuts"]:
        """Where each candidate's steps begin, and the end of the last."""
        sizes = [len(reading.steps) for reading in self.readings]
        return np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)], dtype=np.int64)

    @cached_property
    def tokens(self) -> IntSteps:
        """The token of each step, -1 for END."""
        ids = [step.token for reading in self.readings for step in reading.steps]
        return np.asarray(ids, dtype=np.int64)

    @cached_property
    def shown(self) -> IntSteps:
        """The token of each step, the first end id for END."""
        ids = [
            step.token if step.token >= 0 else reading.end_ids[0]
            for reading in self.readings
            for step in reading.steps
        ]
        return np.asarray(ids, dtype=np.int64)

    def __len__(self) -> int:
        """Return the number of steps."""
        return len(self.row_of)

    @cached_property
    def logit(self) -> FloatSteps:
        """u[t]; of END, the logsumexp of its ids."""
        out: FloatSteps = self.rows[self.row_of, self.shown].copy()
        place = 0
        for reading in self.readings:
            for step in reading.steps:
                if step.token < 0 and len(reading.end_ids) > 1:
                    ids = list(reading.end_ids)
                    out[place] = float(logsumexp(self.rows[self.row_of[place]][ids]))
                place += 1
        return out

    @cached_property
    def row_logz(self) -> Float64[np.ndarray, " rows"]:
        """logsumexp of every row."""
        return np.reshape(logsumexp(self.rows), len(self.rows))

    @cached_property
    def logz(self) -> FloatSteps:
        """logsumexp of the row of each step."""
        out: FloatSteps = self.row_logz[self.row_of]
        return out

    @cached_property
    def logprob(self) -> FloatSteps:
        """u[t] − logZ."""
        out: FloatSteps = self.logit - self.logz
        return out

    @cached_property
    def used(self) -> IntSteps:
        """The rows that steps are read in, each once."""
        return np.unique(self.row_of)

    @cached_property
    def _place(self) -> IntSteps:
        return np.searchsorted(self.used, self.row_of)

    @cached_property
    def top(self) -> Float64[np.ndarray, "rows top"]:
        """The largest logits of each used row, best first."""
        rows = self.rows[self.used]
        width = min(TOP, rows.shape[1])
        if width < rows.shape[1]:
            rows = np.partition(rows, rows.shape[1] - width, axis=1)[:, -width:]
        out: Float64[np.ndarray, "rows top"] = -np.sort(-rows, axis=1)
        return out

    @cached_property
    def top_logsumexp(self) -> Float64[np.ndarray, "top steps"]:
        """logsumexp of the k largest logits of each step's row; entry k − 1."""
        best = self.top[:, :1]
        # A row may hold -inf: exp gives it no mass.
        sums = np.cumsum(np.exp(self.top - best), axis=1)
        out: Float64[np.ndarray, "top steps"] = (np.log(sums) + best)[self._place].T
        return out

    @cached_property
    def sorted_logsumexp(self) -> Float64[np.ndarray, "all steps"]:
        """As `top_logsumexp` for every k of the vocabulary, where that is not too much."""
        rows = self.used_rows()
        if rows.shape[1] <= TOP or rows.size > _MOST_SORTED:
            return self.top_logsumexp
        ordered = -np.sort(-rows, axis=1)
        sums = np.cumsum(np.exp(ordered - ordered[:, :1]), axis=1)
        out: Float64[np.ndarray, "all steps"] = (np.log(sums) + ordered[:, :1])[self._place].T
        return out

    @cached_property
    def position(self) -> IntSteps:
        """1 + how many tokens stand before the step's in its row, ties by smaller id."""
        out = np.empty(len(self), dtype=np.int64)
        ids = np.arange(self.rows.shape[1])
        for step in range(len(self)):
            row, own = self.rows[self.row_of[step]], self.rows[self.row_of[step], self.shown[step]]
            before = np.count_nonzero(row > own)
            out[step] = 1 + before + np.count_nonzero((row == own) & (ids < self.shown[step]))
        return out

    def of_rows(self, values: Float64[np.ndarray, " rows"]) -> FloatSteps:
        """Return a column over the used rows as one over the steps."""
        out: FloatSteps = values[self._place]
        return out

    def used_rows(self) -> Rows:
        """Return the rows that steps are read in, each once, in the order of `used`."""
        return self.rows if len(self.used) == len(self.rows) else self.rows[self.used]

    def require_raw(self) -> None:
        """Raise Unavailable where rows are log-probabilities and no logits."""
        if not self.raw:
            needs = "raw logits"
            raise Unavailable(needs)

    @cached_property
    def is_end(self) -> Bool[np.ndarray, " steps"]:
        """Which steps are END."""
        return self.tokens < 0
