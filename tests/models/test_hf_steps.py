"""Beginnings grown through `forest`: every row is the one that transformers gives by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import TypeAlias

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from jaxtyping import Float64
from transformers import PreTrainedModel

from logpr._types import IntNodes
from logpr.errors import (
    ContextLengthError,
    EmptyContextError,
    ModelOutputError,
    TokenizationError,
)
from logpr.models._prefix_steps import PrefixSteps
from logpr.models.base import Stepper, StepRows, Stepwise
from logpr.models.hf import step_attention, step_passes
from logpr.models.hf.model import HFModel
from logpr.models.hf.steps import ForestSteps
from tests.models.hf_models import own_logits, random_model

CLOSE = 1e-5  # float32, a few layers
PLENTY = 2**30
PROMPT = (3, 1, 4, 1, 5, 9, 2, 6, 5, 3)

FAMILIES = ("llama", "gpt2", "mistral", "gemma2", "gpt_oss", "deepseek_v3", "cohere", "opt")
"""Grouped heads, learnt positions, windows, soft-caps, sinks, values of a width of their own."""

CHANGES: dict[str, dict[str, object]] = {
    # As they come, scores of such small models are far from the cap.
    "gemma2": {"attn_logit_softcapping": 0.5, "final_logit_softcapping": 2.0},
}


@cache
def module(family: str) -> PreTrainedModel:
    """Return a random model of transformers."""
    return random_model(family, **CHANGES.get(family, {}))


@cache
def model(family: str) -> HFModel:
    """Return the same behind the seam."""
    return HFModel.from_modules(module(family))


@cache
def own(family: str, path: tuple[int, ...]) -> Float64[np.ndarray, " vocab"]:
    """Return the log-probabilities after a sequence, by transformers alone."""
    logits = torch.from_numpy(own_logits(module(family), list(path))[-1])
    out: Float64[np.ndarray, " vocab"] = logits.log_softmax(dim=-1).numpy()
    return out


def logprobs(rows: StepRows) -> Float64[np.ndarray, "prefixes vocab"]:
    """Return what the rows say of every token."""
    assert rows.unseen is None
    out: Float64[np.ndarray, "prefixes vocab"] = rows.values - rows.logz[:, None]
    return out


def ints(*numbers: int) -> IntNodes:
    """Return an array as the seam takes it."""
    return np.array(numbers, dtype=np.int64)


def stepper(family: str, prompt: tuple[int, ...] = PROMPT, *, kv_bytes: int = PLENTY) -> Stepper:
    """Return beginnings that have begun."""
    found = model(family).stepper(prompt, kv_bytes=kv_bytes)
    assert isinstance(found, ForestSteps)
    found.start()
    return found


def token_bytes(family: str) -> int:
    """Return what the keys and values of one token take."""
    return stepper(family, (1,)).nbytes


Rounds: TypeAlias = list[list[tuple[int, int, bool]]]
"""Of each call: from which of the nodes that there are, by which token; and is it kept."""

ROUNDS = st.lists(
    st.lists(
        st.tuples(st.integers(0, 10**6), st.integers(0, 4), st.booleans()), min_size=1, max_size=6
    ),
    min_size=1,
    max_size=8,
)


@settings(max_examples=80)
@given(
    st.sampled_from(FAMILIES),
    st.sampled_from((PROMPT, PROMPT[:1])),
    ROUNDS,
    st.tuples(
        st.sampled_from((0, 3, 10**6)), st.sampled_from((2, 4, 1024)), st.sampled_from((1, 2**22))
    ),
)
def test_every_row_is_the_models_own(
    family: str, prompt: tuple[int, ...], rounds: Rounds, sizes: tuple[int, int, int]
) -> None:
    """A random growth: any room for keys, passes and blocks of any size, numbers used again."""
    room, rows, most = sizes
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(step_attention, "_MOST", most)
        patch.setattr(model(family)._executor, "budget", rows)
        found = model(family).stepper(prompt, kv_bytes=room * token_bytes(family))
        first = logprobs(found.start())
        np.testing.assert_allclose(first, own(family, prompt)[None], rtol=0, atol=CLOSE)
        paths: dict[int, tuple[int, ...]] = {found.root: ()}
        for drawn in rounds:
            places = list(paths)
            parents = ints(*(places[place % len(places)] for place, _, _ in drawn))
            tokens = ints(*(token for _, token, _ in drawn))
            nodes, said = found.extend(parents, tokens)
            wanted = [(*paths[int(p)], int(t)) for p, t in zip(parents, tokens, strict=True)]
            expected = np.stack([own(family, prompt + path) for path in wanted])
            np.testing.assert_allclose(logprobs(said), expected, rtol=0, atol=CLOSE)
            kept = np.array([keep for _, _, keep in drawn])
            found.release(nodes[~kept])
            for node, path in zip(nodes[kept].tolist(), np.flatnonzero(kept), strict=True):
                paths[node] = wanted[path]
                assert found.path(node) == wanted[path]


@pytest.mark.parametrize("family", ["mistral", "gemma2", "gpt_oss"])
def test_paths_grow_out_of_their_windows(family: str) -> None:
    """Twelve tokens where eight are seen: of the prompt nothing, of the path its end."""
    found = stepper(family)
    node, path = ints(found.root), PROMPT
    for token in range(12):
        nodes, rows = found.extend(np.append(node, found.root), ints(token + 20, 7))
        path = (*path, token + 20)
        expected = np.stack([own(family, path), own(family, (*PROMPT, 7))])
        np.testing.assert_allclose(logprobs(rows), expected, rtol=0, atol=CLOSE)
        node = nodes[:1]


def test_in_float64_nothing_is_rounded_on_the_way(rng: np.random.Generator) -> None:
    """GPT-2 has no island of float32: 14 digits of its own rows, mixed depths and evictions."""
    network = random_model("gpt2", dtype=torch.float64)
    found = HFModel.from_modules(network).stepper(PROMPT, kv_bytes=4000)
    rows = [found.start()]
    paths: list[tuple[int, ...]] = [()]
    nodes = ints(found.root)
    for token in range(5):
        parents = rng.choice(nodes, 6)
        new, said = found.extend(parents, np.full(6, token))
        rows.append(said)
        paths += [found.path(int(node)) for node in new]
        nodes = np.concatenate([nodes, new])
    assert found.fed_again > 0
    logits = [own_logits(network, [*PROMPT, *path])[-1] for path in paths]
    expected = torch.from_numpy(np.stack(logits)).log_softmax(dim=-1).numpy()
    assert rows[0].values.dtype == np.float64
    np.testing.assert_allclose(
        np.concatenate([logprobs(one) for one in rows]), expected, rtol=0, atol=1e-12
    )


def test_rows_are_logits_in_float32_and_their_normaliser_in_float64() -> None:
    """As the head emits them; log Pr = values − logz sums to 1."""
    _, rows = stepper("llama").extend(ints(0, 0), ints(1, 2))
    assert rows.values.dtype == np.float32
    exact = np.logaddexp.reduce(rows.values.astype(np.float64), axis=1)
    np.testing.assert_allclose(rows.logz, exact, rtol=1e-15)


def test_in_half_precision_rows_are_as_good_as_the_models_own() -> None:
    """bfloat16: no further from float32 than next_logits is, up to a factor."""
    network = random_model("llama", dtype=torch.bfloat16)
    half = HFModel.from_modules(network, executor="forest")
    found = half.stepper(PROMPT, kv_bytes=PLENTY)
    found.start()
    nodes, _ = found.extend(ints(0, 0), ints(7, 8))
    _, rows = found.extend(nodes, ints(9, 9))
    exact = random_model("llama").float()
    exact.load_state_dict(network.state_dict())
    true = HFModel.from_modules(exact).next_logits([(*PROMPT, 7, 9), (*PROMPT, 8, 9)]).logprobs
    whole = half.next_logits([(*PROMPT, 7, 9), (*PROMPT, 8, 9)]).logprobs
    assert np.abs(logprobs(rows) - true).max() <= 2 * np.abs(whole - true).max()


@contextmanager
def seen(family: str, act: Callable[[int], None] | None = None) -> Iterator[list[int]]:
    """Note how many tokens each forward pass is fed."""
    fed: list[int] = []

    def hook(_module: torch.nn.Module, given: tuple[torch.Tensor, ...]) -> None:
        fed.append(given[0].numel())
        if act is not None:
            act(fed[-1])

    handle = module(family).get_input_embeddings().register_forward_pre_hook(hook)
    try:
        yield fed
    finally:
        handle.remove()


def test_each_token_goes_through_the_network_once() -> None:
    """With room for all: the prompt, and every node; one pass a call."""
    whole = model("gpt2")
    with seen("gpt2") as fed:
        found = whole.stepper(PROMPT, kv_bytes=PLENTY)
        found.start()
        nodes, _ = found.extend(ints(0, 0, 0), ints(1, 2, 3))
        found.extend(np.repeat(nodes, 2), ints(4, 5, 4, 5, 4, 5))
    assert (found.fed, found.fed_again, found.calls) == (len(PROMPT) + 3 + 6, 0, 3)
    assert len(fed) == 3
    assert all(rows <= -(-real // 32) * 32 for rows, real in zip(fed, (10, 3, 6), strict=True))


def test_what_there_is_no_room_for_is_fed_again() -> None:
    """Room for three tokens: a fourth pushes one out, and it comes back when it is needed."""
    size = token_bytes("llama")
    found = stepper("llama", kv_bytes=3 * size)
    before = found.nbytes
    assert before == len(PROMPT) * size
    nodes, _ = found.extend(ints(0, 0, 0), ints(1, 2, 3))
    assert found.fed_again == 0
    deeper, _ = found.extend(nodes[2:], ints(1))
    _, rows = found.extend(nodes[:2], ints(6, 6))
    assert found.fed_again == 1, "one of the two"
    assert found.fed == len(PROMPT) + 3 + 1 + 2 + 1
    expected = np.stack([own("llama", (*PROMPT, token, 6)) for token in (1, 2)])
    np.testing.assert_allclose(logprobs(rows), expected, rtol=0, atol=CLOSE)
    # Of one call, beside the room: its rows and those above them.
    assert before < found.nbytes <= before + (3 + 4) * size
    assert found.peak_bytes >= found.nbytes
    assert found.path(int(deeper[0])) == (3, 1)


def test_nothing_to_extend_is_no_pass() -> None:
    """No nodes, no rows, and the width of a row all the same."""
    found = stepper("llama")
    nodes, rows = found.extend(ints(), ints())
    assert len(nodes) == 0
    assert rows.values.shape == (0, model("llama").vocab_size)
    assert found.calls == 1


def test_the_models_own_attention_comes_back() -> None:
    """After a pass, and after one that fails, the module runs as it did."""
    network = module("mistral")
    name = network.config._attn_implementation
    found = stepper("mistral")
    found.extend(ints(0), ints(1))
    assert network.config._attn_implementation == name

    def fail(_: int) -> None:
        raise KeyboardInterrupt

    with seen("mistral", fail), pytest.raises(KeyboardInterrupt):
        found.extend(ints(0), ints(1))
    assert network.config._attn_implementation == name


def test_an_interrupted_call_leaves_nothing_behind() -> None:
    """A token whose pass broke off in the middle is fed again before anything goes on from it."""
    found = stepper("llama", kv_bytes=2 * token_bytes("llama"))
    nodes, _ = found.extend(ints(0, 0), ints(1, 2))
    found.extend(nodes[1:], ints(5))  # pushes the first one out

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    handle = module("llama").model.layers[1].register_forward_pre_hook(stop)
    try:
        with pytest.raises(KeyboardInterrupt):
            found.extend(nodes[:1], ints(4))
    finally:
        handle.remove()
    again, rows = found.extend(nodes[:1], ints(4))
    np.testing.assert_allclose(logprobs(rows)[0], own("llama", (*PROMPT, 1, 4)), rtol=0, atol=CLOSE)
    assert found.path(int(again[0])) == (1, 4)


def _no_more_than(most: int) -> Callable[[int], None]:
    def act(rows: int) -> None:
        if rows > most:
            msg = "[enforce fail] DefaultCPUAllocator: can't allocate memory: 8 bytes"
            raise RuntimeError(msg)

    return act


@pytest.mark.parametrize("budget", [1024, 80])
def test_where_memory_is_short_passes_are_shorter(
    budget: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond 64 rows memory runs out: the same rows come in more passes."""
    monkeypatch.setattr(model("gpt2")._executor, "budget", budget)
    found = stepper("gpt2")
    tokens = np.arange(90)
    with seen("gpt2", _no_more_than(64)):
        _, rows = found.extend(np.zeros(90, dtype=np.int64), tokens)
    assert found.calls > 2
    expected = np.stack([own("gpt2", (*PROMPT, int(token))) for token in tokens])
    np.testing.assert_allclose(logprobs(rows), expected, rtol=0, atol=CLOSE)
    with (
        seen("gpt2", _no_more_than(0)),
        pytest.raises(ModelOutputError, match="no memory for 32 tokens at once"),
    ):
        found.extend(ints(0), ints(1))


