"""Nodes a second of the exact search, beside searches that look at one beginning at a time.

A node is a beginning whose next-token distribution was computed. All three prove the same output,
and each computes the prompt as part of its time:

- logpr: `logpr.decode`, batches of beginnings on shared keys and values;
- one by one: the same search and the same stepper, one beginning a forward pass;
- transformers: `single.best_of`, one forward pass a beginning with its past keys and values.

The ceiling is the rate at which the least matrix products of a node would allow: those of the
layers for one token and of the head for one row, at what each reaches by itself in the same run.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from transformers import PreTrainedModel

import logpr
from benchmarks.decode import single, texts
from benchmarks.decode.models import Case
from benchmarks.decode.stories import PROVEN, outputs_of
from benchmarks.decode.texts import Ids
from benchmarks.engine.minimum import Work
from benchmarks.engine.roofline import ROWS, Matmul, matmuls_of, measured_rates
from logpr.decoding.limits import Budget, Clock
from logpr.decoding.search import Room, Search
from logpr.decoding.space import Space
from logpr.models.base import Model, Stepwise
from logpr.models.builtin.threads import SMALL, threads_for

_MEMORY = 2**29
_NATS = 1e-3
"""A sum of twenty float32 log-probabilities may differ by so much between two paths."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One proof by the three searches: nodes and nodes a second of each."""

    case: str
    story: int
    length: int
    ours: single.Proven
    rates: tuple[float, ...]
    one_by_one: single.Proven
    transformers: single.Proven
    ceiling: float

    @property
    def rate(self) -> float:
        """Return the median of our nodes a second."""
        return statistics.median(self.rates)


