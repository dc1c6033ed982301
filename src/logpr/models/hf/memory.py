"""Telling a lack of memory from other failures."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from logpr.errors import ModelOutputError

_WORDS = (
    "out of memory",
    "not enough memory",
    "can't allocate memory",
    "cannot allocate memory",
    "cublas_status_alloc_failed",
)


@contextmanager
def named_lack() -> Iterator[None]:
    """Raise ModelOutputError for a lack of memory inside the block, with the ways out.

    Raises:
        ModelOutputError: memory ran out.
    """
    try:
        yield
    except Exception as error:
        if not out_of_memory(error):
            raise
        msg = (
            "memory ran out: ask for fewer texts at once, or shorter ones, give pack_tokens=… to "
            "load, or take a smaller model or another dtype"
        )
        raise ModelOutputError(msg) from error


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
