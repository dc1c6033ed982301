"""On a GPU: compiled attention, float32 products of low dtypes, whole models. Skipped elsewhere."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch

from logpr.models.hf import attention, flex
from logpr.models.hf.attention import planned
from logpr.models.hf.head import Head
from logpr.models.hf.kept import Keys
from logpr.models.hf.kernels import Rules
from logpr.models.hf.model import HFModel
from logpr.models.hf.plan import Past, plan_of
from logpr.tokens.pack import Pack
from logpr.tokens.trie import pack_of_sequences
from tests.models.hf_models import VOCAB, own_logprobs, random_model

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device")

# In units of the largest value: sums of rounded products. (float32 must not be TF32: 1e-3.)
CLOSE = {torch.float32: 2e-5, torch.bfloat16: 2e-2, torch.float16: 3e-3}


def bushy(prompts: int, length: int, answers: int) -> Pack:
    """Return prompts with answers, from a fixed draw."""
    rng = np.random.default_rng(0)
    contexts = [rng.integers(3, VOCAB, length).tolist() for _ in range(prompts)]
    asks = [rng.integers(3, VOCAB, 1 + i % 9).tolist() for i in range(answers)]
    pack, _ = pack_of_sequences(
        [context for context in contexts for _ in asks], [ask for _ in contexts for ask in asks]
    )
    return pack


@pytest.mark.parametrize("dtype", list(CLOSE))
@pytest.mark.parametrize(
    "rules",
    [
        Rules(0.125),
        Rules(0.125, window=50),
        Rules(0.125, softcap=20.0),
        Rules(0.1, window=50, softcap=20.0),
    ],
)
@pytest.mark.parametrize("heads", [(8, 8), (8, 2)])
@pytest.mark.parametrize("width", [64, 96, 128])
def test_compiled_attention_is_attention_by_parts_in_float64(
    dtype: torch.dtype, rules: Rules, heads: tuple[int, int], width: int
) -> None:
    """A trie of a few hundred tokens below keys from before: blocks seen whole, in part, not."""
    pack = bushy(6, 60, 5)
    held = 300
    pack = Pack(
        pack.token_ids,
        pack.parents,
        pack.depths + held,
        pack.ends,
        pack.edge_nodes,
        pack.edge_tokens,
    )
    generator = torch.Generator().manual_seed(0)

    def draw(count: int, size: int) -> torch.Tensor:
        return torch.randn(1, count, size, width, generator=generator).to("cuda", dtype)

    query = draw(heads[0], len(pack))
    key, value, before_k, before_v = (
        draw(heads[1], size) for size in (len(pack), len(pack), held, held)
    )
    found = []
    for wide in (dtype, torch.float64):
        keys = Keys(((before_k.to(wide), before_v.to(wide)),))
        past = Past(keys, slice(0, held), 0, slice(0, len(pack)))
        plan = plan_of(pack, query.device, pasts=[past])
        with planned(plan) as meter, torch.inference_mode(), warnings.catch_warnings():
            # torch advises TF32 when it compiles float32.
            warnings.filterwarnings("ignore", message="TensorFloat32")
            part = attention.along_paths(
                meter, plan, query.to(wide), key.to(wide), value.to(wide), rules=rules
            )
        assert (meter.blocks is not None) == (wide == dtype), "by blocks, and in float64 by parts"
        found.append(part)
    assert flex._mark(query) not in flex._refused
    for ours, true in zip(*found, strict=True):
        assert ours.dtype == torch.float32
        far = (ours.double() - true).abs().max() / true.abs().max()
        assert far < CLOSE[dtype]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_products_of_low_dtypes_come_out_in_float32(dtype: torch.dtype) -> None:
    """Off by the order of their sums, not by a rounding to the low dtype."""
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(40_000, 512, generator=generator).to("cuda", dtype)
    rows = torch.randn(300, 512, generator=generator).to("cuda", dtype)
    found = Head(weight).logits(rows)
    true = rows.double() @ weight.double().T
    assert found.dtype == torch.float32
    assert (found - true).abs().max() / true.abs().max() < 1e-5


@pytest.mark.parametrize(
    ("family", "changes"),
    [
        ("llama", {"hidden_size": 64}),
        ("gpt2", {"n_embd": 64}),
        ("mistral", {"hidden_size": 64}),
        ("gemma2", {"head_dim": 16}),
        ("gpt_oss", {"head_dim": 16}),
        ("llama", {}),  # heads too narrow for blocks
    ],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.filterwarnings("ignore:TensorFloat32")
def test_models_on_a_gpu_say_what_they_say_on_a_cpu(
    family: str, changes: dict[str, int], dtype: torch.dtype
) -> None:
    """The probe takes `forest`; scores are those of transformers on a CPU in float64."""
    lm = HFModel.from_modules(random_model(family, **changes).to("cuda", dtype))
    assert lm.provenance.executor == "forest", lm.probe_report
    assert lm.provenance.device == "cuda:0"
    pack = bushy(4, 30, 6)
    found = [lm.edges(pack).logprob for _ in range(2)]  # the second from keys that are held
    true = own_logprobs(random_model(family, **changes).to(dtype).double(), pack)
    close = 1e-3 if dtype == torch.float32 else 0.3
    for one in found:
        np.testing.assert_allclose(one, true, rtol=0, atol=close)


def test_float32_stays_float32_where_the_program_wants_tf32() -> None:
    """Scores are the same to the bit, whatever the switch says."""
    lm = HFModel.from_modules(random_model("llama", hidden_size=256).to("cuda"))
    pack = bushy(4, 30, 6)
    with lm.apart(keep=False):
        exact = lm.edges(pack).logprob
        torch.set_float32_matmul_precision("high")
        try:
            ours = lm.edges(pack).logprob
        finally:
            torch.set_float32_matmul_precision("highest")
    np.testing.assert_array_equal(ours, exact)
