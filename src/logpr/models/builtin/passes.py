"""Rows that each see the prompt, a path of slots in a pool, and themselves: one forward pass.

The keys and values of the prompt are dense and shared by all. Those of each later token are one row
of a pool, and a row of the batch gathers its ancestors': attention is a softmax over both at once.
Within a layer the pass's keys and values are written before they are gathered, so that a row may
see earlier rows of the same pass.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from jaxtyping import Bool, Float, Int64

from logpr._types import IntNodes
from logpr.models._growth import NO_SLOT, Feed
from logpr.models.builtin.config import LlamaConfig
from logpr.models.builtin.packed import PathCache
from logpr.models.builtin.rotary import angles
from logpr.models.builtin.weights import Layer, Weights

States: TypeAlias = Float[np.ndarray, "nodes width"]

_TILE_ENTRIES = 2**17
"""Scores, or gathered keys, of the rows whose attention is computed together: what a core's cache
holds beside the weights."""

_FEW = 3
_SMALL = 16
"""Up to so many rows, and below so many, matmuls go ways of their own."""


@dataclass(frozen=True, slots=True)
class _Tile:
    """Rows start … stop − 1 of a chunk, the slots each sees in the order of depth, and its own.

    `hidden` marks places that stand for nothing (they name the row's own slot, which is finite);
    None where there is none.
    """

    rows: slice
    slots: Int64[np.ndarray, "nodes places"]
    hidden: Bool[np.ndarray, "places nodes"] | None


class Pools:
    """The keys and values of the tokens after a prompt, slot by slot, and the passes over them.

    Args:
        weights: the model's arrays.
        config: its shape.
        prompt: keys and values of what comes before.
    """

    def __init__(self, weights: Weights, config: LlamaConfig, prompt: PathCache) -> None:
        self._weights = weights
        self._config = config
        self._prompt = prompt
        self._dtype = weights.embedding.dtype
        self._shared_width = config.kv_heads * config.head_dim
        empty = np.empty((0, self._shared_width), dtype=self._dtype)
        self._keys = [empty] * config.layers
        self._values = [empty] * config.layers
        # Cosines and signed sines of each depth, side by side for all heads that are turned.
        turned = (config.heads + config.kv_heads) * config.head_dim
        self._cos = np.empty((0, turned), dtype=self._dtype)
        self._sin = np.empty((0, turned), dtype=self._dtype)

    @property
    def nbytes(self) -> int:
        """Memory that keys and values take, the prompt's among them."""
        every = (*self._keys, *self._values, self._prompt.keys, self._prompt.values)
        return sum(part.nbytes for part in every)

    def make_room(self, slots: int) -> None:
        """Let there be at least so many slots; what the others hold stays.

        Args:
            slots: how many.
        """
        have = len(self._keys[0])
        if have < slots:
            # Array by array, so that no more than one of them is there twice.
            for pool in (self._keys, self._values):
                for number, old in enumerate(pool):
                    pool[number] = np.empty((slots, self._shared_width), dtype=self._dtype)
                    pool[number][:have] = old

    def run(self, feed: Feed, some: slice) -> Float[np.ndarray, "wanted width"]:
        """Run some rows through all layers; return the normed states of those that are wanted.

        Args:
            feed: the rows, parents before children; there is room for their slots.
            some: which of them; those before have been run.
        """
        config = self._config
        slots, depths = feed.slots[some], feed.depths[some]
        first_wanted = max(int(feed.wanted[0]) - some.start, 0)
        wanted = slice(min(first_wanted, len(slots)), len(slots))
        cos, sin = self._turns(depths)
        tiles = self._tiles(feed.ancestors[some], slots, depths, slice(0, len(slots)))
        turned = (config.heads + config.kv_heads) * config.head_dim
        queries = config.heads * config.head_dim
        x: States = self._weights.embedding[feed.token_ids[some]]
        for number, layer in enumerate(self._weights.layers):
            both = _linear(_normed(x, layer.attention_norm, config.eps), layer.qkv, layer.qkv_bias)
            qk = both[:, :turned]
            _turn(qk, cos, sin, config.head_dim)
            self._keys[number][slots] = qk[:, queries:]
            self._values[number][slots] = both[:, turned:]
            if number == config.layers - 1 and wanted.start > 0:
                # Nobody reads the others any more.
                x, both = x[wanted], both[wanted]
                tiles = self._tiles(feed.ancestors[some], slots, depths, wanted)
            mixed = self._attention(number, both[:, :queries], tiles)
            x += _linear(mixed, layer.out, layer.out_bias)
            x += _mlp(layer, config, _normed(x, layer.mlp_norm, config.eps))
        return _normed(x, self._weights.norm, config.eps)

    def _attention(
        self,
        number: int,
        queries: Float[np.ndarray, "nodes joined"],
        tiles: list[_Tile],
    ) -> Float[np.ndarray, "nodes joined"]:
        """Return each row's mixture of values, heads side by side; the queries come scaled."""
        config = self._config
        shared, size = config.kv_heads, config.head_dim
        split = queries.reshape(len(queries), shared, config.heads // shared, size)
        out = np.empty(split.shape, dtype=self._dtype)
        for tile in tiles:
            _mix(
                split[tile.rows],
                (self._prompt.keys[number], self._prompt.values[number]),
                (
                    self._keys[number].take(tile.slots, axis=0),
                    self._values[number].take(tile.slots, axis=0),
                ),
                tile.hidden,
                out[tile.rows],
            )
        return out.reshape(queries.shape)

    def _tiles(
        self,
        ancestors: Int64[np.ndarray, "nodes depths"],
        slots: IntNodes,
        depths: IntNodes,
        some: slice,
    ) -> list[_Tile]:
        """Cut some rows of a chunk into tiles whose attention fits the cache."""
        config = self._config
        tiles: list[_Tile] = []
        first = some.start
        while first < some.stop:
            deepest = int(depths[first : some.stop].max())
            seen = config.heads * (len(self._prompt) + deepest + 1)
            entries = max(seen, (deepest + 1) * self._shared_width)
            stop = min(first + max(_TILE_ENTRIES // entries, 1), some.stop)
            deepest = int(depths[first:stop].max())
            own = slots[first:stop, None]
            places = np.concatenate([ancestors[first:stop, :deepest], own], axis=1)
            hidden = None
            if int(depths[first:stop].min()) < deepest:
                empty = places == NO_SLOT
                places = np.where(empty, own, places)
                hidden = np.ascontiguousarray(empty.T)
            tiles.append(_Tile(slice(first - some.start, stop - some.start), places, hidden))
            first = stop
        return tiles

    def _turns(
        self, depths: IntNodes
    ) -> tuple[Float[np.ndarray, "#nodes turned"], Float[np.ndarray, "#nodes turned"]]:
        """Return the cosines and signed sines of some depths, for queries and keys side by side."""
        low, high = int(depths.min()), int(depths.max())
        if high >= len(self._cos):
            # Twice as many as are needed now: depths come one after the other.
            most = self._config.context_length - len(self._prompt)
            self._make_turns(min(2 * (high + 8), max(most, high + 1)))
        if low == high:
            return self._cos[low : low + 1], self._sin[low : low + 1]
        return self._cos[depths], self._sin[depths]

    def _make_turns(self, count: int) -> None:
        config = self._config
        positions = len(self._prompt) + np.arange(count)
        turns = angles(config.rotary, config.head_dim, positions)
        cos, sin = np.cos(turns), np.sin(turns)
        one_cos, one_sin = np.hstack([cos, cos]), np.hstack([-sin, sin])
        # Queries come out divided by the root of the head's size.
        scale = np.repeat([config.head_dim**-0.5, 1.0], [config.heads, config.kv_heads])
        self._cos = np.kron(scale, one_cos).astype(self._dtype)
        self._sin = np.kron(scale, one_sin).astype(self._dtype)


def _mix(
    queries: Float[np.ndarray, "nodes kv_heads group head"],
    prompt: tuple[
        Float[np.ndarray, "kv_heads positions head"], Float[np.ndarray, "kv_heads positions head"]
    ],
    path: tuple[Float[np.ndarray, "nodes places joined"], Float[np.ndarray, "nodes places joined"]],
    hidden: Bool[np.ndarray, "places nodes"] | None,
    out: Float[np.ndarray, "nodes kv_heads group head"],
) -> None:
    """Write the mixtures of values of one tile: softmax over the prompt and the path together."""
    count, shared, group, size = queries.shape
    keys, values = (
        part.reshape(count, part.shape[1], shared, size).transpose(0, 2, 1, 3) for part in path
    )
    before, places = prompt[0].shape[1], keys.shape[2]
    # The rows come last: whatever runs along the keys then runs over whole lines of memory.
    scores = np.empty((shared, group, before + places, count), dtype=queries.dtype)
    np.matmul(prompt[0][:, None], queries.transpose(1, 2, 3, 0), out=scores[:, :, :before])
    scores[:, :, before:] = (queries @ keys.transpose(0, 1, 3, 2)).transpose(1, 2, 3, 0)
    if hidden is not None:
        scores[:, :, before:][:, :, hidden] = -np.inf
    scores -= scores.max(axis=2, keepdims=True)
    np.exp(scores, out=scores)
    total = scores.sum(axis=2)
    shares = np.ascontiguousarray(scores[:, :, before:].transpose(3, 0, 1, 2))
    np.matmul(
        scores[:, :, :before].transpose(0, 1, 3, 2),
        prompt[1][:, None],
        out=out.transpose(1, 2, 0, 3),
    )
    out += shares @ values
    out /= total.transpose(2, 0, 1)[..., None]


def _normed(x: States, scale: Float[np.ndarray, " width"], eps: float) -> States:
    mean_square = np.einsum("nw,nw->n", x, x)[:, None] / x.dtype.type(x.shape[1])
    out: States = x * (1.0 / np.sqrt(mean_square + x.dtype.type(eps)))
    out *= scale
    return out


def _turn(
    x: Float[np.ndarray, "nodes turned"],
    cos: Float[np.ndarray, "#nodes turned"],
    sin: Float[np.ndarray, "#nodes turned"],
    size: int,
) -> None:
    """Turn queries and keys in place; `sin` has the sign that entry i of a pair meets."""
    pairs = x.reshape(len(x), -1, 2, size // 2)  # entry i pairs with entry i + size/2
    swapped = np.empty(pairs.shape, dtype=x.dtype)
    swapped[...] = pairs[:, :, ::-1]
    flat = swapped.reshape(x.shape)
    flat *= sin
    x *= cos
    x += flat


def _mlp(layer: Layer, config: LlamaConfig, x: States) -> States:
    both = _linear(x, layer.gate_up, layer.gate_up_bias)
    gate, up = both[:, : config.inner], both[:, config.inner :]
    share = np.negative(gate)
    with np.errstate(over="ignore"):  # exp(+large) is inf, and x / inf is 0 as it should be
        np.exp(share, out=share)
    share += 1.0
    np.divide(gate, share, out=share)
    share *= up
    return _linear(share, layer.down, layer.down_bias)


def _linear(
    x: Float[np.ndarray, "nodes in"],
    matrix: Float[np.ndarray, "out in"],
    bias: Float[np.ndarray, " out"] | None,
) -> Float[np.ndarray, "nodes out"]:
    out = times(x, matrix)
    if bias is not None:
        out += bias
    return out


def times(
    x: Float[np.ndarray, "nodes in"],
    matrix: Float[np.ndarray, "out in"],
    out: Float[np.ndarray, "nodes out"] | None = None,
) -> Float[np.ndarray, "nodes out"]:
    """Return x @ matrix.T, the way that is fastest for so many rows.

    Measured with OpenBLAS: two or three rows take twice as long together as one by one, and other
    small numbers a third longer than the next multiple of four.

    Args:
        x: any number of rows.
        matrix: of a linear layer, or the head.
        out: where the product is wanted; a new array where it does not matter.
    """
    rows = len(x)
    if rows == 1 or rows >= _SMALL or (rows > _FEW and rows % 4 == 0):
        return np.asarray(np.matmul(x, matrix.T, out=out))
    if rows <= _FEW:
        product: Float[np.ndarray, "nodes out"] = np.matmul(x[:, None], matrix.T)[:, 0]
    else:
        filled = np.zeros((rows + -rows % 4, x.shape[1]), dtype=x.dtype)
        filled[:rows] = x
        product = np.matmul(filled, matrix.T)[:rows]
    if out is None:
        return product
    out[...] = product
    return out
