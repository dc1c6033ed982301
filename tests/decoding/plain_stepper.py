"""A stepper that keeps nothing but paths, and fails where its users break the seam's rules."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from logpr._types import IntNodes
from logpr.models.base import Predictive, StepRows


class PlainStepper:
    """Implements `Stepper` on whole next-token distributions, computed from scratch each time."""

    root = 0
    nbytes = 0
    peak_bytes = 0
    fed_again = 0

    def __init__(self, model: Predictive, prompt_ids: Sequence[int]) -> None:
        self._model = model
        self._prompt = tuple(prompt_ids)
        self._paths: dict[int, tuple[int, ...]] = {0: ()}
        self._parents: dict[int, int] = {}
        self._holds: dict[int, int] = {0: 1}
        self._numbers = iter(range(1, 10**9))
        self.fed = len(self._prompt)
        self.calls = 0

    @property
    def held(self) -> int:
        """Return how many nodes there are beside the root."""
        return len(self._paths) - 1

    def start(self) -> StepRows:
        """Return the row after the prompt."""
        return self._rows([()])

    def extend(self, parents: IntNodes, tokens: IntNodes) -> tuple[IntNodes, StepRows]:
        """Return new nodes, held once each, and the rows after them."""
        nodes = []
        for parent, token in zip(parents.tolist(), tokens.tolist(), strict=True):
            assert parent in self._paths, f"node {parent} is gone"
            path = (*self._paths[parent], token)
            assert path not in self._paths.values(), f"{path} goes through the network twice"
            node = next(self._numbers)
            self._paths[node], self._parents[node], self._holds[node] = path, parent, 1
            self._holds[parent] += 1
            nodes.append(node)
        self.fed += len(nodes)
        return np.array(nodes, dtype=np.int64), self._rows([self._paths[node] for node in nodes])

    def hold(self, nodes: IntNodes, times: IntNodes) -> None:
        """Hold each node so many times more."""
        for node, more in zip(nodes.tolist(), times.tolist(), strict=True):
            assert node in self._paths, f"node {node} is gone"
            self._holds[node] += more

    def release(self, nodes: IntNodes) -> None:
        """Let each node go once."""
        for node in nodes.tolist():
            assert node in self._paths, f"node {node} is gone"
            self._let_go(node)

    def path(self, node: int) -> tuple[int, ...]:
        """Return the tokens of a node."""
        return self._paths[node]

    def _let_go(self, node: int) -> None:
        self._holds[node] -= 1
        assert node != 0 or self._holds[0] >= 1, "the root is never let go"
        if self._holds[node] == 0:
            del self._paths[node], self._holds[node]
            self._let_go(self._parents.pop(node))

    def _rows(self, paths: Sequence[tuple[int, ...]]) -> StepRows:
        self.calls += 1
        rows = self._model.next_logits([(*self._prompt, *path) for path in paths])
        if rows.logits is None or rows.logz is None:
            return StepRows(rows.logprobs.copy(), np.zeros(len(paths)))
        return StepRows(rows.logits.copy(), rows.logz)
