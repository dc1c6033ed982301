"""Ranking: order, ties, nulls, warnings, rules that need more than the candidate's own sum."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

import logpr
from logpr.errors import (
    NumbersError,
    QueryError,
    TokenizationError,
    UnknownNameError,
)
from logpr.models.base import Model
from logpr.models.table import TableModel

TABLE = {
    "tokens": ["A", "B", "C", "."],
    "bos": None,
    "end": ["."],
    "kind": "probs",
    "rows": {
        "": [0.5, 0.3, 0.1, 0.1],
        "A": [0.1, 0.2, 0.3, 0.4],
        "B": [0.25, 0.25, 0.25, 0.25],
    },
    "default": [0.4, 0.3, 0.2, 0.1],
}


@pytest.fixture
def table() -> Model:
    """Return a small exact model."""
    return TableModel.from_dict(TABLE)


def lps(*values: float) -> dict[str, list[float]]:
    """Return a candidate that brings its token log-probabilities."""
    return {"token_logprobs": list(values)}


def test_log_pr_is_the_product_of_conditionals(table: Model) -> None:
    """Check log Pr(A B | ·) = log 0.5 + log 0.2."""
    score = logpr.score("", "A B", model=table)
    assert score.logprob == pytest.approx(math.log(0.5) + math.log(0.2), abs=1e-15)
    assert score.token_logprobs == pytest.approx((math.log(0.5), math.log(0.2)), abs=1e-15)


def test_the_prompt_is_not_in_the_sum(table: Model) -> None:
    """The sum starts at the first token of y."""
    assert logpr.score("A", " B", model=table).logprob == pytest.approx(math.log(0.2), abs=1e-15)


def test_stop_adds_the_end(table: Model) -> None:
    """Under `stop` log Pr(END) is part of the sum and of nothing else."""
    score = logpr.score("A", " B", model=table, end="stop")
    assert score.end_logprob == pytest.approx(math.log(0.1), abs=1e-15)
    assert score.logprob == pytest.approx(math.log(0.2) + math.log(0.1), abs=1e-15)
    assert score.tokens == 1
    assert score.token_logprobs == pytest.approx((math.log(0.2),), abs=1e-15)
    assert score.per_token == pytest.approx(score.logprob / 2, abs=1e-15)


def test_several_end_ids_are_one_outcome(table: Model) -> None:
    """END is the union of the end ids: its probability is their sum."""
    score = logpr.score("A", " B", model=table, end="stop", end_ids=[2, 3])
    assert score.end_logprob == pytest.approx(math.log(0.2 + 0.1), abs=1e-15)


def test_an_empty_continuation(table: Model) -> None:
    """Empty y: 0 under open, log Pr(END) under stop; no ratios."""
    assert logpr.score("A", "", model=table).logprob == 0.0
    stopped = logpr.score("A", "", model=table, end="stop")
    assert stopped.logprob == pytest.approx(math.log(0.4), abs=1e-15)
    assert stopped.per_token is None
    assert stopped.per_char is None


def test_an_empty_candidate_ranks_last_by_ratios(table: Model) -> None:
    """A null ratio ranks after every number, and wins by the plain sum."""
    assert logpr.rank("A", ["", " B"], model=table, rule="per_token").order == (1, 0)
    assert logpr.rank("A", ["", " B"], model=table).order == (0, 1)


def test_joint_adds_the_prompt(table: Model) -> None:
    """Check log Pr(x, y) = log Pr(x) + log Pr(y | x)."""
    score = logpr.score("A", " B", model=table, joint=True)
    assert score.prompt_logprob == pytest.approx(math.log(0.5), abs=1e-15)
    assert score.joint_logprob == pytest.approx(math.log(0.5) + math.log(0.2), abs=1e-15)


def test_a_score_does_not_depend_on_the_company(table: Model) -> None:
    """A candidate's score is the same alone and among others."""
    alone = logpr.score("A", " B C", model=table)
    among = logpr.rank("A", [" C", " B C", " B", " A A A"], model=table).candidates[1]
    assert among.logprob == alone.logprob
    assert among.token_logprobs == alone.token_logprobs


