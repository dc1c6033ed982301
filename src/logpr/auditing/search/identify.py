"""The search: which pipelines reproduce every claim. Singles, and where none does, pairs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from logpr.auditing.scene.scene import Scene
from logpr.auditing.search.panel import blocks
from logpr.auditing.search.pipeline import Declared, Pipeline
from logpr.auditing.search.predict import ROW_BYTES, Bench
from logpr.auditing.search.race import Targets, Trial, settle, test

_FIRST = (1, 2, 9)
"""Claims asked one after the other of all that still stands; then the rest, in blocks."""

Progress = Callable[[str, int, int], None]


@dataclass(slots=True)
class Found:
    """What stands after a search, and how much was tried."""

    standing: list[Trial] = field(default_factory=list)
    tried: int = 0
    untestable: dict[str, set[str]] = field(default_factory=dict)
    """What the evidence lacks -> the ids that need it."""


@dataclass(slots=True)
class Search:
    """The claims of a scene, in the order in which they are asked.

    Args:
        scene: all candidates.
        declared: what the claims are declared to be.
        targets: what was claimed, one a candidate; read for `numbers` alone.
        numbers: the candidates with a claim, the most telling first.
        progress: told what is done, how much of how much.
    """

    scene: Scene
    declared: Declared
    targets: Targets
    numbers: tuple[int, ...]
    progress: Progress = lambda *_: None

    def run(self, pipelines: Iterable[Pipeline]) -> Found:
        """Return the pipelines that reproduce all claims."""
        found = Found()
        trials = [Trial(pipeline) for pipeline in pipelines]
        start = 0
        for size in (*_FIRST, len(self.numbers)):
            numbers = self.numbers[start : start + size]
            if not numbers or not trials:
                break
            kept: list[Trial] = []
            for block in blocks(self.scene, numbers):
                kept = self._held(trials, block, found)
                trials = kept
            start += size
        settled = [trial for trial in trials if self._settled(trial)]
        found.standing = settled
        return found

    def _held(self, trials: Sequence[Trial], numbers: tuple[int, ...], found: Found) -> list[Trial]:
        """Return the trials that hold for these claims."""
        kept: list[Trial] = []
        targets = self.targets.of(numbers)
        for group in _groups(trials, self.scene, len(numbers)):
            bench = Bench(self.scene, self.declared, numbers)
            bench.fetch(trial.pipeline for trial in group)
            for trial in group:
                fresh = not trial.begun
                if test(bench, trial, targets):
                    kept.append(trial)
                elif trial.untestable is not None:
                    ids = found.untestable.setdefault(trial.untestable, set())
                    ids.update(change.fault for change in trial.pipeline.changes)
                found.tried += trial.tried if fresh else 0
        return kept

    def _settled(self, trial: Trial) -> bool:
        """Return whether one value of the parameters reproduces all claims."""
        if not trial.solved:
            return True
        numbers = self.numbers[: max(64, sum(_FIRST))]
        bench = Bench(self.scene, self.declared, numbers)
        bench.fetch([trial.pipeline])
        return settle(bench, trial, self.targets.of(numbers))


def _groups(trials: Sequence[Trial], scene: Scene, candidates: int) -> Iterator[list[Trial]]:
    """Yield the trials in groups whose rows fit the memory together, like readings together."""
    by_key: dict[object, list[Trial]] = {}
    for trial in trials:
        by_key.setdefault(trial.pipeline.key, []).append(trial)
    lengths = [len(case.material.tokens) + 1 for case in scene.cases]
    cost = candidates * max(1, int(np.mean(lengths))) * max(1, scene.source.vocab) * 8
    fits = max(1, ROW_BYTES // cost)
    group: list[Trial] = []
    for place, same in enumerate(by_key.values()):
        group += same
        if (place + 1) % fits == 0:
            yield group
            group = []
    if group:
        yield group
