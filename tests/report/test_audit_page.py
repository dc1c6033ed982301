"""An audit as an HTML page, its fragment for notebooks, and the geometry of its charts."""

from __future__ import annotations

import html as markup
import json
import math
import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from logpr._values import AuditReport, Drift, ShortlistStep
from logpr.report import charts
from logpr.report.html import audit, audit_page
from logpr.report.texts import visible
from tests.report.audit_values import (
    AMBIGUOUS,
    CORRECT,
    DAMAGE,
    EVERY,
    FREQUENCIES,
    LENGTHS,
    MIXED,
    NEXT_INPUT,
    NON_FINITE,
    NOT_ENOUGH,
    RAW,
    STEPS,
    a_fault,
    a_flip,
    a_row,
)
from tests.report.test_audit_view import nasty
from tests.report.test_html import Reader, said
from tests.report.test_texts_are_data import TEXTS

_VOID = {"meta", "br"}
_EMPTY = {"path", "rect", "circle"}


class PageReader(Reader):
    """Reads a whole document: the tags that never close are no open ones."""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag."""
        super().handle_starttag(tag, attrs)
        if tag in _VOID:
            self.open.pop()

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag that is closed where it opens, as only SVG has them."""
        assert tag in _EMPTY
        assert "svg" in self.open
        super().handle_starttag(tag, attrs)
        self.open.pop()


def read(page: str) -> PageReader:
    """Return what a browser would find."""
    reader = PageReader()
    reader.feed(page)
    reader.close()
    assert reader.open == []
    return reader


def text_of(page: str) -> str:
    """Return the words of a page."""
    return " ".join("".join(read(page).words).split())


def embedded(page: str) -> AuditReport:
    """Return the report that stands in a page."""
    found = re.search(r'<pre id="report"[^>]*>(.*)</pre>', page, re.DOTALL)
    assert found is not None
    return AuditReport.from_json(markup.unescape(found[1]))


@pytest.mark.parametrize("name", EVERY)
def test_pages_are_whole_and_keep_to_themselves(name: str) -> None:
    """A page is one document that runs no script, fetches nothing and forbids both."""
    page = audit_page(EVERY[name])
    found = read(page)
    assert page.lstrip().startswith("<!DOCTYPE html>")
    forbidden = {"script", "link", "iframe", "img", "object", "base", "form", "a", "image", "use"}
    assert not forbidden & set(found.tags)
    assert not {name for name in found.attributes if name.startswith("on")}
    assert not {"src", "href", "srcset", "xlink:href", "action"} & found.attributes
    assert "url(" not in page
    assert "@import" not in page
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    assert f'<meta http-equiv="Content-Security-Policy" content="{policy}">' in page
    page.encode("utf-8")


@pytest.mark.parametrize("name", EVERY)
def test_pages_can_be_heard(name: str) -> None:
    """One h1, a language, a title, a caption to each table and a label to each picture."""
    page = audit_page(EVERY[name])
    tags = read(page).tags
    assert tags.count("h1") == tags.count("main") == 1
    assert '<html lang="en">' in page
    assert tags.count("caption") == tags.count("table")
    labelled = page.count('<svg class="logpr-chart"')
    hidden = page.count('<td class="logpr-pair" aria-hidden="true"><svg')
    assert page.count('role="img" aria-label="') == labelled
    assert tags.count("svg") == labelled + hidden
    assert all("scope=" in head for head in re.findall(r"<th\b[^>]*>", page))


def test_a_page_tells_all() -> None:
    """What the terminal says stands in the page, and the charts beside it."""
    page = audit_page(a_fault())
    words = text_of(page)
    for part in (
        f"fault {a_fault().sentence}",
        "2 of 20 decisions flip",
        "q1: ‘␣plush rug’ (2 tokens) was taken; ‘␣warm mat’ (2 tokens) is better by 1.215 nats",
        "The claimed winners run 2.1 tokens longer than the true ones",
        "q1 ␣plush rug 2 -1.50 -1.4973 -2.6000 taken",
        "1 ␣plush -1.8100 -1.8085 -2.1000 +0.290 74.8% 50",
        "Over 3 steps the implied normaliser covers 44.5% to 98.0%",
        "logz = torch.logsumexp(logits, dim=-1) score = (logits[y] - logz).sum()",
        "Matches to be expected by chance among 312 computations tried: 1.2e-14.",
        "temperature(T=0.699 to 0.701) + mean 12 of 40 0.3000",
        "values above 0 (3 claims; a mark of raw_logit_sum",
        "raw_logit_sum, temperature: logits: --model, or recorded rows",
        "the objective disagrees with the label.",
        "merged: the boundary is inside a token",
        "builtin · float32",
    ):
        assert part in words
    assert page.count('class="logpr-chart"') == 3
    assert page.count("<circle") == len(LENGTHS.points) + len(FREQUENCIES.points)
    assert page.count('class="logpr-fit"') == 2
    assert 'aria-label="Scatter of claimed − true against tokens, 36 points. The claimed' in page


