"""What depends on the device: of CUDA what a CPU can show."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from logpr.models.base import NO_EVIDENCE
from logpr.models.hf import devices, flex, head
from logpr.models.hf.devices import budgets, exact_float32, matmul_rate, within
from logpr.models.hf.forest import Forest
from logpr.models.hf.head import Head
from logpr.models.hf.pieces import States
from logpr.models.hf.scoring import score_pack
from logpr.models.hf.spans import BUDGET, KEPT_BYTES, Spanned
from logpr.models.hf.verify import find_head
from logpr.tokens.trie import pack_of_sequences
from tests.models.hf_models import own_logprobs, random_model


class TestBudgets:
    """How much goes through a model at once."""

    def test_on_a_cpu_they_are_fixed(self) -> None:
        """As the executor has them."""
        trunk, _, _ = find_head(random_model("llama"), context_length=96)
        assert budgets(trunk) == devices.Budgets(BUDGET, KEPT_BYTES)

    @pytest.mark.parametrize(
        ("room", "row_bytes", "rows"),
        [
            (2**34, 2**18, 8192),  # never more
            (2**30, 2**18, 4096),
            (2**30 - 1, 2**18, 2048),
            (2**20, 2**18, 1024),  # never fewer: a lack of memory halves them when it shows
            (0, 2**18, 1024),
        ],
    )
    def test_with_memory_of_its_own_they_fit_in(self, room: int, row_bytes: int, rows: int) -> None:
        """Rows are a power of two that fits, 1,024 to 8,192; what is held is the other share."""
        assert within(room, row_bytes) == devices.Budgets(rows, max(room, 1))

    def test_a_row_needs_what_its_widest_layer_holds(self) -> None:
        """At least queries, keys, values and the inner layer; more with more experts in use."""
        llama, _, _ = find_head(random_model("llama"), context_length=96)
        assert devices._row_bytes(llama) == (8 * 32 + 3 * 64) * 4
        experts, _, _ = find_head(random_model("qwen3_moe"), context_length=96)
        assert devices._row_bytes(experts) == (8 * 32 + 3 * 2 * 64) * 4


class TestExactFloat32:
    """float32 is multiplied in float32, and what the process has chosen comes back."""

    @pytest.fixture(autouse=True)
    def _as_before(self) -> Iterator[None]:
        before = torch.get_float32_matmul_precision()
        yield
        torch.backends.cuda.matmul.fp32_precision = "none"
        torch.backends.mkldnn.matmul.fp32_precision = "none"
        torch.backends.fp32_precision = "none"
        torch.set_float32_matmul_precision(before)

    @pytest.mark.parametrize("chosen", ["highest", "high", "medium"])
    def test_by_the_older_switch(self, chosen: str) -> None:
        """Inside nothing is rounded, after an error too."""
        torch.set_float32_matmul_precision(chosen)

        @exact_float32()
        def inside() -> None:
            assert torch.get_float32_matmul_precision() == "highest"
            assert not torch.backends.cuda.matmul.allow_tf32
            message = "from inside"
            raise ValueError(message)

        with pytest.raises(ValueError, match="from inside"):
            inside()
        assert torch.get_float32_matmul_precision() == chosen

    def test_by_the_switch_of_one_library(self) -> None:
        """With the newer switches the older one does not answer: those are set instead."""
        torch.backends.cuda.matmul.fp32_precision = "tf32"
        with pytest.raises(RuntimeError):
            torch.get_float32_matmul_precision()
        with exact_float32():
            assert torch.backends.cuda.matmul.fp32_precision == "ieee"
            assert torch.backends.mkldnn.matmul.fp32_precision == "ieee"
        assert torch.backends.cuda.matmul.fp32_precision == "tf32"

    def test_scores_are_computed_so(self) -> None:
        """The layers and the head see the exact setting, the caller has its own again."""
        torch.set_float32_matmul_precision("high")
        model = random_model("llama")
        trunk, own_head, _ = find_head(model, context_length=96)
        seen: list[str] = []
        handle = model.base_model.register_forward_hook(
            lambda *_: seen.append(torch.get_float32_matmul_precision())
        )
        pack, _ = pack_of_sequences([[3, 4]], [[5]])
        score_pack(Spanned(Forest(trunk, layers=2)), own_head, pack, NO_EVIDENCE)
        handle.remove()
        assert seen == ["highest"]
        assert torch.get_float32_matmul_precision() == "high"


def test_the_rate_of_a_matmul_counts_all_its_products(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two FLOPs for each of side³ products."""
    monkeypatch.setattr(devices, "SIDE", 8)
    monkeypatch.setattr("logpr.models._speed.best_seconds", lambda _work: 0.5)
    assert matmul_rate(torch.float32, torch.device("cpu")) == 2 * 8**3 / 0.5


