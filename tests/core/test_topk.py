"""Exact top-k: the first k of the full ranking, fewer tokens, and bounds that hold."""

from __future__ import annotations

import dataclasses
import json
import math
import random
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import logpr
from logpr._rules import PER_TOKEN
from logpr._topk import MOST_EXTRA
from logpr._types import FloatVocab
from logpr._values import ModelProvenance, Ranking
from logpr.errors import ModelOutputError, QueryError, WrongTypeError
from logpr.models.base import NO_EVIDENCE, EdgeScores, Evidence, Model, Predictive, Reusing
from logpr.models.table import TableModel
from logpr.tokens.base import Tokenizer
from logpr.tokens.pack import Pack

LETTERS = "ABCDEFGH"
Record = Callable[[str, str], None]


class Counting:
    """Passes all on to a model, and counts the tokens that go through it.

    `noise`: what it claims per token, and how far it is off from call to call.
    """

    def __init__(self, model: Model, *, noise: float = 0.0) -> None:
        self.model = model
        self.fed = 0
        self.calls = 0
        self._noise = noise

    tokenizer: Tokenizer | None = property(lambda self: self.model.tokenizer)  # type: ignore[assignment]
    vocab_size: int = property(lambda self: self.model.vocab_size)  # type: ignore[assignment]
    context_length: int = property(lambda self: self.model.context_length)  # type: ignore[assignment]
    end_ids: tuple[int, ...] = property(lambda self: self.model.end_ids)  # type: ignore[assignment]

    @property
    def provenance(self) -> ModelProvenance:
        """Return the model's, with the noise."""
        told = self.model.provenance
        return dataclasses.replace(told, noise_packing=told.noise_packing + self._noise)

    def start_logprobs(self) -> FloatVocab:
        """Return those of the first token."""
        return self.model.start_logprobs()  # type: ignore[attr-defined, no-any-return]

    def edges(self, pack: Pack, *, evidence: Evidence = NO_EVIDENCE) -> EdgeScores:
        """Count, and pass on."""
        self.fed += self.new(pack)
        self.calls += 1
        scores = self.model.edges(pack, evidence=evidence)
        if not self._noise:
            return scores
        off = np.random.default_rng(self.calls).uniform(-self._noise, 0.0, len(scores.logprob))
        return dataclasses.replace(scores, logprob=scores.logprob + off)

    def new(self, pack: Pack) -> int:
        """Return how many tokens of a pack are computed."""
        return len(pack)


class Keeping(Counting):
    """As a model that keeps the keys and values of every prefix within a block."""

    kept: set[tuple[int, ...]] | None = None

    @contextmanager
    def apart(self, *, keep: bool = True) -> Iterator[int]:
        """Keep within the block."""
        before, self.kept = self.kept, set() if keep else None
        yield sys.maxsize if keep else 0
        self.kept = before

    def new(self, pack: Pack) -> int:
        """Return how many prefixes of a pack were not fed before."""
        if self.kept is None:
            return len(pack)
        fresh = {pack.path(node) for node in range(len(pack))} - self.kept
        self.kept |= fresh
        return len(fresh)


