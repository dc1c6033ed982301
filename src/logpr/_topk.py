"""Exact top-k: a candidate that cannot be among the k best is dropped before it is whole.

log Pr(y | x) never rises as y grows, so the sum over the first tokens of y is an upper bound of the
whole. Round by round the search asks for the next tokens of the candidates that may still win, the
most promising first, and drops those whose bound lies below the k-th best whole sum by more than
numerical noise. What is left is whole, and is scored as it would have been with all others.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace

import numpy as np

from logpr._engine import Job, JobScores, run
from logpr._types import END
from logpr.models._head import joined
from logpr.models.base import EdgeScores, Evidence, Model, Reusing
from logpr.numerics import exact_sum

MOST_EXTRA = 0.25
"""The share of the tokens of scoring all candidates that a search may feed beyond them, where
nothing can be dropped. Models that keep keys and values feed none beyond."""

_FEW = 32
"""Tokens that are not worth a further round."""

_TAIL = 16
"""A rest smaller than the whole by this factor is asked for in one round."""

_STEP = 2
"""Questions, at least, that a candidate goes on by; at most it doubles what is known of it."""

_LEAST_RATE = 0.05
"""Nats a question that a candidate is expected to lose, at least."""

_ROUNDING = 1e-6
"""Nats by which one log-probability may come out above 0."""

_NOTHING = EdgeScores(logprob=np.empty(0, dtype=np.float64), logit=None, logz=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rivals:
    """The candidates of one query: the jobs of some, log Pr of those that brought their own."""

    jobs: tuple[Job, ...]
    known: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one query's jobs, in order; those not `whole` were dropped.

    `fed` is how many tokens this query alone puts through the network, and `full` how many it would
    with nothing dropped.
    """

    found: tuple[JobScores, ...]
    fed: int
    full: int


def apart(model: Model) -> AbstractContextManager[bool]:
    """Return a block in which a model that keeps keys and values reuses the block's own alone.

    The block is told whether it keeps any.
    """
    return model.apart() if isinstance(model, Reusing) else nullcontext(enter_result=False)


def search(
    model: Model, rivals: Sequence[Rivals], *, top: int, evidence: Evidence, keeps: bool
) -> list[Outcome]:
    """Score the jobs that may be among the `top` best of their query, and drop the others.

    A job j is dropped where Σ_{i ≤ m} log Pr(y_i | x, y_<i), the sum over its first m questions, is
    below the k-th best whole sum by more than what noise can move: as a rank, within a tie, or
    from one pack to another. What is asked of a query does not depend on the others of the window;
    the rounds of all go through the model together.

    Args:
        model: scores the jobs.
        rivals: the candidates of each query.
        top: k.
        evidence: what is asked beside log-probabilities.
        keeps: whether the model keeps what one round fed for the next.

    Raises:
        ModelOutputError: the model returned a row without a distribution; names job and position.
    """
    races = [_Race(item, top, model, keeps=keeps) for item in rivals]
    asked = _Asked()
    while True:
        turns = [(race, ask) for race in races for ask in race.turn()]
        if not turns:
            break
        found = run(model, [race.job(ask) for race, ask in turns], evidence=evidence)
        for (race, ask), scores in zip(turns, found, strict=True):
            race.hear(ask, asked.places(scores), scores.logprobs)
    together, starts = asked.together()
    return [race.outcome(together, starts) for race in races]


@dataclass(frozen=True, slots=True)
class _Ask:
    """Questions first … stop − 1 of one job."""

    job: int
    first: int
    stop: int


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


