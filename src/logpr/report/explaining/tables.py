"""The tables of an explanation: tokens, candidates, rules, context, provenance."""

from __future__ import annotations

from dataclasses import dataclass

from logpr._values import Alternative, Explanation, Gap, Influence, Score
from logpr.report import charts
from logpr.report.numbers import count, fixed, scientific
from logpr.report.texts import clipped, ids_text
from logpr.report.words.explanation import pair
from logpr.report.words.parts import Sentence
from logpr.report.words.ranking import listed, name
from logpr.report.words.tokens import TokenRow, parted, rows

_MOST_IDS = 600
"""Characters of a list of ids."""


@dataclass(frozen=True, slots=True)
class Row:
    """One outcome of a candidate, where its bytes are, and the best outcomes of its step."""

    token: TokenRow
    bytes: tuple[int, int] | None
    alternatives: tuple[Alternative, ...]


@dataclass(frozen=True, slots=True)
class Tokens:
    """The table of one candidate: `rows`, and how many further ones are not shown."""

    letter: str
    name: Sentence
    rows: tuple[Row, ...]
    hidden: int
    evidence: bool
    logits: bool
    fork: int | None
    shared: int


def tokens(value: Explanation, most: int) -> tuple[Tokens, ...]:
    """Return a table for each of the two that has tokens, at most `most` rows of each."""
    shared = parted(value)
    rivals = value.ranking.candidates
    out: list[Tokens] = []
    for letter, score in zip("AB", pair(value), strict=True):
        known = rows(value, score)
        # A long start that both share is no reason to cut what tells them apart.
        start = max(0, min(shared - most // 4, len(known) - most))
        shown = [_row(score, token) for token in known[start : start + most]]
        if shown:
            out.append(
                Tokens(
                    letter=letter,
                    name=name(score, rivals),
                    rows=tuple(shown),
                    hidden=len(known) - len(shown),
                    evidence=any(row.token.rank is not None for row in shown),
                    logits=any(row.token.logit is not None for row in shown),
                    fork=None if value.fork is None else value.fork.position,
                    shared=shared,
                )
            )
    return tuple(out)


def _row(score: Score, token: TokenRow) -> Row:
    at = token.position
    if token.end:
        best = () if score.end_evidence is None else score.end_evidence.alternatives
        return Row(token, None, best)
    return Row(
        token,
        None if score.token_spans is None else score.token_spans[at],
        () if score.alternatives is None else score.alternatives[at],
    )


@dataclass(frozen=True, slots=True)
class Listed:
    """One candidate in the table of all; `gap` is the first's lead over it, None for the first."""

    place: int | None
    letter: str
    score: Score
    gap: Gap | None


def candidates(value: Explanation, most: int) -> tuple[Listed, ...]:
    """Return all candidates in the ranking's order, at most `most`."""
    gaps = {each.second: each for each in value.pairs}
    places = {index: place for place, index in enumerate(value.ranking.order, 1)}
    letters = {value.first: "A", value.second: "B"}
    return tuple(
        Listed(places.get(each.index), letters.get(each.index, ""), each, gaps.get(each.index))
        for each in listed(value.ranking)[:most]
    )


@dataclass(frozen=True, slots=True)
class RuleWinner:
    """Who is first under one rule; `flip`: not who is first under the ranking's own."""

    rule: str
    letter: str
    name: Sentence
    flip: bool
    own: bool


def rules(value: Explanation) -> tuple[RuleWinner, ...]:
    """Return the winner under each rule, the ranking's own first; () where they are not known."""
    ranking = value.ranking
    if any(score.pruned for score in ranking.candidates):
        return ()
    letters = {value.first: "A", value.second: "B"}
    found = [
        RuleWinner(
            rule=rule,
            letter="" if who is None else letters.get(who, ""),
            name=("nobody",) if who is None else name(ranking.candidates[who], ranking.candidates),
            flip=who is not None and who != ranking.best,
            own=rule == ranking.rule,
        )
        for rule, who in ranking.winners
    ]
    return tuple(sorted(found, key=lambda each: not each.own))


@dataclass(frozen=True, slots=True)
class ContextRow:
    """One part of the prompt, what it does to A and to B, and the bars of both."""

    number: int
    part: Influence
    first: float | None
    second: float | None
    bars: tuple[charts.Span | None, charts.Span | None]


@dataclass(frozen=True, slots=True)
class Context:
    """The parts on one axis, `zero` of it in percent, and how many further ones there are."""

    rows: tuple[ContextRow, ...]
    zero: float
    hidden: int


def context(value: Explanation, most: int) -> Context | None:
    """Return the table of the prompt's parts, or None where it was not asked for."""
    if not value.influence:
        return None
    shown = value.influence[:most]
    numbers = [
        each.moved[index] if each.moved else None
        for each in shown
        for index in (value.first, value.second)
    ]
    spans, zero = charts.spans(numbers)
    return Context(
        rows=tuple(
            ContextRow(
                at + 1, each, numbers[2 * at], numbers[2 * at + 1],
                (spans[2 * at], spans[2 * at + 1]),
            )
            for at, each in enumerate(shown)
        ),
        zero=zero,
        hidden=len(value.influence) - len(shown),
    )  # fmt: skip


def facts(value: Explanation) -> tuple[tuple[str, str], ...]:
    """Return where the numbers come from: a name and what is said of it, line after line."""
    first, second = pair(value)
    out: list[tuple[str, str | None]] = []
    same = first.prompt_ids == second.prompt_ids
    for letter, score in zip("AB", (first, second), strict=True):
        if same and letter == "B":
            continue
        fed = None if score.prompt_ids is None else ids_text(score.prompt_ids)
        many = "" if not score.prompt_ids else f" ({count(len(score.prompt_ids))})"
        called = f"prompt fed{many}" if same else f"prompt fed, {letter}{many}"
        out.append((called, None if fed is None else clipped(fed, _MOST_IDS, keep_end=True)))
    for letter, score in zip("AB", (first, second), strict=True):
        ids = None if score.token_ids is None else clipped(ids_text(score.token_ids), _MOST_IDS)
        out.append((f"{letter} scored", ids))
    origin = value.provenance
    if origin is not None:
        out.append(("BOS", None if origin.bos_count is None else f"{origin.bos_count} fed"))
        verdicts = f"A {first.boundary or 'not known'}, B {second.boundary or 'not known'}"
        out.append(("boundary", f"{origin.boundary}; {verdicts}"))
        ends = f", END is {ids_text(origin.end_ids)}" if origin.end_ids else ""
        means = "the output is exactly the candidate" if origin.end == "stop" else (
            "the output begins with the candidate"
        )  # fmt: skip
        out.append(("end", f"{origin.end}: {means}{ends}"))
    model = None if origin is None else origin.model
    if model is not None:
        out += [
            ("model", f"{model.model} ({model.backend})"),
            ("weights", model.weights_digest),
            ("tokenizer", model.tokenizer_digest),
            ("dtype", model.dtype + (f", close calls in {model.refines}" if model.refines else "")),
            ("device", model.device),
            ("executor", model.executor),
            ("versions", ", ".join(f"{name} {number}" for name, number in model.versions) or None),
        ]  # fmt: skip
    noise = "0, exact arithmetic on given numbers" if not value.noise else (
        f"{_small(value.noise)} nats, of the gap"
    )  # fmt: skip
    out.append(("noise floor", noise))
    out.append(("units", "nats (natural logarithm), over the full vocabulary"))
    return tuple((called, said) for called, said in out if said)


def _small(nats: float) -> str:
    return scientific(nats) if nats < 1e-3 else fixed(nats, 4)  # noqa: PLR2004
