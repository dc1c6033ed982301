"""Packs run span by span: what is kept between spans and between calls changes no score."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from jaxtyping import Float64
from transformers import PreTrainedModel

from logpr.errors import ModelOutputError
from logpr.models.base import NO_EVIDENCE
from logpr.models.hf import plan
from logpr.models.hf.forest import Forest
from logpr.models.hf.head import Head
from logpr.models.hf.kept import ABSENT, Keys, PrefixStore
from logpr.models.hf.pieces import read_part
from logpr.models.hf.scoring import score_pack
from logpr.models.hf.spans import Spanned
from logpr.models.hf.trunk import Trunk
from logpr.models.hf.verify import find_head
from logpr.models.hf.walk import Walk
from logpr.tokens.pack import ROOT, Pack
from logpr.tokens.trie import pack_of_sequences
from tests.models.hf_models import own_logprobs, random_model
from tests.models.strategies import Asked, asked, pack_of

FAMILIES = ("llama", "gpt2", "gemma2", "mistral")

CLOSE = 1e-5  # float32, a few layers


@cache
def parts(family: str) -> tuple[PreTrainedModel, Trunk, Head]:
    """Return a random model, what is called of it, and its head."""
    model = random_model(family)
    trunk, head, _ = find_head(model, context_length=96)
    return model, trunk, head


def spanned(family: str, **options: object) -> Spanned:
    """Return the executor over a random model of two layers."""
    return Spanned(Forest(parts(family)[1], layers=2), **options)


def scores(family: str, executor: Spanned, pack: Pack) -> Float64[np.ndarray, " edges"]:
    """Return the log-probability of each edge."""
    return score_pack(executor, parts(family)[2], pack, NO_EVIDENCE).logprob


@contextmanager
def watched(family: str, *, most: int = 10**9) -> Iterator[list[int]]:
    """Note how many tokens each forward pass is fed; fail as torch does beyond `most`."""
    fed: list[int] = []

    def hook(_module: torch.nn.Module, given: tuple[torch.Tensor, ...]) -> None:
        if given[0].numel() > most:
            msg = "[enforce fail] DefaultCPUAllocator: can't allocate memory: 8 bytes"
            raise RuntimeError(msg)
        fed.append(given[0].numel())

    handle = parts(family)[0].get_input_embeddings().register_forward_pre_hook(hook)
    try:
        yield fed
    finally:
        handle.remove()


BUSHES = st.sampled_from((2, 128))
"""Tokens of a subtree that is attended to under one mask: with few, most goes by runs."""


@contextmanager
def bushes_of(most: int) -> Iterator[None]:
    """Let subtrees of so many tokens go by one mask."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan, "_BUSH", most)
        yield


@settings(max_examples=60)
@given(
    asked(),
    st.sampled_from(FAMILIES),
    st.integers(1, 24),
    st.sampled_from((0, 700, 2**30)),
    BUSHES,
)
def test_spans_of_any_size_give_the_scores_of_each_sequence_alone(
    drawn: Asked, family: str, budget: int, kept_bytes: int, bush: int
) -> None:
    """A pack cut anywhere, its active path held or fed again, against transformers alone."""
    pack = pack_of(drawn)
    with bushes_of(bush):
        found = scores(family, spanned(family, budget=budget, kept_bytes=kept_bytes), pack)
    expected = own_logprobs_with_end(family, pack)
    np.testing.assert_allclose(found, expected, rtol=0, atol=CLOSE)


def own_logprobs_with_end(family: str, pack: Pack) -> Float64[np.ndarray, " edges"]:
    """Return log Pr of each edge by transformers alone; END is the sum over its ids."""
    out = np.full(len(pack.edge_nodes), -np.inf)
    end = pack.edge_tokens == -1
    for token in pack.end_ids:
        asked_one = Pack(
            pack.token_ids,
            pack.parents,
            pack.depths,
            pack.ends,
            pack.edge_nodes,
            np.where(end, token, pack.edge_tokens),
        )
        one = own_logprobs(parts(family)[0], asked_one)
        out[end] = np.logaddexp(out[end], one[end])
        out[~end] = one[~end]
    return out if pack.end_ids else own_logprobs(parts(family)[0], pack)


