"""Records that bring no number: skipped, counted, and said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import logpr
from logpr.errors import RecordError
from logpr.report import html
from tests.auditing import generate
from tests.auditing.oracle import claims
from tests.auditing.toy import Toy, queries

pytestmark = pytest.mark.usefixtures("unchecked")
MODEL = Toy()


def some(changes: list[Any]) -> list[dict[str, Any]]:
    """Return records of claims."""
    asked = queries(3, 12)
    return generate.records(asked, claims(asked, changes, model=MODEL), 4)


def without(record: dict[str, Any], *, null: bool) -> dict[str, Any]:
    """Return a record of the same candidates with no number, or with nulls."""
    bare = [{"text": each["text"]} for each in record["candidates"]]
    if null:
        bare = [{**each, "score": None} for each in bare]
    return {**record, "id": f"no {record['id']}", "candidates": bare}


@pytest.mark.parametrize("null", [False, True])
@pytest.mark.parametrize("changes", [[], [("mean", {})]])
def test_records_without_a_number_are_skipped(changes: list[Any], *, null: bool) -> None:
    """The verdict is that of the others, and how many were skipped is said."""
    found = some(changes)
    report = logpr.audit(found, model=MODEL)
    more = [without(found[0], null=null), *found, without(found[1], null=null)]
    skipped = logpr.audit(more, model=MODEL)
    assert (skipped.verdict, skipped.sentence) == (report.verdict, report.sentence)
    assert skipped.rows == report.rows
    (note,) = set(skipped.warnings) - set(report.warnings)
    assert note.startswith(f"not_claimed: 2 of {len(more)} records have no number")


def test_they_are_skipped_in_files_and_without_evidence(tmp_path: Path) -> None:
    """So they are in a file, before the first number too, in a list of nulls, and with no model."""
    found = some([])
    nulls = [None] * len(found[0]["candidates"])
    path = tmp_path / "claims.jsonl"
    bare = {**without(found[0], null=False), "scores": nulls}
    gone = {**without(found[1], null=False), "scores": None}
    path.write_text("".join(json.dumps(each) + "\n" for each in [bare, gone, *found]))
    for model in (MODEL, None):
        report = logpr.audit(str(path), model=model)
        assert report.rows_total == 12
        assert f"not_claimed: 2 of {2 + len(found)} records" in report.warnings[0]
        assert report.warnings[0] in json.loads(report.to_json())["warnings"]
        assert report.warnings[0] in html.audit(report)


def test_skipped_records_declare_nothing() -> None:
    """What a skipped record is declared to be does not stand against the others."""
    found = some([])
    other = {**without(found[0], null=True), "declares": {"rule": "per_token"}}
    assert logpr.audit([other, *found], model=MODEL).verdict == "correct"


def test_a_file_without_any_number_is_refused(tmp_path: Path) -> None:
    """The message says in how many records, where the first is, and what to write."""
    found = [without(record, null=True) for record in some([])]
    path = tmp_path / "claims.jsonl"
    path.write_text("".join(json.dumps(each) + "\n" for each in found))
    wanted = rf"claims\.jsonl:1: nothing was claimed in any of {len(found)} records.*--map score="
    with pytest.raises(RecordError, match=wanted):
        logpr.audit(str(path), model=MODEL)
