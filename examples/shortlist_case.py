"""A shortlist that is drawn up once per request makes replies run long: counted on a real model.

    python examples/shortlist_case.py
    python examples/shortlist_case.py --setting pair
    python examples/shortlist_case.py --per step
    python examples/shortlist_case.py --model builtin:FOLDER

A scorer in production saves time: after the prompt it keeps the 50 largest logits of the first row
and normalises every step of every reply over these 50 tokens. The token that is scored is not put
among them. Prompts and replies are drawn from the model itself. The scorer's numbers go, with the
lists that it logged, into a file of claims; `logpr.audit` says what they are.
"""

from __future__ import annotations

import argparse
import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import logpr
from logpr.auditing import faulty_scorer
from logpr.models.base import Predictive

LISTED = 50
DECIMALS = 4

SETTINGS = {
    # Four replies a prompt, of four lengths, as the model itself would say them. A reply has so
    # many tokens (which of them: the prompt's number decides), drawn at such a temperature.
    "lengths": tuple((range(low, high), 1.0) for low, high in ((2, 4), (4, 7), (7, 11), (11, 15))),
    # Two replies: a terse one of unusual words (a name, a number), a verbose one of usual words.
    "pair": ((range(2, 3), 2.0), (range(10, 15), 0.7)),
}


@dataclass(frozen=True)
class Case:
    """Prompts with replies, what the model says of them, and what the scorer said."""

    records: list[dict[str, Any]]
    rankings: list[logpr.Ranking]
    masses: dict[tuple[int, int, int], float]
    """(record, reply, step) -> the share of the distribution that the list has at that step."""

    report: logpr.AuditReport


def draw(
    model: Predictive,
    starts: Sequence[tuple[int, ...]],
    sizes: Sequence[int],
    temperatures: Sequence[float],
    seeds: Sequence[tuple[int, ...]],
) -> list[tuple[int, ...]]:
    """Return a continuation of each start, drawn token by token; each has a seed of its own."""
    assert model.tokenizer is not None
    barred = sorted({*model.tokenizer.special_ids, *model.end_ids})
    chances = [np.random.default_rng(seed) for seed in seeds]
    texts = [list(start) for start in starts]
    for step in range(max(sizes)):
        open_ones = [number for number, size in enumerate(sizes) if step < size]
        rows = np.array(model.next_logits([texts[number] for number in open_ones]).logprobs)
        rows[:, barred] = -np.inf
        for number, row in zip(open_ones, rows, strict=True):
            scaled = row / temperatures[number]
            shares = np.cumsum(np.exp(scaled - scaled.max()))
            place = np.searchsorted(shares, chances[number].random() * shares[-1])
            texts[number].append(int(place))
    return [tuple(text[len(start) :]) for text, start in zip(texts, starts, strict=True)]


def rankings_of(model: Predictive, setting: str, prompts: int) -> list[logpr.Ranking]:
    """Return prompts with replies, ranked by log Pr; texts that do not cut as they grew are out."""
    tokenizer = model.tokenizer
    assert tokenizer is not None
    numbers = range(2 * prompts)
    start = () if tokenizer.bos_id is None else (tokenizer.bos_id,)
    sizes = [6 + number % 7 for number in numbers]
    asked = draw(
        model, [start] * len(numbers), sizes, [1.0] * len(sizes), [(1, n) for n in numbers]
    )
    kinds = SETTINGS[setting]
    replies = draw(
        model,
        [start + ids for ids in asked for _ in kinds],
        [lengths[number % len(lengths)] for number in numbers for lengths, _ in kinds],
        [temperature for _ in numbers for _, temperature in kinds],
        [(2, number, place) for number in numbers for place in range(len(kinds))],
    )
    drawn = [replies[number * len(kinds) : (number + 1) * len(kinds)] for number in numbers]
    queries = []
    for number, (prompt, mine) in enumerate(zip(asked, drawn, strict=True)):
        text = tokenizer.decode(prompt)
        whole = [tokenizer.decode(prompt + reply) for reply in mine]
        # A reply is what it adds to the prompt: decoded alone it may lose its first space.
        queries.append(logpr.Query.of(text, [each[len(text) :] for each in whole], id=number))
    rankings = [
        ranking
        for ranking in logpr.rank_many(queries, model=model)
        if [score.token_ids for score in ranking.candidates] == drawn[int(ranking.id or 0)]
        and all(score.boundary == "clean" for score in ranking.candidates)
        and len(set(drawn[int(ranking.id or 0)])) == len(kinds)
    ]
    if len(rankings) < prompts:
        msg = f"only {len(rankings)} of {prompts} prompts have replies that cut as they grew"
        raise SystemExit(msg)
    return rankings[:prompts]


