"""The byte spellings of a vocabulary as a trie, walked beside an automaton over bytes."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int32, Int64, UInt8

from logpr.decoding.constraints._nfa import DEAD
from logpr.tokens.base import Tokenizer


@dataclass(frozen=True, slots=True)
class Pieces:
    """A trie of byte strings, breadth first: the children of a node stand next to each other.

    Attributes:
        bytes: the byte that leads to each node; the root, node 0, has none.
        first_child: the first child of each node, and one past the last of the last node.
        first_token: where in `tokens` the ones spelled by each node begin, and the end.
        tokens: token ids by node.
    """

    bytes: UInt8[np.ndarray, " nodes"]
    first_child: Int64[np.ndarray, " edges"]
    first_token: Int64[np.ndarray, " edges"]
    tokens: Int64[np.ndarray, " tokens"]

    @property
    def single(self) -> UInt8[np.ndarray, " bytes"]:
        """Return the bytes that are tokens by themselves."""
        children = np.arange(self.first_child[0], self.first_child[1])
        is_token = self.first_token[children] < self.first_token[children + 1]
        found: UInt8[np.ndarray, " bytes"] = self.bytes[children[is_token]]
        return found

    def walk(
        self, table: Int32[np.ndarray, "nodes bytes"], state: int
    ) -> tuple[Int64[np.ndarray, " tokens"], Int64[np.ndarray, " tokens"]]:
        """Return the tokens whose bytes can all be read from a state, ascending, and where to.

        Args:
            table: the state after each byte, −1 for none.
            state: where to begin.
        """
        nodes = np.zeros(1, dtype=np.int64)
        states = np.full(1, state, dtype=np.int32)
        found: list[Int64[np.ndarray, " tokens"]] = []
        after: list[Int64[np.ndarray, " tokens"]] = []
        while nodes.size:
            places, owners = _spans(self.first_token[nodes], self.first_token[nodes + 1])
            found.append(self.tokens[places])
            after.append(states[owners].astype(np.int64))
            nodes, owners = _spans(self.first_child[nodes], self.first_child[nodes + 1])
            states = table[states[owners], self.bytes[nodes]]
            alive = states != DEAD
            nodes, states = nodes[alive], states[alive]
        tokens = np.concatenate(found)
        order = np.argsort(tokens)
        return tokens[order], np.concatenate(after)[order]


def _spans(
    starts: Int64[np.ndarray, " nodes"], stops: Int64[np.ndarray, " nodes"]
) -> tuple[Int64[np.ndarray, " edges"], Int64[np.ndarray, " edges"]]:
    """Return all places from start to stop, span by span, and the span that each is of."""
    sizes = stops - starts
    owners = np.repeat(np.arange(sizes.size), sizes)
    before = np.cumsum(sizes) - sizes
    return np.arange(owners.size) + (starts - before)[owners], owners


@functools.lru_cache(maxsize=4)
def pieces_of(tokenizer: Tokenizer, vocab_size: int, left_out: frozenset[int]) -> Pieces:
    """Return the trie of all tokens that stand for text.

    Special tokens and others without text are left out: with a token that adds no text, every text
    would have endlessly many spellings.

    Args:
        tokenizer: says what bytes a token stands for in the middle of a text.
        vocab_size: rows of the model; a tokenizer may know more tokens, or fewer.
        left_out: further ids, such as end tokens.
    """
    special = tokenizer.special_ids | left_out
    spelled = sorted(
        (raw, token)
        for token in range(min(vocab_size, tokenizer.vocab_size))
        if token not in special and (raw := tokenizer.token_bytes(token))
    )
    tokens = np.array([token for _, token in spelled], dtype=np.int64)
    lengths = np.array([len(raw) for raw, _ in spelled], dtype=np.int64)
    offsets = np.cumsum(lengths) - lengths
    joined = np.frombuffer(b"".join(raw for raw, _ in spelled), dtype=np.uint8)

    node_of = np.zeros(tokens.size, dtype=np.int64)  # the node that each spelling has come to
    steps = [np.zeros(1, dtype=np.uint8)]
    parents = [np.zeros(0, dtype=np.int64)]
    size = 1
    rows = np.arange(tokens.size)
    depth = 0
    while rows.size:
        byte = joined[offsets[rows] + depth]
        parent = node_of[rows]
        fresh = np.ones(rows.size, dtype=bool)
        fresh[1:] = (parent[1:] != parent[:-1]) | (byte[1:] != byte[:-1])
        node_of[rows] = size + np.cumsum(fresh) - 1
        steps.append(byte[fresh])
        parents.append(parent[fresh])
        size += int(fresh.sum())
        depth += 1
        rows = rows[lengths[rows] > depth]
    ends = np.arange(size + 1)
    order = np.argsort(node_of, kind="stable")
    return Pieces(
        bytes=np.concatenate(steps),
        # Breadth first and sorted, so that parents ascend: the first child is found by halving.
        first_child=1 + np.searchsorted(np.concatenate(parents), ends),
        first_token=np.searchsorted(node_of[order], ends),
        tokens=tokens[order],
    )
