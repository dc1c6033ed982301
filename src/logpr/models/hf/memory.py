"""Telling a lack of memory from other failures."""

from __future__ import annotations

import torch

_WORDS = ("out of memory", "not enough memory", "can't allocate memory", "cannot allocate memory")


def out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that memory ran out, and frees what torch has set aside if so.

    Args:
        error: whatever a forward pass raised.
    """
    lacking = isinstance(error, (MemoryError, torch.OutOfMemoryError)) or (
        # CPU allocators raise a plain RuntimeError.
        isinstance(error, RuntimeError) and any(word in str(error).lower() for word in _WORDS)
    )
    if lacking and torch.cuda.is_available():
        torch.cuda.empty_cache()
    return lacking
