"""What a pipeline would have printed: its predictions for candidates, with their noise."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TypeAlias

import numpy as np
from jaxtyping import Float64

from logpr.auditing.faults._entry import Change, Grid
from logpr.auditing.faults.aggregate import Shape, Totals, summed
from logpr.auditing.scene.columns import lists_in, reading_in
from logpr.auditing.scene.rows import Asked, Columns, Rows
from logpr.auditing.scene.scene import Company, Scene
from logpr.auditing.scene.steps import Reading, Steps, Unavailable
from logpr.auditing.search.pipeline import (
    Declared,
    Key,
    Pipeline,
    counted_like,
    layout_of,
    reading,
    step_count,
    without_prompt,
)
from logpr.numerics import logsumexp

Points: TypeAlias = dict[str, Grid]
"""For each varying stage, the values of its parameter, all of the same length."""

_NOTHING = np.ones(1)
_EPS = float(np.finfo(np.float32).eps)
ROW_BYTES = 1 << 28
"""Memory for the rows that are worked on at once."""
_AT_ONCE = 1 << 22


@dataclass(slots=True)
class Predicted:
    """Predictions [grid, candidates] and how far noise may move them, in the claims' unit."""

    values: Float64[np.ndarray, "grid candidates"]
    noise: Float64[np.ndarray, "grid candidates"]


