"""GGUF files as models, run by llama.cpp."""

from __future__ import annotations

from logpr.models.gguf.model import GgufModel, open_gguf

__all__ = ["GgufModel", "open_gguf"]
