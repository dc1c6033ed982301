"""What a scorer's numbers look like: the entry of the zoo that reproduces them on a toy.

A failure says that a law is broken; the audit, run on the numbers that broke it, says by which
formula. It knows the model, so it needs nothing but the numbers.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from logpr._score import Settings
from logpr._values import FaultFound, Query
from logpr._values.audit import Parameter
from logpr.auditing._faulty import faulty_scorer
from logpr.auditing.claims.printed import printed
from logpr.auditing.claims.values import Claim, ClaimRow
from logpr.auditing.claims.values import Declares as Claims
from logpr.auditing.faults import Change
from logpr.auditing.scene.build import build
from logpr.auditing.scene.scene import Scene
from logpr.auditing.search.identify import Search
from logpr.auditing.search.naming import found_in, shown
from logpr.auditing.search.pipeline import Declared, Pipeline, changes, pairs
from logpr.auditing.search.targets import Claimed, claimed_of, declared_of, declares_of_all
from logpr.conformance.bench import Bench, Heard
from logpr.conformance.case import OWN
from logpr.conformance.declares import Declares
from logpr.conformance.toy.backend import toy_model
from logpr.errors import LogprError

Faults: TypeAlias = tuple[tuple[str, dict[str, Any]], ...]
"""Entries of the zoo, each with its parameters."""

MOST = 24
"""Numbers that are compared."""

_LEAST = 2
_LEAST_SOLVED = 4
"""Numbers that a formula has to reproduce: with a parameter that is solved for, more."""

_LONGEST = 64
"""Tokens of a prompt or candidate whose formulas are tried; longer ones take minutes."""

_FRUITLESS = 1
"""Searches of two changes at once, which take seconds, in one run."""

_OF_PAIRS = 8
"""Numbers on which two changes at once are tried, thousands of them."""

_NEAR = 8
"""Tokens whose rounding a reproduced number may be off by."""

_NEAREST = 0.1
"""Nats by which it may be off at most: within what half precision is allowed, all look alike."""


@dataclass(frozen=True, slots=True)
class Likeness:
    """Entries of the zoo that together reproduce so many of the numbers compared."""

    ids: tuple[str, ...]
    reproduces: int
    compared: int


@dataclass(slots=True)
class Likenesses:
    """What was found so far, so that numbers of one scorer are searched once.

    Args:
        bench: where the scorer stands.
    """

    bench: Bench
    known: list[Faults] = field(default_factory=list)
    fruitless: int = 0

    def of(self, heard: Sequence[Heard], *, search: bool = True) -> Likeness | None:
        """Return what reproduces these answers; None where nothing does, or nothing can be told.

        Args:
            heard: what a check asked, and what it was told.
            search: whether more is tried than what is known already.
        """
        model, calls = self._telling(heard)
        if model is None:
            return None
        for faults in self.known:
            found = self._reproduced(model, calls, faults)
            if found is not None:
                return found
        if not search:
            return None
        for faults in self._suspects(model, calls):
            found = self._reproduced(model, calls, faults)
            if found is not None:
                self.known.append(faults)
                return found
        return None

    def _suspects(self, model: str, calls: Sequence[Sequence[Heard]]) -> Iterator[Faults]:
        """Yield computations that may be it: one change, one of a call's company, two changes."""
        file = _File.of(self.bench, model, calls)
        if file is not None:
            yield from file.standing(Pipeline((change,)) for change in file.changes)
        # An audit sees one file: what a number takes from its call is tried call by call.
        yield from self._of_company(model)
        if file is not None and self.fruitless < _FRUITLESS:
            self.fruitless += 1
            yield from file.standing(pairs(file.fewer), most=_OF_PAIRS)

    def _telling(self, heard: Sequence[Heard]) -> tuple[str | None, list[list[Heard]]]:
        """Return the model with the most wrong numbers, and calls on it, the wrong ones first."""
        best: tuple[int, str | None, list[list[Heard]]] = (0, None, [])
        for model in dict.fromkeys(each.model for each in heard if each.model != OWN):
            calls = _calls([each for each in heard if each.model == model])
            predicted = [self._predicted(model, call, ()) for call in calls]
            near = min(_NEAREST, self.bench.tolerance(model, _NEAR))
            wrong = [
                0 if mine is None else len(call) - _alike(mine, call, near)
                for mine, call in zip(predicted, calls, strict=True)
            ]
            if sum(wrong) > best[0]:
                ranked = sorted(range(len(calls)), key=lambda place: -wrong[place])
                best = (sum(wrong), model, _enough([calls[place] for place in ranked]))
        return best[1], best[2]

    def _of_company(self, model: str) -> list[Faults]:
        """Return the zoo's faults that show in company alone, with the parameters there are."""
        pieces = self.bench.toy(model).pieces
        pads = (pieces.end_id, pieces.start_id, 0)
        out = [_named("row_reused", representative=each) for each in ("longest", "first", "last")]
        for pad in pads:
            for fault in ("left_pad_unmasked", "pad_counted"):
                out.append(_named(fault, pad_id=pad, company="query"))
                out.append(_named(fault, pad_id=pad, company="file"))
        out += [_named("mean_over_padded", company=each) for each in ("query", "file")]
        return out

    def _reproduced(
        self, model: str, calls: Sequence[Sequence[Heard]], faults: Faults
    ) -> Likeness | None:
        """Return the likeness where a computation gives all these numbers too."""
        near = min(_NEAREST, self.bench.tolerance(model, _NEAR))
        size = 0
        for call in calls:
            predicted = self._predicted(model, call, faults)
            if predicted is None or _alike(predicted, call, near) < len(call):
                return None
            size += sum(len(each.answer.scores) for each in call)
        if size < _LEAST:
            return None  # one number is given by too many formulas
        return Likeness(tuple(name for name, _ in faults), size, size)

    def _predicted(
        self, model: str, call: Sequence[Heard], faults: Faults
    ) -> list[list[float]] | None:
        declares = self.bench.declares
        try:
            scorer = faulty_scorer(
                *faults,
                model=toy_model(model, self.bench.architecture),
                end=declares.end,
                boundary=_policy(declares),
                bos=declares.bos,
            )
            scores = scorer.many([_query(each, declares) for each in call])
        except LogprError:
            return None
        return [
            [
                _as_declared(score, declares, self._steps(model, each, place))
                for place, score in enumerate(row)
            ]
            for each, row in zip(call, scores, strict=True)
        ]

    def _steps(self, model: str, heard: Heard, place: int) -> int:
        prompt, candidate = heard.request.prompt, heard.request.candidates[place]
        declares = self.bench.declares
        if isinstance(prompt, str) and isinstance(candidate, str):
            toy = self.bench.toy(model)
            read = toy.read(prompt, candidate, policy=declares.boundary, bos=declares.bos)
            size = len(read[1])
        else:
            size = len(candidate)
        return max(1, size + (declares.end == "stop"))