def test_pmi_compares_with_a_neutral_prompt(table: Model) -> None:
    """Rule pmi ranks by how much the prompt raises a candidate."""
    ranking = logpr.rank("A", [" A", " C"], model=table, rule="pmi", neutral="")
    values = [dict(s.rule_values)["pmi"] for s in ranking.candidates]
    assert values == pytest.approx([math.log(0.1 / 0.5), math.log(0.3 / 0.1)], abs=1e-12)
    assert ranking.best == 1


def test_vocab_subset_normalises_over_the_subset(table: Model) -> None:
    """Rule vocab_subset is the per-step softmax over named tokens; outside it is −inf."""
    ranking = logpr.rank(
        "A", [" B", " A", " C"], model=table, rule="vocab_subset", among=["A", "B"]
    )
    values = [dict(s.rule_values)["vocab_subset"] for s in ranking.candidates]
    assert values == pytest.approx([math.log(2 / 3), math.log(1 / 3), -math.inf], abs=1e-12)
    assert ranking.order == (0, 1, 2)


def test_a_rule_of_the_callers_own(table: Model) -> None:
    """A caller may pass a rule: a named function with a direction."""
    longest = logpr.Rule(name="longest", value=lambda totals: float(totals.tokens or 0))
    ranking = logpr.rank("A", [" B", " B C A"], model=table, rule=longest)
    assert ranking.rule == "longest"
    assert ranking.best == 1


def test_one_candidate_has_no_margin(table: Model) -> None:
    """With one candidate margin and noise are null and nothing is tied."""
    ranking = logpr.rank("A", [" B"], model=table)
    assert (ranking.margin, ranking.noise, ranking.tie, ranking.order) == (None, None, False, (0,))


def test_no_candidates_is_an_error(table: Model) -> None:
    """Zero candidates cannot be ranked."""
    with pytest.raises(QueryError, match="there are no candidates"):
        logpr.rank("A", [], model=table)


def test_equal_candidates_tie_in_input_order() -> None:
    """An exact tie falls back to the caller's order."""
    ranking = logpr.rank("x", [lps(-2.0), lps(-1.0, -0.5), lps(-1.5)])
    assert ranking.tie
    assert ranking.order == (1, 2, 0)
    assert ranking.margin == 0.0


def test_impossible_candidates_rank_last() -> None:
    """−inf ranks after every finite value, and two of them tie."""
    ranking = logpr.rank("x", [lps(-math.inf), lps(-900.0), lps(-math.inf)])
    assert ranking.order == (1, 0, 2)
    assert ranking.margin == math.inf
    assert logpr.rank("x", [lps(-math.inf), lps(-math.inf)]).tie


@given(st.lists(st.floats(-100, 0), min_size=2, max_size=7))
def test_the_order_is_by_value(values: list[float]) -> None:
    """Without noise the order is that of the sorted values, ties by index."""
    ranking = logpr.rank("x", [lps(value) for value in values])
    expected = sorted(range(len(values)), key=lambda i: (-values[i], i))
    assert list(ranking.order) == expected
    assert ranking.best == expected[0]


def test_a_prefix_among_the_candidates_warns(table: Model) -> None:
    """Under open a prefix always beats its extension; the ranking says so, and not under stop."""
    ranking = logpr.rank("A", [" B", " B C"], model=table)
    assert any(w.startswith("prefix_candidates:") for w in ranking.warnings)
    stopped = logpr.rank("A", [" B", " B C"], model=table, end="stop")
    assert not any(w.startswith("prefix_candidates:") for w in stopped.warnings)


def test_the_fork_under_stop_may_be_the_end(table: Model) -> None:
    """Where one candidate is a prefix of the other, under stop they part at END."""
    fork = logpr.rank("A", [" B", " B C"], model=table, end="stop").fork
    assert fork is not None
    assert "END" in (fork.first, fork.second)
    assert fork.position == 1


