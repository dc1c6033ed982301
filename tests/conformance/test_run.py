"""A run of the suite: prerequisites, expected failures, replay, noise, what cannot be judged."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable, Sequence
from typing import Any

import pytest

import logpr
from logpr import CheckReport
from logpr.auditing import faulty_scorer
from logpr.conformance import LAWS, Declares, toy_scorer
from logpr.conformance.mutants import EXACT, mutants
from logpr.errors import QueryError, UnknownNameError, WrongTypeError

MUTANTS = {mutant.id: mutant for mutant in mutants()}


def run(name: str, **options: Any) -> CheckReport:  # noqa: ANN401 - check's own
    """Return the report on a mutant."""
    mutant = MUTANTS[name]
    return logpr.check(factory=mutant.make, declares=mutant.declares, **options)


def test_what_stands_on_a_failure_is_blocked() -> None:
    """A scorer that fails the closed form is not accused by what only the closed form can tell."""
    report = run("mean", explain=False)
    assert "oracle" in report.failed
    why = {result.check: result.why for result in report.of("blocked")}
    assert why["boundary"] == why["eos_inside"] == "oracle failed"
    assert set(why) == {law.id for law in LAWS.values() if "oracle" in law.after} | {"unit"}


def test_only_runs_what_it_stands_on_and_reports_it_not() -> None:
    """`only` reports the named checks; their prerequisites run all the same."""
    report = run("mean", only=["boundary"], explain=False)
    assert report.results[0].check == "boundary"
    assert report.blocked == ("boundary",)
    assert len(report.results) == 1
    assert report.failures == ()


def test_expected_failures_are_told_apart() -> None:
    """A failure with a reason is no fault of the run; a pass with one is stale, and is."""
    report = run(
        "joint_boundary",
        only=["boundary", "trailing_space", "unicode"],
        expected_failures={"boundary": "issue 12", "trailing_space": "as above"},
        explain=False,
    )
    assert report.expected == ("boundary", "trailing_space")
    assert report.exit_code == 0
    assert report.failures[0].expected_because == "issue 12"
    stale = logpr.check(
        factory=toy_scorer, only=["oracle"], expected_failures={"oracle": "no longer"}
    )
    assert stale.stale == ("oracle",)
    assert stale.exit_code == 1


def test_a_convention_alone_is_no_error() -> None:
    """A SHOULD that fails leaves exit code 0, a MUST does not."""
    report = run("zero_for_empty", explain=False)
    assert report.failed == ("empty_inputs",)
    assert report.exit_code == 0
    assert run("first_token_dropped", only=["oracle"], explain=False).exit_code == 1


@pytest.mark.parametrize(
    ("name", "check"),
    [("mean", "chain_rule"), ("raw_logit_sum", "oracle"), ("in_bits", "unit"),
     ("row_reused", "chain_rule"), ("product_then_log", "long_sequence")],
)  # fmt: skip
def test_a_replay_breaks_the_law_again(name: str, check: str) -> None:
    """The id that a failure prints runs its smallest case alone, with the same numbers."""
    (failure,) = run(name, only=[check]).failures
    again = run(name, replay=failure.replay, explain=False)
    assert again.failed == (check,)
    assert again.failures[0].found == pytest.approx(failure.found)
    assert again.failures[0].expected == pytest.approx(failure.expected)
    kept = logpr.check(factory=toy_scorer, declares=EXACT, replay=failure.replay)
    assert kept.passed == (check,)


def test_cases_shrink_to_the_smallest() -> None:
    """A mean breaks the sum with two tokens, and no smaller case does."""
    (failure,) = run("mean", only=["oracle"]).failures
    prompt, candidate = failure.replay.split("/")[2:]
    assert len(prompt.split(".")) == 1
    assert len(candidate.split(".")) == 2
    (failure,) = run("product_then_log", only=["long_sequence"]).failures
    length = int(failure.replay.partition("@")[2])
    # exp(-745) is the last that float64 holds.
    assert 745 / math.log(10) < length < 745 / math.log(10) * 1.12


@pytest.mark.parametrize(
    "case",
    ["oracle/own/1/2", "oracle/nowhere/1/2", "oracle/toy/1", "oracle/toy/4/2", "boundary/toy/1/2"],
)
def test_a_case_of_another_kind_is_refused(case: str) -> None:
    """An id that no report printed for this scorer is an error that says why."""
    with pytest.raises(QueryError, match="case"):
        logpr.check(factory=toy_scorer, declares=EXACT, replay=case)


def test_unknown_checks_are_named() -> None:
    """An id that no check has is an error that lists them, wherever it stands."""
    for options in ({"only": ["orcale"]}, {"skip": ["x"]}, {"expected_failures": {"x": "y"}}):
        with pytest.raises(UnknownNameError, match="chain_rule"):
            logpr.check(factory=toy_scorer, **options)  # type: ignore[arg-type]
    with pytest.raises(UnknownNameError, match="orcale"):
        logpr.check(factory=toy_scorer, replay="orcale/toy/1/2")


def test_one_of_scorer_and_factory() -> None:
    """Neither, and both, are refused."""
    with pytest.raises(WrongTypeError, match="neither"):
        logpr.check()
    with pytest.raises(WrongTypeError, match="both"):
        logpr.check(lambda *_: [], factory=toy_scorer)


def test_the_report_counts() -> None:
    """Calls, candidates and the checks in six lists, in the suite's order."""
    report = logpr.check(factory=toy_scorer, declares=EXACT, only=["repeat", "oracle", "stop_mass"])
    assert [result.check for result in report.results] == ["oracle", "stop_mass", "repeat"]
    assert report.not_applicable == ("stop_mass",)
    assert report.calls == 10 + 2 * 3
    assert report.candidates == 2 * 10 + 4 * 2 * 3
    assert dict(report.declares)["dtype"] == "float64"
    assert report.architecture == "gpt2"
    assert CheckReport.from_dict(report.to_dict()) == report


