"""Models that show their best tokens alone: the answer is an interval, and it holds."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest

import logpr
from logpr._values import ModelProvenance
from logpr.decoding.limits import Budget, Clock
from logpr.decoding.search import Room, Search
from logpr.models._prefix_steps import PrefixSteps
from logpr.models.base import NO_EVIDENCE, EdgeScores, Evidence, Glimpses
from logpr.models.table import TableModel
from logpr.tokens.base import Tokenizer
from logpr.tokens.pack import Pack
from tests.decoding.brute import brute
from tests.decoding.tables import random_problem

TIGHT = 1e-9


class Peephole:
    """A table of which only the k best tokens of each row can be seen: an endpoint's way."""

    def __init__(self, model: TableModel, k: int) -> None:
        self._model = model
        self._k = k

    @property
    def tokenizer(self) -> Tokenizer | None:
        """Return the table's."""
        return self._model.tokenizer

    @property
    def vocab_size(self) -> int:
        """Return the table's."""
        return self._model.vocab_size

    @property
    def context_length(self) -> int:
        """Return the table's."""
        return self._model.context_length

    @property
    def end_ids(self) -> tuple[int, ...]:
        """Return the table's."""
        return self._model.end_ids

    @property
    def provenance(self) -> ModelProvenance:
        """Return the table's."""
        return self._model.provenance

    def edges(self, pack: Pack, *, evidence: Evidence = NO_EVIDENCE) -> EdgeScores:
        """Return the table's."""
        return self._model.edges(pack, evidence=evidence)

    def next_top(self, prefixes: Sequence[Sequence[int]]) -> Glimpses:
        """Return the k best tokens of each row; of equal ones the first."""
        rows = self._model.next_logits(prefixes).logprobs
        ids = np.argsort(-rows, axis=1, kind="stable")[:, : self._k]
        logprobs = np.take_along_axis(rows, ids, axis=1)
        return Glimpses(np.where(logprobs > -np.inf, ids, -1), logprobs)


@pytest.mark.parametrize("k", [1, 2, 6])
def test_the_interval_holds_the_optimum(k: int) -> None:
    """Whatever is hidden: lower <= optimum <= upper at every step, and the ledger is whole."""
    proven = open_ended = 0
    for seed in range(150):
        problem = random_problem(seed)
        if problem.space.min_length == "renormalise" and problem.space.min_tokens:
            continue
        found = brute(problem.model, problem.prompt_ids, problem.space)
        best = max((one.score for one in found.outputs), default=-math.inf)
        search = Search(
            PrefixSteps(Peephole(problem.model, k), problem.prompt_ids),
            problem.space,
            room=Room(records=10**6, rows=64),
            clock=Clock(Budget()),
            report=lambda moment, best=best: _check(moment.lower, moment.upper, best),
        )
        search.run()
        _check(search.lower, search.upper, best)
        assert search.ledger.total == pytest.approx(1.0, abs=TIGHT), seed
        proven += search.upper <= search.lower
        open_ended += search.upper > search.lower
    assert open_ended > 0
    assert proven > (0 if k == 1 else 20)


def _check(lower: float, upper: float, best: float) -> None:
    assert lower <= best + TIGHT
    assert upper >= best - TIGHT


def test_decode_says_what_such_a_model_cannot_show() -> None:
    """An exact search gives an interval; draws and renormalised rows are refused."""
    model = TableModel.from_dict(
        {
            "tokens": ["x", "a", "b", "."],
            "end": ["."],
            "kind": "probs",
            "order": 0,
            "rows": {"": [0.05, 0.3, 0.25, 0.4]},
        }
    )
    found = logpr.decode("x", model=Peephole(model, 2), max_new_tokens=3)
    assert found.best is not None
    assert found.best.token_ids == ()
    assert found.best.logprob == pytest.approx(math.log(0.4))
    assert found.certificate.status == "optimal"
    narrow = logpr.decode("x", model=Peephole(model, 1), max_new_tokens=3, min_new_tokens=1)
    assert narrow.certificate.status == "gap"
    assert narrow.certificate.upper >= math.log(0.3 * 0.4)
    assert narrow.certificate.mass.dropped == pytest.approx(0.6, abs=1e-6)
    with pytest.raises(logpr.errors.QueryError, match="best tokens alone"):
        logpr.decode("x", model=Peephole(model, 2), method="sample")
    with pytest.raises(logpr.errors.QueryError, match="min_length='restrict'"):
        logpr.decode(
            "x", model=Peephole(model, 2), min_new_tokens=1, max_new_tokens=2,
            min_length="renormalise",
        )  # fmt: skip


def test_what_is_hidden_bounds_where_the_shown_sum_to_one() -> None:
    """A server rounds 0.9999995 to 1: END, which is not shown, may still come."""

    class Rounding(Peephole):
        def next_top(self, prefixes: Sequence[Sequence[int]]) -> Glimpses:
            found = super().next_top(prefixes)
            return Glimpses(found.token_ids, np.zeros_like(found.logprobs))

    model = TableModel.from_dict(
        {
            "tokens": ["x", "a", "."],
            "end": ["."],
            "kind": "probs",
            "order": 0,
            "rows": {"": [0.0, 1.0 - 5e-7, 5e-7]},
        }
    )
    proof = logpr.decode("x", model=Rounding(model, 1), max_new_tokens=2).certificate
    assert proof.status == "gap"
    assert proof.upper >= math.log(5e-7)
    whole = logpr.decode("x", model=Peephole(model, 3), max_new_tokens=2).certificate
    assert whole.status == "optimal"
