"""What a reader of any page may expect, measured in the page as the browser shows it."""

from __future__ import annotations

import itertools
import json
from typing import Any

from tests.browser.chromium import Tab

PHONE, DESK = 360, 1280
WIDTHS = (PHONE, 390, 768, DESK)
STRANGE = {"IMG", "IFRAME", "OBJECT", "EMBED", "LINK", "BASE", "A", "FORM", "INPUT"}
"""Elements that no page of ours has: they came out of a text."""
CONTRAST = 4.5
"""Of WCAG 2 at level AA, for text of ordinary size."""

_WIDE = """(() => {
  const limit = document.documentElement.clientWidth + 0.5;
  const scrolls = e => e && (['auto', 'scroll', 'hidden'].includes(getComputedStyle(e).overflowX)
    || scrolls(e.parentElement));
  return [...document.body.querySelectorAll('*')]
    .filter(e => e.checkVisibility() && e.getBoundingClientRect().right > limit
      && !scrolls(e.parentElement))
    .map(e => e.outerHTML.slice(0, 120)).slice(0, 5);
})()"""

_PALE = """(() => {
  const parse = text => {
    const found = text.match(/^rgba?\\(([^)]*)\\)$/);
    if (!found) { throw new Error('colour ' + text); }
    const [r, g, b, a = 1] = found[1].split(/[ ,/]+/).map(Number);
    return [r, g, b, a];
  };
  const mix = (below, above, part) => below.map((c, i) => c + (above[i] - c) * part);
  const light = c => {
    const [r, g, b] = c.map(v => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  // What is painted at a text: the page, then each box around it from the outside in. An opacity
  // fades the box and all that is in it towards what lies behind.
  const painted = (chain, behind) => {
    const [box, ...inner] = chain, style = getComputedStyle(box);
    const [r, g, b, a] = parse(style.backgroundColor);
    const back = mix(behind, [r, g, b], a);
    let pair;
    if (inner.length) { pair = painted(inner, back); }
    else {
      const ink = parse(box instanceof SVGElement ? style.fill : style.color);
      pair = [back, mix(back, ink.slice(0, 3), ink[3])];
    }
    return pair.map(colour => mix(behind, colour, Number(style.opacity)));
  };
  const pale = {};
  let seen = 0;
  const dark = matchMedia('(prefers-color-scheme: dark)').matches && !matchMedia('print').matches;
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const text = walker.currentNode, own = text.parentElement;
    if (!text.data.trim() || !own.checkVisibility({visibilityProperty: true})) { continue; }
    if (['SCRIPT', 'STYLE', 'TITLE', 'title', 'desc'].includes(own.tagName)) { continue; }
    const chain = [];
    for (let box = own; box; box = box.parentElement) { chain.unshift(box); }
    const [back, ink] = painted(chain, dark ? [18, 18, 18] : [255, 255, 255]);
    const [high, low] = [light(back), light(ink)].sort((a, b) => b - a);
    const ratio = (high + 0.05) / (low + 0.05);
    seen += 1;
    if (ratio < LEAST) {
      const where = own.tagName + '.' + (own.getAttribute('class') ?? '');
      pale[where] ??= text.data.trim().slice(0, 40) + ' ' + ratio.toFixed(2);
    }
  }
  return {seen, pale};
})()"""

_HEADINGS = """[...document.querySelectorAll('h1, h2, h3, h4, h5, h6')]
  .map(h => [Number(h.tagName[1]), h.textContent.trim()])"""

_UNNAMED = """(() => {
  const named = e => e.getAttribute('aria-label')?.trim() || e.querySelector('title')?.textContent
    || e.getAttribute('aria-labelledby')?.split(' ')
      .some(id => document.getElementById(id)?.textContent.trim());
  const hidden = e => e.closest('[aria-hidden=true]');
  const bad = [];
  for (const svg of document.querySelectorAll('svg')) {
    if (!hidden(svg) && !(svg.getAttribute('role') === 'img' && named(svg))) {
      bad.push('a picture without a name: ' + svg.outerHTML.slice(0, 100));
    }
  }
  for (const table of document.querySelectorAll('table')) {
    if (!table.caption?.textContent.trim() && !named(table)) {
      bad.push('a table without a caption: ' + table.outerHTML.slice(0, 100));
    }
  }
  for (const button of document.querySelectorAll('button, summary, a[href], input, select')) {
    if (!button.textContent.trim() && !named(button) && !button.labels?.length) {
      bad.push('nothing to call: ' + button.outerHTML.slice(0, 100));
    }
  }
  const ids = [...document.querySelectorAll('[id]')].map(e => e.id);
  ids.filter((id, at) => ids.indexOf(id) !== at).forEach(id => bad.push('twice: id ' + id));
  return bad;
})()"""

