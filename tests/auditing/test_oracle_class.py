"""What makes the claims of the bar, and what says which computations could have made them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import logpr
from logpr import Query
from logpr.models.base import Predictive
from logpr.models.table import TableModel
from logpr.tokens.boundary import encode
from tests.auditing.generate import (
    brute_class,
    claims,
    correct_files,
    printed,
    random_changes,
    random_lists,
    random_queries,
    records,
)
from tests.auditing.oracle import STAGE, Change
from tests.auditing.oracle_class import Grid, outside

EXAMPLES: dict[str, dict[str, Any]] = {
    "space_lost": {"form": "doubled"},
    "left_pad_unmasked": {"pad_id": 0, "company": "query"},
    "window_restart": {"window": 2, "start": "bos"},
    "truncated_context": {"keep": 1},
    "row_reused": {"representative": "last"},
    "linear_normalisation": {"form": "product"},
    "shortlist_softmax": {"k": 3},
    "shortlist_without_target": {"k": 2, "per": "request"},
    "nucleus_renormalised": {"p": 0.7},
    "temperature": {"T": 1.7},
    "logprob_over_temperature": {"T": 0.8},
    "log_epsilon": {"epsilon": 0.003},
    "vocab_rows_masked": {"ids": (0,)},
    "wrong_axis": {"over": "sequence"},
    "half_precision": {"dtype": "bfloat16", "total": "float"},
    "pad_counted": {"pad_id": 0, "company": 2},
    "eos_as_pad_masked": {"pad_id": 0},
    "mean_over_padded": {"company": "file"},
    "loss_times_wrong_count": {"count": "n_plus_1"},
    "length_penalty": {"alpha": 0.6, "form": "gnmt"},
    "product_then_log": {"dtype": "float32"},
    "mean_probability": {"log": "no"},
}


@pytest.fixture(scope="module")
def table() -> TableModel:
    """Return a random model of six tokens that looks at the last two."""
    rng = np.random.default_rng(5)
    names = ["<s>", "a", "b", "c", "d", "</s>"]
    keys = ["", *names[1:], *(f"{x} {y}" for x in names[1:] for y in names[1:])]
    rows = {key: rng.normal(0.0, 2.0, 6).round(3).tolist() for key in keys}
    data = {"tokens": names, "bos": "<s>", "end": ["</s>"], "kind": "logits", "order": 2}
    return TableModel.from_dict({**data, "rows": rows, "default": [0.5, 1.0, -1.0, 2.0, 0.0, -0.5]})


@pytest.fixture(scope="module")
def builtin() -> Predictive:
    """Return the shipped model."""
    model = logpr.load("builtin")
    assert isinstance(model, Predictive)
    return model


QUERIES = [
    Query.of("a b", [" a", " b c", " c c a d"]),
    Query.of("c", [" a b", " b b d b", " d"]),
    Query.of("a", [" b c", " b b c a"]),
]


def _holds(found: dict[str, Any], params: dict[str, Any]) -> bool:
    for name, value in params.items():
        kept = found[name]
        if isinstance(kept, tuple) and not isinstance(value, tuple):
            if not kept[0] - 1e-9 <= value <= kept[1] + 1e-9:
                return False
        elif kept != value:
            return False
    return True


@pytest.mark.parametrize("name", sorted(set(STAGE) - {"shortlist_given", "logprob", "nats"}))
def test_every_entry_is_of_its_own_class(table: TableModel, name: str) -> None:
    """What an entry prints is reproduced by that entry with its parameters."""
    params = EXAMPLES.get(name, {})
    end = "stop" if name in {"eos_missing", "last_token_dropped"} else "open"
    made = claims(QUERIES, [(name, params)], model=table, end=end)
    found = brute_class(QUERIES, records(QUERIES, made, 5), model=table, end=end)
    assert any(_holds(kept[0], params) for kept in found[name,])


def test_logged_lists_are_tried(table: TableModel, rng: np.random.Generator) -> None:
    """Lists that were logged explain what was made with them, with the target forced in or not."""
    lists = random_lists(rng, table, QUERIES, k=2)
    changes: list[Change] = [
        ("shortlist_given", {}),
        ("shortlist_without_target", {"lists": "given"}),
    ]
    for change in changes:
        made = claims(QUERIES, [change], model=table, shortlists=lists)
        found = brute_class(QUERIES, records(QUERIES, made, 4), model=table, shortlists=lists)
        assert (change[1],) in found[change[0],]


def test_a_pair_is_found(table: TableModel) -> None:
    """Two changes are found where neither alone explains the claims."""
    changes: list[Change] = [("temperature", {"T": 1.7}), ("per_byte", {})]
    made = claims(QUERIES, changes, model=table)
    found = brute_class(QUERIES, records(QUERIES, made, 5), model=table, count=2)
    assert set(found) == {("temperature", "per_byte"), ("temperature", "per_char")}
    low, high = found["temperature", "per_byte"][0][0]["T"]
    assert low <= 1.7 <= high < low + 0.01


def test_numbers_of_nothing_have_no_class(table: TableModel, rng: np.random.Generator) -> None:
    """Random numbers are reproduced by nothing."""
    made = claims(QUERIES, [], model=table)
    scores = [[float(rng.normal(-9, 3)) for _ in record] for record in made.scores]
    nothing = records(QUERIES, type(made)(scores, made.tokens), 4)
    assert brute_class(QUERIES, nothing, model=table) == {}


def test_a_temperature_that_two_solve() -> None:
    """A claim can have two temperatures; the brute force finds the one that made it and the other.

    log softmax(u / T) of a token that is neither best nor worst rises with T and falls again.
    """
    query = [Query.of("", ["a"])]
    model = TableModel.from_dict(
        {
            "tokens": ["a", "b", "c"],
            "end": [],
            "kind": "logits",
            "rows": {},
            "default": [1.0, 2.0, -3.0],
        }
    )
    made = claims(query, [("temperature", {"T": 2.5})], model=model)
    found = brute_class(query, records(query, made, 4), model=model)["temperature",]
    spans = [kept[0]["T"] for kept in found]
    assert len(spans) == 2
    assert sum(low <= 2.5 <= high for low, high in spans) == 1
    for span in spans:
        for T in span:  # noqa: N806 - as the entry's parameter
            (again,) = claims(query, [("temperature", {"T": T})], model=model).scores
            assert again == pytest.approx(made.scores[0], abs=1e-4)


@pytest.mark.parametrize(
    ("text", "found", "off"),
    [
        ("-2.30", [-2.304], 0.0),
        ("-2.30", [-2.31], -0.005),
        ("-2.30", [-2.29, -2.296], 0.0),
        ("3", [3.6], 0.1),
        ("-inf", [-math.inf], 0.0),
        ("nan", [math.nan], 0.0),
        ("-inf", [-700.0], math.nan),
        ("-2.3", [math.nan], math.nan),
        ("inf", [-math.inf], math.nan),
    ],
)
def test_the_interval_of_a_printed_number(text: str, found: list[float], off: float) -> None:
    """A printed number stands for half a unit of its last digit either way."""
    assert outside(text, found) == pytest.approx(off, abs=1e-9, nan_ok=True)


def test_printed_numbers() -> None:
    """Digits as asked; inf and nan by name."""
    assert printed([[-1.25, -math.inf], [math.nan]], 1) == [["-1.2", "-inf"], ["nan"]]


def test_queries_are_as_described(builtin: Predictive, rng: np.random.Generator) -> None:
    """Counts and lengths are kept; merged boundaries, prefixes, spaces, other scripts come."""
    seen = {"merged": 0, "prefix": 0, "foreign": 0, "moved": 0, "reused": 0}
    tokenizer = builtin.tokenizer
    assert tokenizer is not None
    for _ in range(15):
        total = int(rng.integers(6, 41))
        queries = random_queries(rng, builtin, total)
        assert sum(len(query.candidates) for query in queries) == total
        fed: dict[tuple[int, ...], set[int]] = {}
        for query in queries:
            assert query.prompt is not None
            assert 2 <= len(query.candidates) <= 5
            texts = [candidate.text or "" for candidate in query.candidates]
            assert len(set(texts)) == len(texts)
            seen["prefix"] += any(a != b and a.startswith(b[:3]) for a in texts for b in texts)
            for text in texts:
                found = encode(tokenizer, query.prompt, text)
                c, y = found.context_ids, found.token_ids
                assert 3 <= len(c) <= 31
                assert 1 <= len(y) <= 8
                seen["merged"] += found.verdict == "merged"
                seen["moved"] += found.text != text
                seen["foreign"] += not text.isascii()
                fed.setdefault(c + y[:-1], set()).add(len(c))
        seen["reused"] += any(len(lengths) > 1 for lengths in fed.values())
    assert min(seen.values()) >= 3, seen


def test_all_entries_are_drawn(builtin: Predictive, rng: np.random.Generator) -> None:
    """Every testable entry comes up; pairs change two stages."""
    queries = random_queries(rng, builtin, 6)
    drawn = {random_changes(rng, builtin, queries)[0][0] for _ in range(400)}
    assert drawn == set(STAGE) - {"logprob", "nats", "eos_missing", "shortlist_given"}
    for _ in range(10):
        (a, _), (b, _) = random_changes(rng, builtin, queries, 2)
        assert STAGE[a] != STAGE[b]


@pytest.mark.parametrize("batch", [1, 4])
def test_transformers_is_correct(builtin: Predictive, rng: np.random.Generator, batch: int) -> None:
    """Claims that torch computes from the same weights are of the correct class."""
    pytest.importorskip("torch")
    state = rng.bit_generator.state
    for dtype in ("float32", "float64", "bfloat16"):
        rng.bit_generator.state = state
        made = correct_files(rng, builtin, dtype, n_candidates=6, batch=batch, end="stop")
        rng.bit_generator.state = state
        queries = random_queries(rng, builtin, 6, end="stop")
        noise = Grid(noise=0.05 if dtype == "bfloat16" else None)
        found = brute_class(queries, made, model=builtin, count=0, grid=noise, end="stop")
        assert () in found, dtype
        if dtype == "bfloat16":
            assert brute_class(queries, made, model=builtin, count=0, end="stop") == {}
