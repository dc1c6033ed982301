"""The verdict in one sentence that a person can act on."""

from __future__ import annotations

from collections.abc import Sequence

from logpr._values import AuditAlternative, AuditReport, FaultFound
from logpr._values.audit import alike
from logpr.auditing.search.judge import Judgement
from logpr.auditing.search.naming import named, phrase

_MOST_NAMES = 4


def sentence(report: AuditReport, found: Judgement) -> str:  # noqa: C901, PLR0911 - an arm a verdict
    """Return what the report says first."""
    total = report.rows_total
    these = f"These {total} scores" if total != 1 else "This score"
    kind = f"These {total} scores are" if total != 1 else "What this score is:"
    are = "are" if total != 1 else "is"
    said = dict(report.declared)
    what = declared_phrase(said)
    rounded = any(note.startswith("rounded_rows") for note in report.warnings)
    within = "within the rounding of the recorded rows" if rounded else "to the printed digits"
    tally = f"reproduced {within}, {report.explained_rows} of {total}"
    if report.verdict == "correct" and report.computed_in is not None:
        return (
            f"{these} {are} {what}, as declared, within the rounding of {report.computed_in}: "
            f"{report.explained_rows} of {total}, up to {report.max_residual or 0.0:.2g} off what "
            f"float32 gives."
        )
    if report.verdict == "correct":
        return f"{these} {are} {what}, as declared: {tally}."
    if report.verdict == "fault":
        if found.parts:
            return _mixed(report, what)
        return f"{kind} {phrase(report.faults)}: {tally}."
    if report.verdict == "other_definition":
        if found.parts:
            return _mixed(report, what)
        return (
            f"{kind} {phrase(report.faults)}: another quantity than the declared {what}, "
            f"and no bug; {tally}."
        )
    if report.verdict == "ambiguous":
        several = [report.faults, *(each.changes for each in _rivals(report))]
        return (
            f"{len(several)} computations give these {total} scores to the printed digits, and "
            f"this input cannot tell which: {_list(several)}."
        )
    if report.verdict == "not_enough_precision":
        same = _all_alike(report)
        if same is not None:
            return same
        return (
            f"{these} {are} printed with too few digits to say what computed "
            f"{'them' if total != 1 else 'it'}: "
            f"{_count(report)}; print more decimals, or more rows."
        )
    if report.verdict == "not_enough_evidence":
        return (
            f"Nothing at hand says what {these[0].lower()}{these[1:]} should be: {_missing(report)}"
        )
    if found.parts:
        return _mixed(report, what)
    if found.leader is None and report.explained_rows == total:
        notes = [note for note in report.warnings if note.startswith("tokens_")]
        return (
            f"{these} {are} {what}, and the token scores beside them are not its steps: "
            f"{notes[-1].partition(': ')[2] if notes else 'they differ'}."
        )
    return (
        f"{these} {are} not {what}, and none of {report.hypotheses:,} computations tried gives "
        f"{'them' if total != 1 else 'it'}."
    )


def _all_alike(report: AuditReport) -> str | None:
    """Return why claims tell nothing that are all NaN, or all one number; None of others."""
    kind, total = alike(report.rows), report.rows_total
    if kind is None:
        return None
    if kind == "nan":
        these = f"None of these {total} scores is" if total != 1 else "This score is not"
        return (
            f"{these} a number: NaN says nothing of what computed it; look in the scorer for the "
            f"logarithm of a negative number, 0 / 0 or ∞ − ∞."
        )
    first = next(row.printed for row in report.rows if row.printed is not None)
    return (
        f"These {total} scores are all {first}, and equal numbers tell no computations apart: "
        f"{_count(report)}; audit candidates whose scores differ."
    )


def declared_phrase(said: dict[str, str]) -> str:
    """Return what was declared, in words."""
    rule, unit = said.get("rule", "logprob"), said.get("unit", "nats")
    if (rule, unit) == ("logprob", "nats"):
        return "log Pr(y | x)"
    if unit == "nats":
        return rule
    return f"log Pr(y | x) as {unit}" if rule == "logprob" else f"{rule} as {unit}"


def _mixed(report: AuditReport, what: str) -> str:
    parts = []
    for group in report.groups:
        size = len(group.rows)
        if group.changes is None:
            parts.append(f"{size} {'is' if size == 1 else 'are'} given by nothing that was tried")
        elif not group.changes:
            parts.append(f"{size} {'is' if size == 1 else 'are'} {what}")
        else:
            parts.append(f"{size} {'is' if size == 1 else 'are'} {phrase(group.changes)}")
    return f"These {report.rows_total} scores are of several kinds: {'; '.join(parts)}."


def _rivals(report: AuditReport) -> list[AuditAlternative]:
    return [each for each in report.alternatives if each.stands]


def _list(several: Sequence[Sequence[FaultFound]]) -> str:
    shown = [named(changes) for changes in several[:_MOST_NAMES]]
    more = len(several) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")


def _count(report: AuditReport) -> str:
    standing = [each for each in report.alternatives if each.stands]
    size = len(standing) + 1
    if size == 1:
        return "one computation gives them, and so would chance"
    return f"{size} computations give them"


def _missing(report: AuditReport) -> str:
    if report.evidence == "none":
        return (
            "give a model (--model), recorded logits (--model logits:FILE.npz, or 'logits' beside "
            "'token_ids'), or a compact record."
        )
    return "the evidence holds no row for any of the claims."