def test_winners_say_who_is_first_under_each_rule() -> None:
    """The strip names the winner of every standing rule."""
    ranking = logpr.rank("x", [lps(-2.0), lps(-1.1, -1.1, -1.1)])
    winners = dict(ranking.winners)
    assert winners["logprob"] == 0
    assert winners["per_token"] == 1
    assert winners["per_char"] is None


def test_rank_many_is_lazy_and_in_order(table: Model) -> None:
    """rank_many reads at most one window ahead and yields in input order."""
    read: list[int] = []

    def queries() -> Iterator[logpr.Query]:
        for number in range(10):
            read.append(number)
            yield logpr.Query.of("A", [" B", " C"], id=number)

    found = logpr.rank_many(queries(), model=table, window=3)
    assert read == []
    assert next(found).id == 0
    assert len(read) <= 6
    assert [ranking.id for ranking in found] == list(range(1, 10))


def test_windows_do_not_change_scores(table: Model) -> None:
    """The same queries in windows of any size give the same rankings."""
    queries = [logpr.Query.of("A B", [" C", " A C"]), logpr.Query.of("A", [" B C", " B A"])] * 3
    whole = list(logpr.rank_many(queries, model=table))
    assert list(logpr.rank_many(queries, model=table, window=1)) == whole


@pytest.mark.parametrize(
    ("kwargs", "match"),
    [
        ({"prompt": "A", "prompt_ids": [0]}, "prompt and prompt_ids are both given"),
        ({}, "there is no prompt"),
        ({"messages": []}, "messages is empty"),
        ({"prompt": "A", "end_ids": []}, "end_ids is empty"),
    ],
)
def test_contradictory_requests_are_refused(
    table: Model, kwargs: dict[str, object], match: str
) -> None:
    """A query has one prompt, and options come from their sets."""
    with pytest.raises(QueryError, match=match):
        logpr.rank(candidates=[" B"], model=table, **kwargs)  # type: ignore[arg-type]


def test_a_model_is_needed_for_text() -> None:
    """Without model and without numbers nothing can be scored; the message names both ways out."""
    with pytest.raises(QueryError, match=r"needs a model.*--model.*token_logprobs"):
        logpr.rank("A", [" B"])


def test_ids_outside_the_vocabulary_are_refused(table: Model) -> None:
    """An id without a row is an error that names position and size."""
    with pytest.raises(TokenizationError, match=r"token id 9 at position 1 .* vocabulary of 4"):
        logpr.rank(prompt_ids=[0, 9], candidate_ids=[[1]], model=table)
    with pytest.raises(TokenizationError, match="token id -1"):
        logpr.rank(prompt_ids=[0], candidate_ids=[[-1]], model=table)


def test_stop_without_an_end_token_is_refused() -> None:
    """A model that declares no end cannot score one unasked."""
    open_table = TableModel.from_dict({**TABLE, "end": []})
    with pytest.raises(QueryError, match=r"declares no end token.*--end-ids"):
        logpr.score("A", " B", model=open_table, end="stop")
    assert logpr.score("A", " B", model=open_table, end="stop", end_ids=[3]).end_logprob is not None


@pytest.mark.parametrize("value", [0.5, math.nan])
def test_token_logprobs_are_log_probabilities(value: float) -> None:
    """Values above zero and NaN are refused, and logits are offered as the way to give logits."""
    with pytest.raises(NumbersError, match=r"no log-probability.*'logits'"):
        logpr.rank("x", [lps(-1.0, value)])


def test_stop_needs_the_end_logprob() -> None:
    """Token log-probabilities alone do not say how probable the end is."""
    with pytest.raises(QueryError, match="no end_logprob"):
        logpr.score("x", lps(-1.0), end="stop")
    score = logpr.score("x", {"token_logprobs": [-1.0], "end_logprob": -0.5}, end="stop")
    assert score.logprob == -1.5


def test_counts_must_agree() -> None:
    """One log-probability a token."""
    with pytest.raises(QueryError, match="1 token_logprobs for 2 token_ids"):
        logpr.score("x", {"token_ids": [1, 2], "token_logprobs": [-1.0]})


