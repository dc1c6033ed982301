"""An explanation as an HTML page and as a fragment, and the page of a file of rankings."""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings

from logpr._explain import explain
from logpr._values import Decisions, Explanation, Influence
from logpr.report import explaining
from logpr.report.explaining.curves import curves
from logpr.report.explaining.document import hash_of
from logpr.report.explaining.strips import Strips, strips
from logpr.report.explaining.waterfall import waterfall
from logpr.report.html import decisions, decisions_page, explanation, explanation_page
from logpr.report.numbers import signed
from logpr.report.texts import visible
from tests.report.explanation_values import (
    DECISIONS,
    PIECES,
    a_decision,
    a_ranking_of,
    a_scene,
    cases,
    explained,
    long_pair,
    many,
    nasty,
    text_of,
)
from tests.report.test_audit_page import PageReader
from tests.report.test_texts_are_data import TEXTS

SECTIONS = [
    "Where the gap comes from",
    "Token by token, side by side",
    "Log-probability so far",
    "What the model said of each token",
    "What the prompt’s parts do",
    "All candidates",
    "Where the numbers come from",
]


class ScriptReader(PageReader):
    """Reads a document whose scripts are no words of it, and whose cells stand apart."""

    def handle_endtag(self, tag: str) -> None:
        """Close a tag, and part what it held from what follows."""
        super().handle_endtag(tag)
        if tag in ("td", "th", "li", "small", "dt"):
            self.words.append(" ")

    def handle_data(self, data: str) -> None:
        """Note what is read, outside scripts."""
        if "script" not in self.open:
            super().handle_data(data)


def read(page: str) -> ScriptReader:
    """Return what a browser would find."""
    reader = ScriptReader()
    reader.feed(page)
    reader.close()
    assert reader.open == []
    return reader


def text_in(page: str) -> str:
    """Return the words of a page or a fragment."""
    return " ".join("".join(read(page).words).split())


def embedded(page: str) -> Explanation:
    """Return the explanation that stands in a page as data."""
    found = re.search(
        r'<script type="application/json" id="explanation">(.*?)</script>', page, re.DOTALL
    )
    assert found is not None
    return Explanation.from_json(found[1])


def bars_in(page: str) -> list[float]:
    """Return the contributions that the waterfall's bars carry."""
    return [
        float(each) for each in re.findall(r'<rect class="logpr-part[^>]*data-value="(.*?)"', page)
    ]


def an_influence() -> Explanation:
    """Return three candidates and what two parts of the prompt do to them."""
    value = explained([0, 1, 2], [0, 4, 4, 1], [3])
    part = Influence(
        kind="sentence", start=0, end=5, text="Once ", moved=(1.0, -0.5, 0.25), gap=1.5
    )
    other = Influence(kind="sentence", start=5, end=9, text="upon", note="nothing remains")
    return replace(value, influence=(part, other))


def merged() -> Explanation:
    """Return two candidates that were scored after different tokens of the prompt."""
    scores = (a_scene([0, 1]), a_scene([1, 1], index=1, prompt_ids=(0, 7), boundary="merged"))
    return explain(a_ranking_of(scores))


def marginal() -> Explanation:
    """Return two candidates scored over all their spellings: there are no tokens."""
    gone = {
        "boundary_policy": "marginal", "token_ids": None, "token_texts": None, "token_spans": None,
        "token_logprobs": None, "evidence": False,
    }  # fmt: skip
    scores = (
        a_scene([0, 1], lower=-5.0, upper=-4.0, **gone),  # type: ignore[arg-type]
        a_scene([4, 1], index=1, **gone),  # type: ignore[arg-type]
    )
    return explain(a_ranking_of(scores))


def impossible() -> Explanation:
    """Return a gap that is infinite."""
    scores = (a_scene([0, 1, 2]), a_scene([0, 4, 4], index=1, impossible=True))
    return explain(a_ranking_of(scores))


