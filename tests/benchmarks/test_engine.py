"""The benchmark's arithmetic: what is asked, the least work for it, the roofline, the samples."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

from benchmarks.engine import sampling
from benchmarks.engine.minimum import Work, minimal_work
from benchmarks.engine.peer_cost import Clock, cost, parts_for
from benchmarks.engine.peers.ours import Ours
from benchmarks.engine.peers.padded import Padded
from benchmarks.engine.peers.reference import Reference
from benchmarks.engine.roofline import (
    BY_MM,
    Matmul,
    best_rates,
    ideal_seconds,
    matmuls_of,
    measured_rates,
)
from benchmarks.engine.scorers import Loading
from benchmarks.engine.workloads import (
    NAMES,
    QUICK,
    Asked,
    Draw,
    Sizes,
    Workload,
    fed_alone,
    workload,
)
from logpr.models.hf.products import padding

VOCAB = 97

ids = st.lists(st.integers(0, 3), min_size=1, max_size=5).map(tuple)
queries = st.lists(
    st.builds(Asked, ids, st.lists(ids, min_size=1, max_size=4).map(tuple)), min_size=1, max_size=4
)


def by_sets(asked: list[Asked]) -> Work:
    """Return the least work, counted from the sets of prefixes themselves."""
    fed: set[tuple[int, ...]] = set()
    read: set[tuple[int, ...]] = set()
    for query in asked:
        for candidate in query.candidates:
            whole = query.prompt + candidate
            fed |= {whole[:size] for size in range(1, len(whole))}
            read |= {whole[:size] for size in range(len(query.prompt), len(whole))}
    return Work(tokens=len(fed), rows=len(read))


@given(queries)
def test_least_work_is_the_number_of_distinct_prefixes(asked: list[Asked]) -> None:
    """Tokens are the proper prefixes of all sequences, rows those that are asked about."""
    assert minimal_work(asked) == by_sets(asked)


@given(queries)
def test_least_work_is_no_more_than_that_of_any_peer(asked: list[Asked]) -> None:
    """No peer is thought to run fewer tokens than must be run."""
    least = minimal_work(asked)
    for peer in ("lm-eval", "minicons", "padded", "llama.cpp"):
        assert cost(peer, asked).tokens >= least.tokens


@pytest.mark.parametrize("name", NAMES)
def test_a_workload_is_always_the_same_and_in_the_vocabulary(name: str) -> None:
    """Every process that draws it has the same ids, all ordinary ones."""
    work = workload(name, vocab=VOCAB, sizes=QUICK)
    assert work == workload(name, vocab=VOCAB, sizes=QUICK)
    seen = {token for query in work.queries for token in query.prompt}
    seen |= {token for query in work.queries for one in query.candidates for token in one}
    assert min(seen) >= 3
    assert max(seen) < VOCAB


def test_the_sizes_are_those_of_the_table() -> None:
    """Queries, candidates and tokens of the full workloads."""
    works = {name: workload(name, vocab=32_000, sizes=Sizes()) for name in NAMES}
    counts = {
        name: (len(work.queries), len(work.queries[0].candidates)) for name, work in works.items()
    }
    assert counts == {
        "choices": (64, 4),
        "long-prompt": (16, 4),
        "few-shot": (32, 4),
        "n-best": (1, 256),
        "n-best top-1": (1, 256),
        "labels": (64, 1_000),
        "labels top-1": (64, 1_000),
        "corpus": (64, 1),
    }
    assert works["few-shot"].queries[0].prompt[:600] == works["few-shot"].queries[31].prompt[:600]
    assert sum(len(query.candidates[0]) for query in works["corpus"].queries) == 65_536
    lengths = [len(one) for one in works["labels"].queries[0].candidates]
    assert sorted(set(lengths)) == [1, 2, 3, 4]
    assert len(set(works["labels"].queries[0].candidates)) == 1_000


def test_a_beam_shares_its_stems_and_no_hypothesis_begins_another() -> None:
    """256 finished hypotheses of 25 to 35 tokens, far fewer distinct tokens than tokens."""
    beam = Draw(32_000).beam(256)
    assert len(set(beam)) == 256
    assert min(map(len, beam)) == 25
    assert max(map(len, beam)) == 35
    least = minimal_work([Asked((3,), beam)])
    assert least.tokens < sum(map(len, beam)) / 2
    stems = {one[:size] for one in beam for size in range(len(one))}
    assert not stems & set(beam)


def test_the_ideal_is_the_sum_of_flops_over_rates() -> None:
    """2 · inner · outer · count · tokens ÷ rate, rows in place of tokens for the head."""
    layer = Matmul(inner=4, outer=8, count=3)
    head = Matmul(inner=4, outer=100, count=1, head=True)
    rates = best_rates([{"4x8": 10.0, "4x100": 400.0}, {"4x8": 96.0, "4x100": 50.0}])
    assert rates == {"4x8": 96.0, "4x100": 400.0}
    seconds = ideal_seconds(Work(tokens=10, rows=5), [layer, head], rates)
    assert seconds == pytest.approx(2 * 4 * 8 * 3 * 10 / 96.0 + 2 * 4 * 100 * 5 / 400.0)


def llama() -> LlamaForCausalLM:
    """Return a small model with random weights."""
    torch.manual_seed(0)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=VOCAB,
            hidden_size=32,
            intermediate_size=48,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=1_100,
            initializer_range=0.2,
            tie_word_embeddings=True,
        )
    )


def test_the_products_of_a_model_are_its_matrices() -> None:
    """Every matrix but the embeddings counts once a layer; the tied head counts as head."""
    model = llama()
    kinds = matmuls_of(model)
    matrices = sum(
        p.numel() for n, p in model.named_parameters() if p.dim() > 1 and "embed" not in n
    )
    assert sum(one.inner * one.outer * one.count for one in kinds if not one.head) == matrices
    assert kinds[-1] == Matmul(inner=32, outer=VOCAB, count=1, head=True)
    assert all(rate > 0 for rate in measured_rates(kinds, dtype="float32", device="cpu").values())


def test_gpt2_matrices_lie_by_row() -> None:
    """Its layers multiply [tokens, inner] by [inner, outer] as stored."""
    model = GPT2LMHeadModel(GPT2Config(vocab_size=VOCAB, n_embd=16, n_layer=2, n_head=2))
    kinds = matmuls_of(model)
    assert {(one.inner, one.outer, one.count) for one in kinds if one.by_row} == {
        (16, 48, 2),
        (16, 16, 2),
        (16, 64, 2),
        (64, 16, 2),
    }
    assert not kinds[-1].by_row


@given(asked=queries, share=st.floats(0, 1), together=st.booleans())
def test_a_spread_keeps_the_first_and_its_places(
    *, asked: list[Asked], share: float, together: bool
) -> None:
    """Each place of a part names the very sequence; those run as one stay together."""
    work = Workload("w", tuple(asked))
    part = sampling.spread(work, share, together=together)
    assert part.places[0][0] == (0, 0)
    for query, places in zip(part.work.queries, part.places, strict=True):
        for candidate, (q, c) in zip(query.candidates, places, strict=True):
            assert asked[q].prompt == query.prompt
            assert asked[q].candidates[c] == candidate
            if not together:
                continue
            alike = [i for i, one in enumerate(asked[q].candidates) if one[:-1] == candidate[:-1]]
            assert {(q, i) for i in alike} <= set(places)


@given(queries)
def test_a_spread_of_everything_is_everything(asked: list[Asked]) -> None:
    """With share 1 nothing is left out."""
    work = Workload("w", tuple(asked))
    assert sampling.spread(work, 1.0, together=True) == sampling.whole(work)
    assert fed_alone(sampling.whole(work).work.queries) == fed_alone(asked)


def clock(peer: str, seconds_a_token: float) -> Clock:
    """Return a clock of a peer that takes so long a token."""
    kind = Matmul(inner=1, outer=1, count=1)
    return Clock(peer, [kind], {kind.key + BY_MM: 2 / seconds_a_token / 0.4})


def test_a_peer_runs_what_it_has_time_for() -> None:
    """All if it can; else whole queries, or a sample where those would not show the sharing."""
    works = {name: workload(name, vocab=32_000, sizes=Sizes()) for name in NAMES}
    for name in ("choices", "few-shot", "n-best"):
        ours, part = parts_for(works[name], clock("padded", 1e-9), limit=5.0)
        assert ours == part.work == works[name]
    slow = clock("padded", 1e-3)
    ours, part = parts_for(works["choices"], slow, limit=5.0)
    assert ours == part.work == works["choices"].first(len(ours.queries))
    assert slow.foreseen(ours) <= 5.0 < slow.foreseen(works["choices"].first(len(ours.queries) + 1))
    ours, part = parts_for(works["few-shot"], slow, limit=5.0)
    assert ours == works["few-shot"]
    assert 1 <= part.sequences < 32
    ours, part = parts_for(works["labels"], slow, limit=5.0)
    assert ours == works["labels"].first(1)
    assert slow.tokens(part.work) == pytest.approx(5_000, rel=0.05)
    ours, part = parts_for(works["n-best"], clock("llama.cpp", 1e-3), limit=5.0)
    assert ours == part.work == works["n-best"]


def test_scorers_agree_and_ours_feeds_the_least(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The scorers give one number; logpr feeds each prefix once, and fills up a product."""
    folder = tmp_path_factory.mktemp("model")
    llama().save_pretrained(folder)
    loading = Loading(folder=folder, dtype="float32", device="cpu", threads=1)
    ours, padded, reference = Ours(loading), Padded(loading), Reference(loading)
    for name in ("choices", "n-best", "labels"):
        asked = workload(name, vocab=VOCAB, sizes=QUICK).first(1).queries
        exact = reference.score(asked, None)
        fed = ours.fed
        assert ours.score(asked, None) == [pytest.approx(row, abs=1e-3) for row in exact]
        least = minimal_work(asked).tokens
        assert ours.fed - fed == least + padding(least)
        assert padded.score(asked, None) == [pytest.approx(row, abs=1e-3) for row in exact]
