"""Which executor is right for a decoder below an encoder: tried on a random trie and sources."""

from __future__ import annotations

import time
from contextlib import nullcontext
from dataclasses import dataclass, replace

import numpy as np
import torch

from logpr.models._probe import largest_difference, plain_paths, probe_pack
from logpr.models.base import NO_EVIDENCE, EdgeScores
from logpr.models.hf.cached import Cached
from logpr.models.hf.fused import shorter_forwards
from logpr.models.hf.head import Head
from logpr.models.hf.pieces import Executor
from logpr.models.hf.plain import Plain
from logpr.models.hf.precision import is_low, widened
from logpr.models.hf.probe import Choice, Tried
from logpr.models.hf.scoring import score_pack
from logpr.models.hf.sourced import BySource, CachedDecoder
from logpr.models.hf.trunk import Trunk
from logpr.tokens.pack import ROOT, Pack

EXECUTORS = ("cache", "plain")
"""In the order tried. Siblings cannot lie in one row: a decoder counts positions by itself."""

_SOURCES = 3
_LONGEST = 24
"""Tokens of a random source."""

_TOLERANCE = {torch.float64: 1e-6, torch.float32: 1e-3}
"""Nats a token, as for causal models."""

_SHARE = 0.05
"""Of what one token of x or of y before it is worth, whichever is less."""

_OF_PRECISION = 4.0
"""In a low dtype: how much worse than the dtype itself the cached run may be."""


def some_source(vocab_size: int, longest: int, *, seed: int = 0) -> tuple[int, ...]:
    """Return random ids for an encoder to read.

    Args:
        vocab_size: of the encoder.
        longest: how many it reads at most.
        seed: of the NumPy generator.
    """
    draw = np.random.default_rng(seed)
    size = int(draw.integers(min(2, longest), min(longest, _LONGEST) + 1))
    return tuple(draw.integers(0, vocab_size, size).tolist())


@dataclass(frozen=True, slots=True)
class Under:
    """Makes the executor below one source: `cache` or `plain`, by `name`.

    `tokens` and `room` bound a batch and the caches that wait, as in `Cached`.
    """

    name: str
    tokens: int | None = None
    room: int | None = None

    def __call__(self, trunk: Trunk) -> Executor:
        """Return the executor.

        Args:
            trunk: that has read the source.
        """
        plain = Plain(trunk)
        if self.name == "plain":
            return plain
        out = Cached(CachedDecoder(trunk), plain)
        return replace(out, tokens=self.tokens or out.tokens, room=self.room or out.room)


def choose(
    trunk: Trunk,
    head: Head,
    *,
    vocabs: tuple[int, int],
    lengths: tuple[int, int],
    forced: str | None = None,
) -> Choice:
    """Return the executor that is taken, `cache` where it is right, and what was found.

    Args:
        trunk: of the model, on its device, in its dtype.
        head: of the same model.
        vocabs: ids that the encoder reads, and ids that the decoder reads and answers.
        lengths: of encoder and decoder.
        forced: the only executor to try beside `plain`.

    Raises:
        ModelOutputError: the model's own forward pass gives no distribution.
    """
    sources = [some_source(vocabs[0], lengths[0], seed=seed) for seed in range(_SOURCES)]
    pack = probe_pack(vocabs[1], lengths[1], sources=list(dict.fromkeys(sources)))
    plain = BySource("plain", trunk, Under("plain"))
    shorter = replace(trunk, shorter=shorter_forwards(trunk.model))
    cache = BySource("cache", shorter, Under("cache"))

    def score(run: BySource) -> EdgeScores:
        return score_pack(run, head, pack, NO_EVIDENCE)

    low = is_low(trunk.model.dtype)
    started = time.perf_counter()
    own = score(plain)
    rates = {"plain": sum(len(path.token_ids) for path in plain_paths(pack)) / _since(started)}
    line = _line("cache", None, "not asked for")
    with widened(trunk.model) if low else nullcontext():
        reference = score(plain) if low else own
        if forced != "plain":
            try:
                difference = largest_difference(score(cache), reference)
                worth = _worth(plain, head, pack, reference, vocabs)
            except Exception as error:  # noqa: BLE001 - whatever a model raises, it is then run plain
                line = _line("cache", None, f"it fails: {type(error).__name__}: {error}"[:240])
            else:
                line = _verdict(difference, worth, trunk.model.dtype)
    precision = largest_difference(own, reference)
    packing = 0.0
    if line.accepted:
        started = time.perf_counter()
        packing = largest_difference(score(cache), own)
        rates["cache"] = len(pack) / _since(started)
        line = replace(line, tokens_per_second=rates["cache"])
        if low and not packing <= _OF_PRECISION * precision + _TOLERANCE[torch.float32]:
            reason = (
                f"right in float32, but {packing:.2g} nats from the plain path in "
                f"{trunk.model.dtype}, which is itself {precision:.2g} from float32"
            )
            line, packing = replace(line, accepted=False, reason=reason), 0.0
    reason = "one sequence at a time, by the model's own code; the encoder once a source"
    tried = (
        line,
        replace(_line("plain", 0.0, reason), accepted=True, tokens_per_second=rates["plain"]),
    )
    taken = cache if line.accepted else plain
    return Choice(taken, tried, packing, precision)


def _worth(
    plain: BySource, head: Head, pack: Pack, scores: EdgeScores, vocabs: tuple[int, int]
) -> float:
    """Return what one token is worth to the model, in nats: of x, or of y before it, the less.

    Both are the largest change of an edge's log-probability where that token is another.
    """
    others = [((source[0] + 1) % vocabs[0], *source[1:]) for source in pack.sources]
    tokens = pack.token_ids.copy()
    roots = pack.parents == ROOT
    tokens[roots] = (tokens[roots] + 1) % vocabs[1]
    below = ~roots[pack.edge_nodes]
    worths: list[float] = []
    for changed, read in (
        (replace(pack, sources=tuple(others)), np.ones(len(below), dtype=np.bool_)),
        (replace(pack, token_ids=tokens), below),
    ):
        other = score_pack(plain, head, changed, NO_EVIDENCE).logprob
        both = np.isfinite(scores.logprob) & np.isfinite(other) & read
        away = np.abs(scores.logprob[both] - other[both])
        worths.append(float(away.max(initial=0.0)))
    return min(worths)


def _verdict(difference: float, worth: float, dtype: torch.dtype) -> Tried:
    allowed = min(_TOLERANCE.get(dtype, _TOLERANCE[torch.float32]), _SHARE * worth)
    if difference <= allowed:
        reason = f"within {allowed:.1g} nats a token of the plain path"
    else:
        reason = (
            f"{difference:.2g} nats a token from the plain path, more than {allowed:.1g} (one "
            f"token of x or y is worth {worth:.2g})"
        )
    return replace(_line("cache", difference, reason), accepted=difference <= allowed)


def _line(name: str, difference: float | None, reason: str) -> Tried:
    return Tried(
        executor=name,
        accepted=False,
        largest_difference=difference,
        reason=reason,
        tokens_per_second=None,
    )


def _since(started: float) -> float:
    return max(time.perf_counter() - started, 1e-9)
