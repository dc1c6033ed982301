"""A scorer as one is often written: it looks right, and is not.

    logpr check examples.check.scorer:score
    logpr check --factory examples.check.scorer:make --toy llama

The model runs in NumPy; any runtime that gives logits may stand in its place.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.resources import files

import numpy as np
from tokenizers import Tokenizer

import logpr

Score = Callable[[str, list[str]], list[float]]


def make(model_folder: str) -> Score:
    """Return a scorer of the model in a folder."""
    model = logpr.load(f"builtin:{model_folder}")
    tokenizer = Tokenizer.from_file(f"{model_folder}/tokenizer.json")

    def score(prompt: str, candidates: list[str]) -> list[float]:
        """Return log Pr(candidate | prompt) of each candidate, in nats."""
        scores = []
        for candidate in candidates:
            before = len(tokenizer.encode(prompt).ids)
            ids = tokenizer.encode(prompt + candidate).ids
            # Row i is the distribution after the first i + 1 tokens.
            rows = model.next_logits([ids[: i + 1] for i in range(len(ids) - 1)]).logits
            logps = rows - np.logaddexp.reduce(rows, axis=1, keepdims=True)
            chosen = logps[np.arange(len(ids) - 1), ids[1:]]
            scores.append(float(chosen[before:].sum()))
        return scores

    return score


score = make(str(files("logpr.models") / "builtin_model"))
