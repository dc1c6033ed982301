"""The executor `cache`: any trie, any budget, each prefix once, and no branch disturbs another."""

from __future__ import annotations

import functools
import weakref
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from transformers.cache_utils import DynamicSlidingWindowLayer

from logpr.errors import ModelOutputError
from logpr.models._probe import probe_pack
from logpr.models.base import NO_EVIDENCE
from logpr.models.hf import cached
from logpr.models.hf.cached import Cached, CachedTrunk
from logpr.models.hf.caches import bytes_of, selected
from logpr.models.hf.decoder import Decoder
from logpr.models.hf.head import Head
from logpr.models.hf.model import HFModel
from logpr.models.hf.pieces import Executor
from logpr.models.hf.plain import Plain
from logpr.models.hf.scoring import score_pack
from logpr.models.hf.trunk import Trunk, quiet
from logpr.models.hf.verify import find_head
from logpr.tokens.pack import Pack
from logpr.tokens.trie import pack_of_sequences
from tests.models import strategies
from tests.models.hf_models import VOCAB, own_logprobs, random_model
from tests.models.strategies import Asked, asked, pack_of

RECURRENT = ("qwen3_next", "jamba", "falcon_h1", "lfm2", "mamba", "mamba2", "rwkv")
FLOAT32 = ("qwen3_next", "jamba")  # their products of experts know no float64

NATS = {
    "llama": 1e-9,
    "mistral": 1e-9,
    "bloom": 1e-6,
    "gpt_neo": 1e-6,
    "mamba": 1e-6,
    "jamba": 1e-4,
}
"""In float64; the softmax of Bloom and GPT-Neo, and Mamba's recurrence, are islands of float32."""


class Watched:
    """A network whose calls are written down, and whose caches are weighed while they live."""

    def __init__(self, trunk: CachedTrunk) -> None:
        self._trunk = trunk
        self._alive: weakref.WeakSet[object] = weakref.WeakSet()
        self.shapes: list[tuple[int, int]] = []
        self.waiting: list[int] = []
        self.largest = 0

    def __call__(self, token_ids: np.ndarray, cache: object) -> tuple[torch.Tensor, object]:
        """Call the network."""
        self.shapes.append((token_ids.shape[0], token_ids.shape[1]))
        self.waiting.append(sum(bytes_of(one) for one in self._alive if one is not cache))
        states, after = self._trunk(token_ids, cache)
        self._alive.add(after)
        self.largest = max(self.largest, bytes_of(after))
        return states, after

    @property
    def tokens(self) -> int:
        """Tokens through the network."""
        return sum(rows * tokens for rows, tokens in self.shapes)


@functools.cache
def network(family: str, vocab: int = strategies.VOCAB) -> tuple[Trunk, Head]:
    """Return a small model with as many ids as random tries have."""
    dtype = torch.float32 if family in FLOAT32 else torch.float64
    model = random_model(family, dtype=dtype, vocab_size=vocab)
    with quiet():
        trunk, head, _ = find_head(model, context_length=64)
    return trunk, head


def logprobs(executor: Executor, head: Head, pack: Pack) -> np.ndarray:
    """Return the log-probabilities of the edges of a pack."""
    return score_pack(executor, head, pack, NO_EVIDENCE).logprob


def read(pack: Pack) -> int:
    """Return the number of nodes that something is read at or below."""
    return sum(
        bool(((pack.edge_nodes >= node) & (pack.edge_nodes < pack.ends[node])).any())
        for node in range(len(pack))
    )


@settings(max_examples=40)
@given(
    asked(longest=20),
    st.sampled_from(("llama", "mistral", "bloom", "gpt_neo")),
    st.sampled_from((1, 3, 8, 1024)),
    st.sampled_from((0, 10_000, 2**28)),
    st.sampled_from((1, 2, 1024)),
)
@example(([], ()), "bloom", 1024, 2**28, 1024)
def test_any_trie_within_any_budget(
    drawn: Asked, family: str, tokens: int, room: int, rows: int
) -> None:
    """All edges are those of the plain path, END among them, windows kept."""
    trunk, head = network(family)
    pack = pack_of(drawn)
    plain = Plain(trunk)
    ours = Cached(Decoder(trunk), plain, tokens=tokens, room=room, rows=rows)
    np.testing.assert_allclose(
        logprobs(ours, head, pack), logprobs(plain, head, pack), rtol=0, atol=NATS[family]
    )


