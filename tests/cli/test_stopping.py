"""Runs stopped by Ctrl-C, by a model that fails, by a row too long: what is left, what is said."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

import logpr
from logpr._values import ModelProvenance
from logpr.models.base import Model
from tests.cli.conftest import Cli
from tests.core.test_refine import Pair, Told

Lines = Callable[..., Path]


def asked(count: int) -> list[dict[str, Any]]:
    """Return records of two candidates of two tokens, from 20 contexts."""
    return [
        {"id": f"q{n}", "prompt_ids": [n % 2, n % 10], "candidate_ids": [[1, 2], [3, 4]]}
        for n in range(count)
    ]


def loading(monkeypatch: pytest.MonkeyPatch, model: Model) -> None:
    """Let every name of a model stand for this one."""
    monkeypatch.setattr(logpr, "load", lambda *_arguments, **_options: model)


INTERRUPTED = """
import os, signal, sys
import logpr
from logpr.cli import main

real, calls = logpr.rank_many, []

def rank_many(*arguments, **options):
    calls.append(1)
    if len(calls) > int(os.environ["WINDOWS"]):
        os.kill(os.getpid(), signal.SIGINT)
    return real(*arguments, **options)

logpr.rank_many = rank_many
main()
"""


def interrupted(arguments: Sequence[str | Path], windows: int) -> subprocess.CompletedProcess[str]:
    """Run a command that gets Ctrl-C after so many windows."""
    return subprocess.run(
        [sys.executable, "-c", INTERRUPTED, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "WINDOWS": str(windows)},
    )


@pytest.mark.skipif(os.name != "posix", reason="a process is interrupted as POSIX does it")
def test_ctrl_c_keeps_finished_windows(cli: Cli, lines: Lines, table: str) -> None:
    """Their records are whole in the staged file; the same command ends with the same bytes."""
    path = lines(*({"prompt": "A", "candidates": [" A", " B"], "n": n} for n in range(20)))
    command = ("rank", path, "--model", table, "--window", "4", "-o")
    assert cli(*command, "whole.jsonl").code == 0
    stopped = interrupted([*command, "parts.jsonl"], windows=3)
    assert stopped.returncode == 130
    assert stopped.stderr.endswith(
        "logpr: finished windows are kept: the same command goes on in parts.jsonl.part\n"
        "logpr: interrupted\n"
    )
    whole = path.with_name("whole.jsonl").read_bytes()
    kept = path.with_name("parts.jsonl.part").read_bytes()
    assert kept == b"".join(whole.splitlines(keepends=True)[:12])
    assert not path.with_name("parts.jsonl").exists()
    resumed = cli(*command, "parts.jsonl")
    assert "going on after 12 records" in resumed.err
    assert path.with_name("parts.jsonl").read_bytes() == whole


@pytest.mark.skipif(os.name != "posix", reason="a process is interrupted as POSIX does it")
def test_ctrl_c_before_the_first_window_ends_promises_nothing(lines: Lines, table: str) -> None:
    """Nothing is kept then, no file is left, and nothing says otherwise."""
    path = lines(*({"prompt": "A", "candidates": [" A"], "n": n} for n in range(9)))
    out = path.with_name("out.jsonl")
    stopped = interrupted(["rank", path, "--model", table, "--window", "4", "-o", out], windows=0)
    assert stopped.returncode == 130
    assert "are kept" not in stopped.stderr
    assert stopped.stderr.endswith("logpr: interrupted\n")
    assert sorted(found.name for found in path.parent.iterdir()) == ["in.jsonl", "one.json"]


@pytest.mark.skipif(os.name != "posix", reason="a process is interrupted as POSIX does it")
def test_ctrl_c_on_stdout_leaves_whole_lines(cli: Cli, lines: Lines, table: str) -> None:
    """What was finished has been printed, line by line, and no half of one."""
    path = lines(*({"prompt": "A", "candidates": [" A", " B"], "n": n} for n in range(20)))
    command = ("rank", path, "--model", table, "--window", "4", "--json")
    stopped = interrupted(command, windows=3)
    assert stopped.returncode == 130
    assert stopped.stdout == "".join(cli(*command).out.splitlines(keepends=True)[:12])


def test_nan_from_a_model_is_located(
    cli: Cli, lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 3; query, candidate and position by name; what was finished before is kept."""
    broken = Told({(1, 5, 3, 4): math.nan})
    path = lines(*asked(8))
    loading(monkeypatch, broken)
    command = ("rank", path, "--model", "broken", "--window", "2", "-o", "out.jsonl")
    ran = cli(*command)
    assert ran.code == 3
    message = ran.err.splitlines()[-1]
    assert "query 'q5', candidate 1, position 1: the model returned no distribution" in message
    assert "after token ids [1, 5, 3]" in message
    assert ran.out == ""
    assert len(path.with_name("out.jsonl.part").read_text("utf-8").splitlines()) == 4
    loading(monkeypatch, Told({}))
    assert "going on after 4 records" in cli(*command).err
    loading(monkeypatch, broken)
    topped = cli("rank", path, "--model", "broken", "--top", "1")
    assert topped.code == 3
    assert "query 'q5', candidate 1, position 1" in topped.err


