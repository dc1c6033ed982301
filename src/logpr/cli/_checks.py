"""What `logpr doctor` looks at: the installation, the arithmetic, the built-in model."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import math
import os
import platform
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import numpy as np

import logpr
from logpr._types import JsonValue
from logpr.errors import LogprError

Verdict: TypeAlias = Literal["ok", "absent", "skipped", "refused", "failed"]

EXTRAS = {
    "hf": ("torch", "transformers"),
    "datasets": ("datasets",),
    "plot": ("matplotlib",),
}
"""Each extra that this version uses, and the modules it brings."""

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
TOLERANCE = 1e-12


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at, and what was found."""

    name: str
    verdict: Verdict
    says: str
    facts: dict[str, JsonValue] = field(default_factory=dict)

    def to_dict(self) -> dict[str, JsonValue]:
        """Return it as data."""
        return {"name": self.name, "verdict": self.verdict, "says": self.says, **self.facts}


def installation() -> Iterator[Check]:
    """Yield versions, threads, and each extra with the line that installs it."""
    yield Check("logpr", "ok", logpr.__version__)
    yield Check(
        "python", "ok", f"{platform.python_version()} on {sys.platform}, {platform.machine()}"
    )
    yield _numpy()
    for extra, modules in EXTRAS.items():
        missing = [name for name in modules if importlib.util.find_spec(name) is None]
        if missing:
            line = f'pip install "logpr[{extra}]"'
            yield Check(extra, "absent", line, {"install": line})
        else:
            found = {name: _version(name) for name in modules}
            says = ", ".join(f"{name} {version}" for name, version in found.items())
            yield Check(extra, "ok", says, {"versions": dict(found)})


def _numpy() -> Check:
    config = np.show_config(mode="dicts")
    blas = (config or {}).get("Build Dependencies", {}).get("blas", {})
    name = f"{blas.get('name', 'unknown')} {blas.get('version', '')}".strip()
    limits = {key: os.environ[key] for key in _THREADS if key in os.environ}
    limited = ", ".join(f"{key}={value}" for key, value in limits.items()) or "no limit set"
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    return Check(
        "numpy",
        "ok",
        f"{np.__version__}, BLAS {name}, {cores} cores, threads: {limited}",
        {"version": np.__version__, "blas": name, "cores": cores, "limits": dict(limits)},
    )


def _version(module: str) -> str:
    try:
        return importlib.metadata.version(module)
    except importlib.metadata.PackageNotFoundError:
        return "of unknown version"


def arithmetic() -> Check:
    """Rank two candidates by their logits, against sums written out: A,A beats B,B by 1.2149."""
    start, after_a, after_b = (10.0, 9.0, 0.0), (0.0, 0.0, 0.0), (8.0, 7.0, 0.0)
    ranking = logpr.rank(
        "",
        [
            {"text": "A A", "token_ids": [0, 0], "logits": [start, after_a]},
            {"text": "B B", "token_ids": [1, 1], "logits": [start, after_b]},
        ],
    )
    truth = (10 - _logz(start) - _logz(after_a), 9 - _logz(start) + 7 - _logz(after_b))
    found = [score.logprob for score in ranking.candidates if score.logprob is not None]
    error = max(abs(a - b) for a, b in zip(found, truth, strict=True))
    good = error <= TOLERANCE and ranking.best == 0
    says = (
        f"log Pr of two candidates from their logits: off by {error:.1e} nats "
        f"(allowed {TOLERANCE:.0e})"
    )
    return Check("arithmetic", "ok" if good else "failed", says, {"error": error})


def _logz(row: tuple[float, ...]) -> float:
    return math.log(math.fsum(map(math.exp, row)))


def builtin() -> Check:
    """Load the built-in model, and let it choose between a plain word and no word."""
    started = time.perf_counter()
    try:
        model = logpr.load("builtin")
        ranking = logpr.rank("The cat sat on the", [" mat.", " of."], model=model)
        told = model.provenance
    except LogprError as error:
        return Check("builtin", "failed", str(error))
    seconds = time.perf_counter() - started
    good = ranking.best == 0
    says = (
        f"{'prefers' if good else 'does not prefer'} ' mat.' to ' of.' after 'The cat sat on the' "
        f"by {ranking.margin:.2f} nats; noise {told.noise_per_token:.1e} nats a token; "
        f"{seconds:.2f} s"
    )
    facts: dict[str, JsonValue] = {
        "margin": ranking.margin,
        "seconds": seconds,
        "provenance": told.to_dict(),
    }
    return Check("builtin", "ok" if good else "failed", says, facts)