EVERY = {
    "pair": explained([0, 1, 2], [0, 4, 4, 1]),
    "stop": explained([0, 1, 2], [0, 1, 2, 4], end=True),
    "prefix": explained([0, 1, 2], [0, 1, 2, 4]),
    "bare": explained([0, 1, 2], [0, 4, 4, 1], evidence=False),
    "bytes": explained([2, 3, 2, 3, 5], [2, 3, 2, 4, 7, 7]),
    "equal": explained([0, 1], [0, 1]),
    "three": an_influence(),
    "merged": merged(),
    "marginal": marginal(),
    "impossible": impossible(),
    "many": many(64),
}


@pytest.mark.parametrize("name", EVERY)
def test_pages_keep_to_themselves(name: str) -> None:
    """A page is one document that fetches nothing and runs the one script that it brings."""
    page = explanation_page(EVERY[name])
    found = read(page)
    assert page.lstrip().startswith("<!DOCTYPE html>")
    forbidden = {"link", "iframe", "img", "object", "base", "form", "a", "image", "use"}
    assert not forbidden & set(found.tags)
    assert not {name for name in found.attributes if name.startswith("on")}
    assert not {"src", "href", "srcset", "xlink:href", "action"} & found.attributes
    for mark in ("http:", "https:", "src=", "href=", "url(", "@import", "fetch(", "innerHTML"):
        assert mark not in page
    scripts = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    assert len(scripts) == 1
    policy = f"default-src 'none'; style-src 'unsafe-inline'; script-src '{hash_of(scripts[0])}'"
    assert f'<meta http-equiv="Content-Security-Policy" content="{policy}">' in page
    page.encode("utf-8")


@pytest.mark.parametrize("name", EVERY)
def test_pages_can_be_heard(name: str) -> None:
    """One h1, a language, a caption to each table, and a label to each picture that is no cell."""
    page = explanation_page(EVERY[name])
    tags = read(page).tags
    assert tags.count("h1") == tags.count("main") == 1
    assert '<html lang="en">' in page
    assert tags.count("caption") == tags.count("table")
    hidden = len(re.findall(r'<td class="logpr-(?:pair|fall)" aria-hidden="true"><svg', page))
    assert tags.count("svg") == hidden + page.count('role="img" aria-label="Lines of')
    assert all("scope=" in head for head in re.findall(r"<th\b[^>]*>", page))


@pytest.mark.parametrize("name", EVERY)
def test_sections_stand_in_order(name: str) -> None:
    """Every page has every section, that of all candidates where there are more than two."""
    value = EVERY[name]
    heads = re.findall(r"<h2>(.*?)</h2>", explanation_page(value))
    expected = [
        head for head in SECTIONS if head != "All candidates" or len(value.ranking.order) > 2
    ]
    assert heads == expected


@settings(max_examples=250, deadline=None)
@given(case=cases())
def test_bars_sum_to_the_gap(case: Callable[[], Explanation]) -> None:
    """What the bars carry sums to the gap, and is written beside them."""
    value = case()
    _check_bars(explanation(value), value)


@settings(max_examples=25, deadline=None)
@given(case=cases())
def test_bars_of_a_page_sum_to_the_gap(case: Callable[[], Explanation]) -> None:
    """The same of whole pages."""
    value = case()
    _check_bars(explanation_page(value), value)


def _check_bars(page: str, value: Explanation) -> None:
    """Check what the bars carry, and the figures beside them."""
    found = bars_in(page)
    assert math.fsum(found) == pytest.approx(value.gap, abs=1e-9)
    total = re.search(r'data-gap="(.*?)"', page)
    assert total is not None
    assert float(total[1]) == value.gap
    fall = page.partition('<table class="logpr-waterfall">')[2].partition("</table>")[0]
    said = re.findall(r'<td class="logpr-number">(.*?)</td>', fall)
    assert said == ["0" if each == 0 else signed(each) for each in found] + [signed(value.gap)]


@settings(max_examples=80, deadline=None)
@given(case=cases())
def test_waterfalls_stay_in_their_cells(case: Callable[[], Explanation]) -> None:
    """A bar starts where the one before it ends, and the last one where the gap does."""
    value = case()
    fall = waterfall(value)
    for step in (*fall.steps, fall.total):
        assert 0 <= step.start <= step.start + step.length <= 100
        assert 0 <= step.after <= 100
        assert 0.5 <= step.strength <= 1
    before = fall.zero
    for step in fall.steps:
        right = step.contribution > 0
        if step.contribution:
            assert step.start == pytest.approx(before if right else step.after, abs=0.02)
        before = step.after
    assert before == pytest.approx(fall.total.after, abs=0.02)


