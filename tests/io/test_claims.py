"""Claims in: which numbers are read as claims, what they are claimed of, and what is refused."""

from __future__ import annotations

import json
import math
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import logpr
from logpr._values import Candidate, Query
from logpr.auditing._record import record
from logpr.auditing.claims.printed import printed
from logpr.auditing.claims.values import ClaimRow, CompactStep, Declares, Printed
from logpr.errors import InputError, NumbersError, RecordError, UnknownNameError, WrongTypeError
from logpr.io import _claim_numbers, parse_mapping, record_of, score_record_of
from logpr.io.claims import declares_of, iter_claims, read_claims
from tests.io.files import write_rows

MAT, RUG = " warm mat", " plush rug"
ASK = {"prompt": "The cat sat on the"}


def one(row: Any, **options: Any) -> ClaimRow:  # noqa: ANN401 - any record, options of read_claims
    """Return the claims of one record."""
    (found,) = read_claims([row], **options)
    return found


def scores(row: ClaimRow) -> list[float | None]:
    """Return the numbers claimed, one a candidate."""
    return [None if claim.score is None else claim.score.value for claim in row.claims]


def texts(numbers: tuple[Printed, ...] | None) -> list[str] | None:
    """Return numbers as they were printed."""
    return None if numbers is None else [number.text for number in numbers]


def claiming(*candidates: dict[str, Any], **fields: Any) -> dict[str, Any]:  # noqa: ANN401
    """Return a record of candidates, each with a text unless it has ids."""
    named = [item if "token_ids" in item else {"text": MAT, **item} for item in candidates]
    return {**ASK, "candidates": named, **fields}


# What is a claim


def test_the_record_of_the_manual(tmp_path: Path) -> None:
    """Floats at their shortest repr, texts with their digits; the query holds no claim."""
    row = {
        "id": "q1",
        **ASK,
        "candidates": [
            {"text": MAT, "score": -2.40, "note": "n"},
            {"text": RUG, "score": "-2.30", "token_scores": [-1.2, "-1.10"]},
        ],
        "chosen": 0,
        "label": 1,
        "split": "test",
    }
    (found,) = read_claims(write_rows(tmp_path / "a.jsonl", row))
    first, second = found.claims
    assert found.where.endswith("a.jsonl:1")
    assert (found.query.id, found.query.label, found.chosen) == ("q1", 1, 0)
    assert found.query.candidates == (
        Candidate(text=MAT, extra=(("note", "n"),)),
        Candidate(text=RUG),
    )
    assert first.score == Printed(text="-2.4", value=-2.4, low=-2.45, high=-2.35, decimals=1)
    assert second.score is not None
    assert (second.score.low, second.score.high) == (-2.305, -2.295)
    assert first.token_scores is None
    assert texts(second.token_scores) == ["-1.2", "-1.10"]
    assert found.fields == {"split": "test"}
    assert found.declares == Declares(end="open", boundary="separate", bos="auto")


@pytest.mark.parametrize(
    "row",
    [
        {**ASK, "candidates": [{"text": MAT, "logprob": -2.4}, {"text": RUG, "logprob": "-2.30"}]},
        {**ASK, "candidates": [MAT, RUG], "scores": [-2.4, "-2.30"]},
        {**ASK, "candidates": [MAT, RUG], "score": [-2.4, "-2.30"]},
        {**ASK, "candidates": [{"text": MAT, "score": -2.4}, RUG], "score_1": "-2.30"},
        {**ASK, "candidate_0": MAT, "candidate_1": RUG, "score_0": -2.4, "score_1": "-2.30"},
        {**ASK, "chosen": MAT, "rejected": RUG, "scores": [-2.4, "-2.30"]},
        {"ctx": ASK["prompt"], "endings": [MAT[1:], RUG[1:]], "scores": [-2.4, "-2.30"]},
        {"question": ASK["prompt"], "choices": [MAT[1:], RUG[1:]], "scores": [-2.4, "-2.30"]},
    ],
)
def test_where_a_score_may_stand(row: dict[str, Any]) -> None:
    """In the candidate, beside the candidates, in columns; in every shape of rows."""
    found = one(row)
    assert [c.text for c in found.query.candidates] == [MAT, RUG]
    assert [None if c.score is None else c.score.text for c in found.claims] == ["-2.4", "-2.30"]
    assert found.query.prompt == ASK["prompt"]
    assert found.chosen == 1
    assert found.fields == {}


def test_token_scores_beside_texts() -> None:
    """One list a candidate, null where none was claimed; END's comes last."""
    found = one({**ASK, "candidates": [MAT, RUG], "token_scores": [[-1.2, "-0.50"], None]})
    assert [texts(claim.token_scores) for claim in found.claims] == [["-1.2", "-0.50"], None]
    assert found.chosen is None
    alone = one({**ASK, "candidates": [MAT], "token_logprobs": [-1.2, -0.5], "score": -1.7})
    assert texts(alone.claims[0].token_scores) == ["-1.2", "-0.5"]
    ended = one(claiming({"token_logprobs": [-1.2], "end_logprob": "-Infinity"}, end="stop"))
    assert texts(ended.claims[0].token_scores) == ["-1.2", "-Infinity"]
    assert ended.query.candidates == (Candidate(text=MAT),)


