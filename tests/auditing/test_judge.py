"""The verdict: what is named first, what stands beside it, and when nothing may be said."""

from __future__ import annotations

from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import logpr
from logpr import AuditReport, Query
from logpr.auditing.search import judge, pipeline
from logpr.models.builtin.model import LlamaModel
from logpr.models.table import TableModel
from tests.auditing import generate
from tests.auditing.oracle import Change, claims
from tests.auditing.oracle_rows import Rows
from tests.auditing.toy import Toy, queries
from tests.models.strategies import CONFIG, llama_folder

MODEL = Toy()
ROWS = Rows(MODEL)
assert settings.default is not None
few = settings(
    max_examples=max(8, settings.default.max_examples // 12),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
"""Every example is a whole audit."""

# Each test is thousands of small calls, all of which other tests make under the checker.
pytestmark = pytest.mark.usefixtures("unchecked")


@pytest.fixture
def singles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out pairs of changes, seconds of a search that is not what is tested here."""
    monkeypatch.setattr(judge, "pairs", lambda _: iter(()))


def audited(
    asked: list[Query],
    changes: list[Change],
    *,
    decimals: int = 4,
    model: Any = MODEL,  # noqa: ANN401 - any model that shows rows
    declares: dict[str, str] | None = None,
    **said: Any,  # noqa: ANN401 - end, boundary, bos
) -> AuditReport:
    """Return the audit of what these changes print."""
    rows = ROWS if model is MODEL else Rows(model)
    found = claims(asked, changes, model=model, rows=rows, **said)
    return logpr.audit(generate.records(asked, found, decimals, declares=declares), model=model)


def ids(report: AuditReport) -> list[str]:
    """Return what was named."""
    return [each.id for each in report.faults]


def standing(report: AuditReport, *, same: bool) -> set[tuple[str, ...]]:
    """Return what else reproduces the claims: the same numbers, or the same digits alone."""
    return {
        tuple(change.id for change in each.changes)
        for each in report.alternatives
        if each.stands and each.same is same
    }


@pytest.mark.parametrize("decimals", [2, 4, 6])
@pytest.mark.parametrize("end", ["open", "stop"])
def test_correct_is_correct(decimals: int, end: str) -> None:
    """What was declared is correct, and no fault is named beside it."""
    report = audited(queries(1, 12, end=end), [], decimals=decimals, end=end)
    assert (report.verdict, report.faults, report.exit_code) == ("correct", (), 0)
    assert report.explained_rows == report.rows_total == 12
    assert report.flips == 0
    assert report.computed_in is None
    assert report.next_input is None
    assert report.max_residual is not None
    assert report.max_residual <= 0.5 * 10.0**-decimals + 1e-6


def test_a_class_that_holds_correct_is_correct() -> None:
    """On an input where a fault changes nothing it is named as the same, and nobody is accused."""
    # One piece a candidate, and a prompt that ends in a stop: no boundary merges.
    asked = [Query.of("ab.", [" a", " b", " c", " d"]), Query.of("cd.", [" é", " ab", " bc"])]
    report = audited(asked, [])
    assert report.verdict == "correct"
    same = standing(report, same=True)
    assert {("mean",), ("first_token_only",), ("min_token",), ("joint_boundary",)} <= same
    assert ("unshifted",) not in same | standing(report, same=False)


def test_a_list_of_the_whole_vocabulary_is_correct() -> None:
    """A shortlist as long as the vocabulary is no shortlist."""
    report = audited(queries(1, 12), [("shortlist_softmax", {"k": MODEL.vocab_size})])
    assert report.verdict == "correct"


def test_a_class_of_two_faults_is_one_fault_with_both_names() -> None:
    """END left out, and the last step left out, are the same numbers: no ambiguity of digits."""
    report = audited(queries(2, 12, end="stop"), [("eos_missing", {})], end="stop")
    assert report.verdict == "fault"
    named = {*ids(report), *(each for (each,) in standing(report, same=True))}
    assert {"eos_missing", "last_token_dropped"} <= named


def test_a_choice_is_named_before_a_fault() -> None:
    """Where a harmless reading gives the same numbers it is the one that is named."""
    # All candidates of two tokens: dividing by the longest is dividing by the own length.
    asked = [
        Query.of("ab.", [" a b", " b c", " c d"]),
        Query.of("cd.", [" é a", " ab d", " bc e"]),
    ]
    report = audited(asked, [("mean_over_padded", {"company": "query"})])
    assert report.verdict == "other_definition"
    assert ids(report) == ["mean"]
    assert ("mean_over_padded",) in standing(report, same=True)
    told = audited(queries(2, 12), [("mean_over_padded", {"company": "query"})])
    assert (told.verdict, ids(told)) == ("fault", ["mean_over_padded"])


def test_ascii_characters_are_bytes() -> None:
    """On ASCII text per_char and per_byte are one class; a letter of two bytes parts them."""
    plain = (*"abcde", " ab", " bc", " cab")
    report = audited(queries(3, 12, pieces=plain), [("per_byte", {})])
    assert report.verdict == "other_definition"
    assert {*ids(report), *(x for (x,) in standing(report, same=True))} == {"per_char", "per_byte"}
    other = audited(queries(3, 16), [("per_byte", {})])
    assert (ids(other), standing(other, same=True)) == (["per_byte"], set())


def test_fewer_free_parameters_are_preferred() -> None:
    """log Pr / ln 10 is log10, with no parameter to solve; T = 2.3026 stands beside it."""
    report = audited(queries(4, 12), [("in_log10", {})])
    assert (report.verdict, ids(report)) == ("other_definition", ["in_log10"])
    assert ("logprob_over_temperature",) in standing(report, same=False)


def test_one_change_is_preferred_to_two() -> None:
    """Two changes of which one strikes nothing are the other alone."""
    report = audited(queries(4, 12), [("mean", {}), ("truncated_context", {"keep": 60})])
    assert (report.verdict, ids(report)) == ("other_definition", ["mean"])


def close_pair() -> tuple[TableModel, list[Query]]:
    """Return a table in which v1 and v2 of one candidate differ by less than two decimals show.

    Of all others v1 < v2 by far, so that the first step is the smallest.
    """
    names = [f"t{i}" for i in range(12)]
    rng = np.random.default_rng(0)
    first = np.log(rng.dirichlet(np.full(12, 3.0)))
    rows = {"": first.tolist()}
    pairs = []
    for i in range(10):
        sure = np.full(12, np.log(0.02 / 11))
        sure[11 - i] = np.log(0.98)
        pairs.append((i, 11 - i))
        if i == 3:
            # 0.002 below the first step, and both print alike.
            wanted = np.round(first[3], 2) - 0.001
            rows[""][3] = wanted + 0.002
            sure = np.full(12, np.log((1 - np.exp(wanted)) / 11))
            sure[8] = wanted
        rows[f"t{i}"] = sure.tolist()
    rest = [value for i, value in enumerate(rows[""]) if i != 3]
    shift = np.log((1 - np.exp(rows[""][3])) / np.exp(rest).sum())
    rows[""] = [value if i == 3 else value + shift for i, value in enumerate(rows[""])]
    table = TableModel.from_dict(
        {
            "tokens": names,
            "end": [],
            "kind": "logits",
            "rows": rows,
            "default": np.zeros(12).tolist(),
        }
    )
    return table, [Query.of("", [f"t{a} t{b}" for a, b in pairs])]


def test_digits_that_cannot_part_two_computations_are_ambiguous() -> None:
    """Two distinct computations of one tier, the same digits: both are named, and what to do."""
    table, asked = close_pair()
    steps = claims(asked, [], model=table).tokens[0]
    assert [one for one, v in enumerate(steps) if v[1] < v[0]] == [3]
    report = audited(asked, [("first_token_only", {})], model=table, decimals=2)
    assert report.verdict == "ambiguous"
    assert report.exit_code == 1
    both = {*ids(report), *(x for each in standing(report, same=False) for x in each)}
    # Of two tokens the first alone is all but the last.
    assert both == {"first_token_only", "last_token_dropped", "min_token"}
    assert "3 computations give these 10 scores to the printed digits" in report.sentence
    assert report.next_input is not None
    finer = audited(asked, [("first_token_only", {})], model=table, decimals=4)
    assert finer.verdict == "fault"
    named = {*ids(finer), *(x for each in standing(finer, same=True) for x in each)}
    assert named == {"first_token_only", "last_token_dropped"}


def test_what_chance_explains_is_not_named() -> None:
    """One claim of two digits is met by some of thousands of computations: nothing is said."""
    asked = [Query.of("ab.", [" a b c", " b"])]
    records = generate.records(asked, claims(asked, [("mean", {})], model=MODEL), 1)
    del records[0]["candidates"][1]["score"]
    records[0]["candidates"][0]["score"] = "-4.4"
    report = logpr.audit(records, model=MODEL)
    assert report.verdict in ("not_enough_precision", "unexplained")
    assert report.exit_code in (1, 2)
    assert not any(report.verdict == word for word in ("fault", "other_definition", "correct"))


@pytest.mark.parametrize("changes", [[], [("negated", {})]])
def test_whole_numbers_are_not_enough(changes: list[Change]) -> None:
    """Scores rounded to whole nats do not tell scorers apart, right ones or wrong ones."""
    report = audited(queries(5, 12), changes, decimals=0)
    assert report.verdict == "not_enough_precision"
    assert report.exit_code == 2


@pytest.mark.usefixtures("singles")
def test_claims_all_alike_are_no_scores() -> None:
    """One number for all candidates is reproduced by nothing, and said to be one number."""
    asked = queries(5, 12)
    records = generate.records(asked, claims(asked, [], model=MODEL), 4)
    for record in records:
        for each in record["candidates"]:
            each["score"] = "-5.0000"
    report = logpr.audit(records, model=MODEL)
    assert report.verdict == "unexplained"
    assert "all_equal" in {finding.id for finding in report.findings}


@pytest.mark.usefixtures("singles")
def test_numbers_of_nothing_are_unexplained() -> None:
    """Random numbers are not explained, and how near anything came is told."""
    asked = queries(6, 8)
    rng = np.random.default_rng(6)
    records = generate.records(asked, claims(asked, [], model=MODEL), 4)
    for record in records:
        for each in record["candidates"]:
            each["score"] = f"{rng.uniform(-30, 0):.4f}"
    report = logpr.audit(records, model=MODEL)
    assert (report.verdict, report.faults) == ("unexplained", ())
    assert report.explained_rows == 0
    assert report.hypotheses > 500
    assert report.alternatives
    assert not any(each.stands for each in report.alternatives)
    assert all(each.explained < each.tested for each in report.alternatives)


def test_pairs_that_were_tried_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of claims that nothing explains it is said how much was tried, pairs too."""
    asked = queries(6, 4)
    records = generate.records(asked, claims(asked, [], model=MODEL), 4)
    for number, record in enumerate(records):
        for place, each in enumerate(record["candidates"]):
            each["score"] = f"{-17.1234 - 3.0 * number - place:.4f}"
    every, counts = pipeline.pairs, []
    for most in (0, 300):
        monkeypatch.setattr(judge, "pairs", lambda found, most=most: islice(every(found), most))
        report = logpr.audit(records, model=MODEL)
        assert (report.verdict, report.groups) == ("unexplained", ())
        counts.append(report.hypotheses)
    assert counts[1] >= counts[0] + 300


# half precision


@cache
def tiny(folder: str, seed: int) -> LlamaModel:
    """Return a random Llama over 61 tokens."""
    config = {**CONFIG, "vocab_size": 61}
    return LlamaModel.from_folder(llama_folder(Path(folder) / str(seed), seed=seed, config=config))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return a folder for random models."""
    return str(tmp_path_factory.mktemp("llamas"))


def of_ids(model: Any, decimals: int, seed: int) -> list[dict[str, Any]]:  # noqa: ANN401 - shows rows
    """Return correct claims of a model over random ids, computed in float64 from its rows."""
    rng = np.random.default_rng([6, seed])
    out = []
    for number in range(6):
        context = rng.integers(3, 61, 5).tolist()
        candidates = []
        for size in (2, 3, 5):
            tokens = rng.integers(3, 61, size).tolist()
            prefixes = [(*context, *tokens[:place]) for place in range(size)]
            rows = model.next_logits(prefixes).logprobs
            score = float(sum(rows[place, token] for place, token in enumerate(tokens)))
            candidates.append({"token_ids": tokens, "score": f"{score:.{decimals}f}"})
        out.append({"id": number, "prompt_ids": context, "candidates": candidates})
    return out


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_weights_in_half_precision_are_correct(folder: str, dtype: str) -> None:
    """A float32 softmax over weights that were rounded is the correct formula, and is called so."""
    model = tiny(folder, 1)
    report = logpr.audit(of_ids(model.in_half(dtype), 5, 1), model=model)
    assert report.verdict == "correct"
    assert report.computed_in in ("bfloat16", "float16")
    if dtype == "bfloat16":
        assert report.computed_in == "bfloat16"
        assert "within the rounding of bfloat16" in report.sentence
    assert report.exit_code == 0


def test_float32_is_nothing_to_speak_of(folder: str) -> None:
    """Numbers of the same type, or of float64, are correct with no word on precision."""
    for dtype in ("float32", "float64"):
        tiny(folder, 2)
        model = LlamaModel.from_folder(Path(folder) / "2", dtype=dtype)
        report = logpr.audit(of_ids(model, 6, 2), model=tiny(folder, 2))
        assert (report.verdict, report.computed_in) == ("correct", None)


@few
@given(
    seed=st.integers(0, 5),
    drawn=st.integers(0, 99),
    decimals=st.integers(2, 6),
    dtype=st.sampled_from(["bfloat16", "float16"]),
)
def test_half_precision_is_never_an_accusation(
    folder: str, seed: int, drawn: int, decimals: int, dtype: str
) -> None:
    """Whatever the weights, their rounding is no fault and no other definition."""
    model = tiny(folder, seed)
    report = logpr.audit(of_ids(model.in_half(dtype), decimals, drawn), model=model)
    assert report.verdict in ("correct", "not_enough_precision")
    assert report.faults == ()
