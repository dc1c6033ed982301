"""Scores with token claims beside them: computations that give the one have to give the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from logpr.auditing.scene.scene import Scene
from logpr.auditing.search.halves import HalfNoise, Halves, fits
from logpr.auditing.search.judge import Judgement, middle
from logpr.auditing.search.panel import predict_all
from logpr.auditing.search.pipeline import Declared, Pipeline
from logpr.auditing.search.race import Trial
from logpr.auditing.search.room import HALF
from logpr.auditing.search.targets import Claimed
from logpr.auditing.search.tokens import agrees, step_scores

_FEW = 6
"""Fewer tokens than these say no more than their sums."""


def held_to_tokens(
    found: Judgement,
    scene: Scene,
    declared: Declared,
    claimed: Claimed,
    numbers: Sequence[int],
    *,
    halves: Halves = lambda *_: {},
) -> tuple[Judgement, list[str]]:
    """Return the judgement with the computations left that give the claimed tokens too, and notes.

    Where the named one does not, that is said; and scores whose own tokens are others' are not
    called correct. Tokens whose digits were cut off, or that half precision moved, are no others'.

    Args:
        found: the judgement on the scores.
        scene: all candidates.
        declared: what the claims are declared to be.
        claimed: the claims.
        numbers: the candidates whose tokens were claimed.
        halves: how far half precision moves them, asked only where it matters.
    """
    leader = found.leader or Trial(Pipeline())
    if found.reproduced is None:
        return found, []
    if found.verdict == "not_enough_precision" and found.leader is not None:
        return _by_tokens(found, scene, declared, claimed, numbers), []
    room = 0.0
    if found.computed_in is not None or found.last_digit:
        room = HALF * (found.half_noise or 0.0) + _last_place(claimed, numbers)
    bench = _Tokens(scene, declared, claimed, tuple(numbers), room)
    notes: list[str] = []
    if not bench.agrees(leader):
        wide = None
        if found.verdict == "correct" and found.leader is None:
            wide, notes = _rounded_apart(found, bench, halves)
        if wide is None:
            return found, bench.differing(found, leader)
        bench = wide
    found.same = tuple(filter(bench.agrees, found.same))
    found.standing = tuple(filter(bench.agrees, found.standing))
    if found.verdict == "ambiguous" and not found.standing and found.leader is not None:
        found.verdict = "other_definition" if leader.pipeline.choices_only else "fault"
    return found, notes


def _rounded_apart(
    found: Judgement, bench: _Tokens, halves: Halves
) -> tuple[_Tokens | None, list[str]]:
    """Return the room in which tokens beside right scores are right too, and what it is called."""
    plain, last = Trial(Pipeline()), _last_place(bench.claimed, bench.numbers)
    wide = replace(bench, room=bench.room + last)
    if wide.agrees(plain):
        note = (
            "last_digit: token scores are off by one in their last digit, as where digits are cut "
            "off instead of rounded"
        )
        return wide, [note]
    for name, noise in sorted(
        halves(bench.scene, bench.numbers).items(), key=lambda item: item[1].largest
    ):
        wide = replace(bench, room=HALF * noise.largest + last)
        if wide.agrees(plain) and wide.alike(plain, noise):
            found.computed_in = name
            found.half_noise, found.half_assumed = noise.largest, noise.assumed
            return wide, []
    return None, []


def _by_tokens(
    found: Judgement, scene: Scene, declared: Declared, claimed: Claimed, numbers: Sequence[int]
) -> Judgement:
    """Return the judgement on a few scores whose many tokens say what the sums alone could not."""
    assert found.leader is not None
    bench = _Tokens(scene, declared, claimed, tuple(numbers), _last_place(claimed, numbers))
    standing = [found.leader, *found.same, *found.standing]
    fitting = [trial for trial in standing if bench.agrees(trial)]
    size = sum(len(claimed.claims[number].token_scores or ()) for number in numbers)
    if size < _FEW:
        return found
    if not fitting:
        found.verdict, found.leader, found.expected = "unexplained", None, None
        found.reproduced, found.same, found.standing = found.base, (), ()
        return found
    least = min(trial.pipeline.freedom for trial in fitting)
    best = [trial for trial in fitting if trial.pipeline.freedom == least]
    best.sort(key=lambda trial: not trial.pipeline.choices_only)
    found.leader = best[0]
    found.verdict = "other_definition" if found.leader.pipeline.choices_only else "fault"
    if len(best) > 1:
        found.verdict = "ambiguous"
    found.same, found.standing = (), tuple(trial for trial in fitting if trial is not best[0])
    found.reproduced = predict_all(
        scene, declared, found.leader.pipeline, middle(found.leader), range(len(scene.cases))
    )
    found.expected = None
    return found


def _last_place(claimed: Claimed, numbers: Sequence[int]) -> float:
    """Return the coarsest last place of the token claims."""
    tokens = (token for n in numbers for token in claimed.claims[n].token_scores or ())
    return max((token.high - token.low for token in tokens), default=0.0)


@dataclass(frozen=True, slots=True)
class _Tokens:
    scene: Scene
    declared: Declared
    claimed: Claimed
    numbers: tuple[int, ...]
    room: float

    def agrees(self, trial: Trial) -> bool:
        """Return whether all token claims are the steps of a computation."""
        found = step_scores(self.scene, self.declared, trial, self.numbers)
        claims = self.claimed.claims
        return all(
            number in found
            and agrees(
                trial,
                found[number],
                claims[number].token_scores or (),
                declared=self.declared,
                room=self.room,
            )
            for number in self.numbers
        )

    def alike(self, trial: Trial, noise: HalfNoise) -> bool:
        """Return whether the tokens depart from a computation's as a half type's do."""
        steps = step_scores(self.scene, self.declared, trial, self.numbers)
        pairs = [
            (token, value)
            for number in self.numbers
            for token, value in zip(
                self.claimed.claims[number].token_scores or (), steps[number].values, strict=False
            )
        ]
        off = np.array([token.value - value for token, value in pairs])
        width = np.array([token.high - token.low for token, _ in pairs])
        at = np.isfinite(off)
        typical = np.full(int(at.sum()), noise.typical)
        return self.declared.unit.fault != "nats" or fits(
            off[at], np.zeros(len(typical)), width[at], typical
        )

    def differing(self, judgement: Judgement, trial: Trial) -> list[str]:
        """Say how many candidates' token claims are of another length, and of other values."""
        found = step_scores(self.scene, self.declared, trial, self.numbers)
        lengths = values = 0
        for number in self.numbers:
            tokens = self.claimed.claims[number].token_scores or ()
            if number not in found:
                continue
            size = len(found[number].values)
            if len(tokens) not in (size, size - 1):
                lengths += 1
            elif not agrees(trial, found[number], tokens, declared=self.declared, room=self.room):
                values += 1
        notes = []
        if lengths:
            notes.append(
                f"tokens_not_aligned: {lengths} of {len(self.numbers)} candidates have token "
                f"scores in another number than their steps; they were cut into other tokens, and "
                f"only their sums were held against anything"
            )
        if values:
            notes.append(
                f"tokens_differ: the token scores of {values} of {len(self.numbers)} candidates "
                f"are not the steps of the computation that gives their scores"
            )
            if judgement.verdict == "correct":
                judgement.verdict = "unexplained"
        return notes