@settings(max_examples=80, deadline=None)
@given(case=cases())
def test_strips_hold_every_token_once(case: Callable[[], Explanation]) -> None:
    """Columns have all tokens of both in order, the shared ones once, and one fork at most."""
    value = case()
    shown = strips(value, 1000)
    if shown is None:
        assert not any(value.ranking.candidates[at].token_ids for at in (value.first, value.second))
        return
    for row, index in (("first", value.first), ("second", value.second)):
        score = value.ranking.candidates[index]
        cells = [cell for column in shown.columns for cell in getattr(column, row)]
        places = len(score.token_ids or ()) + (score.end_logprob is not None)
        assert [cell.at for cell in cells] == list(range(shown.skipped, places))
        assert all(cell.end == (cell.at == len(score.token_ids or ())) for cell in cells)
    forks = [column for column in shown.columns if column.fork]
    assert len(forks) == (value.fork is not None)
    if value.fork is not None:
        assert forks[0].first[0].at == forks[0].second[0].at == value.fork.position
    _check_alignment(value, shown)


def _check_alignment(value: Explanation, shown: Strips) -> None:
    """Check that after the fork the tokens of a column begin at one byte."""
    spans = [value.ranking.candidates[at].token_spans or () for at in (value.first, value.second)]
    fork = 0 if value.fork is None else value.fork.position
    for column in shown.columns:
        starts = [
            of[cells[0].at][0]
            for cells, of in zip((column.first, column.second), spans, strict=True)
            if cells and not cells[0].end
        ]
        if len(starts) == 2 and not column.shared and column.first[0].at > fork:
            assert starts[0] == starts[1]


def test_a_pair_is_told() -> None:
    """Verdict, parting, split, rules, tokens and provenance stand in the page as words."""
    words = text_in(explanation_page(EVERY["pair"]))
    value = EVERY["pair"]
    assert f"by {abs(value.gap):.3f} nats" in words
    assert "They fork at token 2: ‘b’ against ‘␣the’" in words or "‘␣the’ against ‘b’" in words
    for part in ("After Once upon a time", "(logit_gap)", "top_surprisal", "rank favourite"):
        assert part in words
    for part in ("dtype float32", "executor packed", "BOS 1 fed", "noise floor", "sha256:0123"):
        assert part in words
    assert "prompt fed (3) ids 0 7 7" in words


def test_rules_that_flip_are_marked() -> None:
    """Each rule has its winner; a flip is marked in words and by a frame."""
    value = EVERY["pair"]
    other = replace(value.ranking, winners=(("logprob", value.first), ("pmi", value.second)))
    for draw in (explanation, explanation_page):
        page = draw(replace(value, ranking=other))
        assert len(re.findall(r'<li class="logpr-flip">', page)) == 1
        words = text_in(page)
        assert "1 rule of 2 would choose another: log Pr A ranks pmi B flips" in words
        calm = text_in(
            draw(replace(value, ranking=replace(other, winners=(("logprob", value.first),))))
        )
        assert "Every rule chooses the same: log Pr A ranks" in calm


def test_half_characters_are_bytes() -> None:
    """A token that is half an emoji is shown by its bytes, a newline and a space by signs."""
    page = explanation_page(EVERY["bytes"])
    words = text_in(page)
    assert "␣<0xF0><0x9F>" in words
    assert "<0x98><0xBA>" in words
    assert "⏎" in words
    assert "\udcf0" not in page


def test_end_can_be_the_fork() -> None:
    """Under `stop` a candidate forks from its extension at END, which is no text."""
    value = EVERY["stop"]
    assert value.fork is not None
    words = text_in(explanation_page(value))
    assert "END" in (value.fork.first, value.fork.second)
    assert "END against ‘␣the’" in words or "‘␣the’ against END" in words
    assert "<i>END</i>" in explanation(value)


