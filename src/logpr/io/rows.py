"""What a row in the one shape must be, field by field, and the `Query` it becomes.

The room of pydantic: it is loaded when the first row is read.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    ValidationError,
    model_validator,
)

from logpr._types import Bos, Boundary, End
from logpr._values import Candidate, Message, Query
from logpr.io._fault import RowFault, require_unicode, shown

_NON_FINITE = {"-Infinity": -math.inf, "Infinity": math.inf, "NaN": math.nan}
_EXAMPLES = {
    "id": '"id": "q1"',
    "prompt": '"prompt": "The cat sat on the"',
    "messages": '"messages": [{"role": "user", "content": "Hi"}]',
    "prompt_ids": '"prompt_ids": [1, 5, 9]',
    "candidates": '"candidates": [" warm mat", " plush rug"]',
    "candidate_ids": '"candidate_ids": [[4, 5], [7]]',
    "end": '"end": "open" (the output begins with it) or "stop" (it is exactly that)',
    "boundary": '"boundary": "separate", "joint" or "marginal"',
    "bos": '"bos": "auto", "always" or "never"',
}


def _text(text: str) -> str:
    try:
        return require_unicode(text)
    except RowFault as fault:
        raise ValueError(fault.message) from fault


def _number(value: object) -> object:
    """Read the words that stand for the numbers JSON lacks."""
    return _NON_FINITE.get(value, value) if isinstance(value, str) else value


def _numbers(value: object) -> tuple[float, ...]:
    if not isinstance(value, list):
        msg = f"a list of numbers is wanted, found {shown(value)}"
        raise ValueError(msg)  # noqa: TRY004 - pydantic reports ValueErrors
    for place, item in enumerate(value):
        kind = type(item)
        if kind is not float and kind is not int and item not in _NON_FINITE:
            msg = f"entry {place} is {shown(item)}, no number"
            raise ValueError(msg)
    try:
        row = np.array([_number(item) for item in value], dtype=np.float64)
    except OverflowError as error:
        msg = f"a whole number is too large for a float: {error}"
        raise ValueError(msg) from error
    bad = np.flatnonzero(np.isnan(row) | (row == math.inf))
    if bad.size:
        place = int(bad[0])
        msg = (
            f"entry {place} is {row[place]}: no model gives that; -Infinity (never) is the only "
            f"infinite one that means something"
        )
        raise ValueError(msg)
    return tuple(row.tolist())


def number_rows(value: object) -> tuple[tuple[float, ...], ...]:
    """Return rows over the vocabulary, one a token, which are lists of numbers of one length.

    Raises:
        ValueError: they are something else, or hold NaN or +inf.
    """
    if not isinstance(value, list):
        msg = f"a list of rows, one a token, is wanted, found {shown(value)}"
        raise ValueError(msg)  # noqa: TRY004 - pydantic reports ValueErrors
    rows: list[tuple[float, ...]] = []
    for place, item in enumerate(value):
        try:
            rows.append(_numbers(item))
        except ValueError as error:
            msg = f"row {place}: {error}"
            raise ValueError(msg) from error
        if not rows[-1] or len(rows[-1]) != len(rows[0]):
            msg = (
                f"row {place} has {len(rows[-1])} entries and row 0 has {len(rows[0])}; every row "
                f"is over the whole vocabulary"
            )
            raise ValueError(msg)
    return tuple(rows)


def _candidate(value: object) -> object:
    if isinstance(value, str):
        return {"text": value}
    if isinstance(value, dict):
        return value
    msg = f'a text, or an object with "text" or "token_ids", is wanted, found {shown(value)}'
    raise ValueError(msg)


def _id(value: object) -> object:
    if value is None or (isinstance(value, (str, int)) and not isinstance(value, bool)):
        return value
    msg = f"an id is a text or a whole number, found {shown(value)}"
    raise ValueError(msg)


Text = Annotated[str, AfterValidator(_text)]
# Beyond 63 bits no array holds it.
TokenId = Annotated[int, Field(ge=0, lt=1 << 63)]
Number = Annotated[float, BeforeValidator(_number)]


class Turn(BaseModel):
    """One turn of a conversation."""

    model_config = ConfigDict(strict=True, extra="allow")

    role: Text
    content: Text

    @model_validator(mode="after")
    def _holds_no_more(self) -> Self:
        # A tool call or a name would change the prompt; leaving it out unasked would be a lie.
        more = [name for name, value in (self.model_extra or {}).items() if value is not None]
        if more:
            msg = f"a message is a role and a content, found also {more[0]!r}; leave it out"
            raise ValueError(msg)
        return self


class CandidateRow(BaseModel):
    """One candidate; fields beyond these are carried along."""

    model_config = ConfigDict(strict=True, extra="allow")

    text: Text | None = None
    token_ids: list[TokenId] | None = None
    logits: Annotated[tuple[tuple[float, ...], ...], PlainValidator(number_rows)] | None = None
    token_logprobs: Annotated[tuple[float, ...], PlainValidator(_numbers)] | None = None
    end_logprob: Number | None = None

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        ids, logits, logprobs = self.token_ids, self.logits, self.token_logprobs
        if self.text is None and ids is None and logprobs is None:
            msg = 'a candidate has "text" or "token_ids" (or brings "token_logprobs"), found none'
            raise ValueError(msg)
        if logits is not None and (ids is None or len(logits) not in (len(ids), len(ids) + 1)):
            count = "no token_ids" if ids is None else f"{len(ids)} token_ids"
            msg = (
                f"found {len(logits)} rows of logits and {count}; give a row for each token, and "
                f"one more where END is scored"
            )
            raise ValueError(msg)
        if logprobs is not None and ids is not None and len(logprobs) != len(ids):
            msg = f"found {len(logprobs)} token_logprobs and {len(ids)} token_ids; give one each"
            raise ValueError(msg)
        if self.end_logprob is not None and not self.end_logprob < math.inf:
            msg = f"end_logprob is {self.end_logprob}, no log-probability; leave it out"
            raise ValueError(msg)
        return self


class QueryRow(BaseModel):
    """A row in the one shape."""

    model_config = ConfigDict(strict=True, extra="forbid")

    id: Annotated[str | int | None, BeforeValidator(_id)] = None
    prompt: Text | None = None
    messages: list[Turn] | None = None
    prompt_ids: list[TokenId] | None = None
    candidates: list[Annotated[CandidateRow, BeforeValidator(_candidate)]] | None = None
    candidate_ids: list[list[TokenId]] | None = None
    label: int | None = None
    end: End | None = None
    boundary: Boundary | None = None
    bos: Bos | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Defaults:
    """What holds for rows that do not say."""

    end: End | None = None
    boundary: Boundary = "separate"
    bos: Bos = "auto"


def query_of(
    fields: Mapping[str, Any],
    *,
    names: Mapping[str, str],
    sep: str,
    index: int,
    defaults: Defaults,
) -> Query:
    """Return the query that a row in the one shape asks.

    Args:
        fields: the row.
        names: the file's own name of a field, where it has another.
        sep: put before each candidate that is text alone, unless the prompt is empty.
        index: the row's number, which is its id where it has none.
        defaults: what holds where the row does not say.

    Raises:
        RowFault: a field is missing, of the wrong type, or contradicts another.
    """
    try:
        row = QueryRow.model_validate(dict(fields))
    except ValidationError as error:
        raise _fault_of(error, names) from error
    candidates = _candidates(row, names, sep)
    if row.label is not None and not 0 <= row.label < len(candidates):
        msg = (
            f"found {row.label}, and there are {len(candidates)} candidates; write a whole number "
            f"from 0 to {len(candidates) - 1}, or leave the field out where there is no label"
        )
        raise RowFault(msg, names.get("label", "label"))
    return Query(
        prompt=row.prompt,
        messages=None
        if row.messages is None
        else tuple(Message(role=turn.role, content=turn.content) for turn in row.messages),
        prompt_ids=None if row.prompt_ids is None else tuple(row.prompt_ids),
        candidates=candidates,
        id=index if row.id is None else row.id,
        label=row.label,
        end=row.end or defaults.end,
        boundary=row.boundary or defaults.boundary,
        bos=row.bos or defaults.bos,
    )


def _candidates(row: QueryRow, names: Mapping[str, str], sep: str) -> tuple[Candidate, ...]:
    prompts = [
        name for name in ("prompt", "messages", "prompt_ids") if getattr(row, name) is not None
    ]
    if len(prompts) > 1:
        given = " and ".join(repr(names.get(name, name)) for name in prompts)
        msg = f"found {given} together; a row has one of them: leave the other out"
        raise RowFault(msg)
    if row.messages is not None and not row.messages:
        msg = f"found no turn; write {_EXAMPLES['messages']}"
        raise RowFault(msg, names.get("messages", "messages"))
    if row.candidates is not None and row.candidate_ids is not None:
        msg = "found 'candidates' and 'candidate_ids' together; a row has one: leave the other out"
        raise RowFault(msg)
    key = "candidates" if row.candidate_ids is None else "candidate_ids"
    if row.candidate_ids is not None:
        found = tuple(Candidate(token_ids=tuple(ids)) for ids in row.candidate_ids)
    else:
        joined = sep if row.prompt or row.prompt_ids else ""
        found = tuple(_candidate_of(item, joined) for item in row.candidates or ())
    if not found:
        msg = f"found no candidate; write at least one: {_EXAMPLES[key]}"
        raise RowFault(msg, names.get(key, key))
    if row.prompt == "":
        for place, candidate in enumerate(found):
            if candidate.text == "" and not candidate.token_ids and candidate.needs_model:
                msg = "found an empty text after an empty prompt: nothing to score; give one a text"
                raise RowFault(msg, _path(names, (key, place)))
    return found


def _candidate_of(row: CandidateRow, sep: str) -> Candidate:
    # Further fields go the way of every candidate, so that they are frozen as its are.
    plain = Candidate.of({"text": row.text, **(row.model_extra or {})})
    verbatim = row.token_ids is not None or row.token_logprobs is not None
    return dataclasses.replace(
        plain,
        text=row.text if verbatim or row.text is None else sep + row.text,
        token_ids=None if row.token_ids is None else tuple(row.token_ids),
        logits=row.logits,
        token_logprobs=row.token_logprobs,
        end_logprob=row.end_logprob,
    )


def _fault_of(error: ValidationError, names: Mapping[str, str]) -> RowFault:
    first = error.errors(include_url=False)[0]
    path = tuple(part for part in first["loc"] if part not in _NO_PART)
    found = shown(first["input"])
    says = {
        "string_type": f"a text is wanted, found {found}",
        "list_type": f"a list is wanted, found {found}",
        "int_type": f"a whole number is wanted, found {found}",
        "float_type": f"a number is wanted, found {found}",
        "greater_than_equal": f"a token id is 0 or more, found {found}",
        "less_than": f"a token id has at most 63 bits, found {found}",
        "missing": f"it is missing in {found}",
        "model_type": f"an object is wanted, found {found}",
        "dict_type": f"an object is wanted, found {found}",
        "literal_error": f"{first.get('ctx', {}).get('expected')} is wanted, found {found}",
    }.get(first["type"])
    if says is None:
        context = first.get("ctx", {}).get("error")
        says = f"{first['msg']}, found {found}" if context is None else str(context)
    top = str(path[0]) if path else ""
    way = f"; write {_EXAMPLES[top]}" if top in _EXAMPLES and not says.endswith("out") else ""
    return RowFault(says + way, _path(names, path) if path else None)


_NO_PART: frozenset[Literal["str", "int"]] = frozenset(("str", "int"))
"""Pydantic names the arms of a union in the path to a value."""


def _path(names: Mapping[str, str], path: tuple[str | int, ...]) -> str:
    top = str(path[0])
    rest = path[1:]
    said = names.get(top, top)
    if rest and f"{top}[{rest[0]}]" in names:
        said, rest = names[f"{top}[{rest[0]}]"], rest[1:]
    return said + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in rest)
