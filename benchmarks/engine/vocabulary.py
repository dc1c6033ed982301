"""How many ids a model's folder says it has."""

from __future__ import annotations

import json
from pathlib import Path


def vocab_of(folder: Path) -> int:
    """Return the size of the vocabulary in a folder's config.json."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    return int(config["vocab_size"])
