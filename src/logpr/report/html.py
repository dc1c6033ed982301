"""Values as HTML: no network, nothing outside their own class.

Fragments for notebooks, and for an audit, an explanation and a file of rankings a page of its own.
An explanation's page has one script, which sorts, copies and lights up what belongs together; its
policy allows that one and no other, and without it all is there.

Templates escape everything that is put into them, and users' texts pass through `texts.visible`
first, so a token is shown and never obeyed.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from logpr._values import (
    AuditReport,
    AuditRow,
    CheckReport,
    Decisions,
    Decoding,
    Explanation,
    NextToken,
    Ranking,
    Score,
    Value,
)
from logpr.report import charts, explaining, numbers, scales
from logpr.report import decoding as decoding_documents
from logpr.report.texts import clipped, ids_text, prose, visible
from logpr.report.words import audit as audit_words
from logpr.report.words import certificate as certificate_words
from logpr.report.words import check as check_words
from logpr.report.words import decoding as decoding_words
from logpr.report.words import evidence as evidence_words
from logpr.report.words import explanation as explanation_words
from logpr.report.words import outputs as output_words
from logpr.report.words import ranking as ranking_words
from logpr.report.words import score as score_words
from logpr.report.words.parts import heading, meaning, source
from logpr.report.words.replay import again
from logpr.report.words.step import notes

__all__ = [
    "audit",
    "audit_page",
    "check",
    "check_page",
    "decisions",
    "decisions_page",
    "decoding",
    "decoding_page",
    "explanation",
    "explanation_page",
    "next_token",
    "ranking",
    "score",
]

MOST_ROWS = 100
MOST_TOKENS = 1000
_MOST_CHARACTERS = 1000
_MOST_PROSE = 4000
_MOST_JSON = 2_000_000

_BRIEF = {"rows": 10, "telling": 1, "tokens": 20, "flips": 5}
_WHOLE = {
    "rows": 200,
    "telling": 3,
    "tokens": 40,
    "flips": 100,
    "others": 50,
    "first": 10,
    "standing": 5,
}
"""How many of each an audit's fragment and page show at most.

Those after `first` are folded, after `standing` the computations that reproduce the claims too.
"""

_FEW = {"failures": 5, "errors": 2, "notes": 5, "results": 100}
_MANY = {"failures": 200, "errors": 50, "notes": 100, "results": 1000}
"""How many of each a check's fragment and page show at most."""


def audit(value: AuditReport) -> str:
    """Return the verdict, the decisions that flip, the most telling rows and the formula."""
    return _render("audit.html.j2", **_audited(value, _BRIEF))


def audit_page(value: AuditReport) -> str:
    """Return a whole audit as one HTML document that needs no other file.

    It runs no script and loads nothing, and its policy forbids both. Of long lists the first few
    hundred entries are shown and the rest are counted; all stand in the report's JSON at its end,
    where that has no more than 2,000,000 characters.
    """
    drifts = () if value.damage is None else value.damage.drifts
    return _render(
        "audit_page.html.j2",
        **_audited(value, _WHOLE),
        pages=_pages(value),
        drifts=[(drift, charts.scatter(drift)) for drift in drifts],
        masses=charts.masses(value.shortlist),
        width=charts.WIDTH,
        height=charts.HEIGHT,
        **_repeated(value),
    )


def check(value: CheckReport) -> str:
    """Return the verdict, the first broken laws and errors, and the outcome of every check."""
    return _render("check.html.j2", report=value, most=_FEW)


def check_page(value: CheckReport) -> str:
    """Return a whole check as one HTML document that needs no other file.

    It runs no script and loads nothing, and its policy forbids both. The report stands in it as
    JSON, where that has no more than 2,000,000 characters.
    """
    return _render("check_page.html.j2", report=value, most=_MANY, **_repeated(value))


def explanation(value: Explanation) -> str:
    """Return the verdict, the rules that flip, the waterfall and the tokens side by side."""
    return _render("explanation.html.j2", **explaining.fragment(value))


def explanation_page(value: Explanation) -> str:
    """Return a whole explanation as one HTML document that needs no other file.

    Of long candidates the first few hundred tokens are drawn and the rest are counted. The
    explanation stands in it as JSON (`<script type="application/json" id="explanation">`): all of
    it up to 150,000 characters, beyond that without what `explaining.embedded` says.
    """
    return _render("explanation_page.html.j2", **explaining.page(value, _script()))


