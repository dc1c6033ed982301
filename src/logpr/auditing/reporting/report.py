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
    Damage,
    Provenance,
    Untested,
)
from logpr._version import __version__
from logpr.auditing.claims.fingerprints import fingerprints
from logpr.auditing.claims.values import ClaimRow, Declares, is_claimed
from logpr.auditing.faults import FAULTS
from logpr.auditing.faults.totals import declared_totals
from logpr.auditing.reporting.damage import arms, damage
from logpr.auditing.reporting.held import held_to_tokens
from logpr.auditing.reporting.rows import groups_of, known, rows_of
from logpr.auditing.reporting.sentence import sentence
from logpr.auditing.reporting.unmeasured import numbers_alone
from logpr.auditing.scene.build import Built, build
from logpr.auditing.search.halves import Halves
from logpr.auditing.search.identify import Progress
from logpr.auditing.search.judge import Judgement, judge
from logpr.auditing.search.naming import correction, found_in
from logpr.auditing.search.nearest import nearest
from logpr.auditing.search.next_input import next_input
from logpr.auditing.search.panel import Values, predict_all
from logpr.auditing.search.pipeline import Declared, Pipeline
from logpr.auditing.search.race import Trial
from logpr.auditing.search.rounded import Rounded, judge_rounded
from logpr.auditing.search.shortlists import with_shortlists
from logpr.auditing.search.targets import Claimed, claimed_of, declared_of, declares_of_all
from logpr.models.base import Model


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What an audit is told beside the claims."""

    settings: Settings
    halves: Halves = lambda *_: {}
    progress: Progress = lambda *_: None


def audit_rows(rows: Sequence[ClaimRow], model: Model | None, options: Options) -> AuditReport:
    """Return the report on claims, from a model, from what the records bring, or from neither.

    Records in which nothing was claimed are skipped and counted in a warning, `not_claimed`.

    Raises:
        QueryError: rows that cannot be audited together, or fed as declared.
        ModelError: the model failed.
    """
    judged = [row for row in rows if any(map(is_claimed, row.claims))]
    report = _audited(judged or rows, model, options)
    if len(judged) in (0, len(rows)):
        return report
    skipped = len(rows) - len(judged)
    note = (
        f"not_claimed: {skipped} of {len(rows)} records have no number for any candidate, and were "
        f"skipped"
    )
    return replace(report, warnings=(note, *report.warnings))


def _audited(rows: Sequence[ClaimRow], model: Model | None, options: Options) -> AuditReport:
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
        self._declared: Declared = declared_of(declares, summed=claimed.summed)
        self._rounded: Rounded | None = None

    def made(self) -> AuditReport:
        found = self._judged()
        scene, claimed = self._scene, self._claimed
        counts = [len(case.material.tokens) for case in scene.cases]
        findings = fingerprints(self._rows, counts=counts)
        if found.computed_in is not None and any(f.id == "power_of_two_grid" for f in findings):
            # Half-precision weights alone leave no grid: the log-softmax was rounded too.
            found.verdict, dtype = "fault", found.computed_in
            found.leader = Trial(Pipeline((FAULTS["half_precision"].apply(dtype=dtype),)))
            found.computed_in = None
        token_claims = [
            number for number in claimed.numbers if claimed.claims[number].token_scores is not None
        ]
        differing: list[str] = []
        if token_claims:
            found, differing = held_to_tokens(
                found,
                scene,
                self._declared,
                claimed,
                token_claims,
                halves=self._options.halves,
            )
            found, steps = with_shortlists(
                found, scene, self._declared, claimed, numbers=token_claims, rows=self._rows
            )
        else:
            steps = ()
        leader = found.leader or Trial(Pipeline())
        named = found_in(leader)
        reproduced = found.reproduced or found.base
        explained = self._explained(found, reproduced)
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
            damage=self._damage(found),
            correction=correction(named),
            rows=rows_of(
                found,
                scene,
                self._declared,
                claimed,
                rows=self._rows,
                explained=explained.tolist(),
                sums=self._true_sums(found),
            ),
            shortlist=steps,
            groups=groups_of(found, scene, claimed, self._rows),
            arms=self._arms(found, explained),
            findings=findings,
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

    def _judged(self) -> Judgement:
        """Return the judgement; the scene is the one that it holds in from here on."""
        asked = self._scene, self._declared, self._claimed.targets, self._claimed.numbers
        halves, progress = self._options.halves, self._options.progress
        if self._model is not None and self._model.provenance.backend != "logits":
            return judge(*asked, halves=halves, progress=progress)
        found, self._scene, self._rounded = judge_rounded(*asked, halves=halves, progress=progress)
        return found

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

    def _damage(self, found: Judgement) -> Damage:
        changes = () if found.leader is None else found.leader.pipeline.changes
        comparable = not any(change.stage == "unit" for change in changes)
        return damage(
            self._rows,
            self._scene,
            _column(found.base),
            [None if score is None else score.value for score in self._claimed.scores],
            noise=found.base.noise.tolist(),
            higher_wins=self._higher_wins(),
            comparable=comparable,
        )

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

    def _warnings(self, found: Judgement) -> tuple[str, ...]:
        out: list[str] = []
        missing = len(self._claimed.numbers) - len(found.numbers)
        if missing:
            out.append(
                f"no_evidence: {missing} of {len(self._claimed.numbers)} claims have no evidence "
                f"(their rows were not recorded, or they overflow the context) and were not judged"
            )
        if self._rounded is not None:
            out.append(
                f"rounded_rows: the recorded rows are rounded to {self._rounded.dtype}, and the "
                f"claims are not computed from them as they stand; each token may be off by up to "
                f"{self._rounded.noise:.2g} nats; record float32 rows to tell more"
            )
        if found.last_digit:
            out.append(
                f"last_digit: {found.last_digit} of {len(found.numbers)} claims are off by one in "
                f"their last digit, as where digits are cut off instead of rounded"
            )
        if found.half_assumed is not None:
            out.append(
                f"half_not_measured: how far {found.computed_in} moves these numbers was not "
                f"measured ({found.half_assumed}); its usual size was allowed for, "
                f"{found.half_noise:.2g} nats a token"
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


def _column(values: Values) -> list[float | None]:
    return [known(values, number) for number in range(len(values.value))]


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
