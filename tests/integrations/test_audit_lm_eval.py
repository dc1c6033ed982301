"""An audit of lm-evaluation-harness's own backend: right alone, wrong where requests share rows."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

import logpr
from logpr import AuditReport

harness = pytest.importorskip(
    "tests.integrations.harness",
    reason='lm-evaluation-harness is needed: pip install "logpr[lm-eval]" accelerate',
)

ROOT = Path(__file__).parents[2]
LOGGED = ROOT / "examples" / "harness.jsonl"
CLOSE = 1e-3
"""Nats: float32 sums of two machines."""

Record = dict[str, Any]
Place = tuple[Any, int]


@pytest.fixture(scope="module")
def theirs() -> Any:  # noqa: ANN401 - the harness's own backend
    """Return the harness's own backend of the built-in model, as it comes."""
    return harness.theirs(harness.BUILTIN, batch_size=8)


@pytest.fixture(scope="module")
def questions() -> list[Record]:
    """Return questions at successive places of the same sentences, and ordinary ones."""
    return [json.loads(line) for line in LOGGED.read_text(encoding="utf-8").splitlines()]


def requests(questions: Sequence[Record]) -> list[tuple[str, str]]:
    """Return what a multiple-choice task asks of a backend, in its order."""
    return [(one["prompt"], text) for one in questions for text in one["candidates"]]


def encoded(backend: Any, prompt: str, text: str) -> tuple[list[int], list[int]]:  # noqa: ANN401
    """Return the ids of a context and of its continuation, as the harness makes them."""
    if prompt:
        before, after = backend._encode_pair(prompt, text)
        return before, after
    ids = backend.tok_encode(text)
    start = [backend.prefix_token_id]
    return (start, ids[1:]) if ids[:1] == start else (start, ids)


def claims(backend: Any, questions: Sequence[Record]) -> list[Record]:  # noqa: ANN401 - as above
    """Return what the backend says of them, with the ids that it fed."""
    asked = requests(questions)
    said = iter(backend.loglikelihood(harness.asked("loglikelihood", asked), disable_tqdm=True))
    out = []
    for number, one in enumerate(questions):
        pairs = [encoded(backend, one["prompt"], text) for text in one["candidates"]]
        candidates = [
            {"text": text, "token_ids": ids, "score": next(said)[0]}
            for text, (_, ids) in zip(one["candidates"], pairs, strict=True)
        ]
        (context,) = {tuple(ids) for ids, _ in pairs}
        out.append({"id": number, "prompt_ids": list(context), "candidates": candidates})
    return out


def struck(records: Sequence[Record]) -> set[Place]:
    """Return those whose fed tokens another request of a longer continuation feeds too."""
    longest: dict[tuple[int, ...], int] = {}
    sizes = {}
    for one in records:
        for place, candidate in enumerate(one["candidates"]):
            fed = (*one["prompt_ids"], *candidate["token_ids"][:-1])
            size = len(candidate["token_ids"])
            longest[fed] = max(longest.get(fed, 0), size)
            sizes[one["id"], place] = fed, size
    return {place for place, (fed, size) in sizes.items() if size < longest[fed]}


def best(values: Sequence[float]) -> int:
    """Return the place of the largest."""
    return values.index(max(values))


@pytest.fixture(scope="module")
def records(theirs: Any, questions: list[Record]) -> list[Record]:  # noqa: ANN401 - as above
    """Return what the harness's own backend says of the questions."""
    return claims(theirs, questions)


@pytest.fixture(scope="module")
def report(records: list[Record]) -> AuditReport:
    """Return the audit of that."""
    return logpr.audit(records, model="builtin")