@pytest.mark.parametrize(
    ("logits", "match"),
    [
        ([[1.0, 2.0]], "1 rows of logits for 2 token_ids"),
        ([[1.0, 2.0], [1.0]], r"logits\[1\] has 1 entries"),
        ([[1.0, math.nan], [1.0, 2.0]], r"logits\[0\]\[1\] is nan"),
        ([[1.0, math.inf], [1.0, 2.0]], r"logits\[0\]\[1\] is inf"),
        ([[-math.inf, -math.inf], [1.0, 2.0]], "nothing but -inf"),
    ],
)
def test_unusable_logits_are_refused(logits: list[list[float]], match: str) -> None:
    """Rows come one a token, of one width, without NaN or +inf, with some finite entry."""
    with pytest.raises((QueryError, NumbersError), match=match):
        logpr.score("x", {"token_ids": [0, 1], "logits": logits})


def test_rows_that_contradict_each_other_are_refused() -> None:
    """Two candidates that claim different logits after one prefix cannot both be right."""
    with pytest.raises(NumbersError, match=r"differ by up to 0\.5"):
        logpr.rank(
            "x",
            [
                {"token_ids": [0], "logits": [[1.0, 2.0]]},
                {"token_ids": [1], "logits": [[1.0, 2.5]]},
            ],
        )


def test_masked_logits_are_allowed() -> None:
    """−inf is a masked token: probability zero, and the others share the mass."""
    score = logpr.score("x", {"token_ids": [0], "logits": [[0.0, 0.0, -math.inf]]})
    assert score.logprob == pytest.approx(math.log(0.5), abs=1e-15)
    assert (
        logpr.score("x", {"token_ids": [2], "logits": [[0.0, 0.0, -math.inf]]}).logprob == -math.inf
    )


def test_an_unknown_rule_is_refused(table: Model) -> None:
    """A rule that does not exist is an error before anything is computed."""
    with pytest.raises(UnknownNameError, match="no rule is called 'best'"):
        logpr.rank("A", [" B"], model=table, rule="best")


def test_a_table_scores_from_nothing_and_says_nothing_of_it(table: Model) -> None:
    """A table has a distribution before any token; no start token is invented."""
    score = logpr.score("", "A", model=table)
    assert score.prompt_ids == ()
    assert score.warnings == ()
    with pytest.raises(QueryError, match=r"no start token|declares no"):
        logpr.score("", "A", model=table, bos="always")


def test_evidence_fills_the_columns(table: Model) -> None:
    """With evidence each token has rank, favourite, entropy and alternatives."""
    score = logpr.score("A", " B C", model=table, evidence=True, alternatives=2)
    assert score.rank is not None
    assert score.rank[0] == 3
    assert score.top_id is not None
    assert score.top_id[0] == 3
    assert score.top_logprob is not None
    assert score.top_logprob[0] == pytest.approx(math.log(0.4))
    assert score.entropy is not None
    assert score.entropy[0] == pytest.approx(
        -math.fsum(p * math.log(p) for p in (0.1, 0.2, 0.3, 0.4))
    )
    assert score.alternatives is not None
    assert [alternative.id for alternative in score.alternatives[0]] == [3, 2]
    assert logpr.score("A", " B", model=table).rank is None


def test_truncate_does_not_go_with_marginal(table: Model) -> None:
    """An option that the marginal search has no use for is refused."""
    with pytest.raises(QueryError, match="truncate does not go with boundary 'marginal'"):
        logpr.rank("A", [" B"], model=table, boundary="marginal", truncate="left")


def test_candidates_scored_after_different_tokens_are_called_so() -> None:
    """Where a straddling token makes one candidate's context another, the ranking warns."""
    lm = logpr.load("builtin")
    mixed = logpr.rank("The little c", ["at", "ow"], model=lm, boundary="joint")
    assert len({score.prompt_ids for score in mixed.candidates}) == 2
    assert any(w.startswith("contexts_differ:") for w in mixed.warnings)
    same = logpr.rank("The little", [" cat", " cow"], model=lm, boundary="joint")
    assert not any(w.startswith("contexts_differ:") for w in same.warnings)