@dataclass(frozen=True, slots=True)
class _File:
    """A scorer's numbers as the claims of one file, laid out for the search of the audit."""

    scene: Scene
    declared: Declared
    claimed: Claimed

    @classmethod
    def of(cls, bench: Bench, model: str, calls: Sequence[Sequence[Heard]]) -> _File | None:
        """Return the file of some calls; None where it is too short to tell anything by."""
        declares = bench.declares
        heard = list({each.request: each for call in calls for each in call}.values())
        rows = [_row(each, declares, place) for place, each in enumerate(heard)]
        claimed = claimed_of(rows)
        if len(claimed.numbers) < _LEAST:
            return None
        built = build(rows, toy_model(model, bench.architecture), Settings())
        assert built is not None, "a model is evidence"
        totals = declared_of(declares_of_all(rows), summed=False)
        return cls(built.scene, totals, claimed)

    @property
    def changes(self) -> Sequence[Change]:
        """Every change that can be tried, every batch size and window among them."""
        return changes(self.scene, self.declared, thorough=True).possible

    @property
    def fewer(self) -> Sequence[Change]:
        """The changes that people make: what pairs are made of."""
        return changes(self.scene, self.declared).possible

    def standing(self, pipelines: Iterable[Pipeline], *, most: int | None = None) -> list[Faults]:
        """Return what reproduces the numbers, the simplest first, a choice before a fault.

        Args:
            pipelines: what is tried.
            most: how many numbers, the shortest texts' first; all by default.
        """
        sizes = [len(case.material.tokens) for case in self.scene.cases]
        numbers = tuple(sorted(self.claimed.numbers, key=sizes.__getitem__)[:most])
        search = Search(self.scene, self.declared, self.claimed.targets, numbers)
        found = search.run(pipelines).standing
        fit = [trial for trial in found if not trial.solved or len(numbers) >= _LEAST_SOLVED]
        fit.sort(key=lambda trial: (trial.pipeline.freedom, not trial.pipeline.choices_only))
        return [tuple((change.id, _values(change)) for change in found_in(trial)) for trial in fit]


