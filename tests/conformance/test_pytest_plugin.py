"""The plugin of pytest: outcomes of tests, and checks without a test file."""

from __future__ import annotations

import importlib
import importlib.metadata
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

# A run in this process forgets what it was the first to import, and a class that comes again is
# another one.
for _name in ("conformance.mutants", "conformance.parametrize", "report.words.told"):
    importlib.import_module(f"logpr.{_name}")

pytest_plugins = ["pytester"]

SCORERS = """
from logpr.conformance import toy_scorer
from logpr.conformance.mutants import mutants

_MAKES = {each.id: each.make for each in mutants()}


def good(folder):
    return toy_scorer(folder)


def mean(folder):
    return _MAKES["mean"](folder)


def zero(folder):
    return _MAKES["zero_for_empty"](folder)


def crash(folder):
    def score(prompt, candidates):
        return [1 / 0 for _ in candidates]

    return score


def lengths(prompt, candidates):
    return [-float(len(candidate)) for candidate in candidates]
"""

FILE = """
import logpr
import scorers


@logpr.parametrize_with_checks(
    factories=[scorers.good, scorers.mean, scorers.zero, scorers.crash],
    only=["oracle", "chain_rule", "empty_inputs"],
    expected_failures=lambda make: {
        scorers.good: {"chain_rule": "issue 3"},
        scorers.mean: {"chain_rule": "issue 4"},
    }.get(make, {}),
)
def test_scorer(check):
    check()
"""

COUNT = "--logpr-only=repeat,prompt_used"


@pytest.fixture
def folder(pytester: pytest.Pytester) -> pytest.Pytester:
    """Return a folder with scorers, and a pytest that is not told what ours is."""
    pytester.makepyfile(scorers=SCORERS)
    return pytester


def outcomes(result: pytest.RunResult) -> dict[str, int]:
    """Return how many tests had which outcome."""
    found: dict[str, int] = result.parseoutcomes()
    return {name: count for name, count in found.items() if not name.startswith("warning")}


def test_the_plugin_is_declared() -> None:
    """pytest finds it, and it stands beside the package: finding it imports no logpr."""
    (plugin,) = importlib.metadata.entry_points(group="pytest11", name="logpr")
    assert plugin.value == "_logpr_pytest"


def test_a_file_of_checks(folder: pytest.Pytester) -> None:
    """Each outcome of a check is one of a test, told without a line of ours."""
    folder.makepyfile(FILE)
    result = folder.runpytest_subprocess("-p", "no:xdist", "-rA")
    assert outcomes(result) == {"passed": 4, "failed": 3, "skipped": 3, "xfailed": 2}
    name = "test_a_file_of_checks.py::test_scorer"
    result.stdout.fnmatch_lines_random(
        [
            ">       check()",
            "E       AssertionError: oracle (MUST): s equals the closed form*",
            "E         looks like mean: reproduces *",
            "E         again      logpr check scorers:mean --factory --replay oracle/toy/*",
            "E         page       docs/checks.md#oracle",
            "E       RuntimeError: oracle (MUST) cannot be told: the scorer raised ZeroDivision*",
            "E         at         *scorers.py, line *: return [[]1 / 0 for _ in candidates]",
            f"PASSED {name}[[]good-oracle]",
            f"XFAIL {name}[[]mean-chain_rule] - issue 4",
            f"XFAIL {name}[[]zero-empty_inputs] - SHOULD: empty_inputs: *",
            f"FAILED {name}[[]good-chain_rule] - *",
            "E * chain_rule passes, and was expected to fail (issue 3): take it out of expected_f*",
            "SKIPPED [[]1] test_a_file_of_checks.py:*: blocked: oracle failed",
        ]
    )
    assert "parametrize.py" not in result.stdout.str()


def test_xfails_can_be_run_as_failures(folder: pytest.Pytester) -> None:
    """With --runxfail an expected failure shows its evidence; --logpr-strict is for SHOULDs."""
    folder.makepyfile(FILE)
    result = folder.runpytest_inprocess("--runxfail", "-k", "mean-chain_rule")
    assert outcomes(result)["failed"] == 1
    result.stdout.fnmatch_lines(["E * looks like mean: reproduces *"])
    result = folder.runpytest_inprocess("--logpr-strict", "-k", "zero", "-m", "logpr")
    assert outcomes(result)["failed"] == 1
    result.stdout.fnmatch_lines(["E * empty_inputs (SHOULD): an empty prompt or candidate*"])


