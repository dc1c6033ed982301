"""The toys' weights, drawn by lot, and the variants that make a law visible.

One coordinate of the last state never moves (`CONSTANT`), so that a row of the head can hold a
logit that no context changes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

import numpy as np
from jaxtyping import Float64

from logpr.conformance.toy.pieces import RARE, Pieces

Architecture: TypeAlias = Literal["gpt2", "llama"]
Array: TypeAlias = Float64[np.ndarray, "..."]

WIDTH, HEADS, LAYERS, INNER = 16, 2, 2, 32
CONTEXT = 2_100
CONSTANT = WIDTH - 1
_ANCHOR = 4.0
"""What a Llama toy's constant coordinate holds: its last norm divides by the whole state."""

_NEVER = -1e4
"""A logit whose exponential is 0 in float64."""


@dataclass(frozen=True, slots=True, eq=False)
class Weights:
    """A toy's arrays, in one layout for both architectures; matrices are [in, out].

    `positions` is None for Llama. `head` is [vocab, width]; no bias.
    """

    architecture: Architecture
    embedding: Array
    positions: Array | None
    layers: tuple[Mapping[str, Array], ...]
    norm: Array
    norm_bias: Array
    head: Array

    def with_rows(self, rows: Array) -> Weights:
        """Return the same model with another head."""
        return replace(self, head=rows)


def drawn(architecture: Architecture, pieces: Pieces, name: str) -> Weights:
    """Return weights drawn by lot for a vocabulary, always the same for the same name.

    Logits have a spread of about 1.5 nats and a mean that moves with the context, so that none is
    a log-probability; no token but the rare one is ever below 1e-5.
    """
    rng = np.random.default_rng([*name.encode()])
    size = pieces.vocab_size
    gpt = architecture == "gpt2"

    def normal(*shape: int, scale: float) -> Array:
        return rng.normal(0.0, scale, shape)

    embedding = normal(size, WIDTH, scale=1.0)
    positions = normal(CONTEXT, WIDTH, scale=0.5) if gpt else None
    layers = tuple(_layer(rng, architecture) for _ in range(LAYERS))
    norm, norm_bias = 1.0 + normal(WIDTH, scale=0.1), normal(WIDTH, scale=0.1)
    if gpt:
        norm[CONSTANT], norm_bias[CONSTANT] = 0.0, 1.0
    else:
        embedding[:, CONSTANT], norm[CONSTANT] = _ANCHOR, 1.0
        norm_bias[:] = 0.0
        for layer in layers:
            layer["attention_out"][:, CONSTANT] = 0.0
            layer["mlp_out"][:, CONSTANT] = 0.0
    head = normal(size, WIDTH, scale=0.42)
    head += normal(WIDTH, scale=0.5)  # a mean that the context moves: shift-invariance is not idle
    head[:, CONSTANT] = 0.7
    if RARE in pieces.names:
        row = head[pieces.names.index(RARE)]
        row[:] = 0.0
        row[CONSTANT] = -24.0 if gpt else -14.0
    return Weights(architecture, embedding, positions, layers, norm, norm_bias, head)


def _layer(rng: np.random.Generator, architecture: Architecture) -> dict[str, Array]:
    def matrix(rows: int, columns: int) -> Array:
        return rng.normal(0.0, 1.0 / math.sqrt(rows), (rows, columns))

    out = {
        "attention_norm": 1.0 + rng.normal(0.0, 0.1, WIDTH),
        "qkv": 1.5 * matrix(WIDTH, 3 * WIDTH),
        "attention_out": matrix(WIDTH, WIDTH),
        "mlp_norm": 1.0 + rng.normal(0.0, 0.1, WIDTH),
        "mlp_in": matrix(WIDTH, INNER),
        "mlp_out": matrix(INNER, WIDTH),
    }
    if architecture == "gpt2":
        for name in ("attention_norm", "qkv", "attention_out", "mlp_norm", "mlp_in", "mlp_out"):
            size = out[name].shape[-1]
            out[f"{name}_bias"] = rng.normal(0.0, 0.1, size)
    else:
        out["mlp_gate"] = matrix(WIDTH, INNER)
    return out


def shifted(weights: Weights) -> Weights:
    """Return the model with one vector added to all rows of the head: logits + c(context)."""
    rng = np.random.default_rng(5)
    return weights.with_rows(weights.head + rng.normal(0.0, 1.5, WIDTH))


def with_dummy(weights: Weights) -> Weights:
    """Return the model with one more token, which no text holds, of a large logit."""
    rng = np.random.default_rng(6)
    row = weights.head.mean(axis=0) + rng.normal(0.0, 0.2, WIDTH)
    row[CONSTANT] += 2.5
    embedding = np.vstack([weights.embedding, weights.embedding.mean(axis=0)])
    return replace(weights, embedding=embedding, head=np.vstack([weights.head, row]))


