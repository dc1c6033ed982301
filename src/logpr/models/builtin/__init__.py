"""Llama-type models in NumPy: the shipped model's runtime, and the oracle that others are held to.

Rooms, from the ground up: `config` (what the folder says), `weights` (safetensors to arrays),
`rotary`, `plain` (one sequence, slow and obvious), `packed` (a pack in depth-first chunks),
`passes` and `steps` (a search, many beginnings at once), `model` (the seam).
"""

from __future__ import annotations

from logpr.models.builtin.config import runs_in_numpy
from logpr.models.builtin.model import LlamaModel, open_builtin

__all__ = ["LlamaModel", "open_builtin", "runs_in_numpy"]
