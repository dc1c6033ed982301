"""A check in the terminal: the verdict first, then each broken law, then what was not judged."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from rich.cells import cell_len
from rich.text import Text

from logpr._values import CheckFailure, CheckReport
from logpr.report.numbers import count, plural
from logpr.report.terminal._pen import GAP, Pen
from logpr.report.texts import clipped, isolated
from logpr.report.words import check as words
from logpr.report.words.replay import again

MOST_FAILURES = 40
MOST_ERRORS = 5
MOST_NOTES = 6
_MOST_CHARACTERS = 600
_MOST_NOTE = 160
_NAMES = 11
"""Cells of the names of a failure's lines: "looks like" and a space."""
_STYLES = {"good": "green", "bad": "red", "other": "magenta", "open": "yellow", "dim": "dim"}


def draw(report: CheckReport, pen: Pen) -> Iterator[Text]:
    """Yield the lines of a report."""
    yield from _verdict(report, pen)
    broken = words.broken(report)
    for item in broken[:MOST_FAILURES]:
        yield Text()
        yield from _failure(report, item, pen)
    hidden = len(broken) - MOST_FAILURES
    if hidden > 0:
        yield Text()
        yield pen.words(f"… and {plural(hidden, 'more failure')}: --json lists them all", "dim")
    sections = (
        ("Errors", _errors(report, pen)),
        ("Expected failures", _expected(report, pen)),
        ("Stale: expected to fail, and passed", _bullets(words.stale(report), pen)),
        ("Not judged", _unjudged(report, pen)),
        ("Seen beside the laws", _notes(report.notes, pen)),
        ("Every check", _strip(report, pen)),
        ("What this rests on", _basis(report, pen)),
    )
    for title, lines in sections:
        for at, line in enumerate(lines):
            if at == 0:
                yield Text()
                yield pen.words(title, "bold")
            yield line


def _verdict(report: CheckReport, pen: Pen) -> Iterator[Text]:
    mark = words.mark(report)
    head = f"[{mark.word}]" if pen.ascii_only else f"{mark.sign} {mark.word}"
    style = f"bold {_STYLES[mark.tone]}"
    yield pen.hanging(Text(f"{head}  ", style), pen.words(words.verdict(report), "bold"))
    yield pen.words(words.tally(report), "dim")
    cause = words.cause(report)
    if cause is not None:
        yield _told(cause, pen)


def _failure(report: CheckReport, item: CheckFailure, pen: Pen) -> Iterator[Text]:
    yield _head("failed", item.check, item.severity, pen)
    yield pen.hanging(Text("  "), _told(item.statement, pen, "bold"))
    for detail in words.details(item):
        yield _line(detail.name, _told(detail.said, pen), pen)
    yield _line("again", _command(again(report, item.replay), pen), pen)
    yield _line("page", _told(item.page, pen), pen)


def _head(state: str, name: str, after: str, pen: Pen) -> Text:
    look = words.LOOKS[state]
    sign = look.plain if pen.ascii_only else look.sign
    style = _STYLES[look.tone]
    return Text.assemble(
        (f"{sign} ", style),
        pen.words(name, f"bold {style}"),
        pen.words(f"  {clipped(after, _MOST_NOTE)}", "dim"),
    )


def _line(name: str, body: Text, pen: Pen) -> Text:
    return pen.hanging(Text(f"  {name:<{_NAMES}}", "dim"), body)


def _told(text: str, pen: Pen, style: str = "", most: int = _MOST_CHARACTERS) -> Text:
    """Return a sentence that may hold texts of the scorer's, bounded, and set on its own."""
    said = pen.words(clipped(text, most), style)
    return said if pen.ascii_only else Text(isolated(said.plain), style)


def _command(parts: Sequence[str], pen: Pen) -> Text:
    """Return a command that can be pasted: broken between its parts, with what continues it."""
    room = pen.width - _NAMES - 2
    rows = [""]
    for part in parts:
        drawn = pen.words(clipped(part, _MOST_CHARACTERS)).plain
        longer = f"{rows[-1]} {drawn}".strip()
        # Two cells are kept for the sign that the command goes on.
        if rows[-1] and cell_len(longer) + 2 > room:
            rows.append(drawn)
        else:
            rows[-1] = longer
    return Text(" \\\n".join(rows), "bold")


