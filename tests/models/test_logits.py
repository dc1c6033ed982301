"""Recorded logits: what was recorded comes back, and what was not is said."""

from __future__ import annotations

import itertools
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from logpr.errors import MissingFileError, NumbersError, QueryError
from logpr.models._load import load
from logpr.models.base import Evidence, Model, Predictive, Unconditional
from logpr.models.logits import LogitsModel
from logpr.models.table import TableModel
from logpr.tokens.trie import pack_of_sequences

EXACT = 1e-12
ONE = [((), (0, 0), [[10, 9, 0], [0, 0, 0]]), ((), (1, 1), [[10, 9, 0], [8, 7, 0]])]


def totals(model: Model, contexts: list[Any], continuations: list[Any]) -> list[float]:
    """Return log Pr of each continuation after its context."""
    pack, asked = pack_of_sequences(contexts, continuations)
    logprob = model.edges(pack).logprob
    return [math.fsum(logprob[list(edges)]) for edges in asked]


def test_example_1() -> None:
    """Raw logits sum to 10 against 16; log Pr is −1.4119 against −2.6268: A A by 1.2149 nats."""
    model = LogitsModel.from_rows(ONE)
    aa, bb = totals(model, [(), ()], [(0, 0), (1, 1)])
    first = math.log(math.exp(10) + math.exp(9) + 1)
    assert aa == pytest.approx(10 - first - math.log(3), abs=EXACT)
    second = math.log(math.exp(8) + math.exp(7) + 1)
    assert bb == pytest.approx(9 - first + 7 - second, abs=EXACT)
    assert [round(x, 4) for x in (aa, bb, aa - bb)] == [-1.4119, -2.6268, 1.2149]


def row_of(*given_: tuple[int, float]) -> list[float]:
    """Return logits that are log-probabilities: these, and the rest of the mass on token 4."""
    row = [-math.inf] * 5
    for token, logprob in given_:
        row[token] = logprob
    row[4] = math.log(1 - math.fsum(math.exp(logprob) for _, logprob in given_))
    return row


def test_examples_2_and_4() -> None:
    """Log-probabilities recorded as logits come back: −2.3 beats −2.4; −1.1; −3.6."""
    start = row_of((0, -0.9), (1, -1.2))
    model = LogitsModel.from_rows(
        [
            ((4,), (0, 2), [start, row_of((2, -1.5))]),
            ((4,), (1, 3), [start, row_of((3, -1.1))]),
            ((2,), (0, 1), [row_of((0, -0.7)), row_of((1, -0.4))]),
            ((3,), (0, 1, 2), [row_of((0, -1.5)), row_of((1, -0.9)), row_of((2, -1.2))]),
        ]
    )
    found = totals(model, [(4,), (4,), (2,), (3,)], [(0, 2), (1, 3), (0, 1), (0, 1, 2)])
    assert found == pytest.approx([-2.4, -2.3, -1.1, -3.6], abs=EXACT)


def test_example_3() -> None:
    """One recorded row is a next-token distribution; a constant added to it changes nothing."""
    for logits, first in (([2.0, 1.0, 0.1], 0.659), ([6, 3, 0.5, 0.5], 0.945)):
        for constant in (0, 10):
            model = LogitsModel.from_rows([((1, 2), (), [[u + constant for u in logits]])])
            probs = np.exp(model.next_logits([(1, 2)]).logprobs[0])
            assert round(float(probs[0]), 3) == first
            assert math.fsum(probs) == pytest.approx(1, abs=EXACT)


def recorded(table: TableModel, prompt: Any, token_ids: Any, *, end: bool = False) -> Any:  # noqa: ANN401 - a triple
    """Return the rows that a table gives along one continuation, as `from_rows` takes them."""
    prefixes = [(*prompt, *token_ids[:i]) for i in range(len(token_ids) + end)]
    return prompt, token_ids, table.next_logits(prefixes).logits


TABLE = TableModel.from_dict(
    {
        "tokens": ["A", "B", "C"],
        "end": ["C"],
        "kind": "logits",
        "order": 2,
        "default": [0.5, -1, 2],
        "rows": {"": [1, 2, 3], "A": [0, 5, 1], "A B": [3, 1, 0.25], "B": [2, 2, 2]},
    }
)


