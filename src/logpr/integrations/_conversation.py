"""A conversation as its model's chat template writes it, for the harness's prompts."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from logpr._values import Message
from logpr.errors import QueryError
from logpr.tokens.base import Tokenizer
from logpr.tokens.chat import render

_log = logging.getLogger(__name__)


def written(
    tokenizer: Tokenizer, history: Sequence[Mapping[str, str]], *, add_generation_prompt: bool
) -> str:
    """Return a conversation's text.

    A template that refuses a system's turn gets the conversation without it, with a warning.

    Args:
        tokenizer: brings the template.
        history: role and content of each turn.
        add_generation_prompt: whether the opening of an assistant's turn follows; if not, the text
            ends with the last turn's content, to go on from.

    Raises:
        QueryError: there is no template, or it refuses the turns.
    """
    turns = [Message(role=turn["role"], content=turn["content"]) for turn in history]
    try:
        text = render(tokenizer, turns, add_generation_prompt=add_generation_prompt)
    except QueryError:
        plain = [turn for turn in turns if turn.role != "system"]
        if tokenizer.chat_template is None or len(plain) == len(turns):
            raise
        text = render(tokenizer, plain, add_generation_prompt=add_generation_prompt)
        _log.warning("the chat template refuses a system's turn, which is left out")
    return text if add_generation_prompt else _open_ended(text, turns[-1].content)


def _open_ended(text: str, last: str) -> str:
    content = last.strip()
    place = text.rfind(content)
    if place < 0:
        msg = (
            "the chat template does not write the last turn as it is, so an answer cannot go on "
            "from it: leave out the task's gen_prefix, or --apply_chat_template"
        )
        raise QueryError(msg)
    # White space at its end is kept where the template keeps it.
    whole = last.lstrip()
    return text[: place + len(whole if text.startswith(whole, place) else content)]
