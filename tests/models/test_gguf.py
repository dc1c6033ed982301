"""GGUF files through llama.cpp: the closed form, sequences that share beginnings, and refusals."""

from __future__ import annotations

import importlib.util
import itertools
import json
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file

import logpr
from logpr.conformance.adapters._gguf import write_gguf
from logpr.conformance.toy import toy
from logpr.conformance.toy.export import write_folder
from logpr.conformance.toy.forward import logprobs
from logpr.errors import (
    ContextLengthError,
    EmptyContextError,
    MissingExtraError,
    MissingFileError,
    ModelLoadError,
    QueryError,
    TokenizationError,
)
from logpr.models._probe import largest_difference, probe_pack
from logpr.models.base import Evidence, Model, Predictive
from logpr.models.builtin import LlamaModel
from logpr.models.gguf import GgufModel
from logpr.models.gguf.runner import Runner
from logpr.tokens.trie import TokenTrie
from tests.models.strategies import llama_folder

Array = np.ndarray[Any, Any]

needs_llama_cpp = pytest.mark.skipif(
    importlib.util.find_spec("llama_cpp") is None or importlib.util.find_spec("gguf") is None,
    reason="GGUF files are written by gguf and run by llama-cpp-python; neither is required here",
)

GELU = 3e-3
"""llama.cpp looks GPT-2's activation up in a table in half precision: what the toys differ by."""

FLOAT32 = 2e-5


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return the folder of a toy, its GGUF file (m.gguf) in it."""
    made: dict[str, Path] = {}

    def of(name: str) -> Path:
        if name not in made:
            made[name] = write_folder(toy(name), tmp_path_factory.mktemp(name))
            write_gguf(made[name], made[name] / "m.gguf")
        return made[name]

    return of


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return the folder and the GGUF file of a random Llama, whose activation is exact."""
    folder = llama_folder(tmp_path_factory.mktemp("llama"))
    return folder, llama_gguf(folder, folder / "m.gguf")


