"""The audit's page in a browser."""

from __future__ import annotations

from pathlib import Path

import pytest

from logpr._values import AuditReport
from logpr.report.html import audit_page
from logpr.report.texts import visible
from tests.browser import checks
from tests.browser.chromium import Tab
from tests.browser.texts import HOSTILE
from tests.report.audit_values import EVERY, MIXED, a_fault, a_row
from tests.report.test_audit_view import nasty

SHOWN = 30
"""Characters of a hostile text that stand in the page, however it is cut."""


def opened(tab: Tab, folder: Path, report: AuditReport, width: int = checks.DESK) -> None:
    """Open the page of a report."""
    path = folder / "audit.html"
    path.write_text(audit_page(report), "utf-8")
    tab.open(path, width=width)


def big() -> AuditReport:
    """Return a report of 64 candidates, of which three have 2,000 tokens."""
    ids = range(2000)
    rows = [
        a_row(id="long", index=at, text=" ".join(f"w{i}" for i in ids), tokens=2000,
              token_texts=tuple(f" w{i}" for i in ids), token_claimed=(-1.5,) * 2000,
              token_reproduced=(-1.5,) * 2000, token_logprobs=(-2.25,) * 2000)
        for at in range(3)
    ]  # fmt: skip
    rows += [a_row(id="many", index=at, text=f" candidate {at}") for at in range(64)]
    return a_fault(rows=tuple(rows), rows_total=67)


@pytest.mark.parametrize("name", EVERY)
def test_every_verdict(tab: Tab, tmp_path: Path, name: str) -> None:
    """The page says the sentence, fits every width, can be read by all, and holds its report."""
    opened(tab, tmp_path, EVERY[name])
    assert EVERY[name].sentence in tab.js("document.querySelector('h1').innerText")
    assert tab.js("document.title").startswith("logpr audit: ")
    checks.check_outline(tab)
    checks.check_widths(tab)
    checks.check_contrast(tab)
    found = AuditReport.from_dict(checks.embedded(tab, "#report"))
    assert found.to_dict() == EVERY[name].to_dict()


def test_figures_equal_the_report(tab: Tab, tmp_path: Path) -> None:
    """The numbers behind the table of claims are the JSON's, to the last bit."""
    opened(tab, tmp_path, a_fault())
    shown = tab.js(
        """[...document.querySelector('table').tBodies[0].rows]
        .map(row => [...row.querySelectorAll('[data-value]')].map(e => Number(e.dataset.value)))"""
    )
    rows = checks.embedded(tab, "#report")["rows"]
    known = [[row["claimed"], row["reproduced"], row["true"]] for row in rows]
    assert sorted(shown) == sorted(known)


def test_without_scripts(tab: Tab, tmp_path: Path) -> None:
    """Nothing of the page needs a script."""
    opened(tab, tmp_path, MIXED)
    before = tab.js("document.documentElement.outerHTML")
    tab.without_scripts()
    opened(tab, tmp_path, MIXED)
    assert tab.js("document.documentElement.outerHTML") == before
    assert checks.press_summary(tab)


def test_keyboard(tab: Tab, tmp_path: Path) -> None:
    """Tab goes through all that opens or scrolls, and Enter opens."""
    opened(tab, tmp_path, big())
    checks.check_keyboard(tab)
    assert checks.press_summary(tab)


@pytest.mark.parametrize("name", HOSTILE)
def test_texts_are_data(tab: Tab, tmp_path: Path, name: str) -> None:
    """A text wherever one can stand is shown, runs nothing, breaks nothing, and stays itself."""
    text = HOSTILE[name]
    opened(tab, tmp_path, nasty(text))
    tags = set(tab.js("[...document.querySelectorAll('*')].map(e => e.tagName)"))
    assert not tags & checks.STRANGE
    assert tab.js("document.scripts.length") == 0
    assert visible(text)[:SHOWN] in tab.js("document.body.textContent")
    assert nasty(text).to_dict() == checks.embedded(tab, "#report")
    checks.check_widths(tab, (checks.PHONE, checks.DESK))


def test_large_reports(tab: Tab, tmp_path: Path) -> None:
    """64 candidates and candidates of 2,000 tokens: the most telling are shown, others counted."""
    opened(tab, tmp_path, big())
    assert "more tokens" in checks.words(tab)
    assert tab.js("document.querySelectorAll('*').length") < 10_000
    checks.check_widths(tab, (checks.PHONE, checks.DESK))


def test_paper(tab: Tab, tmp_path: Path) -> None:
    """Printed, the page is black on white, at night too, and no heading stands over nothing."""
    opened(tab, tmp_path, a_fault())
    tab.media(dark=True, paper=True)
    assert tab.js("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    below = tab.js(
        """[...document.querySelectorAll('section')].filter(e => e.checkVisibility())
        .map(e => e.innerText.trim().split('\\n').filter(line => line).length)"""
    )
    assert len(below) >= 4
    assert min(below) > 1


def test_charts_on_a_phone(tab: Tab, tmp_path: Path) -> None:
    """The words of charts shrink with them, and stay readable."""
    opened(tab, tmp_path, a_fault(), checks.PHONE)
    tall = tab.js(
        """[...document.querySelectorAll('.logpr-chart path ~ text:not([transform])')]
        .filter(e => e.previousElementSibling?.tagName !== 'rect' && e.textContent.trim())
        .map(e => e.getBoundingClientRect().height)"""
    )
    assert len(tall) > 10
    assert min(tall) > 9
