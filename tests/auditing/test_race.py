"""Parameters: solved ones come back as intervals that hold the truth, whole ones exactly."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import logpr
from logpr import AuditReport
from logpr._score import Settings
from logpr._values.audit import Parameter
from logpr.auditing.faults import FAULTS
from logpr.auditing.scene.build import build
from logpr.auditing.search.identify import Search
from logpr.auditing.search.pipeline import Pipeline
from logpr.auditing.search.targets import claimed_of, declared_of, declares_of_all
from logpr.io.claims import read_claims
from tests.auditing import generate
from tests.auditing.oracle import Change, claims
from tests.auditing.oracle_rows import Rows
from tests.auditing.toy import Toy, queries

MODEL = Toy()
ROWS = Rows(MODEL)
assert settings.default is not None
few = settings(
    max_examples=max(8, settings.default.max_examples // 10),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
"""Every example is a whole audit."""

# Each test is thousands of small calls, all of which other tests make under the checker.
pytestmark = pytest.mark.usefixtures("unchecked")

SOLVED: dict[str, tuple[str, dict[str, Any], float, float]] = {
    "temperature": ("T", {}, 0.3, 3.0),
    "logprob_over_temperature": ("T", {}, 0.3, 3.0),
    "nucleus_renormalised": ("p", {}, 0.3, 0.99),
    "log_epsilon": ("epsilon", {}, 1e-5, 1e-2),
    "length_penalty": ("alpha", {"form": "power"}, 0.2, 1.5),
    "length_penalty gnmt": ("alpha", {"form": "gnmt"}, 0.2, 1.5),
}
"""What is solved: its name, the parameters beside it, and the values that people choose."""


def record_of(
    changes: list[Change], *, seed: int = 0, decimals: int = 4, count: int = 14
) -> list[dict[str, Any]]:
    """Return claims made by these changes."""
    asked = queries(seed, count)
    return generate.records(asked, claims(asked, changes, model=MODEL, rows=ROWS), decimals)


def parameters(report: AuditReport, fault: str) -> dict[str, Parameter]:
    """Return the parameters of a fault that was found."""
    (found,) = [each for each in report.faults if each.id == fault]
    return dict(found.parameters)


def interval(report: AuditReport, fault: str, name: str) -> tuple[float, float]:
    """Return a solved parameter's interval."""
    value = parameters(report, fault)[name]
    assert isinstance(value, tuple)
    low, high = value
    return float(low), float(high)


def stands(records: list[dict[str, Any]], fault: str, params: dict[str, Any]) -> bool:
    """Return whether a fault with all its parameters reproduces every claim."""
    rows = read_claims(records, needs_prompt=True)
    built, claimed = build(rows, MODEL, Settings()), claimed_of(rows)
    assert built is not None
    declared = declared_of(declares_of_all(rows), summed=False)
    search = Search(built.scene, declared, claimed.targets, claimed.numbers)
    return bool(search.run([Pipeline((FAULTS[fault].apply(**params),))]).standing)


def between(low: float, high: float, share: float) -> float:
    """Return a value on the logarithmic way from one to another."""
    return math.exp(math.log(low) + share * math.log(high / low))


@few
@given(
    key=st.sampled_from(sorted(SOLVED)),
    share=st.floats(0, 1),
    seed=st.integers(0, 99),
    decimals=st.integers(3, 6),
)
def test_a_solved_interval_holds_the_truth(
    key: str, share: float, seed: int, decimals: int
) -> None:
    """The true value lies in the interval, and the interval is as narrow as the digits are fine."""
    name, fixed, least, most = SOLVED[key]
    fault, truth = key.partition(" ")[0], between(least, most, share)
    report = logpr.audit(
        record_of([(fault, {**fixed, name: truth})], seed=seed, decimals=decimals), model=MODEL
    )
    if fault not in {each.id for each in report.faults}:
        # At T = 1/ln 2 and the like a unit says the same with no parameter at all.
        assert report.verdict == "correct" or len(report.alternatives) > 0
        assert truth == pytest.approx(1.0, rel=0.01) or any(
            change.id == fault
            for each in report.alternatives
            if each.stands
            for change in each.changes
        )
        return
    low, high = interval(report, fault, name)
    assert low <= high
    assert low - 1e-9 <= truth <= high + 1e-9
    assert dict(parameters(report, fault)) == {**fixed, name: (low, high)}
    # The nucleus is the same between two masses; everything else moves with its parameter.
    if fault != "nucleus_renormalised":
        assert high - low <= 40 * 10.0**-decimals * max(1.0, truth)


