"""The next input: what parts the survivors, by the numbers that it says each would print."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

import logpr
from logpr import AuditReport, Query
from logpr.auditing import faulty_scorer
from logpr.models.base import Predictive
from tests.auditing import generate
from tests.auditing.oracle import Change, claims
from tests.auditing.toy import Toy, queries

MODEL = Toy()

# Each test is thousands of small calls, all of which other tests make under the checker.
pytestmark = pytest.mark.usefixtures("unchecked")


def audited(
    asked: list[Query],
    change: Change,
    model: Any = MODEL,  # noqa: ANN401 - any model that shows rows
    decimals: int = 4,
) -> AuditReport:
    """Return the audit of what a change prints."""
    found = claims(asked, [change], model=model)
    return logpr.audit(generate.records(asked, found, decimals), model=model)


def held(report: AuditReport, scorers: dict[str, Change], model: Any = MODEL) -> None:  # noqa: ANN401 - as above
    """Hold predictions, by their names, against the scorers they are of; see that they differ."""
    wanted = report.next_input
    assert wanted is not None
    assert wanted.prompt is not None
    assert wanted.candidate is not None
    texts = next(
        each
        for each in ([wanted.candidate, wanted.candidate * 2], [wanted.candidate])
        if len(each) == 1 or repr(each[1]) in wanted.says
    )
    predicted = dict(wanted.predictions)
    for name, change in scorers.items():
        told = faulty_scorer(change, model=model)(wanted.prompt, texts)[0]
        assert predicted[name] == pytest.approx(told, abs=1e-6), name
    values = [value for _, value in wanted.predictions]
    assert len(values) >= 2
    if "all differ" in wanted.says:
        numbers = sorted(value for value in values if value is not None)
        assert all(b - a > 4e-4 for a, b in pairwise(numbers))


def test_lengths_part_a_mean_from_a_padded_mean() -> None:
    """Where all candidates are of one length, the input has two lengths."""
    asked = [
        Query.of("ab.", [" a b", " b c", " c d"]),
        Query.of("cd.", [" é a", " ab d", " bc e"]),
    ]
    report = audited(asked, ("mean", {}))
    assert (report.verdict, report.faults[0].id) == ("other_definition", "mean")
    held(
        report,
        {
            "mean": ("mean", {}),
            "mean_over_padded(company=query)": ("mean_over_padded", {"company": "query"}),
        },
    )
    wanted = report.next_input
    assert wanted is not None
    told = dict(wanted.predictions)
    assert len(set(told.values())) > 1


def test_letters_of_two_bytes_part_bytes_from_characters() -> None:
    """On ASCII claims the input has other letters; both predictions are the scorers' own."""
    model = logpr.load("builtin", dtype="float64")
    assert isinstance(model, Predictive)
    asked = [
        Query.of("The cat sat on the", [" mat.", " soft bed.", " tree and"]),
        Query.of("Tom was happy", [" and played.", ".", " with his ball."]),
        Query.of("Once upon a time there was", [" a girl", " a big dog named"]),
    ]
    report = audited(asked, ("per_byte", {}), model)
    assert report.verdict == "other_definition"
    assert report.next_input is not None
    assert not (report.next_input.candidate or "").isascii()
    held(report, {"per_byte": ("per_byte", {}), "per_char": ("per_char", {})}, model)


def test_nothing_is_left_to_tell() -> None:
    """One survivor needs no other input, nor does what is correct."""
    assert audited(queries(3, 14), ("bos_missing", {})).next_input is None
    found = claims(queries(3, 14), [], model=MODEL)
    right = logpr.audit(generate.records(queries(3, 14), found, 4), model=MODEL)
    assert right.verdict == "correct"
    assert right.next_input is None


def test_without_a_model_it_says_what_to_do() -> None:
    """Recorded rows cannot be asked for another input: the advice is in words."""
    from tests.auditing import evidence  # noqa: PLC0415 - beside the one test that needs it
    from tests.auditing.oracle_rows import Rows  # noqa: PLC0415

    asked = [Query.of("ab.", [" a b", " b c"]), Query.of("cd.", [" é a", " ab d", " bc e"])]
    records = evidence.records(asked, [("mean", {})], Rows(MODEL), kind="logits")
    report = logpr.audit(records)
    assert report.next_input is not None
    assert report.next_input.predictions == ()
    assert "different lengths" in report.next_input.says
