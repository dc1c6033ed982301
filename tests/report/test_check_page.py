"""A check as an HTML page, and its fragment for notebooks."""

from __future__ import annotations

import html as markup
import re
from dataclasses import replace

import pytest
from hypothesis import given, settings

from logpr._values import CheckReport
from logpr.report.html import check, check_page
from logpr.report.texts import prose
from logpr.report.words import check as words
from tests.report.check_values import (
    BROKEN,
    CLEAN,
    CRASHING,
    EVERY,
    LAWS,
    OUTCOMES,
    a_failure,
    a_report,
    an_error,
    nasty,
)
from tests.report.test_audit_page import read, text_of
from tests.report.test_html import said
from tests.report.test_texts_are_data import TEXTS


def embedded(page: str) -> CheckReport:
    """Return the report that stands in a page."""
    found = re.search(r'<pre id="report"[^>]*>(.*)</pre>', page, re.DOTALL)
    assert found is not None
    return CheckReport.from_json(markup.unescape(found[1]))


def section(page: str, title: str) -> str:
    """Return the words of one section, its heading left out."""
    found = re.search(rf"<section[^>]*><h2>{title}</h2>(.*?)</section>", page, re.DOTALL)
    assert found is not None, title
    return " ".join(said(found[1]).split())


@pytest.mark.parametrize("name", EVERY)
def test_pages_are_whole_and_keep_to_themselves(name: str) -> None:
    """A page is one document that runs no script, fetches nothing and forbids both."""
    page = check_page(EVERY[name])
    found = read(page)
    assert page.lstrip().startswith("<!DOCTYPE html>")
    forbidden = {"script", "link", "iframe", "img", "object", "base", "form", "a", "image", "use"}
    assert not forbidden & set(found.tags)
    assert not {name for name in found.attributes if name.startswith("on")}
    assert not {"src", "href", "srcset", "action"} & found.attributes
    assert "url(" not in page
    assert "@import" not in page
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    assert f'<meta http-equiv="Content-Security-Policy" content="{policy}">' in page
    assert repr(embedded(page)) == repr(EVERY[name])


@pytest.mark.parametrize("name", EVERY)
def test_pages_can_be_heard(name: str) -> None:
    """One h1, a language, a title, captions, and no section without words."""
    page = check_page(EVERY[name])
    tags = read(page).tags
    assert tags.count("h1") == tags.count("main") == tags.count("title") == 1
    assert '<html lang="en">' in page
    assert tags.count("caption") == tags.count("table")
    assert all("scope=" in head for head in re.findall(r"<th\b[^>]*>", page))
    for title in re.findall(r"<h2>([^<]*)</h2>", page):
        assert section(page, re.escape(title))


@pytest.mark.parametrize("name", EVERY)
def test_every_check_has_a_cell(name: str) -> None:
    """Each check stands in the grid once, with the words of its outcome, colours aside."""
    report = EVERY[name]
    page = check_page(report)
    grid = re.search(r'<ul class="logpr-outcomes".*?</ul>', page, re.DOTALL)
    if not report.results:
        assert grid is None
        return
    assert grid is not None
    cells = [" ".join(said(cell).split()) for cell in re.findall(r"<li.*?</li>", grid[0])]
    for cell, result in zip(cells, report.results, strict=True):
        look = words.look(report, result)
        kind = " · SHOULD" if result.severity == "SHOULD" else ""
        assert cell == f"{look.sign} {result.check} {look.word}{kind}"