def test_a_candidate_may_have_no_claim() -> None:
    """Null, or nothing, is no claim; the other candidates keep theirs."""
    found = one({**ASK, "candidates": [{"text": MAT, "score": None}, RUG], "scores": [None, -1.5]})
    assert scores(found) == [None, -1.5]
    assert found.chosen == 1


def test_claims_that_no_scorer_should_print(tmp_path: Path) -> None:
    """Infinite numbers and NaN are claims, in JSON's own words and in those of Python."""
    path = tmp_path / "a.jsonl"
    row = (
        '{"prompt": "a", "candidates": ["b", "c", "d", "e"], "scores": [NaN, -Infinity, "inf", 3]}'
    )
    (found,) = read_claims(write_rows(path, row))
    nan, *others = scores(found)
    assert nan is not None
    assert math.isnan(nan)
    assert others == [-math.inf, math.inf, 3.0]
    assert found.chosen == 2


def test_decimals_are_declared() -> None:
    """What was written does not show that -2.40 had two digits; `decimals` says so."""
    score = one(claiming({"score": -2.4, "token_scores": [-2]}), decimals=2).claims[0]
    assert score.score is not None
    assert (score.score.low, score.score.high) == (-2.405, -2.395)
    assert score.token_scores is not None
    assert score.token_scores[0].decimals == 2
    for wrong in (-1, True, 1000):
        with pytest.raises(NumbersError, match=f"--decimals is {wrong}; give the digits"):
            read_claims([claiming({"score": 1})], decimals=wrong)


def test_a_mapping_names_claims(tmp_path: Path) -> None:
    """`--map score=FIELD` finds the field in the row and in its candidates."""
    mapping = parse_mapping("score=lp, token_scores=parts,prompt=ctx,arm=group", claims=True)
    rows: list[dict[str, Any]] = [
        {"ctx": "a", "candidates": [{"text": "b", "lp": -1, "score": 7}], "group": "x"},
        {"ctx": "a", "candidates": ["b", "c"], "lp": ["-1", -2], "group": "y"},
    ]
    for row in rows:
        row["parts"] = [[-1]] * len(row["candidates"])
    inside, beside = read_claims(write_rows(tmp_path / "a.jsonl", *rows), mapping=mapping)
    assert scores(inside) == [-1.0]
    # What goes by another name is no claim.
    assert inside.query.candidates[0].extra == (("score", 7),)
    assert scores(beside) == [-1.0, -2.0]
    assert [inside.arm, beside.arm] == ["x", "y"]
    assert beside.fields == {}
    pair = {"p": "a", "good": "b", "bad": "c", "g": -1, "b": "-2"}
    named = {"prompt": "p", "chosen": "good", "rejected": "bad", "score_0": "g", "score_1": "b"}
    assert scores(one(pair, mapping=named)) == [-1.0, -2.0]
    taken = one(
        {**ASK, "candidates": ["b", "c"], "scores": [1, 2], "pick": 0}, mapping={"chosen": "pick"}
    )
    assert taken.chosen == 0


def test_claims_are_no_fields_elsewhere() -> None:
    """Only a reader of claims knows their names."""
    with pytest.raises(UnknownNameError, match="no record has a field 'score'"):
        parse_mapping("score=lp")
    with pytest.raises(
        UnknownNameError, match=r"no record has a field 'points'; known are .*score"
    ):
        read_claims([], mapping={"points": "lp"})
    with pytest.raises(UnknownNameError, match="our name stands first: --map score=lp"):
        parse_mapping("lp=score", claims=True)


def test_csv_keeps_the_digits(tmp_path: Path) -> None:
    """A cell is text, and so are the numbers in a list or an object of JSON in it."""
    path = tmp_path / "a.csv"
    head = "id,prompt,candidate_0,candidate_1,score_0,score_1,chosen,arm,declares\n"
    path.write_text(head + 'q,a,b,c,-2.30,,0,7,"{""rule"": ""per_token""}"\n', encoding="utf-8")
    (found,) = read_claims(str(path))
    assert [None if c.score is None else c.score.text for c in found.claims] == ["-2.30", None]
    assert (found.chosen, found.arm, found.declares.rule) == (0, "7", "per_token")
    assert found.fields == {}
    path.write_text(
        "prompt,candidates,scores,token_scores\n"
        'a,"[""b"", ""c""]","[-2.30, NaN]","[[-1.10], null]"\n'
        'a,"[{""text"": ""b"", ""score"": -2.30, ""n"": 1.50}]",,\n'
        'a,"[""b""]",-2.30,\n',
        encoding="utf-8",
    )
    beside, inside, single = read_claims(str(path))
    assert [c.score.text for c in beside.claims if c.score is not None] == ["-2.30", "NaN"]
    assert texts(beside.claims[0].token_scores) == ["-1.10"]
    assert inside.claims[0].score == single.claims[0].score == beside.claims[0].score
    assert inside.query.candidates[0].extra == (("n", 1.5),)


