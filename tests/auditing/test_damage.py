"""Flips, drifts, labels and arms: what claims did to decisions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from logpr import Query
from logpr.auditing.claims.printed import printed
from logpr.auditing.claims.values import Claim, ClaimRow
from logpr.auditing.reporting.damage import arms, damage
from logpr.auditing.scene.rows import RecordedRows
from logpr.auditing.scene.scene import Case, Material, Scene

Numbers = Sequence[float | None]
FINITE = st.floats(-50.0, 0.0)
SEVERAL = st.lists(FINITE, min_size=2, max_size=5)


def world(
    records: Sequence[Numbers],
    *,
    tokens: Sequence[Sequence[Sequence[int]]] | None = None,
    **fields: Sequence[Any],
) -> tuple[list[ClaimRow], Scene]:
    """Return records whose candidates have these claims, and tokens of their own."""
    rows, cases = [], []
    for record, claims in enumerate(records):
        known = [(-score, place) for place, score in enumerate(claims) if score is not None]
        chosen = min(known)[1] if known else None
        own = {name: values[record] for name, values in fields.items()}
        rows.append(
            ClaimRow(
                query=Query.of(
                    "x", [f" y{n}" for n in range(len(claims))], id=record, label=own.get("label")
                ),
                claims=tuple(
                    Claim(score=None if score is None else printed(score)) for score in claims
                ),
                where=f"record {record}",
                chosen=own.get("chosen", chosen),
                arm=own.get("arm"),
            )
        )
        for place in range(len(claims)):
            ids = (7,) if tokens is None else tuple(tokens[record][place])
            material = Material(context=(0,), tokens=ids)
            cases.append(Case(len(cases), record, place, material, "x", f" y{place}", f" y{place}"))
    return rows, Scene(cases=tuple(cases), source=RecordedRows([], raw=True), noise=0.0)


def flat(records: Sequence[Numbers]) -> list[float | None]:
    """Return the numbers of all records in file order."""
    return [number for record in records for number in record]


def found(
    claimed: Sequence[Numbers],
    true: Sequence[Numbers],
    noise: float = 0.0,
    **options: Any,  # noqa: ANN401 - of damage
) -> Any:  # noqa: ANN401 - a Damage, whose fields are asked
    """Return the damage of claims, one token a candidate."""
    fields = {name: options.pop(name) for name in ("label", "chosen", "tokens") if name in options}
    rows, scene = world(claimed, **fields)
    room = [noise] * len(scene.cases)
    return damage(rows, scene, flat(true), flat(claimed), noise=room, **options)


def test_the_worked_examples() -> None:
    """Raw logits take B,B, and A,A leads it by 1.2149 nats; the second example stands."""
    got = found([[10.0, 16.0], [-2.4, -2.3]], [[-1.4119, -2.6268], [-2.4, -2.3]])
    assert got.decisions == 2
    (flip,) = got.flips
    assert (flip.id, flip.chosen, flip.best) == (0, 1, 0)
    assert (flip.chosen_text, flip.best_text) == (" y1", " y0")
    assert flip.nats == pytest.approx(1.2149, abs=1e-12)


@given(st.lists(SEVERAL, min_size=1, max_size=4), st.sampled_from([0.0, 0.3]))
def test_true_claims_flip_nothing(numbers: list[list[float]], noise: float) -> None:
    """Where claimed = true there is no flip, no error, and the winners are the same."""
    got = found(numbers, numbers, noise)
    assert got.decisions == len(numbers)
    assert not got.flips
    for drift in got.drifts:
        assert drift.chosen == drift.best
        assert all(error == 0.0 for _, error in drift.points)


@given(
    st.lists(st.lists(st.tuples(FINITE, FINITE), min_size=2, max_size=4), min_size=1, max_size=3),
    st.sampled_from([0.25, 2.0, 8.0]),
    st.sampled_from([-64.0, 0.0, 32.0]),
)
def test_decisions_do_not_change_with_the_claims_scale(
    numbers: list[list[tuple[float, float]]], scale: float, shift: float
) -> None:
    """Claims rounded to eighths and their positive affine images make the same flips."""
    claimed = [[round(mine * 8) / 8 for mine, _ in record] for record in numbers]
    true = [[other for _, other in record] for record in numbers]
    moved = [[scale * mine + shift for mine in record] for record in claimed]
    assert found(claimed, true).flips == found(moved, true).flips


@given(
    st.lists(st.lists(st.tuples(FINITE, FINITE), min_size=2, max_size=4), min_size=1, max_size=5)
)
def test_flips_against_a_plain_count(numbers: list[list[tuple[float, float]]]) -> None:
    """A flip is a record whose true best is truly better than the claims' best; largest first."""
    claimed = [[mine for mine, _ in record] for record in numbers]
    true = [[other for _, other in record] for record in numbers]
    got = found(claimed, true)
    wanted = []
    for mine, other in zip(claimed, true, strict=True):
        lead = max(other) - other[int(np.argmax(mine))]
        if lead > 0:
            wanted.append(lead)
    assert [flip.nats for flip in got.flips] == sorted(wanted, reverse=True)
    assert all(true[flip.id][flip.best] == max(true[flip.id]) for flip in got.flips)


