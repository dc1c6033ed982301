"""The parent's side of a scorer's process: ask, wait, and watch how much memory it holds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil

from benchmarks.engine.roofline import Matmul
from benchmarks.engine.workloads import Workload

_ROOT = Path(__file__).resolve().parents[2]
_POLL_SECONDS = 0.01


class ScorerError(RuntimeError):
    """A scorer's process ended; the message is the end of what it wrote to its error output."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What scoring some queries gave.

    `memory` is the most bytes held above those held when the weights were loaded.
    """

    seconds: float
    scores: list[list[float | None]]
    fed: int
    memory: int


@dataclass(frozen=True, slots=True)
class Machine:
    """What all scorers of a run have in common."""

    python: str = sys.executable
    dtype: str = "float32"
    device: str = "cpu"
    threads: int = 2


class Child:
    """A scorer in its own process, from its start to `close`."""

    def __init__(
        self, scorer: str, folder: Path, machine: Machine, *, invariant: bool = False
    ) -> None:
        self.scorer = scorer
        self._device = machine.device
        extra = ["--invariant"] if invariant else []
        self._process = _start(scorer, folder, machine, *extra)
        self._errors: list[str] = []
        self._reader = threading.Thread(target=self._collect, daemon=True)
        self._reader.start()
        ready = self._answer()
        self.about: Mapping[str, str] = ready["about"]
        self._loaded = self._held() if machine.device == "cpu" else ready["cuda_bytes"]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.terminate()
        self._process.wait()

    def score(self, work: Workload) -> Answer:
        """Return the scores of the workload's queries, and what they cost."""
        queries = [[query.prompt, query.candidates] for query in work.queries]
        return self._cost({"do": "score", "queries": queries, "top": work.top})

    def stream(
        self, count: int, *, prompt: int, candidate: int, window: int | None = None
    ) -> Answer:
        """Return the cost of ranking queries made in the process itself (logpr's scorer alone).

        Args:
            count: of queries, with four candidates each.
            prompt: about how many tokens.
            candidate: about how many tokens.
            window: queries that share a trie; logpr's default where None.
        """
        options = {"prompt": prompt, "candidate": candidate, "window": window}
        return self._cost({"do": "stream", "count": count, "options": options})

    def _cost(self, request: Mapping[str, Any]) -> Answer:
        answer, held = self._watched(request)
        peak = held if self._device == "cpu" else answer["cuda_peak"]
        return Answer(
            seconds=answer["seconds"],
            scores=answer["scores"] or [],
            fed=answer["fed"],
            memory=max(0, peak - self._loaded),
        )

    def rates(self) -> tuple[tuple[Matmul, ...], dict[str, float]]:
        """Return the model's kinds of product and the FLOP/s of each (logpr's scorer alone)."""
        answer, _ = self._watched({"do": "rates"})
        return tuple(Matmul(**one) for one in answer["matmuls"]), answer["rates"]

    def _watched(self, request: Mapping[str, Any]) -> tuple[dict[str, Any], int]:
        """Return the answer and the most bytes held meanwhile."""
        assert self._process.stdin is not None
        peak = 0
        done = threading.Event()

        def watch() -> None:
            nonlocal peak
            while not done.wait(_POLL_SECONDS):
                peak = max(peak, self._held())

        watcher = threading.Thread(target=watch, daemon=True)
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
            watcher.start()
            return self._answer(), peak
        except BrokenPipeError:
            return self._answer(), peak
        finally:
            done.set()

    def _held(self) -> int:
        try:
            return int(psutil.Process(self._process.pid).memory_info().rss)
        except psutil.Error:
            return 0

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._process.wait()
            self._reader.join(timeout=5)
            msg = f"{self.scorer} ended:\n{''.join(self._errors[-15:])}"
            raise ScorerError(msg)
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _collect(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self._errors.append(line)


def write_model(shape: str, folder: Path, machine: Machine) -> None:
    """Write a model's folder, in a process of its own.

    Raises:
        ScorerError: it could not be written.
    """
    process = _start("none", folder, machine, "--write", shape)
    _, errors = process.communicate()
    if process.returncode != 0:
        raise ScorerError(errors)


def _start(scorer: str, folder: Path, machine: Machine, *extra: str) -> subprocess.Popen[str]:
    command = [machine.python, "-m", "benchmarks.engine.worker", scorer, str(folder)]
    command += ["--dtype", machine.dtype, "--device", machine.device]
    command += ["--threads", str(machine.threads), *extra]
    environment = os.environ | {
        "OMP_NUM_THREADS": str(machine.threads),
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_OFFLINE": "1",
    }
    return subprocess.Popen(  # noqa: S603 - our own program
        command,
        cwd=_ROOT,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
