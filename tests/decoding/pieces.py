"""A tokenizer that is nothing but its pieces, and a walk over everything an automaton allows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import numpy as np

from logpr.decoding.automaton import Automaton
from logpr.tokens.base import SpecialSpan


@final
class PieceTokenizer:
    """Token i stands for the i-th bytes; `special` ones stand for no text. It does not encode."""

    bos_id = None
    adds_bos = False
    eos_id = None
    unk_id = None
    chat_template = None
    digest = "sha256:pieces"

    def __init__(self, pieces: Sequence[bytes], special: Sequence[int] = ()) -> None:
        self._pieces = tuple(pieces)
        self.special_ids = frozenset(special)
        self.vocab_size = len(self._pieces)

    def token_bytes(self, token: int) -> bytes:
        """Return the piece."""
        return b"" if token in self.special_ids else self._pieces[token]

    def token_text(self, token: int) -> str:
        """Return the piece as text."""
        return self.token_bytes(token).decode(errors="replace")

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of pieces."""
        return b"".join(map(self.token_bytes, ids)).decode(errors="replace")

    def normalise(self, text: str, *, start: bool = True) -> str:
        """Return the text."""
        del start
        return text

    def encode(self, text: str, *, parse_special: bool, start: bool = True) -> tuple[int, ...]:
        """Refuse: what an automaton allows does not hang on how a text is usually cut."""
        raise NotImplementedError(text, parse_special, start)

    def special_spans(self, text: str) -> tuple[SpecialSpan, ...]:
        """Refuse, as `encode`."""
        raise NotImplementedError(text)

    def encode_around(
        self, text: str, specials: Sequence[SpecialSpan], *, start: bool = True
    ) -> tuple[int, ...]:
        """Refuse, as `encode`."""
        raise NotImplementedError(text, specials, start)


def allowed(automaton: Automaton, longest: int) -> set[tuple[int, ...]]:
    """Return every sequence of at most `longest` tokens that an automaton allows.

    Each place that is come to is checked against the promises of `Automaton.steps`.
    """
    out: set[tuple[int, ...]] = set()
    layer: list[tuple[tuple[int, ...], int]] = [((), automaton.start)]
    for length in range(longest + 1):
        out |= {sequence for sequence, state in layer if automaton.accepts(state)}
        if length == longest:
            break
        following = []
        for sequence, state in layer:
            tokens, states = automaton.steps(state)
            assert tokens.dtype == states.dtype == np.int64
            assert tokens.shape == states.shape
            assert (np.diff(tokens) > 0).all()
            following += [
                ((*sequence, token), after)
                for token, after in zip(tokens.tolist(), states.tolist(), strict=True)
            ]
        layer = following
    return out


def reached(automaton: Automaton) -> dict[int, set[int]]:
    """Return every state that can be come to, and those one token after each."""
    after: dict[int, set[int]] = {}
    waiting = [automaton.start]
    while waiting:
        state = waiting.pop()
        if state not in after:
            after[state] = set(automaton.steps(state)[1].tolist())
            waiting += after[state]
    return after


def takes(automaton: Automaton, sequence: Sequence[int]) -> bool:
    """Return whether a sequence is allowed."""
    state = automaton.start
    for token in sequence:
        tokens, states = automaton.steps(state)
        place = int(np.searchsorted(tokens, token))
        if place == tokens.size or tokens[place] != token:
            return False
        state = int(states[place])
    return automaton.accepts(state)
