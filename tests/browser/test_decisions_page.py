"""The page of a file of rankings in a browser."""

from __future__ import annotations

from pathlib import Path

import pytest

from logpr._values import Decisions
from logpr.report.html import decisions_page
from logpr.report.texts import visible
from tests.browser import checks
from tests.browser.chromium import Tab
from tests.browser.explanations import a_file
from tests.browser.texts import HOSTILE


def opened(tab: Tab, folder: Path, value: Decisions) -> None:
    """Open the page of a file."""
    path = folder / "decisions.html"
    path.write_text(decisions_page(value), "utf-8")
    tab.open(path)


def test_the_page(tab: Tab, tmp_path: Path) -> None:
    """It says how many decisions there are and how often rules disagree, for every reader."""
    value = a_file()
    opened(tab, tmp_path, value)
    assert "40 decisions" in tab.js("document.querySelector('h1').innerText")
    flips = tab.js(
        """[...document.querySelector('.logpr-bars').querySelectorAll('[data-value]')]
        .map(e => Number(e.dataset.value))"""
    )
    assert flips == [number for _, number in value.flips]
    assert sum(flips) > 0
    checks.check_outline(tab)
    checks.check_widths(tab)
    checks.check_contrast(tab)
    checks.check_keyboard(tab)


def test_short_words_stay_whole(tab: Tab, tmp_path: Path) -> None:
    """On a phone the table scrolls rather than breaking an id of three letters into three lines."""
    opened(tab, tmp_path, a_file())
    tab.resize(checks.PHONE)
    tall = tab.js(
        """[...document.querySelectorAll('.logpr-sortable tbody td:first-child bdi')]
        .map(e => e.getBoundingClientRect().height)"""
    )
    assert len(tall) == 40
    assert max(tall) < 30


def test_the_most_surprising_first(tab: Tab, tmp_path: Path) -> None:
    """The table is in the order of the value, and sorts by surprise where that is asked for."""
    value = a_file()
    opened(tab, tmp_path, value)
    ids = "[...document.querySelector('table').tBodies[0].rows].map(r => r.cells[0].innerText)"
    assert tab.js(ids) == [each.id for each in value.decisions]
    tab.js(
        """[...document.querySelectorAll('table th button')]
        .find(b => b.textContent === 'surprise').focus()"""
    )
    tab.press("Enter")
    surprises = {each.id: each.surprise for each in value.decisions}
    shown = [surprises[each] for each in tab.js(ids)]
    assert [round(each or 0.0, 3) for each in shown] == sorted(
        round(each or 0.0, 3) for each in shown
    )


def test_without_scripts(tab: Tab, tmp_path: Path) -> None:
    """Nothing that is shown needs JavaScript."""
    tab.without_scripts()
    value = a_file(5)
    opened(tab, tmp_path, value)
    said = checks.words(tab)
    assert all(str(each.id) in said for each in value.decisions)
    assert tab.js("document.querySelectorAll('button').length") == 0


@pytest.mark.parametrize("name", HOSTILE)
def test_texts_are_data(tab: Tab, tmp_path: Path, name: str) -> None:
    """Ids, prompts and candidates are shown and never obeyed."""
    opened(tab, tmp_path, a_file(3, HOSTILE[name]))
    assert (
        not set(tab.js("[...document.querySelectorAll('*')].map(e => e.tagName)")) & checks.STRANGE
    )
    assert tab.js("document.scripts.length") == 1
    assert visible(HOSTILE[name])[:20] in tab.js("document.body.textContent")
    checks.check_widths(tab, (checks.PHONE, checks.DESK))
