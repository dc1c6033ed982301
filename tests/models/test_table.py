"""Conditional tables: exact numbers, and a clear word for every table that is none."""

from __future__ import annotations

import itertools
import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from logpr._types import END
from logpr.errors import MissingFileError, NumbersError, QueryError
from logpr.models._load import load
from logpr.models.base import Evidence, Model, Predictive, Unconditional
from logpr.models.table import TableModel
from logpr.models.table.spec import table_of
from logpr.tokens.trie import pack_of_sequences

ONE: dict[str, Any] = {
    "tokens": ["A", "B", "C"],
    "kind": "logits",
    "rows": {"": [10, 9, 0], "A": [0, 0, 0], "B": [8, 7, 0]},
}
EXACT = 1e-12


def logsumexp(row: list[float]) -> float:
    """Return log Σ exp, by the book."""
    return math.log(math.fsum(math.exp(u) for u in row))


def score(model: Model, text: str, *, context: str = "", end: bool = False) -> list[float]:
    """Return the log-probability of each word of `text`, and of END."""
    tokenizer = model.tokenizer
    assert tokenizer is not None
    before, ids = (tokenizer.encode(part, parse_special=False) for part in (context, text))
    pack, asked = pack_of_sequences([before], [ids], end_ids=model.end_ids, score_end=[end])
    return model.edges(pack).logprob[list(asked[0])].tolist()


def test_example_1() -> None:
    """Raw logits sum to 10 against 16; log Pr is −1.4119 against −2.6268: A A by 1.2149 nats."""
    model = TableModel.from_dict(ONE)
    aa, bb = math.fsum(score(model, "A A")), math.fsum(score(model, "B B"))
    first = logsumexp([10, 9, 0])
    assert aa == pytest.approx(10 - first - math.log(3), abs=EXACT)
    assert bb == pytest.approx(9 - first + 7 - logsumexp([8, 7, 0]), abs=EXACT)
    assert [round(x, 4) for x in (aa, bb, aa - bb)] == [-1.4119, -2.6268, 1.2149]
    pack, _ = pack_of_sequences([(), ()], [(0, 0), (1, 1)])
    scores = model.edges(pack, evidence=Evidence(columns=True))
    assert scores.logit is not None
    assert sorted(scores.logit.tolist()) == [0.0, 7.0, 9.0, 10.0]


@pytest.mark.parametrize("kind", ["logprobs", "probs"])
def test_example_2(kind: str) -> None:
    """The candidate "plush rug", −2.3, beats "warm mat", −2.4, though greedy starts with "warm"."""
    rows = {
        "": {"warm": -0.9, "plush": -1.2},
        "warm": {"mat": -1.5},
        "plush": {"rug": -1.1},
    }
    if kind == "probs":
        rows = {c: {t: math.exp(v) for t, v in row.items()} for c, row in rows.items()}
    model = TableModel.from_dict(
        {"tokens": ["warm", "plush", "mat", "rug"], "kind": kind, "rows": rows}
    )
    warm, plush = score(model, "warm mat"), score(model, "plush rug")
    assert warm == pytest.approx([-0.9, -1.5], abs=EXACT)
    assert plush == pytest.approx([-1.2, -1.1], abs=EXACT)
    assert math.fsum(warm) == pytest.approx(-2.4, abs=EXACT)
    assert math.fsum(plush) == pytest.approx(-2.3, abs=EXACT)
    assert model.next_logits([()]).logprobs.argmax() == 0
    assert model.next_logits([()]).logits is None


def next_probs(logits: list[float]) -> list[float]:
    """Return the distribution that a one-row table gives."""
    tokens = ["mat", "rug", "floor", "chair"][: len(logits)]
    model = TableModel.from_dict({"tokens": tokens, "kind": "logits", "rows": {"": logits}})
    return np.exp(model.start_logprobs()).tolist()


