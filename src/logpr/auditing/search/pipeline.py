"""A scorer as it may have been: the declared one with changes, each of another stage."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import TypeAlias

from logpr.auditing.faults import FAULTS, STAGES, Change
from logpr.auditing.faults.scores import CORRECT
from logpr.auditing.scene.layout import Layout
from logpr.auditing.scene.scene import Scene
from logpr.auditing.scene.steps import Reading, Step

Key: TypeAlias = tuple[object, ...]
"""What decides the steps: the changes of encode, context, align and mask, by identity."""

_READING = ("encode", "context", "align", "mask")


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Changes of different stages, in the order of the stages; none is what was declared."""

    changes: tuple[Change, ...] = ()
    neutral: bool = False
    """Whether every prompt is dropped before anything else: what pmi takes off."""

    def of(self, stage: str) -> Change | None:
        """Return the change of a stage, if there is one."""
        return next((change for change in self.changes if change.stage == stage), None)

    @property
    def key(self) -> Key:
        """Return what decides which rows are read for which tokens."""
        return (
            self.neutral,
            *((change.fault, change.fixed) for change in self.changes if change.stage in _READING),
        )

    @property
    def axes(self) -> tuple[Change, ...]:
        """Return the changes with a parameter that varies."""
        return tuple(change for change in self.changes if change.axis is not None)

    @property
    def freedom(self) -> tuple[int, ...]:
        """Return what was free to choose, most first: 0 words, 1 whole numbers, 2 real ones."""
        return tuple(sorted((change.freedom for change in self.changes), reverse=True))

    @property
    def choices_only(self) -> bool:
        """Return whether each change is a choice, and no fault."""
        return all(FAULTS[change.fault].kind == "choice" for change in self.changes)

    def needs(self) -> set[str]:
        """Return what the evidence must hold."""
        return {change.needs for change in self.changes if change.needs}


@dataclass(frozen=True, slots=True)
class Declared:
    """What the claims are declared to be: the aggregate and the unit of the correct scorer."""

    aggregate: Change
    unit: Change
    normalise: Change = CORRECT


_RAW = ("logit", "raw", "positions")
_WHOLE = ("row", "raw", "positions")


def lacking(scene: Scene, change: Change) -> str | None:
    """Return what the evidence lacks to test a change, or None."""
    source = scene.source
    if change.needs in _RAW and not source.raw:
        return "raw logits (an endpoint's log-probabilities say nothing of them)"
    if change.needs in _WHOLE and source.top is not None:
        return "whole rows of logits"
    if change.needs == "top" and source.top is not None and source.top < 1:
        return "each step's largest logits"
    if change.fault == "half_precision" and scene.rounded:
        # In the room of that rounding it is near everything that is near the truth.
        return "rows that are not rounded to 16 bits"
    return None


@dataclass(frozen=True, slots=True)
class Changes:
    """Every change that can be tried, and for the others what the evidence lacks -> their ids."""

    possible: tuple[Change, ...]
    lacking: dict[str, set[str]]


def changes(scene: Scene, declared: Declared, *, thorough: bool = False) -> Changes:
    """Return every change that can be tried on this scene, in the order of the stages.

    `thorough`: with every batch size and window, not only those that people choose.
    """
    scene = replace(scene, thorough=thorough)
    found: list[Change] = []
    missing: dict[str, set[str]] = {}
    for fault in FAULTS.values():
        if fault.id in (declared.aggregate.fault, declared.unit.fault):
            continue
        for change in fault.changes(scene):
            needs = lacking(scene, change)
            if needs is None:
                found.append(change)
            else:
                missing.setdefault(needs, set()).add(fault.id)
    return Changes(tuple(found), missing)


def pairs(found: Sequence[Change]) -> Iterator[Pipeline]:
    """Yield every two changes of different stages."""
    for first, second in combinations(found, 2):
        if first.stage != second.stage:
            ordered = sorted((first, second), key=lambda change: STAGES.index(change.stage))
            yield Pipeline(tuple(ordered))


def reading(scene: Scene, pipeline: Pipeline, number: int) -> Reading | None:
    """Return the steps of one candidate under a pipeline; None where it cannot be fed so."""
    layout = layout_of(scene, pipeline, number)
    material = None if layout is None else layout.materials[number]
    if layout is None or material is None:
        return None
    return Reading(
        number=number,
        steps=tuple(steps_of(layout, pipeline)),
        prompt_tokens=len(layout.context),
        sequence=layout.sequence,
        chars=material.chars,
        bytes=material.bytes,
        end_ids=layout.end_ids,
    )


def layout_of(scene: Scene, pipeline: Pipeline, number: int) -> Layout | None:
    """Return how one candidate lies after encode and context."""
    encode, context = pipeline.of("encode"), pipeline.of("context")
    key: object = None if encode is None else (encode.fault, encode.fixed)
    materials = scene.materials(key, None if encode is None else encode.run)
    if pipeline.neutral:
        key = (key, "neutral")
        materials = scene.neutral(key, materials)
    material = materials[number]
    if material is None:
        return None
    layout = Layout(
        scene=scene,
        case=scene.cases[number],
        key=key,
        materials=materials,
        context=material.context,
        tokens=material.tokens,
        end_ids=material.end_ids,
    )
    if context is not None:
        changed: Layout = context.run(layout)
        return replace(changed, context_key=(context.fault, context.fixed), context_run=context.run)
    return layout


def steps_of(layout: Layout, pipeline: Pipeline) -> list[Step]:
    """Return the steps that are read and counted."""
    steps, mask = _aligned(layout, pipeline), pipeline.of("mask")
    if mask is not None:
        steps = mask.run(layout, steps)
    return steps


def _aligned(layout: Layout, pipeline: Pipeline) -> list[Step]:
    align = pipeline.of("align")
    steps: list[Step] = layout.steps() if align is None else align.run(layout)
    return steps


def counted_like(pipeline: Pipeline) -> Pipeline:
    """Return a pipeline whose candidates have as many steps, and whose steps are found faster."""
    kept = tuple(change for change in pipeline.changes if change.stage in _READING)
    # What leaves as many steps by itself moves where another change looks for rows.
    if all(change.count != "context" for change in kept):
        kept = tuple(change for change in kept if change.count != "same")
    return replace(pipeline, changes=kept)


def step_count(scene: Scene, pipeline: Pipeline, number: int) -> int:
    """Return how many steps a candidate has; padding that is counted is not laid out for it."""
    mask = pipeline.of("mask")
    if mask is None or mask.sized is None:
        read = reading(scene, pipeline, number)
        return 0 if read is None else len(read.steps)
    layout = layout_of(scene, pipeline, number)
    if layout is None:
        return 0
    count: int = mask.sized(layout, _aligned(layout, pipeline))
    return count


def without_prompt(pipeline: Pipeline) -> Pipeline:
    """Return the same up to the normalised steps, without any prompt: what pmi takes off."""
    kept = tuple(change for change in pipeline.changes if change.stage not in ("aggregate", "unit"))
    return replace(pipeline, changes=kept, neutral=True)
