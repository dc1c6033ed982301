"""What the running dtype costs and what it gains.

Costs: the same weights in float32, widened a layer at a time. Gains: the rate of a matmul.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from logpr.models._speed import best_seconds
from logpr.models.hf.products import linear

_ROWS = 1024
"""Of the matmul that rates are measured on: a piece of a pack has about as many tokens."""


@dataclass(frozen=True, slots=True)
class Rates:
    """FLOP/s of [rows, inner] × [inner, outer] in float32 and in bfloat16."""

    shape: tuple[int, int, int]
    float32: float
    bfloat16: float

    @property
    def gain(self) -> float:
        """Return how many times faster bfloat16 is."""
        return self.bfloat16 / self.float32


@dataclass(frozen=True, slots=True)
class Decision:
    """What dtype='auto' came to, and on what grounds.

    `tokens_per_second` is of float32 and of bfloat16 on the probe's trie, None where the matmul had
    settled it.
    """

    ranks_in: Literal["bfloat16", "float32"]
    reason: str
    rates: Rates
    tokens_per_second: tuple[float, float] | None = None


def matmul_rates(model: nn.Module) -> Rates:
    """Return the rates of the largest matmul in the layers of a model, where the model is.

    Args:
        model: any with a weight of two axes outside its embeddings; of the others, a square of 1.
    """
    shape = max(
        (
            (weight.shape[1], weight.shape[0])
            for module in model.modules()
            if isinstance(module, nn.ModuleList)
            for weight in module.parameters()
            if weight.dim() == 2  # noqa: PLR2004 - a matrix
        ),
        key=lambda sizes: sizes[0] * sizes[1],
        default=(1, 1),
    )
    device = next(model.parameters()).device
    seconds = {}
    for dtype in (torch.float32, torch.bfloat16):
        rows = torch.ones((_ROWS, shape[0]), dtype=dtype, device=device)
        weight = torch.ones((shape[1], shape[0]), dtype=dtype, device=device)
        seconds[dtype] = best_seconds(_product(rows, weight), repeat=3)
    work = 2.0 * _ROWS * shape[0] * shape[1]
    return Rates((_ROWS, *shape), work / seconds[torch.float32], work / seconds[torch.bfloat16])


def _product(rows: torch.Tensor, weight: torch.Tensor):  # type: ignore[no-untyped-def] # noqa: ANN202 - a closure
    def multiply() -> None:
        linear(rows, weight)
        if rows.is_cuda:
            torch.cuda.synchronize()

    return multiply


def is_low(dtype: torch.dtype) -> bool:
    """Return whether a dtype has fewer digits than float32.

    Args:
        dtype: of weights.
    """
    return dtype.is_floating_point and torch.finfo(dtype).bits < torch.finfo(torch.float32).bits


@contextmanager
def widened(model: nn.Module) -> Iterator[None]:
    """Compute in float32 inside the block, with the model's own weights.

    bfloat16 and float16 widen without loss. Each decoder layer is widened before it runs and
    narrowed after, so the memory above the model's own is that of one layer.

    Args:
        model: its weights are the same bits afterwards.
    """
    hooks = []
    wide: list[dict[nn.Parameter, torch.Tensor]] = []
    for unit in _units(model):
        held: dict[nn.Parameter, torch.Tensor] = {}
        wide.append(held)
        hooks.append(unit.register_forward_pre_hook(_widen(held)))
        hooks.append(unit.register_forward_hook(_narrow(held), always_call=True))
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
        # torch calls no hook after an interrupt, and a layer may have been at work.
        for held in wide:
            _put_back(held)


def _widen(held: dict[nn.Parameter, torch.Tensor]):  # type: ignore[no-untyped-def] # noqa: ANN202 - torch's hook type
    def hook(module: nn.Module, _args: object) -> None:
        for parameter in module.parameters():
            if is_low(parameter.dtype):
                held[parameter] = parameter.data
                parameter.data = parameter.data.float()

    return hook


def _narrow(held: dict[nn.Parameter, torch.Tensor]):  # type: ignore[no-untyped-def] # noqa: ANN202 - torch's hook type
    def hook(_module: nn.Module, _args: object, _out: object) -> None:
        _put_back(held)

    return hook


def _put_back(held: dict[nn.Parameter, torch.Tensor]) -> None:
    for parameter, data in held.items():
        parameter.data = data
    held.clear()


def _units(model: nn.Module) -> Iterator[nn.Module]:
    """Yield modules that together hold every parameter.

    They are the entries of each list of layers, and outside of such lists each module with
    parameters of its own.
    """
    if isinstance(model, nn.ModuleList):
        yield from model
        return
    if next(model.parameters(recurse=False), None) is not None:
        yield model
        return
    for child in model.children():
        yield from _units(child)
