"""`logpr check`: targets of every kind, exit codes, reports beside, and what cannot be checked."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

import logpr
from logpr.cli import _progress
from logpr.conformance import LAWS
from logpr.conformance.toy import toy
from logpr.conformance.toy.endpoint import endpoint
from tests.cli.conftest import Cli

FIELDS = {"passed", "failed", "blocked", "not_applicable", "inconclusive", "error"}
"""What the JSON of a check has at the least."""

SCORERS = '''
"""Scorers good and bad."""

import json
import math
import os
import sys
import time
from pathlib import Path

from logpr.conformance import toy_scorer


def make(model_folder):
    return toy_scorer(model_folder)


def make_mean(model_folder):
    score = toy_scorer(model_folder)

    def mean(prompt, candidates):
        scores, tokens = score(prompt, candidates)
        return [sum(each) / max(1, len(each)) for each in tokens]

    return mean


def make_nothing(model_folder):
    raise OSError(f"no model in {len(model_folder) > 0}")


def lengths(prompt, candidates):
    return [-1.0 * len(candidate) - 0.001 * len(prompt) for candidate in candidates]


def crashes(prompt, candidates):
    raise RuntimeError("boom")


def hangs(prompt, candidates):
    Path("hanging").touch()
    time.sleep(60)


def prints(prompt, candidates):
    print("scoring", prompt)
    return lengths(prompt, candidates)


def loud(prompt, candidates):
    os.system("echo very loud")
    return lengths(prompt, candidates)


def too_few(prompt, candidates):
    return []


def strings(prompt, candidates):
    return ["-1.0" for _ in candidates]


def nan(prompt, candidates):
    return [math.nan for _ in candidates]


def mutates(prompt, candidates):
    return [-1.0 for _ in range(len(candidates)) if candidates.pop() is not None]


if __name__ == "__main__":
    score = toy_scorer(sys.argv[1])
    for line in sys.stdin:
        asked = json.loads(line)
        scores, _ = score(asked["prompt"], asked["candidates"])
        print(json.dumps({"id": asked["id"], "scores": scores}))
'''


@pytest.fixture
def scorers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the name of a module of scorers in the working folder."""
    name = "scorers_to_check"
    (tmp_path / f"{name}.py").write_text(SCORERS, encoding="utf-8")
    monkeypatch.delitem(sys.modules, name, raising=False)
    return name


def test_no_target_checks_logpr_itself(cli: Cli) -> None:
    """On the built-in model, which it says; every law that applies is kept."""
    ran = cli("check", "--json")
    assert ran.code == 0
    assert "no TARGET: checking logpr itself, on the built-in model" in ran.err
    assert set(ran.record) >= FIELDS
    assert ran.record["target"] == "logpr, built-in model"
    assert not ran.record["failed"]
    assert not ran.record["error"]
    assert {"chain_rule", "future_blind", "batch_composition"} <= set(ran.record["passed"])


def test_a_factory_is_run_on_the_suites_models(cli: Cli, scorers: str) -> None:
    """The closed form keeps every law; what is declared is what is judged."""
    command = ("check", "--factory", f"{scorers}:make", "--json", "--declares")
    ran = cli(*command, "per_token=true,dtype=float64")
    assert ran.code == 0
    assert ran.err == ""
    assert len(ran.record["passed"]) == len(LAWS) - 1
    assert ran.record["not_applicable"] == ["stop_mass"]
    assert ran.record["architecture"] == "gpt2"
    assert dict(ran.record["declares"])["dtype"] == "float64"
    ran = cli(*command, "unit=bits", "--only", "unit")
    assert ran.code == 1
    assert ran.record["failed"] == ["unit"]


