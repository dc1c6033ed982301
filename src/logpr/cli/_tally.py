"""What is counted over a file of rankings, in a form that an interrupted run keeps."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from logpr._accuracy import AccuracyTally
from logpr._types import JsonValue
from logpr._values import Provenance, Ranking
from logpr.errors import RecordError
from logpr.io import Record
from logpr.report.terminal import RankingsTally


@dataclass(slots=True)
class Tally:
    """Counts rankings one by one: accuracy where they have labels, ties, flips, warnings."""

    by: str | None = None
    rankings: RankingsTally = field(default_factory=RankingsTally)
    accuracy: AccuracyTally = field(default_factory=AccuracyTally)
    provenance: Provenance | None = None

    def __post_init__(self) -> None:
        """Name the groups' field."""
        self.accuracy.by = self.by

    def add(self, ranking: Ranking, group: str | None) -> None:
        """Count one ranking, in its group where there are groups."""
        self.rankings.add(ranking)
        self.accuracy.add(ranking, group)
        # Of a row whose candidates all brought their numbers no model is known.
        if self.provenance is None or self.provenance.model is None:
            self.provenance = ranking.provenance or self.provenance

    def group_of(self, record: Record) -> str | None:
        """Return the group that a record counts in.

        Raises:
            RecordError: its row has no field to be grouped by.
        """
        if self.by is None:
            return None
        if self.by in record.row:
            return str(record.row[self.by])
        listed = ", ".join(map(repr, record.row))
        msg = (
            f"field {self.by!r} is not there to group by; the row has {listed}; "
            f"name one of them: --by FIELD"
        )
        raise RecordError(msg)

    def counts(self) -> dict[str, JsonValue]:
        """Return the counts but the accuracies."""
        seen = self.rankings
        return {
            "queries": seen.queries,
            "candidates": seen.candidates,
            "ties": seen.ties,
            **self._spared(),
            "flips": dict(seen.flips),
            "warnings": dict(seen.warnings),
        }

    def _spared(self) -> dict[str, JsonValue]:
        """Return what `top` spared, where it was asked for."""
        seen = self.rankings
        if seen.top is None:
            return {}
        return {"top": seen.top, "tokens_fed": seen.tokens_fed, "tokens_full": seen.tokens_full}

    def state(self) -> dict[str, JsonValue]:
        """Return all counts; what is shown of single rankings is not among them."""
        return {**self.counts(), "credits": self.accuracy.state()}

    def resume(self, state: dict[str, Any] | None) -> None:
        """Go on from the counts of an earlier process, where there was one."""
        if state is None:
            return
        seen = self.rankings
        seen.queries = state["queries"]
        seen.candidates = state["candidates"]
        seen.ties = state["ties"]
        seen.top = state.get("top")
        seen.tokens_fed = state.get("tokens_fed", 0)
        seen.tokens_full = state.get("tokens_full", 0)
        seen.flips = Counter(state["flips"])
        seen.warnings = Counter(state["warnings"])
        self.accuracy.resume(state["credits"])