def test_without_a_fork() -> None:
    """A prefix, a merged boundary and spellings say why there is no fork; none lacks bars."""
    assert "one begins with all of the other" in text_in(explanation_page(EVERY["prefix"]))
    words = text_in(explanation_page(EVERY["merged"]))
    assert "scored after different tokens of the prompt (a merged boundary)" in words
    assert "prompt fed, A (" in words
    words = text_in(explanation_page(EVERY["marginal"]))
    assert "each number is over all spellings of a text" in words
    assert "there is no curve" in words
    for name in ("prefix", "merged", "marginal"):
        assert 'class="logpr-forks"' not in explanation_page(EVERY[name])
        assert math.fsum(bars_in(explanation_page(EVERY[name]))) == pytest.approx(EVERY[name].gap)


def test_an_infinite_gap() -> None:
    """What has probability 0 is said to have it, and nothing is drawn out of its frame."""
    value = EVERY["impossible"]
    assert value.gap == math.inf
    page = explanation_page(value)
    words = text_in(page)
    assert "which has probability 0" in words
    assert "and then falls to -inf" in words
    assert "+inf" in words
    assert math.inf in bars_in(page)
    assert page.count('logpr-endless"') == 2
    assert "nan" not in re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)
    assert embedded(page) == value


def test_two_impossible_candidates() -> None:
    """Two of probability 0 are equal, and no figure is the difference of two infinities."""
    scores = (a_scene([0, 1, 2], impossible=True), a_scene([0, 4], index=1, impossible=True))
    value = explain(a_ranking_of(scores))
    assert value.gap == 0
    words = text_in(explanation_page(value))
    assert "have the same log Pr." in words
    assert "such bars have no sum, and the gap is 0" in words
    assert "nan" not in words


def test_without_evidence() -> None:
    """What is lacking says what to type, and the token table shows what is known."""
    words = text_in(explanation_page(EVERY["bare"]))
    assert "Rank with evidence=True (--evidence)" in words
    assert "--model MODEL" in words
    assert "rank favourite" not in words
    assert "log p 1 ␣a" in words
    assert "--influence sentences" in words


def test_parts_of_the_prompt() -> None:
    """Each part has numbers for A, B and the gap; one that could not be left out says why."""
    value = an_influence()
    words = text_in(explanation_page(value))
    moved = value.influence[0].moved
    numbers = [signed(moved[value.first]), signed(moved[value.second]), "+1.500"]
    assert "1 Once␣ " + " ".join(numbers) in words
    assert "2 upon nothing remains" in words
    assert "The same of 1 other candidate" in words
    assert explanation_page(value).count('<rect class="logpr-A"') == 1


@pytest.mark.parametrize("name", sorted(set(EVERY) - {"many"}))
def test_the_explanation_can_be_read_back(name: str) -> None:
    """The JSON in the page is the explanation."""
    assert embedded(explanation_page(EVERY[name])) == EVERY[name]


def test_many_candidates_are_folded() -> None:
    """Ten candidates of 64 are open and the rest are behind one summary; the JSON has no rows."""
    page = explanation_page(EVERY["many"])
    words = text_in(page)
    assert "All 64 candidates" in words
    assert "54 more candidates" in words
    assert (
        len(re.findall(r'<tr(?: class="logpr-here")?><td class="logpr-number">\d+</td>', page))
        == 64
    )
    value = embedded(page)
    assert value.bars == EVERY["many"].bars
    assert value.ranking.candidates[value.first].logit is not None
    assert "without the tokens of other candidates" in words
    assert len(page) < 200_000


def test_a_page_of_two_hundred_tokens_is_small() -> None:
    """Two candidates of 200 tokens with evidence take no more than 400 KB, all of them drawn."""
    value = long_pair(200)
    page = explanation_page(value)
    assert len(page.encode()) <= 400_000
    assert page.count('<tr data-at="') == 400
    assert page.count('<span data-at="') == 400 - 5
    assert "without alternatives" in text_in(page)
    assert embedded(page).splits == value.splits
    assert len(explanation(value).encode()) < 60_000


