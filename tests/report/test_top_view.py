"""Rankings of which only the best were wanted: dropped candidates in views and records."""

from __future__ import annotations

import dataclasses

import logpr
from logpr._accuracy import AccuracyTally
from logpr._values import Fork, Ranking, Score
from logpr.io import record_of
from logpr.report import html
from logpr.report.terminal import RankingsTally, rankings_summary
from logpr.report.terminal import ranking as drawn
from tests.report.printing import printed
from tests.report.values import a_ranking, a_score


def dropped(index: int, upper: float) -> Score:
    """Return a candidate of which only a bound is known."""
    return a_score(
        f"dropped {index}", index=index, logprob=None, per_token=None, per_char=None,
        per_byte=None, bits_per_byte=None, token_logprobs=None, pruned=True, upper=upper,
    )  # fmt: skip


def a_topped(candidates: tuple[Score, ...] | None = None, **fields: object) -> Ranking:
    """Return a ranking of four, of which one is wanted, one whole and two dropped."""
    candidates = candidates or (
        dropped(0, -23.1),
        a_score("first", index=1, logprob=-2.4),
        dropped(2, -9.5),
        a_score("whole", index=3, logprob=-12.0),
    )
    known: dict[str, object] = {
        "best": 1,
        "order": (1,),
        "margin": None,
        "noise": None,
        "top": 1,
        "tokens_fed": 1200,
        "tokens_full": 5000,
        "winners": (("logprob", 1),),
    }
    return a_ranking(candidates, **(known | fields))


def test_dropped_candidates_stand_after_the_ranked() -> None:
    """Best bound first, as upper bounds, with no place; and what is not known is not said."""
    shown = printed(drawn(a_topped()), 100)
    places = [shown.index(text) for text in ("1  first", "dropped 2", "whole", "dropped 0")]
    assert places == sorted(places)
    assert "≤ -23.1000" in shown
    assert "4 candidates, the best by log Pr\n" in shown
    assert "‘first’ is the best, at least 7.100 nats" in shown
    assert "1,200 tokens went" in shown
    assert "share" not in shown
    assert "under every rule" not in shown
    page = html.ranking(a_topped())
    assert "≤ -23.1000" in page
    assert "2 candidates were dropped" in page


def test_a_known_runner_up_is_named() -> None:
    """Where the second is whole it is the one who is beaten, though order has one entry."""
    shown = printed(drawn(a_topped(margin=9.6, noise=0.0)), 100)
    assert "‘first’ beats the runner-up" in shown


def test_the_least_lead_allows_for_noise() -> None:
    """A bound is as far off as its noise says, and a lead that is at least so much is cut down."""
    candidates = (
        a_score("first", logprob=-2.4),
        dataclasses.replace(dropped(1, -9.5), noise=1.0),
        dropped(2, -9.4004),
    )
    shown = printed(drawn(a_topped(candidates=candidates, best=0, order=(0,))), 100)
    assert "‘first’ is the best, at least 6.100 nats (446×) ahead" in shown
    alike = (candidates[0], dropped(1, -2.4005))
    shown = printed(drawn(a_topped(candidates=alike, best=0, order=(0,))), 100)
    assert "‘first’ is the best.\n" in shown
    near = (candidates[0], dropped(1, -9.4006))
    shown = printed(drawn(a_topped(candidates=near, best=0, order=(0,))), 100)
    assert "at least 7.000 nats" in shown


def test_the_fork_is_that_of_the_runner_up_or_none() -> None:
    """Of three tied with top=1 the second in the input's order is not known to the view."""
    tied = tuple(
        a_score(text, index=index, logprob=logprob, token_ids=ids, token_texts=texts)
        for index, (text, logprob, ids, texts) in enumerate(
            [
                ("one", -2.402, (0, 1), ("o", "ne")),
                ("two", -2.401, (0,), ("o",)),
                ("three", -2.400, (0, 2), ("o", "thr")),
            ]
        )
    )
    known: dict[str, object] = {"best": 0, "margin": 0.001, "noise": 0.1, "tie": True}
    parting = Fork(position=1, shared="o", first="ne", second="END", gap_at_fork=0.0, gap_after=0.0)
    unknown = a_topped(candidates=tied, order=(0,), fork=parting, **known)
    assert "They part" not in printed(drawn(unknown), 100)
    two = a_topped(candidates=tied, order=(0, 1), fork=parting, **(known | {"top": 2}))
    assert "They part at token 2: ‘ne’ against END" in printed(drawn(two), 100)
    pair = a_topped(candidates=tied[:2], order=(0,), fork=parting, **known)
    assert "They part at token 2: ‘ne’ against END" in printed(drawn(pair), 100)


