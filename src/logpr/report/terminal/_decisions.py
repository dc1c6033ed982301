"""The decisions of a file in the terminal: which surprise most, and where rules disagree."""

from __future__ import annotations

from collections.abc import Iterator

from rich.text import Text

from logpr._values import Decision, Decisions
from logpr.report.numbers import NULL, count, fixed, plural, rate
from logpr.report.terminal._columns import Column, TextColumn, columns, figures, labels
from logpr.report.terminal._pen import Pen
from logpr.report.words.parts import heading, source, unit

MOST_ROWS = 10


def draw(value: Decisions, pen: Pen) -> Iterator[Text]:
    """Yield the lines of a file's decisions."""
    yield pen.words(_totals(value))
    if value.right is not None:
        share = rate(value.right / value.labelled)
        of = f"{count(value.right)} of {count(value.labelled)}"
        yield pen.words(f"The label is first in {of} ({share}).")
    yield Text()
    yield from _rules(value, pen)
    yield Text()
    yield from _most_surprising(value, pen)
    if value.provenance is not None:
        yield Text()
        yield pen.words(source(value.provenance), "dim")


def _totals(value: Decisions) -> str:
    ties = f"; {plural(value.ties, 'tie')} within numerical noise" if value.ties else ""
    return f"{plural(value.total, 'ranking')} by {heading(value.rule)}{ties}."


def _rules(value: Decisions, pen: Pen) -> Iterator[Text]:
    """Yield for each rule how often another wins under it, and how long its winners are."""
    drift = dict(value.drift)
    tokens = [fixed(drift.get(rule), 2) for rule, _ in value.flips]
    yield pen.words("Rules: how often each has another winner, and how long its winners are")
    yield from columns(
        pen,
        [
            labels(pen, "rule", [rule for rule, _ in value.flips]),
            figures(pen, "flips", [count(number) for _, number in value.flips]),
            figures(pen, "of all", [rate(number / value.total) for _, number in value.flips], 60),
            figures(pen, "tokens of winners", tokens, 80),
        ],
    )
    if value.mean_tokens is not None:
        yield pen.words(
            f"All candidates have {fixed(value.mean_tokens, 2)} tokens on average.", "dim"
        )


def _most_surprising(value: Decisions, pen: Pen) -> Iterator[Text]:
    shown = value.decisions[:MOST_ROWS]
    yield pen.words("The most surprising decisions: those that are disputed or wrong come first")
    names = tuple(pen.data(f"{row.number}" if row.id is None else str(row.id), 16) for row in shown)
    margins = [row.margin for row in shown]
    table: list[Column | TextColumn] = [
        Column("id", names, 70, right=False),
        TextColumn("best", tuple(map(_best, shown)), lines=1),
        Column("over", tuple(pen.data(row.second or NULL, 20) for row in shown), 45, right=False),
        figures(pen, "lead", [fixed(each, 3) for each in margins], 90),
        figures(pen, "surprise", [fixed(row.surprise, 3) for row in shown], 95),
        labels(pen, "", [_note(row) for row in shown], 80),
    ]
    yield from columns(pen, table)
    hidden = value.total - len(shown)
    if hidden > 0:
        yield pen.words(f"… and {count(hidden)} more: --json or --html", "dim")
    yield pen.words(
        f"lead: {unit(value.rule)}. surprise: -log of the share of the label, of the winner where "
        f"none is given; nats.",
        "dim",
    )


def _best(row: Decision) -> str | Text:
    return row.best if row.best is not None else Text(NULL, "dim")


def _note(row: Decision) -> str:
    notes = ["tie"] if row.tie else []
    if row.right is False:
        notes.append("not the label")
    if row.flips:
        notes.append(f"{plural(len(row.flips), 'rule')} flip")
    return ", ".join(notes)
