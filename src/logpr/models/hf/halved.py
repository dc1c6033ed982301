"""A copy of a module in half precision, as long as there is room for one."""

from __future__ import annotations

import copy
from pathlib import Path

import torch
from transformers import PreTrainedModel

from logpr.errors import ModelLoadError
from logpr.models.hf.memory import out_of_memory

_SHARE = 0.5
"""Of the free memory, at most: what runs in the copy needs some too."""
_MEMORY = Path("/proc/meminfo")


def halved(model: PreTrainedModel, dtype: torch.dtype) -> PreTrainedModel:
    """Return a copy with its weights in a half type; those of that type already are shared.

    Buffers (positions, masks) stay as they are, as they do where a checkpoint is loaded in half
    precision.

    Args:
        model: keeps its own weights.
        dtype: bfloat16 or float16.

    Raises:
        ModelLoadError: the copy would take more than half of the free memory.
    """
    rounded = [
        weight
        for weight in model.parameters()
        if weight.dtype.is_floating_point and weight.dtype != dtype
    ]
    needs = sum(weight.numel() for weight in rounded) * dtype.itemsize
    free = free_bytes(next(model.parameters()).device)
    if free is not None and needs > _SHARE * free:
        msg = (
            f"a copy of its weights in {str(dtype).removeprefix('torch.')} takes "
            f"{needs / 2**30:.2g} GiB, and {free / 2**30:.2g} GiB are free"
        )
        raise ModelLoadError(msg)
    # What deepcopy finds in its memo it does not copy: no weight is there twice in full.
    memo: dict[int, object] = {id(weight): weight for weight in model.parameters()}
    try:
        for weight in rounded:
            memo[id(weight)] = torch.nn.Parameter(weight.detach().to(dtype), requires_grad=False)
        return copy.deepcopy(model, memo)
    except Exception as error:
        if not out_of_memory(error):
            raise
        msg = f"memory ran out over a copy of its weights in {dtype}"
        raise ModelLoadError(msg) from error


def free_bytes(device: torch.device) -> int | None:
    """Return the memory that is free where a model is; None where nobody says.

    Args:
        device: of its weights.
    """
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return int(free)
    if device.type != "cpu" or not _MEMORY.is_file():
        return None
    for line in _MEMORY.read_text().splitlines():
        name, _, rest = line.partition(":")
        if name == "MemAvailable":
            return int(rest.split()[0]) * 1024
    return None
