"""Which executors are right for a model: tried on a random trie against the plain path.

An executor is taken only if
- it agrees with the plain path on the model itself, in float32 or better, closely in absolute terms
  and beside what one token of context is worth to this model (to a model that hardly looks at its
  context every executor would seem right);
- beyond the thresholds that the config declares (windows, chunks) it agrees on a small copy of the
  architecture whose thresholds are low; if not, it is used below the thresholds only;
- it keeps its own conditions at every call (`forest`: its function is called once a layer, and with
  no keyword that it does not implement).
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
import torch

from logpr.models._probe import largest_difference, plain_paths, probe_pack
from logpr.models.base import NO_EVIDENCE, EdgeScores
from logpr.models.hf.beyond import agrees_beyond, low_blocks
from logpr.models.hf.cached import Cached
from logpr.models.hf.decoder import Decoder
from logpr.models.hf.devices import budgets, exact_float32
from logpr.models.hf.forest import Forest
from logpr.models.hf.fused import shorter_forwards
from logpr.models.hf.head import Head
from logpr.models.hf.invariant import Invariant
from logpr.models.hf.mask import Masked, forms
from logpr.models.hf.packed import Packed
from logpr.models.hf.pieces import Executor
from logpr.models.hf.plain import Plain, growing
from logpr.models.hf.precision import is_low, widened
from logpr.models.hf.scoring import score_pack
from logpr.models.hf.shrunk import thresholds
from logpr.models.hf.spans import Spanned
from logpr.models.hf.trunk import Trunk
from logpr.tokens.pack import Pack
from logpr.tokens.trie import TokenTrie

EXECUTORS = ("forest", "mask", "cache", "plain")
"""In the order they are tried: the first that is right is taken."""

_PIECE = 1024
"""Nodes in a piece: under a mask, attention scores are [heads, nodes, nodes]."""

_TRIAL_SPANS = 3
"""Spans in which the trial of `forest` runs, so that keys held between them are tried too."""

_TOLERANCE = {torch.float64: 1e-6, torch.float32: 1e-3}
"""Nats a token. Models keep islands of float32 even in float64; in float32 random tokens through
many layers amplify the order of summation."""

_SHARE = 0.05
"""Of what one token of context is worth: a key too many or too few would change more."""

_OF_PRECISION = 4.0
"""In a low dtype: how much worse than the dtype itself the packed run may be."""


@dataclass(frozen=True, slots=True)
class Tried:
    """One executor's trial, for people.

    `largest_difference` is in nats a token, against the plain path in float32 or better;
    `tokens_per_second` counts tokens through the network, with their scores.
    """

    executor: str
    accepted: bool
    largest_difference: float | None
    reason: str
    tokens_per_second: float | None


@dataclass(frozen=True, slots=True)
class Choice:
    """The executor that was taken, what was tried, and the measured noise in nats a token."""

    executor: Executor
    tried: tuple[Tried, ...]
    noise_packing: float
    noise_precision: float


@dataclass(frozen=True, slots=True)
class _Bench:
    """What a trial runs on, and what it is held against."""

    trunk: Trunk
    head: Head
    pack: Pack
    plain: Plain
    reference: EdgeScores
    worth: float
    tiled: bool


@exact_float32()
def choose(
    trunk: Trunk,
    head: Head,
    *,
    vocab_size: int,
    context_length: int,
    forced: str | None = None,
    tiled: bool = False,
) -> Choice:
    """Return the first executor in order that is right; `plain` where none else is.

    Args:
        trunk: of the model, on its device, in its dtype.
        head: of the same model.
        vocab_size: ids that have an embedding and a row of the head.
        context_length: of the model.
        forced: the only executor to try beside `plain`.
        tiled: try `forest` alone, in passes of fixed shape.

    Raises:
        ModelOutputError: the model's own forward pass gives no distribution.
    """
    grown = growing(trunk.config)
    longest = context_length if grown is None else min(context_length, grown.original)
    pack = probe_pack(vocab_size, longest)
    plain = Plain(trunk, grown)
    names = ["forest"] if tiled else [n for n in EXECUTORS[:-1] if forced in (None, n)]
    low = is_low(trunk.model.dtype)
    started = time.perf_counter()
    own = score_pack(plain, head, pack, NO_EVIDENCE)
    speed = sum(len(path.token_ids) for path in plain_paths(pack)) / _since(started)
    taken: Executor | None = None
    tried: list[Tried] = []
    with widened(trunk.model) if low else nullcontext():
        reference = score_pack(plain, head, pack, NO_EVIDENCE) if low else own
        worth = _worth_of_a_token(plain, head, pack, reference) if names else 0.0
        bench = _Bench(trunk, head, pack, plain, reference, worth, tiled)
        for name in names:
            if taken is None:
                taken, line = _try(name, bench)
            else:
                line = _refused(name, f"not tried: {taken.name}, before it in order, is right")
            tried.append(line)
    precision = largest_difference(own, reference)
    packing = 0.0
    if taken is not None:
        started = time.perf_counter()
        packing = largest_difference(score_pack(taken, head, pack, NO_EVIDENCE), own)
        rate = len(pack) / _since(started)
        tried = [replace(one, tokens_per_second=rate) if one.accepted else one for one in tried]
        if low and not packing <= _OF_PRECISION * precision + _TOLERANCE[torch.float32]:
            reason = (
                f"right in float32, but {packing:.2g} nats from the plain path in "
                f"{trunk.model.dtype}, which is itself {precision:.2g} from float32"
            )
            tried = [
                replace(one, accepted=False, reason=reason) if one.accepted else one
                for one in tried
            ]
            taken, packing = None, 0.0
    tried.append(
        Tried(
            executor="plain",
            accepted=True,
            largest_difference=0.0,
            reason="one sequence at a time, by the model's own code",
            tokens_per_second=speed,
        )
    )
    return Choice(plain if taken is None else taken, tuple(tried), packing, precision)


def _try(name: str, bench: _Bench) -> tuple[Executor | None, Tried]:
    """Return the executor if it is right, and its line in any case; never raises."""
    if name != "cache" and not bench.trunk.takes_positions:
        reason = "the model takes no position ids, so siblings cannot share their positions"
        return None, _refused(name, reason)
    best: Tried | None = None
    for run in _runs(name, bench):
        trial = _executor(run, bench, None)
        if isinstance(run, Forest):
            budget = len(bench.pack) // _TRIAL_SPANS + 1
            trial = Invariant(run) if run.tiled else Spanned(run, budget=budget)
        try:
            with low_blocks(bench.trunk.model):
                scores = score_pack(trial, bench.head, bench.pack, NO_EVIDENCE)
        except Exception as error:  # noqa: BLE001 - whatever a model raises, it is then run plain
            line = _refused(name, f"it fails: {_first_line(error)}")
        else:
            difference = largest_difference(scores, bench.reference)
            line = _verdict(name, difference, bench)
        if line.accepted:
            limit, why = _limit(run, bench)
            return _executor(run, bench, limit), replace(line, reason=line.reason + why)
        best = line if best is None else best
    assert best is not None, name
    return None, best


def _executor(run: Forest | Masked | Cached, bench: _Bench, limit: int | None) -> Executor:
    if isinstance(run, Cached):
        return replace(run, limit=limit)
    if isinstance(run, Masked):
        return Packed("mask", run, bench.plain, _PIECE, limit)
    if run.tiled:
        return Invariant(run, limit=limit)
    if limit is not None:
        return Packed("forest", run, bench.plain, _PIECE, limit)
    room = budgets(bench.trunk)
    return Spanned(run, budget=room.rows, kept_bytes=room.kept_bytes)


def _runs(name: str, bench: _Bench) -> Iterator[Forest | Masked | Cached]:
    trunk = replace(bench.trunk, shorter=shorter_forwards(bench.trunk.model))
    if name == "forest":
        forest = Forest(trunk, layers=trunk.config.num_hidden_layers, tiled=bench.tiled)
        yield forest
        if trunk.shorter:
            yield replace(forest, trunk=bench.trunk)
    elif name == "cache":
        cached = Cached(Decoder(trunk), bench.plain)
        yield cached
        yield replace(cached, steps=True)
        yield replace(cached, rows=1)
    else:
        yield from forms(trunk)


def _verdict(name: str, difference: float, bench: _Bench) -> Tried:
    dtype = bench.trunk.model.dtype
    absolute = _TOLERANCE.get(dtype, _TOLERANCE[torch.float32])
    allowed = min(absolute, _SHARE * bench.worth)
    if difference <= allowed:
        reason = f"within {allowed:.1g} nats a token of the plain path"
    else:
        reason = (
            f"{difference:.2g} nats a token from the plain path, more than {allowed:.1g} "
            f"(one token of context is worth {bench.worth:.2g})"
        )
    return Tried(name, difference <= allowed, difference, reason, None)


def _limit(run: Forest | Masked | Cached, bench: _Bench) -> tuple[int | None, str]:
    """Return beyond how many nodes of a piece the run is not known to be right, and the words."""
    limits: list[int] = []
    words = _words(run)
    longer = "is refused" if bench.tiled else "runs plain"
    declared = thresholds(bench.trunk.config)
    if declared:
        lowest = min(declared, key=lambda one: one.tokens)
        doubt = agrees_beyond(run, bench.trunk)
        if doubt is None:
            words += f"; also beyond {lowest.name}={lowest.tokens}"
        else:
            limits.append(lowest.tokens)
            words += f"; longer than {lowest.name}={lowest.tokens} {longer}, because {doubt}"
    if bench.plain.growing is not None:
        # One less: angles that have grown go back only for a sequence shorter than the original.
        limits.append(bench.plain.growing.original - 1)
        words += f"; longer than {limits[-1]} {longer} (rotary angles change there)"
    return min(limits, default=None), words


def _words(run: Forest | Masked | Cached) -> str:
    if isinstance(run, Cached) and run.steps:
        return "; its layers go on from a prefix by one token at a time"
    if isinstance(run, Cached) and run.rows == 1:
        return "; one branch at a time"
    return ""


def _worth_of_a_token(plain: Plain, head: Head, pack: Pack, scores: EdgeScores) -> float:
    """Return the largest change of an edge's log-probability when its context loses one token."""
    trie = TokenTrie()
    asked: dict[int, int] = {}
    long = (path for path in plain_paths(pack) if len(path.token_ids) > 1)
    for path in islice(long, 12):
        for edge, position in zip(path.edges.tolist(), path.positions.tolist(), strict=True):
            if position > 0:
                shorter = path.token_ids[1 : position + 1].tolist()
                (asked[edge],) = trie.ask(shorter, (int(pack.edge_tokens[edge]),))
    if not asked:
        return 0.0
    other, place = trie.pack(end_ids=pack.end_ids)
    shortened = score_pack(plain, head, other, NO_EVIDENCE).logprob
    before = scores.logprob[list(asked)]
    after = shortened[[place[edge] for edge in asked.values()]]
    both = np.isfinite(before) & np.isfinite(after)  # what can never come is no measure
    return float(np.abs(before[both] - after[both]).max(initial=0.0))


def _refused(name: str, reason: str) -> Tried:
    return Tried(
        executor=name,
        accepted=False,
        largest_difference=None,
        reason=reason,
        tokens_per_second=None,
    )


def _since(started: float) -> float:
    return max(time.perf_counter() - started, 1e-9)


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__