@given(SEVERAL, SEVERAL, st.floats(0.0, 5.0))
def test_more_noise_never_makes_a_flip(
    claimed: list[float], true: list[float], noise: float
) -> None:
    """A lead within the noise of the two is no flip."""
    size = min(len(claimed), len(true))
    wide, none = (found([claimed[:size]], [true[:size]], room) for room in (noise, 0.0))
    assert len(wide.flips) <= len(none.flips)
    if none.flips:
        assert bool(wide.flips) == (none.flips[0].nats > noise + noise)


def test_a_tie_within_the_noise_keeps_the_chosen() -> None:
    """0.1 nats are not told apart at a noise of 0.05 each, and are at 0.04."""
    assert not found([[0.0, 1.0]], [[-2.0, -2.125]], 0.0625).flips
    assert found([[0.0, 1.0]], [[-2.0, -2.125]], 0.0624).flips


def test_a_tie_moves_no_winner() -> None:
    """Where nothing tells the two apart, the true winner is the chosen one."""
    tokens = [[[1], [2, 3, 4]]]
    got = found([[0.0, 1.0]], [[-2.0, -2.125]], 0.0625, tokens=tokens, label=[1])
    assert (got.drifts[0].chosen, got.drifts[0].best) == (3.0, 3.0)
    assert (got.true_right, got.label_disagrees) == (1, 0)


def test_two_points_correlate_with_anything() -> None:
    """They have a slope, and no correlation."""
    drift = found([[0.0, 1.0]], [[-2.0, -2.5]], tokens=[[[1], [2, 3, 4]]]).drifts[0]
    assert drift.slope == pytest.approx(0.75)
    assert drift.correlation is None


def test_lower_wins() -> None:
    """Of perplexities the smallest is the best, and the lead is positive."""
    got = found([[3.0, 2.0]], [[3.0, 4.5]], chosen=[1], higher_wins=False)
    assert [(flip.best, flip.nats) for flip in got.flips] == [(0, 1.5)]
    assert not found([[3.0, 2.0]], [[3.0, 2.5]], chosen=[1], higher_wins=False).flips


@pytest.mark.parametrize(
    ("true", "decisions", "lead"),
    [
        ([None, -1.0, -2.0], 0, None),
        ([-1.0, None, None], 0, None),
        ([-5.0, -1.0, None], 1, 4.0),
        ([math.nan, -1.0, -2.0], 0, None),
        ([-math.inf, -3.0, -4.0], 1, math.inf),
        ([-math.inf, -math.inf, None], 1, None),
    ],
)
def test_what_is_not_known_decides_nothing(
    true: list[float | None], decisions: int, lead: float | None
) -> None:
    """The chosen one and another must be known; −inf leads −inf by nothing."""
    got = found([[-1.0, -2.0, -3.0]], [true], math.inf if lead is None else 0.0)
    assert got.decisions == decisions
    assert [flip.nats for flip in got.flips] == ([] if lead is None else [lead])


def test_infinite_numbers_have_no_noise() -> None:
    """Probability 0 is exactly that, whatever is said of its noise."""
    rows, scene = world([[-1.0, -2.0]])
    got = damage(rows, scene, [-math.inf, -2.0], [-1.0, -2.0], noise=[math.nan, 0.1])
    assert [flip.nats for flip in got.flips] == [math.inf]


def test_labels() -> None:
    """Right by claims, right by the truth, and where the truth itself prefers another."""
    claimed = [[0.0, -1.0], [0.0, -1.0], [0.0, -1.0], [0.0, -1.0], [0.0, -1.0]]
    true = [[-1.0, -2.0], [-2.0, -1.0], [-1.0, -2.0], [-1.0, -1.0], [-1.0, None]]
    got = found(claimed, true, label=[0, 1, 1, 1, 0])
    assert (got.decisions, got.labelled) == (4, 4)
    # Record 1: the claims miss it, the truth finds it. Record 2: the truth prefers the other.
    # Record 3: a tie, so the chosen one stands, and no one disagrees.
    assert (got.claimed_right, got.true_right, got.label_disagrees) == (1, 2, 1)
    assert [flip.label for flip in got.flips] == [1]


def test_drift_with_length() -> None:
    """Claims that gain half a nat a token: slope 0.5, correlation 1, longer winners."""
    tokens = [[[1], [2, 3, 4]], [[5, 6], [7, 8, 9, 10, 11]]]
    true = [[-1.0, -1.5], [-2.0, -2.5]]
    claimed = [
        [number + 0.5 * len(ids) for number, ids in zip(record, texts, strict=True)]
        for record, texts in zip(true, tokens, strict=True)
    ]
    got = found(claimed, true, tokens=tokens)
    drift = got.drifts[0]
    assert drift.quantity == "tokens"
    assert drift.points == ((1.0, 0.5), (3.0, 1.5), (2.0, 1.0), (5.0, 2.5))
    assert drift.slope == pytest.approx(0.5, abs=1e-12)
    assert drift.correlation == pytest.approx(1.0, abs=1e-12)
    assert (drift.chosen, drift.best) == (4.0, 1.5)
    assert [flip.chosen_tokens for flip in got.flips] == [3, 5]


