"""Layers by shorter ways than transformers spells them out in: fewer passes over memory.

    gelu_tanh(x) = x/2 · (1 + tanh(√(2/π) · (x + 0.044715 x³)))         one kernel
    rms_norm(x)  = w · x / √(mean(x²) + ε)                              written over its own result
    mlp(x)       = W_down (silu(W_gate x) · (W_up x))                   likewise
    rotary(x)    = x · cos + rotate_half(x) · sin                       without the rotated copy
    linear(x)    = W x + b                                              by the faster library

Each kind of layer is replaced only where its own code gives the same numbers on random input (of
the two GELU classes: by their definition); nothing is changed outside of the block that asks for
it, and what comes out of the whole is held against the model's own code at load, as ever. Only in
float32: lower dtypes round in places of their own.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FunctionType, MethodType
from typing import Any

import torch
from torch import nn
from transformers.activations import FastGELUActivation, NewGELUActivation
from transformers.pytorch_utils import Conv1D

from logpr.models.hf.products import linear, takes

Forward = Callable[..., Any]

_CLOSE = 1e-5
"""Of the size of what a layer gives."""

_ROWS = 7

_ROTARY = "apply_rotary_pos_emb"
"""What transformers calls the function, in the module of each architecture that has one."""


def shorter_forwards(model: nn.Module) -> tuple[tuple[nn.Module, Forward], ...]:
    """Return the layers of a model that have a shorter way, and that way.

    Args:
        model: on its device, in its dtype.
    """
    out: list[tuple[nn.Module, Forward]] = []
    rotary: dict[Forward, Forward | None] = {}
    whole = {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    for module in model.modules():
        if "forward" in vars(module):
            continue  # a caller, or a library, has put a way of its own there
        if type(module) in (NewGELUActivation, FastGELUActivation):
            if whole:
                out.append((module, _gelu_tanh))
            continue
        dtypes = {parameter.dtype for parameter in module.parameters()}
        if dtypes != {torch.float32}:
            continue
        made = _rms_norm(module) or _gated(module) or _product(module)
        if made is not None and _same(module, *made):
            out.append((module, made[0]))
        own = inspect.unwrap(type(module).forward)
        if _ROTARY in getattr(own, "__globals__", {}) and _ROTARY in own.__code__.co_names:
            if own not in rotary:
                rotary[own] = _with_rotary(own)
            found = rotary[own]
            if found is not None:
                out.append((module, MethodType(found, module)))
    return tuple(out)


@contextmanager
def running(forwards: tuple[tuple[nn.Module, Forward], ...]) -> Iterator[None]:
    """Run layers by their shorter way inside the block.

    Args:
        forwards: from `shorter_forwards`.
    """
    for module, forward in forwards:
        vars(module)["forward"] = forward
    try:
        yield
    finally:
        for module, _ in forwards:
            vars(module).pop("forward", None)


def _same(module: nn.Module, forward: Forward, width: int) -> bool:
    device = next(module.parameters()).device
    given = _draw((1, _ROWS, width)).to(device)
    try:
        with torch.inference_mode():
            own, ours = module(given), forward(given.clone())
    except Exception:  # noqa: BLE001 - a layer that takes something else has no shorter way
        return False
    return _close(own, ours)


def _close(own: object, ours: torch.Tensor) -> bool:
    if not isinstance(own, torch.Tensor) or own.shape != ours.shape:
        return False
    return bool((own - ours).abs().max() <= _CLOSE * own.abs().max())


def _draw(shape: tuple[int, ...], *, seed: int = 0) -> torch.Tensor:
    """Return random numbers on the host, whatever torch's defaults are."""
    generator = torch.Generator("cpu").manual_seed(seed)
    return torch.randn(shape, generator=generator, device="cpu", dtype=torch.float32)


def _gelu_tanh(given: torch.Tensor) -> torch.Tensor:
    return nn.functional.gelu(given, approximate="tanh")


