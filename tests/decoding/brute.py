"""Every output of a small problem, in plain Python floats: what all decoding is held against.

Slow and obvious on purpose. Of the package it uses the model's rows and the data of a `Space`; the
formulas of objectives, END, the least length and the masses are written here once more.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from logpr.decoding.space import Space
from logpr.models.base import Predictive

Tokens: TypeAlias = tuple[int, ...]


class Output(NamedTuple):
    """An output with a probability above 0. `score` is what the space's objective ranks by."""

    token_ids: Tokens
    logprob: float
    score: float


class Leaf(NamedTuple):
    """What a walk down the tree ends in: an output, or a beginning that has no room to go on.

    `logprob` is that of ending so; for a beginning that was cut, of having it and one token more.
    """

    token_ids: Tokens
    logprob: float
    finished: bool


@dataclass
class Brute:
    """All outputs, best first (ties by their token ids), and where the probability of 1 went.

    `finished`: outputs. `truncated`: beginnings that could go on but have `max_tokens` tokens.
    `excluded`: what the constraint or the least length rules out. `unnamed`: what tables give to no
    token. `leaves` are the outputs and the beginnings that were cut, each with its own mass.
    """

    outputs: list[Output]
    leaves: list[Leaf]
    finished: float
    truncated: float
    excluded: float
    unnamed: float

    @property
    def best(self) -> Output | None:
        """Return the first output, or None where there is none."""
        return self.outputs[0] if self.outputs else None


class Step(NamedTuple):
    """What may come next: log Pr of each token and of END, and the masses that may not."""

    tokens: dict[int, float]
    end: float
    excluded: float
    unnamed: float


class _Beginning(NamedTuple):
    token_ids: Tokens
    logs: tuple[float, ...]
    state: int


def brute(
    model: Predictive,
    prompt_ids: Sequence[int],
    space: Space,
    *,
    allowed: Callable[[Tokens], bool] | None = None,
) -> Brute:
    """Return every output of a prompt.

    Args:
        model: of a few tokens.
        prompt_ids: what comes before.
        space: which outputs there are; its automaton bars tokens as soon as it can.
        allowed: a constraint beside the space's, asked about whole outputs: what it rules out is
            `excluded`, and beginnings that are too long are `truncated` all the same.
    """
    walk = _Walk(space, allowed)
    start = 0 if space.constraint is None else space.constraint.start
    level = [_Beginning((), (), start)]
    for length in range(space.max_tokens + 1):
        if space.end == "open" and length == space.max_tokens:
            for beginning in level:
                walk.stop(beginning)
            break
        paths = [(*prompt_ids, *beginning.token_ids) for beginning in level]
        rows = model.next_logits(paths).logprobs.tolist() if level else []
        level = [
            longer
            for beginning, row in zip(level, rows, strict=True)
            for longer in walk.grow(beginning, row)
        ]
    return walk.result()


class _Walk:
    """Takes beginnings one after another, and notes what ends there."""

    def __init__(self, space: Space, allowed: Callable[[Tokens], bool] | None) -> None:
        self.space = space
        self.allowed = allowed
        self.outputs: list[Output] = []
        self.leaves: list[Leaf] = []
        self.truncated: list[float] = []
        self.excluded: list[float] = []
        self.unnamed: list[float] = []

    def grow(self, beginning: _Beginning, row: Sequence[float]) -> list[_Beginning]:
        """Return the beginnings that are one token longer, and have room."""
        tokens, logs, state = beginning
        reach = math.exp(math.fsum(logs))
        step = next_step(self.space, row, len(tokens), state)
        self.excluded.append(reach * step.excluded)
        self.unnamed.append(reach * step.unnamed)
        if step.end > -math.inf:
            self.finish(tokens, (*logs, step.end))
        if len(tokens) == self.space.max_tokens:
            rest = math.fsum(map(math.exp, step.tokens.values()))
            self.truncated.append(reach * rest)
            if rest > 0.0:
                self.leaves.append(Leaf(tokens, math.fsum((*logs, math.log(rest))), finished=False))
            return []
        after = _steps(self.space, state)
        return [
            _Beginning((*tokens, token), (*logs, logprob), after.get(token, 0))
            for token, logprob in step.tokens.items()
            if logprob > -math.inf
        ]

    def stop(self, beginning: _Beginning) -> None:
        """End where outputs have one length and no END."""
        tokens, logs, state = beginning
        if self.space.constraint is None or self.space.constraint.accepts(state):
            self.finish(tokens, logs)
        else:
            self.excluded.append(math.exp(math.fsum(logs)))

    def finish(self, tokens: Tokens, logs: tuple[float, ...]) -> None:
        """Note an output."""
        logprob = math.fsum(logs)
        if self.allowed is not None and not self.allowed(tokens):
            self.excluded.append(math.exp(logprob))
            return
        self.outputs.append(Output(tokens, logprob, score(self.space, tokens, logprob)))
        self.leaves.append(Leaf(tokens, logprob, finished=True))

    def result(self) -> Brute:
        """Return all that was noted."""
        return Brute(
            outputs=sorted(self.outputs, key=lambda output: (-output.score, output.token_ids)),
            leaves=self.leaves,
            finished=math.fsum(math.exp(output.logprob) for output in self.outputs),
            truncated=math.fsum(self.truncated),
            excluded=math.fsum(self.excluded),
            unnamed=math.fsum(self.unnamed),
        )


