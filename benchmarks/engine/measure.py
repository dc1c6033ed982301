"""Rows: logpr's own time, its agreement, and each peer's time beside it."""

from __future__ import annotations

import math
import statistics
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.engine import sampling
from benchmarks.engine.children import Answer, Child, Machine, ScorerError, write_model
from benchmarks.engine.minimum import minimal_work
from benchmarks.engine.peer_cost import Clock, most, parts_for
from benchmarks.engine.roofline import BY_MM, best_rates, ideal_seconds
from benchmarks.engine.rows import PeerCell, Row
from benchmarks.engine.sampling import Place
from benchmarks.engine.scorers import OURS, REFERENCE
from benchmarks.engine.vocabulary import vocab_of
from benchmarks.engine.workloads import Sizes, Workload, workload

_MB = 2**20
_REFERENCE_TOKENS = 1_500
_FORESEEN = 0.75
"""Share of the matmul rate that logpr is thought to reach before it was timed."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds that one timed run may take, of ours and of a peer; and how often it is repeated."""

    seconds: float = 10.0
    peer_seconds: float = 5.0
    repeats: int = 3


@dataclass(slots=True)
class Measured:
    """What came of one model."""

    rows: list[Row]
    versions: dict[str, dict[str, str]]
    rates: dict[str, float]
    failures: list[str]


@dataclass(frozen=True, slots=True)
class _Own:
    """A row before peers, with what they need of it."""

    row: Row
    work: Workload
    scores: list[list[float | None]]
    reference: Mapping[Place, float]


def measure(
    shape: str,
    *,
    names: Sequence[str],
    peers: Sequence[str],
    machine: Machine,
    peer_machine: Machine,
    limits: Limits,
    sizes: Sizes,
    say: Callable[[str], None],
) -> Measured:
    """Return the rows of one model.

    Args:
        shape: its name.
        names: of the workloads.
        peers: whose time is to stand beside ours.
        machine: dtype, device, threads and interpreter.
        peer_machine: the same with the peers' interpreter.
        limits: of time.
        sizes: of the workloads.
        say: takes a line about progress.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "model"
        write_model(shape, folder, machine)
        ours = stack.enter_context(Child(OURS, folder, machine))
        works = {name: workload(name, vocab=vocab_of(folder), sizes=sizes) for name in names}
        # In a process of its own: what the products of a whole vocabulary need would count as ours.
        rates = _Rates(stack.enter_context(Child(OURS, folder, machine)))
        own: dict[str, _Own] = {}
        for name, full in works.items():
            say(f"{shape} {name}")
            own[name] = _own(
                shape, full, ours=ours, dtype=machine.dtype, limits=limits, rates=rates
            )
        with Child(REFERENCE, folder, machine) as reference:
            own = {name: _compared(one, own, reference) for name, one in own.items()}
        out = Measured([], {OURS: dict(ours.about)}, rates.best, [])
        cells: dict[str, dict[str, PeerCell]] = {name: {} for name in names}
        for peer in peers:
            try:
                with Child(peer, folder, peer_machine) as child:
                    out.versions[peer] = dict(child.about)
                    clock = Clock(peer, rates.matmuls, rates.best)
                    for name, one in own.items():
                        if one.work.top is None:
                            say(f"{shape} {name} {peer}")
                            cells[name][peer] = _cell(one, child, ours, clock, limits)
            except ScorerError as error:
                out.failures.append(f"{shape}, {peer}: {error}")
        out.rows = [replace(one.row, peers=cells[name]) for name, one in own.items()]
        return out


class _Rates:
    """The rates of the model's matmuls, measured between one row and the next."""

    def __init__(self, ours: Child) -> None:
        self._ours = ours
        self.matmuls, self._last = ours.rates()
        self.best = self._last

    def beside(self) -> dict[str, float]:
        """Measure again, and return the best of before and after the row."""
        before = self._last
        _, self._last = self._ours.rates()
        self.best = best_rates([self.best, self._last])
        return best_rates([before, self._last])


