"""Shorter ways through single layers: where they are taken, and that they are the same function."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from torch import nn
from transformers.activations import NewGELUActivation
from transformers.pytorch_utils import Conv1D

from logpr.models.hf import fused
from logpr.models.hf.fused import running, shorter_forwards
from tests.models.hf_models import own_logits, random_model

IDS = np.random.default_rng(0).integers(0, 97, 40).tolist()


@pytest.mark.parametrize(
    ("family", "found"),
    [
        ("llama", {"LlamaRMSNorm": 5, "LlamaMLP": 2, "LlamaAttention": 2}),
        ("gpt2", {"NewGELUActivation": 2}),
        ("gpt_neox", {"GPTNeoXAttention": 2}),
        # Its norms multiply by 1 + w, and its layers have another activation.
        ("gemma2", {"Gemma2Attention": 2}),
        # Its rotary angles turn neighbours; it has norms that take a mean off.
        ("cohere", {"CohereMLP": 2}),
    ],
)
def test_a_shorter_way_gives_the_same_logits(family: str, found: dict[str, int]) -> None:
    """Each kind of layer that is replaced, in a whole model, against the model's own code."""
    model = random_model(family)
    forwards = shorter_forwards(model)
    products = (nn.Linear, Conv1D)  # on some processors: see `products`
    names = [type(one).__name__ for one, _ in forwards if not isinstance(one, products)]
    assert Counter(names) == found
    own = own_logits(model, IDS)
    with running(forwards):
        ours = own_logits(model, IDS)
    np.testing.assert_allclose(ours, own, rtol=0, atol=2e-5 * np.abs(own).max())
    assert not any("forward" in vars(module) for module in model.modules())
    np.testing.assert_array_equal(own_logits(model, IDS), own)


def test_lower_dtypes_keep_their_own_norms() -> None:
    """They round where their authors let them round."""
    kinds = {type(module) for module, _ in shorter_forwards(random_model("llama").bfloat16())}
    assert kinds == set()


def test_a_low_dtype_keeps_its_own_activation() -> None:
    """The kernel rounds once where the function spelt out rounds at every step."""
    assert shorter_forwards(random_model("gpt2").bfloat16()) == ()


def test_a_forward_that_a_caller_has_put_there_stays() -> None:
    """It is run, and it is there afterwards."""
    model = random_model("llama")
    layer = model.model.layers[0].self_attn
    own = layer.forward
    calls: list[int] = []

    def patched(*given: object, **options: object) -> object:
        calls.append(1)
        return own(*given, **options)

    layer.forward = patched
    with running(shorter_forwards(model)):
        own_logits(model, IDS)
    assert calls == [1]
    assert layer.forward is patched


def test_a_layer_that_computes_something_else_is_left_alone() -> None:
    """The name of a layer and of its parts is no proof: a random input is."""

    class OddRMSNorm(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.rand(8))
            self.eps = 1e-6

        def forward(self, given: torch.Tensor) -> torch.Tensor:
            return given * given.pow(2).mean(-1, keepdim=True).add(0.1).rsqrt() * self.weight

    class OddMLP(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gate_proj, self.up_proj = nn.Linear(8, 9), nn.Linear(8, 9)
            self.down_proj = nn.Linear(9, 8)

        def forward(self, given: torch.Tensor) -> torch.Tensor:
            inner = nn.functional.gelu(self.gate_proj(given)) * self.up_proj(given)
            return self.down_proj(inner)  # type: ignore[no-any-return]

    class OddLinear(nn.Linear):
        def forward(self, given: torch.Tensor) -> torch.Tensor:
            return 2 * super().forward(given)

    odd = nn.Sequential(OddRMSNorm(), OddMLP(), OddLinear(8, 9))
    changed = [type(module) for module, _ in shorter_forwards(odd)]
    assert not {OddRMSNorm, OddMLP, OddLinear} & set(changed)


def test_the_kernel_of_gelu_is_the_function_spelt_out() -> None:
    """Over the range where it bends, and far out."""
    points = torch.linspace(-12, 12, 2001, dtype=torch.float64)
    own = NewGELUActivation()(points)
    torch.testing.assert_close(fused._gelu_tanh(points), own, rtol=0, atol=1e-14)