@dataclass(slots=True)
class Bench:
    """Candidates with their rows at hand, on which any pipeline can be tried.

    Args:
        scene: all candidates of the file.
        declared: what they are declared to be.
        numbers: the candidates looked at.
    """

    scene: Scene
    declared: Declared
    numbers: tuple[int, ...]
    _rows: Rows = field(default_factory=lambda: np.zeros((0, 0)))
    _logz: Float64[np.ndarray, " rows"] = field(default_factory=lambda: np.zeros(0))
    _place: dict[Asked, int] = field(default_factory=dict)
    _steps: dict[tuple[Key, tuple[int, ...], bool, bool], Steps | None] = field(
        default_factory=dict
    )
    _readings: dict[tuple[Key, int], Reading | None] = field(default_factory=dict)

    @property
    def whole(self) -> tuple[int, ...]:
        """Return the candidates with all others of their records."""
        found = {other for number in self.numbers for other in self.scene.record_of(number)}
        return tuple(sorted(found))

    def asked(self, pipelines: Iterable[Pipeline]) -> set[Asked]:
        """Return the rows that pipelines read."""
        pipelines = list(pipelines)
        self._extend_paths(pipelines)
        found: set[Asked] = set()
        for pipeline in pipelines:
            numbers = self.whole if _needs_rivals(pipeline, self.declared) else self.numbers
            positions = "positions" in pipeline.needs()
            for each in self._variants(pipeline):
                for number in numbers:
                    found.update(self._asked(each, number, positions=positions))
        return found

    def fits(self, rows: int) -> bool:
        """Return whether so many rows fit the memory."""
        return rows * max(1, self.scene.source.vocab) * 8 <= ROW_BYTES

    def have(self, asked: set[Asked]) -> None:
        """Get these rows, in one call of the source, in the place of those at hand."""
        self._rows, self._logz = np.zeros((0, 0)), np.zeros(0)
        self._place, self._steps = {}, {}
        # Sorted, so that a model sees sequences that share their beginnings together.
        needed = sorted(asked)
        rows, known = self.scene.source.rows(needed)
        self._rows = rows if known.all() else rows[known]
        self._logz = _logz(self._rows)
        found = [each for each, is_known in zip(needed, known, strict=True) if is_known]
        self._place = {each: place for place, each in enumerate(found)}

    def fetch(self, pipelines: Iterable[Pipeline]) -> None:
        """Get the rows that pipelines read."""
        self.have(self.asked(pipelines))

    def forget(self) -> None:
        """Drop the rows at hand and all that was read of them."""
        self._rows, self._logz = np.zeros((0, 0)), np.zeros(0)
        self._place, self._steps, self._readings = {}, {}, {}

    def _extend_paths(self, pipelines: Sequence[Pipeline]) -> None:
        """Have the greedy continuations that pipelines follow, all candidates' at once."""
        asked: list[tuple[int, tuple[int, ...], int]] = []
        for pipeline in pipelines:
            align = pipeline.of("align")
            if align is None or not align.greedy:
                continue
            numbers = self.whole if _needs_rivals(pipeline, self.declared) else self.numbers
            for each in self._variants(pipeline):
                layouts = (layout_of(self.scene, each, number) for number in numbers)
                asked += [
                    (layout.case.owner, layout.context, len(layout.tokens))
                    for layout in layouts
                    if layout is not None
                ]
        if asked:
            self.scene.greedy(asked)

    def predict(self, pipeline: Pipeline, points: Points) -> Predicted:
        """Return what the pipeline gives at each point.

        Raises:
            Unavailable: the evidence cannot say.
        """
        unit = pipeline.of("unit") or self.declared.unit
        company = _needs_rivals(pipeline, self.declared)
        numbers = self.whole if company else self.numbers
        # Masked tokens are -inf, and what a wrong formula makes of them is not asked to be finite.
        with np.errstate(all="ignore"):
            total, noise, shape = self._aggregate(pipeline, points, numbers)
            total, noise = unit.run(total, noise, shape)
            if company:
                where = {number: place for place, number in enumerate(numbers)}
                mine = [where[number] for number in self.numbers]
                total, noise = total[:, mine], noise[:, mine]
            return Predicted(total, _with_rounding(total, noise))

    def step_scores(self, pipeline: Pipeline, points: Points) -> tuple[Predicted, Steps]:
        """Return the step scores [grid, steps] of the pipeline, after normalise and mask."""
        steps = self.steps(pipeline, self.numbers)
        with np.errstate(all="ignore"):
            scores, noise = self._normalise(pipeline, points, steps)
            return Predicted(scores, _with_rounding(scores, noise)), steps

    def steps(self, pipeline: Pipeline, numbers: tuple[int, ...]) -> Steps:
        """Return the steps of some candidates, with their rows.

        Raises:
            Unavailable: a row is missing, or a candidate cannot be fed so.
        """
        positions = "positions" in pipeline.needs()
        normalise = pipeline.of("normalise") or self.declared.normalise
        # The same rows are read for the same tokens, but not every formula looks at the rivals'.
        at = (pipeline.key, numbers, positions, normalise.rivals)
        if at not in self._steps:
            self._steps[at] = self._made(
                pipeline, numbers, positions=positions, rivals=normalise.rivals
            )
        found = self._steps[at]
        if found is None:
            needs = "rows that were not recorded"
            raise Unavailable(needs)
        return found

    def _made(
        self, pipeline: Pipeline, numbers: tuple[int, ...], *, positions: bool, rivals: bool
    ) -> Steps | None:
        readings: list[Reading] = []
        places: list[int] = []
        for number in numbers:
            read = self._reading(pipeline, number)
            if read is None:
                return None
            owner = self.scene.cases[number].owner
            for step in read.steps:
                place = self._place.get((owner, step.prefix))
                if place is None:
                    return None
                places.append(place)
            readings.append(reading_in(self._columns(number), read))
        spots = self._positions(readings) if positions else {}
        cases = self.scene.cases
        return Steps(
            readings=tuple(readings),
            rows=self._rows,
            row_logz=self._logz,
            row_of=np.asarray(places, dtype=np.int64),
            raw=self.scene.source.raw,
            step_noise=self.scene.noise,
            rest=self.scene.source.rest,
            position_rows=spots,
            lists=tuple(
                None if (lists := cases[number].lists) is None else lists_in(columns, lists)
                for number, columns in zip(numbers, map(self._columns, numbers), strict=True)
            ),
            rivals=tuple(
                lists_in(self._columns(number), self._rivals(pipeline, number)) if rivals else ()
                for number in numbers
            ),
        )

    def _columns(self, number: int) -> Columns | None:
        return self.scene.source.columns(self.scene.cases[number].owner)

    def _positions(self, readings: Sequence[Reading]) -> dict[tuple[int, ...], int]:
        """Return where the rows after every prefix of each sequence are, as far as they are."""
        spots: dict[tuple[int, ...], int] = {}
        for read in readings:
            owner = self.scene.cases[read.number].owner
            for cut in range(1, len(read.sequence) + 1):
                place = self._place.get((owner, read.sequence[:cut]))
                if place is not None:
                    spots[read.sequence[:cut]] = place
        return spots

    def _aggregate(
        self, pipeline: Pipeline, points: Points, numbers: tuple[int, ...]
    ) -> tuple[np.ndarray, np.ndarray, Shape]:
        steps = self.steps(pipeline, numbers)
        aggregate = pipeline.of("aggregate") or self.declared.aggregate
        neutral: Totals | None = None
        if aggregate.needs == "neutral":
            plain = without_prompt(pipeline)
            other = self.steps(plain, numbers)
            scores, noise = self._normalise(plain, points, other)
            neutral = summed(scores, noise, self._shape(plain, other, numbers), _NOTHING)
        shape = self._shape(pipeline, steps, numbers, neutral, plain=aggregate.grows)
        if aggregate.needs == "text" and np.isnan(shape.chars).any():
            needs = "the texts of the candidates"
            raise Unavailable(needs)
        scores, noise = self._normalise(pipeline, points, steps)
        grid = points.get("aggregate", _NOTHING)
        total, spread = aggregate.run(scores, noise, shape, grid)
        return total, spread, shape

    def _normalise(self, pipeline: Pipeline, points: Points, steps: Steps) -> Totals:
        normalise: Change = pipeline.of("normalise") or self.declared.normalise
        grid = points.get("normalise", _NOTHING)
        distinct, place = np.unique(grid, return_inverse=True)
        if not len(steps):
            return np.zeros((len(grid), 0)), np.zeros((len(grid), 0))
        scores, noise = normalise.run(steps, distinct)
        if len(scores) != len(grid) or len(distinct) != len(grid) or np.any(np.diff(place) != 1):
            line = place if len(scores) == len(distinct) else np.zeros(len(grid), dtype=np.int64)
            scores, noise = scores[line], noise[line]
        return scores, noise

    def _shape(
        self,
        pipeline: Pipeline,
        steps: Steps,
        numbers: tuple[int, ...],
        neutral: Totals | None = None,
        *,
        plain: bool = True,
    ) -> Shape:
        read = steps.readings

        def longest(company: Company) -> np.ndarray:
            members = self._counts(pipeline, company)
            return np.asarray([members[number] for number in numbers], dtype=np.float64)

        return Shape(
            offsets=steps.offsets,
            counts=np.diff(steps.offsets).astype(np.float64),
            prompts=np.asarray([each.prompt_tokens for each in read], dtype=np.float64),
            chars=_column(each.chars for each in read),
            bytes=_column(each.bytes for each in read),
            longest=longest,
            groups=np.asarray([self.scene.cases[n].record for n in numbers], dtype=np.int64),
            neutral=neutral,
            plain=plain,
            finish=_finish(pipeline, steps),
        )

    def _counts(self, pipeline: Pipeline, company: Company) -> np.ndarray:
        plain = counted_like(pipeline)

        def lengths() -> list[int]:
            return [step_count(self.scene, plain, case.number) for case in self.scene.cases]

        return self.scene.longest(("steps", plain.key), lengths, company)

    def _reading(self, pipeline: Pipeline, number: int) -> Reading | None:
        at = (pipeline.key, number)
        if at not in self._readings:
            self._readings[at] = reading(self.scene, pipeline, number)
        return self._readings[at]

    def _rivals(self, pipeline: Pipeline, number: int) -> tuple[tuple[int, ...], ...]:
        out: list[list[int]] = []
        for other in self.scene.record_of(number):
            read = self._reading(pipeline, other)
            for place, step in enumerate(() if read is None else read.steps):
                if place == len(out):
                    out.append([])
                ends = () if read is None else read.end_ids
                out[place] += (step.token,) if step.token >= 0 else ends
        return tuple(tuple(dict.fromkeys(ids)) for ids in out)

    def _variants(self, pipeline: Pipeline) -> tuple[Pipeline, ...]:
        aggregate = pipeline.of("aggregate") or self.declared.aggregate
        if aggregate.needs == "neutral":
            return (pipeline, without_prompt(pipeline))
        return (pipeline,)

    def _asked(self, pipeline: Pipeline, number: int, *, positions: bool) -> list[Asked]:
        read = self._reading(pipeline, number)
        if read is None:
            return []
        owner = self.scene.cases[number].owner
        asked = [(owner, step.prefix) for step in read.steps]
        if positions:
            asked += [(owner, read.sequence[:cut]) for cut in range(1, len(read.sequence) + 1)]
        return asked


