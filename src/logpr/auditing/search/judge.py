"""From claims to a verdict: what reproduces them, and whether the digits support saying so.

The order of AUDIT's preferences: the declared computation; single changes; the same in half
precision; pairs; and where nothing explains all claims, the largest part that something does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from logpr._values.audit import AuditVerdict
from logpr.auditing.scene.scene import Scene
from logpr.auditing.search.chance import Chance
from logpr.auditing.search.halves import Halves
from logpr.auditing.search.identify import Found, Progress, Search
from logpr.auditing.search.mixed import Part, parts_of
from logpr.auditing.search.panel import Values, predict_all, telling_order
from logpr.auditing.search.pipeline import Changes, Declared, Pipeline, changes, pairs
from logpr.auditing.search.predict import Points
from logpr.auditing.search.race import Targets, Trial
from logpr.auditing.search.room import ACCUSED, Room

CHANCE = 0.05
"""A match of the declared computation of which so many are expected by accident is no match."""

_ALIKE = 64
"""Claims on which other computations than a correct one are tried."""

_COMPARED = 200
"""Claims on which two computations that reproduce all of them are held against each other."""


@dataclass(slots=True)
class Judgement:
    """The verdict on claims, and all that it rests on.

    `leader` is the computation that is named, None for the declared one; `same` those that this
    input cannot tell from it; `standing` all others that reproduce the claims too. Values are
    over all candidates of the scene.
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
    half_assumed: str | None = None
    """Why that is not this model's own."""
    last_digit: int = 0
    """Claims that are off by one in their last digit."""
    lacking: dict[str, set[str]] = field(default_factory=dict)
    parts: tuple[Part, ...] = ()


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
    room = Room(search, base, halves)
    return _Court(search, base, found, changes(scene, declared, thorough=True), room).sit()


@dataclass(slots=True)
class _Court:
    search: Search
    base: Values
    changes: Changes
    every: Changes
    """All batch sizes and windows: for singles, which are few."""
    room: Room

    def sit(self) -> Judgement:
        """Go through the preferences, one after the other."""
        chance = Chance.of(self.search, self.base, self.changes.possible)
        right = self.base.within(self._targets, self._numbers)
        coarse = self.room.coarse()
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
            loose = self._in_half()
            if loose is not None:
                loose.tried = singles.tried + 1
                return loose
            doubles = self._pairs()
            named = self._named(doubles, chance, before=singles.tried)
            if named is None:
                return self._mixed(singles, doubles)
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
        if self.room.is_declared(lead, solved=bool(leader.solved)):
            return self._declared(found, before)
        solved = len(leader.solved)
        unit = leader.pipeline.of("unit") or self.search.declared.unit
        expected = chance.expected(
            before + found.tried, solved=solved, leader=lead, shares=unit.rivals
        )
        tried = before + found.tried
        if self.room.half_expects(lead, tried, solved) > ACCUSED:
            half = self._in_half()
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
        if expected > ACCUSED:
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

    def _declared(self, found: Found, before: int) -> Judgement:
        out = self._rounded()
        out.standing, out.tried = tuple(found.standing), before + found.tried + 1
        return out

    def _rounded(self) -> Judgement:
        """Return `correct` of claims that are the declared numbers but for their rounding."""
        out = self._out("correct")
        out.last_digit, out.reproduced = self.room.last_digits()
        return out

    def _in_half(self) -> Judgement | None:
        """Return `correct` where other rounding or half precision explains all claims."""
        if self.room.last_places():
            # Another program's float32, or digits that were cut off instead of rounded.
            return self._rounded()
        found = self.room.half()
        if found is None:
            return None
        out = self._out("correct")
        out.computed_in, noise, out.reproduced = found
        out.half_noise, out.half_assumed = noise.largest, noise.assumed
        return out

    def _mixed(self, singles: Found, doubles: Found) -> Judgement:
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
            out.tried += doubles.tried
            return out
        # Parts are explained by single changes alone, and their chance is of those.
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