def test_too_long_inside_a_pack_is_located(cli: Cli, lines: Lines) -> None:
    """One record of a window that does not fit is named by its line, and the others are done."""
    rows = [{"prompt": "a cat " * (600 if n == 2 else 3), "candidates": [" sat"]} for n in range(4)]
    path = lines(*rows)
    for more in ([], ["--top", "1"]):
        ran = cli("rank", path, "--model", "builtin", "--json", *more)
        assert ran.code == 2
        message = ran.err.splitlines()[-1]
        assert f"{path}:3: query 2, candidate 0: prompt and continuation are 1203" in message
        skipped = cli("rank", path, "--model", "builtin", "--json", "--on-error", "skip", *more)
        assert skipped.code == 0
        assert [record["id"] for record in skipped.records] == [0, 1, 3]


@dataclass
class Single(Told):
    """A model in one precision, as --dtype names it, or as auto may decide."""

    @property
    def provenance(self) -> ModelProvenance:
        """Return what the pair says of itself, but for the precision."""
        return replace(super().provenance, dtype=self.dtype)


@dataclass
class Both(Pair):
    """A model in two precisions."""

    @property
    def provenance(self) -> ModelProvenance:
        """Return both."""
        return replace(super().provenance, refines="float32")


def stop_and_give(
    cli: Cli, lines: Lines, monkeypatch: pytest.MonkeyPatch, first: Model, second: Model
) -> str:
    """Stop a run of one model, give the command again with another; return what that is told."""
    path = lines(*asked(8))
    command = ("rank", path, "--model", "it", "--window", "2", "-o", "out.jsonl")
    real, calls = logpr.rank_many, [0]

    def failing(*arguments: object, **options: object) -> object:
        calls[0] += 1
        if calls[0] > 2:
            raise KeyboardInterrupt
        return real(*arguments, **options)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(logpr, "rank_many", failing)
        loading(patch, first)
        assert cli(*command).code == 130
    loading(monkeypatch, second)
    refused = cli(*command)
    assert refused.code == 2
    loading(monkeypatch, first)
    assert "going on after 4 records" in cli(*command).err
    assert len(json.loads(path.with_name("out.jsonl.provenance.json").read_text("utf-8"))) > 1
    return refused.err.splitlines()[-1]


def test_two_precisions_are_another_command(
    cli: Cli, lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What bfloat16 alone began, both do not go on with; the way on is the precision by name."""
    alone = Single({}, dtype="bfloat16")
    both = Both({}, dtype="bfloat16", twin=Told({}, dtype="float32"))
    said = stop_and_give(cli, lines, monkeypatch, alone, both)
    assert "refines was absent and is 'float32'" in said
    assert "give --dtype bfloat16 to go on, --restart to begin anew" in said


def test_another_decision_of_auto_is_told(
    cli: Cli, lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What --dtype auto began in both precisions has no other name: auto has to be given again."""
    both = Both({}, dtype="bfloat16", twin=Told({}, dtype="float32"))
    said = stop_and_give(cli, lines, monkeypatch, both, Single({}, dtype="float32"))
    assert "dtype was 'bfloat16' and is 'float32'; refines was 'float32' and is absent" in said
    assert "give --dtype auto again while nothing else runs here to go on" in said
    assert "--restart --dtype float32 (or bfloat16)" in said