def test_progress_is_told() -> None:
    """Each check is named as it begins, and the end is told."""
    told: list[tuple[str, int, int]] = []
    logpr.check(
        factory=toy_scorer, only=["oracle", "unit"], progress=lambda *each: told.append(each)
    )
    assert told == [("oracle", 0, 2), ("unit", 1, 2), ("", 2, 2)]


def noisy(size: float) -> Callable[[str, Sequence[str]], list[float]]:
    """Return a scorer of its own whose numbers tremble."""
    rng = random.Random(0)  # noqa: S311 - no secret
    sound = faulty_scorer(model="builtin")

    def score(prompt: str, candidates: Sequence[str]) -> list[float]:
        return [
            value - size * rng.random() * (len(text.split()) + 1)
            for value, text in zip(sound(prompt, candidates), candidates, strict=True)
        ]

    return score


def test_noise_is_measured_and_hides() -> None:
    """Where a scorer's own noise is larger than what is looked for, nothing is said."""
    quiet, loud, broken = (logpr.check(noisy(size)) for size in (1e-6, 0.01, 3.0))
    assert quiet.noise is not None
    assert 0 < quiet.noise < 1e-5
    assert not quiet.failed
    assert not quiet.inconclusive
    assert loud.noise is not None
    assert 0.003 < loud.noise < 0.02
    assert not loud.failed
    assert {"chain_rule", "candidate_independence", "duplicates"} <= set(loud.inconclusive)
    assert "repeat" in broken.failed
    assert "chain_rule" in broken.blocked


@pytest.mark.parametrize(
    ("fault", "parameters", "kills"),
    [
        ("mean", {}, "chain_rule"),
        ("mean", {}, "prefix_monotone"),
        ("first_token_dropped", {}, "chain_rule"),
        ("raw_logit_sum", {}, "prefix_monotone"),
        ("candidates_softmax", {}, "candidate_independence"),
        ("pad_counted", {"pad_id": 0, "company": "query"}, "batch_composition"),
        ("prompt_dropped", {}, "prompt_used"),
        ("space_lost", {}, "byte_round_trip"),
        ("negated", {}, "nonpositive_finite"),
        ("eos_added", {}, "empty_inputs"),
    ],
)
def test_a_model_of_ones_own_tells_too(fault: str, parameters: dict[str, Any], kills: str) -> None:
    """Without the suite's models, laws are told from the scorer's own numbers."""
    sound = faulty_scorer(model="builtin")
    broken = faulty_scorer(fault, model="builtin", **parameters)
    assert logpr.check(sound, only=[kills]).passed == (kills,)
    report = logpr.check(broken, only=[kills], explain=False)
    assert report.failed == (kills,)


def test_ids_of_ones_own_vocabulary_are_enumerated() -> None:
    """A scorer of ids that says its vocab_size is held to the mass of its next tokens."""
    lm = logpr.load("builtin")

    class Scorer:
        vocab_size = lm.vocab_size

        def __init__(self, factor: float) -> None:
            self.factor = factor

        def __call__(self, prompt: list[int], candidates: list[list[int]]) -> list[float]:
            row = lm.next_logits([prompt]).logprobs[0]  # type: ignore[attr-defined]
            assert all(len(each) == 1 for each in candidates)
            return [float(row[token]) * self.factor for (token,) in candidates]

    declares = Declares(ids=True)
    only = ["next_token_mass"]
    assert logpr.check(Scorer(1.0), declares=declares, only=only).passed
    assert logpr.check(Scorer(1.1), declares=declares, only=only).failed


