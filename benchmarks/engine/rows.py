"""What is measured, as values: a row a workload and model, in it a cell a peer."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerCell:
    """A peer on the queries of a row, or on some of its sequences.

    `ratio` is the peer's seconds ÷ ours, on the row's first `queries`. Where `scaled`, the peer,
    which runs every sequence by itself, was timed on `sequences` of their `of_sequences` and its
    seconds multiplied by tokens of all ÷ tokens of those, while ours is timed on all.
    """

    ratio: float
    seconds: float
    our_seconds: float
    queries: int
    sequences: int
    of_sequences: int
    scaled: bool
    fed: int
    memory_mb: float
    difference: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """logpr on one workload with one model.

    `difference` is the largest |log-probability − float64 reference| of a sequence, over
    `compared` of them. `roofline_mm` is the share of the roofline at the rates of torch.mm alone.
    `winners` (with top-1) counts queries whose winner is the full ranking's.
    """

    model: str
    workload: str
    dtype: str
    queries: int
    of_queries: int
    sequences: int
    seconds: float
    runs: tuple[float, ...]
    fed: int
    minimum: int
    rows: int
    ideal_seconds: float
    roofline: float | None
    roofline_mm: float | None
    memory_mb: float
    difference: float | None
    compared: int
    winners: str | None = None
    peers: dict[str, PeerCell] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """All rows of a run, and what they were measured on."""

    machine: dict[str, str]
    versions: dict[str, dict[str, str]]
    settings: dict[str, Any]
    rows: tuple[Row, ...]
    rates: dict[str, dict[str, float]]
    failures: tuple[str, ...]
    invariant: dict[str, float]

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain data."""
        return asdict(self)
