"""Runs that were killed, interrupted or stopped, and go on; and those that may not."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from logpr._values import Provenance
from logpr.errors import InputError, QueryError, RecordError
from logpr.io import read_provenance
from logpr.io import staged as staged_room
from logpr.io import writers as writers_room
from tests.io.files import write_rows
from tests.io.running import OPTIONS, PROVENANCE, answer, begin, products, rows, work


class Killed(BaseException):
    """Stands for the end of the process."""


def killing(monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    """Let the process end at the at-th touch of a file: a write, a flush, a rename, a removal."""
    left = [at]

    def counted(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - whatever the real one takes
            left[0] -= 1
            if left[0] < 0:
                raise Killed
            return real(*args, **kwargs)

        return call

    monkeypatch.setattr(staged_room.os, "fsync", counted(os.fsync))
    monkeypatch.setattr(Path, "replace", counted(Path.replace))
    monkeypatch.setattr(Path, "unlink", counted(Path.unlink))
    monkeypatch.setattr(staged_room.Staged, "write", counted(staged_room.Staged.write))
    monkeypatch.setattr(writers_room, "_write_parquet", counted(writers_room._write_parquet))


@pytest.mark.parametrize("name", ["r.jsonl", "r.parquet", "r.csv"])
def test_killed_anywhere_it_goes_on_to_the_same_bytes(
    source: str, tmp_path: Path, name: str
) -> None:
    """Ended at any touch of any file and started again, a run ends with the very same files."""
    write_rows(Path(source), *rows(12))
    whole = tmp_path / "whole"
    whole.mkdir()
    work(source, str(whole / name), refuse="q5")
    resumed = []
    for at in range(200):
        folder = tmp_path / f"at{at}"
        folder.mkdir()
        with pytest.MonkeyPatch.context() as patch:
            killing(patch, at)
            try:
                work(source, str(folder / name), refuse="q5")
            except Killed:
                pass
            else:
                break
        run = work(source, str(folder / name), refuse="q5")
        resumed.append(run.resumed_records)
        assert products(folder) == products(whole), at
        assert (run.records, run.rejected) == (9, 3)
        assert run.state == {"n": sum({*range(12)} - {3, 5, 10})}
    # It was killed in every window, and between the end and the last renaming.
    assert set(resumed) == {0, 3, 6, 9}


SCRIPT = """
import sys, time
sys.path.insert(0, sys.argv[3])
from tests.io.running import answer, begin, PROVENANCE
with begin(sys.argv[1], sys.argv[2]) as run:
    for window in run:
        run.provenance = PROVENANCE
        for record in window:
            run.write(answer(record))
            time.sleep(0.01)
