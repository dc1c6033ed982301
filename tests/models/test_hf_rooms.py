"""The rooms under a model of transformers: pieces, attention by parts, the streaming head."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from logpr._types import END
from logpr.models._head import score_rows
from logpr.models.base import NO_EVIDENCE
from logpr.models.hf import head, kernels
from logpr.models.hf.attention import forest_attention, planned
from logpr.models.hf.head import Finish, Head
from logpr.models.hf.kernels import Rules, attend
from logpr.models.hf.mask import seen
from logpr.models.hf.packed import Packed
from logpr.models.hf.pieces import States, pieces
from logpr.models.hf.plan import plan_of
from logpr.models.hf.precision import widened
from logpr.models.hf.trunk import Trunk
from logpr.tokens.pack import Pack
from tests.models.hf_models import VOCAB, random_model
from tests.models.strategies import Asked, asked, pack_of


class TestPieces:
    """Packs cut to size."""

    @settings(max_examples=50)
    @given(asked(), st.integers(1, 12), st.none() | st.integers(1, 12))
    def test_every_edge_is_asked_once_after_its_own_prefix(
        self, drawn: Asked, budget: int, limit: int | None
    ) -> None:
        """The pieces' edges are the pack's, each with the same path and token as before."""
        pack = pack_of(drawn)
        seen_edges: list[int] = []
        for piece in pieces(pack, budget=budget, limit=limit):
            piece.pack.check_integrity()
            seen_edges.extend(piece.edges.tolist())
            for edge, node, token in zip(
                piece.edges.tolist(),
                piece.pack.edge_nodes.tolist(),
                piece.pack.edge_tokens.tolist(),
                strict=True,
            ):
                assert piece.pack.path(node) == pack.path(int(pack.edge_nodes[edge]))
                assert token == pack.edge_tokens[edge]
        assert sorted(seen_edges) == list(range(len(pack.edge_nodes)))

    @settings(max_examples=50)
    @given(asked(), st.integers(1, 12), st.none() | st.integers(1, 12))
    def test_no_piece_exceeds_its_bounds(
        self, drawn: Asked, budget: int, limit: int | None
    ) -> None:
        """A piece is within budget and limit, or one path, or its ancestors have taken the room."""
        for piece in pieces(pack_of(drawn), budget=budget, limit=limit):
            leaves = int((piece.pack.ends == np.arange(1, len(piece.pack) + 1)).sum())
            if leaves > 1:
                longest = int(piece.pack.depths.max()) + 1
                assert len(piece.pack) <= max(budget, 2 * longest)
                assert limit is None or len(piece.pack) <= limit

    @settings(max_examples=30)
    @given(asked())
    def test_what_nobody_reads_is_not_fed(self, drawn: Asked) -> None:
        """A piece ends at its last edge: below every node there is something to read."""
        for piece in pieces(pack_of(drawn), budget=64):
            for node in range(len(piece.pack)):
                below = (piece.pack.edge_nodes >= node) & (
                    piece.pack.edge_nodes < piece.pack.ends[node]
                )
                assert below.any()

    @settings(max_examples=30)
    @given(asked())
    def test_a_piece_beyond_the_limit_goes_plain(self, drawn: Asked) -> None:
        """What the packed run is not known to be right for is never given to it."""
        pack = pack_of(drawn)

        class Plain:
            name = "plain"

            def states(self, piece: Pack):  # noqa: ANN202 - as the protocol says
                for edge in range(len(piece.edge_nodes)):
                    length = len(piece.path(int(piece.edge_nodes[edge])))
                    rows = torch.full((1, 1), float(length))
                    yield States(rows, np.array([edge]), np.array([0]))

        def run(piece: Pack) -> torch.Tensor:
            assert len(piece) <= 5
            return torch.from_numpy(piece.depths + 1.0)[:, None]

        found = np.zeros(len(pack.edge_nodes))
        for states in Packed("packed", run, Plain(), budget=4, limit=5).states(pack):
            found[states.edges] = states.rows[states.row_of_edge, 0].numpy()
        np.testing.assert_array_equal(found, pack.depths[pack.edge_nodes] + 1)


@settings(max_examples=60)
@given(
    asked(),
    st.sampled_from((None, 1, 3, 5)),
    st.sampled_from((None, 0.7)),
    st.booleans(),
    st.sampled_from((1, 2, 4)),
    st.integers(3, 4),
)
def test_attention_by_parts_is_attention_under_a_mask(  # noqa: PLR0917 - drawn
    drawn: Asked,
    window: int | None,
    softcap: float | None,
    sinks: bool,  # noqa: FBT001 - drawn
    key_heads: int,
    width: int,
) -> None:
    """Runs and those above them merge to softmax over the path; windows, caps, sinks, groups."""
    pack = pack_of(drawn)
    if not len(pack):
        return
    size = len(pack)
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> torch.Tensor:
        return 2 * torch.randn(*shape, generator=generator, dtype=torch.float64)

    query, key = draw(1, 4, size, 3), draw(1, key_heads, size, 3)
    value, sink = draw(1, key_heads, size, width), draw(4)
    with planned(plan_of(pack, query.device)) as meter:
        ours, _ = forest_attention(
            torch.nn.Identity(),
            query,
            key,
            value,
            None,
            scaling=0.8,
            sliding_window=window,
            softcap=softcap,
            s_aux=sink if sinks else None,
        )
    keys = key.repeat_interleave(4 // key_heads, dim=1)
    values = value.repeat_interleave(4 // key_heads, dim=1)
    scores = query @ keys.transpose(-1, -2) * 0.8
    if softcap is not None:
        scores = softcap * torch.tanh(scores / softcap)
    allowed = torch.from_numpy(seen(pack))
    if window is not None:
        depths = torch.from_numpy(pack.depths)
        allowed &= depths[:, None] - depths[None, :] < window
    scores = scores.masked_fill(~allowed, -torch.inf)
    if sinks:
        scores = torch.cat([scores, sink[None, :, None, None].expand(1, 4, size, 1)], dim=-1)
    whole = (scores.softmax(dim=-1)[..., :size] @ values).transpose(1, 2)
    assert meter.calls == 1
    torch.testing.assert_close(ours, whole, rtol=0, atol=1e-12)


def test_the_portable_kernel_works_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel for any device equals torch's own, however few scores it may hold at once."""
    generator = torch.Generator().manual_seed(0)
    query = torch.randn(2, 4, 9, 8, generator=generator)
    key, value = (torch.randn(2, 2, 9, 8, generator=generator) for _ in range(2))
    rules = Rules(scale=0.3)
    for causal in (True, False):
        own = kernels._attend_flash(query, key, value, scale=0.3, causal=causal)
        for room in (1, 200, 10**6):
            monkeypatch.setattr(kernels, "_SCORES", room)
            ours = kernels._attend_portable(query, key, value, rules, causal=causal, seen=None)
            torch.testing.assert_close(ours[0], own[0], rtol=0, atol=1e-5)
            torch.testing.assert_close(ours[1], own[1], rtol=0, atol=1e-5)


