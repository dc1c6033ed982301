"""The shapes that rows of candidates come in, recognised by their fields and brought to one.

The one shape has the fields of `Query` (`id, prompt | messages | prompt_ids, candidates, label,
end, boundary, bos`). Recognition looks at one row alone, so a file may mix shapes. Which field of
the file each of them came from is kept: messages speak of the file's own names.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from logpr.io._fault import RowFault, shown
from logpr.io.labels import index_of_answer
from logpr.io.mapping import OPTIONS, TARGETS, listed, renamed
from logpr.io.own import (
    Shaped,
    View,
    is_output,
    labelled,
    own_fits,
    read_own,
    refuse_dropped,
    required,
)

TABLE = frozenset(("place", "logprob", "text"))
"""Fields of a table that logpr wrote, a line a candidate."""

_JSON_CELLS = ("messages", "prompt_ids", "candidates", "candidate_ids", "endings", "choices")


@dataclass(frozen=True, slots=True)
class Shape:
    """One shape: its name, how its fields are said to people, and how a row of it is read.

    `fits` is told whether a template stands in for the prompt; `sep` joins prompt and candidate
    unless the caller says otherwise.
    """

    name: str
    needs: str
    sep: str
    fits: Callable[[View, bool], bool]
    read: Callable[[View, str | None], Shaped]


def recognise(
    row: Mapping[str, Any], *, mapping: Mapping[str, str], textual: bool, prompt: str | None
) -> tuple[Shape, Shaped]:
    """Return a row's shape, and the row in the one shape.

    Args:
        row: its fields as the file has them.
        mapping: our name of a field -> the file's.
        textual: every value is text (CSV): lists are JSON, an empty cell is an absent field.
        prompt: the prompt that a template rendered, which replaces the row's own, or None.

    Raises:
        RowFault: the row has no known shape, or its label makes no sense.
    """
    view, names = renamed(row, mapping)
    if textual:
        _read_cells(view, names)
    shape = next((shape for shape in SHAPES if shape.fits(view, prompt is not None)), None)
    if shape is None:
        _unrecognised(row, view)
    try:
        shaped = shape.read(view, prompt)
    except RowFault as fault:
        raise RowFault(fault.message, names.get(fault.field or "", fault.field)) from fault
    # A null under one of our names says that there is none; it is nothing to carry along.
    shaped.used |= {name for name in TARGETS if name in view and view[name] is None}
    _take_options(view, shaped, own=shape is SHAPES[0], mapped=set(mapping))
    shaped.names = {key: names.get(name, name) for key, name in shaped.names.items()}
    shaped.names = {**names, **shaped.names}
    shaped.used = {names[name] for name in shaped.used}
    return shape, shaped


def _take_options(view: View, shaped: Shaped, *, own: bool, mapped: set[str]) -> None:
    for name in ("id", *OPTIONS):
        value = view.get(name)
        # In other people's rows a column called `end` may mean something else, and is carried
        # along; but one of our words there means what it says.
        ours = own or name == "id" or name in mapped
        if value is not None and (ours or value in OPTIONS[name]):
            shaped.fields[name] = value
            shaped.used.add(name)


def _read_cells(view: View, names: Mapping[str, str]) -> None:
    elsewhere = bool(view.get("messages") or view.get("prompt_ids"))
    for name, cell in list(view.items()):
        # An empty prompt is a prompt; any other empty cell is how CSV says that a field is absent.
        if cell == "" and (name != "prompt" or elsewhere):
            view[name] = None
        elif name in _JSON_CELLS and cell:
            try:
                view[name] = json.loads(cell)
            except (ValueError, RecursionError) as error:
                msg = (
                    f'a JSON list is wanted in the cell, found {shown(cell)}; write ["one", "two"] '
                    f"(quoted, as CSV does), or a column each: candidate_0, candidate_1"
                )
                raise RowFault(msg, names[name]) from error


def _unrecognised(row: Mapping[str, Any], view: View) -> NoReturn:
    if set(row) >= TABLE:
        msg = (
            "this is a table that logpr wrote, a line a candidate; give the records it was made "
            "from, or write them with -o out.jsonl"
        )
    elif is_output(view):
        refuse_dropped(view)
        msg = (
            "this is a record that logpr wrote, without its prompt; write it with --tokens, which "
            "keeps the prompt, or give the records it was made from"
        )
    else:
        known = "; ".join(f"{shape.name} ({shape.needs})" for shape in SHAPES)
        msg = (
            f"no shape is known with {listed(row)}; known are {known}. Say which field is which: "
            f"--map prompt=ctx,candidates=endings, for texts in fields of their own "
            f"--map prompt=ctx,candidate_0=right,candidate_1=wrong, or render the prompt: "
            f"--template '{{{{ctx}}}}'"
        )
    raise RowFault(msg)


def _prompted(view: View, field: str, candidates: object, prompt: str | None) -> Shaped:
    shaped = Shaped({"prompt": prompt, "candidates": candidates})
    if prompt is None:
        shaped.fields["prompt"] = required(view, field)
        shaped.names["prompt"] = field
        shaped.used.add(field)
    return shaped


def _pair(view: View, good: str, bad: str, shaped: Shaped) -> Shaped:
    shaped.fields |= {"candidates": [required(view, good), required(view, bad)], "label": 0}
    shaped.names |= {"candidates[0]": good, "candidates[1]": bad}
    shaped.used |= {good, bad}
    return shaped


def _read_chosen(view: View, prompt: str | None) -> Shaped:
    if isinstance(view["chosen"], list) or isinstance(view["rejected"], list):
        if prompt is not None:
            msg = "--template renders a text, and the row has a conversation; leave --template out"
            raise RowFault(msg, "chosen")
        return _read_conversations(view)
    if "prompt" not in view and prompt is None:
        msg = (
            'two texts without a prompt; add the field "prompt", or say that there is none: '
            "--template ''"
        )
        raise RowFault(msg, "chosen")
    return _pair(view, "chosen", "rejected", _prompted(view, "prompt", None, prompt))


def _read_conversations(view: View) -> Shaped:
    chosen, rejected = _turns(view, "chosen"), _turns(view, "rejected")
    if chosen[:-1] != rejected[:-1]:
        msg = (
            "the conversation differs from the chosen one before its last turn; two conversations "
            "are compared by that turn alone"
        )
        raise RowFault(msg, "rejected")
    shaped = Shaped({}, names={"messages": "chosen"}, used={"chosen", "rejected"})
    before = view.get("prompt")
    if isinstance(before, list):
        # The turns before stand in the prompt, the two last ones in chosen and rejected.
        shaped.used.add("prompt")
    messages = [*(before if isinstance(before, list) else ()), *chosen[:-1]]
    if not messages:
        msg = (
            "the conversation is its last turn alone; put the turns before it into "
            '"prompt": [{"role": "user", "content": "…"}]'
        )
        raise RowFault(msg, "chosen")
    last = [chosen[-1]["content"], rejected[-1]["content"]]
    shaped.fields = {"messages": messages, "candidates": last, "label": 0}
    shaped.names |= {"candidates[0]": "chosen", "candidates[1]": "rejected"}
    return shaped


def _turns(view: View, name: str) -> list[Any]:
    value = view[name]
    last = value[-1] if isinstance(value, list) and value else None
    if isinstance(last, dict) and last.get("role") == "assistant" and "content" in last:
        return list(value)
    msg = (
        f"a conversation that ends in the assistant's turn is wanted, found {shown(value)}; "
        f'end it with {{"role": "assistant", "content": "…"}}'
    )
    raise RowFault(msg, name)


def _read_sentences(view: View, prompt: str | None) -> Shaped:
    # A whole sentence is scored from its start: there is no prompt before it.
    shaped = Shaped({"prompt": "" if prompt is None else prompt})
    return _pair(view, "sentence_good", "sentence_bad", shaped)


def _read_endings(view: View, prompt: str | None) -> Shaped:
    context = "ctx" if "ctx" in view else "query"
    shaped = _prompted(view, context, required(view, "endings"), prompt)
    shaped.names["candidates"] = "endings"
    shaped.used.add("endings")
    return labelled(shaped, view)


def _read_choices(view: View, prompt: str | None) -> Shaped:
    choices = required(view, "choices")
    marks = choices.get("label") if isinstance(choices, dict) else None
    texts = choices.get("text") if isinstance(choices, dict) else choices
    marked = isinstance(marks, list) and isinstance(texts, list) and len(marks) == len(texts)
    if not isinstance(texts, list) or not (marked or marks is None):
        msg = (
            f"found {shown(choices)}; choices are a list, or two lists of one length: "
            f'{{"text": ["a cat", "a dog"], "label": ["A", "B"]}}'
        )
        raise RowFault(msg, "choices")
    shaped = _prompted(view, "question", texts, prompt)
    shaped.names["candidates"] = "choices"
    shaped.used.add("choices")
    key = "answer" if "answer" in view else "label"
    if key in view:
        shaped.fields["label"] = index_of_answer(view[key], texts, marks, key)
        shaped.names["label"] = key
        shaped.used.add(key)
    return shaped


def _fits(*needs: str, prompt: str | None = None) -> Callable[[View, bool], bool]:
    def fits(view: View, templated: bool) -> bool:  # noqa: FBT001 - the signature of all shapes
        return all(name in view for name in needs) and (
            prompt is None or templated or prompt in view
        )

    return fits


SHAPES = (
    Shape(
        "prompt/candidates",
        "prompt, messages or prompt_ids, with candidates or candidate_ids",
        "",
        own_fits,
        read_own,
    ),
    Shape(
        "prompt/chosen/rejected",
        "prompt, chosen, rejected",
        "",
        _fits("chosen", "rejected"),
        _read_chosen,
    ),
    Shape(
        "sentence_good/sentence_bad",
        "both",
        "",
        _fits("sentence_good", "sentence_bad"),
        _read_sentences,
    ),
    Shape("ctx/endings/label", "ctx, endings", " ", _fits("endings", prompt="ctx"), _read_endings),
    Shape(
        "query/endings/label",
        "query, endings",
        " ",
        _fits("endings", prompt="query"),
        _read_endings,
    ),
    Shape(
        "question/choices/answer",
        "question, choices",
        " ",
        _fits("choices", prompt="question"),
        _read_choices,
    ),
)
"""Every shape, in the order they are tried."""