def test_example_3() -> None:
    """Softmax values, invariance to a constant, a raised logit that crushes all others alike."""
    assert [round(p, 3) for p in next_probs([2.0, 1.0, 0.1])] == [0.659, 0.242, 0.099]
    assert round(next_probs([6, 3, 0.5, 0.5])[0], 3) == 0.945
    shifted = next_probs([6 + 10, 3 + 10, 0.5 + 10, 0.5 + 10])
    assert shifted == pytest.approx(next_probs([6, 3, 0.5, 0.5]), abs=EXACT)
    before, after = next_probs([4, 4, 2]), next_probs([4, 4, 12])
    assert before[0] / before[1] == after[0] / after[1] == 1
    assert after[0] == pytest.approx(1 / (2 + math.exp(8)), abs=EXACT)
    assert after[0] < before[0] / 1000


def test_example_4() -> None:
    """−0.7, −0.4 are −1.1; −1.5, −0.9, −1.2 are −3.6."""
    model = TableModel.from_dict(
        {
            "tokens": ["a", "b", "c", "d", "e"],
            "kind": "logprobs",
            "rows": {
                "": {"a": -0.7, "c": -1.5},
                "a": {"b": -0.4},
                "c": {"d": -0.9},
                "c d": {"e": -1.2},
            },
        }
    )
    assert math.fsum(score(model, "a b")) == pytest.approx(-1.1, abs=EXACT)
    assert math.fsum(score(model, "c d e")) == pytest.approx(-3.6, abs=EXACT)


numbers = st.floats(-20, 20)


@settings(max_examples=40)
@given(st.data(), st.sampled_from([None, 0, 1, 2]))
def test_all_sequences_of_one_length_have_mass_one(data: st.DataObject, order: int | None) -> None:
    """Σ exp log Pr over every sequence of three tokens is 1, whatever the rows and the order."""
    row = st.lists(numbers, min_size=2, max_size=2)
    contexts = ["", "A", "B", "A A", "A B", "B A", "B B"]
    kept = [c for c in contexts if order is None or len(c.split()) <= order]
    model = TableModel.from_dict(
        {
            "tokens": ["A", "B"],
            "kind": "logits",
            "order": order,
            "rows": {c: data.draw(row) for c in kept},
        }
    )
    every = list(itertools.product((0, 1), repeat=3))
    pack, asked = pack_of_sequences([()] * len(every), every)
    logprob = model.edges(pack).logprob
    mass = math.fsum(math.exp(math.fsum(logprob[list(edges)])) for edges in asked)
    assert mass == pytest.approx(1.0, abs=1e-12)


def test_the_protocols_it_claims() -> None:
    """A table is a model, predictive, and gives the first token a probability by itself."""
    model = TableModel.from_dict(ONE)
    assert isinstance(model, Model)
    assert isinstance(model, Predictive)
    assert isinstance(model, Unconditional)
    assert model.provenance.noise_per_token == 0.0
    assert model.context_length > 10**9
    assert np.array_equal(model.start_logprobs(), model.next_logits([()]).logprobs[0])


@given(st.lists(st.integers(0, 2), max_size=2))
def test_next_logits_are_what_the_edges_read(prefix: list[int]) -> None:
    """The distribution after a prefix is, token by token, the log-probability of the edge there."""
    rows = {"": [1, 2, 3], **{c: [len(c), 0, -1] for c in ("A", "B", "C")}}
    model = TableModel.from_dict(ONE | {"rows": rows, "default": [0, 1, 0]})
    pack, asked = pack_of_sequences([prefix] * 3, [(0,), (1,), (2,)])
    logprob = model.edges(pack).logprob
    found = model.next_logits([prefix])
    assert found.logprobs[0].tolist() == [logprob[edges[0]] for edges in asked]


def test_order_looks_at_the_last_tokens_alone() -> None:
    """With order 1 every context that ends in B reads the row of B."""
    model = TableModel.from_dict(ONE | {"order": 1, "default": [0, 0, 0]})
    assert score(model, "A", context="C A B") == score(model, "A", context="B")
    assert score(model, "A", context="C A B") == pytest.approx([8 - logsumexp([8, 7, 0])])


