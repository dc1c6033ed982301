"""What was recorded stays: from file to file, among threads, after a kill at any moment."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import logpr
from logpr.auditing._record import read_recorded, record, recover
from logpr.auditing._recording import dump as dump_room
from logpr.auditing._recording import growing as growing_room
from logpr.auditing._recording.journal import part_of
from logpr.errors import InputError, MissingFileError, NumbersError, QueryError
from tests.auditing.recording import FILES, GOOD, candidate, files, ids, opened


@pytest.mark.parametrize("name", FILES)
def test_nothing_is_overwritten(tmp_path: Path, name: str) -> None:
    """A file that exists is refused, and gone on with where that is said."""
    path = tmp_path / name
    for number in range(3):
        with opened(path, append=number > 0) as recorder:
            recorder.add(id=number, prompt_ids=[1], candidates=[candidate(number)])
    with pytest.raises(QueryError, match=f"{name} exists; .*append=True"):
        opened(path)
    assert ids(path) == [0, 1, 2]
    assert files(tmp_path) == [name]


def test_other_files_are_not_touched(tmp_path: Path) -> None:
    """Recorded logits without claims, and a .part that is no journal, are refused as they are."""
    path = tmp_path / "r.npz"
    np.savez(path, logits=np.zeros((1, 4)))
    for act in (lambda: record(path, append=True), lambda: list(read_recorded(path))):
        with pytest.raises(NumbersError, match="holds no claims beside its logits"):
            act()
    path.unlink()
    for content in (b"not ours", b"h" * 9999):
        part_of(path).write_bytes(content)
        with pytest.raises(InputError, match="is no journal of a recording"):
            record(path)
        assert part_of(path).read_bytes() == content
    with pytest.raises(MissingFileError, match=r"recover\('.*r\.npz'\) makes it of"):
        list(read_recorded(path))
    part_of(path).unlink()
    for name in FILES:
        with pytest.raises(MissingFileError):
            recover(tmp_path / name)
    assert files(tmp_path) == []


@pytest.mark.parametrize("name", FILES)
def test_one_recorder_at_a_time(tmp_path: Path, name: str) -> None:
    """A second recorder of one file is refused, as is a record after the end or from a fork."""
    path = tmp_path / name
    recorder = opened(path)
    recorder.add(id=1, prompt_ids=[1], candidates=[GOOD])
    for act in (lambda: opened(path, append=True), lambda: recover(path)):
        with pytest.raises(QueryError, match="is being written by another"):
            act()
    recorder._process = -1
    with pytest.raises(QueryError, match="opened by process -1"):
        recorder.add(prompt_ids=[1], candidates=[GOOD])
    recorder._process = os.getpid()
    recorder.close()
    recorder.close()
    with pytest.raises(QueryError, match="this recorder is closed"):
        recorder.add(prompt_ids=[1], candidates=[GOOD])
    assert ids(path) == [1]


def test_a_fork_does_not_keep_the_file(tmp_path: Path) -> None:
    """What a forked process inherits, here a second handle of the file, does not keep it locked."""
    path = tmp_path / "r"
    file = growing_room.Growing(path)
    inherited = os.dup(file._file.fileno())
    with pytest.raises(QueryError, match="is being written"):
        growing_room.Growing(path)
    file.close()
    growing_room.Growing(path).close()
    os.close(inherited)


@pytest.mark.parametrize("name", FILES)
def test_an_exception_ends_the_block_and_not_the_record(tmp_path: Path, name: str) -> None:
    """A query whose block fails is left out; what was recorded before the failure is finished."""
    path = tmp_path / name

    def fail() -> None:
        with opened(path) as recorder:
            recorder.add(id=1, prompt_ids=[1], candidates=[GOOD])
            with recorder.query(id=2, prompt_ids=[1]) as query:
                query.candidate().step(1, np.zeros(4))
                raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert ids(path) == [1]
    assert files(tmp_path) == [name]


@pytest.mark.parametrize("name", FILES)
def test_threads_do_not_mix(tmp_path: Path, name: str) -> None:
    """Records from many threads are all there, each with its own rows."""
    path = tmp_path / name

    def work(first: int) -> None:
        for number in range(first, first + 10):
            recorder.add(id=number, prompt_ids=[1], candidates=[candidate(number, score=number)])

    with opened(path) as recorder:
        threads = [threading.Thread(target=work, args=(10 * i,)) for i in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(ids(path)) == list(range(80))
    if name == "r.npz":
        for found in read_recorded(path):
            expected = candidate(found["id"])
            assert found["candidates"][0]["token_ids"] == expected["token_ids"]
            assert np.array_equal(found["candidates"][0]["logits"], expected["logits"])


def test_memory_does_not_grow(tmp_path: Path) -> None:
    """Forty megabytes of rows go through a recorder that never holds three."""
    row = np.random.default_rng(0).normal(size=50_000).astype(np.float32)
    tracemalloc.start()
    with record(tmp_path / "r.npz") as recorder, recorder.query(prompt_ids=[1]) as query:
        grown = query.candidate()
        for _ in range(200):
            grown.step(3, row)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (tmp_path / "r.npz").stat().st_size > 40e6
    assert most < 3e6


# What a kill leaves.

CHILD = """
import itertools, sys
import numpy as np
from pathlib import Path
from logpr.auditing._record import record
path = Path(sys.argv[1])
recorder = record(path, compact=path.suffix == ".jsonl", append=True)
rows = np.random.default_rng(0).normal(size=(3, 500)).astype(np.float32)
for number in itertools.count(int(sys.argv[2])):
    recorder.add(id=number, prompt_ids=[1], candidates=[{"token_ids": [1, 2, 3], "logits": rows}])
    print(number, flush=True)
