"""log Pr of many continuations, and whether each is what greedy decoding writes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from logpr._engine import Job, JobScores, run
from logpr.errors import ModelOutputError
from logpr.integrations._pairs import Pair
from logpr.models.base import Evidence, Model
from logpr.numerics import exact_sum

WINDOW_TOKENS = 2**15
"""Unique tokens that share a trie; a window ends behind the pair that reaches them."""


@dataclass(frozen=True, slots=True)
class Likelihood:
    """log Pr(continuation | context) in nats, and whether each of its tokens is the favourite.

    Of equally likely tokens the favourite is the one with the smallest id, as argmax has it. An
    empty continuation has log-probability 0 and is greedy.
    """

    logprob: float
    greedy: bool


def likelihoods(
    model: Model, pairs: Sequence[Pair], *, tokens: int = WINDOW_TOKENS
) -> Iterator[tuple[int, Likelihood]]:
    """Yield (index, likelihood) of each pair, a window at a time, not in order.

    Pairs are taken in the order of their ids, so that those with the same beginning share it
    wherever they stand.

    Args:
        model: any.
        pairs: fitted to its context.
        tokens: unique tokens of a window.

    Raises:
        ModelOutputError: the model returned no distribution, or no favourite.
        EmptyContextError: a pair without context, and the model needs one.
    """
    for window in windows(pairs, tokens=tokens):
        jobs = [
            Job(pairs[index].context_ids, pairs[index].token_ids, name=f"request {index}")
            for index in window
        ]
        scored = run(model, jobs, evidence=Evidence(columns=True))
        for index, job in zip(window, scored, strict=True):
            yield index, _likelihood(pairs[index], job)


def windows(pairs: Sequence[Pair], *, tokens: int) -> Iterator[list[int]]:
    """Yield the indexes of pairs in the order of their ids, cut into windows.

    Args:
        pairs: any number of them.
        tokens: a window ends behind the pair by which it has this many unique tokens.
    """
    whole = [pair.ids for pair in pairs]
    window: list[int] = []
    new = 0
    before: tuple[int, ...] = ()
    for index in sorted(range(len(pairs)), key=whole.__getitem__):
        window.append(index)
        new += len(whole[index]) - _shared(before, whole[index])
        before = whole[index]
        if new >= tokens:
            yield window
            window, new, before = [], 0, ()
    if window:
        yield window


def _shared(one: tuple[int, ...], other: tuple[int, ...]) -> int:
    return next(
        (place for place, (a, b) in enumerate(zip(one, other, strict=False)) if a != b),
        min(len(one), len(other)),
    )


def _likelihood(pair: Pair, job: JobScores) -> Likelihood:
    if not pair.token_ids:
        return Likelihood(0.0, greedy=True)
    columns = job.scores.columns
    if columns is None:
        msg = (
            "this model does not say which token is its favourite, and the harness asks whether "
            "an answer is greedy: take another backend"
        )
        raise ModelOutputError(msg)
    favourites = tuple(columns.top_id[list(job.edges)].tolist())
    return Likelihood(exact_sum(job.logprobs), greedy=favourites == pair.token_ids)
