"""What has to be true of a model before it is believed: it is causal, and its head is known.

Calling the last linear layer on the base model's states skips whatever the model does before and
after it (soft-caps, scalings, another norm). So the layer is watched during the model's own forward
pass: what goes in must be those states, and what the model makes of a ramp put in the place of its
output must be a finish known here. Where either fails the model is called whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float
from torch import nn
from transformers import PreTrainedModel

from logpr._types import IntNodes
from logpr.errors import ModelLoadError, ModelOutputError
from logpr.models.hf.head import Finish, Head
from logpr.models.hf.precision import is_low
from logpr.models.hf.trunk import Trunk

_TOKENS = 12
_RAMP = 80.0
"""Logits of trained models are within this; a soft-cap of 30 bends it, and any scaling shows."""


def check_causal(trunk: Trunk, *, vocab_size: int, context_length: int) -> None:
    """Raise where a row depends on the tokens after it, or on chance.

    Args:
        trunk: of the model.
        vocab_size: of the embedding.
        context_length: of the model.

    Raises:
        ModelLoadError: it does: a masked or bidirectional model gives no log Pr(y | x), and no
            executor can be held against one that says something else each time.
        ModelOutputError: its states are nan or infinite.
    """
    ids = _some_ids(vocab_size, context_length)
    other = ids.copy()
    other[-1] = (ids[-1] + 1) % vocab_size
    states, again, others = trunk(ids), trunk(ids), trunk(other)
    # −inf is let through: where the model is called whole these are logits, and it is one.
    if bool((torch.isnan(states) | torch.isposinf(states)).any()):
        msg = (
            f"the forward pass of {type(trunk.model).__name__} gives nan or infinities in "
            f"{trunk.model.dtype}: its weights are damaged, or need dtype='float32'"
        )
        raise ModelOutputError(msg)
    tolerance = _tolerance(trunk.model.dtype)
    chance = _difference(again, states)
    if chance > tolerance:
        msg = (
            f"{type(trunk.model).__name__} gives other numbers for the same tokens each time (by "
            f"{chance:.2g} of their size), so no way to run it can be found right: switch off what "
            f"is random in its forward pass (dropout, noise, routing)"
        )
        raise ModelLoadError(msg)
    change = _difference(states[:-1], others[:-1])
    if change > tolerance:
        msg = (
            f"{type(trunk.model).__name__} is not a causal language model: the rows before a token "
            f"change with it (by {change:.2g} of their size). Masked models give no log Pr(y | x); "
            f"load a model of the kind ...ForCausalLM"
        )
        raise ModelLoadError(msg)


def find_head(
    model: PreTrainedModel, *, context_length: int, source_ids: Sequence[int] = ()
) -> tuple[Trunk, Head, int]:
    """Return what to call, the head that reads its states, and the number of outcomes.

    Args:
        model: on its device, in its dtype.
        context_length: of the model.
        source_ids: something for the encoder to read, where there is one; what is returned has it.

    Raises:
        ModelLoadError: its forward pass fails.
    """
    whole = Trunk(model, whole=True)
    try:
        if source_ids:
            whole = whole.given(source_ids)
        ids = _some_ids(whole.outcomes, context_length)
        logits = whole(ids)
    except Exception as error:
        msg = (
            f"the forward pass of {type(model).__name__} fails in {model.dtype} on "
            f"{whole.device}: {type(error).__name__}: {error}; try dtype='float32', device='cpu'"
        )
        raise ModelLoadError(msg) from error
    module = model.get_output_embeddings()  # type: ignore[no-untyped-call]
    if isinstance(module, nn.Linear) and module.weight.dtype.is_floating_point:
        head = _direct_head(whole, module, ids, logits)
        if head is not None:
            return replace(whole, whole=False), head, logits.shape[1]
    return whole, Head(None), logits.shape[1]


def _direct_head(
    whole: Trunk,
    module: nn.Linear,
    ids: IntNodes,
    logits: Float[torch.Tensor, "tokens vocab"],
) -> Head | None:
    trunk = replace(whole, whole=False)
    tolerance = _tolerance(module.weight.dtype)
    read = _read_by(whole, module, ids)
    try:
        states = trunk(ids)
    except (AttributeError, TypeError):
        return None  # its base model is none, or returns something else than states
    if read is None or states.shape != read.shape:
        return None
    scales = [one for one in _scales(trunk) if _difference(states * one, read) <= tolerance]
    if not scales:
        return None
    ramp = torch.linspace(-_RAMP, _RAMP, logits.shape[1], dtype=logits.dtype, device=logits.device)
    emitted = _emitted(whole, module, ids, ramp)
    added = _added(whole.model, logits.shape[1])
    given = ramp if added is None else ramp + added
    errors = {finish: _difference(finish(given.clone()), emitted) for finish in _finishes(trunk)}
    best = min(errors, key=lambda finish: errors[finish])
    head = _head_of(module, best, scale=scales[0], added=added)
    if head is None or errors[best] > tolerance:
        return None
    return head if _difference(head.logits(states), logits) <= tolerance else None


def _head_of(
    module: nn.Linear, finish: Finish, *, scale: float, added: Float[torch.Tensor, " vocab"] | None
) -> Head | None:
    """Return the head of a layer that reads scaled states; None where that is no known head."""
    head = Head.of(module, finish)
    if added is not None:
        head = replace(head, bias=added if head.bias is None else head.bias + added)
    if scale == 1.0:
        return head
    # W (c h) = c (W h): only where nothing else comes after W.
    plain = head.bias is None and finish.kind == "none"
    return replace(head, finish=Finish("multiply", scale)) if plain else None


def _scales(trunk: Trunk) -> Iterator[float]:
    """Yield by what a model may multiply its states before the last layer."""
    yield 1.0
    width = getattr(trunk.config, "d_model", None)
    if isinstance(width, int):
        yield width**-0.5  # T5 with tied embeddings


def _added(model: PreTrainedModel, outcomes: int) -> Float[torch.Tensor, " vocab"] | None:
    """Return what a model adds to the output of its last layer (BART, Marian), or None."""
    found = getattr(model, "final_logits_bias", None)
    if not isinstance(found, torch.Tensor) or found.numel() != outcomes:
        return None
    return found.detach().flatten()


def _finishes(trunk: Trunk) -> Iterator[Finish]:
    yield Finish()
    for name, finish in (
        ("final_logit_softcapping", "softcap"),
        ("logits_scaling", "divide"),
        ("logit_scale", "multiply"),
    ):
        value = getattr(trunk.config, name, None)
        if value:
            yield Finish(finish, float(value))  # type: ignore[arg-type] # one of the three above


def _read_by(whole: Trunk, module: nn.Linear, ids: IntNodes) -> torch.Tensor | None:
    """Return what the layer reads during the model's own forward pass; None if it is not called."""
    caught: list[torch.Tensor] = []
    hook = module.register_forward_pre_hook(lambda _, args: caught.append(args[0]))
    try:
        whole(ids)
    finally:
        hook.remove()
    return caught[0][0] if len(caught) == 1 and caught[0].dim() == 3 else None  # noqa: PLR2004 - [1, tokens, width]