def test_two_thousand_tokens_do_not_bloat_a_page() -> None:
    """A few hundred tokens of each are drawn, the rest are counted, and the bars still sum."""
    value = long_pair(2000, size=200)
    page = explanation_page(value)
    assert len(page.encode()) < 1_000_000
    words = text_in(page)
    assert "Not drawn: 1,600 further tokens of A, 1,600 further tokens of B." in words
    assert "1,700 further tokens not shown" in words
    assert math.fsum(bars_in(page)) == pytest.approx(value.gap, abs=1e-9)
    assert "3,980 other tokens" in words
    assert "logpr explain … --json writes it" in words


def test_a_long_shared_start_is_folded() -> None:
    """The fork is drawn however late it comes."""
    start = [0, 4] * 200
    value = explained([*start, 1, 2], [*start, 3])
    page = explanation_page(value)
    words = text_in(page)
    assert 'class="logpr-forks"' in page
    assert "… 376 shared tokens" in words
    assert words.count("fork") >= 4
    assert "‘b’ fork" not in words
    assert len(re.findall(r'class="logpr-here"><td>401</td>', page)) == 2


@settings(max_examples=15, deadline=None)
@given(text=TEXTS.filter(bool))
def test_no_text_changes_a_page(text: str) -> None:
    """Tags and attributes of page and fragment are those for the text "x"; the JSON comes back."""
    for draw in (explanation_page, explanation):
        page = draw(nasty(text))
        found, plain = read(page), read(draw(nasty("x")))
        assert found.tags == plain.tags
        assert found.attributes - {"title"} == plain.attributes - {"title"}
        assert visible(text) in "".join(found.words)
        page.encode("utf-8")
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u202a-\u202e\u2066-\u2069]", page)
    # JSON reads two halves of a pair that follow each other as one character.
    again = json.loads(json.dumps(nasty(text).to_dict()))
    assert embedded(explanation_page(nasty(text))).to_dict() == again


def test_warnings_of_the_ranking_are_on_the_page() -> None:
    """A page and a notebook show them beside the explanation's own, as every other view does."""
    value = EVERY["pair"]
    warned = replace(value, ranking=replace(value.ranking, warnings=("contexts_differ: so",)))
    assert explanation(warned).count("contexts_differ: so") == 1
    assert explanation_page(warned).count("contexts_differ: so") == 2  # once in its JSON


def test_markup_in_a_token_is_text() -> None:
    """The script of a candidate is read and not run, also in the data that the page carries."""
    attack = "</script></title><!--<script>alert(1)</script>"
    page = explanation_page(nasty(attack))
    assert page.count("<script") == 2
    assert page.count("</script>") == 2
    assert "<!--" not in page
    assert page.count("&lt;script&gt;alert(1)") >= 8
    assert "<script" not in explanation(nasty(attack))


def test_fragment() -> None:
    """A notebook shows verdict, rules, waterfall and strips, and styles only what is inside."""
    fragment = explanation(EVERY["pair"])
    found = read(fragment)
    assert "id" not in found.attributes
    assert "script" not in found.tags
    words = text_in(fragment)
    for part in ("beats", "log Pr A ranks", "they sum to the gap", "on one fixed scale"):
        assert part in words
    style = re.search(r"<style>(.*)</style>", fragment, re.DOTALL)
    assert style is not None
    rules = re.sub(r"@media[^{]*\{", "", style[1])
    for selector in re.findall(r"([^{}]+)\{", rules):
        assert all(part.strip().startswith(".logpr") for part in selector.split(","))
    assert EVERY["pair"]._repr_html_() == fragment


def test_the_scale_of_surprisal_says_its_clamp() -> None:
    """The legend ends at 10+ nats, and the colours' symmetric scale at the largest bar."""
    value = EVERY["pair"]
    words = text_in(explanation(value))
    most = max(abs(bar.contribution) for bar in value.bars)
    assert "0 2 4 6 8 10+" in words.replace("024", "0 2 4 ").replace("6810+", "6 8 10+")
    assert signed(-most) in words
    assert signed(most) in words


