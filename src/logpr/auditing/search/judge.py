"""From claims to a verdict: what reproduces them, and whether the digits support saying so.

The order of AUDIT's preferences: the declared computation; single changes; the same in half
precision; pairs; and where nothing explains all claims, the largest part that something does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from logpr._values import MixedGroup
from logpr._values.audit import AuditVerdict
from logpr.auditing.scene.scene import Scene
from logpr.auditing.search.chance import Chance
from logpr.auditing.search.halves import HalfNoise, Halves, fits
from logpr.auditing.search.identify import Found, Progress, Search
from logpr.auditing.search.mixed import Part, parts_of
from logpr.auditing.search.panel import Values, predict_all, telling_order
from logpr.auditing.search.pipeline import Changes, Declared, Pipeline, changes, pairs
from logpr.auditing.search.predict import Points
from logpr.auditing.search.race import Targets, Trial

CHANCE = 0.05
"""A match of the declared computation of which so many are expected by accident is no match."""

_ACCUSED = 0.01
"""The same for a match that accuses: it takes better digits, or more of them."""

_NEAR = 4.0
"""Within so many times the noise of the declared computation, another one is no other."""

HALF = 3.0
"""Half-precision computations differ from each other by up to so many times their largest step."""

_MOST_HALF = 0.5
"""Nats per token beyond which nobody looks for half precision."""

_ALIKE = 64
"""Claims on which other computations than a correct one are tried."""

_COMPARED = 200
"""Claims on which two computations that reproduce all of them are held against each other."""

_COARSE = 0.5
"""Claims rounded to whole nats do not show what tells scorers apart."""


@dataclass(slots=True)
class Judgement:
    """The verdict on claims, and all that it rests on.

    `leader` is the computation that is named, None for the declared one; `same` those that this
    input cannot tell from it; `standing` all others that reproduce the claims too. `failed` are
    single changes that came nearest. Values are over all candidates of the scene.
    """

    verdict: AuditVerdict
    base: Values
    numbers: tuple[int, ...]
    leader: Trial | None = None
    reproduced: Values | None = None
    same: tuple[Trial, ...] = ()
    standing: tuple[Trial, ...] = ()
    tried: int = 0
    expected: float | None = None
    computed_in: str | None = None
    half_noise: float | None = None
    last_digit: int = 0
    """Claims that are off by one in their last digit."""
    lacking: dict[str, set[str]] = field(default_factory=dict)
    parts: tuple[Part, ...] = ()
    groups: tuple[MixedGroup, ...] = ()


def judge(
    scene: Scene,
    declared: Declared,
    targets: Targets,
    numbers: Sequence[int],
    *,
    halves: Halves = lambda *_: {},
    progress: Progress = lambda *_: None,
) -> Judgement:
    """Return the verdict on the claims of these candidates.

    Args:
        scene: all candidates of the file.
        declared: what the claims are declared to be.
        targets: their intervals.
        numbers: the candidates that have a claim.
        halves: how far half precision is from the running one, asked only where it matters.
        progress: told what is being tried.
    """
    progress("the declared computation", 0, len(numbers))
    base = predict_all(scene, declared, Pipeline(), {}, [case.number for case in scene.cases])
    usable = tuple(number for number in numbers if base.known[number])
    found = changes(scene, declared)
    if not usable:
        return Judgement("not_enough_evidence", base, (), lacking=found.lacking)
    order = telling_order(scene, targets, base, usable)
    search = Search(scene, declared, targets, order, progress)
    court = _Court(search, base, found, changes(scene, declared, thorough=True), halves)
    return court.sit()


@dataclass(slots=True)
class _Court:
    search: Search
    base: Values
    changes: Changes
    every: Changes
    """All batch sizes and windows: for singles, which are few."""
    halves: Halves
    _half: Mapping[str, HalfNoise] | None = None

    def sit(self) -> Judgement:
        """Go through the preferences, one after the other."""
        chance = Chance.of(self.search, self.base, self.changes.possible)
        right = self.base.within(self._targets, self._numbers)
        coarse = self._coarse()
        if right.all():
            expected = chance.expected(1)
            enough = expected <= CHANCE and not coarse
            out = self._out("correct" if enough else "not_enough_precision", expected=expected)
            out.reproduced, out.tried = self.base, 1
            # What else gives these numbers is told on a part of them: nothing is named by it.
            part = replace(self.search, numbers=self._numbers[:_ALIKE])
            singles = part.run(Pipeline((change,)) for change in self.changes.possible)
            out.tried = singles.tried + 1
            out.same, out.standing = self._parted(self.base, singles.standing)
            return out
        singles = self._singles()
        named = self._named(singles, chance)
        if named is None:
            loose = self._in_half(right)
            if loose is not None:
                loose.tried = singles.tried + 1
                return loose
            named = self._named(self._pairs(), chance, before=singles.tried)
        if named is None:
            return self._mixed(singles)
        if coarse and named.verdict != "correct":
            named.verdict = "not_enough_precision"
        return named

    @property
    def _targets(self) -> Targets:
        return self.search.targets

    @property
    def _numbers(self) -> tuple[int, ...]:
        return self.search.numbers

    def _singles(self) -> Found:
        self.search.progress("single changes", 0, len(self.every.possible))
        return self.search.run(Pipeline((change,)) for change in self.every.possible)

    def _pairs(self) -> Found:
        self.search.progress("pairs of changes", 0, len(self.changes.possible) ** 2)
        return self.search.run(pairs(self.changes.possible))

    def _out(self, verdict: AuditVerdict, *, expected: float | None = None) -> Judgement:
        return Judgement(
            verdict,
            self.base,
            self._numbers,
            expected=expected,
            lacking=dict(self.changes.lacking),
        )

    def _named(self, found: Found, chance: Chance, *, before: int = 0) -> Judgement | None:
        """Return the judgement where something stands, None where nothing does."""
        if not found.standing:
            return None
        least = min(trial.pipeline.freedom for trial in found.standing)
        best = [trial for trial in found.standing if trial.pipeline.freedom == least]
        # A choice before a fault: never accuse where a harmless reading says the same.
        best.sort(key=lambda trial: not trial.pipeline.choices_only)
        leader, rest = best[0], best[1:]
        lead = self._predicted(leader)
        if self._is_declared(leader, lead):
            return self._declared(found, before)
        solved = len(leader.solved)
        unit = leader.pipeline.of("unit") or self.search.declared.unit
        expected = chance.expected(
            before + found.tried, solved=solved, leader=lead, shares=unit.fault == "choice_prob"
        )
        if solved and self._half_says(before + found.tried, solved):
            half = self._in_half(self.base.within(self._targets, self._numbers))
            if half is not None:
                half.tried = before + found.tried + 1
                return half
        same, distinct = self._parted(lead, rest)
        out = self._out(self._verdict(leader, distinct, expected), expected=expected)
        out.leader, out.reproduced, out.same = leader, lead, same
        out.standing = tuple(
            trial for trial in found.standing if trial is not leader and trial not in same
        )
        out.tried = before + found.tried + 1
        for needs, ids in found.untestable.items():
            out.lacking.setdefault(needs, set()).update(ids)
        return out

    def _verdict(self, leader: Trial, distinct: Sequence[Trial], expected: float) -> AuditVerdict:
        if expected > _ACCUSED:
            return "not_enough_precision"
        if distinct:
            return "ambiguous"
        return "other_definition" if leader.pipeline.choices_only else "fault"

    def _predicted(self, trial: Trial) -> Values:
        everyone = [case.number for case in self.search.scene.cases]
        return predict_all(
            self.search.scene, self.search.declared, trial.pipeline, middle(trial), everyone
        )

    def _parted(
        self, lead: Values, trials: Sequence[Trial]
    ) -> tuple[tuple[Trial, ...], tuple[Trial, ...]]:
        """Return the computations that give the same numbers on this input, and the others."""
        same: list[Trial] = []
        other: list[Trial] = []
        for trial in trials:
            values = predict_all(
                self.search.scene,
                self.search.declared,
                trial.pipeline,
                middle(trial),
                self._numbers[:_COMPARED],
            )
            (same if self._equal(lead, values) else other).append(trial)
        return tuple(same), tuple(other)

    def _equal(self, one: Values, other: Values) -> bool:
        """Return whether two computations give the same numbers on this input."""
        at = list(self._numbers[:_COMPARED])
        with np.errstate(invalid="ignore"):
            close = np.abs(one.value - other.value)[at] <= (one.noise + other.noise)[at]
        both = (one.value == other.value) | (np.isnan(one.value) & np.isnan(other.value))
        return bool((close | both[at]).all())

    def _near(self, *, digits: float) -> Values:
        """Return the declared computation with room for other rounding, of `digits` last places."""
        room = _NEAR * self.base.noise + digits * self._targets.width
        return Values(self.base.value, room, self.base.known)

    def _is_declared(self, leader: Trial, lead: Values) -> bool:
        """Return whether a computation is the declared one but for rounding, as are the claims.

        A parameter that was solved fits claims whose last digit was cut off, not rounded: it is 1
        but for a hair, and no fault.
        """
        at = list(self._numbers)
        if self._cut_off():
            return bool(self._beside(lead, self._near(digits=1.0)))
        wide = self._near(digits=1.0 if leader.solved else 0.0)
        with np.errstate(invalid="ignore"):
            near = np.abs(lead.value - self.base.value)[at] <= 1.5 * wide.noise[at]
        return bool(near.all() and wide.within(self._targets, self._numbers).all())

    def _declared(self, found: Found, before: int) -> Judgement:
        out = self._rounded()
        out.standing, out.tried = tuple(found.standing), before + found.tried + 1
        return out

    def _beside(self, lead: Values, wide: Values) -> bool:
        """Return whether a computation differs from the declared one by no more than that."""
        at = list(self._numbers)
        with np.errstate(invalid="ignore"):
            return bool((np.abs(lead.value - self.base.value)[at] <= 1.5 * wide.noise[at]).all())

    def _cut_off(self) -> bool:
        """Return whether the claims are the declared numbers with their further digits cut off.

        All lie on one side of the truth then, by less than one in the last place.
        """
        at = list(self._numbers)
        room = (_NEAR * self.base.noise)[at]
        width = self._targets.width[at]
        with np.errstate(invalid="ignore"):
            middle_of = (self._targets.low + self._targets.high)[at] / 2.0
            off = middle_of - self.base.value[at]
        up = (off >= -room) & (off <= width + room)
        down = (off <= room) & (off >= -width - room)
        return bool(up.all() or down.all())

    def _rounded(self) -> Judgement:
        """Return `correct` of claims that are the declared numbers but for their rounding."""
        out = self._out("correct")
        tight = self._near(digits=0.0)
        missed = ~tight.within(self._targets, self._numbers)
        out.last_digit = int(missed.sum())
        out.reproduced = self._near(digits=1.0) if out.last_digit else tight
        return out

    def _coarse(self) -> bool:
        """Return whether all claims are whole numbers where the declared ones are not."""
        at = list(self._numbers)
        width = self._targets.width[at]
        finite = np.isfinite(self._targets.low[at])
        if not finite.any() or width[finite].min() < 2 * _COARSE:
            return False
        value = self.base.value[at][finite]
        value = value[np.isfinite(value)]
        return bool(np.abs(value - np.round(value)).max(initial=0.0) > 1e-3)  # noqa: PLR2004

    def _half_noise(self) -> Mapping[str, HalfNoise]:
        if self._half is None:
            self._half = self.halves(self.search.scene, self._numbers)
        return self._half

    def _scale(self) -> tuple[np.ndarray, np.ndarray]:
        """Return each candidate's steps, and how a nat of log Pr moves its declared number."""
        cases = self.search.scene.cases
        steps = np.array(
            [len(case.material.tokens) + bool(case.material.end_ids) for case in cases],
            dtype=np.float64,
        )
        # Noise was carried through rule and unit; a larger one scales alike to first order.
        own = np.maximum(self.search.scene.noise * steps, 1e-300)
        return steps, np.where(steps > 0, self.base.noise / own, 1.0)

    def _loose(self, per_token: float) -> Values:
        """Return the declared computation with the noise that a half type brings."""
        steps, scale = self._scale()
        room = self.base.noise + HALF * per_token * steps * scale
        return Values(self.base.value, room, self.base.known)

    def _in_half(self, right: np.ndarray) -> Judgement | None:
        """Return `correct`, computed in half precision, where that explains all claims."""
        if self._near(digits=1.0).within(self._targets, self._numbers).all():
            # Another program's float32, or digits that were cut off instead of rounded.
            return self._rounded()
        if (
            not right.any()
            and not self._loose(_MOST_HALF).within(self._targets, self._numbers).all()
        ):
            # No half type is that far off: the weights need not be rounded to see it.
            return None
        _, scale = self._scale()
        off = (self._targets.low + self._targets.high) / 2.0 - self.base.value
        for name, noise in sorted(self._half_noise().items(), key=lambda item: item[1].largest):
            loose = self._loose(noise.largest)
            if not loose.within(self._targets, self._numbers).all():
                continue
            at = [n for n in self._numbers if n in noise.moved and np.isfinite(off[n])]
            moved = np.array([noise.moved[number] for number in at]) * scale[at]
            width = self._targets.width[at]
            # A perplexity falls where log Pr rises.
            if fits(off[at], moved, width) or fits(off[at], -moved, width):
                out = self._out("correct")
                out.reproduced, out.computed_in, out.half_noise = loose, name, noise.largest
                return out
        return None

    def _half_says(self, tried: int, solved: int) -> bool:
        """Return whether solved parameters would fit half-precision noise by accident."""
        noise = self._half_noise()
        if not noise:
            return False
        loose = self._loose(max(each.largest for each in noise.values()))
        if not loose.within(self._targets, self._numbers).all():
            return False
        at = list(self._numbers)
        with np.errstate(divide="ignore", invalid="ignore"):
            share = (self._targets.width + 2 * self.base.noise)[at] / (2 * loose.noise)[at]
        share = np.sort(np.clip(np.nan_to_num(share, nan=1.0), 0.0, 1.0))[solved:]
        return bool(tried * np.prod(share) > CHANCE / 5)

    def _mixed(self, singles: Found) -> Judgement:
        self.search.progress("parts of the claims", 0, len(self._numbers))
        parts = parts_of(self.search, self.base, self.changes.possible)
        largest = parts[0] if parts else None
        faulty = next((part for part in parts if part.trial is not None), None)
        out = self._out("unexplained")
        out.parts = tuple(parts)
        out.tried = singles.tried + 1
        for needs, ids in singles.untestable.items():
            out.lacking.setdefault(needs, set()).update(ids)
        if largest is None:
            return out
        out.expected = largest.expected
        lost = sum(len(part.numbers) for part in parts if not part.explained)
        if faulty is not None and faulty.trial is not None and lost <= len(faulty.numbers):
            out.leader, out.expected = faulty.trial, faulty.expected
            out.verdict = "other_definition" if faulty.trial.pipeline.choices_only else "fault"
            out.reproduced = self._predicted(faulty.trial)
        else:
            out.reproduced = self.base
        return out


def middle(trial: Trial) -> Points:
    """Return one point of what is left of a trial's parameters: the middle of its middle cell."""
    if not trial.low:
        return {}
    centres = trial.centres()
    size = len(next(iter(centres.values())))
    return {stage: values[size // 2 : size // 2 + 1] for stage, values in centres.items()}
