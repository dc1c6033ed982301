"""Predictions for all claims at once, and the order in which claims are asked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64

from logpr.auditing.scene.scene import Scene
from logpr.auditing.scene.steps import Unavailable
from logpr.auditing.search.pipeline import Declared, Pipeline
from logpr.auditing.search.predict import ROW_BYTES, Bench, Points
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
    for block in blocks(scene, numbers):
        bench = Bench(scene, declared, block)
        bench.fetch([pipeline])
        try:
            found = bench.predict(pipeline, points)
        except Unavailable:
            for number in block:
                alone = Bench(scene, declared, (number,))
                alone.fetch([pipeline])
                try:
                    found = alone.predict(pipeline, points)
                except Unavailable:
                    continue
                value[number], noise[number] = found.values[0, 0], found.noise[0, 0]
                known[number] = True
            continue
        at = list(block)
        value[at], noise[at], known[at] = found.values[0], found.noise[0], True
    return Values(value, noise, known)


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
