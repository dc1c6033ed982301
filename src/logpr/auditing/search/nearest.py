"""The computations that failed, the nearest first: what else was looked at, and how far off."""

from __future__ import annotations

import numpy as np

from logpr._values import AuditAlternative
from logpr.auditing.scene.scene import Scene
from logpr.auditing.search.judge import Judgement
from logpr.auditing.search.naming import found_of
from logpr.auditing.search.panel import tables
from logpr.auditing.search.pipeline import Declared, Pipeline, changes
from logpr.auditing.search.predict import Points
from logpr.auditing.search.race import Targets, matches

_CLAIMS = 24
_SHOWN = 6


def nearest(
    scene: Scene, declared: Declared, targets: Targets, found: Judgement
) -> tuple[AuditAlternative, ...]:
    """Return the declared computation where it failed, and the single changes that came nearest."""
    numbers = found.numbers
    if not numbers:
        return ()
    out: list[AuditAlternative] = []
    if found.leader is not None or found.verdict not in ("correct", "not_enough_precision"):
        right = found.base.within(targets, numbers)
        off = found.base.off_by(targets)[list(numbers)]
        out.append(
            AuditAlternative(
                changes=(),
                stands=bool(right.all()),
                explained=int(right.sum()),
                tested=len(numbers),
                off_by=_finite(float(off.max())),
            )
        )
    sample = numbers[:_CLAIMS]
    standing = {trial.pipeline for trial in (*found.same, *found.standing)}
    if found.leader is not None:
        standing.add(found.leader.pipeline)
    tries = [
        Pipeline((change,))
        for change in changes(scene, declared).possible
        if change.axis is None and change.tier == 0
    ]
    tries = [pipeline for pipeline in tries if pipeline not in standing]
    failed: list[AuditAlternative] = []
    asked = [(pipeline, Points()) for pipeline in tries]
    for pipeline, predicted in zip(tries, tables(scene, declared, asked, sample), strict=True):
        if predicted is None:
            continue
        inside = matches(predicted, targets.of(sample))[0]
        if inside.all():
            continue
        with np.errstate(invalid="ignore"):
            gap = np.fmax(
                targets.of(sample).low - predicted.values[0] - predicted.noise[0],
                predicted.values[0] - predicted.noise[0] - targets.of(sample).high,
            )
        failed.append(
            AuditAlternative(
                changes=found_of(pipeline),
                stands=False,
                explained=int(inside.sum()),
                tested=len(sample),
                off_by=_finite(float(np.where(inside, 0.0, np.nan_to_num(gap, nan=np.inf)).max())),
            )
        )
    failed.sort(
        key=lambda each: (-each.explained, each.off_by if each.off_by is not None else np.inf)
    )
    return (*out, *failed[:_SHOWN])


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None