def test_a_page_tells_all() -> None:
    """What the terminal says stands in the page."""
    page = check_page(BROKEN)
    found = text_of(page)
    assert f"failed {words.verdict(BROKEN)} {words.tally(BROKEN)}" in found
    broken = section(page, "Broken")
    assert (
        "✗ chain_rule MUST s(x, yz) = s(x, y) + s(xy, z) "
        'number s("ab", " cd") found -4.1269 expected -5.2380 off by 1.111; 2.0e-5 is allowed '
        'case the toy, prompt "ab", candidates " c" and " cd" '
        "cases broken in 5 of 24; this is the smallest "
        "looks like first_token_dropped: reproduces 24 of 24 "
        "again logpr check my_package.my_module:make --factory --declares unit=bits "
        "--replay chain_rule/toy/10.0.4/5/6@1 page docs/checks.md#chain_rule"
    ) in broken
    assert "batch_composition" not in broken
    assert "found -inf expected -4605.1702 case" in broken
    assert section(page, "Errors").startswith(
        "! raised ValueError in 1 check score raised ValueError: expected 2 columns, got 3"
    )
    expected = section(page, "Broken, as expected")
    assert "~ batch_composition MUST" in expected
    assert "because no mask, issue 12 number" in expected
    assert "duplicates passes, and was expected to fail (issue 7): take it out" in (
        section(page, "Stale: expected to fail, and passed")
    )
    unjudged = section(page, "Not judged")
    assert "⊘ blocked: oracle (unit failed)" in unjudged
    assert "– not applicable: nonpositive_finite, token_count, future_blind (it nee" in unjudged
    assert "? inconclusive: upcast (the noise" in unjudged
    assert "printed: loading weights" in section(page, "Seen beside the laws")
    assert "19 checks passed" in section(page, "Kept")
    assert "unit MUST the ratio to the closed form is 1 24 toy" in section(page, "Kept")
    assert "asked 1,284 calls, 5,120 candidates, 3.2 s; seed 7" in (
        section(page, "What this rests on")
    )


def test_a_clean_page_has_no_empty_sections() -> None:
    """Where nothing broke, no heading says that something did."""
    titles = re.findall(r"<h2>([^<]*)</h2>", check_page(CLEAN))
    assert titles == ["Every check", "Not judged", "Kept", "What this rests on",
                      "The report itself"]  # fmt: skip


def test_errors_are_grouped() -> None:
    """One message in 31 checks is one card."""
    page = check_page(CRASHING)
    assert page.count('<article class="logpr-card') == 1
    assert "! raised ValueError in 31 checks" in section(page, "Errors")


def test_fragment() -> None:
    """A notebook shows the verdict, the first failures and the grid, and styles only itself."""
    fragment = check(BROKEN)
    found = said(fragment.replace("<br>", ""))
    assert f"failed {words.verdict(BROKEN)}" in found
    assert "first_token_dropped: reproduces 24 of 24" in found
    assert "✓ shift_invariance passed" in found
    assert "take it out of expected_failures" in found
    style = re.search(r"<style>(.*)</style>", fragment, re.DOTALL)
    assert style is not None
    rules = re.sub(r"@media[^{]*\{", "", style[1])
    for selector in re.findall(r"([^{}]+)\{", rules):
        assert all(part.strip().startswith(".logpr") for part in selector.split(","))
    assert BROKEN._repr_html_() == fragment
    many = a_report(failures=tuple(a_failure(replay=f"chain_rule/toy/{at}") for at in range(9)))
    assert "… and 4 more failures" in check(many)
    assert "more failures" not in check_page(many)


@settings(max_examples=60, deadline=None)
@given(text=TEXTS.filter(bool))
def test_no_text_changes_a_page(text: str) -> None:
    """The tags and attributes of a page are those that it has for the text "x"."""
    plain = nasty("x")
    for view in (check, check_page):
        found, usual = read(view(nasty(text))), read(view(plain))
        assert found.tags == usual.tags
        assert found.attributes == usual.attributes
        assert prose(text) in "".join(found.words)
        "".join(found.words).encode("utf-8")


def test_large_reports_are_bounded() -> None:
    """A message of ten megabytes stays out of the page, which says where to find it."""
    report = nasty("word " * 2_000_000)
    page = check_page(report)
    assert len(page) < 200_000
    assert "too many to repeat here: logpr check --json writes them." in page
    assert len(check(report)) < 200_000
    many = replace(
        report,
        notes=("x",) * 5000,
        errors=tuple(an_error(message=f"it raised ValueError: {at}") for at in range(999)),
    )
    assert "… and 4,900 more notes" in check_page(many)
    assert "… and 949 more errors" in check_page(many)


def test_every_outcome_is_drawn() -> None:
    """No outcome is without a look, and no two look alike."""
    assert set(OUTCOMES) | {"expected", "stale"} == set(words.LOOKS)
    assert len({look.sign for look in words.LOOKS.values()}) == len(words.LOOKS)
    assert len({look.word for look in words.LOOKS.values()}) == len(words.LOOKS)
    assert len(LAWS) == 33
