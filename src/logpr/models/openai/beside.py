"""What stands beside a tokenizer: the model's declared vocabulary, context and end tokens."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from logpr.errors import ModelLoadError
from logpr.tokens.base import Tokenizer

_CONTEXTS = ("max_position_embeddings", "n_positions", "max_seq_len")


@dataclass(frozen=True, slots=True)
class Declared:
    """`context_length` is None where nothing says it."""

    vocab_size: int
    context_length: int | None
    end_ids: tuple[int, ...]


def declared_of(folder: Path, tokenizer: Tokenizer) -> Declared:
    """Return what config.json and generation_config.json declare; without them, the tokenizer.

    Args:
        folder: that the tokenizer came from.
        tokenizer: whose vocabulary is the least there is.

    Raises:
        ModelLoadError: a file is no JSON object, or declares what cannot be.
    """
    config = _json(folder / "config.json")
    generation = _json(folder / "generation_config.json")
    text = config.get("text_config")
    if isinstance(text, dict):
        config = {**config, **text}
    size = max(tokenizer.vocab_size, _whole(config.get("vocab_size")) or 0)
    contexts = (_whole(config.get(name)) for name in _CONTEXTS)
    ends = generation.get("eos_token_id", config.get("eos_token_id"))
    if ends is None and tokenizer.eos_id is not None:
        ends = tokenizer.eos_id
    ids = ends if isinstance(ends, list) else [] if ends is None else [ends]
    if not all(type(token) is int and 0 <= token < size for token in ids):
        msg = (
            f"{folder}: eos_token_id is {ends!r}; it has to be an id from 0 to {size - 1}, or a "
            f"list of them; mend generation_config.json or config.json"
        )
        raise ModelLoadError(msg)
    return Declared(
        vocab_size=size,
        context_length=next((found for found in contexts if found), None),
        end_ids=tuple(dict.fromkeys(ids)),
    )


def _whole(value: object) -> int | None:
    return value if type(value) is int and value > 0 else None


def _json(file: Path) -> dict[str, Any]:
    if not file.is_file():
        return {}
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:  # JSON and UTF-8 errors alike
        msg = f"{file} is not JSON: {error}; copy it again from where the model came from"
        raise ModelLoadError(msg) from error
    if not isinstance(found, dict):
        msg = f"{file} holds {type(found).__name__}; wanted is a JSON object"
        raise ModelLoadError(msg)
    return found
