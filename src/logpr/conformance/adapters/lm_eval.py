"""lm-evaluation-harness: log-likelihoods as its tasks ask for them, many requests in one call."""

from __future__ import annotations

from collections.abc import Sequence

from logpr._values import Query


class Harness:
    """Scores by `HFLM.loglikelihood`.

    Args:
        folder: of a transformers model.
    """

    def __init__(self, folder: str) -> None:
        from lm_eval.api.instance import Instance
        from lm_eval.models.huggingface import HFLM

        self._request = Instance
        self._lm = HFLM(pretrained=folder, device="cpu")

    def many(self, queries: Sequence[Query]) -> list[list[float]]:
        """Return the log-likelihood of each query's candidates."""
        requests = [
            self._request(
                request_type="loglikelihood",
                doc={},
                arguments=(query.prompt, candidate.text),
                idx=place,
            )
            for query in queries
            for place, candidate in enumerate(query.candidates)
        ]
        answers = iter(self._lm.loglikelihood(requests, disable_tqdm=True))
        return [[next(answers)[0] for _ in query.candidates] for query in queries]


def make(model_folder: str) -> Harness:
    """Return lm-evaluation-harness's Hugging Face model on a folder."""
    return Harness(model_folder)