@given(
    st.lists(st.tuples(st.integers(1, 9), st.floats(-9.0, 9.0, width=16)), min_size=3, max_size=12)
)
def test_the_line_is_least_squares(points: list[tuple[int, float]]) -> None:
    """Slope and correlation are those of NumPy; None where a column is constant."""
    lengths, errors = (np.array(column, dtype=np.float64) for column in zip(*points, strict=True))
    tokens = [[list(range(int(size))) for size in lengths]]
    drift = found([errors.tolist()], [[0.0] * len(points)], tokens=tokens).drifts[0]
    if np.ptp(lengths) == 0:
        assert drift.slope is None
        assert drift.correlation is None
        return
    assert drift.slope == pytest.approx(np.polyfit(lengths, errors, 1)[0], abs=1e-9)
    if np.ptp(errors) == 0:
        assert drift.slope == 0.0
        assert drift.correlation is None
    else:
        assert drift.correlation == pytest.approx(np.corrcoef(lengths, errors)[0, 1], abs=1e-6)


def test_token_frequency() -> None:
    """The mean log10 of how often each token occurs among all candidates of the file."""
    tokens = [[[1, 1], [1, 2]], [[1, 3], []]]
    got = found([[-1.0, -2.0], [-1.0, -2.0]], [[-2.0, -1.0], [-1.0, -2.0]], tokens=tokens)
    drift = got.drifts[1]
    assert drift.quantity == "token_frequency"
    common, mixed = math.log10(4), math.log10(4) / 2
    assert [x for x, _ in drift.points] == pytest.approx([common, mixed, mixed])
    assert drift.chosen == pytest.approx((common + mixed) / 2)
    assert drift.best == pytest.approx(mixed)


def test_numbers_in_other_units_have_no_points() -> None:
    """The winners are compared all the same."""
    tokens = [[[1], [2, 3]]]
    got = found([[0.2, 0.8]], [[-1.0, -2.0]], tokens=tokens, comparable=False)
    drift = got.drifts[0]
    assert (drift.points, drift.slope, drift.correlation) == ((), None, None)
    assert (drift.chosen, drift.best) == (2.0, 1.0)
    assert len(got.flips) == 1


def test_infinite_claims_are_no_points() -> None:
    """−inf and what was not claimed are left out of the line."""
    got = found([[-1.0, -math.inf, None, 1e200]], [[-1.0, -2.0, -3.0, -4.0]], chosen=[0])
    assert got.drifts[0].points == ((1.0, 0.0),)
    assert got.drifts[0].slope is None


def test_arms() -> None:
    """Each arm has its decisions, flips, winners and explained claims; no arm, no report."""
    records: list[list[float | None]] = [[-1.0, -2.0], [-1.0, -2.0], [-3.0], [-1.0, -2.0]]
    true: list[list[float | None]] = [[-2.0, -1.0], [-1.0, -2.0], [-3.0], [-2.0, -1.0]]
    tokens = [[[1, 2, 3], [1]], [[1, 1], [2]], [[4, 4, 4, 4]], [[1], [9]]]
    rows, scene = world(records, tokens=tokens, arm=["A", "B", "B", None])
    explained = [True, False, True, True, False, True, True]
    noise = [0.0] * 7
    first, second = arms(rows, scene, flat(true), flat(records), explained, noise=noise)
    assert (first.arm, first.decisions, first.flips, first.rows, first.explained) == (
        "A",
        1,
        1,
        2,
        1,
    )
    assert (second.arm, second.decisions, second.flips) == ("B", 1, 0)
    assert (second.rows, second.explained) == (3, 2)
    assert (first.mean_tokens, second.mean_tokens) == (3.0, 3.0)
    # Tokens 1, 2 and 4 occur 5, 2 and 4 times, 3 and 9 once.
    assert first.mean_token_frequency == pytest.approx((math.log10(5) + math.log10(2)) / 3)
    assert second.mean_token_frequency == pytest.approx((math.log10(5) + math.log10(4)) / 2)
    bare = [replace(row, arm=None) for row in rows]
    assert arms(bare, scene, flat(true), flat(records), explained, noise=noise) == ()


def test_an_arm_counts_claims_alone() -> None:
    """A candidate with no claim is no row; one with its tokens' scores is."""
    rows, scene = world([[-1.0, None, None]], arm=["A"])
    claims = (rows[0].claims[0], Claim(token_scores=(printed(-1.0),)), Claim())
    rows = [replace(rows[0], claims=claims)]
    (arm,) = arms(rows, scene, [None] * 3, [-1.0, None, None], [True] * 3, noise=[0.0] * 3)
    assert (arm.rows, arm.explained, arm.decisions) == (2, 2, 0)