def test_a_failure_is_shown_with_what_reproduces_it(cli: Cli, scorers: str) -> None:
    """The line that the report prints runs the case alone, and fails alike."""
    ran = cli("check", "--factory", f"{scorers}:make_mean", "--only", "chain_rule,oracle", "--json")
    assert ran.code == 1
    assert ran.record["failed"] == ["oracle", "chain_rule"]
    failure = ran.record["failures"][1]
    assert {"statement", "found", "expected", "case", "looks_like", "replay"} <= set(failure)
    again = cli(
        "check", "--factory", f"{scorers}:make_mean", "--replay", failure["replay"], "--json"
    )
    assert again.code == 1
    assert again.record["failed"] == ["chain_rule"]
    assert again.record["failures"][0]["found"] == failure["found"]
    shown = cli("check", "--factory", f"{scorers}:make_mean", "--only", "chain_rule")
    assert f"--replay {failure['replay']}" in " ".join(shown.out.split()).replace("\\ ", "")


def test_expected_failures(cli: Cli, scorers: str) -> None:
    """One that fails as expected is no failure; one that passes is stale, and is one."""
    command = ("check", "--factory", f"{scorers}:make_mean", "--only", "chain_rule,oracle,repeat")
    expected = (
        "--expect-failure",
        "chain_rule=a mean",
        "--expect-failure",
        "oracle=a mean = short",
    )
    ran = cli(*command, *expected, "--json")
    assert ran.code == 0
    assert ran.record["expected"] == ["oracle", "chain_rule"]
    assert ran.record["failures"][0]["expected_because"] == "a mean = short"
    ran = cli(*command, *expected, "--expect-failure", "repeat=old", "--json")
    assert ran.code == 1
    assert ran.record["stale"] == ["repeat"]


@pytest.mark.parametrize(
    ("scorer", "kind", "says"),
    [
        ("crashes", "raised", "the scorer raised RuntimeError: boom"),
        ("too_few", "wrong_shape", "wanted is a list of"),
        ("strings", "not_numbers", "'-1.0' (str) at place 0; wanted is a number"),
        ("mutates", "mutated_input", "changed the list of candidates"),
    ],
)
def test_scorers_that_give_no_numbers(
    cli: Cli, scorers: str, scorer: str, kind: str, says: str
) -> None:
    """An error each, in words; never a traceback of ours, and nothing on stderr."""
    ran = cli("check", f"{scorers}:{scorer}", "--json")
    assert ran.code == 1
    assert ran.err == ""
    assert ran.record["error"]
    assert {error["kind"] for error in ran.record["errors"]} == {kind}
    assert all(says in error["message"] for error in ran.record["errors"])
    shown = cli("check", f"{scorers}:{scorer}")
    assert shown.code == 1
    assert "Traceback" not in shown.out + shown.err


def test_a_scorer_that_crashes_is_told_by_its_line(cli: Cli, scorers: str) -> None:
    """Its own."""
    ran = cli("check", f"{scorers}:crashes", "--only", "repeat", "--json")
    (error,) = ran.record["errors"]
    assert error["where"].endswith('in crashes: raise RuntimeError("boom")')


def test_a_scorer_that_hangs(cli: Cli, scorers: str) -> None:
    """It is given up once, not at every check."""
    started = time.monotonic()
    ran = cli("check", f"{scorers}:hangs", "--time-limit", "0.3", "--json")
    assert time.monotonic() - started < 10
    assert ran.code == 1
    assert [error["kind"] for error in ran.record["errors"]] == ["timed_out"]
    assert len(ran.record["blocked"]) > 5


def test_a_scorer_that_prints(cli: Cli, scorers: str) -> None:
    """It is noted, and stdout holds the report alone."""
    ran = cli("check", f"{scorers}:prints", "--json")
    assert any(note.startswith("printed: scoring") for note in ran.record["notes"])


