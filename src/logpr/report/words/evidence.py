"""The sentences of an audit's evidence: digits, noise, chance, and what could not be tested."""

from __future__ import annotations

import math
from collections.abc import Iterator
from statistics import median

from logpr._values import AuditAlternative, AuditReport, Finding, NextInput, Untested
from logpr.report.numbers import count, figure, percent, plural
from logpr.report.words.audit import counted_in, number

_MOST_NAMES = 12


def facts(report: AuditReport) -> tuple[str, ...]:
    """Return what the verdict rests on, a sentence each."""
    return tuple(
        filter(
            None,
            (
                _basis(report),
                _precision(report),
                _digits(report),
                _noise(report),
                _residual(report),
                _chance(report),
            ),
        )
    )


def brief(report: AuditReport) -> tuple[str, ...]:
    """Return what a report that found nothing wrong says of its evidence."""
    return tuple(filter(None, (_precision(report), _residual(report), _chance(report))))


def declared(report: AuditReport) -> str:
    """Return what the numbers were declared to be."""
    return ", ".join(f"{name} {value}" for name, value in report.declared)


def _basis(report: AuditReport) -> str:
    asked = declared(report)
    declares = f" Declared: {asked}." if asked else ""
    return f"At hand: {report.evidence}.{declares}"


def _precision(report: AuditReport) -> str:
    if report.computed_in is None:
        return ""
    return f"Computed in {report.computed_in}: with weights of that precision the numbers agree."


def _digits(report: AuditReport) -> str:
    widths = [
        row.high - row.low for row in report.rows if row.low is not None and row.high is not None
    ]
    finite = [width for width in widths if math.isfinite(width)]
    if not finite:
        return ""
    low, middle, high = (f"{width:.3g}" for width in (min(finite), median(finite), max(finite)))
    if low == high:
        return f"The printed digits leave each claim an interval {low} wide."
    return f"The printed digits leave the claims intervals {low} to {high} wide (median {middle})."


def _noise(report: AuditReport) -> str:
    if report.noise is None:
        return ""
    if report.noise == 0:
        return "No numerical noise was allowed for."
    return f"Numerical noise, measured on the evidence: {figure(report.noise, 2)}."


def _residual(report: AuditReport) -> str:
    if report.max_residual is None:
        return ""
    of = f"{count(report.explained_rows)} of {plural(report.rows_total, 'claim')}"
    lie = "lies in its interval" if report.rows_total == 1 else "lie in their intervals"
    return (
        f"{of} {lie}; the worst is {figure(report.max_residual, 3)} "
        f"{counted_in(report)} from its reproduction."
    )


def _chance(report: AuditReport) -> str:
    expected = report.expected_accidental_matches
    tried = f"{plural(report.hypotheses, 'computation')} tried" if report.hypotheses else ""
    if expected is None:
        return f"{tried}." if tried else ""
    by = f" among {tried}" if tried else ""
    return f"Matches to be expected by chance{by}: {figure(expected, 2)}."


def standing(report: AuditReport) -> list[AuditAlternative]:
    """Return the other computations that reproduce the claims, the indistinguishable first.

    Of several with the same faults, which differ in their parameters, all but one come last.
    """
    found = sorted((item for item in report.alternatives if item.stands), key=lambda i: not i.same)
    seen: set[tuple[str, ...]] = set()
    again = []
    for item in found:
        name = tuple(change.id for change in item.changes)
        again.append(name in seen)
        seen.add(name)
    return [item for _, item in sorted(zip(again, found, strict=True), key=lambda pair: pair[0])]


def failed(report: AuditReport) -> list[AuditAlternative]:
    """Return the computations that do not reproduce the claims, those that came nearest first."""
    return sorted((item for item in report.alternatives if not item.stands), key=_nearness)


def _nearness(item: AuditAlternative) -> tuple[float, float]:
    share = item.explained / item.tested if item.tested else 0.0
    off = math.inf if item.off_by is None or math.isnan(item.off_by) else item.off_by
    return -share, off


def likeness(item: AuditAlternative) -> str:
    """Return in what way a computation stands beside the one that was named."""
    if item.same:
        return "gives the same numbers on this input: it cannot be told apart"
    return "fits the printed digits too, though its numbers differ"


def explained(item: AuditAlternative) -> str:
    """Return how many of the claims that it was tested on a computation explains."""
    return f"{count(item.explained)} of {count(item.tested)}"


def off_by(item: AuditAlternative) -> str:
    """Return how far a computation misses the worst claim's interval."""
    return number(item.off_by)


def untested(item: Untested) -> str:
    """Return hypotheses that were not tested, and what would test them."""
    more = "" if len(item.ids) <= _MOST_NAMES else f" and {len(item.ids) - _MOST_NAMES} more"
    return f"{', '.join(item.ids[:_MOST_NAMES])}{more}: {item.needs}"


def finding(item: Finding) -> str:
    """Return what was seen in the numbers themselves, and which faults leave such a mark."""
    suggests = f"; a mark of {', '.join(item.suggests)}" if item.suggests else ""
    wrong = " Correct log-probabilities never look so." if item.accuses else ""
    says = item.says.rstrip(".")
    return f"{says} ({plural(item.rows, 'claim')}{suggests}).{wrong}"


def predictions(item: NextInput) -> Iterator[tuple[str, str]]:
    """Yield each survivor and what it would print there."""
    for name, value in item.predictions:
        yield name, number(value)


def shortlist(report: AuditReport) -> str:
    """Return what the implied normalisers cover, over all steps that imply one."""
    masses = sorted(step.mass for step in report.shortlist if math.isfinite(step.mass))
    if not masses:
        return ""
    return (
        f"Over {plural(len(report.shortlist), 'step')} the implied normaliser covers "
        f"{percent(masses[0])} to {percent(masses[-1])} of the distribution "
        f"(median {percent(median(masses))}): claimed − log Pr is −log of that share."
    )