def test_default_is_for_contexts_not_listed() -> None:
    """A listed context keeps its row, any other takes the default, however long."""
    model = TableModel.from_dict(ONE | {"default": [0, 0, 5]})
    other = pytest.approx([5 - logsumexp([0, 0, 5])])
    assert score(model, "C", context="A B") == other
    assert score(model, "C", context=" ".join("ABC" * 50)) == other
    assert score(model, "C", context="A") == pytest.approx([-math.log(3)])


@pytest.mark.parametrize("tokens", [["A", "B", "C"], ["A", "B", "C", "<s>"]])
def test_the_start_token_has_probability_one(tokens: list[str]) -> None:
    """With or without the start token before it, the first token is read in the row of ""."""
    data = ONE | {"tokens": tokens, "bos": "<s>", "rows": {"": {"A": 1, "B": 0}}}
    model = TableModel.from_dict(data)
    assert model.tokenizer.bos_id == 3
    assert model.vocab_size == 4
    pack, asked = pack_of_sequences([(), (3,)], [(0,), (0,)])
    first, after = (model.edges(pack).logprob[edges[0]] for edges in asked)
    assert first == after == pytest.approx(1 - math.log1p(math.e))
    assert model.next_logits([(3,)]).logprobs[0, 3] == -math.inf


def test_end_is_declared_and_scored() -> None:
    """The tokens under `end` are END together, and the sequences that stop have mass below 1."""
    model = TableModel.from_dict(
        {
            "tokens": ["A", ".", "!"],
            "end": [".", "!"],
            "kind": "probs",
            "rows": {"": [0.5, 0.25, 0.25], "A": [0.2, 0.3, 0.5]},
        }
    )
    assert model.end_ids == (1, 2)
    assert score(model, "A", end=True) == pytest.approx([math.log(0.5), math.log(0.8)], abs=EXACT)
    assert score(model, "", end=True) == pytest.approx([math.log(0.5)], abs=EXACT)
    pack, _ = pack_of_sequences([()], [()], end_ids=(2, 1), score_end=[True])
    scores = model.edges(pack, evidence=Evidence(columns=True))
    assert pack.edge_tokens.tolist() == [END]
    assert scores.columns is not None
    assert scores.columns.top_id.tolist() == [0]  # a tie of 0.5 with END, shown as 2


YAML = """
tokens: [A, B]
bos: null
end: []
kind: probs
order: 1
rows:
  "": [0.25, 0.75]
  A: {B: 1e-3, A: .5}
default: {A: 1}
"""


def test_yaml_and_json_files_say_the_same(tmp_path: Path) -> None:
    """One table in both notations gives the same numbers, and each file its own digest."""
    yaml_file, json_file = tmp_path / "t.yaml", tmp_path / "t.json"
    yaml_file.write_text(YAML, encoding="utf-8")
    json_file.write_text(
        json.dumps(
            {
                "tokens": ["A", "B"],
                "kind": "probs",
                "order": 1,
                "rows": {"": [0.25, 0.75], "A": {"B": 0.001, "A": 0.5}},
                "default": {"A": 1},
            }
        ),
        encoding="utf-8",
    )
    models = [load(f"table:{path}") for path in (yaml_file, json_file)]
    for model in models:
        assert score(model, "B A A B") == [math.log(p) for p in (0.75, 1.0, 0.5, 0.001)]
    assert models[0].provenance.model == f"table:{yaml_file}"
    digests = {model.provenance.weights_digest for model in models}
    assert len(digests) == 2


def test_json_may_write_infinity_as_our_own_does(tmp_path: Path) -> None:
    """The string "-Infinity", which JSON lacks a number for, is minus infinity."""
    path = tmp_path / "t.json"
    path.write_text('{"tokens": ["A", "B"], "kind": "logits", "rows": {"": ["-Infinity", 2]}}')
    assert score(TableModel.from_file(path), "A") == [-math.inf]