@pytest.mark.skipif(os.name != "posix", reason="a shell is started")
def test_a_scorer_whose_programs_print(cli: Cli, scorers: str, tmp_path: Path) -> None:
    """What they print goes to stderr: stdout holds the report alone."""
    del cli  # for the folder
    ran = subprocess.run(
        [sys.executable, "-m", "logpr", "check", f"{scorers}:loud", "--only", "repeat", "--json"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0
    assert json.loads(ran.stdout)["passed"] == ["repeat"]
    assert "very loud" in ran.stderr


def test_a_scorer_of_nan(cli: Cli, scorers: str) -> None:
    """NaN keeps no law: failures, not errors."""
    ran = cli("check", f"{scorers}:nan", "--json")
    assert ran.code == 1
    assert "nonpositive_finite" in ran.record["failed"]
    assert not ran.record["error"]


def test_a_factory_that_fails(cli: Cli, scorers: str) -> None:
    """It is an error of the checks, with the factory's name."""
    ran = cli("check", "--factory", f"{scorers}:make_nothing", "--json")
    assert ran.code == 1
    assert not ran.record["passed"]
    messages = {error["message"] for error in ran.record["errors"]}
    assert messages == {f"the factory {scorers}:make_nothing raised OSError: no model in True"}


@pytest.mark.skipif(os.name != "posix", reason="commands are run on POSIX systems")
def test_a_command_with_the_models_folder(cli: Cli, scorers: str) -> None:
    """A factory by its {model}."""
    command = f"{sys.executable} {scorers}.py {{model}}"
    only = ("--only", "oracle,chain_rule,batch_composition")
    ran = cli("check", command, *only, "--declares", "dtype=float64", "--json")
    assert ran.code == 0
    assert ran.record["target"] == command
    assert ran.record["passed"] == ["oracle", "chain_rule", "batch_composition"]


def test_a_url(cli: Cli) -> None:
    """The toy of bytes, which knows the suite's own words, behind a server."""
    with endpoint(toy("bytes")) as url:
        ran = cli("check", url, "--declares", "boundary=joint,per_token=true", "--json")
        assert ran.code == 0
        assert ran.record["target"] == url
        assert {"chain_rule", "token_count", "unicode"} <= set(ran.record["passed"])
        named = cli("check", url, "--api-model", "other", "--only", "repeat", "--json")
    assert named.code == 1
    assert "answered 404: The model 'other' does not exist" in named.record["errors"][0]["message"]
    down = cli("check", url, "--only", "repeat", "--json")
    assert down.code == 1
    assert "cannot be reached" in down.record["errors"][0]["message"]


def test_a_known_package(cli: Cli) -> None:
    """By its name, with what it documents of its numbers; logpr itself is one."""
    ran = cli("check", "logpr:builtin", "--only", "oracle,unit", "--json")
    assert ran.code == 0
    assert ran.record["architecture"] == "llama"
    assert dict(ran.record["declares"]).items() >= {("per_token", "true"), ("dtype", "float32")}


def test_pages_beside_the_report(cli: Cli, scorers: str, tmp_path: Path) -> None:
    """One HTML page, one JUnit file; both whole."""
    ran = cli(
        *("check", "--factory", f"{scorers}:make_mean", "--only", "oracle,repeat"),
        *("--html", "check.html", "--junit", "check.xml"),
    )
    assert ran.code == 1
    assert "wrote the page to check.html" in ran.err
    assert "wrote the results to check.xml" in ran.err
    assert "</html>" in (tmp_path / "check.html").read_text("utf-8")
    root = ET.fromstring((tmp_path / "check.xml").read_text("utf-8"))  # noqa: S314 - our own
    assert sorted(case.get("name") or "" for case in root.iter("testcase")) == ["oracle", "repeat"]
    assert len(list(root.iter("failure"))) == 1


def test_the_list_of_checks(cli: Cli) -> None:
    """Every id with its severity and statement, for readers and for programs."""
    ran = cli("check", "--list")
    assert ran.code == 0
    assert [line.split()[0] for line in ran.out.splitlines() if "MUST" in line or "SHOULD" in line]
    assert all(f"{name} " in ran.out for name in LAWS)
    records = cli("check", "--list", "--json").records
    assert [record["check"] for record in records] == list(LAWS)
    assert {"severity", "statement", "catches", "applies", "needs"} <= set(records[0])


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["minicon"], "'minicon' names no scorer (did you mean minicons"),
        (["MODULE:no_such"], "has no 'no_such'; it has make, "),
        (["no_such_module:f"], "there is no module no_such_module"),
        (["MODULE:make"], "logpr check --factory MODULE:make"),
        (["MODULE:nan", "--declares", "unit"], "--declares is NAME=VALUE,NAME=VALUE; found 'unit'"),
        (["MODULE:nan", "--declares", "unit=bits,unit=nats"], "says unit twice"),
        (["MODULE:nan", "--declares", "colour=red"], "nothing is declared under 'colour'"),
        (["MODULE:nan", "--only", "orakle"], "no check is called 'orakle'"),
        (["MODULE:nan", "--skip", "orakle"], "no check is called 'orakle'"),
        (["MODULE:nan", "--expect-failure", "unit"], "--expect-failure 'unit=why it fails'"),
        (["MODULE:nan", "--expect-failure", "orakle=x"], "no check is called 'orakle'"),
        (["MODULE:nan", "--replay", "chain_rule"], "is no case"),
        (["MODULE:nan", "--replay", "a/own/1", "--only", "unit"], "--only says which checks run"),
        (["MODULE:nan", "--toy", "llama"], "--toy says which of"),
        (["MODULE:nan", "--api-model", "m"], "--api-model names a model of a URL"),
        (["http://h/v1", "--declares", "end=stop"], "END is not scored"),
        (["http://h/v1", "--factory"], "is a URL"),
        (["--declares", "unit=bits"], "--declares is about a TARGET"),
        (["--factory"], "logpr check --factory pkg.mod:make"),
        (["--list", "MODULE:nan"], "leave MODULE:nan out"),
        (["--list", "--seed", "3"], "leave --seed out"),
        (["MODULE:nan", "--html", "-"], "--html - : a page is a file"),
        (["MODULE:nan", "--junit", "none/x.xml"], "there is no folder none"),
    ],
)
def test_what_cannot_be_checked(cli: Cli, scorers: str, arguments: list[str], says: str) -> None:
    """Exit code 2, and the way out."""
    ran = cli("check", *(each.replace("MODULE", scorers) for each in arguments))
    assert ran.code == 2
    assert says.replace("MODULE", scorers) in " ".join(ran.err.split())
    assert ran.out == ""


