"""Every entry of the fault zoo, slow and obvious: what the audit is held against.

A scorer is encode → context → align → normalise → mask → aggregate → unit; a change replaces what
one stage does. Nothing here is shared with the package but the seam to models, the tokenizer and
the correct encoding of a prompt and a continuation. All numbers are float64.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from logpr._types import END
from logpr._values import Query
from logpr.models.base import Predictive
from tests.auditing import oracle_numbers as numbers
from tests.auditing import oracle_steps as paths
from tests.auditing.oracle_numbers import AGGREGATE, NORMALISE, UNITS, Counts, Scene
from tests.auditing.oracle_rows import Ids, Row, Rows, add
from tests.auditing.oracle_steps import ALIGN, CONTEXT, ENCODE, Item, Step, World

Change: TypeAlias = tuple[str, dict[str, Any]]
Shortlists: TypeAlias = Sequence[Sequence[Sequence[Sequence[int]]]]
"""Token ids by record, candidate and step."""

MASK = ("pad_counted", "eos_as_pad_masked")

STAGE: dict[str, str] = {
    **dict.fromkeys(ENCODE, "encode"),
    **dict.fromkeys(CONTEXT, "context"),
    **dict.fromkeys(ALIGN, "align"),
    **dict.fromkeys(NORMALISE, "normalise"),
    **dict.fromkeys(MASK, "mask"),
    **dict.fromkeys(AGGREGATE, "aggregate"),
    **dict.fromkeys(UNITS, "unit"),
}
"""The stage that an entry of the zoo changes, by its id."""


@dataclass(frozen=True)
class Oracle:
    """What a scorer prints: a score for each candidate of each record, and its steps' scores."""

    scores: list[list[float]]
    tokens: list[list[list[float]]]


def claims(
    queries: Sequence[Query],
    changes: Sequence[Change],
    *,
    model: Predictive,
    end: str = "open",
    boundary: str = "separate",
    bos: str = "auto",
    shortlists: Shortlists | None = None,
    rule: str = "logprob",
    unit: str = "nats",
    rows: Rows | None = None,
) -> Oracle:
    """Return the numbers of a scorer with these changes, none for the correct one.

    Args:
        queries: records with plain prompts or prompt ids. Their own end, boundary and bos are not
            looked at: the arguments are.
        changes: at most one for each stage.
        model: shows whole rows.
        end: declared; open or stop.
        boundary: declared; separate or joint.
        bos: declared.
        shortlists: the ids logged for each step.
        rule: the declared aggregate, an id of that stage.
        unit: the declared unit, an id of that stage.
        rows: rows kept from earlier calls.
    """
    scorer = Scorer(
        queries,
        changes,
        rows=rows or Rows(model),
        end=end,
        boundary=boundary,
        bos=bos,
        shortlists=shortlists,
        rule=rule,
        unit=unit,
    )
    scorer.read_ahead()
    scores: list[list[float]] = [[] for _ in queries]
    tokens: list[list[list[float]]] = [[] for _ in queries]
    for place, item in enumerate(scorer.items):
        scores[item.record].append(scorer.score(place))
        tokens[item.record].append(scorer.values(place))
    return Oracle(scores, tokens)


@dataclass
class Memo:
    """What scorers of the same claims need not do twice: what stages gave, by their changes."""

    encoded: dict[str, list[Item]] = field(default_factory=dict)
    paths: dict[str, tuple[list[Item], list[list[Step]]]] = field(default_factory=dict)
    values: dict[tuple[str, int], list[float]] = field(default_factory=dict)