def claims_of(
    model: Predictive, rankings: Sequence[logpr.Ranking], per: str
) -> tuple[list[dict[str, Any]], dict[tuple[int, int, int], float]]:
    """Return the scorer's numbers as records of claims, and the mass of its list at each step."""
    scorer = faulty_scorer("shortlist_without_target", k=LISTED, per=per, model=model)
    records: list[dict[str, Any]] = []
    masses: dict[tuple[int, int, int], float] = {}
    for number, ranking in enumerate(rankings):
        texts = [score.text or "" for score in ranking.candidates]
        steps = scorer.tokens(ranking.prompt or "", texts)
        claimed = []
        for place, (score, values) in enumerate(zip(ranking.candidates, steps, strict=True)):
            context, tokens = tuple(score.prompt_ids or ()), tuple(score.token_ids or ())
            prefixes = [context + tokens[:step] for step in range(len(tokens))]
            rows = model.next_logits(prefixes).logprobs
            best = np.argsort(-rows, axis=1, kind="stable")[:, :LISTED].tolist()
            # Every reply of a request has the same first row, so the request has one list.
            lists = best if per == "step" else best[:1] * len(tokens)
            for step, (row, listed) in enumerate(zip(rows, lists, strict=True)):
                masses[number, place, step] = float(np.exp(row[listed]).sum())
            claimed.append(
                {
                    "text": texts[place],
                    "score": f"{math.fsum(values):.{DECIMALS}f}",
                    "token_scores": [f"{value:.{DECIMALS}f}" for value in values],
                    "shortlist_ids": lists,
                }
            )
        scores = [float(candidate["score"]) for candidate in claimed]
        records.append(
            {
                "id": number,
                "prompt": ranking.prompt,
                "candidates": claimed,
                "chosen": scores.index(max(scores)),
            }
        )
    return records, masses


def case(model: Predictive, setting: str, prompts: int, per: str = "request") -> Case:
    """Return prompts and replies, the scorer's claims of them, and the audit of these."""
    rankings = rankings_of(model, setting, prompts)
    records, masses = claims_of(model, rankings, per)
    return Case(records, rankings, masses, logpr.audit(records, model=model))


def describe(found: Case) -> None:
    """Print the verdict, the flips, the winners before and after, and what the excess is."""
    report = found.report
    damage = report.damage
    assert damage is not None
    print(report.sentence)
    for fault in report.faults:
        print("found:", fault.id, dict(fault.parameters))
    for other in report.alternatives:
        if other.stands:
            changes = [f"{c.id} {dict(c.parameters)}" for c in other.changes]
            print("the same on this input:" if other.same else "or:", " + ".join(changes))
    best = [ranking.best for ranking in found.rankings]
    taken = [record["chosen"] for record in found.records]
    flipped = [number for number in range(len(best)) if taken[number] != best[number]]
    print(f"\nflips: {report.flips} of {damage.decisions} decisions")
    print("winners by:         claims  log Pr     in flips: claims  log Pr")
    columns = [
        _winners(found, winners, numbers)
        for numbers in (range(len(best)), flipped)
        for winners in (taken, best)
    ]
    for name, (a, b, c, d) in zip(_NAMES, zip(*columns, strict=True), strict=True):
        print(f"  {name:<16} {a:7.2f} {b:7.2f} {c:20.2f} {d:7.2f}")
    by_tokens = damage.drifts[0]
    print(f"claimed − true changes by {by_tokens.slope:+.2f} nats with each further token")
    excess = {(s.id, s.index, s.position): s.excess for s in report.shortlist}
    off = max(abs(excess[key] + math.log(mass)) for key, mass in found.masses.items())
    print(f"\nexcess = −log(mass of the list): {len(excess)} steps, largest deviation {off:.1e}")
    claimed = [
        float(value)
        for record in found.records
        for candidate in record["candidates"]
        for value in candidate["token_scores"]
    ]
    above = sum(value > 0 for value in claimed)
    print(f"steps above 0: {above} of {len(claimed)}, the largest {max(claimed):+.4f}")
    first = [mass for (_, _, step), mass in found.masses.items() if step == 0]
    later = [mass for (_, _, step), mass in found.masses.items() if step > 0]
    print(
        f"median mass of the list: {np.median(first):.3f} at step 1, {np.median(later):.3f} later"
    )


_NAMES = ("tokens", "log10 frequency", "share unlisted")


def _winners(
    found: Case, winners: Sequence[int], numbers: Sequence[int]
) -> tuple[float, float, float]:
    """Return the winners' mean length, mean token frequency, and share of tokens not listed.

    A token's frequency is how often it stands in the replies of all records; a winner's is the
    mean log10 of its tokens'.
    """
    replies = [[score.token_ids or () for score in r.candidates] for r in found.rankings]
    counts = Counter(token for mine in replies for reply in mine for token in reply)
    won = [replies[number][winners[number]] for number in numbers]
    missing = [
        token not in listed
        for number, reply in zip(numbers, won, strict=True)
        for token, listed in zip(
            reply,
            found.records[number]["candidates"][winners[number]]["shortlist_ids"],
            strict=True,
        )
    ]
    common = [float(np.mean([math.log10(counts[token]) for token in reply])) for reply in won]
    size = float(np.mean([len(reply) for reply in won])) if won else math.nan
    return (
        size,
        float(np.mean(common)) if won else math.nan,
        sum(missing) / len(missing) if won else math.nan,
    )


def main() -> None:
    """Run the case and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", default="builtin", help="what logpr.load takes")
    parser.add_argument("--setting", choices=SETTINGS, default="lengths")
    parser.add_argument("--per", choices=("request", "step"), default="request")
    parser.add_argument("--prompts", type=int, default=120)
    parser.add_argument("--claims", type=Path, help="also write the claims, as JSON Lines")
    given = parser.parse_args()
    model = logpr.load(given.model)
    assert isinstance(model, Predictive)
    found = case(model, given.setting, given.prompts, given.per)
    if given.claims is not None:
        lines = [json.dumps(record, ensure_ascii=False) for record in found.records]
        given.claims.write_text("\n".join(lines) + "\n", encoding="utf-8")
    describe(found)


if __name__ == "__main__":
    main()
