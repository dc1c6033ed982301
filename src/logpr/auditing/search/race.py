"""Hypotheses against claims: a parameter is a box that shrinks claim by claim, or is gone.

Every claim lies in its interval, widened by numerical noise, or the hypothesis falls. A parameter
that varies starts as the whole of its range cut in cells; a cell stays while what it predicts at
its corners still reaches every claim, and is cut finer as long as the claims can tell.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import product
from typing import TypeAlias

import numpy as np
from jaxtyping import Bool, Float64

from logpr.auditing.faults import Axis
from logpr.auditing.scene.steps import Unavailable
from logpr.auditing.search.pipeline import Pipeline
from logpr.auditing.search.predict import Bench, Points, Predicted

Bounds: TypeAlias = Float64[np.ndarray, " cells"]
Claims: TypeAlias = Float64[np.ndarray, " candidates"]

_CELLS = {1: 64, 2: 40}
"""Cells of each solved parameter at first, by how many there are."""
_CUTS = {1: 8, 2: 3}
_MOST_CELLS = 1 << 18
_FINE = 400
"""No more than so many cells are cut finer before another claim has been asked."""
_DEPTH = 14


@dataclass(frozen=True, slots=True)
class Targets:
    """The intervals that claims stand for, one a candidate; NaN claims are NaN in both."""

    low: Claims
    high: Claims

    def of(self, numbers: tuple[int, ...]) -> Targets:
        """Return those of some candidates."""
        at = list(numbers)
        return Targets(self.low[at], self.high[at])

    @property
    def width(self) -> Claims:
        """Return high − low."""
        with np.errstate(invalid="ignore"):
            width: Claims = np.nan_to_num(self.high - self.low)
        return width


@dataclass(slots=True)
class Trial:
    """One pipeline, and the values of its parameters that no claim has ruled out yet."""

    pipeline: Pipeline
    low: dict[str, Bounds] = field(default_factory=dict)
    high: dict[str, Bounds] = field(default_factory=dict)
    tried: int = 0
    untestable: str | None = None
    begun: bool = False

    @property
    def solved(self) -> tuple[tuple[str, Axis], ...]:
        """Return the stages with a parameter that is solved, not enumerated."""
        return tuple(
            (change.stage, change.axis)
            for change in self.pipeline.axes
            if change.axis is not None and not change.axis.integer
        )

    @property
    def size(self) -> int:
        """Return how many cells are left; one where nothing varies."""
        return len(next(iter(self.low.values()))) if self.low else 1

    def begin(self) -> None:
        """Lay out all cells."""
        self.begun = True
        axes = [(c.stage, c.axis) for c in self.pipeline.axes if c.axis is not None]
        if not axes:
            self.tried = 1
            return
        count = _CELLS.get(len(self.solved), 1)
        lows, highs = [], []
        for _, axis in axes:
            edges = axis.grid(count + 1)
            lows.append(edges if axis.integer else edges[:-1])
            highs.append(edges if axis.integer else edges[1:])
        self.tried = int(np.prod([len(low) for low in lows]))
        mesh = np.meshgrid(*[np.arange(len(low)) for low in lows], indexing="ij")
        for (stage, _), low, high, place in zip(axes, lows, highs, mesh, strict=True):
            self.low[stage] = low[place.ravel()]
            self.high[stage] = high[place.ravel()]

    def keep(self, alive: Bool[np.ndarray, " cells"]) -> bool:
        """Drop the other cells; return whether any is left."""
        if not self.low:
            return bool(alive[0])
        for stage in self.low:
            self.low[stage], self.high[stage] = self.low[stage][alive], self.high[stage][alive]
        return bool(alive.any())

    def cut(self) -> None:
        """Cut each cell into smaller ones along each solved parameter."""
        parts = _CUTS[len(self.solved)]
        for stage, axis in self.solved:
            low, high = self.low[stage], self.high[stage]
            share = np.arange(parts + 1)[None, :] / parts
            if axis.log:
                edges = low[:, None] * (high / low)[:, None] ** share
            else:
                edges = low[:, None] + (high - low)[:, None] * share
            for other in self.low:
                if other != stage:
                    self.low[other] = np.repeat(self.low[other], parts)
                    self.high[other] = np.repeat(self.high[other], parts)
            self.low[stage], self.high[stage] = edges[:, :-1].ravel(), edges[:, 1:].ravel()

    def centres(self) -> Points:
        """Return the middle of each cell."""
        return {stage: (self.low[stage] + self.high[stage]) / 2.0 for stage in self.low}


def matches(found: Predicted, targets: Targets) -> Bool[np.ndarray, "cells candidates"]:
    """Return which predictions lie in their claims' intervals, noise allowed for."""
    with np.errstate(invalid="ignore"):
        inside = (found.values + found.noise >= targets.low) & (
            found.values - found.noise <= targets.high
        )
    both: Bool[np.ndarray, "cells candidates"] = np.isnan(found.values) & np.isnan(targets.low)
    out: Bool[np.ndarray, "cells candidates"] = inside | both
    return out


