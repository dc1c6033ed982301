"""Explanations and files of decisions of any size and any text, without a model."""

from __future__ import annotations

import itertools
import math
import random
import zlib
from collections.abc import Sequence
from dataclasses import replace

import logpr
from logpr._explain import decisions_of
from logpr._values import (
    Alternative,
    Decisions,
    Explanation,
    Influence,
    ModelProvenance,
    Ranking,
    Score,
)
from tests.report.values import PROVENANCE

_ALTERNATIVES = 5
_LOG_VOCAB = math.log(32_000)


def a_candidate(index: int, texts: Sequence[str], ids: Sequence[int], prompt: int = 3) -> Score:
    """Return a score of the given tokens, with evidence; each number is of its token and place."""
    columns, context = [], 0
    for at, (text, own) in enumerate(zip(texts, ids, strict=True)):
        columns.append(_column(at, context, own, text))
        context = zlib.crc32(str(own).encode(), context)
    logprobs = tuple(column[0] for column in columns)
    ends = [0, *itertools.accumulate(len(text.encode("utf-8", "surrogatepass")) for text in texts)]
    size, total = len(texts), math.fsum(logprobs)
    letters = sum(map(len, texts))
    return Score(
        index=index,
        text="".join(texts),
        logprob=total,
        per_token=total / size,
        per_char=total / max(1, letters),
        per_byte=total / max(1, ends[-1]),
        bits_per_byte=-total / max(1, ends[-1]) / math.log(2),
        tokens=size,
        bytes=ends[-1],
        chars=letters,
        boundary="clean",
        noise=1e-6 * size,
        prompt_ids=tuple(range(prompt)),
        token_ids=tuple(ids),
        token_texts=tuple(texts),
        token_spans=tuple(itertools.pairwise(ends)),
        token_logprobs=logprobs,
        logit=tuple(column[1] for column in columns),
        logz=tuple(column[1] - column[0] for column in columns),
        rank=tuple(column[3] for column in columns),
        top_id=tuple(column[4][0].id for column in columns),
        top_logit=tuple(column[4][0].logit for column in columns),
        top_logprob=tuple(column[2] for column in columns),
        entropy=tuple(-column[2] * 1.5 for column in columns),
        alternatives=tuple(column[4] for column in columns),
        provenance=PROVENANCE,
    )


def _column(
    at: int, context: int, own: int, text: str
) -> tuple[float, float, float, int, tuple[Alternative, ...]]:
    """Return log Pr, the logit, the favourite's log Pr, the rank and the alternatives."""
    # One context, one row: what is drawn depends on the tokens before and no others.
    row = random.Random(context)  # noqa: S311 - no secret
    top, shift = -row.uniform(0.05, 0.6 * _LOG_VOCAB), row.gauss(0.0, 20.0)
    token = random.Random(f"{context} {own}")  # noqa: S311 - as above
    behind = token.choice([0.0, 1.0, 1.0]) * token.expovariate(0.5)
    logz = shift - top
    best = tuple(
        Alternative(
            id=own if place == 0 and not behind else 100_000 + place,
            text=text if place == 0 else f" other{place}",
            logprob=top - place,
            logit=top - place + logz,
        )
        for place in range(_ALTERNATIVES)
    )
    return top - behind, top - behind + logz, top, 1 if not behind else 1 + at % 50, best


