"""Packs of encoder–decoder models: source by source, each read by the encoder once.

Below one source the decoder is a causal network like any other, so what runs it is any executor
around a trunk that has the encoder's states.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int64
from transformers.cache_utils import Cache, DynamicCache, DynamicLayer, EncoderDecoderCache

from logpr._types import IntNodes
from logpr.models.hf.pieces import Executor, Piece, States
from logpr.models.hf.trunk import Trunk
from logpr.tokens.pack import ROOT, Pack

_Layer = tuple[
    Float[torch.Tensor, "1 key_heads keys width"], Float[torch.Tensor, "1 key_heads keys out"]
]


def by_source(pack: Pack) -> Iterator[tuple[tuple[int, ...], Piece]]:
    """Yield each source and what stands below it, a pack without sources; the unread are left out.

    Args:
        pack: with sources.
    """
    roots = np.flatnonzero(pack.parents == ROOT)
    stops = pack.ends[roots]
    first, last = np.searchsorted(pack.edge_nodes, roots), np.searchsorted(pack.edge_nodes, stops)
    of_root = np.asarray(pack.root_sources, dtype=np.int64)
    for source, source_ids in enumerate(pack.sources):
        mine = of_root == source
        edges = _ranges(first[mine], last[mine])
        if not len(edges):
            continue
        nodes = _ranges(roots[mine], stops[mine])
        parents = pack.parents[nodes]
        below = Pack(
            token_ids=pack.token_ids[nodes],
            parents=np.where(parents == ROOT, ROOT, np.searchsorted(nodes, parents)),
            depths=pack.depths[nodes],
            ends=np.searchsorted(nodes, pack.ends[nodes]).astype(np.int64),
            edge_nodes=np.searchsorted(nodes, pack.edge_nodes[edges]).astype(np.int64),
            edge_tokens=pack.edge_tokens[edges],
            end_ids=pack.end_ids,
        )
        yield source_ids, Piece(pack=below, edges=edges)


def _ranges(starts: IntNodes, stops: IntNodes) -> Int64[np.ndarray, " chosen"]:
    spans = zip(starts.tolist(), stops.tolist(), strict=True)
    parts = [np.arange(start, stop, dtype=np.int64) for start, stop in spans]
    return np.concatenate([*parts, np.empty(0, dtype=np.int64)])


@dataclass(frozen=True, slots=True)
class BySource:
    """Runs a pack source by source.

    `under` makes the executor below a source, from the trunk that has read it.
    """

    name: str
    trunk: Trunk
    under: Callable[[Trunk], Executor]

    def states(self, pack: Pack) -> Iterator[States]:
        """Yield the states below each source in turn.

        Args:
            pack: with sources.
        """
        for source_ids, piece in by_source(pack):
            for states in self.under(self.trunk.given(source_ids)).states(piece.pack):
                yield States(states.rows, piece.edges[states.edges], states.row_of_edge)


class CachedDecoder:
    """Calls a decoder with the cache of the tokens before.

    The keys and values of the encoder's states are computed in the first call and serve all rows of
    all further ones; only those of the decoder's own tokens are handed out and taken back.
    """

    __slots__ = ("_read", "_trunk")

    def __init__(self, trunk: Trunk) -> None:
        assert trunk.source is not None, "a decoder needs what an encoder has read"
        self._trunk = trunk
        self._read: list[_Layer] = []

    def __call__(
        self, token_ids: Int64[np.ndarray, "batch tokens"], cache: object
    ) -> tuple[Float[torch.Tensor, "batch tokens width"], object]:
        """Return the state after each token, and the cache of all tokens so far.

        Args:
            token_ids: the next tokens of each row.
            cache: of the tokens before them, changed in place; None at the start.

        Raises:
            ValueError: the decoder does not use the cache that it is given.
        """
        own = DynamicCache() if cache is None else cache
        assert isinstance(own, DynamicCache)
        before = own.get_seq_length()
        trunk = self._trunk
        both = EncoderDecoderCache(own, _spread(self._read, len(token_ids)))
        given = trunk.inputs(torch.from_numpy(token_ids).to(trunk.device))
        out = trunk.run(given | {"past_key_values": both}, use_cache=True)
        if own.get_seq_length() != before + token_ids.shape[1]:
            msg = "the decoder does not keep what it has read in the cache that it is given"
            raise ValueError(msg)
        if not self._read:
            self._read = _first_rows(both.cross_attention_cache)
        states: torch.Tensor = out.logits if trunk.whole else out.last_hidden_state
        return states, own


def _first_rows(cache: Cache) -> list[_Layer]:
    out: list[_Layer] = []
    for layer in cache.layers:
        if not isinstance(layer, DynamicLayer) or layer.keys is None or layer.values is None:
            msg = "the decoder does not keep keys and values of what the encoder has read"
            raise ValueError(msg)
        out.append((layer.keys[:1], layer.values[:1]))
    return out


def _spread(read: list[_Layer], rows: int) -> DynamicCache:
    """Return keys and values of the encoder's states for many rows, in the memory of one."""
    out = DynamicCache()
    for keys, values in read:
        layer = DynamicLayer()  # type: ignore[no-untyped-call]
        layer.lazy_initialization(keys, values)
        # Set, not handed to its `update`, which would copy them for every row.
        layer.keys, layer.values = keys.expand(rows, -1, -1, -1), values.expand(rows, -1, -1, -1)
        out.layers.append(layer)
    return out
