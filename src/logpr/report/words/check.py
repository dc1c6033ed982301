"""The sentences of a check: the verdict, each broken law, what was not judged, and why."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from logpr._values import CheckError, CheckFailure, CheckReport, CheckResult
from logpr._values.check import CheckOutcome
from logpr.report.numbers import count, figure, fixed, plural, scientific
from logpr.report.words.audit import Mark

_FEWEST, _MOST = 4, 12
"""Decimals of the numbers of a failure."""
_LONG = 1e7

UNJUDGED: tuple[CheckOutcome, ...] = ("blocked", "not_applicable", "inconclusive")


_RAISED = " raised "


@dataclass(frozen=True, slots=True)
class Look:
    """How one state of a check is drawn: never by its colour alone."""

    sign: str
    plain: str
    """The sign where there is only ASCII."""
    word: str
    tone: str


LOOKS = {
    "passed": Look("✓", "+", "passed", "good"),
    "failed": Look("✗", "x", "failed", "bad"),
    "error": Look("!", "!", "error", "bad"),
    "stale": Look("≠", "*", "stale", "bad"),
    "expected": Look("~", "~", "failed as expected", "other"),
    "blocked": Look("⊘", "#", "blocked", "open"),
    "inconclusive": Look("?", "?", "inconclusive", "open"),
    "not_applicable": Look("–", "-", "not applicable", "dim"),
}
"""Every state, the gravest news of each kind first; two of them are outcomes that were expected."""

_ERRORS = {
    "raised": "raised an exception",
    "timed_out": "ran out of time",
    "wrong_shape": "returned something of another shape",
    "not_numbers": "returned what is no number",
    "mutated_input": "changed its input",
    "died": "died",
}


def state(report: CheckReport, result: CheckResult) -> str:
    """Return a check's outcome, or `expected` or `stale` where its failure was expected."""
    if result.outcome == "failed" and result.check in report.expected:
        return "expected"
    if result.outcome == "passed" and result.check in report.stale:
        return "stale"
    return result.outcome


def look(report: CheckReport, result: CheckResult) -> Look:
    """Return how a check is drawn."""
    return LOOKS[state(report, result)]


def present(report: CheckReport) -> list[Look]:
    """Return the looks that a report has, for its legend."""
    found = {state(report, result) for result in report.results}
    return [LOOKS[name] for name in LOOKS if name in found]


def mark(report: CheckReport) -> Mark:
    """Return what stands before the verdict."""
    if report.exit_code == 1:
        return Mark("✗", "failed", "bad")
    if report.unexpected:
        return Mark("!", "passed", "open")
    if not report.passed and not report.failed:
        return Mark("?", "nothing judged", "open")
    return Mark("✓", "passed", "good")


def verdict(report: CheckReport) -> str:
    """Return in one sentence what was found."""
    broken = {each.check: each.severity for each in report.unexpected}
    musts = sum(severity == "MUST" for severity in broken.values())
    said = [_broken(report, musts, len(broken) - musts) if broken else _kept(report)]
    if report.error:
        # The gravest news first.
        place = 1 if musts else 0
        said.insert(place, f"gives no numbers in {plural(len(report.error), 'check')}")
    if report.stale:
        are = "is" if len(report.stale) == 1 else "are"
        said.append(f"{plural(len(report.stale), 'expected failure')} {are} stale")
    sentence = "; ".join(filter(None, said)) or "nothing could be judged"
    return f"{sentence[:1].upper()}{sentence[1:]}."


def _broken(report: CheckReport, musts: int, shoulds: int) -> str:
    laws = f"{plural(musts, 'law')} that every log Pr(y | x) keeps (MUST)"
    conventions = f"{plural(shoulds, 'convention')} (SHOULD)"
    if musts and shoulds:
        return f"breaks {laws}, and {conventions}"
    if musts:
        return f"breaks {laws}"
    # What gave no numbers may break any.
    return f"breaks {conventions}{'' if report.error else ', and no law (MUST)'}"


