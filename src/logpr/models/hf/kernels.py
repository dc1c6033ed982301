"""Attention of some queries over some keys, with its normaliser, so that parts can be merged.

l = logsumexp_k s_k,    o = Σ_k exp(s_k − l) v_k,    s_k = (q · k) · scale
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float

# A batch of rows of one length; grouped-query attention has fewer key heads than query heads.
Queries = Float[torch.Tensor, "batch heads queries width"]
Keys = Float[torch.Tensor, "batch key_heads keys width"]
Values = Float[torch.Tensor, "batch key_heads keys out"]
Part = tuple[
    Float[torch.Tensor, "batch heads queries out"], Float[torch.Tensor, "batch heads queries"]
]
Seen = Bool[torch.Tensor, "*batch queries keys"]

_SCORES = 2**24
"""Scores held at once by the portable kernel: 64 MiB in float32."""

_SMALL = 256
"""Scores of one head below which two batched products beat the flash kernel."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What a layer makes of its scores, and how far back it looks."""

    scale: float
    window: int | None = None
    softcap: float | None = None


def attend(
    query: Queries,
    key: Keys,
    value: Values,
    rules: Rules,
    *,
    causal: bool = False,
    seen: Seen | None = None,
) -> Part:
    """Return the attention of `query` over `key`, and its normaliser.

    Args:
        query: one batch of rows.
        key: their keys.
        value: their values.
        rules: of the layer.
        causal: query i sees keys 0 … i only.
        seen: which query sees which key, for every batch alike or each its own. A query that sees
            none has the normaliser −inf.
    """
    flash = (
        query.device.type == "cpu"
        and query.shape[-1] == value.shape[-1]
        and rules.softcap is None
        and seen is None
        and query.shape[2] * key.shape[2] > _SMALL
    )
    if flash:
        return _attend_flash(query, key, value, scale=rules.scale, causal=causal)
    return _attend_portable(query, key, value, rules, causal=causal, seen=seen)


def _attend_flash(query: Queries, key: Keys, value: Values, *, scale: float, causal: bool) -> Part:
    """Attend by torch's flash kernel for CPUs, which returns its normaliser."""
    out, normaliser = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(  # noqa: SLF001
        query, key, value, 0.0, causal, scale=scale
    )
    return out, normaliser


def _attend_portable(
    query: Queries,
    key: Keys,
    value: Values,
    rules: Rules,
    *,
    causal: bool,
    seen: Seen | None,
) -> Part:
    """Attend by two matrix products, in blocks of queries: any device, mask, soft-cap or width."""
    batch, heads, length, _ = query.shape
    key_heads, keys = key.shape[1:3]
    wide = torch.promote_types(query.dtype, torch.float32)
    grouped = query.to(wide).reshape(batch, key_heads, heads // key_heads, length, -1)
    keys_wide = key.to(wide)[:, :, None].transpose(-1, -2)
    values_wide = value.to(wide)[:, :, None]
    if causal and seen is None:
        seen = torch.ones(length, keys, dtype=torch.bool, device=query.device).tril()
    if seen is not None and seen.dim() > 2:  # noqa: PLR2004 - one mask each
        seen = seen[:, None, None]
    outs: list[torch.Tensor] = []
    normalisers: list[torch.Tensor] = []
    least = torch.finfo(wide).min
    step = max(1, _SCORES // (batch * heads * keys))
    for start in range(0, length, step):
        stop = start + step
        scores = (grouped[..., start:stop, :] * rules.scale) @ keys_wide
        if rules.softcap is not None:
            scores = scores.div_(rules.softcap).tanh_().mul_(rules.softcap)
        if seen is not None:
            scores = scores.masked_fill_(~seen[..., start:stop, :], -math.inf)
        # Where a query sees nothing of these keys its normaliser is −inf: it weighs nothing.
        peak = scores.amax(dim=-1, keepdim=True).clamp_min_(least)
        total = scores.sub_(peak).exp_().sum(dim=-1, keepdim=True)
        outs.append((scores @ values_wide).div_(total.clamp_min(torch.finfo(wide).tiny)))
        normalisers.append(total.log_().add_(peak)[..., 0])
    return (
        torch.cat(outs, dim=-2).reshape(batch, heads, length, -1),
        torch.cat(normalisers, dim=-1).reshape(batch, heads, length),
    )
