"""The report of an audit: the judgement in words, rows side by side, the damage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from logpr._rules import rule_named
from logpr._score import Settings
from logpr._types import End
from logpr._values import (
    ArmReport,
    AuditAlternative,
    AuditReport,
    AuditRow,
    Damage,
    MixedGroup,
    Provenance,
    Untested,
)
from logpr._version import __version__
from logpr.auditing.claims.fingerprints import fingerprints
from logpr.auditing.claims.values import ClaimRow, Declares
from logpr.auditing.faults import Change
from logpr.auditing.faults.totals import declared_totals
from logpr.auditing.reporting.common import in_common
from logpr.auditing.reporting.damage import arms, damage
from logpr.auditing.reporting.sentence import sentence
from logpr.auditing.reporting.unmeasured import numbers_alone
from logpr.auditing.scene.build import Built, build
from logpr.auditing.search.identify import Progress
from logpr.auditing.search.judge import HALF, Halves, Judgement, judge
from logpr.auditing.search.naming import correction, found_in
from logpr.auditing.search.nearest import nearest
from logpr.auditing.search.next_input import next_input
from logpr.auditing.search.panel import Values, predict_all
from logpr.auditing.search.pipeline import Declared, Pipeline
from logpr.auditing.search.race import Trial
from logpr.auditing.search.shortlists import with_shortlists
from logpr.auditing.search.targets import Claimed, claimed_of, declared_of, declares_of_all
from logpr.auditing.search.tokens import TokenScores, agrees, step_scores
from logpr.models.base import Model


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What an audit is told beside the claims."""

    settings: Settings
    halves: Halves = lambda *_: {}
    progress: Progress = lambda *_: None


def audit_rows(rows: Sequence[ClaimRow], model: Model | None, options: Options) -> AuditReport:
    """Return the report on claims, from a model, from what the records bring, or from neither.

    Raises:
        QueryError: rows that cannot be audited together, or fed as declared.
        ModelError: the model failed.
    """
    declares = declares_of_all(rows)
    claimed = claimed_of(rows)
    built = build(rows, model, options.settings)
    if built is None or not claimed.numbers:
        return numbers_alone(rows, claimed, declares, options.progress)
    return _Report(rows, claimed, declares, built, model=model, options=options).made()


