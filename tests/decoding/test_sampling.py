"""Draws come with the probability they were drawn by, and as often as it says."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import stats

from logpr.decoding import descent, sampling
from logpr.decoding.proposal import Proposal
from logpr.decoding.sampling import Draw, Draws, sample, sample_without_replacement
from logpr.decoding.space import Space
from logpr.errors import QueryError
from logpr.models.table import TableModel
from tests.decoding.brute import brute, step_logprobs
from tests.decoding.plain_stepper import PlainStepper
from tests.decoding.tables import Problem, finite_set, random_problem, random_space, random_table

Leaf = tuple[tuple[int, ...], bool]
SEEDS = range(40)


def small(seed: int) -> Problem:
    """Return a problem of a few dozen outputs that has leaves."""
    rng = np.random.default_rng(seed)
    model = random_table(rng, vocab=3, length=2, order=2, ends=1, zeros=seed % 3 == 0)
    space = random_space(rng, model, most_outputs=12)
    return Problem(model, (0,), replace(space, constraint=None, min_tokens=0))


def drawn(problem: Problem, count: int, seed: int = 0, **options: Any) -> Draws:  # noqa: ANN401 - numbers of several types
    """Return draws, having seen that no node is left behind."""
    stepper = PlainStepper(problem.model, problem.prompt_ids)
    found = sample(stepper, problem.space, count=count, seed=seed, **options)
    assert stepper.held == 0
    return found


def distinct(problem: Problem, count: int, seed: int = 0, **options: Any) -> Draws:  # noqa: ANN401 - numbers of several types
    """Return draws without replacement, having seen that no node is left behind."""
    stepper = PlainStepper(problem.model, problem.prompt_ids)
    found = sample_without_replacement(stepper, problem.space, count=count, seed=seed, **options)
    assert stepper.held == 0
    return found


def leaf_of(draw: Draw) -> Leaf:
    """Return what tells a leaf from others."""
    return draw.token_ids, draw.finished


def truth(problem: Problem) -> dict[Leaf, float]:
    """Return the probability of every leaf, given that nothing else may come."""
    found = brute(problem.model, problem.prompt_ids, problem.space).leaves
    return {(leaf.token_ids, leaf.finished): math.exp(leaf.logprob) for leaf in found}


def chance_of(counts: Mapping[Leaf, int], want: Mapping[Leaf, float]) -> float:
    """Return the p-value of counts, rare leaves taken together."""
    assert set(counts) <= set(want)
    total = sum(counts.values())
    often = [leaf for leaf, prob in want.items() if prob * total >= 5]
    seen = [counts.get(leaf, 0) for leaf in often]
    expected = [want[leaf] * total for leaf in often]
    if len(often) < len(want):
        seen.append(total - sum(seen))
        expected.append(total - math.fsum(expected))
    return float(stats.chisquare(seen, expected, sum_check=False).pvalue) if len(seen) > 1 else 1.0


def counted(draws: Iterable[Draw]) -> Counter[Leaf]:
    """Return how often each leaf came."""
    return Counter(map(leaf_of, draws))


# with replacement


@pytest.mark.parametrize("seed", range(8))
def test_draws_are_distributed_as_the_model(seed: int) -> None:
    """Every leaf comes as often as its probability says."""
    problem = small(seed)
    assert chance_of(counted(drawn(problem, 5000).outputs), truth(problem)) > 1e-3


def test_another_distribution_is_told_apart() -> None:
    """The test of the distribution can fail: at another temperature it does."""
    problem = small(1)
    counts = counted(drawn(problem, 5000, temperature=1.5).outputs)
    assert chance_of(counts, truth(problem)) < 1e-6


@pytest.mark.parametrize("seed", SEEDS)
def test_draws_carry_their_log_probabilities(seed: int) -> None:
    """Terms and totals under the model are those of the reference, whatever q is."""
    problem = random_problem(seed)
    options: dict[str, Any] = {"temperature": 0.7, "top_k": 3, "top_p": 0.95}
    for found in (drawn(problem, 7, **options), distinct(problem, 7, **options)):
        for draw in found.outputs:
            check(problem, draw)


def check(problem: Problem, draw: Draw) -> None:
    """Hold a draw's numbers under the model against the reference."""
    space = problem.space
    outputs = {o.token_ids: o for o in brute(problem.model, problem.prompt_ids, space).outputs}
    terms, end = step_logprobs(problem.model, problem.prompt_ids, space, draw.token_ids)
    assert draw.token_logprobs == pytest.approx(terms, abs=1e-12)
    assert draw.proposal_logprob <= 1e-12
    if space.ended and draw.finished:
        assert draw.end_logprob == pytest.approx(end, abs=1e-12)
    else:
        assert draw.end_logprob is None
    if draw.finished:
        assert draw.logprob == pytest.approx(outputs[draw.token_ids].logprob, abs=1e-11)
    else:
        assert draw.logprob == pytest.approx(math.fsum(terms), abs=1e-11)


