"""What an encoding warns of: "code: a sentence with the way out"."""

from __future__ import annotations

import re

from logpr.tokens._align import Alignment, first_difference
from logpr.tokens._text import shorten
from logpr.tokens.base import Tokenizer

_SHOWN = 5

# Scripts that write words without spaces between: Thai, Lao, Myanmar, Khmer, Chinese, Japanese.
_SPACELESS = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
)


_CLAUSE_ENDS = frozenset(".,;:!?")


def no_separator(x: str, y: str) -> list[str]:
    """Warn where x and y meet with no space, in a script that puts spaces between words.

    They do letter to letter, and where a word stands right after the mark that ends a clause.
    """
    meet = x[-1:] + y[:1]
    letters = meet.isalnum() or (x[-1:] in _CLAUSE_ENDS and y[:1].isalpha())
    if not (x and y and letters) or _SPACELESS.search(meet):
        return []
    note = (
        f"no_separator: {shorten(x, len(x))} and {shorten(y)} meet with no space; begin the "
        f"continuation with a space, or put one between with --sep ' '"
    )
    return [note]


def leading_space(y: str) -> list[str]:
    """Warn where y begins with a space although x, in the encoder, does not stand before it."""
    if not y.startswith(" "):
        return []
    note = (
        f"leading_space: {shorten(y)} begins with a space, which is scored, and in the decoder "
        f"nothing stands before it; leave the space out (--sep '')"
    )
    return [note]


def spaces_moved(spaces: str, y: str) -> list[str]:
    """Warn that the prompt's last spaces are scored with y."""
    if not spaces:
        return []
    count = f"{len(spaces)} spaces" if len(spaces) > 1 else "a space"
    note = (
        f"spaces_moved: the prompt ends with {count}, scored as part of the continuation: "
        f"{shorten(y)}; end the prompt before the space, begin the continuation with it"
    )
    return [note]


def merged(x: str, y: str) -> str:
    """Warn that x and y share a token when tokenised together."""
    return (
        f"merged_boundary: {shorten(x, len(x))} and {shorten(y)} are other tokens together than "
        f"apart, and the continuation was encoded on its own (boundary='joint' scores the shared "
        f"token, 'marginal' the string)"
    )


def changes(text: str, found: Alignment) -> list[str]:
    """Warn where the ids do not stand for the very text: normalised, or lossy."""
    carried = found.text()
    notes: list[str] = []
    if carried != text:
        place = first_difference(text, carried)
        notes.append(
            f"normalised: the tokenizer changes the text: {shorten(text, place)} is scored as "
            f"{shorten(carried, place)}; give the text in that form to say so yourself"
        )
    if found.lost:
        shown = ", ".join(dict.fromkeys(map(shorten, found.lost[:_SHOWN])))
        notes.append(
            f"lossy: {shown} is not in the vocabulary and is scored as the unknown token, which "
            f"stands for any such text; use other words, or a model that knows them"
        )
    return notes


def no_start_token(tokenizer: Tokenizer) -> str:
    """Warn that given ids lack the start token that the tokenizer puts before a text."""
    return (
        f"no_start_token: the prompt's ids are used as they are and do not begin with the start "
        f"token {_start(tokenizer)} that this tokenizer puts first; bos='always' adds it"
    )


def start_token_added(tokenizer: Tokenizer) -> str:
    """Warn that a start token is fed although the tokenizer adds none by itself."""
    return (
        f"start_token_added: nothing stands before the continuation, so the start token "
        f"{_start(tokenizer)} is fed first; bos='never' leaves it out"
    )


def _start(tokenizer: Tokenizer) -> str:
    token = tokenizer.bos_id
    return "" if token is None else f"{tokenizer.token_text(token)!r} ({token})"
