"""The sentences of an audit: the verdict, what it did to the decisions, which rows tell most."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from logpr._values import AuditReport, AuditRow, Drift, FaultFound, Flip, MixedGroup, ShortlistStep
from logpr._values.audit import alike
from logpr.report.numbers import count, figure, fixed, plural, scientific, signed, times
from logpr.report.words.parts import Quoted, Sentence, unit

T = TypeVar("T")

_MOST_IDS = 6
_LONG = 1e7
"""From here on a claim (a perplexity, a raw product) is written as a power of ten."""

Place = tuple[str | int | None, int]
"""A claim: its record's id and its candidate's index."""


@dataclass(frozen=True, slots=True)
class Mark:
    """What stands before the verdict: a sign, a word and how good the news are."""

    sign: str
    word: str
    tone: str
    """`good`, `bad`, `other` or `open`."""


_MARKS = {
    "correct": Mark("✓", "correct", "good"),
    "fault": Mark("✗", "fault", "bad"),
    "other_definition": Mark("≠", "another quantity", "other"),
    "ambiguous": Mark("?", "ambiguous", "open"),
    "unexplained": Mark("✗", "unexplained", "bad"),
    "not_enough_precision": Mark("?", "too few digits", "open"),
    "not_enough_evidence": Mark("?", "too little evidence", "open"),
}

_ALIKE = {"nan": "no numbers", "equal": "equal numbers"}
"""Why digits are too few that no more of them would help."""


def mark(report: AuditReport) -> Mark:
    """Return what stands before the verdict."""
    found = _MARKS[report.verdict]
    same = alike(report.rows) if report.verdict == "not_enough_precision" else None
    return found if same is None else replace(found, word=_ALIKE[same])


def judged(report: AuditReport) -> bool:
    """Return whether the claims could be compared with anything."""
    return not report.verdict.startswith("not_enough")


def called(changes: Sequence[FaultFound] | None) -> str:
    """Return what a computation is called: its changes with their parameters."""
    if changes is None:
        return "nothing that was tried"
    return " + ".join(map(_change, changes)) or "what was declared"


def staged(changes: Sequence[FaultFound]) -> str:
    """Return the changes of the named computation, each with its stage and its kind."""
    return ", ".join(f"{_change(item)} ({item.stage}, {item.kind})" for item in changes)


def _change(change: FaultFound) -> str:
    given = ", ".join(f"{name}={_parameter(name, value)}" for name, value in change.parameters)
    return f"{change.id}({given})" if given else change.id


def _parameter(name: str, value: float | str | tuple[float, ...]) -> str:
    if not isinstance(value, tuple):
        return _amount(value)
    if name == "ids" or len(value) != 2:  # noqa: PLR2004 - two ends make an interval
        more = ", …" if len(value) > _MOST_IDS else ""
        return f"[{', '.join(map(_amount, value[:_MOST_IDS]))}{more}]"
    low, high = map(_amount, value)
    if low == high:
        return low
    if math.isinf(value[1]):
        return f"{low} or more"
    return f"{low} to {high}"


def _amount(value: float | str) -> str:
    # As many digits as tell the ends of a solved interval apart, and none that say nothing.
    if not isinstance(value, float):
        return str(value)
    return f"{value:.6g}" if math.isfinite(value) else figure(value)


def rule(report: AuditReport) -> str:
    """Return the rule that was declared."""
    return dict(report.declared).get("rule", "logprob")


def counted_in(report: AuditReport) -> str:
    """Return what the claims are declared to be counted in."""
    declared = dict(report.declared).get("unit", "nats")
    return unit(rule(report)) if declared == "nats" else declared


def number(value: float | None, places: int = 4) -> str:
    """Write a claim or its like: with `places` decimals, or as a power of ten where it is long."""
    if value is not None and math.isfinite(value) and abs(value) >= _LONG:
        return scientific(value, 5)
    return fixed(value, places)


def decisions(report: AuditReport) -> str | None:
    """Return how many decisions flip, or None where there were none."""
    damage = report.damage
    if damage is None or not damage.decisions:
        return None
    of, flips = damage.decisions, len(damage.flips)
    if flips:
        verb = "flips" if flips == 1 else "flip"
        return (
            f"{count(flips)} of {plural(of, 'decision')} {verb}: the true numbers take another "
            f"candidate."
        )
    if of == 1:
        return "The one decision stands: the true numbers take the same candidate."
    return f"None of {count(of)} decisions flips: the true numbers take the same candidates."


def flips(report: AuditReport) -> list[Flip]:
    """Return the flips, the costliest first."""
    found = () if report.damage is None else report.damage.flips
    return sorted(found, key=lambda flip: -flip.nats)


def flip(report: AuditReport, item: Flip) -> Sentence:
    """Return what was taken, what should have been, and what that cost."""
    taken = (*_named(item.chosen_text, item.chosen), _size(item.chosen_tokens), " was taken; ")
    best = (*_named(item.best_text, item.best), _size(item.best_tokens))
    if math.isinf(item.nats):
        cost = " has the higher Pr: that of the one taken is 0"
    else:
        ratio = f" ({times(item.nats)})" if rule(report) == "logprob" else ""
        cost = f" is better by {number(item.nats, 3)} {unit(rule(report))}{ratio}"
    return (*taken, *best, cost, _label(item), ".")


def _named(text: str | None, index: int) -> Sentence:
    return (f"candidate {index}",) if text is None else (Quoted(text),)


def _size(tokens: int | None) -> str:
    return "" if tokens is None else f" ({plural(tokens, 'token')})"


def _label(item: Flip) -> str:
    if item.label is None:
        return ""
    who = {item.chosen: "the one taken", item.best: "the better one"}
    return f"; the label is {who.get(item.label, 'neither')}"


def drift(report: AuditReport, item: Drift) -> str:
    """Return how the winners by the claims differ from the true ones, and the error's slope."""
    said = [_winners(item), _slope(report, item)]
    return " ".join(filter(None, said))