@pytest.mark.parametrize("seed", SEEDS)
def test_log_q_is_the_probability_of_the_leaf(seed: int) -> None:
    """Without a temperature log q is log Pr of the leaf, where all that is there is allowed."""
    problem = random_problem(seed, missing=False)
    space = replace(problem.space, constraint=None, min_tokens=0)
    problem = replace(problem, space=space)
    found = brute(problem.model, problem.prompt_ids, space)
    want = {(leaf.token_ids, leaf.finished): leaf.logprob for leaf in found.leaves}
    for draw in (*drawn(problem, 9).outputs, *distinct(problem, 9).outputs):
        assert draw.proposal_logprob == pytest.approx(want[leaf_of(draw)], abs=1e-11)


@pytest.mark.parametrize("method", [drawn, distinct])
def test_log_q_by_hand(method: Callable[..., Draws]) -> None:
    """Under temperature, top-k, top-p and a constraint, log q is what a hand comes to."""
    model = TableModel.from_dict(
        {
            "tokens": ["A", "B", "C", "E", "F"],
            "end": ["E", "F"],
            "kind": "probs",
            "order": 0,
            "rows": {"": [0.4, 0.26, 0.1, 0.1, 0.14]},
        }
    )
    plain = Space(end="stop", end_ids=(3, 4), min_tokens=0, max_tokens=1)

    def steps(space: Space = plain, **options: float | None) -> list[float]:
        found = method(Problem(model, (0,), space), 300, **options)
        q = {leaf_of(draw): math.exp(draw.proposal_logprob) for draw in found.outputs}
        first = [q.get(((k,), True), 0.0) + q.get(((k,), False), 0.0) for k in range(3)]
        return [*first, q.get(((), True), 0.0)]

    # END is one outcome of 0.1 + 0.14.
    assert steps() == pytest.approx([0.4, 0.26, 0.1, 0.24])
    squares = np.array([0.4, 0.26, 0.1, 0.24]) ** 2
    assert steps(temperature=0.5) == pytest.approx(list(squares / squares.sum()))
    assert steps(top_k=2) == pytest.approx([0.4 / 0.66, 0.26 / 0.66, 0.0, 0.0])
    assert steps(top_k=3) == pytest.approx([0.4 / 0.9, 0.26 / 0.9, 0.0, 0.24 / 0.9])
    assert steps(top_p=0.6) == pytest.approx([0.4 / 0.66, 0.26 / 0.66, 0.0, 0.0])
    assert steps(top_p=0.7) == pytest.approx([0.4 / 0.9, 0.26 / 0.9, 0.0, 0.24 / 0.9])
    assert steps(top_p=0.3) == pytest.approx([1.0, 0.0, 0.0, 0.0])
    # Of the two best A has 0.16 / 0.2276 = 0.703 after the temperature: enough by itself.
    assert steps(temperature=0.5, top_k=2, top_p=0.7) == pytest.approx([1.0, 0.0, 0.0, 0.0])
    # What is not allowed is left out before any of them.
    only = replace(plain, constraint=finite_set([(1,), (2,), (2, 2)]))
    assert steps(only) == pytest.approx([0.0, 0.26 / 0.36, 0.1 / 0.36, 0.0])
    assert steps(only, top_k=1) == pytest.approx([0.0, 1.0, 0.0, 0.0])
    long = replace(plain, min_tokens=1)
    assert steps(long) == pytest.approx([0.4 / 0.76, 0.26 / 0.76, 0.1 / 0.76, 0.0])


def test_a_low_temperature_leaves_the_best() -> None:
    """A temperature next to 0 draws the most probable outcome, and no nan."""
    row = np.array([[-800.0, -0.1, -2.4], [-math.inf, -math.inf, -math.inf]])
    for temperature in (1e-3, 1e-300, 1e-308):
        found = np.exp(Proposal(temperature=temperature).logprobs(row))
        assert found.tolist() == [[0.0, 1.0, 0.0], [0.0, 0.0, 0.0]]


def test_of_equal_outcomes_the_first_are_kept() -> None:
    """Top-k keeps k outcomes, of equal ones those with the smaller ids."""
    row = np.log(np.array([[0.2, 0.3, 0.2, 0.3], [0.1, 0.3, 0.3, 0.3]]))
    kept = Proposal(top_k=3).logprobs(row) > -math.inf
    assert kept.tolist() == [[True, True, False, True], [False, True, True, True]]


