"""What the trials at load came to: provenance, or the error that refuses the model."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from transformers import PreTrainedModel

from logpr._values import ModelProvenance
from logpr.errors import ModelLoadError, ModelOutputError
from logpr.models._versions import library_versions
from logpr.models.hf.probe import Choice

_DIGESTED = 2**16
"""Bytes of each tensor in the digest of a model that comes from no file."""


@contextmanager
def on_random_tokens(model: PreTrainedModel) -> Iterator[None]:
    """Say of a failure inside the block that it came at load, and what may help.

    Args:
        model: that is tried.

    Raises:
        ModelOutputError: its forward pass gives no numbers.
    """
    try:
        yield
    except ModelOutputError as error:
        msg = (
            f"{type(model).__name__} in {model.dtype}, on random tokens at load: {error}; "
            f"its weights are damaged, or need dtype='float32'"
        )
        raise ModelOutputError(msg) from error


def check_asked(executor: str | None, choice: Choice, model: PreTrainedModel) -> None:
    """Raise where another executor was taken than the one that was asked for.

    Args:
        executor: that was asked for; None leaves it to the probe.
        choice: of the probe.
        model: for the message.

    Raises:
        ModelLoadError: the executor is not right for the model.
    """
    if executor in (None, choice.executor.name):
        return
    reason = next(one.reason for one in choice.tried if one.executor == executor)
    msg = (
        f"executor={executor!r} is not right for {type(model).__name__}: {reason}; leave it out, "
        f"or give executor='plain'"
    )
    raise ModelLoadError(msg)


def provenance_of(
    model: PreTrainedModel,
    choice: Choice,
    *,
    name: str | None,
    digest: str | None,
    tokenizer_digest: str | None,
    device: torch.device,
    executor: str,
) -> ModelProvenance:
    """Return what the model is, how it runs, and its measured noise.

    Args:
        model: as it runs.
        choice: of the probe.
        name: the class by default.
        digest: of the weights; computed from the tensors by default.
        tokenizer_digest: None without a tokenizer.
        device: where ids are put.
        executor: what the way it runs is called.
    """
    return ModelProvenance(
        model=type(model).__name__ if name is None else name,
        backend="transformers",
        weights_digest=_tensors_digest(model) if digest is None else digest,
        tokenizer_digest=tokenizer_digest,
        dtype=str(model.dtype).removeprefix("torch."),
        device=str(device),
        executor=executor,
        noise_packing=choice.noise_packing,
        noise_precision=choice.noise_precision,
        versions=library_versions("numpy", "tokenizers", "torch", "transformers"),
    )


def _tensors_digest(model: PreTrainedModel) -> str:
    """Return a digest of names, shapes and the first bytes of every tensor: "sha256-head:…"."""
    out = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        out.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}\n".encode())
        head = tensor.flatten()[: _DIGESTED // tensor.element_size()].contiguous().cpu()
        out.update(head.view(torch.uint8).numpy().tobytes())
    return f"sha256-head:{out.hexdigest()}"
