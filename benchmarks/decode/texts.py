"""Beginnings of real stories, which the experiments go on from.

Story i of a file is the i-th one that fits: with the start token at most 500 tokens, so that twelve
more still have room in a context of 512, and at least 72, so that its first 60 have twelve more
behind them.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from logpr.tokens.base import Tokenizer

Kind: TypeAlias = Literal["open", "stop"]
Ids: TypeAlias = tuple[int, ...]

STORIES = "text/tinystories_train_first2MiB.txt"
MODEL = "models/stories260K"
NEW_TOKENS = 12
END_ID = 1
"""stories260K ends a story with the start token of the next one."""

_BETWEEN = "<|endoftext|>"
_SHORTEST, _LONGEST = 72, 500
_FIRST, _LENGTHS = 30, 31


@dataclass(frozen=True, slots=True)
class Prompt:
    """Story `index` up to a place, and what really follows: under `stop` the rest of the story."""

    index: int
    kind: Kind
    prompt_ids: Ids
    real_ids: Ids


def data_folder(given: str | None = None) -> Path:
    """Return the folder of real models and texts.

    Args:
        given: in place of what LOGPR_TEST_DATA says.

    Raises:
        SystemExit: neither names a folder.
    """
    named = given or os.environ.get("LOGPR_TEST_DATA")
    if not named or not Path(named).is_dir():
        msg = "give --data FOLDER, or set LOGPR_TEST_DATA to it"
        raise SystemExit(msg)
    return Path(named)


def stories(path: Path, tokenizer: Tokenizer, count: int, start_id: int) -> list[Ids]:
    """Return the first stories of a file that fit, as start token and text.

    Args:
        path: of stories with <|endoftext|> between them, the last one cut.
        tokenizer: of the model.
        count: how many.
        start_id: goes first.
    """
    out: list[Ids] = []
    text = path.read_text(encoding="utf-8", errors="replace")
    for story in text.split(_BETWEEN)[:-1]:
        ids = (start_id, *tokenizer.encode(story.strip(), parse_special=False))
        if _SHORTEST <= len(ids) <= _LONGEST:
            out.append(ids)
        if len(out) == count:
            break
    return out


def prompts(kind: Kind, told: list[Ids]) -> list[Prompt]:
    """Return a prompt of each story.

    `open`: of story i the first 30 + i mod 31 tokens. `stop`: all but its last 1 + i mod 12.

    Args:
        kind: under which end.
        told: the stories.
    """
    out: list[Prompt] = []
    for index, ids in enumerate(told):
        if kind == "open":
            cut = _FIRST + index % _LENGTHS
            real = ids[cut : cut + NEW_TOKENS]
        else:
            cut = len(ids) - 1 - index % NEW_TOKENS
            real = ids[cut:]
        out.append(Prompt(index, kind, ids[:cut], real))
    return out
