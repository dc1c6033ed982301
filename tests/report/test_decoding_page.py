"""A decoding as an HTML page and as a fragment: the tree, the bounds, the outputs, the ledger."""

from __future__ import annotations

import html
import itertools
import math
import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from logpr._values import Decoding, Moment, TreeNode
from logpr.errors import QueryError
from logpr.report.decoding.bounds import bounds
from logpr.report.decoding.document import embedded, shares
from logpr.report.decoding.tree import MOST_NODES, Tree, tree
from logpr.report.explaining.document import hash_of
from logpr.report.html import decoding, decoding_page
from logpr.report.texts import visible
from logpr.report.words.decoding import verdict, ways_out
from tests.report.decodings import (
    EMPTY,
    EVERY,
    LEDGER,
    MODE,
    OPTIMUM,
    STUCK,
    TREE,
    a_decoded,
    a_decoding,
    a_tree,
    explained,
    nasty,
    unfinished,
)
from tests.report.test_audit_page import PageReader
from tests.report.test_texts_are_data import TEXTS

SECTIONS = [
    "Outputs",
    "The tree that was searched",
    "Bounds over time",
    "Where the probability of 1 went",
    "Certificate",
    "Where the numbers come from",
]
SCRIPT = "<script>alert(1)</script>"


class SvgReader(PageReader):
    """Reads a document in which SVG has titles and elements that close at once."""

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag that is closed where it opens."""
        assert tag in {"path", "rect", "circle"}
        assert "svg" in self.open
        self.handle_starttag(tag, attrs)
        self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        """Close a tag, and part what it held from what follows."""
        super().handle_endtag(tag)
        if tag in ("td", "th", "li", "dt", "text", "title", "desc"):
            self.words.append(" ")

    def handle_data(self, data: str) -> None:
        """Note what is read, outside scripts."""
        if "script" not in self.open:
            super().handle_data(data)


def read(page: str) -> SvgReader:
    """Return what a browser would find."""
    reader = SvgReader()
    reader.feed(page)
    reader.close()
    assert reader.open == []
    return reader


def text_in(page: str) -> str:
    """Return the words of a page or a fragment."""
    return " ".join("".join(read(page).words).split())


def data_of(page: str) -> Decoding:
    """Return the decoding that stands in a page as data."""
    found = re.search(
        r'<script type="application/json" id="decoding">(.*?)</script>', page, re.DOTALL
    )
    assert found is not None
    return Decoding.from_json(found[1])


def picture_of(value: Decoding, most: int = MOST_NODES) -> Tree:
    """Return the picture of a tree that has one."""
    found = tree(value, most)
    assert found is not None
    return found


@pytest.mark.parametrize("name", EVERY)
def test_pages_are_whole_and_keep_to_themselves(name: str) -> None:
    """A page is one document that fetches nothing, runs one script, and holds its value."""
    page = decoding_page(EVERY[name])
    found = read(page)
    assert page.lstrip().startswith("<!DOCTYPE html>")
    assert not {"link", "iframe", "img", "object", "base", "form", "a", "image"} & set(found.tags)
    assert found.tags.count("script") == 2
    script = re.search(r"<script>(.*?)</script>", page, re.DOTALL)
    assert script is not None
    assert f"script-src '{hash_of(script[1])}'" in page
    assert not {each for each in found.attributes if each.startswith("on")}
    assert re.findall(r"<h2>(.*?)</h2>", page) == SECTIONS
    assert data_of(page).to_json() == EVERY[name].to_json()


@pytest.mark.parametrize("name", EVERY)
def test_pages_say_what_the_terminal_says(name: str) -> None:
    """The heading is the verdict, and each picture has a title and says what is in it."""
    page = decoding_page(EVERY[name])
    heading = re.search(r'<h1 class="logpr-verdict">(.*?)</h1>', page)
    assert heading is not None
    assert html.unescape(heading[1]) == verdict(EVERY[name])
    for way in ways_out(EVERY[name]):
        assert f"Try {way}" in text_in(page)
    named = r'<svg[^>]*role="img">\s*<title>(.+?)</title>\s*<desc>(.+?)</desc>'
    pictures = re.findall(named, page, re.DOTALL)
    assert len(pictures) == page.count('role="img"') >= 1
    assert all(desc.strip() for _, desc in pictures)


def test_page() -> None:
    """Outputs, their ends, their ranks and their names stand in the page, and so does the proof."""
    words = text_in(decoding_page(a_decoding()))
    assert "Greedy: not optimal: -2.70; optimum -1.53 (proven, 212 expansions)" in words
    assert "1 ␣soft rug END -1.5325 21.6% 21.6% 2 mode" in words
    assert "␣warm mat, END -2.6956 6.7% 3 greedy" in words
    assert "The empty output (END at once): log Pr -2.3026, Pr 10.0%, rank 2." in words
    assert "bound -1.5325, which no output exceeds" in words
    assert "finished 47.9%" in words
    assert "sum 1.000000" in words
    assert "builtin · float32" in words


def test_cut_outputs_say_so() -> None:
    """A cut output carries its mark, and no END."""
    page = decoding_page(unfinished())
    assert '<span class="logpr-cut">cut at 3 tokens, not ended</span>' in page
    row = next(each for each in re.findall(r"<tr.*?</tr>", page, re.DOTALL) if "logpr-cut" in each)
    assert "END" not in row
    assert '<td class="logpr-number"></td>' in row


def test_fragment() -> None:
    """A notebook gets verdict, outputs, tree and certificate, under their own class alone."""
    shown = decoding(a_decoding())
    words = text_in(shown)
    assert "Greedy: not optimal: -2.70" in words
    assert "Tree of the beginnings" in words
    assert "bound -1.5325" in words
    assert "script" not in read(shown).tags
    style = re.search(r"<style>(.*?)</style>", shown, re.DOTALL)
    assert style is not None
    rules = re.findall(r"(?:^|[}\n])\s*([^{}@]+?)\s*\{", style[1])
    assert all(".logpr" in rule for rule in rules)
    assert a_decoding()._repr_html_() == shown


def test_explanations_stand_in_both() -> None:
    """Why greedy lost is the explanation's own view, in the page and in the fragment."""
    for shown in (decoding_page(explained()), decoding(explained())):
        words = text_in(shown)
        assert "Why the greedy output lost to the best" in words
        assert "Contributions in nats" in words
    assert "Why the greedy" not in decoding_page(a_decoding())


