"""Steps of a scorer: which token is read in which row, and what the row says of it.

Everything a normalisation needs is here as columns over the steps of many candidates, so that one
hypothesis is a few array operations whatever their number.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeAlias

import numpy as np
from jaxtyping import Float64, Int64

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

    `rows[row_of[i]]` is the row that step i is read in, and `row_logz` the logsumexp of every row;
    there are rows beside those that these steps are read in.
    """

    readings: tuple[Reading, ...]
    rows: Rows
    row_logz: Float64[np.ndarray, " rows"]
    row_of: IntSteps
    raw: bool
    step_noise: float
    rest: bool = False
    """Whether the last column of a row is no token."""
    position_rows: dict[Prefix, int] = field(default_factory=dict)
    """Rows after every prefix of a sequence, where they were asked for."""
    lists: tuple[tuple[tuple[int, ...], ...] | None, ...] = ()
    """The shortlists that were logged with each candidate, a list a step."""
    kept: dict[str, object] = field(default_factory=dict)
    """What formulas work out of the rows once for all values of their parameter."""
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
    def several(self) -> dict[int, tuple[int, ...]]:
        """The steps whose outcome is several ids, as END may be, with those ids."""
        steps = (
            (step.token, reading.end_ids) for reading in self.readings for step in reading.steps
        )
        return {
            place: ends for place, (token, ends) in enumerate(steps) if token < 0 and len(ends) > 1
        }

    def outcome(self, step: int) -> tuple[int, ...]:
        """Return the ids that a step's outcome stands for."""
        return self.several.get(step) or (int(self.shown[step]),)

    @cached_property
    def logit(self) -> FloatSteps:
        """u[t]; of END, the logsumexp of its ids."""
        out: FloatSteps = self.rows[self.row_of, self.shown].copy()
        for place, ids in self.several.items():
            out[place] = float(logsumexp(self.rows[self.row_of[place]][list(ids)]))
        return out

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
        rows = self.tokens_of(self.used_rows())
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
        rows = self.tokens_of(self.used_rows())
        if rows.shape[1] <= TOP or rows.size > _MOST_SORTED:
            return self.top_logsumexp
        ordered = -np.sort(-rows, axis=1)
        sums = np.cumsum(np.exp(ordered - ordered[:, :1]), axis=1)
        out: Float64[np.ndarray, "all steps"] = (np.log(sums) + ordered[:, :1])[self._place].T
        return out

    @cached_property
    def position(self) -> IntSteps:
        """1 + how many tokens stand before the step's in its row, ties by smaller id."""
        found = [self.position_of(step, token) for step, token in enumerate(self.shown.tolist())]
        return np.asarray(found, dtype=np.int64)

    def position_of(self, step: int, token: int) -> int:
        """Return 1 + how many tokens stand before one in a step's row, ties by smaller id."""
        row = self.tokens_of(self.rows)[self.row_of[step]]
        own = row[token]
        return int(1 + np.count_nonzero(row > own) + np.count_nonzero(row[:token] == own))

    def largest(self, k: int) -> FloatSteps:
        """Return logsumexp of the k largest logits of each step's row, of all where k is more."""
        kept = self.top_logsumexp
        rows = self.tokens_of(self.used_rows())
        width = rows.shape[1]
        if k <= len(kept) or len(kept) == width:
            some: FloatSteps = kept[min(k, len(kept)) - 1]
            return some
        part = np.partition(rows, width - k, axis=1)[:, width - k :] if k < width else rows
        return self.of_rows(np.reshape(logsumexp(part), len(part)))

    def with_outcome(
        self, sums: Float64[np.ndarray, "grid steps"], sizes: Int64[np.ndarray, "_ _"]
    ) -> Float64[np.ndarray, "grid steps"]:
        """Return logsumexp over the `sizes` largest ∪ {t}, given `sums` over the largest alone."""
        out = np.where(self.position <= sizes, sums, np.logaddexp(sums, self.logit))
        sizes = np.broadcast_to(sizes, out.shape)
        for step, ids in self.several.items():
            out[:, step] = sums[:, step]
            for token in ids:
                outside = self.position_of(step, token) > sizes[:, step]
                own = self.rows[self.row_of[step], token]
                out[outside, step] = np.logaddexp(out[outside, step], own)
        return out

    def tokens_of(self, rows: Rows) -> Float64[np.ndarray, "rows tokens"]:
        """Return rows without the column that is no token."""
        return rows[:, :-1] if self.rest else rows

    def of_rows(self, values: Float64[np.ndarray, " rows"]) -> FloatSteps:
        """Return a column over the used rows as one over the steps."""
        out: FloatSteps = values[self._place]
        return out

    def used_rows(self) -> Rows:
        """Return the rows that steps are read in, each once, in the order of `used`."""
        out: Rows = self.rows[self.used]
        return out

    def require_raw(self) -> None:
        """Raise Unavailable where rows are log-probabilities and no logits."""
        if not self.raw:
            needs = "raw logits"
            raise Unavailable(needs)