def next_step(space: Space, row: Sequence[float], length: int, state: int) -> Step:
    """Return what may follow a beginning.

    Args:
        space: its rules.
        row: log Pr of every token after it.
        length: its tokens.
        state: where it left the space's automaton.
    """
    probs = [math.exp(logprob) for logprob in row]
    ends = set(space.end_ids)
    unnamed = max(0.0, 1.0 - math.fsum(probs))
    excluded = 0.0
    end = _log(math.fsum(probs[token] for token in ends))
    tokens = {token: logprob for token, logprob in enumerate(row) if token not in ends}
    if space.end == "stop" and length < space.min_tokens:
        if space.min_length == "renormalise":
            rest = math.fsum([unnamed, *map(math.exp, tokens.values())])
            if rest == 0.0:
                return Step({}, -math.inf, 1.0, 0.0)
            tokens = {token: logprob - math.log(rest) for token, logprob in tokens.items()}
            unnamed /= rest
        else:
            excluded += math.exp(end)
        end = -math.inf
    if space.constraint is not None:
        if not space.constraint.accepts(state):
            excluded += math.exp(end)
            end = -math.inf
        after = _steps(space, state)
        excluded += math.fsum(math.exp(logprob) for k, logprob in tokens.items() if k not in after)
        tokens = {token: logprob for token, logprob in tokens.items() if token in after}
    return Step(tokens, end, excluded, unnamed)


def score(space: Space, token_ids: Tokens, logprob: float) -> float:
    """Return what the objective ranks an output by.

    Args:
        space: its objective, bias and end.
        token_ids: y, END not among them.
        logprob: log Pr(y | x), END's part in it under `stop`.
    """
    nats = dict(space.bias)
    total = math.fsum([logprob, *(nats.get(token, 0.0) for token in token_ids)])
    kind, alpha = space.objective.kind, space.objective.alpha
    if kind == "logprob":
        return total
    if kind == "per_token":
        return total / math.pow(len(token_ids) + (1 if space.end == "stop" else 0), alpha)
    if not token_ids:
        return -math.inf
    return total / math.pow((5 + len(token_ids)) / 6, alpha)


def step_logprobs(
    model: Predictive, prompt_ids: Sequence[int], space: Space, token_ids: Tokens
) -> tuple[list[float], float]:
    """Return log Pr of each token of an output, and of END after them (−inf where it may not be).

    Args:
        model: of a few tokens.
        prompt_ids: what comes before.
        space: whose rules decide about END and, under `renormalise`, about tokens.
        token_ids: y.
    """
    out: list[float] = []
    state = 0 if space.constraint is None else space.constraint.start
    for length, token in enumerate(token_ids):
        row = model.next_logits([(*prompt_ids, *token_ids[:length])]).logprobs[0].tolist()
        out.append(next_step(space, row, length, state).tokens[token])
        if space.constraint is not None:
            state = _steps(space, state)[token]
    row = model.next_logits([(*prompt_ids, *token_ids)]).logprobs[0].tolist()
    return out, next_step(space, row, len(token_ids), state).end


def _steps(space: Space, state: int) -> dict[int, int]:
    if space.constraint is None:
        return {}
    tokens, after = space.constraint.steps(state)
    return dict(zip(tokens.tolist(), after.tolist(), strict=True))


def _log(prob: float) -> float:
    return math.log(prob) if prob > 0.0 else -math.inf
