"""Records that come and go: what is taken is what was asked for, and nothing else is lost."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from logpr.decoding.frontier import Frontier, Records


def records(bounds: list[float], lengths: list[int]) -> Records:
    """Return records that are told apart by their nodes."""
    numbers = np.arange(len(bounds))
    return Records(
        nodes=numbers,
        tokens=numbers + 7,
        logprobs=np.array(bounds) - 1.0,
        totals=np.array(bounds) - 0.5,
        bounds=np.array(bounds),
        lengths=np.array(lengths, dtype=np.int64),
        states=numbers * 2,
    )


ROWS = st.lists(st.tuples(st.floats(-50, 0), st.integers(1, 9)), min_size=1, max_size=60)


@given(rows=ROWS, count=st.integers(1, 70), deep=st.booleans())
def test_the_largest_are_chosen(rows: list[tuple[float, int]], count: int, deep: bool) -> None:  # noqa: FBT001
    """By bound, or the longest first and of equally long ones by bound: as sorting would."""
    frontier = Frontier()
    frontier.add(records([row[0] for row in rows], [row[1] for row in rows]))
    chosen = frontier.look(frontier.largest(count, deep=deep))
    found = sorted(zip(chosen.bounds.tolist(), chosen.lengths.tolist(), strict=True))
    order = sorted(rows, key=lambda row: (-row[1], -row[0]) if deep else -row[0])
    want = order[:count]
    if deep:
        assert found == sorted(want)
    else:
        assert [bound for bound, _ in found] == sorted(bound for bound, _ in want)


@given(rows=ROWS, data=st.data())
def test_what_is_taken_is_gone_and_the_rest_is_there(
    rows: list[tuple[float, int]], data: st.DataObject
) -> None:
    """Whole records, each once, in whatever order."""
    frontier = Frontier()
    frontier.add(records([row[0] for row in rows], [row[1] for row in rows]))
    places = data.draw(st.sets(st.integers(0, len(rows) - 1)))
    taken = frontier.take(np.array(sorted(places), dtype=np.int64))
    assert sorted(taken.nodes.tolist()) == sorted(places)
    left = frontier.look(np.arange(len(frontier)))
    assert sorted([*taken.nodes.tolist(), *left.nodes.tolist()]) == list(range(len(rows)))
    for one in (taken, left):
        assert (one.tokens == one.nodes + 7).all()
        assert (one.states == one.nodes * 2).all()
        assert np.array_equal(one.bounds, np.array([row[0] for row in rows])[one.nodes])
