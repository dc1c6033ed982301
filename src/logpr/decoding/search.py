"""Exact search: every beginning that may still beat the best output is gone on with.

log Pr of a beginning never rises as it grows, so what it has bounds all that it leads to. A proof
expands each beginning whose bound is above the best score, and no order of doing so needs fewer
once the best output is in hand. So a beam goes first, level by level, keeping every child that may
still win; then what is left is drained best first. Each step accounts for the whole probability:
what ended, what is open, what was pruned, dropped, cut or excluded.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from logpr._types import FloatVocab
from logpr._values import MassLedger, Moment
from logpr._values.decoding import Stopped
from logpr.decoding.batch import (
    Batch,
    Column,
    Rows,
    bias_of,
    bounds_of,
    children_of,
    root_batch,
)
from logpr.decoding.finished import Finished, Output
from logpr.decoding.frontier import RECORD_BYTES, Frontier, Places, Records
from logpr.decoding.limits import Clock
from logpr.decoding.outcomes import read, states_after
from logpr.decoding.space import Space
from logpr.decoding.tally import Tally
from logpr.models.base import Stepper

RECORD_ROOM_BYTES = 4 * RECORD_BYTES
"""What a record may take: columns grow by copying, and are sorted and moved."""

_SHOWN = 100
"""Beginnings that are remembered of those open and dropped, for a picture."""

_DEEP = 0.75
"""From this part of the room for records on, long beginnings are drained first: they end soon."""

_DROPPED_TO = 0.9


@dataclass(frozen=True, slots=True)
class Room:
    """What a search may hold: records of open beginnings, and rows of the model at once."""

    records: int
    rows: int
    outputs: int = 1000


class Search:
    """A search that can be stopped between any two batches, and then has an answer with bounds.

    Args:
        stepper: the beginnings of the prompt.
        space: the outputs.
        count: how many of the best outputs are to be proven.
        least: keep every output with at least this score instead (method `threshold`).
        slack: nats below the best that are still gone on with: what arithmetic cannot tell apart.
        tolerance: nats between best and bound at which it may stop.
        width: of the beam that goes first.
        room: what it may hold.
        clock: says when to stop.
        report: is told where the search is, after every batch.
    """

    def __init__(
        self,
        stepper: Stepper,
        space: Space,
        *,
        count: int = 1,
        least: float | None = None,
        slack: float = 0.0,
        tolerance: float = 0.0,
        width: int = 20,
        room: Room,
        clock: Clock,
        report: Callable[[Moment], None] | None = None,
    ) -> None:
        self._stepper = stepper
        self._space = space
        self._least = -math.inf if least is None else math.nextafter(least, -math.inf)
        self._slack = slack
        self._tolerance = tolerance
        self._width = width
        self._room = room
        self._clock = clock
        self._report = report
        self._frontier = Frontier()
        self._swept = -math.inf
        self.finished = Finished(room.outputs, room.outputs if least is not None else count)
        self.tally = Tally()
        self.expansions = 0
        self.peak_bytes = 0
        self._bias: FloatVocab | None = None

    @property
    def lower(self) -> float:
        """Return the score of the best output so far; −inf where none ended."""
        best = self.finished.best
        return -math.inf if best is None else best.score

    @property
    def largest_open(self) -> float:
        """Return the bound of whatever open beginnings lead to; −inf where none is open."""
        return self._frontier.best

    @property
    def largest_pruned(self) -> float:
        """Return a bound on the score of what pruned beginnings lead to; −inf where none was."""
        return self._to_beat if self.tally.pruned > 0.0 else -math.inf

    @property
    def upper(self) -> float:
        """Return what no output exceeds."""
        return max(self.lower, self.largest_open, self.tally.largest_dropped)

    @property
    def moment(self) -> Moment:
        """Return where the search is."""
        return Moment(
            seconds=self._clock.seconds,
            expansions=self.expansions,
            lower=self.lower,
            upper=self.upper,
            open=len(self._frontier),
        )

    @property
    def ledger(self) -> MassLedger:
        """Return where all of the probability is."""
        return self.tally.ledger(float(np.exp(self._frontier.logprobs).sum()))

    def rival_mass(self, score: float) -> float:
        """Return the probability of beginnings that may lead to more than a score.

        Args:
            score: to beat.
        """
        frontier = self._frontier
        mass = float(np.exp(frontier.logprobs[frontier.bounds > score]).sum())
        if self.tally.largest_dropped > score:
            mass += self.tally.rival_mass
        return mass

    def open_paths(self) -> list[tuple[float, tuple[int, ...]]]:
        """Return the most probable of the open beginnings, with their bounds."""
        return self._paths(self._frontier.look(self._frontier.largest(_SHOWN)))

    def run(self, seeds: Iterable[Output] = ()) -> Stopped:
        """Search until it is proven, or stopped; return which.

        Args:
            seeds: outputs that are known already: what is found has to beat them.
        """
        for seed in seeds:
            self.finished.offer(seed)
        self._start()
        for length in range(1, self._space.max_tokens + 1):
            if (stopped := self._stopped()) is not None:
                return stopped
            places = np.flatnonzero(self._frontier.lengths == length)
            width = min(self._width, self._room.rows)
            if len(places) > width:
                places = places[np.argpartition(-self._frontier.bounds[places], width)[:width]]
            self._expand(places)
        while (stopped := self._stopped()) is None:
            deep = len(self._frontier) > _DEEP * self._room.records
            self._expand(self._frontier.largest(self._room.rows, deep=deep))
        return stopped

    @property
    def _to_beat(self) -> float:
        """Return the score above which something has to be proven or refuted."""
        return max(self.finished.score_to_beat - self._slack, self._least)

    def _stopped(self) -> Stopped | None:
        best = self.largest_open
        if best <= self._to_beat:
            return "finished"
        if best - self.finished.score_to_beat <= self._tolerance:
            return "tolerance"
        return self._clock.stop(self.expansions)

    def _start(self) -> None:
        rows = self._stepper.start()
        self._bias = bias_of(self._space, rows.values.shape[1])
        batch = root_batch(self._space, self._stepper.root, rows)
        # Held once for the batch, as every new node is.
        self._stepper.hold(batch.nodes, np.array([1]))
        self._take_in(batch)

    def _expand(self, places: Places) -> None:
        left = self._clock.left(self.expansions)
        if left is not None and len(places) > left:
            best = np.argsort(-self._frontier.bounds[places], kind="stable")
            places = places[best[:left]]
        if not len(places):
            return
        records = self._frontier.take(places)
        nodes, rows = self._stepper.extend(records.nodes, records.tokens)
        self._stepper.release(records.nodes)
        self._take_in(
            Batch(
                nodes=nodes,
                lengths=records.lengths,
                logprobs=records.logprobs,
                totals=records.totals,
                states=records.states,
                outcomes=read(self._space, rows, records.lengths, records.states),
            )
        )

    def _take_in(self, batch: Batch) -> None:
        """Take in what comes after some beginnings: what ends here, and what may go on."""
        space = self._space
        self.expansions += len(batch.nodes)
        self.tally.count(space, batch)
        if space.ended:
            self._offer_ends(batch)
            last = batch.lengths == space.max_tokens
            if last.any():
                self.tally.cut(space, batch, last)
        else:
            last = batch.lengths == space.max_tokens - 1
            if last.any():
                self._offer_last(batch, last)
        self._keep_children(batch, ~last)
        self._sweep()
        self._drop()
        held = self._frontier.nbytes + batch.outcomes.values.nbytes
        self.peak_bytes = max(self.peak_bytes, held)
        if self._report is not None:
            self._report(self.moment)

    def _offer_ends(self, batch: Batch) -> None:
        end = batch.outcomes.end
        self.tally.finished += float(batch.mass @ np.exp(end))
        totals = batch.totals + end
        scores = self._space.objective.scores(totals, batch.lengths, ended=True)
        for row in _best_first(scores, self.finished.least):
            if scores[row] <= self.finished.least:
                break
            self.finished.offer(
                Output(
                    token_ids=self._stepper.path(int(batch.nodes[row])),
                    logprob=float(batch.logprobs[row] + end[row]),
                    total=float(totals[row]),
                    score=float(scores[row]),
                    end_logprob=float(end[row]),
                )
            )

    def _offer_last(self, batch: Batch, last: Rows) -> None:
        """Offer outputs of full length, which end without END."""
        self.tally.finished += float(batch.mass[last] @ batch.outcomes.tokens_mass[last])
        found = children_of(batch, last, self._least_total(self.finished.least), self._bias)
        length = self._space.max_tokens
        scores = self._space.objective.scores(found.totals, length, ended=False)
        for place in _best_first(scores, self.finished.least)[: self._room.outputs]:
            if scores[place] <= self.finished.least:
                break
            path = self._stepper.path(int(batch.nodes[found.rows[place]]))
            self.finished.offer(
                Output(
                    token_ids=(*path, int(found.tokens[place])),
                    logprob=float(found.logprobs[place]),
                    total=float(found.totals[place]),
                    score=float(scores[place]),
                    end_logprob=None,
                )
            )

    def _keep_children(self, batch: Batch, inner: Rows) -> None:
        """Open every child that may still win; let go of the nodes that have none."""
        found = children_of(batch, inner, self._least_total(self._to_beat), self._bias)
        bounds = bounds_of(self._space, found.totals)
        kept = bounds > self._to_beat
        rows, tokens, logprobs = found.rows[kept], found.tokens[kept], found.logprobs[kept]
        opened = np.bincount(rows, np.exp(logprobs), minlength=len(batch.nodes))
        pruned = (batch.mass * batch.outcomes.tokens_mass - opened)[inner]
        self.tally.pruned += float(np.maximum(pruned, 0.0).sum())
        constraint, states = self._space.constraint, batch.states[rows]
        self._stepper.hold(batch.nodes, np.bincount(rows, minlength=len(batch.nodes)))
        self._stepper.release(batch.nodes)
        self._frontier.add(
            Records(
                nodes=batch.nodes[rows],
                tokens=tokens,
                logprobs=logprobs,
                totals=found.totals[kept],
                bounds=bounds[kept],
                lengths=batch.lengths[rows] + 1,
                states=states if constraint is None else states_after(constraint, states, tokens),
            )
        )

    def _least_total(self, score: float) -> float:
        space = self._space
        return space.objective.least_total(score, longest=space.max_tokens, ended=space.ended)

    def _sweep(self) -> None:
        """Prune what an improved best has made hopeless."""
        to_beat = self._to_beat
        if to_beat <= self._swept:
            return
        self._swept = to_beat
        lost = self._frontier.take(np.flatnonzero(self._frontier.bounds <= to_beat))
        self.tally.pruned += float(np.exp(lost.logprobs).sum())
        self._stepper.release(lost.nodes)

    def _drop(self) -> None:
        """Let the worst beginnings go where there is no room, and remember their best bound."""
        over = len(self._frontier) - self._room.records
        if over <= 0:
            return
        count = len(self._frontier) - int(_DROPPED_TO * self._room.records)
        lost = self._frontier.take(np.argpartition(self._frontier.bounds, count - 1)[:count])
        tally = self.tally
        tally.dropped += float(np.exp(lost.logprobs).sum())
        tally.largest_dropped = max(tally.largest_dropped, float(lost.bounds.max()))
        if not tally.dropped_paths:
            order = np.argsort(-lost.bounds)[:_SHOWN]
            tally.dropped_paths.extend(self._paths(_some(lost, order)))
        self._stepper.release(lost.nodes)

    def _paths(self, records: Records) -> list[tuple[float, tuple[int, ...]]]:
        each = zip(
            records.bounds.tolist(), records.nodes.tolist(), records.tokens.tolist(), strict=True
        )
        return [(bound, (*self._stepper.path(node), token)) for bound, node, token in each]


def _best_first(scores: Column, least: float) -> list[int]:
    """Return the places of scores above `least`, the largest first."""
    likely = np.flatnonzero(scores > least)
    order: list[int] = likely[np.argsort(-scores[likely], kind="stable")].tolist()
    return order


def _some(records: Records, places: Places) -> Records:
    return Records(*(getattr(records, name)[places] for name in Records.__slots__))
