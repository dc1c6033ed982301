"""`parametrize_with_checks`: ids that stay, and what a check says to pytest."""

from __future__ import annotations

import functools
import itertools
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

import logpr
from logpr.conformance import LAWS, toy_scorer
from logpr.conformance.mutants import mutants
from logpr.conformance.parametrize import Check, parametrize_with_checks
from logpr.errors import MissingExtraError, QueryError, UnknownNameError, WrongTypeError

MAKES = {each.id: each.make for each in mutants()}


def checks(*given: Any, **options: Any) -> dict[str, Check]:  # noqa: ANN401 - as the decorator's
    """Return the checks that a decorated test gets, by id."""

    @parametrize_with_checks(*given, **options)
    def test_scorer(check: Check) -> None:
        check()

    (mark,) = test_scorer.pytestmark  # type: ignore[attr-defined]  # pytest's own, set by a mark
    assert mark.args[0] == "check"
    found = {each.id: each.values[0] for each in mark.args[1]}
    assert [check.id for check in found.values()] == list(found)
    return found


def made(make: Any, check: str, **options: Any) -> Check:  # noqa: ANN401 - a stranger's
    """Return one check of a factory."""
    return checks(factories={"it": make}, only=[check], **options)[f"it-{check}"]


def lengths(prompt: str, candidates: Sequence[str]) -> list[float]:  # noqa: ARG001
    """Score by length: nothing that a law holds for."""
    return [-float(len(candidate)) for candidate in candidates]


def noisy(size: float) -> Callable[[str, Sequence[str]], list[float]]:
    """Return a scorer whose every other call is off by so many nats."""
    calls = itertools.count()

    def score(prompt: str, candidates: Sequence[str]) -> list[float]:
        moved = size * (next(calls) % 2)
        return [each + moved for each in lengths(prompt, candidates)]

    return score


def test_every_check_of_every_scorer_has_an_id() -> None:
    """A test a scorer and check, in the suite's order, under the scorer's own name."""
    found = checks([lengths], factories=[toy_scorer])
    assert list(found) == [f"{name}-{law}" for name in ("lengths", "toy_scorer") for law in LAWS]
    first = found["lengths-oracle"]
    assert (first.id, repr(first)) == ("lengths-oracle", "lengths-oracle")
    assert (first.law, first.scorer) == (LAWS["oracle"], lengths)


class Many:
    """A scorer that takes several queries at once."""

    def many(self, queries: Sequence[logpr.Query]) -> list[list[float]]:
        """Return zeros."""
        return [[0.0] * len(query.candidates) for query in queries]


def test_names_are_the_scorers_own() -> None:
    """Neither the module nor the function around it is in a name; equal ones are numbered."""

    def lengths(prompt: str, candidates: Sequence[str]) -> list[float]:
        return globals()["lengths"](prompt, candidates)  # type: ignore[no-any-return]

    def halved(prompt: str, candidates: Sequence[str], by: float) -> list[float]:
        return [score / by for score in lengths(prompt, candidates)]

    outer = globals()["lengths"]
    given = [outer, lengths, functools.partial(halved, by=2.0), Many(), outer]
    found = checks(given, only=["repeat"])
    assert list(found) == [
        *("lengths-repeat", "lengths_2-repeat", "halved-repeat", "Many-repeat", "lengths_3-repeat"),
    ]


def test_names_can_be_given() -> None:
    """In a dict, scorers have the names that they stand under."""
    found = checks({"short": lengths}, factories={"toy": toy_scorer}, only=["repeat", "oracle"])
    assert list(found) == ["short-oracle", "short-repeat", "toy-oracle", "toy-repeat"]


def test_checks_are_chosen() -> None:
    """`only` and `skip` say which checks make tests."""
    found = checks([lengths], only=["unit", "oracle", "repeat"], skip=["unit"])
    assert list(found) == ["lengths-oracle", "lengths-repeat"]


def test_a_law_that_is_kept_passes() -> None:
    """The correct scorer's tests return."""
    check = made(toy_scorer, "chain_rule")
    check()
    assert check.result().outcome == "passed"