@settings(max_examples=30)
@given(
    asked(longest=20),
    st.sampled_from(("jamba", "mamba")),
    st.sampled_from((1, 8, 1024)),
    st.sampled_from((0, 10_000, 2**28)),
)
def test_networks_that_go_on_by_single_tokens(
    drawn: Asked, family: str, tokens: int, room: int
) -> None:
    """With `steps` a run goes on token by token, or is read again with its prefix: both right."""
    trunk, head = network(family)
    pack = pack_of(drawn)
    plain = Plain(trunk)
    ours = Cached(Decoder(trunk), plain, tokens=tokens, room=room, steps=True)
    np.testing.assert_allclose(
        logprobs(ours, head, pack), logprobs(plain, head, pack), rtol=0, atol=NATS[family]
    )


@settings(max_examples=30)
@given(asked(longest=20), st.integers(1, 24))
def test_what_lies_beyond_a_limit_is_run_plain(drawn: Asked, limit: int) -> None:
    """Edges at depth `limit` and deeper come from `plain`, the others do not; all are right."""
    trunk, head = network("llama")
    pack = pack_of(drawn)
    plain = Plain(trunk)
    asked_plain: list[np.ndarray] = []

    class Noted:
        name = "plain"

        def states(self, part: Pack) -> object:
            asked_plain.append(part.depths[part.edge_nodes])
            return plain.states(part)

    watched = Watched(Decoder(trunk))
    ours = Cached(watched, Noted(), limit=limit)  # type: ignore[arg-type] # yields the same
    found = logprobs(ours, head, pack)
    np.testing.assert_allclose(found, logprobs(plain, head, pack), rtol=0, atol=1e-9)
    depths = pack.depths[pack.edge_nodes]
    beyond = np.concatenate([*asked_plain, np.empty(0, dtype=np.int64)])
    np.testing.assert_array_equal(np.sort(beyond), np.sort(depths[depths >= limit]))
    assert sum(tokens for _, tokens in watched.shapes[:1]) <= limit


@settings(max_examples=40)
@given(asked(longest=20), st.randoms())
def test_each_prefix_runs_once_and_what_nobody_reads_never(
    drawn: Asked, random: np.random.Generator
) -> None:
    """With room, tokens through the network are the nodes that are read at or below."""
    trunk, head = network("llama")
    pack = pack_of(drawn)
    kept = np.asarray([random.random() < 0.5 for _ in pack.edge_nodes], dtype=np.bool_)
    pack = replace(pack, edge_nodes=pack.edge_nodes[kept], edge_tokens=pack.edge_tokens[kept])
    watched = Watched(Decoder(trunk))
    found = logprobs(Cached(watched, Plain(trunk)), head, pack)
    np.testing.assert_allclose(found, logprobs(Plain(trunk), head, pack), rtol=0, atol=1e-9)
    assert watched.tokens == read(pack)


def deep_pack(vocab: int) -> Pack:
    """Return 24 candidates that leave a common stem at different depths."""
    rng = np.random.default_rng(1)
    prompt = rng.integers(0, vocab, 12).tolist()
    stem = rng.integers(0, vocab, 20).tolist()
    tails = [stem[:shared] + rng.integers(0, vocab, 8).tolist() for shared in (*range(20), 0, 0, 3)]
    return pack_of_sequences([prompt] * len(tails), tails)[0]


def test_branches_go_side_by_side() -> None:
    """Short runs are batched: there are no more calls than levels, however the trie branches."""
    trunk, head = network("llama")
    pack = deep_pack(strategies.VOCAB)
    watched = Watched(Decoder(trunk))
    logprobs(Cached(watched, Plain(trunk)), head, pack)
    assert len(watched.shapes) <= int(pack.depths.max()) + 1
    assert max(rows for rows, _ in watched.shapes) >= 5
    few = Watched(Decoder(trunk))
    logprobs(Cached(few, Plain(trunk), tokens=4), head, pack)
    assert max(rows * tokens for rows, tokens in few.shapes) <= 4


