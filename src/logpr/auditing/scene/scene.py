"""The candidates of a file of claims in token ids, as declared and as encoding faults have them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import numpy as np
from jaxtyping import Int64

from logpr.auditing.scene.rows import Row, RowSource
from logpr.tokens.base import Tokenizer

Company: TypeAlias = str | int
"""Who shares a batch: "query", "file", or so many consecutive candidates of the file."""


@dataclass(frozen=True, slots=True)
class Material:
    """One candidate as it is fed: `context` before y, `tokens` of y, `end_ids` where END is scored.

    `chars` and `bytes` count the text scored, None where there is none.
    """

    context: tuple[int, ...]
    tokens: tuple[int, ...]
    end_ids: tuple[int, ...] = ()
    chars: int | None = None
    bytes: int | None = None

    @property
    def length(self) -> int:
        """Tokens of the whole sequence, END not counted."""
        return len(self.context) + len(self.tokens)


@dataclass(frozen=True, slots=True)
class Case:
    """One candidate of one record: its number in the file, and what it is made of.

    `prompt` and `text` are x and y where both came as texts, so that they can be encoded anew;
    `shown` is y as people read it, however it came. `owner` says whose recorded rows are its.
    """

    number: int
    record: int
    place: int
    material: Material
    prompt: str | None = None
    text: str | None = None
    shown: str | None = None
    token_texts: tuple[str, ...] | None = None
    merged: bool = False
    lists: tuple[tuple[int, ...], ...] | None = None
    owner: int = 0


@dataclass(slots=True)
class Scene:
    """All candidates of a file, and what can be asked about them.

    Args:
        cases: in file order.
        source: of rows.
        noise: the measured numerical noise of a log-probability, per token, in nats.
        tokenizer: None for a model of ids alone.
        end_ids: the end tokens that the model declares.
        pad_ids: ids that a pad may be.
        special_ids: ids of no text, as the tokenizer declares them.
        longest_sequence: tokens that the model is made for, 0 where nobody says.
    """

    cases: tuple[Case, ...]
    source: RowSource
    noise: float
    tokenizer: Tokenizer | None = None
    end_ids: tuple[int, ...] = ()
    pad_ids: tuple[int, ...] = ()
    special_ids: tuple[int, ...] = ()
    longest_sequence: int = 0
    thorough: bool = False
    """Whether every batch size and window is to be tried, or those that people choose."""
    rounded: bool = False
    """Whether rows are rounded, and claims may be off by that; `noise` has room for it."""
    tables: dict[object, dict[tuple[int, ...], list[int]]] = field(default_factory=dict)
    _encoded: dict[object, tuple[Material | None, ...]] = field(default_factory=dict)
    _longest: dict[object, Int64[np.ndarray, " candidates"]] = field(default_factory=dict)
    _lengths: dict[object, Int64[np.ndarray, " candidates"]] = field(default_factory=dict)
    _greedy: dict[tuple[int, tuple[int, ...]], tuple[int, ...]] = field(default_factory=dict)
    _records: dict[int, tuple[int, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Note which candidates share a record."""
        members: dict[int, list[int]] = {}
        for case in self.cases:
            members.setdefault(case.record, []).append(case.number)
        self._records = {record: tuple(numbers) for record, numbers in members.items()}

    def record_of(self, number: int) -> tuple[int, ...]:
        """Return the numbers of all candidates of a candidate's record."""
        return self._records[self.cases[number].record]

    def materials(
        self, key: object, change: Callable[[Scene, Case], Material | None] | None
    ) -> tuple[Material | None, ...]:
        """Return every candidate's material under a change of encoding; None: it has none."""
        if key not in self._encoded:
            self._encoded[key] = tuple(
                case.material if change is None else change(self, case) for case in self.cases
            )
        return self._encoded[key]

    def neutral(
        self, key: object, materials: tuple[Material | None, ...]
    ) -> tuple[Material | None, ...]:
        """Return materials with nothing but the start token before y."""
        if key not in self._encoded:
            start = None if self.tokenizer is None else self.tokenizer.bos_id
            context = () if start is None else (start,)
            self._encoded[key] = tuple(
                None if item is None else replace(item, context=context) for item in materials
            )
        return self._encoded[key]

    def longest(
        self, key: object, lengths: Callable[[], Sequence[int]], company: Company
    ) -> Int64[np.ndarray, " candidates"]:
        """Return for each candidate the largest of `lengths` in its company."""
        known = (key, company)
        if known not in self._longest:
            if key not in self._lengths:
                self._lengths[key] = np.asarray(lengths(), dtype=np.int64)
            values = self._lengths[key]
            out = np.empty_like(values)
            for members in self._companies(company):
                out[members] = values[members].max()
            self._longest[known] = out
        return self._longest[known]

    def greedy(self, asked: Sequence[tuple[int, tuple[int, ...], int]]) -> None:
        """Extend the model's own greedy continuations of (record, context), to so many tokens."""
        while True:
            needed = [
                (record, context)
                for record, context, size in asked
                if len(self.path(record, context)) < size and not self._stuck(record, context)
            ]
            needed = list(dict.fromkeys(needed))
            if not needed:
                return
            prefixes = [
                (record, context + self.path(record, context)) for record, context in needed
            ]
            rows, known = self.source.rows(prefixes)
            for place, at in enumerate(needed):
                # -1: the row is not known, so the path goes no further.
                token = self._best(at[0], rows[place]) if known[place] else -1
                self._greedy[at] = (*self._greedy.get(at, ()), token)

    def path(self, record: int, context: tuple[int, ...]) -> tuple[int, ...]:
        """Return as much of the greedy continuation as is known."""
        path = self._greedy.get((record, context), ())
        return path[:-1] if path[-1:] == (-1,) else path

    def _best(self, owner: int, row: Row) -> int:
        """Return the id of a row's largest logit, -1 where the row does not name it."""
        ids = self.source.columns(owner)
        place = int((row[:-1] if self.source.rest else row).argmax())
        if ids is None:
            return place
        return int(ids[place]) if place < len(ids) else -1

    def _stuck(self, record: int, context: tuple[int, ...]) -> bool:
        return self._greedy.get((record, context), ())[-1:] == (-1,)

    def _companies(self, company: Company) -> list[list[int]]:
        numbers = range(len(self.cases))
        if company == "query":
            return [list(members) for members in self._records.values()]
        if company == "file":
            return [list(numbers)]
        size = int(company)
        return [list(numbers[start : start + size]) for start in numbers[::size]]