def test_parquet(tmp_path: Path) -> None:
    """A table's structs and lists are read as records are."""
    parquet = pytest.importorskip("pyarrow.parquet")
    pyarrow = pytest.importorskip("pyarrow")
    rows = [claiming({"score": -2.25, "token_scores": [-1.0, -math.inf]}, arm="a")]
    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "a.parquet")
    (found,) = read_claims(str(tmp_path / "a.parquet"))
    assert scores(found) == [-2.25]
    assert texts(found.claims[0].token_scores) == ["-1.0", "-Infinity"]
    assert found.where.endswith("a.parquet: row 1")


# What logpr itself wrote, and what the caller holds


@pytest.mark.parametrize("end", ["open", "stop"])
def test_our_own_output_is_a_claim(tmp_path: Path, end: Any) -> None:  # noqa: ANN401 - End
    """A ranking, or its record: its log-probabilities are claims, and the query has none."""
    query = Query.of("The cat", [{"text": " sat", "score": 5}, " on the mat"], end=end, id="q")
    ranking = logpr.rank("The cat", [" sat", " on the mat"], end=end, model="builtin")
    record = {**record_of(ranking, tokens=True, query=query), "id": "q"}
    (found,) = read_claims(write_rows(tmp_path / "a.jsonl", record))
    assert scores(found) == [score.logprob for score in ranking.candidates]
    for claim, score in zip(found.claims, ranking.candidates, strict=True):
        assert claim.token_scores is not None
        numbers = [number.value for number in claim.token_scores]
        assert numbers == [*(score.token_logprobs or ()), *([score.end_logprob] * (end == "stop"))]
    assert [(c.text, c.token_ids, c.needs_model) for c in found.query.candidates] == [
        (" sat", None, True),
        (" on the mat", None, True),
    ]
    assert found.query.candidates[0].extra == (("score", 5),)
    assert (found.query.prompt, found.query.end, found.chosen) == ("The cat", end, ranking.best)
    assert found.fields == {}
    (same,) = read_claims([ranking], declares=Declares(rule="per_token", unit="bits"))
    assert same.claims == found.claims
    assert (same.declares.rule, same.declares.unit, same.declares.end) == ("logprob", "nats", end)


def test_our_own_scores_and_rankings_without_tokens() -> None:
    """Without its tokens a record has no prompt: its numbers can be looked at, but not computed."""
    ranking = logpr.rank("The cat", [" sat", " on"], end="stop", model="builtin")
    for row in (record_of(ranking), score_record_of(ranking.candidates, id=None)):
        found = one(row)
        assert found.query.prompt is None
        assert scores(found) == [score.logprob for score in ranking.candidates]
        assert all(claim.token_scores is None for claim in found.claims)
        with pytest.raises(RecordError, match="write it with --tokens, which keeps the prompt"):
            one(row, needs_prompt=True)


def test_rankings_of_ids_keep_what_was_fed() -> None:
    """A ranking of messages or ids is audited over the ids that were fed, start token and all."""
    ranking = logpr.rank(
        prompt_ids=[353, 1890], candidates=[" a", [260]], bos="always", model="builtin"
    )
    query = one(ranking).query
    again = logpr.rank(
        prompt_ids=query.prompt_ids, candidates=query.candidates, bos=query.bos, model="builtin"
    )
    assert query.prompt_ids == ranking.candidates[0].prompt_ids
    assert [s.logprob for s in again.candidates] == [s.logprob for s in ranking.candidates]


def test_a_joint_ranking_declares_its_boundary() -> None:
    """What a ranking knows of its boundary is declared; a record of bounds is of `marginal`."""
    joint = logpr.rank("The cat", [" sat"], boundary="joint", model="builtin")
    assert one(joint).declares.boundary == one(joint).query.boundary == "joint"
    marginal = logpr.rank("The cat", [" sat"], boundary="marginal", model="builtin")
    assert one(record_of(marginal, tokens=True)).declares.boundary == "marginal"


def test_records_of_python() -> None:
    """Dicts, queries and triples; NumPy's numbers at the repr of their own width."""
    narrow = np.array([-2.3, -1.5], dtype=np.float32)
    triple = ("a", ["b", "c"], narrow)
    query = Query.of("a", [{"text": "b", "score": "-2.3"}, {"text": "c", "score": -1.5}])
    dicts = {"prompt": "a", "candidates": ({"text": "b", "score": narrow[0]}, {"text": "c"})}
    rows = read_claims([triple, query, {**dicts, "score_1": np.float64(-1.5)}])
    assert [row.where for row in rows] == ["record 0", "record 1", "record 2"]
    assert rows[0].claims == rows[1].claims == rows[2].claims
    logits = np.array([[0.1, 0.2]], dtype=np.float32)
    (given_logits,) = read_claims([claiming({"token_ids": [1], "logits": logits, "score": -1})])
    assert given_logits.query.candidates[0].logits == (tuple(map(float, logits[0])),)


