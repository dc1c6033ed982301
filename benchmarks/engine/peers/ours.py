"""logpr: `rank_many` on the model of a folder."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import logpr
from benchmarks.engine.peers.batches import count_fed, open_model
from benchmarks.engine.roofline import Matmul, matmuls_of, measured_rates
from benchmarks.engine.scorers import Loading
from benchmarks.engine.workloads import Asked, Draw
from logpr.models.base import Model
from logpr.models.hf.model import HFModel


class Ours:
    """The engine as a caller of the library meets it."""

    def __init__(self, loading: Loading) -> None:
        self._loading = loading
        self.fed = 0
        self._module = open_model(loading)
        # `rank_many` keeps no prefix from call to call: every run is the first of its kind.
        self._model: Model = HFModel.from_modules(self._module, batch_invariant=loading.invariant)
        count_fed(self._module, self)

    def score(self, queries: Sequence[Asked], top: int | None) -> list[list[float | None]]:
        """Return the log-probabilities that `rank_many` gives; None for what `top` dropped."""
        options: dict[str, Any] = {} if top is None else {"top": top}
        rankings = logpr.rank_many(_queries(queries), model=self._model, **options)
        return [[one.logprob for one in ranking.candidates] for ranking in rankings]

    def stream(self, count: int, *, prompt: int, candidate: int, window: int | None) -> None:
        """Rank queries that are made as they are read, and keep nothing of them.

        Args:
            count: of queries, with four candidates each.
            prompt: about how many tokens.
            candidate: about how many tokens.
            window: queries that share a trie; logpr's default where None.
        """
        draw = Draw(self._model.vocab_size)
        asked = (draw.asked(prompt, 4, candidate) for _ in range(count))
        options: dict[str, Any] = {} if window is None else {"window": window}
        for _ in logpr.rank_many(_queries(asked), model=self._model, **options):
            pass

    def matmuls(self) -> tuple[Matmul, ...]:
        """Return the kinds of product of the model."""
        return matmuls_of(self._module)

    def rates(self) -> dict[str, float]:
        """Return what each kind of product reaches now, in this process."""
        return measured_rates(
            self.matmuls(), dtype=self._loading.dtype, device=self._loading.device
        )

    def about(self) -> Mapping[str, str]:
        """Return versions, executor and measured noise."""
        provenance = self._model.provenance
        return dict(provenance.versions) | {
            "logpr": logpr.__version__,
            "executor": provenance.executor,
            "noise_packing": f"{provenance.noise_packing:.1e}",
            "noise_precision": f"{provenance.noise_precision:.1e}",
        }


def _queries(asked: Iterable[Asked]) -> Iterator[logpr.Query]:
    for query in asked:
        yield logpr.Query.of(prompt_ids=query.prompt, candidate_ids=query.candidates)


def load(loading: Loading) -> Ours:
    """Return the scorer."""
    return Ours(loading)