class _Paths:
    """The trie of one query: what is fed for each question, and which questions are the same."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        self._parents: list[int] = []
        self._children: dict[tuple[int, int], int] = {}
        self._tops: dict[Job, int] = {}
        self._contexts: dict[tuple[int, tuple[int, ...]], int] = {}
        self._edges: dict[tuple[int, int], int] = {}
        self.nodes: list[list[int]] = []
        """Of each job, the node whose row answers each question; negative: before any token."""
        self.edges: list[list[int]] = []
        """Of each job, the number of each question, the same for the same question."""
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

    def fed(self, stops: Mapping[int, int], kept: set[int]) -> set[int]:
        """Return the nodes that jobs up to their questions `stops` − 1 feed, but those `kept`."""
        out: set[int] = set()
        for job, stop in stops.items():
            node = self.nodes[job][stop - 1]
            while node >= 0 and node not in out and node not in kept:
                out.add(node)
                node = self._parents[node]
        return out


class _Race:
    """The search of one query."""

    def __init__(self, rivals: Rivals, top: int, model: Model, *, keeps: bool) -> None:
        self._jobs = rivals.jobs
        self._known = rivals.known
        self._top = top
        self._noise = model.provenance.noise_per_token
        # The largest difference from the plain run, so two packs differ by twice as much.
        self._drift = 2.0 * model.provenance.noise_packing
        self._paths = _Paths(rivals.jobs)
        self._sizes = [len(edges) for edges in self._paths.edges]
        self._values: dict[int, float] = {}
        self._places: dict[int, tuple[int, int]] = {}
        self._kept: set[int] | None = set() if keeps else None
        self._dropped = [False] * len(self._jobs)
        self._depth = [0] * len(self._jobs)
        self._upper = [0.0] * len(self._jobs)
        self._rounds = 0
        self._fed = 0
        whole = {job: size for job, size in enumerate(self._sizes) if size}
        self._full = len(self._paths.fed(whole, set()))

    def job(self, ask: _Ask) -> Job:
        """Return an ask as a job of its own."""
        job = self._jobs[ask.job]
        size = len(job.token_ids)
        return replace(
            job,
            context_ids=(*job.context_ids, *job.token_ids[: ask.first]),
            token_ids=job.token_ids[ask.first : ask.stop],
            end_ids=job.end_ids if ask.stop > size else (),
            first=ask.first,
        )

    def hear(self, ask: _Ask, places: Sequence[tuple[int, int]], logprobs: Sequence[float]) -> None:
        """Take the answers to an ask."""
        edges = self._paths.edges[ask.job][ask.first : ask.stop]
        self._values.update(zip(edges, logprobs, strict=True))
        self._places.update(zip(edges, places, strict=True))

    def turn(self) -> list[_Ask]:
        """Return what is asked next, () once every job is whole or dropped."""
        self._advance()
        threshold = self._threshold()
        self._drop(threshold)
        open_jobs = [job for job in self._live() if self._depth[job] < self._sizes[job]]
        if not open_jobs:
            return []
        whole = {job: self._sizes[job] for job in open_jobs}
        stops = self._promising(open_jobs, threshold)
        rest = len(self._paths.fed(whole, self._kept or set()))
        if not self._worth_a_round(len(self._paths.fed(stops, self._kept or set())), rest):
            stops = whole
        self._rounds += 1
        fed = self._paths.fed(stops, self._kept or set())
        self._fed += len(fed)
        if self._kept is not None:
            self._kept |= fed
        return list(self._asks(stops, open_jobs))

    def outcome(self, together: EdgeScores, starts: Sequence[int]) -> Outcome:
        """Return what became of the jobs."""
        found: list[JobScores] = []
        for edges, size, depth in zip(self._paths.edges, self._sizes, self._depth, strict=True):
            places = [self._places[edge] for edge in edges[:depth]]
            at = tuple(starts[part] + edge for part, edge in places)
            found.append(JobScores(scores=together, edges=at, whole=depth == size))
        return Outcome(found=tuple(found), fed=self._fed, full=self._full)

    def _live(self) -> Iterator[int]:
        return (job for job, dropped in enumerate(self._dropped) if not dropped)

    def _advance(self) -> None:
        """Count what has been answered; questions are shared, so a job may advance unasked."""
        for job in self._live():
            edges = self._paths.edges[job]
            depth = self._depth[job]
            while depth < len(edges) and edges[depth] in self._values:
                depth += 1
            if depth > self._depth[job]:
                self._depth[job] = depth
                self._upper[job] = exact_sum(self._values[edge] for edge in edges[:depth])

    def _whole_sums(self) -> list[float]:
        whole = (job for job in self._live() if self._depth[job] == self._sizes[job])
        return [*self._known, *(self._upper[job] for job in whole)]

    def _threshold(self) -> float:
        """Return the k-th best whole sum; −inf where there are fewer."""
        best = heapq.nlargest(self._top, self._whole_sums())
        return best[-1] if len(best) == self._top else -math.inf

    def _slack(self, job: int, longest: Sequence[int]) -> float:
        """Return how far below the k-th best a job must be, to be no winner in any run.

        A job within the noise of the first counts as tied with it, and may come before the k-th
        best. Of two runs the sums differ by what packing does. With k = 1 also the second, by whom
        the tie is told, is to be among the whole: it may be as noisy again.
        """
        size = self._sizes[job]
        other = longest[0] if len(longest) == 1 or size < longest[0] else longest[1]
        ties = self._noise * (size + (2 if self._top == 1 else 1) * other)
        return ties + self._drift * (size + other) + _ROUNDING * (size - self._depth[job])

    def _drop(self, threshold: float) -> None:
        if threshold == -math.inf:
            return
        longest = heapq.nlargest(2, (self._sizes[job] for job in self._live()))
        for job in list(self._live()):
            if self._depth[job] < self._sizes[job]:
                bound = self._upper[job] + self._slack(job, longest)
                self._dropped[job] = bound < threshold

    def _promising(self, open_jobs: Sequence[int], threshold: float) -> dict[int, int]:
        """Return how far to ask: the likely winners to their end, the others half way to a drop.

        Guesses decide how much is asked and when, never what is dropped.
        """
        live = list(self._live())
        if len(live) + len(self._known) <= self._top:
            return {job: self._sizes[job] for job in open_jobs}
        if self._rounds == 0:  # one row answers the first token of all
            return dict.fromkeys(open_jobs, 1)
        rate = self._rate()
        # Where each would end if it went on like the others: sums of unequal length do not compare.
        ends = [(-logprob, -1) for logprob in self._known]
        for job in live:
            left = self._sizes[job] - self._depth[job]
            ends.append((rate * left - self._upper[job], job))
        leaders = {job for _, job in heapq.nsmallest(self._top, ends)}
        stops = {job: self._sizes[job] for job in open_jobs if job in leaders}
        if threshold > -math.inf:
            longest = heapq.nlargest(2, (self._sizes[job] for job in live))
            for job in open_jobs:
                gap = self._upper[job] + self._slack(job, longest) - threshold
                step = max(_STEP, min(self._depth[job], math.ceil(gap / rate / 2)))
                stop = min(self._sizes[job], self._depth[job] + step)
                stops[job] = max(stop, stops.get(job, 0))
        # The k best are whole and impossible: nothing is below them.
        return stops or {job: self._sizes[job] for job in open_jobs}

    def _rate(self) -> float:
        """Return the nats that the candidates still in the race have lost a question."""
        live = [job for job in self._live() if self._upper[job] > -math.inf]
        questions = sum(self._depth[job] for job in live)
        lost = -math.fsum(self._upper[job] for job in live)
        return max(_LEAST_RATE, lost / questions if questions else 0.0)

    def _worth_a_round(self, now: int, rest: int) -> bool:
        """Return whether feeding `now` tokens first may spare much of the `rest`."""
        if self._kept is not None:
            spared = rest - now
            return spared >= max(_FEW, rest // 8) and rest > self._full // _TAIL
        # Whatever is fed now is fed again: after the first tokens at least once more, to make the
        # leaders whole. With nothing dropped the whole rest comes on top.
        again = now if self._rounds == 0 else 0
        most = (1.0 + MOST_EXTRA) * self._full
        return self._fed + now + again + rest <= most and now <= rest // 2

    def _asks(self, stops: Mapping[int, int], open_jobs: Sequence[int]) -> Iterator[_Ask]:
        """Yield each question up to `stops` once, and those that rows read for them answer too."""
        read: set[int] = set()
        for job, stop in stops.items():
            read.update(self._paths.nodes[job][self._depth[job] : stop])
        asked: set[int] = set()
        for job in open_jobs:
            nodes, edges = self._paths.nodes[job], self._paths.edges[job]
            first = stop = self._depth[job]
            while stop < len(nodes) and nodes[stop] in read:
                # Along a shared beginning another job has asked already.
                if edges[stop] in asked:
                    first = stop + 1
                stop += 1
            asked.update(edges[first:stop])
            if first < stop:
                yield _Ask(job, first, stop)