@pytest.mark.parametrize("compact", [False, True])
def test_a_recording_is_a_file_of_claims(tmp_path: Path, compact: bool) -> None:  # noqa: FBT001
    """What a scorer recorded is read with its evidence, whole rows or compact steps."""
    path = tmp_path / ("dump.jsonl" if compact else "dump.npz")
    row, ended = [0.5, 1.5, -1.0], [0.0, 0.0, 2.0]
    candidate = {"token_ids": [1], "logits": np.array([row, ended]), "score": "-2.30"}
    with record(path, compact=compact, top=2, end_ids=[2]) as recorder:
        recorder.add(prompt_ids=[0, 2], candidates=[candidate, candidate], chosen=1, id="q")
    (found,) = read_claims(str(path))
    assert (found.query.prompt_ids, found.query.id, found.chosen) == ((0, 2), "q", 1)
    assert [claim.score for claim in found.claims] == [printed("-2.30")] * 2
    first, claim = found.query.candidates[0], found.claims[0]
    assert first.token_ids == (1,)
    if not compact:
        assert first.logits == (tuple(row), tuple(ended))
        assert found.where == f"{path}: record 0"
        return
    assert first.logits is None
    assert claim.steps is not None
    assert [(step.token_id, step.logit, step.top_ids) for step in claim.steps] == [
        (1, 1.5, (1, 0)),
        (-1, 2.0, (2, 0)),
    ]


def test_they_are_read_one_at_a_time() -> None:
    """Nothing is read before it is asked for, and a bad row ends the reading where it stands."""

    def records() -> Any:  # noqa: ANN401 - a generator of records
        yield claiming({"score": -1})
        yield claiming({"score": "abc"})

    rows = iter_claims(records())
    assert scores(next(rows)) == [-1.0]
    with pytest.raises(
        RecordError, match=r"^record 1: field 'candidates\[0\]\.score': 'abc' is no"
    ):
        next(rows)


def test_what_is_no_source(unchecked: None) -> None:
    """One record is not a list of them, and no record at all is nothing to audit."""
    del unchecked
    wrong: list[Any] = [claiming({"score": 1}), b"a.jsonl", 3]
    for source in wrong:
        with pytest.raises(WrongTypeError, match=r"claims are a path, or a list of records; found"):
            read_claims(source)
    with pytest.raises(RecordError, match="the list of claims is empty"):
        read_claims([])
    for other in (["claims.jsonl"], [True], [None, 3]):
        with pytest.raises(RecordError, match=r"record 0: a record is a dict, a logpr\.Ranking"):
            read_claims(other)


# Numbers alone


@pytest.mark.parametrize(
    ("name", "text"),
    [
        pytest.param("numbers.txt", "-2.30\n-4.125\n\n null\n", id="lines"),
        pytest.param(
            "numbers", "\ufeffscore\r\n-2.30\r\n-4.125\r\nnull\r\n", id="no-suffix-windows"
        ),
        pytest.param("column.csv", '"the score"\n"-2.30"\n-4.125\nnull\n', id="csv"),
        pytest.param("bare.csv", "-2.30\n-4.125\nnull\n", id="csv-without-header"),
        pytest.param("score.csv", "1st\n-2.30\n-4.125\n", id="name-with-a-digit"),
        pytest.param("list.json", '[-2.30,\n "-4.125", null]', id="json"),
        pytest.param("row.jsonl", '{"scores": ["-2.30", "-4.125", null]}\n', id="record"),
        pytest.param("cells.csv", "score_0,score_1,score_2\n-2.30,-4.125,\n", id="columns"),
    ],
)
def test_numbers_alone_are_one_record(tmp_path: Path, name: str, text: str) -> None:
    """Nothing but numbers is one record, whose candidates have a score and nothing else."""
    path = tmp_path / name
    path.write_bytes(text.encode())
    (row,) = read_claims(str(path))
    assert row.query.prompt is None
    assert {(each.text, each.token_ids) for each in row.query.candidates} == {(None, None)}
    found = [None if claim.score is None else claim.score.text for claim in row.claims]
    assert found[:2] == ["-2.30", "-4.125"]
    assert found[2:] in ([None], [])
    with pytest.raises(RecordError, match=r"nothing that says what they are of.*\"prompt\""):
        read_claims(str(path), needs_prompt=True)


def test_numbers_of_python() -> None:
    """A list of numbers, or an array, is one record; float32 keeps the digits it has."""
    for numbers in ([-2.3, "-4.10", None], np.array([-2.3, -4.1], dtype=np.float32)):
        (row,) = read_claims(numbers)
        assert scores(row)[:2] == [-2.3, -4.1]
        assert row.query.candidates[0] == Candidate()
    assert [claim.score and claim.score.text for claim in one({"score": -1.5}).claims] == ["-1.5"]
    assert [texts(claim.token_scores) for claim in one({"token_scores": [-1, -2]}).claims] == [
        ["-1", "-2"]
    ]
    with pytest.raises(RecordError, match=r"record 0: field 'scores\[1\]': .*found \{\}"):
        read_claims([-1.0, {}])


