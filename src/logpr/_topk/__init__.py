"""Exact top-k: a candidate that cannot be among the k best is dropped before it is whole.

log Pr(y | x) never rises as y grows, so the sum over the first tokens of y is an upper bound of the
whole. Round by round the search asks for the next tokens of the candidates that may still win, the
most promising first, and drops those whose bound lies below the k-th best whole sum by more than
numerical noise. What is left is whole, and is scored as it would have been with all others.

Each round goes on from prefixes of the rounds before. A model that keeps those holds so many and no
more, so the queries of a window run in groups that it can hold, each group to its end.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

import numpy as np

from logpr._engine import Job, JobScores, run
from logpr._topk._race import MOST_EXTRA, Race, Rivals, least_spared
from logpr.models._head import joined
from logpr.models.base import EdgeScores, Evidence, Model, Reusing

__all__ = ["MOST_EXTRA", "Race", "Rivals", "apart", "groups", "least_spared", "search"]

_NOTHING = EdgeScores(logprob=np.empty(0, dtype=np.float64), logit=None, logz=None)


def apart(model: Model) -> AbstractContextManager[int]:
    """Return a block in which a model that keeps keys and values reuses the block's own alone.

    The block is told of how many tokens it holds them, 0 where it keeps none.
    """
    return model.apart() if isinstance(model, Reusing) else nullcontext(enter_result=0)


def groups(races: Sequence[Race], *, room: int) -> list[list[int]]:
    """Return which races go through the model together, each group to its end before the next.

    All that the races of a group may feed fits into the room; one that is larger goes alone. Those
    that count on nothing to be kept come last and together. Neighbours have much of their contexts
    in common, so that a header of many queries is in use again before it is dropped.

    Args:
        races: of a window.
        room: tokens that the model holds from one round to the next.
    """
    keeping = [number for number, race in enumerate(races) if race.keeps]
    keeping.sort(key=lambda number: _key(races[number].opening))
    out: list[list[int]] = []
    used = 0
    last: Job | None = None
    for number in keeping:
        race = races[number]
        size = race.full - _shared(last, race.opening)
        if not out or used + size > room:
            out.append([])
            used, size = 0, race.full
        out[-1].append(number)
        used += size
        last = race.opening
    others = [number for number, race in enumerate(races) if not race.keeps]
    return [*out, others] if others else out


def _key(job: Job | None) -> tuple[tuple[int, ...], tuple[int, ...]]:
    return ((), ()) if job is None else (job.source_ids, job.context_ids)


def _shared(one: Job | None, other: Job | None) -> int:
    """Return how many tokens two contexts begin with together; none where a job is missing."""
    left, right = _key(one), _key(other)
    if left[0] != right[0]:
        return 0
    size = min(len(left[1]), len(right[1]))
    pairs = zip(left[1][:size], right[1][:size], strict=True)
    return next((place for place, (a, b) in enumerate(pairs) if a != b), size)


def search(
    model: Model, races: Sequence[Race], *, evidence: Evidence
) -> list[tuple[JobScores, ...]]:
    """Score the jobs that may be among the k best of their query; those not `whole` were dropped.

    A job j is dropped where Σ_{i ≤ m} log Pr(y_i | x, y_<i), the sum over its first m questions, is
    below the k-th best whole sum by more than what noise can move: as a rank, within a tie, or
    from one pack to another. What is asked of a query does not depend on the others of the window;
    the rounds of one group go through the model together.

    Args:
        model: scores the jobs.
        races: a group of them, none begun; they are at their end afterwards.
        evidence: what is asked beside log-probabilities.

    Raises:
        ModelOutputError: the model returned a row without a distribution; names job and position.
    """
    asked = _Asked()
    places: list[dict[int, tuple[int, int]]] = [{} for _ in races]
    while True:
        turns = [(number, ask) for number, race in enumerate(races) for ask in race.turn()]
        if not turns:
            break
        jobs = [races[number].job(ask) for number, ask in turns]
        for (number, ask), scores in zip(turns, run(model, jobs, evidence=evidence), strict=True):
            edges = races[number].hear(ask, scores.logprobs)
            places[number].update(zip(edges, asked.places(scores), strict=True))
    together, starts = asked.together()
    return [
        _found(race, known, together, starts) for race, known in zip(races, places, strict=True)
    ]


def _found(
    race: Race, places: Mapping[int, tuple[int, int]], together: EdgeScores, starts: Sequence[int]
) -> tuple[JobScores, ...]:
    """Return the answers to the questions of each job, as places in the answers of all rounds."""
    out: list[JobScores] = []
    for edges, depth in zip(race.edges, race.depths, strict=True):
        at = tuple(starts[part] + edge for part, edge in (places[edge] for edge in edges[:depth]))
        out.append(JobScores(scores=together, edges=at, whole=depth == len(edges)))
    return tuple(out)


@dataclass(slots=True)
class _Asked:
    """The answers of all rounds. A place is the number of an answer and an edge in it."""

    parts: list[EdgeScores] = field(default_factory=list)
    numbers: dict[int, int] = field(default_factory=dict)

    def places(self, scores: JobScores) -> list[tuple[int, int]]:
        """Return the places of a job's answers, in the order of its questions."""
        # The parts are kept, so none takes over the identity of another.
        number = self.numbers.setdefault(id(scores.scores), len(self.parts))
        if number == len(self.parts):
            self.parts.append(scores.scores)
        return [(number, edge) for edge in scores.edges]

    def together(self) -> tuple[EdgeScores, list[int]]:
        """Return all answers as one, and where each begins in it."""
        starts = [0]
        for part in self.parts:
            starts.append(starts[-1] + len(part.logprob))
        return (joined(self.parts) if self.parts else _NOTHING), starts
