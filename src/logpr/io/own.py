"""The one shape that every row is brought to, and the rows that have it already: our own records.

Also read here: records that logpr wrote itself, results left out, so that a later verb can take
the output of an earlier one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeAlias

from logpr.io._fault import RowFault
from logpr.io.labels import index_of_label
from logpr.io.mapping import NUMBERED, PROMPTS

RESULTS = frozenset(("rule", "best", "order", "margin", "noise", "tie", "warnings"))
"""Fields of a record that logpr wrote which are results, not input, when it is read again."""

CANDIDATE_RESULTS = frozenset(
    (
        *("index", "logprob", "per_token", "per_char", "per_byte", "bits_per_byte", "choice_prob"),
        *("tokens", "bytes", "boundary", "token_texts", "logit", "logz", "rank", "top_id"),
        *("top_logit", "top_logprob", "entropy", "alternatives", "end_evidence", "lower", "upper"),
        *("exact", "joint_boundary_logprob", "prompt_logprob", "joint_logprob"),
    )
)
"""Fields of such a record's candidates which are results, not input, when it is read again."""

TOP_RESULTS = frozenset(("top", "tokens_fed", "tokens_full"))
"""Further results of a record that was written with `top`, and has all of these."""

_LISTED = 5
"""How many candidates a message names."""


@dataclass(slots=True)
class Shaped:
    """A row in the one shape.

    `names`: the file's own name of each field, where it is not the same. `used`: fields of the
    file that the query is made of; the others are carried along.
    """

    fields: dict[str, Any]
    names: dict[str, str] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)


View: TypeAlias = dict[str, Any]
"""A row under our names, values not yet checked."""


def required(view: View, name: str) -> Any:  # noqa: ANN401 - not yet checked
    """Return a field that the shape needs.

    Raises:
        RowFault: it is null, or its cell is empty.
    """
    if view[name] is None:
        msg = "found nothing; write its text, or put the row aside with --on-error skip"
        raise RowFault(msg, name)
    return view[name]


def own_fits(view: View, templated: bool) -> bool:  # noqa: FBT001 - the signature of all shapes
    """Return whether a row has candidates under our names, and a prompt where one is needed."""
    if not any(view.get(name) is not None for name in ("candidates", "candidate_ids")):
        numbered = _numbered(view)
        return bool(numbered) and (templated or any(view.get(name) is not None for name in PROMPTS))
    # Candidates that bring their own numbers need no prompt.
    prompted = templated or any(view.get(name) is not None for name in PROMPTS)
    return prompted or _brings_numbers(view)


def read_own(view: View, prompt: str | None) -> Shaped:
    """Return a row that has our own names; `prompt`: what a template rendered, or None."""
    given = {name: view[name] for name in PROMPTS if view.get(name) is not None}
    if prompt is not None:
        if "messages" in given or "prompt_ids" in given:
            msg = "--template renders a text, and the row has messages or ids; leave one out"
            raise RowFault(msg)
        shaped = Shaped({"prompt": prompt})
    else:
        shaped = Shaped(given or {"prompt": ""}, used=set(given))
    lists = [name for name in ("candidates", "candidate_ids") if view.get(name) is not None]
    for name in lists:
        shaped.fields[name] = view[name]
        shaped.used.add(name)
    if not lists:
        columns = _numbered(view)
        shaped.fields["candidates"] = _of_columns(view, columns)
        shaped.names |= {f"candidates[{place}]": name for place, name in enumerate(columns)}
        shaped.used.update(columns)
    if is_output(view):
        refuse_dropped(view)
        topped = _topped(view)
        results = CANDIDATE_RESULTS | {str(view.get("rule")), *(("pruned",) if topped else ())}
        shaped.fields["candidates"] = [
            {
                name: value
                for name, value in item.items()
                # Without its tokens' numbers that of END alone would be no score.
                if name not in results and (name != "end_logprob" or "token_logprobs" in item)
            }
            for item in view["candidates"]
        ]
        shaped.used |= (RESULTS | TOP_RESULTS if topped else RESULTS) & set(view)
    return labelled(shaped, view)


def _of_columns(view: View, columns: list[str]) -> list[Any]:
    values = [view[name] for name in columns]
    while values and values[-1] is None:
        values.pop()
    for name, value in zip(columns, values, strict=False):
        if value is None:
            msg = (
                "found nothing, and a later one is given: an empty candidate, or none? "
                'Write them as one list: "candidates": ["one", "", "three"]'
            )
            raise RowFault(msg, name)
    return values


def labelled(shaped: Shaped, view: View) -> Shaped:
    """Return `shaped` with the row's label, where it has one."""
    if "label" in view:
        shaped.fields["label"] = index_of_label(view["label"], "label")
        shaped.used.add("label")
    return shaped


def _numbered(view: View) -> list[str]:
    found = [(int(match[1]), name) for name in view if (match := NUMBERED.fullmatch(name))]
    return [name for _, name in sorted(found)]


def is_output(view: View) -> bool:
    """Return whether logpr wrote this record: a ranking or scores."""
    candidates = view.get("candidates")
    return (
        isinstance(view.get("warnings"), list)
        and isinstance(candidates, list)
        and all(isinstance(item, dict) and _is_result(item) for item in candidates)
    )


def refuse_dropped(view: View) -> None:
    """Refuse a record that logpr wrote with `top`, and that has dropped candidates.

    Raises:
        RowFault: names them, and each way out.
    """
    if not _topped(view):
        return
    dropped = [place for place, item in enumerate(view["candidates"]) if item.get("pruned") is True]
    if not dropped:
        return
    listed = ", ".join(map(str, dropped[:_LISTED]))
    more = f" and {len(dropped) - _LISTED} more" if len(dropped) > _LISTED else ""
    were = f"candidate {listed} was" if len(dropped) == 1 else f"candidates {listed}{more} were"
    msg = (
        f"this is a record that logpr wrote with --top {view['top']}, and {were} dropped: that "
        f"leaves them a bound and no number, and a model asked now need not be the one that gave "
        f"the others theirs; give the file that it was made from, or write it without --top (and "
        f"with --tokens)"
    )
    raise RowFault(msg)


def _topped(view: View) -> bool:
    return set(view) >= TOP_RESULTS


def _is_result(item: View) -> bool:
    # From Parquet a null is an absent field, and a dropped candidate has no log-probability.
    known = {"logprob"} if "logprob" in item else {"pruned", "upper"}
    return {"index", *known} <= set(item)


def _brings_numbers(view: View) -> bool:
    candidates = view.get("candidates")
    return isinstance(candidates, list) and all(
        isinstance(item, dict)
        and (item.get("logits") is not None or item.get("token_logprobs") is not None)
        for item in candidates
    )
