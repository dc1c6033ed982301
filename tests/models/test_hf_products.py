"""Products by either library: the same numbers, and which library where."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from transformers.pytorch_utils import Conv1D

from logpr.models.hf import products
from logpr.models.hf.fused import running, shorter_forwards
from logpr.models.hf.model import HFModel
from logpr.tokens.trie import pack_of_sequences
from tests.models.hf_models import own_logits, own_logprobs, random_model

SIZES = st.integers(1, 70)


@pytest.fixture
def onednn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take oneDNN whatever the processor."""
    if not products._is_right():
        pytest.skip("this torch has no product by oneDNN")
    monkeypatch.setattr(products, "_is_faster", lambda: True)


def drawn(*shape: int) -> torch.Tensor:
    """Return random numbers, the same for one shape."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


@pytest.mark.usefixtures("onednn")
def test_products_are_those_of_float64() -> None:
    """Rows of any number and form, weights that lie either way, with bias and without."""

    @given(
        count=st.integers(0, 300),
        inner=SIZES,
        outer=SIZES,
        by_row=st.booleans(),
        biased=st.booleans(),
        scattered=st.booleans(),
    )
    def same(
        *, count: int, inner: int, outer: int, by_row: bool, biased: bool, scattered: bool
    ) -> None:
        weight = drawn(inner, outer).T if by_row else drawn(outer, inner)
        rows = drawn(1, inner, count).transpose(1, 2) if scattered else drawn(1, count, inner)
        bias = drawn(outer) if biased else None
        with torch.inference_mode():
            ours = products.linear(rows, weight, bias)
            wide = None if bias is None else bias.double()
            true = nn.functional.linear(rows.double(), weight.double(), wide)
        assert ours.dtype == torch.float32
        torch.testing.assert_close(ours.double(), true, rtol=0, atol=2e-5)

    same()


@pytest.mark.usefixtures("onednn")
def test_other_weights_go_by_the_usual_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other dtypes, and matrices that are views of every second column."""

    def refused(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(products, "_by_onednn", refused)
    for weight in (drawn(5, 8).double(), drawn(5, 8).bfloat16(), drawn(5, 16)[:, ::2]):
        products.linear(torch.ones(3, 8, dtype=weight.dtype), weight)
    with pytest.raises(AssertionError):
        products.linear(torch.ones(3, 8), drawn(5, 8))


@pytest.mark.usefixtures("onednn")
@pytest.mark.parametrize(
    ("family", "kind", "count"), [("llama", nn.Linear, 15), ("gpt2", Conv1D, 8)]
)
def test_a_model_runs_by_them(family: str, kind: type[nn.Module], count: int) -> None:
    """All linear layers, those of GPT-2 too, and the model's own come back."""
    model = random_model(family)
    ids = np.random.default_rng(0).integers(0, 97, 40).tolist()
    forwards = tuple(one for one in shorter_forwards(model) if isinstance(one[0], kind))
    assert len(forwards) == count
    own = own_logits(model, ids)
    with running(forwards):
        ours = own_logits(model, ids)
    np.testing.assert_allclose(ours, own, rtol=0, atol=1e-5 * np.abs(own).max())
    np.testing.assert_array_equal(own_logits(model, ids), own)


def test_a_layer_keeps_its_hooks_and_new_weights() -> None:
    """What a caller hangs on a layer is called, and weights that are put in later are used."""
    layer = nn.Linear(8, 5)
    seen: list[int] = []
    layer.register_forward_hook(lambda *_: seen.append(1))
    forwards = shorter_forwards(nn.Sequential(layer))
    seen.clear()
    layer.weight = nn.Parameter(drawn(5, 8))
    with running(forwards), torch.inference_mode():
        ours = layer(drawn(3, 8))
    assert seen == [1]
    true = nn.functional.linear(drawn(3, 8), drawn(5, 8), layer.bias)
    torch.testing.assert_close(ours, true)


@pytest.mark.parametrize(
    ("has", "wider"),
    [
        ({"avx512_f": True, "cpu_name": "AMD EPYC"}, True),
        ({"avx512_f": True, "cpu_name": "Intel(R) Xeon(R)"}, False),
        ({"avx512_f": False, "cpu_name": "AMD EPYC"}, False),
        ({"avx512_f": True}, False),
        ({}, False),
    ],
)
def test_the_processor_decides(has: dict[str, object], *, wider: bool) -> None:
    """MKL uses AVX-512 on Intel's processors; one that says nothing keeps the usual library."""
    assert products._is_wider(has) is wider


def test_a_torch_without_it_goes_the_usual_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """The operator is not public: it may be gone, take other arguments, or compute otherwise."""
    for failing in (AttributeError, TypeError, RuntimeError):

        def gone(*_: object, error: type[Exception] = failing) -> torch.Tensor:
            raise error

        monkeypatch.setattr(products, "_by_onednn", gone)
        assert not products._is_right()
    monkeypatch.setattr(
        products,
        "_by_onednn",
        lambda rows, weight, bias: 2 * nn.functional.linear(rows, weight, bias),
    )
    assert not products._is_right()


@pytest.mark.usefixtures("onednn")
def test_few_shapes_are_met(monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls of any length give the model's numbers in products of few numbers of rows."""
    model = random_model("llama")
    found = HFModel.from_modules(model)
    own = products._by_onednn
    sizes: set[int] = set()

    def counted(rows: torch.Tensor, *given: object) -> torch.Tensor:
        sizes.add(rows.numel() // rows.shape[-1])
        return own(rows, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(products, "_by_onednn", counted)
    draw = np.random.default_rng(0)
    for length in range(2, 60):
        prompt = draw.integers(0, 97, length).tolist()
        pack, _ = pack_of_sequences([prompt, prompt[:1]], [[1, 2, 3], [4]])
        scores = found.edges(pack).logprob
        np.testing.assert_allclose(scores, own_logprobs(model, pack), rtol=0, atol=1e-5)
    assert sizes == {32, 64}