def test_a_long_prompt_is_read_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Passes of at most 32 rows: 70 tokens of prompt in three."""
    monkeypatch.setattr(model("mistral")._executor, "budget", 32)
    prompt = tuple((7 * i) % 90 for i in range(70))
    with seen("mistral") as fed:
        found = model("mistral").stepper(prompt, kv_bytes=PLENTY)
        rows = found.start()
    assert len(fed) == found.calls == 3
    assert found.fed == 70
    np.testing.assert_allclose(logprobs(rows)[0], own("mistral", prompt), rtol=0, atol=CLOSE)
    _, rows = found.extend(ints(0), ints(4))
    np.testing.assert_allclose(logprobs(rows)[0], own("mistral", (*prompt, 4)), rtol=0, atol=CLOSE)


@pytest.mark.parametrize("size", [1, 2**40])
def test_products_by_either_library_give_the_same(
    size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every product by the layers' own code, or every one by the faster library where it is."""
    monkeypatch.setattr(step_passes, "_WORTH", size)
    _, rows = stepper("llama").extend(np.zeros(40, dtype=np.int64), np.arange(40))
    expected = np.stack([own("llama", (*PROMPT, token)) for token in range(40)])
    np.testing.assert_allclose(logprobs(rows), expected, rtol=0, atol=CLOSE)


