"""The class of computations that claims cannot tell apart, by brute force over the oracle.

Integers and words are enumerated, k by bisection where the claim is monotone in it; continuous
parameters are searched on a dense grid and refined by bisection, claim after claim. Of pairs are
left out: two solved parameters at once, and a solved parameter after a context or padding that
has to be enumerated too, but where the generating pair names them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations, product
from typing import Any, TypeAlias

from logpr import Query
from logpr.errors import TokenizationError
from logpr.models.base import Predictive
from tests.auditing.oracle import STAGE, Change, Memo, Scorer, Shortlists
from tests.auditing.oracle_rows import Rows
from tests.auditing.oracle_search import (
    Check,
    Span,
    continuous,
    enumerated,
    monotone,
    points,
)

Params: TypeAlias = tuple[dict[str, Any], ...]
Found: TypeAlias = dict[tuple[str, ...], list[Params]]
"""Ids in stage order with all their parameters, solved ones as spans; () is the correct scorer."""

_ORDER = ("encode", "context", "align", "normalise", "mask", "aggregate", "unit")
_SOLVED = {"T", "p", "epsilon", "alpha", "k"}
_NOT_MONOTONE = {"pmi", "choice_prob"}


@dataclass(frozen=True)
class Grid:
    """Where parameters are looked for; None is all that can matter on the input.

    `noise` is how far, in nats, a claim's step score may lie from the oracle's; None is twice the
    model's own noise per token, for the claim and the oracle both have it, and 1e-5 at least.
    """

    T: tuple[float, ...] = points(0.05, 20.0, 81, log=True)
    p: tuple[float, ...] = (*points(0.01, 0.99, 50), 0.995, 0.999, 0.9999, 0.99999, 1.0)
    epsilon: tuple[float, ...] = points(1e-12, 0.1, 45, log=True)
    alpha: tuple[float, ...] = points(0.0, 3.0, 61)
    k: tuple[int, int] | None = None
    keep: Sequence[int] | None = None
    window: Sequence[int] | None = None
    company: Sequence[str | int] | None = None
    pad_id: Sequence[int] | None = None
    ids: Sequence[tuple[int, ...]] | None = None
    noise: float | None = None


@dataclass(frozen=True)
class Hypothesis:
    """An entry with its parameters but one, which is solved for."""

    name: str
    params: dict[str, Any]
    unknown: str | None = None

    @property
    def enumerated(self) -> bool:
        """Return whether it is one of many forward passes."""
        return bool({"pad_id", "window", "keep"} & set(self.params))

    def at(self, value: float | None) -> Change:
        """Return the change with its unknown put in."""
        if self.unknown is None or value is None:
            return self.name, self.params
        return self.name, {**self.params, self.unknown: value}


@dataclass(kw_only=True)
class _Case:
    """The claims, and what scorers of them share."""

    queries: Sequence[Query]
    records: Sequence[dict[str, Any]]
    rows: Rows
    grid: Grid
    declared: dict[str, Any]
    memo: Memo = field(default_factory=Memo)

    def __post_init__(self) -> None:
        self.claims = [claim for record in self.records for claim in record["candidates"]]
        own = self.rows.model.provenance.noise_per_token or 0.0
        self.noise = max(1e-5, 2 * own) if self.grid.noise is None else self.grid.noise
        correct = self.scorer([])
        self.items = correct.items
        # The longest candidates first: most computations fail there.
        places = sorted(range(len(self.claims)), key=lambda i: -len(self.items[i].sequence))
        self.checks: list[Check] = [(i, None) for i in places if "score" in self.claims[i]]
        for i in places:
            steps = range(len(self.claims[i].get("token_scores", ())))
            self.checks += [(i, step) for step in steps]

    def scorer(self, changes: Sequence[Change], memo: Memo | None = None) -> Scorer:
        return Scorer(
            self.queries, changes, rows=self.rows, memo=memo or self.memo, **self.declared
        )

    def off(self, scorer: Scorer, check: Check) -> float:
        """Return how far a prediction lies outside a claim's interval: 0 inside, NaN nowhere."""
        place, step = check
        claim, noise = self.claims[place], self.noise
        if step is None:
            text = claim["score"]
            found = [scorer.score(place, shift) for shift in (0.0, -noise, noise)]
        else:
            text = claim["token_scores"][step]
            values = scorer.values(place)
            if len(values) != len(claim["token_scores"]):
                return math.nan
            found = [values[step], values[step] - noise, values[step] + noise]
        return outside(text, found)

    def stands(self, changes: Sequence[Change]) -> bool:
        """Return whether a computation reproduces all claims."""
        scorer = self.scorer(changes)
        return all(self.off(scorer, check) == 0.0 for check in self.checks)