def test_shared_rows_are_named(report: AuditReport, records: list[Record]) -> None:
    """Every number is reproduced by rows read for another request, and the struck are those."""
    assert (report.verdict, report.exit_code) == ("fault", 1)
    (fault,) = report.faults
    assert (fault.id, fault.parameters) == ("row_reused", (("representative", "longest"),))
    assert report.explained_rows == report.rows_total == 72
    (group,) = report.groups
    assert set(group.rows) == struck(records)
    assert group.common[0] == (
        "All 31 struck rows share their fed tokens with a request of a longer continuation, split "
        "elsewhere, against none of the 41 others."
    )
    # No other rule of choosing whose rows are kept gives these numbers.
    rivals = [one for one in report.alternatives if one.changes == () or one.stands]
    assert [one.changes for one in rivals] == [()]
    assert rivals[0].explained == 41


def test_the_flips_are_those_of_a_right_backend(
    report: AuditReport, records: list[Record], questions: list[Record]
) -> None:
    """The decisions that flip are those that logpr's own backend takes otherwise."""
    right = claims(harness.ours(harness.BUILTIN), questions)
    wanted = {}
    for one, other in zip(records, right, strict=True):
        chosen, true = (best([c["score"] for c in each["candidates"]]) for each in (one, other))
        if chosen != true:
            wanted[one["id"]] = (chosen, true)
    assert report.damage is not None
    flips = {flip.id: (flip.chosen, flip.best) for flip in report.damage.flips}
    assert flips == wanted
    assert report.flips == len(wanted) == 6
    worst = max(report.damage.flips, key=lambda flip: flip.nats)
    assert isinstance(worst.id, int)
    one = records[worst.id]
    exact = [
        harness.truth(harness.BUILTIN, one["prompt_ids"], one["candidates"][place]["token_ids"])
        for place in (worst.best, worst.chosen)
    ]
    assert worst.nats == pytest.approx(exact[0] - exact[1], abs=CLOSE)


def test_its_own_flag_contradicts_its_number(theirs: Any, questions: list[Record]) -> None:  # noqa: ANN401
    """`is_greedy` is read at the right rows: a favourite of its row is said to have Pr < 0.02."""
    asked = harness.asked("loglikelihood", requests(questions))
    said = theirs.loglikelihood(asked, disable_tqdm=True)
    true = harness.ours(harness.BUILTIN).loglikelihood(asked)
    assert [greedy for _, greedy in said] == [greedy for _, greedy in true]
    place = requests(questions).index(("Tom was thirsty, so he drank a cup of", " water"))
    assert said[place] == (pytest.approx(-4.317, abs=CLOSE), True)
    assert true[place] == (pytest.approx(-0.255, abs=CLOSE), True)


