"""Stage mask: which steps count. A change gives a layout's steps anew."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from logpr.auditing.faults._entry import Change, Fault
from logpr.auditing.faults.context import COMPANY, PAD_ID, pads_and_companies
from logpr.auditing.scene.layout import Layout
from logpr.auditing.scene.scene import Company, Scene
from logpr.auditing.scene.steps import Step


@cache
def _pad_counted(pad_id: int, company: Company) -> Change:
    def run(layout: Layout, steps: list[Step]) -> list[Step]:
        whole = layout.sequence
        count = layout.pads(company)
        padded = whole + (pad_id,) * count
        extra = [
            layout.step(len(whole) + place, len(whole) + place, pad_id, padded)
            for place in range(count)
        ]
        return steps + [step for step in extra if step is not None]

    def sized(layout: Layout, steps: list[Step]) -> int:
        end = len(layout.sequence)
        pads = range(end, end + layout.pads(company))
        return len(steps) + sum(map(layout.readable, pads))

    fixed = (("pad_id", pad_id), ("company", company))
    tier = 1 if isinstance(company, int) else 0
    return Change("pad_counted", "mask", run, fixed, tier=tier, count="context", sized=sized)


@cache
def _eos_as_pad_masked(pad_id: int) -> Change:
    def run(layout: Layout, steps: list[Step]) -> list[Step]:
        ends = layout.end_ids
        return [
            step for step in steps if pad_id not in ((step.token,) if step.token >= 0 else ends)
        ]

    return Change("eos_as_pad_masked", "mask", run, (("pad_id", pad_id),))


def _pads(scene: Scene) -> Sequence[Change]:
    return tuple(_pad_counted(pad, company) for pad, company in pads_and_companies(scene))


def _masked(scene: Scene) -> Sequence[Change]:
    scored = {token for case in scene.cases for token in case.material.tokens}
    scored |= {token for case in scene.cases for token in case.material.end_ids}
    return tuple(_eos_as_pad_masked(pad) for pad in scene.pad_ids if pad in scored)


ENTRIES = (
    Fault(
        "pad_counted",
        "mask",
        "fault",
        _pads,
        _pad_counted,
        (PAD_ID, COMPANY),
    ),
    Fault(
        "eos_as_pad_masked",
        "mask",
        "fault",
        _masked,
        _eos_as_pad_masked,
        (PAD_ID,),
    ),
)