def test_dead_ends_are_not_finished() -> None:
    """A beginning after which nothing is allowed is a leaf, and no output."""
    model = TableModel.from_dict(
        {
            "tokens": ["A", "B", "E"],
            "end": ["E"],
            "kind": "probs",
            "order": 1,
            "rows": {"": [0.5, 0.5, 0.0], "A": [1.0, 0.0, 0.0], "B": [0.0, 0.5, 0.5]},
        }
    )
    space = Space(end="stop", end_ids=(2,), min_tokens=0, max_tokens=3)
    # The set wants B after A, to which the model gives nothing.
    problem = Problem(model, (), replace(space, constraint=finite_set([(0, 1), (1,)])))
    counts = counted(drawn(problem, 400).outputs)
    assert set(counts) == {((0,), False), ((1,), True)}
    assert stats.binomtest(counts[(0,), False], 400, 0.5).pvalue > 1e-3
    both = distinct(problem, 5)
    assert both.exhausted
    assert set(map(leaf_of, both.outputs)) == set(counts)
    assert all(draw.proposal_logprob == pytest.approx(math.log(0.5)) for draw in both.outputs)


def test_sequences_that_the_constraint_goes_on_with_are_no_outputs() -> None:
    """Under open, what has full length before the constraint is done is never drawn."""
    model = TableModel.from_dict(
        {"tokens": ["A", "B"], "kind": "probs", "order": 0, "rows": {"": [0.5, 0.5]}}
    )
    space = Space(end="open", end_ids=(), min_tokens=2, max_tokens=2)
    problem = Problem(model, (), replace(space, constraint=finite_set([(0, 1, 1), (1, 0)])))
    for found in (drawn(problem, 30), distinct(problem, 3)):
        assert set(counted(found.outputs)) == {((0,), False), ((1, 0), True)}


# without replacement


@pytest.mark.parametrize("seed", SEEDS)
def test_all_leaves_come_once(seed: int) -> None:
    """As many draws as there are leaves return all of them, each once, in the order of the sums."""
    problem = random_problem(seed, most_outputs=300)
    want = truth(problem)
    found = distinct(problem, max(1, len(want)))
    leaves = list(map(leaf_of, found.outputs))
    ended = {leaf for leaf in leaves if leaf in want}
    assert len(set(leaves)) == len(leaves)
    dead = brute_dead_ends(problem, leaves, want)
    assert ended | dead == set(leaves)
    more = distinct(problem, 5000)
    assert set(want) <= set(map(leaf_of, more.outputs))
    assert more.exhausted
    assert more.kappa == -math.inf
    sums = [draw.gumbel or 0.0 for draw in more.outputs]
    assert sums == sorted(sums, reverse=True)
    assert sum(math.exp(draw.proposal_logprob) for draw in more.outputs) == pytest.approx(1.0)


def brute_dead_ends(
    problem: Problem, leaves: Iterable[Leaf], want: Mapping[Leaf, float]
) -> set[Leaf]:
    """Return those of some leaves that are no leaves of the reference: it leaves them out."""
    dead = {leaf for leaf in leaves if leaf not in want}
    assert all(not finished for _, finished in dead)
    assert not dead or problem.space.constraint is not None or problem.space.min_tokens > 0
    return dead


@pytest.mark.parametrize("seed", [1, 2])
def test_the_first_is_a_draw_from_the_model(seed: int) -> None:
    """The first of three draws without replacement is distributed as one draw with it."""
    problem = small(seed)
    counts = counted(distinct(problem, 3, number).outputs[0] for number in range(500))
    assert chance_of(counts, truth(problem)) > 1e-3


def test_the_second_is_a_draw_from_the_rest() -> None:
    """The second comes as often as drawing from what the first left says."""
    problem = small(1)
    want = truth(problem)
    second = {
        leaf: sum(want[first] * want[leaf] / (1.0 - want[first]) for first in want if first != leaf)
        for leaf in want
    }
    counts = counted(distinct(problem, 2, number).outputs[1] for number in range(500))
    assert chance_of(counts, second) > 1e-3