def test_checks_without_a_test_file(folder: pytest.Pytester) -> None:
    """`--logpr-check` makes an item a check, and tells which scorers it is about."""
    result = folder.runpytest_inprocess(
        *("--logpr-check", "scorers:lengths", "--logpr-check", "factory:scorers:good"),
        *("-rA", "--logpr-seed=3", "--logpr-only", "oracle,repeat", "--logpr-only=prompt_used"),
    )
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert outcomes(result) == {"passed": 4, "failed": 1, "skipped": 1}
    result.stdout.fnmatch_lines(
        [
            "logpr: checks scorers:lengths, factory:scorers:good; seed 3",
            "collected 6 items",
            "_* scorers:lengths::prompt_used _*",
            "prompt_used (MUST): editing the last prompt token moves s",
            "  again      logpr check scorers:lengths --replay prompt_used/own/*",
            "PASSED logpr::scorers:lengths::repeat",
            "PASSED logpr::factory:scorers:good::oracle",
            "SKIPPED [[]1] logpr: not applicable: it needs the suite's models: *",
            "FAILED logpr::scorers:lengths::prompt_used - prompt_used (MUST): *",
        ]
    )


def test_ids_are_stable(folder: pytest.Pytester) -> None:
    """Tests are called by scorer and check, and so are items; by these names they are chosen."""
    folder.makepyfile(FILE)
    ask = ("--collect-only", "-q", "--logpr-check=scorers:good", "--logpr-factory", "-k", "good")
    result = folder.runpytest_inprocess(*ask, "--logpr-only=unit,oracle")
    name = "test_ids_are_stable.py::test_scorer"
    assert [line for line in result.outlines if "::" in line] == [
        *(f"{name}[good-{law}]" for law in ("oracle", "chain_rule", "empty_inputs")),
        "logpr::factory:scorers:good::oracle",
        "logpr::factory:scorers:good::unit",
    ]


def test_an_id_can_be_run(folder: pytest.Pytester) -> None:
    """`pytest logpr::TARGET::CHECK` runs that check alone, `logpr::TARGET` those of a scorer."""
    folder.makepyfile(FILE)
    result = folder.runpytest_inprocess(
        "logpr::scorers:lengths::repeat", "logpr::factory:scorers:good", "--logpr-only=unit", "-rA"
    )
    assert [line for line in result.outlines if line.startswith(("PASSED", "FAILED"))] == [
        "PASSED logpr::scorers:lengths::repeat",
        "PASSED logpr::factory:scorers:good::unit",
    ]
    assert outcomes(result) == {"passed": 2}


INI = """
[pytest]
addopts = --strict-markers --strict-config -p no:xdist
logpr_check =
    scorers:lengths
    factory:scorers:good
logpr_declares =
    dtype=float32
logpr_expected_failures =
    scorers:lengths::prompt_used: lengths only
    repeat: it wavers
"""


def test_an_ini_file_names_scorers(folder: pytest.Pytester) -> None:
    """Scorers and reasons stand in the ini file; a stale reason fails, and says where it is."""
    folder.makefile(".ini", pytest=INI)
    result = folder.runpytest_inprocess(COUNT, "-rA")
    assert outcomes(result) == {"passed": 1, "failed": 2, "xfailed": 1}
    result.stdout.fnmatch_lines(
        [
            "*XPASS(strict)] repeat passes, * (it wavers): take it out of logpr_expected_failures",
            "PASSED logpr::factory:scorers:good::prompt_used",
            "XFAIL logpr::scorers:lengths::prompt_used - lengths only",
        ]
    )
    again = folder.runpytest_inprocess(COUNT, "--lf", "-q")
    assert outcomes(again) == {"failed": 2, "deselected": 2}


def test_a_file_that_is_named_is_run_alone(folder: pytest.Pytester) -> None:
    """Scorers of the ini file are part of whole runs, of folders, and of `logpr::`."""
    folder.makefile(".ini", pytest=INI)
    folder.makepyfile(FILE)
    folder.mkdir("tests")

    def collected(*args: str) -> int:
        result = folder.runpytest_inprocess(COUNT, "--collect-only", "-q", *args)
        return sum("::" in line for line in result.outlines)

    name = "test_a_file_that_is_named_is_run_alone.py"
    assert collected() == 16
    assert collected(".") == 16
    assert collected("tests") == 4
    assert collected("logpr::") == 4
    assert collected(name) == 12
    assert collected(f"{name}::test_scorer") == 12


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--logpr-check=scorers:lengths", "--logpr-only=chain_rul"], "*did you mean chain_rule?*"),
        (["--logpr-check=scorers:lengths", "--logpr-skip=units"], "*did you mean unit?*"),
        (["logpr::scorers:lengths::repeats"], "*did you mean repeat?*"),
        (["--logpr-check=scorers:length"], "*--logpr-check scorers:length: * it has *"),
        (["--logpr-check=nothing:score"], "*there is no module nothing*"),
        (["--logpr-check=minicon"], "*'minicon' names no scorer*did you mean minicons*"),
        (["--logpr-check=scorers:mean"], "  --logpr-check factory:scorers:mean"),
        (["--logpr-check=scorers:lengths", "--logpr-declares=unit=bit"], "*unit is 'bit'*"),
        (
            ["--logpr-check=scorers:lengths", "--logpr-declares=bits"],
            "*NAME=VALUE*found 'bits'; write --logpr-declares unit=bits,per_token=true",
        ),
        (["-ologpr_expected_failures=oracle", "logpr::scorers:lengths"], "*found 'oracle'"),
        (["-ologpr_expected_failures=oracl: no", "logpr::scorers:lengths"], "*mean oracle?*"),
        (
            ["-ologpr_expected_failures=scorers:good::oracle: no", "logpr::scorers:lengths"],
            "*is about 'scorers:good', which is not checked; there are scorers:lengths",
        ),
    ],
)
def test_misuse_is_a_usage_error(folder: pytest.Pytester, args: list[str], said: str) -> None:
    """What is misspelled is told before any test, with what is near."""
    result = folder.runpytest_inprocess("-p", "no:xdist", *args)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([said])
    assert "Traceback" not in result.stderr.str() + result.stdout.str()


