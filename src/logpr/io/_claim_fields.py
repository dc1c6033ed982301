"""Which fields of a row are claims: they are taken out, and what is left is a row like any other.

Numbers that somebody claims must not pass for numbers that make a model unnecessary, so a
candidate's `token_logprobs` never reach the query.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from logpr.io._fault import RowFault, shown
from logpr.io.mapping import CLAIMS, NUMBERED, NUMBERED_CLAIM, OPTIONS, PROMPTS, listed
from logpr.io.own import is_output
from logpr.io.shapes import TABLE

ITEM_NAMES = {
    "score": ("score", "logprob"),
    "token_scores": ("token_scores", "token_logprobs"),
    "end_logprob": ("end_logprob",),
    "shortlist_ids": ("shortlist_ids",),
    "logprobs": ("logprobs",),
    "steps": ("steps",),
}
"""What a candidate may bring, and the names it goes by."""

OUTPUT_NAMES = {
    "score": ("logprob",),
    "token_scores": ("token_logprobs",),
    "end_logprob": ("end_logprob",),
}
"""The claims of a candidate that logpr wrote; the name `logprob` it is known by stays there."""

ROW_NAMES = {
    "scores": ("scores", "score", "logprob"),
    "token_scores": ("token_scores", "token_logprobs"),
    "chosen": ("chosen",),
    "arm": ("arm",),
    "declares": ("declares",),
}
"""What a row may bring for all of its candidates, and the names it goes by."""

_LISTS = ("candidates", "endings", "choices")
_NEVER_LEFT = ("token_logprobs", "end_logprob")
_NOTHING = (None, "")
_SEVERAL = ("scores", "token_scores")


class Given(NamedTuple):
    """A value not yet checked, and its field as the file spells it."""

    value: Any
    field: str


@dataclass(slots=True)
class Taken:
    """The claims of one row, not yet checked.

    `claimed`: the mapping's part that names claims. `output`: logpr wrote the record, `marginal`
    under that boundary. `items`: by the candidate's place. `used`: the row's fields that claims
    stood in, `inside` those of candidates. `unprompted`: the row has no prompt, and one that means
    nothing was put in for it; `bare`: so it was for this many candidates, which the row has not.
    """

    claimed: Mapping[str, str]
    output: bool = False
    row: dict[str, Given] = field(default_factory=dict)
    items: dict[int, dict[str, Given]] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)
    inside: set[str] = field(default_factory=set)
    marginal: bool = False
    unprompted: bool = False
    bare: int = 0

    def names_of(self, aliases: tuple[str, ...]) -> list[str]:
        """Return the names in the file of a claim that has these names with us."""
        mapped = [self.claimed[name] for name in aliases if name in self.claimed]
        return mapped or list(aliases)


def is_claim(target: str, mapping: Mapping[str, str]) -> bool:
    """Return whether a mapping's target names a claim; `chosen` may be one of a pair of texts."""
    if target == "chosen":
        return "rejected" not in mapping
    return target in CLAIMS or NUMBERED_CLAIM.fullmatch(target) is not None


def take(
    row: Mapping[str, Any], mapping: Mapping[str, str], *, textual: bool, templated: bool
) -> tuple[dict[str, Any], Taken]:
    """Return the row without what is claimed for its candidates, and the claims.

    Args:
        row: its fields as the file has them.
        mapping: our name of a field -> the file's; names of claims and others.
        textual: every value is text (CSV): lists are JSON, whose numbers keep their digits.
        templated: a template stands in for the prompt.

    Raises:
        RowFault: a claim is given twice, or stands where none can.
    """
    if set(row) >= TABLE and "candidates" not in row:
        return dict(row), Taken(claimed={})  # its reader says what this is
    left = dict(row)
    candidates = left.get(mapping.get("candidates", "candidates"))
    taken = Taken(
        claimed={name: source for name, source in mapping.items() if is_claim(name, mapping)},
        output=not textual and is_output({**left, "candidates": candidates}),
    )
    pair = "rejected" in mapping or ("rejected" in row and "chosen" not in mapping)
    _take_row(left, taken, textual=textual, pair=pair)
    if not taken.output:
        _take_columns(left, taken, textual=textual)
    for name, value in row.items():
        column = _column_of(name, mapping)
        if column is not None and isinstance(value, dict):
            left[name] = _without_claims(value, name, column, taken)
        elif any(mapping.get(ours, ours) == name for ours in _LISTS):
            left[name] = _take_items(value, name, taken, textual=textual)
    _require_found(row, taken)
    _stand_in(left, mapping, taken, templated=templated)
    if not templated:
        _stand_in_for_all(left, mapping, taken, textual=textual)
    return left, taken