class Bounded(Keeping):
    """Keeps `capacity` tokens in holdings of `span`, which go whole, the longest unused first."""

    def __init__(self, model: Model, *, capacity: int, span: int = 8) -> None:
        super().__init__(model)
        self.capacity = capacity
        self.span = span
        self.holdings: list[tuple[int, set[tuple[int, ...]]]] | None = None

    @contextmanager
    def apart(self, *, keep: bool = True) -> Iterator[int]:
        """Keep within the block."""
        before, self.holdings = self.holdings, [] if keep else None
        yield self.capacity - min(self.span, self.capacity // 2) if keep else 0
        self.holdings = before

    def new(self, pack: Pack) -> int:
        """Return how many tokens of a pack are fed: those not held, and those that are read."""
        if self.holdings is None:
            return len(pack)
        paths = [pack.path(node) for node in range(len(pack))]
        read = {paths[node] for node in pack.edge_nodes.tolist() if node >= 0}
        kept = set[tuple[int, ...]]().union(*(held for _, held in self.holdings))
        there: set[tuple[int, ...]] = {()}
        there.update(path for path in paths if path in kept and path[:-1] in there)
        self.use(there & set(paths))
        fed = [path for path in paths if path in read or path not in there]
        for start in range(0, len(fed), self.span):
            part = fed[start : start + self.span]
            self.holdings.append((len(part), set(part) - there))
            self.use({path[:size] for path in part for size in range(len(path))} - set(part))
            while sum(size for size, _ in self.holdings) > self.capacity:
                del self.holdings[0]
        return len(fed)

    def use(self, paths: set[tuple[int, ...]]) -> None:
        """Mark what holds some prefixes as used now, the shorter ones after what extends them."""
        assert self.holdings is not None
        used = [one for one in self.holdings if not one[1].isdisjoint(paths)]
        used.sort(key=lambda one: -min(map(len, one[1] & paths)))
        self.holdings = [one for one in self.holdings if one not in used] + used


def a_table(rng: random.Random) -> TableModel:
    """Return a table of second order; rounded logits make exact ties."""
    tokens = list(LETTERS[: rng.randint(2, 8)])
    digits, spread = rng.choice([0, 1, 6]), rng.choice([0.5, 2.0, 4.0])

    def row() -> list[float | str]:
        return [
            "-Infinity" if rng.random() < 0.05 and place else round(rng.gauss(0, spread), digits)
            for place in range(len(tokens))
        ]

    contexts = ["", *tokens, *(f"{a} {b}" for a in tokens for b in tokens)]
    return TableModel.from_dict(
        {
            "tokens": tokens,
            "bos": None,
            "end": [tokens[0]],
            "kind": "logits",
            "order": 2,
            "rows": {context: row() for context in contexts if rng.random() < 0.8},
            "default": row(),
        }
    )


def a_query(rng: random.Random, vocab: int) -> logpr.Query:
    """Return candidates with shared stems, prefixes of others, duplicates and empty ones."""

    def some(most: int) -> list[int]:
        return [rng.randrange(vocab) for _ in range(rng.randint(0, most))]

    most = rng.choice([1, 3, 8, 20])
    stems = [[], some(most), some(most)]
    candidates: list[list[int]] = []
    for _ in range(rng.choice([1, 2, 3, 5, 10, 40])):
        candidates.append(rng.choice(stems) + some(most))
        if rng.random() < 0.15:
            candidates.append(rng.choice(candidates))
    return logpr.Query.of(
        prompt_ids=some(rng.choice([0, 2, 30])),
        candidate_ids=candidates,
        end=rng.choice(["open", "stop"]),
    )


def ranked(model: Model, query: logpr.Query, top: int | None = None) -> Ranking:
    """Return the ranking of one query."""
    (ranking,) = logpr.rank_many([query], model=model, top=top)
    return ranking


def check_same(found: Ranking, full: Ranking, top: int) -> None:
    """Assert that `found` is the beginning of `full`, and that all it says of the rest is so."""
    assert found.order == full.order[:top]
    assert (found.best, found.tie, found.top) == (full.best, full.tie, top)
    if top > 1 or found.margin is not None:
        assert (found.margin, found.noise) == (full.margin, full.noise)
        assert repr(found.fork) == repr(full.fork)  # the rest of two impossible ones is nan
    pruned = [score for score in found.candidates if score.pruned]
    for score, whole in zip(found.candidates, full.candidates, strict=True):
        if not score.pruned:
            share = None if pruned else whole.choice_prob
            assert score == dataclasses.replace(whole, choice_prob=share)
    kth = full.candidates[full.order[min(top, len(full.order)) - 1]].logprob
    assert kth is not None
    for score in pruned:
        true = full.candidates[score.index].logprob
        assert score.upper is not None
        assert true is not None
        assert (score.logprob, score.token_logprobs, score.per_token) == (None, None, None)
        assert true <= score.upper < kth


@pytest.mark.usefixtures("unchecked")  # the checker takes ten times as long as the search
def test_the_winners_are_those_of_the_full_ranking() -> None:
    """1,000 random queries, exact ties and impossible tokens among them: order, numbers, bounds."""
    fed, full_cost, dropped = 0, 0, 0
    for case in range(1000):
        rng = random.Random(case)  # noqa: S311 - cases, no secrets
        table = a_table(rng)
        query = a_query(rng, table.vocab_size)
        top = rng.randint(1, len(query.candidates))
        full = ranked(table, query)
        model = Keeping(table) if case % 2 else Counting(table)
        found = ranked(model, query, top)
        check_same(found, full, top)
        assert found.tokens_fed is not None
        assert found.tokens_full is not None
        assert model.fed == found.tokens_fed
        most = 1.0 if isinstance(model, Reusing) else 1.0 + MOST_EXTRA
        assert found.tokens_fed <= most * found.tokens_full
        if isinstance(model, Reusing):
            fed += found.tokens_fed
            full_cost += found.tokens_full
            dropped += sum(score.pruned for score in found.candidates)
    assert fed < 0.9 * full_cost, "a search that spares nothing is none"
    assert dropped > 300


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("capacity", [0, 40, 90, 400, 100_000])
@pytest.mark.parametrize("header", [0, 24])
def test_what_is_counted_is_fed_by_a_model_that_keeps_little(capacity: int, header: int) -> None:
    """Windows of many queries whose prefixes do not fit beside each other: counts, and the bound.

    The winners are those of the full ranking, and a query's numbers do not hang on the window.
    """
    spared = 0
    for case in range(4):
        rng = random.Random(case)  # noqa: S311 - cases, no secrets
        table = a_table(rng)
        queries = beside_each_other(rng, table.vocab_size, header)
        whole = Counting(table)
        full = list(logpr.rank_many(queries, model=whole))
        model = Bounded(table, capacity=capacity)
        found = list(logpr.rank_many(queries, model=model, top=1))
        assert model.fed <= sum(one.tokens_fed or 0 for one in found)
        assert model.fed <= (1.0 + MOST_EXTRA) * whole.fed
        for one, other, query in zip(found, full, queries, strict=True):
            check_same(one, other, 1)
            alone = Bounded(table, capacity=capacity)
            assert repr(ranked(alone, query, 1)) == repr(one)  # a fork may hold nan
            assert one.tokens_fed is not None
            assert one.tokens_full is not None
            assert alone.fed <= one.tokens_fed <= (1.0 + MOST_EXTRA) * one.tokens_full
            if one.tokens_full <= capacity - 8 or not capacity:
                assert alone.fed == one.tokens_fed
        spared += whole.fed - model.fed
    assert spared > 0 or capacity <= 40


def beside_each_other(rng: random.Random, vocab: int, header: int) -> list[logpr.Query]:
    """Return queries that have `header` tokens in common, then go on each in its own way."""

    def some(least: int, most: int) -> list[int]:
        return [rng.randrange(vocab) for _ in range(rng.randint(least, most))]

    shared = some(header, header)
    return [
        logpr.Query.of(
            prompt_ids=[
                *shared,
                *(number // vocab**place % vocab for place in range(4)),
                *some(9, 30),
            ],
            candidate_ids=[some(0, 12) for _ in range(rng.choice([2, 4, 12]))],
            end="stop",
        )
        for number in range(10)
    ]


@settings(max_examples=50)
@given(seed=st.integers(0, 2**32), top=st.integers(1, 6), noise=st.floats(1e-6, 0.3))
def test_noise_never_moves_a_dropped_candidate_up(seed: int, top: int, noise: float) -> None:
    """Calls that differ by up to the noise: who is dropped is below the k-th best in truth."""
    rng = random.Random(seed)  # noqa: S311 - cases, no secrets
    table = a_table(rng)
    query = a_query(rng, table.vocab_size)
    true = ranked(table, query)
    found = ranked(Keeping(table, noise=noise), query, top)
    best = sorted((score.logprob or 0.0 for score in true.candidates), reverse=True)
    for score, exact in zip(found.candidates, true.candidates, strict=True):
        if score.pruned:
            assert exact.logprob is not None
            assert score.upper is not None
            assert exact.logprob <= score.upper + score.noise
            assert exact.logprob < best[min(top, len(best)) - 1]


def test_who_ties_with_the_first_is_never_dropped() -> None:
    """Within noise the input order decides: a slightly worse first candidate is the first still."""
    table = TableModel.from_dict(
        {"tokens": ["A", "B"], "kind": "probs", "rows": {}, "default": [0.501, 0.499]}
    )
    query = logpr.Query.of(prompt_ids=[0], candidate_ids=[[1] * 40, [0] * 40, [1] * 20 + [0] * 20])
    noisy = Keeping(table, noise=0.01)
    full = ranked(noisy, query)
    found = ranked(noisy, query, 1)
    assert full.tie
    assert full.best == 0
    assert (found.order, found.tie) == ((0,), True)
    sure = ranked(Keeping(table), query, 1)
    assert (sure.order, sure.tie) == ((1,), False)


def test_rankings_do_not_depend_on_the_window() -> None:
    """Bounds too: what is asked of a query is its own affair."""
    rng = random.Random(3)  # noqa: S311 - cases, no secrets
    table = a_table(rng)
    queries = [a_query(rng, table.vocab_size) for _ in range(12)]
    model = Keeping(table)
    together = list(logpr.rank_many(queries, model=model, top=2))
    assert together == list(logpr.rank_many(queries, model=model, top=2, window=1))
    assert any(score.pruned for ranking in together for score in ranking.candidates)


def test_no_question_is_asked_twice() -> None:
    """A model that keeps prefixes is fed each once, and each edge is asked in one round alone."""
    asked: list[tuple[tuple[int, ...], int]] = []

    class Noting(Keeping):
        def edges(self, pack: Pack, *, evidence: Evidence = NO_EVIDENCE) -> EdgeScores:
            pairs = zip(pack.edge_nodes.tolist(), pack.edge_tokens.tolist(), strict=True)
            asked.extend((pack.path(node), token) for node, token in pairs)
            return super().edges(pack, evidence=evidence)

    for seed in range(60):
        rng = random.Random(seed)  # noqa: S311 - cases, no secrets
        table = a_table(rng)
        asked.clear()
        ranked(Noting(table), a_query(rng, table.vocab_size), rng.randint(1, 3))
        assert len(asked) == len(set(asked))


def test_evidence_is_that_of_the_full_ranking() -> None:
    """Columns of whole candidates come together from all rounds."""
    rng = random.Random(11)  # noqa: S311 - cases, no secrets
    table = a_table(rng)
    query = a_query(rng, table.vocab_size)
    columns = logpr.Settings(evidence=True, alternatives=2)
    (full,) = logpr.rank_many([query], model=table, settings=columns)
    (found,) = logpr.rank_many([query], model=Keeping(table), settings=columns, top=2)
    for place in found.order:
        whole = full.candidates[place]
        assert dataclasses.replace(found.candidates[place], choice_prob=whole.choice_prob) == whole
        assert whole.rank is not None


def test_given_numbers_are_whole_from_the_start() -> None:
    """A candidate with its own log-probabilities needs no model, and sets the others' bar."""
    given_one = {"token_logprobs": [-0.1, -0.2]}
    offline = logpr.rank("x", [{"token_logprobs": [-2.0]}, given_one], top=1)
    assert (offline.order, offline.tokens_fed, offline.margin) == ((1,), 0, pytest.approx(1.7))
    table = TableModel.from_dict(
        {"tokens": ["A", "B"], "kind": "probs", "rows": {}, "default": [0.9, 0.1]}
    )
    long = [1] * 200
    mixed = logpr.rank(prompt_ids=[0], candidates=[given_one, long], model=Keeping(table), top=1)
    assert mixed.order == (0,)
    assert mixed.candidates[1].pruned
    assert mixed.tokens_fed is not None
    assert mixed.tokens_fed < 10


def test_nan_is_an_error_that_names_the_token() -> None:
    """A model that returns NaN in a later round is refused as in one: candidate and position."""
    rng = random.Random(5)  # noqa: S311 - cases, no secrets
    table = a_table(rng)

    class Broken(Keeping):
        def edges(self, pack: Pack, *, evidence: Evidence = NO_EVIDENCE) -> EdgeScores:
            scores = super().edges(pack, evidence=evidence)
            depth = np.where(pack.edge_nodes < 0, -1, pack.depths[pack.edge_nodes])
            return dataclasses.replace(
                scores, logprob=np.where(depth == 5, math.nan, scores.logprob)
            )

    candidates = [[rng.randrange(table.vocab_size) for _ in range(60)] for _ in range(8)]
    with pytest.raises(
        ModelOutputError, match=r"candidate \d, position 5: .*log-probability of nan"
    ):
        logpr.rank(prompt_ids=[0], candidate_ids=candidates, model=Broken(table), top=1)


@pytest.mark.parametrize("rule", ["per_token", "bits_per_byte", "choice_prob", "pmi", PER_TOKEN])
def test_other_rules_are_refused(rule: str | logpr.Rule) -> None:
    """A ratio may rise as y grows, so no first tokens prove anything; the message says so."""
    with pytest.raises(QueryError, match=r"top goes with the rule logprob alone.*--top"):
        logpr.rank("x", [{"token_logprobs": [-1.0]}], rule=rule, top=1)


def test_what_is_no_count_is_refused() -> None:
    """`top` is a whole number from 1; it does not go with boundary 'marginal'."""
    one = [{"token_logprobs": [-1.0]}]
    with pytest.raises(QueryError, match="at least 1; found 0"):
        logpr.rank("x", one, top=0)
    with pytest.raises(WrongTypeError, match="found True"):
        logpr.rank("x", one, top=True)
    with pytest.raises(QueryError, match=r"boundary 'marginal' sums over.*leave out top"):
        logpr.rank("x", [" y"], model="builtin", boundary="marginal", top=1)


def test_more_than_there_are_is_all() -> None:
    """With k at least the number of candidates the ranking is the full one, in one call."""
    table = a_table(random.Random(2))  # noqa: S311 - cases, no secrets
    ids = [[1, 0, 1], [0], [1, 1]]
    model = Keeping(table)
    found = logpr.rank(prompt_ids=[0], candidate_ids=ids, model=model, top=9)
    full = logpr.rank(prompt_ids=[0], candidate_ids=ids, model=table)
    assert dataclasses.replace(found, top=None, tokens_fed=None, tokens_full=None) == full
    assert model.calls == 1


@pytest.fixture(scope="module")
def builtin() -> Model:
    """Return the model that ships with the package."""
    return logpr.load("builtin")


def least(full: Ranking, top: int) -> int:
    """Return how many tokens suffice for who knows the k-th best beforehand."""
    kth = full.candidates[full.order[top - 1]].logprob
    assert kth is not None
    fed: set[tuple[int, ...]] = set()
    for score in full.candidates:
        assert score.prompt_ids is not None
        assert score.token_ids is not None
        assert score.token_logprobs is not None
        asked = [*score.token_logprobs, *(() if score.end_logprob is None else (0.0,))]
        path, total = score.prompt_ids, 0.0
        fed.update(path[:size] for size in range(1, len(path) + 1))
        for place, logprob in enumerate(asked[:-1]):
            total += logprob
            if total < kth:
                break
            path = (*path, score.token_ids[place])
            fed.add(path)
    return len(fed)


@pytest.fixture
def record(record_property: Callable[[str, object], None]) -> Record:
    """Return where the tokens that a search took are noted: the report, and the screen with -s."""

    def note(name: str, value: str) -> None:
        record_property(name, value)
        sys.stdout.write(f"{name}: {value}\n")

    return note


def compared(
    record: Record, name: str, model: Model, queries: Sequence[logpr.Query], top: int
) -> float:
    """Check the rankings against the full ones; return the share of tokens that were fed."""
    keeping = Keeping(model)
    full = list(logpr.rank_many(queries, model=model))
    found = list(logpr.rank_many(queries, model=keeping, top=top))
    for one, whole in zip(found, full, strict=True):
        assert one.order == whole.order[:top]
        for place in one.order:
            score, same = one.candidates[place], whole.candidates[place]
            assert score.logprob == pytest.approx(same.logprob, abs=score.noise)
        for score in one.candidates:
            true = whole.candidates[score.index].logprob
            if score.upper is not None and true is not None:
                assert true <= score.upper + score.noise
    fed, whole = (sum(getattr(one, f"tokens_{n}") for one in found) for n in ("fed", "full"))
    known = sum(least(one, top) for one in full)
    record(f"{name}, top {top}", f"{fed} of {whole} tokens, {keeping.calls} calls, least {known}")
    assert known <= fed <= whole
    return float(fed / whole)


def test_labels_with_the_builtin_model(record: Record, builtin: Model) -> None:
    """Of many labels nearly all fall at their first token."""
    rng = random.Random(0)  # noqa: S311 - cases, no secrets
    syllables = ["ba", "lo", "mi", "ter", "gra", "sun", "ick", "o", "ver", "un"]
    labels = [" " + "".join(rng.choices(syllables, k=rng.randint(1, 5))) for _ in range(300)]
    queries = [logpr.Query.of("Once upon a time there was a", labels)]
    assert compared(record, "labels", builtin, queries, 1) < 0.2


def test_an_n_best_list_of_the_builtin_model(record: Record, builtin: Model) -> None:
    """Of long candidates of one model, drawn at random, a good part is spared."""
    assert isinstance(builtin, Predictive)
    assert builtin.tokenizer is not None
    prompt = builtin.tokenizer.encode("Once upon a time", parse_special=False)
    rng = np.random.default_rng(0)
    drawn: list[tuple[int, ...]] = [()] * 64
    for _ in range(24):
        rows = np.exp(builtin.next_logits([(*prompt, *ids) for ids in drawn]).logprobs)
        shares = rows / rows.sum(axis=1, keepdims=True)
        drawn = [
            (*ids, int(rng.choice(len(row), p=row))) for ids, row in zip(drawn, shares, strict=True)
        ]
    queries = [logpr.Query.of(prompt_ids=prompt, candidate_ids=drawn)]
    assert compared(record, "n-best", builtin, queries, 1) < 0.8
    assert compared(record, "n-best", builtin, queries, 4) < 0.95


def test_real_choices(record: Record, builtin: Model, data_dir: Path) -> None:
    """HellaSwag endings: four long candidates, of which most must be read nearly to their end."""
    lines = (data_dir / "eval/hellaswag/hellaswag_val_first1000.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines[:16]]
    queries = [
        logpr.Query.of(row["query"], [" " + ending for ending in row["endings"]]) for row in rows
    ]
    for top in (1, 2):
        assert compared(record, "hellaswag", builtin, queries, top) <= 1.0


def test_real_sentences(record: Record, builtin: Model, data_dir: Path) -> None:
    """BLiMP pairs: whole sentences after the start token."""
    lines = (data_dir / "eval/blimp/anaphor_gender_agreement.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines[:40]]
    queries = [
        logpr.Query.of("", [row["sentence_good"], row["sentence_bad"]], end="stop") for row in rows
    ]
    assert compared(record, "blimp", builtin, queries, 1) <= 1.0


def test_a_model_of_transformers(data_dir: Path) -> None:
    """The Hugging Face backend keeps what the rounds share."""
    pytest.importorskip("transformers")
    model = logpr.load(data_dir / "models" / "stories260K")
    assert isinstance(model, Reusing)
    text = "Once upon a time there was a little girl who"
    words = ["the", "a", "cat", "dog", "sat", "ran", "on", "red", "big", "tree", "and", "was"]
    rng = random.Random(1)  # noqa: S311 - cases, no secrets
    candidates = [" " + " ".join(rng.choices(words, k=6)) for _ in range(24)]
    full = logpr.rank(text, candidates, model=model)
    found = logpr.rank(text, candidates, model=model, top=3)
    assert found.order == full.order[:3]
    assert found.tokens_fed is not None
    assert found.tokens_full is not None
    assert found.tokens_fed < found.tokens_full
    assert any(score.pruned for score in found.candidates)
