"""Recorders as the tests of this room open them, and records to give them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from logpr.auditing._record import Recorder, read_recorded, record

VOCAB = 8
FILES = ["r.npz", "r.jsonl"]
GOOD = {"token_ids": [1, 2], "logits": np.zeros((2, 4))}


def opened(path: Path, **options: Any) -> Recorder:  # noqa: ANN401 - those of record
    """Return a recorder of the kind that the name asks for."""
    return record(path, compact=path.suffix == ".jsonl", **options)


def candidate(seed: int, tokens: int = 2, **more: Any) -> dict[str, Any]:  # noqa: ANN401 - any field
    """Return a candidate with random rows."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(tokens, VOCAB)).astype(np.float32)
    return {"token_ids": rng.integers(VOCAB, size=tokens).tolist(), "logits": rows, **more}


def ids(path: Path) -> list[Any]:
    """Return the ids of the records that a file holds."""
    if path.suffix == ".jsonl":
        return [json.loads(line)["id"] for line in path.read_text().splitlines()]
    return [found["id"] for found in read_recorded(path)]


def files(folder: Path) -> list[str]:
    """Return the names in a folder."""
    return sorted(path.name for path in folder.iterdir())