def measured(
    case: Case, data: Path, *, proofs: int, least: int, most: int, repeats: int
) -> Iterator[Row]:
    """Yield the proofs of the first stories that take neither too few nor too many nodes.

    Args:
        case: the model.
        data: folder of the stories.
        proofs: how many.
        least: nodes of each.
        most: nodes of each.
        repeats: runs of ours, between those of the others.
    """
    ours = logpr.load(case.spec)
    theirs = case.in_transformers()
    tokenizer = ours.tokenizer
    assert tokenizer is not None
    assert tokenizer.bos_id is not None, "both models have a start token"
    told = texts.stories(data / texts.STORIES, tokenizer, 50, tokenizer.bos_id)
    ceiling = 1.0 / _seconds_of_a_node(theirs, numpy=case.spec == "builtin")
    done = 0
    for prompt in texts.prompts("open", told):
        first = _ours(ours, prompt.prompt_ids, case.length, budget=f"{most} nodes")
        if first is None or first.nodes < least:
            continue
        runs = [_must(_ours(ours, prompt.prompt_ids, case.length)) for _ in range(repeats)]
        by_one = _one_by_one(ours, prompt.prompt_ids, case.length)
        runs += [_must(_ours(ours, prompt.prompt_ids, case.length)) for _ in range(repeats)]
        other = _must(single.best_of(theirs, prompt.prompt_ids, length=case.length))
        runs += [_must(_ours(ours, prompt.prompt_ids, case.length)) for _ in range(repeats)]
        for found in (by_one, other):
            _check_same(runs[0], found)
        yield Row(
            case=case.name,
            story=prompt.index,
            length=case.length,
            ours=sorted(runs, key=lambda one: one.seconds)[len(runs) // 2],
            rates=tuple(run.rate for run in runs),
            one_by_one=by_one,
            transformers=other,
            ceiling=ceiling,
        )
        done += 1
        if done == proofs:
            return


def markdown(rows: list[Row]) -> str:
    """Return a table of all proofs, and the medians of their ratios.

    Args:
        rows: of all cases.
    """
    head = (
        "| model | story | tokens | nodes: logpr | one by one | transformers | nodes/s: logpr "
        "| one by one | transformers | × one by one | × transformers | to proof × transformers "
        "| of the ceiling |"
    )
    lines = [head, "|---" * 13 + "|"]
    for row in rows:
        cells = (
            row.case,
            row.story,
            row.length,
            *(f"{one.nodes:,}" for one in (row.ours, row.one_by_one, row.transformers)),
            *(f"{rate:,.0f}" for rate in _rates(row)),
            f"{row.rate / row.one_by_one.rate:.1f}",
            f"{row.rate / row.transformers.rate:.1f}",
            f"{row.transformers.seconds / row.ours.seconds:.1f}",
            f"{row.rate / row.ceiling:.2f}",
        )
        lines.append(f"| {' | '.join(map(str, cells))} |")
    for name in dict.fromkeys(row.case for row in rows):
        mine = [row for row in rows if row.case == name]
        lines.append(
            f"\n{name}: median × transformers "
            f"{statistics.median(one.rate / one.transformers.rate for one in mine):.1f}, "
            f"× one by one {statistics.median(one.rate / one.one_by_one.rate for one in mine):.1f},"
            f" of the ceiling {statistics.median(one.rate / one.ceiling for one in mine):.2f} "
            f"({mine[0].ceiling:,.0f} nodes/s)"
        )
    return "\n".join(lines)


def _rates(row: Row) -> tuple[float, float, float]:
    return row.rate, row.one_by_one.rate, row.transformers.rate


def _ours(
    model: Model, prompt_ids: Ids, length: int, budget: str | None = None
) -> single.Proven | None:
    found = logpr.decode(
        prompt_ids=prompt_ids,
        model=model,
        compare=False,
        budget=budget,
        memory=_MEMORY,
        **outputs_of("open", length),
    )
    certificate = found.certificate
    if certificate.status not in PROVEN or certificate.token_ids is None:
        return None
    return single.Proven(
        certificate.token_ids, certificate.lower, certificate.expansions, found.seconds
    )


def _one_by_one(model: Model, prompt_ids: Ids, length: int) -> single.Proven:
    assert isinstance(model, Stepwise)
    started = time.perf_counter()
    search = Search(
        model.stepper(prompt_ids, kv_bytes=_MEMORY // 2),
        Space(end="open", end_ids=(), min_tokens=length, max_tokens=length),
        width=1,
        room=Room(records=2**20, rows=1),
        clock=Clock(Budget()),
    )
    search.run()
    best = search.finished.best
    assert best is not None, "it was not stopped"
    spent = time.perf_counter() - started
    return single.Proven(best.token_ids, best.score, search.expansions, spent)


def _must(found: single.Proven | None) -> single.Proven:
    assert found is not None, "it has no budget"
    return found


def _check_same(one: single.Proven, other: single.Proven) -> None:
    if one.token_ids != other.token_ids or abs(one.logprob - other.logprob) > _NATS:
        msg = f"two searches prove different outputs: {one} and {other}"
        raise SystemExit(msg)


def _seconds_of_a_node(model: PreTrainedModel, *, numpy: bool) -> float:
    """Return Σ FLOPs ÷ rate of the products of one token and one row."""
    kinds = matmuls_of(model)
    rates = (
        {kind.key: _numpy_rate(kind) for kind in kinds}
        if numpy
        else measured_rates(kinds, dtype="float32", device="cpu")
    )
    work = Work(tokens=1, rows=1)
    return sum(kind.flops(work) / rates[kind.key] for kind in kinds)


def _numpy_rate(kind: Matmul) -> float:
    rng = np.random.default_rng(0)
    left = rng.standard_normal((ROWS, kind.inner), dtype=np.float32)
    right = rng.standard_normal((kind.outer, kind.inner), dtype=np.float32)
    out = np.empty((ROWS, kind.outer), dtype=np.float32)
    times: list[float] = []
    with threads_for(SMALL):
        for _ in range(10):
            started = time.perf_counter()
            np.matmul(left, right.T, out=out)
            times.append(time.perf_counter() - started)
    return 2.0 * ROWS * kind.inner * kind.outer / min(times)
