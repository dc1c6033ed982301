"""How to decode: the options of `decode` that are not about which outputs there are."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from logpr._values import Moment
from logpr._values.decoding import Method
from logpr.decoding.limits import Budget
from logpr.decoding.search import RECORD_ROOM_BYTES, Room
from logpr.errors import QueryError

BEAM_WIDTH = 5
EXACT_WIDTH = 20

_LEAST_THRESHOLD = 1e-6
_MOST_ROWS = 512
_ROW_BYTES = 24
"""A row's entry in the model's type, compared, and in part once more in float64."""

DRAWING = ("sample", "sample_without_replacement")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What `decode` is told beside the outputs; see there."""

    method: Method
    count: int
    width: int | None
    threshold: float | None
    budget: Budget
    tolerance: float
    memory: int
    temperature: float
    top_k: int | None
    top_p: float | None
    seed: int
    compare: bool
    explain: bool
    progress: Callable[[Moment], None] | None

    def __post_init__(self) -> None:
        """Refuse what cannot be meant, and what would be left unused without a word."""
        for name, value in (("n", self.count), ("width", self.width), ("top_k", self.top_k)):
            if value is not None and value < 1:
                msg = f"{name} is at least 1, found {value}"
                raise QueryError(msg)
        if not 0.0 <= self.tolerance < math.inf:
            msg = f"tolerance is a number of nats from 0 on, found {self.tolerance}"
            raise QueryError(msg)
        if self.seed < 0:
            msg = f"seed is at least 0, found {self.seed}"
            raise QueryError(msg)
        self._check_threshold()
        self._check_count()
        drawing = self.method in DRAWING
        for name, given in (
            ("temperature", self.temperature != 1.0),
            ("top_k", self.top_k is not None),
            ("top_p", self.top_p is not None),
        ):
            if given and not drawing:
                msg = (
                    f"{name} is for the methods {' and '.join(DRAWING)}, and the method is "
                    f"{self.method}; leave it out, or take method='sample' (--method sample)"
                )
                raise QueryError(msg)
        for name, given in (("tolerance", self.tolerance > 0.0), ("explain", self.explain)):
            if given and drawing:
                msg = (
                    f"{name} is of a best output, which draws do not look for, and the method is "
                    f"{self.method}; leave it out, or take method='exact' (--method exact)"
                )
                raise QueryError(msg)
        if self.width is not None and self.method not in ("beam", "exact", "threshold"):
            msg = (
                f"width is of a beam, and the method is {self.method}; leave it out, or take "
                f"method='beam' (--method beam)"
            )
            raise QueryError(msg)

    def _check_threshold(self) -> None:
        if self.method == "threshold":
            if self.threshold is None or not _LEAST_THRESHOLD <= self.threshold <= 1.0:
                msg = (
                    f"method 'threshold' finds every output with Pr(y | x) >= threshold, from "
                    f"{_LEAST_THRESHOLD:g} to 1; found {self.threshold}; e.g. threshold=0.01 "
                    f"(--threshold 0.01)"
                )
                raise QueryError(msg)
        elif self.threshold is not None:
            msg = (
                f"threshold is for method 'threshold', and the method is {self.method}; "
                f"leave it out, or take method='threshold' (--method threshold)"
            )
            raise QueryError(msg)

    def _check_count(self) -> None:
        if self.method == "beam" and self.count > (self.width or BEAM_WIDTH):
            msg = (
                f"a beam of width {self.width or BEAM_WIDTH} ends with no more outputs than that; "
                f"found n={self.count}; take width={self.count} (--width {self.count})"
            )
            raise QueryError(msg)
        if self.method in ("greedy", "threshold") and self.count != 1:
            msg = (
                f"n is for the methods exact, beam and {', '.join(DRAWING)}, and the method is "
                f"{self.method}; leave it out, or take method='exact' (--method exact)"
            )
            raise QueryError(msg)

    @property
    def kv_bytes(self) -> int:
        """Return the part of the memory that keys and values may take: half."""
        return self.memory // 2

    def room(self, vocab: int) -> Room:
        """Return what the other half holds: records of beginnings, and rows of the model.

        Args:
            vocab: entries of a row.
        """
        rows = self.memory // 4 // (vocab * _ROW_BYTES)
        outputs = 1000
        if self.threshold is not None:
            outputs = math.ceil(1.0 / self.threshold)
        return Room(
            records=self.memory // 4 // RECORD_ROOM_BYTES,
            rows=min(max(rows, 4), _MOST_ROWS),
            outputs=max(outputs, self.count),
        )