def test_caches_that_wait_are_bounded() -> None:
    """What waits is within `room` and what one row needs; the price is prefixes run again."""
    trunk, head = network("llama")
    rng = np.random.default_rng(1)
    stem = rng.integers(0, strategies.VOCAB, 60).tolist()
    # The stem goes on longer than what leaves it, and so goes first: a cache waits at each branch.
    tails = [[*stem[:at], *rng.integers(0, strategies.VOCAB, 2).tolist()] for at in range(4, 60, 4)]
    pack = pack_of_sequences([stem[:1]] * len(tails), [*(tail[1:] for tail in tails)])[0]
    exact = logprobs(Plain(trunk), head, pack)
    free, tight = Watched(Decoder(trunk)), Watched(Decoder(trunk))
    for watched, room in ((free, 2**28), (tight, 20_000)):
        ours = Cached(watched, Plain(trunk), rows=1, room=room)
        np.testing.assert_allclose(logprobs(ours, head, pack), exact, rtol=0, atol=1e-9)
    assert max(free.waiting) > 4 * 20_000
    assert max(tight.waiting) <= 20_000 + tight.largest
    assert tight.tokens > free.tokens == read(pack)


class Cramped:
    """A network without memory for more than some tokens, which spoils the cache when it fails."""

    def __init__(self, trunk: CachedTrunk, most: int) -> None:
        self._trunk = trunk
        self._most = most
        self.failures = 0

    def __call__(self, token_ids: np.ndarray, cache: object) -> tuple[torch.Tensor, object]:
        """Call the network where the tokens fit."""
        out = self._trunk(token_ids, cache)
        if token_ids.size > self._most:
            self.failures += 1
            msg = "DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"
            raise RuntimeError(msg)
        return out


def test_a_lack_of_memory_divides_batches() -> None:
    """Where memory runs out a batch is divided, from an intact prefix; a single row is an error."""
    trunk, head = network("llama")
    rng = np.random.default_rng(4)
    prompt = rng.integers(0, strategies.VOCAB, 40).tolist()
    pack = pack_of_sequences([prompt] * 16, rng.integers(0, strategies.VOCAB, (16, 9)).tolist())[0]
    exact = logprobs(Plain(trunk), head, pack)
    cramped = Cramped(Decoder(trunk), most=33)
    found = logprobs(Cached(cramped, Plain(trunk)), head, pack)
    np.testing.assert_allclose(found, exact, rtol=0, atol=1e-9)
    assert 2 <= cramped.failures <= 8
    with pytest.raises(ModelOutputError, match="no memory for 32 tokens at once"):
        logprobs(Cached(Cramped(Decoder(trunk), most=20), Plain(trunk)), head, pack)


@pytest.mark.parametrize("family", ["bloom", "mistral", *RECURRENT])
def test_branches_do_not_disturb_each_other(family: str) -> None:
    """A cache that rows were picked from goes on as if nobody had; so do its rows, in any order."""
    trunk, _ = network(family)
    decoder = Decoder(trunk)
    rng = np.random.default_rng(0)
    # One token at a time after the prefix, and two rows: every network can do that but one.
    prefixes = rng.integers(0, strategies.VOCAB, (1 if family == "rwkv" else 2, 12))
    nexts = rng.integers(0, strategies.VOCAB, (len(prefixes), 1))
    last = len(prefixes) - 1

    def after(cache: object, ids: np.ndarray) -> torch.Tensor:
        states, _ = decoder(ids, cache)
        return states.clone()

    alone = after(decoder(prefixes, None)[1], nexts)
    cache = decoder(prefixes, None)[1]
    first, second = (selected(cache, np.array([last])) for _ in range(2))
    others = after(first, (nexts[last:] + 1) % strategies.VOCAB)
    torch.testing.assert_close(after(second, nexts[last:]), alone[last:], rtol=0, atol=1e-5)
    torch.testing.assert_close(after(cache, nexts), alone, rtol=0, atol=1e-5)
    assert not torch.allclose(others, alone[last:], rtol=0, atol=1e-2)


def test_what_cannot_be_duplicated_is_refused() -> None:
    """Tensors in lists and dicts are picked by row and weighed; an unknown object is an error."""
    cache = {"a": [torch.arange(6).reshape(3, 2), torch.zeros(3)]}
    picked = selected(cache, np.array([2, 0, 2]))
    assert isinstance(picked, dict)
    torch.testing.assert_close(picked["a"][0], torch.tensor([[4, 5], [0, 1], [4, 5]]))
    assert bytes_of(cache) == 6 * 8 + 3 * 4
    with pytest.raises(TypeError, match="a cache of the type object cannot be duplicated"):
        selected(object(), np.array([0]))


