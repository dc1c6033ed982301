"""The least work that gives the numbers: each unique (prefix, token) once, each row once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.engine.workloads import Asked, Ids


@dataclass(frozen=True, slots=True)
class Work:
    """`tokens` that go through the layers, `rows` of those that go through the head."""

    tokens: int
    rows: int


def minimal_work(queries: Sequence[Asked]) -> Work:
    """Return the least work for all candidates of all queries together.

    A token is fed if a later token of its sequence is asked for; the last of a candidate is not.
    A row is read after each prefix that some candidate's token follows.

    Args:
        queries: at least one token in each prompt.
    """
    trie = _Trie()
    rows: set[int] = set()
    for query in queries:
        start = trie.feed(0, query.prompt)
        for candidate in query.candidates:
            if candidate:
                node = start
                rows.add(node)
                for token in candidate[:-1]:
                    node = trie.feed(node, (token,))
                    rows.add(node)
    return Work(tokens=trie.size, rows=len(rows))


class _Trie:
    """Numbers prefixes in the order of their first coming; 0 is the empty one."""

    def __init__(self) -> None:
        self._children: dict[tuple[int, int], int] = {}

    @property
    def size(self) -> int:
        return len(self._children)

    def feed(self, node: int, tokens: Ids) -> int:
        for token in tokens:
            node = self._children.setdefault((node, token), len(self._children) + 1)
        return node
