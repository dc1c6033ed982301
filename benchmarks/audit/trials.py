"""One trial of the bar: random claims with a known cause, and whether the audit names it.

Claims and their class come from the tests' own oracle, which shares no code with the audit.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

import logpr
from logpr.models.base import Predictive
from tests.auditing import generate


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one trial gave. `ids` are the changes that made the claims, none for correct ones."""

    kind: str
    ids: tuple[str, ...]
    right: bool
    accused: bool
    seconds: float
    unique: bool
    note: str


@cache
def models(name: str) -> tuple[Any, Predictive]:
    """Return a model as the audit runs it, and in float64 for the oracle."""
    exact = logpr.load(name, dtype="float64")
    assert isinstance(exact, Predictive)
    return logpr.load(name), exact


def faulty(kind: str, name: str, seed: Sequence[int]) -> Outcome:
    """Return the outcome on claims of one fault (`single`) or two (`pair`)."""
    model, exact = models(name)
    rng = np.random.default_rng(list(seed))
    count = 1 if kind == "single" else 2
    queries = generate.random_queries(rng, exact, int(rng.integers(6, 41)))
    changes = generate.random_changes(rng, exact, queries, count)
    decimals = int(rng.integers(2, 7))
    records = generate.records(queries, generate.claims(queries, changes, model=exact), decimals)
    started = time.perf_counter()
    report = logpr.audit(records, model=model)
    seconds = time.perf_counter() - started
    named = {tuple(sorted(fault.id for fault in report.faults))} | {
        tuple(sorted(change.id for change in each.changes))
        for each in report.alternatives
        if each.stands
    }
    found = generate.brute_class(
        queries,
        records,
        model=exact,
        count=count,
        generating=changes,
        grid=generate.Grid(noise=2 * model.provenance.noise_per_token),
    )
    expected = {tuple(sorted(ids)) for ids in found}
    right = (
        report.verdict == "correct"
        if () in expected
        else report.verdict != "correct" and named == expected
    )
    ids = tuple(name for name, _ in changes)
    note = "" if right else f"{changes} at {decimals}: {report.verdict}, {sorted(named ^ expected)}"
    return Outcome(
        kind, ids, right=right, accused=False, seconds=seconds, unique=len(expected) == 1, note=note
    )


def correct(name: str, seed: Sequence[int]) -> Outcome:
    """Return the outcome on correct claims of another program, in a random type and print."""
    model, _ = models(name)
    rng = np.random.default_rng(list(seed))
    dtype = ("float64", "float32", "bfloat16")[int(rng.integers(3))]
    decimals = int(rng.integers(2, 7))
    records = generate.correct_files(
        rng,
        model,
        dtype,
        n_candidates=int(rng.integers(6, 41)),
        decimals=decimals,
        batch=int(rng.integers(1, 5)),
    )
    started = time.perf_counter()
    report = logpr.audit(records, model=model)
    seconds = time.perf_counter() - started
    accused = report.verdict in ("fault", "other_definition", "ambiguous")
    right = report.verdict == "correct"
    note = "" if right else f"{dtype} at {decimals}: {report.verdict}: {report.sentence}"
    return Outcome(
        "correct", (dtype,), right=right, accused=accused, seconds=seconds, unique=True, note=note
    )
