"""A random trie to try an executor on, and the plain way to run it: one sequence at a time.

The trie has what breaks executors: several roots, shared stems, siblings, long chains, questions
asked in one row together, and paths of different lengths that end next to each other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from logpr._types import IntEdges, IntNodes
from logpr.models.base import EdgeScores
from logpr.tokens.pack import ROOT, Pack
from logpr.tokens.trie import TokenTrie

_DEPTH = 48
"""Deep enough for rotary angles to differ; the plain run costs the sum of all path lengths."""

_NEW_ROOT = 0.2
_LONG_CHAIN = 0.5
"""How often a path starts a sequence of its own, and how often it runs to the full depth."""

_SIBLINGS = 3

_PATIENCE = 64
"""Paths in a row that bring nothing new before a tiny vocabulary counts as exhausted."""


@dataclass(frozen=True, slots=True)
class PlainPath:
    """One sequence to run by itself, and the edges of the pack that are read from it.

    Edge `edges[j]` is asked in the row after token `positions[j]` of `token_ids`.
    """

    token_ids: IntNodes
    edges: IntEdges
    positions: IntEdges


def probe_pack(
    vocab_size: int,
    context_length: int,
    *,
    edges: int = 1024,
    seed: int = 0,
    sources: Sequence[tuple[int, ...]] = (),
) -> Pack:
    """Return a random trie with at least `edges` edges, none of them at ROOT; the same for a seed.

    A vocabulary or context too small for that many gives as many as were found.

    Args:
        vocab_size: ids are drawn from 0 to this, exclusive.
        context_length: no path is longer than this, nor than 48.
        edges: how many questions are wanted.
        seed: of the NumPy generator.
        sources: what an encoder reads: each sequence stands below one of them, some below two.
    """
    draw = np.random.default_rng(seed)
    depth = min(context_length, _DEPTH)
    trie = TokenTrie()
    asked: set[tuple[tuple[int, ...], tuple[int, ...], int]] = set()
    paths: list[tuple[int, ...]] = []
    idle = 0
    while len(asked) < edges and idle < _PATIENCE:
        before = len(asked)
        stem = _stem(draw, paths, depth)
        tail = depth - len(stem) if draw.random() < _LONG_CHAIN else int(draw.integers(1, 13))
        length = max(1, min(depth - len(stem), tail))
        path = stem + tuple(draw.integers(0, vocab_size, length).tolist())
        paths.append(path)
        source = sources[int(draw.integers(0, len(sources)))] if sources else ()
        # Each token fed below the stem is asked about, and beside it siblings that are not fed: a
        # row costs a whole pass through the network, a question in it next to nothing.
        for place in range(max(1, len(stem)), len(path) + 1):
            context = path[:place]
            siblings = draw.integers(0, vocab_size, _SIBLINGS).tolist()
            for token in (*path[place : place + 1], *siblings):
                trie.ask(context, (token,), source=source)
                asked.add((source, context, token))
        idle = idle + 1 if len(asked) == before else 0
    return trie.pack()[0]


def _stem(draw: np.random.Generator, paths: list[tuple[int, ...]], depth: int) -> tuple[int, ...]:
    """Return what the next path shares with an earlier one; a new root shares nothing."""
    if not paths or draw.random() < _NEW_ROOT:
        return ()
    path = paths[int(draw.integers(0, len(paths)))]
    return path[: int(draw.integers(1, min(len(path), depth - 1) + 1))] if depth > 1 else ()


def plain_paths(pack: Pack) -> Iterator[PlainPath]:
    """Yield the sequences that together answer every edge of `pack`, each edge once.

    Sequences run from the root to a leaf, or to the last edge before it; edges at ROOT follow no
    token, so they are on none.

    Args:
        pack: any pack.
    """
    starts = np.searchsorted(pack.edge_nodes, np.arange(len(pack) + 1))
    answered = np.zeros(len(pack), dtype=np.bool_)
    for leaf in range(len(pack)):
        if pack.ends[leaf] > leaf + 1:
            continue
        nodes: list[int] = []
        node = leaf
        while node != ROOT:
            nodes.append(node)
            node = int(pack.parents[node])
        nodes.reverse()
        edges: list[int] = []
        positions: list[int] = []
        for position, node in enumerate(nodes):
            if not answered[node]:
                answered[node] = True
                here = range(int(starts[node]), int(starts[node + 1]))
                edges.extend(here)
                positions.extend(position for _ in here)
        if edges:
            yield PlainPath(
                token_ids=pack.token_ids[nodes[: positions[-1] + 1]],
                edges=np.asarray(edges, dtype=np.int64),
                positions=np.asarray(positions, dtype=np.int64),
            )


def largest_difference(a: EdgeScores, b: EdgeScores) -> float:
    """Return max_j |a_j − b_j| of two answers to one pack, in nats.

    Two equal infinities differ by 0; nan on either side counts as an infinite difference.

    Args:
        a: scores of a pack's edges.
        b: other scores of the same edges.
    """
    with np.errstate(invalid="ignore"):
        differences = np.where(a.logprob == b.logprob, 0.0, np.abs(a.logprob - b.logprob))
    differences[np.isnan(differences)] = np.inf
    return float(differences.max(initial=0.0))
