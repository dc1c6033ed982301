"""Outputs that ended: the best of them, in order, with their tokens."""

from __future__ import annotations

import math
from bisect import insort
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Output:
    """One output: log Pr(y | x) with END's part in it, `total` with the biases, and its score.

    `end_logprob` is None where END was not scored; then `ended` says whether it is whole all the
    same (under `open`), or was cut.
    """

    token_ids: tuple[int, ...]
    logprob: float
    total: float
    score: float
    end_logprob: float | None
    ended: bool = True

    @property
    def key(self) -> tuple[float, int, tuple[int, ...]]:
        """Return what outputs are ordered by: best first, ties by length and then by ids."""
        return (-self.score, len(self.token_ids), self.token_ids)


class Finished:
    """The best outputs so far, each once.

    Args:
        room: how many are kept.
        count: how many are asked for: the last of them is what others have to beat.
    """

    __slots__ = ("_count", "_known", "_outputs", "_room")

    def __init__(self, room: int, count: int) -> None:
        self._room = max(room, count)
        self._count = count
        self._outputs: list[tuple[tuple[float, int, tuple[int, ...]], Output]] = []
        self._known: set[tuple[int, ...]] = set()

    def __len__(self) -> int:
        """Return how many are kept."""
        return len(self._outputs)

    @property
    def outputs(self) -> list[Output]:
        """Return them, best first."""
        return [output for _, output in self._outputs]

    @property
    def best(self) -> Output | None:
        """Return the best one."""
        return self._outputs[0][1] if self._outputs else None

    @property
    def score_to_beat(self) -> float:
        """Return the score of the last one asked for; −inf where there are fewer."""
        if len(self._outputs) < self._count:
            return -math.inf
        return self._outputs[self._count - 1][1].score

    @property
    def least(self) -> float:
        """Return the score that another one must have to be kept."""
        return -math.inf if len(self._outputs) < self._room else self._outputs[-1][1].score

    def offer(self, output: Output) -> None:
        """Keep an output if it is among the best.

        Args:
            output: that ended; one that is known is not kept twice.
        """
        if output.score == -math.inf or output.token_ids in self._known:
            return
        insort(self._outputs, (output.key, output), key=lambda pair: pair[0])
        self._known.add(output.token_ids)
        if len(self._outputs) > self._room:
            _, lost = self._outputs.pop()
            self._known.discard(lost.token_ids)
