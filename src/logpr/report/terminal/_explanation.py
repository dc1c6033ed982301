"""Why one candidate leads another, in the terminal: who, by how much, where, and what decided."""

from __future__ import annotations

from collections.abc import Iterator

from rich.text import Text

from logpr._values import Explanation, Gap, Score
from logpr.report.numbers import NULL, count, decimals, figure, fixed, plural, signed
from logpr.report.terminal._columns import Column, TextColumn, columns, figures, labels
from logpr.report.terminal._parts import (
    candidate_text,
    prompt_line,
    titled,
    warning_lines,
    winner_lines,
)
from logpr.report.terminal._pen import Pen
from logpr.report.terminal._strips import strips
from logpr.report.terminal._waterfall import waterfall
from logpr.report.words import explanation as words
from logpr.report.words import tokens
from logpr.report.words.parts import meaning, scored, source

MOST_TOKENS = 12
MOST_PAIRS = 20
MOST_PARTS = 20
_FAVOURITE_CELLS = 12


def draw(value: Explanation, pen: Pen) -> Iterator[Text]:
    """Yield the lines of an explanation, what a reader asks first coming first."""
    first, second = words.pair(value)
    if value.ranking.id is not None:
        yield pen.data(str(value.ranking.id), pen.width, "dim")
    yield prompt_line(value.ranking.prompt, first.prompt_ids, pen)
    for name, score in (("A", first), ("B", second)):
        yield titled(name, candidate_text(score), pen)
    yield Text()
    yield pen.sentence(words.verdict(value), "bold")
    yield pen.sentence(words.parting(value))
    yield from winner_lines(value.ranking, pen)
    if words.ruled(value):
        yield pen.sentence(words.ruled(value), "dim")
    yield Text()
    yield from waterfall(value, pen)
    yield from _split(value, pen)
    if value.segments:
        yield Text()
        yield pen.words("From where they part, aligned by bytes (in grey what both have seen)")
        yield from strips(value, pen)
    for name, score in (("A", first), ("B", second)):
        yield from _tokens(value, name, score, pen)
    yield from _influence(value, pen)
    yield from _pairs(value, pen)
    yield from warning_lines(words.warnings(value), pen)
    yield Text()
    given = scored((first, second), "the candidate")
    yield pen.words(meaning(value.ranking.end, given), "dim")
    yield pen.words(words.noise_words(value), "dim")
    if value.provenance is not None:
        yield pen.words(source(value.provenance), "dim")


def _split(value: Explanation, pen: Pen) -> Iterator[Text]:
    """Yield the parts of both that no constant added to logits moves, and their differences."""
    if value.gap_split is None:
        return
    rows = [
        [score.logprob, -each.logit_gap_sum, -each.top_surprisal_sum, each.logit, each.logz]
        for score, each in zip(words.pair(value), value.splits, strict=True)
    ]
    parts = (value.gap, *value.gap_split)
    table: list[Column | TextColumn] = [labels(pen, "", ["A", "B", "A - B"])]
    heads = ("log Pr", "-logit_gap", "-top_surprisal")
    for place, head in enumerate(heads):
        given = [row[place] for row in rows]
        texts = [*(fixed(each) for each in given), signed(parts[place], 4)]
        table.append(figures(pen, head, texts))
    for place, head in ((3, "logits"), (4, "logz")):
        given = [row[place] for row in rows]
        texts = [*(fixed(each, decimals(given)) for each in given), ""]
        table.append(figures(pen, head, texts, 50))
    yield Text()
    yield pen.words("What decides: log Pr = -logit_gap - top_surprisal, summed over tokens")
    yield from columns(pen, table)
    for line in (words.decided(value), words.raw(value)):
        if line:
            yield pen.sentence(line)