def of_order_one(weights: Weights) -> Weights:
    """Return the model without attention and positions: a row depends on the last token alone."""
    layers = []
    for layer in weights.layers:
        changed = dict(layer)
        changed["attention_out"] = np.zeros_like(layer["attention_out"])
        if "attention_out_bias" in layer:
            changed["attention_out_bias"] = np.zeros_like(layer["attention_out_bias"])
        layers.append(changed)
    positions = None if weights.positions is None else np.zeros_like(weights.positions)
    return replace(weights, layers=tuple(layers), positions=positions)


def without_specials(weights: Weights, pieces: Pieces) -> Weights:
    """Return the model that never gives a special token: all mass lies on texts."""
    head = weights.head.copy()
    for token in (pieces.start_id, pieces.end_id):
        head[token] = 0.0
        head[token, CONSTANT] = _NEVER
    return weights.with_rows(head)


def without_start(weights: Weights, pieces: Pieces) -> Weights:
    """Return the model that never gives the start token, but may end."""
    head = weights.head.copy()
    head[pieces.start_id] = 0.0
    head[pieces.start_id, CONSTANT] = _NEVER
    return weights.with_rows(head)


def unigram(weights: Weights, logits: Array) -> Weights:
    """Return the model with these logits after every context, exact to the last bit.

    All but the constant coordinate of the last state is 0, and that one is 1.
    """
    if weights.architecture == "gpt2":
        norm, bias = np.zeros(WIDTH), np.zeros(WIDTH)
        bias[CONSTANT] = 1.0
        head = np.zeros_like(weights.head)
        head[:, CONSTANT] = logits
        return replace(weights, norm=norm, norm_bias=bias, head=head)
    # One state for every token, so large that what its norm adds is nothing beside it.
    layers = tuple(
        {
            name: np.zeros_like(value) if name.endswith("_out") else value
            for name, value in layer.items()
        }
        for layer in weights.layers
    )
    embedding = np.full_like(weights.embedding, 1024.0)
    head = np.zeros_like(weights.head)
    head[:, CONSTANT] = logits
    return replace(weights, embedding=embedding, layers=layers, norm=np.ones(WIDTH), head=head)


def tensors(weights: Weights) -> dict[str, Any]:
    """Return the arrays under the names that transformers reads."""
    if weights.architecture == "gpt2":
        return _gpt2_names(weights)
    return _llama_names(weights)


def _gpt2_names(weights: Weights) -> dict[str, Any]:
    assert weights.positions is not None, "GPT-2 has positions"
    names = {
        "attention_norm": "ln_1",
        "qkv": "attn.c_attn",
        "attention_out": "attn.c_proj",
        "mlp_norm": "ln_2",
        "mlp_in": "mlp.c_fc",
        "mlp_out": "mlp.c_proj",
    }
    out: dict[str, Any] = {
        "transformer.wte.weight": weights.embedding,
        "transformer.wpe.weight": weights.positions,
        "transformer.ln_f.weight": weights.norm,
        "transformer.ln_f.bias": weights.norm_bias,
        "lm_head.weight": weights.head,
    }
    for place, layer in enumerate(weights.layers):
        for ours, theirs in names.items():
            out[f"transformer.h.{place}.{theirs}.weight"] = layer[ours]
            out[f"transformer.h.{place}.{theirs}.bias"] = layer[f"{ours}_bias"]
    return out


def _llama_names(weights: Weights) -> dict[str, Any]:
    out: dict[str, Any] = {
        "model.embed_tokens.weight": weights.embedding,
        "model.norm.weight": weights.norm,
        "lm_head.weight": weights.head,
    }
    for place, layer in enumerate(weights.layers):
        at = f"model.layers.{place}"
        query, key, value = np.split(layer["qkv"], 3, axis=1)
        out |= {
            f"{at}.input_layernorm.weight": layer["attention_norm"],
            f"{at}.self_attn.q_proj.weight": query.T,
            f"{at}.self_attn.k_proj.weight": key.T,
            f"{at}.self_attn.v_proj.weight": value.T,
            f"{at}.self_attn.o_proj.weight": layer["attention_out"].T,
            f"{at}.post_attention_layernorm.weight": layer["mlp_norm"],
            f"{at}.mlp.gate_proj.weight": layer["mlp_gate"].T,
            f"{at}.mlp.up_proj.weight": layer["mlp_in"].T,
            f"{at}.mlp.down_proj.weight": layer["mlp_out"].T,
        }
    return out
