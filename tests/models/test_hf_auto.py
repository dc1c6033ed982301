"""dtype='auto': bfloat16 and its twin in float32, and the head that multiplies bfloat16."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

import logpr
from logpr import Query
from logpr._types import END
from logpr.errors import ModelOutputError
from logpr.models._probe import largest_difference, probe_pack
from logpr.models.base import NO_EVIDENCE, Model, Predictive, Refining, Reusing, Sized
from logpr.models.hf import auto, head
from logpr.models.hf.auto import RefiningModel, Widened, stored_in_float32
from logpr.models.hf.head import Finish, Head
from logpr.models.hf.model import HFModel
from logpr.models.hf.pieces import States
from logpr.models.hf.precision import Decision, Rates, matmul_rates
from tests.models.hf_models import random_model
from tests.models.strategies import llama_folder

INF = math.inf
PACK = probe_pack(11, 64, edges=300)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a random Llama's folder, ids only, stored in float32."""
    assert torch.get_num_threads() > 0
    return llama_folder(tmp_path / "llama", num_hidden_layers=2)


@pytest.fixture
def _gains(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let bfloat16 pay on whatever machine this runs, for the smallest of models."""
    monkeypatch.setattr(auto, "LEAST_GAIN", 0.0)


def store(folder: Path, dtype: torch.dtype) -> Path:
    """Store a folder's weights in another dtype."""
    tensors = {name: one.to(dtype) for name, one in load_file(folder / "model.safetensors").items()}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    declare(folder, dtype)
    return folder


def declare(folder: Path, dtype: torch.dtype) -> None:
    """Write a dtype into a folder's config."""
    path = folder / "config.json"
    fields = json.loads(path.read_text()) | {"dtype": str(dtype).removeprefix("torch.")}
    path.write_text(json.dumps(fields), encoding="utf-8")


def refining(folder: Path) -> RefiningModel:
    """Return the model that dtype='auto' makes of a folder."""
    model = logpr.load(folder, dtype="auto")
    assert isinstance(model, RefiningModel)
    return model


def bits(model: Model) -> list[float]:
    """Return a model's answer to a random trie, nothing known from before."""
    assert isinstance(model, Reusing)
    with model.apart():
        found: list[float] = model.edges(PACK).logprob.tolist()
    return found


@pytest.mark.usefixtures("_gains")
class TestTwoPrecisions:
    """What the pair is made of."""

    def test_it_is_what_each_dtype_gives_by_itself(self, folder: Path) -> None:
        """Of a float32 checkpoint both are held: bits of bfloat16, and for the twin of float32."""
        model = refining(folder)
        assert bits(model) == bits(logpr.load(folder, dtype="bfloat16"))
        assert bits(model.refined) == bits(logpr.load(folder, dtype="float32"))

    def test_noise_is_their_largest_difference(self, folder: Path) -> None:
        """Rounded weights count too: the noise is against float32's own weights."""
        model = refining(folder)
        pack = probe_pack(model.vocab_size, model.context_length)
        away = largest_difference(model.edges(pack), model.refined.edges(pack))
        assert model.provenance.noise_precision == pytest.approx(away, rel=1e-6)
        assert away > 1e-4
        assert model.refined.provenance.noise_per_token < 1e-4

    def test_provenance_names_both(self, folder: Path) -> None:
        """The model runs in bfloat16 and refines in float32; the twin is float32 alone."""
        model = refining(folder)
        assert (model.provenance.dtype, model.provenance.refines) == ("bfloat16", "float32")
        twin = model.refined.provenance
        assert (twin.dtype, twin.refines) == ("float32", None)
        assert model.provenance.weights_digest == twin.weights_digest
        assert model.decision.ranks_in == "bfloat16"
        assert model.decision.tokens_per_second is not None

    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
    def test_low_weights_are_widened_where_they_lie(self, folder: Path, dtype: torch.dtype) -> None:
        """Of a low checkpoint the twin computes in float32 with the same bits, held once."""
        model = refining(store(folder, dtype))
        assert isinstance(model.refined, Widened)
        exact = logpr.load(folder, dtype="float32")
        assert bits(model.refined) == pytest.approx(bits(exact), abs=1e-5)
        assert bits(model) == bits(logpr.load(folder, dtype="bfloat16"))
        assert isinstance(exact, Predictive)
        prefixes = [[1, 5, 3], [2]]
        ours, own = (one.next_logits(prefixes).logprobs for one in (model.refined, exact))
        np.testing.assert_allclose(ours, own, rtol=0, atol=1e-5)
        # And the fast one is itself again after it.
        assert bits(model) == bits(logpr.load(folder, dtype="bfloat16"))
        assert model.refined.provenance.noise_per_token < 1e-4

    def test_a_config_that_declares_less_loses_no_digits(self, folder: Path) -> None:
        """Weights stored in float32 are float32 to the twin, though the config says bfloat16."""
        exact = bits(logpr.load(folder, dtype="float32"))
        declare(folder, torch.bfloat16)
        assert bits(refining(folder).refined) == exact

    def test_it_is_all_that_one_model_is(self, folder: Path) -> None:
        """The pair and its twin can do what the verbs may ask of a model."""
        model = refining(folder)
        for kind in (Model, Predictive, Reusing, Sized, Refining):
            assert isinstance(model, kind)
        assert not isinstance(model.refined, Refining)
        assert isinstance(refining(store(folder, torch.bfloat16)).refined, Predictive)

    @settings(max_examples=10, deadline=None)
    @given(st.integers(0, 2**32 - 1))
    def test_the_winner_is_float32s(self, seed: int) -> None:
        """Whatever the question: float32 throughout has the same winner, its score within noise."""
        rng = np.random.default_rng(seed)
        queries = [
            Query.of(
                prompt_ids=rng.integers(0, 11, 3).tolist(),
                candidate_ids=[rng.integers(0, 11, rng.integers(1, 6)).tolist() for _ in range(5)],
            )
            for _ in range(4)
        ]
        pair, exact = _pair()
        for ours, own in zip(
            logpr.rank_many(queries, model=pair), logpr.rank_many(queries, model=exact), strict=True
        ):
            assert ours.best == own.best
            assert ours.winner.logprob == pytest.approx(own.winner.logprob, abs=ours.winner.noise)


_PAIRS: list[tuple[RefiningModel, HFModel]] = []


def _pair() -> tuple[RefiningModel, HFModel]:
    """Return a pair made once, and float32 throughout."""
    if not _PAIRS:
        own = HFModel.from_modules(random_model("llama"))
        fast = HFModel.from_modules(random_model("llama", dtype=torch.bfloat16))
        noise, speeds = auto.compared(fast, own)
        rates = matmul_rates(random_model("llama"))
        decision = Decision("bfloat16", "for a test", rates, speeds)
        _PAIRS.append((RefiningModel(fast, own, noise=noise, decision=decision), own))
    return _PAIRS[0]


class TestFloat32Throughout:
    """Where bfloat16 gains little."""

    @pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
    def test_a_slow_matmul_settles_it(
        self, folder: Path, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The model is the one that dtype='float32' gives, and knows why."""
        store(folder, dtype)
        monkeypatch.setattr(auto, "LEAST_GAIN", INF)
        model = logpr.load(folder, dtype="auto")
        assert isinstance(model, HFModel)
        assert (model.provenance.dtype, model.provenance.refines) == ("float32", None)
        assert bits(model) == bits(logpr.load(folder, dtype="float32"))
        assert model.decision is not None
        assert model.decision.ranks_in == "float32"
        assert "a matmul is" in model.decision.reason

    @pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
    def test_a_slow_model_settles_it(
        self, folder: Path, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A fast matmul is not enough: in a small model other work may outweigh it."""
        store(folder, dtype)
        monkeypatch.setattr(auto, "matmul_rates", lambda _: rates_of(9.0))
        monkeypatch.setattr(auto, "compared", lambda *_: (0.1, (100.0, 120.0)))
        model = logpr.load(folder, dtype="auto")
        assert isinstance(model, HFModel)
        assert bits(model) == bits(logpr.load(folder, dtype="float32"))
        assert model.decision is not None
        assert "the whole model is 1.2 times" in model.decision.reason

    def test_a_given_dtype_is_nobodys_decision(self, folder: Path) -> None:
        """Only dtype='auto' decides."""
        model = logpr.load(folder, dtype="float32")
        assert isinstance(model, HFModel)
        assert model.decision is None

    def test_the_numpy_runtime_has_float32_alone(self) -> None:
        """For the built-in model `auto` is float32."""
        assert logpr.load("builtin", dtype="auto").provenance.dtype == "float32"


def rates_of(gain: float) -> Rates:
    """Return rates of which bfloat16's is so much larger."""
    return Rates((1024, 8, 8), 1e9, gain * 1e9)


def test_rates_are_of_the_largest_matmul_in_the_layers() -> None:
    """Neither embedding nor head counts: [1024, 32] × [32, 64] in a Llama of those widths."""
    rates = matmul_rates(random_model("llama"))
    assert sorted(rates.shape) == [32, 64, 1024]
    assert rates.gain == pytest.approx(rates.bfloat16 / rates.float32)


def test_stored_dtype_is_that_of_most_bytes(tmp_path: Path) -> None:
    """A float32 norm beside bfloat16 matrices is still a bfloat16 checkpoint."""
    wide, low = torch.ones(8), torch.ones(8, 8, dtype=torch.bfloat16)
    save_file({"norm": wide, "weight": low}, tmp_path / "mixed.safetensors")
    save_file({"norm": wide}, tmp_path / "wide.safetensors")
    assert not stored_in_float32([tmp_path / "mixed.safetensors"])
    assert stored_in_float32([tmp_path / "wide.safetensors"])
    assert not stored_in_float32([tmp_path / "weights.bin"])


needs_bfloat16 = pytest.mark.skipif(
    not head.fast_bfloat16(), reason="this CPU has no instructions that multiply bfloat16"
)


class TestHeadInBfloat16:
    """The product in two parts."""

    @needs_bfloat16
    @settings(max_examples=60)
    @given(
        st.integers(0, 2**32 - 1),
        st.tuples(st.integers(1, 40), st.integers(1, 300), st.integers(1, 70)),
        st.sampled_from((1, 7, 64, 2048)),
        st.sampled_from((1e-3, 1.0, 30.0)),
    )
    def test_two_parts_are_the_product(
        self, seed: int, shape: tuple[int, int, int], block: int, scale: float
    ) -> None:
        """|high + low − Σ w h| <= 2^-17 |Σ w h| + 2^-21 Σ |w h|: rounding, and float32's sums."""
        rows, width, vocab = shape
        rng = np.random.default_rng(seed)
        states = torch.from_numpy(rng.normal(size=(rows, width)) * scale).bfloat16()
        weight = torch.from_numpy(rng.normal(size=(vocab, width))).bfloat16()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(head, "_BLOCK", block)
            found = Head(weight).logits(states)
        assert found.dtype == torch.float32
        exact = states.double() @ weight.double().T
        size = states.double().abs() @ weight.double().abs().T
        assert bool(((found - exact).abs() <= exact.abs() * 2.0**-17 + size * 2.0**-21).all())

    @needs_bfloat16
    def test_scores_are_those_of_float32(self) -> None:
        """Log-probabilities are within 1e-4 nats of float32's; bfloat16 logits are far beyond."""
        generator = torch.Generator().manual_seed(0)
        weight = (torch.randn((5000, 96), generator=generator) / 5).bfloat16()
        bias = torch.randn(5000, generator=generator).bfloat16()
        rows = torch.randn((30, 96), generator=generator).bfloat16()
        states = States(rows, np.arange(30), np.arange(30))
        tokens = np.random.default_rng(0).integers(0, 5000, 30)
        tokens[::7] = END
        one = Head(weight, bias, Finish("softcap", 30.0))
        wide = Head(weight.float(), bias.float(), Finish("softcap", 30.0))
        ours = one.score(states, tokens, (3, 8), NO_EVIDENCE).logprob
        own = wide.score(states, tokens, (3, 8), NO_EVIDENCE).logprob
        np.testing.assert_allclose(ours, own, rtol=0, atol=1e-4)
        low = torch.nn.functional.linear(rows, weight, bias).float()
        plain = (30 * (low / 30).tanh()).log_softmax(1).numpy()
        token = np.flatnonzero(tokens != END)
        assert np.abs(plain[token, tokens[token]] - own[token]).max() > 2e-3

    @needs_bfloat16
    def test_what_is_no_number_is_said(self) -> None:
        """A state of nan or inf is an error, not a number that the second product makes up."""
        weight = torch.ones((9, 4), dtype=torch.bfloat16)
        for bad in (math.nan, INF):
            rows = torch.full((1, 4), bad, dtype=torch.bfloat16)
            states = States(rows, np.array([0]), np.array([0]))
            with pytest.raises(ModelOutputError):
                Head(weight).score(states, np.array([2]), (), NO_EVIDENCE)

    def test_float32_states_keep_their_digits(self) -> None:
        """A widened body over bfloat16 weights goes through the float32 product."""
        weight = torch.ones((3, 2), dtype=torch.bfloat16)
        rows = torch.tensor([[1.0, 2.0**-20]])
        assert Head(weight).logits(rows).tolist() == [[1.0 + 2.0**-20] * 3]