def bad(**changes: object) -> dict[str, Any]:
    """Return example 1 with some of its keys changed."""
    return ONE | changes


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ([1], "t: a table is a mapping, found list"),
        (bad(token=["A"]), "unknown key 'token'; did you mean 'tokens'"),
        (bad(tokens=None), "tokens is None; it is the list of all tokens"),
        (bad(tokens=[]), "tokens is []"),
        (bad(tokens=["A", "B", "A"]), "the token 'A' is given twice, at 0 and 2"),
        (
            bad(tokens=["A", True, "C"]),
            "tokens[1] is True (bool), and a token is text; put it in quotes",
        ),
        (bad(tokens=["A", None, "C"]), "tokens[1] is null"),
        (bad(tokens=["A", "B b", "C"]), "tokens[1] is 'B b'; a token is not empty and holds no"),
        (bad(bos=7), "bos is 7 (int)"),
        (bad(end=["D"]), "end: 'D' is not a token of this table; its tokens are A, B, C"),
        (bad(end=3), "end is 3"),
        (bad(kind=None), "kind is missing; say what the numbers are"),
        (bad(kind="logit"), "kind is 'logit'"),
        (bad(order=-1), "order is -1"),
        (bad(order=True), "order is True"),
        (bad(rows=[1, 2]), "rows is list; it maps contexts to rows"),
        (bad(rows={}), "no row at all"),
        (bad(rows={1: [0, 0, 0]}), "rows[1]: a context is text"),
        (bad(rows={"A X": [0, 0, 0]}), "rows['A X']: 'X' is not a token"),
        (bad(rows={"": [0, 0, 0], " ": [0, 0, 0]}), "rows[' '] is a context given before"),
        (bad(rows={"A B": [0, 0, 0]}, order=1), "has 2 tokens and order is 1"),
        (bad(bos="A", rows={"A B": [0, 0, 0]}), "begins with the start token; contexts leave it"),
        (bad(rows={"": [0, 0]}), "rows[''] has 2 numbers for 3 tokens"),
        (bad(rows={"": 3}), "rows[''] is 3; a row is a list over tokens"),
        (bad(rows={"": {"D": 1}}), "rows['']: 'D' is not a token"),
        (bad(rows={"": [0, "x", 0]}), "rows[''], token 'B' is 'x'; with kind: logits"),
        (bad(rows={"": [0, None, 0]}), "token 'B' is None"),
        (bad(rows={"": [0, True, 0]}), "token 'B' is True"),
        (bad(rows={"": [0, [1], 0]}), "token 'B' is [1]"),
        (bad(rows={"": [0, math.nan, 0]}), "token 'B' is nan"),
        (bad(rows={"": [0, math.inf, 0]}), "token 'B' is inf"),
        (bad(rows={"": [10**400, 0, 0]}), "token 'A' is 1000"),
        (bad(rows={"": [-math.inf] * 3}), "every logit is -inf"),
        (bad(rows={"": {}}), "every logit is -inf"),
        (bad(kind="probs"), "token 'A' is 10; with kind: probs it has to be a number from 0 to 1"),
        (bad(kind="probs", rows={"": [0.5, -0.1, 0.6]}), "token 'B' is -0.1"),
        (bad(kind="probs", rows={"": [0.5, 0.5, 0.1]}), "the probabilities sum to 1.1, more than"),
        (bad(kind="logprobs", rows={"": [-1, 0.5, -1]}), "token 'B' is 0.5; with kind: logprobs"),
        (bad(kind="logprobs", rows={"": [-0.1, -0.1, -9]}), "the probabilities sum to 1.8"),
        (bad(default=[1]), "default has 1 numbers"),
    ],
)
def test_what_is_no_table_is_refused(data: object, words: str) -> None:
    """Each malformed table is an error that names the key, the value and what belongs there."""
    with pytest.raises(NumbersError, match=re.escape(words)):
        table_of(data, "t")


