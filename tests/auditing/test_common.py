"""What struck candidates have in common: said where it is so, and not where chance explains it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import fisher_exact, hypergeom

from logpr import Query
from logpr.auditing.claims.values import Claim, ClaimRow, Declares
from logpr.auditing.reporting.common import _at_least, in_common
from logpr.auditing.scene.rows import RecordedRows
from logpr.auditing.scene.scene import Case, Material, Scene

World = tuple[Scene, list[ClaimRow]]
SPECIAL = 99


def world(
    records: Sequence[tuple[Sequence[int], Sequence[Sequence[int]]]],
    *,
    prompt: str = "x",
    texts: Callable[[int], str] = lambda number: f" y{'abcdefgh'[number % 8]}",
    merged: Sequence[int] = (),
    rows: Callable[[int], dict[str, Any]] = lambda _: {},
) -> World:
    """Return candidates with these contexts and tokens."""
    cases: list[Case] = []
    made = []
    for record, (context, candidates) in enumerate(records):
        made.append(
            ClaimRow(
                query=Query.of(prompt, [" y"] * len(candidates)),
                claims=(Claim(),) * len(candidates),
                where="here",
                **rows(record),
            )
        )
        for place, tokens in enumerate(candidates):
            number = len(cases)
            material = Material(context=tuple(context), tokens=tuple(tokens))
            cases.append(
                Case(
                    number,
                    record,
                    place,
                    material,
                    prompt,
                    texts(number),
                    merged=number in merged,
                )
            )
    source = RecordedRows([], raw=True)
    return Scene(cases=tuple(cases), source=source, noise=0.0, special_ids=(SPECIAL,)), made


def said(found: World, struck: Sequence[int]) -> tuple[str, ...]:
    """Return what is said of some candidates against all others."""
    scene, rows = found
    others = [case.number for case in scene.cases if case.number not in set(struck)]
    return in_common(scene, list(struck), others, rows=rows)


def plain(records: int = 30, candidates: int = 3, seed: int = 0) -> World:
    """Return records of candidates with random tokens: nothing to be told apart by."""
    rng = np.random.default_rng(seed)
    return world(
        [
            (
                rng.integers(40, size=int(rng.integers(3, 9))).tolist(),
                [
                    rng.permutation(40)[: int(rng.integers(2, 9))].tolist()
                    for _ in range(candidates)
                ],
            )
            for _ in range(records)
        ]
    )


def changed(found: World, where: Sequence[int], **fields: Any) -> World:  # noqa: ANN401 - of Case
    """Return the same candidates but for some, which have these fields."""
    scene, rows = found
    cases = tuple(replace(case, **fields) if case.number in where else case for case in scene.cases)
    return Scene(cases=cases, source=scene.source, noise=0.0, special_ids=(SPECIAL,)), rows


STRUCK = [4, 11, 17, 33, 40, 58, 71, 88]


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"merged": True}, "have a boundary where the tokenizer merges prompt and candidate"),
        ({"text": " café"}, "contain characters outside ASCII"),
        ({"text": "yes"}, "begin without a space"),
        ({"text": " in 1999"}, "contain a digit"),
        ({"text": " a\nb"}, "contain a line break"),
        ({"prompt": ""}, "follow an empty prompt"),
        ({"prompt": "Say: "}, "follow a prompt that ends with a space"),
        ({"prompt": "où"}, "follow a prompt with characters outside ASCII"),
    ],
)
def test_a_property_of_all_struck_and_of_no_other(fields: dict[str, Any], says: str) -> None:
    """It is the one thing said, with the counts."""
    assert said(changed(plain(), STRUCK, **fields), STRUCK) == (
        f"All 8 struck rows {says}, against none of the 82 others.",
    )


@pytest.mark.parametrize(
    ("material", "says"),
    [
        (Material((1, 2, 3, 4), (5, SPECIAL, 7)), "contain a special token"),
        (Material((1, SPECIAL, 2, 3), (5, 6, 7)), "have a special token inside their prompt"),
        (Material((1, 2, 3, 4), (5, 6, 5, 8)), "contain some token twice"),
        (Material((1, 2, 3, 4), (5, 6, 7), end_ids=(0,)), "are scored with END"),
        (Material((1, 2, 3, 4), (5,)), "have a single token"),
        (Material((1, 2, 3, 4), tuple(range(12))), "have more than 8 tokens"),
    ],
)
def test_a_property_of_the_tokens(material: Material, says: str) -> None:
    """A start token in front is no special token inside."""
    found = plain()
    for place, number in enumerate(STRUCK):
        # Each with tokens of its own: no two are fed the same.
        own = replace(material, context=(*material.context[:-1], 50 + place))
        found = changed(found, [number], material=own)
    assert any(
        sentence == f"All 8 struck rows {says}, against none of the 82 others."
        for sentence in said(found, STRUCK)
    ), said(found, STRUCK)


def test_an_ordinary_token_that_pads() -> None:
    """Id 0 is no special token, and scorers that take it for padding leave it out."""
    scene, rows = plain()
    cases = [
        replace(case, material=replace(case.material, tokens=(41, *case.material.tokens)))
        for case in scene.cases
    ]
    for number in STRUCK:
        tokens = cases[number].material.tokens
        cases[number] = replace(cases[number], material=Material((1, 2), (*tokens, 0)))
    for number in range(90):
        if number not in STRUCK:
            tokens = tuple(token or 42 for token in cases[number].material.tokens)
            cases[number] = replace(cases[number], material=Material((1, 2), tokens))
    scene = Scene(cases=tuple(cases), source=scene.source, noise=0.0, pad_ids=(0,))
    (sentence,) = said((scene, rows), STRUCK)
    assert "contain the token id 0, which a batch may be padded with, against none" in sentence


@pytest.mark.parametrize(
    ("measure", "says"),
    [
        (lambda case: len(case.material.context) > 6, "follow a prompt of more than 6 tokens"),
        (lambda case: len(case.material.context) < 5, "follow a prompt of 4 tokens at most"),
        (lambda case: len(case.material.tokens) > 5, "have more than 5 tokens"),
        (lambda case: len(case.material.tokens) < 4, "have 3 tokens at most"),
    ],
)
def test_lengths(measure: Callable[[Case], bool], says: str) -> None:
    """The threshold is found, and which length it is of."""
    scene, rows = plain(60)
    struck = [case.number for case in scene.cases if measure(case)]
    assert said((scene, rows), struck)[0] == (
        f"All {len(struck)} struck rows {says}, against none of the {180 - len(struck)} others."
    )


@pytest.mark.parametrize("limit", [8, 11])
def test_long_sequences(limit: int) -> None:
    """A window cuts what is longer than it, wherever the prompt ends."""
    scene, rows = plain(60)
    long = [case.number for case in scene.cases if case.material.length > limit]
    assert said((scene, rows), long)[0] == (
        f"All {len(long)} struck rows have more than {limit} tokens with their prompt, against "
        f"none of the {180 - len(long)} others."
    )


def test_padded_rows() -> None:
    """All but the longest of each record, where lengths vary from record to record."""
    scene, rows = plain(60)
    longest = {
        record: max(c.material.length for c in scene.cases if c.record == record)
        for record in range(60)
    }
    struck = [c.number for c in scene.cases if c.material.length < longest[c.record]]
    first = said((scene, rows), struck)[0]
    assert "are shorter than the longest of their record, so padded in a batch" in first
    assert first.startswith(f"All {len(struck)} ")
    longest_ones = [c.number for c in scene.cases if c.number not in set(struck)]
    assert (
        "are the longest of their record, so never padded" in said((scene, rows), longest_ones)[0]
    )


@pytest.mark.parametrize(("keeps", "struck"), [("earlier", 1), ("later", 0)])
def test_rows_that_another_request_left(keeps: str, struck: int) -> None:
    """Of two requests that are fed the same, split elsewhere, the one kept is right."""
    records: list[tuple[Sequence[int], Sequence[Sequence[int]]]] = []
    for n in range(12):
        begin = 100 * (n + 1)
        # Fed begin, +1, +2, +3 both times, a step further on each side.
        records.append(([begin, begin + 1], [[begin + 2, begin + 3, begin + 4], [n, begin]]))
        records.append(([begin, begin + 1, begin + 2], [[begin + 3, begin + 5], [n, begin + 9, 7]]))
    found = world(records)
    wrong = [
        case.number for case in found[0].cases if case.place == 0 and case.record % 2 == struck
    ]
    first = said(found, wrong)[0]
    assert first == (
        f"All 12 struck rows share their fed tokens with an {keeps} request, split elsewhere, "
        f"against none of the 36 others."
        if keeps == "earlier"
        else "All 12 struck rows share their fed tokens with a later request, split elsewhere, "
        "against none of the 36 others."
    )


def test_either_request_split_elsewhere() -> None:
    """Where both fail, sharing is what they share."""
    records: list[tuple[Sequence[int], Sequence[Sequence[int]]]] = []
    for n in range(12):
        begin = 100 * (n + 1)
        records.append(([begin, begin + 1], [[begin + 2, begin + 3, begin + 4], [n, begin]]))
        records.append(([begin, begin + 1, begin + 2], [[begin + 3, begin + 5], [n, begin + 9, 7]]))
        # The same fed tokens split at the same place are shared rightly.
        records.append(([begin + 50], [[n + 1, n + 2], [n + 1, n + 3]]))
    found = world(records)
    wrong = [case.number for case in found[0].cases if case.place == 0 and case.record % 3 < 2]
    assert "with another request, split elsewhere, against none" in said(found, wrong)[0]
    same = [case.number for case in found[0].cases if case.record % 3 == 2]
    assert not any("elsewhere" in sentence for sentence in said(found, same))
    assert "share their fed tokens with another candidate" in said(found, [*wrong, *same])[0]


def test_places_and_records() -> None:
    """First, last, chosen, of one arm, of one declaration, from some record on."""
    found = plain()
    numbers = range(90)
    assert "stand first in their record, against none" in said(found, list(numbers[::3]))[0]
    assert "stand last in their record, against none" in said(found, list(numbers[2::3]))[0]
    assert "come after the first 60 candidates of the file" in said(found, list(numbers[60:]))[0]
    assert "are among the first 12 candidates of the file" in said(found, list(numbers[:12]))[0]
    scene, rows = found
    third = [replace(row, chosen=record % 3) for record, row in enumerate(rows)]
    winners = [3 * record + record % 3 for record in range(30)]
    assert "were chosen, against none" in said((scene, third), winners)[0]
    arms = [replace(row, arm="AB"[record % 2]) for record, row in enumerate(rows)]
    odd = [number for number in numbers if number // 3 % 2]
    assert "belong to arm 'B', against none" in said((scene, arms), odd)[0]
    declared = [
        replace(row, declares=Declares(unit="bits") if record % 2 else Declares())
        for record, row in enumerate(rows)
    ]
    assert "are declared to be logprob in bits, against none" in said((scene, declared), odd)[0]


def test_the_size_of_the_record() -> None:
    """A batch of many candidates."""
    found = world([([n, 41], [[n, m, m + 1] for m in range(2 + 4 * (n % 2))]) for n in range(12)])
    struck = [case.number for case in found[0].cases if case.record % 2]
    assert "stand in a record of more than 2 candidates, against none" in said(found, struck)[0]


def test_most_but_not_all() -> None:
    """11 of 12 and 3 of 40: both counts are given."""
    found = plain(20)
    struck, others = list(range(12)), list(range(12, 52))
    found = changed(found, [*struck[:11], *others[5:8]], text=" été")
    scene, rows = found
    rng = np.random.default_rng(1)
    order = rng.permutation(60)
    cases = [replace(scene.cases[n], number=int(order[n])) for n in range(60)]
    scene = replace_cases(scene, sorted(cases, key=lambda case: case.number))
    got = in_common(
        scene, [int(order[n]) for n in struck], [int(order[n]) for n in others], rows=rows
    )
    assert got[0] == (
        "11 of the 12 struck rows contain characters outside ASCII, against 3 of 40 others."
    )


def replace_cases(scene: Scene, cases: Sequence[Case]) -> Scene:
    """Return a scene of other cases."""
    return Scene(cases=tuple(cases), source=scene.source, noise=0.0)


def test_what_is_strong_leaves_out_what_is_weak() -> None:
    """Merged boundaries explain all; that most of them are also accented says nothing more."""
    found = changed(plain(), STRUCK, merged=True)
    found = changed(found, STRUCK[:7], text=" été", merged=True)
    found = changed(found, [1, 2, 3], text=" été")
    assert len(said(found, STRUCK)) == 1
    assert "merges" in said(found, STRUCK)[0]


def test_at_most_three() -> None:
    """Of more properties that are perfectly so, the first in the order of what they tell."""
    found = plain()
    for place, number in enumerate(STRUCK):
        material = Material((1, SPECIAL, 2, 50 + place), (5, SPECIAL, 5))
        found = changed(found, [number], material=material, merged=True, text="été", prompt="")
    got = said(found, STRUCK)
    assert len(got) == 3
    assert "merges" in got[0]


@pytest.mark.parametrize("struck", [[], [4], list(range(90))])
def test_nothing_to_compare(struck: list[int]) -> None:
    """None, one, or all struck: nothing is in common that others have not."""
    assert said(changed(plain(), struck, merged=True), struck) == ()


def test_what_all_have_is_not_said() -> None:
    """A property of struck and others alike."""
    assert said(changed(plain(), list(range(90)), merged=True), STRUCK) == ()


def test_chance_is_not_said() -> None:
    """Random candidates of a file have nothing in common, in 99 of 100 files."""
    rng = np.random.default_rng(7)
    spoke = 0
    for seed in range(100):
        found = plain(12, seed=seed)
        found = changed(found, rng.permutation(36)[:12].tolist(), merged=True)
        found = changed(found, rng.permutation(36)[:6].tolist(), text=" été")
        spoke += bool(said(found, rng.permutation(36)[: int(rng.integers(2, 14))].tolist()))
    assert spoke <= 2


@given(st.integers(2, 12), st.integers(1, 60), st.data())
def test_every_sentence_counts_right(struck: int, others: int, data: st.DataObject) -> None:
    """With one property planted: the counts are those of the plant, and p those of Fisher."""
    size = struck + others
    having = data.draw(st.sets(st.integers(0, size - 1), max_size=size))
    found = world([([n, 41], [[n, 42]]) for n in range(size)], merged=sorted(having))
    rng = np.random.default_rng(size)
    # In an order of its own, so that the place in the file tells nothing.
    order = [int(n) for n in rng.permutation(size)]
    mine, rest = order[:struck], order[struck:]
    a, b = len(having & set(mine)), len(having & set(rest))
    got = [s for s in in_common(found[0], mine, rest, rows=found[1]) if "merges" in s]
    p = fisher_exact([[a, struck - a], [b, others - b]], alternative="greater").pvalue
    if 2 * a <= struck or p > 0.01:
        assert not got
    for sentence in got:
        assert f"{a} " in sentence.split("struck")[0]
        assert (f"against {b} of" if b else "against none of") in sentence or others == 1
    if a == struck and b == 0 and p * 20 < 0.01:
        assert got


@given(st.integers(1, 60), st.data())
def test_the_tail_is_hypergeometric(total: int, data: st.DataObject) -> None:
    """Against SciPy."""
    drawn, having = data.draw(st.integers(0, total)), data.draw(st.integers(0, total))
    seen = data.draw(st.integers(0, min(drawn, having)))
    wanted = float(hypergeom.sf(seen - 1, total, having, drawn))
    assert math.isclose(_at_least(seen, drawn, having, total), wanted, rel_tol=1e-8, abs_tol=1e-14)


def test_the_start_token_is_not_inside_the_prompt() -> None:
    """Special tokens in front of the prompt are nothing to remark."""
    found = plain()
    for number in STRUCK:
        material = found[0].cases[number].material
        own = replace(material, context=(SPECIAL, *material.context[1:]))
        found = changed(found, [number], material=own)
    assert not any("special" in sentence for sentence in said(found, STRUCK))


def test_what_less_than_half_have_is_not_said() -> None:
    """Though none of the others has it, and chance would not do it."""
    struck = list(range(1, 90, 6))
    assert said(changed(plain(), struck[:7], merged=True), struck) == ()
    assert len(said(changed(plain(), struck[:8], merged=True), struck)) == 1


def test_one_sentence_a_family() -> None:
    """Long candidates make long sequences, and that is one thing."""
    found = plain()
    for place, number in enumerate(STRUCK):
        own = Material(tuple(range(60 + place, 100 + place)), tuple(range(200, 240)))
        found = changed(found, [number], material=own)
    sizes = [s for s in said(found, STRUCK) if "more than" in s]
    assert len(sizes) == 1


def test_thresholds_are_paid_for() -> None:
    """The first three of thirty: one of 29 places to cut would do it too often."""
    got = said(plain(10), [0, 1, 2])
    assert not any("first 3 candidates of the file" in sentence for sentence in got)
    got = said(plain(10), list(range(9)))
    assert any("first 9 candidates of the file" in sentence for sentence in got)
