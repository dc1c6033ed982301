"""The closed form: a forward pass in float64, in NumPy alone, of both architectures.

    x ← x + attention(norm(x)),   x ← x + mlp(norm(x)),   u = norm(x) · headᵀ

Written for reading, not for speed; it shares nothing with any backend.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from jaxtyping import Float64, Int64

from logpr._types import FloatTokensVocab
from logpr.conformance.toy.weights import HEADS, WIDTH, Array, Weights

_EPS = 1e-5
_THETA = 10_000.0


def logits(
    weights: Weights, ids: Int64[np.ndarray, "prefixes tokens"]
) -> Float64[np.ndarray, "prefixes tokens vocab"]:
    """Return the logits after every token of sequences of one length.

    Args:
        weights: the toy's.
        ids: the sequences.
    """
    x = weights.embedding[ids]
    if weights.positions is not None:
        x = x + weights.positions[: ids.shape[1]]
    for layer in weights.layers:
        x = x + _attention(weights, layer, _normed(weights, layer, "attention_norm", x))
        x = x + _mlp(weights, layer, _normed(weights, layer, "mlp_norm", x))
    last = {"norm": weights.norm, "norm_bias": weights.norm_bias}
    out: Array = _normed(weights, last, "norm", x) @ weights.head.T
    return out


def logprobs(rows: FloatTokensVocab) -> FloatTokensVocab:
    """Return u − logsumexp(u) of each row."""
    top = rows.max(axis=-1, keepdims=True)
    out: FloatTokensVocab = rows - top - np.log(np.exp(rows - top).sum(axis=-1, keepdims=True))
    return out


def _normed(weights: Weights, layer: Mapping[str, Array], name: str, x: Array) -> Array:
    if weights.architecture == "llama":
        mean_square = np.mean(x * x, axis=-1, keepdims=True)
        scaled: Array = x / np.sqrt(mean_square + _EPS) * layer[name]
        return scaled
    centred = x - x.mean(axis=-1, keepdims=True)
    variance = np.mean(centred * centred, axis=-1, keepdims=True)
    out: Array = centred / np.sqrt(variance + _EPS) * layer[name] + layer[f"{name}_bias"]
    return out


def _attention(weights: Weights, layer: Mapping[str, Array], x: Array) -> Array:
    size = WIDTH // HEADS
    length = x.shape[1]
    q, k, v = np.split(_linear(layer, "qkv", x), 3, axis=-1)
    future = np.triu(np.ones((length, length), dtype=np.bool_), k=1)
    heads = []
    for head in range(HEADS):
        query, key, value = (part[..., head * size : (head + 1) * size] for part in (q, k, v))
        if weights.architecture == "llama":
            query, key = _turned(query), _turned(key)
        scores = query @ np.swapaxes(key, 1, 2) / math.sqrt(size)
        scores[:, future] = -np.inf
        share = np.exp(scores - scores.max(axis=-1, keepdims=True))
        heads.append(share / share.sum(axis=-1, keepdims=True) @ value)
    return _linear(layer, "attention_out", np.concatenate(heads, axis=-1))


def _turned(x: Array) -> Array:
    half = x.shape[-1] // 2
    turns = np.arange(x.shape[1])[:, None] / _THETA ** (np.arange(half) / half)
    first, second = x[..., :half], x[..., half:]
    cos, sin = np.cos(turns), np.sin(turns)
    return np.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)


def _mlp(weights: Weights, layer: Mapping[str, Array], x: Array) -> Array:
    inner = _linear(layer, "mlp_in", x)
    if weights.architecture == "llama":
        gate = _linear(layer, "mlp_gate", x)
        return _linear(layer, "mlp_out", gate / (1.0 + np.exp(-gate)) * inner)
    tanh = np.tanh(math.sqrt(2.0 / math.pi) * (inner + 0.044715 * inner**3))
    return _linear(layer, "mlp_out", 0.5 * inner * (1.0 + tanh))


def _linear(layer: Mapping[str, Array], name: str, x: Array) -> Array:
    out: Array = x @ layer[name]
    bias = layer.get(f"{name}_bias")
    return out if bias is None else out + bias
