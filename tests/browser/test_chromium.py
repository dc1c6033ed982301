"""The tests' own eyes: what a page does wrong is noticed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.browser import checks
from tests.browser.chromium import Tab

HEAD = '<!DOCTYPE html><html lang="en"><meta charset="utf-8"><title>x</title>'

POLICY = "<meta http-equiv=Content-Security-Policy content=\"default-src 'none'\">"


def page(folder: Path, body: str) -> Path:
    """Write a page."""
    path = folder / "page.html"
    path.write_text(HEAD + body, "utf-8")
    return path


@pytest.mark.parametrize(
    ("body", "noticed"),
    [
        ("<script>alert(1)</script>", "dialog: 1"),
        ("<img src=x onerror=alert(2)>", "dialog: 2"),
        ("<script>console.warn('so', 3)</script>", "console.warning: so 3"),
        ("<script>nowhere()</script>", "nowhere is not defined"),
        (f"{POLICY}<script>1</script>", "Content Security Policy"),
    ],
)
def test_complaints_are_heard(free_tab: Tab, tmp_path: Path, body: str, noticed: str) -> None:
    """Dialogs, the console, exceptions and refused scripts."""
    free_tab.open(page(tmp_path, body))
    free_tab.js("0")
    assert noticed in " ".join(free_tab.complaints)


def test_requests_are_seen(free_tab: Tab, tmp_path: Path) -> None:
    """A picture, a style and a fetch, though none of them is answered."""
    body = (
        "<img src=http://example.com/a.png><style>p{background:url(http://example.com/b)}</style>"
        "<p>text<script>fetch('https://example.com/c').catch(() => 0)</script>"
    )
    path = page(tmp_path, body)
    free_tab.open(path)
    free_tab.js("new Promise(done => setTimeout(done, 50))")
    wanted = {"http://example.com/a.png", "http://example.com/b", "https://example.com/c"}
    assert wanted | {path.as_uri()} == set(free_tab.requests)


def test_without_scripts(free_tab: Tab, tmp_path: Path) -> None:
    """A page's scripts can be held, and the page still be read."""
    free_tab.without_scripts()
    free_tab.open(page(tmp_path, "<p>a<script>document.body.textContent = 'b'</script>"))
    assert checks.words(free_tab).startswith("a")


@pytest.mark.parametrize(
    ("check", "body"),
    [
        (checks.check_widths, "<h1>a</h1><div style='width:700px'>wide</div>"),
        (checks.check_contrast, "<h1>a</h1>" + "<p style='color:#888'>grey</p>" * 12),
        (checks.check_contrast, "<h1>a</h1>" + "<p style='opacity:0.5'>faint</p>" * 12),
        (checks.check_outline, "<h1>a</h1><h3>b</h3>"),
        (checks.check_outline, "<h1>a</h1><svg role=img></svg>"),
        (checks.check_outline, "<h1>a</h1><table><tr><td>1</table>"),
        (checks.check_keyboard, "<h1>a</h1><button tabindex=-1>b</button>"),
    ],
)
def test_checks_can_fail(
    free_tab: Tab, tmp_path: Path, check: Callable[[Tab], None], body: str
) -> None:
    """A page with one fault is refused by the check for it."""
    free_tab.open(page(tmp_path, body))
    with pytest.raises(AssertionError):
        check(free_tab)