def test_progress_is_drawn_on_a_terminal_alone(
    cli: Cli, scorers: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each check is told to it."""
    told: list[tuple[str, int, int]] = []

    def note(self: _progress.Trying, what: str, done: int, total: int) -> None:
        del self
        told.append((what, done, total))

    monkeypatch.setattr(_progress.Trying, "__call__", note)
    cli("check", f"{scorers}:lengths", "--only", "repeat,unicode")
    assert told[:2] == [("repeat", 0, 2), ("unicode", 1, 2)]


@pytest.mark.skipif(os.name != "posix", reason="a process is interrupted as POSIX does it")
def test_ctrl_c_while_a_scorer_hangs(cli: Cli, scorers: str, tmp_path: Path) -> None:
    """Exit code 130, at once."""
    del cli  # for the folder
    process = subprocess.Popen(
        [sys.executable, "-m", "logpr", "check", f"{scorers}:hangs"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    for _ in range(600):
        if (tmp_path / "hanging").exists():
            break
        time.sleep(0.05)
    started = time.monotonic()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert time.monotonic() - started < 10
    assert (process.returncode, out) == (130, "")
    assert err.endswith("logpr: interrupted\n")


def test_the_same_report_as_in_python(cli: Cli, scorers: str, tmp_path: Path) -> None:
    """The verb adds nothing to what `logpr.check` returns."""
    ran = cli("check", f"{scorers}:lengths", "--json")
    sys.path.insert(0, str(tmp_path))
    try:
        module: Any = __import__(scorers)
    finally:
        sys.path.remove(str(tmp_path))
    report = logpr.check(module.lengths, name=f"{scorers}:lengths")
    again = json.loads(report.to_json())
    assert {**ran.record, "seconds": 0} == {**again, "seconds": 0}
