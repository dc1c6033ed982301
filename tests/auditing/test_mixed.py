"""Claims that no one formula explains: in parts, each with what its rows have in common."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import logpr
from logpr import AuditReport, Query
from logpr.auditing.search import judge
from tests.auditing import generate
from tests.auditing.oracle import Change, claims
from tests.auditing.oracle_rows import Rows
from tests.auditing.toy import Toy, queries

MODEL = Toy()
ROWS = Rows(MODEL)

# Each test is thousands of small calls, all of which other tests make under the checker.
pytestmark = pytest.mark.usefixtures("unchecked", "singles")


@pytest.fixture
def singles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out pairs of changes, seconds of a search that is not what is tested here."""
    monkeypatch.setattr(judge, "pairs", lambda _: iter(()))


def printed(asked: list[Query], *changes: Change) -> list[dict[str, Any]]:
    """Return records of what these changes print."""
    return generate.records(asked, claims(asked, list(changes), model=MODEL, rows=ROWS), 4)


def parts(report: AuditReport) -> list[tuple[tuple[str, ...] | None, int]]:
    """Return what explains each part, and how many claims it has."""
    return [
        (
            None if group.changes is None else tuple(each.id for each in group.changes),
            len(group.rows),
        )
        for group in report.groups
    ]


def test_a_fault_in_one_arm() -> None:
    """Half of the records are means: the others are right, and the arm is what parts them."""
    asked = queries(1, 24)
    right, wrong = printed(asked), printed(asked, ("mean", {}))
    records = [
        {**(wrong if place % 2 else right)[place], "arm": "AB"[place % 2]}
        for place in range(len(asked))
    ]
    report = logpr.audit(records, model=MODEL)
    assert report.verdict == "other_definition"
    assert [each.id for each in report.faults] == ["mean"]
    assert {changes for changes, _ in parts(report)} == {("mean",), ()}
    assert sum(size for _, size in parts(report)) == 24
    assert any("arm" in says for group in report.groups for says in group.common)
    struck = {(row.id, row.index) for row in report.rows if row.struck}
    (mean,) = [group for group in report.groups if group.changes]
    assert struck == set(mean.rows)
    assert {arm.arm for arm in report.arms} == {"A", "B"}


def test_two_faults_in_two_parts() -> None:
    """One part is in bits, the other without its start token: both are named."""
    asked = queries(2, 24)
    bits, bare = printed(asked, ("in_bits", {})), printed(asked, ("bos_missing", {}))
    records = [(bits if place % 3 else bare)[place] for place in range(len(asked))]
    report = logpr.audit(records, model=MODEL)
    assert {changes for changes, _ in parts(report)} == {("in_bits",), ("bos_missing",)}
    for group in report.groups:
        assert {int(str(id_)[1:]) % 3 == 0 for id_, _ in group.rows} == {
            group.changes is not None and group.changes[0].id == "bos_missing"
        }


def test_merged_boundaries_only() -> None:
    """A fault that strikes merged boundaries alone is one fault, and its rows are merged."""
    # "b" after "a" is another token: those candidates merge, the others do not.
    asked = [
        Query.of(f"{start}a", ["b", "bc", "bd", " c", " d", " ea"], id=f"q{start}")
        for start in ("c. ", "d. ", "é. ")
    ]
    report = logpr.audit(printed(asked, ("joint_boundary", {})), model=MODEL)
    assert report.verdict == "other_definition"
    assert [each.id for each in report.faults] == ["joint_boundary"]
    ((named, size),) = parts(report)
    assert (named, size) == (("joint_boundary",), 9)
    assert {index for _, index in report.groups[0].rows} == {0, 1, 2}
    assert report.explained_rows == 18
    assert any("merge" in says for says in report.groups[0].common), report.groups[0].common


def test_padded_rows_only() -> None:
    """Padding strikes all but the longest of each batch, which is said of them."""
    asked = queries(4, 24)
    report = logpr.audit(
        printed(asked, ("left_pad_unmasked", {"pad_id": 0, "company": "query"})), model=MODEL
    )
    assert [each.id for each in report.faults] == ["left_pad_unmasked"]
    assert report.explained_rows == 24
    struck = sum(row.struck for row in report.rows)
    assert 0 < struck < 24
    assert parts(report) == [(("left_pad_unmasked",), struck)]


def test_what_chance_explains_is_no_part() -> None:
    """Two wrong numbers among right ones are listed, and no fault is made up for them."""
    asked = queries(5, 16)
    records = printed(asked)
    rng = np.random.default_rng(5)
    for place in (0, 2):
        records[place]["candidates"][1]["score"] = f"{rng.uniform(-20, -1):.4f}"
    report = logpr.audit(records, model=MODEL)
    assert report.verdict == "unexplained"
    assert report.faults == ()
    assert parts(report) == [((), 14), (None, 2)]
    assert report.explained_rows == 14
    assert {(row.id, row.index) for row in report.rows if row.struck} == {("q0", 1), ("q2", 1)}
