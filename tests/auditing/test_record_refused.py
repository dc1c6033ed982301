"""What a recorder refuses: each says where and what, and nothing else is lost by it."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from logpr.auditing._record import read_recorded, record
from logpr.errors import InputError, NumbersError, QueryError, WrongTypeError
from tests.auditing.recording import FILES, GOOD, files, ids, opened


def with_entry(value: float) -> dict[str, Any]:
    """Return a candidate with one such logit."""
    rows = np.zeros((2, 4))
    rows[1, 3] = value
    return {"token_ids": [1, 2], "logits": rows}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize(
    ("given_", "error", "message"),
    [
        (with_entry(math.nan), NumbersError, "record 'q', candidate 0, step 1: nan at token 3"),
        (with_entry(math.inf), NumbersError, "step 1: inf at token 3"),
        ({"token_ids": [0], "logits": [[-math.inf] * 3]}, NumbersError, "nothing but -inf"),
        (GOOD | {"token_ids": [1, 4]}, NumbersError, r"step 1: the token id 4 is outside .* 4 log"),
        (GOOD | {"token_ids": [1]} | {"logits": np.zeros((3, 4))}, NumbersError, "3 rows .* 1 tok"),
        (GOOD | {"logits": np.zeros((1, 4))}, NumbersError, "1 rows of logits for 2 token_ids"),
        (
            GOOD | {"logits": [[0.0] * 4, [0.0] * 3]},
            NumbersError,
            "step 1: a row of 3 logits, .* 4",
        ),
        (GOOD | {"logits": np.zeros((1, 2, 4))}, NumbersError, r"give logits\[0\]"),
        (GOOD | {"logits": [np.zeros((1, 4))] * 2}, NumbersError, r"give logits\[0, -1\]"),
        (GOOD | {"logits": "row"}, NumbersError, r"logits are <U3 of shape \(\)"),
        (GOOD | {"logits": np.zeros((2, 0))}, NumbersError, r"a row of logits is float64 of shape"),
        (GOOD | {"logits": np.zeros((2, 4), bool)}, NumbersError, "a row of logits is bool"),
        (GOOD | {"token_ids": [1, -1]}, QueryError, r"token_ids\[1\] is -1"),
        (GOOD | {"token_ids": [1.0, 2.0]}, QueryError, "token_ids is float64"),
        (GOOD | {"token_ids": None}, QueryError, "logits need token_ids"),
        (GOOD | {"token_ids": [1]}, QueryError, "END: .*nobody said which tokens are END"),
        (GOOD | {"shortlist_ids": [[1]]}, QueryError, "1 shortlist_ids for 2 rows"),
        (GOOD | {"shortlist_ids": [[1], [9]]}, NumbersError, "the shortlist's id 9 is outside"),
        (GOOD | {"logprob": -1}, QueryError, "'logprob' is no field of a candidate; known are"),
        (GOOD | {"score": True}, WrongTypeError, "score is True"),
        (GOOD | {"token_scores": [None]}, WrongTypeError, r"token_scores\[0\] is None"),
        ({"token_ids": [], "logits": []}, NumbersError, "0 rows of logits for 0 token_ids"),
        ({"token_ids": [1]}, QueryError, "no rows of logits and no score"),
        ({"score": 1}, QueryError, "neither token_ids nor text"),
    ],
)
def test_bad_candidates_are_refused(
    tmp_path: Path, name: str, given_: dict[str, Any], error: type[Exception], message: str
) -> None:
    """Each says where and what, and what was recorded before and after stays as it is."""
    path = tmp_path / name
    with opened(path) as recorder:
        recorder.add(id="before", prompt_ids=[1], candidates=[GOOD])
        with pytest.raises(error, match=message):
            recorder.add(id="q", prompt_ids=[1], candidates=[given_])
        recorder.add(id="after", prompt_ids=[1], candidates=[GOOD])
    assert ids(path) == ["before", "after"]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"prompt_ids": None}, "give one of prompt and prompt_ids"),
        ({"prompt": "x"}, "give one of prompt and prompt_ids"),
        ({"prompt_ids": [[1]]}, "prompt_ids is int64 of shape"),
        ({"prompt_ids": [1, 4]}, r"prompt_ids\[1\], 4 is outside the row of 4 logits"),
        ({"candidates": []}, "no candidates; give at least one"),
        ({"chosen": 1}, "chosen is 1, and there are 1 candidates; give an index from 0 to 0"),
        ({"candidates": [GOOD, {"token_ids": [0], "logits": [[1.0]]}]}, "rows of 1 and 4 logits"),
        ({"fields": {"arm": "A"}}, "fields holds arm; give it as arm=…"),
        ({"fields": {"x": np.zeros(1)}}, "fields cannot be written as JSON"),
    ],
)
def test_bad_records_are_refused(tmp_path: Path, more: dict[str, Any], message: str) -> None:
    """A record that cannot be used later is refused when it is made."""
    with record(tmp_path / "r.npz") as recorder, pytest.raises(InputError, match=message):
        recorder.add(**{"prompt_ids": [1], "candidates": [GOOD], **more})
    assert files(tmp_path) == []


def test_a_file_of_rows_is_of_one_kind(tmp_path: Path) -> None:
    """A dump takes rows of one width, all with END or none, and needs ids before them."""
    path = tmp_path / "r.npz"
    ended = GOOD | {"token_ids": [1]}
    narrow = {"token_ids": [0], "logits": [[0.0, 1.0]]}
    with record(path, end_ids=[0]) as recorder:
        recorder.add(prompt_ids=[1], candidates=[GOOD])
    with record(path, append=True) as recorder:
        with pytest.raises(QueryError, match=r"a row that predicts END, and .* have none"):
            recorder.add(prompt_ids=[1], candidates=[ended])
        with pytest.raises(
            NumbersError, match="rows of 2 logits, and those recorded before have 4"
        ):
            recorder.add(prompt_ids=[1], candidates=[narrow])
        with pytest.raises(QueryError, match="it has no prompt_ids"):
            recorder.add(prompt="x", candidates=[GOOD])
        with pytest.raises(QueryError, match="no rows of logits; give logits"):
            recorder.add(prompt_ids=[1], candidates=[{"token_ids": [1], "score": 1}])
        recorder.add(prompt_ids=[1], candidates=[GOOD])
    with pytest.raises(QueryError, match=r"recorded with end_ids=\[0\], and they are now \[1\]"):
        record(path, append=True, end_ids=[1])
    assert len(list(read_recorded(path, rows=False))) == 2


def test_some_steps_are_no_steps(tmp_path: Path) -> None:
    """A shortlist or a score at some steps only is refused, and nothing comes after END."""
    row = np.zeros(4)
    with record(tmp_path / "r.jsonl", compact=True, end_ids=[3]) as recorder:
        for more in ({"shortlist_ids": [1]}, {"score": -1}):
            query = recorder.query(prompt_ids=[])
            grown = query.candidate()
            grown.step(0, row, **more)
            grown.step(0, row)
            with pytest.raises(QueryError, match=f"{next(iter(more))} at 1 of 2 steps"), query:
                pass
        query = recorder.query(prompt_ids=[])
        grown = query.candidate()
        grown.end(row)
        with pytest.raises(QueryError, match="nothing comes after END"):
            grown.step(0, row)
        with pytest.raises(QueryError, match="give the one token that was chosen"):
            query.candidate().step([0, 1], row)
    assert files(tmp_path) == []


def test_a_candidate_survives_a_step_that_was_refused(tmp_path: Path) -> None:
    """A caller who catches the error of one step goes on with the candidate as it was."""
    path = tmp_path / "r.jsonl"
    with record(path, compact=True) as recorder, recorder.query(prompt_ids=[]) as query:
        grown = query.candidate()
        grown.step(1, np.zeros(4), score=-1)
        with pytest.raises(NumbersError):
            grown.step(1, np.full(4, np.nan), score=-1)
        with pytest.raises(WrongTypeError):
            grown.step(1, np.zeros(4), score=[])
        grown.step(2, np.zeros(4), score="-2.0")
    (found,) = json.loads(path.read_text())["candidates"]
    assert (found["token_ids"], found["token_scores"]) == ([1, 2], [-1, "-2.0"])
    assert len(found["steps"]) == 2


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("r.json", {}, r"the file ends in \.npz; give .*r\.npz', or compact=True"),
        ("r.npz", {"compact": True}, r"the file ends in \.jsonl; give .*r\.jsonl'"),
        ("r.npz", {"top": -1}, "top is -1"),
        ("r.jsonl", {"compact": True, "dtype": "float16"}, "dtype='float16' is for whole rows"),
        ("r.npz", {"end_ids": [-1]}, r"end_ids\[0\] is -1"),
        ("none/r.npz", {}, "cannot be written: No such file or directory"),
    ],
)
def test_bad_options_are_refused(
    tmp_path: Path, name: str, options: dict[str, Any], message: str
) -> None:
    """An option that cannot be kept to is refused before anything is made."""
    with pytest.raises(InputError, match=message):
        record(tmp_path / name, **options)
    assert files(tmp_path) == []
