"""The trie of one query: what is fed for each question, and which questions are the same."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from logpr._engine import Job
from logpr._types import END


class Paths:
    """The nodes and questions of some jobs.

    `nodes` has, for each job, the node whose row answers each question; negative: before any token.
    `edges` has, for each job, the number of each question, the same for the same question.
    """

    __slots__ = ("_children", "_contexts", "_edges", "_parents", "_tops", "edges", "nodes")

    def __init__(self, jobs: Sequence[Job]) -> None:
        self._parents: list[int] = []
        self._children: dict[tuple[int, int], int] = {}
        self._tops: dict[Job, int] = {}
        self._contexts: dict[tuple[int, tuple[int, ...]], int] = {}
        self._edges: dict[tuple[int, int], int] = {}
        self.nodes: list[list[int]] = []
        self.edges: list[list[int]] = []
        for job in jobs:
            self._add(job)

    def _add(self, job: Job) -> None:
        # All but the tokens of a job decides whether two prefixes are one: source and END too.
        kind = replace(job, context_ids=(), token_ids=(), name="")
        top = self._tops.setdefault(kind, -1 - len(self._tops))
        node = self._contexts.get((top, job.context_ids))
        if node is None:
            node = top
            for token in job.context_ids:
                node = self._below(node, token)
            self._contexts[top, job.context_ids] = node
        nodes: list[int] = []
        edges: list[int] = []
        questions = (*job.token_ids, END) if job.end_ids else job.token_ids
        for place, token in enumerate(questions):
            if place:
                node = self._below(node, questions[place - 1])
            nodes.append(node)
            edges.append(self._edges.setdefault((node, token), len(self._edges)))
        self.nodes.append(nodes)
        self.edges.append(edges)

    def _below(self, node: int, token: int) -> int:
        child = self._children.setdefault((node, token), len(self._parents))
        if child == len(self._parents):
            self._parents.append(node)
        return child

    def fed(
        self, starts: Sequence[int], stops: Mapping[int, int], kept: Collection[int] = ()
    ) -> set[int]:
        """Return the nodes that are fed for the questions of each job from its start to its stop.

        What is `kept` spares a node from being fed, unless its row is read: of a prefix keys and
        values are kept, and its state is not.
        """
        out: set[int] = set()
        for job, stop in stops.items():
            read = self.nodes[job][starts[job] : stop]
            out.update(node for node in read if node >= 0)
            node = self._parents[read[0]] if read[0] >= 0 else -1
            while node >= 0 and node not in out and node not in kept:
                out.add(node)
                node = self._parents[node]
        return out
