"""Whether a packed run is right beyond its architecture's thresholds: tried on a small copy."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import cast

import numpy as np
import torch
from jaxtyping import Float64
from torch import nn
from transformers import PreTrainedModel

from logpr.models._probe import probe_pack
from logpr.models.hf.cached import Cached
from logpr.models.hf.decoder import Decoder
from logpr.models.hf.forest import Forest
from logpr.models.hf.fused import shorter_forwards
from logpr.models.hf.invariant import Invariant
from logpr.models.hf.mask import Masked
from logpr.models.hf.packed import Packed
from logpr.models.hf.pieces import Executor
from logpr.models.hf.plain import Plain
from logpr.models.hf.shrunk import LOW, shrunk
from logpr.models.hf.spans import Spanned
from logpr.models.hf.trunk import Trunk
from logpr.tokens.pack import Pack

_TOLERANCES = {torch.float64: 1e-5, torch.float32: 1e-3}
"""By the dtype of the copy. In float64 only islands of float32 are inexact: anything more is
another computation. Some layers (grouped products of experts) know no float64."""

_EFFECT = 1e-1
"""A threshold that changes the states by less than this has not been seen at work."""

_EDGES = 256

_NEVER = 2**16
"""Tokens that no path of the trial has."""


def agrees_beyond(run: Forest | Masked | Cached, trunk: Trunk) -> str | None:
    """Return None where the run is right beyond the thresholds, else the reason for doubt.

    Args:
        run: on the model itself, for which it is right below them.
        trunk: of the model.
    """
    doubt = ""
    for dtype, tolerance in _TOLERANCES.items():
        if dtype == torch.float64 and trunk.device.type == "cuda":
            continue  # attention would not go by blocks, as it does in the model itself
        try:
            effect, difference = _trial(run, trunk, dtype)
        except Exception as error:  # noqa: BLE001 - architectures fail in their own ways
            doubt = (
                f"a small copy of the architecture does not run ({type(error).__name__}: {error})"
            )
            continue
        if not effect > _EFFECT:
            return (
                f"a small copy of the architecture shows no effect of a threshold of {LOW} tokens"
            )
        if not difference <= tolerance:
            return f"on a small copy with a threshold of {LOW} tokens it is {difference:.2g} off"
        return None
    return doubt


def _trial(run: Forest | Masked | Cached, trunk: Trunk, dtype: torch.dtype) -> tuple[float, float]:
    """Return how much the threshold changes the states of the copy, and how far off the run is."""
    low, high = (
        Trunk(_there(shrunk(trunk.model, tokens, dtype), trunk.device), whole=trunk.whole)
        for tokens in (LOW, _NEVER)
    )
    pack = probe_pack(64, 48, edges=_EDGES, seed=1)
    true = _states(Plain(low), pack)
    effect = float(np.abs(true - _states(Plain(high), pack)).max())
    trial: Executor
    if isinstance(run, Forest):
        shorter = shorter_forwards(low.model) if run.trunk.shorter else ()
        layers = low.config.num_hidden_layers
        small = replace(run, trunk=replace(low, shorter=shorter), layers=layers)
        # Keys are held from span to span.
        trial = Invariant(small) if run.tiled else Spanned(small, budget=len(pack) // 3 + 1)
    elif isinstance(run, Cached):
        trial = replace(run, trunk=Decoder(low), plain=Plain(low))
    else:
        trial = Packed("small", replace(run, trunk=low), Plain(low), budget=_NEVER)
    found = _states(trial, pack)
    return effect, float(np.abs(true - found).max())


def _there(model: nn.Module, device: torch.device) -> PreTrainedModel:
    return cast("PreTrainedModel", model.to(device))


@contextmanager
def low_blocks(model: nn.Module) -> Iterator[None]:
    """Let recurrent layers that read tokens in blocks read them in blocks of LOW inside the block.

    By design they compute the same; a state that is not handed on from block to block would show
    in a trial of few tokens.

    Args:
        model: of any kind; most have no such layers.
    """
    own = [
        (module, module.chunk_size)
        for module in model.modules()
        if isinstance(getattr(module, "chunk_size", None), int)
    ]
    for module, _ in own:
        module.chunk_size = LOW  # type: ignore[assignment] # no parameter: an int
    try:
        yield
    finally:
        for module, size in own:
            module.chunk_size = size


def _states(executor: Executor, pack: Pack) -> Float64[np.ndarray, "edges width"]:
    """Return the state that each edge is read from."""
    rows: list[torch.Tensor] = []
    edges: list[np.ndarray] = []
    for states in executor.states(pack):
        rows.append(states.rows[torch.from_numpy(states.row_of_edge)].double())
        edges.append(states.edges)
    order = np.argsort(np.concatenate(edges))
    out: Float64[np.ndarray, "edges width"] = torch.cat(rows).cpu().numpy()[order]
    return out
