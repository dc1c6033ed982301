"""A fast model with an exact twin: what noise leaves open, the twin decides."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import logpr
from logpr import Query, Rule
from logpr._types import FloatVocab
from logpr._values import ModelProvenance, NextToken, Ranking, Score
from logpr.models.base import NO_EVIDENCE, EdgeScores, Evidence, Model, NextRows, Refining
from logpr.tokens.base import Tokenizer
from logpr.tokens.pack import ROOT, Pack

NOISE = 0.25
"""Of the fast model, in nats a token."""

CONTEXT = (9,)
VOCAB = 10
SURPRISAL = Rule(name="surprisal", value=lambda facts: -facts.logprob, higher_wins=False)
SIXTHS = tuple(place / 6 for place in range(-12, 0))

Texts = tuple[tuple[int, ...], ...]
Numbers = Mapping[tuple[int, ...], float]


@dataclass
class Told:
    """A model of a dictionary: log Pr of the last token of each path; −2 where it is silent."""

    logprobs: Numbers
    noise: float = 0.0
    dtype: str = "float64"
    calls: list[int] = field(default_factory=list)

    @property
    def tokenizer(self) -> Tokenizer | None:
        """Return none: ids alone."""
        return None

    @property
    def vocab_size(self) -> int:
        """Return ten."""
        return VOCAB

    @property
    def context_length(self) -> int:
        """Return enough."""
        return 64

    @property
    def end_ids(self) -> tuple[int, ...]:
        """Return none."""
        return ()

    @property
    def provenance(self) -> ModelProvenance:
        """Return the dtype and the noise."""
        return ModelProvenance(
            model="told", backend="test", dtype=self.dtype, noise_precision=self.noise
        )

    def edges(self, pack: Pack, *, evidence: Evidence = NO_EVIDENCE) -> EdgeScores:
        """Look every edge up, and count them."""
        assert evidence == NO_EVIDENCE
        self.calls.append(len(pack.edge_nodes))
        found = [
            self.logprobs.get((*(() if node == ROOT else pack.path(node)), token), -2.0)
            for node, token in zip(pack.edge_nodes.tolist(), pack.edge_tokens.tolist(), strict=True)
        ]
        return EdgeScores(np.asarray(found, dtype=np.float64), logit=None, logz=None)

    def next_logits(self, prefixes: Sequence[Sequence[int]]) -> NextRows:
        """Return an even distribution, and count."""
        self.calls.append(len(prefixes))
        rows: FloatVocab = np.full(VOCAB, -math.log(VOCAB))
        return NextRows(np.stack([rows] * len(prefixes)), logits=None, logz=None)


@dataclass
class Pair(Told):
    """A fast model that knows its twin."""

    twin: Told = field(default_factory=lambda: Told({}))

    @property
    def refined(self) -> Model:
        """Return the twin."""
        return self.twin


def paths(text: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Return the key of every token of a candidate."""
    return [(*CONTEXT, *text[: place + 1]) for place in range(len(text))]


def pair(exact: Numbers, off: Numbers) -> Pair:
    """Return a model that is off by the given nats, and its exact twin."""
    fast = {path: logprob + off.get(path, 0.0) for path, logprob in exact.items()}
    return Pair(fast, noise=NOISE, dtype="bfloat16", twin=Told(exact, dtype="float32"))


@st.composite
def disputes(draw: st.DrawFn) -> tuple[Texts, Pair]:
    """Draw candidates over few tokens, and a fast model that errs as badly as its noise allows."""
    texts = tuple(
        draw(
            st.lists(
                st.lists(st.integers(0, 2), min_size=1, max_size=3).map(tuple),
                min_size=2,
                max_size=6,
            )
        )
    )
    keys = sorted({path for text in texts for path in paths(text)})
    exact = {key: draw(st.sampled_from(SIXTHS)) for key in keys}
    off = {key: draw(st.sampled_from((-NOISE, 0.0, NOISE, -0.1))) for key in keys}
    # A log-probability is at most 0: the fast one's error there is smaller.
    return texts, pair(exact, {key: min(off[key], -exact[key]) for key in keys})


def ranked(texts: Texts, model: Model, rule: str | Rule, top: int | None = None) -> Ranking:
    """Return the ranking of token ids after the one context."""
    return logpr.rank(
        prompt_ids=CONTEXT, candidate_ids=texts, model=model, rule=rule, top=top, end="open"
    )


