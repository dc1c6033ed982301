"""One scorer and the laws: each judged once, on its cases, after those that it stands on."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias, final

from logpr._values.check import CheckError, CheckFailure, CheckOutcome, CheckResult
from logpr.conformance.bench import Bench, CannotJudgeError, Compared, Heard
from logpr.conformance.case import OWN, Case
from logpr.conformance.declares import Declares
from logpr.conformance.laws import LAWS, Drawing, Law
from logpr.conformance.laws._law import where
from logpr.conformance.likeness import Likeness, Likenesses
from logpr.conformance.shrink import broken, shrunk
from logpr.conformance.targets.base import ScorerError, Target
from logpr.conformance.targets.called import Called, Made
from logpr.conformance.toy import VARIANTS
from logpr.errors import UnknownNameError, WrongTypeError

_NOISE = "repeat"
"""The check that measures a scorer's noise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How a suite is run.

    `expected_failures` are reasons by check. `explain`: whether a failure is shrunk and compared
    with the zoo.
    """

    expected_failures: Mapping[str, str]
    seed: int = 0
    explain: bool = True


_Outcome: TypeAlias = tuple[CheckOutcome, str | None, int]
"""What came of a check, why, and on how many cases."""


@dataclass(slots=True)
class _Judged:
    """What the cases of one law said."""

    tried: int = 0
    failing: list[Case] | None = None
    hidden: Compared | None = None
    why: str | None = None
    blocked: bool = False


@final
class Run:
    """One scorer and the laws: each is judged once, after those that it stands on.

    Args:
        bench: where the scorer stands.
        options: how.
    """

    def __init__(self, bench: Bench, options: Options) -> None:
        self.bench = bench
        self.options = options
        self.failures: dict[str, CheckFailure] = {}
        self.errors: dict[str, CheckError] = {}
        self._results: dict[str, CheckResult] = {}
        self._likenesses = Likenesses(bench)
        self._unlike: dict[str, list[Heard]] = {}
        self._dead: str | None = None
        """What no further question can be asked after."""

    def result(self, name: str) -> CheckResult:
        """Return a check's result; those it stands on are judged first."""
        if name not in self._results:
            law = LAWS[name]
            found = self._outcome(law)
            models = () if found[0] == "not_applicable" else self._models(law)
            self._results[name] = self._result(law, found, models)
        return self._results[name]

    def replay(self, case: Case) -> CheckResult:
        """Return what one case says, alone; of a scorer's own numbers, beside the noise in them."""
        law = LAWS[case.check]
        self._dead = None
        lacking = self._lacking(law)
        if lacking is not None:
            return self._result(law, ("not_applicable", lacking, 0), (case.model,))
        if case.model == OWN and case.check != _NOISE:
            self.result(_NOISE)
        return self._result(law, self._judged(law, [case]), (case.model,))

    def _result(self, law: Law, found: _Outcome, models: tuple[str, ...]) -> CheckResult:
        outcome, why, tried = found
        return CheckResult(
            check=law.id,
            severity=law.severity,
            statement=law.statement,
            outcome=outcome,
            why=why,
            cases=tried,
            models=models,
            expected_because=self.options.expected_failures.get(law.id),
            page=law.page,
        )

    def _models(self, law: Law) -> tuple[str, ...]:
        return law.models if self.bench.target.factory else ("own",)

    def _outcome(self, law: Law) -> _Outcome:
        lacking = self._lacking(law)
        if lacking is not None:
            return "not_applicable", lacking, 0
        for name in law.after:
            before = self.result(name)
            if before.outcome in ("failed", "error", "blocked"):
                return "blocked", f"{name} {_words(before.outcome)}", 0
        if self._dead is not None:
            return "blocked", self._dead, 0
        try:
            cases = list(law.cases(self.bench, Drawing(self.bench, law.id, self.options.seed)))
        except ScorerError as error:
            return self._error(law, Case(law.id, self._models(law)[0], ()), error)
        except CannotJudgeError as error:
            return "not_applicable", error.why, 0
        return self._judged(law, cases)

    def _lacking(self, law: Law) -> str | None:
        """Return what a law needs that this scorer does not offer or declare."""
        declares = self.bench.declares
        if declares.end not in law.applies:
            return f"it is a law of end={law.applies[0]!r}, and end={declares.end!r} is declared"
        if where(law, self.bench) is None:
            return "it needs the suite's models: give a factory, make(model_folder) -> score"
        if "per_token" in law.needs and not declares.per_token:
            return "it needs token scores: declare per_token"
        if "text" in law.needs and declares.ids:
            return "it is about texts, and ids are declared"
        return None

    def _judged(self, law: Law, cases: Sequence[Case]) -> _Outcome:
        found = _Judged()
        self.bench.heard.clear()
        for case in cases:
            try:
                self._try(law, case, found)
            except ScorerError as error:
                if found.failing:
                    break
                return self._error(law, case, error)
            except CannotJudgeError as error:
                found.why, found.blocked = error.why, error.blocked
        if found.failing:
            self._failure(law, found.failing, found.tried, list(self.bench.heard))
            return "failed", None, found.tried
        if found.tried == 0:
            outcome: CheckOutcome = "blocked" if found.blocked else "not_applicable"
            return outcome, found.why or "it has no case for this scorer", 0
        if found.hidden is not None:
            hidden = found.hidden
            why = (
                f"the scorer's own noise, {hidden.floor:.2g} nats, is larger than the "
                f"{hidden.effect:.2g} that it looks for"
            )
            return "inconclusive", why, found.tried
        return "passed", None, found.tried

    def _try(self, law: Law, case: Case, found: _Judged) -> None:
        bad = []
        for compared in law.check(self.bench, case):
            if not compared.kept:
                bad.append(compared)
            if compared.hidden:
                found.hidden = compared
        found.tried += 1
        if bad and not (found.hidden is not None and bad[0].relation == "!="):
            found.failing = [*(found.failing or []), case]

    def _failure(self, law: Law, failing: Sequence[Case], tried: int, heard: list[Heard]) -> None:
        case = failing[0]
        likeness = None
        try:
            if self.options.explain:
                case, compared = shrunk(law, self.bench, case)
                likeness = self._likeness(law.id, heard)
            else:
                compared = broken(law, self.bench, case)[0]
        except (ScorerError, CannotJudgeError, IndexError):
            # It is not the same from call to call: what was seen once is said as it was.
            compared = Compared(self.bench.words(case.model, *case.parts), "not kept", "kept")
        self.failures[law.id] = CheckFailure(
            check=law.id,
            severity=law.severity,
            statement=law.statement,
            found=compared.found,
            expected=_expected(compared),
            difference=compared.difference,
            tolerance=None if compared.difference is None else compared.tolerance,
            what=compared.what,
            case=self._told(case),
            model=case.model,
            failed_cases=len(failing),
            cases=tried,
            looks_like=() if likeness is None else likeness.ids,
            reproduces=None if likeness is None else likeness.reproduces,
            compared=None if likeness is None else likeness.compared,
            replay=case.id,
            page=law.page,
            expected_because=self.options.expected_failures.get(law.id),
        )

    def _likeness(self, name: str, heard: list[Heard]) -> Likeness | None:
        if name == _NOISE or self.result(_NOISE).outcome == "failed":
            return None  # no formula gives what is another number the next time
        try:
            found = self._likenesses.of(heard)
        except Exception as error:  # noqa: BLE001 - a name for a failure is worth less than it
            said = f"what {name} looks like was not found out: {type(error).__name__}: {error}"
            self.bench.notes[f"{said}; this is a bug in logpr, please report it"] = None
            return None
        if found is None:
            self._unlike[name] = heard
        return found

    def liken_again(self) -> None:
        """Hold failures that looked like nothing against what was found out since."""
        for name, heard in self._unlike.items():
            found = self._likenesses.of(heard, search=False)
            if found is not None and name in self.failures:
                self.failures[name] = replace(
                    self.failures[name],
                    looks_like=found.ids,
                    reproduces=found.reproduces,
                    compared=found.compared,
                )
        self._unlike.clear()

    def _told(self, case: Case) -> str:
        if case.model not in VARIANTS:
            return "the scorer's own model"
        return f"the suite's model {case.model}: {VARIANTS[case.model].about}"

    def _error(self, law: Law, case: Case, error: ScorerError) -> _Outcome:
        self.errors[law.id] = CheckError(
            check=law.id,
            severity=law.severity,
            kind=error.kind,
            message=error.message,
            where=error.where,
            case=self._told(case),
            replay=case.id,
        )
        if error.fatal:
            self._dead = f"the scorer gave no answer at {law.id}: {error.message}"
        return "error", error.message, 0