def _named(name: str, **parameters: Any) -> Faults:  # noqa: ANN401 - each fault has its own
    return ((name, parameters),)


def _calls(heard: Sequence[Heard]) -> list[list[Heard]]:
    """Return what can be compared, call by call: finite numbers for texts of moderate length."""
    out: dict[int, list[Heard]] = {}
    unfit = set()
    for each in heard:
        texts = (each.request.prompt, *each.request.candidates)
        if max(map(len, texts)) > _LONGEST or not each.request.prompt:
            unfit.add(each.call)
        out.setdefault(each.call, []).append(each)
    return [call for number, call in out.items() if number not in unfit]


def _enough(calls: Sequence[list[Heard]]) -> list[list[Heard]]:
    """Return the first calls, up to as many numbers as are compared, at least one."""
    out: list[list[Heard]] = []
    size = 0
    for call in calls:
        more = sum(len(each.answer.scores) for each in call)
        if size and size + more > MOST:
            break
        out.append(call)
        size += more
    return out


def _alike(predicted: Sequence[Sequence[float]], call: Sequence[Heard], near: float) -> int:
    """Return how many requests of a call have all the numbers that were predicted."""
    return sum(
        all(_same(mine, theirs, near) for mine, theirs in zip(row, each.answer.scores, strict=True))
        for row, each in zip(predicted, call, strict=True)
    )


def _same(one: float, other: float, near: float) -> bool:
    return one == other or abs(one - other) <= near or (math.isnan(one) and math.isnan(other))


def _as_declared(score: float, declares: Declares, steps: int) -> float:
    """Return a scorer's number, a sum in nats unless a fault changed it, as it would be printed.

    The zoo's own changes of aggregate and unit stand beside a declared sum in nats, so that they
    are only tried where nothing else is declared.
    """
    if declares.aggregate == "mean":
        score /= steps
    return score * {"bits": 1 / math.log(2), "log10": 1 / math.log(10)}.get(declares.unit, 1.0)


def _query(heard: Heard, declares: Declares) -> Query:
    prompt, candidates = heard.request.prompt, heard.request.candidates
    common: dict[str, Any] = {"end": declares.end, "boundary": _policy(declares)}
    if isinstance(prompt, str):
        return Query.of(prompt, list(candidates), bos=declares.bos, **common)
    ids = [list(map(int, each)) for each in candidates]
    return Query.of(prompt_ids=list(prompt), candidate_ids=ids, **common)


def _row(heard: Heard, declares: Declares, place: int) -> ClaimRow:
    rule = "per_token" if declares.aggregate == "mean" else "logprob"
    decimals = 9 if declares.dtype == "float64" else 4
    return ClaimRow(
        query=_query(heard, declares),
        claims=tuple(
            # No formula is told by NaN.
            Claim(score=None if math.isnan(score) else printed(f"{score:.{decimals}f}"))
            for score in heard.answer.scores
        ),
        where=f"request {place}",
        declares=Claims(rule=rule, end=declares.end, unit=declares.unit),
    )


def _policy(declares: Declares) -> Any:  # noqa: ANN401 - one of the two that a model reads by
    return "joint" if declares.boundary == "joint" else "separate"


def _values(change: FaultFound) -> dict[str, Any]:
    """Return parameters as the zoo takes them: of an interval that was solved, one value."""
    return {name: _one(name, value) for name, value in change.parameters}


def _one(name: str, value: Parameter) -> Any:  # noqa: ANN401 - of any of its kinds
    if name == "ids" or not isinstance(value, tuple):
        return value
    low = value[0]
    return low if isinstance(low, int) else float(shown(name, value))
