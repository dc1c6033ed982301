"""The laws on scorers that keep them, whatever they declare, and on cases typed by hand."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import Any

import pytest

import logpr
from logpr import CheckReport
from logpr.conformance import LAWS, Declares, toy_scorer
from logpr.conformance import laws as room
from logpr.conformance.bench import Bench
from logpr.conformance.laws import Drawing, company, formula, mass, prompts, sums, texts
from logpr.conformance.laws._law import where
from logpr.conformance.targets.called import Made
from logpr.conformance.toy import Architecture, toy

ROOMS = (company, formula, mass, prompts, sums, texts)

IDS = (
    "oracle shift_invariance dummy_vocabulary candidate_independence next_token_mass "
    "fixed_length_mass stop_mass chain_rule prefix_monotone nonpositive_finite long_sequence "
    "token_count fork_identity future_blind prompt_excluded prompt_used permutation "
    "batch_composition pad_side eos_inside duplicates repeat chunking upcast sampling_neutral "
    "bos_once boundary trailing_space byte_round_trip empty_inputs truncation unit unicode"
)


def checked(declares: Declares, architecture: Architecture = "gpt2", **options: Any) -> CheckReport:  # noqa: ANN401 - check's own
    """Return the report of the closed form, declared in some way."""

    def make(folder: str) -> Callable[..., Any]:
        plain = toy_scorer(folder, end=declares.end, policy=declares.boundary, bos=declares.bos)

        def score(prompt: Any, candidates: Any) -> Any:  # noqa: ANN401 - texts or ids
            scores, tokens = plain(prompt, candidates)
            if declares.aggregate == "mean":
                size = int(declares.end == "stop")
                scores = [
                    total / max(1, len(row) + size)
                    for total, row in zip(scores, tokens, strict=True)
                ]
            factor = {"bits": math.log(2), "log10": math.log(10)}.get(declares.unit, 1.0)
            scores = [total / factor for total in scores]
            if declares.unit == "probability":
                scores = [math.exp(total) for total in scores]
                tokens = [[math.exp(value) for value in row] for row in tokens]
            else:
                tokens = [[value / factor for value in row] for row in tokens]
            return (scores, tokens) if declares.per_token else scores

        return score

    return logpr.check(factory=make, declares=declares, architecture=architecture, **options)


def test_the_ids_are_the_designs() -> None:
    """Every check has the name that everyone uses, and a function check_<id>."""
    assert " ".join(LAWS) == IDS
    functions = {
        name.removeprefix("check_"): function
        for each in ROOMS
        for name, function in inspect.getmembers(each, inspect.isfunction)
        if name.startswith("check_")
    }
    assert {name: law.check for name, law in LAWS.items()} == functions
    assert all(law.id == name for name, law in LAWS.items())
    assert set(room.__all__) == {"LAWS", "Drawing", "Law"}


EXACT = {"dtype": "float64", "per_token": True}


@pytest.mark.parametrize(
    ("declared", "architecture", "not_applicable"),
    [
        ({}, "gpt2", "stop_mass"),
        ({}, "llama", "stop_mass"),
        ({"end": "stop"}, "gpt2",
         "next_token_mass fixed_length_mass chain_rule prefix_monotone fork_identity"),
        ({"ids": True}, "gpt2",
         "stop_mass bos_once boundary trailing_space byte_round_trip unicode"),
        ({"per_token": False}, "gpt2", "stop_mass token_count future_blind"),
        ({"boundary": "joint"}, "gpt2", "stop_mass"),
        ({"boundary": "verbatim"}, "gpt2", "stop_mass"),
        ({"bos": "always"}, "gpt2", "stop_mass"),
        ({"unit": "bits"}, "gpt2", "stop_mass"),
        ({"unit": "probability", "dtype": "float32"}, "gpt2",
         "stop_mass long_sequence chunking"),
        ({"aggregate": "mean", "per_token": False}, "gpt2",
         "stop_mass token_count future_blind"),
    ],
    ids=str,
)  # fmt: skip
def test_the_closed_form_keeps_all(
    declared: dict[str, Any], architecture: Architecture, not_applicable: str
) -> None:
    """A correct scorer passes every check that applies to what it declares, and no other runs."""
    report = checked(Declares(**{**EXACT, **declared}), architecture)
    assert report.exit_code == 0
    assert set(report.passed) == set(LAWS) - set(not_applicable.split())
    assert set(report.not_applicable) == set(not_applicable.split())


def test_split_is_told_where_it_leaves_nothing() -> None:
    """A policy that leaves y no token breaks `boundary` even where it is declared."""
    report = checked(Declares(**EXACT, boundary="split"), explain=False)
    assert report.failed == ("boundary", "trailing_space")
    assert report.failures[0].expected == "a score of at least one token, or an error"


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_no_seed_accuses(seed: int) -> None:
    """Other cases are drawn by another seed, and the closed form keeps the laws on them."""
    quick = set(LAWS) - {"chunking", "long_sequence", "truncation"}
    report = checked(Declares(**EXACT), only=quick, seed=seed)
    assert report.failed == report.error == ()


def bench() -> Bench:
    """Return a bench with the closed form on it."""
    declares = Declares(**EXACT)
    return Bench(Made(toy_scorer, declares=declares), declares)


@pytest.mark.parametrize("name", LAWS)
def test_cases_are_the_same_for_a_seed(name: str) -> None:
    """A seed draws the same cases twice, another one others where there is a choice."""
    law = LAWS[name]
    with bench() as on:
        first, again, other = (list(law.cases(on, Drawing(on, name, seed))) for seed in (0, 0, 1))
    assert first == again
    assert first
    assert (first == other) == (name in {"chunking", "truncation", "unicode"})
    assert len({case.id for case in first}) == len(first) or name == "empty_inputs"


@pytest.mark.parametrize("name", LAWS)
def test_drawn_cases_stand(name: str) -> None:
    """Every case that is drawn is one that can be typed by hand."""
    law = LAWS[name]
    with bench() as on:
        assert where(law, on) == law.models[0]
        for case in law.cases(on, Drawing(on, name, 0)):
            assert law.stands(on, case), case.id
            assert case.check == name


def test_prerequisites_are_checks() -> None:
    """What a check stands on is a check, and nothing stands on itself."""
    for law in LAWS.values():
        assert set(law.after) <= set(LAWS) - {law.id}
        assert all(not set(LAWS[name].after) for name in law.after)


def test_toys_of_a_law_exist() -> None:
    """The models that a law names are the suite's."""
    for law in LAWS.values():
        assert all(toy(name) for name in law.models)
