"""A check as JUnit XML."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings

from logpr._values import CheckReport
from logpr.report.junit import junit
from logpr.report.texts import prose
from logpr.report.words import check as words
from tests.report.check_values import (
    BROKEN,
    CONVENTIONS,
    CRASHING,
    EMPTY,
    EVERY,
    EXPECTED,
    STALE,
    a_report,
    nasty,
)
from tests.report.test_texts_are_data import TEXTS

BELOW = {
    "testsuites": {"testsuite"},
    "testsuite": {"properties", "testcase", "system-out"},
    "properties": {"property"},
    "testcase": {"failure", "error", "skipped"},
}
"""What the common schema lets stand in each element."""
NEEDS = {
    "testsuites": {"name", "tests", "failures", "errors", "skipped", "time"},
    "testsuite": {"name", "tests", "failures", "errors", "skipped", "time"},
    "property": {"name", "value"},
    "testcase": {"classname", "name"},
    "failure": {"message", "type"},
    "error": {"message", "type"},
    "skipped": {"message"},
}
COUNTED = (("failures", "failure"), ("errors", "error"), ("skipped", "skipped"))


def parsed(report: CheckReport) -> ET.Element:
    """Return the document as a strict reader of its bytes finds it."""
    return ET.fromstring(junit(report).encode("utf-8"))  # noqa: S314 - it is ours


def case(report: CheckReport, name: str) -> ET.Element:
    """Return the test of a check."""
    found = parsed(report).find(f"testsuite/testcase[@name='{name}']")
    assert found is not None
    return found


@pytest.mark.parametrize("name", EVERY)
def test_schema(name: str) -> None:
    """Elements stand where the schema has them, with its attributes and exact counts."""
    report = EVERY[name]
    root = parsed(report)
    for element in root.iter():
        assert {child.tag for child in element} <= BELOW.get(element.tag, set())
        assert set(element.attrib) == NEEDS.get(element.tag, set())
    (suite,) = root
    assert suite.get("name") == report.target
    cases = suite.findall("testcase")
    assert [each.get("name") for each in cases] == [each.check for each in report.results]
    assert {each.get("classname") for each in cases} <= {report.target}
    assert all(len(each) <= 1 for each in cases)
    for holder in (root, suite):
        assert holder.get("tests") == str(len(cases))
        for attribute, tag in COUNTED:
            assert holder.get(attribute) == str(sum(len(each.findall(tag)) for each in cases))
        assert float(holder.get("time", "")) == pytest.approx(report.seconds, abs=1e-3)


@pytest.mark.parametrize("name", EVERY)
def test_counts_follow_from_the_outcomes(name: str) -> None:
    """Failures are the unexpected and the stale; what was expected or not judged is skipped."""
    report = EVERY[name]
    suite = parsed(report)[0]
    broken = {each for each in report.failed if each not in report.expected}
    assert suite.get("failures") == str(len(broken) + len(report.stale))
    assert suite.get("errors") == str(len(report.error))
    unjudged = (report.blocked, report.not_applicable, report.inconclusive, report.expected)
    assert suite.get("skipped") == str(sum(map(len, unjudged)))


def test_a_failure() -> None:
    """A broken law brings its numbers in the message, and all of its evidence as text."""
    (failure,) = case(BROKEN, "chain_rule")
    assert failure.attrib == {
        "message": 'found -4.1269, expected -5.2380, of s("ab", " cd")',
        "type": "MUST",
    }
    assert (failure.text or "").splitlines() == [
        "law: s(x, yz) = s(x, y) + s(xy, z)",
        'number: s("ab", " cd")',
        "found: -4.1269",
        "expected: -5.2380",
        "off by: 1.111; 2.0e-5 is allowed",
        'case: the toy, prompt "ab", candidates " c" and " cd"',
        "cases: broken in 5 of 24; this is the smallest",
        "looks like: first_token_dropped: reproduces 24 of 24",
        (
            "again: logpr check my_package.my_module:make --factory --declares unit=bits "
            "--replay chain_rule/toy/10.0.4/5/6@1"
        ),
        "page: docs/checks.md#chain_rule",
    ]
    assert [case(CONVENTIONS, "pad_side")[0].get("type")] == ["SHOULD"]


def test_what_else_can_become_of_a_check() -> None:
    """Errors, stale and expected failures and what was not judged say why."""
    (error,) = case(BROKEN, "unicode")
    assert error.tag == "error"
    assert error.attrib == {
        "message": "score raised ValueError: expected 2 columns, got 3",
        "type": "raised",
    }
    assert "at: scorers.py:12\n" in (error.text or "")
    (stale,) = case(STALE, "unit")
    assert stale.attrib == {
        "message": "it was expected to fail (issue 13), and passed",
        "type": "stale",
    }
    assert "take it out of expected_failures" in (stale.text or "")
    (expected,) = case(EXPECTED, "chain_rule")
    assert (expected.tag, expected.get("message")) == ("skipped", "expected to fail: issue 12")
    assert "found: -4.1269\n" in (expected.text or "")
    (blocked,) = case(BROKEN, "oracle")
    assert (blocked.tag, blocked.get("message")) == ("skipped", "blocked: unit failed")
    (unsure,) = case(BROKEN, "upcast")
    assert str(unsure.get("message")).startswith("inconclusive: the noise")
    assert len(case(BROKEN, "shift_invariance")) == 0


def test_a_report_without_its_evidence() -> None:
    """A failure or an error of which nothing is known still counts, with its law."""
    bare = a_report({"unit": "failed", "oracle": "error"}, failures=(), errors=())
    assert case(bare, "unit")[0].get("message") == "the ratio to the closed form is 1"
    assert case(bare, "oracle")[0].get("message") == "s equals the closed form"
    assert parsed(EMPTY)[0].get("tests") == "0"


def test_properties_and_output() -> None:
    """What was declared, the seed and the versions are properties; notes are the output."""
    suite = parsed(BROKEN)[0]
    found = {each.get("name"): each.get("value") for each in suite.iter("property")}
    assert found == {
        "declares.unit": "bits", "declares.aggregate": "sum", "declares.end": "open",
        "declares.per_token": "false", "declares.ids": "false", "declares.boundary": "separate",
        "declares.bos": "auto", "declares.dtype": "float32", "seed": "7", "architecture": "gpt2",
        "tolerance": "1e-05", "noise": "2.3e-07", "calls": "1284", "candidates": "5120",
        "version.logpr": "0.3.0", "version.numpy": "2.3.4",
    }  # fmt: skip
    out = suite.findtext("system-out")
    assert out is not None
    assert out.splitlines() == [words.verdict(BROKEN), words.tally(BROKEN), *BROKEN.notes]
    assert suite[0].tag == "properties"
    assert suite[-1].tag == "system-out"
    assert len(parsed(CRASHING).findall("testsuite")) == 1


@settings(max_examples=100, deadline=None)
@given(text=TEXTS)
def test_hostile_texts_leave_it_well_formed(text: str) -> None:
    """Control characters, markup and half characters are escaped; all else arrives as it is."""
    root = parsed(nasty(text))
    usual = parsed(nasty("x"))
    assert [each.tag for each in root.iter()] == [each.tag for each in usual.iter()]
    assert root[0].get("name") == prose(text)
    (error,) = (each for each in root.iter("error"))
    assert error.get("message") == prose(text)


@pytest.mark.parametrize("text", ["\x00\x1b[31m]]>", "\ud800", "\ufffe\uffff", "<![CDATA[", "\r\n"])
def test_what_xml_forbids(text: str) -> None:
    """No character that XML 1.0 lacks is written, not even as a reference."""
    written = junit(nasty(text))
    assert all(char in "\t\n" or char.isprintable() for char in written)
    assert "&#" not in written


def test_long_texts_are_cut() -> None:
    """A message of ten megabytes stays out of it."""
    assert len(junit(nasty("word " * 2_000_000))) < 200_000