"""


@pytest.mark.parametrize("name", FILES)
def test_a_killed_process_loses_nothing_it_reported(tmp_path: Path, name: str) -> None:
    """Killed twice while recording, a file holds every record that `add` returned from, once."""
    path = tmp_path / name
    found: list[int] = []
    for begun, stop in ((0, 5), (1000, 1017)):
        command = [sys.executable, "-c", CHILD, str(path), str(begun)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None
            reported = begun
            for line in child.stdout:
                reported = int(line)
                if reported == stop:
                    child.send_signal(signal.SIGKILL)
        assert reported >= stop
        part = [*range(begun, reported + 1)]
        if begun:
            assert recover(path) == len(ids(path))
            # The one that was at hand when a kill came may be there too.
            assert ids(path) in (found + part, [*found, *part, reported + 1])
        else:
            # Looked at before the next process goes on behind it, in a copy.
            copy = tmp_path / "copy"
            copy.mkdir()
            for left in tmp_path.glob("r.*"):
                shutil.copy(left, copy)
            recover(copy / name)
            found = ids(copy / name)
            assert found in (part, [*part, reported + 1])
            shutil.rmtree(copy)
    assert files(tmp_path) == [name]


@pytest.mark.parametrize("name", FILES)
def test_cut_anywhere_what_is_whole_is_found(tmp_path: Path, name: str) -> None:
    """Cut at any byte, a file gives the records before the cut, and recording goes on."""
    path = tmp_path / name
    journal = part_of(path) if name == "r.npz" else path
    recorder = opened(path)
    sizes = []
    for number in range(3):
        recorder.add(id=number, prompt_ids=[1], candidates=[candidate(number)])
        sizes.append(journal.stat().st_size)
    whole = journal.read_bytes()
    recorder.close()
    cuts = {*range(0, len(whole), 37), *sizes, *(size - 1 for size in sizes), 0, 1, 16, 17, 18}
    for cut in sorted(cuts):
        path.unlink(missing_ok=True)
        journal.write_bytes(whole[:cut])
        # A line is whole without its end.
        there = [i for i, size in enumerate(sizes) if cut >= size - (name == "r.jsonl")]
        if cut % 2:
            assert recover(path) == len(there) if there or name == "r.jsonl" else True
        with opened(path, append=True) as recorder:
            recorder.add(id=9, prompt_ids=[1], candidates=[candidate(9)])
        assert ids(path) == [*there, 9]


def test_a_damaged_journal_ends_where_it_is_damaged(tmp_path: Path) -> None:
    """A row whose bytes are not those that were written takes no record before it along."""
    path = tmp_path / "r.npz"
    recorder = record(path)
    for number in range(2):
        recorder.add(id=number, prompt_ids=[1], candidates=[candidate(number)])
    damaged = bytearray(part_of(path).read_bytes())
    recorder.close()
    path.unlink()
    place = damaged.index(candidate(1)["logits"].tobytes()[:8])
    damaged[place] ^= 1
    part_of(path).write_bytes(damaged)
    assert recover(path) == 1
    assert ids(path) == [0]


class Killed(BaseException):
    """Stands for the end of the process."""


def counted(real: Callable[..., Any], left: list[int]) -> Callable[..., Any]:
    """Return `real`, which ends the process when nothing is left."""

    def call(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - whatever the real one takes
        left[0] -= 1
        if left[0] < 0:
            raise Killed
        return real(*args, **kwargs)

    return call


def test_ended_while_finishing_it_is_finished_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ended at any touch of a file while it is finished, a dump ends up with each record once."""
    ended = 0
    for at in range(20):
        path = tmp_path / f"{at}.npz"
        with record(path) as recorder:
            recorder.add(id=0, prompt_ids=[1], candidates=[candidate(0)])
        recorder = record(path, append=True)
        recorder.add(id=1, prompt_ids=[1], candidates=[candidate(1)])
        with monkeypatch.context() as patch:
            left = [at]
            patch.setattr(dump_room.os, "fsync", counted(os.fsync, left))
            patch.setattr(Path, "replace", counted(Path.replace, left))
            patch.setattr(Path, "unlink", counted(Path.unlink, left))
            patch.setattr(dump_room.npy, "write_array", counted(dump_room.npy.write_array, left))
            try:
                recorder.close()
            except Killed:
                ended += 1
        assert ids(path) in ([0], [0, 1])
        if at % 2:
            assert recover(path) == 2
        else:
            with record(path, append=True) as recorder:
                recorder.add(id=2, prompt_ids=[1], candidates=[candidate(2)])
        assert ids(path) == ([0, 1] if at % 2 else [0, 1, 2])
        assert not part_of(path).exists()
    assert 8 <= ended < 20


