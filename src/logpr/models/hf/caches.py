"""What transformers' networks keep of the tokens they have read, duplicated row by row.

Its classes are many (keys and values, convolutions, recurrent states), with one method in common
that picks rows of a batch. That changes the object it is called on, so an object of the same
tensors is made first. The rows picked are copies: layers that write into their states in place
write into those.
"""

from __future__ import annotations

import copy
from typing import cast

import numpy as np
import torch
from jaxtyping import Int64
from transformers.cache_utils import (
    Cache,
    CacheLayerMixin,
    DummyLayer,
    LinearAttentionCacheLayerMixin,
)

_OBJECTS = (Cache, CacheLayerMixin, DummyLayer, LinearAttentionCacheLayerMixin)


def selected(cache: object, rows: Int64[np.ndarray, " batch"]) -> object:
    """Return a cache whose row i is row `rows[i]` of `cache`, which stays as it is.

    Args:
        cache: of transformers, or tensors in lists, tuples and dicts, each [rows, …].
        rows: any of them, in any order, as often as wanted.

    Raises:
        TypeError: it is of a kind that cannot be duplicated.
    """
    chosen = torch.from_numpy(rows)
    with torch.inference_mode():
        if isinstance(cache, Cache):
            out = cast("Cache", _twin(cache))
            out.reorder_cache(cast("torch.LongTensor", chosen))
            return out
        return _picked(cache, chosen)


def _picked(cache: object, rows: torch.Tensor) -> object:
    if isinstance(cache, torch.Tensor):
        return cache.index_select(0, rows.to(cache.device))
    if isinstance(cache, list | tuple):
        return type(cache)(_picked(one, rows) for one in cache)
    if isinstance(cache, dict):
        return {key: _picked(one, rows) for key, one in cache.items()}
    msg = f"a cache of the type {type(cache).__name__} cannot be duplicated"
    raise TypeError(msg)


def _twin(value: object) -> object:
    """Return an object of the same tensors that can be changed without changing this one."""
    if isinstance(value, list | tuple):
        return type(value)(_twin(one) for one in value)
    if isinstance(value, dict):
        return {key: _twin(one) for key, one in value.items()}
    if isinstance(value, _OBJECTS):
        out = copy.copy(value)
        for name, one in vars(value).items():
            setattr(out, name, _twin(one))
        return out
    return value


def bytes_of(cache: object) -> int:
    """Return how many bytes the tensors of a cache have.

    Args:
        cache: what `selected` takes.
    """
    if isinstance(cache, torch.Tensor):
        return cache.nbytes
    if isinstance(cache, list | tuple):
        return sum(bytes_of(one) for one in cache)
    if isinstance(cache, dict):
        return sum(bytes_of(one) for one in cache.values())
    if isinstance(cache, _OBJECTS):
        return sum(bytes_of(one) for one in vars(cache).values())
    return 0
