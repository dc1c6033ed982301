"""Predictions for all claims at once, and the order in which claims are asked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64

from logpr.auditing.scene.rows import Asked
from logpr.auditing.scene.scene import Scene
from logpr.auditing.scene.steps import Unavailable
from logpr.auditing.search.pipeline import Declared, Pipeline
from logpr.auditing.search.predict import ROW_BYTES, Bench, Points, Predicted
from logpr.auditing.search.race import Targets

_TELLING = 4
"""Tokens of a candidate that is quick to ask and says much."""


@dataclass(frozen=True, slots=True)
class Values:
    """One prediction for each candidate of the scene, NaN where none was asked or known."""

    value: Float64[np.ndarray, " candidates"]
    noise: Float64[np.ndarray, " candidates"]
    known: Bool[np.ndarray, " candidates"]

    def within(self, targets: Targets, numbers: Sequence[int]) -> Bool[np.ndarray, " some"]:
        """Return for which of these candidates the claim is reproduced."""
        found: Bool[np.ndarray, " some"] = self.reached(targets)[list(numbers)]
        return found

    def reached(self, targets: Targets) -> Bool[np.ndarray, " candidates"]:
        """Return for which candidates the claim is reproduced."""
        with np.errstate(invalid="ignore"):
            inside = (self.value + self.noise >= targets.low) & (
                self.value - self.noise <= targets.high
            )
        both_nan = np.isnan(self.value) & np.isnan(targets.low)
        out: Bool[np.ndarray, " candidates"] = self.known & (inside | both_nan)
        return out

    def off_by(self, targets: Targets) -> Float64[np.ndarray, " candidates"]:
        """Return how far each prediction lies outside its claim's interval; 0 inside."""
        with np.errstate(invalid="ignore"):
            below = targets.low - (self.value + self.noise)
            above = (self.value - self.noise) - targets.high
            out = np.fmax(np.fmax(below, above), 0.0)
        return np.where(self.reached(targets), 0.0, np.where(np.isnan(out), np.inf, out))


def predict_all(
    scene: Scene,
    declared: Declared,
    pipeline: Pipeline,
    points: Points,
    numbers: Sequence[int],
) -> Values:
    """Return what a pipeline gives these candidates, block by block; others are NaN.

    Candidates that it cannot be fed, or whose rows were not recorded, are not known.
    """
    size = len(scene.cases)
    value, noise = np.full(size, np.nan), np.zeros(size)
    known = np.zeros(size, dtype=np.bool_)
    for bench, _ in benches(scene, declared, [pipeline], numbers):
        try:
            found = bench.predict(pipeline, points)
        except Unavailable:
            for number in bench.numbers:
                alone = Bench(scene, declared, (number,))
                alone.fetch([pipeline])
                try:
                    found = alone.predict(pipeline, points)
                except Unavailable:
                    continue
                value[number], noise[number] = found.values[0, 0], found.noise[0, 0]
                known[number] = True
            continue
        at = list(bench.numbers)
        value[at], noise[at], known[at] = found.values[0], found.noise[0], True
    return Values(value, noise, known)


def tables(
    scene: Scene,
    declared: Declared,
    tries: Sequence[tuple[Pipeline, Points]],
    numbers: Sequence[int],
) -> list[Predicted | None]:
    """Return what each pipeline gives these candidates at its points; None where evidence lacks."""
    grids = [max([len(grid) for grid in points.values()], default=1) for _, points in tries]
    out: list[Predicted | None] = [
        Predicted(np.zeros((size, len(numbers))), np.zeros((size, len(numbers)))) for size in grids
    ]
    column = {number: place for place, number in enumerate(numbers)}
    for bench, places in benches(scene, declared, [pipeline for pipeline, _ in tries], numbers):
        columns = [column[number] for number in bench.numbers]
        for place in places:
            table = out[place]
            if table is None:
                continue
            try:
                found = bench.predict(*tries[place])
            except Unavailable:
                out[place] = None
                continue
            table.values[:, columns], table.noise[:, columns] = found.values, found.noise
    return out


def benches(
    scene: Scene, declared: Declared, pipelines: Sequence[Pipeline], numbers: Sequence[int]
) -> Iterator[tuple[Bench, list[int]]]:
    """Yield benches with the rows at hand that some of the pipelines (their places) read.

    Each pipeline meets each candidate once. As many pipelines share a bench as its memory holds
    rows for, like readings together; where one alone reads more, its candidates are parted.
    """
    for block in blocks(scene, numbers):
        yield from _parted(scene, declared, pipelines, block, range(len(pipelines)))


def _parted(
    scene: Scene,
    declared: Declared,
    pipelines: Sequence[Pipeline],
    numbers: tuple[int, ...],
    places: Iterable[int],
) -> Iterator[tuple[Bench, list[int]]]:
    by_rows: dict[object, list[int]] = {}
    for place in places:
        pipeline = pipelines[place]
        by_rows.setdefault((pipeline.key, "positions" in pipeline.needs()), []).append(place)
    bench = Bench(scene, declared, numbers)
    group: list[int] = []
    asked: set[Asked] = set()
    for alike in by_rows.values():
        more = bench.asked(pipelines[place] for place in alike)
        if group and not bench.fits(len(asked | more)):
            bench.have(asked)
            yield bench, group
            bench.forget()
            group, asked = [], set()
        if len(numbers) > 1 and not bench.fits(len(more)):
            bench.forget()
            half = len(numbers) // 2
            for part in (numbers[:half], numbers[half:]):
                yield from _parted(scene, declared, pipelines, part, alike)
            continue
        group += alike
        asked |= more
    if group:
        bench.have(asked)
        yield bench, group


def blocks(scene: Scene, numbers: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """Yield candidates in blocks whose rows fit the memory."""
    width = max(1, scene.source.vocab) * 8 * 3
    block: list[int] = []
    size = 0
    for number in numbers:
        cost = (len(scene.cases[number].material.tokens) + 1) * width
        if block and size + cost > ROW_BYTES:
            yield tuple(block)
            block, size = [], 0
        block.append(number)
        size += cost
    if block:
        yield tuple(block)


def telling_order(
    scene: Scene, targets: Targets, base: Values, numbers: Sequence[int]
) -> tuple[int, ...]:
    """Return the candidates with a claim, the most telling first.

    Those that the declared computation misses come first, for they are what has to be explained;
    then finite claims of a few tokens; records and lengths take turns.
    """
    missed = ~base.reached(targets)

    def rank(number: int) -> tuple[bool, bool, int, int]:
        size = len(scene.cases[number].material.tokens)
        finite = bool(np.isfinite(targets.low[number]) and np.isfinite(targets.high[number]))
        return (not missed[number], not finite, abs(size - _TELLING), number)

    ordered = sorted(numbers, key=rank)
    out: list[int] = []
    later = ordered
    while later:
        seen: set[tuple[bool, int]] = set()
        sizes: set[tuple[bool, int]] = set()
        rest: list[int] = []
        for number in later:
            case = scene.cases[number]
            record = (bool(missed[number]), case.record)
            size = (bool(missed[number]), len(case.material.tokens))
            if record in seen or size in sizes:
                rest.append(number)
            else:
                seen.add(record)
                sizes.add(size)
                out.append(number)
        later = rest
    return tuple(out)
