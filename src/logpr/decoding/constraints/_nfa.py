"""A bounded automaton over bytes: built from pieces, then made deterministic."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int32

from logpr.decoding.constraints._charsets import ByteTree
from logpr.errors import QueryError

MOST_STATES = 20_000
"""States of the deterministic automaton over bytes: 1 KB each."""
_MOST_PARTS = 100_000
# Parts and edges looked at on the way: a few seconds of work.
_MOST_WORK = 3_000_000

DEAD = -1


def _too_large(name: str, what: str) -> QueryError:
    msg = (
        f"{name} needs {what}; make it smaller: lower counts ({{1,20}}, maxLength, "
        f"maxItems), fewer alternatives and optional parts, or list the outputs as choices"
    )
    return QueryError(msg)


@dataclass(frozen=True, slots=True)
class ByteAutomaton:
    """Which byte leads from which state to which.

    Attributes:
        table: the state after each byte; −1 where no accepted text goes on so.
        accepting: whether a text may end in a state.
        start: the state before the first byte; −1 where nothing is accepted.
    """

    table: Int32[np.ndarray, "nodes bytes"]
    accepting: Bool[np.ndarray, " nodes"]
    start: int


class Nfa:
    """Parts of an automaton and the ways between them; `determined` reads all of them at once.

    Args:
        name: what is built, for messages.
    """

    __slots__ = ("_edges", "_free", "_name", "_work")

    def __init__(self, name: str) -> None:
        self._name = name
        self._work = 0
        self._edges: list[list[tuple[int, int, int]]] = []
        self._free: list[list[int]] = []

    def part(self) -> int:
        """Add a part and return it.

        Raises:
            QueryError: there are too many.
        """
        if len(self._edges) >= _MOST_PARTS:
            what = f"more than {_MOST_PARTS} parts before it is even built"
            raise _too_large(self._name, what)
        self._edges.append([])
        self._free.append([])
        return len(self._edges) - 1

    def join(self, source: int, target: int) -> None:
        """Let `target` follow `source` without a byte."""
        self._free[source].append(target)

    def character(self, source: int, tree: ByteTree) -> int:
        """Let one character follow `source`; return the part after it."""
        target = self.part()
        made: dict[int, int] = {}
        stack = [(source, tree)]
        while stack:
            place, level = stack.pop()
            for first, last, inside in level.edges:
                if inside is None:
                    self._edges[place].append((first, last, target))
                    continue
                known = made.get(id(inside))  # equal tails are one object: one part serves all
                if known is None:
                    known = made[id(inside)] = self.part()
                    stack.append((known, inside))
                self._edges[place].append((first, last, known))
        return target

    def determined(self, start: int, end: int) -> ByteAutomaton:
        """Return the deterministic automaton of the texts from `start` to `end`, trimmed.

        Raises:
            QueryError: it has too many states, or they are too much work to find.
        """
        first = self._closure({start}, end)
        numbers = {first: 0}
        queue = [first]
        rows: list[list[tuple[int, int, int]]] = []
        while len(rows) < len(queue):
            parts = queue[len(rows)]
            row = []
            for low, high, targets in self._moves(parts):
                after = self._closure(targets, end)
                number = numbers.get(after)
                if number is None:
                    number = numbers[after] = len(queue)
                    queue.append(after)
                row.append((low, high, number))
            rows.append(row)
            if len(queue) > MOST_STATES:
                what = f"more than {MOST_STATES} states over bytes"
                raise _too_large(self._name, what)
        accepting = np.fromiter((end in parts for parts in queue), dtype=bool, count=len(queue))
        return _trimmed(rows, accepting)

    def _closure(self, parts: set[int], end: int) -> frozenset[int]:
        seen = set(parts)
        stack = list(parts)
        while stack:
            for target in self._free[stack.pop()]:
                if target not in seen:
                    seen.add(target)
                    stack.append(target)
        self._count(len(seen))
        # What only joins others says nothing of the future.
        return frozenset(part for part in seen if self._edges[part] or part == end)

    def _moves(self, parts: frozenset[int]) -> list[tuple[int, int, set[int]]]:
        edges = [edge for part in parts for edge in self._edges[part]]
        self._count(len(edges))
        if len(edges) == 1:
            low, high, target = edges[0]
            return [(low, high, {target})]
        cuts = sorted({low for low, _, _ in edges} | {high + 1 for _, high, _ in edges})
        place = {cut: number for number, cut in enumerate(cuts)}
        targets: list[set[int]] = [set() for _ in cuts]
        for low, high, target in edges:
            for number in range(place[low], place[high + 1]):
                targets[number].add(target)
        return [
            (low, high - 1, found)
            for low, high, found in zip(cuts, cuts[1:], targets, strict=False)
            if found
        ]

    def _count(self, work: int) -> None:
        self._work += work
        if self._work > _MOST_WORK:
            what = "to follow too many parts at once"
            raise _too_large(self._name, what)


def _trimmed(
    rows: list[list[tuple[int, int, int]]], accepting: Bool[np.ndarray, " nodes"]
) -> ByteAutomaton:
    before: list[list[int]] = [[] for _ in rows]
    table = np.full((len(rows), 256), DEAD, dtype=np.int32)
    for state, row in enumerate(rows):
        for low, high, target in row:
            table[state, low : high + 1] = target
            before[target].append(state)
    alive = accepting.copy()
    stack = np.flatnonzero(accepting).tolist()
    while stack:
        for state in before[stack.pop()]:
            if not alive[state]:
                alive[state] = True
                stack.append(state)
    keeps = np.where(table == DEAD, False, alive[table])  # noqa: FBT003  # NumPy's own argument
    table[~keeps] = DEAD
    return ByteAutomaton(table, accepting, 0 if alive[0] else DEAD)
