"""Decoding, measured: the modes of real stories, nodes a second, beams, memory.

    python -m benchmarks.decode stories --kind open     records of one experiment, as JSON Lines
    python -m benchmarks.decode table                   the records counted, and pictures
    python -m benchmarks.decode longer --prompts 10     how far proofs reach as outputs get longer
    python -m benchmarks.decode speed --threads 1       nodes a second
    python -m benchmarks.decode beam                    beam search beside generate
    python -m benchmarks.decode memory                  peak memory under bounds

Models and texts come from the folder in LOGPR_TEST_DATA, or --data. Results go to
benchmarks/results, or --out.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import torch

import logpr
from benchmarks.decode import beams, longer, memory, models, plots, speed, stories, summary, texts
from benchmarks.engine import machine

_RESULTS = Path(__file__).resolve().parents[1] / "results"
_HEADINGS = {"open": "exactly 12 tokens (open)", "stop": "at most 12 tokens and END (stop)"}
_MEMORIES = ["64MB", "128MB", "512MB"]


def main() -> None:
    """Run what the command line asks for."""
    given = _parser().parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    if given.threads:
        torch.set_num_threads(given.threads)
    about = machine.described()
    print(f"{about['processor']}, {about['cores']} cores, threads: {given.threads or 'default'}; ")
    print(f"commit {about['commit']}, {about['day']}\n", flush=True)
    {
        "stories": _stories,
        "table": _table,
        "longer": _longer,
        "speed": _speed,
        "beam": _beam,
        "memory": _memory,
    }[given.what](given)


def _stories(given: argparse.Namespace) -> None:
    data = texts.data_folder(given.data)
    model = logpr.load(str(data / texts.MODEL))
    assert model.tokenizer is not None
    told = texts.stories(data / texts.STORIES, model.tokenizer, given.prompts, texts.END_ID)
    asked = texts.prompts(given.kind, told)
    settings = stories.Settings(budget=given.budget)
    # What is imported and set up at the first call is nobody's cost.
    stories.run(asked[0], model, stories.Settings(budget="1s", verify="1s", empty_budget="1s"))
    started = time.perf_counter()
    for record in stories.write(_records(given.out, given.kind), asked, model, settings):
        found = " ".join(name for name, one in record.tried.items() if one.found)
        print(
            f"{record.kind} {record.index}: {record.status}, {record.expansions} expansions, "
            f"{record.seconds:.2f} s, {record.lower:.2f}; found by: {found or '–'}",
            flush=True,
        )
    print(f"{time.perf_counter() - started:.0f} s")


def _table(given: argparse.Namespace) -> None:
    groups: dict[str, Sequence[stories.Record]] = {
        heading: stories.read(_records(given.out, kind)) for kind, heading in _HEADINGS.items()
    }
    given.pictures.mkdir(parents=True, exist_ok=True)
    plots.proofs(groups, given.pictures / "decode-proofs.svg")
    plots.shortfalls(groups, given.pictures / "decode-shortfalls.svg")
    print(summary.markdown(groups))


def _longer(given: argparse.Namespace) -> None:
    data = texts.data_folder(given.data)
    model = logpr.load(str(data / texts.MODEL))
    assert model.tokenizer is not None
    told = texts.stories(data / texts.STORIES, model.tokenizer, given.prompts, texts.END_ID)
    asked = texts.prompts("open", told)
    found: list[longer.Reached] = []
    for one in longer.reached(asked, model, given.lengths, given.budget):
        found.append(one)
        print(
            f"{one.length}, {one.story}: {one.status}, gap {one.gap:.3f}, "
            f"{one.expansions} expansions, {one.seconds:.1f} s",
            flush=True,
        )
    print(longer.markdown(found))


def _speed(given: argparse.Namespace) -> None:
    print(f"{torch.get_num_threads()} threads of torch\n", flush=True)
    data = texts.data_folder(given.data)
    rows = []
    named = tuple(given.models)
    for case in (one for one in models.cases(data) if one.name.startswith(named)):
        for row in speed.measured(
            case,
            data,
            proofs=given.proofs,
            least=given.least,
            most=given.most,
            repeats=given.repeats,
        ):
            rows.append(row)
            print(f"{row.case}, story {row.story}: {row.rate:,.0f} nodes/s", flush=True)
    print(speed.markdown(rows))


def _beam(given: argparse.Namespace) -> None:
    data = texts.data_folder(given.data)
    found = [
        beams.measured(case, data, prompts=given.prompts, width=width, length=32)
        for case in models.cases(data)
        if case.name.startswith(tuple(given.models))
        for width in given.widths
    ]
    print(beams.markdown(found))


def _memory(given: argparse.Namespace) -> None:
    data = texts.data_folder(given.data)
    found = list(memory.measured(data, memories=_MEMORIES, budget=given.budget, length=40))
    print(memory.markdown(found))


def _records(folder: Path, kind: str) -> Path:
    return folder / f"decode-{kind}.jsonl"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.decode",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("what", choices=("stories", "table", "longer", "speed", "beam", "memory"))
    add("--data", help="folder of models and texts")
    add("--out", type=Path, default=_RESULTS)
    add("--pictures", type=Path, default=_RESULTS)
    add("--kind", choices=("open", "stop"), default="open")
    add("--prompts", type=int, default=50)
    add("--budget", default="30s", help="of each search")
    add("--threads", type=int, help="of torch; NumPy's matmuls of the shipped model take one")
    add("--proofs", type=int, default=4, help="of each model whose speed is measured")
    add("--least", type=int, default=1000, help="nodes of each of these proofs")
    add("--most", type=int, default=6000)
    add(
        "--models",
        nargs="+",
        default=["stories260K", "shipped"],
        help="of speed: their names begin so",
    )
    add("--repeats", type=int, default=2, help="runs of logpr before, between and after the others")
    add("--lengths", type=int, nargs="+", default=[12, 16, 20, 24, 32])
    add("--widths", type=int, nargs="+", default=[5])
    return parser


if __name__ == "__main__":
    main()
