"""What most people write: sequences padded on the right, a mask, log_softmax, gather."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from benchmarks.engine.peers.batches import batch_rows, count_fed, open_model, vocab_size
from benchmarks.engine.scorers import Loading
from benchmarks.engine.workloads import Asked, Ids


class Padded:
    """Batches of at most 8 sequences, sorted by length."""

    def __init__(self, loading: Loading) -> None:
        self.fed = 0
        self._model = open_model(loading)
        self._device = loading.device
        self._vocab = vocab_size(self._model)
        count_fed(self._model, self)

    def score(self, queries: Sequence[Asked], top: int | None) -> list[list[float | None]]:
        """Return the sums over the candidates' tokens."""
        del top
        out: list[list[float | None]] = [[None] * len(query.candidates) for query in queries]
        todo = [
            (q, c, query.prompt, candidate)
            for q, query in enumerate(queries)
            for c, candidate in enumerate(query.candidates)
        ]
        todo.sort(key=lambda one: -len(one[2]) - len(one[3]))
        longest = len(todo[0][2]) + len(todo[0][3])
        rows = batch_rows(longest, self._vocab)
        for start in range(0, len(todo), rows):
            batch = todo[start : start + rows]
            sums = self._batch([(prompt, candidate) for _, _, prompt, candidate in batch])
            for (q, c, _, _), total in zip(batch, sums, strict=True):
                out[q][c] = total
        return out

    def _batch(self, pairs: Sequence[tuple[Ids, Ids]]) -> list[float]:
        longest = max(len(prompt) + len(candidate) for prompt, candidate in pairs)
        ids = torch.zeros(len(pairs), longest, dtype=torch.long)
        mask = torch.zeros_like(ids)
        asked = torch.zeros(len(pairs), longest - 1, dtype=torch.bool)
        for row, (prompt, candidate) in enumerate(pairs):
            size = len(prompt) + len(candidate)
            ids[row, :size] = torch.tensor([*prompt, *candidate])
            mask[row, :size] = 1
            asked[row, len(prompt) - 1 : size - 1] = True
        ids, mask, asked = (one.to(self._device) for one in (ids, mask, asked))
        with torch.inference_mode():
            logits = self._model(input_ids=ids, attention_mask=mask).logits
            rows = logits[:, :-1].float().log_softmax(-1)
            each = rows.gather(2, ids[:, 1:, None])[:, :, 0]
            totals: list[float] = (each * asked).sum(1).tolist()
        return totals

    def about(self) -> Mapping[str, str]:
        """Return the form of a batch."""
        return {"batch": "8 by length"}


def load(loading: Loading) -> Padded:
    """Return the scorer."""
    return Padded(loading)
