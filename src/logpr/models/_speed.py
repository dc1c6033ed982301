"""How long a piece of work takes at best, and what a square matmul makes of that."""

from __future__ import annotations

import time
from collections.abc import Callable

SIDE = 1024
"""Of the square matrices that a machine's rate is measured on."""

_REPEAT = 5


def best_seconds(work: Callable[[], object], repeat: int = _REPEAT) -> float:
    """Return the seconds of the fastest of some runs after one that warms up."""
    work()
    times: list[float] = []
    for _ in range(repeat):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return max(min(times), 1e-9)


def matmul_flops(multiply: Callable[[], object], *, side: int = SIDE, times: int = 1) -> float:
    """Return the FLOP/s of a function that multiplies two squares of `side`, so many times."""
    return 2.0 * times * side**3 / best_seconds(multiply)
