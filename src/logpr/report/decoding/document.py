"""What each document of a decoding is filled with, and how much of it at most."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

from markupsafe import Markup

from logpr._values import Decoding, MassLedger
from logpr.report import explaining
from logpr.report.decoding.bounds import bounds
from logpr.report.decoding.tree import tree
from logpr.report.explaining.document import hash_of
from logpr.report.words.certificate import Part, parts
from logpr.report.words.decoding import facts
from logpr.report.words.outputs import Row, rows

_BRIEF_NODES = 60
_BRIEF_ROWS = 10
_PAGE_ROWS = 300
_THINNEST = 0.006
_MOST_JSON = 600_000
"""Characters of JSON that a page holds at most."""


@dataclass(frozen=True, slots=True)
class Share:
    """One part of the ledger's bar, in percent of it."""

    part: Part
    start: float
    length: float


def fragment(value: Decoding) -> dict[str, object]:
    """Return what a notebook shows: the verdict, the tree, the outputs and the certificate."""
    return _shown(value, _BRIEF_ROWS) | {"tree": tree(value, _BRIEF_NODES)}


def page(value: Decoding, script: str) -> dict[str, object]:
    """Return what a page shows; `script` is the one that it may run."""
    text, whole = embedded(value)
    return _shown(value, _PAGE_ROWS) | {
        "tree": tree(value),
        "chart": bounds(value),
        "why": None if value.explanation is None else explaining.fragment(value.explanation),
        "json": None if text is None else Markup(text),  # noqa: S704 - `embedded` escapes it
        "whole": whole,
        "script": Markup(script),  # noqa: S704 - our own file
        "script_hash": hash_of(script),
    }


def _shown(value: Decoding, most: int) -> dict[str, object]:
    found = rows(value)
    best = [row for row in found if row.output in value.nbest]
    others = [row for row in found if row not in best]
    shown: Sequence[Row] = [*best[:most], *others[:most]]
    return {
        "value": value,
        "rows": shown,
        "hidden": len(found) - len(shown),
        "facts": facts(value),
        "ledger": shares(value.certificate.mass),
    }


def shares(mass: MassLedger) -> tuple[Share, ...]:
    """Return the bar of a ledger: its parts one after the other."""
    found = parts(mass)
    # Something is never drawn as nothing.
    sizes = [max(part.share, _THINNEST) if part.share > 0 else 0.0 for part in found]
    total = sum(sizes) or 1.0
    out: list[Share] = []
    start = 0.0
    for part, size in zip(found, sizes, strict=True):
        length = size / total * 100
        out.append(Share(part, round(start, 3), round(length, 3)))
        start += length
    return tuple(out)


def embedded(value: Decoding) -> tuple[str | None, bool]:
    """Return the decoding as JSON for a <script> of data, and whether it is all of it.

    What is larger than 600,000 characters goes without tree and explanation; what is still larger
    does not go at all. No character of it ends the element it stands in.
    """
    text = _json(value)
    if len(text) <= _MOST_JSON:
        return text, True
    lean = _json(replace(value, tree=(), explanation=None))
    return (lean if len(lean) <= _MOST_JSON else None), False


def _json(value: Decoding) -> str:
    text = json.dumps(value.to_dict(), allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
