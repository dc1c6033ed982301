"""What a failure looks like: the zoo's own scorers are named by their own entries."""

from __future__ import annotations

import pytest

import logpr
from logpr.conformance import Declares, likeness, toy_scorer
from logpr.conformance.mutants import mutants

MUTANTS = {mutant.id: mutant for mutant in mutants()}

NAMED = [
    ("first_token_dropped", "oracle"),
    ("last_token_dropped", "oracle"),
    ("prompt_included", "oracle"),
    ("raw_logit_sum", "shift_invariance"),
    ("shortlist_softmax", "dummy_vocabulary"),
    ("candidates_softmax", "candidate_independence"),
    ("mean", "fixed_length_mass"),
    ("mean", "prefix_monotone"),
    ("eos_missing", "stop_mass"),
    ("unshifted", "fork_identity"),
    ("temperature", "fork_identity"),
    ("prompt_dropped", "prompt_used"),
    ("bos_missing", "bos_once"),
    ("bos_doubled", "bos_once"),
    ("in_bits", "unit"),
    ("negated", "unit"),
    ("joint_boundary", "boundary"),
    ("row_reused", "chain_rule"),
    ("pad_counted", "batch_composition"),
    ("left_pad_unmasked", "pad_side"),
    ("mean_over_padded", "batch_composition"),
    ("eos_as_pad_masked", "eos_inside"),
    ("product_then_log", "nonpositive_finite"),
]


@pytest.mark.parametrize(("fault", "check"), NAMED)
def test_a_fault_of_the_zoo_is_named(fault: str, check: str) -> None:
    """The entry that reproduces the scorer's numbers is its own, and reproduces all of them."""
    mutant = MUTANTS[fault]
    (failure,) = logpr.check(factory=mutant.make, declares=mutant.declares, only=[check]).failures
    assert failure.looks_like == (fault,)
    assert failure.compared
    assert failure.reproduces == failure.compared


@pytest.mark.parametrize("habit", ["dropout_left_on", "order_not_restored"])
def test_what_no_formula_has_is_not_named(habit: str) -> None:
    """Noise and mixed-up results are no formula, and are given none."""
    mutant = MUTANTS[habit]
    only = ["oracle", "permutation", "repeat"]
    report = logpr.check(factory=mutant.make, declares=mutant.declares, only=only)
    assert report.failures
    assert all(failure.looks_like == () for failure in report.failures)


def test_a_mean_of_no_token_costs_no_report() -> None:
    """NaN where a policy leaves y no token is searched like any number, and the report stands."""

    def make(folder: str) -> object:
        plain = toy_scorer(folder, policy="split")

        def score(prompt: str, candidates: list[str]) -> list[float]:
            return [
                sum(row) / len(row) if row else float("nan") for row in plain(prompt, candidates)[1]
            ]

        return score

    report = logpr.check(
        factory=make, declares=Declares(aggregate="mean", dtype="float64"), only=["boundary"]
    )
    assert report.failed == ("boundary",)
    assert report.notes == ()


def test_a_search_that_fails_costs_no_report(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bug of ours in the search is noted, and the failure reported all the same."""

    def broken(*_: object, **__: object) -> None:
        msg = "oh"
        raise RuntimeError(msg)

    monkeypatch.setattr(likeness.Likenesses, "of", broken)
    mutant = MUTANTS["mean"]
    report = logpr.check(factory=mutant.make, declares=mutant.declares, only=["oracle"])
    assert report.failed == ("oracle",)
    assert "RuntimeError: oh" in report.notes[0]
