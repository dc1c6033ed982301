"""Records of `--top`, read again: what was asked, and nothing of what was found."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from logpr._values import Candidate, Query, Ranking
from logpr.errors import RecordError
from logpr.io import open_run, read_records, record_of
from logpr.io.own import is_output
from tests.io.files import read_one, write_rows
from tests.io.test_outputs import RANKING, SCORE

ASKED = Query(
    id="q1",
    prompt="The cat sat on the",
    candidates=(
        Candidate(text=" warm mat"),
        Candidate(text=" plush rug", extra=(("note", "n"), ("upper_case", False))),
    ),
)
DROPPED = replace(
    SCORE,
    index=1,
    text=" plush rug",
    logprob=None,
    per_token=None,
    per_char=None,
    per_byte=None,
    bits_per_byte=None,
    choice_prob=None,
    token_ids=(5, 6),
    token_texts=(" plush", " rug"),
    token_logprobs=None,
    upper=-9.5,
    pruned=True,
)
TOPPED = replace(
    RANKING,
    best=0,
    order=(0,),
    margin=None,
    noise=None,
    candidates=(replace(SCORE, choice_prob=None), DROPPED),
    top=1,
    tokens_fed=7,
    tokens_full=9,
)


@pytest.mark.parametrize("name", ["out.jsonl", "out.parquet"])
def test_what_top_found_is_read_as_it_was_asked(tmp_path: Path, name: str) -> None:
    """No bound, no mark and no count comes back as if the caller had given it."""
    whole = replace(TOPPED.candidates[0], index=1, text=" plush rug")
    (again,) = read_records(
        written(tmp_path, name, replace(TOPPED, candidates=(TOPPED.candidates[0], whole)))
    )
    assert is_output(again.row)
    assert again.query.candidates == (
        Candidate(text=" warm mat", token_ids=(3, 4), token_logprobs=(-0.9, -1.5)),
        Candidate(
            text=" plush rug",
            token_ids=(3, 4),
            token_logprobs=(-0.9, -1.5),
            extra=(("note", "n"), ("upper_case", False)),
        ),
    )
    assert again.fields == {"genre": "x"}


@pytest.mark.parametrize("name", ["out.jsonl", "out.parquet"])
def test_what_was_dropped_is_refused(tmp_path: Path, name: str) -> None:
    """It has no numbers, and a model asked for them need not be that of the others."""
    with pytest.raises(RecordError, match=r"with --top 1, and candidate 1 was dropped.*without"):
        list(read_records(written(tmp_path, name, TOPPED)))


def written(tmp_path: Path, name: str, ranking: Ranking) -> str:
    """Return the path of a file that has the record of `ranking`."""
    record = record_of(ranking, tokens=True, query=ASKED, fields={"genre": "x"})
    source = write_rows(tmp_path / "in.jsonl", {"prompt": "a", "candidates": ["b"]})
    with open_run(read_records(source), str(tmp_path / name), options={}) as run:
        for _ in run:
            run.write(record)
    return str(tmp_path / name)


def test_a_callers_own_field_of_that_name_is_kept(tmp_path: Path) -> None:
    """`pruned` is a result where `top` stands beside it, and somebody's own field elsewhere."""
    row = {"prompt": "a", "candidates": [{"text": "b", "index": 0, "pruned": True, "upper": -1.0}]}
    own = read_one(tmp_path / "own.jsonl", {**row, "top": 1})
    assert dict(own.query.candidates[0].extra) == {"index": 0, "pruned": True, "upper": -1.0}
    assert own.fields == {"top": 1}
