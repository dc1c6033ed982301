"""True certificates of small problems, made from the numbers of the reference."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from logpr._values import Certificate, Constraint, MassLedger
from tests.decoding.brute import Brute, Output, brute, next_step
from tests.decoding.tables import Arrows, Problem, random_problem


def problem_of(seed: int) -> Problem:
    """Return a random problem whose constraint, if there is one, is a list of sequences."""
    problem = random_problem(seed, most_outputs=300)
    constraint = problem.space.constraint
    if isinstance(constraint, Arrows) and constraint.sequences:
        return problem
    return replace(problem, space=replace(problem.space, constraint=None))


def searched(problem: Problem) -> Brute:
    """Return what the reference says of a problem."""
    return brute(problem.model, problem.prompt_ids, problem.space)


def certificate_of(
    problem: Problem,
    found: Brute,
    best: Output | None = None,
    *,
    upper: float | None = None,
    threshold: float | None = None,
    tolerance: float = 0.0,
    **lies: Any,  # noqa: ANN401 - a field's value
) -> Certificate:
    """Return the certificate that a search with these numbers would give.

    Args:
        problem: what is decoded.
        found: its outputs and masses.
        best: the output that is certified; the best one by default.
        upper: its bound; the best score by default.
        threshold: the probability above which all outputs were found.
        tolerance: nats that were asked for.
        lies: fields that are set to something else at the end.
    """
    space, constraint = problem.space, problem.space.constraint
    best = best or next((one for one in found.outputs if one.score > -math.inf), None)
    lower = -math.inf if best is None else best.score
    if threshold is not None:
        lower = math.log(threshold)
        best = best if best is not None and best.score >= lower else None
    upper = lower if upper is None else upper
    gap = 0.0 if upper == lower else upper - lower
    within = "optimal_within" if gap <= tolerance else "gap"
    status: Any = "optimal" if gap == 0.0 else within
    if best is None:
        status = "infeasible" if gap == 0.0 else "gap"
    whole = Certificate(
        status=status,
        token_ids=None if best is None else best.token_ids,
        lower=lower,
        upper=upper,
        gap=gap,
        objective=space.objective.name,
        end=space.end,
        end_ids=space.end_ids,
        min_new_tokens=space.min_tokens,
        max_new_tokens=space.max_tokens,
        min_length=space.min_length,
        constraint=None
        if constraint is None
        else Constraint(kind="choice_ids", sequences=sequences_of(problem)),
        threshold=threshold,
        tolerance=tolerance,
        epsilon=0.0,
        any_length=False,
        stopped="finished",
        expansions=1,
        forward_passes=1,
        tokens_fed=1,
        tokens_fed_again=0,
        largest_open=-math.inf,
        largest_dropped=-math.inf,
        largest_truncated=-math.inf,
        at_most_better=0,
        mass=MassLedger(
            finished=found.finished,
            truncated=found.truncated,
            excluded=found.excluded,
            unnamed=found.unnamed,
        ),
        prompt_ids=problem.prompt_ids,
        bias=space.bias,
    )
    return replace(whole, **lies)


def sequences_of(problem: Problem) -> tuple[tuple[int, ...], ...]:
    """Return the sequences of a problem's constraint."""
    constraint = problem.space.constraint
    assert isinstance(constraint, Arrows)
    return constraint.sequences


def largest_longer(problem: Problem, found: Brute) -> float:
    """Return the largest total of a beginning with one token more than outputs have."""
    space = problem.space
    nats = dict(space.bias)
    out = -math.inf
    for leaf in found.leaves:
        if leaf.finished:
            continue
        logs: list[float] = []
        state = 0 if space.constraint is None else space.constraint.start
        for length in range(space.max_tokens + 1):
            path = (*problem.prompt_ids, *leaf.token_ids[:length])
            row = problem.model.next_logits([path]).logprobs[0].tolist()
            step = next_step(space, row, length, state).tokens
            if length == space.max_tokens:
                last = max(logprob + nats.get(token, 0.0) for token, logprob in step.items())
                out = max(out, math.fsum([*logs, last]))
                break
            token = leaf.token_ids[length]
            logs += [step[token], nats.get(token, 0.0)]
            if space.constraint is not None:
                known, after = space.constraint.steps(state)
                state = dict(zip(known.tolist(), after.tolist(), strict=True))[token]
    return out


def scores_apart(outputs: Sequence[Output]) -> bool:
    """Return whether the first two outputs have scores that rounding does not confuse."""
    return len(outputs) > 1 and outputs[0].score - outputs[1].score > 1e-6
