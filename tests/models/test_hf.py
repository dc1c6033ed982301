"""Models of transformers behind the seam, held against transformers' own forward pass."""

from __future__ import annotations

import functools
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from logpr.errors import ContextLengthError, EmptyContextError, ModelOutputError, QueryError
from logpr.models._head import score_rows
from logpr.models._load import load
from logpr.models._probe import probe_pack
from logpr.models.base import NO_EVIDENCE, Evidence, Predictive
from logpr.models.hf.mask import forms
from logpr.models.hf.model import HFModel
from logpr.models.hf.packed import Packed
from logpr.models.hf.plain import Plain
from logpr.models.hf.probe import EXECUTORS
from logpr.models.hf.scoring import score_pack
from logpr.models.hf.verify import find_head
from logpr.tokens.pack import Pack
from logpr.tokens.trie import pack_of_sequences
from tests.models.hf_models import VOCAB, own_logits, own_logprobs, random_model
from tests.models.strategies import Asked, asked, pack_of

TAKEN = {
    "llama": "forest",
    "gpt2": "forest",
    "gpt_neox": "forest",
    "mistral": "forest",
    "gemma2": "forest",
    "qwen3": "forest",
    "opt": "forest",
    "gpt_oss": "forest",
    "cohere": "forest",
    "granite": "forest",
    "gptj": "mask",
    "bloom": "cache",
}