def _errors(report: CheckReport, pen: Pen) -> Iterator[Text]:
    groups = words.errors(report)
    for group in groups[:MOST_ERRORS]:
        yield Text.assemble(
            (f"{words.LOOKS['error'].sign} ", "red"), pen.words(group.head, "bold red")
        )
        yield pen.hanging(Text("  "), _told(group.message, pen, "bold"))
        if group.where is not None:
            yield _line("at", _told(group.where, pen), pen)
        yield _line("case", _told(group.first.case, pen), pen)
        yield _line("checks", pen.words(", ".join(group.checks)), pen)
        yield _line("again", _command(again(report, group.first.replay), pen), pen)
    hidden = len(groups) - MOST_ERRORS
    if hidden > 0:
        yield pen.words(f"… and {plural(hidden, 'more error')}: --json lists them all", "dim")


def _expected(report: CheckReport, pen: Pen) -> Iterator[Text]:
    for result, item in words.expected(report):
        yield _head("expected", result.check, words.because(result), pen)
        if item is not None:
            yield pen.hanging(Text("  "), _told(words.short(item), pen))


def _bullets(lines: Iterable[str], pen: Pen) -> Iterator[Text]:
    for line in lines:
        yield pen.hanging(Text("  - "), _told(line, pen))


def _unjudged(report: CheckReport, pen: Pen) -> Iterator[Text]:
    for outcome in words.UNJUDGED:
        said = words.reasoned(report, outcome)
        if said:
            look = words.LOOKS[outcome]
            many = len(report.of(outcome))
            head = pen.words(f"{look.word} ({count(many)}): ", _STYLES[look.tone])
            yield Text.assemble(head, pen.words(clipped(said, 4 * _MOST_CHARACTERS)))


def _notes(notes: Sequence[str], pen: Pen) -> Iterator[Text]:
    for note in notes[:MOST_NOTES]:
        yield pen.hanging(Text("  - "), _told(note, pen, most=_MOST_NOTE))
    if len(notes) > MOST_NOTES:
        yield pen.words(f"    … and {count(len(notes) - MOST_NOTES)} more", "dim")


def _strip(report: CheckReport, pen: Pen) -> Iterator[Text]:
    """Yield every check with the sign of its outcome, down the columns, and what signs say."""
    if not report.results:
        return
    cells = []
    for result in report.results:
        look = words.look(report, result)
        sign = look.plain if pen.ascii_only else look.sign
        cells.append(Text.assemble((f"{sign} ", _STYLES[look.tone]), pen.title(result.check, 40)))
    yield from _grid(cells, pen)
    signs = [
        pen.words(f"{look.plain if pen.ascii_only else look.sign} {look.word}", "dim")
        for look in words.present(report)
    ]
    yield pen.flowing(signs, pen.width)


def _grid(cells: Sequence[Text], pen: Pen) -> Iterator[Text]:
    """Yield cells in as many columns as fit, in order down each."""
    for many in range(len(cells), 0, -1):
        deep = -(-len(cells) // many)
        stacks = [cells[at : at + deep] for at in range(0, len(cells), deep)]
        widths = [max(cell.cell_len for cell in stack) for stack in stacks]
        if sum(widths) + GAP * (len(widths) - 1) <= pen.width or many == 1:
            break
    for row in range(deep):
        line = Text(no_wrap=True, overflow="crop")
        for stack, width in zip(stacks, widths, strict=True):
            if row < len(stack):
                line.append_text(stack[row])
                line.append(" " * (width - stack[row].cell_len + GAP))
        line.rstrip()
        yield line


def _basis(report: CheckReport, pen: Pen) -> Iterator[Text]:
    for name, said in words.basis(report):
        yield _line(name, _told(said, pen), pen)
