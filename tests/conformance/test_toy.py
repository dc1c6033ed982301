"""The suite's models: the closed form against transformers, the encoder against tokenizers."""

from __future__ import annotations

import json
import math
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import logpr
from logpr.conformance import toy_scorer, write_folder, write_table
from logpr.conformance.toy import VARIANTS, Architecture, Policy, toy
from logpr.conformance.toy.export import tokenizer_of, toy_of
from logpr.conformance.toy.forward import logprobs
from logpr.conformance.toy.pieces import BYTES, LETTERS, MERGING, RARE, Pieces
from logpr.errors import MissingFileError, UnknownNameError

ARCHITECTURES: tuple[Architecture, ...] = ("gpt2", "llama")
# transformers takes rotary angles and norms in float32 even in a double model.
CLOSE = {"gpt2": 1e-12, "llama": 2e-5}


@cache
def sequences(size: int) -> tuple[tuple[int, ...], ...]:
    """Return a few sequences of ids, one of them long."""
    rng = np.random.default_rng(1)
    return tuple(tuple(rng.integers(0, size, length).tolist()) for length in (1, 2, 7, 90))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("name", VARIANTS)
def test_transformers_agrees(name: str, architecture: Architecture, tmp_path: Path) -> None:
    """AutoModelForCausalLM gives the closed form's log-probabilities, AutoTokenizer its ids."""
    torch = pytest.importorskip("torch", reason='torch is needed: pip install "logpr[hf]"')
    transformers = pytest.importorskip("transformers")
    torch.set_num_threads(1)
    of = toy(name, architecture)
    folder = str(write_folder(of, tmp_path / name))
    model = transformers.AutoModelForCausalLM.from_pretrained(folder).eval()
    assert str(model.dtype) == f"torch.{of.variant.dtype}"
    for ids in sequences(of.pieces.vocab_size):
        with torch.no_grad():
            theirs = model(torch.tensor([ids])).logits[0].double().numpy()
        ours = of.rows([ids[: place + 1] for place in range(len(ids))])
        seen = logprobs(ours) > -1000  # what is never given is −10,000 in float32's rounding
        assert np.abs(logprobs(theirs) - logprobs(ours))[seen].max() < CLOSE[architecture]
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    text = "ab cd dab" if of.pieces == MERGING else "abcd"
    start = [of.pieces.start_id] if of.variant.adds_start else []
    assert tokenizer(text).input_ids == [*start, *of.pieces.encode(text)]
    assert tokenizer.decode(of.pieces.encode(text)) == text
    assert tokenizer.padding_side == of.variant.padding_side
    assert (tokenizer.bos_token_id, tokenizer.eos_token_id) == (
        of.pieces.start_id,
        of.pieces.end_id,
    )


@cache
def library(pieces: Pieces) -> Any:  # noqa: ANN401 - the library's tokenizer
    """Return the pieces as the `tokenizers` library reads them."""
    return tokenizer_of(pieces, adds_start=False)


@given(st.text("abcd z", max_size=24))
def test_the_encoder_is_byte_pair_encoding(text: str) -> None:
    """Our own encoder gives the ids of the `tokenizers` library, and decodes to the text."""
    ids = MERGING.encode(text)
    assert tuple(library(MERGING).encode(text).ids) == ids
    assert MERGING.decode(ids) == text


# Without "<": the library reads <s> as the start token wherever it stands.
@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="<"), max_size=12))
def test_every_text_has_bytes(text: str) -> None:
    """The byte-level toy reads any text, as the library does."""
    ids = BYTES.encode(text)
    assert tuple(library(BYTES).encode(text).ids) == ids
    assert BYTES.decode(ids) == text


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_logits_are_not_centred(architecture: Architecture) -> None:
    """The mean logit moves with the context, so that a logit is no log-probability."""
    of = toy("toy", architecture)
    rows = of.rows([(token,) for token in range(of.pieces.vocab_size)])
    ordinary = np.delete(rows, of.pieces.names.index(RARE), axis=1)
    assert ordinary.mean(axis=1).std() > 0.2
    assert np.abs(np.logaddexp.reduce(rows, axis=1)).min() > 0.5


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_shifted_twin_moves_all_logits_alike(architecture: Architecture) -> None:
    """Its logits are the toy's plus one number a context, and that number is far from 0."""
    prefixes = sequences(MERGING.vocab_size)
    moved = toy("shifted", architecture).rows(prefixes) - toy("toy", architecture).rows(prefixes)
    assert np.ptp(moved, axis=1).max() < 1e-9
    assert np.abs(moved[:, 0]).max() > 1


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_dummy_twin_only_adds_a_row(architecture: Architecture) -> None:
    """Its other logits are the toy's."""
    prefixes = sequences(MERGING.vocab_size)
    more, plain = toy("dummy", architecture).rows(prefixes), toy("toy", architecture).rows(prefixes)
    assert np.abs(more[:, :-1] - plain).max() < 1e-12


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_order_one_sees_one_token(architecture: Architecture) -> None:
    """A row depends on the last token alone; the plain toy's depends on what stands before."""
    for name, same in (("order1", True), ("toy", False)):
        one, other = toy(name, architecture).rows([(9, 3, 3, 1), (2, 1)])
        assert bool(np.abs(one - other).max() < 1e-12) is same


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_tenth_is_a_tenth(architecture: Architecture) -> None:
    """2,000 tokens of probability 0.1 have log-probability 2000 ln 0.1."""
    of = toy("tenth", architecture)
    found = of.truth((of.pieces.start_id,), (0,) * 2000).logprob
    assert found == pytest.approx(2000 * math.log(0.1), abs=1e-8)


