"""Recorded rows that were rounded to 16 bits: claims from them, and claims from before."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import logpr
from logpr import AuditReport
from logpr.auditing.scene import build
from logpr.auditing.search.rounded import Rounded, rounded_rows
from logpr.io.claims import read_claims
from logpr.models.logits import LogitsModel

# Each test is thousands of small calls, all of which other tests make under the checker.
pytestmark = pytest.mark.usefixtures("unchecked")

Kind = Literal["bfloat16", "float16", "float32"]
KINDS: list[Kind] = ["bfloat16", "float16"]
STORED = ["inline", "float16", "float32", "float64", "compact"]
VOCAB = 60
WARM = 1.03
"""A temperature near 1, and yet further from it than the rounding of rows."""
assert settings.default is not None
few = settings(
    max_examples=max(8, settings.default.max_examples // 12),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def rounded(rows: np.ndarray, kind: Kind) -> np.ndarray:
    """Return the nearest numbers of a type, ties to even."""
    if kind == "float16":
        return rows.astype(np.float16).astype(np.float64)
    bits = rows.astype(np.float32).view(np.uint32)
    if kind == "bfloat16":
        bits = bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))
        bits &= np.uint32(0xFFFF0000)
    return np.asarray(bits.view(np.float32), dtype=np.float64)


def scored(rows: np.ndarray, tokens: np.ndarray, rule: str) -> float:
    """Return what a scorer makes of whole rows."""
    if rule == "warm":
        rows = rows / WARM
    steps = rows[np.arange(len(tokens)), tokens]
    if rule != "raw":
        steps = steps - np.log(np.exp(rows).sum(axis=1))
    return float(steps.mean() if rule == "mean" else steps.sum())


def records(
    seed: int, kind: Kind, rule: str, decimals: int, *, before: bool, level: float = 0.0
) -> list[dict[str, Any]]:
    """Return records with rows on a grid, and claims from before or after they were rounded."""
    rng = np.random.default_rng([5, seed])
    out: list[dict[str, Any]] = []
    for number in range(4):
        prompt = [number, *rng.integers(0, VOCAB, size=4).tolist()]
        candidates = []
        for place in range(3):
            size = int(rng.integers(2, 6))
            tokens = rng.integers(0, VOCAB, size=size)
            tokens[0] = place
            whole = rng.normal(level, 6.0, size=(size, VOCAB))
            if candidates:
                # One row for one prefix.
                whole[0] = candidates[0]["whole"][0]
            rows = rounded(whole, kind)
            score = scored(whole if before else rows, tokens, rule)
            candidates.append(
                {
                    "token_ids": tokens.tolist(),
                    "logits": rows,
                    "score": f"{score:.{decimals}f}",
                    "whole": whole,
                }
            )
        for candidate in candidates:
            del candidate["whole"]
        out.append({"prompt_ids": prompt, "candidates": candidates})
    return out


def audited(found: list[dict[str, Any]], folder: Path, stored: str) -> AuditReport:
    """Return the audit of records whose rows are stored in one way or another."""
    if stored == "inline":
        return logpr.audit(found)
    path = folder / ("r.jsonl" if stored == "compact" else "r.npz")
    path.unlink(missing_ok=True)
    more: dict[str, Any] = {} if stored == "compact" else {"dtype": stored}
    with logpr.record(path, compact=stored == "compact", **more) as recorder:
        for record in found:
            recorder.add(**record)
    return logpr.audit(path)


@pytest.mark.parametrize("stored", STORED)
@pytest.mark.parametrize("kind", KINDS)
def test_claims_from_before_the_rounding_are_correct(
    tmp_path: Path, kind: Kind, stored: str
) -> None:
    """A scorer that saw more digits than the recording is correct, and the rounding is said."""
    report = audited(records(1, kind, "logprob", 4, before=True), tmp_path, stored)
    assert (report.verdict, report.faults, report.exit_code) == ("correct", (), 0)
    (note,) = [each for each in report.warnings if each.startswith("rounded_rows")]
    assert f"rounded to {kind}" in note
    assert "within the rounding of the recorded rows, 12 of 12" in report.sentence
    assert report.noise is not None
    assert report.noise > 1e-3


@pytest.mark.parametrize("stored", STORED)
@pytest.mark.parametrize("kind", KINDS)
def test_claims_from_the_rounded_rows_are_evidence(tmp_path: Path, kind: Kind, stored: str) -> None:
    """What was computed from the rows as they stand is held to its printed digits."""
    report = audited(records(2, kind, "logprob", 4, before=False), tmp_path, stored)
    assert report.verdict == "correct"
    assert report.warnings == ()
    assert "reproduced to the printed digits, 12 of 12" in report.sentence
    assert report.noise is not None
    assert report.noise < 1e-5


@pytest.mark.parametrize("before", [False, True])
@pytest.mark.parametrize(("rule", "named"), [("raw", "raw_logit_sum"), ("mean", "mean")])
@pytest.mark.parametrize("kind", KINDS)
def test_faults_are_named_all_the_same(
    tmp_path: Path, kind: Kind, rule: str, named: str, *, before: bool
) -> None:
    """A fault far larger than the rounding is named, whichever rows the scorer saw."""
    report = audited(records(3, kind, rule, 4, before=before, level=3.0), tmp_path, "float32")
    assert [each.id for each in report.faults] == [named]
    assert any(each.startswith("rounded_rows") for each in report.warnings) is before


@pytest.mark.parametrize("seed", range(3))
def test_the_room_of_the_rounding_is_no_half_precision(tmp_path: Path, seed: int) -> None:
    """Another fault from before the rounding is not named half precision, which it is near."""
    found = records(seed, "float16", "warm", 4, before=True)
    report = audited(found, tmp_path, "float32")
    assert any(each.startswith("rounded_rows") for each in report.warnings)
    assert [each.id for each in report.faults] == ["temperature"]
    interval: Any = dict(report.faults[0].parameters)["T"]
    assert interval[0] <= WARM <= interval[1]
    assert any("half_precision" in each.ids for each in report.untested)


@pytest.mark.parametrize(("times", "right"), [(0.0, True), (2.5, False)])
def test_the_room_is_the_rounding_and_no_more(times: float, *, right: bool) -> None:
    """Claims that are off by more than the warning says a token may be are not correct."""
    found = records(11, "float16", "logprob", 4, before=True)
    (note,) = [each for each in logpr.audit(found).warnings if each.startswith("rounded_rows")]
    most = float(note.split("up to ")[1].split(" nats")[0])
    for record in found:
        for each in record["candidates"]:
            each["score"] = f"{float(each['score']) + times * most * len(each['token_ids']):.4f}"
    assert (logpr.audit(found).verdict == "correct") is right


def test_one_wrong_claim_among_exact_ones_is_no_rounding(tmp_path: Path) -> None:
    """Where the others are the rounded rows' to the digit, one that is off has no such excuse."""
    found = records(4, "bfloat16", "logprob", 4, before=False)
    candidate = found[2]["candidates"][1]
    candidate["score"] = f"{float(candidate['score']) + 0.02:.4f}"
    report = audited(found, tmp_path, "float32")
    assert report.verdict == "unexplained"
    assert report.warnings == ()
    assert report.rows[7].struck


