"""What a scorer is to the benchmark, and the names of those there are.

A scorer runs in a process of its own (`worker`), with the weights of one folder. Each lives in one
file that alone imports its framework.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast

from benchmarks.engine.workloads import Asked


@dataclass(frozen=True, slots=True)
class Loading:
    """The weights and how to run them. `invariant` is an option of logpr's own scorer."""

    folder: Path
    dtype: str
    device: str
    threads: int
    invariant: bool = False


class Scorer(Protocol):
    """Scores queries given in token ids."""

    fed: int
    """Tokens put through the network so far, padding included."""

    def score(self, queries: Sequence[Asked], top: int | None) -> list[list[float | None]]:
        """Return log Pr(candidate | prompt) of each candidate of each query.

        With `top` (logpr alone) None stands for a candidate that was dropped.
        """
        ...

    def about(self) -> Mapping[str, str]:
        """Return versions and settings, for the record."""
        ...


OURS = "logpr"
REFERENCE = "reference"

_SCORERS = {
    OURS: "benchmarks.engine.peers.ours",
    REFERENCE: "benchmarks.engine.peers.reference",
    "lm-eval": "benchmarks.engine.peers.lm_eval_peer",
    "minicons": "benchmarks.engine.peers.minicons_peer",
    "padded": "benchmarks.engine.peers.padded",
    "llama.cpp": "benchmarks.engine.peers.llama_cpp_peer",
}

PEERS = ("lm-eval", "minicons", "padded", "llama.cpp")


def load(name: str, loading: Loading) -> Scorer:
    """Return the scorer of that name.

    Args:
        name: of `PEERS`, or `OURS`, or `REFERENCE`.
        loading: the weights.
    """
    return cast("Scorer", importlib.import_module(_SCORERS[name]).load(loading))