def _emitted(
    whole: Trunk, module: nn.Linear, ids: IntNodes, ramp: Float[torch.Tensor, " vocab"]
) -> Float[torch.Tensor, " vocab"]:
    """Return the logits that the model emits where its last layer gives the ramp."""
    hook = module.register_forward_hook(lambda _, __, out: ramp.to(out).expand_as(out).clone())
    try:
        return whole(ids)[0]
    finally:
        hook.remove()


def _difference(a: torch.Tensor, b: torch.Tensor) -> float:
    """Return max |a − b| beside the largest finite |b|; equal infinities by 0, nan by inf."""
    a, b = a.double().cpu(), b.double().cpu()
    if not a.numel():
        return 0.0
    away = torch.where(a == b, 0.0, (a - b).abs())
    size = b[torch.isfinite(b)].abs()
    out = float(away.max()) / max(float(size.max()) if size.numel() else 0.0, 1e-30)
    return np.inf if np.isnan(out) else out


def _tolerance(dtype: torch.dtype) -> float:
    if is_low(dtype):
        return 2e-2
    return 1e-9 if dtype == torch.float64 else 1e-4


def _some_ids(vocab_size: int, context_length: int) -> IntNodes:
    return np.random.default_rng(0).integers(0, vocab_size, min(_TOKENS, context_length))