def test_where_no_model_was_asked_no_tokens_are_told() -> None:
    """Candidates with their own numbers: there was nothing to spare, in a view and in a summary."""
    given = [{"token_logprobs": [-1.0]}, {"token_logprobs": [-2.0]}]
    ranking = logpr.rank("x", given, top=1)
    assert ranking.tokens_full == 0
    tally = RankingsTally()
    tally.add(ranking)
    for shown in (printed(drawn(ranking)), printed(rankings_summary(tally)), html.ranking(ranking)):
        assert "through the model" not in shown
        assert "on the way" not in shown
    assert "Only the best of each (top=1). Of other rules nothing" in printed(
        rankings_summary(tally), 100
    )
    tally.add(a_topped())
    assert "(top=1): 1,200 tokens went through the model, instead of 5,000. Of" in printed(
        rankings_summary(tally), 100
    )


def test_where_none_was_dropped_the_view_says_why() -> None:
    """Too little to spare, all wanted, or nothing proven; and that it took more, where it did."""

    def said(size: int, **fields: object) -> str:
        one, two = (
            a_score(str(index), index=index, token_ids=tuple(range(index, index + size)))
            for index in range(2)
        )
        known: dict[str, object] = {"best": 0, "order": (0,), "margin": 0.0, "noise": 0.0}
        ranking = a_topped(candidates=(one, two), **(known | fields))
        return " ".join(printed(drawn(ranking), 100).split())

    even = {"tokens_fed": 200, "tokens_full": 200}
    start = "No candidate was dropped on the way: "
    assert f"{start}fewer than 32 tokens could be spared. " in said(16, **even)
    assert f"{start}their first tokens do not prove that any is beaten, or" in said(17, **even)
    # Of a long prompt an eighth is asked for: 288 / 8 = 36 tokens.
    long = {"tokens_fed": 288, "tokens_full": 288}
    assert f"{start}fewer than 36 tokens could be spared. " in said(18, **long)
    assert f"{start}as many are wanted as there are. " in said(17, top=2, order=(0, 1), **even)
    more = said(16, tokens_fed=211, tokens_full=191)
    assert f"{start}their first tokens do not prove that any is beaten. 211 tokens went" in more
    assert "211 tokens went through the model, instead of 191." in more
    assert "instead of" not in said(16, **even)


def test_a_label_beyond_the_best_is_called_so() -> None:
    """Its place is not known."""
    assert "The label is ‘dropped 0’: not the best." in printed(drawn(a_topped(label=0)), 100)


def test_records_say_what_is_known() -> None:
    """A dropped candidate has nulls, `pruned` and `upper`; the head has the counts."""
    record = record_of(a_topped())
    assert (record["top"], record["tokens_fed"], record["tokens_full"]) == (1, 1200, 5000)
    assert record["order"] == [1]
    candidates = record["candidates"]
    assert isinstance(candidates, list)
    first, second = candidates[0], candidates[1]
    assert isinstance(first, dict)
    assert isinstance(second, dict)
    names = ("logprob", "per_token", "choice_prob", "pruned", "upper")
    assert [first[name] for name in names] == [None, None, None, True, -23.1]
    assert (second["logprob"], second["pruned"], second["upper"]) == (-2.4, False, None)
    assert "pruned" not in str(record_of(a_ranking()))
    assert Ranking.from_json(a_topped().to_json()) == a_topped()


def test_accuracy_is_counted_under_logprob_alone() -> None:
    """Of the other rules nothing is known where a candidate was dropped."""
    tally = AccuracyTally()
    for label in (0, 1):
        tally.add(a_topped(label=label))
    report = tally.report()
    assert report is not None
    assert [(row.rule, row.accuracy) for row in report.overall] == [("logprob", 0.5)]
