"""Rankings come back from the records that `logpr rank` writes, in JSON Lines and in Parquet."""

from __future__ import annotations

import json
import sys
from io import BytesIO, TextIOWrapper
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import logpr
from logpr._rules import rule_named
from logpr._values import Query, Ranking
from logpr.errors import InputError, RecordError
from logpr.io import open_run, read_records, record_of
from logpr.io.rankings import RankedRecord, is_ranking, open_rankings, ranking_of
from logpr.models.base import Model
from tests.io.files import write_rows

ROWS: list[dict[str, Any]] = [
    {"id": "cat", "prompt": "The cat sat on the ", "candidates": ["warm mat", "rug"], "label": 1},
    {"id": 7, "prompt": "Ben said: ", "candidates": ["é 😀", "yes", "yes please"]},
    {"prompt": "The birds", "candidates": [" sing", " sings"], "subject": "birds", "noise": "x"},
]

HEAD = (
    *("id", "rule", "end", "best", "order", "margin", "noise", "tie", "label", "winners"),
    *("warnings", "higher_wins", "provenance"),
)
SUMS = (
    *("index", "text", "logprob", "per_token", "per_char", "per_byte", "bits_per_byte"),
    *("choice_prob", "tokens", "bytes", "chars", "boundary", "boundary_policy", "end"),
    *("end_logprob", "noise", "rule_values", "lower", "upper", "exact"),
)
TOKENS = ("token_ids", "token_texts", "token_logprobs")
EVIDENCE = (
    *("logit", "logz", "rank", "top_id", "top_logit", "top_logprob", "entropy", "alternatives"),
    "end_evidence",
)


@pytest.fixture(scope="module")
def lm() -> Model:
    """Return the model that ships with the package."""
    return logpr.load("builtin")


def written(
    folder: Path,
    output: str,
    lm: Model,
    *,
    tokens: bool = False,
    rule: str = "logprob",
    evidence: bool = False,
    **asked: Any,  # noqa: ANN401 - of read_records
) -> tuple[Path, list[Ranking]]:
    """Rank the rows into a file, as the verb does; return it and what was ranked."""
    source = write_rows(folder / "in.jsonl", *ROWS)
    out, kept = folder / output, []
    settings = logpr.Settings(evidence=evidence)
    stream = read_records(source, **asked)
    with open_run(stream, str(out), options={}) as run:
        for window in run:
            queries = [record.query for record in window]
            rankings = logpr.rank_many(queries, model=lm, rule=rule, settings=settings)
            for record, ranking in zip(window, rankings, strict=True):
                run.write(
                    record_of(
                        ranking,
                        tokens=tokens or evidence,
                        query=record.query,
                        fields=record.fields,
                    )
                )
                run.provenance = ranking.provenance
                kept.append(ranking)
    return out, kept


def read(path: Path) -> list[RankedRecord]:
    """Return the rankings of a file that has some."""
    found = open_rankings(str(path))
    assert found is not None
    return list(found)


@pytest.mark.parametrize("output", ["out.jsonl", "out.parquet"])
@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"tokens": True},
        {"evidence": True},
        {"evidence": True, "end": "stop"},
        {"rule": "bits_per_byte"},
        {"rule": "length_penalty(0.6)", "tokens": True},
        {"boundary": "marginal"},
    ],
)
def test_what_was_written_comes_back(
    tmp_path: Path, lm: Model, output: str, asked: dict[str, Any]
) -> None:
    """Every number that a record has, and every fact that follows from them."""
    path, rankings = written(tmp_path, output, lm, **asked)
    names = (*SUMS, *(TOKENS if asked.get("tokens") or asked.get("evidence") else ()))
    names += EVIDENCE if asked.get("evidence") else ()
    if "boundary" in asked:
        # Over all spellings no tokens are counted: the pair has half of the ranking's noise each.
        names = tuple(name for name in names if name != "noise")
    found = read(path)
    assert [record.index for record in found] == [0, 1, 2]
    for record, ranking in zip(found, rankings, strict=True):
        assert {name: getattr(record.ranking, name) for name in HEAD} == {
            name: getattr(ranking, name) for name in HEAD
        }
        for ours, theirs in zip(record.ranking.candidates, ranking.candidates, strict=True):
            assert {name: getattr(ours, name) for name in names} == {
                name: getattr(theirs, name) for name in names
            }
        if "token_ids" in names:
            assert record.has_tokens
            assert record.ranking.fork == ranking.fork
            assert record.ranking.prompt == ranking.prompt
        assert record.has_evidence == bool(asked.get("evidence"))


def test_bytes_of_tokens_come_back_where_texts_are_whole(tmp_path: Path, lm: Model) -> None:
    """A token that is part of a character has signs for a text, and no bytes are made up."""
    path, rankings = written(tmp_path, "out.jsonl", lm, tokens=True)
    cat, ben, _ = read(path)
    for record, ranking in zip((cat, ben), rankings, strict=False):
        for ours, theirs in zip(record.ranking.candidates, ranking.candidates, strict=True):
            whole = "".join(theirs.token_texts or ()) == theirs.text
            assert ours.token_spans == (theirs.token_spans if whole else None)
    assert [score.token_spans is None for score in ben.ranking.candidates] == [True, False, False]


@pytest.mark.parametrize("output", ["out.jsonl", "out.parquet"])
def test_the_query_gives_the_ranking_again(tmp_path: Path, lm: Model, output: str) -> None:
    """What was asked comes back without its numbers, spaces at the boundary not doubled."""
    path, rankings = written(tmp_path, output, lm, tokens=True)
    for record, ranking in zip(read(path), rankings, strict=True):
        assert record.query is not None
        assert all(candidate.needs_model for candidate in record.query.candidates)
        again = logpr.rank_many([record.query], model=lm)
        for ours, theirs in zip(next(again).candidates, ranking.candidates, strict=True):
            assert ours.prompt_ids == theirs.prompt_ids
            assert ours.token_ids == theirs.token_ids
            assert ours.logprob == pytest.approx(theirs.logprob, abs=1e-4)


