"""What to type where an audit had nothing to hold the numbers against."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import typer

from logpr.auditing.claims.values import ClaimRow
from logpr.auditing.responses.claims import claim_rows
from logpr.cli._command import corrected
from logpr.cli._model import BUILTIN
from logpr.errors import RecordError
from logpr.io._claim_numbers import WRITE
from logpr.io.claims import read_claims
from logpr.io.responses import read_responses


def for_a_scorer(context: typer.Context, claims: str | None) -> str:
    """Return what to type where a scorer's numbers came without its model."""
    command = corrected(context, [] if claims is None else [claims], {"model": "MODEL"})
    return f"to judge them, name the model that the scorer runs:\n  {command}"


def for_a_response(context: typer.Context, source: str) -> str:
    """Return what to type where a response came without anything to hold it against."""
    responses = read_responses(source)
    options = {}
    try:
        rows = claim_rows(responses)
    except RecordError:
        options = {"prompt": "THE PROMPT AS IT WAS SENT"}
        try:
            rows = claim_rows(responses, prompt=options["prompt"])
        except RecordError as error:
            return f"a model could not judge them: {error}"
    ids = any(map(_of_ids, rows))
    which = "" if ids else " (the built-in one here)"
    given = " and the prompt" if options else ""
    named = {"model": "MODEL" if ids else BUILTIN, **options}
    command = corrected(context, [context.params["claims"]], named)
    return f"to judge them, name the model they are of{which}{given}:\n  {command}"


def for_claims(context: typer.Context, source: str, reading: Mapping[str, Any]) -> str:
    """Return what to type where claims came without anything to hold them against."""
    if source == "-":
        sys.stdin.buffer.seek(0)
    rows = read_claims(source, **reading)
    missing = [
        what
        for what, lacks in (
            ("the prompt that it came after", _unprompted),
            ("the text that it is of", _textless),
        )
        if any(map(lacks, rows))
    ]
    if missing:
        # Options that say how the bare file is read would mean nothing for the other one.
        return (
            f"to judge them, give each number {' and '.join(missing)}, {WRITE}\nand name the "
            f"model, for instance the built-in one:\n  logpr audit claims.jsonl --model {BUILTIN}"
        )
    ids = any(map(_of_ids, rows))
    which = "" if ids else ", for instance the built-in one"
    named = {"model": "MODEL" if ids else BUILTIN}
    command = corrected(context, [context.params["claims"]], named)
    return f"to judge them, name the model they are of{which}:\n  {command}"


def _of_ids(row: ClaimRow) -> bool:
    # Another model's ids mean nothing to the built-in one, which may not even have as many.
    candidates = row.query.candidates
    return bool(row.query.prompt_ids) or any(each.token_ids for each in candidates)


def _unprompted(row: ClaimRow) -> bool:
    query = row.query
    return all(each is None for each in (query.prompt, query.messages, query.prompt_ids))


def _textless(row: ClaimRow) -> bool:
    return any(each.text is None and each.token_ids is None for each in row.query.candidates)