def a_ranking(candidates: Sequence[Score], **fields: object) -> Ranking:
    """Return the ranking of candidates by log Pr, with its winners under each rule."""
    order = sorted(range(len(candidates)), key=lambda i: -(candidates[i].logprob or 0.0))
    values = [score.logprob or 0.0 for score in candidates]
    mass = math.log(math.fsum(math.exp(each - max(values)) for each in values)) + max(values)
    shares = tuple(
        replace(score, choice_prob=math.exp(each - mass))
        for score, each in zip(candidates, values, strict=True)
    )
    rules = ("logprob", "per_token", "per_char", "per_byte", "bits_per_byte", "choice_prob")
    winners = tuple((rule, _winner(shares, rule)) for rule in rules)
    margin = values[order[0]] - values[order[1]]
    known: dict[str, object] = {
        "rule": "logprob",
        "end": "open",
        "best": order[0],
        "order": tuple(order),
        "margin": margin,
        "noise": 1e-5,
        "tie": False,
        "prompt": "The cat sat on the mat. It slept. Then it woke, and it looked for the",
        "candidates": shares,
        "winners": winners,
        "provenance": PROVENANCE,
    }
    return Ranking(**(known | fields))  # type: ignore[arg-type]


def _winner(scores: Sequence[Score], rule: str) -> int:
    if rule == "bits_per_byte":
        return min(range(len(scores)), key=lambda i: scores[i].bits_per_byte or 0.0)
    return max(range(len(scores)), key=lambda i: getattr(scores[i], rule))


def influence(size: int, text: str | None = None) -> tuple[Influence, ...]:
    """Return what three sentences of the prompt do; the third could not be left out."""
    moves = tuple(0.4 - 0.3 * index for index in range(size))
    said = ("The cat sat on the mat.", "It slept.", "Then it woke,")
    parts = tuple(
        Influence(kind="sentence", start=24 * at, end=24 * at + 20, text=text or each,
                  moved=moves if at else tuple(-move for move in moves),
                  gap=0.3 if at else -0.3)
        for at, each in enumerate(said)
    )  # fmt: skip
    note = text or "the prompt would be empty"
    return (*parts[:2], replace(parts[2], moved=(), gap=None, note=note))


def explained(size: int = 200, candidates: int = 2, *, shared: int = 3) -> Explanation:
    """Return why one of some candidates of `size` tokens leads; they share their first tokens."""
    first = [(f" w{at}", at) for at in range(size)]
    others = [
        first[:shared] + [(f" c{who}w{at}", 1000 * who + at) for at in range(shared, size)]
        for who in range(1, candidates)
    ]
    scores = [
        a_candidate(index, [text for text, _ in tokens], [token for _, token in tokens])
        for index, tokens in enumerate([first, *others])
    ]
    found = logpr.explain(a_ranking(scores))
    return replace(found, influence=influence(candidates))


def hostile(text: str) -> Explanation:
    """Return an explanation with `text` wherever a text can stand."""
    left = (text, f"{text}a", text, f" {text}")
    right = (text, f"{text}b", f" {text}", text, text)
    third = (f"{text}c", text)
    ids = ((7, 1, 2, 3), (7, 4, 5, 6, 8), (9, 10))
    scores = [
        replace(
            a_candidate(index, texts, numbers),
            warnings=(f"lossy: {text}",),
            provenance=replace(PROVENANCE, model=_named(text)),
        )
        for index, (texts, numbers) in enumerate(zip((left, right, third), ids, strict=True))
    ]
    ranking = a_ranking(
        scores, id=text, prompt=text, provenance=replace(PROVENANCE, model=_named(text))
    )
    found = logpr.explain(ranking)
    return replace(found, influence=influence(3, text), warnings=(text,))


def _named(text: str) -> ModelProvenance:
    assert PROVENANCE.model is not None
    return replace(PROVENANCE.model, model=text, dtype=text)


def a_file(records: int = 40, text: str | None = None) -> Decisions:
    """Return a file of decisions, some of them labelled otherwise than decided."""
    rankings = []
    for number in range(records):
        scores = [
            # One, two and three tokens, so that rules by length have something to disagree about.
            a_candidate(
                index,
                [text or f" r{number}", f" {text or index}", " end"][: index + 1],
                [number, index, number][: index + 1],
            )
            for index in range(3)
        ]
        rankings.append(a_ranking(scores, id=text or f"q{number}", label=number % 3))
    if text is not None:
        rankings = [replace(each, prompt=text) for each in rankings]
    return decisions_of(rankings)