def test_token_texts_are_data() -> None:
    """A tag in a token is shown in the tree, the table and the prompt, and is no tag."""
    for shown in (decoding_page(nasty(SCRIPT)), decoding(nasty(SCRIPT))):
        assert SCRIPT not in shown
        assert "&lt;script&gt;" in shown
        assert '<text class="logpr-token" x=' in shown
        assert "<script>alert(1)" in text_in(shown)
    assert read(decoding_page(nasty(SCRIPT))).tags.count("script") == 2
    assert data_of(decoding_page(nasty(SCRIPT))).prompt == SCRIPT


@settings(max_examples=25, deadline=None)
@given(text=TEXTS)
def test_no_text_is_obeyed(text: str) -> None:
    """Whatever a text holds, tags stay balanced, none is new, and it comes back from the JSON."""
    page = decoding_page(nasty(text))
    found = read(page)
    known = set(read(decoding_page(nasty("x"))).tags)
    assert set(found.tags) <= known | {"i"}
    assert found.tags.count("script") == 2
    assert data_of(page).prompt == text


def test_large_decodings_go_without_their_tree_in_json() -> None:
    """What is too long to repeat goes without the tree, and then not at all."""
    many = a_tree() * 400
    node = replace(many[0], text="x" * 900)
    huge = a_decoding(tree=(a_tree()[0], *(replace(node, parent=0, token_id=1) for _ in many)))
    text, whole = embedded(huge)
    assert text is not None
    assert not whole
    assert Decoding.from_json(text).tree == ()
    assert embedded(a_decoding(prompt="x" * 700_000)) == (None, False)
    assert embedded(a_decoding())[1]


