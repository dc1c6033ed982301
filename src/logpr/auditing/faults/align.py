"""Stage align: which row is read for which token. A change gives a layout's steps."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from logpr.auditing.faults._entry import Change, Count, Fault, ParameterSpec
from logpr.auditing.scene.layout import Layout
from logpr.auditing.scene.scene import Scene
from logpr.auditing.scene.steps import Step


def _there(steps: Sequence[Step | None]) -> list[Step]:
    return [step for step in steps if step is not None]


def unshifted(layout: Layout) -> list[Step]:
    """Read row i for token i: the row that has seen it."""
    return _there(
        [
            layout.step(index, index + (1 if token >= 0 else 0), token)
            for index, token in layout.asked
        ]
    )


def shifted_twice(layout: Layout) -> list[Step]:
    """Read one row too early."""
    return _there([layout.step(index, index - 1, token) for index, token in layout.asked])


def first_token_dropped(layout: Layout) -> list[Step]:
    """Leave out the first step."""
    return layout.steps()[1:]


def last_token_dropped(layout: Layout) -> list[Step]:
    """Leave out the last step."""
    return layout.steps()[:-1]


def prompt_last_included(layout: Layout) -> list[Step]:
    """Begin one token inside x."""
    last = len(layout.context) - 1
    before = [layout.step(last, last, layout.context[last])] if last >= 0 else []
    return _there(before) + layout.steps()


def prompt_included(layout: Layout) -> list[Step]:
    """Begin at the start of x."""
    # The first token has nothing before it; a start token's probability is 1 in any case.
    before = [
        layout.step(index, index, layout.context[index]) for index in range(1, len(layout.context))
    ]
    return _there(before) + layout.steps()


def not_teacher_forced(layout: Layout) -> list[Step]:
    """Read token i of y along the model's own greedy continuation."""
    record, size = layout.case.owner, len(layout.tokens)
    layout.scene.greedy([(record, layout.context, size)])
    path = layout.scene.path(record, layout.context)
    if len(path) < size:
        return layout.steps() if not size else []
    sequence = layout.context + path
    return _there([layout.step(index, index, token, sequence) for index, token in layout.asked])


def _row_reused(representative: str) -> Callable[[Layout], list[Step]]:
    choose = _REPRESENTATIVES[representative]

    def run(layout: Layout) -> list[Step]:
        fed = (*layout.context, *layout.tokens[:-1])
        starts = _starts(layout, fed)
        shift = choose(starts) - len(layout.context)
        return _there(
            [
                _read_at(layout, index, index + shift, token)
                if token >= 0 and index + shift <= len(fed)
                else layout.step(index, index, token)
                for index, token in layout.asked
            ]
        )

    return run


def _read_at(layout: Layout, index: int, other: int, token: int) -> Step | None:
    """Return the step of the token at `index`, read where that at `other` would be."""
    step = layout.step(other, other, token)
    return None if step is None else replace(step, place=index - len(layout.context))


_STARTS = "shared starts"

_REPRESENTATIVES: Mapping[str, Callable[[Sequence[int]], int]] = {
    "first": lambda starts: starts[0],
    "last": lambda starts: starts[-1],
    # The same tokens are fed, so the longest y is the one that begins the earliest.
    "longest": min,
}
"""Whose rows are kept for all that feed the same tokens, chosen from where each one's y begins."""


def _starts(layout: Layout, fed: tuple[int, ...]) -> list[int]:
    """Return where y begins in each request of the file that feeds these ids, in file order."""
    known = layout.scene.tables.get((_STARTS, layout.key))
    if known is None:
        known = {}
        for material in layout.materials:
            if material is not None and material.tokens:
                ids = (*material.context, *material.tokens[:-1])
                known.setdefault(ids, []).append(len(material.context))
        layout.scene.tables[_STARTS, layout.key] = known
    return known.get(fed, [len(layout.context)])


def _shares_rows(scene: Scene) -> bool:
    seen: dict[tuple[int, ...], int] = {}
    for case in scene.cases:
        fed = (*case.material.context, *case.material.tokens[:-1])
        if seen.setdefault(fed, len(case.material.context)) != len(case.material.context):
            return True
    return False


def _reused(representative: str = "first") -> Change:
    fixed = (("representative", representative),)
    return Change("row_reused", "align", _row_reused(representative), fixed, count="same")


def _simple(
    name: str,
    run: Callable[[Layout], list[Step]],
    *,
    count: Count,
    greedy: bool = False,
) -> Fault:
    def make() -> Change:
        return Change(name, "align", run, count=count, greedy=greedy)

    return Fault(name, "align", "fault", lambda _: (make(),), make)


ENTRIES = (
    _simple("unshifted", unshifted, count="same"),
    # One row too early there may be none: where a single token stands before y.
    _simple("shifted_twice", shifted_twice, count="context"),
    _simple("first_token_dropped", first_token_dropped, count="own"),
    _simple("last_token_dropped", last_token_dropped, count="own"),
    _simple("prompt_last_included", prompt_last_included, count="context"),
    _simple("prompt_included", prompt_included, count="context"),
    _simple("not_teacher_forced", not_teacher_forced, count="same", greedy=True),
    Fault(
        "row_reused",
        "align",
        "fault",
        lambda scene: tuple(map(_reused, _REPRESENTATIVES)) if _shares_rows(scene) else (),
        _reused,
        (ParameterSpec("representative", "enumerated", ", ".join(_REPRESENTATIVES)),),
    ),
)
