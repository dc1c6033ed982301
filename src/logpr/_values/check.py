"""What a run of the conformance suite found: each check's outcome, and each failure's evidence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, TypeAlias

from logpr._values._base import Value

Severity: TypeAlias = Literal["MUST", "SHOULD"]
"""`MUST`: whatever breaks it is no log Pr(y | x). `SHOULD`: a convention that its users expect."""

CheckOutcome: TypeAlias = Literal[
    "passed", "failed", "blocked", "not_applicable", "inconclusive", "error"
]
"""`failed`: the law was broken. `blocked`: a prerequisite failed, so nothing can be said.
`not_applicable`: it needs what the scorer does not offer or declare. `inconclusive`: the scorer's
own noise is larger than what the check looks for. `error`: it crashed, hung, or gave no numbers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckFailure(Value):
    """A law that was broken, on the smallest case that breaks it.

    `found` and `expected` are in nats and summed, whatever the scorer declares; words where one of
    them is no number. `difference` is |found − expected| where both are. `looks_like` are entries
    of the zoo that together reproduce `reproduces` of `compared` numbers of the scorer.
    `expected_because` is the reason given where the failure was expected.
    """

    check: str
    severity: Severity
    statement: str
    found: float | str
    expected: float | str
    difference: float | None = None
    tolerance: float | None = None
    what: str
    """What `found` and `expected` are numbers of, in one line: `s("ab", " c")`."""
    case: str
    """The case in words: model, prompt and candidates."""
    model: str
    failed_cases: int = 1
    """Of `cases` cases, so many broke the law."""
    cases: int = 1
    looks_like: tuple[str, ...] = ()
    reproduces: int | None = None
    compared: int | None = None
    replay: str
    """The case's id: `--replay ID` runs it alone."""
    page: str
    expected_because: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckError(Value):
    """A check that could not be judged, since the scorer gave no numbers.

    `kind` is what happened: `raised`, `timed_out`, `wrong_shape`, `not_numbers`, `mutated_input`,
    `died`. `where` is the line of the scorer's own code, where there is one.
    """

    check: str
    severity: Severity
    kind: str
    message: str
    where: str | None = None
    case: str
    replay: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult(Value):
    """One check: its outcome, and why where it was not judged.

    `why` says what blocked it, what it needs that is not there, or what noise hides.
    """

    check: str
    severity: Severity
    statement: str
    outcome: CheckOutcome
    why: str | None = None
    cases: int = 0
    models: tuple[str, ...] = ()
    """The models of the suite that it ran on; `own`: the scorer's own."""
    expected_because: str | None = None
    """The reason given where its failure is expected; a pass is then stale."""
    page: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckReport(Value):
    """What the suite found of one scorer.

    Six lists hold each check that ran, by name; `expected` are those of `failed` that were
    expected to fail, `stale` those expected to fail that passed. `noise` is the largest |Δ| in
    nats between two runs of the same call, `tolerance` that allowed for one token.
    """

    target: str
    passed: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    blocked: tuple[str, ...] = ()
    not_applicable: tuple[str, ...] = ()
    inconclusive: tuple[str, ...] = ()
    error: tuple[str, ...] = ()
    expected: tuple[str, ...] = ()
    stale: tuple[str, ...] = ()
    failures: tuple[CheckFailure, ...] = ()
    errors: tuple[CheckError, ...] = ()
    results: tuple[CheckResult, ...] = ()
    notes: tuple[str, ...] = ()
    """What was seen beside the laws: text printed to stdout, warnings that the scorer gave."""
    declares: tuple[tuple[str, str], ...] = ()
    architecture: str | None = None
    """The suite's models that it ran on, `gpt2` or `llama`; null: on the scorer's own alone."""
    seed: int = 0
    noise: float | None = None
    tolerance: float | None = None
    calls: int = 0
    candidates: int = 0
    seconds: float = 0.0
    versions: tuple[tuple[str, str], ...] = ()

    _pairs: ClassVar[tuple[str, ...]] = ("declares", "versions")
    _rich_view: ClassVar[str | None] = "logpr.report.terminal:check"
    _html_view: ClassVar[str | None] = "logpr.report.html:check"

    @property
    def unexpected(self) -> tuple[CheckFailure, ...]:
        """Failures that nobody expected."""
        return tuple(each for each in self.failures if each.expected_because is None)

    @property
    def exit_code(self) -> int:
        """Return the exit code of `logpr check`.

        1 for an unexpected failure of a MUST, an error, or a stale expected failure; 2 where
        nothing was judged; else 0.
        """
        musts = [each for each in self.unexpected if each.severity == "MUST"]
        if musts or self.error or self.stale:
            return 1
        return 0 if self.passed or self.failed else 2

    def of(self, outcome: CheckOutcome) -> Sequence[CheckResult]:
        """Return the checks with one outcome, in the suite's order."""
        return [each for each in self.results if each.outcome == outcome]
