"""What was claimed, checked: numbers with their digits, evidence that fits its candidate."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, get_args

from logpr._rules import STANDING, rule_named
from logpr._values import Candidate, Query
from logpr.auditing.claims.printed import printed
from logpr.auditing.claims.values import Claim, Declares, Printed, Unit
from logpr.errors import InputError
from logpr.io._claim_evidence import evidence_of, list_of, require_one_vocabulary
from logpr.io._claim_fields import Given, Taken
from logpr.io._fault import RowFault, shown
from logpr.io.labels import index_of_label
from logpr.io.mapping import OPTIONS

_WORDS: dict[str, tuple[str, ...]] = {**OPTIONS, "unit": get_args(Unit)}
_RULES = f"{', '.join(rule.name for rule in STANDING)}, length_penalty(ALPHA), pmi"


def declared_by(given: object, field: str, base: Declares) -> Declares:
    """Return what a row declares its numbers to be; what it leaves out is as in `base`.

    Raises:
        RowFault: it is no object, or has a key or a value that stands for nothing.
    """
    if not isinstance(given, Mapping):
        msg = (
            f'an object is wanted, found {shown(given)}; write "declares": {{"rule": "per_token"}}'
        )
        raise RowFault(msg, field)
    said: dict[str, Any] = {
        name: getattr(base, name) for name in ("rule", "end", "boundary", "bos", "unit")
    }
    for key, value in given.items():
        if key not in said:
            msg = f"found the key {shown(key)}; known are {', '.join(said)}"
            raise RowFault(msg, field)
        if value is None:
            continue
        if key == "rule":
            said[key] = _rule(value, f"{field}.rule")
        elif value not in _WORDS[key]:
            msg = f"found {shown(value)}; known are {', '.join(_WORDS[key])}"
            raise RowFault(msg, f"{field}.{key}")
        else:
            said[key] = value
    return Declares(**said)


def _rule(value: object, field: str) -> str:
    if isinstance(value, str) and not value.strip().startswith("vocab_subset"):
        try:
            return rule_named(value).name
        except InputError as error:
            msg = f"found {shown(value)}; known are {_RULES} ({error})"
            raise RowFault(msg, field) from error
    msg = f"found {shown(value)}; known are {_RULES}"
    raise RowFault(msg, field)


def lower_wins(declares: Declares) -> bool:
    """Return whether the smallest number is the best one under what is declared."""
    return declares.unit == "perplexity" or not rule_named(declares.rule).higher_wins


def claims_of(taken: Taken, query: Query, decimals: int | None) -> tuple[Claim, ...]:
    """Return the claims of a row's candidates, in their order; of some rows nothing is claimed.

    Raises:
        RowFault: a claim is no number, or evidence does not fit.
    """
    count = len(query.candidates)
    items = {place: dict(given) for place, given in taken.items.items()}
    for name, single in (("scores", "score"), ("token_scores", "token_scores")):
        if name in taken.row and taken.row[name].value is not None:
            _deal(taken.row[name], single, count, items)
    for place, given in items.items():
        if place >= count and given:
            first = next(iter(given.values()))
            msg = f"there are {count} candidates, counted from 0; leave it out"
            raise RowFault(msg, first.field)
    claims = tuple(
        _claim(items.get(place, {}), candidate, decimals)
        for place, candidate in enumerate(query.candidates)
    )
    _same_kind([claim.score for claim in claims], taken, items, "score")
    for place, claim in enumerate(claims):
        _same_kind(claim.token_scores or (), taken, {place: items.get(place, {})}, "token_scores")
    require_one_vocabulary(query, claims)
    return claims


def _deal(given: Given, single: str, count: int, items: dict[int, dict[str, Given]]) -> None:
    """Give each candidate its part of a list that stands beside the candidates."""
    value, field = given
    whole = not isinstance(value, list) or (
        single == "token_scores" and not any(isinstance(part, list) for part in value)
    )
    if count == 1 and whole:
        parts = {0: Given(value, field)}
    elif not isinstance(value, list):
        msg = f"a list is wanted, one entry a candidate, found {shown(value)}"
        raise RowFault(msg, field)
    elif len(value) != count:
        msg = (
            f"found {len(value)} for {count} candidates; give one each, null where nothing was "
            f"claimed"
        )
        raise RowFault(msg, field)
    else:
        parts = {place: Given(part, f"{field}[{place}]") for place, part in enumerate(value)}
    for place, part in parts.items():
        if part.value is None:
            continue
        if single in items.setdefault(place, {}):
            msg = (
                f"found {shown(part.value)} and, for the same candidate, "
                f"{items[place][single].field!r}; leave one out"
            )
            raise RowFault(msg, part.field)
        items[place][single] = part


def _claim(given: dict[str, Given], candidate: Candidate, decimals: int | None) -> Claim:
    score = _number(given["score"], decimals) if "score" in given else None
    tokens = _numbers(given["token_scores"], decimals) if "token_scores" in given else None
    if "end_logprob" in given:
        if tokens is None and "token_scores" not in given and "score" not in given:
            msg = "it is the last of a candidate's token_scores, and it has none; add them"
            raise RowFault(msg, given["end_logprob"].field)
        if tokens is not None:
            tokens = (*tokens, _number(given["end_logprob"], decimals))
    return Claim(score=score, token_scores=tokens, **evidence_of(given, candidate))


def _number(given: Given, decimals: int | None) -> Printed:
    if isinstance(given.value, bool) or not isinstance(given.value, (str, int, float)):
        msg = f"a number is wanted, found {shown(given.value)}; write -2.3, or '-2.30' as printed"
        raise RowFault(msg, given.field)
    try:
        return printed(given.value, decimals=decimals)
    except InputError as error:
        raise RowFault(str(error), given.field) from error


def _numbers(given: Given, decimals: int | None) -> tuple[Printed, ...]:
    found = list_of(given, "a list of numbers, one a token,")
    return tuple(
        _number(Given(item, f"{given.field}[{place}]"), decimals)
        for place, item in enumerate(found)
    )


def _same_kind(
    numbers: Sequence[Printed | None],
    taken: Taken,
    items: Mapping[int, Mapping[str, Given]],
    name: str,
) -> None:
    finite = [number for number in numbers if number is not None and math.isfinite(number.value)]
    percent = next((number for number in finite if number.percent), None)
    plain = next((number for number in finite if not number.percent), None)
    if percent is None or plain is None:
        return
    several = "scores" if name == "score" else name
    given = next((item[name] for item in items.values() if name in item), None)
    field = taken.row[several].field if several in taken.row else (given.field if given else name)
    msg = (
        f"found {percent.text!r}, a percentage, beside {plain.text!r}, which is none; write all "
        f"numbers of a row in one unit"
    )
    raise RowFault(msg, field)


def chosen_of(taken: Taken, claims: Sequence[Claim], declares: Declares) -> int | None:
    """Return the index that was taken: the row's own, or that of the best claim, ties first.

    Raises:
        RowFault: the row's own is no index of a candidate.
    """
    if "chosen" in taken.row:
        value, field = taken.row["chosen"]
        try:
            index = index_of_label(value, field)
        except RowFault as fault:
            msg = (
                f"found {shown(value)}; chosen is the index of the candidate that was taken, "
                f'counted from 0: "chosen": 1'
            )
            raise RowFault(msg, field) from fault
        if index is not None and not 0 <= index < len(claims):
            msg = (
                f"found {index}, and there are {len(claims)} candidates; write a whole number from "
                f"0 to {len(claims) - 1}, or leave it out: the best claim"
            )
            raise RowFault(msg, field)
        if index is not None:
            return index
    sign = -1.0 if lower_wins(declares) else 1.0
    known = [
        (-sign * claim.score.value, place)
        for place, claim in enumerate(claims)
        if claim.score is not None and not math.isnan(claim.score.value)
    ]
    return min(known)[1] if known else None


def arm_of(taken: Taken) -> str | None:
    """Return the arm of an A/B test that a row belongs to.

    Raises:
        RowFault: it is no name.
    """
    if "arm" not in taken.row:
        return None
    value, field = taken.row["arm"]
    if isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool)):
        return str(value)
    msg = f'the name of an arm is wanted, found {shown(value)}; write "arm": "A"'
    raise RowFault(msg, field)