def test_the_page_of_a_fault_is_in_it() -> None:
    """Pages are published nowhere yet, so the fault's own stands in the audit's, folded."""
    page = audit_page(a_fault(faults=(RAW, replace(RAW, id="../../secret"))))
    assert "<summary>The page of raw_logit_sum</summary>" in page
    words = text_of(page)
    assert "A logit means nothing by itself" in words
    assert "Why it is wrong" in words
    assert "The page of .." not in words


def test_a_page_of_mixed_claims() -> None:
    """Groups, arms and the next input have their place."""
    words = text_of(audit_page(replace(MIXED, next_input=NEXT_INPUT)))
    assert "2 claims: raw_logit_sum (q1 #0, candidate 3)" in words
    assert "All of these end in a merged boundary." in words
    assert "B 10 2 – – 10 of 20" in words
    assert "prompt The cat sat on the candidate ␣café" in words
    assert "per_char -0.5100 per_byte –" in words


def test_a_page_with_little_to_tell() -> None:
    """Sections that have nothing are left out."""
    words = text_of(audit_page(NOT_ENOUGH))
    assert "Claimed" not in words
    assert "Formula" not in words
    assert "Labels" not in words
    assert "<svg" not in audit_page(CORRECT).partition("Token by token")[0]


@pytest.mark.parametrize("name", sorted(set(EVERY) - {"non_finite"}))
def test_the_report_can_be_copied(name: str) -> None:
    """The JSON in the page is the report."""
    assert embedded(audit_page(EVERY[name])) == EVERY[name]


@settings(max_examples=40, deadline=None)
@given(text=TEXTS.filter(bool))
def test_no_text_changes_a_page(text: str) -> None:
    """Tags and attributes of page and fragment are those for the text "x"; the JSON comes back."""
    for draw in (audit_page, audit):
        page = draw(nasty(text))
        found, plain = read(page), read(draw(nasty("x")))
        assert found.tags == plain.tags
        assert found.attributes == plain.attributes
        assert visible(text) in "".join(found.words)
        page.encode("utf-8")
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u202a-\u202e\u2066-\u2069]", page)
    # JSON reads two halves of a pair that follow each other as one character.
    again = json.loads(json.dumps(nasty(text).to_dict()))
    assert embedded(audit_page(nasty(text))).to_dict() == again


def test_markup_in_a_token_is_text() -> None:
    """The script of a candidate is read and not run, in tables, charts, captions and the JSON."""
    attack = "</script></pre></title><script>alert(1)</script>"
    page = audit_page(nasty(attack))
    assert "<script" not in page
    assert page.count("&lt;script&gt;alert(1)") >= 8


def test_long_lists_are_folded_then_cut() -> None:
    """At most some hundred rows and points are drawn, and what is hidden is counted."""
    rows = tuple(a_row(index=at) for at in range(400))
    flips = tuple(a_flip(id=f"x{at}") for at in range(150))
    points = tuple((float(at % 30), float(at)) for at in range(3000))
    steps = tuple(replace(STEPS[0], position=at) for at in range(900))
    damage = replace(DAMAGE, flips=flips, drifts=(replace(LENGTHS, points=points),), decisions=150)
    page = audit_page(a_fault(rows=rows, damage=damage, shortlist=steps))
    words = text_of(page)
    assert page.count("<circle") == 500
    assert "500 of 3,000 points are drawn." in words
    assert "The first 200 steps are drawn, 700 are not." in words
    assert "140 more flips" in words
    assert "… and 50 more flips" in words
    assert "390 more claims" in words
    assert "… and 200 more claims" in words
    assert page.count("was taken;") == 100


def test_large_reports_are_bounded() -> None:
    """A prompt of ten megabytes stays out of the page, which says where to find it."""
    long = "word " * 2_000_000
    report = replace(AMBIGUOUS, rows=(a_row(text=long),),
                     next_input=replace(NEXT_INPUT, prompt=long, candidate=long))  # fmt: skip
    page = audit_page(report)
    assert len(page) < 100_000
    assert "too many to repeat here: logpr audit --json writes them." in page
    assert len(audit(report)) < 100_000


def test_fragment() -> None:
    """A notebook shows the verdict, flips, rows and formula, and styles only what is inside."""
    fragment = audit(a_fault())
    words = said(fragment.replace("<br>", "").replace("/>", "></rect>"))
    assert f"fault {a_fault().sentence}" in words
    assert "2 of 20 decisions flip" in words
    assert "q1 ␣plush rug 2 -1.50 -1.4973 -2.6000 taken" in words
    assert "sum of u[y_i]" in words
    style = re.search(r"<style>(.*)</style>", fragment, re.DOTALL)
    assert style is not None
    rules = re.sub(r"@media[^{]*\{", "", style[1])
    for selector in re.findall(r"([^{}]+)\{", rules):
        assert all(part.strip().startswith(".logpr") for part in selector.split(","))
    assert a_fault()._repr_html_() == fragment
    assert "plush" not in audit(CORRECT)
    many = replace(DAMAGE, flips=(a_flip(),) * 9)
    assert "… and 4 more flips" in audit(a_fault(damage=many))


