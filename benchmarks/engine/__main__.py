"""Time logpr's scoring: against the machine's matmul rate, and against its peers.

Prints one Markdown table; writes benchmarks/results/engine.json and a picture beside it. The peers
are listed in benchmarks/requirements-peers.txt; one that is not installed is left out, and said so.

    python -m benchmarks.engine                     everything, about half an hour on two cores
    python -m benchmarks.engine --quick             a try of everything on one shape
    python -m benchmarks.engine --only n-best --model gpt2 --peer-seconds inf
    python -m benchmarks.engine --memory            memory against queries and vocabulary
    python -m benchmarks.engine --linear            time against unique tokens
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.engine import growth, machine, plots, shapes, table, workloads
from benchmarks.engine.children import Machine, ScorerError
from benchmarks.engine.invariance import cost_ratio
from benchmarks.engine.measure import Limits, Measured, measure
from benchmarks.engine.rows import Report
from benchmarks.engine.scorers import PEERS

_RESULTS = Path(__file__).resolve().parents[1] / "results"
_QUICK = Limits(seconds=3.0, peer_seconds=2.0, repeats=2)
_DTYPES = ("float32", "bfloat16")


def main() -> None:
    """Run what the command line asks for."""
    given = _parser().parse_args()
    runs_on = Machine(dtype=given.dtype, device=given.device, threads=given.threads)
    given.out.mkdir(parents=True, exist_ok=True)
    if given.memory:
        large, most = ("llama-32k", 300) if given.quick else ("llama-128k", 10_000)
        found = growth.memory(runs_on, _say, large=large, most=most)
        _write(given.out / "memory.json", found)
    if given.linear:
        most = 30_000 if given.quick else 1_000_000
        picture = given.out / f"linear.{given.picture}"
        _write(given.out / "linear.json", growth.linear(runs_on, _say, picture=picture, most=most))
    if not given.memory and not given.linear:
        _compare(given, runs_on)


def _compare(given: argparse.Namespace, runs_on: Machine) -> None:
    limits = _QUICK if given.quick else Limits()
    limits = replace(
        limits,
        **{
            name: value
            for name in ("seconds", "peer_seconds", "repeats")
            if (value := getattr(given, name)) is not None
        },
    )
    models = given.model or (["llama-32k"] if given.quick else [*shapes.SHAPES, shapes.SHIPPED])
    peer_machine = replace(runs_on, python=given.peers_python)
    sizes = workloads.QUICK if given.quick else workloads.Sizes()
    done: dict[str, Measured] = {}
    invariant: dict[str, float] = {}
    failures: list[str] = []
    path = given.out / given.name
    for model in models:
        done[model] = measure(
            model,
            names=given.only,
            peers=given.peers,
            machine=runs_on,
            peer_machine=peer_machine,
            limits=limits,
            sizes=sizes,
            say=_progress,
        )
        failures += done[model].failures
        if given.invariant:
            try:
                invariant[model] = cost_ratio(model, runs_on, sizes, limits.repeats)
            except ScorerError as error:
                failures.append(f"{model}, batch_invariant: {error}")
        # Written after every model: a run that is broken off keeps what it has.
        report = Report(
            machine=machine.described(),
            versions=done[model].versions,
            settings={
                "dtype": runs_on.dtype,
                "device": runs_on.device,
                "threads": runs_on.threads,
                "seconds": str(limits.seconds),
                "peer_seconds": str(limits.peer_seconds),
                "repeats": limits.repeats,
                "quick": given.quick,
            },
            rows=tuple(row for one in done.values() for row in one.rows),
            rates={name: one.rates for name, one in done.items()},
            failures=tuple(failures),
            invariant=invariant,
        )
        _write(path.with_suffix(".json"), report.to_dict())
    plots.overview(report, given.peers, path.with_suffix(f".{given.picture}"))
    text = table.markdown(report, given.peers)
    path.with_suffix(".md").write_text(text + "\n", encoding="utf-8")
    print(text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.engine",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--quick", action="store_true", help="small workloads on one shape")
    add("--only", type=_some_of(workloads.NAMES), default=list(workloads.NAMES), metavar="A,B")
    add("--model", type=_some_of(shapes.NAMES), metavar="A,B", help=f"of {', '.join(shapes.NAMES)}")
    add("--peers", type=_some_of(PEERS, "none"), default=list(PEERS), metavar="A,B|none")
    add("--dtype", choices=_DTYPES, default="float32")
    add("--device", default="cpu", help="cpu or cuda")
    add("--threads", type=int, default=2, help="for everyone (default 2)")
    add("--seconds", type=float, help="most that one run of ours is to take (default 10)")
    add("--peer-seconds", type=float, help="most that one run of a peer is to take (default 5)")
    add("--repeats", type=int, help="runs of a cell, fewer where they are long (default 3)")
    add("--invariant", action="store_true", help="also what batch_invariant=True costs")
    add("--memory", action="store_true", help="only memory against queries and vocabulary")
    add("--linear", action="store_true", help="only time against unique tokens")
    add("--peers-python", default=sys.executable, help="interpreter that has the peers")
    add("--out", type=Path, default=_RESULTS, help="folder of the results")
    add("--name", default="engine", help="of the files in it (default engine)")
    add("--picture", choices=("svg", "png"), default="svg")
    return parser


def _some_of(names: tuple[str, ...], nothing: str | None = None) -> Any:  # noqa: ANN401 - a type for argparse
    def parse(text: str) -> list[str]:
        if text == nothing:
            return []
        chosen = [part.strip() for part in text.split(",")]
        unknown = [part for part in chosen if part not in names]
        if unknown:
            msg = f"no {', '.join(map(repr, unknown))}; there are {', '.join(names)}"
            raise argparse.ArgumentTypeError(msg)
        return chosen

    return parse


def _write(path: Path, data: dict[str, Any]) -> None:
    path.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")


def _say(line: str) -> None:
    print(line, flush=True)


def _progress(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
