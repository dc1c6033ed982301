"""A decoding's page in a browser."""

from __future__ import annotations

from pathlib import Path

import pytest

from logpr._values import Decoding
from logpr.report.html import decoding_page
from logpr.report.texts import visible
from tests.browser import checks
from tests.browser.chromium import Tab
from tests.browser.texts import HOSTILE
from tests.report.decodings import a_decoding, explained, infeasible, nasty, unfinished

JSON = "#decoding"
SHOWN = 30
KINDS = {
    "proven": a_decoding,
    "gap": unfinished,
    "explained": explained,
    "infeasible": infeasible,
}


def opened(tab: Tab, folder: Path, value: Decoding, width: int = checks.DESK) -> None:
    """Open the page of a decoding."""
    path = folder / "decoding.html"
    path.write_text(decoding_page(value), "utf-8")
    tab.open(path, width=width)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind(tab: Tab, tmp_path: Path, kind: str) -> None:
    """The page fits every width, can be read by all, by day and by night, and holds its value."""
    value = KINDS[kind]()
    opened(tab, tmp_path, value)
    assert tab.js("document.title").startswith("logpr decode: ")
    checks.check_outline(tab)
    checks.check_widths(tab)
    checks.check_contrast(tab)
    checks.check_keyboard(tab)
    assert Decoding.from_dict(checks.embedded(tab, JSON)).to_json() == value.to_json()


def test_labels_of_the_tree_keep_apart(tab: Tab, tmp_path: Path) -> None:
    """As the browser sets them, no two labels touch, and none is cut at the picture's edge."""
    opened(tab, tmp_path, a_decoding())
    found = tab.js(
        """(() => { const svg = document.querySelector('.logpr-tree svg');
        const whole = svg.getBoundingClientRect();
        const boxes = [...svg.querySelectorAll('text')].map(e => e.getBoundingClientRect());
        const bad = [];
        boxes.forEach((a, i) => {
          if (a.right > whole.right || a.bottom > whole.bottom || a.top < whole.top) bad.push(i);
          boxes.slice(i + 1).forEach((b, j) => {
            const beside = a.right <= b.left || b.right <= a.left;
            if (!beside && a.top < b.bottom - 6 && b.top < a.bottom - 6)
              bad.push([i, i + 1 + j]);
          });
        });
        return {bad, many: boxes.length}; })()"""
    )
    assert found["bad"] == []
    assert found["many"] > 20


@pytest.mark.parametrize("name", HOSTILE)
def test_texts_are_data(tab: Tab, tmp_path: Path, name: str) -> None:
    """A text wherever one can stand is shown, runs nothing, breaks nothing, and stays itself."""
    text = HOSTILE[name]
    opened(tab, tmp_path, nasty(text))
    tags = set(tab.js("[...document.querySelectorAll('*')].map(e => e.tagName)"))
    assert not tags & checks.STRANGE
    assert tab.js("document.scripts.length") == 2
    assert visible(text)[:SHOWN] in tab.js("document.body.textContent")
    assert Decoding.from_dict(checks.embedded(tab, JSON)).prompt == text
    checks.check_widths(tab, (checks.PHONE, checks.DESK))


def test_paper(tab: Tab, tmp_path: Path) -> None:
    """Printed the tree is no wider than the paper."""
    opened(tab, tmp_path, nasty("x" * 40))
    tab.media(dark=True, paper=True)
    tab.resize(720)
    assert tab.js("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    right = "document.querySelector('.logpr-tree svg').getBoundingClientRect().right"
    assert tab.js(right) <= 720
