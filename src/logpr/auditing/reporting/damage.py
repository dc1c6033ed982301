"""What the claims did to decisions: which flip, by how much, and where the winners drift to.

A decision is a record whose chosen candidate and at least one other have a true number. Columns
(`true`, `claimed`, `noise`, `explained`) run parallel to the scene's cases; None is not known.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, TypeAlias

from logpr._values.audit import ArmReport, Damage, Drift, Flip
from logpr.auditing.claims.values import ClaimRow
from logpr.auditing.scene.scene import Case, Scene

Known: TypeAlias = Sequence[float | None]

_FLAT = 1e-12
"""A spread this small against the quantity itself is the rounding of its own arithmetic."""

_MOST = 1e150
"""The squares of errors up to this size can be added; larger ones are no points of a line."""


@dataclass(frozen=True, slots=True)
class _Decision:
    """One record that can be judged: who was chosen, who is best, and by how much it leads.

    `lead` = true(best) − true(chosen), signed so that it is ≥ 0. `winner` is the best where it
    leads by more than noise, and the chosen one where nothing tells the two apart.
    """

    row: ClaimRow
    chosen: Case
    best: Case
    lead: float
    flips: bool
    label: Case | None
    label_beaten: bool

    @property
    def winner(self) -> Case:
        return self.best if self.flips else self.chosen


def damage(
    rows: Sequence[ClaimRow],
    scene: Scene,
    true: Known,
    claimed: Known,
    *,
    noise: Sequence[float],
    higher_wins: bool = True,
    comparable: bool = True,
) -> Damage:
    """Return the decisions that the true numbers make otherwise, and the drift of the winners.

    A decision flips where true(best) − true(chosen) > noise(best) + noise(chosen): a lead within
    the noise is no flip, and the chosen one counts as the true winner then. Flips come largest
    first, those of one size in file order.

    Drifts are along `tokens` (|y|, END not counted) and `token_frequency`, the mean over y's
    tokens of log10 of how often that token occurs among all candidates' tokens of the file, a
    candidate counting once for each record it is in. `points`, `slope` (least squares) and
    `correlation` (Pearson) are of claimed − true over all candidates; the slope is None without
    two different quantities, the correlation also below three points or where the errors are all
    alike. `chosen` and `best` are means over the decisions.

    A decision is labelled where its label's candidate has a true number. `true_right` counts those
    whose true winner it is; `label_disagrees` those where the true best leads it by more than the
    noise.

    Args:
        rows: the records.
        scene: their candidates.
        true: the number of what was declared, in its own unit.
        claimed: what was claimed.
        noise: how far each true number may be off.
        higher_wins: whether the largest true number is the best.
        comparable: whether claimed and true are in one unit; there are no points otherwise.
    """
    asked = _Asked(rows, scene, true, noise, higher_wins=higher_wins)
    found = list(asked.decisions())
    flips = [
        Flip(
            id=one.row.query.id,
            chosen=one.chosen.place,
            best=one.best.place,
            nats=one.lead,
            chosen_text=one.chosen.shown,
            best_text=one.best.shown,
            chosen_tokens=len(one.chosen.material.tokens),
            best_tokens=len(one.best.material.tokens),
            label=one.row.query.label,
        )
        for one in found
        if one.flips
    ]
    flips.sort(key=lambda flip: -flip.nats)
    labelled = [one for one in found if one.label is not None]
    errors = _errors(claimed, true) if comparable else [None] * len(scene.cases)
    return Damage(
        decisions=len(found),
        flips=tuple(flips),
        drifts=(
            _drift("tokens", asked.lengths, errors, found),
            _drift("token_frequency", asked.frequencies, errors, found),
        ),
        labelled=len(labelled),
        claimed_right=sum(one.chosen is one.label for one in labelled),
        true_right=sum(one.winner is one.label for one in labelled),
        label_disagrees=sum(one.label_beaten for one in labelled),
    )


def arms(
    rows: Sequence[ClaimRow],
    scene: Scene,
    true: Known,
    claimed: Known,
    explained: Sequence[bool],
    *,
    noise: Sequence[float],
    higher_wins: bool = True,
) -> tuple[ArmReport, ...]:
    """Return one report for each arm of an A/B test, in the order in which they come.

    The means are over the chosen candidates of the arm's records, those with a single candidate
    included; frequencies are counted over the whole file, so that arms can be compared. `rows`
    counts the candidates with a claim, and `explained` those of them that are explained. The
    other arguments are those of `damage`.
    """
    asked = _Asked(rows, scene, true, noise, higher_wins=higher_wins)
    decisions = list(asked.decisions())
    out = []
    for arm in dict.fromkeys(row.arm for row in rows if row.arm is not None):
        mine = [one for one in decisions if one.row.arm == arm]
        cases = [case for case in scene.cases if rows[case.record].arm == arm]
        winners = [case for case in cases if rows[case.record].chosen == case.place]
        struck = [
            case.number
            for case in cases
            if claimed[case.number] is not None
            or rows[case.record].claims[case.place].token_scores is not None
        ]
        out.append(
            ArmReport(
                arm=arm,
                decisions=len(mine),
                flips=sum(one.flips for one in mine),
                mean_tokens=_mean([asked.lengths[case.number] for case in winners]),
                mean_token_frequency=_mean([asked.frequencies[case.number] for case in winners]),
                explained=sum(explained[number] for number in struck),
                rows=len(struck),
            )
        )
    return tuple(out)


class _Asked:
    """The candidates, their true numbers, and what is measured along them."""

    def __init__(
        self,
        rows: Sequence[ClaimRow],
        scene: Scene,
        true: Known,
        noise: Sequence[float],
        *,
        higher_wins: bool,
    ) -> None:
        sizes = {len(scene.cases), len(true), len(noise)}
        assert len(sizes) == 1, "columns run parallel to the cases"
        self._rows = rows
        self._scene = scene
        sign = 1.0 if higher_wins else -1.0
        self._worth = [
            None if value is None or math.isnan(value) else sign * value for value in true
        ]
        self._noise = noise

    @cached_property
    def lengths(self) -> list[float | None]:
        """|y| in tokens, by candidate."""
        return [float(len(case.material.tokens)) for case in self._scene.cases]

    @cached_property
    def frequencies(self) -> list[float | None]:
        """Mean log10 of the tokens' counts in the file, by candidate; None where y is empty."""
        counts = Counter(token for case in self._scene.cases for token in case.material.tokens)
        return [
            _mean([math.log10(counts[token]) for token in case.material.tokens])
            for case in self._scene.cases
        ]

    def decisions(self) -> Iterator[_Decision]:
        """Yield the records that can be judged, in file order."""
        members: dict[int, list[Case]] = {}
        for case in self._scene.cases:
            if self._worth[case.number] is not None:
                members.setdefault(case.record, []).append(case)
        for record, cases in members.items():
            row = self._rows[record]
            by_place = {case.place: case for case in cases}
            if len(cases) < 2 or row.chosen not in by_place:  # noqa: PLR2004 - nothing to decide
                continue
            chosen = by_place[row.chosen]
            best = min(cases, key=lambda case: (-self._of(case), case.place))
            label = None if row.query.label is None else by_place.get(row.query.label)
            yield _Decision(
                row=row,
                chosen=chosen,
                best=best,
                lead=self._lead(best, chosen),
                flips=self._leads(best, chosen),
                label=label,
                label_beaten=label is not None and self._leads(best, label),
            )

    def _of(self, case: Case) -> float:
        worth = self._worth[case.number]
        assert worth is not None, "only known ones are compared"
        return worth

    def _lead(self, best: Case, other: Case) -> float:
        # −inf from −inf leaves NaN, which is more than no noise: no lead.
        return self._of(best) - self._of(other)

    def _leads(self, best: Case, other: Case) -> bool:
        finite = [case for case in (best, other) if math.isfinite(self._of(case))]
        return self._lead(best, other) > sum(self._noise[case.number] for case in finite)