def decisions(value: Decisions) -> str:
    """Return how many decisions flip under each rule, and the ten most surprising ones."""
    return _render("decisions.html.j2", **explaining.index(value, None))


def decisions_page(value: Decisions) -> str:
    """Return a file of rankings as one HTML document: surprising decisions, flips, length drift."""
    return _render("decisions_page.html.j2", **explaining.index(value, _script()))


def decoding(value: Decoding) -> str:
    """Return the verdict, the outputs, the tree, the ledger, and why greedy lost where asked."""
    # A whole fragment of its own, as a notebook shows it.
    why = None if value.explanation is None else Markup(explanation(value.explanation))  # noqa: S704 - it was rendered here
    return _render("decoding.html.j2", **decoding_documents.fragment(value), why=why)


def decoding_page(value: Decoding) -> str:
    """Return a whole decoding as one HTML document that needs no other file.

    Of large trees the likeliest beginnings and the ways of the decoders are drawn and the rest are
    counted. The decoding stands in it as JSON (`<script type="application/json" id="decoding">`),
    where that has no more than 600,000 characters.
    """
    return _render("decoding_page.html.j2", **decoding_documents.page(value, _script()))


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


def _repeated(value: Value) -> dict[str, object]:
    """Return a value as JSON for its own page, or only how long that is."""
    # Escaped to ASCII, so that no character of it acts on the page, and half a pair can be stored.
    written = json.dumps(value.to_dict(), allow_nan=False)
    return {"json": written if len(written) <= _MOST_JSON else None, "json_size": len(written)}


def _audited(value: AuditReport, most: dict[str, int]) -> dict[str, object]:
    rows = audit_words.telling(value) if audit_words.compared(value) else []
    tokens = [row for row in rows if audit_words.has_tokens(row)][: most["telling"]]
    return {
        "report": value,
        "most": most,
        "rows": rows[: most["rows"]],
        "hidden": max(0, len(rows) - most["rows"]),
        "tokens": [_tokens(value, row, most["tokens"]) for row in tokens],
    }


def _pages(value: AuditReport) -> list[tuple[str, str]]:
    """Return the pages of the faults that are named, as they ship with the package: id and text."""
    # The whole zoo, for this page alone.
    from logpr.auditing.faults import FAULTS  # noqa: PLC0415 - as said
    from logpr.auditing.faults._texts import page  # noqa: PLC0415 - as said

    # A report that was read back may name anything, which is looked up and never opened.
    return [(item.id, page(item.id)[1]) for item in value.faults if item.id in FAULTS]


def _tokens(value: AuditReport, row: AuditRow, most: int) -> dict[str, object]:
    steps: Sequence[audit_words.Step] = audit_words.steps(value, row, most)
    both = [item for step in steps for item in (step.claimed, step.true)]
    spans, zero = charts.spans(both)
    return {
        "row": row,
        "steps": list(zip(steps, spans[::2], spans[1::2], strict=True)),
        "zero": zero,
        "lists": any(step.shortlist is not None for step in steps),
        "hidden": max(0, audit_words.length(row) - most),
    }


def _said(text: str) -> str:
    """Return a sentence of ours, which may name what came with the value."""
    return prose(clipped(text, _MOST_PROSE))


def _drawn(text: str, limit: int = _MOST_CHARACTERS, *, keep_end: bool = False) -> str:
    return visible(clipped(text, limit, keep_end=keep_end))


def _script() -> str:
    """Return the pages' script as it stands in its file: the policy knows it by its digest."""
    loader = _TEMPLATES.loader
    assert loader is not None, "the environment was made with one"
    return loader.get_source(_TEMPLATES, "explanation.js")[0]


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
    environment.filters.update(drawn=_drawn, said=_said)
    environment.tests.update(spelt_otherwise=output_words.is_spelt_otherwise)
    environment.globals.update(
        again=again,
        audit=audit_words,
        checked=check_words,
        clamp=scales.CLAMP,
        count=numbers.count,
        decoded=decoding_words,
        evidence=evidence_words,
        explained=explanation_words,
        figure=numbers.figure,
        fixed=numbers.fixed,
        heading=heading,
        ids_text=ids_text,
        level=scales.level,
        meaning=meaning,
        outputs=output_words,
        percent=numbers.percent,
        plural=numbers.plural,
        probability=numbers.probability,
        proofs=certificate_words,
        ranked=ranking_words,
        rate=numbers.rate,
        signed=numbers.signed,
        source=source,
    )
    return environment


_TEMPLATES = _environment()
