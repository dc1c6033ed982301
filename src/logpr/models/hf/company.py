"""Whether a model gives the same tokens the same bits in any company: tried at load.

What a library does with a matrix of fixed shape is its own affair; most often a row's result does
not depend on where it stands and beside what, and layers that send tokens to experts make products
of other shapes. So two paths, one short and one of more than a block, are scored alone and then in
company of all kinds.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from transformers import PreTrainedModel

from logpr._types import FloatEdges, IntEdges, IntNodes
from logpr.errors import ModelLoadError
from logpr.models.base import NO_EVIDENCE
from logpr.models.hf.head import Head
from logpr.models.hf.invariant import Invariant
from logpr.models.hf.kept import PrefixStore
from logpr.models.hf.probe import Choice
from logpr.models.hf.scoring import score_pack
from logpr.models.hf.tiles import BLOCK, ROWS
from logpr.tokens.pack import ROOT, Pack
from logpr.tokens.trie import TokenTrie, pack_of_sequences

KINDS = (
    "among other tokens",
    "among many equal tokens",
    "where a pass ends within them",
    "beside branches of the same stem",
    "after a prefix that is held",
)
"""The kinds of company, for people."""

_LENGTHS = (6, BLOCK + 16)

_BRANCHES = 8

_MORE = 4
"""Other tokens between two copies of a path, at most: each copy stands at another remainder."""


@dataclass(frozen=True, slots=True)
class _Company:
    """A pack in which a path stands once or more, and the edges of its last questions each time.

    `before` is a pack that is scored first, and whose keys are held; None holds nothing.
    """

    words: str
    pack: Pack
    edges: list[IntEdges]
    before: Pack | None = None


def invariant_length(
    choice: Choice,
    head: Head,
    model: PreTrainedModel,
    *,
    vocab_size: int,
    context_length: int,
) -> int:
    """Return the longest context in which tokens get the same bits in any company.

    Args:
        choice: of the probe, for passes of fixed shape.
        head: of the same model, with fixed rows.
        model: for messages.
        vocab_size: ids that can be fed.
        context_length: of the model.

    Raises:
        ModelLoadError: there is none.
        ModelOutputError: the network fails.
    """
    executor = choice.executor
    reason = next(one.reason for one in choice.tried if one.executor != "plain")
    if isinstance(executor, Invariant):
        longest = min(context_length, executor.limit or context_length)
        broken = broken_by(executor, head, vocab_size=vocab_size, context_length=longest)
        if broken is None:
            return longest
        reason = f"the same tokens get other bits {broken} than alone"
    msg = (
        f"batch_invariant=True cannot be kept by {type(model).__name__} in {model.dtype}: "
        f"{reason}; leave it out, or take a model whose layers treat every token alike, such as "
        f"Llama, Qwen or GPT-2"
    )
    raise ModelLoadError(msg)


def broken_by(
    executor: Invariant, head: Head, *, vocab_size: int, context_length: int
) -> str | None:
    """Return in which company tokens get other bits; None where they do in none.

    Args:
        executor: of the model.
        head: of the same model, with fixed rows.
        vocab_size: ids are drawn from 0 to this, exclusive.
        context_length: no path is longer than this.

    Raises:
        ModelOutputError: the network fails.
    """
    draw = np.random.default_rng(0)
    for length in _LENGTHS:
        path = draw.integers(0, vocab_size, max(2, min(length, context_length))).tolist()
        alone: FloatEdges | None = None
        for company in _companies(path, draw, vocab_size):
            store = None if company.before is None else PrefixStore(sys.maxsize)
            with executor.storing(store):
                if company.before is not None:
                    score_pack(executor, head, company.before, NO_EVIDENCE)
                logprob = score_pack(executor, head, company.pack, NO_EVIDENCE).logprob
            for edges in company.edges:
                alone = logprob[edges] if alone is None else alone
                if not np.array_equal(logprob[edges], alone[-len(edges) :]):
                    return company.words
    return None


def _companies(
    path: Sequence[int], draw: np.random.Generator, vocab_size: int
) -> Iterator[_Company]:
    """Yield packs in which the path stands, first of all alone."""

    def token() -> Pack:
        return _pack([int(draw.integers(0, vocab_size))], [0])

    others, equal, cut, stem_shared, prefix_held = KINDS
    alone = _pack(path[:1], path[1:])
    size = len(alone)
    yield _beside("alone", [alone], alone)
    mixed: list[Pack] = []
    for _ in range(max(2, ROWS // (size + _MORE))):
        mixed += [*(token() for _ in range(int(draw.integers(1, _MORE + 1)))), alone]
    yield _beside(others, mixed, alone)
    yield _beside(equal, [*[token()] * (ROWS - size), alone], alone)
    # Two passes share the rows evenly, so that the first ends in the middle.
    before, after = ([token() for _ in range(ROWS // 2)] for _ in range(2))
    yield _beside(cut, [*before, alone, *after], alone)
    trie = TokenTrie()
    asked: tuple[int, ...] = ()
    for number, place in enumerate(draw.integers(1, len(path), _BRANCHES).tolist()):
        if number == _BRANCHES // 2:
            asked = trie.ask(path[:1], path[1:])
        other = draw.integers(0, vocab_size, len(path) - place).tolist()
        trie.ask(path[:1], [*path[1:place], *other])
    branching, places = trie.pack()
    own = np.asarray([places[edge] for edge in asked], dtype=np.int64)
    yield _Company(stem_shared, branching, [own])
    half = len(path) // 2
    stem, tail = _pack(path[:half], [0]), _pack(path[:half], path[half:])
    yield replace(_beside(prefix_held, [tail], tail), before=stem)


def _pack(context: Sequence[int], continuation: Sequence[int]) -> Pack:
    return pack_of_sequences([context], [continuation])[0]


def _beside(words: str, packs: Sequence[Pack], path: Pack) -> _Company:
    """Return packs side by side as one; unlike in a trie the same path may stand there twice."""
    nodes = np.cumsum([0, *(len(one) for one in packs)])
    edges = np.cumsum([0, *(len(one.edge_nodes) for one in packs)])

    def joined(parts: Iterable[IntNodes]) -> IntNodes:
        return np.concatenate(list(parts))

    at = list(zip(packs, nodes.tolist(), strict=False))
    pack = Pack(
        token_ids=joined(one.token_ids for one in packs),
        parents=joined(np.where(one.parents == ROOT, ROOT, one.parents + n) for one, n in at),
        depths=joined(one.depths for one in packs),
        ends=joined(one.ends + n for one, n in at),
        edge_nodes=joined(one.edge_nodes + n for one, n in at),
        edge_tokens=joined(one.edge_tokens for one in packs),
    )
    own = [np.arange(edges[i], edges[i + 1]) for i, one in enumerate(packs) if one is path]
    return _Company(words, pack, own)
