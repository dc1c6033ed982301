"""`--map prompt=ctx,candidates=endings`: our names for the fields of somebody else's file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from logpr.errors import QueryError, UnknownNameError
from logpr.io._fault import RowFault, shown

PROMPTS = ("prompt", "messages", "prompt_ids")
OPTIONS = {
    "end": ("open", "stop"),
    "boundary": ("separate", "joint", "marginal"),
    "bos": ("auto", "always", "never"),
}
TARGETS = (
    *PROMPTS,
    *("candidates", "candidate_ids", "label", "id"),
    *OPTIONS,
    *("chosen", "rejected", "sentence_good", "sentence_bad"),
    *("ctx", "query", "endings", "question", "choices", "answer"),
)
"""The names that a mapping may give to a field of the file (and candidate_0, candidate_1, …)."""

NUMBERED = re.compile(r"candidate_([0-9]{1,6})")
"""Candidates in fields of their own."""

CLAIMS = (
    *("score", "scores", "logprob", "token_scores", "token_logprobs", "end_logprob"),
    *("shortlist_ids", "logprobs", "steps", "chosen", "arm", "declares"),
)
"""Further names, of records whose numbers are audited (and score_0, token_scores_0, …)."""

NUMBERED_CLAIM = re.compile(r"(score|token_scores)_([0-9]{1,6})")
"""Claims in fields of their own."""


def parse_mapping(text: str, *, claims: bool = False) -> dict[str, str]:
    """Return `prompt=ctx,candidates=endings` as {"prompt": "ctx", "candidates": "endings"}.

    Args:
        text: what was written after `--map`.
        claims: whether the names of claims are known too: `score=my_column`.

    Raises:
        QueryError: a part is not NAME=FIELD, or a name is given twice.
        UnknownNameError: a name is not one of `TARGETS` (or of `CLAIMS`).
    """
    mapping: dict[str, str] = {}
    for part in text.split(","):
        target, equals, source = (piece.strip() for piece in part.partition("="))
        if not (target and equals and source):
            msg = f"--map is NAME=FIELD,NAME=FIELD; found {part!r}; write --map prompt=ctx"
            raise QueryError(msg)
        if target in mapping:
            msg = f"--map gives {target!r} twice: {mapping[target]!r} and {source!r}; leave one out"
            raise QueryError(msg)
        mapping[target] = source
    check_mapping(mapping, claims=claims)
    return mapping


def check_mapping(mapping: Mapping[str, str], *, claims: bool = False) -> None:
    """Raise UnknownNameError where a mapping gives a name that no shape has."""
    for target, source in mapping.items():
        if target in TARGETS or NUMBERED.fullmatch(target):
            continue
        if claims and (target in CLAIMS or NUMBERED_CLAIM.fullmatch(target)):
            continue
        if source in TARGETS or (claims and source in CLAIMS):
            way = f"our name stands first: --map {source}={target}"
        else:
            more = [name for name in CLAIMS if claims and name not in TARGETS]
            way = f"known are {', '.join((*TARGETS, *more))}, candidate_0, candidate_1, …"
        msg = f"--map {target}={source}: no record has a field {target!r}; {way}"
        raise UnknownNameError(msg)


def renamed(
    row: Mapping[str, Any], mapping: Mapping[str, str]
) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the row under our names, and each field's name in the file.

    Raises:
        RowFault: the row lacks a field that the mapping names.
    """
    moved = set(mapping.values())
    view = {name: value for name, value in row.items() if name not in moved}
    names = {name: name for name in view}
    for target, source in mapping.items():
        if source not in row:
            msg = f"--map {target}={source} names it, and the row has only {listed(row)}"
            raise RowFault(msg, source)
        view[target] = row[source]
        names[target] = source
    return view, names


def listed(row: Mapping[str, Any]) -> str:
    """Return the names of a row's fields as a message lists them."""
    names = [shown(name) for name in row]
    most = 30
    return ", ".join(names[:most]) + (", …" if len(names) > most else "") if names else "no fields"