def _kept(report: CheckReport) -> str:
    """Return what was kept, where nothing was broken that was not expected to be."""
    kept, expected = len(report.passed), len(report.expected)
    failures = f"{plural(expected, 'failure')} {_were(expected)} expected"
    if not kept:
        return f"{failures}, and nothing else could be judged" if expected else ""
    apply = "applies" if kept + expected == 1 else "apply"
    unsure = report.error or report.blocked or report.inconclusive
    which = "could be judged" if unsure else apply
    if expected:
        return f"keeps {count(kept)} of the {count(kept + expected)} laws that {which}; {failures}"
    laws = "the 1 law" if kept == 1 else f"all {count(kept)} laws"
    rest = len(report.not_applicable)
    # Without the suite's models neither the unit nor the normaliser is told.
    if report.architecture is not None or not rest:
        return f"keeps {laws} that {which}"
    others = "1 other needs" if rest == 1 else f"{count(rest)} others need"
    return f"keeps {laws} that {which}; {others} a factory or another declaration"


def _were(number: int) -> str:
    return "was" if number == 1 else "were"


def tally(report: CheckReport) -> str:
    """Return exactly how many checks had which outcome."""
    found = Counter(state(report, result) for result in report.results)
    said = [
        plural(found[name], "error") if name == "error" else f"{count(found[name])} {item.word}"
        for name, item in LOOKS.items()
        if found[name]
    ]
    return f"{plural(len(report.results), 'check')}: {', '.join(said)}" if said else "No checks."


def cause(report: CheckReport) -> str | None:
    """Return which entry of the zoo several of the failures look like."""
    found = Counter(item.looks_like for item in report.unexpected if item.looks_like)
    ids, many = found.most_common(1)[0] if found else ((), 0)
    if many <= 1:
        return None
    return f"{count(many)} of {count(len(report.unexpected))} failures look like {' + '.join(ids)}."


def broken(report: CheckReport) -> list[CheckFailure]:
    """Return the failures that nobody expected, what every scorer must keep first."""
    return sorted(report.unexpected, key=lambda item: item.severity != "MUST")


@dataclass(frozen=True, slots=True)
class Detail:
    """One line of a failure: its name, and what is to be said."""

    name: str
    said: str


def details(item: CheckFailure) -> tuple[Detail, ...]:
    """Return what was found and expected, by how much they differ, and the smallest case."""
    places = _places(item)
    out = [
        Detail("number", item.what),
        Detail("found", _written(item.found, places)),
        Detail("expected", _written(item.expected, places)),
    ]
    if item.difference and math.isfinite(item.difference):
        allowed = f"; {figure(item.tolerance, 2)} is allowed" if item.tolerance else ""
        out.append(Detail("off by", f"{figure(item.difference)}{allowed}"))
    out.append(Detail("case", item.case))
    if item.cases > 1:
        said = f"broken in {count(item.failed_cases)} of {count(item.cases)}; this is the smallest"
        out.append(Detail("cases", said))
    if item.looks_like:
        out.append(Detail("looks like", likeness(item)))
    return tuple(out)


def likeness(item: CheckFailure) -> str:
    """Return which faults of the zoo give the scorer's numbers, and how many of them."""
    said = " + ".join(item.looks_like)
    if item.reproduces is None or item.compared is None:
        return said
    return f"{said}: reproduces {count(item.reproduces)} of {count(item.compared)}"


def short(item: CheckFailure) -> str:
    """Return what was found and expected, on one line."""
    places = _places(item)
    found, expected = (_written(value, places) for value in (item.found, item.expected))
    return f"found {found}, expected {expected}, of {item.what}"


def _places(item: CheckFailure) -> int:
    """Return how many decimals show that the two numbers differ."""
    apart = item.difference
    both = (item.found, item.expected)
    if not item.tolerance and all(isinstance(each, float) and each.is_integer() for each in both):
        return 0  # counts
    if apart is None or not math.isfinite(apart) or apart <= 0:
        return _FEWEST
    return min(_MOST, max(_FEWEST, 2 - math.floor(math.log10(apart))))


def _written(value: float | str, places: int) -> str:
    if isinstance(value, str):
        return value
    if math.isfinite(value) and abs(value) >= _LONG:
        return scientific(value, 8)
    return fixed(value, places)


