"""Explanations: parts that sum to the gap, splits that no shift moves, tokens beside tokens."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import logpr
from logpr import Explanation, Ranking
from logpr._explain import context, decisions_of
from logpr._explain.parts import sentences
from logpr._score import score_window
from logpr._values import Bar, Score
from logpr.errors import QueryError, WrongTypeError
from logpr.models.base import Model
from logpr.models.table import TableModel
from logpr.report.words.explanation import parting, raw
from logpr.report.words.parts import Sentence

ONE = {
    "tokens": ["A", "B", "C"],
    "kind": "logits",
    "rows": {"": [10, 9, 0], "A": [0, 0, 0], "B": [8, 7, 0]},
}
"""Worked example 1 of the faults: raw logits prefer B B, log Pr A A."""

MAT = {
    "tokens": ["The", "warm", "plush", "mat", "rug", "."],
    "end": ["."],
    "kind": "logprobs",
    "order": 1,
    "rows": {
        "": {"The": -1.0},
        "The": {"warm": -0.9, "plush": -1.2},
        "warm": {"mat": -1.5, ".": -2.5},
        "plush": {"rug": -1.1},
        "mat": {".": -0.4},
        "rug": {".": -0.7},
    },
    "default": [-3.0, -3.0, -3.0, -3.0, -3.0, -2.5],
}


@cache
def builtin() -> Model:
    """Return the built-in model."""
    return logpr.load("builtin")


def ranked(table: dict[str, Any], *ids: list[int], **said: Any) -> Ranking:  # noqa: ANN401 - rank's own
    """Return a ranking of candidates in ids after no prompt, with evidence."""
    model = TableModel.from_dict(table)
    return logpr.rank(prompt_ids=[], candidate_ids=ids, model=model, evidence=True, **said)


def said(sentence: Sentence) -> str:
    """Return a sentence without its marks."""
    return "".join(part if isinstance(part, str) else part.text for part in sentence)


def total(bars: tuple[Bar, ...]) -> float:
    """Return what bars sum to."""
    return math.fsum(bar.contribution for bar in bars)


def test_worked_example_one() -> None:
    """A A leads by 1.2149 = 1.000 + 0.215 nats; raw logits say 10 against 16."""
    found = logpr.explain(ranked(ONE, [0, 0], [1, 1]))
    assert found.gap == pytest.approx(1.2149, abs=5e-5)
    assert found.fork is not None
    assert found.fork.gap_at_fork == pytest.approx(1.0, abs=1e-12)
    (pair,) = found.pairs
    assert pair.tail_first - pair.tail_second == pytest.approx(0.2149, abs=5e-5)
    one, two = found.splits
    assert one.logit_gap_sum == 0.0
    assert one.top_surprisal_sum == pytest.approx(1.4119, abs=5e-5)
    assert two.logit_gap_sum == pytest.approx(2.0, abs=1e-12)
    assert two.top_surprisal_sum == pytest.approx(0.6268, abs=5e-5)
    assert (one.logit, two.logit) == (10.0, 16.0)
    assert found.gap_split == pytest.approx((2.0, -0.7851), abs=5e-5)
    assert [bar.part for bar in found.bars] == ["fork", "tail", "tail"]


def test_worked_example_two() -> None:
    """Greedy begins with "warm"; "plush rug" has the larger total, -2.3 over -2.4."""
    model = TableModel.from_dict(MAT)
    ranking = logpr.rank("The", [" warm mat", " plush rug"], model=model, evidence=True)
    found = logpr.explain(ranking)
    assert (found.first, found.second) == (1, 0)
    assert found.gap == pytest.approx(0.1, abs=1e-12)
    assert found.fork is not None
    assert found.fork.gap_at_fork == pytest.approx(-0.3, abs=1e-12)
    assert found.fork.gap_after == pytest.approx(0.4, abs=1e-12)


VOCAB = 7


def rows_of(seed: int) -> TableModel:
    """Return a model of random logits, other ones after each two tokens."""
    rng = np.random.default_rng(seed)
    shift = rng.normal(0.0, 30.0)
    keys = ["", *"abcdef.", *(f"{x} {y}" for x in "abcdef." for y in "abcdef.")]
    return TableModel.from_dict(
        {
            "tokens": list("abcdef."),
            "end": ["."],
            "kind": "logits",
            "order": 2,
            "rows": {key: (rng.normal(shift, 4.0, VOCAB)).tolist() for key in keys},
        }
    )


def random_ranking(seed: int, end: Any, size: int) -> Ranking:  # noqa: ANN401 - a literal
    """Return a ranking by a random model of candidates that share some tokens or none."""
    rng = np.random.default_rng(seed)
    shared = rng.integers(0, VOCAB, rng.integers(0, 4)).tolist()
    ids = [shared + rng.integers(0, VOCAB, rng.integers(0, 6)).tolist() for _ in range(size)]
    return logpr.rank(
        prompt_ids=[0], candidate_ids=ids, model=rows_of(seed), end=end, evidence=True
    )


@settings(max_examples=18)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["open", "stop"]))
def test_parts_sum_to_the_gap(seed: int, end: Any) -> None:  # noqa: ANN401 - a literal
    """On 1,000 pairs of random models: the 56 of each ranking, one a prefix or not."""
    ranking = random_ranking(seed, end, 8)
    for first, second in itertools.permutations(range(8), 2):
        _check_parts(ranking, first, second)


@settings(max_examples=10)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["open", "stop"]))
def test_json_comes_back(seed: int, end: Any) -> None:  # noqa: ANN401 - a literal
    """What is written as JSON is read as the same value."""
    found = logpr.explain(random_ranking(seed, end, 3))
    assert Explanation.from_json(found.to_json()) == found


def _check_parts(ranking: Ranking, first: int, second: int) -> None:
    found = logpr.explain(ranking, first=first, second=second)
    one, two = ranking.candidates[first], ranking.candidates[second]
    assert one.logprob is not None
    assert two.logprob is not None
    assert found.gap == pytest.approx(one.logprob - two.logprob, abs=1e-12)
    assert total(found.bars) == pytest.approx(found.gap, abs=1e-9)
    for pair in found.pairs:
        at_fork = 0.0 if pair.fork is None else pair.fork.gap_at_fork
        assert at_fork + pair.tail_first - pair.tail_second == pytest.approx(pair.gap, abs=1e-9)
    _check_fork(found, one, two)
    for score, split in zip((one, two), found.splits, strict=True):
        assert score.logprob is not None
        assert min(split.logit_gap, default=0.0) >= 0.0
        assert min(split.top_surprisal, default=0.0) >= 0.0
        assert max(split.top_surprisal, default=0.0) <= math.log(VOCAB) + 1e-12
        both = split.logit_gap_sum + split.top_surprisal_sum
        assert -both == pytest.approx(score.logprob, abs=1e-9)
        for at, top in enumerate(score.top_logit or ()):
            own = (score.logit or ())[at]
            assert top is not None
            assert own is not None
            assert split.logit_gap[at] == pytest.approx(top - own, abs=1e-9)
    for curve in found.curves:
        assert curve.logprob[-1] == pytest.approx(ranking.candidates[curve.index].logprob, abs=1e-9)


def _check_fork(found: Explanation, one: Score, two: Score) -> None:
    """At the fork both see one row: the gap there is the difference of two logits of it."""
    if found.fork is None:
        return
    at = found.fork.position
    logits: list[float] = []
    for score in (one, two):
        ended = at >= len(score.token_ids or ())
        evidence = score.end_evidence
        logit = (
            (score.logit or ())[at] if not ended else None if evidence is None else evidence.logit
        )
        assert logit is not None
        logits.append(logit)
    assert found.fork.gap_at_fork == pytest.approx(logits[0] - logits[1], abs=1e-9)


def test_a_constant_on_every_logit_moves_no_split() -> None:
    """What the model emits is moved by it, log Pr and its two parts are not."""
    moved = {**ONE, "rows": {key: [u + 100.0 for u in row] for key, row in ONE["rows"].items()}}  # type: ignore[attr-defined]
    plain = logpr.explain(ranked(ONE, [0, 0], [1, 1]))
    shifted = logpr.explain(ranked(moved, [0, 0], [1, 1]))
    for one, two in zip(plain.splits, shifted.splits, strict=True):
        assert one.logit_gap == pytest.approx(two.logit_gap, abs=1e-9)
        assert one.top_surprisal == pytest.approx(two.top_surprisal, abs=1e-9)
        assert two.logit == pytest.approx((one.logit or 0.0) + 200.0)


def test_one_begins_with_the_other() -> None:
    """Under `open` there is no fork and the gap is the tail; under `stop` the fork is END."""
    opened = logpr.explain(ranked(ONE, [0], [0, 1]))
    assert opened.fork is None
    assert [bar.part for bar in opened.bars] == ["shared", "tail"]
    assert opened.bars[0].contribution == 0.0
    assert total(opened.bars) == pytest.approx(math.log(3))
    model = TableModel.from_dict(MAT)
    ranking = logpr.rank("The", [" warm", " warm mat"], model=model, end="stop", evidence=True)
    stopped = logpr.explain(ranking, first=0, second=1)
    assert stopped.fork is not None
    assert (stopped.fork.first, stopped.fork.position) == ("END", 1)
    assert stopped.fork.gap_after == pytest.approx(0.4)
    assert stopped.gap == pytest.approx(-2.5 + 1.5 + 0.4)


def test_numbers_that_came_without_ids() -> None:
    """Log-probabilities alone are compared as whole sequences, token by token."""
    ranking = logpr.rank(
        candidates=[
            {"text": "warm mat", "token_logprobs": [-0.9, -1.5]},
            {"text": "plush rug", "token_logprobs": [-1.2, -1.1]},
        ]
    )
    found = logpr.explain(ranking)
    assert found.fork is None
    assert {bar.part for bar in found.bars} == {"whole"}
    assert total(found.bars) == pytest.approx(0.1)
    assert found.splits == ()


@pytest.mark.parametrize("second", [(-1.5, -3.0), (-1.5, -2.0, -1.0)])
def test_own_numbers_that_differ_on_shared_tokens(second: tuple[float, ...]) -> None:
    """Then nothing is shared, no step is common to both, and the bars still sum to the gap."""
    ids = [1, 3] if len(second) == 2 else [1, 2, 3]
    ranking = logpr.rank(
        candidates=[
            {"text": "ab", "token_ids": [1, 2], "token_logprobs": [-1.0, -2.0]},
            {"text": "abc", "token_ids": ids, "token_logprobs": list(second)},
        ]
    )
    found = logpr.explain(ranking)
    assert (found.fork, ranking.fork) == (None, None)
    assert {bar.part for bar in found.bars} == {"whole"}
    assert total(found.bars) == pytest.approx(found.gap, abs=1e-12)
    assert "The numbers that they brought differ" in said(parting(found))


def test_own_numbers_that_agree_on_shared_tokens() -> None:
    """Then they fork as candidates of one model do."""
    ranking = logpr.rank(
        candidates=[
            {"text": "ab", "token_ids": [1, 2], "token_logprobs": [-1.0, -2.0]},
            {"text": "ac", "token_ids": [1, 3], "token_logprobs": [-1.0, -3.0]},
        ]
    )
    found = logpr.explain(ranking)
    assert found.fork is not None
    assert (found.fork.position, found.fork.gap_at_fork) == (1, 1.0)
    assert [bar.part for bar in found.bars] == ["shared", "fork"]


def test_own_numbers_beside_the_models() -> None:
    """What they came after is not known; influence needs a model that gives those numbers."""
    model = TableModel.from_dict(MAT)
    own = {"text": " plush rug", "token_logprobs": [-1.0, -1.1]}
    ranking = logpr.rank("The", [" warm mat", own], model=model)
    found = logpr.explain(ranking)
    assert "One of them brought its own numbers" in said(parting(found))
    with pytest.raises(QueryError, match=r"candidate 1 brought its own numbers, log Pr -2\.1"):
        logpr.explain(ranking, model=model, influence="sentences")


def test_why_there_is_no_fork() -> None:
    """An empty candidate is a prefix of all; equal tokens part nowhere."""
    model = TableModel.from_dict(ONE)
    empty = logpr.explain(
        logpr.rank(prompt_ids=[], candidate_ids=[[], [0, 1]], model=model, end="open")
    )
    assert "the gap is the tail of" in said(parting(empty))
    same = logpr.explain(logpr.rank("", ["A", "A"], model=model))
    assert "Their tokens are the same" in said(parting(same))


def test_raw_sums_name_no_other_one_where_neither_leads() -> None:
    """Equal log Pr from unequal logits: sums pick one, and there is no winner that it is not."""
    table = {
        "tokens": ["A", "B"],
        "kind": "logits",
        "rows": {"": [0.0, 0.0], "A": [0.0, 0.0], "B": [9.0, 9.0]},
    }
    for pair in ([[0, 0], [1, 0]], [[1, 0], [0, 0]]):
        found = logpr.explain(ranked(table, *pair))
        assert found.tie
        assert said(raw(found)).startswith("Of the two, sums of raw logits would pick")
        assert said(raw(found)).endswith("9.00 over 0.00.")


def test_one_pass_gives_both_their_evidence() -> None:
    """Where one has none both are asked again, so that what they share has the same numbers."""
    lm = builtin()
    ranking = logpr.rank("The cat sat on", [" the mat", " the rug"], model=lm, evidence=True)
    moved = tuple(each + 1e-6 for each in ranking.candidates[0].token_logprobs or ())
    bare = replace(
        ranking.candidates[0],
        top_logprob=None,
        token_logprobs=moved,
        logprob=math.fsum(moved),
    )
    both = replace(ranking, candidates=(bare, ranking.candidates[1]))
    found = logpr.explain(both, model=lm, first=0, second=1)
    assert total(found.bars) == pytest.approx(found.gap, abs=1e-9)
    one, two = (score.token_logprobs for score in found.ranking.candidates)
    assert one is not None
    assert two is not None
    assert one[0] == two[0]


def test_a_merged_boundary_has_no_fork() -> None:
    """Candidates after other tokens of the prompt share no step."""
    lm = builtin()
    ranking = logpr.rank("the ca", ["t sat", " ran"], model=lm, boundary="joint", evidence=True)
    assert len({score.prompt_ids for score in ranking.candidates}) == 2
    found = logpr.explain(ranking)
    assert found.fork is None
    assert {bar.part for bar in found.bars} == {"whole"}
    assert total(found.bars) == pytest.approx(found.gap, abs=1e-9)


def test_all_spellings_have_no_tokens() -> None:
    """Under boundary `marginal` there are two wholes."""
    lm = builtin()
    ranking = logpr.rank("Tom sa", ["w a", "id"], model=lm, boundary="marginal")
    found = logpr.explain(ranking, model=lm)
    assert [bar.part for bar in found.bars] == ["whole", "whole"]
    assert total(found.bars) == pytest.approx(found.gap, abs=1e-9)
    assert (found.splits, found.segments, found.curves) == ((), (), ())


def test_probability_zero() -> None:
    """An impossible candidate is infinitely behind; two of them are level."""
    table = {"tokens": ["A", "B", "C"], "kind": "probs", "rows": {"": [0.6, 0.4, 0.0]}}
    found = logpr.explain(ranked(table, [0], [2], [2]))
    assert found.gap == math.inf
    assert any(warning.startswith("impossible") for warning in found.warnings)
    level = logpr.explain(ranked(table, [0], [2], [2]), first=1, second=2)
    assert (level.gap, level.tie) == (0.0, True)
    assert Explanation.from_json(found.to_json()) == found


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1))
def test_segments_cut_where_both_do(seed: int) -> None:
    """Every token is in one segment, and its bytes are the segment's."""
    rng = np.random.default_rng(seed)
    lm = builtin()
    words = ["the", "cat", "sunflower", "é", "🙂", "xylophone,", "a"]
    texts = [" " + " ".join(rng.choice(words, rng.integers(1, 6))) for _ in range(2)]
    ranking = logpr.rank("Once", texts, model=lm)
    found = logpr.explain(ranking)
    scores = [ranking.candidates[found.first], ranking.candidates[found.second]]
    for score, side in zip(scores, ("first", "second"), strict=True):
        ranges = [getattr(each, side) for each in found.segments]
        covered = [place for begin, end in ranges for place in range(begin, end)]
        assert covered == list(range(len(score.token_ids or ())))
        for each, (begin, end) in zip(found.segments, ranges, strict=True):
            for first, last in (score.token_spans or ())[begin:end]:
                assert each.start <= first <= last <= each.end


