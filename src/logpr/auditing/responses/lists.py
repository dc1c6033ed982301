"""Checks of a response's lists: each against itself, and against the token that was chosen.

A check takes the responses and returns a `Finding` for what it saw, or nothing. `rows` counts the
steps struck. One accuses only of what no log-probabilities could be, beyond their rounding.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from logpr._values.audit import Finding
from logpr.auditing.responses.units import (
    Check,
    entries_of,
    garbled,
    listed_steps,
    of_lists,
    turned,
    upright,
)
from logpr.auditing.responses.values import Response, in_nats


def chosen_disagrees_with_list(responses: Sequence[Response]) -> tuple[Finding, ...]:
    """Find chosen tokens with two values: their own, and another in the list."""
    struck: list[str] = []
    compared, certain = 0, False
    for response, step in listed_steps(responses):
        found = [entry.value for entry in entries_of(step) or () if entry.value is not None]
        if step.value is None or not found:
            continue
        compared += 1
        low, high = in_nats(step.value, response.unit)
        spans = [in_nats(value, response.unit) for value in found]
        if all(high < other_low or other_high < low for other_low, other_high in spans):
            struck.append(step.where)
            certain |= not response.text_keyed
    if not struck:
        return ()
    # Where lists are keyed by text, another token of the same text may have taken the place.
    accuses = certain or (len(struck) > 1 and 2 * len(struck) > compared)
    says = (
        f"the chosen token has one value of its own and another in the list at "
        f"{of_lists(struck, responses)}, first at {struck[0]}: two computations made them"
    )
    return (
        Finding(
            id="chosen_disagrees_with_list",
            says=says,
            rows=len(struck),
            suggests=("temperature", "shortlist_given"),
            accuses=accuses,
        ),
    )


def chosen_missing_but_above_list(responses: Sequence[Response]) -> tuple[Finding, ...]:
    """Find chosen tokens that a list of the likeliest leaves out although they are likelier."""
    struck: list[str] = []
    for response in responses:
        if turned(response) or _lists_are_named(response):
            continue
        for _, step in listed_steps([response]):
            values = [entry.value for entry in step.top or () if entry.value is not None]
            if step.value is None or not values or entries_of(step) != ():
                continue
            least = min(in_nats(value, response.unit)[1] for value in values)
            if in_nats(step.value, response.unit)[0] > least:
                struck.append(step.where)
    if not struck:
        return ()
    says = (
        f"the chosen token is likelier than the last listed one and is not listed at "
        f"{of_lists(struck, responses)}, first at {struck[0]}: the list is of another distribution"
    )
    return (
        Finding(
            id="chosen_missing_but_above_list",
            says=says,
            rows=len(struck),
            suggests=("unshifted", "shifted_twice", "temperature"),
            accuses=True,
        ),
    )


def _lists_are_named(response: Response) -> bool:
    """Return whether the lists may be of tokens that the caller named, not of the likeliest."""
    lists = {
        frozenset((entry.id, entry.token) for entry in step.top or ())
        for _, step in listed_steps([response])
    }
    return len(lists) <= 1


def greedy_but_not_top(responses: Sequence[Response]) -> tuple[Finding, ...]:
    """Find chosen tokens that a listed one beats: the text was sampled, or given."""
    struck = [
        step
        for response, step in listed_steps(upright(responses))
        if step.value is not None
        and any(
            in_nats(entry.value, response.unit)[0] > in_nats(step.value, response.unit)[1]
            for entry in step.top or ()
            if entry.value is not None
        )
    ]
    if not struck:
        return ()
    says = (
        f"the chosen token is not the likeliest at {of_lists(struck, responses)}: the text was "
        f"sampled or given, not decoded greedily"
    )
    return (Finding(id="greedy_but_not_top", says=says, rows=len(struck)),)


def list_not_sorted(responses: Sequence[Response]) -> tuple[Finding, ...]:
    """Find lists that are not in falling order (servers may put the chosen token first or last)."""
    struck = []
    for response, step in listed_steps(upright(responses)):
        own = entries_of(step) or ()
        spans = [
            in_nats(entry.value, response.unit)
            for entry in step.top or ()
            if entry.value is not None and entry not in own
        ]
        if any(later[0] > earlier[1] for earlier, later in itertools.pairwise(spans)):
            struck.append(step.where)
    if not struck:
        return ()
    says = (
        f"the list is not in falling order at {of_lists(struck, responses)}, first at {struck[0]}"
    )
    return (Finding(id="list_not_sorted", says=says, rows=len(struck), suggests=("negated",)),)


def duplicate_tokens(responses: Sequence[Response]) -> tuple[Finding, ...]:
    """Find lists that name one token twice: by id certainly, by text perhaps."""
    struck: list[str] = []
    certain = False
    for _, step in listed_steps(responses):
        names: list[object] = []
        for entry in step.top or ():
            if entry.id is not None:
                names.append(entry.id)
            elif not garbled(entry.token, entry.raw):
                names.append((entry.token, entry.raw))
        twice = {name for name in names if names.count(name) > 1}
        if twice:
            struck.append(step.where)
            certain |= any(isinstance(name, int) for name in twice)
    if not struck:
        return ()
    of_text = "" if certain else " by its text (two ids may share it)"
    says = (
        f"a list names one token twice{of_text} at {of_lists(struck, responses)}, first at "
        f"{struck[0]}"
    )
    return (Finding(id="duplicate_tokens", says=says, rows=len(struck), accuses=certain),)


def equal_top_ties(responses: Sequence[Response]) -> tuple[Finding, ...]:
    """Find lists in which two tokens have exactly the same value."""
    struck = []
    for _, step in listed_steps(responses):
        values = [entry.value.value for entry in step.top or () if entry.value is not None]
        if len(set(values)) < len(values):
            struck.append(step.where)
    if not struck:
        return ()
    says = (
        f"two listed tokens have exactly the same value at {of_lists(struck, responses)}: logits "
        f"of few digits tie, and so do numbers printed to few"
    )
    return (Finding(id="equal_top_ties", says=says, rows=len(struck)),)


LIST_CHECKS: tuple[Check, ...] = (
    chosen_disagrees_with_list,
    chosen_missing_but_above_list,
    duplicate_tokens,
    list_not_sorted,
    equal_top_ties,
    greedy_but_not_top,
)
"""Every check of the lists, those that may accuse first."""
