"""What a scorer says that its numbers are: the suite holds it to that, and to nothing else."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any, Literal, TypeAlias, get_args, get_type_hints

from logpr._types import Bos, End
from logpr.auditing.claims.values import Unit
from logpr.conformance.toy import Policy
from logpr.errors import QueryError, UnknownNameError

Aggregate: TypeAlias = Literal["sum", "mean"]
Precision: TypeAlias = Literal["float64", "float32", "bfloat16", "float16"]

TOLERANCE: dict[str, float] = {"float64": 1e-9, "float32": 1e-5, "bfloat16": 0.5, "float16": 0.07}
"""Nats allowed for one token on the suite's own models; of half precision, somewhat more than
transformers' worst over thousands of their tokens (0.43 and 0.06)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Declares:
    """What a scorer's numbers are declared to be; the defaults are log Pr(y | x) in nats.

    >>> from logpr.conformance import Declares
    >>> Declares(unit="bits").total(-1.0, tokens=3)
    -0.6931471805599453

    Args:
        unit: of its numbers; `perplexity` is exp(−mean).
        aggregate: `sum` over tokens, or `mean`.
        end: `open`, the output begins with y; `stop`, it is exactly y, and END is scored.
        per_token: whether it also returns one list of token scores a candidate.
        ids: whether it is called with token ids instead of texts. They are fed as they are, a
            start token included.
        boundary: where its prompt ends: `separate` (trailing spaces of x go to y), `joint`
            (tok(x + y), the token that straddles counts), `split` (tok(x + y) cut where tok(x)
            ends), `verbatim` (tok(x) and tok(y) as they stand).
        bos: whether a start token is put first: `auto`, as the tokenizer says.
        dtype: the precision of its arithmetic, which decides how close it has to come.
    """

    unit: Unit = "nats"
    aggregate: Aggregate = "sum"
    end: End = "open"
    per_token: bool = False
    ids: bool = False
    boundary: Policy = "separate"
    bos: Bos = "auto"
    dtype: Precision = "float32"

    def __post_init__(self) -> None:
        """Refuse words that are not known."""
        hints = get_type_hints(type(self))
        for field in fields(self):
            value, known = getattr(self, field.name), get_args(hints[field.name])
            if known and value not in known:
                msg = f"{field.name} is {value!r}; it is one of {', '.join(known)}"
                raise UnknownNameError(msg)
            if not known and not isinstance(value, bool):
                msg = f"{field.name} is {value!r}; it is True or False"
                raise QueryError(msg)

    def total(self, value: float, *, tokens: int) -> float:
        """Return a score as a sum in nats: what it would be were nothing else declared.

        Args:
            value: as the scorer gave it.
            tokens: those it is over, END among them where it is scored.
        """
        if self.unit == "perplexity":
            return -tokens * _log(value)
        nats = self.step(value)
        return nats * tokens if self.aggregate == "mean" else nats

    def step(self, value: float) -> float:
        """Return one token's score in nats."""
        if self.unit in ("probability", "perplexity"):
            nats = _log(value)
            return nats if self.unit == "probability" else -nats
        return value * _FACTORS[self.unit]

    @property
    def needs_count(self) -> bool:
        """Whether a score becomes a sum only where its tokens are counted."""
        return self.aggregate == "mean" or self.unit == "perplexity"

    def pairs(self) -> tuple[tuple[str, str], ...]:
        """Return every field as text."""
        return tuple((field.name, _word(getattr(self, field.name))) for field in fields(self))

    @classmethod
    def of(cls, given: dict[str, Any]) -> Declares:
        """Return what a mapping declares; texts `true` and `false` are read as such.

        Raises:
            UnknownNameError: a field or a word is not known.
        """
        known = {field.name for field in fields(cls)}
        for name in given:
            if name not in known:
                msg = f"nothing is declared under {name!r}; there are {', '.join(sorted(known))}"
                raise UnknownNameError(msg)
        words = {"true": True, "false": False, "yes": True, "no": False}
        flags = {"per_token", "ids"}
        return cls(**{k: words.get(v, v) if k in flags else v for k, v in given.items()})


_FACTORS = {"nats": 1.0, "bits": math.log(2), "log10": math.log(10)}


def _word(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _log(value: float) -> float:
    if math.isnan(value) or value < 0:
        return math.nan
    if value == 0:
        return -math.inf
    return math.log(value) if math.isfinite(value) else math.inf
