"""What an audit holds in memory: rows in parts that fit, few of them twice."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

import logpr
from logpr.auditing.scene import rows as scene_rows
from logpr.auditing.scene.rows import Asked, Known, ModelRows, Rows
from logpr.auditing.search import judge, predict
from logpr.models.base import NextRows
from tests.auditing import evidence
from tests.auditing.generate import records
from tests.auditing.oracle import Change, claims
from tests.auditing.oracle_rows import Rows as OracleRows
from tests.auditing.toy import Toy, queries

MODEL = Toy()
ROWS = OracleRows(MODEL)

pytestmark = pytest.mark.usefixtures("unchecked")


class Counted(Toy):
    """A toy that notes what it is asked."""

    def next_logits(self, prefixes: Sequence[Sequence[int]]) -> NextRows:
        """Return the rows, and note the prefixes."""
        self.drawn.setdefault((-1,), np.zeros(0))
        ASKED.extend(map(tuple, prefixes))
        return super().next_logits(prefixes)


ASKED: list[tuple[int, ...]] = []


@pytest.mark.parametrize(
    "changes",
    [[], [("mean", {})], [("temperature", {"T": 1.7})], [("wrong_axis", {"over": "sequence"})]],
    ids=str,
)
def test_little_memory_changes_no_answer(
    changes: list[Change], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With room for a few rows the same is found, and no more rows are asked at once than fit.

    Only a single candidate is asked whole, whatever its length.
    """
    asked = queries(5, 9)
    written = records(asked, claims(asked, changes, model=MODEL, rows=ROWS), 4)
    # Pairs are seconds of a search that is not what is tested here.
    monkeypatch.setattr(judge, "pairs", lambda _: iter(()))
    plain = logpr.audit(written, model=Toy())
    room = 24
    at_once: list[tuple[int, int]] = []

    def watched(self: ModelRows, wanted: Sequence[Asked]) -> tuple[Rows, Known]:
        at_once.append((len(wanted), max((len(prefix) for _, prefix in wanted), default=0)))
        return real(self, wanted)

    real = scene_rows.ModelRows.rows
    monkeypatch.setattr(scene_rows.ModelRows, "rows", watched)
    monkeypatch.setattr(predict, "ROW_BYTES", room * 8 * MODEL.vocab_size)
    small = logpr.audit(written, model=Toy())
    assert small.verdict == plain.verdict
    assert small.faults == plain.faults
    assert [row.reproduced for row in small.rows] == [row.reproduced for row in plain.rows]
    longest = max(length for _, length in at_once)
    # A record's rivals come with a candidate: what one candidate reads is a few times its length.
    assert max(size for size, _ in at_once) <= max(room, 4 * longest)
    assert any(size > room // 2 for size, _ in at_once)


def test_rows_are_asked_of_the_model_once() -> None:
    """Every phase of a search reads rows again: a model that fits the memory computes each once."""
    asked = queries(6, 8)
    written = records(asked, claims(asked, [("mean", {})], model=MODEL, rows=ROWS), 4)
    ASKED.clear()
    assert logpr.audit(written, model=Counted()).faults[0].id == "mean"
    assert len(ASKED) > 50
    # What measures noise in half precision, and the first look, ask beside the search.
    assert len(ASKED) <= 1.5 * len(set(ASKED))


def test_kept_rows_are_the_latest_and_no_views() -> None:
    """So many bytes of rows are kept; what is used again stays, and nobody can change it."""
    toy = Counted()
    rows = ModelRows(toy, keep=3 * 8 * toy.vocab_size)
    ASKED.clear()
    first, _ = rows.rows([(0, (1,)), (0, (2,)), (0, (3,))])
    first[0, :] = 7.0
    again, known = rows.rows([(0, (1,))])
    assert known.all()
    np.testing.assert_array_equal(again[0], toy.row((1,)))
    rows.rows([(0, (4,))])
    assert ASKED == [(1,), (2,), (3,), (4,)]
    # (2,) went for (4,): it was the one that nobody had asked for the longest time.
    rows.rows([(0, (1,)), (0, (3,)), (0, (2,))])
    assert ASKED[4:] == [(2,)]
    # Four rows at once are more than is kept, and push nothing out.
    rows.rows([(0, (place,)) for place in (5, 6, 7, 8)])
    rows.rows([(0, (1,)), (0, (3,)), (0, (2,))])
    assert ASKED[5:] == [(5,), (6,), (7,), (8,)]


def test_a_compact_record_is_as_wide_as_what_it_names() -> None:
    """Ids of a billion cost nothing, and say what small ones say."""
    asked = queries(3, 10)
    plain = evidence.records(asked, [("shortlist_softmax", {"k": 5})], ROWS, kind="compact")
    far = 1_500_000_000

    def moved(ids: Sequence[int]) -> list[int]:
        return [token if token < 0 else token * 7 + far for token in ids]

    wide = [
        {
            **record,
            "prompt_ids": moved(record["prompt_ids"]),
            "candidates": [
                {
                    **each,
                    "token_ids": moved(each["token_ids"]),
                    "steps": [
                        {
                            **step,
                            "token_id": moved([step["token_id"]])[0],
                            "top_ids": moved(step["top_ids"]),
                        }
                        for step in each["steps"]
                    ],
                }
                for each in record["candidates"]
            ],
        }
        for record in plain
    ]
    near, distant = logpr.audit(plain), logpr.audit(wide)
    assert [fault.id for fault in near.faults] == ["shortlist_softmax"]
    assert distant.faults == near.faults
    assert distant.explained_rows == near.explained_rows == 10
    assert [row.logprob for row in distant.rows] == [row.logprob for row in near.rows]
