"""The search: which pipelines reproduce every claim. Singles, and where none does, pairs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from logpr.auditing.scene.scene import Scene
from logpr.auditing.search.panel import benches, tables
from logpr.auditing.search.pipeline import Declared, Pipeline
from logpr.auditing.search.predict import Points, Predicted
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
            trials = self._held(trials, numbers, found)
            start += size
        found.standing = [trial for trial in trials if self._settled(trial)]
        return found

    def _held(self, trials: Sequence[Trial], numbers: Sequence[int], found: Found) -> list[Trial]:
        """Return the trials that hold for these claims."""
        fallen: set[int] = set()
        pipelines = [trial.pipeline for trial in trials]
        for bench, places in benches(self.scene, self.declared, pipelines, numbers):
            targets = self.targets.of(bench.numbers)
            for place in places:
                if place in fallen:
                    continue
                trial = trials[place]
                fresh = not trial.begun
                if not test(bench, trial, targets):
                    fallen.add(place)
                    if trial.untestable is not None:
                        ids = found.untestable.setdefault(trial.untestable, set())
                        ids.update(change.fault for change in trial.pipeline.changes)
                found.tried += trial.tried if fresh else 0
        return [trial for place, trial in enumerate(trials) if place not in fallen]

    def _settled(self, trial: Trial) -> bool:
        """Return whether one value of the parameters reproduces all claims."""
        if not trial.solved:
            return True
        numbers = self.numbers[: max(64, sum(_FIRST))]

        def predict(points: Points) -> Predicted | None:
            asked = [(trial.pipeline, points)]
            return tables(self.scene, self.declared, asked, numbers)[0]

        return settle(predict, trial, self.targets.of(numbers))
