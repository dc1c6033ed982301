"""What depends on where a model runs: how much goes through it at once, how fast, how exactly."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from logpr.models._speed import SIDE, matmul_flops
from logpr.models.hf.products import linear
from logpr.models.hf.spans import BUDGET, KEPT_BYTES
from logpr.models.hf.trunk import Trunk, embedding

_LEAST_ROWS = 1024
_MOST_ROWS = 8192
"""Rows of a span on CUDA: enough for its matrix products, and for many blocks of attention."""

_SHARE = 4
"""Of the memory that is free, a fourth for what a span needs and a fourth for what is held: the
rest is for the head, for prefixes of earlier calls, and for others."""

_LIVE = 8
"""Rows as wide as the model that live at once in a layer: states, queries, outputs, some of them
in float32; and three of the wider kind inside."""


_CUDA_SIDE = 4096
_CUDA_TIMES = 10
"""Of the product that rates are measured on: smaller or single ones measure how fast a program can
call the device, and wait for it."""


@dataclass(frozen=True, slots=True)
class Budgets:
    """Tokens of a forward pass, and bytes of keys and values held of the prefix in work."""

    rows: int
    kept_bytes: int


def budgets(trunk: Trunk) -> Budgets:
    """Return how much goes through a model at once: on CUDA by the memory that is free.

    Args:
        trunk: of the model, on its device.
    """
    device = trunk.device
    if device.type != "cuda":
        return Budgets(BUDGET, KEPT_BYTES)
    return within(_free(device) // _SHARE, _row_bytes(trunk))


def within(room: int, row_bytes: int) -> Budgets:
    """Return the budgets for a device with memory of its own.

    Args:
        room: bytes for what a span needs, and as many for what is held.
        row_bytes: that a token needs on its way through a layer.
    """
    rows = _LEAST_ROWS
    while 2 * rows * row_bytes <= room and rows < _MOST_ROWS:
        rows *= 2
    return Budgets(rows, max(room, 1))


def _free(device: torch.device) -> int:
    """Return the free memory of a device, with what torch has set aside and does not use."""
    free, _ = torch.cuda.mem_get_info(device)
    idle = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return int(free + idle)


def _row_bytes(trunk: Trunk) -> int:
    config = trunk.config
    width = embedding(trunk.model).shape[1]
    inner = getattr(config, "intermediate_size", None) or 4 * width
    # An expert layer runs several of its inner layers for a token.
    inner *= getattr(config, "num_experts_per_tok", None) or 1
    return (_LIVE * width + 3 * int(inner)) * max(trunk.model.dtype.itemsize, 4)


def matmul_rate(dtype: torch.dtype, device: torch.device) -> float:
    """Return the FLOP/s of a plain matmul of squares.

    Args:
        dtype: of the squares.
        device: where they are.
    """
    cuda = device.type == "cuda"
    side, times = (_CUDA_SIDE, _CUDA_TIMES) if cuda else (SIDE, 1)
    square = torch.ones((side, side), dtype=dtype, device=device)

    def multiply() -> None:
        for _ in range(times):
            linear(square, square)
        if cuda:
            torch.cuda.synchronize(device)

    with exact_float32():
        return matmul_flops(multiply, side=side, times=times)


@contextmanager
def exact_float32() -> Iterator[None]:
    """Multiply float32 by float32 in float32 inside the block, whatever the process has chosen.

    torch does so by default. Programs may have chosen otherwise, for speed: TF32 has 10 binary
    digits and bfloat16 has 7, float32 has 23; nothing in the result would say so. (The switches
    belong to the process: while the block runs, other threads compute in float32, too. One that
    switches inside the block is not noticed.)
    """
    try:
        chosen = torch.get_float32_matmul_precision()
    except RuntimeError:
        # Chosen per library, by the newer switches: the older one does not answer then.
        with _per_library():
            yield
        return
    if chosen == "highest":
        yield
        return
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(chosen)


@contextmanager
def _per_library() -> Iterator[None]:
    mkldnn: Any = torch.backends.mkldnn
    switches = [torch.backends.cuda.matmul, mkldnn.matmul]
    chosen = [switch.fp32_precision for switch in switches]
    for switch in switches:
        switch.fp32_precision = "ieee"
    try:
        yield
    finally:
        for switch, one in zip(switches, chosen, strict=True):
            switch.fp32_precision = one