def test_the_tree() -> None:
    """Every beginning and every end that was looked at is drawn, with its Pr."""
    picture = picture_of(a_decoding())
    ends = [node for node in picture.nodes if node.label == "END"]
    assert len(ends) == len(TREE)
    assert picture.drawn == len(a_tree()) + len(TREE)
    assert picture.hidden == 0
    assert len(picture.edges) == picture.drawn - 1
    best = max(ends, key=lambda node: float(node.figure.rstrip("%")))
    assert best.figure == "21.6%"
    assert best.title.startswith("END: log Pr -1.5325, Pr 21.6%, finished; on the way of mode")
    assert picture.shapes == ("expanded", "finished", "open", "pruned")


def test_the_ways_of_the_decoders() -> None:
    """Each way goes to the END of its output; that of a cut output stops before it."""
    picture = picture_of(a_decoding())
    assert [track.name for track in picture.tracks] == ["mode", "greedy", "beam-5"]
    assert [track.path.count("M") for track in picture.tracks] == [3, 4, 3]
    cut = a_decoded((" warm", " mat", ","), finished=False, names=("greedy",))
    stopped = picture_of(a_decoding(greedy=cut, compared=(cut,)))
    assert [track.path.count("M") for track in stopped.tracks][:2] == [3, 3]


def test_edges_are_as_thick_as_pr_is_large() -> None:
    """The thickness grows with Pr in proportion."""
    picture = picture_of(a_decoding())
    by_width = sorted((edge.width for edge in picture.edges), reverse=True)
    assert by_width[0] == pytest.approx(1 + 11 * 0.45, abs=0.01)
    assert by_width[1] == pytest.approx(1 + 11 * 0.30, abs=0.01)


SHARES = st.lists(
    st.tuples(st.floats(0.001, 1.0), st.integers(0, 10**6), st.booleans()), min_size=1, max_size=60
)


def made(steps: list[tuple[float, int, bool]]) -> Decoding:
    """Return a decoding whose tree grew step by step, each from one of those before it."""
    nodes = [TreeNode(parent=None, token_id=None, text="", logprob=0.0, kind="expanded")]
    for share, place, ends in steps:
        parent = place % len(nodes)
        nodes.append(
            TreeNode(
                parent=parent,
                token_id=len(nodes),
                text=f" t{len(nodes)}",
                logprob=nodes[parent].logprob + math.log(share),
                kind="expanded",
                end_logprob=math.log(0.1) if ends else None,
            )
        )
    return a_decoding(tree=tuple(nodes), nbest=(), best=None, compared=(), greedy=None)


@settings(max_examples=60, deadline=None)
@given(steps=SHARES, most=st.integers(1, 70))
def test_nothing_overlaps(steps: list[tuple[float, int, bool]], most: int) -> None:
    """No two labels share a place, all are on the canvas, and what is not drawn is counted."""
    value = made(steps)
    picture = picture_of(value, most)
    spans: dict[float, list[tuple[float, float]]] = {}
    for node in picture.nodes:
        end = node.figure_at + 7.0 * len(node.figure)
        assert 0 < node.x < end <= picture.width
        assert 0 < node.y < picture.height
        spans.setdefault(node.y, []).append((node.x - 5, end))
    for row in spans.values():
        for one, two in itertools.pairwise(sorted(row)):
            assert one[1] < two[0]
    everything = len(value.tree) + sum(node.end_logprob is not None for node in value.tree)
    assert picture.drawn + picture.hidden == everything
    assert 1 <= picture.drawn <= max(1, most)
    told = [int(node.label.split()[1]) for node in picture.nodes if node.shape == "more"]
    assert sum(told) <= picture.hidden
    assert bool(told) == bool(picture.hidden)


def test_deep_trees_are_drawn() -> None:
    """A chain of thousands of beginnings is no trouble, and its way is drawn to its end."""
    nodes = [TreeNode(parent=None, token_id=None, text="", logprob=0.0, kind="expanded")]
    nodes += [
        TreeNode(parent=at, token_id=at, text="a", logprob=-0.1 * at, kind="expanded")
        for at in range(3000)
    ]
    picture = picture_of(a_decoding(tree=tuple(nodes)))
    assert picture.drawn == MOST_NODES
    assert picture.hidden == 3001 - MOST_NODES


