"""Where whole rows come from: a model asked again, or rows that were recorded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeAlias, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float64

from logpr.errors import NumbersError
from logpr.models.base import Predictive, Unconditional
from logpr.models.logits import LogitsModel

Prefix: TypeAlias = tuple[int, ...]
Asked: TypeAlias = tuple[int, Prefix]
"""A record's number and the token ids before the row; a model does not look at the record."""

Rows: TypeAlias = Float64[np.ndarray, "rows vocab"]
Known: TypeAlias = Bool[np.ndarray, " rows"]


@runtime_checkable
class RowSource(Protocol):
    """Rows over the whole vocabulary, by prefix."""

    @property
    def vocab(self) -> int:
        """Width of a row."""
        ...

    @property
    def starts(self) -> bool:
        """Whether there is a row after no token at all."""
        ...

    @property
    def raw(self) -> bool:
        """Whether rows are logits as the model emitted them, and not log-probabilities."""
        ...

    @property
    def top(self) -> int | None:
        """How many of a row's largest logits are known; None: the whole row."""
        ...

    def rows(self, asked: Sequence[Asked]) -> tuple[Rows, Known]:
        """Return a row for each prefix, and which of them are known; the others hold zeros."""
        ...


class ModelRows:
    """The rows of a model; a prefix longer than its context has none."""

    raw = True
    top = None

    def __init__(self, model: Predictive) -> None:
        self._model = model
        self._recorded = isinstance(model, LogitsModel)
        self.starts = isinstance(model, Unconditional)
        self.vocab = model.vocab_size

    def rows(self, asked: Sequence[Asked]) -> tuple[Rows, Known]:
        """Return the model's rows, each distinct prefix asked once."""
        distinct = {
            prefix: place for place, prefix in enumerate(dict.fromkeys(p for _, p in asked))
        }
        known = np.array([self._fits(prefix) for prefix in distinct], dtype=np.bool_)
        rows = np.zeros((len(distinct), self.vocab))
        wanted = [prefix for prefix, fits in zip(distinct, known, strict=True) if fits]
        if self._recorded:
            for prefix in wanted:
                try:
                    rows[distinct[prefix]] = _logits(self._model, [prefix])[0]
                except NumbersError:
                    known[distinct[prefix]] = False
        elif wanted:
            rows[known] = _logits(self._model, wanted)
        place = np.array([distinct[prefix] for _, prefix in asked], dtype=np.int64)
        return rows[place], known[place]

    def _fits(self, prefix: Prefix) -> bool:
        return (bool(prefix) or self.starts) and len(prefix) <= self._model.context_length


class RecordedRows:
    """Rows that came inline with each record."""

    starts = True

    def __init__(
        self, models: Sequence[LogitsModel | None], *, raw: bool, top: int | None = None
    ) -> None:
        self.top = top
        self._sources = [None if model is None else ModelRows(model) for model in models]
        self.raw = raw
        self.vocab = next((source.vocab for source in self._sources if source is not None), 0)

    def rows(self, asked: Sequence[Asked]) -> tuple[Rows, Known]:
        """Return the rows recorded after each prefix in its own record."""
        rows = np.zeros((len(asked), self.vocab))
        known = np.zeros(len(asked), dtype=np.bool_)
        mine: dict[int, list[int]] = {}
        for place, (record, _) in enumerate(asked):
            mine.setdefault(record, []).append(place)
        for record, places in mine.items():
            source = self._sources[record]
            if source is not None and source.vocab == self.vocab:
                rows[places], known[places] = source.rows([asked[place] for place in places])
        return rows, known


def _logits(model: Predictive, prefixes: Sequence[Prefix]) -> Rows:
    found = model.next_logits(prefixes)
    rows: Rows = found.logprobs if found.logits is None else found.logits
    return rows