def test_evidence_is_asked_of_the_model_that_ranked() -> None:
    """A ranking without evidence gets it, of the same numbers; another model is refused."""
    model = TableModel.from_dict(MAT)
    ranking = logpr.rank("The", [" warm mat", " plush rug"], model=model)
    assert logpr.explain(ranking).splits == ()
    found = logpr.explain(ranking, model=model)
    plain = logpr.explain(
        logpr.rank("The", [" warm mat", " plush rug"], model=model, evidence=True)
    )
    assert found.splits == plain.splits
    other = {**MAT, "rows": {**MAT["rows"], "warm": {"mat": -1.9}}}  # type: ignore[dict-item]
    with pytest.raises(QueryError, match=r"candidate 0: this model gives log Pr -2\.8"):
        logpr.explain(ranking, model=TableModel.from_dict(other))
    whole = logpr.rank("The", [" warm mat", " plush rug"], model=model, evidence=True)
    with pytest.raises(QueryError, match=r"candidate 0: this model gives log Pr -2\.8"):
        logpr.explain(whole, model=TableModel.from_dict(other), influence="sentences")


def test_influence_of_sentences() -> None:
    """The sentence that names the hero speaks for the candidate that names her."""
    lm = builtin()
    prompt = "There was a girl called Lily. The sun was hot. One day,"
    ranking = logpr.rank(prompt, [" Lily went", " Tom went"], model=lm)
    found = logpr.explain(ranking, model=lm, influence="sentences")
    assert [part.text for part in found.influence] == [
        "There was a girl called Lily. ",
        "The sun was hot. ",
        "One day,",
    ]
    hero, sun, _ = found.influence
    assert hero.gap is not None
    assert sun.gap is not None
    assert hero.gap > 3.0
    assert hero.gap > 3 * abs(sun.gap)
    without = logpr.rank(
        "The sun was hot. One day,", [" Lily went", " Tom went"], model=lm
    ).candidates
    for moved, old, new in zip(hero.moved, ranking.candidates, without, strict=True):
        assert old.logprob is not None
        assert new.logprob is not None
        assert moved == pytest.approx(old.logprob - new.logprob, abs=1e-3)


