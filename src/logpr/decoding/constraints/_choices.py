"""Constraints that name the outputs one by one: a trie of token sequences."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import final

import numpy as np
from jaxtyping import Int64

from logpr.errors import QueryError


@final
class ChoiceAutomaton:
    """The sequences that are given, and no others; the empty one may be among them.

    Args:
        name: what the constraint is.
        sequences: token ids of each choice.
        end_ids: tokens that end an output and are never part of it.
        vocab_size: rows of the model.

    Raises:
        QueryError: a choice holds an end token, or an id that the model has no row for.
    """

    def __init__(
        self,
        name: str,
        sequences: Sequence[Sequence[int]],
        *,
        end_ids: Collection[int],
        vocab_size: int,
    ) -> None:
        self._name = name
        self._children: list[dict[int, int]] = [{}]
        self._accepting: set[int] = set()
        for number, sequence in enumerate(sequences):
            state = 0
            for token in sequence:
                if token in end_ids or not 0 <= token < vocab_size:
                    raise QueryError(_refusal(number, token, token in end_ids, vocab_size))
                after = self._children[state].get(token)
                if after is None:
                    after = self._children[state][token] = len(self._children)
                    self._children.append({})
                state = after
            self._accepting.add(state)

    @property
    def name(self) -> str:
        return self._name

    @property
    def start(self) -> int:
        return 0

    def steps(
        self, state: int
    ) -> tuple[Int64[np.ndarray, " tokens"], Int64[np.ndarray, " tokens"]]:
        pairs = sorted(self._children[state].items())
        both = np.array(pairs, dtype=np.int64).reshape(-1, 2)
        return both[:, 0], both[:, 1]

    def accepts(self, state: int) -> bool:
        return state in self._accepting


def _refusal(number: int, token: int, is_end: bool, vocab_size: int) -> str:  # noqa: FBT001
    if is_end:
        return (
            f"choice {number} holds token {token}, an end token: it would end the output there and "
            f"is added to every output anyway; leave it out, or give end='open'"
        )
    return (
        f"choice {number} holds token {token}, and the model has {vocab_size}: ids are from 0 to "
        f"{vocab_size - 1}"
    )
