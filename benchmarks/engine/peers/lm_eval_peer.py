"""lm-evaluation-harness: the scoring of its Hugging Face backend, on ids.

`_loglikelihood_tokens` is what `loglikelihood` calls once its texts are tokenized, so the same
tokens are scored as everywhere else. It runs requests with one context + continuation[:-1] once;
where two such requests part context from continuation at different places its sums are wrong, and
no workload here has such a pair.
"""

from __future__ import annotations

import importlib.metadata
import logging
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.engine.peers.batches import (
    batch_rows,
    count_fed,
    ids_tokenizer,
    open_model,
    vocab_size,
)
from benchmarks.engine.scorers import Loading
from benchmarks.engine.workloads import Asked


class LmEval:
    """`HFLM` around the model, 8 requests in a batch."""

    def __init__(self, loading: Loading) -> None:
        logging.disable(logging.WARNING)
        from lm_eval.models.huggingface import HFLM  # noqa: PLC0415 - an optional framework

        self.fed = 0
        model = open_model(loading)
        self._vocab = vocab_size(model)
        self._lm: Any = HFLM(
            pretrained=model, tokenizer=ids_tokenizer(self._vocab), backend="causal", batch_size=8
        )
        count_fed(model, self)

    def score(self, queries: Sequence[Asked], top: int | None) -> list[list[float | None]]:
        """Return its log-likelihoods."""
        del top
        requests = [
            (("", ""), list(query.prompt), list(candidate))
            for query in queries
            for candidate in query.candidates
        ]
        longest = max(len(prompt) + len(candidate) for _, prompt, candidate in requests)
        self._lm.batch_size_per_gpu = batch_rows(longest, self._vocab)
        answers = iter(self._lm._loglikelihood_tokens(requests, disable_tqdm=True))  # noqa: SLF001
        return [[float(next(answers)[0]) for _ in query.candidates] for query in queries]

    def about(self) -> Mapping[str, str]:
        """Return its version."""
        return {"lm_eval": importlib.metadata.version("lm_eval")}


def load(loading: Loading) -> LmEval:
    """Return the scorer."""
    return LmEval(loading)
