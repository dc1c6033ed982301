"""The page of a check in a browser."""

from __future__ import annotations

from pathlib import Path

import pytest

from logpr._values import CheckReport
from logpr.report.html import check, check_page
from logpr.report.texts import prose
from logpr.report.words import check as words
from tests.browser import checks
from tests.browser.chromium import Tab
from tests.browser.texts import HOSTILE
from tests.report.check_values import BROKEN, CLEAN, EVERY, nasty

SHOWN = 30
"""Characters of a hostile text that stand in the page, however it is cut."""


def opened(tab: Tab, folder: Path, report: CheckReport, width: int = checks.DESK) -> None:
    """Open the page of a report."""
    path = folder / "check.html"
    path.write_text(check_page(report), "utf-8")
    tab.open(path, width=width)


@pytest.mark.parametrize("name", EVERY)
def test_every_report(tab: Tab, tmp_path: Path, name: str) -> None:
    """The page says the verdict, fits every width, can be read by all, and holds its report."""
    opened(tab, tmp_path, EVERY[name])
    assert words.verdict(EVERY[name]) in tab.js("document.querySelector('h1').innerText")
    assert tab.js("document.title").startswith("logpr check: ")
    checks.check_outline(tab)
    checks.check_widths(tab)
    checks.check_contrast(tab)
    assert checks.embedded(tab, "#report") == EVERY[name].to_dict()


def test_fragments(tab: Tab, tmp_path: Path) -> None:
    """The fragment of a notebook has the contrast of the page, and fits a phone."""
    path = tmp_path / "cell.html"
    # As a notebook that follows the reader's colours, and prints in black on white.
    scheme = ":root { color-scheme: light dark } @media print { :root { color-scheme: light } }"
    cell = f"<!DOCTYPE html><meta charset=utf-8><style>{scheme}</style>{check(BROKEN)}"
    path.write_text(cell, "utf-8")
    tab.open(path)
    checks.check_contrast(tab)
    checks.check_widths(tab)


def test_colours_are_no_outcome(tab: Tab, tmp_path: Path) -> None:
    """Each cell of the grid says its outcome in words that are seen, and the grid has a name."""
    opened(tab, tmp_path, BROKEN)
    cells = tab.js("[...document.querySelectorAll('.logpr-outcomes li')].map(e => e.innerText)")
    assert len(cells) == 33
    for cell, result in zip(cells, BROKEN.results, strict=True):
        assert result.check in cell
        assert words.look(BROKEN, result).word in cell
    heard = [node["role"]["value"] for node in tab.accessible()
             if "every check" in node.get("name", {}).get("value", "")]  # fmt: skip
    assert "list" in heard


def test_without_scripts(tab: Tab, tmp_path: Path) -> None:
    """Nothing of the page needs a script."""
    opened(tab, tmp_path, BROKEN)
    before = tab.js("document.documentElement.outerHTML")
    tab.without_scripts()
    opened(tab, tmp_path, BROKEN)
    assert tab.js("document.documentElement.outerHTML") == before
    assert checks.press_summary(tab)


def test_keyboard(tab: Tab, tmp_path: Path) -> None:
    """Tab goes through all that opens or scrolls, and Enter opens."""
    opened(tab, tmp_path, BROKEN)
    checks.unfold(tab)
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
    assert prose(text)[:SHOWN] in tab.js("document.body.textContent")
    assert nasty(text).to_dict() == checks.embedded(tab, "#report")
    checks.check_widths(tab, (checks.PHONE, checks.DESK))


@pytest.mark.parametrize("report", [BROKEN, CLEAN])
def test_paper(tab: Tab, tmp_path: Path, report: CheckReport) -> None:
    """Printed, the page is black on white, at night too, and no heading stands over nothing."""
    opened(tab, tmp_path, report)
    tab.media(dark=True, paper=True)
    assert tab.js("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    below = tab.js(
        """[...document.querySelectorAll('section')].filter(e => e.checkVisibility())
        .map(e => e.innerText.trim().split('\\n').filter(line => line).length)"""
    )
    assert len(below) >= 3
    assert min(below) > 1