def _all(table: Bool[np.ndarray, "cells candidates"]) -> Bool[np.ndarray, " cells"]:
    """Return for which cells every claim holds."""
    out: Bool[np.ndarray, " cells"] = np.all(table, axis=1)
    return out


def test(bench: Bench, trial: Trial, targets: Targets) -> bool:
    """Hold a trial against the claims of a bench; return whether anything of it is left.

    A pipeline that this evidence cannot test is noted as such, and falls.
    """
    if not trial.begun:
        trial.begin()
    try:
        if not trial.solved:
            found = bench.predict(trial.pipeline, dict(trial.low))
            return trial.keep(_all(matches(found, targets)))
        return _narrow(bench, trial, targets)
    except Unavailable as reason:
        trial.untestable = reason.needs
        return False


def _narrow(bench: Bench, trial: Trial, targets: Targets) -> bool:
    first = trial.size == trial.tried
    for _ in range(_DEPTH):
        low, high, flat = _reach(bench, trial, targets, wide=first)
        with np.errstate(invalid="ignore"):
            alive = ((high >= targets.low) & (low <= targets.high)) | (
                np.isnan(low) & np.isnan(targets.low)
            )
        kept = _all(alive)
        if not trial.keep(kept):
            return False
        flat = flat[kept]
        # Where the claims cannot tell the ends of any cell apart there is nothing to cut for.
        if flat.all() or trial.size > _FINE:
            return True
        trial.cut()
        first = False
    return True


def _reach(
    bench: Bench, trial: Trial, targets: Targets, *, wide: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return what each cell may predict, from its corners, and whether that is narrow already."""
    names = [stage for stage, _ in trial.solved]
    corners: list[Predicted] = []
    for ends in product((False, True), repeat=len(names)):
        points = dict(trial.low)
        for stage, upper in zip(names, ends, strict=True):
            points[stage] = trial.high[stage] if upper else trial.low[stage]
        corners.append(bench.predict(trial.pipeline, points))
    values = np.stack([corner.values for corner in corners])
    noise = np.stack([corner.noise for corner in corners])
    with np.errstate(all="ignore"):
        low = np.fmin.reduce(values, axis=0)
        high = np.fmax.reduce(values, axis=0)
        # Between its corners a curve may bend out by about as much as it climbs along them; near
        # its top it climbs little here, and more in the cells beside.
        bend = high - low
        if wide and len(names) == 1 and len(bend) > 2:  # noqa: PLR2004 - a cell has two neighbours
            bend = np.fmax(bend, np.fmax(np.roll(bend, 1, axis=0), np.roll(bend, -1, axis=0)))
        slack = noise.max(axis=0) + np.nan_to_num(bend) * (1.0 if wide else 0.25)
        narrow = np.fmax(noise.max(axis=0), targets.width * 0.05)
        flat = (np.nan_to_num(high - low) <= narrow).all(axis=1)
        return low - slack, high + slack, flat


def settle(predict: Callable[[Points], Predicted | None], trial: Trial, targets: Targets) -> bool:
    """Keep the cells whose middle reproduces every claim; return whether there are any."""
    for _ in range(3):
        found = predict(trial.centres())
        if found is None:
            return False
        inside = _all(matches(found, targets))
        if inside.any():
            return trial.keep(inside)
        if trial.size > _MOST_CELLS // 8:
            return False
        trial.cut()
    return False
