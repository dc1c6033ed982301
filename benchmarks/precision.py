"""How often bfloat16, alone and refined in float32, has the winner of float32 throughout.

Ranks the records of an evaluation file (`query` or `prompt`, `endings` or `candidates`) by one
model three ways, and prints a line for each and each rule: how often the largest value, and the
winner (which within noise is the first in input order), are those of float32; the share of
candidates scored in float32; the seconds it took.

    python benchmarks/precision.py --model FOLDER --data hellaswag.jsonl --limit 200
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

import logpr
from logpr import Query, Ranking
from logpr.models.base import Model, Reusing
from logpr.models.hf.auto import RefiningModel, compared
from logpr.models.hf.model import HFModel
from logpr.models.hf.precision import Decision, matmul_rates


@dataclass(frozen=True, slots=True)
class Run:
    """The rankings of one model under one rule."""

    rankings: tuple[Ranking, ...]
    seconds: float

    @property
    def share_in_float32(self) -> float:
        """Return the share of candidates whose score is float32's."""
        found = [
            score.provenance is not None
            and score.provenance.model is not None
            and score.provenance.model.dtype == "float32"
            for ranking in self.rankings
            for score in ranking.candidates
        ]
        return sum(found) / len(found)


def queries_of(path: Path, limit: int) -> list[Query]:
    """Return the first records of a file."""
    out: list[Query] = []
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            if len(out) == limit:
                break
            row = json.loads(line)
            texts = row["endings"] if "endings" in row else row["candidates"]
            prompt = row["query"] if "query" in row else row["prompt"]
            gap = " " if "endings" in row else ""
            out.append(Query.of(prompt, [gap + text for text in texts]))
    return out


def ranked(model: Model, queries: Sequence[Query], rule: str) -> Run:
    """Return the rankings and what they took, no prefix known from before."""
    assert isinstance(model, Reusing)
    started = time.perf_counter()
    with model.apart():
        found = tuple(logpr.rank_many(queries, model=model, rule=rule))
    return Run(found, time.perf_counter() - started)


def pair_of(name: str) -> tuple[HFModel, HFModel, RefiningModel]:
    """Return a checkpoint in float32, in bfloat16, and as dtype='auto' joins them.

    They are joined even where 'auto' would find that it does not pay.
    """
    exact, fast, joined = (
        logpr.load(name, dtype=dtype) for dtype in ("float32", *["bfloat16"] * 2)
    )
    assert isinstance(exact, HFModel)
    assert isinstance(fast, HFModel)
    assert isinstance(joined, HFModel)
    noise, speeds = compared(joined, exact)
    rates = matmul_rates(torch.nn.ModuleList([torch.nn.Linear(256, 768)]))
    decision = Decision("bfloat16", "joined by a benchmark", rates, speeds)
    return exact, fast, RefiningModel(joined, exact, noise=noise, decision=decision)


def agreement(run: Run, exact: Run) -> tuple[float, float]:
    """Return the share of queries with the same largest value, and with the same winner."""
    pairs = list(zip(run.rankings, exact.rankings, strict=True))
    largest = sum(_largest(a) == _largest(b) for a, b in pairs)
    return largest / len(pairs), sum(a.best == b.best for a, b in pairs) / len(pairs)


def _largest(ranking: Ranking) -> int:
    values = [getattr(score, ranking.rule) for score in ranking.candidates]
    return values.index(max(values) if ranking.higher_wins else min(values))


def worst(run: Run, exact: Run) -> float:
    """Return the largest difference of a token's log-probability, in nats."""
    return max(
        abs(a - b)
        for one, other in zip(run.rankings, exact.rankings, strict=True)
        for left, right in zip(one.candidates, other.candidates, strict=True)
        for a, b in zip(left.token_logprobs or (), right.token_logprobs or (), strict=True)
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--model", required=True, help="folder or hub id")
    parser.add_argument("--data", type=Path, required=True, help="JSON Lines")
    parser.add_argument("--limit", type=int, default=200, help="records (default 200)")
    parser.add_argument("--rule", action="append", help="standing; default: logprob and per_char")
    asked = parser.parse_args()
    queries = queries_of(asked.data, asked.limit)
    exact, fast, auto = pair_of(asked.model)
    noise = auto.provenance.noise_per_token
    print(f"{asked.model}: {len(queries)} queries, noise of bfloat16 {noise:.2g} nats a token")
    print(
        f"{'rule':>10} {'dtype':>9} {'same largest':>13} {'same winner':>12} {'in float32':>11} "
        f"{'seconds':>8}"
    )
    for rule in asked.rule or ("logprob", "per_char"):
        truth = ranked(exact, queries, rule)
        for name, model in (("float32", exact), ("bfloat16", fast), ("auto", auto)):
            run = truth if model is exact else ranked(model, queries, rule)
            largest, winner = agreement(run, truth)
            print(
                f"{rule:>10} {name:>9} {largest:>13.1%} {winner:>12.1%} "
                f"{run.share_in_float32:>11.0%} {run.seconds:>8.1f}"
            )
            if name == "bfloat16":
                print(f"{'':>20} largest difference of a token: {worst(run, truth):.2g} nats")


if __name__ == "__main__":
    main()