def outside(text: str, found: Sequence[float]) -> float:
    """Return the signed distance from the interval of a printed number to a span of predictions."""
    value = float(text)
    if not math.isfinite(value):
        same = (x == value or (math.isnan(x) and math.isnan(value)) for x in found)
        return 0.0 if any(same) else math.nan
    if not all(map(math.isfinite, found)):
        return math.nan
    half = 0.5 * 10.0 ** -len(text.partition(".")[2])
    # What is computed from decimal digits carries the rounding of floats.
    half += 4 * math.ulp(abs(value) + half)
    if min(found) > value + half:
        return min(found) - (value + half)
    return min(0.0, max(found) - (value - half))


def brute_class(
    queries: Sequence[Query],
    records: Sequence[dict[str, Any]],
    *,
    model: Predictive,
    count: int = 1,
    grid: Grid | None = None,
    generating: Sequence[Change] = (),
    shortlists: Shortlists | None = None,
    rows: Rows | None = None,
    **declared: Any,  # noqa: ANN401 - end, boundary, bos, rule, unit of `claims`
) -> Found:
    """Return all computations with the fewest changes that reproduce every claim.

    Args:
        queries: what was scored.
        records: the claims; texts of scores, of tokens, or of both.
        model: shows whole rows.
        count: the largest number of changes: 0, 1 or 2. One change is looked for with none, two
            only where neither stands.
        grid: where parameters are looked for.
        generating: the changes that made the claims, for what would be too slow otherwise.
        shortlists: the ids logged for each step.
        rows: rows kept from earlier calls.
        declared: as for `claims`.
    """
    rows = rows or Rows(model)
    case = _Case(
        queries=queries,
        records=records,
        rows=rows,
        grid=grid or Grid(),
        declared={**declared, "shortlists": shortlists},
    )
    found: Found = {}
    if case.stands([]):
        found[()] = [()]
    if count >= 1:
        every = list(_hypotheses(case))
        for one in every:
            _keep(found, case, (one,))
        if count > 1 and not found:
            for pair in _pairs(every, generating):
                _keep(found, case, pair)
    return found


def _keep(found: Found, case: _Case, hypotheses: tuple[Hypothesis, ...]) -> None:
    try:
        kept = list(_solutions(case, hypotheses))
    except TokenizationError:
        return  # a text without its space is no text of this tokenizer
    if kept:
        found.setdefault(tuple(h.name for h in hypotheses), []).extend(kept)


def _hypotheses(case: _Case) -> Iterator[Hypothesis]:
    """Return every entry of the zoo with every choice of its enumerated parameters."""
    for name in STAGE:
        if name in _needless(case):
            continue
        for params, unknown in _choices(name, case):
            yield Hypothesis(name, params, unknown)


def _needless(case: _Case) -> set[str]:
    out = {"logprob", "nats"} if case.declared.get("rule", "logprob") == "logprob" else set()
    if case.declared.get("unit", "nats") != "nats":
        out -= {"nats"}
    stop = case.declared.get("end", "open") == "stop"
    if not stop:
        out.add("eos_missing")
    if stop or not case.rows.model.end_ids:
        out.add("eos_added")
    if case.declared["shortlists"] is None:
        out.add("shortlist_given")
    return out


