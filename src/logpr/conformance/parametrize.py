"""The suite as tests of pytest: one test a scorer and check, with an id that stays the same.

pytest is imported by whoever is parametrized, and by nobody else.
"""

from __future__ import annotations

import functools
import importlib
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, NoReturn, TypeAlias, TypeVar, final

from logpr._values.check import CheckFailure, CheckReport, CheckResult
from logpr.conformance.adapters import ADAPTERS
from logpr.conformance.bench import Bench
from logpr.conformance.declares import Declares
from logpr.conformance.laws import LAWS, Law
from logpr.conformance.run import Options, Run, selected, target_of
from logpr.conformance.targets.base import Target
from logpr.conformance.targets.called import TIME_LIMIT
from logpr.conformance.targets.named import target_named
from logpr.conformance.toy import Architecture
from logpr.errors import MissingExtraError, WrongTypeError

Should: TypeAlias = Literal["xfail", "fail"]
"""What becomes of a SHOULD that is broken."""

Reasons: TypeAlias = Mapping[str, str]
"""Why checks fail, by their ids."""

_Test = TypeVar("_Test", bound=Callable[..., object])

FACTORY = "factory:"
"""Stands before the name of a factory, where all is said in one word."""

_WORDS = "logpr.report.words.told"
"""How a failure is told. The suite stands below the reports, and calls this one by name."""


@final
class Suite:
    """One scorer under check, from its first test to its last.

    Args:
        target: what is checked.
        name: of the scorer, at the head of its checks' ids.
        scorer: as it was given.
        declares: what its numbers are said to be.
        expected: why checks fail, by their ids.
        architecture: of the suite's models.
        seed: of the cases drawn.
        should: what becomes of a SHOULD that is broken.
        excuses: where `expected` was written, for whoever has to take a line out.
    """

    def __init__(
        self,
        target: Target,
        *,
        name: str,
        scorer: object,
        declares: Declares,
        expected: Reasons,
        architecture: Architecture = "gpt2",
        seed: int = 0,
        should: Should = "xfail",
        excuses: str = "expected_failures",
    ) -> None:
        self.name = name
        self.scorer = scorer
        self.expected = expected
        self.should = should
        self.excuses = excuses
        # Nothing is opened before the first question, and what a law found is kept when it closes.
        bench = Bench(target, declares, architecture)
        self._run = Run(bench, Options(expected_failures=expected, seed=seed))
        self._close = functools.partial(bench.__exit__, None, None, None)
        # Where the plugin does not close it, as where plugins are not loaded by themselves.
        weakref.finalize(self, self._close)

    def checks(self, ids: Iterable[str]) -> list[Check]:
        """Return a check for each id."""
        return [Check(self, LAWS[each]) for each in ids]

    def close(self) -> None:
        """Let go of the scorer and of the models' folders; a check run later opens them again."""
        self._close()

    def result(self, check: str) -> CheckResult:
        """Return what a check found; those it stands on are judged first, each of them once."""
        return self._run.result(check)

    def failure(self, check: str) -> CheckFailure:
        """Return how a check failed, which it did."""
        self._run.liken_again()
        return self._run.failures[check]

    def told(self, result: CheckResult) -> str:
        """Return a failure or an error in words, over several lines."""
        bench = self._run.bench
        report = CheckReport(
            target=bench.target.name,
            results=(result,),
            declares=bench.declares.pairs(),
            architecture=bench.architecture if bench.target.factory else None,
            seed=self._run.options.seed,
        )
        words = importlib.import_module(_WORDS)
        if result.outcome == "error":
            return str(words.errored(report, self._run.errors[result.check]))
        return str(words.failed(report, self.failure(result.check)))


@final
class Check:
    """One check of one scorer, to be called in a test.

    `id` is `my_scorer-chain_rule`, `law` the law, `scorer` what was given. It runs when it is
    called; checks of one scorer share what they found, so that no law is judged twice.
    """

    def __init__(self, suite: Suite, law: Law) -> None:
        self.suite = suite
        self.law = law

    def __repr__(self) -> str:
        return self.id

    @property
    def id(self) -> str:
        """The scorer's name and the check's."""
        return f"{self.suite.name}-{self.law.id}"

    @property
    def scorer(self) -> object:
        """The scorer or factory, as it was given."""
        return self.suite.scorer

    def result(self) -> CheckResult:
        """Return what was found, whatever it is."""
        return self.suite.result(self.law.id)

    def __call__(self) -> None:
        """Run the check, and say by pytest's own means what came of it.

        Skipped where it was not judged, xfailed where its failure is expected, or is of a SHOULD.

        Raises:
            AssertionError: the law is broken, or is kept where a failure was expected.
            RuntimeError: the scorer gave no numbers.
        """
        __tracebackhide__ = True
        import pytest  # noqa: PLC0415 - only tests need it

        result, because = self.result(), self.suite.expected.get(self.law.id)
        if result.outcome == "passed":
            if because is not None:
                _stale(self, because)
            return
        if result.outcome == "error":
            raise RuntimeError(self.suite.told(result))
        if result.outcome != "failed":
            word = result.outcome.replace("_", " ")
            pytest.skip(f"{word}: {result.why}" if result.why else word)
        # Under --runxfail neither of the two raises, and the failure is one.
        if because is not None:
            pytest.xfail(because)
        elif self.law.severity == "SHOULD" and self.suite.should == "xfail":
            short = importlib.import_module(_WORDS).short(self.suite.failure(self.law.id))
            pytest.xfail(f"SHOULD: {short}")
        raise AssertionError(self.suite.told(result))