@pytest.mark.parametrize("name", FILES)
def test_a_full_disk_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Where a record does not fit, that is said; what came before stays, and later ones fit."""
    path = tmp_path / name

    class Full(growing_room.io.FileIO):  # type: ignore[name-defined, misc]
        def write(self, data: Any) -> int:  # noqa: ANN401 - bytes of any kind
            super().write(data[: len(data) // 2])
            raise OSError(28, "No space left on device")

    with opened(path) as recorder:
        recorder.add(id=0, prompt_ids=[1], candidates=[candidate(0)])
        file = recorder._file
        growing = file._file if name == "r.jsonl" else file._journal._file  # type: ignore[union-attr]
        real = growing._file
        monkeypatch.setattr(growing, "_file", Full(os.dup(real.fileno()), "r+b"))
        with pytest.raises(InputError, match="No space left on device; what was recorded before"):
            recorder.add(id=1, prompt_ids=[1], candidates=[candidate(1)])
        growing._file.close()
        monkeypatch.undo()
        recorder.add(id=2, prompt_ids=[1], candidates=[candidate(2)])
    assert ids(path) == [0, 2]


def test_no_room_at_the_end_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the file cannot be put together, that is said, and it can be later."""
    path = tmp_path / "r.npz"

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    recorder = record(path)
    recorder.add(id=0, prompt_ids=[1], candidates=[GOOD])
    with monkeypatch.context() as patch:
        patch.setattr(dump_room.npy, "write_array", full)
        with pytest.raises(
            InputError, match=r"all that was recorded is in .*r\.npz\.part: make room"
        ):
            recorder.close()
    assert recover(path) == 1
    assert ids(path) == [0]
    assert files(tmp_path) == ["r.npz"]


def test_rows_rounded_to_float16_accuse_nobody(tmp_path: Path) -> None:
    """A correct scorer's recording keeps its verdict when the recorder rounds its rows."""
    path = tmp_path / "half.npz"
    rng = np.random.default_rng(1)
    with record(path, dtype="float16") as recorder:
        for _ in range(4):
            candidates = []
            for _ in range(3):
                rows = rng.normal(scale=6.0, size=(4, 60))
                tokens = rng.integers(0, 60, size=4)
                logz = np.log(np.exp(rows).sum(axis=1))
                score = float((rows[np.arange(4), tokens] - logz).sum())
                ids = tokens.tolist()
                candidates.append({"token_ids": ids, "logits": rows, "score": f"{score:.4f}"})
            for candidate in candidates:
                prompt = rng.integers(0, 60, size=5).tolist()
                recorder.add(prompt_ids=prompt, candidates=[candidate])
    assert logpr.audit(path).verdict == "correct"
