"""A ranking in the terminal: the candidates in order, and in a few lines why the first is first."""

from __future__ import annotations

from collections.abc import Iterator

from rich.text import Text

from logpr._values import Ranking, Score
from logpr.report.numbers import NULL, count, decimals, fixed, percent, plural
from logpr.report.terminal._columns import Column, TextColumn, columns, figures, labels
from logpr.report.terminal._parts import (
    candidate_text,
    prompt_line,
    warning_lines,
    winner_lines,
)
from logpr.report.terminal._pen import Pen
from logpr.report.words import ranking as words
from logpr.report.words.parts import heading, meaning, scored, source

MOST_ROWS = 20
_SHOWN_RULES = ("logprob", "per_token", "choice_prob")


def draw(ranking: Ranking, pen: Pen) -> Iterator[Text]:
    """Yield the lines of a ranking."""
    if ranking.id is not None:
        yield pen.data(str(ranking.id), pen.width, "dim")
    yield prompt_line(ranking.prompt, ranking.candidates[0].prompt_ids, pen)
    yield pen.words(words.headline(ranking))
    yield Text()
    yield from columns(pen, _table(ranking, pen))
    hidden = len(ranking.candidates) - MOST_ROWS
    if hidden > 0:
        yield pen.words(f"… and {plural(hidden, 'more candidate')}", "dim")
    yield Text()
    yield pen.sentence(words.verdict(ranking))
    for line in (words.fork(ranking), words.label(ranking), words.dropped(ranking)):
        if line:
            yield pen.sentence(line)
    yield from winner_lines(ranking, pen)
    yield from warning_lines(words.warnings(ranking), pen)
    yield Text()
    yield pen.words(meaning(ranking.end, scored(ranking.candidates, "the candidate")), "dim")
    if any(score.choice_prob is not None for score in ranking.candidates[1:]):
        yield pen.words("share: Pr(this one | one of them); the bars show it too.", "dim")
    if ranking.provenance is not None:
        yield pen.words(source(ranking.provenance), "dim")


def _table(ranking: Ranking, pen: Pen) -> list[Column | TextColumn]:
    scores = words.listed(ranking)[:MOST_ROWS]
    alone = len(ranking.candidates) == 1
    led = not (alone or ranking.tie)
    places = decimals(score.upper if score.pruned else score.logprob for score in scores)
    out: list[Column | TextColumn] = []
    if not alone:
        ranked = len(ranking.order)
        places_of = range(1, len(scores) + 1)
        out.append(figures(pen, "", [f"{n}" if n <= ranked else "" for n in places_of]))
    styles = tuple("bold" if led and place == 0 else "" for place in range(len(scores)))
    out.append(TextColumn("candidate", tuple(map(candidate_text, scores)), styles))
    if ranking.rule not in _SHOWN_RULES:
        values = [words.rule_value(score, ranking.rule) for score in scores]
        written = [fixed(value, decimals(values)) for value in values]
        out.append(_column(ranking, ranking.rule, written, 99, pen))
    written = [words.bounded(score, places) for score in scores]
    out.append(_column(ranking, "logprob", written, 90, pen))
    if any(score.exact is False for score in scores):
        out.append(figures(pen, "bounds", [_bounds(score, places) for score in scores], 80))
    out.append(figures(pen, "Pr", [words.bounded_probability(score) for score in scores], 70))
    written = [fixed(score.per_token) for score in scores]
    out.append(_column(ranking, "per_token", written, 40, pen))
    shared = any(score.choice_prob is not None for score in scores)
    if not alone and (shared or ranking.top is None):
        written = [percent(score.choice_prob) for score in scores]
        out.append(_column(ranking, "choice_prob", written, 60, pen))
    out.append(figures(pen, "tokens", [count(score.tokens) for score in scores], 20))
    if any(score.boundary == "merged" for score in scores):
        out.append(labels(pen, "boundary", [score.boundary or NULL for score in scores], 30))
    if ranking.label is not None:
        marks = ["label" if score.index == ranking.label else "" for score in scores]
        out.append(labels(pen, "", marks, 50))
    if not alone and shared:
        bars = tuple(pen.bar(score.choice_prob) for score in scores)
        out.append(Column("", bars, worth=35, right=False))
    return out


def _column(ranking: Ranking, rule: str, texts: list[str], worth: int, pen: Pen) -> Column:
    """Return a rule's column; the one that ranks never goes, and its heading is bold."""
    header = heading(rule)
    cells = tuple(pen.words(text) for text in texts)
    if rule == ranking.rule and len(ranking.candidates) > 1:
        return Column(header, cells, header_style="bold")
    return Column(header, cells, worth)


def _bounds(score: Score, places: int) -> str:
    if score.exact:
        return "exact"
    if score.lower is None or score.upper is None:
        return NULL
    return f"[{fixed(score.lower, places)}, {fixed(score.upper, places)}]"