def _expected(compared: Compared) -> float | str:
    if compared.relation == "!=" and not isinstance(compared.expected, str):
        return f"another number than {compared.expected:.6g}"
    return compared.expected


def _words(outcome: CheckOutcome) -> str:
    return {"failed": "failed", "error": "gave no numbers", "blocked": "is blocked itself"}[outcome]


def target_of(
    scorer: object, factory: object, declares: Declares, *, time_limit: float, name: str | None
) -> Target:
    """Return what is checked, from a scorer or a factory, or a target as it is.

    Raises:
        WrongTypeError: neither was given, or both.
    """
    if (scorer is None) == (factory is None):
        msg = (
            "give a scorer, check(score), or a factory of scorers, check(factory=make); "
            f"found {'both' if scorer is not None else 'neither'}"
        )
        raise WrongTypeError(msg)
    given = scorer if scorer is not None else factory
    if isinstance(given, Target):
        return given
    kind = Called if scorer is not None else Made
    return kind(given, declares=declares, time_limit=time_limit, name=name)


def selected(
    only: Iterable[str] | None, skip: Iterable[str], expected: Mapping[str, str]
) -> list[str]:
    """Return the ids to run, in the suite's order.

    Raises:
        UnknownNameError: an id that no check has.
    """
    wanted = list(LAWS) if only is None else list(only)
    left = list(skip)
    for each in (*wanted, *left, *expected):
        if each not in LAWS:
            near = difflib.get_close_matches(each, LAWS, n=3)
            meant = f" (did you mean {' or '.join(near)}?)" if near else ""
            msg = f"no check is called {each!r}{meant}; there are {', '.join(LAWS)}"
            raise UnknownNameError(msg)
    return [law for law in LAWS if law in wanted and law not in left]