def test_without_tokens_there_is_no_query(tmp_path: Path, lm: Model) -> None:
    """Such a record has no prompt."""
    path, _ = written(tmp_path, "out.jsonl", lm)
    assert [record.query for record in read(path)] == [None, None, None]
    assert not any(record.has_tokens for record in read(path))


def test_other_files_are_none(tmp_path: Path, lm: Model) -> None:
    """Records, scores, CSV tables and what cannot be read are left to other readers."""
    path, _ = written(tmp_path, "out.csv", lm)
    assert open_rankings(str(path)) is None
    assert open_rankings(write_rows(tmp_path / "rows.jsonl", *ROWS)) is None
    assert open_rankings(write_rows(tmp_path / "text.jsonl", "{no json")) is None
    empty = tmp_path / "empty.jsonl"
    empty.write_text("", encoding="utf-8")
    assert open_rankings(str(empty)) is None
    with pytest.raises(InputError, match="there is no file"):
        open_rankings(str(tmp_path / "absent.jsonl"))


@pytest.mark.parametrize("ranked", [True, False])
def test_stdin_can_be_read_from_its_first_line_afterwards(
    tmp_path: Path, lm: Model, monkeypatch: pytest.MonkeyPatch, *, ranked: bool
) -> None:
    """It is looked at, and nothing of it is lost."""
    path, _ = written(tmp_path, "out.jsonl", lm, tokens=True)
    data = path.read_bytes() if ranked else (tmp_path / "in.jsonl").read_bytes()
    monkeypatch.setattr(sys, "stdin", TextIOWrapper(BytesIO(data), encoding="utf-8"))
    found = open_rankings("-")
    if ranked:
        assert found is not None
        assert [record.ranking.id for record in found] == ["cat", 7, 2]
    else:
        assert found is None
        assert [record.query.id for record in read_records("-")] == ["cat", 7, 2]


def _record() -> dict[str, Any]:
    scores = [
        {"token_ids": [3, 4], "token_logprobs": [-0.9, -1.5]},
        {"token_ids": [3, 5], "token_logprobs": [-0.9, -1.6]},
    ]
    query = Query.of(prompt_ids=[1], candidates=scores)
    (ranking,) = logpr.rank_many([query])
    row: dict[str, Any] = json.loads(json.dumps(record_of(ranking, tokens=True, query=query)))
    return row


def test_numbers_that_candidates_brought_come_back() -> None:
    """They have tokens, no evidence, and a fork."""
    ranking, query = ranking_of(_record(), None)
    assert ranking.fork is not None
    assert (ranking.fork.position, round(ranking.fork.gap_at_fork, 9)) == (1, 0.1)
    assert query is not None
    assert query.prompt_ids == (1,)


def test_after_different_tokens_of_the_prompt_there_is_no_fork() -> None:
    """The record does not say which they were, so no step of the two is the same."""
    record = _record()
    record["warnings"] = ["contexts_differ: the candidates were scored after different tokens"]
    ranking, _ = ranking_of(record, None)
    assert ranking.fork is None
    assert [score.token_ids for score in ranking.candidates] == [None, None]


@pytest.mark.parametrize(
    ("path", "value", "found"),
    [
        (("order",), [0, 2], "order"),
        (("best",), 5, "order"),
        (("margin",), "much", "margin"),
        (("rule",), "fastest", "no rule is called 'fastest'"),
        (("candidates", 0, "token_logprobs"), [-0.9], "token_ids has 2 entries"),
        (("candidates", 1, "logprob"), "low", "candidates[1]"),
    ],
)
def test_a_record_that_is_not_whole_is_named(
    tmp_path: Path, path: tuple[str | int, ...], value: object, found: str
) -> None:
    """File, line and field, and what is wrong with it."""
    record = _record()
    place: Any = record
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    file = open_rankings(write_rows(tmp_path / "out.jsonl", _record(), record))
    assert file is not None
    with pytest.raises(RecordError) as caught:
        list(file)
    assert str(caught.value).startswith(f"{tmp_path / 'out.jsonl'}:2: ")
    assert found in str(caught.value)


def test_a_row_of_another_kind_among_rankings_is_named(tmp_path: Path) -> None:
    """Line 2 is a record to be ranked."""
    file = open_rankings(write_rows(tmp_path / "out.jsonl", _record(), ROWS[0]))
    assert file is not None
    with pytest.raises(RecordError, match=r"out\.jsonl:2: .*no record that logpr rank wrote"):
        list(file)


@given(
    sums=st.lists(st.lists(st.floats(-20, -0.01), min_size=1, max_size=4), min_size=2, max_size=6),
    rule=st.sampled_from(["logprob", "per_token", "choice_prob", "length_penalty(0.7)"]),
)
def test_any_ranking_comes_back(sums: list[list[float]], rule: str) -> None:
    """Of candidates with any numbers, under any rule: who is first under each rule too."""
    candidates = [{"text": "x" * len(each), "token_logprobs": each} for each in sums]
    query = Query.of("p", candidates, id="q")
    (ranking,) = logpr.rank_many([query], rule=rule)
    record = json.loads(json.dumps(record_of(ranking, tokens=True, query=query)))
    assert is_ranking(record)
    found, _ = ranking_of(record, None)
    for name in ("rule", "best", "order", "margin", "tie", "winners"):
        assert getattr(found, name) == getattr(ranking, name), name
    assert found.higher_wins == rule_named(rule).higher_wins