def _stale(check: Check, because: str) -> NoReturn:
    __tracebackhide__ = True
    msg = (
        f"[XPASS(strict)] {check.law.id} passes, and was expected to fail ({because}): take it "
        f"out of {check.suite.excuses}"
    )
    raise AssertionError(msg)


def parametrize_with_checks(
    scorers: Sequence[object] | Mapping[str, object] = (),
    *,
    factories: Sequence[object] | Mapping[str, object] = (),
    declares: Declares | Mapping[str, Any] | None = None,
    expected_failures: Reasons | Callable[[Any], Reasons] | None = None,
    only: Iterable[str] | None = None,
    skip: Iterable[str] = (),
    architecture: Architecture = "gpt2",
    seed: int = 0,
    time_limit: float = TIME_LIMIT,
    should: Should = "xfail",
) -> Callable[[_Test], _Test]:
    """Return a decorator that makes a test for each scorer and check; its argument is `check`.

    >>> import logpr
    >>> from logpr.conformance import toy_scorer
    >>> @logpr.parametrize_with_checks(factories=[toy_scorer], only=["chain_rule"])
    ... def test_scorer(check):
    ...     check()
    >>> [mark.args[1][0].id for mark in test_scorer.pytestmark]
    ['toy_scorer-chain_rule']

    Args:
        scorers: each as `logpr.check` takes it; by names of your own, or by those that they have.
        factories: each make(model_folder) -> scorer, as `logpr.check(factory=…)` takes it.
        declares: what the numbers of all of them are said to be.
        expected_failures: id -> why it fails; or a function of a scorer that returns that.
        only: ids of checks to run; those that they stand on are run too, and make no tests.
        skip: ids of checks to leave out.
        architecture: of the suite's models.
        seed: of the cases drawn.
        time_limit: seconds for one call.
        should: `fail`, for a broken SHOULD to fail its test; it is xfailed otherwise.

    Raises:
        UnknownNameError: no check has that id, or nothing of that name is declared.
        WrongTypeError: nothing was given that can be checked.
        MissingExtraError: there is no pytest.
    """
    try:
        import pytest  # noqa: PLC0415 - only tests need it
    except ImportError as error:
        msg = "parametrize_with_checks makes tests of pytest; run: pip install pytest"
        raise MissingExtraError(msg) from error
    said = declares if isinstance(declares, Declares) else Declares.of(dict(declares or {}))
    left = tuple(skip)
    wanted = None if only is None else tuple(only)
    named = [(*each, False) for each in _named(scorers)] + [
        (*each, True) for each in _named(factories)
    ]
    if not named:
        msg = "there is no scorer to check; give parametrize_with_checks([score])"
        raise WrongTypeError(msg)
    taken: set[str] = set()
    params = []
    for name, scorer, is_factory in named:
        given = expected_failures or {}
        expected = dict(given(scorer) if callable(given) else given)
        ids = selected(wanted, left, expected)
        suite = Suite(
            target_of(
                None if is_factory else scorer,
                scorer if is_factory else None,
                said,
                time_limit=time_limit,
                name=None,
            ),
            name=_untaken(name, taken),
            scorer=scorer,
            declares=said,
            expected=expected,
            architecture=architecture,
            seed=seed,
            should=should,
        )
        params += [pytest.param(check, id=check.id) for check in suite.checks(ids)]
    return pytest.mark.parametrize("check", params)


def suite_named(
    text: str,
    *,
    declared: Mapping[str, str],
    expected: Reasons,
    architecture: Architecture | None,
    seed: int,
    time_limit: float,
    should: Should,
    excuses: str,
) -> Suite:
    """Return the suite of a target as the command line takes it; `factory:` may stand before it.

    Raises:
        InputError: it stands for nothing, or cannot be used.
    """
    named = target_named(
        text.removeprefix(FACTORY),
        declared=declared,
        factory=text.startswith(FACTORY),
        time_limit=time_limit,
        known=ADAPTERS,
    )
    usual: Architecture = "llama" if named.architecture == "llama" else "gpt2"
    return Suite(
        named.target,
        name=text,
        scorer=text,
        declares=named.declares,
        expected=expected,
        architecture=architecture or usual,
        seed=seed,
        should=should,
        excuses=excuses,
    )


def _named(given: Sequence[object] | Mapping[str, object]) -> list[tuple[str, object]]:
    if isinstance(given, Mapping):
        return list(given.items())
    if isinstance(given, str) or not isinstance(given, Sequence):
        msg = (
            f"scorers are given as a list, or as a dict by names; found {type(given).__name__}: "
            f"write parametrize_with_checks([score])"
        )
        raise WrongTypeError(msg)
    return [(_name(each), each) for each in given]


def _name(scorer: object) -> str:
    """Return what a scorer is called, without its module: ids stay when a file is moved."""
    if isinstance(scorer, functools.partial):
        return _name(scorer.func)
    if isinstance(scorer, Target):
        return scorer.name.rpartition(":")[2]
    name = getattr(scorer, "__qualname__", type(scorer).__qualname__)
    return str(name).rpartition("<locals>.")[2]


def _untaken(name: str, taken: set[str]) -> str:
    """Return a name, numbered from the second of its kind on."""
    number = 1
    found = name
    while found in taken:
        number += 1
        found = f"{name}_{number}"
    taken.add(found)
    return found
