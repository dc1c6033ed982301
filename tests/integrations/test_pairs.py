"""From texts to ids as the harness makes them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import logpr
from logpr.errors import ContextLengthError, EmptyContextError, TokenizationError
from logpr.integrations._pairs import Pair, TextEncoder, fitted
from logpr.models.table import TableModel
from logpr.tokens.base import Tokenizer
from logpr.tokens.tokenizer import FastTokenizer

BUILTIN = Path(logpr.__file__).parent / "models" / "builtin_model"
TOKENIZER = FastTokenizer.from_folder(BUILTIN)
BOS = TOKENIZER.bos_id
assert BOS is not None
START = "<|bos|>"


def plain(text: str) -> tuple[int, ...]:
    """Return the ids of a text, without a start token."""
    return TOKENIZER.encode(text, parse_special=True)


def encoder(*, adds_bos: bool = True, prefix: int | None = BOS) -> TextEncoder:
    """Return an encoder of the built-in model's tokenizer."""
    return TextEncoder(TOKENIZER, adds_bos=adds_bos, prefix_id=prefix)


def pair(context: str, continuation: str, *, adds_bos: bool = True) -> Pair:
    """Return the ids of one request."""
    (one,) = encoder(adds_bos=adds_bos).pairs([(context, continuation)])
    return one


@given(st.text("ab \n.é", max_size=8), st.text("ab \n.é", min_size=1, max_size=8))
def test_all_ids_are_those_of_the_whole_text(context: str, continuation: str) -> None:
    """Context and continuation together are tok(context + continuation), split after a prefix."""
    whole = (BOS, *plain(context + continuation))
    try:
        found = pair(context, continuation)
    except TokenizationError:
        assert len(plain(context.rstrip())) >= len(whole) - 1
        return
    if not context.rstrip():
        assert found == Pair((BOS,), whole[1:])
    else:
        assert found.context_ids == (BOS, *plain(context.rstrip()))
        assert found.token_ids == whole[len(found.context_ids) :]


def test_white_space_moves_to_the_continuation() -> None:
    """Spaces at the end of the context are scored with the continuation."""
    assert pair("The cat ", "sat") == pair("The cat", " sat")
    assert pair("The cat", " sat").token_ids == plain("The cat sat")[len(plain("The cat")) :]


@pytest.mark.parametrize("context", ["", "  ", "\n"])
def test_an_empty_context_is_the_prefix_token(context: str) -> None:
    """Nothing, or white space alone, before a text stands for the prefix token."""
    (found,) = encoder(adds_bos=False, prefix=7).pairs([(context, "The cat")])
    assert found == Pair((7,), plain(context + "The cat"))


def test_a_text_that_brings_its_start_token_gets_no_other() -> None:
    """The start token's own string at the head of a context, or of a lone text, is the start."""
    assert pair(f"{START}The cat", " sat") == pair("The cat", " sat")
    assert pair("", f"{START}The cat") == pair("", "The cat")
    assert encoder().context(f"{START}The") == encoder().context("The")


def test_the_start_token_can_be_left_out_or_put() -> None:
    """`adds_bos` decides, whatever the tokenizer would do."""
    assert pair("The cat", " sat", adds_bos=False).context_ids == plain("The cat")
    assert encoder(adds_bos=True).context("The") == (BOS, *plain("The"))
    assert encoder(adds_bos=False).context("") == (BOS,)


def test_a_continuation_of_nothing_has_no_tokens() -> None:
    """An empty continuation is no error: nothing is asked."""
    assert pair("The cat", "").token_ids == ()


def test_a_swallowed_continuation_is_refused() -> None:
    """Where context and continuation make one token, the message says so and what to do."""
    # A tokenizer of words: letters that touch a word become part of it.
    words = TableModel.from_dict(
        {"tokens": ["A", "AB"], "kind": "logits", "rows": {"": [0, 0]}, "default": [0, 0]}
    ).tokenizer
    assert words is not None
    with pytest.raises(TokenizationError, match="no token is left to score: end the context"):
        list(TextEncoder(words, adds_bos=False, prefix_id=None).pairs([("A", "B")]))


def test_a_start_token_that_is_not_there_is_refused() -> None:
    """`add_bos_token=True` needs a start token; an empty context to write on from, any token."""
    words = TableModel.from_dict(
        {"tokens": ["A"], "kind": "logits", "rows": {"": [0]}, "default": [0]}
    ).tokenizer
    assert isinstance(words, Tokenizer)
    assert words.bos_id is None
    with pytest.raises(EmptyContextError, match="add_bos_token=True"):
        TextEncoder(words, adds_bos=True, prefix_id=None).encode("A")
    with pytest.raises(EmptyContextError, match="prefix_token_id=ID"):
        TextEncoder(words, adds_bos=False, prefix_id=None).context("")
    (found,) = TextEncoder(words, adds_bos=False, prefix_id=None).pairs([("", "A")])
    assert found == Pair((), (0,))


ids = st.lists(st.integers(0, 9), max_size=12).map(tuple)


@given(ids, ids, st.integers(1, 12))
def test_fitting_keeps_the_end(context: tuple[int, ...], tokens: tuple[int, ...], n: int) -> None:
    """A pair is cut to its last n + 1 ids, of which n are fed; a continuation is never cut."""
    one = Pair(context, tokens)
    if len(tokens) > n:
        with pytest.raises(ContextLengthError, match=f"{len(tokens)} tokens is longer than"):
            fitted(one, n)
        return
    cut = fitted(one, n)
    assert cut.token_ids == tokens
    assert cut.ids == one.ids[-(n + 1) :]
