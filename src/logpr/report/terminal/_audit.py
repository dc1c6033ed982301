"""An audit in the terminal: the verdict first, then what it did, then what it rests on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from rich.text import Text

from logpr._values import ArmReport, AuditReport, AuditRow, Correction, MixedGroup, NextInput
from logpr.report.numbers import NULL, count, decimals, fixed, percent, plural, signed
from logpr.report.terminal._columns import Column, TextColumn, columns, figures, labels
from logpr.report.terminal._parts import titled, warning_lines
from logpr.report.terminal._pen import Pen
from logpr.report.words import audit as words
from logpr.report.words import evidence
from logpr.report.words.parts import Quoted, Sentence, source

MOST_FLIPS = 5
MOST_ROWS = 8
MOST_TELLING = 2
MOST_TOKENS = 16
MOST_FAILED = 5
MOST_STANDING = 5
_MOST_PLACES = 6
_ID_CELLS = 16
_STYLES = {"good": "green", "bad": "red", "other": "magenta", "open": "yellow"}


def draw(report: AuditReport, pen: Pen) -> Iterator[Text]:
    """Yield the lines of a report; of one that found nothing wrong only a few."""
    yield from _verdict(report, pen)
    brief = report.verdict == "correct"
    sections = (
        ("What explains which claims", _groups(report.groups, pen)),
        ("What would tell them apart", _next_input(report.next_input, pen)),
        ("What it did to the decisions", () if brief else _damage(report, pen)),
        ("Arms", _arms(report.arms, pen)),
        (_rows_title(report), () if brief else _rows(report, pen)),
        ("Formula", _formula(report.correction, pen)),
        ("Evidence", _brief_evidence(report, pen) if brief else _evidence(report, pen)),
        ("Labels", (pen.words(line) for line in words.labels(report))),
    )
    for title, lines in sections:
        yield from _section(title, lines, pen)
    yield from warning_lines(report.warnings, pen)
    if report.provenance is not None:
        yield Text()
        yield pen.words(source(report.provenance), "dim")


def _section(title: str, lines: Iterable[Text], pen: Pen) -> Iterator[Text]:
    """Yield a heading and its lines, or nothing where there are none."""
    for at, line in enumerate(lines):
        if at == 0:
            yield Text()
            yield pen.words(title, "bold")
        yield line


def _verdict(report: AuditReport, pen: Pen) -> Iterator[Text]:
    mark = words.mark(report)
    style = f"bold {_STYLES[mark.tone]}"
    head = f"[{mark.word}]" if pen.ascii_only else f"{mark.sign} {mark.word}"
    yield pen.hanging(Text(f"{head}  ", style), pen.words(report.sentence, "bold"))
    if report.faults:
        yield pen.words(words.staged(report.faults), "dim")


def _bullet(body: Text, pen: Pen, mark: str = "-") -> Text:
    return pen.hanging(Text(f"  {mark} "), body)


def _groups(groups: Sequence[MixedGroup], pen: Pen) -> Iterator[Text]:
    for group in groups:
        where = ", ".join(words.places(group.rows, _MOST_PLACES))
        more = ", …" if len(group.rows) > _MOST_PLACES else ""
        yield _bullet(pen.words(f"{words.group(group)} ({where}{more})"), pen)
        for common in group.common:
            yield pen.hanging(Text("    "), pen.words(common))


def _next_input(item: NextInput | None, pen: Pen) -> Iterator[Text]:
    if item is None:
        return
    yield pen.words(item.says)
    if item.prompt is not None:
        yield titled("  Prompt   ", item.prompt, pen, keep_end=True)
    if item.candidate is not None:
        yield titled("  Candidate", item.candidate, pen)
    for name, value in evidence.predictions(item):
        yield _bullet(pen.words(f"{name} would give {value}"), pen)


def _damage(report: AuditReport, pen: Pen) -> Iterator[Text]:
    said = words.decisions(report)
    if report.damage is None or said is None:
        return
    yield pen.words(said)
    flips = words.flips(report)
    for item in flips[:MOST_FLIPS]:
        sentence = words.flip(report, item)
        name: Sentence = () if item.id is None else (Quoted(str(item.id)), ": ")
        yield _bullet(pen.sentence((*name, *sentence)), pen, "!" if pen.ascii_only else "≠")
    if len(flips) > MOST_FLIPS:
        yield pen.words(f"    … and {count(len(flips) - MOST_FLIPS)} more", "dim")
    for drift in report.damage.drifts:
        line = words.drift(report, drift)
        if line:
            yield pen.words(line)


def _arms(arms: Sequence[ArmReport], pen: Pen) -> Iterator[Text]:
    if not arms:
        return
    lengths = [fixed(arm.mean_tokens, 1) for arm in arms]
    often = [fixed(arm.mean_token_frequency, 2) for arm in arms]
    explained = [f"{count(arm.explained)} of {count(arm.rows)}" for arm in arms]
    yield from columns(
        pen,
        [
            TextColumn("arm", tuple(arm.arm for arm in arms), lines=1),
            figures(pen, "decisions", [count(arm.decisions) for arm in arms], 50),
            figures(pen, "flips", [count(arm.flips) for arm in arms]),
            figures(pen, "winners' tokens", lengths, 60),
            figures(pen, "log10 frequency", often, 40),
            figures(pen, "explained", explained, 70),
        ],
    )


def _rows_title(report: AuditReport) -> str:
    return f"Claimed, reproduced and true ({words.counted_in(report)}), the most telling first"


def _rows(report: AuditReport, pen: Pen) -> Iterator[Text]:
    """Yield the table of the most telling rows, then the first of them token by token."""
    if not words.compared(report):
        return
    rows = words.telling(report)
    shown = rows[:MOST_ROWS]
    if any(row.claimed is not None or row.printed is not None for row in shown):
        yield from columns(pen, _table(report, shown, pen))
        if len(rows) > len(shown):
            yield pen.words(f"… and {plural(len(rows) - len(shown), 'more claim')}", "dim")
    for row in [row for row in rows if words.has_tokens(row)][:MOST_TELLING]:
        yield Text()
        yield pen.sentence(("Token by token: ", *_name(row)))
        yield from columns(pen, _tokens(report, row, pen))
        hidden = words.length(row) - MOST_TOKENS
        if hidden > 0:
            yield pen.words(f"… and {plural(hidden, 'more token')}", "dim")
    said = evidence.shortlist(report)
    if said:
        yield pen.words(said)


def _name(row: AuditRow) -> Sentence:
    text: Sentence = (f"candidate {row.index}",) if row.text is None else (Quoted(row.text),)
    return text if row.id is None else (Quoted(str(row.id)), ", ", *text)


def _table(report: AuditReport, rows: Sequence[AuditRow], pen: Pen) -> list[Column | TextColumn]:
    notes = words.notes(report)
    texts = [
        Text(f"candidate {row.index}", "dim") if row.text is None else row.text for row in rows
    ]
    printed = (words.number(row.claimed) if row.printed is None else row.printed for row in rows)
    ids = tuple(pen.data("" if row.id is None else str(row.id), _ID_CELLS) for row in rows)
    said = [notes.get((row.id, row.index), "") for row in rows]
    return [
        Column("id", ids, 40, right=False),
        TextColumn("candidate", tuple(texts), lines=1),
        figures(pen, "tokens", [count(row.tokens) for row in rows], 20),
        Column("claimed", tuple(pen.title(text, _ID_CELLS) for text in printed)),
        _figures(pen, "reproduced", [row.reproduced for row in rows], 80),
        _figures(pen, "true", [row.true for row in rows], 90),
        labels(pen, "", said, 60),
    ]


def _figures(pen: Pen, header: str, values: Sequence[float | None], worth: int = 99) -> Column:
    places = decimals(values)
    return figures(pen, header, [words.number(value, places) for value in values], worth)


def _tokens(report: AuditReport, row: AuditRow, pen: Pen) -> list[Column | TextColumn]:
    steps = words.steps(report, row, MOST_TOKENS)
    out: list[Column | TextColumn] = [
        figures(pen, "", [f"{place}" for place in range(1, len(steps) + 1)], 50),
        TextColumn("token", tuple(step.text for step in steps), lines=1),
        _figures(pen, "claimed", [step.claimed for step in steps]),
        _figures(pen, "reproduced", [step.reproduced for step in steps], 80),
        _figures(pen, "log Pr", [step.true for step in steps], 90),
    ]
    lists = [step.shortlist for step in steps]
    if any(item is not None for item in lists):
        excess = [NULL if item is None else signed(item.excess) for item in lists]
        out.append(figures(pen, "excess", excess, 70))
        masses = [NULL if item is None else percent(item.mass) for item in lists]
        out.append(figures(pen, "list's mass", masses, 75))
        if any(item is not None and item.size is not None for item in lists):
            sizes = [NULL if item is None else count(item.size) for item in lists]
            out.append(figures(pen, "size", sizes, 40))
        bars = tuple(pen.bar(None if item is None else item.mass) for item in lists)
        out.append(Column("", bars, 30, right=False))
    return out


def _formula(correction: Correction | None, pen: Pen) -> Iterator[Text]:
    if correction is None:
        return
    yield pen.hanging(Text("  used  ", "dim"), pen.words(correction.used))
    yield pen.hanging(Text("  use   ", "dim"), pen.words(correction.use))
    for at, line in enumerate(correction.code.splitlines()):
        yield pen.hanging(Text("        " if at else "  code  ", "dim"), pen.words(line, "bold"))
    yield pen.hanging(Text("  page  ", "dim"), pen.words(correction.page))


def _brief_evidence(report: AuditReport, pen: Pen) -> Iterator[Text]:
    for line in evidence.brief(report):
        yield pen.words(line)
    yield from _standing(report, pen)
    yield from _seen(report, pen)


def _evidence(report: AuditReport, pen: Pen) -> Iterator[Text]:
    for line in evidence.facts(report):
        yield pen.words(line)
    yield from _standing(report, pen)
    failed = evidence.failed(report)
    if failed:
        yield pen.words("Tried, and does not reproduce them:")
        yield from _failed(report, pen)
        if len(failed) > MOST_FAILED:
            yield pen.words(f"… and {count(len(failed) - MOST_FAILED)} more", "dim")
    yield from _seen(report, pen)


def _standing(report: AuditReport, pen: Pen) -> Iterator[Text]:
    standing = evidence.standing(report)
    if standing:
        yield pen.words("Reproduces the claims too:")
    for item in standing[:MOST_STANDING]:
        yield _bullet(pen.words(f"{words.called(item.changes)}: {evidence.likeness(item)}"), pen)
    if len(standing) > MOST_STANDING:
        more = count(len(standing) - MOST_STANDING)
        yield pen.words(f"    … and {more} more: --json lists them all", "dim")


def _failed(report: AuditReport, pen: Pen) -> Iterator[Text]:
    shown = evidence.failed(report)[:MOST_FAILED]
    names = tuple(pen.words(words.called(item.changes)) for item in shown)
    yield from columns(
        pen,
        [
            TextColumn("  computation", tuple(Text.assemble("  ", name) for name in names)),
            figures(pen, "explains", [evidence.explained(item) for item in shown], 60),
            figures(pen, "worst off by", [evidence.off_by(item) for item in shown]),
        ],
    )


def _seen(report: AuditReport, pen: Pen) -> Iterator[Text]:
    """Yield what the numbers themselves show, and what could not be tested."""
    if report.findings:
        yield pen.words("Seen in the numbers themselves:")
    for finding in report.findings:
        yield _bullet(pen.words(evidence.finding(finding)), pen)
    if report.untested:
        yield pen.words("Not tested, and what would test it:")
    for item in report.untested:
        yield _bullet(pen.words(evidence.untested(item)), pen)
