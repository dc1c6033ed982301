"""Which columns a table of output records has, and what each holds.

A table's columns must be known before its first row, while a record may carry along anything. So
records are staged as JSON Lines, looked through once, and then written: a carried field whose
values agree gets a column of their type, any other a column of JSON texts.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

Kind: TypeAlias = Literal[
    "none", "bool", "int", "long", "float", "text", "ints", "floats", "texts", "messages", "json"
]
"""What a column holds. `long`: whole numbers that no float holds; `none`: nothing but nulls."""

QUERY_KINDS: dict[str, Kind] = {
    "rule": "text",
    "end": "text",
    "best": "int",
    "order": "ints",
    "margin": "float",
    "noise": "float",
    "tie": "bool",
    "warnings": "texts",
    "top": "int",
    "tokens_fed": "int",
    "tokens_full": "int",
    "label": "int",
    "prompt": "text",
    "messages": "messages",
    "prompt_ids": "ints",
}
"""Columns of a query whose type is known beforehand."""

CANDIDATE_KINDS: dict[str, Kind] = {
    "index": "int",
    "text": "text",
    "logprob": "float",
    "per_token": "float",
    "per_char": "float",
    "per_byte": "float",
    "bits_per_byte": "float",
    "choice_prob": "float",
    "tokens": "int",
    "bytes": "int",
    "boundary": "text",
    "end_logprob": "float",
    "lower": "float",
    "upper": "float",
    "exact": "bool",
    "pruned": "bool",
    "joint_boundary_logprob": "float",
    "prompt_logprob": "float",
    "joint_logprob": "float",
    "token_ids": "ints",
    "token_texts": "texts",
    "token_logprobs": "floats",
    "logit": "floats",
    "logz": "floats",
    "rank": "ints",
    "top_id": "ints",
    "top_logit": "floats",
    "top_logprob": "floats",
    "entropy": "floats",
    "alternatives": "json",
    "end_evidence": "json",
}
"""Columns of a candidate whose type is known beforehand."""

_EXACT = 1 << 53
_LONGEST = 1 << 63


@dataclass(slots=True)
class Columns:
    """Names and kinds, in the order of their first appearance."""

    query: dict[str, Kind] = field(default_factory=dict)
    candidate: dict[str, Kind] = field(default_factory=dict)


def staged_records(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the records of a staged file."""
    with path.open("rb") as file:
        for line in file:
            yield json.loads(line)


def columns_of(path: Path) -> Columns:
    """Return the columns of a staged file, which is read once."""
    columns = Columns(candidate={"index": "int", "text": "text", "logprob": "float"})
    for record in staged_records(path):
        for name, value in record.items():
            if name != "candidates":
                _note(columns.query, QUERY_KINDS, name, value)
        # The rule's own value is a number even where each one of a file is null or infinite.
        kinds = {**CANDIDATE_KINDS, str(record.get("rule")): CANDIDATE_KINDS["logprob"]}
        for candidate in record["candidates"]:
            for name, value in candidate.items():
                _note(columns.candidate, kinds, name, value)
    return columns


def _note(columns: dict[str, Kind], known: dict[str, Kind], name: str, value: object) -> None:
    if name in known:
        columns[name] = known[name]
    else:
        columns[name] = _merged(columns.get(name, "none"), kind_of(value))


def kind_of(value: object) -> Kind:
    """Return the kind of column that holds one value of a carried field."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int):
        return "int" if abs(value) <= _EXACT else "long" if abs(value) < _LONGEST else "json"
    if isinstance(value, float):
        return "float"
    return "text" if isinstance(value, str) else "json"


def _merged(one: Kind, other: Kind) -> Kind:
    if other in (one, "none"):
        return one
    if one == "none":
        return other
    pair = {one, other}
    if pair == {"int", "float"}:
        return "float"
    return "long" if pair == {"int", "long"} else "json"


def cell(value: Any, kind: Kind) -> Any:  # noqa: ANN401 - a JSON value, into what its column holds
    """Return a value as its column holds it: floats for non-finite words, texts for JSON."""
    if value is None:
        return None
    if kind == "json":
        return json.dumps(value, ensure_ascii=False)
    if kind == "float":
        return float(value)
    if kind == "floats":
        return [None if item is None else float(item) for item in value]
    return value