def test_a_broken_law_fails_with_its_evidence() -> None:
    """The text is that of the terminal: law, numbers, case, likeness, what runs it again, page."""
    with pytest.raises(AssertionError) as caught:
        made(MAKES["mean"], "chain_rule", declares={"per_token": True, "dtype": "float64"})()
    lines = str(caught.value).splitlines()
    assert lines[0] == f"chain_rule (MUST): {LAWS['chain_rule'].statement}"
    said = {line[:13].strip(): line[13:] for line in lines[1:]}
    assert list(said) == [
        *("number", "found", "expected", "off by", "case", "cases", "looks like", "again", "page"),
    ]
    assert said["number"] == "s('d', ' c c'), against s('d', ' c') + s('d c', ' c')"
    assert said["looks like"].startswith("mean: reproduces ")
    assert "replay='chain_rule/toy/" in said["again"]
    assert said["page"] == "docs/checks.md#chain_rule"


def test_what_runs_it_again_is_a_command() -> None:
    """A scorer that stands in a module is checked again by its name."""
    with pytest.raises(AssertionError) as caught:
        checks(factories=[broken], only=["chain_rule"])["broken-chain_rule"]()
    again = next(line for line in str(caught.value).splitlines() if line.startswith("  again "))
    assert again.split()[1:5] == ["logpr", "check", f"{__name__}:broken", "--factory"]


def broken(folder: str) -> object:
    """Return a scorer that is wrong."""
    return MAKES["mean"](folder)


@pytest.mark.parametrize(
    ("scorer", "check", "said"),
    [
        pytest.param(lengths, "oracle", "not applicable: it needs the suite's models", id="n/a"),
        pytest.param(lengths, "token_count", "not applicable: it needs token scores", id="needs"),
    ],
)
def test_what_does_not_apply_is_skipped(scorer: Callable[..., Any], check: str, said: str) -> None:
    """The reason of the skip is what the check needs."""
    with pytest.raises(pytest.skip.Exception, match=said):
        checks({"it": scorer}, only=[check])[f"it-{check}"]()


def test_what_is_blocked_is_skipped() -> None:
    """A check whose prerequisite failed is skipped, and says which."""
    with pytest.raises(pytest.skip.Exception, match="blocked: repeat failed"):
        checks({"it": noisy(0.1)}, only=["chain_rule"])["it-chain_rule"]()


def test_what_noise_hides_is_skipped() -> None:
    """A check that noise leaves open is skipped, with the size of the noise."""
    with pytest.raises(pytest.skip.Exception, match="inconclusive: the scorer's own noise"):
        checks({"it": noisy(0.01)}, only=["chain_rule"])["it-chain_rule"]()


def test_an_expected_failure_is_xfailed() -> None:
    """Its reason is the one that was given."""
    found = checks([lengths], only=["prompt_used"], expected_failures={"prompt_used": "issue 3"})
    with pytest.raises(pytest.xfail.Exception, match=r"^issue 3$"):
        found["lengths-prompt_used"]()


def test_a_stale_expected_failure_fails() -> None:
    """The failure names the check, its reason, and where the line has to be taken out."""
    check = made(toy_scorer, "chain_rule", expected_failures={"chain_rule": "mean, issue 3"})
    with pytest.raises(AssertionError) as caught:
        check()
    assert str(caught.value) == (
        "[XPASS(strict)] chain_rule passes, and was expected to fail (mean, issue 3): take it out "
        "of expected_failures"
    )


def test_an_expected_failure_excuses_no_error() -> None:
    """A scorer that gives no numbers is not what was expected to fail."""
    check = made(crash, "oracle", expected_failures={"oracle": "mean, issue 3"})
    with pytest.raises(RuntimeError):
        check()


def crash(folder: str) -> object:  # noqa: ARG001 - as a factory is called
    """Return a scorer that raises."""

    def score(prompt: str, candidates: Sequence[str]) -> list[float]:
        raise ZeroDivisionError(prompt[:0] + f"{len(candidates)} candidates"[2:])

    return score


def test_an_error_shows_the_scorers_own_line() -> None:
    """What was raised, and where; no law is said to be broken."""
    with pytest.raises(RuntimeError) as caught:
        made(crash, "oracle")()
    lines = str(caught.value).splitlines()
    assert lines[0].startswith(
        "oracle (MUST) cannot be told: the scorer raised ZeroDivisionError: candidate"
    )
    assert lines[1].split()[:2] == ["at", f"{Path(__file__)},"]
    assert "raise ZeroDivisionError(" in lines[1]
    assert "--replay" in lines[3] or "replay=" in lines[3]


def test_expected_failures_may_depend_on_the_scorer() -> None:
    """A function is asked for each scorer's reasons."""

    def reasons(scorer: object) -> Mapping[str, str]:
        return {"prompt_used": "lengths only"} if scorer is lengths else {}

    found = checks(
        {"known": lengths, "unknown": noisy(0.0)},
        only=["prompt_used"],
        expected_failures=reasons,
    )
    with pytest.raises(pytest.xfail.Exception, match="lengths only"):
        found["known-prompt_used"]()
    with pytest.raises(AssertionError, match=r"^prompt_used \(MUST\)"):
        found["unknown-prompt_used"]()