def _winners(item: Drift) -> str:
    claimed, true = item.chosen, item.best
    if claimed is None or true is None or not math.isfinite(claimed - true):
        return ""
    more = claimed - true
    if item.quantity == "tokens":
        if abs(more) < 0.05:  # noqa: PLR2004 - what one decimal shows as none
            return f"The claimed winners are as long as the true ones ({fixed(true, 1)} tokens)."
        longer = "longer" if more > 0 else "shorter"
        return (
            f"The claimed winners run {fixed(abs(more), 1)} tokens {longer} than the true ones "
            f"({fixed(claimed, 1)} against {fixed(true, 1)} on average)."
        )
    if abs(more) < 0.02:  # noqa: PLR2004 - a factor of 1.05
        return "The claimed winners' tokens are as common as those of the true ones."
    often = "common" if more > 0 else "rare"
    ratio = times(abs(more) * math.log(10))
    return f"The claimed winners' tokens are {ratio} as {often} as those of the true ones."


def _slope(report: AuditReport, item: Drift) -> str:
    if item.slope is None or not math.isfinite(item.slope):
        return ""
    each = "further token" if item.quantity == "tokens" else "tenfold of token frequency"
    fits = "" if item.correlation is None else f" (correlation {signed(item.correlation, 2)})"
    return (
        f"With each {each} claimed − true changes by {signed(item.slope, 3)} "
        f"{counted_in(report)}{fits}."
    )


def labels(report: AuditReport) -> tuple[str, ...]:
    """Return how often the labels are met, and where they and the true numbers disagree."""
    damage = report.damage
    if damage is None or not damage.labelled:
        return ()
    of = count(damage.labelled)
    met = (
        f"The label is the claimed winner in {count(damage.claimed_right)} of {of} labelled "
        f"decisions, the true winner in {count(damage.true_right)}."
    )
    if not damage.label_disagrees:
        return (met,)
    disagree = (
        f"In {count(damage.label_disagrees)} the correct {_truth(report)} itself prefers another "
        f"candidate than the label: no scoring bug, the objective disagrees with the label."
    )
    return (met, disagree)


