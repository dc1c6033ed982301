"""True certificates are verified, and each kind of lie is refuted by its own claim."""

from __future__ import annotations

import ast
import inspect
import math
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
import pytest

import logpr
from logpr._values import Certificate, Constraint, ModelProvenance, Verification
from logpr.decoding import recount
from logpr.decoding.objective import Objective
from logpr.decoding.space import Space
from logpr.decoding.verifier import verify
from logpr.errors import ModelOutputError, QueryError
from logpr.models.base import NO_EVIDENCE, EdgeScores, Evidence, Glimpses
from logpr.models.table import TableModel
from logpr.tokens.pack import Pack
from logpr.tokens.tokenizer import WordTokenizer
from tests.decoding.brute import Brute, Output
from tests.decoding.certificates import (
    certificate_of,
    largest_longer,
    problem_of,
    scores_apart,
    searched,
)
from tests.decoding.tables import Problem, finite_set

SEEDS = range(70)
A, B, E, F = range(4)

MODEL = TableModel.from_dict(
    {
        "tokens": ["A", "B", "E", "F"],
        "end": ["E", "F"],
        "kind": "probs",
        "order": 1,
        "rows": {
            "": [0.5, 0.2, 0.1, 0.2],
            "A": [0.1, 0.6, 0.3, 0.0],
            "B": [0.1, 0.2, 0.3, 0.4],
        },
        "default": [0.25, 0.25, 0.25, 0.25],
    }
)
PROBLEM = Problem(MODEL, (), Space(end="stop", end_ids=(E, F), min_tokens=0, max_tokens=3))
BEST = (A, B)
"""0.5 · 0.6 · 0.7 = 0.21, after the empty output's 0.3."""


@lru_cache
def solved(seed: int) -> tuple[Problem, Brute]:
    """Return a random problem and what the reference says of it."""
    problem = problem_of(seed)
    return problem, searched(problem)


def claims_of(found: Verification) -> dict[str, bool | None]:
    """Return whether each claim holds."""
    assert len({claim.id for claim in found.claims}) == len(found.claims)
    assert all(claim.detail for claim in found.claims)
    return {claim.id: claim.holds for claim in found.claims}


def check(problem: Problem, certificate: Certificate, **options: Any) -> Verification:  # noqa: ANN401
    """Return a certificate looked at again."""
    return verify(certificate, model=problem.model, **options)


def refuted(found: Verification) -> set[str]:
    """Return the claims that do not hold."""
    assert found.verified is False
    return {name for name, holds in claims_of(found).items() if holds is False}


def example(**fields: Any) -> Certificate:  # noqa: ANN401
    """Return the true certificate of the example, some of its fields changed."""
    return certificate_of(PROBLEM, searched(PROBLEM), **fields)


# truths


