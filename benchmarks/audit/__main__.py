"""The bar of the audit, by the hundred: `python -m benchmarks.audit`.

Prints how often the returned set is the class that brute force finds, for each fault, and how
often correct scorers are called correct, or accused. `--large` times 1,000 candidates.
"""

from __future__ import annotations

import argparse
import os
import secrets
import statistics
import time
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

import logpr
from benchmarks.audit import trials
from benchmarks.audit.timed import Clock, Timed
from benchmarks.audit.trials import Outcome
from logpr.auditing import faulty_scorer


def main() -> None:
    """Run what was asked for, and print it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", action="append", help="builtin, or builtin:FOLDER; repeatable")
    parser.add_argument("--singles", type=int, default=200)
    parser.add_argument("--pairs", type=int, default=40)
    parser.add_argument("--correct", type=int, default=100)
    parser.add_argument("--seed", type=int, default=secrets.randbits(31))
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--large", type=int, default=0, help="time so many candidates, and stop")
    given = parser.parse_args()
    names = given.model or ["builtin"]
    if given.large:
        for name in names:
            large(name, given.large)
        return
    print(f"seed {given.seed}", flush=True)
    asked = [
        (kind, name, (given.seed, number))
        for name in names
        for kind, count in (
            ("single", given.singles),
            ("pair", given.pairs),
            ("correct", given.correct),
        )
        for number in range(count)
    ]
    found: list[Outcome] = []
    with ProcessPoolExecutor(given.workers) as pool:
        for outcome in pool.map(one, asked, chunksize=2):
            found.append(outcome)
            if outcome.note:
                print(f"  {outcome.kind}: {outcome.note}", flush=True)
    summary(found)


def one(asked: tuple[str, str, Sequence[int]]) -> Outcome:
    """Return the outcome of one trial."""
    kind, name, seed = asked
    return trials.correct(name, seed) if kind == "correct" else trials.faulty(kind, name, seed)


def summary(found: Sequence[Outcome]) -> None:
    """Print the counts: by kind, and by fault."""
    for kind in ("single", "pair", "correct"):
        mine = [outcome for outcome in found if outcome.kind == kind]
        if not mine:
            continue
        right = sum(outcome.right for outcome in mine)
        unique = sum(outcome.unique for outcome in mine)
        accused = sum(outcome.accused for outcome in mine)
        seconds = statistics.median(outcome.seconds for outcome in mine)
        print(
            f"{kind}: {right} of {len(mine)} ({100 * right / len(mine):.1f} %), "
            f"{unique} with one answer, {accused} accused, median {seconds:.2f} s"
        )
    print("\n| fault | single | in a pair |\n|---|---|---|")
    table: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(lambda: [0, 0]))
    for outcome in found:
        if outcome.kind != "correct":
            for name in outcome.ids:
                table[name][outcome.kind][0] += outcome.right
                table[name][outcome.kind][1] += 1
    for name in logpr.auditing.FAULTS:
        if name in table:
            cells = [
                f"{table[name][kind][0]} of {table[name][kind][1]}" if kind in table[name] else "–"
                for kind in ("single", "pair")
            ]
            print(f"| `{name}` | {cells[0]} | {cells[1]} |")


def large(name: str, candidates: int) -> None:
    """Time an audit of many candidates, the model's own forward passes apart."""
    from tests.auditing import generate  # noqa: PLC0415

    model, exact = trials.models(name)
    rng = np.random.default_rng(0)
    queries: list[Any] = []
    while sum(len(query.candidates) for query in queries) < candidates:
        queries += generate.random_queries(rng, exact, 40)
    whole = (
        (),
        ("mean",),
        (("shortlist_softmax", {"k": 50}),),
        (("temperature", {"T": 1.3}),),
        (("shortlist_without_target", {"k": 50, "per": "request"}),),
        (("temperature", {"T": 1.3}), "mean_over_padded"),
        ("first_token_dropped", ("shortlist_softmax", {"k": 50})),
    )
    made = {
        " + ".join(each if isinstance(each, str) else each[0] for each in faults): faulty_scorer(
            *faults, model=model
        ).many(queries)
        for faults in whole
    }
    right, mean = made[""], made["mean"]
    made["correct in one half, mean in the other"] = [
        (mean if place % 2 else right)[place] for place in range(len(queries))
    ]
    made["what nothing explains"] = [
        [score + float(rng.normal(0.0, 3.0)) for score in row] for row in right
    ]
    for shown, scores in made.items():
        records = [
            {
                "prompt": query.prompt,
                "candidates": [candidate.text for candidate in query.candidates],
                "scores": [f"{score:.4f}" for score in row],
            }
            for query, row in zip(queries, scores, strict=True)
        ]
        clock = Clock()
        forward = Timed(model, clock)
        started = time.perf_counter()
        report = logpr.audit(records, model=forward)
        total = time.perf_counter() - started
        print(
            f"{name}, {report.rows_total} candidates, {shown or 'correct'}: {report.verdict} "
            f"{[fault.id for fault in report.faults]}, {report.hypotheses:,} computations, "
            f"{total:.1f} s, {clock.seconds:.1f} s of them in the model, "
            f"{total - clock.seconds:.1f} s beyond",
            flush=True,
        )


if __name__ == "__main__":
    main()
