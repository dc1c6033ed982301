"""Many beginnings at once equal the plain run: any growth, any room, any cut into chunks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from logpr.errors import ContextLengthError, EmptyContextError, ModelOutputError
from logpr.models.base import StepRows, Stepwise
from logpr.models.builtin import LlamaModel, passes, steps
from logpr.models.builtin.steps import LlamaStepper
from tests.models.strategies import CONFIG, VOCAB, llama_folder
from tests.models.test_builtin_runtime import ARCHITECTURES, random_model

PLENTY = 2**24


def ints(*numbers: int) -> np.ndarray:
    """Return an array of indices."""
    return np.array(numbers, dtype=np.int64)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LlamaModel:
    """Return a random Llama of 11 tokens in float64."""
    return LlamaModel.from_folder(llama_folder(tmp_path_factory.mktemp("llama")), dtype="float64")


def slot_bytes(model: LlamaModel) -> int:
    """Return what the keys and values of one token take."""
    config = model._config
    size = model._weights.embedding.dtype.itemsize
    return 2 * config.layers * config.kv_heads * config.head_dim * size


def expected(model: LlamaModel, prompt: tuple[int, ...], path: tuple[int, ...]) -> np.ndarray:
    """Return log-probabilities after a path, the slow and obvious way."""
    row = model.plain((*prompt, *path))[-1].astype(np.float64)
    return np.asarray(row - (row.max() + np.log(np.exp(row - row.max()).sum())))


def check_rows(
    model: LlamaModel,
    stepper: LlamaStepper,
    prompt: tuple[int, ...],
    nodes: list[int],
    rows: StepRows,
) -> None:
    """Hold rows to the plain run, 1e-9 in float64."""
    assert rows.unseen is None
    assert rows.values.shape == (len(nodes), model.vocab_size)
    for node, values, logz in zip(nodes, rows.values, rows.logz, strict=True):
        found = values - logz
        assert np.abs(found - expected(model, prompt, stepper.path(node))).max() < 1e-9


Call = tuple[list[tuple[int, int]], list[int]]
"""(which held node, by its place, and which token) of each row, and which places are let go."""

calls = st.lists(
    st.tuples(
        st.lists(st.tuples(st.integers(0, 99), st.integers(0, VOCAB - 1)), min_size=0, max_size=7),
        st.lists(st.integers(0, 99), max_size=4),
    ),
    min_size=1,
    max_size=5,
)
cuts = st.tuples(st.sampled_from((1, 2, 3, 512)), st.sampled_from((1, 100, 2**17)))
"""Rows of a chunk, and entries of a tile."""


@settings(max_examples=40)
@given(
    prompt=st.lists(st.integers(0, VOCAB - 1), min_size=1, max_size=6).map(tuple),
    calls=calls,
    slots=st.sampled_from((0, 1, 3, 6, 1000)),
    cut=cuts,
)
def test_any_growth_equals_the_plain_run(
    model: LlamaModel,
    prompt: tuple[int, ...],
    calls: list[Call],
    slots: int,
    cut: tuple[int, int],
) -> None:
    """Mixed depths, parents from any call, eviction, numbers used again: every row is the plain."""
    stepper = model.stepper(prompt, kv_bytes=slots * slot_bytes(model))
    held: list[int] = []
    new_rows = 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(steps, "CHUNK", cut[0])
        patch.setattr(passes, "_TILE_ENTRIES", cut[1])
        check_rows(model, stepper, prompt, [stepper.root], stepper.start())
        for pairs, gone in calls:
            choice = [stepper.root, *held]
            parents = ints(*(choice[place % len(choice)] for place, _ in pairs))
            nodes, rows = stepper.extend(parents, ints(*(token for _, token in pairs)))
            check_rows(model, stepper, prompt, nodes.tolist(), rows)
            new_rows += len(pairs)
            held += nodes.tolist()
            for place in gone:
                if held:
                    stepper.release(ints(held.pop(place % len(held))))
    assert stepper.fed == len(prompt) + new_rows + stepper.fed_again
    if slots == 1000:
        assert stepper.fed_again == 0


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_architecture_equals_the_plain_run(name: str, tmp_path: Path) -> None:
    """Grouped heads, biases, odd head sizes, scaled frequencies: mixed depths, tiny room."""
    random_model(name).save_pretrained(tmp_path)
    model = LlamaModel.from_folder(tmp_path, dtype="float64")
    prompt = (3, 1, 4, 1, 5)
    rng = np.random.default_rng(2)
    for slots in (3, 1000):
        stepper = model.stepper(prompt, kv_bytes=slots * slot_bytes(model))
        every = [stepper.root]
        for _ in range(6):
            parents = rng.choice(every, 7)
            nodes, rows = stepper.extend(parents, rng.integers(0, model.vocab_size, 7))
            check_rows(model, stepper, prompt, nodes.tolist(), rows)
            every += nodes.tolist()
        assert (stepper.fed_again > 0) == (slots == 3)


def test_single_precision_is_near_the_plain_run_in_double(tmp_path: Path) -> None:
    """In float32 the values come in float32, their normalisers in float64, near 1e-4 at most."""
    folder = llama_folder(tmp_path)
    model, oracle = (
        LlamaModel.from_folder(folder, dtype=dtype) for dtype in ("float32", "float64")
    )
    prompt = (1, 2, 3)
    stepper = model.stepper(prompt, kv_bytes=PLENTY)
    nodes, rows = stepper.extend(ints(0, 0, 0), ints(4, 5, 6))
    deeper, more = stepper.extend(nodes[[2, 0]], ints(7, 8))
    assert rows.values.dtype == more.values.dtype == np.float32
    assert rows.logz.dtype == np.float64
    for node, values, logz in zip(
        [*nodes, *deeper], [*rows.values, *more.values], [*rows.logz, *more.logz], strict=True
    ):
        exact = expected(oracle, prompt, stepper.path(int(node)))
        assert np.abs(values - logz - exact).max() < 1e-4
        # What is emitted is normalised for itself, to more digits than it has.
        own = values.astype(np.float64)
        assert abs(logz - (own.max() + np.log(np.exp(own - own.max()).sum()))) < 1e-6


def test_it_counts_what_it_does(model: LlamaModel) -> None:
    """Tokens, passes and bytes; nothing runs before it is asked for."""
    assert isinstance(model, Stepwise)
    one = slot_bytes(model)
    stepper = model.stepper((1, 2, 3), kv_bytes=2 * one)
    assert (stepper.root, stepper.fed, stepper.calls) == (0, 0, 0)
    assert (stepper.nbytes, stepper.peak_bytes) == (0, 0)
    first = stepper.start()
    assert np.array_equal(stepper.start().values, first.values)
    assert (stepper.fed, stepper.fed_again, stepper.calls, stepper.nbytes) == (3, 0, 1, 3 * one)
    path = ints(0)
    for token in (4, 5, 6):
        path, _ = stepper.extend(path, ints(token))
    assert (stepper.fed, stepper.fed_again, stepper.calls) == (6, 0, 4)
    stepper.extend(ints(0, 0), ints(7, 8))
    stepper.extend(path, ints(9))
    assert stepper.fed_again > 0
    assert stepper.nbytes == stepper.peak_bytes == 3 * one + 4 * one, "one pass needed four slots"
    before = stepper.calls
    nodes, rows = stepper.extend(ints(), ints())
    assert (len(nodes), rows.values.shape, stepper.calls) == (0, (0, VOCAB), before)


def test_a_held_node_goes_on_after_its_parent_was_let_go(model: LlamaModel) -> None:
    """Children hold their parents; what nobody holds makes room."""
    stepper = model.stepper((1,), kv_bytes=PLENTY)
    (parent,), _ = stepper.extend(ints(0), ints(5))
    child, _ = stepper.extend(ints(parent), ints(6))
    stepper.release(ints(parent))
    stepper.hold(child, ints(1))
    stepper.release(child)
    nodes, rows = stepper.extend(child, ints(7))
    assert stepper.path(int(nodes[0])) == (5, 6, 7)
    check_rows(model, stepper, (1,), nodes.tolist(), rows)
    stepper.release(np.concatenate([child, nodes]))
    other, rows = stepper.extend(ints(0), ints(8))
    check_rows(model, stepper, (1,), other.tolist(), rows)
    assert stepper._growth.used_slots == 1


def test_the_context_ends(model: LlamaModel) -> None:
    """A path to the last place runs; one more, or a longer prompt, is refused with what to do."""
    prompt = tuple(np.random.default_rng(0).integers(0, VOCAB, 62).tolist())
    stepper = model.stepper(prompt, kv_bytes=PLENTY)
    one, _ = stepper.extend(ints(0), ints(3))
    two, rows = stepper.extend(one, ints(4))
    check_rows(model, stepper, prompt, two.tolist(), rows)
    with pytest.raises(ContextLengthError, match=r"65 tokens.*holds 64; .*max_new_tokens=2$"):
        stepper.extend(ints(0, int(two[0])), ints(1, 2))
    stepper.extend(two[:0], ints())
    with pytest.raises(ContextLengthError, match=r"65 tokens.*shorten the prompt"):
        model.stepper((1,) * 65, kv_bytes=PLENTY)
    whole = model.stepper((1,) * 64, kv_bytes=PLENTY)
    check_rows(model, whole, (1,) * 64, [whole.root], whole.start())
    with pytest.raises(ContextLengthError):
        whole.extend(ints(0), ints(1))


def test_nothing_before_the_first_token(model: LlamaModel) -> None:
    """An empty prompt is refused, and a start token named."""
    with pytest.raises(EmptyContextError, match="bos='always'"):
        model.stepper((), kv_bytes=PLENTY)


def test_a_row_without_distribution_is_an_error(tmp_path: Path) -> None:
    """The error says which row and what is in it; nothing of the call stays."""
    model = LlamaModel.from_folder(llama_folder(tmp_path), dtype="float64")
    weights = model._weights
    stepper = model.stepper((1, 2), kv_bytes=PLENTY)
    stepper.extend(ints(0), ints(3))
    used = stepper._growth.used_slots
    weights.embedding[7] = np.nan
    with pytest.raises(ModelOutputError, match=r"prefix 1: 11 of 11 logits are nan"):
        stepper.extend(ints(0, 0), ints(3, 7))
    with pytest.raises(ModelOutputError, match=r"prefix 0: 11 of 11 logits are nan"):
        model.stepper((1, 7), kv_bytes=PLENTY).start()
    # One logit beyond the largest number, of the sign that makes it +inf.
    weights.norm[0] = 1e10
    weights.head[:, 0] = 0.0
    weights.head[4, 0] = 1.0
    weights.head[4, 0] = 1e300 * np.sign(model.plain((1, 2, 5))[-1, 4])
    infinite = r"prefix 0: 1 of 11 logits are \+inf, the first at token 4"
    with pytest.raises(ModelOutputError, match=infinite), np.errstate(over="ignore"):
        stepper.extend(ints(0), ints(5))
    assert stepper._growth.used_slots == used


def test_a_pass_that_broke_off_leaves_nothing_to_read(
    model: LlamaModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C in the middle of a pass that fed lost ancestors again: the next one is right."""
    prompt = (2, 7)
    stepper = model.stepper(prompt, kv_bytes=2 * slot_bytes(model))
    path = ints(0)
    for token in (3, 4, 5):
        path, _ = stepper.extend(path, ints(token))
    stepper.extend(ints(0, 0), ints(6, 7))
    lost = stepper.fed

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(passes, "_mlp", interrupted)
        with pytest.raises(KeyboardInterrupt):
            stepper.extend(path, ints(8))
    assert stepper.fed - lost == 4, "ancestors were to go again"
    nodes, rows = stepper.extend(path, ints(8))
    check_rows(model, stepper, prompt, nodes.tolist(), rows)
    assert stepper.path(int(nodes[0])) == (3, 4, 5, 8)


def test_deep_paths_and_long_prompts(tmp_path: Path) -> None:
    """Forty tokens deep beside one: hidden places weigh nothing, angles go on with the depth."""
    folder = llama_folder(tmp_path, config=CONFIG | {"max_position_embeddings": 128})
    model = LlamaModel.from_folder(folder, dtype="float64")
    prompt = tuple(np.random.default_rng(1).integers(0, VOCAB, 30).tolist())
    stepper = model.stepper(prompt, kv_bytes=PLENTY)
    deep = ints(0)
    for token in range(40):
        deep, _ = stepper.extend(deep, ints(token % VOCAB))
    pools, _ = stepper._started()
    assert stepper._growth.capacity > 43, "some slots hold nothing yet"
    for part in (*pools._keys, *pools._values):
        part[40:] = np.nan
    nodes, rows = stepper.extend(ints(0, int(deep[0]), 0), ints(1, 2, 3))
    check_rows(model, stepper, prompt, nodes.tolist(), rows)