def _column_of(name: str, mapping: Mapping[str, str]) -> int | None:
    ours = next((target for target, source in mapping.items() if source == name), name)
    match = NUMBERED.fullmatch(ours)
    return None if match is None else int(match[1])


def _take_row(row: Mapping[str, Any], taken: Taken, *, textual: bool, pair: bool) -> None:
    for ours, names in ROW_NAMES.items():
        # What a record that logpr wrote carries along was claimed of other numbers.
        if (taken.output and ours != "arm") or (ours == "chosen" and pair):
            continue
        found = [name for name in taken.names_of(names) if name in row]
        present = [name for name in found if row[name] not in _NOTHING]
        if len(present) > 1:
            msg = f"found {present[0]!r} and {present[1]!r}: {_one_of(ours, present)}"
            raise RowFault(msg, present[1])
        taken.used |= {name for name in found if row[name] in _NOTHING}
        if present:
            value = row[present[0]]
            if textual and ours != "arm":
                value = _cell(value, present[0])
            taken.row[ours] = Given(value, present[0])
            taken.used.add(present[0])


def _take_columns(row: Mapping[str, Any], taken: Taken, *, textual: bool) -> None:
    """Take score_0, score_1, …."""
    sources = {name: name for name in row if NUMBERED_CLAIM.fullmatch(name)}
    for name, source in {**sources, **taken.claimed}.items():
        match = NUMBERED_CLAIM.fullmatch(name)
        if match is None or source not in row:
            continue
        taken.used.add(source)
        if row[source] in _NOTHING:
            continue
        several = "scores" if match[1] == "score" else match[1]
        if several in taken.row:
            other = taken.row[several].field
            msg = f"found {other!r} and {source!r}: {_one_of(several, [other, source])}"
            raise RowFault(msg, source)
        value = _cell(row[source], source) if textual else row[source]
        taken.items.setdefault(int(match[2]), {})[match[1]] = Given(value, source)


def _one_of(ours: str, names: list[str]) -> str:
    name = "score" if ours == "scores" else ours
    return f"which is the claim? Leave one out, or say it: --map {name}={names[0]}"


def _cell(cell: Any, name: str) -> Any:  # noqa: ANN401 - a cell's JSON value, not yet checked
    """Return a cell's value: lists and objects are JSON, numbers keep their digits."""
    if not isinstance(cell, str) or cell.lstrip()[:1] not in ("[", "{"):
        return cell
    try:
        return _digits(cell)
    except (ValueError, RecursionError) as error:
        msg = f"JSON is wanted in the cell, found {shown(cell)}; write [-2.40, -2.3]"
        raise RowFault(msg, name) from error


def _digits(text: str) -> Any:  # noqa: ANN401 - any JSON value
    return json.loads(text, parse_float=str, parse_constant=str)


def _take_items(value: Any, source: str, taken: Taken, *, textual: bool) -> Any:  # noqa: ANN401 - not yet checked
    """Take the claims of a list of candidates, and return what is left of it."""
    digits = None
    if textual and isinstance(value, str):
        try:
            items, digits = json.loads(value), _digits(value)
        except (ValueError, RecursionError):
            return value  # its reader says what is wrong
    else:
        items = value
    if not isinstance(items, list) or not any(isinstance(item, dict) for item in items):
        return value
    left = [
        _without_claims(
            item, f"{source}[{place}]", place, taken, None if digits is None else digits[place]
        )
        if isinstance(item, dict)
        else item
        for place, item in enumerate(items)
    ]
    return left if digits is None else json.dumps(left)


