"""A small copy of an architecture with its thresholds set low, to see what happens beyond them.

A window of 4,096 tokens is invisible to any probe of a few hundred, and an executor that ignores
it agrees there to the last digit. The copy has the same code and the same kinds of layers, few
dimensions, weights that make attention count, more digits, and a window of 8.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

import torch
from torch import nn
from transformers import PretrainedConfig, PreTrainedModel

from logpr.models.hf.trunk import quiet

LOW = 8
"""The threshold of the small copy; the probe's paths are up to six times as long."""

_THRESHOLD = re.compile(r"window|chunk|floor_scale")
_NO_THRESHOLD = re.compile(
    r"chunk_size_feed_forward|max_window_layers|pattern"
    # Of recurrent layers, which compute the same in blocks of any size: see `beyond.low_blocks`.
    r"|^(mamba_|ssm_)?chunk_size$"
)

_DIMENSIONS = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "ffn_dim": 96,
    "word_embed_proj_dim": 64,
    "moe_intermediate_size": 32,
    "shared_expert_intermediate_size": 32,
    "head_dim": 16,
    "rotary_dim": 8,
    "num_attention_heads": 4,
    "vocab_size": 97,
    "vocab_size_per_layer_input": 97,
    "hidden_size_per_layer_input": 16,
    "num_local_experts": 4,
    "num_experts": 4,
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
}
"""Names that architectures give their sizes; a config has some of them."""

_LAYERS = 12
"""Layers of the copy at most; fewer where the kinds of layers are all seen earlier."""


@dataclass(frozen=True, slots=True)
class Threshold:
    """A number of tokens in the config, beyond which the model computes something else."""

    name: str
    tokens: int


def thresholds(config: PretrainedConfig) -> tuple[Threshold, ...]:
    """Return what a config declares, by name.

    Args:
        config: of the text model.
    """
    out: list[Threshold] = []
    for name, value in config.to_dict().items():
        whole = isinstance(value, int) and not isinstance(value, bool) and value > 0
        if whole and _THRESHOLD.search(name) and not _NO_THRESHOLD.search(name):
            out.append(Threshold(name, value))
    return tuple(out)


def shrunk(
    model: PreTrainedModel, threshold: int, dtype: torch.dtype = torch.float64
) -> PreTrainedModel:
    """Return a small random model of the same class, all its thresholds at `threshold` tokens.

    The weights are the same for every threshold.

    Args:
        model: whose class and config are copied.
        threshold: for every one that the config declares.
        dtype: of the copy.

    Raises:
        ValueError: the config is made of several, which this cannot shrink.
        Exception: whatever the class raises for a config that it cannot build.
    """
    if model.config.get_text_config() is not model.config:
        msg = "a config of several parts"
        raise ValueError(msg)
    config = copy.deepcopy(model.config)
    for one in thresholds(config):
        setattr(config, one.name, threshold)
    for name, size in _sizes(config):
        setattr(config, name, size)
    config.pad_token_id = None
    config.quantization_config = None
    config._attn_implementation = model.config._attn_implementation  # noqa: SLF001 - no public name
    with torch.random.fork_rng(devices=()), quiet():
        torch.manual_seed(0)
        small = type(model)(config)
        for parameter in small.parameters():
            if parameter.dim() > 1:
                # Wide enough that attention is far from even, and a key too many is seen at once.
                torch.nn.init.normal_(parameter, std=2.0 * parameter.shape[-1] ** -0.5)
    return cast("PreTrainedModel", cast("nn.Module", small).to(dtype).eval())


def _sizes(config: PretrainedConfig) -> Iterator[tuple[str, object]]:
    for name, size in _DIMENSIONS.items():
        now = getattr(config, name, None)
        if isinstance(now, int) and now > 0:
            yield name, size
    groups = getattr(config, "num_key_value_heads", None)
    if groups is not None:
        yield "num_key_value_heads", _groups(groups, config.num_attention_heads)
    layers = min(_LAYERS, config.num_hidden_layers)
    kinds = getattr(config, "layer_types", None)
    if kinds is not None:
        # Up to the layer at which every kind has been seen.
        last = max(kinds.index(kind) for kind in set(kinds))
        layers = max(2, last + 1)
        yield "layer_types", kinds[:layers]
    yield "num_hidden_layers", layers
    rope = getattr(config, "rope_parameters", None)
    if rope is not None:
        # Factors come one for each dimension; rotary angles are not what is tried here.
        yield "rope_parameters", _plain_rope(rope)


def _groups(groups: int, heads: int) -> int:
    if groups == heads:
        return 4
    return 1 if groups == 1 else 2


def _plain_rope(rope: dict[str, object]) -> dict[str, object]:
    kept = ("rope_theta", "partial_rotary_factor")
    out: dict[str, object] = {
        name: _plain_rope(value) for name, value in rope.items() if isinstance(value, dict)
    }
    if out:
        return out
    return {"rope_type": "default"} | {name: rope[name] for name in kept if name in rope}