def test_the_last_sentence_takes_the_space_before_it() -> None:
    """Left out it leaves no second space before candidates that begin with one."""
    assert [part.without for part in sentences("Tim ran. Lily sat.")] == ["Lily sat.", "Tim ran."]
    assert [part.without for part in sentences("Tim ran. Lily sat. ")] == [
        "Lily sat. ",
        "Tim ran. ",
    ]
    lm = builtin()
    names = [" He", " She"]
    ranking = logpr.rank("Tim ran. Lily sat.", names, model=lm, boundary="joint")
    last = logpr.explain(ranking, model=lm, influence="sentences").influence[-1]
    without = logpr.rank("Tim ran.", names, model=lm, boundary="joint").candidates
    for moved, old, new in zip(last.moved, ranking.candidates, without, strict=True):
        assert old.logprob is not None
        assert new.logprob is not None
        assert moved == pytest.approx(old.logprob - new.logprob, abs=1e-3)


@pytest.mark.parametrize(("prompt", "influence"), [("", "sentences"), ("A b.", [])])
def test_nothing_to_leave_out(prompt: str, influence: Any) -> None:  # noqa: ANN401 - explain's own
    """An empty prompt has no part, and no span is none."""
    ranking = logpr.rank(prompt, ["He", "She"], model=builtin())
    with pytest.raises(QueryError, match="there are none here; do without influence"):
        logpr.explain(ranking, model=builtin(), influence=influence)


