"""Attention in products of fixed shape, merged block by block in the order of the path.

For the queries of a tile and block b of their path, with scores s_k = (q · k) · scale,

    m_b = max_k s_k,    l_b = Σ_k exp(s_k − m_b),    o_b = Σ_k exp(s_k − m_b) v_k,

and from b = 0 on, m = max(m', m_b), l = l' exp(m' − m) + l_b exp(m_b − m), likewise o; the result
is o / l. A block of which a query sees nothing changes no bit of its m, l and o: m stays, exp(0) is
1 and exp(−inf) is 0. So neither do blocks that are there only for other queries of the tile.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float

from logpr.models.hf.kernels import Rules
from logpr.models.hf.tiles import BLOCK, TilePlan, Tiles

# The queries that share a key head stand together.
_Queries = Float[torch.Tensor, "key_heads queries group width"]
_Keys = Float[torch.Tensor, "key_heads keys width"]
_Values = Float[torch.Tensor, "key_heads keys out"]


@dataclass(frozen=True, slots=True)
class _Sums:
    """m, l and o of every query."""

    peak: Float[torch.Tensor, "key_heads queries group"]
    total: Float[torch.Tensor, "key_heads queries group"]
    out: Float[torch.Tensor, "key_heads queries group out"]


def along_tiles(  # noqa: PLR0917 - as transformers has them
    plan: TilePlan,
    layer: int,
    query: Float[torch.Tensor, "1 heads tokens width"],
    key: Float[torch.Tensor, "1 key_heads tokens width"],
    value: Float[torch.Tensor, "1 key_heads tokens out"],
    rules: Rules,
) -> tuple[Float[torch.Tensor, "1 heads tokens out"], Float[torch.Tensor, "1 heads tokens"]]:
    """Return the attention of every token over its path, and its normaliser.

    Args:
        plan: of the pass.
        layer: the number of this call in the pass.
        query: all rows of the pass.
        key: the same rows.
        value: the same rows.
        rules: of the layer.
    """
    wide = torch.promote_types(query.dtype, torch.float32)
    heads, size, width = query.shape[1:]
    grouped = query[0].to(wide).reshape(key.shape[1], -1, size, width).transpose(1, 2)
    queries = grouped.contiguous().mul_(rules.scale)
    held = [(past.keys.layers[layer], past.places) for past in plan.pasts]
    keys = torch.cat([*(one[0][0, :, at] for one, at in held), key[0]], dim=1).to(wide)
    values = torch.cat([*(one[1][0, :, at] for one, at in held), value[0]], dim=1).to(wide)
    shape = queries.shape[:3]
    sums = _Sums(
        queries.new_full(shape, torch.finfo(wide).min),
        queries.new_zeros(shape),
        queries.new_zeros((*shape, values.shape[-1])),
    )
    for tiles in plan.whole:
        if rules.window is None or tiles.nearest < rules.window:
            _add(sums, tiles, (queries, keys, values), rules, own=False)
    for tiles in plan.own:
        _add(sums, tiles, (queries, keys, values), rules, own=True)
    # Padding sees nothing; of a query that sees something the largest term alone is 1.
    sums.total.clamp_min_(torch.finfo(wide).tiny)
    out = sums.out.div_(sums.total[..., None]).transpose(1, 2).reshape(1, heads, size, -1)
    return out, sums.total.log_().add_(sums.peak).transpose(1, 2).reshape(1, heads, size)


def _add(
    sums: _Sums,
    tiles: Tiles,
    row: tuple[_Queries, _Keys, _Values],
    rules: Rules,
    *,
    own: bool,
) -> None:
    """Merge one block of each query of some tiles."""
    queries, keys, values = row
    heads, group = queries.shape[0], queries.shape[2]
    count, width = tiles.queries.shape
    some = queries.index_select(1, tiles.queries.flatten()).view(heads * count, width * group, -1)
    block = keys.index_select(1, tiles.keys.flatten()).view(heads * count, BLOCK, -1)
    scores = torch.bmm(some, block.transpose(1, 2))
    if rules.softcap is not None:
        scores = scores.div_(rules.softcap).tanh_().mul_(rules.softcap)
    shape = (heads, count, width, group)
    seen = _seen(tiles, rules.window, own=own)
    if seen is not None:
        scores.view(*shape, BLOCK).masked_fill_(~seen[None, :, :, None], -math.inf)
    peak = scores.amax(dim=-1, keepdim=True).clamp_min_(torch.finfo(scores.dtype).min)
    scores = scores.sub_(peak).exp_()
    total = scores.sum(dim=-1)
    block = values.index_select(1, tiles.keys.flatten()).view(heads * count, BLOCK, -1)
    out = torch.bmm(scores, block)
    flat = (heads, count * width, group)
    peak, total = (one.view(flat).index_select(1, tiles.real) for one in (peak, total))
    out = out.view(*flat, -1).index_select(1, tiles.real)
    before = sums.peak.index_select(1, tiles.rows)
    after = torch.maximum(before, peak)
    old, new = (before - after).exp_(), (peak - after).exp_()
    for so_far, more, dims in ((sums.total, total, 3), (sums.out, out, 4)):
        both = so_far.index_select(1, tiles.rows)
        both.mul_(old.view(*old.shape, *(1,) * (dims - 3)))
        both.add_(more.mul_(new.view(*new.shape, *(1,) * (dims - 3))))
        so_far.index_copy_(1, tiles.rows, both)
    sums.peak.index_copy_(1, tiles.rows, after)


def _seen(
    tiles: Tiles, window: int | None, *, own: bool
) -> Bool[torch.Tensor, "tiles queries keys"] | None:
    """Return which query sees which key of its block; None where each sees all."""
    if not own and (window is None or tiles.farthest < window):
        return None
    depths = tiles.depths[:, :, None]
    positions = (tiles.first[:, None] + torch.arange(BLOCK, device=depths.device))[:, None]
    seen = positions <= depths
    return seen if window is None else seen & (positions > depths - window)