def llama_gguf(folder: Path, file: Path) -> Path:
    """Write a Llama of ids alone as GGUF."""
    gguf = pytest.importorskip("gguf")
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    heads, width = config["num_attention_heads"], config["hidden_size"]
    groups = config.get("num_key_value_heads", heads)
    head = config.get("head_dim") or width // heads
    out = gguf.GGUFWriter(file, "llama")
    out.add_context_length(config["max_position_embeddings"])
    out.add_embedding_length(width)
    out.add_feed_forward_length(config["intermediate_size"])
    out.add_block_count(config["num_hidden_layers"])
    out.add_head_count(heads)
    out.add_head_count_kv(groups)
    out.add_key_length(head)
    out.add_value_length(head)
    out.add_rope_dimension_count(head)
    out.add_layer_norm_rms_eps(config["rms_norm_eps"])
    out.add_rope_freq_base(config.get("rope_theta", 10000.0))
    out.add_vocab_size(config["vocab_size"])
    out.add_file_type(gguf.LlamaFileType.ALL_F32)
    out.add_tokenizer_model("none")
    weights = load_file(folder / "model.safetensors")

    def add(name: str, value: Array) -> None:
        out.add_tensor(name, np.ascontiguousarray(value, dtype=np.float32))

    def paired(value: Array, count: int) -> Array:
        # GGUF's Llama turns neighbours, transformers' turns halves.
        return value.reshape(count, 2, head // 2, -1).swapaxes(1, 2).reshape(value.shape)

    embedding = weights["model.embed_tokens.weight"]
    add("token_embd.weight", embedding)
    add("output_norm.weight", weights["model.norm.weight"])
    add("output.weight", weights.get("lm_head.weight", embedding))
    for layer in range(config["num_hidden_layers"]):
        stem, origin = f"blk.{layer}", f"model.layers.{layer}"
        for name, source in {
            "attn_norm": "input_layernorm",
            "ffn_norm": "post_attention_layernorm",
            "attn_v": "self_attn.v_proj",
            "attn_output": "self_attn.o_proj",
            "ffn_gate": "mlp.gate_proj",
            "ffn_up": "mlp.up_proj",
            "ffn_down": "mlp.down_proj",
        }.items():
            add(f"{stem}.{name}.weight", weights[f"{origin}.{source}.weight"])
        for name, source, count in (("attn_q", "q_proj", heads), ("attn_k", "k_proj", groups)):
            value = weights[f"{origin}.self_attn.{source}.weight"]
            add(f"{stem}.{name}.weight", paired(value, count))
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()
    return file


def opened(path: Path, **options: str) -> GgufModel:
    """Return the model of a file."""
    model = logpr.load(f"gguf:{path}", **options)
    assert isinstance(model, GgufModel)
    return model


@needs_llama_cpp
def test_a_toy_is_its_closed_form(folder: Callable[[str], Path]) -> None:
    """Rows of any prefixes, in any order, whatever was asked before."""
    of = toy("toy")
    model = opened(folder("toy") / "m.gguf")
    ids = st.lists(st.integers(0, of.pieces.vocab_size - 1), min_size=1, max_size=9)

    @settings(max_examples=30)
    @given(prefixes=st.lists(ids, min_size=1, max_size=5))
    def any_prefixes(prefixes: list[list[int]]) -> None:
        found = model.next_logits(prefixes)
        np.testing.assert_allclose(found.logprobs, logprobs(of.rows(prefixes)), rtol=0, atol=GELU)
        assert found.logits is not None
        assert found.logz is not None

    any_prefixes()


@needs_llama_cpp
@pytest.mark.parametrize("executor", ["prefix", "plain"])
def test_a_llama_is_the_float64_run(llama: tuple[Path, Path], executor: str) -> None:
    """Edges and rows agree with NumPy's run in float64, to float32's digits."""
    folder, file = llama
    truth = LlamaModel.from_folder(folder, dtype="float64")
    model = opened(file, executor=executor)
    assert (model.vocab_size, model.context_length) == (truth.vocab_size, truth.context_length)
    assert model.tokenizer is None
    pack = probe_pack(model.vocab_size, model.context_length, edges=200)
    evidence = Evidence(columns=True, alternatives=2)
    ours, theirs = model.edges(pack, evidence=evidence), truth.edges(pack, evidence=evidence)
    assert largest_difference(ours, theirs) < FLOAT32
    assert ours.columns is not None
    assert theirs.columns is not None
    np.testing.assert_allclose(ours.columns.entropy, theirs.columns.entropy, rtol=0, atol=1e-4)
    prefixes = [[1, 2, 3], [1], [1, 2, 4]]
    np.testing.assert_allclose(
        model.next_logits(prefixes).logprobs,
        truth.next_logits(prefixes).logprobs,
        rtol=0,
        atol=FLOAT32,
    )
    told = model.provenance
    assert (told.backend, told.dtype, told.executor) == ("gguf", "float32", executor)
    assert told.noise_packing < FLOAT32
    assert executor == "prefix" or told.noise_packing == 0.0
    assert told.weights_digest is not None


@needs_llama_cpp
def test_shared_beginnings_are_fed_once(llama: tuple[Path, Path]) -> None:
    """Between calls too, and a plain run shares nothing."""
    runner = Runner(llama[1])
    asked = np.array([3])
    for reuse, tokens in ((True, [1, 2, 3, 4]), (True, [1, 2, 3, 5]), (False, [1, 2, 3, 5])):
        before = runner.fed
        assert sum(len(rows) for _, rows in runner.rows(tokens, asked, reuse=reuse)) == 1
        expected = {(True, 4): 4, (True, 5): 1, (False, 5): 4}[reuse, tokens[-1]]
        assert runner.fed - before == expected
    # The same again: the row that is asked for has to be computed.
    before = runner.fed
    list(runner.rows([1, 2, 3, 5], asked, reuse=True))
    assert runner.fed - before == 1


@needs_llama_cpp
def test_a_cache_grows_and_long_sequences_go_in_parts(folder: Callable[[str], Path]) -> None:
    """A sequence of the whole context: more than one pass, more than the first room."""
    of = toy("toy")
    model = opened(folder("toy") / "m.gguf")
    rng = np.random.default_rng(0)
    ids = rng.integers(0, of.pieces.vocab_size, of.context_length).tolist()
    short = model.next_logits([ids[:30]]).logprobs
    found = model.next_logits([ids, ids[:1200], ids[:30]]).logprobs
    truth = logprobs(of.rows([ids, ids[:1200], ids[:30]]))
    np.testing.assert_allclose(found, truth, rtol=0, atol=GELU)
    np.testing.assert_allclose(found[2], short[0], rtol=0, atol=FLOAT32)
    trie = TokenTrie()
    trie.ask(ids[:4], ids[4:1500])
    pack = trie.pack()[0]
    each = model.edges(pack).logprob
    rows = logprobs(of.rows([ids[: 4 + place] for place in (0, 700, 1495)]))
    for place, row in zip((0, 700, 1495), rows, strict=True):
        assert each[place] == pytest.approx(row[ids[4 + place]], abs=GELU)
    with pytest.raises(ContextLengthError, match=r"2101 tokens, and the context of .* holds 2100"):
        model.next_logits([[*ids, 0]])


@needs_llama_cpp
@pytest.mark.parametrize("end", ["open", "stop"])
def test_the_verbs_score_texts(folder: Callable[[str], Path], end: str) -> None:
    """With the tokenizer of the folder the file was made from."""
    of, home = toy("toy"), folder("toy")
    model = opened(f"{home / 'm.gguf'}#tokenizer={home}")
    assert isinstance(model, Model)
    assert isinstance(model, Predictive)
    assert model.end_ids == (of.pieces.end_id,)
    for score in logpr.rank("ab", [" cd", "a"], model=model, end=end).candidates:
        truth = of.truth(score.prompt_ids, score.token_ids, end).logprob
        assert score.logprob == pytest.approx(truth, abs=GELU)


@needs_llama_cpp
def test_a_file_is_searched(folder: Callable[[str], Path]) -> None:
    """The best output, proven, is the closed form's."""
    of, home = toy("endings"), folder("endings")
    found = logpr.decode(
        "ab", model=opened(f"{home / 'm.gguf'}#tokenizer={home}"), max_new_tokens=3
    )
    prompt = (of.pieces.start_id, *of.pieces.encode("ab"))
    every = [
        of.truth(prompt, ids, "stop")
        for size in range(4)
        for ids in itertools.product(of.pieces.ordinary, repeat=size)
    ]
    best = max(every, key=lambda each: each.logprob)
    assert found.best is not None
    assert found.best.token_ids == best.token_ids
    assert found.best.logprob == pytest.approx(best.logprob, abs=GELU)
    assert found.certificate.status == "optimal"


@needs_llama_cpp
def test_what_cannot_be_asked(folder: Callable[[str], Path], llama: tuple[Path, Path]) -> None:
    """Nothing before the first token; texts without a tokenizer; options of other backends."""
    model = opened(llama[1])
    trie = TokenTrie()
    trie.ask((), (0,))
    with pytest.raises(EmptyContextError):
        model.edges(trie.pack()[0])
    with pytest.raises(EmptyContextError):
        model.next_logits([[1], []])
    assert model.next_logits([]).logprobs.shape == (0, model.vocab_size)
    assert len(model.edges(TokenTrie().pack()[0]).logprob) == 0
    with pytest.raises(QueryError, match="the gguf backend takes device, executor, found dtype"):
        opened(llama[1], dtype="float32")
    with pytest.raises(QueryError, match="with executor prefix or plain, found executor='mask'"):
        opened(llama[1], executor="mask")
    home = folder("toy")
    with pytest.raises(ModelLoadError, match=r"262 tokens, and .* has 14"):
        opened(f"{home / 'm.gguf'}#tokenizer={folder('bytes')}")
    with pytest.raises(ModelLoadError, match=r"token 4 is b' ' in .* and b'e' in"):
        opened(f"{other_letters(folder)}#tokenizer={home}")
    with pytest.raises(MissingFileError, match="there is no folder"):
        opened(f"{home / 'm.gguf'}#tokenizer=/none/such")


def other_letters(folder: Callable[[str], Path]) -> Path:
    """Return a file like the toy's whose vocabulary has an e for a space."""
    home = folder("toy")
    other = home / "other"
    if not other.exists():
        write_folder(toy("toy"), other)
        file = other / "tokenizer.json"
        data = json.loads(file.read_text(encoding="utf-8"))
        vocab = data["model"]["vocab"]
        data["model"]["vocab"] = {("e" if t == 4 else name): t for name, t in vocab.items()}
        data["model"]["merges"] = []
        file.write_text(json.dumps(data), encoding="utf-8")
    return write_gguf(other, other / "m.gguf")


@needs_llama_cpp
def test_a_file_that_is_no_model(tmp_path: Path, llama: tuple[Path, Path]) -> None:
    """Cut short, or something else altogether: an error, and nothing printed."""
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(llama[1].read_bytes()[:-1000])
    text = tmp_path / "text.gguf"
    text.write_text("hello", encoding="utf-8")
    for file in (cut, text):
        with pytest.raises(ModelLoadError, match=r"llama\.cpp cannot load .*copy it again"):
            opened(file)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """It is said before llama.cpp is looked for."""
    with pytest.raises(MissingFileError, match="there is no file"):
        logpr.load(f"gguf:{tmp_path / 'none.gguf'}")
    with pytest.raises(QueryError, match="names no file"):
        logpr.load("gguf:")
    with pytest.raises(QueryError, match="names no folder behind #tokenizer="):
        logpr.load(f"gguf:{tmp_path / 'none.gguf'}#tokenizer=")
    (tmp_path / "m.gguf").touch()
    with pytest.raises(QueryError, match=r"a file like this is loaded as 'gguf:"):
        logpr.load(tmp_path / "m.gguf")


@pytest.mark.skipif(
    importlib.util.find_spec("llama_cpp") is not None, reason="llama-cpp-python is installed here"
)
def test_without_llama_cpp_the_install_line_is_given(tmp_path: Path) -> None:
    """In quotes, as the shell wants it."""
    (tmp_path / "m.gguf").touch()
    with pytest.raises(MissingExtraError, match=r'pip install "logpr\[gguf\]"'):
        logpr.load(f"gguf:{tmp_path / 'm.gguf'}")


@needs_llama_cpp
def test_the_files_own_tokenizer_is_exact_to_the_byte(folder: Callable[[str], Path]) -> None:
    """Any text goes to ids and back; special tokens are parsed where that is asked for."""
    of = toy("bytes")
    own = opened(folder("bytes") / "m.gguf").tokenizer
    theirs = opened(f"{folder('bytes') / 'm.gguf'}#tokenizer={folder('bytes')}").tokenizer
    assert own is not None
    assert theirs is not None
    assert (own.vocab_size, own.bos_id, own.eos_id) == (262, of.pieces.start_id, of.pieces.end_id)
    assert (own.adds_bos, own.special_ids) == (theirs.adds_bos, theirs.special_ids)
    pieces = st.sampled_from(["<s>", "</s>", " ", "é", "<s", "🦊", "e\u0301", "\n", "\0", "a", "▁"])
    texts = st.lists(st.one_of(pieces, st.text(max_size=3)), max_size=6).map("".join)

    @settings(max_examples=60)
    @given(text=texts)
    def any_text(text: str) -> None:
        plain = own.encode(text, parse_special=False)
        assert b"".join(map(own.token_bytes, plain)) == text.encode()
        assert own.decode(plain) == own.normalise(text) == text
        assert own.special_spans(text) == theirs.special_spans(text)
        parsed = own.encode(text, parse_special=True)
        assert own.decode(parsed) == text
        assert [token for token in parsed if token in own.special_ids] == [
            token for *_, token in own.special_spans(text)
        ]
        assert own.encode(text, parse_special=True, start=False) == parsed

    any_text()
    for token in range(own.vocab_size):
        assert own.token_bytes(token) == theirs.token_bytes(token)
        assert own.token_text(token) == theirs.token_text(token)


@needs_llama_cpp
def test_the_files_own_tokenizer_reads_as_the_folders(folder: Callable[[str], Path]) -> None:
    """Texts of its few letters; what it has no token for is refused, not dropped."""
    home = folder("toy")
    model = opened(home / "m.gguf")
    own = model.tokenizer
    theirs = opened(f"{home / 'm.gguf'}#tokenizer={home}").tokenizer
    assert own is not None
    assert theirs is not None

    @settings(max_examples=60)
    @given(text=st.text("abcd z", max_size=9))
    def any_text(text: str) -> None:
        assert own.encode(text, parse_special=True) == theirs.encode(text, parse_special=True)

    any_text()
    with pytest.raises(TokenizationError, match="does not hold all its characters"):
        own.encode("axb", parse_special=False)
    with pytest.raises(TokenizationError, match="half of a pair of surrogates"):
        own.encode("a\ud800", parse_special=False)
    score = logpr.score("ab", " cd", model=model)
    truth = toy("toy").truth(score.prompt_ids, score.token_ids).logprob
    assert score.logprob == pytest.approx(truth, abs=GELU)
    assert score.provenance.model.tokenizer_digest == score.provenance.model.weights_digest


def test_an_old_llama_cpp_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With its version, and the line that brings a newer one."""
    old = types.ModuleType("llama_cpp")
    old.__dict__["__version__"] = "0.3.1"
    monkeypatch.setitem(sys.modules, "llama_cpp", old)
    (tmp_path / "m.gguf").touch()
    with pytest.raises(MissingExtraError, match=r"\(0\.3\.1\) .*pip install -U llama-cpp-python"):
        logpr.load(f"gguf:{tmp_path / 'm.gguf'}")
