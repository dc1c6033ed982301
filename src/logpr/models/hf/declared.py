"""What a model's own configs declare: its longest sequence and its end tokens."""

from __future__ import annotations

import sys

from transformers import PretrainedConfig, PreTrainedModel


def context_length_of(model: PreTrainedModel) -> int:
    """Return the longest sequence that a model's config declares; sys.maxsize where it has none.

    Args:
        model: any.
    """
    config = model.config.get_text_config()
    for name in ("max_position_embeddings", "n_positions", "max_seq_len", "max_sequence_length"):
        value = getattr(config, name, None)
        if isinstance(value, int) and value > 0:
            return int(value * _stretch(config))
    return sys.maxsize


def _stretch(config: PretrainedConfig) -> float:
    """Return by what factor rotary angles that grow with the sequence stretch the declared length.

    (Other kinds of scaling declare the stretched length.)
    """
    rope = getattr(config, "rope_parameters", None) or {}
    return float(rope["factor"]) if rope.get("rope_type") == "dynamic" else 1.0


def declared_end_ids(model: PreTrainedModel, vocab_size: int) -> tuple[int, ...]:
    """Return the end tokens of the generation config, else of the config; () where none is named.

    Args:
        model: any.
        vocab_size: ids from here on do not count.
    """
    declared = None
    if model.generation_config is not None:
        declared = model.generation_config.eos_token_id
    if declared is None:
        declared = getattr(model.config.get_text_config(), "eos_token_id", None)
    if declared is None:
        return ()
    ids = [declared] if isinstance(declared, int) else declared
    return tuple(dict.fromkeys(int(one) for one in ids if 0 <= int(one) < vocab_size))
