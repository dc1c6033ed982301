"""Correct scorers that compute and print as people do: nobody is accused of anything."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import logpr
from logpr.models.base import Predictive
from tests.auditing import generate

pytest.importorskip("torch")
pytest.importorskip("transformers")
# Each test is thousands of small calls, all of which other tests make under the checker.
pytestmark = pytest.mark.usefixtures("unchecked")

DTYPES = ["float64", "float32", "bfloat16", "float16"]
PRINTS = ["rounded", "cut_off", "floored", "token_sums", "tokens", "cut_tokens", "percent"]


@pytest.fixture(scope="module")
def model() -> Any:  # noqa: ANN401 - shows rows
    """Return the model that ships with the package."""
    return logpr.load("builtin")


def printed(candidate: dict[str, Any], how: str, decimals: int) -> dict[str, Any]:
    """Return a candidate whose numbers are printed in one way or another."""
    score, steps = float(candidate["score"]), [float(each) for each in candidate["token_scores"]]
    unit = 10**decimals
    short = [f"{each:.{decimals}f}" for each in steps]
    more: dict[str, Any] = {}
    match how:
        case "cut_off":
            score = math.trunc(score * unit) / unit
        case "floored":
            score = math.floor(score * unit) / unit
        case "token_sums":
            score = sum(map(float, short))
        case "tokens":
            more = {"token_scores": short}
        case "cut_tokens":
            cut = [math.trunc(each * unit) / unit for each in steps]
            more = {"token_scores": [f"{each:.{decimals}f}" for each in cut]}
    text = f"{100 * math.exp(score):.{decimals}f}%" if how == "percent" else f"{score:.{decimals}f}"
    return {"text": candidate["text"], "score": text, **more}


def audited(
    model: Predictive, dtype: str, how: str, *, count: int, decimals: int, seed: int
) -> logpr.AuditReport:
    """Return the audit of a file of correct claims."""
    rng = np.random.default_rng([77, seed])
    found = generate.correct_files(
        rng, model, dtype, n_candidates=count, decimals=16, tokens=True, end="open"
    )
    for record in found:
        record["candidates"] = [printed(each, how, decimals) for each in record["candidates"]]
        if how == "percent":
            record.setdefault("declares", {})["unit"] = "probability"
    return logpr.audit(found, model=model)


@pytest.mark.parametrize("how", PRINTS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_correct_files_accuse_nobody(model: Predictive, dtype: str, how: str) -> None:
    """In any type, at any number of digits, printed as people print: no fault and no mystery."""
    seed = 10 * DTYPES.index(dtype) + PRINTS.index(how)
    for count, decimals in ((4, 2 + seed % 3), (10, 6 - seed % 4)):
        report = audited(model, dtype, how, count=count, decimals=decimals, seed=seed)
        said = (report.verdict, report.faults, report.sentence)
        assert report.verdict in ("correct", "not_enough_precision"), said


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_tokens_in_half_precision_are_right_beside_right_scores(
    model: Predictive, dtype: str
) -> None:
    """Token scores are moved by half precision more, one by one, than their sums show."""
    for seed in range(3):
        report = audited(model, dtype, "tokens", count=6, decimals=3, seed=100 + seed)
        assert (report.verdict, report.computed_in is None) == ("correct", False)


def test_cut_off_token_scores_beside_right_scores_are_said(model: Predictive) -> None:
    """Tokens cut off beside scores that were rounded: correct, with the warning."""
    report = audited(model, "float32", "cut_tokens", count=8, decimals=4, seed=200)
    assert report.verdict == "correct"
    assert any("token scores are off by one" in each for each in report.warnings)


def test_tokens_of_another_computation_are_none_of_half_precision(model: Predictive) -> None:
    """Token scores all a little too high are not excused by the room that half precision has."""
    rng = np.random.default_rng(300)
    found = generate.correct_files(
        rng, model, "float32", n_candidates=8, decimals=4, tokens=True, end="open"
    )
    for record in found:
        for each in record["candidates"]:
            each["token_scores"] = [f"{float(one) + 0.02:.4f}" for one in each["token_scores"]]
    report = logpr.audit(found, model=model)
    assert report.verdict != "correct"
