"""How candidates lie before their rows are read, and how many steps each then has, by hand."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pytest

from logpr._score import Settings
from logpr.auditing.faults import FAULTS, STAGES, Change
from logpr.auditing.scene.build import build
from logpr.auditing.scene.layout import Layout
from logpr.auditing.scene.rows import Asked, Known, Rows
from logpr.auditing.scene.scene import Case, Company, Material, Scene
from logpr.auditing.scene.steps import Step
from logpr.auditing.search.pipeline import (
    Declared,
    Pipeline,
    changes,
    counted_like,
    layout_of,
    reading,
    step_count,
    steps_of,
)
from logpr.auditing.search.targets import declared_of, declares_of_all
from logpr.io.claims import read_claims
from tests.auditing.toy import Toy, queries

END = 9


class NoRows:
    """A source that says what it has, and is never asked for it."""

    vocab, starts, raw, rest, top = 10, False, True, False, None

    def rows(self, asked: Sequence[Asked]) -> tuple[Rows, Known]:
        """Fail: where tokens lie has nothing to do with rows."""
        raise NotImplementedError

    def columns(self, owner: int) -> None:
        """Return None: a column for every id."""


class Starts(NoRows):
    """A source with a row after no token at all."""

    starts = True


def scene(source: NoRows | None = None) -> Scene:
    """Return two candidates of one record and one of another, END scored: 5, 4 and 6 tokens."""
    made = [
        (0, Material((1, 2, 3), (4, 5), (END,))),
        (0, Material((1, 2, 3), (6,), (END,))),
        (1, Material((1, 7), (8, 8, 8, 8), (END,))),
    ]
    cases = tuple(
        Case(number=number, record=record, place=0, material=material)
        for number, (record, material) in enumerate(made)
    )
    return Scene(cases=cases, source=source or NoRows(), noise=0.0)


def layout(number: int, *chosen: Change, source: NoRows | None = None) -> Layout:
    """Return how one of the three lies under some changes."""
    found = layout_of(scene(source), Pipeline(chosen), number)
    assert found is not None
    return found


def prefixes(steps: Sequence[Step]) -> list[tuple[int, ...]]:
    """Return what stands before each step."""
    return [step.prefix for step in steps]


def change(name: str, **parameters: object) -> Change:
    """Return an entry of the zoo with its parameters."""
    return FAULTS[name].apply(**parameters)


def test_what_is_asked_is_y_and_then_end() -> None:
    """x has three tokens, so y's are at 3 and 4 of the sequence, and END behind them."""
    found = layout(0)
    assert found.sequence == (1, 2, 3, 4, 5)
    assert found.asked == ((3, 4), (4, 5), (5, -1))


def test_without_end_nothing_is_asked_behind_y() -> None:
    """No end ids: y alone."""
    case = Case(number=0, record=0, place=0, material=Material((1, 2), (3,)))
    alone = Scene(cases=(case,), source=NoRows(), noise=0.0)
    found = layout_of(alone, Pipeline(), 0)
    assert found is not None
    assert found.asked == ((2, 3),)


def test_correct_steps_read_each_token_after_all_before_it() -> None:
    """Prefixes grow by one token, and each step knows its place in y."""
    assert layout(0).steps() == [
        Step((1, 2, 3), 4, 0),
        Step((1, 2, 3, 4), 5, 1),
        Step((1, 2, 3, 4, 5), -1, 2),
    ]


def test_a_row_may_be_read_too_early_or_too_late() -> None:
    """`cut` says after how many tokens the row stands, whatever token is asked there."""
    found = layout(0)
    assert found.step(3, 2, 4) == Step((1, 2), 4, 0)
    assert found.step(3, 4, 4) == Step((1, 2, 3, 4), 4, 0)


def test_a_token_of_x_has_no_place_in_y() -> None:
    """Index 2 is the last token of x."""
    assert layout(0).step(2, 2, 3) == Step((1, 2), 3, None)


def test_nothing_stands_before_the_first_token() -> None:
    """Where the rows know no start there is no step; where they do it is after ()."""
    assert layout(0).step(0, 0, 1) is None
    assert layout(0, source=Starts()).step(0, 0, 1) == Step((), 1, None)


@pytest.mark.parametrize(
    ("restart", "expected"),
    [
        # Indices 3, 4 and 5 lie in windows that begin at 2, 4 and 4.
        ((), [(3,), None, (5,)]),
        ((1,), [(1, 3), (1,), (1, 5)]),
    ],
)
def test_a_window_forgets_what_stood_before_it(
    restart: tuple[int, ...], expected: list[tuple[int, ...] | None]
) -> None:
    """Of two tokens a window sees at most the one before, and the restart if there is one."""
    first = layout(0)
    cut = Layout(
        scene=first.scene,
        case=first.case,
        key=None,
        materials=first.materials,
        context=first.context,
        tokens=first.tokens,
        end_ids=first.end_ids,
        window=2,
        restart=restart,
    )
    found = [cut.step(index, index, token) for index, token in cut.asked]
    assert [None if step is None else step.prefix for step in found] == expected
    # The first window has nothing put before it.
    assert cut.step(1, 1, 2) == Step((1,), 2, None)
    # One row too early is one of the same window's.
    early = cut.step(3, 2, 4)
    assert early == (Step((1,), 4, 0) if restart else None)


