"""Attention along the paths of a row in one call a layer, for CUDA: flex attention over blocks.

Keys are those held from before the row, and the row's own. In depth-first order the queries that
see a key are consecutive, so three vectors of integers say all there is to say:

    query q sees key k  ⇔  first[k] <= q < stop[k],  and depth[q] − depth[k] < window.

From them come the blocks of 128 queries by 128 keys in which anything is seen (the others are never
read), and those in which everything is (there the rule is not even looked at). No [queries, keys]
mask is built. Parts (see `attention`) would take some dozens of small kernels a layer instead.

The kernel is compiled for the lengths it meets, so lengths are padded to a few sizes: a span of a
large input always has the same. Held keys are copied beside the row's own, which costs one pass
over them. The alternative, one call for held keys and one for the row's own, merged by their
normalisers, would have to copy held keys too, because they are held in pieces of any length; in
bfloat16 it would round twice; and with g query heads a key head the merge moves more bytes than
the copy unless more than (g − 1) · queries keys are held.
"""

from __future__ import annotations

import functools
import inspect
import warnings
from collections.abc import Callable
from typing import Any, cast, no_type_check

import numpy as np
import torch
from jaxtyping import Bool, Float, Int32
from torch import nn
from torch.nn.attention import flex_attention as flex

from logpr.models.hf.kernels import Keys, Part, Queries, Rules, Values
from logpr.models.hf.memory import out_of_memory
from logpr.models.hf.plan import Plan

_BLOCK = 128
"""Queries, and keys, of a block: flex attention's own."""

_LAST_SPARSE = 8192
"""Up to here lengths are padded to 128, 512, 2048 or 8192; beyond it to powers of two."""

_LENGTHS = 64
"""Pairs of lengths that may be compiled. torch allows 8, and then would go on without compiling,
which holds [queries, keys] scores; with `fullgraph` it raises instead, and parts take over."""

_LEAST_WIDTH = 16
_MOST_WIDTH = 256
"""Of a head: what the kernel of flex attention is made for."""

_DTYPES = (torch.float32, torch.bfloat16, torch.float16)