def _rms_norm(module: nn.Module) -> tuple[Forward, int] | None:
    weight = getattr(module, "weight", None)
    epsilon = getattr(module, "variance_epsilon", getattr(module, "eps", None))
    vector = isinstance(weight, nn.Parameter) and weight.dim() == 1
    alone = vector and len(list(module.parameters())) == 1
    if "Norm" not in type(module).__name__ or not alone or not isinstance(epsilon, float):
        return None
    assert isinstance(weight, nn.Parameter), "as was looked at"

    def forward(given: torch.Tensor) -> torch.Tensor:
        size = torch.linalg.vecdot(given, given, dim=-1).div_(given.shape[-1])
        out: torch.Tensor = (given * size.add_(epsilon).rsqrt_()[..., None]).mul_(weight)
        return out

    return forward, len(weight)


def _gated(module: nn.Module) -> tuple[Forward, int] | None:
    gate = getattr(module, "gate_proj", None)
    up = getattr(module, "up_proj", None)
    down = getattr(module, "down_proj", None)
    if not (
        isinstance(gate, nn.Linear) and isinstance(up, nn.Linear) and isinstance(down, nn.Linear)
    ):
        return None
    if not _is_silu(getattr(module, "act_fn", None)):
        return None

    def forward(given: torch.Tensor) -> torch.Tensor:
        inner = nn.functional.silu(gate(given), inplace=True)
        out: torch.Tensor = down(inner.mul_(up(given)))
        return out

    return forward, gate.in_features


def _is_silu(activation: object) -> bool:
    """Return whether a function is SiLU, far out too: some are cut off there."""
    if not callable(activation):
        return False
    points = torch.linspace(-60, 60, 241, device="cpu", dtype=torch.float32)
    try:
        return _close(activation(points.clone()), nn.functional.silu(points))
    except Exception:  # noqa: BLE001 - whatever it is, it is another function
        return False


def _product(module: nn.Module) -> tuple[Forward, int] | None:
    if not isinstance(module, (nn.Linear, Conv1D)) or not takes(module.weight):
        return None
    by_row = isinstance(module, Conv1D)

    def forward(given: torch.Tensor) -> torch.Tensor:
        weight = module.weight.T if by_row else module.weight
        return linear(given, weight, module.bias)

    return forward, module.weight.shape[0 if by_row else 1]


def _with_rotary(own: FunctionType) -> Forward | None:
    """Return a layer's forward with our rotary function in it, if that is the same as its own."""
    theirs = own.__globals__[_ROTARY]
    query, key = _draw((1, 4, _ROWS, 8)), _draw((1, 2, _ROWS, 8), seed=1)
    half = _draw((1, _ROWS, 4))
    angles = torch.cat([half, half], dim=-1)
    cos, sin = angles.cos(), angles.sin()
    try:
        found = theirs(query, key, cos, sin)
    except Exception:  # noqa: BLE001 - a function of another kind
        return None
    ours = _rotary(query, key, cos, sin)
    if len(found) != 2 or not all(map(_close, found, ours)):  # noqa: PLR2004 - query and key
        return None
    made = FunctionType(
        own.__code__,
        {**own.__globals__, _ROTARY: _rotary},
        own.__name__,
        own.__defaults__,
        own.__closure__,
    )
    made.__kwdefaults__ = own.__kwdefaults__
    return made


def _rotary(
    query: torch.Tensor,
    key: torch.Tensor,
    cos: torch.Tensor,
    sin: torch.Tensor,
    *_: object,
    unsqueeze_dim: int = 1,
) -> tuple[torch.Tensor, torch.Tensor]:
    cos, sin = cos.unsqueeze(unsqueeze_dim), sin.unsqueeze(unsqueeze_dim)
    width = cos.shape[-1]
    half = width // 2
    low, high = sin[..., :half], sin[..., half:]

    def turned(given: torch.Tensor) -> torch.Tensor:
        if given.shape[-1] == width:
            out = given * cos
        else:  # the rest of a head is not turned
            out = given.clone()
            out[..., :width].mul_(cos)
        out[..., :half].addcmul_(given[..., half:width], low, value=-1)
        out[..., half:width].addcmul_(given[..., :half], high)
        return out

    return turned(query), turned(key)
