"""The evidence that a claim brings: rows, shortlists and compact steps, of its own tokens."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from logpr._values import Candidate, Query
from logpr.auditing.claims.values import Claim, CompactStep
from logpr.io._claim_fields import Given
from logpr.io._fault import RowFault, shown
from logpr.io.rows import number_rows
from logpr.numerics import logsumexp

_NO_DISTRIBUTION = 0.1
"""How far, in nats, a row's probabilities may sum from 1: bfloat16 stays within 0.05."""
_STEP = ("token_id", "logit", "logz", "top_ids", "top_logits", "shortlist_ids", "shortlist_logits")


def evidence_of(given: dict[str, Given], candidate: Candidate) -> dict[str, Any]:
    """Return a candidate's evidence, as fields of its `Claim`.

    Raises:
        RowFault: it is no evidence, or that of other tokens.
    """
    ids = candidate.token_ids
    found: dict[str, Any] = {}
    if "shortlist_ids" in given:
        field = given["shortlist_ids"].field
        lists = list_of(given["shortlist_ids"], "a list of ids for each step")
        found["shortlist_ids"] = tuple(_ids(item, f"{field}[{i}]") for i, item in enumerate(lists))
        _one_each(len(lists), "lists", ids, field)
    if "logprobs" in given:
        found["logprobs"] = _logprob_rows(given["logprobs"], ids)
    if "steps" in given:
        field = given["steps"].field
        items = list_of(given["steps"], "a list of objects, one a step,")
        steps = tuple(_step(item, f"{field}[{i}]") for i, item in enumerate(items))
        _one_each(len(steps), "steps", ids, field)
        _same_tokens(steps, ids or (), field)
        found["steps"] = steps
    return found


def list_of(given: Given, wanted: str) -> list[Any]:
    """Return a value that has to be a list; `wanted` says of what.

    Raises:
        RowFault: it is none.
    """
    if isinstance(given.value, list):
        return given.value
    msg = f"{wanted} is wanted, found {shown(given.value)}"
    raise RowFault(msg, given.field)


def _ids(value: object, field: str) -> tuple[int, ...]:
    if isinstance(value, list) and all(type(item) is int and 0 <= item < 1 << 63 for item in value):
        return tuple(value)
    msg = f"a list of token ids is wanted, found {shown(value)}; write [5, 9, 12]"
    raise RowFault(msg, field)


def _one_each(count: int, what: str, ids: Sequence[int] | None, field: str) -> None:
    # Evidence of END comes after that of the tokens.
    if ids is not None and count not in (len(ids), len(ids) + 1):
        msg = (
            f"found {count} {what} and {len(ids)} token_ids; give one for each token, and one more "
            f"where END is scored"
        )
        raise RowFault(msg, field)


def _logprob_rows(given: Given, ids: Sequence[int] | None) -> tuple[tuple[float, ...], ...]:
    try:
        rows = number_rows(given.value)
    except ValueError as error:
        raise RowFault(str(error), given.field) from error
    if ids is None:
        msg = f"found {len(rows)} rows and no token_ids; give the tokens that the rows predict"
        raise RowFault(msg, given.field)
    _one_each(len(rows), "rows", ids, given.field)
    for place, row in enumerate(rows):
        total = float(logsumexp(np.array(row)))
        if not abs(total) <= _NO_DISTRIBUTION:
            msg = (
                f"its log-probabilities sum to a probability of exp({total:.4g}) and not to 1; "
                f"give the whole vocabulary, or call rows of logits 'logits'"
            )
            raise RowFault(msg, f"{given.field}[{place}]")
    return rows


def _step(value: object, field: str) -> CompactStep:
    if not isinstance(value, dict) or "token_id" not in value:
        msg = f'an object with "token_id" is wanted, found {shown(value)}'
        raise RowFault(msg, field)
    unknown = [name for name in value if name not in _STEP]
    if unknown:
        msg = f"found the key {unknown[0]!r}; known are {', '.join(_STEP)}"
        raise RowFault(msg, field)
    token = value["token_id"]
    # END, one outcome of several ids, is −1.
    if type(token) is not int or not -1 <= token < 1 << 63:
        msg = f"a token id is wanted (-1: END), found {shown(token)}"
        raise RowFault(msg, f"{field}.token_id")
    lists: dict[str, Any] = {}
    for name in ("top", "shortlist"):
        ids, logits = value.get(f"{name}_ids"), value.get(f"{name}_logits")
        if ids is not None:
            lists[f"{name}_ids"] = _ids(ids, f"{field}.{name}_ids")
        if logits is None:
            continue
        numbers = list_of(Given(logits, f"{field}.{name}_logits"), "a list of logits")
        if ids is None or len(ids) != len(numbers):
            count = "no" if ids is None else len(ids)
            msg = f"found {len(numbers)} logits and {count} {name}_ids; give one each"
            raise RowFault(msg, f"{field}.{name}_logits")
        lists[f"{name}_logits"] = tuple(
            _logit(item, f"{field}.{name}_logits[{place}]") for place, item in enumerate(numbers)
        )
    return CompactStep(
        token_id=token,
        logit=None if value.get("logit") is None else _logit(value["logit"], f"{field}.logit"),
        logz=None if value.get("logz") is None else _logit(value["logz"], f"{field}.logz"),
        **lists,
    )


def _logit(value: object, field: str) -> float:
    number = -math.inf if value == "-Infinity" else value
    if isinstance(number, (int, float)) and not isinstance(number, bool) and number < math.inf:
        return float(number)
    msg = f"a number is wanted, found {shown(value)}; -Infinity is the only infinite one"
    raise RowFault(msg, field)


def _same_tokens(steps: Sequence[CompactStep], ids: Sequence[int], field: str) -> None:
    for place, (step, token) in enumerate(zip(steps, ids, strict=False)):
        if step.token_id != token:
            msg = (
                f"found the token {step.token_id}, and the candidate's token_ids have {token} "
                f"there: this is evidence of another candidate; give its own, or leave it out"
            )
            raise RowFault(msg, f"{field}[{place}].token_id")


def require_one_vocabulary(query: Query, claims: Sequence[Claim]) -> None:
    """Refuse rows of two vocabularies in one record, and tokens outside of theirs.

    Raises:
        RowFault: names both, or the token.
    """
    first: tuple[str, int] | None = None
    for place, (candidate, claim) in enumerate(zip(query.candidates, claims, strict=True)):
        for name, rows in (("logits", candidate.logits), ("logprobs", claim.logprobs)):
            if not rows:
                continue
            field, size = f"candidates[{place}].{name}", len(rows[0])
            first = first or (field, size)
            if size != first[1]:
                msg = (
                    f"its rows have {size} entries and those of {first[0]} {first[1]}; evidence of "
                    f"one record is over one vocabulary"
                )
                raise RowFault(msg, field)
            outside = next((t for t in candidate.token_ids or () if t >= size), None)
            if outside is not None:
                msg = f"its rows have {size} entries, and its token_ids {outside}, which is none"
                raise RowFault(msg, field)
