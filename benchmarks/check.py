"""How long the conformance suite takes, on scorers that keep its laws and on some that do not.

    python -m benchmarks.check [--rounds 5] [--matrix]

Each scorer is run as many rounds as are asked for, in turn with the others; the table shows the
median and the slowest. `--matrix` also runs every mutant once, as the kill matrix does.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import time
from collections.abc import Callable
from typing import Any

import logpr
from logpr.conformance import Declares, toy_scorer
from logpr.conformance.adapters import ADAPTERS
from logpr.conformance.matrix import idle, kill_matrix
from logpr.conformance.mutants import EXACT, mutants

BAR = 20.0
"""Seconds that the whole suite may take on the toy."""

WRONG = ("mean", "shortlist_softmax", "row_reused", "order_not_restored")


def scorers() -> dict[str, Callable[[], logpr.CheckReport]]:
    """Return what is timed, by name."""
    broken = {mutant.id: mutant for mutant in mutants()}

    def of(make: Any, declares: Declares, **more: Any) -> Callable[[], logpr.CheckReport]:  # noqa: ANN401 - check's own
        return lambda: logpr.check(factory=make, declares=declares, **more)

    out = {"the closed form": of(toy_scorer, EXACT)}
    for name in ("logpr", "logpr:plain", "logpr:builtin", "logpr:table", "logpr:logits", "lm-eval"):
        adapter = ADAPTERS[name]
        if adapter.installed:
            architecture = adapter.architecture or "gpt2"
            out[name] = of(adapter.factory(), adapter.declares, architecture=architecture)
    for name in WRONG:
        out[f"mutant {name}"] = of(broken[name].make, broken[name].declares)
    return out


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--matrix", action="store_true")
    asked = parser.parse_args()
    print(f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}\n")
    timed = scorers()
    seconds: dict[str, list[float]] = {name: [] for name in timed}
    reports: dict[str, logpr.CheckReport] = {}
    for _ in range(asked.rounds):
        for name, run in timed.items():
            started = time.perf_counter()
            reports[name] = run()
            seconds[name].append(time.perf_counter() - started)
    print("| scorer | passed | failed | candidates asked | median s | slowest s |")
    print("|---|---|---|---|---|---|")
    for name, report in reports.items():
        spent = seconds[name]
        print(
            f"| {name} | {len(report.passed)} | {len(report.failed)} | {report.candidates} | "
            f"{statistics.median(spent):.1f} | {max(spent):.1f} |"
        )
    slowest = max(max(spent) for spent in seconds.values())
    print(f"\nslowest of all: {slowest:.1f} s, of {BAR:g} that a run may take")
    if asked.matrix:
        started = time.perf_counter()
        rows = kill_matrix()
        killed = sum(bool(row.killed_by) for row in rows[1:])
        print(
            f"\nkill matrix: {killed} of {len(rows) - 1} mutants killed, "
            f"{len(rows[0].killed_by)} checks accuse the closed form, "
            f"idle: {', '.join(idle(rows)) or 'none'}; {time.perf_counter() - started:.0f} s"
        )


if __name__ == "__main__":
    main()
