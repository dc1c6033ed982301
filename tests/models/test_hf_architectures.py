"""Each architecture by the executor that its probe takes, held against its own forward pass."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import LlamaModel

from logpr.models.hf.model import HFModel
from logpr.tokens.pack import Pack
from logpr.tokens.trie import pack_of_sequences
from tests.models.hf_models import VOCAB, own_logits, own_logprobs, random_model

TAKEN = {
    "llama": "forest",
    "qwen2": "forest",
    "qwen3": "forest",
    "qwen3_moe": "forest",
    "mistral": "forest",
    "gemma2": "forest",
    "gemma3": "forest",
    "gpt_oss": "forest",
    "phi": "forest",
    "phi3": "forest",
    "olmo2": "forest",
    "smollm3": "forest",
    "stablelm": "forest",
    "gpt2": "forest",
    "gpt_neox": "forest",
    "opt": "forest",
    "cohere": "forest",
    "granite": "forest",
    "deepseek_v3": "forest",
    # These attend by their own code, and read a mask.
    "gptj": "mask",
    "codegen": "mask",
    "xglm": "mask",
    "falcon_rotary": "mask",
    "falcon_new": "mask",
    # These count positions by themselves, or carry a state from token to token.
    "falcon_alibi": "cache",
    "bloom": "cache",
    "mpt": "cache",
    "gpt_neo": "cache",
    "qwen3_next": "cache",
    "jamba": "cache",
    "falcon_h1": "cache",
    "lfm2": "cache",
    "mamba": "cache",
    "mamba2": "cache",
    "rwkv": "cache",
    # It keeps nothing of what it has read.
    "openai_gpt": "plain",
}


def candidates() -> tuple[Pack, list[tuple[int, ...]]]:
    """Return candidates of ten tokens that share none, some or most of them, and their edges."""
    rng = np.random.default_rng(7)
    header = rng.integers(0, VOCAB, 24).tolist()
    prompts = [header, header[:9], [*header, *rng.integers(0, VOCAB, 7).tolist()], [5]]
    stem = rng.integers(0, VOCAB, 8).tolist()
    contexts = [prompt for prompt in prompts for _ in range(4)]
    continuations = [
        stem[:shared] + rng.integers(0, VOCAB, 10 - shared).tolist()
        for _ in prompts
        for shared in (0, 3, 8, 8)
    ]
    return pack_of_sequences(contexts, continuations)


@pytest.mark.parametrize(("family", "executor"), list(TAKEN.items()))
def test_each_architecture_gives_its_own_scores(family: str, executor: str) -> None:
    """In float32 each candidate is within 1e-4 nats of the model's own forward pass over it."""
    model = random_model(family)
    found = HFModel.from_modules(model)
    pack, edges = candidates()
    ours, own = found.edges(pack).logprob, own_logprobs(model, pack)
    assert found.provenance.executor == executor
    for one in edges:
        assert ours[list(one)].sum() == pytest.approx(own[list(one)].sum(), abs=1e-4)


def test_phi3_with_angles_for_long_texts() -> None:
    """LongRoPE beyond its original length: a token's score is that of the text that ends there."""
    rope = {"rope_type": "longrope", "rope_theta": 10000.0}
    rope |= {"short_factor": [1.0] * 4, "long_factor": [3.0] * 4}
    model = random_model(
        "phi3", rope_parameters=rope, original_max_position_embeddings=16, dtype=torch.float64
    )
    found = HFModel.from_modules(model)
    ids = np.random.default_rng(2).integers(0, VOCAB, 30).tolist()
    pack, (edges, _) = pack_of_sequences([ids[:8]] * 2, [ids[8:], ids[8:12]])
    ours = found.edges(pack).logprob
    for place, edge in enumerate(edges, start=8):
        row = torch.from_numpy(own_logits(model, ids[:place])[-1])
        assert ours[edge] == pytest.approx(float(row.log_softmax(0)[ids[place]]), abs=1e-9)
    assert "longer than 15 runs plain" in found.probe_report[0].reason


def test_a_model_that_hears_nothing_runs_plain_and_says_why(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A network that silently ignores positions, masks and caches runs sequence by sequence.

    Each refusal gives its error; the scores are the model's own.
    """
    right = LlamaModel.forward

    def deaf(
        self: LlamaModel,
        input_ids: torch.Tensor,
        attention_mask: object = None,
        position_ids: object = None,
        past_key_values: object = None,
        **others: object,
    ) -> object:
        del attention_mask, position_ids, past_key_values
        return right(self, input_ids=input_ids, **others)

    monkeypatch.setattr(LlamaModel, "forward", deaf)
    model = random_model("llama")
    found = HFModel.from_modules(model)
    pack, _ = candidates()
    assert found.provenance.executor == "plain"
    assert [one.accepted for one in found.probe_report] == [False, False, False, True]
    for one in found.probe_report[:3]:
        assert "nats a token from the plain path, more than" in one.reason
        assert one.largest_difference is not None
        assert one.largest_difference > 1e-2
    np.testing.assert_allclose(
        found.edges(pack).logprob, own_logprobs(model, pack), rtol=0, atol=1e-5
    )