class Scorer:
    """A scorer with its changes, over all candidates of a file; they are numbered in file order.

    Args: as for `claims`.
    """

    def __init__(
        self,
        queries: Sequence[Query],
        changes: Sequence[Change],
        *,
        rows: Rows,
        end: str = "open",
        boundary: str = "separate",
        bos: str = "auto",
        shortlists: Shortlists | None = None,
        rule: str = "logprob",
        unit: str = "nats",
        neutral: bool = False,
        memo: Memo | None = None,
    ) -> None:
        self._changes = {STAGE[name]: (name, params) for name, params in changes}
        assert len(self._changes) == len(changes), "a stage is changed once"
        self._rows = rows
        self._world = World(rows=rows, end=end, boundary=boundary, bos=bos)
        self._shortlists = shortlists
        self._rule, self._aggregate = self._changed("aggregate", rule)
        self._unit, _ = self._changed("unit", unit)
        self._normaliser, self._normalise = self._changed("normalise", "correct")
        self._mask, self._masking = self._changed("mask", "none")
        self._memo = memo or Memo()
        stages = [self._changed(stage, "") for stage in ("encode", "context", "align", "mask")]
        self._key = repr((stages, neutral))
        if self._key not in self._memo.paths:
            self.items = self._placed(queries, neutral=neutral)
            found = [self._found(place) for place in range(len(self.items))]
            self._memo.paths[self._key] = self.items, found
        self.items, self._steps = self._memo.paths[self._key]
        self._key += repr((self._normaliser, self._normalise))
        self._neutral: Scorer | None = None
        if self._rule == "pmi" and not neutral:
            self._neutral = Scorer(
                queries,
                [change for stage, change in self._changes.items() if stage != "unit"],
                rows=rows,
                end=end,
                boundary=boundary,
                bos=bos,
                shortlists=shortlists,
                neutral=True,
                memo=self._memo,
            )

    def _changed(self, stage: str, default: str) -> tuple[str, dict[str, Any]]:
        return self._changes.get(stage, (default, {}))

    def _placed(self, queries: Sequence[Query], *, neutral: bool) -> list[Item]:
        world = self._world
        name, params = self._changed("encode", "")
        key = repr((name, params))
        if key not in self._memo.encoded:
            items = paths.items_of(queries, world)
            if name:
                items = [ENCODE[name](item, world, **params) for item in items]
            self._memo.encoded[key] = items
        items = self._memo.encoded[key]
        if neutral:
            items = paths.prompt_dropped(items, world)
        name, params = self._changed("context", "")
        if name:
            items = CONTEXT[name](items, world, **params)
        return items

    def _found(self, place: int) -> list[Step]:
        name, params = self._changed("align", "")
        item = self.items[place]
        if name:
            steps = ALIGN[name](self.items, place, self._world, **params)
        else:
            steps = paths.correct_steps(item)
        if self._mask == "pad_counted":
            pad = self._masking["pad_id"]
            count = paths.pads(self.items, place, self._masking["company"])
            steps = steps + [Step((*item.sequence, *[pad] * j), pad, None) for j in range(count)]
        return [step for step in steps if self._world.readable(step.prefix)]

    def steps(self, place: int) -> list[Step]:
        """Return what is read for a candidate, before any step is masked."""
        return self._steps[place]

    def read_ahead(self) -> None:
        """Ask the model for the rows of all steps at once."""
        self._rows.need(step.prefix for steps in self._steps for step in steps)

    def _kept(self, place: int) -> list[int]:
        """Return which of a candidate's steps are left after the mask."""
        steps = self._steps[place]
        if self._mask != "eos_as_pad_masked":
            return list(range(len(steps)))
        pad = self._masking["pad_id"]
        return [i for i, step in enumerate(steps) if pad not in self._token_ids(step)]

    def _token_ids(self, step: Step) -> Ids:
        return self._rows.model.end_ids if step.token == END else (step.token,)

    def count(self, place: int) -> int:
        """Return N, the number of a candidate's steps."""
        return len(self._kept(place))

    def values(self, place: int) -> list[float]:
        """Return a candidate's step scores, after normalise and mask."""
        key = self._key, place
        if key not in self._memo.values:
            steps = self._steps[place]
            self._rows.need(step.prefix for step in steps)
            self._memo.values[key] = [
                self._value(place, self._rows[steps[i].prefix], i) for i in self._kept(place)
            ]
        return self._memo.values[key]

    def _value(self, place: int, row: Row, number: int) -> float:
        item, steps = self.items[place], self._steps[place]
        scene = Scene(
            rows=self._rows,
            item=item,
            steps=steps,
            record=[self._steps[i] for i in self._record(place)],
            number=number,
            listed=self._listed(place, steps[number].place),
        )
        normalise = NORMALISE.get(self._normaliser, numbers.correct)
        return normalise(row, steps[number].token, scene, **self._normalise)

    def _record(self, place: int) -> list[int]:
        return paths.company_of(self.items, place, "query")

    def _listed(self, place: int, index: int | None) -> Ids | None:
        if self._shortlists is None or index is None or index < 0:
            return None
        record = self._record(place)
        lists = self._shortlists[self.items[place].record][place - record[0]]
        return tuple(lists[index]) if index < len(lists) else None

    def _total(self, place: int, values: list[float]) -> float:
        """Return Σ as this scorer adds up."""
        total = add(values)
        if self._normalise.get("form") == "product" and self._negative(place):
            return math.nan
        if self._normalise.get("total") == "half":
            return float(numbers.half(total, self._normalise["dtype"]))
        return total

    def _negative(self, place: int) -> bool:
        """Return whether an odd number of a candidate's ratios u_t / Σu is negative."""
        steps = [self._steps[place][i] for i in self._kept(place)]
        signs = [numbers.linear_ratio(self._rows[s.prefix], s.token) < 0 for s in steps]
        return sum(signs) % 2 == 1

    def aggregate(self, place: int, shift: float = 0.0) -> float:
        """Return A of a candidate, with every step score moved by `shift`."""
        values = [value + shift for value in self.values(place)]
        counts = Counts(
            total=lambda moved: self._total(place, moved),
            prompt=len(self.items[place].context),
            text=self.items[place].text,
            longest=lambda company: max(
                self.count(i) for i in paths.company_of(self.items, place, company)
            ),
            neutral=lambda: self._neutral_total(place, -shift),
        )
        return AGGREGATE[self._rule](values, counts, **self._aggregate)

    def _neutral_total(self, place: int, shift: float) -> float:
        neutral = self._neutral
        assert neutral is not None
        return neutral._total(place, [value + shift for value in neutral.values(place)])

    def score(self, place: int, shift: float = 0.0) -> float:
        """Return the claim for a candidate, its own step scores moved by `shift`."""
        a = self.aggregate(place, shift)
        rivals: list[float] = []
        if self._unit == "choice_prob":
            rivals = [a if i == place else self.aggregate(i) for i in self._record(place)]
        return numbers.in_unit(
            a, self._unit, rule=self._rule, count=self.count(place), rivals=rivals
        )
