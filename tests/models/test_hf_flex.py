"""Attention by blocks, as CUDA has it, on a CPU: uncompiled, and block by block in plain torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.attention.flex_attention import AuxOutput, AuxRequest, BlockMask

from logpr.models.base import NO_EVIDENCE
from logpr.models.hf import attention, flex
from logpr.models.hf.attention import planned
from logpr.models.hf.forest import Forest
from logpr.models.hf.kept import Keys, PrefixStore
from logpr.models.hf.kernels import Rules
from logpr.models.hf.mask import seen
from logpr.models.hf.plan import Past, plan_of
from logpr.models.hf.scoring import score_pack
from logpr.models.hf.spans import Spanned
from logpr.models.hf.verify import find_head
from logpr.tokens.pack import Pack
from logpr.tokens.trie import pack_of_sequences
from tests.models.hf_models import own_logprobs, random_model
from tests.models.strategies import Asked, asked, pack_of

HEADS = 4


@pytest.fixture(autouse=True)
def _uncompiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let flex attention compute by its own plain code, without tracing each call."""
    monkeypatch.setattr(flex, "_refused", set())
    monkeypatch.setattr(flex.flex, "_FLEX_ATTENTION_DISABLE_COMPILE_DEBUG", True)


@pytest.fixture
def forced(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Let attention on a CPU go by blocks; note how many keys each call had."""
    calls: list[int] = []
    right = flex._run

    def noted(query: torch.Tensor, key: torch.Tensor, *others: Any):  # noqa: ANN202, ANN401
        calls.append(key.shape[2])
        return right(query, key, *others)

    monkeypatch.setattr(flex, "takes", lambda _query, _value: True)
    monkeypatch.setattr(flex, "_run", noted)
    yield calls
    assert calls, "nothing went by blocks"


def block_by_block(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    *,
    block_mask: BlockMask,
    score_mod: Callable[..., torch.Tensor] | None,
    scale: float,
    enable_gqa: bool,
    return_aux: AuxRequest,
) -> tuple[torch.Tensor, AuxOutput]:
    """Attend as the kernel does: blocks that are not listed are not read, full ones not asked."""
    assert return_aux.lse
    assert enable_gqa == (query.shape[1] != key.shape[1])
    size = block_mask.BLOCK_SIZE[0]
    places = torch.arange(query.shape[2])[:, None], torch.arange(key.shape[2])[None, :]
    none = torch.zeros(())
    rule = block_mask.mask_mod(none, none, *places)
    allowed = torch.zeros_like(rule)
    partial = block_mask.kv_num_blocks[0, 0], block_mask.kv_indices[0, 0]
    assert block_mask.full_kv_num_blocks is not None
    assert block_mask.full_kv_indices is not None
    full = block_mask.full_kv_num_blocks[0, 0], block_mask.full_kv_indices[0, 0]
    for (counts, columns), is_full in ((partial, False), (full, True)):
        for row, count in enumerate(counts.tolist()):
            down = slice(row * size, (row + 1) * size)
            for column in columns[row, :count].tolist():
                along = slice(column * size, (column + 1) * size)
                assert not allowed[down, along].any(), "a block is listed once"
                allowed[down, along] = True if is_full else rule[down, along]
    group = query.shape[1] // key.shape[1]
    keys, values = (one.repeat_interleave(group, dim=1) for one in (key, value))
    scores = query @ keys.transpose(-1, -2) * scale
    if score_mod is not None:
        scores = score_mod(scores, none, none, none, none)
    scores = scores.masked_fill(~allowed, -torch.inf)
    lse = scores.logsumexp(dim=-1)
    return (scores.softmax(dim=-1).nan_to_num() @ values), AuxOutput(lse=lse)


def row_with_pasts(
    pack: Pack, layers: int, key_heads: int, dtype: torch.dtype, seed: int
) -> tuple[list[Past], int]:
    """Return keys held from before that some of the row's first subtrees see, one path of two."""
    generator = torch.Generator().manual_seed(seed)
    rng = np.random.default_rng(seed)
    depth = 0
    pasts: list[Past] = []
    for _ in range(2):
        count, spare = int(rng.integers(1, 9)), int(rng.integers(0, 3))
        shape = (1, key_heads, count + 2 * spare, 16)
        keys = Keys(
            tuple(
                (
                    torch.randn(shape, generator=generator, dtype=dtype),
                    torch.randn(shape, generator=generator, dtype=dtype),
                )
                for _ in range(layers)
            )
        )
        start = int(rng.integers(0, len(pack)))
        rows = slice(0, len(pack)) if rng.random() < 0.5 else slice(start, int(pack.ends[start]))
        pasts.append(Past(keys, slice(spare, spare + count), depth, rows))
        depth += count
    return pasts, depth


def deeper(pack: Pack, by: int) -> Pack:
    """Return the pack as rows of a longer one."""
    return Pack(
        pack.token_ids,
        pack.parents,
        pack.depths + by,
        pack.ends,
        pack.edge_nodes,
        pack.edge_tokens,
    )


@pytest.mark.parametrize("kernel", ["blocks", "torch"])
@settings(max_examples=40)
@given(
    drawn=asked(),
    seed=st.integers(0, 2**16),
    block=st.sampled_from((2, 4, 8, 128)),
    window=st.sampled_from((None, 1, 3, 7)),
    softcap=st.sampled_from((None, 0.7)),
    sinks=st.booleans(),
    key_heads=st.sampled_from((1, 2, 4)),
    held=st.booleans(),
    dtype=st.sampled_from((torch.float32, torch.float64)),
)
def test_attention_by_blocks_is_attention_by_parts(  # noqa: PLR0917 - drawn
    kernel: str,
    drawn: Asked,
    seed: int,
    block: int,
    window: int | None,
    softcap: float | None,
    sinks: bool,  # noqa: FBT001 - drawn
    key_heads: int,
    held: bool,  # noqa: FBT001 - drawn
    dtype: torch.dtype,
) -> None:
    """Tries, keys from before, windows, caps, sinks, groups of heads, lengths of every remainder.

    By torch's own flex attention, and by what its kernel does with the lists of blocks.
    """
    pack = pack_of(drawn)
    if not len(pack):
        return
    pasts, by = row_with_pasts(pack, 1, key_heads, dtype, seed) if held else ([], 0)
    pack = deeper(pack, by)
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> torch.Tensor:
        return 2 * torch.randn(*shape, generator=generator, dtype=dtype)

    query = draw(1, HEADS, len(pack), 16)
    key, value = draw(1, key_heads, len(pack), 16), draw(1, key_heads, len(pack), 16)
    sink = draw(HEADS)
    found: list[torch.Tensor] = []
    normalisers: list[torch.Tensor] = []
    rules = Rules(scale=0.3, window=window, softcap=softcap)
    for by_blocks in (True, False):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(flex, "_BLOCK", block)
            patch.setattr(flex, "_LAST_SPARSE", 4 * block)
            patch.setattr(flex, "takes", lambda _query, _value, takes=by_blocks: takes)
            if kernel == "blocks":
                patch.setattr(flex, "_kernel", lambda _compiled: block_by_block)
            plan = plan_of(pack, query.device, pasts=pasts)
            with planned(plan) as meter:
                part = attention.along_paths(meter, plan, query, key, value, rules=rules)
                out, _ = attention.forest_attention(
                    torch.nn.Identity(),
                    query,
                    key,
                    value,
                    None,
                    scaling=0.3,
                    sliding_window=window,
                    softcap=softcap,
                    s_aux=sink if sinks else None,
                )
            assert part[0].dtype == part[1].dtype == dtype
            assert (meter.blocks is not None) == by_blocks
        found.append(out)
        normalisers.append(part[1])
    close = 1e-5 if dtype == torch.float32 else 1e-12
    torch.testing.assert_close(found[0], found[1], rtol=0, atol=close)
    torch.testing.assert_close(normalisers[0], normalisers[1], rtol=0, atol=close)


@settings(max_examples=60)
@given(asked(longest=40), st.sampled_from((2, 4, 8)), st.none() | st.integers(1, 20))
def test_blocks_are_read_only_where_something_is_seen(
    drawn: Asked, block: int, window: int | None
) -> None:
    """Without a window the listed blocks are exactly those; full ones are those seen whole."""
    pack = pack_of(drawn)
    if not len(pack):
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(flex, "_BLOCK", block)
        patch.setattr(flex, "_LAST_SPARSE", 4 * block)
        blocks = flex.Blocks(plan_of(pack, torch.device("cpu")))
        mask = blocks.mask(window, torch.device("cpu"))
    size = blocks.queries // block
    true = np.zeros((blocks.queries, blocks.queries), dtype=np.bool_)
    true[: len(pack), : len(pack)] = seen(pack)
    if window is not None:
        near = pack.depths[:, None] - pack.depths[None, :] < window
        true[: len(pack), : len(pack)] &= near
    parts = true.reshape(size, block, size, block)
    some = parts.any(axis=(1, 3))
    whole = parts[:, :, :, :].all(axis=3)
    # A row of padding may see anything: nobody reads it.
    whole |= (np.arange(blocks.queries) >= len(pack)).reshape(size, block, 1)
    full = whole.all(axis=1) & some
    listed = mask.to_dense()[0, 0].bool().numpy()
    assert not (some & ~listed).any()
    counts, columns = mask.full_kv_num_blocks, mask.full_kv_indices
    assert counts is not None
    assert columns is not None
    taken = np.zeros_like(full)
    for row, count in enumerate(counts[0, 0].tolist()):
        taken[row, columns[0, 0, row, :count].numpy()] = True
    assert not (taken & ~full).any()
    if window is None:
        np.testing.assert_array_equal(listed, some)
        np.testing.assert_array_equal(taken, full)


def test_what_a_window_hides_is_not_read() -> None:
    """Of a chain of 1,024 tokens with a window of 128, each 128 queries read two blocks."""
    pack, _ = pack_of_sequences([[3] * 1024], [[4]])
    blocks = flex.Blocks(plan_of(pack, torch.device("cpu")))
    mask = blocks.mask(128, torch.device("cpu"))
    assert mask.to_dense()[0, 0].sum(dim=1).tolist() == [1, *[2] * 7, *[0] * 8]
    assert blocks.mask(128, torch.device("cpu")) is mask
    # None is so far apart.
    assert blocks.mask(1024, torch.device("cpu")) is blocks.mask(None, torch.device("cpu"))


@pytest.mark.parametrize("family", ["llama", "gemma2", "mistral", "gpt_oss"])
@settings(max_examples=12)
@given(
    calls=st.lists(asked(), min_size=1, max_size=2),
    budget=st.integers(3, 24),
    stored=st.booleans(),
)
def test_spans_by_blocks_give_the_scores_of_each_sequence_alone(
    family: str,
    calls: list[Asked],
    budget: int,
    stored: bool,  # noqa: FBT001 - drawn
) -> None:
    """Whole models, keys held from span to span and from call to call: transformers' own scores."""
    model = MODELS.setdefault(family, random_model(family))
    trunk, head, _ = find_head(model, context_length=96)
    store = PrefixStore(10**9) if stored else None
    executor = Spanned(Forest(trunk, layers=2), budget=budget, store=store)
    for drawn in calls:
        pack = pack_of((drawn[0], ()) if not drawn[1] else drawn)
        asks_end = (pack.edge_tokens == -1).any()
        if not len(pack) or asks_end:
            continue
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(flex, "takes", lambda _query, _value: True)
            patch.setattr(flex, "_BLOCK", 8)
            patch.setattr(flex, "_LAST_SPARSE", 32)
            found = score_pack(executor, head, pack, NO_EVIDENCE).logprob
        np.testing.assert_allclose(found, own_logprobs(model, pack), rtol=0, atol=1e-5)


MODELS: dict[str, Any] = {}


def test_few_lengths_are_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tries, rows and held keys of many sizes share one program; each kind of layer has its own."""
    compiled = 0

    def counting(graph: torch.fx.GraphModule, _inputs: object) -> Callable[..., Any]:
        nonlocal compiled
        compiled += 1
        return graph.forward

    own = torch.compile
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            torch, "compile", lambda run, **options: own(run, backend=counting, **options)
        )
        kernel = flex._kernel.__wrapped__(compiled=True)
    monkeypatch.setattr(flex, "_kernel", lambda _compiled: kernel)
    generator = torch.Generator().manual_seed(0)
    rules = (Rules(0.3), Rules(0.3, window=5), Rules(0.3, softcap=2.0))
    kinds = set()
    with torch.inference_mode():
        for length, asks in ((20, 3), (90, 2), (31, 1), (150, 1), (120, 1)):
            pack, _ = pack_of_sequences([[3] * length] * asks, [[i, 4, 5] for i in range(asks)])
            pasts, by = row_with_pasts(pack, 1, 2, torch.float32, length)
            for given_pasts in ((), pasts):
                plan = plan_of(deeper(pack, by), torch.device("cpu"), pasts=given_pasts)
                rows = torch.randn(3, 1, 2, len(pack), 16, generator=generator).unbind()
                blocks = flex.Blocks(plan)
                for rule in rules:
                    ours = flex.attend(blocks, *rows, rule, layer=0)
                    with planned(plan) as meter:
                        parts = attention.along_paths(meter, plan, *rows, rules=rule)
                    torch.testing.assert_close(ours, parts, rtol=0, atol=1e-5)
                    kinds.add((blocks.queries, blocks.held, rule))
    assert compiled == len(kinds) == 12  # rows of 128 or 512, held keys or none, three rules


@pytest.mark.parametrize(("count", "length"), [(1, 128), (128, 128), (129, 512), (2048, 2048)])
def test_lengths_are_padded_to_few(count: int, length: int) -> None:
    """Four lengths up to 8,192."""
    assert flex.padded(count) == length
    assert {flex.padded(n) for n in range(1, 8193)} == {128, 512, 2048, 8192}
    assert flex.padded(8193) == 16384


class TestWhereItIsTaken:
    """Which attention goes by blocks."""

    def heads(self, width: int = 64, dtype: torch.dtype = torch.bfloat16) -> torch.Tensor:
        """Return fake heads on a GPU."""
        with torch._subclasses.FakeTensorMode():
            return torch.empty(1, 4, 3, width, device="cuda", dtype=dtype)

    def test_on_cuda_in_heads_of_one_width(self) -> None:
        """On a GPU in the three dtypes; not on a CPU, in float64, nor where widths differ."""
        for dtype in (torch.bfloat16, torch.float16, torch.float32):
            rows = self.heads(dtype=dtype)
            assert flex.takes(rows, rows)
        for width in (8, 512):
            rows = self.heads(width=width)
            assert not flex.takes(rows, rows)
        rows = self.heads(dtype=torch.float64)
        assert not flex.takes(rows, rows)
        assert not flex.takes(self.heads(width=48), self.heads(width=32))
        rows = torch.empty(1, 4, 3, 64)
        assert not flex.takes(rows, rows)

    def test_a_compiler_that_fails_is_not_asked_again(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The parts take over, with one warning that says so, and with the same numbers."""
        asked_for = 0

        def failing(*_args: object) -> None:
            nonlocal asked_for
            asked_for += 1
            msg = "Cannot find a working triton installation.\nMore of it."
            raise RuntimeError(msg)

        refused: set[object] = set()
        monkeypatch.setattr(flex, "_refused", refused)
        monkeypatch.setattr(flex, "_run", failing)
        monkeypatch.setattr(flex, "takes", lambda query, _value: flex._mark(query) not in refused)
        pack, _ = pack_of_sequences([[3, 4, 5]], [[6, 7], [8]][:1])
        plan = plan_of(pack, torch.device("cpu"))
        rows = torch.randn(1, 2, len(pack), 16, generator=torch.Generator().manual_seed(0))
        with planned(plan) as meter:
            with pytest.warns(UserWarning, match=r"not run here .*32 heads of 16 .*triton inst"):
                first = attention.along_paths(meter, plan, rows, rows, rows, rules=Rules(0.3))
            again = attention.along_paths(meter, plan, rows, rows, rows, rules=Rules(0.3))
        monkeypatch.setattr(flex, "takes", lambda _query, _value: False)
        with planned(plan) as meter:
            parts = attention.along_paths(meter, plan, rows, rows, rows, rules=Rules(0.3))
        assert asked_for == 1
        for one in (first, again):
            torch.testing.assert_close(one, parts, rtol=0, atol=0)

    def test_a_lack_of_memory_is_no_failure_of_the_compiler(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It goes on to where spans are halved."""

        def failing(*_args: object) -> None:
            msg = "CUDA out of memory. Tried to allocate 2 GiB."
            raise torch.OutOfMemoryError(msg)

        monkeypatch.setattr(flex, "_run", failing)
        monkeypatch.setattr(flex, "takes", lambda _query, _value: True)
        pack, _ = pack_of_sequences([[3, 4, 5]], [[6, 7]])
        plan = plan_of(pack, torch.device("cpu"))
        rows = torch.zeros(1, 2, len(pack), 16)
        with planned(plan) as meter, pytest.raises(torch.OutOfMemoryError):
            attention.along_paths(meter, plan, rows, rows, rows, rules=Rules(0.3))
        assert not flex._refused


def test_a_row_that_fills_its_lengths_is_not_copied(forced: list[int]) -> None:
    """Keys of 128 tokens and nothing held go to the kernel as they are; held ones beside them."""
    pack, _ = pack_of_sequences([[3] * 128], [[4]])
    plan = plan_of(pack, torch.device("cpu"))
    rows = torch.randn(1, 2, 128, 16, generator=torch.Generator().manual_seed(0))
    blocks = flex.Blocks(plan)
    assert blocks.joined(rows, 0, 0) is rows
    pasts, by = row_with_pasts(pack, 1, 2, torch.float32, 0)
    other = flex.Blocks(plan_of(deeper(pack, by), torch.device("cpu"), pasts=pasts))
    assert other.joined(rows, 0, 0).shape[2] == 256
    with planned(plan) as meter:
        attention.along_paths(meter, plan, rows, rows, rows, rules=Rules(0.3))
    assert forced == [128]
