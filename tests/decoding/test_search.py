"""Exact search against every output of hundreds of random problems, one by one."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from logpr._values import Certificate, Constraint, Moment
from logpr.decoding.certify import Findings, Work, certify
from logpr.decoding.finished import Output
from logpr.decoding.limits import Budget, Clock
from logpr.decoding.search import Room, Search
from logpr.decoding.verifier import verify
from logpr.models._prefix_steps import PrefixSteps
from tests.decoding.brute import Brute, brute
from tests.decoding.certificates import sequences_of
from tests.decoding.tables import Arrows, Problem, random_problem

TIGHT = 1e-9
ALL = Room(records=10**6, rows=64, outputs=10**6)


def searched(problem: Problem, **options: object) -> tuple[Search, list[Moment]]:
    """Return a search that has run, and where it was after each batch."""
    moments: list[Moment] = []
    given: dict[str, object] = {"room": ALL, "clock": Clock(Budget()), "width": 3}
    search = Search(
        PrefixSteps(problem.model, problem.prompt_ids),
        problem.space,
        report=moments.append,
        **(given | options),  # type: ignore[arg-type]
    )
    search.run()
    return search, moments


def certificate(problem: Problem, search: Search, *, count: int = 1) -> Certificate:
    """Return what a search proves, as `decode` would."""
    return certify(
        problem.space,
        Findings(
            outputs=tuple(search.finished.outputs),
            ledger=search.ledger,
            largest_open=search.largest_open,
            largest_dropped=search.tally.largest_dropped,
            largest_truncated=search.tally.largest_truncated,
            rival_mass=search.rival_mass(search.lower),
            expansions=search.expansions,
            stopped="finished",
            work=Work(0, 0, 0),
        ),
        prompt_ids=problem.prompt_ids,
        constraint=constraint_of(problem),
        threshold=None,
        tolerance=0.0,
        epsilon=0.0,
        count=count,
    )


def constraint_of(problem: Problem) -> Constraint | None:
    """Return the constraint as a caller would have given it; None for automata made by hand."""
    automaton = problem.space.constraint
    if isinstance(automaton, Arrows) and automaton.sequences:
        return Constraint(kind="choice_ids", sequences=sequences_of(problem))
    return None


def check_verified(problem: Problem, proof: Certificate) -> None:
    """Assert that the verifier, which shares nothing with the search, finds no false claim."""
    if problem.space.constraint is None or proof.constraint is not None:
        checked = verify(proof, model=problem.model)
        assert checked.verified is not False, (problem.space, checked)
        assert checked.verified, checked


def truth(problem: Problem) -> tuple[Brute, list[float]]:
    """Return all outputs, and the scores of those that have one, best first."""
    found = brute(problem.model, problem.prompt_ids, problem.space)
    return found, [one.score for one in found.outputs if one.score > -math.inf]


def check_sound(proof: Certificate, moments: list[Moment], scores: list[float]) -> None:
    """Assert that nothing a search says is contradicted by the list of all outputs."""
    best = scores[0] if scores else -math.inf
    for moment in moments:
        assert moment.lower <= best + TIGHT
        assert moment.upper >= best - TIGHT
    assert proof.lower <= best + TIGHT
    assert proof.upper >= best - TIGHT
    assert proof.gap == pytest.approx(max(proof.upper - proof.lower, 0.0), abs=TIGHT) or (
        proof.upper == proof.lower
    )
    assert proof.mass.total == pytest.approx(1.0, abs=TIGHT)
    if proof.status == "optimal":
        assert proof.lower == pytest.approx(best, abs=TIGHT)
    if proof.status == "infeasible":
        assert not scores
    if proof.at_most_better is not None:
        better = sum(score > proof.lower + TIGHT for score in scores)
        assert better <= proof.at_most_better + TIGHT


@pytest.mark.parametrize("block", range(10))
def test_the_optimum_is_found_and_certified(block: int) -> None:
    """600 problems: the optimum, proven, its bound never below it, verified by other code."""
    for seed in range(60 * block, 60 * (block + 1)):
        problem = random_problem(seed)
        _, scores = truth(problem)
        search, moments = searched(problem)
        proof = certificate(problem, search)
        check_sound(proof, moments, scores)
        assert proof.status == ("optimal" if scores else "infeasible"), seed
        uppers = [moment.upper for moment in moments]
        assert all(after <= before + TIGHT for before, after in zip(uppers, uppers[1:]))  # noqa: B905, RUF007
        check_verified(problem, proof)


@pytest.mark.parametrize("block", range(4))
def test_n_best_are_the_first_n(block: int) -> None:
    """They are the first n of all outputs, each proven."""
    for seed in range(1000 + 25 * block, 1000 + 25 * (block + 1)):
        problem = random_problem(seed)
        _, scores = truth(problem)
        count = 1 + seed % 7
        search, _ = searched(problem, count=count)
        found = [output.score for output in search.finished.outputs[:count]]
        assert found == pytest.approx(scores[:count], abs=TIGHT), seed
        proof = certificate(problem, search, count=count)
        assert proof.nbest_proven == len(found)


def test_every_output_is_counted_when_all_are_asked_for() -> None:
    """Each part of the ledger is what counting all outputs gives."""
    for seed in range(2000, 2100):
        problem = random_problem(seed)
        found, scores = truth(problem)
        search, _ = searched(problem, count=10**6)
        ledger = search.ledger
        assert len(search.finished.outputs) == len(scores)
        assert ledger.finished == pytest.approx(found.finished, abs=TIGHT), seed
        assert ledger.truncated == pytest.approx(found.truncated, abs=TIGHT), seed
        assert ledger.excluded == pytest.approx(found.excluded, abs=TIGHT), seed
        assert ledger.unnamed == pytest.approx(found.unnamed, abs=TIGHT), seed
        assert ledger.open == 0.0


def test_every_output_from_a_threshold_on_is_found() -> None:
    """None is missing, and none is below it."""
    for seed in range(3000, 3100):
        problem = random_problem(seed)
        found, _ = truth(problem)
        if problem.space.objective.kind != "logprob" or problem.space.bias:
            continue
        least = math.log(0.02)
        search, _ = searched(problem, least=least)
        wanted = sorted(one.token_ids for one in found.outputs if one.logprob >= least)
        have = sorted(one.token_ids for one in search.finished.outputs if one.score >= least)
        assert have == wanted, seed
        assert search.largest_open == -math.inf


@pytest.mark.parametrize("block", range(4))
def test_dropped_beginnings_leave_no_false_certificate(block: int) -> None:
    """Room for two beginnings: the gap is honest, and nothing is lost."""
    dropped = gaps = 0
    for seed in range(4000 + 40 * block, 4000 + 40 * (block + 1)):
        problem = random_problem(seed)
        _, scores = truth(problem)
        search, moments = searched(
            problem, room=Room(records=2, rows=1, outputs=10), width=1 + seed % 2
        )
        proof = certificate(problem, search)
        check_sound(proof, moments, scores)
        check_verified(problem, proof)
        dropped += search.tally.dropped > 0.0
        gaps += proof.status == "gap"
    assert dropped > 5
    assert gaps > 0


@settings(deadline=None)
@given(seed=st.integers(0, 10**6), expansions=st.integers(0, 30), width=st.integers(1, 4))
def test_stopped_anywhere_it_has_a_sound_answer(seed: int, expansions: int, width: int) -> None:
    """After any number of expansions the bounds hold and the ledger is 1."""
    problem = random_problem(seed)
    _, scores = truth(problem)
    search, moments = searched(
        problem, clock=Clock(Budget(expansions=expansions)), width=width,
        room=Room(records=10**6, rows=3),
    )  # fmt: skip
    assert search.expansions <= max(expansions, 1)
    proof = certificate(problem, search)
    check_sound(proof, moments, scores)
    check_verified(problem, proof)


def test_any_length_is_claimed_only_where_longer_outputs_lose() -> None:
    """Outputs of one token more never beat such a claim."""
    claimed = 0
    for seed in range(5000, 5200):
        problem = random_problem(seed)
        space = problem.space
        if not space.ended or space.max_tokens < 2:
            continue
        short = replace(problem, space=replace(
            space, max_tokens=space.max_tokens - 1,
            min_tokens=min(space.min_tokens, space.max_tokens - 1),
        ))  # fmt: skip
        search, _ = searched(short)
        proof = certificate(short, search)
        _, scores = truth(problem)
        if proof.any_length and short.space.min_tokens == space.min_tokens and scores:
            claimed += 1
            assert scores[0] <= proof.lower + TIGHT, seed
    assert claimed > 10


def test_seeds_are_to_be_beaten_and_never_lost() -> None:
    """A search that is told the best output proves it, and lists it once."""
    for seed in range(6000, 6040):
        problem = random_problem(seed)
        found, scores = truth(problem)
        if not scores:
            continue
        best = next(one for one in found.outputs if one.score == scores[0])
        search = Search(
            PrefixSteps(problem.model, problem.prompt_ids),
            problem.space,
            room=ALL,
            clock=Clock(Budget()),
        )
        known = Output(best.token_ids, best.logprob, best.logprob, best.score, None)
        assert search.run([known]) == "finished"
        assert search.lower == pytest.approx(scores[0], abs=TIGHT)
        assert len({one.token_ids for one in search.finished.outputs}) == len(
            search.finished.outputs
        )


def test_a_tolerance_stops_early_and_is_kept() -> None:
    """The answer is within it, and some searches stop before they are done."""
    early = 0
    for seed in range(7000, 7080):
        problem = random_problem(seed)
        _, scores = truth(problem)
        moments: list[Moment] = []
        search = Search(
            PrefixSteps(problem.model, problem.prompt_ids),
            problem.space,
            tolerance=0.5,
            width=1,
            room=Room(records=10**6, rows=1),
            clock=Clock(Budget()),
            report=moments.append,
        )
        early += search.run() == "tolerance"
        if scores:
            assert search.upper - search.lower <= 0.5 + TIGHT
            assert search.lower >= scores[0] - 0.5 - TIGHT
    assert early > 5


def test_a_slack_keeps_what_arithmetic_cannot_tell_apart() -> None:
    """Every output so close to the best one is found."""
    for seed in range(8000, 8040):
        problem = random_problem(seed)
        _, scores = truth(problem)
        search, _ = searched(problem, slack=0.1)
        close = [score for score in scores if score > scores[0] - 0.1 + TIGHT]
        found = [one.score for one in search.finished.outputs]
        assert found[: len(close)] == pytest.approx(close, abs=TIGHT), seed


def test_the_ledger_notices_what_is_lost() -> None:
    """The sum is of what is there, so a beginning that vanished is missed."""
    problem = random_problem(2)
    search, _ = searched(problem, clock=Clock(Budget(expansions=1)))
    frontier = search._frontier
    assert search.ledger.total == pytest.approx(1.0, abs=TIGHT)
    lost = math.exp(frontier.take(np.array([0])).logprobs[0])
    assert lost > 0.1
    assert search.ledger.total == pytest.approx(1.0 - lost, abs=TIGHT)