"""


def test_sigkill_costs_a_window(source: str, tmp_path: Path, out: Path) -> None:
    """A process killed by SIGKILL in its midst goes on behind its last whole window."""
    whole = tmp_path / "whole"
    whole.mkdir()
    write_rows(Path(source), *rows(200))
    work(source, str(whole / "r.jsonl"))
    root = str(Path(__file__).parents[2])
    command = [sys.executable, "-c", SCRIPT, source, str(out / "r.jsonl"), root]
    process = subprocess.Popen(command, cwd=root)
    journal = out / "r.jsonl.part.json"
    deadline = time.monotonic() + 60
    while windows_done(journal) < 3:
        assert process.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert sorted(products(out)) == (
        ["r.jsonl.part", "r.jsonl.part.json", "r.jsonl.rejected.jsonl.part"]
    )
    run = work(source, str(out / "r.jsonl"))
    assert 9 <= run.resumed_records < run.records
    assert products(out) == products(whole)


def windows_done(journal: Path) -> int:
    """Return how many windows a journal tells of."""
    try:
        return int(json.loads(journal.read_text())["windows"])
    except FileNotFoundError:
        return 0


def stopped(source: str, output: str, provenance: Provenance | None = None) -> None:
    """Do two windows of a run, then leave it as an interrupt would."""
    with begin(source, output) as run:
        for number, window in enumerate(run):
            if number == 2:
                raise KeyboardInterrupt
            run.provenance = provenance
            for record in window:
                run.write(answer(record))


def test_another_command_does_not_go_on(source: str, out: Path) -> None:
    """Other options or another input are refused by name; --restart begins anew."""
    output = str(out / "r.jsonl")
    with pytest.raises(KeyboardInterrupt):
        stopped(source, output)
    with pytest.raises(
        QueryError, match=r"7 records of it are done: rule was 'logprob' and is 'pmi'.*--restart"
    ):
        work(source, output, options={**OPTIONS, "rule": "pmi"})
    with pytest.raises(QueryError, match=r"window was 4 and is 5"):
        work(source, output, window=5)
    with pytest.raises(QueryError, match=r"extra was absent and is 1"):
        work(source, output, options={**OPTIONS, "extra": 1})
    run = work(source, output, options={**OPTIONS, "rule": "pmi"}, restart=True)
    assert (run.records, run.resumed_records) == (26, 0)
    with pytest.raises(KeyboardInterrupt):
        stopped(source, output)
    write_rows(Path(source), *rows(31))
    with pytest.raises(QueryError, match=r"the input was .*bytes.* and is "):
        work(source, output)


def test_a_run_may_change_from_stop_to_skip(source: str, out: Path) -> None:
    """A run that stopped at a bad row goes on from its last window once it may skip."""
    bad = rows(30)
    for place in (3, 10, 24):
        bad[place] = {**rows(1)[0], "id": f"good{place}", "n": place}
    write_rows(Path(source), *bad)
    output = str(out / "r.jsonl")
    with pytest.raises(RecordError, match=r"in.jsonl:18: "):
        work(source, output, on_error="stop")
    assert sorted(products(out)) == ["r.jsonl.part", "r.jsonl.part.json"]
    run = work(source, output)
    assert (run.resumed_records, run.records, run.rejected) == (16, 29, 1)


def test_a_run_that_fails_in_its_first_window_leaves_no_trace(source: str, out: Path) -> None:
    """Where no window was done there is nothing to go on from, and nothing is left lying about."""
    with pytest.raises(RecordError, match=r"in.jsonl:4: "):
        work(source, str(out / "r.jsonl"), on_error="stop")
    assert products(out) == {}


def test_ids_of_windows_done_before_are_remembered(source: str, out: Path) -> None:
    """An id twice is found although its first record was done by an earlier process."""
    twice = [*rows(30), {**rows(1)[0], "id": "q1"}]
    write_rows(Path(source), *twice)
    output = str(out / "r.jsonl")
    with pytest.raises(KeyboardInterrupt):
        stopped(source, output)
    run = work(source, output)
    assert run.rejected == 5
    assert "the id of" in (out / "r.jsonl.rejected.jsonl").read_text().splitlines()[-1]


def test_provenance_is_that_of_the_first_process(source: str, out: Path) -> None:
    """Figures measured anew by a later process do not replace those the first numbers rest on."""
    output = str(out / "r.jsonl")
    first = replace(PROVENANCE, boundary="joint", end="stop", bos="never")
    with pytest.raises(KeyboardInterrupt):
        stopped(source, output, first)
    work(source, output)
    told = read_provenance(out / "r.jsonl")
    assert told == first


def test_provenance_names_the_model_where_the_first_rows_needed_none(
    source: str, out: Path
) -> None:
    """Rows that brought their numbers tell of no model; the first that one was asked for does."""
    output = str(out / "r.jsonl")
    with pytest.raises(KeyboardInterrupt):
        stopped(source, output, replace(PROVENANCE, model=None))
    work(source, output)
    assert read_provenance(out / "r.jsonl") == PROVENANCE


@pytest.mark.skipif(sys.platform == "win32", reason="files are locked by flock")
def test_two_processes_do_not_write_one_file(source: str, out: Path) -> None:
    """A run refuses an output that another is writing, and harms nothing."""
    with begin(source, str(out / "r.jsonl")) as run:
        for number, window in enumerate(run):
            if number == 1:
                with (
                    pytest.raises(QueryError, match="is being written by another process"),
                    begin(source, str(out / "r.jsonl"), restart=True),
                ):
                    pass
            for record in window:
                run.write(answer(record))
    assert run.records == 26


def test_a_journal_that_is_none(source: str, out: Path) -> None:
    """A damaged journal, or a staged file shorter than it tells, is an error with the way out."""
    output = str(out / "r.jsonl")
    with pytest.raises(KeyboardInterrupt):
        stopped(source, output)
    (out / "r.jsonl.part").write_bytes(b"")
    with pytest.raises(InputError, match=r"the journal beside it tells of .*--restart"):
        work(source, output)
    for text in ("", "[]", "{}", '{"journal": 1}', '{"journal": 9}'):
        (out / "r.jsonl.part.json").write_text(text)
        with pytest.raises(InputError, match="is no journal that this version wrote"):
            work(source, output)
    assert work(source, output, restart=True).records == 26
