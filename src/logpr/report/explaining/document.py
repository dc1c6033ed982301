"""What each document of an explanation is filled with, and how much of it at most."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import replace

from markupsafe import Markup

from logpr._values import Decisions, Explanation, Score
from logpr.report import charts
from logpr.report.explaining.curves import curves
from logpr.report.explaining.strips import strips
from logpr.report.explaining.tables import candidates, context, facts, rules, tokens
from logpr.report.explaining.waterfall import waterfall

_BRIEF_TOKENS = 80
_PAGE_TOKENS = 400
_TABLE_ROWS = 300
_CANDIDATES = 300
_PARTS = 60
_MOST_JSON = 150_000
"""Characters of JSON that a page holds whole; beyond, it holds less of it, see `embedded`."""
_MOST_LEAN_JSON = 600_000
_BRIEF_DECISIONS = 10


def fragment(value: Explanation) -> dict[str, object]:
    """Return what a notebook shows: verdict, rules, waterfall and strips."""
    return {
        "value": value,
        "fall": waterfall(value),
        "rules": rules(value),
        "strips": strips(value, _BRIEF_TOKENS),
    }


def page(value: Explanation, script: str) -> dict[str, object]:
    """Return what a page shows; `script` is the one that it may run."""
    text, whole = embedded(value)
    return {
        "value": value,
        "fall": waterfall(value),
        "rules": rules(value),
        "strips": strips(value, _PAGE_TOKENS),
        "chart": curves(value),
        "tables": tokens(value, _TABLE_ROWS),
        "listed": candidates(value, _CANDIDATES) if len(value.ranking.candidates) > 2 else (),  # noqa: PLR2004 - a pair
        "context": context(value, _PARTS),
        "facts": facts(value),
        "json": None if text is None else Markup(text),  # noqa: S704 - `embedded` escapes it
        "whole": whole,
        "script": Markup(script),  # noqa: S704 - our own file
        "script_hash": hash_of(script),
    }


def index(value: Decisions, script: str | None) -> dict[str, object]:
    """Return what the page of a file of rankings shows, or its fragment, without a script."""
    shown = value.decisions if script is not None else value.decisions[:_BRIEF_DECISIONS]
    shares = [number / value.total if value.total else 0.0 for _, number in value.flips]
    lengths = [number for _, number in value.drift]
    everyone = value.mean_tokens
    spans, _ = charts.spans([*lengths, *([] if everyone is None else [everyone])])
    return {
        "value": value,
        "shown": shown,
        "hidden": value.total - len(shown),
        "flips": [(*counted, share) for counted, share in zip(value.flips, shares, strict=True)],
        "drift": [(*mean, span) for mean, span in zip(value.drift, spans, strict=False)],
        "everyone": None if everyone is None else spans[-1],
        "script": None if script is None else Markup(script),  # noqa: S704 - our own file
        "script_hash": None if script is None else hash_of(script),
    }  # fmt: skip


def embedded(value: Explanation) -> tuple[str | None, bool]:
    """Return the explanation as JSON for a <script> of data, and whether it is all of it.

    What is larger than 150,000 characters goes without the alternatives, and without the columns
    of candidates that are not explained; what is still larger than 600,000 does not go at all.
    No character of it ends the element it stands in: all but ASCII, and < > &, are escaped.
    """
    text = _json(value)
    if len(text) <= _MOST_JSON:
        return text, True
    lean = _json(_lean(value))
    return (lean if len(lean) <= _MOST_LEAN_JSON else None), False


def hash_of(script: str) -> str:
    """Return the source expression by which a policy allows this script and no other."""
    digest = hashlib.sha256(script.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode('ascii')}"


def _json(value: Explanation) -> str:
    text = json.dumps(value.to_dict(), allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _lean(value: Explanation) -> Explanation:
    shown = (value.first, value.second)
    rest = tuple(_leaner(each, whole=each.index in shown) for each in value.ranking.candidates)
    return replace(value, ranking=replace(value.ranking, candidates=rest))


def _leaner(score: Score, *, whole: bool) -> Score:
    end = None if score.end_evidence is None else replace(score.end_evidence, alternatives=())
    score = replace(score, alternatives=None, end_evidence=end, provenance=None)
    if whole:
        return score
    return replace(
        score, token_texts=None, token_spans=None, token_logprobs=None, logit=None, logz=None,
        rank=None, top_id=None, top_logit=None, top_logprob=None, entropy=None, end_evidence=None,
        prompt_ids=None,
    )  # fmt: skip