@given(st.lists(st.floats(), min_size=1), st.sampled_from(("txt", "csv", "json")))
def test_a_column_goes_round(numbers: list[float], kind: str) -> None:
    """Every float comes back as it was written, one a line or in a JSON list."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"numbers.{kind}")
        listed = json.dumps(numbers)
        path.write_text(listed if kind == "json" else "\n".join(map(repr, numbers)), "utf-8")
        (row,) = read_claims(str(path))
    assert list(map(repr, scores(row))) == list(map(repr, numbers))


def test_a_column_of_another_name(tmp_path: Path) -> None:
    """--map names the column; a file that lacks it, or has texts, is no column of numbers."""
    path = tmp_path / "a.csv"
    path.write_text("mine\n-2.30\n", "utf-8")
    assert scores(*read_claims(str(path), mapping={"score": "mine"})) == [-2.3]
    for mapping in ({"score": "other"}, {"prompt": "mine", "score": "x"}):
        with pytest.raises(RecordError, match="--map"):
            read_claims(str(path), mapping=mapping)
    path.write_text("model,score\nA,-2.30\n", "utf-8")
    with pytest.raises(RecordError, match="no shape is known with 'model', 'score'"):
        read_claims(str(path))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("-1\n-2\nmat\n", r"numbers\.txt:3: 'mat' is no number.*one a line.*\"prompt\""),
        ("-1\n1,5\n", r"numbers\.txt:2: '1,5' is no number, and the lines before it are"),
        ("1,5\n-1\n", r"numbers\.txt:1: '1,5' is no number, and the lines after it are"),
        ("-1\n50%\n", r"found '50%', a percentage"),
        ("[" + "-1, " * 30_000 + '"mat"]', r"entry 30000 is 'mat'.*\"prompt\""),
        ("[" + "-1, " * 30_000, r"the JSON is malformed"),
    ],
)
def test_something_else_among_numbers(tmp_path: Path, text: str, says: str) -> None:
    """What is no number is named with its line, and what to write instead."""
    path = tmp_path / "numbers.txt"
    path.write_text(text, "utf-8")
    with pytest.raises(RecordError, match=says):
        read_claims(str(path))


def test_columns_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of numbers has a most, and the message says how to take a part."""
    monkeypatch.setattr(_claim_numbers, "LARGEST", 1 << 20)
    path = tmp_path / "numbers.txt"
    path.write_text("-1.25\n" * 200_000, "utf-8")
    with pytest.raises(RecordError, match=r"more than 1 MiB.*head -n"):
        read_claims(str(path))


# What is declared, and what was taken


def test_declarations_and_their_order() -> None:
    """The row's `declares` goes before its own fields, these before the arguments."""
    row = claiming({"score": 1}, end="open", declares={"unit": "bits", "bos": "never"})
    options: dict[str, Any] = {"end": "open", "boundary": "joint", "bos": "always"}
    argument = Declares(rule="per_char", end="stop", unit="log10")
    found = one(row, declares=argument, **options)
    assert found.declares == Declares(
        rule="per_char", end="open", boundary="joint", bos="never", unit="bits"
    )
    assert (found.query.end, found.query.boundary, found.query.bos) == ("open", "joint", "never")
    stopped = one(claiming({"score": 1}), declares=argument)
    assert stopped.declares.end == stopped.query.end == "stop"
    chat = {"messages": [{"role": "user", "content": "Hi"}], "candidates": ["b"], "score": 1}
    assert one(chat).declares.end == "stop"
    assert declares_of({"rule": "length_penalty(0.60)"}).rule == "length_penalty(0.6)"


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        ("bits", r"field 'declares': an object is wanted, found 'bits'"),
        ({"units": "bits"}, r"field 'declares': found the key 'units'; known are rule, end,"),
        ({"unit": "bit"}, r"field 'declares\.unit': found 'bit'; known are nats, bits"),
        ({"end": ["stop"]}, r"field 'declares\.end': found \['stop'\]; known are open, stop"),
        ({"boundary": "merged"}, r"field 'declares\.boundary': found 'merged'; known are separate"),
        ({"bos": True}, r"field 'declares\.bos': found True; known are auto"),
        ({"rule": "mean"}, r"field 'declares\.rule': found 'mean'; known are logprob, per_token"),
        ({"rule": "vocab_subset"}, r"field 'declares\.rule': found 'vocab_subset'; known are"),
        ({"rule": "length_penalty"}, r"length_penalty takes a number, e\.g\."),
        ({"rule": 3}, r"field 'declares\.rule': found 3; known are"),
    ],
)
def test_declarations_that_say_nothing(declared: Any, message: str) -> None:  # noqa: ANN401
    """An unknown key or word is named, with the known ones."""
    with pytest.raises(RecordError, match=message):
        one(claiming({"score": 1}, declares=declared))


def test_declared_from_python() -> None:
    """The same words are refused where they are an argument."""
    with pytest.raises(UnknownNameError, match=r"declares\.rule: found 'mean'; known are"):
        read_claims([claiming({"score": 1})], declares=Declares(rule="mean"))


@pytest.mark.parametrize(
    ("numbers", "declared", "chosen"),
    [
        ([-3, -1, -1], {}, 1),
        ([-3, -1, -1], {"rule": "bits_per_byte"}, 0),
        ([3, 1, 2], {"unit": "perplexity"}, 1),
        (["nan", -5, "-inf"], {}, 1),
        (["nan", 5, "inf"], {"unit": "perplexity"}, 1),
        (["nan", "nan", None], {}, None),
        ([0.1, 0.9, None], {"rule": "choice_prob"}, 1),
    ],
)
def test_the_best_claim_was_taken(
    numbers: list[Any], declared: dict[str, str], chosen: int | None
) -> None:
    """The largest, or the smallest where less is better; ties go to the first, NaN to none."""
    row = {**ASK, "candidates": ["a", "b", "c"], "scores": numbers, "declares": declared}
    assert one(row).chosen == chosen
    assert one({**row, "chosen": 2}).chosen == 2


# Evidence