def test_the_closed_form_is_the_sum_of_its_tokens() -> None:
    """Σ token_logprobs + end_logprob, END scored under `stop` alone."""
    of = toy("toy")
    opened, stopped = (of.truth((9, 1), (2, 3), end) for end in ("open", "stop"))
    assert opened.token_logprobs == stopped.token_logprobs
    assert opened.logprob == pytest.approx(sum(opened.token_logprobs))
    assert stopped.end_logprob is not None
    assert stopped.logprob == pytest.approx(opened.logprob + stopped.end_logprob)
    assert of.truth((9, 1), ()).logprob == 0.0


def test_rows_are_the_same_alone_and_together() -> None:
    """A row computed as part of a longer sequence is the one computed by itself."""
    of = toy("toy")
    fresh = type(of)("toy")
    long = sequences(MERGING.vocab_size)[-1]
    together = fresh.rows([long[:5], long, long[:40]])
    for row, size in zip(together, (5, 90, 40), strict=True):
        alone = type(of)("toy").rows([long[:size]])[0]
        assert np.abs(row - alone).max() < 1e-12


POLICIES = [
    # prompt, candidate, policy -> tokens of the context (no start token), tokens of y
    ("a", "b", "separate", "a", ["b"]),
    ("a", "b", "joint", "", ["ab"]),
    ("a", "b", "split", "ab", []),
    ("a", "b", "verbatim", "a", ["b"]),
    ("b ", "c", "separate", "b", [" c"]),
    ("b ", "c", "joint", "b", [" c"]),
    ("b ", "c", "verbatim", "b| ", ["c"]),
    ("b", " cd", "separate", "b", [" c", "d"]),
]


@pytest.mark.parametrize(("prompt", "candidate", "policy", "context", "tokens"), POLICIES)
def test_policies_read_the_boundary(
    prompt: str,
    candidate: str,
    policy: Policy,
    context: str,
    tokens: list[str],
) -> None:
    """Each policy cuts a merging pair where it says, by hand."""
    of = toy("startless")
    before, after = of.read(prompt, candidate, policy=policy, bos="never")
    names = [of.pieces.names[token].decode() for token in before]
    assert "|".join(names) == context
    assert [of.pieces.names[token].decode() for token in after] == tokens


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_logpr_reads_as_the_suite_does(architecture: Architecture, tmp_path: Path) -> None:
    """logpr's own boundary policies on the exported folder are the suite's, merged ones too."""
    pytest.importorskip("torch", reason='torch is needed: pip install "logpr[hf]"')
    of = toy("toy", architecture)
    lm = logpr.load(write_folder(of, tmp_path / "toy"))
    for prompt, candidate in (("ca", "bd"), ("b ", "c"), ("cab", " cd"), ("", "ab"), ("d", "  c")):
        for policy in ("separate", "joint"):
            context, tokens = of.read(prompt, candidate, policy=policy)
            found = logpr.score(prompt, candidate, model=lm, boundary=policy)
            assert found.token_ids == tokens
            assert found.logprob == pytest.approx(of.truth(context, tokens).logprob, abs=2e-5)


@pytest.mark.parametrize("name", ["order1", "tenth"])
def test_tables_hold_the_toy(name: str, tmp_path: Path) -> None:
    """The table export of a toy of order 1 scores as its closed form."""
    of = toy(name)
    lm = logpr.load(f"table:{write_table(of, tmp_path / 'toy.json')}")
    for ids in sequences(of.pieces.vocab_size)[1:]:
        found = logpr.score(prompt_ids=ids[:1], candidate_ids=ids[1:], model=lm)
        assert found.logprob == pytest.approx(of.truth(ids[:1], ids[1:]).logprob, abs=1e-9)


def test_letters_hold_all_mass() -> None:
    """On the merge-free toy no special token ever comes, on its ending twin END does."""
    letters, endings = toy("letters"), toy("endings")
    context = (LETTERS.start_id, 1)
    row = np.exp(logprobs(letters.rows([context])))[0]
    assert row[: LETTERS.start_id].sum() == pytest.approx(1.0, abs=1e-12)
    row = np.exp(logprobs(endings.rows([context])))[0]
    assert row[LETTERS.end_id] > 0.01
    assert row[LETTERS.start_id] == 0.0


def test_a_folder_says_which_toy_it_holds(tmp_path: Path) -> None:
    """A folder written by the suite leads back to the toy; another folder is refused by name."""
    folder = write_folder(toy("letters", "llama"), tmp_path / "x")
    assert toy_of(folder) is toy("letters", "llama")
    assert json.loads((folder / "config.json").read_text())["model_type"] == "llama"
    with pytest.raises(MissingFileError, match="no model of the suite"):
        toy_of(tmp_path)
    with pytest.raises(MissingFileError):
        toy_scorer(str(tmp_path))


def test_unknown_variants_are_named() -> None:
    """A name that no variant has is an error that lists them."""
    with pytest.raises(UnknownNameError, match="startless"):
        toy("nothing")
