"""What the methods of decoding come back with, in one shape."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from logpr._decode._options import BEAM_WIDTH, EXACT_WIDTH, Options
from logpr._decode._request import Request
from logpr._values import MassLedger, Moment
from logpr.decoding.batch import root_batch
from logpr.decoding.beam import Beam, beam_search, greedy_search
from logpr.decoding.certify import ROUNDING, Findings, Work, left_over
from logpr.decoding.finished import Output
from logpr.decoding.limits import Clock
from logpr.decoding.sampling import Draw, sample, sample_without_replacement
from logpr.decoding.search import Search
from logpr.decoding.space import Space
from logpr.models.base import Stepper

Tokens = tuple[int, ...]

_TYPICAL_OF = 16
"""Samples of which the middle one, by its probability, is shown as a typical one."""

_MOMENTS = 512

_SHARE = 1 / 3
"""Of the budget's time, for what the search is compared with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The findings, the outputs to list, and what a picture needs.

    `listed` is in the order of the method: best first, or as drawn. `opened` and `dropped` are
    beginnings with their bounds.
    """

    findings: Findings
    listed: tuple[Output, ...]
    draws: tuple[Draw, ...] = ()
    kappa: float | None = None
    history: tuple[Moment, ...] = ()
    opened: tuple[tuple[float, Tokens], ...] = ()
    dropped: tuple[tuple[float, Tokens], ...] = ()
    largest_pruned: float = -math.inf
    peak_bytes: int = 0
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Others:
    """Outputs of other ways to decode, by their names."""

    greedy: Output | None = None
    beam: Output | None = None
    sample: Output | None = None
    empty: Output | None = None

    @property
    def known(self) -> tuple[Output, ...]:
        """Return those that ended, for a search to beat."""
        each = (self.greedy, self.beam, self.sample, self.empty)
        return tuple(one for one in each if one is not None and one.ended)


@dataclass(slots=True)
class History:
    """Where a search was, at no more moments than a picture can show."""

    report: Callable[[Moment], None] | None
    _moments: list[Moment] = field(default_factory=list)

    def __call__(self, moment: Moment) -> None:
        """Take note of a moment, and tell the caller."""
        self._moments.append(moment)
        if len(self._moments) > 2 * _MOMENTS:
            # The first and every other one: bounds only move one way, so the shape stays.
            self._moments = self._moments[::2]
        if self.report is not None:
            self.report(moment)

    @property
    def moments(self) -> tuple[Moment, ...]:
        """Return them, the last one always."""
        step = max(1, len(self._moments) // _MOMENTS)
        kept = self._moments[::step]
        if self._moments and kept[-1] is not self._moments[-1]:
            kept.append(self._moments[-1])
        return tuple(kept)


def others_of(request: Request, stepper: Stepper, options: Options, clock: Clock) -> Others:
    """Return what other ways to decode come to.

    Args:
        request: the outputs.
        stepper: of the prompt.
        options: of the caller.
        clock: says when to stop.
    """
    space = request.space
    part = clock.part(_SHARE)
    # What the method itself comes to is not searched for twice.
    own = options.method
    greedy = None if own == "greedy" else greedy_search(stepper, space, clock=part).best
    beam = None
    if own != "beam" or (options.width or BEAM_WIDTH) != BEAM_WIDTH:
        beam = beam_search(stepper, space, width=BEAM_WIDTH, clock=part).best
    drawn = None
    if request.whole_rows:
        found = sample(stepper, space, count=_TYPICAL_OF, seed=options.seed, clock=part)
        # Those that are done when time is up are the short ones, and typical of nothing.
        draws = found.outputs if found.stopped == "finished" else ()
        ended = sorted((one for one in draws if one.finished), key=lambda one: -one.logprob)
        drawn = _output(space, ended[len(ended) // 2]) if ended else None
    return Others(greedy=greedy, beam=beam, sample=drawn, empty=_empty_of(request, stepper))


def by_search(
    request: Request, stepper: Stepper, options: Options, clock: Clock, others: Others
) -> Found:
    """Return the best outputs, or all from a threshold on, proven as far as the clock lets.

    Args:
        request: the outputs.
        stepper: of the prompt.
        options: of the caller.
        clock: says when to stop.
        others: to be beaten.
    """
    least = None if options.threshold is None else math.log(options.threshold) - ROUNDING
    history = History(options.progress)
    before = Work.of(stepper)
    search = Search(
        stepper,
        request.space,
        count=options.count,
        least=least,
        slack=2.0 * request.noise * (request.space.max_tokens + 1),
        tolerance=options.tolerance,
        width=options.width or EXACT_WIDTH,
        room=options.room(request.prompt.model.vocab_size),
        clock=clock,
        report=history,
    )
    stopped = search.run(others.known)
    outputs = tuple(search.finished.outputs)
    if least is not None:
        outputs = tuple(one for one in outputs if one.score >= least)
    findings = Findings(
        outputs=outputs,
        ledger=search.ledger,
        largest_open=search.largest_open,
        largest_dropped=search.tally.largest_dropped,
        largest_truncated=search.tally.largest_truncated,
        rival_mass=search.rival_mass(search.lower if least is None else least),
        expansions=search.expansions,
        stopped=stopped,
        work=Work.of(stepper).since(before),
    )
    return Found(
        findings=findings,
        listed=outputs if least is not None else outputs[: options.count],
        history=history.moments,
        opened=tuple(search.open_paths()),
        dropped=tuple(search.tally.dropped_paths),
        largest_pruned=search.largest_pruned,
        peak_bytes=search.peak_bytes,
    )


def by_beam(request: Request, stepper: Stepper, options: Options, clock: Clock) -> Found:
    """Return what greedy or beam search ends with.

    Args:
        request: the outputs.
        stepper: of the prompt.
        options: of the caller.
        clock: says when to stop.
    """
    before = Work.of(stepper)
    if options.method == "greedy":
        beam = greedy_search(stepper, request.space, clock=clock)
    else:
        width = options.width or BEAM_WIDTH
        beam = beam_search(stepper, request.space, width=width, clock=clock)
    ended = beam.finished[: options.count]
    # The beam orders by one end token each, scores count all: what it leaves out may be better.
    least = min((one.score for one in ended), default=-math.inf)
    left_out = [one for one in beam.finished[options.count :] if one.score >= least]
    kept = (one for one in beam.finished if one not in left_out)
    outputs = tuple(sorted(kept, key=lambda one: one.key))
    return Found(
        findings=_of_beam(beam, outputs, left_out, Work.of(stepper).since(before)),
        listed=tuple(ended or beam.cut[:1]),
        dropped=tuple(beam.tally.dropped_paths),
    )


def _of_beam(
    beam: Beam, outputs: tuple[Output, ...], left_out: Sequence[Output], work: Work
) -> Findings:
    tally = beam.tally
    lower = outputs[0].score if outputs else -math.inf
    rivals = [math.exp(one.logprob) for one in left_out if one.score > lower]
    if tally.largest_dropped > lower:
        rivals.append(tally.rival_mass)
    return Findings(
        outputs=outputs,
        ledger=tally.ledger(0.0),
        largest_open=-math.inf,
        largest_dropped=max([tally.largest_dropped, *(one.score for one in left_out)]),
        largest_truncated=tally.largest_truncated,
        rival_mass=math.fsum(rivals),
        expansions=beam.expansions,
        stopped=beam.stopped,
        work=work,
    )


def by_drawing(request: Request, stepper: Stepper, options: Options, clock: Clock) -> Found:
    """Return draws: all that they bound is what they leave of the probability.

    Args:
        request: the outputs.
        stepper: of the prompt.
        options: of the caller.
        clock: says when to stop.
    """
    space, before = request.space, Work.of(stepper)
    draw = sample if options.method == "sample" else sample_without_replacement
    found = draw(
        stepper,
        space,
        count=options.count,
        temperature=options.temperature,
        top_k=options.top_k,
        top_p=options.top_p,
        seed=options.seed,
        clock=clock,
    )
    drawn = tuple(_output(space, one) for one in found.outputs)
    known = {one.token_ids: one for one in drawn if one.ended}
    outputs = tuple(sorted(known.values(), key=lambda one: one.key))
    mass = math.fsum(math.exp(one.logprob) for one in outputs)
    left = max(1.0 - mass, 0.0)
    findings = Findings(
        outputs=outputs,
        ledger=MassLedger(finished=mass, open=left),
        largest_open=left_over(space, left),
        largest_dropped=-math.inf,
        largest_truncated=left_over(space, left),
        rival_mass=left,
        expansions=found.expansions,
        stopped=found.stopped,
        work=Work.of(stepper).since(before),
    )
    warnings: list[str] = []
    if found.exhausted:
        warnings.append(
            f"n: {options.count} draws without replacement were asked for, and there are no more "
            f"than {len(drawn)} outputs"
        )
    if found.stopped != "finished":
        warnings.append(
            f"unfinished: {options.count - len(drawn)} of {options.count} draws were on their way "
            f"when the search was stopped and are left out; the others are the shorter ones, and "
            f"no fair sample"
        )
    return Found(
        findings=findings,
        listed=drawn,
        draws=found.outputs,
        kappa=found.kappa,
        warnings=tuple(warnings),
    )


def _output(space: Space, draw: Draw) -> Output:
    bias = dict(space.bias)
    total = draw.logprob + math.fsum(bias.get(token, 0.0) for token in draw.token_ids)
    ended = draw.finished and space.ended
    score = space.objective.scores(np.array([total]), len(draw.token_ids), ended=ended)
    return Output(
        token_ids=draw.token_ids,
        logprob=draw.logprob,
        total=total,
        score=float(score[0]),
        end_logprob=draw.end_logprob,
        ended=draw.finished,
    )


def _empty_of(request: Request, stepper: Stepper) -> Output | None:
    """Return the empty output; None where it is no output."""
    space = request.space
    if not space.ended:
        return None
    batch = root_batch(space, stepper.root, stepper.start())
    end = float(batch.outcomes.end[0])
    if end == -math.inf:
        return None
    score = space.objective.scores(np.array([end]), 0, ended=True)
    return Output((), end, end, float(score[0]), end)