def test_infinite_errors_are_not_drawn() -> None:
    """A drift without a point that can be drawn has its words and no chart."""
    page = audit_page(NON_FINITE)
    assert "<circle" not in page
    assert "inf nats from its reproduction" in text_of(page)


def test_scatter() -> None:
    """Points, ticks, zero and the least-squares line stand where their numbers put them."""
    points = tuple((float(x), 2.0 * x - 1.0) for x in range(11))
    drift = replace(LENGTHS, points=points, slope=2.0)
    chart = charts.scatter(drift)
    assert chart is not None
    plane = chart.plane
    numbers = [(float(tick.label), tick.at) for tick in plane.across]
    pitch = (numbers[1][1] - numbers[0][1]) / (numbers[1][0] - numbers[0][0])
    for (x, _), (at, _) in zip(points, chart.dots, strict=True):
        assert at == pytest.approx(numbers[0][1] + pitch * (x - numbers[0][0]), abs=0.2)
    zero = next(tick.at for tick in plane.up if tick.label == "0")
    assert zero == pytest.approx(chart.zero)
    assert chart.dots[0][1] > chart.zero > chart.dots[1][1]  # down is up
    assert chart.line is not None
    x1, y1, x2, y2 = chart.line
    for at, height in chart.dots:
        assert height == pytest.approx(y1 + (at - x1) / (x2 - x1) * (y2 - y1), abs=0.3)
    assert charts.scatter(replace(drift, slope=None)).line is None  # type: ignore[union-attr]


FINITE = st.floats(allow_nan=False, allow_infinity=False)


@settings(max_examples=200, deadline=None)
@given(
    points=st.lists(st.tuples(FINITE, st.floats()), max_size=8).map(tuple),
    slope=st.none() | st.floats(),
    quantity=st.sampled_from(("tokens", "token_frequency")),
)
def test_every_scatter_stays_in_its_frame(
    points: tuple[tuple[float, float], ...], slope: float | None, quantity: str
) -> None:
    """Whatever the numbers, what is drawn lies in the frame, and ticks are few and apart."""
    drift = replace(LENGTHS, points=points, slope=slope, quantity=quantity)  # type: ignore[arg-type]
    chart = charts.scatter(drift)
    if chart is None:
        assert not any(math.isfinite(y) and abs(y) < 1e12 and abs(x) < 1e12 for x, y in points)
        return
    plane = chart.plane
    ends = [] if chart.line is None else [chart.line[:2], chart.line[2:]]
    for x, y in [*chart.dots, *ends]:
        assert plane.left - 0.2 <= x <= plane.right + 0.2
        assert plane.top - 0.2 <= y <= plane.bottom + 0.2
    for ticks in (plane.across, plane.up):
        assert len(ticks) <= 11
        assert len({tick.label for tick in ticks}) == len(ticks)
        assert all(len(tick.label) <= 8 for tick in ticks)


def test_masses() -> None:
    """Bars are as high as their mass, within the frame also where a mass is no share."""
    odd = [replace(STEPS[0], mass=mass) for mass in (math.nan, math.inf, -0.5, 1.5)]
    chart = charts.masses((*STEPS, *odd))
    assert chart is not None
    deep = chart.plane.bottom - chart.plane.top
    heights = [bar.height / deep for bar in chart.bars]
    assert heights == pytest.approx([0.748, 0.445, 0.98, 0, 1, 0, 1], abs=1e-3)
    assert [bar.first for bar in chart.bars] == [True, False, True, True, False, False, False]
    assert all(bar.y + bar.height == pytest.approx(chart.plane.bottom) for bar in chart.bars)
    assert charts.masses(()) is None
    one = charts.masses((ShortlistStep(id=None, index=0, position=0, token=None, excess=0.1,
                                       mass=0.9),))  # fmt: skip
    assert one is not None
    assert one.bars[0].first


def test_spans() -> None:
    """Bars of one table share an axis that holds zero; what has no number has no bar."""
    found, zero = charts.spans((-3.0, 1.0, None, math.inf, 0.0))
    assert zero == 75.0
    assert found == (
        charts.Span(0.0, 75.0),
        charts.Span(75.0, 25.0),
        None,
        None,
        charts.Span(75.0, 0.0),
    )
    assert charts.spans((None,)) == ((None,), 0.0)
    assert charts.spans((-1.0,))[1] == 100.0


def test_drift_without_points() -> None:
    """A drift of no points has no chart."""
    assert charts.scatter(Drift(quantity="tokens", points=(), slope=None, correlation=None,
                                chosen=None, best=None)) is None  # fmt: skip