@dataclass(frozen=True, slots=True)
class ErrorGroup:
    """Errors with one message: it is said once, with the checks that met it."""

    head: str
    message: str
    where: str | None
    checks: tuple[str, ...]
    first: CheckError


def errors(report: CheckReport) -> list[ErrorGroup]:
    """Return the errors by what they say, those of most checks first."""
    found: dict[tuple[str, str, str | None], list[CheckError]] = {}
    for item in report.errors:
        # What was called is told before it, and may differ from check to check.
        said = item.message.partition(_RAISED)[2] if item.kind == "raised" else ""
        found.setdefault((item.kind, said or item.message, item.where), []).append(item)
    groups = []
    for items in found.values():
        first = items[0]
        checks = tuple(dict.fromkeys(item.check for item in items))
        head = f"{_happened(first)} in {plural(len(checks), 'check')}"
        groups.append(ErrorGroup(head, first.message, first.where, checks, first))
    return sorted(groups, key=lambda group: -len(group.checks))


def _happened(item: CheckError) -> str:
    """Return what happened, an exception by its name."""
    name = item.message.partition(_RAISED)[2].partition(":")[0]
    if item.kind == "raised" and name.isascii() and name.replace(".", "").isidentifier():
        return f"raised {name}"
    return _ERRORS.get(item.kind, item.kind)


def reasons(report: CheckReport, outcome: CheckOutcome) -> list[tuple[str, tuple[str, ...]]]:
    """Return why checks with an outcome were not judged: each reason with its checks."""
    found: dict[str, list[str]] = {}
    for result in report.of(outcome):
        found.setdefault(result.why or "", []).append(result.check)
    return [(why, tuple(names)) for why, names in found.items()]


def reasoned(report: CheckReport, outcome: CheckOutcome) -> str:
    """Return in one line which checks were not judged, and why."""
    return "; ".join(
        f"{', '.join(names)} ({why})" if why else ", ".join(names)
        for why, names in reasons(report, outcome)
    )


def stale(report: CheckReport) -> Iterator[str]:
    """Yield for each expected failure that passed what to do about it."""
    for result in report.results:
        if result.check in report.stale:
            yield (
                f"{result.check} passes, and was expected to fail ({because(result)}): take it out "
                f"of expected_failures (on the command line, --expect-failure)"
            )


def expected(report: CheckReport) -> list[tuple[CheckResult, CheckFailure | None]]:
    """Return the failures that were expected, each with its numbers."""
    known = {item.check: item for item in reversed(report.failures)}
    return [
        (result, known.get(result.check))
        for result in report.results
        if state(report, result) == "expected"
    ]


def because(result: CheckResult) -> str:
    """Return why a check was expected to fail."""
    return result.expected_because or "no reason given"


def passed(report: CheckReport) -> list[CheckResult]:
    """Return the checks that passed."""
    return [result for result in report.results if result.outcome == "passed"]


def basis(report: CheckReport) -> Iterator[tuple[str, str]]:
    """Yield what the outcomes rest on, a fact each."""
    yield "target", report.target
    if report.architecture is not None:
        yield "models", f"{_names(_models(report))} of the suite's own ({report.architecture})"
    elif report.results:
        yield "models", "the scorer's own alone"
    if report.declares:
        yield "declares", ", ".join(f"{name}={value}" for name, value in report.declares)
    allowed = [] if report.tolerance is None else [f"{figure(report.tolerance, 2)} nats a token"]
    if report.noise is not None:
        allowed.append(f"noise, measured by asking twice: {figure(report.noise, 2)} nats")
    if allowed:
        yield "tolerance", "; ".join(allowed)
    if report.failures:
        yield "numbers", "s is a sum over tokens in nats, whatever is declared"
    yield (
        "asked",
        (
            f"{plural(report.calls, 'call')}, {plural(report.candidates, 'candidate')}, "
            f"{report.seconds:,.1f} s; seed {report.seed}"
        ),
    )
    if report.versions:
        yield "versions", ", ".join(f"{name} {version}" for name, version in report.versions)


def _models(report: CheckReport) -> list[str]:
    return list(dict.fromkeys(name for result in report.results for name in result.models))


def _names(names: Sequence[str]) -> str:
    return ", ".join(names) if names else "none"