def test_processes_share_the_checks(folder: pytest.Pytester) -> None:
    """Under xdist each check runs once, by the ids that a single process has."""
    folder.makefile(".ini", pytest=INI.replace("-p no:xdist", "--numprocesses=2"))
    result = folder.runpytest_subprocess(COUNT, "logpr::", "-rA")
    assert outcomes(result) == {"passed": 1, "failed": 2, "xfailed": 1}
    result.stdout.fnmatch_lines(["*XFAIL logpr::scorers:lengths::prompt_used - lengths only"])
    result = folder.runpytest_inprocess("--logpr-check=nothing:score")
    assert result.ret == pytest.ExitCode.USAGE_ERROR


def test_who_checks_nothing_does_not_pay(folder: pytest.Pytester) -> None:
    """The plugin is there, and logpr is not imported."""
    folder.makepyfile(
        "import sys\ndef test_lightness(pytestconfig):\n"
        "    assert pytestconfig.pluginmanager.hasplugin('logpr')\n"
        "    assert '_logpr_pytest' in sys.modules\n"
        "    assert 'logpr' not in sys.modules\n"
    )
    result = folder.runpytest_subprocess("-p", "no:xdist")
    assert outcomes(result) == {"passed": 1}


def test_the_decorator_needs_no_plugin(
    folder: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without it tests are the same, and nothing is left behind."""
    folder.makepyfile(FILE)
    temporary = folder.mkdir("temporary")
    monkeypatch.setenv("TMPDIR", str(temporary))
    for plugin in ("no:logpr", "logpr"):
        result = folder.runpytest_subprocess(
            *("-p", plugin, "-p", "no:xdist", "-k", "good", "--basetemp=pytest"),
            *("-W", "error"),
        )
        assert outcomes(result) == {"passed": 2, "failed": 1, "deselected": 9}
        assert list(temporary.glob("logpr-check-*")) == []


def test_a_scorer_is_closed_behind_its_last_test(folder: pytest.Pytester) -> None:
    """A model is let go of before the next scorer's is loaded."""
    folder.makepyfile(
        scorers="""
        from logpr.conformance import toy_scorer

        class Scorer:
            def __init__(self, folder):
                self.score = toy_scorer(folder)
                print("opened", file=open("log", "a"))

            def __call__(self, prompt, candidates):
                return self.score(prompt, candidates)

            def close(self):
                print("closed", file=open("log", "a"))

        class Other(Scorer):
            pass
        """
    )
    folder.makepyfile(
        """
        import logpr, scorers

        @logpr.parametrize_with_checks(
            factories=[scorers.Scorer, scorers.Other], only=["oracle", "repeat"]
        )
        def test_scorer(check):
            check()
        """
    )
    result = folder.runpytest_inprocess()
    assert outcomes(result) == {"passed": 4}
    assert (folder.path / "log").read_text(encoding="utf-8").split() == ["opened", "closed"] * 2


def test_junit_names_scorer_and_check(folder: pytest.Pytester) -> None:
    """Of pytest's own JUnit file, the class is the scorer and the test the check."""
    folder.runpytest_inprocess("--junitxml=out.xml", "--logpr-check=scorers:lengths", COUNT)
    cases = ET.parse(Path(folder.path / "out.xml")).iter("testcase")  # noqa: S314 - ours
    assert [(case.get("classname"), case.get("name")) for case in cases] == [
        ("logpr.scorers:lengths", "prompt_used"),
        ("logpr.scorers:lengths", "repeat"),
    ]