def test_without_a_tree() -> None:
    """A page without a tree or moments says so, and a fragment leaves the tree out."""
    bare = a_decoding(tree=(), history=())
    assert tree(bare) is None
    words = text_in(decoding_page(bare))
    assert "No tree was kept of this search." in words
    assert "there is no line" in words
    assert "Tree of" not in decoding(bare)


def test_tokens_without_a_text_are_ids() -> None:
    """Of models without a tokenizer the tree shows ids."""
    bare = tuple(replace(node, text="") for node in a_tree())
    labels = {node.label for node in picture_of(a_decoding(tree=bare)).nodes}
    assert {"#11", "#12", "END", "start"} <= labels


def test_the_bounds() -> None:
    """Both lines begin and end where the moments say, and draw nearer all the way."""
    chart = bounds(a_decoding())
    assert chart is not None
    assert chart.ends == (OPTIMUM, OPTIMUM)
    assert chart.meets
    assert chart.lower[0][0] == chart.upper[0][0] == 0.0
    assert chart.lower[-1] == chart.upper[-1]
    assert chart.lower[-1][0] == 100.0
    for line, falls in ((chart.lower, False), (chart.upper, True)):
        for (x, y), (x2, y2) in itertools.pairwise(line):
            assert x2 >= x
            assert (y2 >= y) if falls else (y2 <= y)
            assert x2 == x or y2 == y
    assert not (bounds(unfinished()) or chart).meets
    assert "They meet" not in decoding_page(unfinished())


def test_the_best_begins_where_something_ended() -> None:
    """Before the first output had ended there is no lower line."""
    late = (Moment(seconds=0.0, expansions=1, lower=-math.inf, upper=0.0, open=1), *STUCK[1:])
    chart = bounds(a_decoding(history=late))
    assert chart is not None
    assert chart.lower == ((100.0, chart.lower[0][1]),)
    assert bounds(a_decoding(history=STUCK[:1])) is None


def test_the_ledger() -> None:
    """The parts stand one after the other, in proportion, and fill the bar."""
    one, two = shares(LEDGER)
    assert one.start == 0.0
    assert one.length == pytest.approx(47.85)
    assert two.start == pytest.approx(47.85)
    assert one.length + two.length == pytest.approx(100.0)
    small = shares(replace(LEDGER, unnamed=1e-9))[-1]
    assert small.part.name == "unnamed"
    assert small.length > 0.5


def test_drawn_texts_are_visible_ones() -> None:
    """A newline in a token is a sign in the tree, as it is everywhere."""
    text = "a\nb"
    assert f">{visible(text)}</text>" in decoding_page(nasty(text))


def test_the_plot(tmp_path: Path) -> None:
    """The bounds over time as a picture file carry both ends; without moments it is refused."""
    plots = pytest.importorskip("logpr.report.plots", reason='pip install "logpr[plot]"')
    plots.decoding_bounds(unfinished(), tmp_path / "b.svg")
    drawn = (tmp_path / "b.svg").read_text("utf-8")
    assert f"the best so far: ends at {OPTIMUM:.4f}" in drawn
    assert "no output exceeds this: ends at -0.2125" in drawn
    assert "Best found -1.53; nothing exceeds -0.21" in drawn
    plots.decoding_bounds(unfinished(), tmp_path / "c.svg")
    assert (tmp_path / "c.svg").read_text("utf-8") == drawn
    with pytest.raises(QueryError, match="there are no bounds over time: 0 moments"):
        plots.decoding_bounds(a_decoding(history=()), tmp_path / "d.svg")
    assert not (tmp_path / "d.svg").exists()


def test_the_outputs_of_others_are_always_listed() -> None:
    """However many outputs are listed, those of greedy and the empty one stand below."""
    many = tuple(replace(MODE, token_ids=(at, at), names=()) for at in range(40))
    words = text_in(decoding(a_decoding(nbest=many, best=many[0], compared=(EMPTY,))))
    assert "(empty) END -2.3026" in words
    assert "… and 30 more outputs" in words
