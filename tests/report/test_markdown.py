"""An explanation as Markdown for a pull request: read by a parser, and obeying no text in it."""

from __future__ import annotations

import math
import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from logpr.report.markdown import explanation
from logpr.report.numbers import signed
from logpr.report.texts import ISOLATE, POP, visible
from logpr.report.words.explanation import largest
from tests.report.explained import (
    NUMBERS,
    Numbers,
    a_candidate,
    an_explanation,
    of_numbers,
    of_text,
    three,
    worked_example,
)
from tests.report.test_texts_are_data import TEXTS

PARSER = MarkdownIt("commonmark").enable(["table", "strikethrough"])
TRICKS = st.lists(
    st.sampled_from((
        "|", "`", "``", "\\", "<img src=x>", "[a](http://x)", "![a](x)", "**", "__", "~~", "@all",
        "#1", "http://x.y", "www.x.y", "$x$", "- ", "> ", "&lt;", "<!--", " ", "x", "\n\n# a",
    )),
    max_size=7,
).map("".join)  # fmt: skip


def flat(text: str) -> list[Token]:
    """Return every token of a document, those inside of lines too."""
    return [inner for token in PARSER.parse(text) for inner in (token, *(token.children or ()))]


def shape(text: str) -> list[str]:
    """Return the tags of a document without its words; a text's code spans count as one."""
    kinds = [token.type for token in flat(text) if token.type not in ("text", "inline")]
    return [kind for kind in kinds if kind != "code_inline"]


def lines(text: str) -> list[str]:
    """Return what a reader sees of each cell and line."""
    return [
        "".join(inner.content for inner in token.children or ())
        .replace(ISOLATE, "")
        .replace(POP, "")
        for token in PARSER.parse(text)
        if token.type == "inline"
    ]


def cells(text: str, title: str) -> list[list[str]]:
    """Return the rows of the table after a title."""
    lines = text.splitlines()
    begin = next(i for i, line in enumerate(lines) if line.startswith(f"**{title}"))
    table = lines[begin + 2 :]
    stop = next((i for i, line in enumerate(table) if not line), len(table))
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table[2:stop]]


def test_worked_example() -> None:
    """Worked example 1: verdict, parting, raw logits, rules, waterfall, split."""
    text = explanation(worked_example())
    assert text.startswith("### `␣A A` beats `␣B B` by 1.215 nats (3.37×).\n")
    assert "the fork gives +1.000, the tails +0.215.\n" in text
    assert (
        "Of the two, sums of raw logits would pick `␣B B`, 16.00 over 10.00: the other one.\n"
        in text
    )
    assert cells(text, "Who is first")[0][0] == "`␣A A`"
    fall = cells(text, "Where the gap comes from")
    assert [row[1] for row in fall] == ["+1.000", "-1.099", "+1.314", "**+1.215**"]
    split = cells(text, "What decides")
    assert split[0] == ["A", "-1.4119", "0.0000", "-1.4119", "10.0000", "11.4119"]
    assert split[1] == ["B", "-2.6268", "-2.0000", "-0.6268", "16.0000", "18.6268"]
    assert split[2][1:4] == ["+1.2149", "+2.0000", "-0.7851"]


def test_everything_is_there() -> None:
    """Tokens, influence, other candidates, meaning, noise and provenance follow."""
    text = explanation(three())
    assert cells(text, "Tokens of A")[0][1:4] == ["`␣warm`", "1481", "-7.1549"]
    assert [row[1] for row in cells(text, "What each part")] == [
        "`The cat sat.␣`",
        "`It sat on the`",
    ]
    assert len(cells(text, "A against every other")) == 2
    assert "Numerical noise of the gap: " in text
    assert text.endswith("`builtin · float32 · cpu · packed · boundary=separate · BOS 1`\n")


def test_it_is_the_markdown_that_it_looks_like() -> None:
    """A parser finds one heading, seven tables and no HTML in the explanation of three."""
    kinds = shape(explanation(three()))
    assert kinds.count("heading_open") == 1
    assert kinds.count("table_open") == 7
    assert not any(kind.startswith("html") for kind in kinds)