def test_means_of_ones_own_cannot_be_summed() -> None:
    """Where a mean is declared and nobody can count tokens, laws of the sum do not apply."""
    mean = faulty_scorer("mean", model="builtin")
    report = logpr.check(mean, declares=Declares(aggregate="mean"))
    assert not report.failed
    assert "chain_rule" in report.not_applicable
    why = {result.check: result.why for result in report.results}["chain_rule"]
    assert why is not None
    assert "means" in why


def test_a_crash_is_no_failure() -> None:
    """A check at which the scorer raises is an error, with the scorer's words; others go on."""
    calls = itertools.count()

    def make(folder: str) -> Callable[..., Any]:
        plain = toy_scorer(folder)

        def score(prompt: Any, candidates: Any) -> Any:  # noqa: ANN401 - as given
            next(calls)
            if len(candidates) > 2:
                msg = "two at most"
                raise RuntimeError(msg)
            return plain(prompt, candidates)[0]

        return score

    report = logpr.check(factory=make, only=["oracle", "permutation", "chain_rule", "repeat"])
    assert "oracle" in report.passed
    assert report.error == ("repeat",)
    assert report.blocked == ("chain_rule", "permutation")
    assert "two at most" in report.errors[0].message
    assert report.exit_code == 1


def test_nothing_judged_is_no_success() -> None:
    """Where no check could be judged the exit code is 2, not 0."""
    report = logpr.check(faulty_scorer(model="builtin"), only=["oracle"])
    assert report.not_applicable == ("oracle",)
    assert report.exit_code == 2


def test_an_expectation_that_met_nothing_is_noted() -> None:
    """A failure that was expected of a check that was not judged, or not run, is said."""
    report = run(
        "mean",
        only=["oracle", "unicode"],
        expected_failures={"unicode": "issue 3", "unit": "issue 4"},
        explain=False,
    )
    assert report.notes[:2] == (
        "unicode is expected to fail, and was not judged: blocked",
        "unit is expected to fail, and was not run",
    )


def changed(change: Callable[[list[str], list[list[float]]], None]) -> Callable[[str], object]:
    """Return a factory whose token scores are changed, its scores being right."""

    def make(folder: str) -> object:
        plain = toy_scorer(folder)

        def score(prompt: Any, candidates: Any) -> Any:  # noqa: ANN401 - as given
            scores, tokens = plain(prompt, candidates)
            change(candidates, tokens)
            return scores, tokens

        return score

    return make


def test_token_scores_are_held_in_company_too() -> None:
    """Token scores that are sorted where several candidates are asked break what they belong to."""

    def mixed(candidates: list[str], tokens: list[list[float]]) -> None:
        if len(candidates) > 2:
            for row in tokens:
                row.sort()

    for name in ("candidate_independence", "batch_composition"):
        report = logpr.check(factory=changed(mixed), declares=EXACT, only=[name], explain=False)
        assert report.failed == (name,)


def test_the_last_part_of_a_large_call_is_asked() -> None:
    """A scorer that is wrong in its last, partial batch of 16 is found."""

    def make(folder: str) -> object:
        plain = toy_scorer(folder)

        def score(prompt: Any, candidates: Any) -> Any:  # noqa: ANN401 - as given
            scores = plain(prompt, candidates)[0]
            if len(scores) > 16:
                for place in range(len(scores) // 16 * 16, len(scores)):
                    scores[place] -= 0.1
            return scores

        return score

    report = logpr.check(factory=make, only=["candidate_independence"], explain=False)
    assert report.failed == ("candidate_independence",)


def test_the_policy_that_a_number_is_of_is_said() -> None:
    """Where a boundary's number is that of another policy, the failure names it."""

    def make(folder: str) -> object:
        plain = toy_scorer(folder, policy="joint")
        return lambda prompt, candidates: plain(prompt, candidates)[0]

    (failure,) = logpr.check(factory=make, only=["boundary"], explain=False).failures
    assert "boundary=separate is declared, and this is the number of joint" in failure.what


def test_a_refusal_of_ordinary_text_is_a_failure() -> None:
    """A ValueError where a policy has a number is a broken law, which can be expected; no error."""

    def make(folder: str) -> object:
        plain = toy_scorer(folder)

        def score(prompt: str, candidates: list[str]) -> list[float]:
            if prompt.endswith(" "):
                msg = "no space at the end, please"
                raise ValueError(msg)
            return plain(prompt, candidates)[0]

        return score

    report = logpr.check(
        factory=make, only=["trailing_space"], expected_failures={"trailing_space": "refused"}
    )
    assert report.expected == ("trailing_space",)
    assert str(report.failures[0].found).startswith("refused: ")
    assert report.exit_code == 0
