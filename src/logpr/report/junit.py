"""A check as JUnit XML, which continuous integration reads: a suite, and a test for each check.

A broken law is a failure, whether MUST or SHOULD (its `type` says which; only a MUST turns the
exit code of `logpr check`), and so is a stale expected failure. What was not judged is skipped
with the reason, and so is a failure that was expected.
"""

from __future__ import annotations

from xml.etree import ElementTree as ET

from logpr._values import CheckError, CheckFailure, CheckReport, CheckResult
from logpr.report.texts import clipped, prose
from logpr.report.words import check as words
from logpr.report.words.replay import again

__all__ = ["junit"]

_MOST_MESSAGE = 400
_MOST_LINE = 4000
"""Characters. Texts of a scorer may have any length, and readers of JUnit show all of them."""


def junit(report: CheckReport) -> str:
    r"""Return a report as one JUnit document.

    `testsuites` and its one `testsuite` count tests, failures, errors and skipped, with the time
    in seconds. Each check is a `testcase` of class `report.target`; how long each took is not
    known. Properties hold what was declared, the seed, the models and the versions. Characters
    that XML forbids are written as in every other view: `\\x1b`.
    """
    cases = [_case(report, result) for result in report.results]
    totals = {"tests": str(len(cases))} | {
        name: str(sum(case.find(tag) is not None for case in cases))
        for name, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped"))
    }
    totals["time"] = f"{report.seconds:.3f}"
    root = ET.Element("testsuites", {"name": "logpr check", **totals})
    suite = ET.SubElement(
        root, "testsuite", {"name": _said(report.target, _MOST_MESSAGE), **totals}
    )
    properties = ET.SubElement(suite, "properties")
    for name, value in _properties(report):
        ET.SubElement(properties, "property", {"name": _said(name), "value": _said(value)})
    suite.extend(cases)
    ET.SubElement(suite, "system-out").text = _lines(
        words.verdict(report), words.tally(report), *report.notes
    )
    ET.indent(root)
    return f'<?xml version="1.0" encoding="utf-8"?>\n{ET.tostring(root, encoding="unicode")}\n'


def _properties(report: CheckReport) -> list[tuple[str, str]]:
    said = [(f"declares.{name}", value) for name, value in report.declares]
    said.append(("seed", str(report.seed)))
    if report.architecture is not None:
        said.append(("architecture", report.architecture))
    for name, value in (("tolerance", report.tolerance), ("noise", report.noise)):
        if value is not None:
            said.append((name, repr(value)))
    said += [("calls", str(report.calls)), ("candidates", str(report.candidates))]
    return said + [(f"version.{name}", value) for name, value in report.versions]


def _case(report: CheckReport, result: CheckResult) -> ET.Element:
    case = ET.Element(
        "testcase", {"classname": _said(report.target, _MOST_MESSAGE), "name": _said(result.check)}
    )
    state = words.state(report, result)
    failure = next((each for each in report.failures if each.check == result.check), None)
    error = next((each for each in report.errors if each.check == result.check), None)
    if state == "failed":
        message = result.statement if failure is None else words.short(failure)
        text = (f"law: {result.statement}", *_failed(report, failure))
        _add(case, "failure", message, text, kind=result.severity)
    elif state == "error":
        message = result.why or result.statement if error is None else error.message
        kind = "error" if error is None else error.kind
        _add(case, "error", message, _errored(report, result, error), kind=kind)
    elif state == "stale":
        because = f"it was expected to fail ({words.because(result)}), and passed"
        way_out = "take it out of expected_failures (on the command line, --expect-failure)"
        _add(case, "failure", because, (way_out,), kind="stale")
    elif state == "expected":
        text = (f"law: {result.statement}", *_failed(report, failure))
        _add(case, "skipped", f"expected to fail: {words.because(result)}", text)
    elif state != "passed":
        why = f": {result.why}" if result.why else ""
        _add(case, "skipped", f"{words.LOOKS[state].word}{why}", ())
    return case


def _failed(report: CheckReport, item: CheckFailure | None) -> tuple[str, ...]:
    if item is None:
        return ()
    return (
        *(f"{detail.name}: {detail.said}" for detail in words.details(item)),
        f"again: {' '.join(again(report, item.replay))}",
        f"page: {item.page}",
    )


def _errored(report: CheckReport, result: CheckResult, item: CheckError | None) -> tuple[str, ...]:
    if item is None:
        return (f"law: {result.statement}",)
    return (
        item.message,
        *(() if item.where is None else (f"at: {item.where}",)),
        f"case: {item.case}",
        f"again: {' '.join(again(report, item.replay))}",
        f"law: {result.statement}",
    )


def _add(
    case: ET.Element, tag: str, message: str, text: tuple[str, ...], *, kind: str | None = None
) -> None:
    """Add what became of a check; `skipped` has no type in the common schema."""
    given = {"message": _said(message, _MOST_MESSAGE)}
    if kind is not None:
        given["type"] = _said(kind)
    ET.SubElement(case, tag, given).text = _lines(*text)


def _lines(*text: str) -> str | None:
    return "\n".join(_said(line) for line in text) or None


def _said(text: str, most: int = _MOST_LINE) -> str:
    """Return a text on one line without characters that XML forbids."""
    return prose(clipped(text, most))