@pytest.mark.parametrize("sum_", [1.0 + 1e-10, 1.0, 0.9999])
def test_mass_up_to_one_is_used_as_given(sum_: float) -> None:
    """Probabilities are not rescaled: what they lack belongs to an outcome without a name."""
    model = TableModel.from_dict(
        {"tokens": ["A", "B"], "kind": "probs", "rows": {"": [0.5, sum_ - 0.5]}}
    )
    assert score(model, "A") == [math.log(0.5)]
    assert score(model, "B") == [math.log(sum_ - 0.5)]


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("t.yaml", "tokens: [A, B\nkind: logits", "t.yaml, line 2, column 5: malformed YAML"),
        ("t.yaml", "tokens: !!python/object:os.system [x]", "malformed YAML: could not determine"),
        ("t.yaml", "tokens: [A]\nkind: logits\nkind: probs", "line 3: the key 'kind' is given twi"),
        ("t.yaml", 'tokens: [A]\nrows: {"A": [1], "A": [2]}', "line 2: the key 'A' is given twice"),
        ("t.yaml", "tokens: [yes, no]\nkind: logits", "tokens[0] is True (bool)"),
        ("t.yaml", "", "a table is a mapping, found NoneType"),
        ("t.yaml", "a: \x07", "t.yaml: malformed YAML"),
        ("t.yaml", "[" * 600, "t.yaml: nested too deep"),
        ("t.json", '{"tokens": ["A"],\n]', "t.json, line 2, column 1: malformed JSON"),
        ("t.json", '{"kind": 1, "kind": 2}', "t.json: the key 'kind' is given twice"),
        ("t.json", "[" * 100_000, "t.json: nested too deep"),
    ],
)
def test_malformed_files_say_where(tmp_path: Path, name: str, text: str, words: str) -> None:
    """A file that is no YAML or JSON gives its name and line; a doubled key is never dropped."""
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    with pytest.raises(NumbersError, match=re.escape(words)):
        TableModel.from_file(path)


def test_files_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Missing files, folders, bytes that are no UTF-8 and files too large are told apart."""
    with pytest.raises(MissingFileError, match=r"no file; 'table:FILE\.yaml'"):
        load(f"table:{tmp_path / 'none.yaml'}")
    with pytest.raises(MissingFileError, match="is a folder"):
        load(f"table:{tmp_path}")
    path = tmp_path / "t.yaml"
    path.write_bytes(b"tokens: [\xff]")
    with pytest.raises(NumbersError, match="byte 9 is not UTF-8"):
        load(f"table:{path}")
    monkeypatch.setattr("logpr.models.table.reading._MOST_BYTES", 10)
    with pytest.raises(NumbersError, match="11 bytes, and a table file has at most 10"):
        load(f"table:{path}")


def test_a_missing_context_is_named_with_what_to_add() -> None:
    """Where no row and no default answers, the error gives the context and the line to write."""
    model = TableModel.from_dict(ONE | {"bos": "<s>"})
    words = re.escape("t has no row for the context 'B C': add 'B C': […] under rows, or default")
    model = TableModel.from_dict(ONE | {"bos": "<s>"}, name="t")
    with pytest.raises(NumbersError, match=words):
        score(model, "A", context="<s> B C")
    with pytest.raises(NumbersError, match=words):
        model.next_logits([(3, 1, 2)])
    short = TableModel.from_dict(ONE | {"order": 1}, name="t")
    with pytest.raises(NumbersError, match="for the context 'C'"):
        score(short, "A", context="A B C")


def test_options_are_refused(tmp_path: Path) -> None:
    """A table takes no dtype: an option without effect is an error."""
    path = tmp_path / "t.yaml"
    path.write_text(YAML, encoding="utf-8")
    with pytest.raises(
        QueryError, match="table backend takes batch_invariant, found dtype='float32'"
    ):
        load(f"table:{path}", dtype="float32")
