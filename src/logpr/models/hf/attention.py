"""Attention over a trie that lies in one row, put together from parts by their normalisers.

A token sees its ancestors and itself. For a part P of the keys, with scores s_k = (q · k) · scale,

    l_P = logsumexp_{k in P} s_k,    o_P = Σ_{k in P} exp(s_k − l_P) v_k,

and two parts merge exactly: l = logaddexp(l_P, l_Q), o = exp(l_P − l) o_P + exp(l_Q − l) o_Q. So
each run of the trie is causal with itself and whole with each run above it; no [tokens, tokens]
mask is built, and keys that were computed before the row are parts like any other.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import nn
from transformers import AttentionInterface

from logpr.errors import ModelOutputError
from logpr.models.hf import flex
from logpr.models.hf.kept import Keys, Layer, held
from logpr.models.hf.kernels import Part, Rules, Seen, attend
from logpr.models.hf.plan import Above, Bushes, Plan
from logpr.models.hf.step_attention import StepPlan, along_steps
from logpr.models.hf.tiled import along_tiles
from logpr.models.hf.tiles import TilePlan

NAME = "logpr_forest"
"""What transformers knows the function by."""

# One row of tokens; grouped-query attention has fewer key heads than query heads.
Query = Float[torch.Tensor, "1 heads tokens width"]
Key = Float[torch.Tensor, "1 key_heads keys width"]
Value = Float[torch.Tensor, "1 key_heads keys out"]

_HARMLESS = frozenset({"position_ids", "cache_position", "layer_idx"})
"""Keywords that change nothing: positions are in the queries and keys already."""


class Meter:
    """What happens during one forward pass: calls of the attention function, and keys held."""

    __slots__ = ("blocks", "calls", "layers", "masks", "plan")

    def __init__(self, plan: Plan | TilePlan | StepPlan) -> None:
        self.plan = plan
        self.calls = 0
        self.layers: list[Layer] = []
        # Masks of windows are the same in every layer that has the window.
        self.masks: dict[tuple[object, int], Seen | None] = {}
        self.blocks: flex.Blocks | None = None

    @property
    def keys(self) -> Keys | None:
        """Return the keys that were to be held; None where none were."""
        return Keys(tuple(self.layers)) if self.layers else None


_ACTIVE: ContextVar[Meter | None] = ContextVar("logpr_forest", default=None)


@contextmanager
def planned(plan: Plan | TilePlan | StepPlan) -> Iterator[Meter]:
    """Let the attention function work by `plan` inside the block, and nowhere else."""
    meter = Meter(plan)
    token = _ACTIVE.set(meter)
    try:
        yield meter
    finally:
        _ACTIVE.reset(token)


def forest_attention(  # noqa: PLR0917 - transformers calls it
    module: nn.Module,
    query: Query,
    key: Key,
    value: Value,
    attention_mask: object,
    scaling: float | None = None,
    dropout: float = 0.0,
    *,
    sliding_window: int | None = None,
    softcap: float | None = None,
    s_aux: Float[torch.Tensor, " heads"] | None = None,
    is_causal: bool | None = None,
    **others: object,
) -> tuple[torch.Tensor, None]:
    """Attend along the paths of the plan that is in force: the signature is transformers' own.

    Args:
        module: the layer.
        query: one row of tokens.
        key: the same row.
        value: the same row.
        attention_mask: none is asked for, none is implemented.
        scaling: of the scores; 1/sqrt(width) by default.
        dropout: 0 in a model that is not being trained.
        sliding_window: a token sees this many tokens of its path, itself included.
        softcap: scores s become softcap · tanh(s / softcap).
        s_aux: per head, the score of a key that has no value (an attention sink).
        is_causal: True, or left to the layer.
        others: anything else that is set is refused.

    Raises:
        ModelOutputError: no plan is in force, or something is asked that is not implemented here.
    """
    meter = _ACTIVE.get()
    if meter is None:
        msg = f"attention function {NAME!r} was called outside a packed run: load the model again"
        raise ModelOutputError(msg)
    causal = getattr(module, "is_causal", True) if is_causal is None else is_causal
    unknown = [name for name, value in others.items() if name not in _HARMLESS and _is_set(value)]
    unknown += ["attention_mask"] if attention_mask is not None else []
    unknown += ["dropout"] if dropout else []
    unknown += [] if causal else ["is_causal=False"]
    unknown += [] if query.shape[2] == key.shape[2] == meter.plan.size else ["a cache of keys"]
    if unknown:
        msg = f"packed attention does not implement {', '.join(unknown)}: use executor='plain'"
        raise ModelOutputError(msg)
    scale = query.shape[-1] ** -0.5 if scaling is None else float(scaling)
    rules = Rules(scale=scale, window=sliding_window, softcap=softcap)
    plan = meter.plan
    if isinstance(plan, StepPlan):
        stepped = along_steps(plan, meter.calls, query, key, value, rules, s_aux)
        meter.calls += 1
        return stepped.to(query.dtype), None
    if isinstance(plan, TilePlan):
        out, normaliser = along_tiles(plan, meter.calls, query, key, value, rules)
        everything = False
    else:
        out, normaliser = along_paths(meter, plan, query, key, value, rules=rules)
        everything = plan.everything
    if everything or plan.keep is not None:
        meter.layers.append(held(key, value, None if everything else plan.keep))
    meter.calls += 1
    if s_aux is not None:
        sink = s_aux.to(normaliser)[:, None]
        out = out * (normaliser - torch.logaddexp(normaliser, sink)).exp_()[..., None]
    return out.to(query.dtype).transpose(1, 2).contiguous(), None


AttentionInterface.register(NAME, forest_attention)


def _is_set(value: object) -> bool:
    return value is not None and value is not False


def along_paths(
    meter: Meter, plan: Plan, query: Query, key: Key, value: Value, *, rules: Rules
) -> Part:
    """Return the attention of every token over its path, and its normaliser, at least float32.

    In one call where `flex` takes it (on CUDA), else by parts.

    Args:
        meter: of the forward pass.
        plan: of the row.
        query: one row of tokens.
        key: the same row.
        value: the same row.
        rules: of the layer.
    """
    if flex.takes(query, value):
        if meter.blocks is None:
            meter.blocks = flex.Blocks(plan)
        found = flex.attend(meter.blocks, query, key, value, rules, layer=meter.calls)
        if found is not None:
            return found
    return _by_parts(meter, plan, query, key, value, rules=rules)


def _by_parts(
    meter: Meter, plan: Plan, query: Query, key: Key, value: Value, *, rules: Rules
) -> Part:
    parts = plan.parts()
    wide = torch.promote_types(query.dtype, torch.float32)
    out = query.new_empty((*query.shape[:3], value.shape[-1]), dtype=wide)
    total = query.new_empty(query.shape[:3], dtype=wide)
    for places in parts.own:
        seen = _within(meter, places.shape[1], rules, query.device)
        q, k, v = (_runs(tensor, places) for tensor in (query, key, value))
        part, normaliser = attend(q, k, v, rules, causal=True, seen=seen)
        out[0][:, places] = part.to(wide).transpose(0, 1)
        total[0][:, places] = normaliser.to(wide).transpose(0, 1)
    for bushes in parts.bushes:
        seen = _in_bushes(meter, plan, bushes, rules)
        q, k, v = (_runs(tensor, bushes.places) for tensor in (query, key, value))
        part, normaliser = attend(q, k, v, rules, seen=seen)
        out[0][:, bushes.rows] = part.to(wide).transpose(0, 1).flatten(1, 2)[:, bushes.real]
        total[0][:, bushes.rows] = normaliser.to(wide).transpose(0, 1).flatten(1, 2)[:, bushes.real]
    for above in parts.above:
        seen = _from_below(meter, plan, above, rules, query.device)
        keys, values = (key, value) if above.kept is None else above.kept.layers[meter.calls]
        part, normaliser = attend(
            query[:, :, above.rows],
            keys[:, :, above.keys],
            values[:, :, above.keys],
            rules,
            seen=seen,
        )
        before = total[:, :, above.rows]
        after = torch.logaddexp(before, normaliser.to(wide))
        merged = out[:, :, above.rows].mul_((before - after).exp_()[..., None])
        merged.addcmul_(part.to(wide), (normaliser.to(wide) - after).exp_()[..., None])
        total[:, :, above.rows] = after
    return out, total


def _runs(
    tensor: Float[torch.Tensor, "1 heads tokens width"], places: Int64[torch.Tensor, "batch run"]
) -> Float[torch.Tensor, "batch heads run width"]:
    """Return the runs at `places` as a batch."""
    if len(places) == 1 and places.shape[1] == tensor.shape[2]:
        return tensor  # the whole row is one run
    return tensor[0][:, places].transpose(0, 1)


def _within(meter: Meter, length: int, rules: Rules, device: torch.device) -> Seen | None:
    """Return what a run sees of itself where that is less than all before."""
    if rules.window is None or length <= rules.window:
        return None
    mark = (length, rules.window)
    if mark not in meter.masks:
        steps = torch.arange(length, device=device)
        away = steps[:, None] - steps[None, :]
        meter.masks[mark] = (away >= 0) & (away < rules.window)
    return meter.masks[mark]


def _in_bushes(meter: Meter, plan: Plan, bushes: Bushes, rules: Rules) -> Seen:
    """Return what the tokens of bushes see of each other."""
    if rules.window is None or plan.deepest < rules.window:
        return bushes.seen
    mark = (bushes, rules.window)
    if mark not in meter.masks:
        depths = torch.from_numpy(plan.depths).to(bushes.places.device)[bushes.places]
        away = depths[:, :, None] - depths[:, None, :]
        meter.masks[mark] = bushes.seen & (away < rules.window)
    found = meter.masks[mark]
    assert found is not None, "made above"
    return found


def _from_below(
    meter: Meter, plan: Plan, above: Above, rules: Rules, device: torch.device
) -> Seen | None:
    """Return what a slice sees of the keys above it where that is not all of them."""
    # A path is never deeper than the row is long, so most keys need no look at the depths.
    if rules.window is None or plan.deepest < rules.window:
        return None
    mark = (above, rules.window)
    if mark not in meter.masks:
        away = plan.depths[above.rows, None] - above.depths[None, :]
        near = away < rules.window
        meter.masks[mark] = None if np.all(near) else torch.from_numpy(near).to(device)
    return meter.masks[mark]