def test_a_convention_is_xfailed() -> None:
    """A broken SHOULD says so, and what was found."""
    with pytest.raises(pytest.xfail.Exception) as caught:
        made(MAKES["zero_for_empty"], "empty_inputs")()
    assert str(caught.value).startswith("SHOULD: empty_inputs: an empty prompt or candidate")
    assert "found 0.0000, expected" in str(caught.value)


def test_a_convention_can_be_made_a_law() -> None:
    """With should="fail" it fails as a MUST does."""
    with pytest.raises(AssertionError, match=r"^empty_inputs \(SHOULD\)"):
        made(MAKES["zero_for_empty"], "empty_inputs", should="fail")()


class Counted:
    """A factory that counts its calls, and what was closed of what it made."""

    def __init__(self) -> None:
        self.folders: list[Path] = []
        self.asked = 0
        self.closed = 0

    def __call__(self, folder: str) -> object:
        """Return a correct scorer that can be closed."""
        self.folders.append(Path(folder))
        plain, owner = toy_scorer(folder), self

        class Scorer:
            def __call__(self, prompt: str, candidates: Sequence[str]) -> object:
                owner.asked += 1
                return plain(prompt, candidates)

            def close(self) -> None:
                owner.closed += 1

        return Scorer()


def test_checks_share_what_they_found() -> None:
    """Nothing is opened before a check is called, and no law is judged twice."""
    counted = Counted()
    found = checks(factories={"it": counted}, only=["oracle", "repeat", "unit"])
    assert counted.folders == []
    for check in found.values():
        check()
    asked = counted.asked
    assert asked > 0
    assert len(counted.folders) == 1
    for check in found.values():
        check()
    assert (counted.asked, len(counted.folders)) == (asked, 1)


def test_a_suite_is_closed_and_opened_again() -> None:
    """Closing lets go of scorer and folder; what is asked later opens them anew."""
    counted = Counted()
    found = checks(factories={"it": counted}, only=["oracle", "unit"])
    suite = found["it-oracle"].suite
    found["it-oracle"]()
    assert counted.folders[0].is_dir()
    suite.close()
    assert (counted.closed, counted.folders[0].exists()) == (1, False)
    found["it-oracle"]()
    assert len(counted.folders) == 1
    found["it-unit"]()
    assert len(counted.folders) == 2
    suite.close()
    assert counted.closed == 2


def test_a_suite_that_nobody_closes_closes_with_its_tests() -> None:
    """Without the plugin, the folder goes when the tests do."""
    counted = Counted()
    checks(factories={"it": counted}, only=["oracle"])["it-oracle"]()
    assert (counted.closed, counted.folders[0].exists()) == (1, False)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("given", "options", "error", "said"),
    [
        ([], {}, WrongTypeError, r"there is no scorer to check; give parametrize_with_checks\("),
        (lengths, {}, WrongTypeError, r"found function: write parametrize_with_checks\(\[score"),
        ("pkg.mod:score", {}, WrongTypeError, "found str"),
        ([3.0], {}, WrongTypeError, "3.0"),
        ([lengths], {"only": ["chain_rul"]}, UnknownNameError, r"did you mean chain_rule\?"),
        ([lengths], {"skip": ["x"]}, UnknownNameError, "no check is called 'x'"),
        ([lengths], {"expected_failures": {"repeats": ""}}, UnknownNameError, "mean repeat"),
        ([lengths], {"declares": {"units": "bits"}}, UnknownNameError, "'units'"),
        ([lengths], {"declares": {"per_token": "maybe"}}, QueryError, "per_token is 'maybe'"),
    ],
)
def test_misuse_is_refused(
    given: Any,  # noqa: ANN401 - whatever somebody gives
    options: dict[str, Any],
    error: type[Exception],
    said: str,
) -> None:
    """What cannot be checked is told as tests are collected, with the way out."""
    with pytest.raises(error, match=said):
        parametrize_with_checks(given, **options)


def test_pytest_is_asked_for_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no pytest, the error says what to install."""
    monkeypatch.setitem(sys.modules, "pytest", None)
    with pytest.raises(MissingExtraError, match="pip install pytest"):
        logpr.parametrize_with_checks([lengths])
