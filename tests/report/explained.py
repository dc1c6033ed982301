"""Explanations made by `logpr.explain` from rankings whose numbers are given."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TypeAlias

from hypothesis import strategies as st

import logpr
from logpr._values import Alternative, Explanation, Ranking, Score, TokenEvidence
from tests.report.values import PROVENANCE

EXAMPLES = Path(__file__).parents[2] / "examples"


@cache
def worked_example() -> Explanation:
    """Return worked example 1: [A, A] beats [B, B], and raw logits pick the other one."""
    lm = logpr.load(f"table:{EXAMPLES / 'one.yaml'}")
    found = logpr.rank(prompt_ids=[], candidate_ids=[[0, 0], [1, 1]], model=lm, evidence=True)
    return logpr.explain(found, model=lm)


@cache
def three(end: str = "open") -> Explanation:
    """Return an explanation of three candidates by the built-in model, with influence."""
    lm = logpr.load("builtin")
    texts = [" warm mat", " plush rug", " warm moon."]
    found = logpr.rank("The cat sat. It sat on the", texts, model=lm, evidence=True, end=end)
    return logpr.explain(found, model=lm, influence="sentences")


def a_candidate(
    texts: Sequence[str],
    logprobs: Sequence[float],
    *,
    index: int = 0,
    ids: Sequence[int] | None = None,
    end: float | None = None,
    warnings: tuple[str, ...] = (),
) -> Score:
    """Return a scored candidate of given tokens, the favourite of each step at −0.1 or better."""
    total = math.fsum([*logprobs, *(() if end is None else (end,))])
    ends = [len("".join(texts[: i + 1]).encode(errors="replace")) for i in range(len(texts))]
    best = tuple(max(-0.1, each) for each in logprobs)
    return Score(
        index=index,
        text="".join(texts),
        logprob=total,
        per_token=total / max(1, len(texts)),
        per_char=None,
        per_byte=None,
        bits_per_byte=None,
        tokens=len(texts),
        bytes=ends[-1] if ends else 0,
        chars=len("".join(texts)),
        boundary="clean",
        end="open" if end is None else "stop",
        prompt_ids=(0, 5),
        token_ids=tuple(range(10 * index, 10 * index + len(texts)) if ids is None else ids),
        token_texts=tuple(texts),
        token_spans=tuple(zip([0, *ends[:-1]], ends, strict=True)) if ends else (),
        token_logprobs=tuple(logprobs),
        logit=tuple(5 + each for each in logprobs),
        logz=(5.0,) * len(texts),
        rank=(1,) * len(texts),
        top_id=(7,) * len(texts),
        top_logit=tuple(5 + each for each in best),
        top_logprob=best,
        entropy=(1.0,) * len(texts),
        alternatives=tuple((Alternative(id=7, text=text, logprob=-0.1),) for text in texts),
        end_logprob=end,
        end_evidence=None
        if end is None
        else TokenEvidence(
            logit=1.0, logz=3.0, rank=2, top_id=9, top_logit=2.0, top_logprob=-0.1, entropy=1.5
        ),
        warnings=warnings,
    )


def an_explanation(first: Score, second: Score, **fields: object) -> Explanation:
    """Return why `first` leads `second` in a ranking of both."""
    known: dict[str, object] = {
        "rule": "logprob",
        "end": first.end,
        "best": 0,
        "order": (0, 1),
        "margin": 1.0,
        "noise": 0.0,
        "tie": False,
        "winners": (("logprob", 0), ("per_token", 1)),
        "prompt": "The",
        "candidates": (first, second),
        "provenance": PROVENANCE,
    }
    return logpr.explain(Ranking(**(known | fields)))  # type: ignore[arg-type]


def of_text(text: str) -> Explanation:
    """Return an explanation with `text` wherever a text can stand."""
    first = a_candidate([text, text], [-0.5, -1.0], warnings=(f"lossy: {text}",))
    second = a_candidate([text, "b"], [-1.5, -0.2], index=1)
    return an_explanation(first, second, id=text, prompt=text)


Numbers: TypeAlias = tuple[list[float], list[float], list[float], tuple[float, float] | None]

_NATS = st.floats(-40, 0)
NUMBERS: st.SearchStrategy[Numbers] = st.tuples(
    st.lists(_NATS, max_size=3),
    st.lists(_NATS, min_size=1, max_size=30),
    st.lists(_NATS, min_size=1, max_size=30),
    st.none() | st.tuples(_NATS, _NATS),
)
"""Log-probabilities of what two candidates share, of what each goes on with, and of END."""


def of_numbers(numbers: Numbers) -> Explanation:
    """Return an explanation of two candidates of such log-probabilities."""
    shared, first, second, ends = numbers
    made = [
        a_candidate(
            ["ab"] * len(shared) + [f" {'xy'[index]}{place % 7}" for place in range(len(tail))],
            [*shared, *tail],
            index=index,
            ids=[*range(len(shared)), *range(100 * index + 100, 100 * index + 100 + len(tail))],
            end=None if ends is None else ends[index],
        )
        for index, tail in enumerate((first, second))
    ]
    return an_explanation(*made)
