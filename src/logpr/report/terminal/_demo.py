"""A worked example in the terminal: a step at a time, its table under it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.text import Text

from logpr.report.demo import Row, Step, Story, Table
from logpr.report.terminal._columns import Column, TextColumn, columns, figures, labels
from logpr.report.terminal._pen import Pen

_WRONG = "#d55e00"


def draw(story: Story, pen: Pen) -> Iterator[Text]:
    """Yield the lines of a story."""
    yield pen.words(story.title, "bold")
    for number, step in enumerate(story.steps, 1):
        yield from _step(number, step, pen)
    yield Text()
    yield pen.words("The lesson", "bold")
    yield pen.words(story.lesson)
    yield Text()
    yield pen.words("On your own data", "bold")
    for command in story.commands:
        yield pen.hanging(Text("  "), pen.words(command))


def draw_list(stories: Sequence[tuple[str, str]], pen: Pen) -> Iterator[Text]:
    """Yield a line a story, and how one is told."""
    widest = max(len(name) for name, _ in stories)
    for name, about in stories:
        yield pen.hanging(pen.words(f"{name:<{widest}}  ", "bold"), pen.words(about))
    yield Text()
    yield pen.words(f"Tell one: logpr demo {stories[0][0]}", "dim")


def _step(number: int, step: Step, pen: Pen) -> Iterator[Text]:
    yield Text()
    yield pen.hanging(Text(f"{number}  ", "dim"), pen.words(step.heading, "bold"))
    for words in step.says:
        yield pen.words(words)
    if step.table is not None:
        yield Text()
        yield from columns(pen, _columns(step.table, pen))
    if step.after:
        yield Text()
    for words in step.after:
        yield pen.words(words)


def _columns(table: Table, pen: Pen) -> list[Column | TextColumn]:
    rows = table.rows
    heads = table.headers[1:]
    out: list[Column | TextColumn] = [
        TextColumn(table.headers[0], tuple(row.name for row in rows), lines=2)
    ]
    last = len(heads) - 1
    for place, head in enumerate(heads):
        # Where there is no room for all, the last one stays: what the others lead to.
        worth = 99 if place == last else 70 + place
        out.append(figures(pen, head, [row.figures[place] for row in rows], worth))
    if any(row.share is not None for row in rows):
        out.append(Column("", tuple(_bar(row, pen) for row in rows), 40, right=False))
    if any(row.note for row in rows):
        out.append(labels(pen, "", [row.note for row in rows], 60))
    return out


def _bar(row: Row, pen: Pen) -> Text:
    return pen.bar(row.share, _WRONG) if row.mark == "wrong" else pen.bar(row.share)
