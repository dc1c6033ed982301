"""Worked example 5: a softmax over a shortlist drawn up once a request makes replies run long."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median

import numpy as np

import logpr
from logpr._values import AuditReport, Query, Ranking
from logpr.auditing import faulty_scorer
from logpr.cli.demos._tell import Picked, best, known, plainly, shares, table
from logpr.models.base import Predictive
from logpr.report.demo import Picture, Row, Step, Story, Table
from logpr.report.numbers import fixed, percent, signed

LISTED = 50
DECIMALS = 4
LENGTHS = ("2-3", "4-6", "7-10", "11-14")
"""Tokens of the four replies to a prompt: the first has two or three, and so on."""
ROW = {"y": 5.0, "a": 3.0, "b": 2.0}
DRAWN = Path(__file__).with_name("shortlist.jsonl")
"""Prompts and replies that the built-in model drew, as examples/shortlist_case.py does."""


@dataclass(frozen=True, slots=True)
class Run:
    """The scorer's numbers for all replies, beside log Pr's."""

    rankings: list[Ranking]
    claimed: list[list[list[float]]]
    """Of a record, a reply, a step."""
    masses: list[list[list[float]]]
    """The share of the distribution that the list has at that step."""
    report: AuditReport

    @property
    def taken(self) -> list[int]:
        """Return the reply that the scorer takes, for each record."""
        return [best([math.fsum(steps) for steps in replies]) for replies in self.claimed]


def story() -> Story:
    """Return the story, computed on the built-in model."""
    run = _run()
    taken, right = run.taken, [ranking.best for ranking in run.rankings]
    records = len(right)
    flips = sum(one != two for one, two in zip(taken, right, strict=True))
    tokens = [_mean_tokens(run, winners) for winners in (taken, right)]
    steps = [value for replies in run.claimed for reply in replies for value in reply]
    above = sum(value > 0 for value in steps)
    first = [reply[0] for replies in run.masses for reply in replies]
    later = [mass for replies in run.masses for reply in replies for mass in reply[1:]]
    scorer = faulty_scorer(
        "shortlist_without_target", lists="given", model=table(tuple(ROW), {"": list(ROW.values())})
    )
    by_hand = scorer("", ["y"], shortlists=[[[1, 2]]])[0]
    assert run.report.damage is not None, "every record has its numbers"
    slope = known(run.report.damage.drifts[0].slope)
    # The first record in which the list decides otherwise.
    shown = next(at for at in range(records) if taken[at] != right[at])
    picture = [_by_length(winners) for winners in (taken, right)]
    told = (
        Step(
            "What is asked",
            (
                (
                    f"The built-in model drew {records} prompts, and four replies to each: of "
                    f"{', '.join(LENGTHS)} tokens. Which reply is the most probable?"
                ),
            ),
        ),
        Step(
            "What the wrong way computes",
            (
                (
                    f"To save time it keeps, once a request, the {LISTED} tokens with the largest "
                    "logits after the prompt, and normalises every step of every reply over "
                    "these alone. The token that is scored need not be among them."
                ),
                (
                    f"One step: the token has logit {plainly(ROW['y'])}, the list has "
                    f"{plainly(ROW['a'])} and {plainly(ROW['b'])}. Its score is "
                    f"{signed(by_hand, 2)}: a ‘log-probability’ above 0."
                ),
            ),
        ),
        Step(
            "One reply, step by step",
            (
                (
                    "The reply that it takes after this prompt: "
                    f"{json.dumps(run.rankings[shown].prompt, ensure_ascii=False)}"
                ),
            ),
            _steps(run, shown, taken[shown]),
            (
                (
                    "claimed − log Pr = −log(mass of the list), at every step. The list was "
                    f"drawn up for the first step, where it holds {percent(median(first))} of Pr "
                    f"(median of all replies). Of a later step it holds {percent(median(later))} "
                    "(median)."
                ),
            ),
        ),
        Step(
            "What it does to the decisions",
            ("Who wins, by the length of the reply:",),
            Table(
                ("tokens", "over the list", "by log Pr"),
                tuple(
                    Row(length, (str(wrong), str(true)), wrong / records, "wrong")
                    for length, wrong, true in zip(LENGTHS, *_counts(taken, right), strict=True)
                ),
            ),
            (
                (
                    f"{flips} of {records} decisions flip: the four replies are of such different "
                    f"lengths that log Pr takes a short one. The winners have "
                    f"{fixed(tokens[0], 1)} tokens on the mean, by log Pr {fixed(tokens[1], 1)}."
                ),
                (
                    f"{above} of {len(steps)} steps lie above 0, so a longer reply gains where it "
                    f"should pay: with each further token the claim rises over log Pr by "
                    f"{fixed(slope, 2)} nats more."
                ),
            ),
        ),
        Step(
            "What the audit says of such numbers",
            (
                (
                    f"It gets the {sum(map(len, run.claimed))} scores, to {DECIMALS} digits, and "
                    "the model:"
                ),
            ),
            after=(run.report.sentence,),
        ),
    )
    return Story(
        name="shortlist",
        title=f"A shortlist drawn up once a request flips {flips} of {records} decisions",
        steps=told,
        lesson="Normalise over the whole vocabulary at every step. A list of the best tokens fits "
        "the step it was made for, and no other.",
        commands=(
            "logpr audit claims.jsonl --model ./my-model",
            "python examples/shortlist_case.py --model ./my-model",
        ),
        picture=Picture(
            title=(
                f"Over a shortlist drawn up once a request the winners have {fixed(tokens[0], 1)} "
                f"tokens on the mean, by log Pr {fixed(tokens[1], 1)}"
            ),
            head="Four replies a prompt",
            lines=(
                ("prompts", ("", "", str(records))),
                ("tokens listed", ("", "", str(LISTED))),
                ("mass, step 1", ("", "", fixed(median(first), 2))),
                ("mass later", ("", "", fixed(median(later), 2))),
            ),
            asks=("Which reply wins,", "by its length in tokens?"),
            wrong=picture[0].panel(
                LENGTHS,
                "Over the list of step 1",
                f"{fixed(tokens[0], 1)} tokens on the mean",
                f"wrong: {flips} of {records} decisions flip",
            ),
            right=picture[1].panel(
                LENGTHS,
                "log Pr(y | x)",
                f"{fixed(tokens[1], 1)} tokens on the mean",
                "over the whole vocabulary",
            ),
        ),
        numbers={
            "decisions": records,
            "flips": flips,
            "mean_tokens_list": tokens[0],
            "mean_tokens": tokens[1],
            "winners_list": list(_counts(taken, right)[0]),
            "winners": list(_counts(taken, right)[1]),
            "steps": len(steps),
            "steps_above_0": above,
            "largest_step": max(steps),
            "one_step": by_hand,
            "mass_first": median(first),
            "mass_later": median(later),
            "excess_less_mass": _deviation(run),
            "nats_a_token": slope,
            "verdict": run.report.verdict,
            "faults": [fault.id for fault in run.report.faults],
            "parameters": [dict(fault.parameters) for fault in run.report.faults],
        },
    )


def _run() -> Run:
    lm = logpr.load("builtin")
    assert isinstance(lm, Predictive), "the built-in model shows its rows"
    lines = DRAWN.read_text(encoding="utf-8").splitlines()
    queries = [Query.of(r["prompt"], r["candidates"], id=r["id"]) for r in map(json.loads, lines)]
    rankings = list(logpr.rank_many(queries, model=lm))
    scorer = faulty_scorer("shortlist_without_target", k=LISTED, per="request", model=lm)
    claimed, masses, records = [], [], []
    for query, ranking in zip(queries, rankings, strict=True):
        texts = [score.text or "" for score in ranking.candidates]
        steps = scorer.tokens(query.prompt or "", texts)
        claimed.append(steps)
        masses.append(_masses(lm, ranking))
        scores = [f"{math.fsum(values):.{DECIMALS}f}" for values in steps]
        records.append({"prompt": query.prompt, "candidates": texts, "scores": scores})
    return Run(rankings, claimed, masses, logpr.audit(records, model=lm))


def _masses(lm: Predictive, ranking: Ranking) -> list[list[float]]:
    """Return what the first row's best tokens hold of Pr at each step of each reply."""
    found = []
    for score in ranking.candidates:
        context, tokens = tuple(score.prompt_ids or ()), tuple(score.token_ids or ())
        rows = lm.next_logits([context + tokens[:step] for step in range(len(tokens))]).logprobs
        listed = np.argsort(-rows[0], kind="stable")[:LISTED]
        found.append([math.fsum(np.exp(row[listed])) for row in rows])
    return found


