"""The claims of a file one candidate at a time, as fingerprints look at them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from logpr._values import Candidate
from logpr._values.audit import Finding
from logpr.auditing.claims.values import ClaimRow, Printed

Nature: TypeAlias = Literal["logarithm", "probability", "perplexity", "other"]
"""What a number is declared to be: at most 0; in [0, 1]; at least 1; anything."""

_NATS = {"nats": 1.0, "bits": math.log(2.0), "log10": math.log(10.0)}
_SIGNED = ("pmi", "bits_per_byte")
"""Rules whose number may be positive."""


@dataclass(frozen=True, slots=True)
class Item:
    """One candidate's claim, its number in the file, and what it was declared to be."""

    number: int
    record: int
    nature: Nature
    nats: float
    plain: bool
    """Whether the rule is `logprob`: the whole sum, divided by nothing."""
    candidate: Candidate
    score: Printed | None
    tokens: tuple[Printed, ...]

    def numbers(self) -> Iterator[Printed]:
        """Yield the score and the tokens' scores."""
        if self.score is not None:
            yield self.score
        yield from self.tokens


Check: TypeAlias = Callable[[Sequence[Item]], Iterator[Finding]]


def items_of(rows: Sequence[ClaimRow]) -> Iterator[Item]:
    """Yield every candidate of the file, with its claim."""
    number = 0
    for record, row in enumerate(rows):
        for candidate, claim in zip(row.query.candidates, row.claims, strict=True):
            yield Item(
                number=number,
                record=record,
                nature=_nature(row),
                nats=_NATS.get(row.declares.unit, 1.0),
                plain=row.declares.rule == "logprob",
                candidate=candidate,
                score=claim.score,
                tokens=claim.token_scores or (),
            )
            number += 1


def _nature(row: ClaimRow) -> Nature:
    rule, unit = row.declares.rule, row.declares.unit
    if rule.startswith(_SIGNED):
        return "other"
    if rule == "choice_prob":
        # Its number is a probability whatever its logarithm would be counted in.
        return "probability" if unit in ("nats", "probability") else "other"
    if unit in _NATS:
        return "logarithm"
    return "probability" if unit == "probability" else "perplexity"


def finite(items: Sequence[Item]) -> list[tuple[Item, Printed]]:
    """Return the items with a finite score, and the score."""
    return [
        (item, item.score)
        for item in items
        if item.score is not None and math.isfinite(item.score.value)
    ]


def by_record(items: Sequence[Item]) -> list[list[Item]]:
    """Return the items of each record."""
    groups: dict[int, list[Item]] = {}
    for item in items:
        groups.setdefault(item.record, []).append(item)
    return list(groups.values())


def share_of(struck: Sequence[object], items: Sequence[object]) -> str:
    """Return "3 of 40 claims are"."""
    verb = "is" if len(struck) == 1 else "are"
    return f"{len(struck)} of {len(items)} claims {verb}"
