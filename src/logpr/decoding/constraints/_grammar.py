"""Constraints on the text of an output: an automaton over bytes times the vocabulary."""

from __future__ import annotations

from collections import OrderedDict
from typing import TypeAlias, final

import numpy as np
from jaxtyping import Bool, Int64

from logpr.decoding.constraints._nfa import DEAD, ByteAutomaton
from logpr.decoding.constraints._pieces import Pieces

_Steps: TypeAlias = tuple[Int64[np.ndarray, " tokens"], Int64[np.ndarray, " tokens"]]

_MOST_KEPT = 4_000_000
"""Steps that are kept to be asked for again: 64 MB."""


@final
class TextAutomaton:
    """All token sequences whose bytes, one token after the other, are a text that is accepted.

    Every spelling of a text counts, not only the tokenizer's own. A state is one of the automaton
    over bytes; its steps are found when they are first asked for, by walking the vocabulary's trie
    from it, so that a search pays for the states that it comes to.

    Args:
        name: what the constraint is.
        texts: the texts that are accepted.
        pieces: the vocabulary.
    """

    def __init__(self, name: str, texts: ByteAutomaton, pieces: Pieces) -> None:
        self._name = name
        self._texts = texts
        self._pieces = pieces
        self._kept: OrderedDict[int, _Steps] = OrderedDict()
        self._kept_size = 0
        self._alive = self._leading_on() if texts.start != DEAD else np.zeros(0, dtype=bool)

    @property
    def name(self) -> str:
        return self._name

    @property
    def start(self) -> int:
        return max(self._texts.start, 0)

    def accepts(self, state: int) -> bool:
        return bool(self._texts.accepting[state])

    def steps(self, state: int) -> _Steps:
        known = self._kept.get(state)
        if known is not None:
            self._kept.move_to_end(state)
            return known
        if not (self._alive.size and self._alive[state]):
            return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
        tokens, after = self._pieces.walk(self._texts.table, state)
        leads = self._alive[after]
        if not leads.all():
            tokens, after = tokens[leads], after[leads]
        tokens.flags.writeable = after.flags.writeable = False  # callers share them
        self._keep(state, (tokens, after))
        return tokens, after

    def _keep(self, state: int, found: _Steps) -> None:
        self._kept[state] = found
        self._kept_size += found[0].size
        while self._kept_size > _MOST_KEPT and len(self._kept) > 1:
            _, (tokens, _) = self._kept.popitem(last=False)
            self._kept_size -= tokens.size

    def _leading_on(self) -> Bool[np.ndarray, " nodes"]:
        """Return which states lead to an accepting one by tokens that there are.

        Bytes that are tokens settle nearly all states where a vocabulary has them; the rest are
        walked.
        """
        table = self._texts.table
        alive = self._texts.accepting.copy()
        one_by_one = table[:, np.unique(self._pieces.single)]
        sources, columns = np.nonzero(one_by_one != DEAD)
        _spread(alive, sources, one_by_one[sources, columns].astype(np.int64))
        open_states = np.flatnonzero(~alive & (table != DEAD).any(axis=1))
        if not open_states.size:
            return alive
        ends = [np.unique(self._pieces.walk(table, int(state))[1]) for state in open_states]
        _spread(alive, np.repeat(open_states, [end.size for end in ends]), np.concatenate(ends))
        return alive


def _spread(
    alive: Bool[np.ndarray, " nodes"],
    sources: Int64[np.ndarray, " edges"],
    targets: Int64[np.ndarray, " edges"],
) -> None:
    """Mark every state from which a marked one is reached, in place."""
    order = np.argsort(targets, kind="stable")
    sources = sources[order]
    first = np.searchsorted(targets[order], np.arange(alive.size + 1))
    stack = np.flatnonzero(alive).tolist()
    while stack:
        state = stack.pop()
        for source in sources[first[state] : first[state + 1]].tolist():
            if not alive[source]:
                alive[source] = True
                stack.append(source)