@pytest.mark.parametrize("count", [1, 3])
def test_the_weighted_sum_is_unbiased(count: int) -> None:
    """Draws weighted by the probability of being among them estimate an expectation."""
    problem = small(2)
    want = truth(problem)
    expected = math.fsum(prob * len(tokens) * finished for (tokens, finished), prob in want.items())
    estimates = []
    for seed in range(500):
        found = distinct(problem, count, seed)
        assert found.kappa is not None
        estimates.append(
            math.fsum(
                len(draw.token_ids)
                * draw.finished
                * want[leaf_of(draw)]
                / -math.expm1(-math.exp(draw.proposal_logprob - found.kappa))
                for draw in found.outputs
            )
        )
    error = float(np.std(estimates)) / math.sqrt(len(estimates))
    assert error < 0.1
    assert abs(float(np.mean(estimates)) - expected) < 4.0 * error


@pytest.mark.parametrize("seed", SEEDS)
def test_kappa_is_the_next_sum(seed: int) -> None:
    """While there are more leaves kappa is a number below all sums, and −inf after the last."""
    problem = random_problem(seed, most_outputs=40)
    total = len(distinct(problem, 500).outputs)
    for count in sorted({1, 2, total - 1, total} & set(range(1, total + 1))):
        found = distinct(problem, count, seed)
        assert len(found.outputs) == count
        assert found.kappa is not None
        assert not found.exhausted
        assert (found.kappa == -math.inf) == (count == total)
        assert found.kappa < (found.outputs[-1].gumbel or 0.0)


def test_sums_keep_their_largest_and_their_order() -> None:
    """Given its own sum, a beginning's largest child has it, and far below none is lost."""
    rng = np.random.default_rng(0)
    noisy = rng.normal(size=(6, 40)) * np.array([1, 1, 30, 300, 1, 1])[:, None]
    noisy[0, :5] = -math.inf
    noisy[5] = -math.inf
    above = np.array([-0.3, 40.0, -50.0, -700.0, -1e-12, 1.0])
    found = sampling._sums_below(above, noisy)
    assert not np.isnan(found).any()
    assert np.all(found[:5].max(axis=1) == above[:5])
    assert np.all(found[0, :5] == -math.inf)
    assert np.all(found[5] == -math.inf)
    exact = np.exp(-above[:2, None]) - np.exp(-noisy[:2].max(axis=1))[:, None] + np.exp(-noisy[:2])
    inside = found[:2] < above[:2, None]
    assert found[:2][inside] == pytest.approx(-np.log(exact[inside]), abs=1e-6)
    for row in range(5):
        order = np.argsort(noisy[row], kind="stable")
        assert np.all(np.diff(found[row][order][5:]) >= 0.0)


# both


@pytest.mark.parametrize("method", [drawn, distinct])
def test_seeds_reproduce(method: Callable[..., Draws], monkeypatch: pytest.MonkeyPatch) -> None:
    """A seed draws the same each time, another seed something else."""
    problem = random_problem(5)
    one, two, other = (method(problem, 20, seed) for seed in (3, 3, 4))
    assert one == two
    assert one.outputs != other.outputs
    if method is drawn:  # with replacement, how many beginnings are looked at at once has no part
        monkeypatch.setattr(descent, "ENTRIES", 1)
        assert drawn(problem, 20, 3).outputs == one.outputs


def test_few_at_once_are_distributed_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without replacement the leaves are all there when beginnings are looked at one by one."""
    monkeypatch.setattr(descent, "ENTRIES", 1)
    problem = small(4)
    want = truth(problem)
    assert set(map(leaf_of, distinct(problem, len(want)).outputs)) == set(want)


def test_equal_beginnings_are_looked_at_once() -> None:
    """A thousand draws look at no more beginnings than there are."""
    problem = small(1)
    stepper = PlainStepper(problem.model, problem.prompt_ids)
    found = sample(stepper, problem.space, count=1000, seed=0)
    # The double refuses a path that it has already; here the count, and one call for each level.
    beginnings = {draw.token_ids[:n] for draw in found.outputs for n in range(7)}
    assert found.expansions <= len(beginnings)
    assert stepper.calls <= problem.space.max_tokens + 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"count": 0}, "at least 1, found 0"),
        ({"temperature": 0.0}, "method='greedy'"),
        ({"temperature": math.nan}, "found nan"),
        ({"top_k": 0}, "top_k is at least 1"),
        ({"top_p": 0.0}, "top_p is above 0"),
        ({"top_p": 1.5}, "found 1.5"),
    ],
)
def test_options_out_of_range(options: dict[str, float], message: str) -> None:
    """What draws nothing is refused, with its value and a way out."""
    problem = small(1)
    for method in (sample, sample_without_replacement):
        stepper = PlainStepper(problem.model, problem.prompt_ids)
        with pytest.raises(QueryError, match=message):
            method(stepper, problem.space, **({"count": 1, "seed": 0} | options))  # type: ignore[arg-type]
