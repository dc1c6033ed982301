"""What attends to what in a pass of fixed size: tiles of queries over blocks of their paths.

The positions of a sequence are cut into blocks of `BLOCK`. A token at position p sees the blocks
0 … ⌊p/BLOCK⌋ of its own path, of the last one only what is not after it. Every product is of one
shape, a tile of queries over one block, in which the key at position j stands in place j mod BLOCK.
Nothing in a token's own row of a tile depends on which other tokens share the tile or the pass.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int64

from logpr._types import IntNodes
from logpr.models.hf.plan import Past
from logpr.tokens.pack import Pack

ROWS = 256
"""Tokens in every forward pass, some of them padding: products of 256 rows are near full speed."""

BLOCK = 64
"""Positions in a block of keys."""

_WHOLE = 64
"""Queries in a tile over a block that all of them see whole."""

_OWN = 16
"""Queries in a tile over the block they lie in themselves: few, as each branch has its own."""

_TILES = 32
"""Tiles in a batched product at most: what is gathered for them stays within some megabytes."""

_BATCH = 16
"""Tiles in a batched product, some of them padding, where a library may choose its arithmetic by
their number: elsewhere than on a CPU."""


@dataclass(frozen=True, slots=True, eq=False)
class Tiles:
    """Tiles of one shape: their queries and keys, by place, and which of the queries count.

    `depths` are the positions of the queries, `first` that of each block's first key; `farthest` is
    the largest distance between a query and a key, `nearest` the smallest. A place where
    there is no key, or no query, holds some other one; the former is masked, the latter is not
    among `real`, the places in the flattened tiles whose rows are `rows`.
    """

    queries: Int64[torch.Tensor, "tiles queries"]
    keys: Int64[torch.Tensor, "tiles keys"]
    depths: Int64[torch.Tensor, "tiles queries"]
    first: Int64[torch.Tensor, " tiles"]
    real: Int64[torch.Tensor, " rows"]
    rows: Int64[torch.Tensor, " rows"]
    farthest: int
    nearest: int


@dataclass(frozen=True, slots=True, eq=False)
class TilePlan:
    """How the tokens of one pass attend.

    `whole` are the blocks seen whole, by position, and `own` those that the queries lie in, each in
    batches of tiles. Keys are numbered through `pasts` and then the row itself; `keep` are the rows
    to be held.
    """

    size: int
    whole: tuple[Tiles, ...]
    own: tuple[Tiles, ...]
    pasts: tuple[Past, ...]
    keep: Int64[torch.Tensor, " rows"] | None = None


@dataclass(slots=True)
class _Tile:
    rows: list[int]
    depths: list[int]
    keys: IntNodes
    first: int


def tile_plan(
    pack: Pack,
    device: torch.device,
    *,
    pasts: Sequence[Past] = (),
    keep: IntNodes | None = None,
) -> TilePlan:
    """Return how the rows of a pack attend in one pass of `ROWS` rows.

    Args:
        pack: 1 to `ROWS` nodes. One whose parent is not among them has the parent ROOT, and a depth
            that is not 0.
        device: where the queries will be.
        pasts: keys from before.
        keep: rows whose keys are to be held.
    """
    sizes = [past.places.stop - past.places.start for past in pasts]
    bases = np.cumsum([0, *sizes]).tolist()
    path = np.zeros(int(pack.depths.max()) + 1, dtype=np.int64)  # the key at each position
    begin: dict[int, list[int]] = {}
    for number, past in enumerate(pasts):
        begin.setdefault(past.rows.start, []).append(number)
    whole: list[list[_Tile]] = [[] for _ in range(len(path) // BLOCK + 1)]
    current: list[_Tile | None] = [None] * len(whole)
    own: list[_Tile] = []
    parents, depths = pack.parents.tolist(), pack.depths.tolist()
    for row, depth in enumerate(depths):
        for number in begin.get(row, ()):
            start, stop = pasts[number].first_depth, pasts[number].first_depth + sizes[number]
            path[start:stop] = np.arange(bases[number], bases[number + 1])
            for block in range(start // BLOCK, min((stop - 1) // BLOCK + 1, len(current))):
                current[block] = None
        path[depth] = bases[-1] + row
        block = depth // BLOCK
        current[block] = None
        for above in range(block):
            tile = current[above]
            if tile is None or len(tile.rows) == _WHOLE:
                first = above * BLOCK
                tile = _Tile([], [], path[first : first + BLOCK].copy(), first)
                whole[above].append(tile)
                current[above] = tile
            tile.rows.append(row)
            tile.depths.append(depth)
        goes_on = row > 0 and parents[row] == row - 1 and depth % BLOCK != 0
        if not goes_on or len(own[-1].rows) == _OWN:
            own.append(_Tile([], [], np.zeros(BLOCK, dtype=np.int64), block * BLOCK))
        own[-1].rows.append(row)
        own[-1].depths.append(depth)
        own[-1].keys[: depth % BLOCK + 1] = path[block * BLOCK : depth + 1]
    return TilePlan(
        size=ROWS,
        whole=tuple(one for tiles in whole for one in _batches(tiles, _WHOLE, device)),
        own=tuple(_batches(own, _OWN, device)),
        pasts=tuple(pasts),
        keep=None if keep is None else torch.from_numpy(keep).to(device),
    )


def _batches(tiles: list[_Tile], width: int, device: torch.device) -> Iterator[Tiles]:
    free = device.type == "cpu"
    size = _TILES if free else _BATCH
    for start in range(0, len(tiles), size):
        some = tiles[start : start + size]
        yield _batch(some, len(some) if free else size, width, device)


def _batch(tiles: list[_Tile], count: int, width: int, device: torch.device) -> Tiles:
    queries = np.zeros((count, width), dtype=np.int64)
    depths = np.zeros((count, width), dtype=np.int64)
    keys = np.zeros((count, BLOCK), dtype=np.int64)
    first = np.zeros(count, dtype=np.int64)
    real = np.zeros((count, width), dtype=np.bool_)
    for number, tile in enumerate(tiles):
        here = slice(0, len(tile.rows))
        queries[number, here] = tile.rows
        # The rest stands as deep as the first, and is dropped.
        depths[number] = tile.depths[0]
        depths[number, here] = tile.depths
        keys[number] = tile.keys
        first[number] = tile.first
        real[number, here] = True
    away = depths - first[:, None]
    return Tiles(
        queries=torch.from_numpy(queries).to(device),
        keys=torch.from_numpy(keys).to(device),
        depths=torch.from_numpy(depths).to(device),
        first=torch.from_numpy(first).to(device),
        real=torch.from_numpy(np.flatnonzero(real)).to(device),
        rows=torch.from_numpy(queries[real]).to(device),
        farthest=int(away.max()),
        nearest=int(away.min()) - BLOCK + 1,
    )