def dtype_of(value: Score | Ranking | NextToken) -> str:
    """Return the precision of a number."""
    assert value.provenance is not None
    assert value.provenance.model is not None
    return value.provenance.model.dtype


def key_of(rule: str | Rule, text: tuple[int, ...], model: Told) -> float:
    """Return what ranks a candidate, lower first, by the twin's numbers: an independent reading."""
    total = math.fsum(model.logprobs[path] for path in paths(text))
    by_rule = {
        "per_token": total / len(text),
        "length_penalty(2)": total * (6 / (5 + len(text))) ** 2,
    }
    return -by_rule.get(rule if isinstance(rule, str) else "", total)


RULES = ("logprob", "per_token", "choice_prob", "length_penalty(2)", SURPRISAL)


@settings(max_examples=60)
@given(disputes(), st.sampled_from(RULES))
@example(
    # The first is best in truth, the second by the fast numbers, and the third only looks close
    # once the second is known to be worse.
    (((0,), (1,), (2,)), pair({(9, 0): -1.0, (9, 1): -1.4, (9, 2): -1.1}, {(9, 1): 0.25})),
    "logprob",
)
def test_the_winner_is_the_twins(drawn: tuple[Texts, Pair], rule: str | Rule) -> None:
    """However the fast model errs within its noise, the first is the one that is first exactly."""
    texts, model = drawn
    found = ranked(texts, model, rule)
    keys = [key_of(rule, text, model.twin) for text in texts]
    assert keys[found.best] == pytest.approx(min(keys), abs=1e-12)


@settings(max_examples=60)
@given(disputes(), st.lists(st.integers(1, 30), min_size=6, max_size=6))
def test_the_winner_by_share_is_the_twins_in_any_company(
    drawn: tuple[Texts, Pair], times: list[int]
) -> None:
    """However many rivals share the mass, the winner is the twin's, and that of `logprob`."""
    texts, model = drawn
    many = tuple(text for text, count in zip(texts, times, strict=False) for _ in range(count))
    found = ranked(many, model, "choice_prob")
    asked = list(model.twin.calls)
    keys = [key_of("choice_prob", text, model.twin) for text in many]
    assert keys[found.best] == pytest.approx(min(keys), abs=1e-12)
    by_logprob = ranked(many, model, "logprob")
    assert (found.order, found.tie) == (by_logprob.order, by_logprob.tie)
    assert model.twin.calls == asked * 2


def test_a_clear_lead_is_clear_among_fifty() -> None:
    """1.6 nats ahead and 1.5 of noise: first by share too, with nothing to ask the twin."""
    texts = (*[(0, 0, 0)] * 50, (1, 1, 1))
    exact = dict.fromkeys(paths(texts[0]), -4.6 / 3) | dict.fromkeys(paths(texts[-1]), -1.0)
    model = pair(exact, {})
    found = ranked(texts, model, "choice_prob")
    assert (found.best, found.tie, model.twin.calls) == (50, False, [])
    assert found.margin is not None
    assert found.noise is not None
    assert 0.0 < found.noise < found.margin


@settings(max_examples=60)
@given(disputes(), st.integers(1, 4))
def test_the_first_k_are_the_twins_in_their_order(drawn: tuple[Texts, Pair], top: int) -> None:
    """With candidates dropped on the way by fast numbers, the k that are left are the twin's k."""
    texts, model = drawn
    found = ranked(texts, model, "logprob", top=top)
    keys = [key_of("logprob", text, model.twin) for text in texts]
    assert [keys[place] for place in found.order] == pytest.approx(sorted(keys)[:top], abs=1e-12)


@settings(max_examples=60)
@given(disputes())
def test_margin_and_fork_are_of_one_arithmetic(drawn: tuple[Texts, Pair]) -> None:
    """The first two are both fast or both exact, so that the gap is that at the fork and after."""
    texts, model = drawn
    found = ranked(texts, model, "logprob")
    first, second = (found.candidates[place] for place in found.order[:2])
    assert dtype_of(first) == dtype_of(second)
    assert first.logprob is not None
    assert second.logprob is not None
    if found.fork is not None:
        gap = found.fork.gap_at_fork + found.fork.gap_after
        assert first.logprob - second.logprob == pytest.approx(gap, abs=1e-12)