def _deviation(run: Run) -> float:
    """Return the largest |claimed − log Pr + log(mass of the list)| of all steps."""
    return max(
        abs(value - true + math.log(mass))
        for ranking, claimed, masses in zip(run.rankings, run.claimed, run.masses, strict=True)
        for score, values, shares_ in zip(ranking.candidates, claimed, masses, strict=True)
        for value, true, mass in zip(values, score.token_logprobs or (), shares_, strict=True)
    )


def _steps(run: Run, record: int, reply: int) -> Table:
    score = run.rankings[record].candidates[reply]
    columns = zip(
        score.token_texts or (),
        run.masses[record][reply],
        run.claimed[record][reply],
        score.token_logprobs or (),
        strict=True,
    )
    return Table(
        ("token", "mass of the list", "claimed", "log Pr"),
        tuple(
            Row(
                text,
                (percent(mass), signed(value, 4), fixed(true)),
                mass,
                note="above 0" * (value > 0),
            )
            for text, mass, value, true in columns
        ),
    )


def _counts(*winners: Sequence[int]) -> list[list[int]]:
    counts = [Counter(taken) for taken in winners]
    return [[count[at] for at in range(len(LENGTHS))] for count in counts]


def _by_length(winners: Sequence[int]) -> Picked:
    (counts,) = _counts(winners)
    return Picked(shares(counts), tuple(map(str, counts)), best(counts))


def _mean_tokens(run: Run, winners: Sequence[int]) -> float:
    pairs = zip(run.rankings, winners, strict=True)
    return fmean(known(ranking.candidates[at].tokens) for ranking, at in pairs)
