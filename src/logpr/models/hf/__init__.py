"""Hugging Face transformers: causal language models, run packed where a probe finds that right.

Rooms, from the ground up: `trunk` (what is called), `pieces` (packs cut to size), `head` (states to
scores), `plain`, `forest` and `mask` (the ways to run a pack), `shrunk`, `probe` (which of them are
right), `precision` (what the dtype costs), `model`, `loading`. Encoder–decoder models have
`sourced` (packs source by source), `encdec_probe` and `encdec`. This face loads no torch.
"""

from __future__ import annotations

from logpr.models._options import LoadOptions
from logpr.models.base import Model

__all__ = ["open_hf"]


def open_hf(rest: str, options: LoadOptions) -> Model:
    """Return the model of a local folder or hub id.

    Args:
        rest: the folder or id.
        options: all are taken.

    Raises:
        ModelLoadError: it is incomplete, corrupt, or no language model that goes on from x.
        UnknownNameError: a dtype or executor that does not exist.
    """
    from logpr.models.hf.loading import load_folder  # noqa: PLC0415 - torch comes with it

    return load_folder(rest, options)