def test_influence_of_spans_and_moved_spaces() -> None:
    """Given characters are left out; the prompt's last space is at the candidates' front."""
    lm = builtin()
    ranking = logpr.rank("The big red dog sat on the ", ["mat", "rug"], model=lm)
    found = logpr.explain(ranking, model=lm, influence=[(4, 8), (8, 12)])
    assert [part.text for part in found.influence] == ["big ", "red "]
    without = logpr.rank("The red dog sat on the ", ["mat", "rug"], model=lm).candidates
    for moved, old, new in zip(found.influence[0].moved, ranking.candidates, without, strict=True):
        assert moved == pytest.approx((old.logprob or 0.0) - (new.logprob or 0.0), abs=1e-3)


def test_a_part_that_cannot_be_left_out_says_why() -> None:
    """Without its one sentence nothing is left to condition on, where no start token is."""
    lm = builtin()
    ranking = logpr.rank("Tim ran.", [" He", " She"], model=lm, bos="never")
    (part,) = logpr.explain(ranking, model=lm, influence="sentences").influence
    assert (part.moved, part.gap) == ((), None)
    assert part.note is not None


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        ({"first": 2}, "first is the index of a candidate, 0 to 1; found 2"),
        ({"second": -1}, "second is the index"),
        ({"first": 1, "second": 1}, "both candidate 1"),
        ({"influence": "words"}, "influence is 'sentences', 'turns'"),
        ({"influence": "turns"}, "give it as messages="),
        ({"influence": [(3, 3)]}, "span 0 is 3 to 3"),
        ({"influence": [(0, 99)]}, "the prompt has 3 characters"),
        ({"influence": [(0,)]}, "a span is \\(start, end\\)"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_what_cannot_be_explained(said: dict[str, Any], problem: str) -> None:
    """Each says what was found, and what would do."""
    model = TableModel.from_dict(MAT)
    ranking = logpr.rank("The", [" warm mat", " plush rug"], model=model)
    with pytest.raises(QueryError, match=problem):
        logpr.explain(ranking, model=model, **said)


@pytest.mark.usefixtures("unchecked")
def test_what_is_no_ranking() -> None:
    """A list of texts is not, nor is one candidate a pair, nor a dropped one a number."""
    model = TableModel.from_dict(MAT)
    with pytest.raises(WrongTypeError, match="explain takes a ranking, found list"):
        logpr.explain([" warm"])  # type: ignore[arg-type]
    with pytest.raises(QueryError, match="one candidate leads nobody"):
        logpr.explain(logpr.rank("The", [" warm"], model=model))
    with pytest.raises(QueryError, match="asks a model"):
        logpr.explain(logpr.rank("The", [" warm", " plush"], model=model), influence="sentences")


def test_decisions_of_a_file() -> None:
    """Disputed ones come first, then the most surprising; flips and lengths are counted."""
    model = TableModel.from_dict(MAT)
    queries = [
        logpr.Query.of("The", [" warm mat", " plush rug"], id="a", label=0),
        logpr.Query.of("The", [" warm", " plush"], id="b", label=0),
        logpr.Query.of("The", [" warm", " warm mat"], id="c"),
    ]
    rankings = list(logpr.rank_many(queries, model=model))
    found = decisions_of(rankings)
    assert (found.total, found.labelled, found.right) == (3, 2, 1)
    assert found.decisions[0].id == "a"
    assert found.decisions[0].right is False
    assert found.decisions[0].surprise == pytest.approx(
        -math.log(rankings[0].candidates[0].choice_prob or 0.0)
    )
    flips = dict(found.flips)
    assert flips["logprob"] == 0
    assert flips["per_token"] == sum(
        dict(ranking.winners)["per_token"] != ranking.best for ranking in rankings
    )
    assert dict(found.drift)["logprob"] == pytest.approx((2 + 1 + 1) / 3)
    assert len(decisions_of(rankings, most=1).decisions) == 1
    alone = decisions_of([logpr.rank("The", [" warm"], model=model)]).decisions[0]
    assert math.copysign(1.0, alone.surprise or 0.0) == 1.0
    with pytest.raises(QueryError, match="no record"):
        decisions_of([])


def test_models_without_logits_have_splits() -> None:
    """log p_max − log p_y is the logit gap, whatever is shown of logits."""
    model: Model = TableModel.from_dict(MAT)
    ranking = logpr.rank("The", [" warm mat", " plush rug"], model=model, evidence=True)
    found = logpr.explain(ranking)
    assert [split.logit for split in found.splits] == [None, None]
    assert found.splits[0].logit_gap == pytest.approx((0.3, 0.0))


def test_two_models_are_made_one() -> None:
    """Where a twin decided the winner alone the gap holds both models: said, and mended."""
    model = TableModel.from_dict(MAT)
    ranking = logpr.rank("The", [" warm mat", " plush rug"], model=model, evidence=True)
    first, second = ranking.candidates
    assert first.provenance is not None
    assert first.provenance.model is not None
    fast = replace(first.provenance.model, dtype="bfloat16")
    off = replace(first, provenance=replace(first.provenance, model=fast), noise=0.1)
    mixed = replace(ranking, candidates=(off, second))
    assert any(each.startswith("mixed_models") for each in logpr.explain(mixed).warnings)
    found = logpr.explain(mixed, model=model)
    assert found.warnings == ()
    assert {
        None if score.provenance is None else score.provenance.model
        for score in found.ranking.candidates
    } == {first.provenance.model}


def test_many_parts_are_scored_in_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """A prompt of any number of sentences is asked a window at a time, and moves the same."""
    lm = builtin()
    prompt = "Tom ran. Lily hid. Tom sat. Lily ate. Tom slept."
    ranking = logpr.rank(prompt, [" Tom", " Lily"], model=lm)
    at_once = logpr.explain(ranking, model=lm, influence="sentences").influence
    sizes: list[int] = []
    real = score_window

    def watched(queries: list[logpr.Query], **said: Any) -> Any:  # noqa: ANN401 - as it is
        sizes.append(len(queries))
        return real(queries, **said)

    monkeypatch.setattr(context, "WINDOW", 2)
    monkeypatch.setattr(context, "score_window", watched)
    by_two = logpr.explain(ranking, model=lm, influence="sentences").influence
    assert sizes == [2, 2, 2]
    for one, two in zip(at_once, by_two, strict=True):
        assert one.moved == pytest.approx(two.moved, abs=1e-4)
