"""Where a number comes from: the model, how it runs, and the conventions of the request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from logpr._types import Bos, Boundary, End
from logpr._values._base import Value


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelProvenance(Value):
    """What a model says of itself.

    `noise_packing` and `noise_precision` are the largest |difference| per token, in nats, over at
    least 1,000 tokens: the executor in use against the plain path in the same dtype, and the
    running dtype against float32. Zero where the arithmetic is exact float64 on given numbers.
    `refines` is the dtype in which rankings decide what the running dtype cannot tell apart, None
    where there is one dtype alone.
    """

    model: str
    backend: str
    weights_digest: str | None = None
    tokenizer_digest: str | None = None
    dtype: str = "float64"
    refines: str | None = None
    device: str = "cpu"
    executor: str = "exact"
    noise_packing: float = 0.0
    noise_precision: float = 0.0
    versions: tuple[tuple[str, str], ...] = ()

    _pairs: ClassVar[tuple[str, ...]] = ("versions",)

    @property
    def noise_per_token(self) -> float:
        """Return the larger of the two measured figures, in nats a token."""
        return max(self.noise_packing, self.noise_precision)


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance(Value):
    """What a score, a ranking or a file of rankings rests on."""

    model: ModelProvenance | None
    boundary: Boundary
    end: End
    bos: Bos
    bos_count: int | None = None
    end_ids: tuple[int, ...] = ()
    logpr: str = ""

    _rich_view: ClassVar[str | None] = "logpr.report.terminal:provenance"