@pytest.mark.parametrize(
    ("company", "expected"),
    [
        ("query", [0, 1, 0]),
        ("file", [1, 2, 0]),
        # The first two share a batch, the third is alone.
        (2, [0, 1, 0]),
        (3, [1, 2, 0]),
    ],
)
def test_pads_fill_up_to_the_longest_of_the_company(company: Company, expected: list[int]) -> None:
    """Lengths are 5, 4 and 6, END not counted."""
    assert [layout(number).pads(company) for number in range(3)] == expected


def test_pads_are_counted_after_a_change_of_context() -> None:
    """With the last token of x alone lengths are 3, 2 and 5."""
    kept = change("truncated_context", keep=1)
    assert [layout(number, kept).pads("file") for number in range(3)] == [2, 3, 0]
    assert [layout(number, kept).pads("query") for number in range(3)] == [0, 1, 0]


def test_padding_on_the_left_stands_before_x() -> None:
    """The second candidate is one token short of its record's longest."""
    padded = change("left_pad_unmasked", pad_id=0, company="query")
    assert layout(1, padded).context == (0, 1, 2, 3)
    assert layout(0, padded).context == (1, 2, 3)


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        ([], [3, 2, 5]),
        ([change("first_token_dropped")], [2, 1, 4]),
        # Every token of x but its first.
        ([change("prompt_included")], [5, 4, 6]),
        ([change("truncated_context", keep=1), change("prompt_included")], [3, 2, 5]),
        # One row too early there is none where a single token stands before y.
        ([change("truncated_context", keep=1), change("shifted_twice")], [2, 1, 4]),
        # 1, 2 and 0 pads.
        ([change("pad_counted", pad_id=0, company="file")], [4, 4, 5]),
        (
            [
                change("truncated_context", keep=1),
                change("pad_counted", pad_id=0, company="file"),
            ],
            [5, 5, 5],
        ),
        # Tokens at indices 2, 4 and 6 begin a window; y begins at 3, 3 and 2, END is at 5, 4 and 6.
        ([change("window_restart", window=2)], [2, 1, 2]),
        ([change("window_restart", window=2), change("first_token_dropped")], [1, 0, 1]),
        ([change("eos_as_pad_masked", pad_id=END)], [2, 1, 4]),
        ([change("unshifted")], [3, 2, 5]),
        # The row after a token is there where that before it is not; END, at 5, 4 and 6, has no
        # row after it, and is read before.
        ([change("window_restart", window=2), change("unshifted")], [3, 1, 4]),
        # The first is padded at 5, the second at 4 and 5: one more row for each.
        (
            [
                change("window_restart", window=2),
                change("pad_counted", pad_id=0, company="file"),
            ],
            [3, 2, 2],
        ),
    ],
)
def test_steps_are_counted(chosen: list[Change], expected: list[int]) -> None:
    """The short way to a count gives what laying out every step gives, and what a hand counts."""
    whole, pipeline = scene(), Pipeline(tuple(chosen))
    laid_out = [len(steps_of(layout(number, *chosen), pipeline)) for number in range(3)]
    short = [step_count(whole, counted_like(pipeline), number) for number in range(3)]
    assert laid_out == expected
    assert short == expected


def test_what_cannot_change_a_count_is_left_out() -> None:
    """A change of context goes, but where the count depends on where y lies."""
    kept = change("truncated_context", keep=1)
    first = change("first_token_dropped")
    included = change("prompt_included")
    assert counted_like(Pipeline((kept, first, change("mean")))).changes == (first,)
    assert counted_like(Pipeline((kept, change("unshifted")))).changes == ()
    assert counted_like(Pipeline((kept, included))).changes == (kept, included)
    windows = change("window_restart", window=2)
    assert counted_like(Pipeline((windows, change("unshifted")))).changes[0] == windows


def _toy() -> tuple[Scene, Declared]:
    model = Toy()
    asked = queries(3, 8, end="stop")
    records = [
        {
            "prompt": query.prompt,
            "candidates": [candidate.text for candidate in query.candidates],
            "scores": ["-1.00"] * len(query.candidates),
            "declares": {"end": "stop"},
        }
        for query in asked
    ]
    rows = read_claims(records, needs_prompt=True)
    built = build(rows, model, Settings())
    assert built is not None
    return built.scene, declared_of(declares_of_all(rows), summed=False)


def test_every_formula_says_truly_how_it_counts() -> None:
    """Whatever two changes there are, the short way to a count is that of all steps laid out."""
    whole, declared = _toy()
    found = [
        each
        for each in changes(whole, declared).possible
        if each.stage in ("encode", "context", "align", "mask")
    ]
    rng = np.random.default_rng(0)
    two = [pair for pair in combinations(found, 2) if pair[0].stage != pair[1].stage]
    drawn = [two[int(place)] for place in rng.choice(len(two), 400, replace=False)]
    tried = 0
    for chosen in [*((each,) for each in found), *drawn]:
        ordered = sorted(chosen, key=lambda each: STAGES.index(each.stage))
        pipeline = Pipeline(tuple(ordered))
        for case in whole.cases:
            read = reading(whole, pipeline, case.number)
            if read is not None:
                tried += 1
                short = step_count(whole, counted_like(pipeline), case.number)
                assert short == len(read.steps), ordered
    assert tried > 1000