def _errors(claimed: Known, true: Known) -> list[float | None]:
    assert len(claimed) == len(true), "columns run parallel to the cases"
    out: list[float | None] = []
    for mine, right in zip(claimed, true, strict=True):
        error = math.nan if mine is None or right is None else mine - right
        out.append(error if abs(error) < _MOST else None)
    return out


def _drift(
    quantity: Literal["tokens", "token_frequency"],
    values: Known,
    errors: Known,
    decisions: Sequence[_Decision],
) -> Drift:
    points = tuple(
        (value, error)
        for value, error in zip(values, errors, strict=True)
        if value is not None and error is not None
    )
    slope, correlation = _line(points)
    return Drift(
        quantity=quantity,
        points=points,
        slope=slope,
        correlation=correlation,
        chosen=_mean([values[one.chosen.number] for one in decisions]),
        best=_mean([values[one.winner.number] for one in decisions]),
    )


def _line(points: Sequence[tuple[float, float]]) -> tuple[float | None, float | None]:
    """Return the least-squares slope and Pearson's correlation; None where there is none."""
    if len(points) < 2:  # noqa: PLR2004 - one point has no slope
        return None, None
    across, up = _deviations([x for x, _ in points]), _deviations([y for _, y in points])
    if across is None:
        return None, None
    square = math.fsum(x * x for x in across)
    if up is None:
        return 0.0, None
    product = math.fsum(x * y for x, y in zip(across, up, strict=True))
    if len(points) == 2:  # noqa: PLR2004 - any two points lie on a line
        return product / square, None
    root = math.sqrt(square) * math.sqrt(math.fsum(y * y for y in up))
    return product / square, max(-1.0, min(1.0, product / root))


def _deviations(values: Sequence[float]) -> list[float] | None:
    """Return the distances from the mean, or None where all are the same number."""
    # Of the first value first: that loses nothing where all lie far from 0.
    moved = [value - values[0] for value in values]
    centre = math.fsum(moved) / len(moved)
    away = [value - centre for value in moved]
    flat = max(map(abs, away)) <= _FLAT * max(map(abs, values))
    return None if flat else away


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return math.fsum(known) / len(known) if known else None
