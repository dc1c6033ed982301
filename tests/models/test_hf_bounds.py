"""What bounds a run, and what happens where memory runs out or an interrupt comes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from logpr.errors import ModelOutputError, QueryError, TokenizationError
from logpr.models.base import NO_EVIDENCE
from logpr.models.hf import products
from logpr.models.hf.cached import Cached
from logpr.models.hf.encdec import HFEncoderDecoder
from logpr.models.hf.forest import Forest
from logpr.models.hf.memory import out_of_memory
from logpr.models.hf.model import HFModel
from logpr.models.hf.packed import Packed
from logpr.models.hf.pieces import States, enough
from logpr.models.hf.plain import Plain
from logpr.models.hf.precision import widened
from logpr.models.hf.scoring import score_pack
from logpr.models.hf.verify import find_head
from logpr.tokens.pack import Pack
from logpr.tokens.trie import pack_of_sequences
from tests.models.encdec_models import random_encdec
from tests.models.hf_models import own_logprobs, random_model


def some_pack() -> Pack:
    """Return a pack of some sixty tokens with branches."""
    prompts = [list(range(3, 23)), list(range(3, 13)), list(range(40, 50))]
    return pack_of_sequences(prompts, [[5] * 12, [6] * 12, [7] * 12])[0]


@pytest.mark.parametrize("family", ["bloom", "gptj", "llama"])
def test_pack_tokens_bounds_what_is_fed_at_once(family: str) -> None:
    """Whatever the executor; the numbers stay."""
    model = random_model(family)
    found = HFModel.from_modules(model, pack_tokens=40)
    fed: list[int] = []
    model.get_input_embeddings().register_forward_pre_hook(lambda _, x: fed.append(x[0].numel()))
    scores = found.edges(some_pack()).logprob
    assert max(fed) <= 40
    np.testing.assert_allclose(scores, own_logprobs(model, some_pack()), rtol=0, atol=1e-4)


def test_bounds_within_which_nothing_can_run_are_refused() -> None:
    """As by `logpr.load`."""
    with pytest.raises(QueryError, match="pack_tokens is at least 1, found 0"):
        HFModel.from_modules(random_model("llama"), pack_tokens=0)


def test_an_id_that_has_no_embedding_is_an_error() -> None:
    """Not torch's own."""
    found = HFModel.from_modules(random_model("llama"))
    pack, _ = pack_of_sequences([[5, 200]], [[1]])
    with pytest.raises(TokenizationError, match=r"token id 200 cannot be fed: .* 97 ids"):
        found.edges(pack)


class TestALackOfMemory:
    """Halved where it can be; named where it cannot."""

    def test_a_piece_is_cut_in_two(self) -> None:
        """Until it fits; whole paths stay whole."""
        model = random_model("llama")
        trunk, head, _ = find_head(model, context_length=96)
        ran: list[int] = []

        def run(pack: Pack) -> torch.Tensor:
            if len(pack) > 40:
                raise torch.OutOfMemoryError
            ran.append(len(pack))
            return Forest(trunk, layers=2)(pack)

        executor = Packed("mask", run, Plain(trunk), budget=1000)
        scores = score_pack(executor, head, some_pack(), NO_EVIDENCE).logprob
        np.testing.assert_allclose(scores, own_logprobs(model, some_pack()), rtol=0, atol=1e-5)
        assert len(ran) > 1

    def test_what_cannot_be_cut_is_named(self) -> None:
        """A raw error of torch says nothing of what to do."""

        class Lacking:
            name = "plain"

            def states(self, _pack: Pack) -> object:
                msg = "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"
                raise RuntimeError(msg)

        head = find_head(random_model("llama"), context_length=96)[1]
        with pytest.raises(ModelOutputError, match=r"memory ran out: .* pack_tokens"):
            score_pack(Lacking(), head, some_pack(), NO_EVIDENCE)
        assert not out_of_memory(RuntimeError("something else"))


def test_states_that_are_whole_logits_do_not_wait_for_many() -> None:
    """A thousand rows of a large vocabulary are gigabytes."""
    narrow, wide = (
        States(torch.empty(1, width).expand(20, -1), np.arange(20), np.arange(20))
        for width in (768, 2**20)
    )
    assert not enough([narrow], 1024)
    assert enough([narrow] * 52, 1024)
    assert enough([wide], 1024)


def test_an_interrupt_leaves_the_weights_as_they_were() -> None:
    """torch calls no hook after it."""
    model = random_model("llama").bfloat16()
    before = {name: weight.clone() for name, weight in model.state_dict().items()}

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    handle = model.model.layers[1].mlp.register_forward_hook(interrupted)
    with pytest.raises(KeyboardInterrupt), widened(model):
        model(torch.tensor([[1, 2, 3]]))
    handle.remove()
    for name, weight in model.state_dict().items():
        assert weight.dtype == torch.bfloat16
        assert torch.equal(weight, before[name])


def test_an_encoder_decoder_model_runs_as_it_was_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the same shorter ways through its layers."""
    if not products._is_right():
        pytest.skip("this torch has no product by oneDNN")
    monkeypatch.setattr(products, "_is_faster", lambda: True)
    found = HFEncoderDecoder.from_modules(random_encdec("t5"))
    assert found._executor.name == "cache"
    assert found._executor.trunk.shorter


def test_a_cache_is_bounded_by_kv_bytes() -> None:
    """In place of the default."""
    found = HFModel.from_modules(random_model("bloom"), kv_bytes=12_345, pack_tokens=77)
    assert isinstance(found._executor, Cached)
    assert (found._executor.room, found._executor.tokens) == (12_345, 77)
