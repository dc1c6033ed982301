"""How often the label wins, under every rule, with a bootstrap interval."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from logpr._rules import STANDING
from logpr._types import JsonValue
from logpr._values import Accuracy, AccuracyReport, Ranking, Score
from logpr.errors import QueryError

_Credits: TypeAlias = dict[str, Counter[float]]
"""By rule: how many queries got which credit."""

RESAMPLES = 2000
_ALSO = {rule.name: rule.also for rule in STANDING}
_LOWER_WINS = {rule.name for rule in STANDING if not rule.higher_wins}


@dataclass(slots=True)
class AccuracyTally:
    """Counts labelled rankings one by one; memory does not grow with their number.

    What is counted per rule is how many queries got credit 1, 1/2, 1/3, …: an exact tie of the
    label with others counts one over the number tied.
    """

    by: str | None = None
    _overall: _Credits = field(default_factory=dict)
    # Apart from the rest: a group may have any name, the empty one too.
    _groups: dict[str, _Credits] = field(default_factory=dict)

    def add(self, ranking: Ranking, group: str | None = None) -> None:
        """Count one ranking.

        Raises:
            QueryError: its label is not the index of a candidate.
        """
        label = ranking.label
        if label is None:
            return
        if not 0 <= label < len(ranking.candidates):
            msg = (
                f"query {ranking.id!r}: label {label} is no candidate's index "
                f"(0 to {len(ranking.candidates) - 1})"
            )
            raise QueryError(msg)
        # With `top` the numbers of dropped candidates are known under no other rule.
        rules = [rule.name for rule in STANDING] if ranking.top is None else []
        if ranking.rule not in rules:
            rules.append(ranking.rule)
        for rule in rules:
            higher = ranking.higher_wins if rule == ranking.rule else rule not in _LOWER_WINS
            values = [_value(score, rule) for score in ranking.candidates]
            credit = _credit(values, label, sign=1.0 if higher else -1.0)
            self._overall.setdefault(rule, Counter())[credit] += 1
            if group is not None:
                of_group = self._groups.setdefault(group, {})
                of_group.setdefault(rule, Counter())[credit] += 1

    def state(self) -> dict[str, JsonValue]:
        """Return the counts as JSON: rule, credit, how many queries; overall and by group."""
        return {
            "overall": _stated(self._overall),
            "groups": {group: _stated(counts) for group, counts in self._groups.items()},
        }

    def resume(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` returned in an earlier process."""
        self._overall = _resumed(state["overall"])
        self._groups = {group: _resumed(counts) for group, counts in state["groups"].items()}

    def report(self) -> AccuracyReport | None:
        """Return the accuracies so far; None where no ranking had a label."""
        if not self._overall:
            return None
        return AccuracyReport(
            overall=_accuracies(self._overall),
            by=self.by,
            groups=tuple((key, _accuracies(self._groups[key])) for key in sorted(self._groups)),
        )


def _stated(credits: _Credits) -> dict[str, JsonValue]:  # noqa: A002 - the field's word
    return {
        rule: {repr(credit): count for credit, count in counts.items()}
        for rule, counts in credits.items()
    }


def _resumed(state: Mapping[str, Mapping[str, int]]) -> _Credits:
    return {
        rule: Counter({float(credit): count for credit, count in counts.items()})
        for rule, counts in state.items()
    }


def _value(score: Score, rule: str) -> float | None:
    for name, value in score.rule_values:
        if name == rule:
            return value
    found = getattr(score, rule)
    return None if found is None else float(found)


def _credit(values: list[float | None], label: int, *, sign: float) -> float:
    chosen = values[label]
    if chosen is None:
        return 0.0
    present = [sign * value for value in values if value is not None]
    top = max(present)
    return 1.0 / present.count(top) if sign * chosen == top else 0.0


def _accuracies(credits: _Credits) -> tuple[Accuracy, ...]:  # noqa: A002 - the field's word
    return tuple(_accuracy(rule, counts) for rule, counts in credits.items())


def _accuracy(rule: str, counts: Counter[float]) -> Accuracy:
    values = np.asarray(list(counts), dtype=np.float64)
    times = np.asarray(list(counts.values()), dtype=np.int64)
    size = int(times.sum())
    mean = math.fsum((values * times).tolist()) / size
    # Resampling n queries is drawing how often each credit occurs: a multinomial.
    rng = np.random.default_rng(0)
    draws = rng.multinomial(size, times / size, size=RESAMPLES) @ values / size
    low, high = np.quantile(draws, [0.025, 0.975]).tolist()
    return Accuracy(
        rule=rule, also=_ALSO.get(rule), accuracy=mean, low=low, high=high, queries=size
    )
