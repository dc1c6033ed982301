"""Greedy and beam search, choosing single tokens step by step as transformers' `generate` does.

Beside what they choose they keep account of what they let go: where no beginning and no output
that was let go has a bound above the beam's own best, its answer is proven optimal at no further
cost.
"""

from __future__ import annotations

import math
from bisect import insort
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float64

from logpr._types import FloatVocab, IntNodes
from logpr._values.decoding import Stopped
from logpr.decoding.batch import Batch, Column, bias_of, bounds_of, root_batch
from logpr.decoding.finished import Output
from logpr.decoding.limits import Clock
from logpr.decoding.outcomes import read, states_after
from logpr.decoding.space import Space
from logpr.decoding.tally import Tally
from logpr.models.base import Stepper


@dataclass(slots=True)
class Beam:
    """What a beam came to: outputs that ended, best first, and beginnings that were cut."""

    finished: list[Output] = field(default_factory=list)
    cut: list[Output] = field(default_factory=list)
    tally: Tally = field(default_factory=Tally)
    expansions: int = 0
    stopped: Stopped = "finished"

    @property
    def best(self) -> Output | None:
        """Return the best output that ended; where none did, the best that was cut."""
        return next(iter(self.finished or self.cut), None)


def greedy_search(stepper: Stepper, space: Space, *, clock: Clock) -> Beam:
    """Return the output that takes the most probable single token at every step.

    Args:
        stepper: the beginnings of the prompt.
        space: the outputs.
        clock: says when to stop.
    """
    return _Walk(stepper, space, width=1, clock=clock, greedy=True).run()


def beam_search(stepper: Stepper, space: Space, *, width: int, clock: Clock) -> Beam:
    """Return what a beam of some width ends with.

    At every step the best (1 + number of end tokens, at least 2) · width single tokens are looked
    at; end tokens among the first `width` of them end an output, and the first `width` others go
    on. It stops once `width` outputs ended and the best beginning, divided by its present length,
    is not above the last of them: `early_stopping=False` in transformers.

    Args:
        stepper: the beginnings of the prompt.
        space: the outputs.
        width: beginnings that go on.
        clock: says when to stop.
    """
    return _Walk(stepper, space, width=width, clock=clock, greedy=False).run()


@dataclass(frozen=True, slots=True)
class _Choices:
    """The best single tokens after a batch's rows, best first; `ends` marks the end tokens."""

    rows: IntNodes
    tokens: IntNodes
    steps: Column
    totals: Column
    ends: Bool[np.ndarray, " prefixes"]


