"""Greedy and beam search on tables: what they choose, and what they prove for free."""

from __future__ import annotations

import math

import numpy as np
import pytest

from logpr.decoding.beam import Beam, beam_search, greedy_search
from logpr.decoding.limits import Budget, Clock
from logpr.decoding.space import Space
from logpr.models._prefix_steps import PrefixSteps
from logpr.models.table import TableModel
from tests.decoding.brute import brute
from tests.decoding.tables import Problem, random_problem

TIGHT = 1e-9


def beamed(problem: Problem, width: int) -> Beam:
    """Return what a beam comes to."""
    stepper = PrefixSteps(problem.model, problem.prompt_ids)
    return beam_search(stepper, problem.space, width=width, clock=Clock(Budget()))


def check_accounts(problem: Problem, beam: Beam) -> None:
    """Assert that the ledger is whole, and that what was let go is bounded."""
    found = brute(problem.model, problem.prompt_ids, problem.space)
    tally = beam.tally
    assert tally.ledger(0.0).total == pytest.approx(1.0, abs=TIGHT)
    chosen = {one.token_ids for one in beam.finished}
    for output in found.outputs:
        if output.token_ids not in chosen and output.score > -math.inf:
            # Either it was let go, or it ended and others of the beam were better.
            worst = beam.finished[-1].score if beam.finished else -math.inf
            assert output.score <= max(tally.largest_dropped, worst) + TIGHT
    for one in beam.finished:
        known = next(other for other in found.outputs if other.token_ids == one.token_ids)
        assert one.score == pytest.approx(known.score, abs=TIGHT)


@pytest.mark.parametrize("width", [1, 2, 5])
def test_no_beam_claims_more_than_is_true(width: int) -> None:
    """Whatever is said to be optimal is, and the probability is accounted for."""
    free = 0
    for seed in range(150):
        problem = random_problem(seed)
        beam = beamed(problem, width)
        check_accounts(problem, beam)
        found = brute(problem.model, problem.prompt_ids, problem.space)
        best = beam.best
        if best is not None and best.ended and beam.tally.largest_dropped <= best.score:
            free += 1
            assert best.score == pytest.approx(found.outputs[0].score, abs=TIGHT), seed
    assert free > 10


def test_a_beam_as_wide_as_the_tree_is_exact() -> None:
    """With room for every beginning, all outputs come, best first."""
    for seed in range(200, 260):
        problem = random_problem(seed, most_outputs=40)
        if len(problem.space.end_ids) > 1:  # beams choose by the single end token
            continue
        if problem.space.objective.kind != "logprob":  # the stop rule is a heuristic there
            continue
        found = brute(problem.model, problem.prompt_ids, problem.space)
        beam = beamed(problem, 300)
        scores = [one.score for one in found.outputs if one.score > -math.inf]
        assert [one.score for one in beam.finished] == pytest.approx(scores, abs=TIGHT), seed


def test_greedy_takes_the_best_single_token_each_time() -> None:
    """A loop over argmax comes to the same tokens, and ends where it ends."""
    for seed in range(300, 400):
        problem = random_problem(seed)
        space = problem.space
        if space.constraint is not None or space.bias or space.min_tokens:
            continue
        stepper = PrefixSteps(problem.model, problem.prompt_ids)
        beam = greedy_search(stepper, space, clock=Clock(Budget()))
        path: list[int] = []
        ended = False
        longest = space.max_tokens + (1 if space.ended else 0)
        while len(path) < longest:
            row = problem.model.next_logits([(*problem.prompt_ids, *path)]).logprobs[0]
            if row.max() == -math.inf:
                break
            token = int(np.argmax(row))
            if space.ended and token in space.end_ids:
                ended = True
                break
            path.append(token)
        best = beam.best
        if ended or (not space.ended and len(path) == space.max_tokens):
            assert best is not None
            assert best.ended
            assert list(best.token_ids) == path
        elif len(path) == longest:
            assert best is not None
            assert not best.ended
            assert list(best.token_ids) == path[: space.max_tokens]
        assert beam.tally.ledger(0.0).total == pytest.approx(1.0, abs=TIGHT)


def test_one_outcome_of_two_end_tokens_is_scored_and_single_ones_chosen() -> None:
    """END in two tokens of 0.3 is more probable than A with 0.4; greedy does not see that."""
    model = TableModel.from_dict(
        {
            "tokens": ["A", "x", "y"],
            "end": ["x", "y"],
            "kind": "probs",
            "order": 0,
            "rows": {"": [0.4, 0.3, 0.3]},
        }
    )
    space = Space(end="stop", end_ids=(1, 2), min_tokens=0, max_tokens=3)
    greedy = greedy_search(PrefixSteps(model, (0,)), space, clock=Clock(Budget()))
    assert greedy.best is not None
    assert greedy.best.token_ids == (0, 0, 0)
    assert not greedy.best.ended
    beam = beam_search(PrefixSteps(model, (0,)), space, width=2, clock=Clock(Budget()))
    assert beam.finished[0].token_ids == ()
    assert beam.finished[0].logprob == pytest.approx(math.log(0.6))


def test_a_budget_ends_a_beam_with_its_bounds() -> None:
    """What was not looked at is dropped, and the ledger stays whole."""
    problem = random_problem(5)
    stepper = PrefixSteps(problem.model, problem.prompt_ids)
    clock = Clock(Budget(expansions=1))
    beam = beam_search(stepper, problem.space, width=2, clock=clock)
    assert beam.stopped == "budget"
    assert beam.tally.dropped > 0.0
    assert beam.tally.ledger(0.0).total == pytest.approx(1.0, abs=TIGHT)
