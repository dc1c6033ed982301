"""Batch-invariant scores: the same bits alone and in any company, order, window and cache state."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import logpr
from logpr.cli._bench import model_checks
from logpr.errors import ContextLengthError, ModelLoadError, QueryError
from logpr.models._probe import probe_pack
from logpr.models.base import NO_EVIDENCE, Evidence
from logpr.models.hf import company as company_module
from logpr.models.hf import products
from logpr.models.hf.company import broken_by
from logpr.models.hf.fixed import FixedHead
from logpr.models.hf.forest import Forest
from logpr.models.hf.head import Head
from logpr.models.hf.invariant import Invariant
from logpr.models.hf.kept import PrefixStore
from logpr.models.hf.model import HFModel
from logpr.models.hf.scoring import score_pack
from logpr.models.hf.spans import Spanned
from logpr.models.hf.tiles import ROWS
from logpr.models.hf.trunk import Trunk
from logpr.models.hf.verify import find_head
from logpr.tokens.trie import pack_of_sequences
from tests.models.hf_models import VOCAB, own_logprobs, random_model

FAMILIES = ("llama", "gpt2", "mistral", "gemma2", "qwen3", "gpt_neox", "opt")

Query = tuple[list[int], list[int]]
"""What stands before, and what is asked."""

LENGTH = 90
"""More than a block of keys; the models take 96 tokens."""


@cache
def parts(family: str) -> tuple[Trunk, Head]:
    """Return what is called of a random model, and its head."""
    trunk, head, _ = find_head(random_model(family), context_length=96)
    return trunk, head


@cache
def alone(family: str) -> Invariant:
    """Return the executor of a random model."""
    return Invariant(Forest(parts(family)[0], layers=2, tiled=True))


def scores(
    family: str,
    queries: list[Query],
    *,
    store: PrefixStore | None = None,
    evidence: Evidence = NO_EVIDENCE,
) -> list[list[float]]:
    """Return the log-probabilities of each query's tokens, all of them in one pack."""
    pack, asked = pack_of_sequences([x for x, _ in queries], [y for _, y in queries])
    executor, head = alone(family), FixedHead.like(parts(family)[1])
    with executor.storing(store):
        found = score_pack(executor, head, pack, evidence).logprob
    return [found[list(edges)].tolist() for edges in asked]


@st.composite
def queries_drawn(draw: st.DrawFn) -> list[Query]:
    """Return queries that share stems of any length; up to a few hundred tokens in all."""
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    out: list[Query] = []
    for _ in range(draw(st.integers(1, 8))):
        stem: list[int] = []
        if out and draw(st.booleans()):
            x, y = draw(st.sampled_from(out))
            stem = [*x, *y][: draw(st.integers(0, LENGTH - 2))]
        size = draw(st.integers(2, max(2, LENGTH - len(stem))))
        path = [*stem, *random.integers(0, VOCAB, size).tolist()]
        cut = draw(st.integers(1, len(path) - 1))
        out.append((path[:cut], path[cut:]))
    return out


@settings(max_examples=25)
@given(queries_drawn(), st.sampled_from(FAMILIES), st.randoms(use_true_random=False))
def test_company_and_order_change_no_bit(queries: list[Query], family: str, random: object) -> None:
    """Each query alone, against all of them together in another order."""
    shuffled = list(range(len(queries)))
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    together = scores(family, [queries[i] for i in shuffled])
    for place, i in enumerate(shuffled):
        assert scores(family, [queries[i]]) == [together[place]]


@settings(max_examples=25)
@given(
    st.lists(queries_drawn(), min_size=1, max_size=3),
    st.sampled_from(FAMILIES),
    st.sampled_from((0, 20_000, 200_000, 10**9)),
)
def test_what_is_held_from_call_to_call_changes_no_bit(
    calls: list[list[Query]], family: str, room: int
) -> None:
    """Whatever was asked before, and however little the store holds."""
    store = PrefixStore(room)
    again = [calls[0], *calls, calls[0]]
    for queries in again:
        assert scores(family, queries, store=store) == scores(family, queries)


@settings(max_examples=10)
@given(queries_drawn(), st.sampled_from(FAMILIES))
def test_company_changes_no_bit_of_evidence(queries: list[Query], family: str) -> None:
    """Rows that are looked at whole are no other than in company either."""
    evidence = Evidence(columns=True, alternatives=3)
    together = scores(family, queries, evidence=evidence)
    for i, query in enumerate(queries):
        assert scores(family, [query], evidence=evidence) == [together[i]]