def test_evidence_is_read() -> None:
    """Rows, shortlists and compact steps; logits go to the query, nothing else does."""
    log2 = -math.log(2.0)
    step = {
        "token_id": 1,
        "logit": 0.5,
        "logz": 2,
        "top_ids": [1, 0],
        "top_logits": [0.5, "-Infinity"],
    }
    end = {"token_id": -1, "shortlist_ids": [0], "shortlist_logits": [1]}
    row = claiming(
        {"token_ids": [1], "score": -1, "logits": [[0, 1]], "shortlist_ids": [[0, 1], []]},
        {"token_ids": [0], "score": -1, "logprobs": [[log2, log2], [0, "-Infinity"]]},
        {"token_ids": [1], "score": -1, "steps": [step, end]},
    )
    found = one(row)
    assert found.query.candidates == (
        Candidate(token_ids=(1,), logits=((0.0, 1.0),)),
        Candidate(token_ids=(0,)),
        Candidate(token_ids=(1,)),
    )
    assert found.claims[0].shortlist_ids == ((0, 1), ())
    assert found.claims[1].logprobs == ((log2, log2), (0.0, -math.inf))
    assert found.claims[2].steps == (
        CompactStep(token_id=1, logit=0.5, logz=2.0, top_ids=(1, 0), top_logits=(0.5, -math.inf)),
        CompactStep(token_id=-1, shortlist_ids=(0,), shortlist_logits=(1.0,)),
    )
    # A compact record may have its ids in its steps alone.
    bare = one({**ASK, "candidates": [{"score": -1, "steps": [step, end]}]})
    assert bare.query.candidates == (Candidate(token_ids=(1,)),)


def test_claims_of_another_length_than_the_tokens_are_kept() -> None:
    """A number of token scores that does not fit the tokens is evidence of a fault."""
    found = one(claiming({"token_ids": [1, 2], "token_scores": [-1]}))
    assert texts(found.claims[0].token_scores) == ["-1"]


def test_rows_without_a_prompt() -> None:
    """They may be looked at, and where a model has to be asked they are refused."""
    bare: dict[str, Any] = {"id": 3, "candidates": [{"text": "b", "score": -1}]}
    found = one(bare, sep=" ")
    assert (found.query.prompt, found.query.messages, found.query.prompt_ids) == (None, None, None)
    assert found.query.candidates[0].text == " b"
    with pytest.raises(RecordError, match=r"no prompt among its fields \('id', 'candidates'\)"):
        one(bare, needs_prompt=True)
    step = {"score": -1, "steps": [{"token_id": 1}]}
    rows = {"score": -1, "token_ids": [0], "logits": [[1, 2]]}
    assert one({"candidates": [step, rows]}, needs_prompt=True).query.prompt is None
    with pytest.raises(RecordError, match="or leave out the model"):
        one({"candidates": [step, {"text": "b"}]}, needs_prompt=True)
    logits = {"candidates": [{"score": -1, "token_ids": [0], "logits": [[1, 2]]}]}
    assert one(logits, needs_prompt=True).query.prompt == ""
    assert one({**bare, "x": "a"}, template="{{x}}", needs_prompt=True).query.prompt == "a"
    with pytest.raises(RecordError, match=r"field 'ctx': --map prompt=ctx names it, and the row"):
        one(bare, mapping={"prompt": "ctx"})
    with pytest.raises(RecordError, match="no shape is known"):
        one({"question": "a", "candidates": ["b"], "score": 1})