def _truth(report: AuditReport) -> str:
    return "log Pr" if rule(report) == "logprob" else rule(report)


def telling(report: AuditReport) -> list[AuditRow]:
    """Return the rows, the most telling first: those that flip, then the largest departures."""
    turned = {
        place: 2 * rank + second
        for rank, item in reversed(list(enumerate(flips(report))))
        for second, place in enumerate(((item.id, item.chosen), (item.id, item.best)))
    }
    last = 2 * len(turned)
    return sorted(
        report.rows, key=lambda row: (turned.get((row.id, row.index), last), -departure(row))
    )


def compared(report: AuditReport) -> bool:
    """Return whether any row has something that its claim can be held against."""
    return any(
        value is not None
        for row in report.rows
        for value in (row.reproduced, row.true, row.token_reproduced, row.token_logprobs)
    )


def departure(row: AuditRow) -> float:
    """Return |claimed − true|, over the tokens where only they were claimed; unknown comes last."""
    if row.claimed is not None and row.true is not None:
        return _apart(row.claimed, row.true)
    pairs = zip(row.token_claimed or (), row.token_logprobs or (), strict=False)
    return math.fsum(_apart(claim, true) for claim, true in pairs if claim is not None)


def _apart(claimed: float, true: float) -> float:
    apart = 0.0 if claimed == true else abs(claimed - true)
    return math.inf if math.isnan(apart) else apart


def notes(report: AuditReport) -> dict[Place, str]:
    """Return what there is to say of single rows: taken, better, outside what explains others."""
    found: dict[Place, list[str]] = {}
    for item in flips(report):
        found.setdefault((item.id, item.chosen), []).append("taken")
        found.setdefault((item.id, item.best), []).append("better")
    outside = [row for row in report.rows if not row.explained and row.printed is not None]
    if len(outside) < len(report.rows) and judged(report):
        for row in outside:
            found.setdefault((row.id, row.index), []).append("not explained")
    return {place: ", ".join(dict.fromkeys(said)) for place, said in found.items()}


def has_tokens(row: AuditRow) -> bool:
    """Return whether a row can be shown token by token."""
    return any(column for column in (row.token_claimed, row.token_reproduced))


@dataclass(frozen=True, slots=True)
class Step:
    """One token of a row: what was claimed, what reproduces it, and what is true."""

    text: str
    claimed: float | None
    reproduced: float | None
    true: float | None
    shortlist: ShortlistStep | None


def steps(report: AuditReport, row: AuditRow, most: int) -> list[Step]:
    """Return the first `most` tokens of a row, with the shortlists that they imply."""
    size = min(most, length(row))
    lists = {
        item.position: item
        for item in report.shortlist
        if (item.id, item.index) == (row.id, row.index)
    }
    return [
        Step(
            _at(row.token_texts, at) or _listed(lists.get(at)) or f"token {at + 1}",
            _at(row.token_claimed, at),
            _at(row.token_reproduced, at),
            _at(row.token_logprobs, at),
            lists.get(at),
        )
        for at in range(size)
    ]


def length(row: AuditRow) -> int:
    """Return how many tokens a row can show."""
    return max(len(column or ()) for column in (row.token_claimed, row.token_reproduced))


def _listed(step: ShortlistStep | None) -> str | None:
    return None if step is None else step.token


def _at(column: Sequence[T] | None, at: int) -> T | None:
    return column[at] if column is not None and at < len(column) else None


def group(item: MixedGroup) -> str:
    """Return what explains a group of claims, and how many they are."""
    return f"{plural(len(item.rows), 'claim')}: {called(item.changes)}"


def places(rows: Iterable[Place], most: int) -> Iterator[str]:
    """Yield the first `most` claims by their record and candidate."""
    for (name, index), _ in zip(rows, range(most), strict=False):
        yield f"candidate {index}" if name is None else f"{name} #{index}"
