"""The jobs of a window, and what is read from them once they have run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from logpr._engine import Job, JobScores
from logpr._score._assemble import Scored
from logpr._score._settings import Settings
from logpr.errors import QueryError
from logpr.models.base import Model
from logpr.numerics import exact_sum, logsumexp

Finish = Callable[[list[JobScores]], Scored]
"""Turns the results of a window's jobs into one candidate's score."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How a candidate is scored: its jobs by number, its own first, and how they end in a score."""

    finish: Finish
    jobs: range = range(0)


@dataclass(slots=True)
class Window:
    """The jobs of a window, and how each candidate is finished once they have run."""

    model: Model | None
    settings: Settings
    jobs: list[Job] = field(default_factory=list)

    def ask(self, job: Job) -> int:
        """Add a job; return its number."""
        self.jobs.append(job)
        return len(self.jobs) - 1


def among_ids(settings: Settings, model: Model) -> tuple[int, ...]:
    """Return the ids of the named subset; each name is one token."""
    out: list[int] = []
    for name in settings.among or ():
        if isinstance(name, int):
            ids: tuple[int, ...] = (name,)
        elif model.tokenizer is None:
            msg = f"among: this model has no tokenizer; name tokens by id instead of {name!r}"
            raise QueryError(msg)
        else:
            ids = model.tokenizer.encode(name, parse_special=False, start=False)
        if len(ids) != 1:
            msg = (
                f"among: {name!r} is {len(ids)} tokens, and a subset is made of single tokens; "
                f"write the token as the tokenizer does (often with a leading space), or its id"
            )
            raise QueryError(msg)
        if not 0 <= ids[0] < model.vocab_size:
            msg = f"among: token id {ids[0]} is outside the vocabulary of {model.vocab_size}"
            raise QueryError(msg)
        out.append(ids[0])
    return tuple(dict.fromkeys(out))


def among_logprob(
    job: JobScores, token_ids: tuple[int, ...], among: tuple[int, ...], logprobs: Sequence[float]
) -> float | None:
    """Return the sum of the per-step softmax over the subset; None where there is none."""
    if not among:
        return None
    steps: list[float] = []
    for step, (token, logprob) in enumerate(zip(token_ids, logprobs, strict=True)):
        if token not in among:
            return float("-inf")
        steps.append(logprob - float(logsumexp(np.asarray(job.among_logprobs(step)))))
    return exact_sum(steps)


def split(job: JobScores, end_ids: tuple[int, ...]) -> tuple[tuple[float, ...], float | None]:
    """Return the log-probabilities of a job's tokens, and that of END where it was asked."""
    values = job.logprobs
    return (values[:-1], values[-1]) if end_ids else (values, None)