class _Waits(TorchDispatchMode):
    """Notes operations for whose answer the host waits."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def __torch_dispatch__(
        self,
        func: Callable[..., object],
        types: object,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> object:
        name = str(func)
        if any(word in name for word in ("_local_scalar", "nonzero", "aten.equal", "masked_sel")):
            self.seen.append(name)
        return func(*args, **(kwargs or {}))


@contextmanager
def by_blocks() -> Iterator[None]:
    """Let attention go by blocks, and their kernel do nothing."""

    def nothing(
        query: torch.Tensor, _key: object, value: torch.Tensor, _mask: object, _rules: object
    ) -> tuple[torch.Tensor, torch.Tensor]:
        return query.new_zeros((*query.shape[:3], value.shape[3])), query.new_zeros(query.shape[:3])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(flex, "takes", lambda _query, _value: True)
        patch.setattr(flex, "_run", nothing)
        yield


@pytest.mark.parametrize("family", ["llama", "gemma2", "mistral", "qwen3", "gpt_oss"])
def test_a_pass_never_waits_for_the_device(family: str) -> None:
    """No value of a tensor decides what is done next, from the ids to the states."""
    trunk, _, _ = find_head(random_model(family), context_length=96)
    pack, _ = pack_of_sequences([[3] * 20, [3] * 9 + [4]], [[5, 6], [7]])
    run = Forest(trunk, layers=2)
    with by_blocks(), _Waits() as waits:
        run.run(pack, everything=True)
        assert waits.seen == []
        assert torch.ones(1).sum().item() == 1
    assert waits.seen == ["aten._local_scalar_dense.default"]


def test_a_chunk_of_the_head_waits_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many blocks of outcomes it has."""
    copies: list[int] = []
    right = head._float64

    def noted(values: torch.Tensor) -> np.ndarray:
        copies.append(len(values))
        return right(values)

    monkeypatch.setattr(head, "_float64", noted)
    monkeypatch.setattr(head, "_BLOCK", 4)
    weight = torch.randn(23, 5, generator=torch.Generator().manual_seed(0))
    states = States(torch.ones(3, 5), np.arange(4), np.array([0, 0, 1, 2]))
    Head(weight).score(states, np.array([3, 22, 0, 7]), (), NO_EVIDENCE)
    assert copies == [2 * 6 * 3 + 4]


class TestStraight:
    """On CUDA the products of low dtypes come out in float32."""

    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
    def test_blocks_are_float32(self, monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype) -> None:
        """By one product of the low dtype a block, without widening the weights."""
        monkeypatch.setattr(head, "_WIDE_BLOCK", 8)
        rows = torch.empty(3, 5, dtype=dtype, device="meta")
        weight = torch.empty(20, 5, dtype=dtype, device="meta")
        monkeypatch.setattr(head, "_multiplies_straight", lambda _rows, _weight: True)
        found = [(start, block.shape, block.dtype) for start, block in Head(weight).blocks(rows)]
        assert found == [
            (0, (3, 8), torch.float32),
            (8, (3, 8), torch.float32),
            (16, (3, 4), torch.float32),
        ]

    def test_of_low_dtypes_on_cuda_only(self) -> None:
        """Not where the states are float32, nor on a CPU: there weights are widened."""
        with torch._subclasses.FakeTensorMode():
            weight = torch.empty(20, 5, dtype=torch.bfloat16, device="cuda")
            assert head._multiplies_straight(weight, weight)
            assert not head._multiplies_straight(torch.empty(3, 5, device="cuda"), weight)
            single = torch.empty(3, 5, device="cuda")
            assert not head._multiplies_straight(single, single)
        rows = torch.empty(3, 5, dtype=torch.bfloat16)
        assert not head._multiplies_straight(rows, rows)


def test_a_lack_of_memory_on_a_device_halves_the_spans() -> None:
    """torch says so by an error of its own."""
    model = random_model("llama")
    trunk, own_head, _ = find_head(model, context_length=96)
    pack, _ = pack_of_sequences([[3] * 70], [[5] * 10])
    executor = Spanned(Forest(trunk, layers=2), budget=64)

    def hook(_module: torch.nn.Module, given: tuple[torch.Tensor, ...]) -> None:
        if given[0].numel() > 35:
            message = "CUDA out of memory."
            raise torch.OutOfMemoryError(message)

    handle = model.get_input_embeddings().register_forward_pre_hook(hook)
    found = score_pack(executor, own_head, pack, NO_EVIDENCE).logprob
    handle.remove()
    assert executor.budget == 32
    np.testing.assert_allclose(found, own_logprobs(model, pack), rtol=0, atol=1e-5)
