"""Conversations by a chat template, with a refused system's turn and an answer's beginning."""

from __future__ import annotations

import logging

import pytest
from tokenizers import Tokenizer as Backend
from tokenizers import models

from logpr.errors import QueryError
from logpr.integrations._conversation import written
from logpr.tokens.tokenizer import FastTokenizer

NO_SYSTEM = (
    "{% for m in messages %}"
    "{% if m.role == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
    "[{{ m.role }}] {{ m.content | trim }}\n{% endfor %}"
    "{% if add_generation_prompt %}[assistant] {% endif %}"
)
SYSTEM = {"role": "system", "content": "Be kind."}
USER = {"role": "user", "content": "Hi"}


def tokenizer(template: str | None) -> FastTokenizer:
    """Return a tokenizer with a chat template."""
    return FastTokenizer.from_backend(Backend(models.BPE()), chat_template=template)


def test_a_refused_system_s_turn_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    """A template without a system's role writes the other turns; that it did is said."""
    with caplog.at_level(logging.WARNING, logger="logpr"):
        text = written(tokenizer(NO_SYSTEM), [SYSTEM, USER], add_generation_prompt=True)
    assert text == "[user] Hi\n[assistant] "
    assert "the chat template refuses a system's turn" in caplog.text


@pytest.mark.parametrize("content", ["The answer is", " The answer is ", "The answer is\n"])
def test_a_begun_answer_is_gone_on_from(content: str) -> None:
    """Without the opening of a turn the text ends where the last turn's content does."""
    begun = {"role": "assistant", "content": content}
    text = written(tokenizer(NO_SYSTEM), [USER, begun], add_generation_prompt=False)
    ending = "\n" if content.endswith("\n") else ""
    assert text == f"[user] Hi\n[assistant] The answer is{ending}"


def test_what_cannot_be_written_is_said() -> None:
    """No template, a template that refuses all turns, or one that rewrites the last of them."""
    with pytest.raises(QueryError, match="no chat template"):
        written(tokenizer(None), [SYSTEM, USER], add_generation_prompt=True)
    refusing = "{{ raise_exception('nothing at all') }}"
    with pytest.raises(QueryError, match="nothing at all"):
        written(tokenizer(refusing), [USER], add_generation_prompt=True)
    shouting = "{% for m in messages %}{{ m.content | upper }}{% endfor %}"
    with pytest.raises(QueryError, match="does not write the last turn as it is"):
        written(tokenizer(shouting), [USER], add_generation_prompt=False)