@settings(max_examples=25)
@given(st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=4), min_size=1, max_size=5))
def test_a_recording_replays_the_model(continuations: list[list[int]]) -> None:
    """Scores, evidence and next-token rows of a recording are those of the model recorded."""
    triples = [recorded(TABLE, (0,), tuple(ids), end=True) for ids in continuations]
    replay = LogitsModel.from_rows(triples, end_ids=(2,))
    pack, _ = pack_of_sequences(
        [(0,)] * len(continuations),
        continuations,
        end_ids=replay.end_ids,
        score_end=[True] * len(continuations),
    )
    evidence = Evidence(columns=True, alternatives=2)
    ours, theirs = (model.edges(pack, evidence=evidence) for model in (replay, TABLE))
    assert np.array_equal(ours.logprob, theirs.logprob)
    assert ours.columns is not None
    assert theirs.columns is not None
    assert np.array_equal(ours.columns.rank, theirs.columns.rank)
    assert np.array_equal(ours.columns.entropy, theirs.columns.entropy)
    prefix = (0, *continuations[0])
    assert np.array_equal(
        replay.next_logits([prefix]).logprobs, TABLE.next_logits([prefix]).logprobs
    )


def arrays(*, end: bool, prompts: bool) -> dict[str, np.ndarray]:
    """Return the arrays of a file with two continuations of TABLE."""
    contexts = [(0,), (1, 0)] if prompts else [(0,), (0,)]
    ids = [(1, 0), (2,)]
    triples = [recorded(TABLE, c, y, end=end) for c, y in zip(contexts, ids, strict=True)]
    out = {
        "prompt_ids": np.asarray([0, 1, 0] if prompts else [0]),
        "token_ids": np.asarray([1, 0, 2]),
        "offsets": np.asarray([0, 2, 3]),
        "logits": np.concatenate([rows for _, _, rows in triples]),
    }
    if prompts:
        out["prompt_offsets"] = np.asarray([0, 1, 3])
    if end:
        out["end_ids"] = np.asarray([2])
    return out


def write(path: Path, content: dict[str, np.ndarray]) -> Path:
    """Write arrays in the format that the file's ending says."""
    if path.suffix == ".npz":
        np.savez(path, **content)  # type: ignore[arg-type] - arrays by name
    else:
        save_file(content, path)
    return path


@pytest.mark.parametrize(
    ("suffix", "end", "prompts"), list(itertools.product((".npz", ".safetensors"), *[(0, 1)] * 2))
)
def test_files_of_both_kinds_are_read(tmp_path: Path, suffix: str, end: int, prompts: int) -> None:
    """Ragged ids, one prompt or several, with the rows that predict END and without."""
    path = write(tmp_path / f"d{suffix}", arrays(end=bool(end), prompts=bool(prompts)))
    model = load(f"logits:{path}")
    contexts = [(0,), (1, 0) if prompts else (0,)]
    pack, _ = pack_of_sequences(
        contexts, [(1, 0), (2,)], end_ids=model.end_ids, score_end=[bool(end)] * 2
    )
    assert model.end_ids == ((2,) if end else ())
    assert np.array_equal(model.edges(pack).logprob, TABLE.edges(pack).logprob)
    assert model.provenance.model == f"logits:{path}"
    assert model.provenance.weights_digest is not None


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_rows_are_kept_in_their_dtype_and_scored_in_float64(
    tmp_path: Path, dtype: type[np.floating]
) -> None:
    """One row of a file in half precision is the distribution of its exact values."""
    row = np.asarray([1.5, -0.25, 12.0], dtype=dtype)
    path = write(tmp_path / "d.npz", {"prompt_ids": np.asarray([1, 2]), "logits": row[None]})
    model = load(f"logits:{path}")
    assert isinstance(model, Predictive)
    found = model.next_logits([(1, 2)])
    expected = row.astype(np.float64) - math.log(math.fsum(map(math.exp, row.tolist())))
    assert found.logprobs.dtype == np.float64
    assert found.logprobs[0] == pytest.approx(expected, abs=1e-15)
    assert model.provenance.dtype == np.dtype(dtype).name


def test_the_protocols_it_claims() -> None:
    """Recorded logits are a model, predictive, and may hold the first row of a sequence."""
    model = LogitsModel.from_rows(ONE)
    assert isinstance(model, Model)
    assert isinstance(model, Predictive)
    assert isinstance(model, Unconditional)
    assert model.tokenizer is None
    assert (model.vocab_size, model.end_ids) == (3, ())
    assert model.provenance.noise_per_token == 0.0
    assert np.exp(model.start_logprobs()).sum() == pytest.approx(1)