def sequences(vocab: int = VOCAB, *, seed: int = 5) -> tuple[Pack, list[tuple[int, ...]]]:
    """Return a pack of candidates behind shared and unshared prompts, and each one's edges."""
    rng = np.random.default_rng(seed)
    prompts = [rng.integers(0, vocab, length).tolist() for length in (30, 3, 1)]
    prompts.append(prompts[0][:20])
    stem = rng.integers(0, vocab, 5).tolist()
    contexts: list[list[int]] = []
    continuations: list[list[int]] = []
    for prompt in prompts:
        for length in (1, 2, 9, 20):
            contexts.append(prompt)
            continuations.append(stem[: length // 2] + rng.integers(0, vocab, length).tolist())
    return pack_of_sequences(contexts, continuations)


@pytest.mark.parametrize(("family", "executor"), list(TAKEN.items()))
def test_packed_scores_are_those_of_each_sequence_alone(family: str, executor: str) -> None:
    """The probe takes the expected executor, and sequences are within 1e-4 nats of the model's."""
    model = random_model(family)
    found = HFModel.from_modules(model)
    pack, edges = sequences()
    ours, own = found.edges(pack).logprob, own_logprobs(model, pack)
    assert found.provenance.executor == executor
    for one in edges:
        assert ours[list(one)].sum() == pytest.approx(own[list(one)].sum(), abs=1e-4)


@pytest.mark.parametrize("family", [name for name in TAKEN if TAKEN[name] == "forest"])
def test_the_mask_is_right_too(family: str) -> None:
    """Where `forest` is taken, a forced `mask` gives the model's own scores as well."""
    model = random_model(family)
    pack, edges = sequences()
    ours = HFModel.from_modules(model, executor="mask").edges(pack).logprob
    own = own_logprobs(model, pack)
    for one in edges:
        assert ours[list(one)].sum() == pytest.approx(own[list(one)].sum(), abs=1e-4)


@pytest.mark.parametrize(
    ("family", "executor"),
    list(product(("llama", "gpt2", "gpt_neox", "mistral", "qwen3", "opt"), ("forest", "mask"))),
)
def test_float64_agrees_to_1e9(family: str, executor: str) -> None:
    """In float64 a packed sequence is within 1e-9 nats of the same sequence alone."""
    model = random_model(family, dtype=torch.float64)
    pack, edges = sequences()
    ours = HFModel.from_modules(model, executor=executor).edges(pack).logprob
    own = own_logprobs(model, pack)
    for one in edges:
        assert ours[list(one)].sum() == pytest.approx(own[list(one)].sum(), abs=1e-9)


@functools.cache
def all_ways() -> tuple[HFModel, ...]:
    """Return one small windowed model run in each of the ways, `plain` last."""
    model = random_model("mistral", dtype=torch.float64, vocab_size=11, num_hidden_layers=1)
    return tuple(HFModel.from_modules(model, executor=name) for name in EXECUTORS)


@settings(max_examples=30)
@given(asked())
def test_executors_agree_on_any_trie(drawn: Asked) -> None:
    """All executors give the same log-probabilities, END among them, within 1e-9."""
    pack = pack_of(drawn)
    *others, plain = (model.edges(pack).logprob for model in all_ways())
    for other in others:
        np.testing.assert_allclose(other, plain, rtol=0, atol=1e-9)


@settings(max_examples=30)
@given(asked(longest=20), st.integers(1, 24), st.none() | st.integers(1, 24))
def test_pieces_of_any_size_under_a_mask(drawn: Asked, budget: int, limit: int | None) -> None:
    """However a pack is cut for `mask`, and whatever of it goes plain, the scores are the same."""
    pack = pack_of(drawn)
    model = random_model("mistral", dtype=torch.float64, vocab_size=11, num_hidden_layers=1)
    trunk, head, _ = find_head(model, context_length=96)
    plain = Plain(trunk)
    masked = Packed("mask", next(forms(trunk)), plain, budget, limit)
    ours, own = (score_pack(one, head, pack, NO_EVIDENCE).logprob for one in (masked, plain))
    np.testing.assert_allclose(ours, own, rtol=0, atol=1e-9)


@pytest.mark.parametrize("end_ids", [(), (5,), (5, 2, 9)])
@pytest.mark.parametrize("executor", ["forest", "plain"])
def test_evidence_is_that_of_whole_rows(end_ids: tuple[int, ...], executor: str) -> None:
    """Rank, favourite, entropy and alternatives are those of the model's own rows, END merged."""
    model = random_model("llama", dtype=torch.float64)
    rng = np.random.default_rng(0)
    contexts = [rng.integers(0, VOCAB, length).tolist() for length in (4, 4, 9)]
    continuations = [rng.integers(0, VOCAB, length).tolist() for length in (3, 6, 2)]
    pack, _ = pack_of_sequences(
        contexts, continuations, end_ids=end_ids, score_end=[bool(end_ids)] * 3
    )
    evidence = Evidence(columns=True, alternatives=4)
    ours = HFModel.from_modules(model, executor=executor).edges(pack, evidence=evidence)
    rows = np.stack([own_logits(model, list(pack.path(int(node))))[-1] for node in pack.edge_nodes])
    own = score_rows(
        rows, np.arange(len(rows)), pack.edge_tokens, end_ids=end_ids, evidence=evidence
    )
    assert ours.columns is not None
    assert own.columns is not None
    np.testing.assert_allclose(ours.logprob, own.logprob, rtol=0, atol=1e-9)
    np.testing.assert_array_equal(ours.columns.rank, own.columns.rank)
    np.testing.assert_array_equal(ours.columns.top_id, own.columns.top_id)
    np.testing.assert_array_equal(ours.columns.alternative_ids, own.columns.alternative_ids)
    np.testing.assert_allclose(ours.columns.entropy, own.columns.entropy, rtol=0, atol=1e-9)


def test_evidence_changes_no_score() -> None:
    """The streaming head and the head of whole rows give the same logit, logz and log Pr."""
    model = HFModel.from_modules(random_model("gemma2"))
    pack, _ = sequences()
    fast, whole = model.edges(pack), model.edges(pack, evidence=Evidence(columns=True))
    for a, b in ((fast.logprob, whole.logprob), (fast.logit, whole.logit), (fast.logz, whole.logz)):
        assert a is not None
        assert b is not None
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-5)


def test_the_same_call_gives_the_same_bits() -> None:
    """Two calls of one model on one pack are equal to the last bit, where nothing is kept."""
    model = HFModel.from_modules(random_model("gpt2"))
    pack, _ = sequences()
    first = model.edges(pack).logprob
    again = model.edges(pack).logprob  # what is kept of the first call is read
    model.forget()
    assert np.array_equal(model.edges(pack).logprob, first)
    np.testing.assert_allclose(again, first, rtol=0, atol=1e-5)
    with model.apart(keep=False):
        assert np.array_equal(model.edges(pack).logprob, first)
        assert np.array_equal(model.edges(pack).logprob, first)


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_the_training_loss_is_the_mean_surprisal(family: str) -> None:
    """−mean of token log-probabilities is the cross-entropy that transformers computes."""
    model = random_model(family)
    ids = np.random.default_rng(1).integers(0, VOCAB, 40).tolist()
    with torch.inference_mode():
        loss = float(model(torch.tensor([ids]), labels=torch.tensor([ids])).loss)
    pack, (edges,) = pack_of_sequences([ids[:1]], [ids[1:]])
    logprobs = HFModel.from_modules(model).edges(pack).logprob[list(edges)]
    assert -logprobs.mean() == pytest.approx(loss, abs=1e-6)


def test_next_logits_are_the_models_rows() -> None:
    """`next_logits` gives the model's own last row of each prefix, in the order asked."""
    model = random_model("qwen3", dtype=torch.float64)
    prefixes = [[5, 6, 7], [5], [5, 6, 7], [5, 6, 1, 2]]
    found = HFModel.from_modules(model)
    rows = found.next_logits(prefixes)
    assert isinstance(found, Predictive)
    assert rows.logits is not None
    for row, logprobs, prefix in zip(rows.logits, rows.logprobs, prefixes, strict=True):
        np.testing.assert_allclose(row, own_logits(model, prefix)[-1], rtol=0, atol=1e-9)
        assert np.exp(logprobs).sum() == pytest.approx(1.0, abs=1e-12)
    assert found.next_logits([]).logprobs.shape == (0, VOCAB)


@pytest.mark.parametrize("kind", ["dynamic", "longrope"])
def test_rotary_angles_that_grow_follow_the_sequence_scored(kind: str) -> None:
    """Beyond the original length a row is that of a sequence ending there, in any company."""
    rope = {"rope_type": kind, "factor": 4.0, "rope_theta": 10000.0}
    if kind == "longrope":
        rope |= {"short_factor": [1.0] * 4, "long_factor": [3.0] * 4}
    rope["original_max_position_embeddings"] = 16
    length = 16 if kind == "dynamic" else 64
    model = random_model(
        "llama", dtype=torch.float64, rope_parameters=rope, max_position_embeddings=length
    )
    found = HFModel.from_modules(model)
    assert found.context_length == 64
    ids = np.random.default_rng(2).integers(0, VOCAB, 30).tolist()
    pack, edges = pack_of_sequences([ids[:5], ids[:5]], [ids[5:], ids[5:10]])
    ours = found.edges(pack).logprob
    for place, edge in enumerate(edges[0], start=5):
        own_logits(model, ids[:1])  # angles grown by the last call go back only for a short one
        row = torch.from_numpy(own_logits(model, ids[:place])[-1])
        assert ours[edge] == pytest.approx(float(row.log_softmax(0)[ids[place]]), abs=1e-9)
    assert found.provenance.executor == "forest"


def test_low_precision_keeps_its_head_in_float32() -> None:
    """bfloat16 weights give float32 logits: those of the widened product, not rounded again."""
    model = random_model("llama", dtype=torch.bfloat16)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    found = HFModel.from_modules(model, executor="plain")
    logits = found.next_logits([[4, 8, 15]]).logits
    assert logits is not None
    with torch.no_grad():
        states = model.base_model(torch.tensor([[4, 8, 15]])).last_hidden_state[0, -1].double()
    exact = (model.get_output_embeddings().weight.double() @ states).detach().numpy()
    # What two products in bfloat16 may leave, where a CPU has them; bfloat16 logits are 2^-9 off.
    np.testing.assert_allclose(logits[0], exact, rtol=2**-17, atol=1e-5)
    assert all(torch.equal(before[name], now) for name, now in model.state_dict().items())


def test_noise_is_measured() -> None:
    """bfloat16 is measured against float32 of the same weights; float32 has packing noise alone."""
    low = HFModel.from_modules(random_model("llama", dtype=torch.bfloat16)).provenance
    wide = HFModel.from_modules(random_model("llama")).provenance
    assert low.noise_precision > 1e-3
    assert low.noise_packing > 1e-4
    assert wide.noise_precision == 0.0
    assert 0.0 < wide.noise_packing < 1e-4
    widened = random_model("llama", dtype=torch.bfloat16)
    pack = probe_pack(VOCAB, 96)
    rounded = HFModel.from_modules(widened, executor="plain").edges(pack).logprob
    exact = HFModel.from_modules(widened.float(), executor="plain").edges(pack).logprob
    assert low.noise_precision == pytest.approx(np.abs(rounded - exact).max(), rel=1e-3)


def test_what_cannot_be_scored_is_refused() -> None:
    """No context, too long a context, no end token and rows of nan are four clear errors."""
    model = random_model("llama")
    found = HFModel.from_modules(model, name="tiny")
    with pytest.raises(EmptyContextError, match=r"bos='always'"):
        found.edges(pack_of_sequences([[]], [[1, 2]])[0])
    with pytest.raises(
        ContextLengthError, match=r"97 tokens is longer than the context of tiny, 96"
    ):
        found.edges(pack_of_sequences([[1] * 97], [[2]])[0])
    with pytest.raises(QueryError, match=r"end='open'"):
        found.edges(pack_of_sequences([[1]], [[2]], score_end=[True])[0])
    with torch.no_grad():
        model.get_output_embeddings().weight[3] = float("nan")
    for evidence in (Evidence(), Evidence(columns=True)):
        with pytest.raises(ModelOutputError, match=r"edge 0: 1 of 97 logits are nan"):
            found.edges(pack_of_sequences([[1]], [[2]])[0], evidence=evidence)


def test_an_outcome_that_cannot_be_is_minus_infinity() -> None:
    """A logit of −inf is no error: its log-probability is −inf, the others' sum to 1."""
    model = random_model("llama", dtype=torch.float64)
    bias = torch.zeros(VOCAB, dtype=torch.float64)
    bias[3] = -torch.inf
    model.get_output_embeddings().bias = torch.nn.Parameter(bias, requires_grad=False)
    found = HFModel.from_modules(model)
    pack, _ = pack_of_sequences([[1]] * VOCAB, [[token] for token in range(VOCAB)])
    logprobs = found.edges(pack).logprob
    assert np.isneginf(logprobs[3])
    assert np.exp(logprobs).sum() == pytest.approx(1.0, abs=1e-12)


def test_the_sorting_model_sorts(data_dir: Path) -> None:
    """Of all 729 outputs the sorted one is the most probable, and together they have mass 1."""
    model = load(data_dir / "models" / "gpt-nano-sort")
    outputs = [list(output) for output in product(range(3), repeat=6)]
    for letters in ([2, 0, 1, 1, 2, 0], [0, 0, 2, 1, 0, 2], [1, 1, 1, 1, 1, 0]):
        pack, edges = pack_of_sequences([letters] * len(outputs), outputs)
        logprobs = model.edges(pack).logprob
        totals = np.array([logprobs[list(one)].sum() for one in edges])
        assert outputs[int(totals.argmax())] == sorted(letters)
        assert np.exp(totals).sum() == pytest.approx(1.0, abs=1e-5)


def test_a_trained_model_agrees_with_the_oracle(data_dir: Path) -> None:
    """stories260K in float32: within 1e-4 nats of the NumPy float64 runtime on 200 real pairs."""
    folder = data_dir / "models" / "stories260K"
    model, oracle = load(folder), load(f"builtin:{folder}", dtype="float64")
    assert model.tokenizer is not None
    text = next((data_dir / "text").glob("tinystories*")).read_text(encoding="utf-8")[:40_000]
    ids = model.tokenizer.encode(text, parse_special=False)
    starts = range(0, 200 * 40, 40)
    contexts = [[1, *ids[start : start + 25]] for start in starts]
    continuations = [list(ids[start + 25 : start + 40]) for start in starts]
    pack, edges = pack_of_sequences(contexts, continuations, end_ids=(1,), score_end=[True] * 200)
    ours, exact = model.edges(pack).logprob, oracle.edges(pack).logprob
    worst = max(abs(ours[list(one)].sum() - exact[list(one)].sum()) for one in edges)
    assert model.provenance.executor == "forest"
    assert worst <= 1e-4
