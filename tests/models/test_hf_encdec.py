"""Encoder–decoder models behind the seam, held against transformers' own forward pass."""

from __future__ import annotations

import functools
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from logpr.errors import (
    ContextLengthError,
    EmptyContextError,
    ModelLoadError,
    UnknownNameError,
)
from logpr.models._head import score_rows
from logpr.models._probe import probe_pack
from logpr.models.base import EncoderDecoder, Evidence, Model, Predictive
from logpr.models.hf import encdec
from logpr.models.hf.encdec import HFEncoderDecoder
from logpr.tokens.pack import Pack
from logpr.tokens.trie import TokenTrie, pack_of_sequences
from tests.models.encdec_models import CONFIGS, VOCAB, own_logprobs, random_encdec

FAMILIES = tuple(CONFIGS)


@functools.cache
def taken(family: str) -> tuple[nn.Module, HFEncoderDecoder]:
    """Return a small model and the same behind the seam, run as the probe chooses."""
    model = random_encdec(family)
    return model, HFEncoderDecoder.from_modules(model)


def queries(found: HFEncoderDecoder, *, seed: int = 5) -> list[tuple[list[int], list[int]]]:
    """Return (x, y) pairs: several y after one x, stems shared below one x and below two."""
    rng = np.random.default_rng(seed)
    sources = [rng.integers(0, found.source_vocab_size, size).tolist() for size in (12, 3, 1)]
    stem = rng.integers(0, found.vocab_size, 5).tolist()
    out: list[tuple[list[int], list[int]]] = []
    for source in sources:
        for length in (1, 2, 9, 20):
            rest = rng.integers(0, found.vocab_size, length).tolist()
            # What the forward pass itself makes impossible has a test of its own.
            out.append((source, [5 if token == 3 else token for token in stem + rest]))
    return out