@pytest.mark.parametrize("key", sorted(SOLVED))
def test_a_value_outside_the_interval_falls(key: str) -> None:
    """What lies in the interval stands as a hypothesis of its own; a little outside it falls."""
    name, fixed, least, most = SOLVED[key]
    fault, truth = key.partition(" ")[0], between(least, most, 0.4)
    records = record_of([(fault, {**fixed, name: truth})], seed=7, decimals=5)
    low, high = interval(logpr.audit(records, model=MODEL), fault, name)
    assert low <= truth <= high
    room = 2 * (high - low) + 1e-4 * truth
    for value in (truth, (low + high) / 2):
        assert stands(records, fault, {**fixed, name: value})
    for value in (low - room, high + room):
        assert not stands(records, fault, {**fixed, name: value})


PAIRS: list[list[tuple[str, str, dict[str, Any], float]]] = [
    [
        ("logprob_over_temperature", "T", {}, 0.61),
        ("length_penalty", "alpha", {"form": "power"}, 0.35),
    ],
]


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: "+".join(each[0] for each in pair))
def test_two_solved_parameters(pair: list[tuple[str, str, dict[str, Any], float]]) -> None:
    """Both parameters of a pair are solved, and both intervals hold the truth."""
    changes: list[Change] = [(fault, {**fixed, name: value}) for fault, name, fixed, value in pair]
    report = logpr.audit(record_of(changes, count=11), model=MODEL)
    assert [each.id for each in report.faults] == [fault for fault, _, _, _ in pair]
    for fault, name, _, truth in pair:
        low, high = interval(report, fault, name)
        assert low - 1e-9 <= truth <= high + 1e-9
        assert high - low < 0.01 * truth


@pytest.mark.parametrize(
    ("fault", "params"),
    [
        ("shortlist_softmax", {"k": 1}),
        ("shortlist_softmax", {"k": 17}),
        ("shortlist_without_target", {"k": 3, "per": "step"}),
        ("shortlist_without_target", {"k": 9, "per": "request"}),
        ("truncated_context", {"keep": 2}),
        ("window_restart", {"window": 3, "start": "bos"}),
        ("left_pad_unmasked", {"pad_id": 0, "company": 5}),
        ("mean_over_padded", {"company": 7}),
        ("vocab_rows_masked", {"ids": (0,)}),
    ],
)
def test_whole_numbers_are_exact(fault: str, params: dict[str, Any]) -> None:
    """A whole parameter comes back as the number that it was."""
    report = logpr.audit(record_of([(fault, params)], seed=3, count=20), model=MODEL)
    assert report.verdict in ("fault", "other_definition")
    assert parameters(report, fault) == params


def test_claims_that_are_no_numbers() -> None:
    """NaN is reproduced by what gives NaN, −inf by what gives −inf, and by nothing else."""
    broken = record_of([("linear_normalisation", {"form": "per_step"})], count=20)
    texts = [each["score"] for record in broken for each in record["candidates"]]
    assert {"nan"} < set(texts)
    report = logpr.audit(broken, model=MODEL)
    assert [(each.id, dict(each.parameters)) for each in report.faults] == [
        ("linear_normalisation", {"form": "per_step"})
    ]
    assert report.explained_rows == report.rows_total == 20
    one = next(each for record in broken for each in record["candidates"] if each["score"] == "nan")
    assert stands(broken, "linear_normalisation", {"form": "per_step"})
    assert not stands(broken, "raw_logit_sum", {})
    one["score"] = "-7.1234"
    assert not stands(broken, "linear_normalisation", {"form": "per_step"})
    one["score"] = "-inf"
    assert not stands(broken, "linear_normalisation", {"form": "per_step"})


def test_underflow_is_told_by_where_it_begins() -> None:
    """A product in float32 is −inf beyond about −103 nats, and right before."""
    wild = Toy(scale=9.0)
    asked = queries(1, 16, longest=14)
    product: Change = ("product_then_log", {"dtype": "float32"})
    found = claims(asked, [product], model=wild)
    values = np.array([score for record in found.scores for score in record])
    assert np.isneginf(values).sum() >= 3
    assert np.isfinite(values).sum() >= 3
    report = logpr.audit(generate.records(asked, found, 3), model=wild)
    assert [(each.id, dict(each.parameters)) for each in report.faults] == [product]
    assert report.explained_rows == 16