def _tokens(value: Explanation, name: str, score: Score, pen: Pen) -> Iterator[Text]:
    """Yield the table of a candidate's tokens: all of a short one, else from where they part."""
    rows = tokens.rows(value, score)
    if not rows:
        return
    begin = 0 if len(rows) <= MOST_TOKENS else min(tokens.parted(value), len(rows) - 1)
    shown = rows[begin : begin + MOST_TOKENS]
    yield Text()
    yield pen.words(f"Tokens of {name}" + (f", from token {begin + 1} on" if begin else ""))
    table: list[Column | TextColumn] = [
        figures(pen, "", [f"{row.position + 1}" for row in shown], 60),
        TextColumn(
            "token", tuple(Text("END", "italic") if row.end else row.text for row in shown), lines=1
        ),
        figures(pen, "id", [NULL if row.id is None else f"{row.id}" for row in shown], 20),
    ]
    for head, found, worth in (
        ("log Pr", [row.logprob for row in shown], 99),
        ("logit_gap", [row.logit_gap for row in shown], 70),
        ("top_surprisal", [row.top_surprisal for row in shown], 65),
        ("logit", [row.logit for row in shown], 40),
        ("logz", [row.logz for row in shown], 35),
    ):
        if any(each is not None for each in found):
            places = decimals(found)
            table.append(figures(pen, head, [fixed(each, places) for each in found], worth))
    if any(row.rank is not None for row in shown):
        table.append(figures(pen, "rank", [count(row.rank) for row in shown], 55))
        best = tuple(pen.data(row.favourite or NULL, _FAVOURITE_CELLS) for row in shown)
        table.append(Column("favourite", best, 45, right=False))
    yield from columns(pen, table)
    hidden = len(rows) - begin - len(shown)
    if hidden > 0:
        yield pen.words(f"… and {plural(hidden, 'more token')}: --json or --html", "dim")


def _influence(value: Explanation, pen: Pen) -> Iterator[Text]:
    if not value.influence:
        return
    shown = value.influence[:MOST_PARTS]
    yield Text()
    yield pen.words("What each part of the prompt does: log Pr with it, less log Pr without it")
    moved = [
        [part.moved[index] if part.moved else None for part in shown]
        for index in (value.first, value.second)
    ]
    yield from columns(
        pen,
        [
            labels(pen, "", [f"{part.kind} {number}" for number, part in enumerate(shown, 1)], 40),
            TextColumn("text", tuple(part.text for part in shown), lines=2),
            figures(pen, "A", [signed(each) for each in moved[0]]),
            figures(pen, "B", [signed(each) for each in moved[1]]),
            figures(pen, "gap", [signed(part.gap) for part in shown]),
        ],
    )
    hidden = len(value.influence) - len(shown)
    if hidden > 0:
        yield pen.words(f"… and {plural(hidden, 'more part')}: --json or --html", "dim")
    strongest = words.strongest(value)
    if strongest:
        yield pen.sentence(strongest)
    if len(value.influence) > 1:
        alone = "Each part is left out alone: what they move does not sum to the gap."
        yield pen.words(alone, "dim")
    for number, part in enumerate(shown, 1):
        if part.note is not None:
            yield pen.words(f"{part.kind} {number}: {part.note}", "dim")


def _pairs(value: Explanation, pen: Pen) -> Iterator[Text]:
    """Yield the first against every other candidate, where there are others."""
    if len(value.pairs) < 2:  # noqa: PLR2004 - the one pair is all above
        return
    scores = value.ranking.candidates
    shown = sorted(value.pairs, key=lambda pair: (pair.gap, pair.second))[:MOST_PAIRS]
    yield Text()
    yield pen.words("A against every other candidate, the smallest gap first")
    texts = tuple(candidate_text(scores[pair.second]) for pair in shown)
    tails = [signed(pair.tail_first - pair.tail_second) for pair in shown]
    yield from columns(
        pen,
        [
            TextColumn("candidate", texts, lines=1),
            figures(pen, "gap", [signed(pair.gap) for pair in shown]),
            labels(pen, "", ["tie" if pair.tie else "" for pair in shown], 80),
            figures(pen, "forks at", [_forked(pair) for pair in shown], 40),
            figures(pen, "fork", [_at_fork(pair) for pair in shown], 60),
            figures(pen, "tails", tails, 50),
            figures(pen, "noise", [figure(pair.noise, 2) for pair in shown], 30),
        ],
    )
    hidden = len(value.pairs) - len(shown)
    if hidden > 0:
        yield pen.words(f"… and {plural(hidden, 'more candidate')}: --json or --html", "dim")


def _forked(pair: Gap) -> str:
    return NULL if pair.fork is None else f"token {pair.fork.position + 1}"


def _at_fork(pair: Gap) -> str:
    return signed(None if pair.fork is None else pair.fork.gap_at_fork)
