"""minicons: `IncrementalLMScorer.compute_stats`, which `conditional_score` calls, on ids."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from transformers import BatchEncoding

from benchmarks.engine.peers.batches import (
    batch_rows,
    count_fed,
    ids_tokenizer,
    open_model,
    vocab_size,
)
from benchmarks.engine.scorers import Loading
from benchmarks.engine.workloads import Asked, Ids


class Minicons:
    """Batches of at most 8 sequences in the order given, padded on the right."""

    def __init__(self, loading: Loading) -> None:
        from minicons.scorer import IncrementalLMScorer  # noqa: PLC0415 - an optional framework

        self.fed = 0
        model = open_model(loading)
        self._vocab = vocab_size(model)
        self._scorer: Any = IncrementalLMScorer(
            model, loading.device, tokenizer=ids_tokenizer(self._vocab)
        )
        count_fed(model, self)

    def score(self, queries: Sequence[Asked], top: int | None) -> list[list[float | None]]:
        """Return the sums of its token scores."""
        del top
        pairs = [(query.prompt, one) for query in queries for one in query.candidates]
        rows = batch_rows(max(len(p) + len(c) for p, c in pairs), self._vocab)
        sums: list[float] = []
        for start in range(0, len(pairs), rows):
            batch = _padded(pairs[start : start + rows])
            scores = self._scorer.compute_stats(batch, return_tensors=True)
            sums.extend(float(one.sum()) for one in scores)
        answers = iter(sums)
        return [[next(answers) for _ in query.candidates] for query in queries]

    def about(self) -> Mapping[str, str]:
        """Return its version."""
        return {"minicons": importlib.metadata.version("minicons")}


def _padded(pairs: Sequence[tuple[Ids, Ids]]) -> tuple[BatchEncoding, list[int]]:
    """Return what `prime_text` gives: the encoding, and the tokens of context less one."""
    longest = max(len(prompt) + len(candidate) for prompt, candidate in pairs)
    ids = torch.zeros(len(pairs), longest, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for row, (prompt, candidate) in enumerate(pairs):
        size = len(prompt) + len(candidate)
        ids[row, :size] = torch.tensor([*prompt, *candidate])
        mask[row, :size] = 1
    encoding = BatchEncoding({"input_ids": ids, "attention_mask": mask})
    return encoding, [len(prompt) - 1 for prompt, _ in pairs]


def load(loading: Loading) -> Minicons:
    """Return the scorer."""
    return Minicons(loading)
