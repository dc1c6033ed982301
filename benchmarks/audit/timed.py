"""A model whose own time is counted, so that what an audit does beyond it can be told."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from logpr._values import ModelProvenance
from logpr.models.base import NO_EVIDENCE, EdgeScores, Evidence, Halved, NextRows, Predictive
from logpr.tokens.base import Tokenizer
from logpr.tokens.pack import Pack


@dataclass(slots=True)
class Clock:
    """Seconds so far, of all models that share it."""

    seconds: float = 0.0

    @contextmanager
    def running(self) -> Iterator[None]:
        """Count the time inside the block."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds += time.perf_counter() - started


class Timed:
    """A model as it is, and as it would be in half precision, on a clock."""

    def __init__(self, model: Predictive, clock: Clock) -> None:
        self._model = model
        self._clock = clock

    @property
    def tokenizer(self) -> Tokenizer | None:
        """The model's."""
        return self._model.tokenizer

    @property
    def vocab_size(self) -> int:
        """The model's."""
        return self._model.vocab_size

    @property
    def context_length(self) -> int:
        """The model's."""
        return self._model.context_length

    @property
    def end_ids(self) -> tuple[int, ...]:
        """The model's."""
        return self._model.end_ids

    @property
    def provenance(self) -> ModelProvenance:
        """The model's; its noise is measured where that is asked for first."""
        with self._clock.running():
            return self._model.provenance

    def edges(self, pack: Pack, *, evidence: Evidence = NO_EVIDENCE) -> EdgeScores:
        """Score a pack."""
        with self._clock.running():
            return self._model.edges(pack, evidence=evidence)

    def next_logits(self, prefixes: Sequence[Sequence[int]]) -> NextRows:
        """Return whole rows."""
        with self._clock.running():
            return self._model.next_logits(prefixes)

    def in_half(self, dtype: str) -> Predictive:
        """Return the model with rounded weights, on the same clock."""
        assert isinstance(self._model, Halved), "large files are timed with models that round"
        with self._clock.running():
            return Timed(self._model.in_half(dtype), self._clock)
