"""One record of a file, by its id: of what is to be ranked, or of what was ranked already."""

from __future__ import annotations

import difflib
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TypeVar

import logpr
from logpr._explain.evidence import check_same
from logpr._values import Ranking, Score
from logpr.cli._say import say
from logpr.errors import InputError, QueryError, RecordError, UnknownNameError
from logpr.io import Record, RecordStream, Rejected
from logpr.io.rankings import RankedRecord
from logpr.models.base import Model

T = TypeVar("T")

_LISTED = 5
_NEAR = 10_000
"""Ids that a mistyped one is compared with."""


def record_with_id(stream: RecordStream, wanted: str) -> Record:
    """Return the record of a file that has an id; rows put aside before it are counted.

    Raises:
        UnknownNameError: none has; names some that exist.
        RecordError: a row before it cannot be used, and rows are not put aside.
    """
    aside: deque[Rejected] = deque(maxlen=1)
    stream.rejects = aside.append
    pairs = ((str(record.query.id), record) for record in stream)
    try:
        return _with_id(pairs, wanted, stream.source.name)
    finally:
        stream.close()
        if aside:
            say(
                f"rows before it that cannot be used: {stream.rejected}; the last: {aside[0].error}"
            )


def ranked_with_id(records: Iterable[RankedRecord], wanted: str, name: str) -> RankedRecord:
    """Return the ranking of a file that has an id.

    Raises:
        UnknownNameError: none has; names some that exist.
    """
    return _with_id(((str(each.ranking.id), each) for each in records), wanted, name)


def _with_id(pairs: Iterable[tuple[str, T]], wanted: str, name: str) -> T:
    seen: list[str] = []
    total = 0
    for own, record in pairs:
        if own == wanted:
            return record
        total += 1
        if len(seen) < _NEAR:
            seen.append(own)
    raise _unknown(wanted, name, seen, total)


def _unknown(wanted: str, name: str, seen: list[str], total: int) -> InputError:
    if not total:
        msg = f"{name} has no record that can be used, so none with the id {wanted!r}"
        return RecordError(msg)
    near = difflib.get_close_matches(wanted, seen, n=3)
    first = [own for own in seen if own not in near]
    listed = ", ".join(map(repr, [*near, *first][:_LISTED]))
    more = f" and {total - _LISTED} more" if total > _LISTED else ""
    msg = (
        f"no record of {name} has the id {wanted!r}; there are {listed}{more} (rows without an id "
        f"are numbered from 0): --id {(near or seen)[0]}"
    )
    return UnknownNameError(msg)


def rankings_of(records: Iterable[RankedRecord]) -> Iterator[Ranking]:
    """Yield the rankings of a file that holds some.

    Raises:
        RecordError: one is by another rule than those before it.
    """
    rule: str | None = None
    for record in records:
        if rule is not None and record.ranking.rule != rule:
            msg = (
                f"{record.where}: ranked by {record.ranking.rule}, and those before it by {rule}; "
                f"one page shows rankings by one rule: give each rule a file of its own"
            )
            raise RecordError(msg)
        rule = record.ranking.rule
        yield record.ranking


def require_tokens(record: RankedRecord, source: str) -> None:
    """Refuse a ranking that has the numbers of whole candidates alone; say what else is missing.

    Raises:
        RecordError: says how a file with more is made.
    """
    name = record.ranking.id
    if not record.has_tokens:
        ways = f"rank with --evidence: logpr rank FILE -o {source} --evidence --model MODEL"
        if record.query is not None:
            ways = f"name the model that ranked: --model MODEL; or {ways}"
        else:
            ways += f", or explain the file that was ranked: logpr explain FILE --id {name}"
        msg = (
            f"{record.where}: the record has what whole candidates sum to and no numbers of their "
            f"tokens, so there is nothing to take the gap apart by; {ways}"
        )
        raise RecordError(msg)
    own = all(score.boundary == "given" for score in record.ranking.candidates)
    if not record.has_evidence and not own:
        say(
            f"{source} was written without --evidence: what the model favoured and how unsure it "
            f"was is not in it (add --model MODEL, and it is asked)"
        )


def asked_anew(record: RankedRecord, model: Model, settings: logpr.Settings) -> Ranking:
    """Return a recorded ranking with the tokens that were fed, as the model that ranked says.

    Order, margin and all that ranks stay as recorded.

    Raises:
        RecordError: the record has no prompt, or the model gives other numbers.
    """
    if record.query is None:
        msg = (
            f"{record.where}: the record has no prompt that a model could be asked with; rank with "
            f"--tokens or --evidence, which keep it, or explain the file that was ranked: "
            f"logpr explain FILE --id {record.ranking.id} --model MODEL"
        )
        raise RecordError(msg)
    told = record.ranking.provenance
    ends = settings.end_ids
    if ends is None and told is not None and record.query.effective_end == "stop":
        ends = told.end_ids or None
    asked = replace(settings, evidence=False, end_ids=ends)
    try:
        (fresh,) = logpr.rank_many([record.query], model=model, settings=asked)
    except InputError as error:
        msg = f"{record.where}: {error}"
        raise type(error)(msg) from error
    pairs = zip(record.ranking.candidates, fresh.candidates, strict=True)
    return replace(
        record.ranking,
        candidates=tuple(_with_tokens(old, new, record) for old, new in pairs),
        provenance=told or fresh.provenance,
    )


def _with_tokens(old: Score, new: Score, record: RankedRecord) -> Score:
    if old.logprob is None or old.boundary == "given" or new.logprob is None:
        return old
    try:
        check_same(old, new, record.ranking)
    except QueryError as error:
        msg = f"{record.where}: {error}"
        raise QueryError(msg) from error
    own = old.token_logprobs is not None and len(old.token_logprobs) == len(new.token_ids or ())
    return replace(
        old,
        prompt_ids=new.prompt_ids,
        token_ids=new.token_ids,
        token_texts=new.token_texts,
        token_spans=new.token_spans,
        token_logprobs=old.token_logprobs if own else new.token_logprobs,
        end_logprob=old.end_logprob if own else new.end_logprob,
        noise=old.noise or new.noise,
        warnings=new.warnings,
    )