def test_float32_rows_have_no_such_excuse(tmp_path: Path) -> None:
    """Rows that are on no grid are what they are: claims a hundredth off are not theirs."""
    found = records(5, "float32", "logprob", 4, before=False)
    rng = np.random.default_rng(5)
    for record in found:
        for candidate in record["candidates"]:
            candidate["score"] = f"{float(candidate['score']) + rng.normal(0, 0.02):.4f}"
    report = audited(found, tmp_path, "float32")
    assert report.verdict == "unexplained"


@few
@given(
    seed=st.integers(0, 999),
    decimals=st.integers(2, 6),
    kind=st.sampled_from(KINDS),
    level=st.sampled_from([-30.0, 0.0, 12.0]),
    before=st.booleans(),
)
def test_rounded_rows_accuse_nobody(
    tmp_path: Path, seed: int, decimals: int, kind: Kind, level: float, *, before: bool
) -> None:
    """Whatever the size of the logits, their rounding is no fault of the scorer."""
    found = records(seed, kind, "logprob", decimals, before=before, level=level)
    report = audited(found, tmp_path, "float32")
    assert report.verdict in ("correct", "not_enough_precision")
    assert report.faults == ()


@given(seed=st.integers(0, 999), kind=st.sampled_from(KINDS), level=st.floats(-40, 40))
def test_the_room_holds_every_rounding_and_little_more(seed: int, kind: Kind, level: float) -> None:
    """No step's log-probability is moved by more than is allowed for."""
    rng = np.random.default_rng([7, seed])
    whole = rng.normal(level, 5.0, size=(8, VOCAB)).astype(np.float32).astype(np.float64)
    tokens = rng.integers(0, VOCAB, size=8).tolist()
    rows = rounded(whole, kind)
    found = _rounded_of(rows, tokens)
    assert found is not None
    assert found.dtype == kind
    steps = np.arange(8)
    moved = [part[steps, tokens] - np.log(np.exp(part).sum(axis=1)) for part in (rows, whole)]
    largest = float(np.abs(moved[0] - moved[1]).max())
    assert largest <= found.noise + 1e-9
    step = 2.0 ** (-7 if kind == "bfloat16" else -10)
    assert found.noise <= step * np.abs(rows).max()


def _rounded_of(rows: np.ndarray, tokens: list[int]) -> Rounded | None:
    record = {"prompt_ids": [1], "candidates": [{"token_ids": tokens, "score": "-1.0"}]}
    (row,) = read_claims([record])
    model = LogitsModel.from_rows([([1], tokens, rows)])
    built = build.build([row], model, logpr._score.Settings())
    assert built is not None
    return rounded_rows(built.scene)


def test_rows_on_no_grid_and_rows_of_a_few_numbers_are_not_rounded() -> None:
    """Float32 rows are not, and three numbers that a person typed may be short by chance."""
    rng = np.random.default_rng(9)
    tokens = rng.integers(0, VOCAB, size=4).tolist()
    assert _rounded_of(rng.normal(size=(4, VOCAB)).astype(np.float32), tokens) is None
    assert _rounded_of(np.array([[0.5, -1.25, 2.0]] * 4), [0, 1, 2, 1]) is None
    masked = rounded(rng.normal(size=(4, VOCAB)), "bfloat16")
    masked[:, 40:] = -np.inf
    found = _rounded_of(masked, [1, 2, 3, 4])
    assert found is not None
    assert found.dtype == "bfloat16"