_Mask = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]
_Score = Callable[
    [torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor
]

_refused: set[tuple[torch.device, torch.dtype, int]] = set()


def takes(query: Queries, value: Values) -> bool:
    """Return whether attention goes by blocks: on CUDA, in heads that the kernel is made for.

    Not in float64, not where values are wider or narrower than keys, and not where compiling has
    failed before.

    Args:
        query: of a layer.
        value: of the layer.
    """
    return (
        query.is_cuda
        and query.dtype in _DTYPES
        and query.shape[-1] == value.shape[-1]
        and _LEAST_WIDTH <= query.shape[-1] <= _MOST_WIDTH
        and _mark(query) not in _refused
    )


class Blocks:
    """What the queries of one row see, in blocks: made once a forward pass, for all its layers."""

    __slots__ = ("_masks", "_plan", "_starts", "_stops", "held", "keys", "queries")

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        lengths = [past.places.stop - past.places.start for past in plan.pasts]
        # Where each group of held keys begins among the keys; the row's own begin at the last.
        self._stops = np.cumsum(lengths, dtype=np.int64)
        self._starts = self._stops - np.asarray(lengths, dtype=np.int64)
        self.held = padded(sum(lengths)) if lengths else 0
        self.queries = padded(plan.size)
        self.keys = self.held + self.queries
        self._masks: dict[tuple[int | None, torch.device], flex.BlockMask] = {}

    def mask(self, window: int | None, device: torch.device) -> flex.BlockMask:
        """Return which blocks are read, and the rule inside those that are seen in part.

        Args:
            window: of a layer.
            device: where its queries are.
        """
        if window is not None and self._plan.deepest < window:
            window = None  # nothing is out of sight
        mark = (window, device)
        if mark not in self._masks:
            self._masks[mark] = self._mask(window, device)
        return self._masks[mark]

    def joined(
        self, own: Keys, layer: int, which: int
    ) -> Float[torch.Tensor, "batch key_heads _ width"]:
        """Return held keys (or values) and the row's own, padded with zeros.

        Args:
            own: of the row.
            layer: the number of the attention call.
            which: 0 for keys, 1 for values.
        """
        if self.keys == own.shape[2]:
            return own
        # Not merely empty: nan times a probability of 0 is nan.
        out = own.new_zeros((*own.shape[:2], self.keys, own.shape[3]))
        for past, start, stop in zip(self._plan.pasts, self._starts, self._stops, strict=True):
            out[:, :, start:stop] = past.keys.layers[layer][which][:, :, past.places]
        out[:, :, self.held : self.held + own.shape[2]] = own
        return out

    def _mask(self, window: int | None, device: torch.device) -> flex.BlockMask:
        first, stop, key_depths, depths = self._intervals()
        some, full = _blocks(first, stop, self._plan.size, self.queries)
        if window is not None:
            nearest, farthest = _distances(depths[: self._plan.size], self.queries, key_depths)
            # A block of which this says too little is read in part: the rule decides inside it.
            some &= nearest < window
            full &= farthest < window
        vectors = [torch.from_numpy(one).to(device) for one in (first, stop, key_depths, depths)]
        rule = _on_path(*vectors[:2]) if window is None else _in_window(*vectors, window=window)
        partial = some & ~full
        return flex.BlockMask.from_kv_blocks(
            *_ordered(partial), *_ordered(full), BLOCK_SIZE=_BLOCK, mask_mod=rule
        ).to(device)

    def _intervals(
        self,
    ) -> tuple[
        Int32[np.ndarray, " keys"],
        Int32[np.ndarray, " keys"],
        Int32[np.ndarray, " keys"],
        Int32[np.ndarray, " queries"],
    ]:
        """Return first and stop of the queries that see each key, and the depths of both."""
        pack = self._plan.pack
        first, stop, key_depths = np.zeros((3, self.keys), dtype=np.int32)
        for past, start, end in zip(self._plan.pasts, self._starts, self._stops, strict=True):
            first[start:end] = past.rows.start
            stop[start:end] = past.rows.stop
            key_depths[start:end] = past.first_depth + np.arange(end - start)
        own = slice(self.held, self.held + len(pack))
        first[own] = np.arange(len(pack))
        stop[own] = pack.ends
        key_depths[own] = pack.depths
        depths = np.zeros(self.queries, dtype=np.int32)
        depths[: len(pack)] = pack.depths
        return first, stop, key_depths, depths


def attend(
    blocks: Blocks, query: Queries, key: Keys, value: Values, rules: Rules, *, layer: int
) -> Part | None:
    """Return the attention of every token over its path, and its normaliser, at least float32.

    None where the kernel cannot be compiled; a warning says so, once for a kind of heads.

    Args:
        blocks: of the row.
        query: of the row.
        key: of the row.
        value: of the row.
        rules: of the layer.
        layer: the number of the attention call.

    Raises:
        torch.OutOfMemoryError: there is too little memory.
    """
    size = query.shape[2]
    keys, values = blocks.joined(key, layer, 0), blocks.joined(value, layer, 1)
    mask = blocks.mask(rules.window, query.device)
    if size < blocks.queries:
        query = nn.functional.pad(query, (0, 0, 0, blocks.queries - size))
    try:
        out, normaliser = _run(query, keys, values, mask, rules)
    except Exception as error:
        # Compilers fail in their own ways; a lack of memory is not one of them.
        if out_of_memory(error):
            raise
        _refused.add(_mark(query))
        msg = (
            f"flex attention does not run here for {query.dtype} heads of {query.shape[-1]} "
            f"({type(error).__name__}: {_first_line(error)}): attention goes by parts, which gives "
            f"the same numbers and is slower; install a torch with a working triton for speed"
        )
        warnings.warn(msg, UserWarning, stacklevel=2)
        return None
    wide = torch.promote_types(query.dtype, torch.float32)
    return out[:, :, :size].to(wide), normaliser[:, :, :size].to(wide)


def padded(count: int) -> int:
    """Return the length that `count` tokens are padded to: one of few, so that few are compiled.

    Args:
        count: at least 1.
    """
    size = _BLOCK
    while size < count:
        size *= 4 if size < _LAST_SPARSE else 2
    return size


def _run(
    query: Queries, key: Keys, value: Values, mask: flex.BlockMask, rules: Rules
) -> tuple[torch.Tensor, torch.Tensor]:
    out, more = _kernel(query.is_cuda)(
        query,
        key,
        value,
        score_mod=None if rules.softcap is None else _capped(rules.softcap),
        block_mask=mask,
        scale=rules.scale,
        enable_gqa=query.shape[1] != key.shape[1],
        **_normaliser_too(),
    )
    return out, getattr(more, "lse", more)


@functools.cache
def _kernel(compiled: bool) -> Callable[..., Any]:  # noqa: FBT001 - private
    """Return flex attention, compiled for each pair of lengths; uncompiled it is slow, and exact.

    Lengths stay numbers (`dynamic=False`): with symbols for them the kernel is slower, and versions
    of torch differ in which masks they can then compile.
    """
    if not compiled:
        return flex.flex_attention
    wanted = {"recompile_limit": _LENGTHS, "isolate_recompiles": True}
    known = inspect.signature(torch.compile).parameters
    if "recompile_limit" not in known:  # older: one limit for the whole process
        config = torch._dynamo.config  # noqa: SLF001 - its public name
        config.cache_size_limit = max(config.cache_size_limit, _LENGTHS)
    options: dict[str, Any] = {name: given for name, given in wanted.items() if name in known}
    return torch.compile(flex.flex_attention, dynamic=False, fullgraph=True, **options)


@functools.cache
def _normaliser_too() -> dict[str, Any]:
    """Return what makes flex attention return its normaliser: the keyword has changed."""
    if hasattr(flex, "AuxRequest"):
        return {"return_aux": flex.AuxRequest(lse=True)}
    return {"return_lse": True}


def _on_path(first: torch.Tensor, stop: torch.Tensor) -> _Mask:
    """Return which query sees which key, for one of each."""

    @no_type_check  # what torch.compile traces holds nothing else
    def rule(
        _batch: torch.Tensor, _head: torch.Tensor, query: torch.Tensor, key: torch.Tensor
    ) -> torch.Tensor:
        return (first[key] <= query) & (query < stop[key])

    return cast("_Mask", rule)


def _in_window(
    first: torch.Tensor,
    stop: torch.Tensor,
    key_depths: torch.Tensor,
    depths: torch.Tensor,
    *,
    window: int,
) -> _Mask:
    """Return which query sees which key where it sees `window` tokens of its path."""

    @no_type_check  # what torch.compile traces holds nothing else
    def rule(
        _batch: torch.Tensor, _head: torch.Tensor, query: torch.Tensor, key: torch.Tensor
    ) -> torch.Tensor:
        near = depths[query] - key_depths[key] < window
        return (first[key] <= query) & (query < stop[key]) & near

    return cast("_Mask", rule)


def _capped(softcap: float) -> _Score:
    """Return what becomes of one score: softcap · tanh(score / softcap)."""

    @no_type_check
    def cap(
        score: torch.Tensor,
        _batch: torch.Tensor,
        _head: torch.Tensor,
        _query: torch.Tensor,
        _key: torch.Tensor,
    ) -> torch.Tensor:
        return softcap * torch.tanh(score / softcap)

    return cast("_Score", cap)


def _blocks(
    first: Int32[np.ndarray, " keys"],
    stop: Int32[np.ndarray, " keys"],
    size: int,
    queries: int,
) -> tuple[Bool[np.ndarray, "rows columns"], Bool[np.ndarray, "rows columns"]]:
    """Return in which blocks (of queries, of keys) anything is seen, and in which everything is."""
    rows, columns = queries // _BLOCK, len(first) // _BLOCK
    seen = np.flatnonzero(stop > first)
    # Each key opens the block of its first query, and closes after that of its last.
    opened = np.zeros((rows + 1, columns), dtype=np.int64)
    np.add.at(opened, (first[seen] // _BLOCK, seen // _BLOCK), 1)
    np.add.at(opened, ((stop[seen] - 1) // _BLOCK + 1, seen // _BLOCK), -1)
    some = np.cumsum(opened, axis=0)[:rows] > 0
    latest = first.reshape(columns, _BLOCK).max(axis=1)
    earliest = stop.reshape(columns, _BLOCK).min(axis=1)
    starts = np.arange(rows) * _BLOCK
    # What padding sees is thrown away, so that the last block can be full as well.
    stops = np.minimum(starts + _BLOCK, size)
    full = (latest[None, :] <= starts[:, None]) & (stops[:, None] <= earliest[None, :])
    return some, full & (starts < size)[:, None]


def _distances(
    depths: Int32[np.ndarray, " tokens"], queries: int, key_depths: Int32[np.ndarray, " keys"]
) -> tuple[Int32[np.ndarray, "rows columns"], Int32[np.ndarray, "rows columns"]]:
    """Return bounds of the distances in each block: none is less, and none is more."""
    within = np.pad(depths, (0, queries - len(depths)), mode="edge").reshape(-1, _BLOCK)
    above = key_depths.reshape(-1, _BLOCK)
    nearest = within.min(axis=1)[:, None] - above.max(axis=1)[None, :]
    farthest = within.max(axis=1)[:, None] - above.min(axis=1)[None, :]
    return nearest, farthest


def _ordered(chosen: Bool[np.ndarray, "rows columns"]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return how many columns of each row are chosen, and which, those first."""
    counts = chosen.sum(axis=1, dtype=np.int32)
    columns = np.argsort(~chosen, axis=1, kind="stable").astype(np.int32)
    return torch.from_numpy(counts)[None, None], torch.from_numpy(columns)[None, None]


def _mark(query: torch.Tensor) -> tuple[torch.device, torch.dtype, int]:
    return query.device, query.dtype, query.shape[-1]


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), "no reason given")[:200]