@settings(max_examples=80, deadline=None)
@given(text=TEXTS.filter(bool) | TRICKS.filter(bool))
def test_no_text_makes_a_mark(text: str) -> None:
    """The document has the structure that it has for the text "x", and shows the text."""
    found = explanation(of_text(text))
    assert shape(found) == shape(explanation(of_text("x")))
    # The text is all that a cell holds as often as "x" is, and where it is "b" oftener.
    assert lines(found).count(visible(text)) >= lines(explanation(of_text("x"))).count("x")
    assert found.replace("\n", "").replace(ISOLATE, "").replace(POP, "").isprintable()


def test_links_mentions_and_references_stand_in_code() -> None:
    """What GitHub makes links of after parsing, it leaves alone in code spans; so all is there."""
    tricks = "@octocat #12 http://x.y www.x.y a@b.cd :smile: $x$"
    value = of_text(tricks)
    named = replace(value, ranking=replace(value.ranking, winners=(("@all", 0), ("rule#1", 1))))
    bare = "".join(token.content for token in flat(explanation(named)) if token.type == "text")
    assert not re.search(r"[@#$]|://|www|:smile:", bare)


def test_a_note_is_no_markup() -> None:
    """Why a part could not be left out may quote anything, and stands in code where it does."""
    value = three()
    part = replace(value.influence[0], moved=(), gap=None, note="<b> [a](http://x) | @all")
    text = explanation(replace(value, influence=(part,)))
    assert "`The cat sat.␣` `<b> [a](http://x) `&#124;` @all`" in text
    assert not any(token.type in ("html_inline", "link_open") for token in flat(text))


def test_pipes_keep_their_cell() -> None:
    """A pipe in a token ends no cell, whether backslashes stand before it or not."""
    for text in ("|", "a|b", "\\|", "\\\\|", "`|`", "|`"):
        rows = [token for token in flat(explanation(of_text(text))) if token.type == "tr_open"]
        plain = [token for token in flat(explanation(of_text("x"))) if token.type == "tr_open"]
        assert len(rows) == len(plain)
        assert lines(explanation(of_text(text))).count(text) == 6


@settings(max_examples=40, deadline=None)
@given(numbers=NUMBERS)
def test_the_bars_are_those_of_the_value(numbers: Numbers) -> None:
    """The waterfall's contributions sum to the gap, and the table has each of them, rounded."""
    value = of_numbers(numbers)
    bars = largest(value)
    assert math.fsum(bar.contribution for bar in bars) == pytest.approx(value.gap, abs=1e-9)
    rows = cells(explanation(value), "Where the gap comes from")
    assert [row[1].strip("*") for row in rows] == [
        signed(each) for each in (*(bar.contribution for bar in bars), value.gap)
    ]


def test_probability_zero_has_no_bar() -> None:
    """An infinite contribution is a word, and the finite ones keep their scale."""
    first = a_candidate([" a", "c"], [-1.0, -1.0])
    second = a_candidate([" b", "d"], [-1.5, -math.inf], index=1)
    rows = cells(explanation(an_explanation(first, second)), "Where the gap comes from")
    assert [row[1] for row in rows] == ["+0.500", "-1.000", "+inf", "**+inf**"]
    assert [row[2] for row in rows] == ["█" * 10, "░" * 20, "", ""]


def test_long_lists_are_cut_and_counted() -> None:
    """Of two hundred tokens forty are listed."""
    first = a_candidate([" w"] * 200, [-1.0] * 200)
    second = a_candidate([" v"] * 200, [-2.0] * 200, index=1, ids=range(300, 500))
    text = explanation(an_explanation(first, second))
    assert len(cells(text, "Tokens of A")) == 40
    assert text.count("… and 160 more tokens: --json or --html\n") == 2
    assert len(text) < 20_000