def _own(
    shape: str, full: Workload, *, ours: Child, dtype: str, limits: Limits, rates: _Rates
) -> _Own:
    def foreseen(count: int) -> float:
        least = minimal_work(full.first(count).queries)
        return ideal_seconds(least, rates.matmuls, rates.best) / _FORESEEN

    work = full.first(most(len(full.queries), foreseen, limits.seconds))
    answers = _repeated(lambda: ours.score(work), limits.seconds, limits.repeats)
    least = minimal_work(work.queries)
    beside = rates.beside()
    ideal = ideal_seconds(least, rates.matmuls, beside)
    ideal_mm = ideal_seconds(least, rates.matmuls, beside, by=BY_MM)
    seconds = statistics.median(answer.seconds for answer in answers)
    row = Row(
        model=shape,
        workload=full.name,
        dtype=dtype,
        queries=len(work.queries),
        of_queries=len(full.queries),
        sequences=sum(len(query.candidates) for query in work.queries),
        seconds=seconds,
        runs=tuple(answer.seconds for answer in answers),
        fed=max(answer.fed for answer in answers),
        minimum=least.tokens,
        rows=least.rows,
        ideal_seconds=ideal,
        # What top-1 leaves out would count as speed.
        roofline=None if work.top else ideal / seconds,
        roofline_mm=None if work.top else ideal_mm / seconds,
        memory_mb=max(answer.memory for answer in answers) / _MB,
        difference=None,
        compared=0,
    )
    return _Own(row, work, answers[0].scores, {})


def _repeated(run: Callable[[], Answer], seconds: float, repeats: int) -> list[Answer]:
    """Return answers of at least two runs, more while they take no more than `seconds` together."""
    out: list[Answer] = []
    while len(out) < min(2, repeats) or (
        len(out) < repeats and sum(one.seconds for one in out) < seconds
    ):
        out.append(run())
    return out


def _compared(one: _Own, all_: Mapping[str, _Own], reference: Child) -> _Own:
    """Return the row with its agreement: on a sample of sequences, or on top-1's winners."""
    winners: str | None = None
    if one.work.top is None:
        part = sampling.reference_part(one.work, _REFERENCE_TOKENS)
    else:
        found = _winners(one.scores)
        part = sampling.part_of(one.work, list(enumerate(found)))
        full = all_.get(one.work.name.removesuffix(" top-1"))
        if full is not None:
            pairs = list(zip(found, _winners(full.scores), strict=False))
            winners = f"{sum(a == b for a, b in pairs)}/{len(pairs)}"
    sample = replace(part.work, top=None)
    exact = part.by_place(reference.score(sample).scores)
    ours = sampling.whole(one.work).by_place(one.scores)
    row = replace(
        one.row, difference=_difference(ours, exact), compared=part.sequences, winners=winners
    )
    return replace(one, row=row, reference=exact)


def _winners(scores: Sequence[Sequence[float | None]]) -> list[int]:
    out: list[int] = []
    for row in scores:
        known = [-math.inf if score is None else score for score in row]
        out.append(known.index(max(known)))
    return out


def _difference(scores: Mapping[Place, float], exact: Mapping[Place, float]) -> float | None:
    return max((abs(scores[at] - exact[at]) for at in exact if at in scores), default=None)


def _cell(one: _Own, peer: Child, ours: Child, clock: Clock, limits: Limits) -> PeerCell:
    ours_on, part = parts_for(one.work, clock, limits.peer_seconds)
    scaled = part.work != ours_on
    pairs: list[tuple[float, float]] = []
    answer: Answer | None = None
    spent = 0.0
    before = ours.score(ours_on).seconds
    while answer is None or (len(pairs) < limits.repeats and spent < limits.peer_seconds):
        answer = peer.score(part.work)
        # Ours before and after: a drift of the machine falls on both.
        long = scaled and before > limits.peer_seconds
        after = before if long else ours.score(ours_on).seconds
        pairs.append((answer.seconds, (before + after) / 2))
        spent += answer.seconds + after
        before = after
        clock.learn(part.work, answer.seconds)
    scale = clock.tokens(ours_on) / clock.tokens(part.work)
    return PeerCell(
        ratio=statistics.median(theirs * scale / mine for theirs, mine in pairs),
        seconds=statistics.median(theirs for theirs, _ in pairs) * scale,
        our_seconds=statistics.median(mine for _, mine in pairs),
        queries=len(ours_on.queries),
        sequences=part.sequences,
        of_sequences=sum(len(query.candidates) for query in ours_on.queries),
        scaled=scaled,
        fed=answer.fed,
        memory_mb=answer.memory / _MB,
        difference=_difference(part.by_place(answer.scores), one.reference),
    )
