"""How prompts, candidates and tokens are written: all that is in them shown, none of it obeyed.

A token may hold an escape sequence, markup, a newline, half a character or a mark that turns the
line round. What a reader would not see, or a terminal would act on, is written as a sign.
"""

from __future__ import annotations

import json
import unicodedata

SPACE, NEWLINE, TAB = "␣", "⏎", "⇥"
ELLIPSIS = "…"
MOST_MARKS = 4
"""Combining marks on one letter: writing needs three. More would be painted over other lines."""

_SIGNS = {"\n": NEWLINE, "\t": TAB}
_TAKEN = frozenset({SPACE, NEWLINE, TAB})
"""Characters that already stand for others: where the text itself has them, they are escaped."""

_BLANK = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
"""Characters that count as printable and show nothing."""

_RIGHT_TO_LEFT = frozenset({"R", "AL", "AN"})
ISOLATE, POP = "\u2068", "\u2069"

_ASCII_FOR = str.maketrans({
    "–": "-", "—": "-", "−": "-", "×": "x", "·": "|", "…": "...", "‘": "'", "’": "'", "≠": "!=",
    "≥": ">=", "≤": "<=", "→": "->", "∂": "d", "Σ": "sum", "∞": "inf",
})  # fmt: skip


def pieces(text: str) -> list[str]:
    """Return what each character of a text is drawn as, so that a cut falls between characters.

    Spaces at the ends and in runs are drawn as ␣ (single inner ones stay, so that lines can be
    broken at them), newlines as ⏎, tabs as ⇥; control and format characters, lone surrogates and
    blanks that look like nothing are escaped; a combining mark stays with the letter before it,
    or stands on ◌ where there is none, and from the fifth on one letter they are escaped too.
    """
    out: list[str] = []
    if text.isascii() and text.isprintable():
        out = list(text)
    else:
        marks = 0
        for char in text:
            sign = _sign(char)
            marks = marks + 1 if unicodedata.category(sign[0]).startswith("M") else 0
            if marks > MOST_MARKS:
                out.append(_escape(char))
            elif not marks:
                out.append(sign)
            elif out:
                out[-1] += sign
            else:
                out.append("◌" + sign)
    last = len(out) - 1
    return [
        SPACE if piece == " " and (at in (0, last) or " " in (out[at - 1], out[at + 1])) else piece
        for at, piece in enumerate(out)
    ]


def visible(text: str) -> str:
    """Return a text as data: every character seen, none acting on the terminal; see `pieces`."""
    return "".join(pieces(text))


def pieces_in_ascii(text: str) -> list[str]:
    """Return a text as a JSON string: quoted, and everything but printable ASCII escaped."""
    inner = [json.dumps(char)[1:-1].replace("\x7f", "\\u007f") for char in text]
    return ['"', *inner, '"']


def prose(text: str) -> str:
    """Return a sentence on one line, with its own spaces; what would act on a terminal escaped."""
    if text.isprintable():
        return text
    return "".join(char if char in _TAKEN else _sign(char) for char in text)


def in_ascii(text: str) -> str:
    """Return our own words in ASCII; characters with no likeness there are escaped."""
    return text.translate(_ASCII_FOR).encode("ascii", "backslashreplace").decode("ascii")


def isolated(line: str) -> str:
    """Return one line of text whose right-to-left letters leave the rest of its row alone."""
    if line.isascii() or not any(
        unicodedata.bidirectional(char) in _RIGHT_TO_LEFT for char in line
    ):
        return line
    return f"{ISOLATE}{line}{POP}"


def clipped(text: str, limit: int, *, keep_end: bool = False) -> str:
    """Return at most `limit` characters of `text`, with … where the rest was."""
    if len(text) <= limit:
        return text
    return ELLIPSIS + text[len(text) - limit + 1 :] if keep_end else text[: limit - 1] + ELLIPSIS


def ids_text(ids: tuple[int, ...]) -> str:
    """Return token ids as words, for a continuation that has no text."""
    return "ids " + " ".join(map(str, ids)) if ids else "no ids"


def _sign(char: str) -> str:
    if char in _SIGNS:
        return _SIGNS[char]
    if char in _TAKEN or char in _BLANK or not char.isprintable():
        return _escape(char)
    return char


def _escape(char: str) -> str:
    code = ord(char)
    if 0xDC80 <= code <= 0xDCFF:  # noqa: PLR2004 - a byte that is no UTF-8, as "surrogateescape" keeps it
        return f"<0x{code - 0xDC00:02X}>"
    if code < 0x100:  # noqa: PLR2004
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"  # noqa: PLR2004
