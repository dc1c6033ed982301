"""The plain reference: the model cast to double, one sequence at a time through transformers.

transformers computes rotary angles and some normalisations in float32 whatever the model's dtype;
those islands stay, as they are part of what it computes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from benchmarks.engine.peers.batches import count_fed, open_model
from benchmarks.engine.scorers import Loading
from benchmarks.engine.workloads import Asked


class Reference:
    """Sequences one by one, float64 throughout but for the islands."""

    def __init__(self, loading: Loading) -> None:
        self.fed = 0
        self._model = open_model(loading).double()
        self._device = loading.device
        count_fed(self._model, self)

    def score(self, queries: Sequence[Asked], top: int | None) -> list[list[float | None]]:
        """Return Σ log softmax(logits) at the candidate's tokens."""
        del top
        return [
            [self._one(query.prompt, candidate) for candidate in query.candidates]
            for query in queries
        ]

    def _one(self, prompt: Sequence[int], candidate: Sequence[int]) -> float:
        ids = torch.tensor([[*prompt, *candidate[:-1]]], device=self._device)
        asked = torch.tensor(candidate, device=self._device)
        with torch.inference_mode():
            logits = self._model(input_ids=ids, use_cache=False).logits[0, len(prompt) - 1 :]
        rows = logits.double().log_softmax(-1)
        return float(rows.gather(1, asked[:, None]).sum())

    def about(self) -> Mapping[str, str]:
        """Return nothing of note."""
        return {}


def load(loading: Loading) -> Reference:
    """Return the scorer of the same weights, rounded to the dtype and then cast to double."""
    return Reference(loading)
