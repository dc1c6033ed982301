"""The pages and the pictures of the worked examples in a browser."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from logpr.cli.demos import Name, story
from logpr.report.demo_page import page
from logpr.report.demo_picture import svg
from tests.browser import checks
from tests.browser.chromium import Tab

_LOOSE = """(() => {
  const cards = [...document.querySelectorAll('rect.card')].map(e => e.getBBox());
  return [...document.querySelectorAll('text')].filter(e => {
    const box = e.getBBox();
    return !cards.some(c => c.x <= box.x && box.x + box.width <= c.x + c.width
      && c.y <= box.y && box.y + box.height <= c.y + c.height);
  }).map(e => e.textContent);
})()"""


@pytest.mark.parametrize("name", get_args(Name))
def test_a_story_as_a_page(tab: Tab, tmp_path: Path, name: Name) -> None:
    """It fits every width, can be read by all, and its picture keeps to its cards."""
    told = story(name)
    path = tmp_path / "demo.html"
    path.write_text(page(told), "utf-8")
    tab.open(path)
    assert tab.js("document.querySelector('h1').innerText") == told.title
    assert tab.js("document.querySelector('img').naturalWidth") > 0
    checks.check_outline(tab)
    checks.check_widths(tab)
    checks.check_contrast(tab)
    checks.check_keyboard(tab)
    drawing = tmp_path / "picture.html"
    drawing.write_text(f"<!DOCTYPE html><title>p</title>{svg(told.picture)}", "utf-8")
    tab.open(drawing)
    assert tab.js(_LOOSE) == []