def test_real_logits_of_gpt2_are_distributions(data_dir: Path, tmp_path: Path) -> None:
    """Five rows recorded from GPT-2, put into the format, give back the tokens it favours."""
    found = np.load(data_dir / "recorded" / "gpt2_logits_transformer_explainer.npz")
    prompts = [tuple(found[f"ids{i}"].tolist()) for i in range(5)]
    path = write(
        tmp_path / "gpt2.npz",
        {
            "prompt_ids": np.concatenate([found[f"ids{i}"] for i in range(5)]),
            "prompt_offsets": np.cumsum([0, *map(len, prompts)]),
            "logits": np.stack([found[f"logits{i}"] for i in range(5)]),
        },
    )
    model = load(f"logits:{path}")
    assert isinstance(model, Predictive)
    rows = model.next_logits(prompts)
    assert rows.logprobs.shape == (5, 50257)
    assert np.exp(rows.logprobs).sum(axis=1) == pytest.approx(np.ones(5), abs=1e-12)
    for i in range(5):
        assert rows.logprobs[i].argmax() == found[f"logits{i}"].argmax()
    assert rows.logprobs.max(axis=1).min() > -4


def test_rows_that_contradict_each_other_are_refused() -> None:
    """Two rows at one prefix that differ by more than rounding name both and the difference."""
    words = (
        "logits, candidate 1, row 0 and logits, candidate 0, row 0 stand after the same token ids "
        "and differ by up to 0.5"
    )
    with pytest.raises(NumbersError, match=re.escape(words)):
        LogitsModel.from_rows([((1,), (0,), [[1, 2]]), ((1,), (1,), [[1, 2.5]])])
    with pytest.raises(NumbersError, match="differ by up to inf"):
        LogitsModel.from_rows([((1,), (0,), [[1, 2]]), ((1,), (1,), [[1, -math.inf]])])
    # The same prefix cut elsewhere is the same prefix.
    with pytest.raises(NumbersError, match="candidate 1, row 0 and logits, candidate 0, row 1"):
        LogitsModel.from_rows([((), (1, 0), [[1, 2], [3, 4]]), ((1,), (0,), [[3, 5]])])


def test_rounding_is_no_contradiction() -> None:
    """Rows of one model from two batches differ in their last digits; the first is kept."""
    row = [-140.25, -138.5, -146.75]
    again = [u + 3e-5 for u in row]
    model = LogitsModel.from_rows([((1,), (0,), [row]), ((1,), (1,), [again])])
    logits = model.next_logits([(1,)]).logits
    assert logits is not None
    assert logits[0].tolist() == row


def test_a_prefix_that_was_not_recorded_is_named() -> None:
    """Asking beyond the recording says which ids, and how many of them it knows."""
    model = LogitsModel.from_rows(ONE)
    with pytest.raises(NumbersError, match=r"after the token ids \(0, 1\).* 1 of these 2 tokens"):
        totals(model, [()], [(0, 1, 0)])
    with pytest.raises(NumbersError, match=r"after the token ids \(0, 0\).* 2 of these 2 tokens"):
        model.next_logits([(0, 0)])
    with pytest.raises(NumbersError, match=r"\(… 2, 2, 2"):
        model.next_logits([(2,) * 40])
    with pytest.raises(NumbersError, match=r"after the token ids \(\)"):
        LogitsModel.from_rows([((1,), (0,), [[1, 2]])]).start_logprobs()