@pytest.mark.parametrize("family", FAMILIES)
def test_without_it_company_does_change_bits(family: str) -> None:
    """The same comparison fails for the executor as it is by default: it can fail."""
    pack = probe_pack(VOCAB, 90)
    trunk, head = parts(family)
    executor = Spanned(Forest(trunk, layers=2))
    together = score_pack(executor, head, pack, NO_EVIDENCE).logprob
    changed = 0
    for edge in range(0, len(together), 50):
        node = int(pack.edge_nodes[edge])
        one, _ = pack_of_sequences([pack.path(node)], [(int(pack.edge_tokens[edge]),)])
        changed += score_pack(executor, head, one, NO_EVIDENCE).logprob[0] != together[edge]
    assert changed > 0


@pytest.mark.parametrize("family", FAMILIES)
def test_it_computes_what_the_model_does(family: str) -> None:
    """Against transformers' own forward pass of each path."""
    model = random_model(family)
    found = HFModel.from_modules(model, batch_invariant=True)
    pack = probe_pack(VOCAB, LENGTH, seed=3)
    np.testing.assert_allclose(
        found.edges(pack).logprob, own_logprobs(model, pack), rtol=0, atol=1e-5
    )
    assert found.provenance.executor == "forest, batch-invariant"
    assert found.provenance.noise_packing > 0.0  # beside the plain path, whose shapes differ


def test_paths_of_many_blocks() -> None:
    """Positions far beyond a block, a window among them, in passes that end anywhere."""
    model = random_model("mistral", max_position_embeddings=1024, sliding_window=100)
    found = HFModel.from_modules(model, batch_invariant=True)
    path = np.random.default_rng(0).integers(0, VOCAB, 700).tolist()
    tails = [path[500:520], path[100:104], [3]]
    pack, asked = pack_of_sequences([path[:500]] * 3, tails)
    together = found.edges(pack).logprob
    np.testing.assert_allclose(together, own_logprobs(model, pack), rtol=0, atol=1e-5)
    for tail, edges in zip(tails, asked, strict=True):
        found.forget()
        one, own = pack_of_sequences([path[:500]], [tail])
        assert found.edges(one).logprob[list(own[0])].tolist() == together[list(edges)].tolist()


def test_next_token_rows_are_the_same_bits_in_company() -> None:
    """Whole distributions too."""
    found = HFModel.from_modules(random_model("llama"), batch_invariant=True)
    draw = np.random.default_rng(0)
    prefixes = [draw.integers(0, VOCAB, draw.integers(1, 90)).tolist() for _ in range(70)]
    together = found.next_logits(prefixes).logprobs
    for i in (0, 5, 33, 69):
        assert np.array_equal(found.next_logits([prefixes[i]]).logprobs[0], together[i])


def test_a_ranking_is_the_same_bits_in_any_window() -> None:
    """Through the public face: candidates alone, and records in windows of any size."""
    model = HFModel.from_modules(random_model("llama"), batch_invariant=True)
    draw = np.random.default_rng(0)
    queries = [
        logpr.Query.of(
            prompt_ids=draw.integers(0, VOCAB, size).tolist(),
            candidate_ids=[draw.integers(0, VOCAB, n).tolist() for n in (1, 4, 9)],
        )
        for size in (3, 40, 70, 70)
    ]
    alone = [
        tuple(
            logpr.score(
                prompt_ids=query.prompt_ids, candidate_ids=one.token_ids, model=model
            ).logprob
            for one in query.candidates
        )
        for query in queries
    ]
    for window in (1, 3, 4):
        rankings = logpr.rank_many(queries, model=model, window=window)
        found = [tuple(one.logprob for one in ranking.candidates) for ranking in rankings]
        assert found == alone


@pytest.mark.parametrize("family", ["qwen3_moe", "gpt_oss", "deepseek_v3"])
def test_experts_are_refused(family: str) -> None:
    """Tokens that go to the same expert make a product of as many rows as there are."""
    with pytest.raises(ModelLoadError, match=r"batch_invariant=True cannot be kept .* other bits"):
        HFModel.from_modules(random_model(family), batch_invariant=True)


def test_a_model_that_cannot_be_packed_is_refused() -> None:
    """The reason is the executor's."""
    with pytest.raises(ModelLoadError, match=r"cannot be kept by Bloom.*position ids"):
        HFModel.from_modules(random_model("bloom"), batch_invariant=True)