def test_the_last_rows_are_the_right_ones(
    theirs: Any,  # noqa: ANN401 - as above
    questions: list[Record],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Read at the end of the rows that are kept, not at their beginning, all numbers are right."""
    utils = pytest.importorskip("lm_eval.models.utils")
    kept = utils.Collator.get_cache

    def from_the_end(self: Any, **given: Any) -> Iterator[tuple[Any, Any, Any]]:  # noqa: ANN401
        for request, tokens, logits in kept(self, **given):
            yield request, tokens, logits[:, -len(tokens) :]

    monkeypatch.setattr(utils.Collator, "get_cache", from_the_end)
    asked = harness.asked("loglikelihood", requests(questions))
    mended = theirs.loglikelihood(asked, disable_tqdm=True)
    true = harness.ours(harness.BUILTIN).loglikelihood(asked)
    assert [value for value, _ in mended] == pytest.approx([value for value, _ in true], abs=CLOSE)


def test_right_where_nothing_is_shared(theirs: Any, questions: list[Record]) -> None:  # noqa: ANN401
    """A question at a time the same backend is right, and its numbers are those without its cache.

    An audit of them accuses nothing.
    """
    bare = claims(harness.theirs(harness.BUILTIN, logits_cache=False), questions)
    for one, other in zip(questions, bare, strict=True):
        (alone,) = claims(theirs, [one])
        assert [c["score"] for c in alone["candidates"]] == pytest.approx(
            [c["score"] for c in other["candidates"]], abs=CLOSE
        )
    found = logpr.audit(bare, model="builtin")
    assert (found.verdict, found.flips, found.exit_code) == ("correct", 0, 0)


def test_a_continuation_without_a_token(theirs: Any) -> None:  # noqa: ANN401
    """Where the tokenizer merges all of it into the context the harness fails, and says nothing."""
    assert theirs._encode_pair("Lil", "y")[1] == []
    with pytest.raises(AssertionError, match=r"^$"):
        theirs.loglikelihood(harness.asked("loglikelihood", [("Lil", "y")]), disable_tqdm=True)


def test_logged_samples_become_claims(tmp_path: Path, questions: list[Record]) -> None:
    """Samples as the harness logs them are audited by their texts; the example is such a log."""
    trackers = pytest.importorskip("lm_eval.loggers")
    task = harness.choices(
        "places",
        LOGGED,
        tmp_path / "cache",
        doc_to_text="{{prompt}}",
        doc_to_choice="{{candidates}}",
        doc_to_target="{{label}}",
        target_delimiter="",
    )
    results = harness.evaluated(harness.theirs(harness.BUILTIN, batch_size=8), [task])
    tracker = trackers.EvaluationTracker(output_path=str(tmp_path))
    tracker.general_config_tracker.model_name_sanitized = "own"
    tracker.date_id = "2026-01-01T00-00-00.000000"
    tracker.save_results_samples("places", results["samples"]["places"])
    (logged,) = (tmp_path / "own").glob("samples_*.jsonl")
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / "audit_lm_eval.py"), str(logged)],
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    found = [json.loads(line) for line in done.stdout.splitlines()]
    for one, wanted in zip(found, questions, strict=True):
        assert {**one, "scores": []} == {**wanted, "scores": []}
        assert [*map(float, one["scores"])] == pytest.approx(
            [*map(float, wanted["scores"])], abs=CLOSE
        )
    report = logpr.audit(found, model="builtin")
    assert [fault.id for fault in report.faults] == ["row_reused"]
    assert report.explained_rows == report.rows_total
    assert report.damage is not None
    right, total = report.damage.claimed_right, len(questions)
    assert right / total == pytest.approx(results["results"]["places"]["acc,none"])
    assert (right, report.damage.true_right, report.flips) == (17, 23, 6)


def test_sentences_beside_their_last_words(data_dir: Path) -> None:
    """BLiMP on a trained model: whole sentences are right, and all of their last words are wrong.

    A whole sentence feeds what its last word after the rest feeds; they part at different places.
    Each sentence comes first in the file and is the longest: both rules are named, as one class.
    """
    folder = data_dir / "models" / "stories260K"
    lines = (data_dir / "eval/blimp/principle_A_case_1.jsonl").read_text(encoding="utf-8")
    pairs = [
        (one["sentence_good"], one["sentence_bad"])
        for one in map(json.loads, lines.splitlines()[:4])
    ]
    whole = [{"prompt": "", "candidates": list(pair)} for pair in pairs]
    last = []
    for pair in pairs:
        for sentence in pair:
            start, _, word = sentence.rpartition(" ")
            last.append({"prompt": start, "candidates": [f" {word}"]})
    said = claims(harness.theirs(folder, batch_size=8), [*whole, *last])
    found = logpr.audit(said, model=str(folder))
    assert found.verdict == "fault"
    same = [one.changes for one in found.alternatives if one.same]
    assert {changes[0].parameters for changes in (found.faults, *same)} == {
        (("representative", rule),) for rule in ("first", "longest")
    }
    assert found.faults[0].id == "row_reused"
    assert found.explained_rows == found.rows_total == 16
    (group,) = found.groups
    assert set(group.rows) == struck(said) == {(number, 0) for number in range(4, 12)}
    assert group.common[0] == (
        "All 8 struck rows share their fed tokens with an earlier request, split elsewhere, "
        "against none of the 8 others."
    )