def test_a_query_that_sees_nothing_weighs_nothing() -> None:
    """Its normaliser is −inf and its output 0, whatever the keys are."""
    draw = torch.randn(3, 1, 1, 4, 8, generator=torch.Generator().manual_seed(0))
    seen = torch.ones(4, 4, dtype=torch.bool)
    seen[2] = False
    out, normaliser = attend(draw[0], draw[1], draw[2], Rules(scale=1.0), seen=seen)
    assert normaliser[0, 0, 2] == -torch.inf
    assert torch.isfinite(normaliser[0, 0, [0, 1, 3]]).all()
    assert (out[0, 0, 2] == 0).all()


class TestHead:
    """The last projection in blocks."""

    @settings(max_examples=50)
    @given(
        st.integers(0, 2**32 - 1),
        st.integers(1, 9),
        st.sampled_from((1, 4, 7, 64)),
        st.sampled_from(("none", "softcap", "divide", "multiply")),
    )
    def test_blocks_of_the_vocabulary_add_up(
        self, seed: int, count: int, block: int, kind: str
    ) -> None:
        """Scores by streaming over blocks of ids are those of whole rows, END and −inf included."""
        rng = np.random.default_rng(seed)
        weight = torch.from_numpy(rng.normal(size=(23, 5)))
        bias = torch.from_numpy(rng.normal(size=23) * 20)
        if kind == "none":
            bias[torch.from_numpy(rng.integers(0, 23, 4))] = -torch.inf
        one = Head(weight, bias, Finish(kind, 1.7))
        rows = torch.from_numpy(rng.normal(size=(count, 5)))
        row_of_edge = np.sort(rng.integers(0, count, 12))
        tokens = rng.integers(0, 23, 12)
        tokens[rng.integers(0, 12, 3)] = END
        edges = rng.permutation(12)
        given_tokens = np.empty_like(tokens)
        given_tokens[edges] = tokens
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(head, "_BLOCK", block)
            patch.setattr(head, "_ROWS", 4)
            ours = one.score(States(rows, edges, row_of_edge), given_tokens, (3, 8, 3), NO_EVIDENCE)
        logits = one.finish(rows @ weight.T + bias).numpy()
        own = score_rows(logits, row_of_edge, tokens, (3, 8), NO_EVIDENCE)
        np.testing.assert_allclose(ours.logprob, own.logprob, rtol=0, atol=1e-12)
        np.testing.assert_allclose(ours.logit, own.logit, rtol=0, atol=1e-12)

    def test_a_sure_favourite_keeps_its_digits(self) -> None:
        """A favourite with probability 1 − 1e-20 has log-probability −1e-20, not 0."""
        weight = torch.tensor([[46.0], [0.0]])
        states = States(torch.ones(1, 1), np.array([0]), np.array([0]))
        found = Head(weight).score(states, np.array([0]), (), NO_EVIDENCE).logprob[0]
        assert found == pytest.approx(-np.exp(-46.0), rel=1e-6)


def test_a_widened_model_is_the_float32_model() -> None:
    """Layers widened one at a time compute what the model in float32 computes, bit for bit."""
    low = random_model("gemma2", dtype=torch.bfloat16)
    before = {name: tensor.clone() for name, tensor in low.state_dict().items()}
    ids = np.arange(12) % VOCAB
    with widened(low):
        ours = Trunk(low)(ids)
    assert ours.dtype == torch.float32
    assert all(torch.equal(before[name], now) for name, now in low.state_dict().items())
    assert torch.equal(ours, Trunk(low.float())(ids))