@pytest.mark.parametrize("seed", SEEDS)
def test_true_certificates_hold(seed: int) -> None:
    """What the reference found is verified: optimal, within a tolerance, with a gap, infeasible."""
    problem, found = solved(seed)
    optimal = check(problem, certificate_of(problem, found))
    assert optimal.verified is True, optimal
    assert optimal.counterexample is None
    possible = [output for output in found.outputs if output.score > -math.inf]
    if possible:
        worse, upper = possible[len(possible) // 2], possible[0].score + 0.01
        for tolerance in (0.0, 1e9):
            certificate = certificate_of(
                problem, found, worse, upper=upper, tolerance=tolerance, largest_open=upper
            )
            assert certificate.status == ("gap" if tolerance == 0.0 else "optimal_within")
            assert check(problem, certificate).verified is True


@pytest.mark.parametrize("seed", SEEDS)
def test_true_thresholds_hold(seed: int) -> None:
    """All outputs above a threshold are verified with their list; without it that is not settled.

    Where none is above it, nothing has to be listed.
    """
    problem, found = solved(seed)
    problem = replace(problem, space=replace(problem.space, objective=Objective(), bias=()))
    found = searched(problem)
    place = min(4, len(found.outputs) - 1)
    threshold = math.exp(found.outputs[place].logprob) * 0.999 if found.outputs else 0.01
    certificate = certificate_of(problem, found, threshold=threshold)
    listed = [one.token_ids for one in found.outputs if one.logprob >= math.log(threshold)]
    assert check(problem, certificate, outputs=listed).verified is True
    alone = check(problem, certificate)
    assert alone.verified is (True if len(listed) < 2 else None)
    none = certificate_of(problem, found, threshold=1.0 - 1e-6)
    if none.token_ids is None:
        assert none.status == "infeasible"
        assert check(problem, none).verified is True


def test_few_beginnings_are_looked_at() -> None:
    """Under plain log Pr at most (max_new_tokens + 1) / Pr beginnings are looked at."""
    looked = 0
    for seed in SEEDS:
        problem, found = solved(seed)
        best = found.best
        if best is not None and problem.space.objective.is_plain and not problem.space.bias:
            expansions = check(problem, certificate_of(problem, found)).expansions
            assert expansions <= (problem.space.max_tokens + 1) / math.exp(best.score)
            looked += expansions
    assert looked > 100


# lies about the best


@pytest.mark.parametrize("seed", SEEDS)
def test_a_better_output_is_found(seed: int) -> None:
    """An output that is not the best is no optimum, and the counterexample is a better one."""
    problem, found = solved(seed)
    if not scores_apart(found.outputs):
        found = replace(found, outputs=found.outputs[:1])
        lie = None
    else:
        lie = found.outputs[1]
    if lie is None or lie.score == -math.inf:
        return
    for upper in (lie.score, (lie.score + found.outputs[0].score) / 2):
        said = check(problem, certificate_of(problem, found, lie, upper=upper))
        assert refuted(said) == {"bound"}
        better = said.counterexample
        assert better is not None
        truth = {one.token_ids: one for one in found.outputs}[better.token_ids]
        assert better.score == pytest.approx(truth.score, abs=1e-12)
        assert better.logprob == pytest.approx(truth.logprob, abs=1e-12)
        assert better.score > upper
        assert better.logprob == math.fsum([*better.token_logprobs, better.end_logprob or 0.0])


def test_most_random_problems_can_be_lied_about() -> None:
    """The test before this one looked at lies, and not at problems that allow none."""
    assert sum(scores_apart(solved(seed)[1].outputs) for seed in SEEDS) > len(SEEDS) // 2


@pytest.mark.parametrize("seed", range(0, 70, 4))
def test_infeasible_is_refuted_by_an_output(seed: int) -> None:
    """Where there is an output, nothing is infeasible."""
    problem, found = solved(seed)
    empty = certificate_of(problem, replace(found, outputs=[]))
    assert empty.status == "infeasible"
    said = check(problem, empty)
    possible = {one.token_ids for one in found.outputs if one.score > -math.inf}
    assert said.verified is not bool(possible)
    if possible:
        assert refuted(said) == {"bound"}
        assert said.counterexample is not None
        assert said.counterexample.token_ids in possible


def test_another_output_has_another_score() -> None:
    """The score of the best belongs to no other output."""
    for tokens in ((B,), (A,), (A, B, B)):
        assert refuted(check(PROBLEM, example(token_ids=tokens))) == {"score"}


@pytest.mark.parametrize(
    "fields",
    [
        {"objective": "per_token"},
        {"objective": "length_penalty(0.6)"},
        {"bias": ((A, -0.5),)},
        {"end_ids": (E,)},
        {"min_new_tokens": 1, "min_length": "renormalise"},
        {"prompt_ids": (B,)},
    ],
    ids=lambda fields: next(iter(fields)),
)
def test_the_score_is_that_of_the_fields(fields: dict[str, Any]) -> None:
    """A certificate whose fields say another objective, bias, END or prompt has a wrong score."""
    best = next(one for one in searched(PROBLEM).outputs if one.token_ids == BEST)
    certificate = example(best=best, upper=0.0, status="gap", gap=-best.score)
    assert check(PROBLEM, certificate).verified is True
    assert "score" in refuted(check(PROBLEM, replace(certificate, **fields)))


def test_scores_may_be_off_by_epsilon() -> None:
    """A score that is off by less than the certificate's own noise holds, and by more does not."""
    true = example()
    off = replace(true, lower=true.lower + 1e-5, upper=true.upper + 1e-5)
    assert check(PROBLEM, replace(off, epsilon=2e-5)).verified is True
    assert refuted(check(PROBLEM, replace(off, epsilon=5e-6))) == {"score"}


@pytest.mark.parametrize(
    ("tokens", "fields", "detail"),
    [
        ((A, B, B, B), {}, "has 4 tokens, and outputs have 0 to 3"),
        ((A,), {"min_new_tokens": 2}, "has 1 tokens, and outputs have 2 to 3"),
        ((A,), {"end": "open", "end_ids": ()}, "outputs have 3 to 3"),
        ((A, E), {}, "holds 2, an end token"),
        ((A, 4), {}, "holds 4, no token of the model"),
        ((A, -1), {}, "holds -1, no token of the model"),
        ((B,), {"constraint": ((A,), (B, B))}, "the constraint does not allow it"),
        ((A, A), {"constraint": ((A,), (B, B))}, "the constraint does not allow it"),
        ((B,), {"constraint": ()}, "the constraint does not allow it"),
    ],
)
def test_what_is_no_output(tokens: tuple[int, ...], fields: dict[str, Any], detail: str) -> None:
    """A sequence that is no output is refuted by the claim about it, with the reason."""
    sequences = fields.pop("constraint", None)
    if sequences is not None:
        fields = {**fields, "constraint": Constraint(kind="choice_ids", sequences=sequences)}
    said = check(PROBLEM, example(token_ids=tokens, **fields))
    assert "output" in refuted(said)
    assert detail in next(claim.detail for claim in said.claims if claim.id == "output")


def test_a_better_output_outside_the_constraint_is_none() -> None:
    """Only outputs that the constraint allows refute a bound."""
    space = replace(PROBLEM.space, constraint=finite_set([(B,), (A, A), (A, B, A)]))
    problem = replace(PROBLEM, space=space)
    certificate = certificate_of(problem, searched(problem))
    assert certificate.token_ids == (B,)
    assert check(problem, certificate).verified is True
    assert refuted(check(problem, replace(certificate, constraint=None))) == {"bound"}


# lies about numbers


@pytest.mark.parametrize(
    "fields",
    [
        {"status": "gap"},
        {"status": "optimal_within"},
        {"status": "infeasible"},
        {"gap": 0.1},
        {"upper": -1.0},
        {"upper": -1.0, "gap": 1.203972804325936},
        {"upper": -1.0, "gap": 0.203972804325936, "status": "optimal"},
        {"upper": -1.0, "gap": 0.203972804325936, "status": "optimal_within"},
        {"upper": -1.0, "gap": 0.203972804325936, "status": "gap", "tolerance": 0.5},
        {"upper": -2.0, "gap": 0.0},
        {"largest_open": -1.0},
        {"largest_dropped": -1.0},
        {"epsilon": -1e-9},
        {"tolerance": math.nan},
    ],
    ids=str,
)
def test_arithmetic(fields: dict[str, Any]) -> None:
    """A gap, a status or a bound that does not follow from the others is refuted."""
    true = example()
    assert true.lower == pytest.approx(-1.203972804325936, abs=1e-15)
    assert check(PROBLEM, true).verified is True
    assert "arithmetic" in refuted(check(PROBLEM, replace(true, **fields)))


def test_arithmetic_of_nothing() -> None:
    """No output with nothing above is infeasible, and with something above it a gap."""
    none = {"token_ids": None, "lower": -math.inf}
    known = {"upper": -0.5, "gap": math.inf, "status": "gap"}
    assert check(PROBLEM, example(**none, **known)).verified is True
    wrong = example(**none, **known | {"status": "infeasible"})
    assert refuted(check(PROBLEM, wrong)) == {"arithmetic"}


@pytest.mark.parametrize(
    ("part", "change", "detail"),
    [
        ("finished", 1e-6, "the sum is 1.000001"),
        ("truncated", -1e-6, "the sum is 0.999999"),
        ("open", -0.25, "open is -0.25"),
        ("pruned", math.nan, "pruned is nan"),
    ],
)
def test_ledger(part: str, change: float, detail: str) -> None:
    """Masses that are negative or do not sum to 1 are refuted."""
    true = example()
    mass = replace(true.mass, **{part: getattr(true.mass, part) + change})
    said = check(PROBLEM, replace(true, mass=mass))
    assert refuted(said) == {"ledger"}
    assert detail in next(claim.detail for claim in said.claims if claim.id == "ledger")
    noisy = check(PROBLEM, replace(true, mass=mass, epsilon=2e-6))
    assert claims_of(noisy)["ledger"] is (abs(change) == 1e-6)
    quieter = check(PROBLEM, replace(true, mass=mass, epsilon=5e-7))
    assert refuted(quieter) == {"ledger"}


# lies about the rest


def test_longer_outputs() -> None:
    """That longer outputs are beaten too is held against the beginnings that go on."""
    told: dict[bool, int] = {True: 0, False: 0}
    for seed in SEEDS:
        problem, found = solved(seed)
        best = found.best
        space = replace(problem.space, objective=Objective())
        if space.end == "open" or best is None or not scores_apart(found.outputs):
            continue
        problem = replace(problem, space=space)
        found = searched(problem)
        truth = largest_longer(problem, found) <= found.outputs[0].score
        said = check(problem, certificate_of(problem, found, any_length=True))
        assert claims_of(said)["any_length"] is truth
        assert said.verified is truth
        told[truth] += 1
    assert min(told.values()) >= 3


def test_longer_outputs_under_a_penalty() -> None:
    """Where a longer output is divided by more, its score is not bounded, and nothing settled."""
    space = replace(PROBLEM.space, objective=Objective("per_token", 1.0))
    problem = replace(PROBLEM, space=space)
    said = check(problem, certificate_of(problem, searched(problem), any_length=True))
    assert said.verified is None
    assert [name for name, holds in claims_of(said).items() if holds is None] == ["any_length"]


def threshold_example() -> tuple[Certificate, list[tuple[int, ...]]]:
    """Return the example's certificate for 0.1 and the outputs with at least that."""
    found = searched(PROBLEM)
    listed = [one.token_ids for one in found.outputs if one.logprob >= math.log(0.1)]
    assert listed == [(), (A, B), (A,), (B,)]
    return example(threshold=0.1), listed


def test_a_missing_output_is_found() -> None:
    """An output above the threshold that is not listed is the counterexample."""
    certificate, listed = threshold_example()
    for lost in listed[1:]:
        said = check(PROBLEM, certificate, outputs=[one for one in listed if one != lost])
        assert refuted(said) == {"bound"}
        assert said.counterexample is not None
        assert said.counterexample.token_ids == lost
    # A certificate that is open about what may be missing is true again.
    upper = math.log(0.25)
    gap: dict[str, Any] = {"upper": upper, "gap": upper - math.log(0.1), "status": "gap"}
    assert check(PROBLEM, replace(certificate, **gap), outputs=[()]).verified is True


@pytest.mark.parametrize(
    ("listed", "detail"),
    [
        ([(), (A, B), (A,), (B,), (B,)], "an output is listed twice"),
        ([(), (A, B), (A,), (B,), (A, B, B)], "(0, 1, 1): it has -3.17"),
        ([(), (A, B), (A,), (B,), (A, E)], "(0, 2): it holds 2, an end token"),
        ([(A, B), (A,), (B,)], "(), the best one, is not listed"),
    ],
)
def test_lists(listed: Sequence[tuple[int, ...]], detail: str) -> None:
    """A list holds each output with at least the threshold once, and nothing else."""
    said = check(PROBLEM, threshold_example()[0], outputs=listed)
    assert "list" in refuted(said)
    assert detail in next(claim.detail for claim in said.claims if claim.id == "list")


def test_a_threshold_says_its_logarithm() -> None:
    """Under a threshold `lower` is its logarithm, and the best output has at least that."""
    certificate, listed = threshold_example()
    other = math.log(0.12)
    wrong = replace(certificate, lower=other, upper=other)
    assert "score" in refuted(check(PROBLEM, wrong, outputs=listed))
    low = replace(certificate, token_ids=(A, B, B))
    assert "score" in refuted(check(PROBLEM, low, outputs=[*listed, (A, B, B)]))


# what cannot be settled


def test_budget() -> None:
    """Within too small a budget nothing is refuted, and the bound is not settled."""
    problem = replace(PROBLEM, space=replace(PROBLEM.space, min_tokens=2))
    wide = certificate_of(problem, searched(problem))
    need = check(problem, wide).expansions
    assert need >= 3
    for budget in range(1, need):
        said = check(problem, wide, budget=f"{budget} nodes")
        assert said.verified is None
        assert said.expansions == budget
        assert [name for name, holds in claims_of(said).items() if holds is None] == ["bound"]
    assert check(problem, wide, budget=f"{need} nodes").verified is True
    with pytest.raises(QueryError, match="10000 nodes"):
        check(PROBLEM, wide, budget="soon")


class TopOnly:
    """A model that scores what it is given, and shows its best tokens alone."""

    context_length = 100
    vocab_size = 4
    end_ids = (E, F)
    tokenizer: WordTokenizer | None = None

    def __init__(self, *, silent: bool = False) -> None:
        self._silent = silent

    @property
    def provenance(self) -> ModelProvenance:
        """What it is."""
        return MODEL.provenance

    def edges(self, pack: Pack, *, evidence: Evidence = NO_EVIDENCE) -> EdgeScores:
        """Return the table's log-probabilities."""
        if self._silent:
            msg = "this server scores no prompts"
            raise ModelOutputError(msg)
        return MODEL.edges(pack, evidence=evidence)

    def next_top(self, prefixes: Sequence[Sequence[int]]) -> Glimpses:
        """Return the best token after each prefix."""
        rows = MODEL.next_logits(prefixes).logprobs
        best = rows.argmax(axis=1)[:, None]
        return Glimpses(best.astype(np.int64), np.take_along_axis(rows, best, axis=1))


def test_models_that_show_the_best_tokens_alone() -> None:
    """What a model does not show is not bounded; the rest is looked at all the same."""
    said = verify(example(), model=TopOnly())
    assert said.verified is None
    assert claims_of(said) == {
        "output": True,
        "score": True,
        "arithmetic": True,
        "ledger": True,
        "epsilon": True,
        "bound": None,
    }
    assert refuted(verify(example(token_ids=(B,)), model=TopOnly())) == {"score"}
    assert claims_of(verify(example(), model=TopOnly(silent=True)))["score"] is None


def test_a_bias_above_0_bounds_nothing() -> None:
    """A certificate with a bias above 0 is not proven by any search."""
    said = check(PROBLEM, example(bias=((B, 0.5),)))
    assert "bound" in refuted(said)


@pytest.mark.usefixtures("unchecked")
def test_no_model() -> None:
    """Without a model there is nothing to hold a certificate against."""
    with pytest.raises(QueryError, match=r"logpr\.load"):
        verify(example(), model=None)  # type: ignore[arg-type]


def test_the_verifier_knows_nothing_of_the_search() -> None:
    """Of the rooms of decoding the verifier takes formulas, constraints and the clock alone."""
    known = {"automaton", "constraints", "limits", "objective", "recount"}
    module = inspect.getmodule(verify)
    assert module is not None
    for room in (module, recount):
        tree = ast.parse(inspect.getsource(room))
        imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        inside = [name for name in imported if name and name.startswith("logpr.decoding")]
        rooms = {name.split(".")[2] for name in inside}
        assert rooms <= known


def test_outputs_are_unchanged() -> None:
    """The example's best output is what its docstring says."""
    found = searched(PROBLEM)
    assert [one.token_ids for one in found.outputs[:2]] == [(), BEST]
    assert isinstance(found.best, Output)
    assert math.exp(found.outputs[1].logprob) == pytest.approx(0.21)


@pytest.mark.parametrize(
    ("lie", "said"),
    [
        ({"max_new_tokens": 10**12}, "max_new_tokens"),
        ({"bias": ((0, math.nan),)}, "no finite number"),
        ({"bias": ((9999, -1.0),)}, "bias holds 9999"),
        ({"prompt_ids": (9999,)}, "prompt_ids holds 9999"),
        ({"token_ids": (0,) * 5000}, "token_ids are 5000"),
    ],
)
def test_a_certificate_about_something_else_is_refused(lie: dict[str, object], said: str) -> None:
    """What would make its claims hold by being vacuous, or take forever, is an error."""
    lm = logpr.load("builtin")
    found = logpr.decode(
        "Once", model=lm, method="beam", width=2, max_new_tokens=2, compare=False
    ).certificate
    with pytest.raises(QueryError, match=said):
        verify(replace(found, **lie), model=lm)  # type: ignore[arg-type]


def test_a_large_epsilon_hides_nothing() -> None:
    """It is held against the model's own noise; an infinite part of the ledger is no part."""
    problem = problem_of(3)
    proof = certificate_of(problem, searched(problem))
    assert verify(proof, model=problem.model).verified
    checked = verify(replace(proof, epsilon=5.0), model=problem.model)
    assert [claim.id for claim in checked.claims if claim.holds is False] == ["epsilon"]
    mass = replace(proof.mass, open=math.inf)
    checked = verify(replace(proof, mass=mass), model=problem.model)
    assert [claim.id for claim in checked.claims if claim.holds is False] == ["ledger"]