class _Report:
    def __init__(
        self,
        rows: Sequence[ClaimRow],
        claimed: Claimed,
        declares: Declares,
        built: Built,
        *,
        model: Model | None,
        options: Options,
    ) -> None:
        self._rows, self._claimed, self._declares = rows, claimed, declares
        self._scene, self._evidence = built.scene, built.evidence
        self._model, self._options = model, options
        self._room = 0.0
        self._declared: Declared = declared_of(declares, summed=claimed.summed)

    def made(self) -> AuditReport:
        scene, claimed = self._scene, self._claimed
        found = judge(
            scene,
            self._declared,
            claimed.targets,
            claimed.numbers,
            halves=self._options.halves,
            progress=self._options.progress,
        )
        token_claims = [
            number for number in claimed.numbers if claimed.claims[number].token_scores is not None
        ]
        differing: list[str] = []
        if token_claims:
            found, differing = self._held_to_tokens(found, token_claims)
            found, steps = with_shortlists(
                found, scene, self._declared, claimed, numbers=token_claims, rows=self._rows
            )
        else:
            steps = ()
        leader = found.leader or Trial(Pipeline())
        named = found_in(leader)
        reproduced = found.reproduced or found.base
        explained = self._explained(found, reproduced)
        true_sums = self._true_sums(found)
        counts = [len(case.material.tokens) for case in scene.cases]
        report = AuditReport(
            verdict=found.verdict,
            sentence="",
            faults=named,
            alternatives=self._alternatives(found),
            explained_rows=int(sum(explained[number] for number in found.numbers)),
            rows_total=len(claimed.numbers),
            max_residual=self._residual(reproduced, explained),
            expected_accidental_matches=found.expected,
            computed_in=found.computed_in,
            damage=self._damage(found, reproduced),
            correction=correction(named),
            rows=self._audit_rows(found, leader, reproduced, explained, true_sums),
            shortlist=steps,
            groups=self._groups(found, explained),
            arms=self._arms(found, explained),
            findings=fingerprints(self._rows, counts=counts),
            untested=tuple(
                Untested(ids=tuple(sorted(ids)), needs=needs)
                for needs, ids in sorted(found.lacking.items())
            ),
            hypotheses=found.tried,
            noise=scene.noise,
            evidence=self._evidence,
            declared=_declared(self._declares, self._rows),
            warnings=(*self._warnings(found), *differing),
            end=self._end(),
            provenance=self._provenance(),
        )
        report = replace(report, flips=0 if report.damage is None else len(report.damage.flips))
        report = replace(report, next_input=next_input(report, found, scene, self._declared))
        return replace(report, sentence=sentence(report, found))

    def _held_to_tokens(
        self, found: Judgement, numbers: Sequence[int]
    ) -> tuple[Judgement, list[str]]:
        """Return the judgement with those computations left that give the claimed tokens too.

        Where the named one does not, that is said; and scores whose own tokens are others' are not
        called correct.
        """
        leader = found.leader or Trial(Pipeline())
        if found.reproduced is None:
            return found, []
        if found.computed_in is not None or found.last_digit:
            self._room = HALF * (found.half_noise or 0.0) + self._last_place(numbers)
        if not self._agrees(leader, numbers):
            lengths, values = self._differing(leader, numbers)
            notes = []
            if lengths:
                notes.append(
                    f"tokens_not_aligned: {lengths} of {len(numbers)} candidates have token scores "
                    f"in another number than their steps; they were cut into other tokens, and "
                    f"only their sums were held against anything"
                )
            if values:
                notes.append(
                    f"tokens_differ: the token scores of {values} of {len(numbers)} candidates are "
                    f"not the steps of the computation that gives their scores"
                )
                if found.verdict == "correct":
                    found.verdict = "unexplained"
            return found, notes
        standing = [*found.same, *found.standing]
        fits = [trial for trial in standing if self._agrees(trial, numbers)]
        found.same = tuple(trial for trial in found.same if trial in fits)
        found.standing = tuple(trial for trial in found.standing if trial in fits)
        if found.verdict == "ambiguous" and not found.standing and found.leader is not None:
            found.verdict = "other_definition" if leader.pipeline.choices_only else "fault"
        return found, []

    def _last_place(self, numbers: Sequence[int]) -> float:
        """Return the coarsest last place of the token claims."""
        tokens = (t for number in numbers for t in self._claimed.claims[number].token_scores or ())
        return max((token.high - token.low for token in tokens), default=0.0)

    def _differing(self, trial: Trial, numbers: Sequence[int]) -> tuple[int, int]:
        """Return how many candidates' token claims are of another length, and of other values."""
        found = step_scores(self._scene, self._declared, trial, numbers)
        lengths = values = 0
        for number in numbers:
            tokens = self._claimed.claims[number].token_scores or ()
            if number not in found:
                continue
            if len(tokens) not in (len(found[number].values), len(found[number].values) - 1):
                lengths += 1
            elif not agrees(trial, found[number], tokens, room=self._room):
                values += 1
        return lengths, values

    def _agrees(self, trial: Trial, numbers: Sequence[int]) -> bool:
        found = step_scores(self._scene, self._declared, trial, numbers)
        claims = self._claimed.claims
        return all(
            number in found
            and agrees(trial, found[number], claims[number].token_scores or (), room=self._room)
            for number in numbers
        )

    def _explained(self, found: Judgement, reproduced: Values) -> np.ndarray:
        inside: np.ndarray = reproduced.reached(self._claimed.targets)
        if found.parts:
            # Of mixed claims: those of the part that is named.
            out = np.zeros(len(inside), dtype=np.bool_)
            part = next((p for p in found.parts if p.trial is found.leader and p.explained), None)
            out[list(() if part is None else part.numbers)] = True
            inside &= out
        return inside

    def _residual(self, reproduced: Values, explained: np.ndarray) -> float | None:
        gaps = [
            abs(score.value - float(reproduced.value[number]))
            for number, score in enumerate(self._claimed.scores)
            if score is not None and explained[number]
        ]
        finite = [gap for gap in gaps if np.isfinite(gap)]
        return max(finite, default=None)

    def _true_sums(self, found: Judgement) -> Values:
        """Return log Pr(y | x) in nats of every candidate."""
        declared = self._declared
        if declared.aggregate.fault == "logprob" and declared.unit.fault == "nats":
            return found.base
        plain = Declared(*declared_totals("logprob", "nats"))
        return predict_all(self._scene, plain, Pipeline(), {}, range(len(self._scene.cases)))

    def _alternatives(self, found: Judgement) -> tuple[AuditAlternative, ...]:
        total = len(found.numbers)
        out = [
            AuditAlternative(
                changes=found_in(trial), stands=True, same=same, explained=total, tested=total
            )
            for same, trials in ((True, found.same), (False, found.standing))
            for trial in trials
        ]
        return (*out, *nearest(self._scene, self._declared, self._claimed.targets, found))

    def _audit_rows(
        self,
        found: Judgement,
        leader: Trial,
        reproduced: Values,
        explained: np.ndarray,
        sums: Values,
    ) -> tuple[AuditRow, ...]:
        wanted = [n for n in self._claimed.numbers if self._claimed.claims[n].token_scores]
        told = step_scores(self._scene, self._declared, leader, wanted) if wanted else {}
        plain = (
            step_scores(self._scene, self._declared, Trial(Pipeline()), wanted) if wanted else {}
        )
        right = found.base.reached(self._claimed.targets)
        out: list[AuditRow] = []
        for case in self._scene.cases:
            number = case.number
            score = self._claimed.scores[number]
            tokens = self._claimed.claims[number].token_scores
            out.append(
                AuditRow(
                    id=self._rows[case.record].query.id,
                    index=case.place,
                    text=case.shown,
                    tokens=len(case.material.tokens),
                    claimed=None if score is None or self._claimed.summed else score.value,
                    printed=None if score is None or self._claimed.summed else score.text,
                    low=None if score is None else score.low,
                    high=None if score is None else score.high,
                    reproduced=_known(reproduced, number),
                    true=_known(found.base, number),
                    logprob=_known(sums, number),
                    explained=bool(explained[number]),
                    struck=score is not None and not right[number],
                    token_texts=case.token_texts,
                    token_claimed=None
                    if tokens is None
                    else tuple(token.value for token in tokens),
                    token_reproduced=_values(told.get(number)),
                    token_logprobs=_values(plain.get(number)),
                )
            )
        return tuple(out)

    def _damage(self, found: Judgement, reproduced: Values) -> Damage:
        del reproduced
        comparable = not any(change.stage == "unit" for change in self._changes(found))
        return damage(
            self._rows,
            self._scene,
            _column(found.base),
            [None if score is None else score.value for score in self._claimed.scores],
            noise=found.base.noise.tolist(),
            higher_wins=self._higher_wins(),
            comparable=comparable,
        )

    def _changes(self, found: Judgement) -> tuple[Change, ...]:
        return () if found.leader is None else found.leader.pipeline.changes

    def _higher_wins(self) -> bool:
        if self._declares.unit == "perplexity":
            return False
        rule = self._declares.rule
        return True if rule == "pmi" else rule_named(rule).higher_wins

    def _arms(self, found: Judgement, explained: np.ndarray) -> tuple[ArmReport, ...]:
        return arms(
            self._rows,
            self._scene,
            _column(found.base),
            [None if score is None else score.value for score in self._claimed.scores],
            _by_anything(found, explained),
            noise=found.base.noise.tolist(),
            higher_wins=self._higher_wins(),
        )

    def _groups(self, found: Judgement, explained: np.ndarray) -> tuple[MixedGroup, ...]:
        """Return what parts the claims have, or the struck ones where a fault strikes some."""
        everyone = list(found.numbers)
        if found.parts:
            return tuple(
                MixedGroup(
                    changes=None
                    if not part.explained
                    else (() if part.trial is None else found_in(part.trial)),
                    rows=tuple(map(self._place, sorted(part.numbers))),
                    common=()
                    if part.explained and part.trial is None
                    else self._common(part.numbers, everyone),
                )
                for part in found.parts
            )
        right = found.base.reached(self._claimed.targets)
        struck = [number for number in everyone if not right[number]]
        if found.leader is None or not struck or len(struck) == len(everyone):
            return ()
        del explained
        return (
            MixedGroup(
                changes=found_in(found.leader),
                rows=tuple(map(self._place, struck)),
                common=self._common(struck, everyone),
            ),
        )

    def _common(self, struck: Sequence[int], everyone: Sequence[int]) -> tuple[str, ...]:
        inside = set(struck)
        others = [number for number in everyone if number not in inside]
        return in_common(self._scene, list(struck), others, rows=self._rows) if others else ()

    def _place(self, number: int) -> tuple[str | int | None, int]:
        case = self._scene.cases[number]
        return self._rows[case.record].query.id, case.place

    def _warnings(self, found: Judgement) -> tuple[str, ...]:
        out: list[str] = []
        missing = len(self._claimed.numbers) - len(found.numbers)
        if missing:
            out.append(
                f"no_evidence: {missing} of {len(self._claimed.numbers)} claims have no evidence "
                f"(their rows were not recorded, or they overflow the context) and were not judged"
            )
        if found.last_digit:
            out.append(
                f"last_digit: {found.last_digit} of {len(found.numbers)} claims are off by one in "
                f"their last digit, as where digits are cut off instead of rounded"
            )
        if self._claimed.summed:
            out.append("tokens_only: only tokens were claimed; their sums are audited")
        return tuple(out)

    def _end(self) -> End | None:
        ends = {row.declares.end or row.query.effective_end for row in self._rows}
        return ends.pop() if len(ends) == 1 else None

    def _starts(self) -> int:
        """Return how many start tokens the first candidate is fed."""
        tokenizer = self._scene.tokenizer
        context = self._scene.cases[0].material.context
        start = None if tokenizer is None else tokenizer.bos_id
        return next((n for n, token in enumerate(context) if token != start), len(context))

    def _provenance(self) -> Provenance | None:
        if self._model is None:
            return None
        first = self._rows[0]
        return Provenance(
            model=self._model.provenance,
            boundary=first.declares.boundary or first.query.boundary,
            end=first.declares.end or first.query.effective_end,
            bos=first.declares.bos or first.query.bos,
            bos_count=self._starts(),
            end_ids=self._scene.end_ids,
            logpr=__version__,
        )


def _by_anything(found: Judgement, explained: np.ndarray) -> list[bool]:
    """Return which candidates the named computation explains, or another part's does."""
    out: list[bool] = explained.tolist()
    for part in found.parts:
        for number in part.numbers:
            out[number] = part.explained
    return out


def _known(values: Values, number: int) -> float | None:
    return float(values.value[number]) if values.known[number] else None


def _column(values: Values) -> list[float | None]:
    return [_known(values, number) for number in range(len(values.value))]


def _values(found: TokenScores | None) -> tuple[float, ...] | None:
    return None if found is None else found.values


def _declared(declares: Declares, rows: Sequence[ClaimRow]) -> tuple[tuple[str, str], ...]:
    ends = dict.fromkeys(row.declares.end or row.query.effective_end for row in rows)
    bounds = dict.fromkeys(row.declares.boundary or row.query.boundary for row in rows)
    starts = dict.fromkeys(row.declares.bos or row.query.bos for row in rows)
    return (
        ("rule", declares.rule),
        ("unit", declares.unit),
        ("end", " or ".join(ends)),
        ("boundary", " or ".join(bounds)),
        ("bos", " or ".join(starts)),
    )