def test_a_row_without_a_distribution_is_refused_and_let_go() -> None:
    """An embedding of nan: the message says what the row has, and the others go on."""
    network = random_model("llama")
    whole = HFModel.from_modules(network)
    with torch.no_grad():
        network.get_input_embeddings().weight[11] = float("nan")
    found = whole.stepper(PROMPT, kv_bytes=PLENTY)
    found.start()
    with pytest.raises(ModelOutputError, match=r"prefix 1: 97 of 97 logits are nan"):
        found.extend(ints(0, 0), ints(1, 11))
    nodes, rows = found.extend(ints(0, 0), ints(1, 2))
    np.testing.assert_allclose(logprobs(rows)[1], own("llama", (*PROMPT, 2)), rtol=0, atol=CLOSE)
    assert [found.path(int(node)) for node in nodes] == [(1,), (2,)]


def test_what_cannot_be_fed_is_refused() -> None:
    """No prompt, a path beyond the context, an id without an embedding."""
    llama = model("llama")
    with pytest.raises(EmptyContextError, match="bos='always'"):
        llama.stepper((), kv_bytes=PLENTY).start()
    with pytest.raises(ContextLengthError, match="97 tokens is longer than the context of Llama"):
        llama.stepper((1,) * 97, kv_bytes=PLENTY).start()
    found = stepper("llama", (1,) * 95)
    nodes, _ = found.extend(ints(0), ints(1))
    with pytest.raises(ContextLengthError, match="max_new_tokens"):
        found.extend(nodes, ints(1))
    for token in (97, -1):
        with pytest.raises(TokenizationError, match=f"token id {token} cannot be fed"):
            found.extend(ints(0), ints(token))


@pytest.mark.parametrize("family", ["gptj", "bloom", "openai_gpt", "invariant"])
def test_every_model_of_transformers_has_a_stepper(family: str) -> None:
    """Where `forest` is not right, or the same bits are promised: whole prefixes, as ever."""
    name, invariant = ("llama", True) if family == "invariant" else (family, False)
    whole = HFModel.from_modules(random_model(name), batch_invariant=invariant)
    assert isinstance(whole, Stepwise)
    found = whole.stepper(PROMPT, kv_bytes=PLENTY)
    assert isinstance(found, PrefixSteps)
    found.start()
    nodes, _ = found.extend(ints(0, 0), ints(1, 2))
    _, rows = found.extend(nodes, ints(3, 4))
    expected = whole.next_logits([(*PROMPT, 1, 3), (*PROMPT, 2, 4)])
    np.testing.assert_allclose(logprobs(rows), expected.logprobs, rtol=0, atol=CLOSE)
    if invariant:
        one_by_one = [whole.next_logits([(*PROMPT, *path)]).logits for path in ((1, 3), (2, 4))]
        np.testing.assert_array_equal(rows.values, np.concatenate(one_by_one))
