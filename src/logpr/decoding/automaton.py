"""The seam to constraints: an automaton over tokens, walked beside the model."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Int64


@runtime_checkable
class Automaton(Protocol):
    """The set of token sequences that are allowed, read token by token.

    States are whole numbers. Every state that can be reached leads to an accepting one by some
    tokens; there are no end tokens among the steps.
    """

    @property
    def name(self) -> str:
        """What the constraint is, in the words of the caller."""
        ...

    @property
    def start(self) -> int:
        """The state before the first token."""
        ...

    def steps(
        self, state: int
    ) -> tuple[Int64[np.ndarray, " tokens"], Int64[np.ndarray, " tokens"]]:
        """Return the tokens that may follow, ascending, and the state after each.

        Args:
            state: one that was reached.
        """
        ...

    def accepts(self, state: int) -> bool:
        """Return whether an output may end here.

        Args:
            state: one that was reached.
        """
        ...
