"""The probe: an executor that is wrong is not taken, however well it hides."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertLMHeadModel, LlamaConfig, LlamaForCausalLM

from logpr.errors import ModelLoadError, ModelOutputError, UnknownNameError
from logpr.models.hf import attention, forest, mask, packed
from logpr.models.hf.model import HFModel
from logpr.models.hf.plan import Plan
from logpr.models.hf.shrunk import Threshold, thresholds
from logpr.tokens.pack import Pack
from logpr.tokens.trie import pack_of_sequences
from tests.models.hf_models import VOCAB, own_logprobs, random_model


def verdicts(model: HFModel) -> dict[str, bool]:
    """Return which executors the probe accepted."""
    return {one.executor: one.accepted for one in model.probe_report}


def test_the_report_names_every_executor() -> None:
    """Each executor has a line with a verdict and a reason, the taken ones a speed and an error."""
    report = HFModel.from_modules(random_model("gptj")).probe_report
    assert [one.executor for one in report] == ["forest", "mask", "cache", "plain"]
    assert [one.accepted for one in report] == [False, True, False, True]
    assert "AttentionInterface" in report[0].reason
    assert report[1].tokens_per_second is not None
    assert report[1].largest_difference is not None
    assert 0 < report[1].largest_difference < 1e-4


def test_executors_after_the_one_taken_are_not_tried() -> None:
    """The order is fixed, and the words claim no comparison of speeds."""
    report = HFModel.from_modules(random_model("llama")).probe_report
    assert [one.reason for one in report[1:3]] == [
        "not tried: forest, before it in order, is right"
    ] * 2


def test_attention_that_forgets_its_ancestors_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    """A forest of runs that see only themselves is not taken; the mask is."""
    right = forest.plan_of

    def alone(pack: Pack, device: torch.device, **options: object) -> Plan:
        whole = right(pack, device, **options)
        parts = whole.parts()
        bushes = tuple(
            replace(one, seen=torch.eye(one.seen.shape[1], dtype=torch.bool).expand_as(one.seen))
            for one in parts.bushes
        )
        return replace(whole, parts=lambda: replace(parts, above=(), bushes=bushes))

    monkeypatch.setattr(forest, "plan_of", alone)
    model = HFModel.from_modules(random_model("llama"))
    assert model.provenance.executor == "mask"
    assert "from the plain path" in model.probe_report[0].reason


def test_a_mask_that_lets_siblings_through_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    """A merely causal mask over the packed row is not taken: the model goes on from caches."""

    def causal(pack: packed.Pack) -> np.ndarray:
        return np.tril(np.ones((len(pack), len(pack)), dtype=np.bool_))

    monkeypatch.setattr(mask, "seen", causal)
    model = HFModel.from_modules(random_model("gptj"))
    assert model.provenance.executor == "cache"
    assert verdicts(model) == {"forest": False, "mask": False, "cache": True, "plain": True}


def test_attention_that_is_never_called_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    """Layers that attend by their own code are noticed by the calls that do not come."""
    monkeypatch.setattr(forest, "attention", lambda _model, _name: nullcontext())
    model = HFModel.from_modules(random_model("llama"))
    assert "called 0 times in 2 layers" in model.probe_report[0].reason
    assert model.provenance.executor == "mask"


def test_a_model_that_ignores_its_context_convinces_nobody() -> None:
    """Where one token of context changes nothing, agreement proves nothing, and `plain` is used."""
    model = random_model("llama")
    with torch.no_grad():
        for layer in model.model.layers:
            layer.self_attn.o_proj.weight.zero_()
    assert HFModel.from_modules(model).provenance.executor == "plain"


def long_pack(length: int) -> tuple[packed.Pack, list[tuple[int, ...]]]:
    """Return two candidates behind a prompt of this many tokens."""
    rng = np.random.default_rng(3)
    prompt = rng.integers(0, VOCAB, length).tolist()
    return pack_of_sequences([prompt] * 2, [rng.integers(0, VOCAB, 6).tolist() for _ in range(2)])


def test_a_window_out_of_the_probes_sight_is_kept() -> None:
    """A window of 64 tokens, longer than any path of the probe, holds at 90."""
    model = random_model("mistral", dtype=torch.float64, sliding_window=64)
    found = HFModel.from_modules(model)
    pack, _ = long_pack(90)
    assert found.provenance.executor == "forest"
    assert "also beyond sliding_window=64" in found.probe_report[0].reason
    np.testing.assert_allclose(
        found.edges(pack).logprob, own_logprobs(model, pack), rtol=0, atol=1e-9
    )


@pytest.mark.parametrize("family", ["mistral", "gpt_oss"])
def test_a_window_that_is_ignored_is_found_out(
    monkeypatch: pytest.MonkeyPatch, family: str
) -> None:
    """Attention that ignores windows agrees on the probe, fails on the small copy, and stays below.

    Longer pieces then run plain, so the scores are right all the same.
    """
    for name in ("_within", "_from_below"):
        monkeypatch.setattr(attention, name, lambda *_: None)
    model = random_model(family, sliding_window=64)
    found = HFModel.from_modules(model)
    pack, _ = long_pack(90)
    assert found.provenance.executor == "forest"
    assert "sliding_window=64 runs plain" in found.probe_report[0].reason
    np.testing.assert_allclose(
        found.edges(pack).logprob, own_logprobs(model, pack), rtol=0, atol=1e-5
    )


def test_thresholds_are_found_by_name() -> None:
    """Windows and chunks that are set count; sizes of code blocks and unset windows do not."""
    config = random_model("mistral", sliding_window=64).config
    assert thresholds(config) == (Threshold("sliding_window", 64),)
    assert thresholds(random_model("qwen3").config) == ()


def test_a_forced_executor_that_is_wrong_is_an_error() -> None:
    """`executor=` forces; one that the probe finds wrong fails with the reason, `plain` never."""
    with pytest.raises(
        ModelLoadError, match=r"executor='forest' is not right for Bloom.*position ids"
    ):
        HFModel.from_modules(random_model("bloom"), executor="forest")
    with pytest.raises(UnknownNameError, match=r"there are forest, mask, cache, plain"):
        HFModel.from_modules(random_model("bloom"), executor="woods")
    plain = HFModel.from_modules(random_model("llama"), executor="plain")
    assert plain.provenance.executor == "plain"
    assert plain.provenance.noise_packing == 0.0


def test_a_bidirectional_model_is_refused() -> None:
    """A model whose rows change with later tokens gives no log Pr(y | x)."""
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
    config = BertConfig(vocab_size=VOCAB, num_attention_heads=4, **sizes)
    with pytest.raises(ModelLoadError, match="not a causal language model"):
        HFModel.from_modules(BertLMHeadModel(config))


class Twisted(LlamaForCausalLM):
    """A Llama that does something to its logits that no config declares."""

    def forward(self, *args: object, **kwargs: object) -> object:
        """Return logits that are bent after the last layer."""
        out = super().forward(*args, **kwargs)
        out.logits = 3.0 * torch.tanh(out.logits / 2.0)
        return out


def test_logits_bent_after_the_head_are_the_models_own() -> None:
    """A model whose last layer is not its last word is called whole, and packed all the same."""
    config = LlamaConfig(**random_model("llama").config.to_dict())
    model = Twisted(config).double().eval()
    model.load_state_dict(random_model("llama", dtype=torch.float64).state_dict())
    found = HFModel.from_modules(model)
    pack, _ = long_pack(20)
    assert found.provenance.executor == "forest"
    np.testing.assert_allclose(
        found.edges(pack).logprob, own_logprobs(model, pack), rtol=0, atol=1e-9
    )


def test_no_plan_outlives_its_run() -> None:
    """After a packed run the model attends as before it, and the function refuses a call."""
    model = random_model("llama")
    ids = torch.tensor([[1, 2, 3]])
    with torch.inference_mode():
        before = model(ids).logits
        HFModel.from_modules(model).edges(long_pack(20)[0])
        assert torch.equal(model(ids).logits, before)
    rows = torch.zeros(1, 2, 3, 4)
    with pytest.raises(ModelOutputError, match="outside a packed run"):
        attention.forest_attention(torch.nn.Identity(), rows, rows, rows, None)


def test_a_keyword_that_is_not_implemented_is_refused() -> None:
    """At every call, not only at the probe, an unknown keyword that is set stops the run."""
    pack, _ = long_pack(3)
    rows = torch.zeros(1, 2, len(pack), 4)
    with attention.planned(forest.plan_of(pack, rows.device)) as meter:
        module = torch.nn.Identity()
        with pytest.raises(
            ModelOutputError, match=r"implement position_bias: use executor='plain'"
        ):
            attention.forest_attention(module, rows, rows, rows, None, position_bias=rows)
        with pytest.raises(ModelOutputError, match="attention_mask"):
            attention.forest_attention(module, rows, rows, rows, rows)
        with pytest.raises(ModelOutputError, match="a cache of keys"):
            attention.forest_attention(module, rows[:, :, :1], rows, rows, None)
        attention.forest_attention(module, rows, rows, rows, None, position_bias=None)
        assert meter.calls == 1


def test_a_model_that_rolls_dice_is_refused() -> None:
    """No executor can be right for it; the error says by how much two runs differ."""
    model = random_model("llama")
    model.model.norm.register_forward_hook(lambda _, __, out: out + 0.01 * torch.randn_like(out))
    with pytest.raises(ModelLoadError, match=r"each time \(by 0\.0.* of their size"):
        HFModel.from_modules(model)
