"""Lines that several terminal views have in common."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.text import Text

from logpr._values import Ranking, Score
from logpr.report.terminal._pen import Pen
from logpr.report.texts import clipped, ids_text
from logpr.report.words import ranking as ranking_words
from logpr.report.words.score import Fact


def candidate_text(score: Score) -> str | Text:
    """Return what stands in a table for a candidate: its text, or our words for its ids."""
    if score.text is not None:
        return score.text
    words = ids_text(score.token_ids) if score.token_ids else f"candidate {score.index}"
    return Text(words, "dim")


def titled(title: str, text: str | Text, pen: Pen, *, keep_end: bool = False) -> Text:
    """Return a text after its title, on a few lines."""
    head = pen.words(f"{title}  ", "dim")
    cells = pen.width - head.cell_len
    if isinstance(text, str):
        text = (
            pen.wrapped(text, cells, "bold", keep_end=keep_end)
            if text
            else Text("(empty)", "italic")
        )
    return pen.hanging(head, text)


def prompt_line(prompt: str | None, ids: tuple[int, ...] | None, pen: Pen) -> Text:
    """Return the prompt: its last lines, for that is where the candidates go on."""
    if prompt is None:
        said = clipped(ids_text(ids), pen.width, keep_end=True) if ids else "(none given)"
        return titled("Prompt", pen.words(said, "italic"), pen)
    return titled("Prompt", prompt, pen, keep_end=True)


def warning_lines(warnings: Sequence[str], pen: Pen) -> Iterator[Text]:
    """Yield each warning on lines of its own, its code first."""
    if warnings:
        yield Text()
    for warning in warnings:
        code, colon, rest = warning.partition(": ")
        body = Text.assemble(pen.words(code + colon, "yellow"), pen.words(rest))
        yield pen.hanging(Text("! ", "yellow"), body)


def fact_lines(facts: Sequence[Fact], pen: Pen) -> Iterator[Text]:
    """Yield facts a line each, their figures under each other."""
    names = max(len(fact.name) for fact in facts)
    figures = max(len(fact.figure) for fact in facts)
    for fact in facts:
        head = Text.assemble(
            pen.words(f"{fact.name:<{names}}  ", "dim"), pen.words(f"{fact.figure:>{figures}}  ")
        )
        yield pen.hanging(head, pen.words(fact.words))


def winner_lines(ranking: Ranking, pen: Pen) -> Iterator[Text]:
    """Yield who is first under each rule, with a mark where that flips the ranking."""
    found = ranking_words.winners(ranking)
    if len(found) == 1 and not found[0].flip:
        only = found[0]
        yield pen.sentence((*only.name, f" is first under every rule: {', '.join(only.rules)}."))
        return
    if found:
        yield Text()
        yield pen.words("Who is first under each rule")
    for winner in found:
        mark = ("* " if pen.ascii_only else "≠ ") if winner.flip else "  "
        rules = pen.words(f": {', '.join(winner.rules)}")
        body = Text.assemble(pen.sentence(winner.name), rules)
        if winner.flip:
            body.append(" (flips)", "yellow")
        yield pen.hanging(Text(mark, "yellow"), body)