def test_what_is_clear_is_not_asked_again() -> None:
    """Beyond noise of each other two candidates are left as they are, and say so."""
    model = pair({(9, 0): -1.0, (9, 1): -1.6}, {(9, 1): 0.05})
    found = ranked(((0,), (1,)), model, "logprob")
    assert model.twin.calls == []
    assert [dtype_of(score) for score in found.candidates] == ["bfloat16"] * 2
    assert found.margin == pytest.approx(0.55)
    assert found.noise == pytest.approx(2 * NOISE)


def test_only_the_close_are_asked_again() -> None:
    """The far one keeps its fast number; the close ones have the twin's, and its noise."""
    model = pair({(9, 0): -1.0, (9, 1): -1.1, (9, 2): -4.0}, {(9, 1): 0.2, (9, 2): 0.1})
    found = ranked(((0,), (1,), (2,)), model, "logprob")
    assert found.best == 0
    assert model.twin.calls == [2]
    dtypes = [dtype_of(score) for score in found.candidates]
    assert dtypes == ["float32", "float32", "bfloat16"]
    assert [score.noise for score in found.candidates] == [0.0, 0.0, NOISE]
    assert [score.logprob for score in found.candidates] == pytest.approx([-1.0, -1.1, -3.9])
    assert found.noise == 0.0
    assert not found.tie
    assert dtype_of(found) == "bfloat16"


def test_a_window_asks_the_twin_once() -> None:
    """The close candidates of all queries go to the twin in one call; clear queries not at all."""
    exact: Numbers = {
        (9, 0): -1.0,
        (9, 1): -1.2,
        (8, 0): -1.0,
        (8, 1): -3.0,
        (7, 0): -1.3,
        (7, 1): -1.2,
    }
    model = pair(exact, {})
    queries = [Query.of(prompt_ids=(one,), candidate_ids=[(0,), (1,)]) for one in (9, 8, 7)]
    found = list(logpr.rank_many(queries, model=model))
    assert model.twin.calls == [4]
    assert [ranking.best for ranking in found] == [0, 0, 1]


def test_a_second_round_for_the_runner_up() -> None:
    """A rival falls behind one that nobody was in doubt of: then that one is scored again too."""
    exact: Numbers = {(9, 0): -1.3, (9, 1): -1.7, (9, 2): -1.4}
    # Fast: −1.10, −1.45, −1.61. The third is 0.51 from the first, just clear of the noise of both.
    model = pair(exact, {(9, 0): 0.2, (9, 1): 0.25, (9, 2): -0.21})
    found = ranked(((0,), (1,), (2,)), model, "logprob")
    assert model.twin.calls == [2, 1]
    assert found.order == (0, 2, 1)
    assert found.margin == pytest.approx(0.1)
    assert found.noise == 0.0


def test_numbers_that_came_along_are_asked_of_nobody() -> None:
    """A candidate with its own log-probabilities is exact; the model's is settled against it."""
    model = pair({(9, 0): -1.0}, {(9, 0): -0.2})
    found = logpr.rank(
        prompt_ids=CONTEXT,
        candidates=[{"token_logprobs": [-1.1]}, {"token_ids": [0]}],
        model=model,
        end="open",
    )
    assert found.best == 1
    assert model.twin.calls == [1]


def test_numbers_that_stand_alone_are_the_twins() -> None:
    """`score`, `score_many` and `next` ask the exact model alone."""
    model = pair({(9, 0): -1.0}, {(9, 0): -0.2})
    assert isinstance(model, Refining)
    found = logpr.score(prompt_ids=CONTEXT, candidate_ids=(0,), model=model, end="open")
    assert found.logprob == -1.0
    assert dtype_of(found) == "float32"
    ((many,),) = logpr.score_many([Query.of(prompt_ids=CONTEXT, candidate_ids=[(0,)])], model=model)
    assert many.logprob == -1.0
    assert dtype_of(logpr.next(prompt_ids=CONTEXT, model=model)) == "float32"
    assert model.calls == []


def test_a_single_candidate_needs_no_decision() -> None:
    """Nobody is in doubt with the only one."""
    model = pair({(9, 0): -1.0}, {})
    assert ranked(((0,),), model, "logprob").best == 0
    assert model.twin.calls == []