@settings(max_examples=80, deadline=None)
@given(case=cases())
def test_curves_end_at_log_pr(case: Callable[[], Explanation]) -> None:
    """Lines stay in their frame, never rise, and end at the candidate's log Pr."""
    value = case()
    chart = curves(value)
    if chart is None:
        assert not any(len(each.bytes) > 1 for each in value.curves)
        return
    ends = {"A": value.first, "B": value.second}
    for line in chart.lines:
        score = value.ranking.candidates[ends[line.letter]]
        assert line.last == pytest.approx(score.logprob, abs=1e-9)
        assert all(0 <= x <= 100 and 0 <= y <= 100 for x, y in line.points)
        assert all(b[1] >= a[1] and b[0] >= a[0] for a, b in itertools.pairwise(line.points))
    assert all(0 <= tick.at <= 100.01 for tick in (*chart.across, *chart.up))


def test_what_is_embedded_is_bounded() -> None:
    """Small explanations go whole, larger ones lean, and the largest stay out."""
    assert explaining.embedded(EVERY["pair"])[1]
    text, whole = explaining.embedded(long_pair(200))
    assert text is not None
    assert not whole
    assert '"alternatives":null' in text
    assert explaining.embedded(long_pair(2000, size=200)) == (None, False)
    assert "logpr explain … --json writes it" in text_in(
        explanation_page(long_pair(2000, size=200))
    )


def test_decisions_page() -> None:
    """Headline, the most surprising first, flips with bars, drift, and how to open one."""
    page = decisions_page(DECISIONS)
    words = text_in(page)
    assert read(page).tags.count("h1") == 1
    assert "12 decisions by log Pr: 7 of 10 labelled are right (70.0%)" in words
    assert "1 tie: the first two are within numerical noise." in words
    assert "q1 The cat sat on the ␣warm mat ␣plush rug 1.215 1.500 per token wrong" in words
    assert "record 4" in words
    assert "7 The cat sat on the ␣warm mat – – inf – right" in words
    assert "… and 9 more decisions" in words
    assert "logpr explain FILE --id ID" in words
    assert "per token 3 25.0%" in words
    assert "against 3.00 of all candidates" in words
    assert "per token 3.75 +0.75" in words
    assert re.findall(r"<h2>(.*?)</h2>", page) == [
        "The most surprising", "Where rules disagree", "How long the winners are",
        "Where the numbers come from",
    ]  # fmt: skip
    for mark in ("http:", "https:", "src=", "href=", "url("):
        assert mark not in page
    assert read(page).tags.count("caption") == read(page).tags.count("table")


def test_decisions_without_labels_and_rules() -> None:
    """What is not known is not claimed."""
    bare = replace(
        DECISIONS, right=None, labelled=0, flips=(), drift=(), mean_tokens=None, ties=0,
        decisions=(a_decision(right=None, flips=(), prompt=None, best=None),),
    )  # fmt: skip
    words = text_in(decisions_page(bare))
    assert "right" not in words
    assert "No ties." in words
    assert "Who is first under other rules is not known" in words


def test_decisions_fragment() -> None:
    """A notebook shows the first ten, with no script."""
    value = replace(
        DECISIONS, total=40, decisions=tuple(a_decision(id=f"x{at}") for at in range(15))
    )
    fragment = decisions(value)
    words = text_in(fragment)
    assert "x9" in words
    assert "x10" not in words
    assert "… and 30 more decisions" in words
    assert "script" not in read(fragment).tags
    assert value._repr_html_() == fragment


@settings(max_examples=15, deadline=None)
@given(text=TEXTS.filter(bool))
def test_no_text_changes_the_page_of_a_file(text: str) -> None:
    """Ids, prompts and candidates of a file are data."""

    def nasty_file(given_text: str) -> Decisions:
        line = a_decision(id=given_text, prompt=given_text, best=given_text, second=given_text,
                          flips=(given_text,))  # fmt: skip
        return replace(DECISIONS, decisions=(line,), flips=((given_text, 1),))

    page = decisions_page(nasty_file(text))
    found, plain = read(page), read(decisions_page(nasty_file("x")))
    assert found.tags == plain.tags
    assert found.attributes - {"title"} == plain.attributes - {"title"}
    assert visible(text)[:20] in "".join(found.words)
    page.encode("utf-8")


def test_pieces_are_what_they_say() -> None:
    """The random model's tokens spell halves of characters as rankings keep them."""
    assert text_of(PIECES[2]) == " \udcf0\udc9f"
