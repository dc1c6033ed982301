"""Values as HTML fragments for notebooks: no script, no network, nothing outside their own class.

Templates escape everything that is put into them, and users' texts pass through `texts.visible`
first, so a token is shown and never obeyed.
"""

from __future__ import annotations

from jinja2 import Environment, PackageLoader, StrictUndefined

from logpr._values import NextToken, Ranking, Score
from logpr.report import numbers, scales
from logpr.report.texts import clipped, ids_text, visible
from logpr.report.words import ranking as ranking_words
from logpr.report.words import score as score_words
from logpr.report.words.parts import heading, meaning, source
from logpr.report.words.step import notes

__all__ = ["next_token", "ranking", "score"]

MOST_ROWS = 100
MOST_TOKENS = 1000
_MOST_CHARACTERS = 1000


def next_token(value: NextToken) -> str:
    """Return the outcomes of one step, with bars."""
    return _render("next_token.html.j2", step=value, notes=tuple(notes(value)))


def ranking(value: Ranking) -> str:
    """Return the table of candidates and the short explanation of their order."""
    return _render(
        "ranking.html.j2",
        ranking=value,
        rows=ranking_words.listed(value)[:MOST_ROWS],
        hidden=max(0, len(value.candidates) - MOST_ROWS),
        words=ranking_words,
    )


def score(value: Score) -> str:
    """Return a continuation's total, its ratios and its tokens."""
    names = value.token_texts or score_words.token_names(value)
    logprobs = value.token_logprobs or ()
    return _render(
        "score.html.j2",
        score=value,
        facts=score_words.facts(value),
        covered=score_words.covered(value),
        tokens=list(zip(names, logprobs, strict=False))[:MOST_TOKENS],
        hidden=max(0, len(logprobs) - MOST_TOKENS),
    )


def _drawn(text: str, limit: int = _MOST_CHARACTERS, *, keep_end: bool = False) -> str:
    return visible(clipped(text, limit, keep_end=keep_end))


def _render(template: str, **values: object) -> str:
    return _TEMPLATES.get_template(template).render(**values)


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("logpr.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["drawn"] = _drawn
    environment.globals.update(
        clamp=scales.CLAMP,
        count=numbers.count,
        figure=numbers.figure,
        fixed=numbers.fixed,
        heading=heading,
        ids_text=ids_text,
        level=scales.level,
        meaning=meaning,
        percent=numbers.percent,
        plural=numbers.plural,
        probability=numbers.probability,
        signed=numbers.signed,
        source=source,
    )
    return environment


_TEMPLATES = _environment()