def asked(
    found: HFEncoderDecoder, pairs: list[tuple[list[int], list[int]]], *, end: bool = False
) -> tuple[Pack, list[tuple[int, ...]]]:
    """Return the pack of some (x, y), and the edges of each y."""
    return pack_of_sequences(
        [found.decoder_start_ids] * len(pairs),
        [y for _, y in pairs],
        sources=[x for x, _ in pairs],
        end_ids=found.end_ids if end else (),
        score_end=[end] * len(pairs),
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_sequences_are_those_of_the_model_itself(family: str) -> None:
    """log Pr(y, END | x) is within 1e-4 nats of labels shifted by hand and float64 log-softmax."""
    model, found = taken(family)
    pairs = queries(found)
    pack, edges = asked(found, pairs, end=True)
    ours = found.edges(pack).logprob
    (end,) = found.end_ids
    for (x, y), own_edges in zip(pairs, edges, strict=True):
        rows = own_logprobs(model, x, [*found.decoder_start_ids, *y])
        own = sum(rows[place, token] for place, token in enumerate([*y, end]))
        assert ours[list(own_edges)].sum() == pytest.approx(own, abs=1e-4)
    assert found.provenance.executor == "cache"


@pytest.mark.parametrize("family", ["t5", "t5 v1.1", "bart", "marian", "pegasus"])
def test_the_training_loss_is_the_mean_surprisal(family: str) -> None:
    """−mean of token log-probabilities is the loss that transformers computes of labels."""
    model, found = taken(family)
    x, y = queries(found)[3]
    with torch.inference_mode():
        loss = float(model(input_ids=torch.tensor([x]), labels=torch.tensor([y])).loss)
    pack, (edges,) = asked(found, [(x, y)])
    assert -found.edges(pack).logprob[list(edges)].mean() == pytest.approx(loss, abs=1e-6)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_head_is_read_without_the_model_around_it(family: str) -> None:
    """T5's scaled states and what BART and Marian add are known: no whole [tokens, vocab] logits.

    Every logit is that of the model, the impossible ones too.
    """
    model, found = taken(family)
    calls: list[int] = []
    hook = model.get_output_embeddings().register_forward_hook(lambda *_: calls.append(1))
    x = [7, 8, 9]
    rows = found.given(x).next_logits([(*found.decoder_start_ids, 5)])
    hook.remove()
    own = own_logprobs(model, x, [*found.decoder_start_ids, 5])[-1]
    np.testing.assert_allclose(rows.logprobs[0], own, rtol=0, atol=1e-4)
    assert calls == []


@functools.cache
def two_ways(family: str) -> tuple[HFEncoderDecoder, HFEncoderDecoder]:
    """Return one model in float64, run in both ways."""
    model = random_encdec(family, dtype=torch.float64)
    cache, plain = (
        HFEncoderDecoder.from_modules(model, executor=name) for name in ("cache", "plain")
    )
    assert (cache.provenance.executor, plain.provenance.executor) == ("cache", "plain")
    return cache, plain


letters = st.integers(0, 2) | st.integers(0, 10)
Triple = tuple[list[int], list[int], bool]


@settings(max_examples=25)
@given(
    family=st.sampled_from(("t5", "marian")),
    triples=st.lists(
        st.tuples(
            st.lists(letters, min_size=1, max_size=3),
            st.lists(letters, max_size=10),
            st.booleans(),
        ),
        min_size=1,
        max_size=8,
    ),
    several_starts=st.booleans(),
)
def test_executors_agree_on_any_trie_below_any_sources(
    family: str, triples: list[Triple], *, several_starts: bool
) -> None:
    """`cache` gives the log-probabilities of `plain`, END among them, within 1e-9 in float64."""
    cache, plain = two_ways(family)
    starts = [(i % 2,) if several_starts else (0,) for i in range(len(triples))]
    pack, _ = pack_of_sequences(
        starts,
        [y for _, y, _ in triples],
        sources=[x for x, _, _ in triples],
        end_ids=(1, 4),
        score_end=[end for _, _, end in triples],
    )
    pack.check_integrity()
    ours, own = cache.edges(pack).logprob, plain.edges(pack).logprob
    np.testing.assert_allclose(ours, own, rtol=0, atol=1e-9)


@settings(max_examples=25)
@given(
    st.lists(
        st.tuples(
            st.lists(letters, min_size=1, max_size=2),
            st.lists(letters, min_size=1, max_size=6),
        ),
        min_size=1,
        max_size=8,
    )
)
def test_sequences_below_two_sources_never_merge(pairs: list[tuple[list[int], list[int]]]) -> None:
    """Each source has the nodes of its own trie, next to each other, and each pair its edges."""
    pack, edges = pack_of_sequences(
        [(9,)] * len(pairs), [y for _, y in pairs], sources=[x for x, _ in pairs]
    )
    pack.check_integrity()
    wanted = {(tuple(x), tuple(y[:i])) for x, y in pairs for i in range(len(y))}
    assert len(pack) == len(wanted)
    roots = np.flatnonzero(pack.parents == -1)
    of_root = dict(zip(roots.tolist(), pack.root_sources, strict=True))
    for (x, y), own in zip(pairs, edges, strict=True):
        for place, edge in enumerate(own):
            node = int(pack.edge_nodes[edge])
            root = max(one for one in roots.tolist() if one <= node)
            assert pack.sources[of_root[root]] == tuple(x)
            assert pack.path(node) == (9, *y[:place])
            assert pack.edge_tokens[edge] == y[place]


@pytest.mark.parametrize(("executor", "projections"), [("cache", 2), ("plain", None)])
def test_the_encoder_reads_each_source_once(executor: str, projections: int | None) -> None:
    """Two sources: two calls of the encoder; with `cache` keys of its states are made twice too."""
    model = random_encdec("bart")
    found = HFEncoderDecoder.from_modules(model, executor=executor)
    pairs = [([1, 2], [4, 5, 6]), ([7], [4, 5]), ([1, 2], [4, 9]), ([1, 2], [8]), ([7], [4, 6, 6])]
    calls: Counter[str] = Counter()
    crossed = model.get_decoder().layers[0].encoder_attn.k_proj
    for name, module in (("encoder", model.get_encoder()), ("keys", crossed)):
        module.register_forward_hook(lambda *_, name=name: calls.update([name]))
    found.edges(asked(found, pairs)[0])
    assert calls["encoder"] == 2
    assert projections is None or calls["keys"] == projections


def test_a_shared_beginning_runs_once() -> None:
    """`cache` feeds each unique (source, prefix, token) once: tokens through the decoder."""
    model = random_encdec("t5")
    found = HFEncoderDecoder.from_modules(model, executor="cache")
    stem = list(range(10, 30))
    pairs = [([5, 6], [*stem, token, 7]) for token in range(40, 60)]
    fed: list[int] = []
    model.get_decoder().register_forward_pre_hook(
        lambda _, __, given: fed.append(given["input_ids"].numel()), with_kwargs=True
    )
    pack, _ = asked(found, pairs)
    found.edges(pack)
    assert sum(fed) == len(pack) == 1 + 20 + 20


@pytest.mark.parametrize("end_ids", [(), (5,), (5, 2, 9)])
def test_evidence_is_that_of_whole_rows(end_ids: tuple[int, ...]) -> None:
    """Rank, favourite, entropy and alternatives are those of the model's own rows, END merged."""
    cache, _ = two_ways("t5")
    model = random_encdec("t5", dtype=torch.float64)
    pairs = queries(cache)[:6]
    pack, _ = pack_of_sequences(
        [(0,)] * 6,
        [y for _, y in pairs],
        sources=[x for x, _ in pairs],
        end_ids=end_ids,
        score_end=[bool(end_ids)] * 6,
    )
    evidence = Evidence(columns=True, alternatives=4)
    ours = cache.edges(pack, evidence=evidence)
    roots = np.flatnonzero(pack.parents == -1)
    rows = np.empty((len(pack.edge_nodes), VOCAB))
    for edge, node in enumerate(pack.edge_nodes.tolist()):
        source = pack.root_sources[int(np.searchsorted(roots, node, side="right")) - 1]
        x, fed = list(pack.sources[source]), list(pack.path(node))
        rows[edge] = own_logprobs(model, x, fed)[-1]
    own = score_rows(rows, np.arange(len(rows)), pack.edge_tokens, end_ids, evidence)
    assert ours.columns is not None
    assert own.columns is not None
    np.testing.assert_allclose(ours.logprob, own.logprob, rtol=0, atol=1e-9)
    np.testing.assert_array_equal(ours.columns.rank, own.columns.rank)
    np.testing.assert_array_equal(ours.columns.alternative_ids, own.columns.alternative_ids)
    np.testing.assert_allclose(ours.columns.entropy, own.columns.entropy, rtol=0, atol=1e-9)


def test_given_one_x_it_is_a_model_of_y_alone() -> None:
    """`given` is `Predictive`: its rows and edges are those below that source; x is read once."""
    model, found = taken("marian")
    assert isinstance(found, EncoderDecoder)
    assert isinstance(found, Model)
    assert not isinstance(found, Predictive)
    x, y = queries(found)[2]
    reads: list[int] = []
    hook = model.get_encoder().register_forward_hook(lambda *_: reads.append(1))
    alone = found.given(x)
    assert isinstance(alone, Predictive)
    assert not isinstance(alone, EncoderDecoder)
    start = found.decoder_start_ids
    rows = alone.next_logits([start, (*start, *y[:4]), (*start, 8)])
    pack, (edges,) = pack_of_sequences([start], [y])
    ours = alone.edges(pack).logprob[list(edges)]
    hook.remove()
    assert reads == [1]
    own = own_logprobs(model, x, [*start, *y])
    np.testing.assert_allclose(rows.logprobs[0], own[0], rtol=0, atol=1e-5)
    np.testing.assert_allclose(rows.logprobs[1], own[4], rtol=0, atol=1e-5)
    assert ours.sum() == pytest.approx(sum(own[i, token] for i, token in enumerate(y)), abs=1e-4)


def test_noise_is_measured_over_a_thousand_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    """bfloat16 is measured against float32 of the same weights, the cached run against plain."""
    sizes: list[int] = []

    def seen(*given: int, **named: object) -> Pack:
        pack = probe_pack(*given, **named)
        sizes.append(len(pack.edge_nodes))
        assert len(pack.sources) > 1
        return pack

    monkeypatch.setattr("logpr.models.hf.encdec_probe.probe_pack", seen)
    low = HFEncoderDecoder.from_modules(random_encdec("t5", dtype=torch.bfloat16))
    wide = HFEncoderDecoder.from_modules(random_encdec("t5")).provenance
    assert min(sizes) >= 1000
    assert low.provenance.noise_precision > 1e-3
    assert wide.noise_precision == 0.0
    assert 0.0 < wide.noise_packing < 1e-4
    assert low.given([5]).provenance == low.provenance


def test_a_decoder_that_counts_its_positions_anew_runs_plain() -> None:
    """Where going on from a cache gives other numbers the probe sees it, and so does a forced one.

    The model: position embeddings that forget how many tokens came before.
    """
    model = random_encdec("bart")
    positions = model.get_decoder().embed_positions
    own = positions.forward

    def forgetful(ids: torch.Tensor, past: int = 0, position_ids: object = None) -> torch.Tensor:
        del past, position_ids
        return own(ids, 0)

    positions.forward = forgetful
    found = HFEncoderDecoder.from_modules(model)
    cache, plain = found.probe_report
    assert found.provenance.executor == "plain"
    assert (cache.executor, cache.accepted, plain.accepted) == ("cache", False, True)
    assert cache.largest_difference is not None
    assert cache.largest_difference > 1e-2
    pairs = queries(found)[:3]
    pack, edges = asked(found, pairs)
    for (x, y), mine in zip(pairs, edges, strict=True):
        rows = own_logprobs(model, x, [*found.decoder_start_ids, *y])
        total = sum(rows[place, token] for place, token in enumerate(y))
        assert found.edges(pack).logprob[list(mine)].sum() == pytest.approx(total, abs=1e-4)
    with pytest.raises(
        ModelLoadError, match=r"executor='cache' is not right for Bart.*nats a token"
    ):
        HFEncoderDecoder.from_modules(model, executor="cache")


def test_a_decoder_that_sees_what_comes_is_refused() -> None:
    """A decoder whose rows depend on the tokens after them gives no log Pr(y | x)."""
    model = random_encdec("t5")

    def mixed(_module: nn.Module, _given: object, out: dict[str, torch.Tensor]) -> object:
        states = out["last_hidden_state"]
        out["last_hidden_state"] = states + states.mean(dim=1, keepdim=True)
        return out

    model.get_decoder().register_forward_hook(mixed)
    with pytest.raises(ModelLoadError, match="not a causal language model"):
        HFEncoderDecoder.from_modules(model)


def test_what_a_model_does_after_its_head_is_not_skipped() -> None:
    """Logits bent in a way that is not known are taken from the model's own forward pass."""
    model = random_encdec("t5 v1.1")
    own = model.forward

    def bent(*given: object, **named: object) -> object:
        out = own(*given, **named)
        out.logits = out.logits + 3.0 * torch.tanh(out.logits)
        return out

    model.forward = bent
    found = HFEncoderDecoder.from_modules(model)
    pairs = queries(found)
    pack, edges = asked(found, pairs)
    ours = found.edges(pack).logprob
    for (x, y), mine in zip(pairs, edges, strict=True):
        rows = own_logprobs(model, x, [*found.decoder_start_ids, *y])
        total = sum(rows[place, token] for place, token in enumerate(y))
        assert ours[list(mine)].sum() == pytest.approx(total, abs=1e-4)
    assert found.provenance.executor == "cache"


def test_lengths_are_those_of_each_side() -> None:
    """T5 has no longest x or y, whatever length its config was trained at; BART has both."""
    t5 = random_encdec("t5")
    t5.config.n_positions = 16
    x, y = [5] * 40, [6] * 40
    found = HFEncoderDecoder.from_modules(t5)
    rows = own_logprobs(t5, x, [0, *y])
    pack, (edges,) = asked(found, [(x, y)])
    total = sum(rows[place, token] for place, token in enumerate(y))
    assert found.edges(pack).logprob[list(edges)].sum() == pytest.approx(total, abs=1e-4)
    _, bart = taken("bart")
    assert (bart.source_length, bart.context_length) == (64, 64)
    fits, _ = asked(bart, [([5] * 64, [6] * 64)])
    assert np.isfinite(bart.edges(fits).logprob).all()
    with pytest.raises(ContextLengthError, match=r"decoder of .* holds, 64"):
        bart.edges(asked(bart, [([5], [6] * 65)])[0])
    with pytest.raises(ContextLengthError, match=r"prompt is 65 tokens.*encoder of .* holds, 64"):
        bart.edges(asked(bart, [([5] * 65, [6])])[0])
    with pytest.raises(ContextLengthError, match="encoder"):
        bart.given([5] * 65)


def test_a_pack_needs_a_source_and_a_start() -> None:
    """Nothing for the encoder to read, and nothing before the first token, are two errors."""
    _, found = taken("t5")
    with pytest.raises(EmptyContextError, match="names no source"):
        found.edges(pack_of_sequences([[0]], [[5]])[0])
    with pytest.raises(EmptyContextError, match="decoder_start_ids"):
        found.edges(pack_of_sequences([[]], [[5]], sources=[[4]])[0])
    with pytest.raises(EmptyContextError, match="nothing to read"):
        found.given([])
    nothing, _ = TokenTrie().pack()
    assert len(found.edges(nothing).logprob) == 0


def test_packing_by_source_keeps_every_edge_once() -> None:
    """A pack whose sources do not stand in order is scored as one whose do."""
    _, found = taken("t5")
    pack, _ = asked(found, queries(found))
    swapped = replace(
        pack,
        sources=pack.sources[::-1],
        root_sources=tuple(len(pack.sources) - 1 - one for one in pack.root_sources),
    )
    swapped.check_integrity()
    np.testing.assert_array_equal(found.edges(swapped).logprob, found.edges(pack).logprob)


def test_the_decoder_starts_from_what_is_declared() -> None:
    """The start token, then the forced one; none declared is an error with its way out."""
    model = random_encdec("bart", decoder_start_token_id=2, bos_token_id=0)
    assert encdec.start_ids_of(model, None) == (2,)
    model.generation_config.forced_bos_token_id = 7
    assert encdec.start_ids_of(model, None) == (2, 7)
    for config in (model.generation_config, model.config):
        config.decoder_start_token_id = config.bos_token_id = None
    with pytest.raises(ModelLoadError, match=r"decoder_start_token_id into its generation_config"):
        HFEncoderDecoder.from_modules(model)


def test_executors_for_causal_models_are_named_as_such() -> None:
    """A decoder's siblings cannot lie in one row, so `forest` and `mask` are refused by name."""
    with pytest.raises(UnknownNameError, match=r"cache or plain.*'forest'"):
        HFEncoderDecoder.from_modules(random_encdec("t5"), executor="forest")
