"""The reference against examples that were worked out by hand."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest

from logpr.decoding.objective import Objective
from logpr.decoding.space import Space
from logpr.models.table import TableModel
from tests.decoding.brute import Brute, brute, step_logprobs
from tests.decoding.tables import finite_set, random_problem

A, B, E, F = range(4)
# Two end tokens. After nothing: A 0.5, B 0.2, END 0.3. After A: A 0.1, B 0.6, END 0.3, of which
# each end token has its part. After B: B alone, or nothing that has a name.
DATA: dict[str, Any] = {
    "tokens": ["A", "B", "E", "F"],
    "end": ["E", "F"],
    "kind": "probs",
    "order": 1,
    "rows": {
        "": [0.5, 0.2, 0.1, 0.2],
        "A": [0.1, 0.6, 0.3, 0.0],
        "B": [0.0, 0.8, 0.0, 0.1],
    },
}
MODEL = TableModel.from_dict(DATA)
STOP = Space(end="stop", end_ids=(E, F), min_tokens=0, max_tokens=2)


def changed(space: Space, **fields: object) -> Space:
    """Return a space with other fields."""
    names = space.__dataclass_fields__
    return Space(**{name: getattr(space, name) for name in names} | fields)


def told(found: Brute) -> dict[tuple[int, ...], float]:
    """Return the probability of each output."""
    return {output.token_ids: math.exp(output.logprob) for output in found.outputs}


def test_stop() -> None:
    """Under stop all outputs of up to two tokens are there, END being the sum of its tokens."""
    found = brute(MODEL, (), STOP)
    want = {
        (): 0.3,
        (A,): 0.5 * 0.3,
        (B,): 0.2 * 0.1,
        (A, A): 0.5 * 0.1 * 0.3,
        (A, B): 0.5 * 0.6 * 0.1,
        (B, B): 0.2 * 0.8 * 0.1,
    }
    assert told(found) == pytest.approx(want, abs=1e-15)
    assert [output.token_ids for output in found.outputs] == [
        (),
        (A,),
        (A, B),
        (B,),
        (B, B),
        (A, A),
    ]
    assert all(output.score == output.logprob for output in found.outputs)
    # After A A: A or B; after A B and B B: B, each with 0.1 of no name, as after B.
    assert found.truncated == pytest.approx(0.5 * 0.1 * 0.7 + 0.5 * 0.6 * 0.8 + 0.2 * 0.8 * 0.8)
    assert found.unnamed == pytest.approx(0.1 * (0.2 + 0.3 + 0.16))
    assert found.excluded == 0.0
    cut = {leaf.token_ids: math.exp(leaf.logprob) for leaf in found.leaves if not leaf.finished}
    assert cut == pytest.approx({(A, A): 0.035, (A, B): 0.24, (B, B): 0.128})


def test_open() -> None:
    """Under open all sequences of two tokens are there, end tokens among them."""
    after_end = {"E": [0.25, 0.75, 0.0, 0.0], "F": [0.0, 0.0, 0.0, 1.0]}
    model = TableModel.from_dict(DATA | {"rows": DATA["rows"] | after_end})
    found = brute(model, (A,), Space(end="open", end_ids=(), min_tokens=2, max_tokens=2))
    want = {
        (A, A): 0.1 * 0.1,
        (A, B): 0.1 * 0.6,
        (A, E): 0.1 * 0.3,
        (B, B): 0.6 * 0.8,
        (B, F): 0.6 * 0.1,
        (E, A): 0.3 * 0.25,
        (E, B): 0.3 * 0.75,
    }
    assert told(found) == pytest.approx(want)
    assert found.truncated == 0.0
    assert found.unnamed == pytest.approx(0.6 * 0.1)


def test_restricted_and_renormalised() -> None:
    """Shorter outputs are left out; renormalised, the others share the probability of END."""
    left_out = brute(MODEL, (), changed(STOP, min_tokens=1))
    assert told(left_out) == pytest.approx(
        {key: value for key, value in told(brute(MODEL, (), STOP)).items() if key}
    )
    assert left_out.excluded == pytest.approx(0.3)
    shared = brute(MODEL, (), changed(STOP, min_tokens=2, min_length="renormalise"))
    want = {
        (A, A): 0.5 / 0.7 * 0.1 / 0.7 * 0.3,
        (A, B): 0.5 / 0.7 * 0.6 / 0.7 * 0.1,
        (B, B): 0.2 / 0.7 * 0.8 / 0.9 * 0.1,
    }
    assert told(shared) == pytest.approx(want)
    assert shared.excluded == 0.0
    assert shared.finished + shared.truncated + shared.unnamed == pytest.approx(1.0, abs=1e-15)


def test_constraint() -> None:
    """An automaton and the same set as a predicate leave the same outputs."""
    chosen = {(A,), (B, B), (A, B, B)}
    space = changed(STOP, constraint=finite_set(chosen))
    by_automaton = brute(MODEL, (), space)
    assert told(by_automaton) == pytest.approx({(A,): 0.15, (B, B): 0.016})
    # A B goes on in the set, but has no room: B after it is what the length cuts off.
    assert by_automaton.truncated == pytest.approx(0.3 * 0.8)
    assert by_automaton.excluded == pytest.approx(
        0.3 + 0.5 * 0.1 + 0.2 * 0.1 + 0.3 * 0.1 + 0.16 * 0.8
    )
    by_predicate = brute(MODEL, (), STOP, allowed=chosen.__contains__)
    assert by_predicate.outputs == by_automaton.outputs
    assert by_predicate.finished == by_automaton.finished


def test_objectives() -> None:
    """Scores are what their formulas say, with the biases in them."""
    bias = ((A, -1.0), (B, -0.25))
    log = math.log(0.5 * 0.6 * 0.1)

    def best(objective: Objective, **fields: object) -> float:
        space = changed(STOP, objective=objective, **fields)
        return {o.token_ids: o.score for o in brute(MODEL, (), space).outputs}[A, B]

    assert best(Objective()) == pytest.approx(log)
    assert best(Objective(), bias=bias) == pytest.approx(log - 1.25)
    assert best(Objective("per_token", 1.0), bias=bias) == pytest.approx((log - 1.25) / 3)
    assert best(Objective("length_penalty", 0.6)) == pytest.approx(log / (7 / 6) ** 0.6)
    empty = brute(MODEL, (), changed(STOP, objective=Objective("length_penalty", 0.6))).outputs[-1]
    assert empty.token_ids == ()
    assert empty.score == -math.inf


def test_step_logprobs() -> None:
    """The terms of an output add up to its log-probability."""
    terms, end = step_logprobs(MODEL, (), STOP, (A, B))
    assert [math.exp(term) for term in terms] == pytest.approx([0.5, 0.6])
    assert math.exp(end) == pytest.approx(0.1)


@pytest.mark.parametrize("first", range(0, 200, 50))
def test_random_problems(first: int) -> None:
    """The masses of random problems sum to 1, leaves among them, and no output comes twice."""
    for seed in range(first, first + 50):
        problem = random_problem(seed)
        found = brute(problem.model, problem.prompt_ids, problem.space)
        total = found.finished + found.truncated + found.excluded + found.unnamed
        assert total == pytest.approx(1.0, abs=1e-12)
        leaves = math.fsum(math.exp(leaf.logprob) for leaf in found.leaves)
        assert leaves == pytest.approx(found.finished + found.truncated, abs=1e-12)
        assert len({output.token_ids for output in found.outputs}) == len(found.outputs)
        scores = [output.score for output in found.outputs]
        assert all(a >= b for a, b in itertools.pairwise(scores))


def test_random_problems_reproduce() -> None:
    """The problem of a seed is the same each time."""
    assert random_problem(3).space == random_problem(3).space
    one, two = (brute(p.model, p.prompt_ids, p.space) for p in map(random_problem, (3, 3)))
    assert one == two
