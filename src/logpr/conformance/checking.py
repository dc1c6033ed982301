"""The verb check: every law that applies, run against one scorer, and the report of it."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from logpr._values.check import CheckOutcome, CheckReport, CheckResult
from logpr._version import __version__
from logpr.conformance.bench import Bench
from logpr.conformance.case import Case
from logpr.conformance.declares import Declares
from logpr.conformance.laws import LAWS
from logpr.conformance.run import Options, Run, selected, target_of
from logpr.conformance.targets.called import TIME_LIMIT
from logpr.conformance.toy import VARIANTS, Architecture
from logpr.errors import QueryError, UnknownNameError

Progress = Callable[[str, int, int], None]
"""Told a check's id, how many are done, and of how many."""


def check(
    scorer: object = None,
    *,
    factory: object = None,
    declares: Declares | Mapping[str, Any] | None = None,
    only: Iterable[str] | None = None,
    skip: Iterable[str] = (),
    expected_failures: Mapping[str, str] | None = None,
    architecture: Architecture = "gpt2",
    seed: int = 0,
    time_limit: float = TIME_LIMIT,
    replay: str | None = None,
    name: str | None = None,
    explain: bool = True,
    progress: Progress = lambda *_: None,
) -> CheckReport:
    """Return which laws of log Pr(y | x) a scorer keeps, and for each that it breaks the evidence.

    >>> import logpr
    >>> from logpr.conformance import toy_scorer
    >>> report = logpr.check(factory=toy_scorer, only=["oracle", "chain_rule"])
    >>> report.passed, report.exit_code
    (('oracle', 'chain_rule'), 0)

    Args:
        scorer: score(prompt, candidates) -> one number a candidate (or that, and one list of token
            scores a candidate), or an object with `many(queries)`. It holds a model of its own,
            and laws are told from its own numbers alone.
        factory: make(model_folder) -> scorer, in place of a scorer: the suite's own models, whose
            log-probabilities are known in closed form, are handed to it as transformers folders.
        declares: what the numbers are said to be; log Pr(y | x) in nats by default.
        only: ids of checks to run; those that they stand on run too, and are not reported.
        skip: ids of checks to leave out.
        expected_failures: id -> why it fails; one that passes is stale, and makes exit code 1.
        architecture: of the suite's models: `gpt2`, or `llama` for what loads no other.
        seed: of the cases drawn.
        time_limit: seconds for one call.
        replay: a case's id, as a report prints it: that case alone is run.
        name: what the report calls the scorer.
        explain: whether failures are shrunk and compared with the zoo of faults.
        progress: called with (check, how many are done, of how many).

    Raises:
        UnknownNameError: no check has that id, or nothing of that name is declared.
        WrongTypeError: no scorer was given, or both.
        QueryError: no case has that id, or no check is left to run.
    """
    said = declares if isinstance(declares, Declares) else Declares.of(dict(declares or {}))
    target = target_of(scorer, factory, said, time_limit=time_limit, name=name)
    options = Options(expected_failures=dict(expected_failures or {}), seed=seed, explain=explain)
    chosen = selected(only, skip, options.expected_failures)
    if not chosen and replay is None:
        msg = "no check is left to run: what only= names, skip= leaves out; leave one of them out"
        raise QueryError(msg)
    started = time.monotonic()
    with Bench(target, said, architecture) as bench:
        run = Run(bench, options)
        if replay is not None:
            results = [run.replay(_case(bench, replay))]
        else:
            results = []
            for place, law in enumerate(chosen):
                progress(law, place, len(chosen))
                results.append(run.result(law))
            progress("", len(chosen), len(chosen))
        run.liken_again()
        return _report(run, results, seconds=time.monotonic() - started)


def _case(bench: Bench, text: str) -> Case:
    case = Case.read(text)
    if case.check not in LAWS:
        msg = f"no check is called {case.check!r} (in {text!r}); there are {', '.join(LAWS)}"
        raise UnknownNameError(msg)
    law = LAWS[case.check]
    own = case.model == "own"
    if own == bench.target.factory or (not own and case.model not in VARIANTS):
        kind = "a factory" if bench.target.factory else "a scorer with a model of its own"
        msg = f"the case {text!r} is on model {case.model!r}, and {kind} is checked"
        raise QueryError(msg)
    if not law.stands(bench, case):
        msg = f"{text!r} is no case of {law.id}; give an id as a report prints it"
        raise QueryError(msg)
    return case


def _report(run: Run, results: Sequence[CheckResult], *, seconds: float) -> CheckReport:
    bench, shown = run.bench, {result.check for result in results}

    def of(outcome: CheckOutcome) -> tuple[str, ...]:
        return tuple(result.check for result in results if result.outcome == outcome)

    expected = run.options.expected_failures
    failed, passed = of("failed"), of("passed")
    base = bench.tolerance("toy", 1) if bench.target.factory else bench.tolerance("own", 1)
    return CheckReport(
        target=bench.target.name,
        passed=passed,
        failed=failed,
        blocked=of("blocked"),
        not_applicable=of("not_applicable"),
        inconclusive=of("inconclusive"),
        error=of("error"),
        expected=tuple(each for each in failed if each in expected),
        stale=tuple(each for each in passed if each in expected),
        failures=tuple(run.failures[each] for each in failed if each in shown),
        errors=tuple(run.errors[each] for each in of("error")),
        results=tuple(results),
        notes=(*_unjudged(results, expected), *bench.notes),
        declares=bench.declares.pairs(),
        architecture=bench.architecture if bench.target.factory else None,
        seed=run.options.seed,
        noise=bench.noise,
        tolerance=base,
        calls=bench.calls,
        candidates=bench.candidates,
        seconds=round(seconds, 3),
        versions=(
            ("logpr", __version__),
            ("numpy", np.__version__),
            ("python", platform.python_version()),
        ),
    )


def _unjudged(results: Sequence[CheckResult], expected: Mapping[str, str]) -> list[str]:
    """Return a note for each check that was expected to fail, and of which nothing can be said."""
    told = {result.check: result for result in results}
    out = []
    for name in expected:
        found = told.get(name)
        if found is None:
            out.append(f"{name} is expected to fail, and was not run")
        elif found.outcome not in ("failed", "passed"):
            word = found.outcome.replace("_", " ")
            out.append(f"{name} is expected to fail, and was not judged: {word}")
    return out
