"""A broken law in plain lines: what a failing test says."""

from __future__ import annotations

from collections.abc import Iterable

from logpr._values import CheckError, CheckFailure, CheckReport
from logpr.report.texts import clipped, prose
from logpr.report.words import check as words
from logpr.report.words.replay import again

__all__ = ["errored", "failed", "short"]

_MOST = 600
_NAMES = 11
"""Cells of the names of lines, as in the terminal."""


def failed(report: CheckReport, item: CheckFailure) -> str:
    """Return the law that was broken, what was found, and how to see it again.

    Args:
        report: which scorer it is about, and what was declared of it.
        item: the failure.
    """
    lines = [(detail.name, detail.said) for detail in words.details(item)]
    lines += [("again", " ".join(again(report, item.replay))), ("page", item.page)]
    return _text(f"{item.check} ({item.severity}): {item.statement}", lines)


def errored(report: CheckReport, item: CheckError) -> str:
    """Return that there are no numbers, the scorer's own line, and how to see it again."""
    lines = [("at", item.where)] if item.where is not None else []
    lines += [("case", item.case), ("again", " ".join(again(report, item.replay)))]
    return _text(f"{item.check} ({item.severity}) cannot be told: {item.message}", lines)


def short(item: CheckFailure) -> str:
    """Return the law that was broken and its two numbers, on one line."""
    return _said(f"{item.check}: {item.statement}; {words.short(item)}")


def _text(head: str, lines: Iterable[tuple[str, str]]) -> str:
    return "\n".join([_said(head), *(f"  {name:<{_NAMES}}{_said(said)}" for name, said in lines)])


def _said(text: str) -> str:
    return prose(clipped(text, _MOST))