@pytest.mark.parametrize(
    ("records", "words"),
    [
        ([], "logits: no recorded logits"),
        ([((), (0, 1), [[1, 2]])], "candidate 0: 1 rows of logits for 2 tokens; row i predicts"),
        ([((), (0,), [[1, 2]] * 3)], "3 rows of logits for 1 tokens"),
        ([((), (), [])], "its logits are float64 of shape (1, 0)"),
        ([((), (0, 0), [[1, 2], [1]])], "its rows of logits are of unequal length"),
        ([((), (0,), [["a", "b"]])], "have to be numbers [tokens, vocab]"),
        ([((), (0,), [[1, 2]]), ((), (0,), [[1, 2, 3]])], "rows of 3 logits, where the others"),
        ([((), (2,), [[1, 2]])], "the token id 2 is outside the vocabulary of 2"),
        ([((-1,), (1,), [[1, 2]])], "the token id -1 is outside the vocabulary of 2"),
        ([((), (1,), [[1, math.nan]])], "candidate 0, row 0: nan at token 1; a row of logits is"),
        ([((), (1,), [[math.inf, 1]])], "row 0: inf at token 0"),
        ([((), (1,), [[-math.inf] * 2])], "row 0: nothing but -inf"),
    ],
)
def test_malformed_rows_are_refused(records: Any, words: str) -> None:  # noqa: ANN401 - malformed
    """Inline logits of a wrong shape or without a distribution say which candidate and row."""
    with pytest.raises(NumbersError, match=re.escape(words)):
        LogitsModel.from_rows(records)


def changed(**changes: Any) -> dict[str, np.ndarray]:  # noqa: ANN401 - malformed arrays
    """Return the arrays of a file with some of them replaced or, for None, left out."""
    content = arrays(end=False, prompts=False) | changes
    return {name: np.asarray(value) for name, value in content.items() if value is not None}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (changed(logits=None), "holds prompt_ids, token_ids, offsets; a file of recorded logits"),
        (changed(prompt=[1]), "holds prompt_ids, token_ids, offsets, logits, prompt; a file"),
        (changed(logits=np.zeros((3, 3), np.int64)), "logits is int64 of shape (3, 3)"),
        (changed(logits=np.zeros((3, 3, 1))), "logits is float64 of shape (3, 3, 1)"),
        (changed(logits=np.zeros((4, 3))), "4 rows of logits for 3 tokens in 2 continuations"),
        (changed(token_ids=[[1, 0], [2, 0]]), "token_ids is int64 of shape (2, 2)"),
        (changed(token_ids=[1.0, 0.0, 2.0]), "token_ids is float64 of shape (3,)"),
        (changed(offsets=[0, 2]), "offsets is [0, 2]; it has to rise from 0 to 3"),
        (changed(offsets=[0, 3, 2, 3]), "offsets is [0, 3, 2, 3]"),
        (changed(prompt_offsets=[0, 1]), "prompt_offsets cuts 1 prompts and offsets 2 continuat"),
        (changed(end_ids=[9]), "the end id 9 is outside the vocabulary of 3"),
        (changed(token_ids=None, offsets=None), "3 rows of logits for 0 tokens in 1 continuations"),
        (
            {
                "prompt_ids": np.asarray([0, 1, 2]),
                "token_ids": np.asarray([1, 0]),
                "logits": np.zeros((5, 3)),
            },
            "if these are the rows of prompt + tokens, keep logits[2:4]",
        ),
    ],
)
def test_malformed_files_are_refused(
    tmp_path: Path, content: dict[str, np.ndarray], words: str
) -> None:
    """Each file that is not in the format names the array, what it is and what it has to be."""
    with pytest.raises(NumbersError, match=re.escape(words)):
        load(f"logits:{write(tmp_path / 'd.npz', content)}")


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    """Missing, corrupt, pickled and nameless files are told apart."""
    with pytest.raises(MissingFileError, match="no file"):
        load(f"logits:{tmp_path / 'none.npz'}")
    for name in ("d.npz", "d.safetensors"):
        path = tmp_path / name
        path.write_bytes(b"PK\x03\x04 not really")
        with pytest.raises(NumbersError, match=re.escape(f"{path}: not")):
            load(f"logits:{path}")
    np.savez(tmp_path / "p.npz", logits=np.asarray([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(NumbersError, match="it holds Python objects"):
        load(f"logits:{tmp_path / 'p.npz'}")
    with (tmp_path / "one.npz").open("wb") as file:
        np.save(file, np.zeros((1, 3)))
    with pytest.raises(NumbersError, match="holds one nameless array"):
        load(f"logits:{tmp_path / 'one.npz'}")


def test_options_are_refused(tmp_path: Path) -> None:
    """Recorded logits take no device: an option without effect is an error."""
    path = write(tmp_path / "d.npz", arrays(end=False, prompts=False))
    with pytest.raises(
        QueryError, match="logits backend takes batch_invariant, found device='cuda'"
    ):
        load(f"logits:{path}", device="cuda")