STEP = {"token_id": 1}
BAD: list[tuple[dict[str, Any], str]] = [
    ({**ASK, "candidates": [MAT]}, r"^record 0: nothing was claimed: add \"score\""),
    (claiming({"score": None}), r"nothing was claimed"),
    (claiming({"score": True}), r"'candidates\[0\]\.score': a number is wanted, found True"),
    (claiming({"score": [1]}), r"'candidates\[0\]\.score': a number is wanted, found \[1\]"),
    (claiming({"score": "1,5"}), r"'candidates\[0\]\.score': '1,5' has something between"),
    (claiming({"score": 10**400}), r"'candidates\[0\]\.score': a whole number of 1329 bits"),
    (claiming({"token_scores": -1}), r"'candidates\[0\]\.token_scores': a list of numbers"),
    (
        claiming({"token_scores": [-1, None]}),
        r"'candidates\[0\]\.token_scores\[1\]': a number is wanted, found None",
    ),
    (claiming({"score": 1, "logprob": 1}), r"found 'score' and 'logprob': which is the claim\?"),
    (claiming({"score": 1}, scores=[1]), r"'scores\[0\]': .*for the same candidate, 'candidates"),
    (claiming({"score": 1}, score_0=1), r"for the same candidate there is 'score_0'; leave one"),
    (claiming({}, scores=[1], score_0=1), r"found 'scores' and 'score_0'"),
    (claiming({}, scores=[1], logprob=[1]), r"found 'scores' and 'logprob'"),
    (claiming({}, scores=[1, 2]), r"field 'scores': found 2 for 1 candidates; give one each"),
    (claiming({}, {}, scores=1), r"field 'scores': a list is wanted, one entry a candidate"),
    (claiming({}, scores={"a": 1}), r"field 'scores': a number is wanted, found \{'a': 1\}"),
    (claiming({}, {}, scores=["1", "x"]), r"field 'scores\[1\]': 'x' is no number"),
    (claiming({}, {}, token_scores=[[1]]), r"field 'token_scores': found 1 for 2 candidates"),
    (claiming({"score": 1}, score_1=1), r"field 'score_1': there are 1 candidates"),
    (claiming({"end_logprob": -1}), r"'candidates\[0\]\.end_logprob': it is the last of a cand"),
    (claiming({}, {}, scores=["12%", 0.5]), r"field 'scores': found '12%', a percentage, beside"),
    (
        claiming({"token_scores": ["12%", 1]}),
        r"field 'candidates\[0\]\.token_scores': found '12%', a percentage, beside '1'",
    ),
    ({**ASK, "candidates": [{"score": 1}]}, r"'candidates\[0\]': a candidate has \"text\" or"),
    (claiming({"score": 1}, chosen=1), r"field 'chosen': found 1, and there are 1 candidates"),
    (claiming({"score": 1}, chosen=-1), r"field 'chosen': found -1"),
    (claiming({"score": 1}, chosen="b"), r"field 'chosen': found 'b'; chosen is the index"),
    (claiming({"score": 1}, chosen=True), r"field 'chosen': found True; chosen is the index"),
    (claiming({"score": 1}, arm=1.5), r"field 'arm': the name of an arm is wanted, found 1.5"),
    (claiming({"score": 1}, label=4), r"field 'label': found 4, and there are 1 candidates"),
    (claiming({"score": 1}, shortlist_ids=[[1]]), r"'shortlist_ids': they belong to one candidate"),
    (
        claiming({"score": 1, "token_ids": [1], "shortlist_ids": [[1], [2], [3]]}),
        r"'candidates\[0\]\.shortlist_ids': found 3 lists and 1 token_ids",
    ),
    (
        claiming({"score": 1, "shortlist_ids": [1, 2]}),
        r"'candidates\[0\]\.shortlist_ids\[0\]': a list of token ids is wanted, found 1",
    ),
    (
        claiming({"score": 1, "shortlist_ids": [[-1]]}),
        r"'candidates\[0\]\.shortlist_ids\[0\]': a list of token ids is wanted, found \[-1\]",
    ),
    (
        claiming({"score": 1, "token_ids": [1], "steps": [{"token_id": 2}]}),
        r"'candidates\[0\]\.steps\[0\]\.token_id': found the token 2, and .* have 1 there",
    ),
    (
        claiming({"score": 1, "token_ids": [1, 1], "steps": [STEP]}),
        r"'candidates\[0\]\.steps': found 1 steps and 2 token_ids",
    ),
    (claiming({"score": 1, "steps": [3]}), r"steps\[0\]': an object with \"token_id\" is wanted"),
    (claiming({"score": 1, "steps": {}}), r"steps': a list of objects, one a step, is wanted"),
    (claiming({"score": 1, "steps": [{"token_id": -2}]}), r"steps\[0\]\.token_id': a token id"),
    (claiming({"score": 1, "steps": [{**STEP, "u": 1}]}), r"steps\[0\]': found the key 'u'; known"),
    (
        claiming({"score": 1, "steps": [{**STEP, "logz": "inf"}]}),
        r"steps\[0\]\.logz': a number is wanted, found 'inf'",
    ),
    (
        claiming({"score": 1, "steps": [{**STEP, "top_ids": [1], "top_logits": []}]}),
        r"steps\[0\]\.top_logits': found 0 logits and 1 top_ids",
    ),
    (
        claiming({"score": 1, "steps": [{**STEP, "shortlist_logits": [1]}]}),
        r"steps\[0\]\.shortlist_logits': found 1 logits and no shortlist_ids",
    ),
    (claiming({"score": 1, "logprobs": [[0]]}), r"'candidates\[0\]\.logprobs': .* no token_ids"),
    (
        claiming({"score": 1, "token_ids": [0], "logprobs": [[0]] * 3}),
        r"'candidates\[0\]\.logprobs': found 3 rows and 1 token_ids",
    ),
    (
        claiming({"score": 1, "token_ids": [0], "logprobs": [[5, 1]]}),
        r"logprobs\[0\]': its log-probabilities sum to a probability of exp\(5\.018\) and not to 1",
    ),
    (
        claiming({"score": 1, "token_ids": [0], "logprobs": [["-Infinity"]]}),
        r"sum to a probability of exp\(-inf\)",
    ),
    (
        claiming({"score": 1, "token_ids": [0], "logprobs": [["x"]]}),
        r"'candidates\[0\]\.logprobs': row 0: entry 0 is 'x', no number",
    ),
    (
        claiming({"score": 1, "token_ids": [0, 1], "logits": [[1, 2]]}),
        r"found 1 rows of logits and 2 token_ids",
    ),
    (
        claiming(
            {"score": 1, "token_ids": [0], "logits": [[1, 2]]},
            {"score": 1, "token_ids": [0], "logits": [[1, 2, 3]]},
        ),
        r"'candidates\[1\]\.logits': its rows have 3 entries and those of .*\[0\]\.logits 2",
    ),
    (
        claiming({"score": 1, "token_ids": [2], "logits": [[1, 2]]}),
        r"'candidates\[0\]\.logits': its rows have 2 entries, and its token_ids 2, which is none",
    ),
]


