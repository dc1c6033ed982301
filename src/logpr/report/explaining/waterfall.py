"""The waterfall of a gap: where each bar starts and how long it is, in percent of its cell."""

from __future__ import annotations

import math
from dataclasses import dataclass

from logpr._values import Explanation
from logpr.report.words.explanation import largest
from logpr.report.words.parts import Sentence

_MARGIN = 3.0
"""Percent of a cell that stay free at either end."""
_PALEST = 0.5
_THINNEST = 0.6


@dataclass(frozen=True, slots=True)
class Step:
    """One bar: from the sum of the bars before it to that sum and its own contribution.

    `after` is where the next bar starts. `strength`, 0.5 to 1, is the place of |contribution| on
    a colour scale that is symmetric about 0. An infinite contribution has a bar to the edge, which
    no later bar starts from.
    """

    label: Sentence
    contribution: float
    bars: int
    start: float
    length: float
    after: float
    strength: float
    endless: bool


@dataclass(frozen=True, slots=True)
class Waterfall:
    """The bars in the order of the texts, then the gap; `most` is the largest |contribution|.

    `both_impossible`: both candidates have probability 0, and bars of −inf and inf have no sum.
    """

    steps: tuple[Step, ...]
    total: Step
    zero: float
    most: float
    both_impossible: bool


def waterfall(value: Explanation) -> Waterfall:
    """Return the bars of an explanation's waterfall; their contributions sum to the gap."""
    shown = largest(value)
    sound = [each.contribution if math.isfinite(each.contribution) else 0.0 for each in shown]
    sums = [0.0]
    for contribution in sound:
        sums.append(sums[-1] + contribution)
    gap = value.gap
    ends = [*sums, gap] if math.isfinite(gap) else sums
    low, high = min(ends), max(ends)
    wide = high - low or 1.0
    most = max((abs(each) for each in sound), default=0.0)

    def across(number: float) -> float:
        if math.isinf(number):
            return 0.0 if number < 0 else 100.0
        return _MARGIN + (number - low) / wide * (100.0 - 2 * _MARGIN)

    def step(label: Sentence, own: float, bars: int, before: float, after: float) -> Step:
        end = before + own
        start = min(across(before), across(end)) if not math.isnan(end) else across(before)
        length = 0.0 if math.isnan(end) else abs(across(end) - across(before))
        share = min(1.0, abs(own) / most) if most else float(bool(own))
        return Step(
            label=label,
            contribution=own,
            bars=bars,
            start=round(start, 2),
            length=round(max(length, _THINNEST), 2) if own else 0.0,
            after=round(across(after), 2),
            strength=round(_PALEST + (1 - _PALEST) * share, 2),
            endless=math.isinf(own),
        )

    return Waterfall(
        steps=tuple(
            step(each.label, each.contribution, each.bars, sums[at], sums[at + 1])
            for at, each in enumerate(shown)
        ),
        total=step(("gap",), gap, len(value.bars), 0.0, gap),
        zero=round(across(0.0), 2),
        most=most,
        both_impossible=math.isnan(sum(each.contribution for each in shown)),
    )
