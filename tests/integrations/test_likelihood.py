"""log Pr and greediness of many pairs, against one forward pass a pair."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import logpr
from logpr.integrations._likelihood import Likelihood, likelihoods, windows
from logpr.integrations._pairs import Pair
from logpr.models.base import Predictive
from logpr.models.table import TableModel

TIES: dict[str, Any] = {
    "tokens": ["A", "B", "C"],
    "kind": "logits",
    "rows": {"": [1, 1, 0], "A": [0, 2, 2], "B": [5, 0, 0]},
    "default": [0, 0, 0],
}
ids = st.lists(st.integers(0, 3), max_size=5).map(tuple)
# Built in the tests: the runtime type checker draws random numbers, which no strategy may.
pairs = st.lists(st.tuples(ids, ids), max_size=12)
words = st.lists(st.lists(st.integers(0, 2), max_size=3).map(tuple), max_size=12)


def scored(model: Any, given_pairs: list[Pair], tokens: int = 2**15) -> list[Likelihood]:  # noqa: ANN401
    """Return the likelihoods in the order of the pairs."""
    found = dict(likelihoods(model, given_pairs, tokens=tokens))
    assert sorted(found) == list(range(len(given_pairs)))
    return [found[index] for index in range(len(given_pairs))]


@given(pairs, st.integers(1, 20))
def test_windows_hold_every_pair_once(
    drawn: list[tuple[tuple[int, ...], tuple[int, ...]]], tokens: int
) -> None:
    """Windows cut the pairs, sorted by their ids, and end where their unique tokens are reached."""
    some = [Pair(*one) for one in drawn]
    cut = list(windows(some, tokens=tokens))
    flat = [index for window in cut for index in window]
    assert sorted(flat) == list(range(len(some)))
    assert [some[i].ids for i in flat] == sorted(one.ids for one in some)

    def unique(window: list[int]) -> int:
        return len({some[i].ids[:n] for i in window for n in range(1, len(some[i].ids) + 1)})

    for window in cut[:-1]:
        assert unique(window) >= tokens > unique(window[:-1])


@given(words)
def test_the_favourite_of_equals_is_the_smallest_id(drawn: list[tuple[int, ...]]) -> None:
    """Greedy is what argmax writes, which takes the first of equals; nothing asked is greedy."""
    model = TableModel.from_dict(TIES)
    some = [Pair((), one) for one in drawn]
    rows = {"": [1, 1, 0], "A": [0, 2, 2], "B": [5, 0, 0]}
    for one, found in zip(some, scored(model, some), strict=True):
        total, greedy = 0.0, True
        for place, token in enumerate(one.token_ids):
            before = " ".join("ABC"[i] for i in one.token_ids[:place])
            row = rows.get(before, [0, 0, 0])
            total += row[token] - math.log(math.fsum(map(math.exp, row)))
            greedy = greedy and row.index(max(row)) == token
        assert found.logprob == pytest.approx(total, abs=1e-12)
        assert found.greedy == greedy


@pytest.mark.parametrize("tokens", [1, 30, 2**15])
def test_each_value_is_that_of_its_pair_alone(tokens: int) -> None:
    """Whatever stands beside it in a window, a pair has the value of a walk token by token."""
    model = logpr.load("builtin")
    assert isinstance(model, Predictive)
    encode = model.tokenizer.encode if model.tokenizer is not None else None
    assert encode is not None
    texts = [("The cat sat on", " the mat."), ("The cat", " sat on the mat."), ("The", " dog")]
    some = [
        Pair((0, *encode(x, parse_special=True)), encode(y, parse_special=True, start=False))
        for x, y in texts
    ]
    some += [some[0], Pair(some[0].context_ids, ())]
    for one, found in zip(some, scored(model, some, tokens), strict=True):
        total, greedy = 0.0, True
        for place, token in enumerate(one.token_ids):
            row = model.next_logits([(*one.context_ids, *one.token_ids[:place])]).logprobs[0]
            total += float(row[token])
            greedy = greedy and int(row.argmax()) == token
        assert found.logprob == pytest.approx(total, abs=1e-4)
        assert found.greedy == greedy
    assert any(found.greedy for found in scored(model, some))
    assert not all(found.greedy for found in scored(model, some))
