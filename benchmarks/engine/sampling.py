"""Which part of a workload is run where all of it would take too long."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.engine.workloads import Asked, Ids, Workload, fed_alone

Place = tuple[int, int]
"""A query's number and its candidate's."""


@dataclass(frozen=True, slots=True)
class Part:
    """Some sequences of a workload, and where each candidate of `work` stands in the whole."""

    work: Workload
    places: tuple[tuple[Place, ...], ...]

    @property
    def sequences(self) -> int:
        """Return how many they are."""
        return sum(map(len, self.places))

    def by_place(self, scores: Sequence[Sequence[float | None]]) -> dict[Place, float]:
        """Return the scores that there are, by their places in the whole.

        Args:
            scores: of each candidate of each query of `work`.
        """
        return {
            place: score
            for places, row in zip(self.places, scores, strict=True)
            for place, score in zip(places, row, strict=True)
            if score is not None
        }


def whole(work: Workload) -> Part:
    """Return all of a workload."""
    return part_of(work, _places(work))


def part_of(work: Workload, places: Sequence[Place]) -> Part:
    """Return the sequences at some places, in the workload's order."""
    wanted: dict[int, list[int]] = {}
    for query, candidate in sorted(places):
        wanted.setdefault(query, []).append(candidate)
    queries = tuple(
        Asked(work.queries[q].prompt, tuple(work.queries[q].candidates[c] for c in candidates))
        for q, candidates in wanted.items()
    )
    where = tuple(tuple((q, c) for c in candidates) for q, candidates in wanted.items())
    return Part(Workload(work.name, queries, shared=work.shared, top=work.top), where)


def spread(work: Workload, share: float, *, together: bool) -> Part:
    """Return about this share of the sequences, evenly spaced, the first among them.

    Args:
        work: the whole.
        share: 0 to 1; at least one is taken.
        together: candidates of one prompt that differ in their last token alone are taken or left
            as one, for a peer that runs them once.
    """
    groups: dict[tuple[int, Ids | int], list[Place]] = {}
    for q, c in _places(work):
        key = work.queries[q].candidates[c][:-1] if together else c
        groups.setdefault((q, key), []).append((q, c))
    listed = list(groups.values())
    taken = _evenly(len(listed), max(1, round(share * len(listed))))
    return part_of(work, [place for i in taken for place in listed[i]])


def reference_part(work: Workload, tokens: int) -> Part:
    """Return sequences to compare with the reference: half of the first query, half from all.

    Args:
        work: the whole.
        tokens: about how many the reference is to run; at least one sequence is taken.
    """
    first = [(0, c) for c in range(len(work.queries[0].candidates))]
    chosen: set[Place] = set()
    for places in (first, _places(work)):
        size = fed_alone(part_of(work, places).work.queries) / len(places)
        count = max(1, min(len(places), int(tokens / 2 / size)))
        chosen |= {places[i] for i in _evenly(len(places), count)}
    return part_of(work, sorted(chosen))


def _places(work: Workload) -> list[Place]:
    return [(q, c) for q, query in enumerate(work.queries) for c in range(len(query.candidates))]


def _evenly(size: int, count: int) -> list[int]:
    return [i * size // count for i in range(count)]