@pytest.mark.parametrize(("row", "message"), BAD)
def test_what_is_refused(row: dict[str, Any], message: str) -> None:
    """Place, field, value and a way out, in one message."""
    with pytest.raises(RecordError, match=message) as raised:
        one(row)
    assert str(raised.value).startswith("record 0: ")


def test_faults_of_a_file_have_its_line_and_its_names(tmp_path: Path) -> None:
    """The file, the line and the field as the file spells it; an id twice is refused as ever."""
    path = tmp_path / "a.jsonl"
    good = {"id": 1, "ctx": "a", "endings": ["b"], "lp": [-1]}
    source = write_rows(path, good, "", {**good, "id": 2, "lp": ["x"]})
    with pytest.raises(RecordError, match=r"a\.jsonl:3: field 'lp\[0\]': 'x' is no number"):
        read_claims(source, mapping={"score": "lp"})
    with pytest.raises(RecordError, match=r"a\.jsonl:1: field 'points': --map score=points names"):
        read_claims(source, mapping={"score": "points"})
    with pytest.raises(
        RecordError, match=r"a\.jsonl:2: field 'id': found 1, the id of .*:1 already"
    ):
        read_claims(write_rows(path, good, good), mapping={"score": "lp"})
    with pytest.raises(RecordError, match=r"a\.jsonl:1: the JSON is malformed"):
        read_claims(write_rows(path, "{"))
    path.write_text("")
    with pytest.raises(RecordError, match=r"a\.jsonl is empty"):
        read_claims(str(path))
    table = tmp_path / "a.csv"
    table.write_text("prompt,candidate_0,scores\na,b,[1\n")
    with pytest.raises(RecordError, match=r"a\.csv:2: field 'scores': JSON is wanted in the cell"):
        read_claims(str(table))
    table.write_text("id,place,text,logprob,score\n1,0,b,-1,1\n")
    with pytest.raises(RecordError, match="this is a table that logpr wrote"):
        read_claims(str(table))


# Laws

PRINTED = st.floats(-50, 5).map(lambda x: f"{x:.3f}") | st.floats(-50, 5) | st.integers(-50, 5)
NUMBER = PRINTED | st.sampled_from(["nan", "-inf", "Infinity"])
CANDIDATE = st.fixed_dictionaries(
    {"text": st.text(st.characters(codec="utf-8"), min_size=1, max_size=8)},
    optional={"score": NUMBER, "token_scores": st.lists(NUMBER, max_size=4), "note": st.integers()},
).filter(lambda item: "score" in item or "token_scores" in item)


@given(st.lists(CANDIDATE, min_size=1, max_size=4))
def test_claims_go_round(candidates: list[dict[str, Any]]) -> None:
    """In the candidates or beside them, in Python or as JSON: the same numbers, digits and all."""
    inside = one({**ASK, "candidates": candidates})
    names = ("score", "token_scores")
    beside = {
        **ASK,
        "candidates": [
            {name: value for name, value in item.items() if name not in names}
            for item in candidates
        ],
        "scores": [item.get("score") for item in candidates],
        "token_scores": [item.get("token_scores") for item in candidates],
    }
    if all("token_scores" not in item for item in candidates):
        del beside["token_scores"]
    # NaN is not itself, so what was read is compared as text.
    assert repr(one(beside).claims) == repr(inside.claims)
    assert one(json.loads(json.dumps(beside))).query == inside.query
    for item, claim in zip(candidates, inside.claims, strict=True):
        assert (claim.score is None) == ("score" not in item)
        if claim.score is not None:
            assert claim.score.text == str(item["score"])
    best = [value for value in scores(inside) if value is not None and not math.isnan(value)]
    if best:
        assert inside.chosen is not None
        assert scores(inside)[inside.chosen] == max(best)
    else:
        assert inside.chosen is None


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.floats()
    | st.integers(-3, 3)
    | st.sampled_from(["a", "-1.5", "%"]),
    lambda item: (
        st.lists(item, max_size=3)
        | st.dictionaries(
            st.sampled_from(["token_id", "logit", "rule", "text", "score"]), item, max_size=3
        )
    ),
    max_leaves=6,
)
ITEM_FIELDS = [
    "score",
    "logprob",
    "token_scores",
    "end_logprob",
    "shortlist_ids",
    "logprobs",
    "steps",
]
ROW_FIELDS = ["scores", "score_0", "token_scores", "chosen", "arm", "declares", "warnings", "label"]


@given(
    st.dictionaries(st.sampled_from([*ITEM_FIELDS, "token_ids", "logits"]), JSON),
    st.dictionaries(st.sampled_from(ROW_FIELDS), JSON),
)
def test_anything_is_claims_or_a_named_error(item: dict[str, Any], row: dict[str, Any]) -> None:
    """Whatever stands in the fields of claims, the answer is claims or one of our errors."""
    try:
        found = one({**ASK, "candidates": [{"text": "b", **item}, "c"], **row})
    except InputError as error:
        assert str(error).startswith("record 0: ")  # noqa: PT017 - the message is the point
    else:
        assert len(found.claims) == 2
        assert all(candidate.token_logprobs is None for candidate in found.query.candidates)