def _without_claims(
    item: dict[str, Any],
    path: str,
    place: int,
    taken: Taken,
    digits: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Take a candidate's claims, and return the rest of it."""
    found = taken.items.setdefault(place, {})
    names = OUTPUT_NAMES if taken.output else ITEM_NAMES
    left = {name: value for name, value in item.items() if name not in _NEVER_LEFT}
    for ours, aliases in names.items():
        known = aliases if taken.output else taken.names_of(aliases)
        present = [name for name in known if item.get(name) is not None]
        if len(present) > 1:
            msg = f"found {present[0]!r} and {present[1]!r}: {_one_of(ours, present)}"
            raise RowFault(msg, f"{path}.{present[1]}")
        if not present:
            continue
        if ours in found:
            msg = f"for the same candidate there is {found[ours].field!r}; leave one out"
            raise RowFault(msg, f"{path}.{present[0]}")
        value = (item if digits is None else digits)[present[0]]
        found[ours] = Given(value, f"{path}.{present[0]}")
        taken.inside.add(present[0])
    if taken.output:
        taken.marginal = taken.marginal or {"lower", "exact"} <= set(item)
        if item.get("text") is not None and item.get("boundary") != "given":
            # They came of its text, and so they do again: the boundary is audited too.
            left.pop("token_ids", None)
        return left
    for name in (name for aliases in names.values() for name in taken.names_of(aliases)):
        left.pop(name, None)
    _require_something(left, found, path)
    return left


def _require_something(left: dict[str, Any], found: dict[str, Given], path: str) -> None:
    """Give a recorded candidate the ids of its steps; refuse one that stands for nothing."""
    if left.get("text") is not None or left.get("token_ids") is not None:
        return
    steps = found["steps"].value if "steps" in found else None
    if isinstance(steps, list) and all(isinstance(step, dict) for step in steps):
        ids = [step.get("token_id") for step in steps]
        left["token_ids"] = ids[:-1] if ids and ids[-1] == -1 else ids
        return
    msg = (
        f'a candidate has "text" or "token_ids", found only {listed(left | dict(found))}; write '
        f'{{"text": " warm mat", "score": -2.40}}, or of numbers alone a row {{"scores": [-2.40]}}'
    )
    raise RowFault(msg, path)


def _require_found(row: Mapping[str, Any], taken: Taken) -> None:
    for target, source in taken.claimed.items():
        if source not in row and source not in taken.inside:
            msg = (
                f"--map {target}={source} names it, and neither the row nor its candidates have "
                f"it; the row has only {listed(row)}"
            )
            raise RowFault(msg, source)
    if row.get("shortlist_ids") is not None and not taken.output:
        msg = 'they belong to one candidate; write {"text": " warm mat", "shortlist_ids": [[5, 9]]}'
        raise RowFault(msg, "shortlist_ids")


def _stand_in(
    row: dict[str, Any], mapping: Mapping[str, str], taken: Taken, *, templated: bool
) -> None:
    """Let a row of nothing but numbers pass without a prompt."""
    # A prompt that a mapping names and the row lacks is a mistake, not a row of numbers alone.
    if templated or any(name in mapping or row.get(name) is not None for name in PROMPTS):
        return
    lists = [mapping.get(name, name) for name in ("candidates", "candidate_ids")]
    several = any(row.get(name) not in _NOTHING for name in lists)
    numbered = any(_column_of(name, mapping) is not None for name in row)
    own = [mapping.get(name, name) for name in ("ctx", "query", "question")]
    if not (several or numbered) or any(name in row for name in own):
        return
    candidates = row.get(lists[0])
    if isinstance(candidates, list) and all(
        isinstance(item, dict) and item.get("logits") is not None for item in candidates
    ):
        return
    row[mapping.get("prompt", "prompt")] = "?"
    taken.unprompted = True


def _stand_in_for_all(
    row: dict[str, Any], mapping: Mapping[str, str], taken: Taken, *, textual: bool
) -> None:
    """Let a row pass that has claims, and neither a prompt nor candidates."""
    beside = {mapping.get(name, name) for name in ("id", "label", *OPTIONS)}
    named = any(name in mapping for name in (*PROMPTS, "candidates", "candidate_ids"))
    # Any other field may be what the numbers are of, under a name that is to be mapped.
    if named or taken.output or set(row) - taken.used - beside:
        return
    sizes = [
        _size_of(taken.row[name], single=name == "token_scores")
        for name in _SEVERAL
        if name in taken.row
    ]
    size = max(sizes, default=len(taken.items))
    if size == 0 or set(taken.items) - set(range(size)):
        return
    texts = ["?"] * size
    row["prompt"], row["candidates"] = "?", json.dumps(texts) if textual else texts
    taken.unprompted, taken.bare = True, size


def _size_of(given: Given, *, single: bool) -> int:
    """Return of how many candidates a row's claims are: of one, unless it lists them."""
    value = given.value
    if not isinstance(value, list) or (
        single and not any(isinstance(part, list) for part in value)
    ):
        return 1
    return len(value)
