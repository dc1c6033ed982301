"""Rankings of which only the best were wanted: dropped candidates in views and records."""

from __future__ import annotations

from logpr._accuracy import AccuracyTally
from logpr._values import Ranking, Score
from logpr.io import record_of
from logpr.report import html
from logpr.report.terminal import ranking as drawn
from tests.report.printing import printed
from tests.report.values import a_ranking, a_score


def dropped(index: int, upper: float) -> Score:
    """Return a candidate of which only a bound is known."""
    return a_score(
        f"dropped {index}", index=index, logprob=None, per_token=None, per_char=None,
        per_byte=None, bits_per_byte=None, token_logprobs=None, pruned=True, upper=upper,
    )  # fmt: skip


def a_topped(**fields: object) -> Ranking:
    """Return a ranking of four, of which one is wanted, one whole and two dropped."""
    candidates = (
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
