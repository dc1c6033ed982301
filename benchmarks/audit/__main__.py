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
    for faults in (
        (),
        ("mean",),
        (("shortlist_softmax", {"k": 50}),),
        (("temperature", {"T": 1.3}),),
        (("shortlist_without_target", {"k": 50, "per": "request"}),),
        (("temperature", {"T": 1.3}), "mean_over_padded"),
        ("first_token_dropped", ("shortlist_softmax", {"k": 50})),
    ):
        scores = faulty_scorer(*faults, model=model).many(queries)
        records = [
            {
                "prompt": query.prompt,
                "candidates": [candidate.text for candidate in query.candidates],
                "scores": [f"{score:.4f}" for score in row],
            }
            for query, row in zip(queries, scores, strict=True)
        ]
        forward = Timed(model)
        started = time.perf_counter()
        report = logpr.audit(records, model=forward)
        total = time.perf_counter() - started
        shown = " + ".join(fault if isinstance(fault, str) else fault[0] for fault in faults)
        print(
            f"{name}, {report.rows_total} candidates, {shown or 'correct'}: {report.verdict} "
            f"{[fault.id for fault in report.faults]}, {report.hypotheses:,} computations, "
            f"{total:.1f} s, {forward.seconds:.1f} s of them in the model, "
            f"{total - forward.seconds:.1f} s beyond",
            flush=True,
        )


class Timed:
    """A model whose own time is counted."""

    def __init__(self, model: Any) -> None:  # noqa: ANN401 - any model that shows rows
        self._model = model
        self.seconds = 0.0

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - as the model has it
        return getattr(self._model, name)

    def edges(self, *given: Any, **more: Any) -> Any:  # noqa: ANN401 - as the model has it
        """Score a pack."""
        return self._counted(self._model.edges, *given, **more)

    def next_logits(self, prefixes: Any) -> Any:  # noqa: ANN401 - as the model has it
        """Return whole rows."""
        return self._counted(self._model.next_logits, prefixes)

    def in_half(self, dtype: str) -> Any:  # noqa: ANN401 - as the model has it
        """Return the model with rounded weights, counted too."""
        other = Timed(self._counted(self._model.in_half, dtype))
        other._counted = self._counted  # type: ignore[method-assign]
        return other

    def _counted(self, function: Any, *given: Any, **more: Any) -> Any:  # noqa: ANN401 - as it is
        started = time.perf_counter()
        try:
            return function(*given, **more)
        finally:
            self.seconds += time.perf_counter() - started


if __name__ == "__main__":
    main()