@settings(max_examples=40)
@given(asked(), st.integers(1, 24))
def test_no_token_is_fed_twice(drawn: Asked, budget: int) -> None:
    """Spans have exactly the rows that something is read from or through."""
    pack = pack_of(drawn)
    with watched("llama") as fed:
        scores("llama", spanned("llama", budget=budget), pack)
    assert sum(fed) == len(read_part(pack))
    assert len(fed) == -(-sum(fed) // budget)
    assert max(fed, default=0) - min(fed, default=0) <= len(fed)


def test_a_path_beyond_its_bytes_is_fed_again() -> None:
    """With no room to hold the active path, ancestors are fed again, in bounds."""
    pack, _ = pack_of_sequences([list(range(3, 43))], [[50] * 8])
    with watched("llama") as fed:
        held = scores("llama", spanned("llama", budget=16), pack)
        once = sum(fed)
        again = scores("llama", spanned("llama", budget=16, kept_bytes=1), pack)
    assert once == 47 < sum(fed) - once <= 3 * 47
    np.testing.assert_allclose(again, held, rtol=0, atol=CLOSE)


@settings(max_examples=60)
@given(
    st.lists(asked(), min_size=2, max_size=4),
    st.sampled_from(FAMILIES),
    st.integers(1, 24),
    st.sampled_from((0, 3_000, 20_000, 10**9)),
    BUSHES,
)
def test_what_is_kept_from_call_to_call_changes_no_score(
    calls: list[Asked], family: str, budget: int, room: int, bush: int
) -> None:
    """Whatever was asked before, and however little the store holds."""
    store = PrefixStore(room)
    executor = spanned(family, budget=budget, store=store)
    for drawn in calls:
        pack = pack_of(drawn)
        with bushes_of(bush):
            found = scores(family, executor, pack)
        np.testing.assert_allclose(found, own_logprobs_with_end(family, pack), rtol=0, atol=CLOSE)
        assert store.nbytes <= room


def test_a_long_continuation_beside_a_prompt_that_is_held() -> None:
    """The prompt is not fed, so its answers lie beside the continuation, below the same token."""
    store = PrefixStore(10**9)
    executor = spanned("llama", store=store)
    prompt = list(range(5, 25))
    scores("llama", executor, pack_of_sequences([prompt], [[1, 2]])[0])
    continuation = [7 + i % 80 for i in range(80)]
    pack, _ = pack_of_sequences([prompt[:1], prompt, prompt], [continuation, [1, 3, 4], [2, 3]])
    with bushes_of(2):
        found = scores("llama", executor, pack)
    np.testing.assert_allclose(found, own_logprobs(parts("llama")[0], pack), rtol=0, atol=CLOSE)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_path_of_which_the_middle_is_held(family: str) -> None:
    """Above a span stand tokens that were fed, some of the store, and again some that were fed."""
    store = PrefixStore(10**9)
    path = [5 + i % 80 for i in range(60)]
    scores(family, spanned(family, store=store), pack_of_sequences([path[:40]], [[1, 2]])[0])
    executor = spanned(family, budget=8, store=store)
    pack, _ = pack_of_sequences([path[:10], path[:41]], [[9], path[41:]])
    found = scores(family, executor, pack)
    np.testing.assert_allclose(found, own_logprobs(parts(family)[0], pack), rtol=0, atol=CLOSE)


def test_a_prefix_is_paid_once() -> None:
    """The second call with a prompt feeds its last token, whose state is read, and what is new."""
    store = PrefixStore(10**9)
    executor = spanned("gpt2", store=store)
    prompt = list(range(5, 45))
    with watched("gpt2") as fed:
        first, _ = pack_of_sequences([prompt], [[1, 2, 3]])
        scores("gpt2", executor, first)
        second, _ = pack_of_sequences([prompt, prompt], [[1, 2, 4, 5], [7, 8]])
        found = scores("gpt2", executor, second)
        with executor.storing(None):
            scores("gpt2", executor, second)
    # 1 and 2 were fed and are read again; 4 and 7 are new, 5 and 8 are asked about only.
    assert fed == [42, 5, 44]
    expected = own_logprobs(parts("gpt2")[0], second)
    np.testing.assert_allclose(found, expected, rtol=0, atol=CLOSE)
    assert len(store) == 44
    store.clear()
    assert (len(store), store.nbytes) == (0, 0)


def test_the_store_drops_what_was_used_longest_ago() -> None:
    """Bounded in bytes; a prefix goes after what extends it."""
    one = Keys(((torch.zeros(1, 1, 2, 4), torch.zeros(1, 1, 2, 4)),))
    assert one.nbytes == 64
    store = PrefixStore(3 * 64)
    first = store.add(one, [1, 2], [-1, 0], [ROOT])
    store.add(one, [3, 4], [-1, 0], [first[-1]])
    store.add(one, [8, 9], [-1, 0], [ROOT])
    found = store.child(ROOT, 1)
    assert found is not None
    store.touch([store.place(found)[0]])
    store.add(one, [6, 7], [-1, 0], [ROOT])
    assert store.nbytes == 3 * 64
    assert store.child(first[-1], 3) is None
    assert store.child(ROOT, 1) == found
    assert store.child(ROOT, 8) is not None


def test_the_store_keeps_the_first_part_of_a_prompt_that_is_too_long() -> None:
    """What is dropped could be found again only below a prefix that is held."""
    path = list(range(3, 83))
    pack, _ = pack_of_sequences([path], [[1, 2]])
    store = PrefixStore(10**9)
    scores("llama", spanned("llama", budget=8, store=store), pack)
    store = PrefixStore(store.nbytes // 2)
    executor = spanned("llama", budget=8, store=store)
    with watched("llama") as fed:
        scores("llama", executor, pack)
        once = sum(fed)
        scores("llama", executor, pack)
    assert once == 81
    assert 30 <= len(store) <= 41
    assert sum(fed) - once == 81 - len(store)
    entry = ROOT
    for token in path[: len(store)]:
        child = store.child(entry, token)
        assert child is not None
        entry = child


def test_what_extends_a_prefix_that_is_gone_is_not_held() -> None:
    """It could not be found again."""
    one = Keys(((torch.zeros(1, 1, 2, 4), torch.zeros(1, 1, 2, 4)),))
    store = PrefixStore(64)
    first = store.add(one, [1, 2], [-1, 0], [ROOT])
    store.add(one, [8, 9], [-1, 0], [ROOT])
    assert store.child(ROOT, 1) is None
    assert store.add(one, [3, 4], [-1, 0], [first[-1]]) == [ABSENT, ABSENT]
    assert store.add(one, [3, 4], [-1, 0], [ABSENT]) == [ABSENT, ABSENT]
    assert (len(store), store.nbytes) == (2, 64)


def test_a_lack_of_memory_while_states_are_read_loses_no_edge(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The span runs again."""
    own = Walk.states_of
    calls = 0

    def failing(walk: Walk, *given: object) -> object:
        nonlocal calls
        calls += 1
        if calls in {1, 4}:
            raise torch.OutOfMemoryError
        return own(walk, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(Walk, "states_of", failing)
    pack, _ = pack_of_sequences([[3] * 60, [4] * 60], [[5] * 20, [6] * 20])
    found = scores("llama", spanned("llama", budget=128), pack)
    assert calls > 4
    np.testing.assert_allclose(found, own_logprobs(parts("llama")[0], pack), rtol=0, atol=CLOSE)


def test_a_lack_of_memory_halves_the_spans() -> None:
    """It goes on with shorter spans, and with the same scores; too little for any is an error."""
    pack, _ = pack_of_sequences([[3] * 60, [4] * 60], [[5] * 20, [6] * 20])
    executor = spanned("llama", budget=128)
    with watched("llama", most=40) as fed:
        found = scores("llama", executor, pack)
    assert executor.budget == 32
    assert max(fed) == 32
    np.testing.assert_allclose(found, own_logprobs(parts("llama")[0], pack), rtol=0, atol=CLOSE)
    with watched("llama", most=8), pytest.raises(ModelOutputError, match="no memory for 32 tokens"):
        scores("llama", executor, pack)