def test_a_model_without_a_cache_is_told_so() -> None:
    """A network that takes none is named, with what was looked for."""
    trunk, _ = network("openai_gpt")
    with pytest.raises(ValueError, match="takes none of past_key_values, cache_params, state"):
        Decoder(trunk)(np.array([[1, 2]]), None)


def test_a_state_that_siblings_share_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Were a cache handed to siblings without a copy, the probe would refuse it."""
    monkeypatch.setattr(cached, "selected", lambda cache, _rows: cache)
    found = HFModel.from_modules(random_model("bloom"))
    (line,) = (one for one in found.probe_report if one.executor == "cache")
    assert found.provenance.executor == "plain"
    assert not line.accepted


def long_pack() -> Pack:
    """Return three candidates behind a prompt of 84 tokens."""
    rng = np.random.default_rng(3)
    prompt = rng.integers(0, VOCAB, 84).tolist()
    return pack_of_sequences([prompt] * 3, rng.integers(0, VOCAB, (3, 6)).tolist())[0]


@pytest.mark.parametrize("family", ["mistral", "gemma3", "gpt_oss", "gpt_neo"])
def test_windows_hold_when_keys_are_dropped(family: str) -> None:
    """A window longer than the probe's paths, whose keys transformers drops, is right beyond it."""
    window = "window_size" if family == "gpt_neo" else "sliding_window"
    model = random_model(family, **{window: 64})
    found = HFModel.from_modules(model, executor="cache")
    (line,) = (one for one in found.probe_report if one.executor == "cache")
    assert f"also beyond {window}=64" in line.reason
    pack = long_pack()
    np.testing.assert_allclose(
        found.edges(pack).logprob, own_logprobs(model, pack), rtol=0, atol=1e-5
    )


def test_a_window_that_drops_too_many_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache that keeps a key too few agrees on the probe, fails beyond, and is used below."""
    right = DynamicSlidingWindowLayer.update

    def forgetful(
        self: DynamicSlidingWindowLayer, key: torch.Tensor, value: torch.Tensor, *args: object
    ) -> tuple[torch.Tensor, torch.Tensor]:
        full = right(self, key, value, *args)
        if self.cumulative_length >= self.sliding_window:
            self.keys, self.values = self.keys.roll(1, dims=-2), self.values.roll(1, dims=-2)
            self.keys[..., 0, :] = 0.0
        return full

    monkeypatch.setattr(DynamicSlidingWindowLayer, "update", forgetful)
    model = random_model("mistral", sliding_window=64)
    found = HFModel.from_modules(model, executor="cache")
    (line,) = (one for one in found.probe_report if one.executor == "cache")
    assert "longer than sliding_window=64 runs plain" in line.reason
    pack = long_pack()
    np.testing.assert_allclose(
        found.edges(pack).logprob, own_logprobs(model, pack), rtol=0, atol=1e-5
    )


def test_blocks_of_recurrent_layers_hand_on_their_state(monkeypatch: pytest.MonkeyPatch) -> None:
    """The trial makes recurrent layers work in small blocks, and puts their own size back."""
    model = random_model("mamba2", chunk_size=64)
    sizes: list[int] = []
    right = cached.Cached.states

    def noted(self: Cached, pack: Pack) -> object:
        sizes.append(model.backbone.layers[0].mixer.chunk_size)
        return right(self, pack)

    monkeypatch.setattr(cached.Cached, "states", noted)
    found = HFModel.from_modules(model)
    assert sizes == [8, 64]
    assert found.provenance.executor == "cache"
    assert model.backbone.layers[1].mixer.chunk_size == 64


def test_edges_of_the_probe_pack_come_once() -> None:
    """Every edge is in one yield, with a row of its own node, in bounded parts."""
    trunk, head = network("bloom", VOCAB)
    pack = probe_pack(VOCAB, 48)
    parts = list(Cached(Decoder(trunk), Plain(trunk), tokens=64).states(pack))
    edges = np.concatenate([one.edges for one in parts])
    np.testing.assert_array_equal(np.sort(edges), np.arange(len(pack.edge_nodes)))
    assert max(len(one.rows) for one in parts) < 2 * 64
    assert len(parts) > 1
    assert head.weight is not None