def _finish(pipeline: Pipeline, steps: Steps) -> Callable[[np.ndarray], np.ndarray] | None:
    normalise = pipeline.of("normalise")
    if normalise is None or normalise.finish is None:
        return None
    return partial(normalise.finish, steps)


def _needs_rivals(pipeline: Pipeline, declared: Declared) -> bool:
    unit = pipeline.of("unit") or declared.unit
    return unit.rivals


def _with_rounding(values: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Return the noise of numbers whose own sum may have been taken in float32."""
    # An infinite number has no neighbours.
    spread: np.ndarray = np.nan_to_num(noise, posinf=0.0)
    out: np.ndarray = spread + _EPS * np.nan_to_num(np.abs(values), posinf=0.0)
    return out


def _logz(rows: Rows) -> Float64[np.ndarray, " rows"]:
    """Return logsumexp of each row; a few rows at a time, for it takes as much memory again."""
    step = max(1, _AT_ONCE // max(1, rows.shape[1]))
    parts = [
        np.reshape(logsumexp(rows[start : start + step]), -1) for start in range(0, len(rows), step)
    ]
    return np.concatenate(parts) if parts else np.zeros(0)


def _column(values: Iterable[int | None]) -> np.ndarray:
    return np.asarray([np.nan if value is None else value for value in values], dtype=np.float64)