def _choices(name: str, case: _Case) -> Iterator[tuple[dict[str, Any], str | None]]:
    grid, items = case.grid, case.items
    tokenizer = case.rows.model.tokenizer
    assert tokenizer is not None
    special = sorted(tokenizer.special_ids | {0})
    longest = max(len(item.sequence) for item in items)
    options: dict[str, Sequence[Any]] = {
        "company": grid.company or ["query", "file", *sorted({2, 4, 8, *range(2, len(items))})],
        "pad_id": grid.pad_id or special,
        "window": grid.window or range(2, longest + 2),
        "start": ["none", "bos"],
        "keep": grid.keep or range(1, max(len(item.context) for item in items) + 1),
        "representative": ["first", "last", "longest"],
        "ids": grid.ids or sorted({*((token,) for token in special), tuple(special)}),
        "dtype": ["bfloat16", "float16"] if name == "half_precision" else ["float32", "float64"],
        "total": ["float", "half"],
        "over": ["continuation", "sequence"],
        "count": ["n_plus_1", "n_minus_1", "with_prompt"],
        "log": ["no", "yes"],
        "per": ["step", "request"],
        "form": {
            "space_lost": ["dropped", "doubled"],
            "linear_normalisation": ["per_step", "product"],
        }.get(name, ["power", "gnmt"]),
    }
    takes = PARAMETERS.get(name, ())
    words = [word for word in takes if word not in _SOLVED]
    unknown = next((word for word in takes if word in _SOLVED), None)
    for values in product(*(options[word] for word in words)):
        yield dict(zip(words, values, strict=True)), unknown
    if name == "shortlist_without_target" and case.declared["shortlists"] is not None:
        yield {"lists": "given"}, None


PARAMETERS: dict[str, tuple[str, ...]] = {
    "space_lost": ("form",),
    "left_pad_unmasked": ("pad_id", "company"),
    "window_restart": ("window", "start"),
    "truncated_context": ("keep",),
    "row_reused": ("representative",),
    "linear_normalisation": ("form",),
    "shortlist_softmax": ("k",),
    "shortlist_without_target": ("per", "k"),
    "nucleus_renormalised": ("p",),
    "temperature": ("T",),
    "logprob_over_temperature": ("T",),
    "log_epsilon": ("epsilon",),
    "vocab_rows_masked": ("ids",),
    "wrong_axis": ("over",),
    "half_precision": ("dtype", "total"),
    "pad_counted": ("pad_id", "company"),
    "eos_as_pad_masked": ("pad_id",),
    "mean_over_padded": ("company",),
    "loss_times_wrong_count": ("count",),
    "length_penalty": ("form", "alpha"),
    "product_then_log": ("dtype",),
    "mean_probability": ("log",),
}
"""What each entry takes; those not named take nothing."""


def _pairs(
    every: Sequence[Hypothesis], generating: Sequence[Change]
) -> Iterator[tuple[Hypothesis, ...]]:
    named = dict(generating)
    ranked = sorted(every, key=lambda one: _ORDER.index(STAGE[one.name]))
    for a, b in combinations(ranked, 2):
        if STAGE[a.name] == STAGE[b.name]:
            continue
        solved = [one for one in (a, b) if one.unknown is not None]
        ours = a.name in named and b.name in named
        if len(solved) == 2:
            if ours:
                # One of the two stands where it was, the other is solved for.
                yield _fixed(a, named), b
                yield a, _fixed(b, named)
        elif not solved or ours or not (a.enumerated or b.enumerated):
            yield a, b


def _fixed(one: Hypothesis, named: dict[str, dict[str, Any]]) -> Hypothesis:
    assert one.unknown is not None
    return Hypothesis(one.name, {**one.params, one.unknown: named[one.name].get(one.unknown, 1)})


def _solutions(case: _Case, hypotheses: tuple[Hypothesis, ...]) -> Iterator[Params]:
    """Return the parameters under which a computation reproduces all claims."""
    solved = [i for i, one in enumerate(hypotheses) if one.unknown is not None]
    if not solved:
        if case.stands([one.at(None) for one in hypotheses]):
            yield tuple(one.params for one in hypotheses)
        return
    (which,) = solved
    unknown = hypotheses[which].unknown
    assert unknown is not None
    memo = Memo(
        case.memo.encoded, case.memo.paths
    )  # scores at one value of a parameter serve nothing else

    def off(value: float, check: Check) -> float:
        changes = [one.at(value) for one in hypotheses]
        return case.off(case.scorer(changes, memo), check)

    names = {one.name for one in hypotheses}
    spans: Iterable[Span]
    if unknown == "k":
        low, high = case.grid.k or (1, case.rows.model.vocab_size)
        if names & _NOT_MONOTONE:
            spans = enumerated(off, range(low, min(high, 1024) + 1), case.checks)
        else:
            spans = monotone(off, low, high, case.checks)
    else:
        spans = continuous(off, getattr(case.grid, unknown), case.checks)
    for span in spans:
        yield tuple(
            {**one.params, unknown: span} if i == which else one.params
            for i, one in enumerate(hypotheses)
        )
