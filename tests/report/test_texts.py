"""How users' texts are written."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logpr.report.texts import (
    clipped,
    ids_text,
    in_ascii,
    isolated,
    pieces,
    pieces_in_ascii,
    prose,
    visible,
)

ANY_TEXT = st.text(st.characters(exclude_categories=()))


@pytest.mark.parametrize(
    ("text", "drawn"),
    [
        (" warm mat", "␣warm mat"),
        ("a  b", "a␣␣b"),
        ("   ", "␣␣␣"),
        ("line\nnext\tcell", "line⏎next⇥cell"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("\r\x00\x7f\x9b", "\\x0d\\x00\\x7f\\x9b"),
        ("\u202eabc", "\\u202eabc"),
        ("a\u200bb\u00a0c", "a\\u200bb\\xa0c"),
        ("\u3164", "\\u3164"),
        ("\U000e0041", "\\U000e0041"),
        ("\ud800", "\\ud800"),
        (b"\xe2\x80".decode("utf-8", "surrogateescape"), "<0xE2><0x80>"),
        ("␣", "\\u2423"),
        ("\u0301e", "◌\u0301e"),
        ("e\u0301", "e\u0301"),
        ("e" + "\u0301" * 4 + "\u0325\u0301a\u0301", "e" + "\u0301" * 4 + "\\u0325\\u0301a\u0301"),
        ("", ""),
        ("[bold]<b>", "[bold]<b>"),
    ],
)
def test_visible(text: str, drawn: str) -> None:
    """What a reader would not see, or a terminal would obey, is drawn as a sign."""
    assert visible(text) == drawn


@given(ANY_TEXT)
def test_everything_drawn_is_printable(text: str) -> None:
    """The drawing of any text is printable and has no space that could get lost."""
    drawn = visible(text)
    assert drawn.isprintable()
    assert not drawn.startswith(" ")
    assert not drawn.endswith(" ")
    assert "  " not in drawn


@given(ANY_TEXT)
def test_pieces_are_characters(text: str) -> None:
    """There is at most one piece a character, and no two plain spaces stand side by side."""
    drawn = pieces(text)
    assert len(drawn) <= len(text)
    assert all(pair != (" ", " ") for pair in pairwise(drawn))


@given(ANY_TEXT)
def test_ascii_drawing_is_json(text: str) -> None:
    """In ASCII a text is a JSON string that reads back as the text."""
    drawn = "".join(pieces_in_ascii(text))
    assert drawn.isascii()
    assert drawn.isprintable()
    # JSON escapes characters beyond the first plane as two surrogates, which reading joins.
    assert json.loads(drawn) == json.loads(json.dumps(text))


@given(ANY_TEXT)
def test_prose_is_one_printable_line(text: str) -> None:
    """A sentence that came with a value is made harmless, its spaces kept."""
    assert prose(text).isprintable()
    assert prose("a  b ␣") == "a  b ␣"


@given(ANY_TEXT)
def test_our_words_in_ascii(text: str) -> None:
    """Any words have an ASCII form."""
    assert in_ascii(prose(text)).isascii()
    assert in_ascii("‘a’ × … –") == "'a' x ... -"


def test_right_to_left_lines_are_isolated() -> None:
    """Only lines with right-to-left letters get isolates around them."""
    assert isolated("abc é") == "abc é"
    assert isolated("שלום abc") == "\u2068שלום abc\u2069"
    assert isolated("٣") == "\u2068٣\u2069"


def test_clipped() -> None:
    """A long text keeps its beginning, or its end, within the limit."""
    assert clipped("abcdef", 6) == "abcdef"
    assert clipped("abcdef", 4) == "abc…"
    assert clipped("abcdef", 4, keep_end=True) == "…def"


def test_ids_text() -> None:
    """Ids stand for a continuation without a text."""
    assert ids_text((4, 5)) == "ids 4 5"
    assert ids_text(()) == "no ids"
