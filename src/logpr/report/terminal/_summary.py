"""A file of rankings in the terminal: the first few on a line each, and what happened in all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from rich.text import Text

from logpr._values import AccuracyReport, Provenance, Ranking
from logpr.report.numbers import count, fixed, percent, plural
from logpr.report.terminal import _accuracy
from logpr.report.terminal._columns import Column, TextColumn, columns, figures, labels
from logpr.report.terminal._parts import candidate_text
from logpr.report.terminal._pen import Pen
from logpr.report.words import ranking as words
from logpr.report.words.parts import source


@dataclass(slots=True)
class RankingsTally:
    """What a summary shows, counted one ranking at a time; of the rankings only a few are kept."""

    show: int = 10
    shown: list[Ranking] = field(default_factory=list)
    queries: int = 0
    candidates: int = 0
    ties: int = 0
    top: int | None = None
    tokens_fed: int = 0
    tokens_full: int = 0
    flips: Counter[str] = field(default_factory=Counter)
    warnings: Counter[str] = field(default_factory=Counter)

    def add(self, ranking: Ranking) -> None:
        """Count one ranking."""
        if len(self.shown) < self.show:
            self.shown.append(ranking)
        self.queries += 1
        self.candidates += len(ranking.candidates)
        self.ties += ranking.tie
        self.top = ranking.top
        self.tokens_fed += ranking.tokens_fed or 0
        self.tokens_full += ranking.tokens_full or 0
        others = (rule for rule, who in ranking.winners if who not in (ranking.best, None))
        if ranking.top is None:  # else it hangs on what was dropped whether others are known
            self.flips.update(others)
        self.warnings.update({text.partition(":")[0] for text in words.warnings(ranking)})


def draw(
    tally: RankingsTally,
    accuracy: AccuracyReport | None,
    provenance: Provenance | None,
    pen: Pen,
) -> Iterator[Text]:
    """Yield the lines of a summary."""
    if tally.shown:
        yield from columns(pen, _table(tally, pen))
        hidden = tally.queries - len(tally.shown)
        if hidden > 0:
            yield pen.words(f"… and {count(hidden)} more", "dim")
        yield Text()
    queries = "1 query" if tally.queries == 1 else f"{count(tally.queries)} queries"
    many = f"{queries}, {plural(tally.candidates, 'candidate')}"
    rule = f", ranked by {tally.shown[0].rule}" if tally.shown else ""
    ties = f"; {plural(tally.ties, 'tie')} within numerical noise" if tally.ties else ""
    yield pen.words(f"{many}{rule}{ties}.")
    if tally.top is not None:
        best = "best" if tally.top == 1 else f"{count(tally.top)} best"
        took = (
            f": {count(tally.tokens_fed)} tokens went through the model, instead of "
            f"{count(tally.tokens_full)}"
            if tally.tokens_full
            else ""
        )
        yield pen.words(
            f"Only the {best} of each (top={tally.top}){took}. Of other rules nothing is counted: "
            f"they need every candidate whole (leave out --top)."
        )
    of = count(tally.queries)
    for name, number in tally.flips.most_common():
        yield pen.words(f"{name} picks another winner in {count(number)} of {of}.")
    for code, number in tally.warnings.most_common():
        body = Text.assemble(pen.words(code, "yellow"), f" in {count(number)}")
        yield pen.hanging(Text("! ", "yellow"), body)
    if accuracy is not None:
        yield Text()
        yield from _accuracy.draw(accuracy, pen)
    if provenance is not None:
        yield Text()
        yield pen.words(source(provenance), "dim")


def _table(tally: RankingsTally, pen: Pen) -> list[Column | TextColumn]:
    shown = tally.shown
    ids = tuple(pen.data("" if row.id is None else str(row.id), 16) for row in shown)
    return [
        Column("id", ids, 40, right=False),
        TextColumn("best", tuple(candidate_text(row.winner) for row in shown), lines=1),
        figures(pen, "log Pr", [fixed(row.winner.logprob) for row in shown], 70),
        figures(pen, "lead", [fixed(row.margin, 3) for row in shown], 60),
        figures(pen, "share", [percent(row.winner.choice_prob) for row in shown], 30),
        labels(pen, "", [_note(row) for row in shown], 80),
    ]


def _note(ranking: Ranking) -> str:
    notes = ["tie"] if ranking.tie else []
    if ranking.label is not None and ranking.label in ranking.order:
        place = ranking.order.index(ranking.label) + 1
        notes.append(f"label {place} of {len(ranking.candidates)}" if place > 1 else "label first")
    elif ranking.label is not None and 0 <= ranking.label < len(ranking.candidates):
        best = "first" if len(ranking.order) == 1 else f"among the first {len(ranking.order)}"
        notes.append(f"label not {best}")
    return ", ".join(notes)
