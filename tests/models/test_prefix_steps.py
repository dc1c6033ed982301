"""Beginnings grown by asking about whole prefixes: what every faster stepper is held against."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jaxtyping import Float64

from logpr._types import IntNodes
from logpr.errors import ContextLengthError, EmptyContextError, ModelOutputError, NumbersError
from logpr.models import _prefix_steps
from logpr.models._prefix_steps import PrefixSteps
from logpr.models.base import NextRows, StepRows
from logpr.models.hf.model import HFModel
from logpr.models.table import TableModel
from tests.models.hf_models import random_model

LOGITS: dict[str, Any] = {
    "tokens": ["A", "B", "C"],
    "kind": "logits",
    "rows": {"": [10, 9, 0], "A": [0, 0, 0], "B": [8, 7, 0], "C": [1, -1, 2]},
    "order": 1,
}
LOGPROBS: dict[str, Any] = {
    "tokens": ["A", "B", "C"],
    "kind": "probs",
    "rows": {"": [0.5, 0.25, 0.25], "A": [1, 0, 0], "B": [0.1, 0.2, 0.7], "C": [0, 0.5, 0.5]},
    "order": 1,
}
EXACT = 1e-15


def logprobs(rows: StepRows) -> Float64[np.ndarray, "prefixes vocab"]:
    """Return what the rows say of every token."""
    assert rows.unseen is None
    out: Float64[np.ndarray, "prefixes vocab"] = rows.values - rows.logz[:, None]
    return out


def ints(*numbers: int) -> IntNodes:
    """Return an array as the seam takes it."""
    return np.array(numbers, dtype=np.int64)


@given(
    st.sampled_from((LOGITS, LOGPROBS)),
    st.lists(st.integers(0, 2), max_size=3),
    st.lists(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 2)), max_size=4), max_size=4),
    st.integers(1, 9),
)
def test_every_row_is_the_models_own(
    spec: dict[str, Any], prompt: list[int], rounds: list[list[tuple[int, int]]], entries: int
) -> None:
    """A random growth, some of it let go, in chunks of any size; an empty prompt too."""
    model = TableModel.from_dict(spec)
    steps = PrefixSteps(model, prompt)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_prefix_steps, "_CHUNK", entries)
        first = logprobs(steps.start())
        np.testing.assert_allclose(first, model.next_logits([prompt]).logprobs, rtol=0, atol=EXACT)
        paths: dict[int, tuple[int, ...]] = {steps.root: ()}
        for drawn in rounds:
            places = list(paths)
            parents = ints(*(places[place % len(places)] for place, _ in drawn))
            tokens = ints(*(token for _, token in drawn))
            nodes, rows = steps.extend(parents, tokens)
            wanted = [(*paths[int(p)], int(t)) for p, t in zip(parents, tokens, strict=True)]
            expected = model.next_logits([(*prompt, *path) for path in wanted]).logprobs
            np.testing.assert_allclose(logprobs(rows), expected, rtol=0, atol=EXACT)
            for node, path in zip(nodes.tolist(), wanted, strict=True):
                assert steps.path(node) == path
                paths[node] = path
            # The first of each round goes: its number is given out again, its children live on.
            if len(nodes) > 1:
                steps.release(nodes[:1])
                del paths[int(nodes[0])]


def test_counts_are_of_whole_prefixes() -> None:
    """Two tokens of prompt, then one more twice: 2 + 3 + 3 tokens, of which 4 are new."""
    steps = PrefixSteps(TableModel.from_dict(LOGITS), [0, 1])
    steps.start()
    nodes, _ = steps.extend(ints(0, 0), ints(1, 2))
    assert (steps.fed, steps.fed_again, steps.calls) == (8, 4, 2)
    assert (steps.nbytes, steps.peak_bytes) == (0, 0)
    steps.hold(nodes[:1], ints(1))
    steps.release(nodes)
    assert steps.path(int(nodes[0])) == (1,), "held twice, let go once"


def test_nothing_to_extend_is_no_question() -> None:
    """No nodes, no rows, and the width of a row all the same."""
    steps = PrefixSteps(TableModel.from_dict(LOGITS), [0])
    nodes, rows = steps.extend(ints(), ints())
    assert len(nodes) == 0
    assert rows.values.shape == (0, 3)
    assert steps.calls == 0


def test_a_model_of_conditional_rows_needs_a_prompt() -> None:
    """A network has no row before its first token."""
    model = HFModel.from_modules(random_model("llama"), executor="plain")
    with pytest.raises(EmptyContextError, match="bos='always'"):
        PrefixSteps(model, []).start()


def test_a_path_longer_than_the_context_is_refused_and_leaves_nothing() -> None:
    """The node of the refused path is let go, and the others go on."""
    model = HFModel.from_modules(random_model("llama"), executor="plain")
    long = [3] * model.context_length
    with pytest.raises(ContextLengthError, match="97 tokens is longer than the context of Llama"):
        PrefixSteps(model, [*long, 3]).start()
    steps = PrefixSteps(model, long[1:])
    nodes, _ = steps.extend(ints(0), ints(1))
    with pytest.raises(ContextLengthError, match="97 tokens"):
        steps.extend(nodes, ints(1))
    again, _ = steps.extend(ints(0), ints(2))
    assert steps.path(int(again[0])) == (2,)


def test_what_the_model_cannot_say_leaves_nothing() -> None:
    """A context without a row: the table's own error, and its node is free again."""
    steps = PrefixSteps(TableModel.from_dict(LOGITS | {"rows": {"": [0, 0, 0]}}), [])
    steps.start()
    for _ in range(2):
        with pytest.raises(NumbersError, match="row"):
            steps.extend(ints(0), ints(1))


def test_rows_that_are_no_distribution_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """More than 1 in all, or no numbers."""

    def wrong(_: TableModel, prefixes: Sequence[Sequence[int]]) -> NextRows:
        rows = np.full((len(prefixes), 3), 0.0)
        rows[-1] = np.nan
        return NextRows(rows, logits=None, logz=None)

    steps = PrefixSteps(TableModel.from_dict(LOGPROBS), [0])
    monkeypatch.setattr(TableModel, "next_logits", wrong)
    with pytest.raises(ModelOutputError, match=r"prefix 0: .* total probability 3"):
        steps.extend(ints(0, 0), ints(0, 1))
    with pytest.raises(ModelOutputError, match=r"prefix 0: .* total probability nan"):
        steps.start()
