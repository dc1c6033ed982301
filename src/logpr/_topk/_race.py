"""The search of one query: which questions are asked next, and who is dropped.

What is asked hangs on the query's own candidates and their answers alone, never on what else is in
the window.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from logpr._engine import Job
from logpr._topk._paths import Paths
from logpr.models.base import Model
from logpr.numerics import exact_sum

MOST_EXTRA = 0.25
"""The share of the tokens of scoring all candidates that a search may feed beyond them, where
nothing can be dropped. What a model keeps is not fed again, so a search that fits feeds none."""

_FEW = 32
"""Where the model keeps what it was fed, a round that could spare fewer tokens is not made."""

_TAIL = 16
"""A rest smaller than the whole by this factor is asked for in one round."""

_STEP = 2
"""Questions, at least, that a candidate goes on by; at most it doubles what is known of it."""

_LEAST_RATE = 0.05
"""Nats a question that a candidate is expected to lose, at least."""

_ROUNDING = 1e-6
"""Nats by which one log-probability may come out above 0."""


def least_spared(rest: int) -> int:
    """Return how many of `rest` tokens a round must be able to spare where the model keeps."""
    return max(_FEW, rest // 8)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rivals:
    """The candidates of one query: the jobs of some, log Pr of those that brought their own."""

    jobs: tuple[Job, ...]
    known: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Ask:
    """Questions first … stop − 1 of one job."""

    job: int
    first: int
    stop: int


class Race:
    """The search of one query.

    `full` is how many tokens its candidates put through the network with nothing dropped, and `fed`
    how many went so far, where this query is alone with the model. `edges` has the number of each
    question of each job, the same for the same question, and `depths` how many of a job's first
    questions are answered.

    A race with `keeps` counts on the model to hold what it fed, up to `room` tokens: what goes
    through the model beside it must leave it that room. Beyond the room, and without it, it takes
    everything that was fed for lost.
    """

    def __init__(self, rivals: Rivals, *, top: int, model: Model, room: int) -> None:
        """Take the candidates of a query.

        Args:
            rivals: the candidates.
            top: k.
            model: scores them.
            room: tokens that the model holds from one round to the next.
        """
        self._jobs = rivals.jobs
        self._known = rivals.known
        self._top = top
        self._noise = model.provenance.noise_per_token
        # The largest difference from the plain run, so two packs differ by twice as much.
        self._drift = 2.0 * model.provenance.noise_packing
        self._paths = Paths(rivals.jobs)
        self.edges = self._paths.edges
        self._sizes = [len(edges) for edges in self.edges]
        self._values: dict[int, float] = {}
        self._dropped = [False] * len(self._jobs)
        self.depths = [0] * len(self._jobs)
        self._upper = [0.0] * len(self._jobs)
        self._rounds = 0
        self.fed = 0
        whole = {job: size for job, size in enumerate(self._sizes) if size}
        self.full = len(self._paths.fed(self.depths, whole))
        first = len(self._paths.fed(self.depths, dict.fromkeys(whole, 1)))
        self._kept: set[int] = set()
        self._held = 0
        self._room = room if first <= room else 0

    @property
    def keeps(self) -> bool:
        """Return whether the race counts on what the model keeps."""
        return self._room > 0

    @property
    def opening(self) -> Job | None:
        """Return a job whose context the race begins with."""
        return self._jobs[0] if self._jobs else None

    def job(self, ask: Ask) -> Job:
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

    def hear(self, ask: Ask, logprobs: Sequence[float]) -> list[int]:
        """Take the answers to an ask; return the numbers of its questions."""
        edges = self.edges[ask.job][ask.first : ask.stop]
        self._values.update(zip(edges, logprobs, strict=True))
        return edges

    def turn(self) -> list[Ask]:
        """Return what is asked next, () once every job is whole or dropped."""
        self._advance()
        threshold = self._threshold()
        self._drop(threshold)
        open_jobs = [job for job in self._live() if self.depths[job] < self._sizes[job]]
        if not open_jobs:
            return []
        whole = {job: self._sizes[job] for job in open_jobs}
        stops = self._promising(open_jobs, threshold)
        if not self._worth_a_round(stops, whole):
            stops = whole
        fed = self._paths.fed(self.depths, stops, self._kept)
        self._rounds += 1
        self.fed += len(fed)
        self._held += len(fed)
        if self._held > self._room:  # what is still held is not known, here and after
            self._room = 0
            self._kept.clear()
        else:
            self._kept |= fed
        return list(self._asks(stops, open_jobs))

    def _live(self) -> Iterator[int]:
        return (job for job, dropped in enumerate(self._dropped) if not dropped)

    def _advance(self) -> None:
        """Count what has been answered; questions are shared, so a job may advance unasked."""
        for job in self._live():
            edges = self.edges[job]
            depth = self.depths[job]
            while depth < len(edges) and edges[depth] in self._values:
                depth += 1
            if depth > self.depths[job]:
                self.depths[job] = depth
                self._upper[job] = exact_sum(self._values[edge] for edge in edges[:depth])

    def _whole_sums(self) -> list[float]:
        whole = (job for job in self._live() if self.depths[job] == self._sizes[job])
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
        return ties + self._drift * (size + other) + _ROUNDING * (size - self.depths[job])

    def _drop(self, threshold: float) -> None:
        if threshold == -math.inf:
            return
        longest = heapq.nlargest(2, (self._sizes[job] for job in self._live()))
        for job in list(self._live()):
            if self.depths[job] < self._sizes[job]:
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
            left = self._sizes[job] - self.depths[job]
            ends.append((rate * left - self._upper[job], job))
        leaders = {job for _, job in heapq.nsmallest(self._top, ends)}
        stops = {job: self._sizes[job] for job in open_jobs if job in leaders}
        if threshold > -math.inf:
            longest = heapq.nlargest(2, (self._sizes[job] for job in live))
            for job in open_jobs:
                gap = self._upper[job] + self._slack(job, longest) - threshold
                step = max(_STEP, min(self.depths[job], math.ceil(gap / rate / 2)))
                stop = min(self._sizes[job], self.depths[job] + step)
                stops[job] = max(stop, stops.get(job, 0))
        # The k best are whole and impossible: nothing is below them.
        return stops or {job: self._sizes[job] for job in open_jobs}

    def _rate(self) -> float:
        """Return the nats that the candidates still in the race have lost a question."""
        live = [job for job in self._live() if self._upper[job] > -math.inf]
        questions = sum(self.depths[job] for job in live)
        lost = -math.fsum(self._upper[job] for job in live)
        return max(_LEAST_RATE, lost / questions if questions else 0.0)

    def _worth_a_round(self, stops: Mapping[int, int], whole: Mapping[int, int]) -> bool:
        """Return whether asking up to `stops` first may spare much of the `whole`."""
        now = len(self._paths.fed(self.depths, stops, self._kept))
        rest = len(self._paths.fed(self.depths, whole, self._kept))
        if self._held + now <= self._room:
            return rest - now >= least_spared(rest) and rest > self.full // _TAIL
        if any(self._jobs[job].source_ids for job in stops):
            return False  # the encoder would read x again in each round, and nobody counts that
        # Whatever is fed now is fed again: after the first tokens at least once more, to make the
        # leaders whole. With nothing dropped the whole comes on top, from its first token on.
        again = now if self._rounds == 0 else 0
        anew = len(self._paths.fed(self.depths, whole)) if self._kept else rest
        most = (1.0 + MOST_EXTRA) * self.full
        return self.fed + now + again + anew <= most and now <= rest // 2

    def _asks(self, stops: Mapping[int, int], open_jobs: Sequence[int]) -> Iterator[Ask]:
        """Yield each question up to `stops` once, and those that rows read for them answer too."""
        read: set[int] = set()
        for job, stop in stops.items():
            read.update(self._paths.nodes[job][self.depths[job] : stop])
        asked: set[int] = set()
        for job in open_jobs:
            nodes, edges = self._paths.nodes[job], self.edges[job]
            first = stop = self.depths[job]
            while stop < len(nodes) and nodes[stop] in read:
                # Along a shared beginning another job has asked already.
                if edges[stop] in asked:
                    first = stop + 1
                stop += 1
            asked.update(edges[first:stop])
            if first < stop:
                yield Ask(job, first, stop)
