"""Where whole rows come from: a model asked again, or rows that were recorded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeAlias, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float64, Int64

from logpr.errors import NumbersError
from logpr.models.base import Predictive, Unconditional
from logpr.models.logits import LogitsModel
from logpr.numerics import log1mexp, logsumexp

Prefix: TypeAlias = tuple[int, ...]
Asked: TypeAlias = tuple[int, Prefix]
"""Whose row (`Case.owner`), and the token ids before it; a model does not look at the owner."""

Row: TypeAlias = Float64[np.ndarray, " vocab"]
Rows: TypeAlias = Float64[np.ndarray, "rows vocab"]
Columns: TypeAlias = Int64[np.ndarray, " known"]
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
    def rest(self) -> bool:
        """Whether a row's last column is no token, but what the row does not know the parts of."""
        ...

    @property
    def top(self) -> int | None:
        """How many of a row's largest logits are known; None: the whole row."""
        ...

    def rows(self, asked: Sequence[Asked]) -> tuple[Rows, Known]:
        """Return a row for each prefix, and which of them are known; the others hold zeros."""
        ...

    def columns(self, owner: int) -> Columns | None:
        """Return which token ids an owner's columns stand for, ascending; None: every id its own.

        The column after those stands for any other id.
        """
        ...


class ModelRows:
    """The rows of a model; a prefix longer than its context has none.

    Args:
        model: that shows whole rows.
        keep: bytes of rows that are kept, the latest asked: a search asks for the same ones again
            for each claim that is still open. What is asked at once and is more than that is not
            kept, since it would push out all the rest.
    """

    top = None

    def __init__(self, model: Predictive, *, keep: int = 0) -> None:
        self._model = model
        self._keep = keep
        self._kept: dict[Prefix, Row] = {}
        # Known once a row has come: only then a model shows whether it has logits.
        self.raw = True
        self.rest = False
        self.starts = isinstance(model, Unconditional)
        self.vocab = model.vocab_size

    def rows(self, asked: Sequence[Asked]) -> tuple[Rows, Known]:
        """Return the model's rows, each distinct prefix asked once."""
        distinct = {
            prefix: place for place, prefix in enumerate(dict.fromkeys(p for _, p in asked))
        }
        known = np.array([self._fits(prefix) for prefix in distinct], dtype=np.bool_)
        rows, known = self._found(list(distinct), known)
        if len(distinct) == len(asked):
            return rows, known
        place = np.array([distinct[prefix] for _, prefix in asked], dtype=np.int64)
        return rows[place], known[place]

    def columns(self, owner: int) -> None:
        """Return None: a model has a column for every id."""
        del owner

    def _found(self, prefixes: Sequence[Prefix], fits: Known) -> tuple[Rows, Known]:
        wanted = [prefix for prefix, possible in zip(prefixes, fits, strict=True) if possible]
        if not wanted:
            return np.zeros((len(prefixes), self.vocab)), fits
        try:
            found = self._shown(wanted)
        except NumbersError:
            # Recordings and tables hold some prefixes and not others.
            return self._one_by_one(prefixes, fits)
        if fits.all():
            return found, fits
        rows = np.zeros((len(prefixes), self.vocab))
        rows[fits] = found
        return rows, fits

    def _one_by_one(self, prefixes: Sequence[Prefix], fits: Known) -> tuple[Rows, Known]:
        found: list[Rows | None] = []
        for prefix, possible in zip(prefixes, fits, strict=True):
            try:
                found.append(self._shown([prefix])[0] if possible else None)
            except NumbersError:
                found.append(None)
        rows = np.stack([np.zeros(self.vocab) if row is None else row for row in found])
        return rows, np.array([row is not None for row in found], dtype=np.bool_)

    def _shown(self, prefixes: Sequence[Prefix]) -> Rows:
        """Return whole rows, those that are kept without asking the model."""
        most = self._keep // (8 * max(1, self.vocab))
        if len(prefixes) > most:
            return self._asked(prefixes)
        fresh = [prefix for prefix in prefixes if prefix not in self._kept]
        if len(fresh) == len(prefixes):
            rows = self._asked(prefixes)
        else:
            # Those used again are the latest once more.
            kept = {prefix: self._kept.pop(prefix) for prefix in prefixes if prefix in self._kept}
            if fresh:
                kept |= zip(fresh, self._asked(fresh), strict=True)
            rows = np.stack([kept[prefix] for prefix in prefixes])
        # Copies: a view would hold on to every row that was asked with it.
        self._kept |= {prefix: row.copy() for prefix, row in zip(prefixes, rows, strict=True)}
        for prefix in list(self._kept)[: max(0, len(self._kept) - most)]:
            del self._kept[prefix]
        return rows

    def _asked(self, prefixes: Sequence[Prefix]) -> Rows:
        """Return whole rows: logits, or log-probabilities with the mass they lack beside them."""
        found = self._model.next_logits(prefixes)
        if found.logits is not None:
            logits: Rows = found.logits
            return logits
        mass = np.minimum(np.asarray(logsumexp(found.logprobs)), 0.0)
        lacking = np.where(
            mass < -_ROUNDING, np.asarray(log1mexp(np.minimum(mass, -1e-300))), -np.inf
        )
        self.raw, self.rest, self.vocab = False, True, found.logprobs.shape[1] + 1
        return np.concatenate([found.logprobs, lacking[:, None]], axis=1)

    def _fits(self, prefix: Prefix) -> bool:
        return (bool(prefix) or self.starts) and len(prefix) <= self._model.context_length


class RecordedRows:
    """Whole rows that came with each candidate, one recording an owner."""

    starts = True

    def __init__(
        self,
        models: Sequence[LogitsModel | None],
        *,
        raw: bool,
        rest: bool = False,
        top: int | None = None,
    ) -> None:
        self.top = top
        self.rest = rest
        self._sources = [None if model is None else ModelRows(model) for model in models]
        self.raw = raw
        self.vocab = next((source.vocab for source in self._sources if source is not None), 0)

    def rows(self, asked: Sequence[Asked]) -> tuple[Rows, Known]:
        """Return the rows recorded after each prefix by its own owner."""
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

    def columns(self, owner: int) -> None:
        """Return None: a whole row has a column for every id."""
        del owner


_ROUNDING = 1e-9
"""Probabilities typed in by hand sum to 1 within this."""