class _Walk:
    """One beam on its way."""

    def __init__(
        self, stepper: Stepper, space: Space, *, width: int, clock: Clock, greedy: bool
    ) -> None:
        self._stepper = stepper
        self._space = space
        self._width = width
        self._clock = clock
        self._greedy = greedy
        self._bias: FloatVocab | None = None
        self._looked_at = 1 if greedy else max(2, 1 + len(space.end_ids)) * width
        self._scores: list[tuple[float, int]] = []
        self._found: list[Output] = []
        self._beam = Beam()

    def run(self) -> Beam:
        rows = self._stepper.start()
        self._bias = bias_of(self._space, rows.values.shape[1])
        batch = root_batch(self._space, self._stepper.root, rows)
        self._stepper.hold(batch.nodes, np.array([1]))
        beam, ended = self._beam, self._space.ended
        for step in range(self._space.max_tokens + 1):
            beam.expansions += len(batch.nodes)
            beam.tally.count(self._space, batch)
            if ended and step == self._space.max_tokens:
                self._end(batch)
                break
            choices, rest = self._choices(batch)
            if ended:
                self._finish(batch, choices)
            go_on = np.flatnonzero(~choices.ends)[: self._width]
            if self._greedy and choices.ends.any():
                go_on = go_on[:0]
            if not ended and step == self._space.max_tokens - 1:
                self._finish_open(batch, choices, go_on)
                self._let_go(batch, choices, go_on, rest)
                break
            if self._is_over(choices, go_on, step + 1):
                go_on = go_on[:0]
            elif (stopped := self._clock.stop(beam.expansions)) is not None:
                beam.stopped = stopped
                go_on = go_on[:0]
            self._let_go(batch, choices, go_on, rest)
            if not len(go_on):
                break
            batch = self._extended(batch, choices, go_on)
        self._stepper.release(batch.nodes)
        found = [self._found[place] for _, place in self._scores]
        beam.finished = found[: self._width]
        # By all end tokens together one that fell out may be better than one that stayed.
        lost, tally = found[self._width :], beam.tally
        tally.largest_dropped = max([tally.largest_dropped, *(one.score for one in lost)])
        mass = min(math.fsum(math.exp(one.logprob) for one in lost), tally.finished)
        tally.finished -= mass
        tally.dropped += mass
        return beam

    def _choices(self, batch: Batch) -> tuple[_Choices, Float64[np.ndarray, "prefixes vocab"]]:
        """Return the best single tokens, and the totals of all with these set to −inf."""
        out, ids = batch.outcomes, list(self._space.end_ids)
        steps = out.logprobs()
        steps[:, ids] = out.ends
        totals = steps + batch.totals[:, None]
        if self._bias is not None:
            totals += self._bias
        flat = totals.reshape(-1)
        count = min(self._looked_at, len(flat))
        best = np.argpartition(-flat, count - 1)[:count]
        best = best[np.lexsort((best, -flat[best]))]
        best = best[flat[best] > -np.inf]
        rows, tokens = np.divmod(best, totals.shape[1])
        ends = (tokens[:, None] == np.asarray(ids, dtype=np.int64)).any(axis=1)
        choices = _Choices(rows, tokens, steps[rows, tokens], flat[best].copy(), ends)
        totals[:, ids] = -np.inf
        return choices, totals

    def _extended(self, batch: Batch, choices: _Choices, places: IntNodes) -> Batch:
        """Return the chosen beginnings with one token more."""
        rows, tokens = choices.rows[places], choices.tokens[places]
        nodes, found = self._stepper.extend(batch.nodes[rows], tokens)
        self._stepper.release(batch.nodes)
        lengths, states = batch.lengths[rows] + 1, batch.states[rows]
        if self._space.constraint is not None:
            states = states_after(self._space.constraint, states, tokens)
        return Batch(
            nodes=nodes,
            lengths=lengths,
            logprobs=batch.logprobs[rows] + choices.steps[places],
            totals=choices.totals[places],
            states=states,
            outcomes=read(self._space, found, lengths, states),
        )

    def _finish(self, batch: Batch, choices: _Choices) -> list[int]:
        """End outputs at the end tokens among the first; return the rows that ended."""
        taken: list[int] = []
        for place in np.flatnonzero(choices.ends[: self._width]).tolist():
            row = int(choices.rows[place])
            if row in taken:  # another end token after the same beginning: the same output
                continue
            taken.append(row)
            self._keep(batch, row, float(choices.totals[place]))
        self._tally_ends(batch, taken)
        return taken

    def _end(self, batch: Batch) -> None:
        """End the outputs that have their full length, by the same rule; the others are cut."""
        choices, _ = self._choices(batch)
        ended = self._finish(batch, choices)
        self._beam.tally.cut(self._space, batch, np.ones(len(batch.nodes), dtype=bool))
        for row in np.setdiff1d(np.arange(len(batch.nodes)), ended).tolist():
            self._beam.cut.append(
                Output(
                    token_ids=self._stepper.path(int(batch.nodes[row])),
                    logprob=float(batch.logprobs[row]),
                    total=float(batch.totals[row]),
                    score=self._score(float(batch.totals[row]), int(batch.lengths[row]), end=False),
                    end_logprob=None,
                    ended=False,
                )
            )

    def _keep(self, batch: Batch, row: int, chosen_by: float) -> None:
        """Keep a beginning that ends; beams order by its one end token, scores count them all."""
        end, length = float(batch.outcomes.end[row]), int(batch.lengths[row])
        total = float(batch.totals[row]) + end
        self._add(
            Output(
                token_ids=self._stepper.path(int(batch.nodes[row])),
                logprob=float(batch.logprobs[row]) + end,
                total=total,
                score=self._score(total, length, end=True),
                end_logprob=end,
            ),
            self._score(chosen_by, length, end=True),
        )

    def _finish_open(self, batch: Batch, choices: _Choices, places: IntNodes) -> None:
        """End the outputs that have their full length, without END."""
        for place in places.tolist():
            row = int(choices.rows[place])
            logprob = float(batch.logprobs[row] + choices.steps[place])
            total = float(choices.totals[place])
            score = self._score(total, self._space.max_tokens, end=False)
            path = (*self._stepper.path(int(batch.nodes[row])), int(choices.tokens[place]))
            self._beam.tally.finished += float(np.exp(logprob))
            self._add(Output(path, logprob, total, score, None), score)

    def _add(self, output: Output, score: float) -> None:
        self._found.append(output)
        insort(self._scores, (-score, len(self._found) - 1))

    def _is_over(self, choices: _Choices, go_on: IntNodes, length: int) -> bool:
        if self._greedy or len(self._scores) < self._width or not len(go_on):
            return False
        running = self._score(float(choices.totals[go_on[0]]), length, end=False)
        return running <= -self._scores[self._width - 1][0]

    def _score(self, total: float, length: int, *, end: bool) -> float:
        scores = self._space.objective.scores(np.array([total]), length, ended=end)
        return float(scores[0])

    def _tally_ends(self, batch: Batch, taken: list[int]) -> None:
        """Account for END after every beginning: an output, or one that was let go."""
        out, tally = batch.outcomes, self._beam.tally
        ended = batch.mass * np.exp(out.end)
        left = ended > 0.0
        left[taken] = False
        others = np.flatnonzero(left)
        tally.finished += float(ended[taken].sum())
        tally.dropped += float(ended[others].sum())
        totals = (batch.totals + out.end)[others]
        scores = self._space.objective.scores(totals, batch.lengths[others], ended=True)
        tally.largest_dropped = max(tally.largest_dropped, float(scores.max(initial=-np.inf)))

    def _let_go(
        self,
        batch: Batch,
        choices: _Choices,
        go_on: IntNodes,
        totals: Float64[np.ndarray, "prefixes vocab"],
    ) -> None:
        """Account for all tokens but those that go on."""
        tally = self._beam.tally
        rows, tokens = choices.rows[go_on], choices.tokens[go_on]
        totals[rows, tokens] = -np.inf
        kept = float(np.exp(batch.logprobs[rows] + choices.steps[go_on]).sum())
        lost = float(batch.mass @ batch.outcomes.tokens_mass) - kept
        tally.dropped += max(lost, 0.0)
        bound = bounds_of(self._space, np.array([totals.max(initial=-np.inf)]))
        tally.largest_dropped = max(tally.largest_dropped, float(bound[0]))
        best = np.unravel_index(int(totals.argmax()), totals.shape)
        if totals[best] > -np.inf:
            path = (*self._stepper.path(int(batch.nodes[best[0]])), int(best[1]))
            tally.dropped_paths.append((float(bound[0]), path))
