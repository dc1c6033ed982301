"""Attention of rows that each go on from a beginning of their own, behind one prompt.

A row sees the prompt, its ancestors and itself. The prompt's keys are one matrix that all rows are
multiplied with; the others lie in slots, and are gathered for each row. One softmax goes over both:

    s = [q · K_promptᵀ, q · K_pathᵀ] · scale,    o = softmax(s) [V_prompt; V_path]
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64

from logpr._types import IntNodes
from logpr.models._growth import NO_SLOT
from logpr.models.hf.kept import Keys
from logpr.models.hf.kernels import Rules

Query = Float[torch.Tensor, "1 heads tokens width"]
Key = Float[torch.Tensor, "1 key_heads tokens width"]
Value = Float[torch.Tensor, "1 key_heads tokens out"]
Sink = Float[torch.Tensor, " heads"]

_Shelf = Float[torch.Tensor, "key_heads slots _"]
_Hidden = Bool[torch.Tensor, "rows _"]

_MOST = 2**22
"""Numbers that are gathered, or scores that are held, at once: 16 MiB in float32."""


class Slots:
    """Keys and values behind a prompt, a slot for each token, and those of the prompt itself.

    Args:
        prompt: of every layer.
    """

    __slots__ = ("keys", "prompt", "values")

    def __init__(self, prompt: Keys) -> None:
        self.prompt = prompt
        # Heads first: what is gathered of one layer is then a batch of matrices as it lies.
        self.keys: list[_Shelf] = [_no_slots(key) for key, _ in prompt.layers]
        self.values: list[_Shelf] = [_no_slots(value) for _, value in prompt.layers]

    @property
    def length(self) -> int:
        """Return the number of tokens of the prompt."""
        return self.prompt.layers[0][0].shape[2]

    @property
    def token_bytes(self) -> int:
        """Return what the keys and values of a token take."""
        return self.prompt.nbytes // self.length

    @property
    def nbytes(self) -> int:
        """Return the memory that slots and prompt take."""
        return self.prompt.nbytes + sum(one.nbytes for one in (*self.keys, *self.values))

    def fit(self, count: int) -> None:
        """Have at least so many slots; those that there are keep what they hold.

        Args:
            count: of slots.
        """
        for shelves in (self.keys, self.values):
            for layer, old in enumerate(shelves):
                if old.shape[1] < count:
                    shelves[layer] = old.new_empty((old.shape[0], count, old.shape[2]))
                    shelves[layer][:, : old.shape[1]] = old


def _no_slots(prompt: Float[torch.Tensor, "1 key_heads tokens _"]) -> _Shelf:
    return prompt.new_empty((prompt.shape[1], 0, prompt.shape[3]))


@dataclass(frozen=True, slots=True, eq=False)
class StepPlan:
    """How the rows of one pass attend.

    Row i has its own keys in slot `columns[i, -1]`, and sees those in the other columns that are
    not `absent` (None: nowhere): of its ancestors, the first token after the prompt in column 0.
    `size` is the number of rows with those of padding, which stand at the end and see nothing.
    `depths` are on the host; `hidden` holds what was made of them for windows, for all layers.
    """

    size: int
    slots: Slots
    columns: Int64[torch.Tensor, "rows columns"]
    absent: Bool[torch.Tensor, "rows columns"] | None
    depths: Int64[np.ndarray, " rows"]
    hidden: dict[int, tuple[_Hidden | None, _Hidden | None]] = field(default_factory=dict)

    @property
    def keep(self) -> None:
        """Return None: the keys of the rows go to their slots, and nowhere else."""
        return


def step_plan(
    slots: Slots,
    own: IntNodes,
    ancestors: Int64[np.ndarray, "nodes depths"],
    depths: IntNodes,
    *,
    size: int,
    device: torch.device,
) -> StepPlan:
    """Return how rows attend.

    Args:
        slots: that hold the keys of the ancestors, or will before they are read.
        own: the slot of each row.
        ancestors: the slots above each row, the first token's first; NO_SLOT fills up the end.
        depths: of the rows: 0 is the first token after the prompt.
        size: rows with padding.
        device: where the slots are.
    """
    ancestors = ancestors[:, : int(depths.max())]
    columns = np.concatenate([ancestors, own[:, None]], axis=1)
    absent = columns == NO_SLOT
    some = bool(absent.any())
    return StepPlan(
        size=size,
        slots=slots,
        # Any slot will do where nothing is seen; its own was written in this very pass.
        columns=torch.from_numpy(np.where(absent, own[:, None], columns)).to(device),
        absent=torch.from_numpy(absent).to(device) if some else None,
        depths=depths,
    )


def along_steps(  # noqa: PLR0917 - as transformers has them
    plan: StepPlan,
    layer: int,
    query: Query,
    key: Key,
    value: Value,
    rules: Rules,
    sink: Sink | None = None,
) -> Float[torch.Tensor, "1 tokens heads out"]:
    """Return the attention of every row, after putting its keys and values into its slot.

    Args:
        plan: of the pass.
        layer: the number of this call in the pass.
        query: all rows of the pass.
        key: the same rows.
        value: the same rows.
        rules: of the layer.
        sink: per head, the score of a key that has no value.
    """
    rows, columns = plan.columns.shape
    keys, values = plan.slots.keys[layer], plan.slots.values[layer]
    own = plan.columns[:, -1]
    keys.index_copy_(1, own, key[0, :, :rows])
    values.index_copy_(1, own, value[0, :, :rows])
    heads, out_width = query.shape[1], value.shape[-1]
    prompt = plan.slots.prompt.layers[layer]
    each = max(
        heads * (prompt[0].shape[2] + columns),
        columns * (key.shape[1] * key.shape[3] + value.shape[1] * out_width),
    )
    step = max(1, _MOST // each)
    if step >= rows == plan.size:
        return _attended(plan, slice(0, rows), query, layer, rules=rules, sink=sink)[None]
    out = query.new_zeros((1, plan.size, heads, out_width), dtype=_wide(query))
    for start in range(0, rows, step):
        some = slice(start, min(start + step, rows))
        out[0, some] = _attended(plan, some, query[:, :, some], layer, rules=rules, sink=sink)
    return out


def _attended(
    plan: StepPlan, some: slice, query: Query, layer: int, *, rules: Rules, sink: Sink | None
) -> Float[torch.Tensor, "tokens heads out"]:
    """Return the attention of some rows, in the wider of their type and float32."""
    wide = _wide(query)
    shelf, prompt = plan.slots.keys[layer], plan.slots.prompt.layers[layer]
    columns = plan.columns[some]
    rows, count = columns.shape
    key_heads = len(shelf)
    flat = columns.reshape(-1)
    batch = (key_heads * rows, count, -1)
    keys = shelf.index_select(1, flat).view(batch).to(wide)
    values = plan.slots.values[layer].index_select(1, flat).view(batch).to(wide)
    # [key_heads, rows, group, width]: for the prompt one matrix a head, for the path one a row.
    grouped = (
        query[0].view(key_heads, -1, rows, query.shape[3]).transpose(1, 2).to(wide) * rules.scale
    )
    group, width = grouped.shape[2:]
    before = prompt[0][0].to(wide).transpose(1, 2)
    to_prompt = torch.bmm(grouped.reshape(key_heads, rows * group, width), before)
    to_path = torch.bmm(grouped.reshape(-1, group, width), keys.transpose(1, 2))
    shape = (key_heads, rows, group, -1)
    parts = [to_prompt.view(shape), to_path.view(shape)]
    if rules.softcap is not None:
        parts = [one.div_(rules.softcap).tanh_().mul_(rules.softcap) for one in parts]
    for part, hidden in zip(parts, _hidden(plan, rules.window), strict=True):
        if hidden is not None:
            part.masked_fill_(hidden[some, None], -math.inf)
    if sink is not None:
        parts.append(sink.to(wide).view(key_heads, 1, group, 1).expand(-1, rows, -1, -1))
    weights = torch.cat(parts, dim=-1).softmax(dim=-1)
    length = before.shape[2]
    out = torch.bmm(
        weights[..., :length].reshape(key_heads, rows * group, length), prompt[1][0].to(wide)
    ).view(shape)
    along = weights[..., length : length + count].reshape(-1, group, count)
    out += torch.bmm(along, values).view(shape)
    return out.transpose(0, 1).flatten(1, 2)


def _wide(query: Query) -> torch.dtype:
    return torch.promote_types(query.dtype, torch.float32)


def _hidden(plan: StepPlan, window: int | None) -> tuple[_Hidden | None, _Hidden | None]:
    """Return which keys of the prompt, and which columns, each row does not see."""
    length = plan.slots.length
    if window is None or length + int(plan.depths.max()) < window:
        return None, plan.absent
    if window not in plan.hidden:
        depths = torch.from_numpy(plan.depths).to(plan.columns.device)[:, None]
        places = torch.arange(length, device=depths.device)
        far = depths + (length - window) >= places
        steps = torch.arange(plan.columns.shape[1], device=depths.device)
        # Of the last column, itself, the place is no smaller than any depth: it is never far.
        path = depths - steps >= window
        if plan.absent is not None:
            path |= plan.absent
        plan.hidden[window] = far, path
    return plan.hidden[window]
