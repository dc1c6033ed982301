"""What a peer will have to run: to foresee its seconds, to choose its queries, to scale."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from benchmarks.engine import sampling
from benchmarks.engine.minimum import Work
from benchmarks.engine.roofline import BY_MM, Matmul, ideal_seconds
from benchmarks.engine.sampling import Part
from benchmarks.engine.workloads import Asked, Workload, fed_alone

ONCE = "lm-eval"
"""The peer that runs each context + continuation[:-1] once."""

SHARING = frozenset({"llama.cpp"})
"""Peers that run a prompt once for its candidates: they are timed on whole queries alone."""

_FORESEEN = 0.4
"""Share of the matmul rate that a peer is thought to reach before it was timed."""

_PATIENCE = 1.5
"""A single query may take so many times the limit before its sequences are sampled."""


def cost(peer: str, queries: Sequence[Asked]) -> Work:
    """Return the tokens and rows that a peer runs, padding not counted.

    Args:
        peer: its name.
        queries: what it is asked.
    """
    if peer in SHARING:
        tokens = rows = 0
        for query in queries:
            bodies = {candidate[:-1] for candidate in query.candidates}
            read = sum(map(len, bodies))
            tokens += len(query.prompt) + read
            rows += 1 + read
        return Work(tokens=tokens, rows=rows)
    if peer == ONCE:
        tokens = sum(
            len(query.prompt) + len(body)
            for query in queries
            for body in {candidate[:-1] for candidate in query.candidates}
        )
    else:
        tokens = fed_alone(queries)
    return Work(tokens=tokens, rows=tokens)  # every token's logits are computed


class Clock:
    """Foresees a peer's seconds from the matmul rates and what it reached of them so far."""

    def __init__(self, peer: str, matmuls: Sequence[Matmul], rates: Mapping[str, float]) -> None:
        self.peer = peer
        self._matmuls = matmuls
        self._rates = rates
        self._reached = _FORESEEN

    def ideal(self, work: Workload) -> float:
        """Return what the peer's own matmuls would take."""
        return ideal_seconds(cost(self.peer, work.queries), self._matmuls, self._rates, by=BY_MM)

    def foreseen(self, work: Workload) -> float:
        """Return the seconds it will take."""
        return self.ideal(work) / self._reached

    def tokens(self, work: Workload) -> int:
        """Return the tokens that the peer runs, padding not counted."""
        return cost(self.peer, work.queries).tokens

    def learn(self, work: Workload, seconds: float) -> None:
        """Take in what it took."""
        self._reached = min(1.0, max(0.02, self.ideal(work) / seconds))


def parts_for(work: Workload, clock: Clock, limit: float) -> tuple[Workload, Part]:
    """Return what ours is run on, and what a peer is: the same, or a sample of its sequences.

    A sample stands for the whole where a peer runs each sequence by itself and one query is too
    long, or queries share what only all of them show.
    """
    sharing = clock.peer in SHARING
    if clock.foreseen(work) <= limit or (sharing and work.shared):
        return work, sampling.whole(work)
    if work.shared:
        return work, _sample(work, clock, limit)
    few = work.first(most(len(work.queries), lambda n: clock.foreseen(work.first(n)), limit))
    if sharing or clock.foreseen(few) <= limit * _PATIENCE:
        return few, sampling.whole(few)
    return few, _sample(few, clock, limit)


def _sample(work: Workload, clock: Clock, limit: float) -> Part:
    return sampling.spread(work, limit / clock.foreseen(work), together=clock.peer == ONCE)


def most(size: int, seconds: Callable[[int], float], limit: float) -> int:
    """Return the largest count up to `size` that is within the limit, at least 1."""
    low, high = 1, size
    while low < high:
        middle = (low + high + 1) // 2
        if seconds(middle) <= limit:
            low = middle
        else:
            high = middle - 1
    return low
