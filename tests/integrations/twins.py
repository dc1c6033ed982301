"""A fast model with an exact twin, both of tables: dtype='auto' without a checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from logpr._values import ModelProvenance
from logpr.models.base import NO_EVIDENCE, EdgeScores, Evidence, Model, NextRows
from logpr.models.table import TableModel
from logpr.tokens.base import Tokenizer
from logpr.tokens.pack import Pack

WORDS: dict[str, Any] = {
    "tokens": ["A", "B", "."],
    "end": ["."],
    "kind": "logits",
    "rows": {},
    "default": [0, 1, -1],
}
"""After anything "B" is the likeliest, for the exact twin."""


@dataclass(frozen=True)
class Twins:
    """`Refining` and `Predictive`; its own favourite is another than its twin's."""

    fast: TableModel
    exact: TableModel

    @classmethod
    def of_words(cls) -> Twins:
        """Return a pair of which the fast one takes "A" for the likeliest."""
        fast = TableModel.from_dict({**WORDS, "default": [1, 0, -1]}, name="words")
        return cls(fast, TableModel.from_dict(WORDS, name="words"))

    @property
    def refined(self) -> Model:
        """Return the exact twin."""
        return self.exact

    @property
    def tokenizer(self) -> Tokenizer | None:
        """Return the words."""
        return self.fast.tokenizer

    @property
    def vocab_size(self) -> int:
        """Return the number of words."""
        return self.fast.vocab_size

    @property
    def context_length(self) -> int:
        """Return the table's."""
        return self.fast.context_length

    @property
    def end_ids(self) -> tuple[int, ...]:
        """Return the full stop."""
        return self.fast.end_ids

    @property
    def provenance(self) -> ModelProvenance:
        """Return what says that it is the fast one."""
        return replace(self.fast.provenance, dtype="bfloat16", refines="float64")

    def edges(self, pack: Pack, *, evidence: Evidence = NO_EVIDENCE) -> EdgeScores:
        """Return the fast numbers."""
        return self.fast.edges(pack, evidence=evidence)

    def next_logits(self, prefixes: Sequence[Sequence[int]]) -> NextRows:
        """Return the fast rows."""
        return self.fast.next_logits(prefixes)
