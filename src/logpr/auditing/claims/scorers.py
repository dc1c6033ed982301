"""What a scorer is, to whoever runs one and audits what it says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeAlias, runtime_checkable

from logpr._values import Query

Scorer: TypeAlias = Callable[[str, list[Any]], Any]
"""(prompt, candidates) -> scores, or (scores, one list of token scores a candidate)."""


@runtime_checkable
class ManyScorer(Protocol):
    """A scorer that is given all requests at once, as a batched one is."""

    def many(self, queries: Sequence[Query]) -> Sequence[Sequence[float]]:
        """Return the scores of each query's candidates."""
        ...