_FOCUSED = """(() => {
  const e = document.activeElement;
  if (e === document.body || e === document.documentElement) { return null; }
  const all = [...document.querySelectorAll('*')];
  return all.indexOf(e);
})()"""


def unfold(tab: Tab) -> None:
    """Open everything that is folded."""
    tab.js("document.querySelectorAll('details').forEach(each => { each.open = true; })")


def check_widths(tab: Tab, widths: tuple[int, ...] = WIDTHS) -> None:
    """Check that the page never scrolls sideways: wide tables do, in boxes of their own."""
    unfold(tab)
    for width in widths:
        tab.resize(width)
        needed = tab.js("document.documentElement.scrollWidth")
        assert needed <= width, (width, needed, tab.js(_WIDE))


def check_contrast(tab: Tab) -> None:
    """Check that all text stands out from what is behind it, by day, by night and on paper."""
    unfold(tab)
    for dark, paper in ((False, False), (True, False), (False, True), (True, True)):
        tab.media(dark=dark, paper=paper)
        found = tab.js(_PALE.replace("LEAST", str(CONTRAST)))
        assert found["pale"] == {}, {"dark": dark, "paper": paper, "too pale": found["pale"]}
        assert found["seen"] > 3
    tab.media()


def check_outline(tab: Tab) -> None:
    """Check headings without a gap, and a name for all that is no text."""
    found = tab.js(_HEADINGS)
    levels = [level for level, _ in found]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(text for _, text in found)
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    assert tab.js(_UNNAMED) == []
    assert tab.js("document.documentElement.lang") == "en"
    assert tab.js("document.compatMode") == "CSS1Compat"
    assert tab.js("document.title.trim() !== ''")
    pictures = [node for node in tab.accessible() if node["role"]["value"] in ("image", "img")]
    assert all(node.get("name", {}).get("value") for node in pictures), pictures


def reached(tab: Tab, most: int = 400) -> list[int]:
    """Return which elements Tab goes to, as numbers among all of the page."""
    # Without this Tab would go on from where the focus was last.
    tab.js("document.body.tabIndex = -1, document.body.focus(), document.body.tabIndex")
    stops: list[int] = []
    for _ in range(most):
        tab.press("Tab")
        at = tab.js(_FOCUSED)
        if at is None or at in stops:
            break
        stops.append(at)
    return stops


def check_keyboard(tab: Tab, selector: str = "summary, button, [tabindex='0']") -> None:
    """Check that Tab reaches all that can be worked, in the order of the page, and shows where."""
    wanted = tab.js(
        f"""(() => {{ const all = [...document.querySelectorAll('*')];
        return [...document.querySelectorAll({json.dumps(selector)})]
          .filter(e => e.checkVisibility()).map(e => all.indexOf(e)); }})()"""
    )
    stops = reached(tab)
    assert [at for at in stops if at in wanted] == wanted


def press_summary(tab: Tab, number: int = 0) -> bool:
    """Return whether Enter on a folded part opens it and a second Enter closes it again."""
    tab.js(f"document.querySelectorAll('summary')[{number}].focus()")
    is_open = f"document.querySelectorAll('summary')[{number}].parentElement.open"
    before = tab.js(is_open)
    tab.press("Enter")
    between = tab.js(is_open)
    tab.press("Enter")
    return bool(before != between and before == tab.js(is_open))


def words(tab: Tab) -> str:
    """Return all words of the page, folded or not."""
    return " ".join(str(tab.js("document.body.textContent")).split())


def embedded(tab: Tab, selector: str) -> Any:  # noqa: ANN401 - any JSON
    """Return the JSON that stands in an element."""
    return json.loads(tab.js(f"document.querySelector({json.dumps(selector)}).textContent"))


def load_ms(tab: Tab) -> float:
    """Return how long the page took from the first request to the end of its load event."""
    return float(tab.js("performance.getEntriesByType('navigation')[0].loadEventEnd"))