class TestTheTrial:
    """What is tried at load sees what it is there to see."""

    @pytest.mark.parametrize("wrong", ["place", "neighbours", "rows"])
    def test_a_layer_that_is_not_invariant_is_found(self, wrong: str) -> None:
        """A layer that looks at the place, at the others, or at how many there are."""
        model = random_model("llama")

        def hook(_module: torch.nn.Module, _given: object, out: torch.Tensor) -> torch.Tensor:
            if wrong == "place":
                return out * (1 + 1e-6 * (torch.arange(out.shape[1]) % 7 == 3)[None, :, None])
            if wrong == "neighbours":
                return out + 1e-6 * out.sum(dim=1, keepdim=True)
            return out * (1 + 1e-6 * (len(torch.unique(out, dim=1)[0]) > 100))

        model.model.layers[1].mlp.register_forward_hook(hook)
        trunk = Trunk(model)
        head = FixedHead.like(parts("llama")[1])
        executor = Invariant(Forest(trunk, layers=2, tiled=True))
        assert broken_by(executor, head, vocab_size=VOCAB, context_length=96) is not None

    def test_a_head_that_is_not_fixed_is_found(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The products of a usual head have as many rows as are read."""
        # Of the two libraries only this one's bits depend on the number of rows of this model.
        monkeypatch.setattr(products, "_is_faster", lambda: False)
        head = parts("llama")[1]
        found = broken_by(alone("llama"), head, vocab_size=VOCAB, context_length=96)
        assert found is not None

    @pytest.mark.parametrize("length", [6, 80])
    def test_a_pass_ends_within_the_path(self, length: int) -> None:
        """In the company that is called so."""
        draw = np.random.default_rng(0)
        (company,) = (
            one
            for one in company_module._companies(list(range(length)), draw, VOCAB)
            if one.words == "where a pass ends within them"
        )
        size = len(company.pack)
        first_pass = -(-size // -(-size // ROWS))
        nodes = company.pack.edge_nodes[company.edges[0]]
        assert nodes[0] < first_pass <= nodes[-1]

    def test_a_sound_model_passes(self) -> None:
        """Of the same model, with nothing wrong."""
        head = FixedHead.like(parts("llama")[1])
        assert broken_by(alone("llama"), head, vocab_size=VOCAB, context_length=96) is None


def test_options_that_do_not_go_with_it_are_refused() -> None:
    """Each with its reason."""
    model = random_model("llama")
    with pytest.raises(QueryError, match="only forest has passes of fixed shape"):
        HFModel.from_modules(model, batch_invariant=True, executor="plain")
    with pytest.raises(QueryError, match="pack_tokens=64"):
        HFModel.from_modules(model, batch_invariant=True, pack_tokens=64)
    with pytest.raises(QueryError, match="kv_bytes=64"):
        logpr.load("anything", batch_invariant=True, kv_bytes=64)
    with pytest.raises(QueryError, match="dtype='auto'"):
        logpr.load("anything", batch_invariant=True, dtype="auto")
    with pytest.raises(QueryError, match=r"builtin backend takes .* batch_invariant=True"):
        logpr.load("builtin", batch_invariant=True)


def test_doctor_says_what_was_tried() -> None:
    """Under another name in provenance, `forest` is in use, and each kind of company is told."""
    model = HFModel.from_modules(random_model("llama"), batch_invariant=True)
    told = {(check.name, check.facts.get("executor")): check for check in model_checks(model)}
    forest, plain = told["executor", "forest"], told["executor", "plain"]
    assert forest.says.startswith("forest (in use): ")
    assert (forest.facts["in_use"], plain.facts["in_use"]) == (True, False)
    invariant = told["invariant", None]
    assert invariant.verdict == "ok"
    assert "the same bits alone and in 5 kinds of company: among other tokens, " in invariant.says
    draw = np.random.default_rng(0)
    _, *packs = company_module._companies([1, 2, 3, 4], draw, VOCAB)
    assert invariant.facts["company"] == [one.words for one in packs]


def test_doctor_has_no_such_line_for_other_models() -> None:
    """It stands for what was tried."""
    names = [check.name for check in model_checks(HFModel.from_modules(random_model("llama")))]
    assert "executor" in names
    assert "invariant" not in names


def test_angles_that_grow_bound_the_context() -> None:
    """Beyond the original length a model computes something else for all tokens of a sequence."""
    rope = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10000.0}
    model = random_model("llama", rope_parameters=rope, max_position_embeddings=32)
    found = HFModel.from_modules(model, batch_invariant=True)
    assert found.context_length == 31
    pack, _ = pack_of_sequences([list(range(40))], [[1]])
    with pytest.raises(ContextLengthError):
        found.edges(pack)
