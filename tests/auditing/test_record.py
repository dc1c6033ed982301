"""The recorder: what was handed over comes back, in its own type and digits."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import tempfile
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import logpr
from logpr.auditing._record import read_recorded, record
from logpr.auditing._recording.compact import compact_step
from logpr.errors import NumbersError
from logpr.io.claims import read_claims
from logpr.models.logits import LogitsModel
from tests.auditing.recording import FILES, VOCAB, candidate, files, opened

ANY = st.characters(exclude_categories=[])  # line separators and lone surrogates too


@st.composite
def records(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Draw arguments of `add` whose rows are of several types."""
    numbers = st.floats(-9, 9, width=16) | st.just(-math.inf)

    def one(number: int) -> dict[str, Any]:
        count = draw(st.integers(1, 3))
        dtype = draw(st.sampled_from([np.float16, np.float32, np.float64]))
        rows = draw(hnp.arrays(dtype, (count, VOCAB), elements=numbers))
        rows[:, number % VOCAB] = dtype(1 / 3)  # not every entry is -inf
        tokens = st.lists(st.integers(0, VOCAB - 1), min_size=count, max_size=count)
        more: dict[str, Any] = {}
        if draw(st.booleans()):
            more["score"] = draw(st.sampled_from(["-2.30", -1.5, "nonsense 3 %", 7]))
        if draw(st.booleans()):
            more["token_scores"] = draw(st.lists(st.floats(-9, 0), max_size=3))
        if draw(st.booleans()):
            more["text"] = draw(st.text(ANY, max_size=3))
        return {"token_ids": draw(tokens), "logits": rows, **more}

    return [
        {
            "id": draw(st.none() | st.integers() | st.text(ANY, max_size=3)),
            "prompt_ids": draw(st.lists(st.integers(0, VOCAB - 1), max_size=3)),
            "candidates": [one(n) for n in range(draw(st.integers(1, 3)))],
            "arm": draw(st.sampled_from([None, "A"])),
        }
        for _ in range(draw(st.integers(1, 4)))
    ]


@given(records(), st.integers(0, 4))
def test_whole_rows_come_back(given_: list[dict[str, Any]], cut: int) -> None:
    """All that was given comes back, rows bit by bit, though the file was appended to midway."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "r.npz"
        for part in (given_[:cut], given_[cut:]):
            with record(path, append=True) as recorder:
                for one in part:
                    recorder.add(**one)
        found = list(read_recorded(path))
        assert files(path.parent) == ["r.npz"]
    assert len(found) == len(given_)
    for one, back in zip(given_, found, strict=True):
        assert back["prompt_ids"] == one["prompt_ids"]
        assert (back.get("id"), back.get("arm")) == (one["id"], one["arm"])
        assert len(back["candidates"]) == len(one["candidates"])
        for want, got in zip(one["candidates"], back["candidates"], strict=True):
            assert np.array_equal(got.pop("logits"), want["logits"])
            assert got == {name: want[name] for name in want if name != "logits"}


@given(records(), st.integers(0, VOCAB + 1))
def test_compact_steps_are_the_rows_numbers(given_: list[dict[str, Any]], top: int) -> None:
    """Chosen logit, logz and the best tokens are those of the row in float64; no row is kept."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "r.jsonl"
        with record(path, compact=True, top=top) as recorder:
            for one in given_:
                recorder.add(**one)
        found = [json.loads(line) for line in path.read_text().splitlines()]
    for one, back in zip(given_, found, strict=True):
        for want, got in zip(one["candidates"], back["candidates"], strict=True):
            assert set(got) - {"score", "token_scores", "text"} == {"token_ids", "steps"}
            for row, token, step in zip(
                want["logits"], want["token_ids"], got["steps"], strict=True
            ):
                values = [float(value) for value in row]
                logit = values[token]
                assert step["logit"] == ("-Infinity" if logit == -math.inf else logit)
                logz = math.log(math.fsum(math.exp(value) for value in values))
                assert step["logz"] == pytest.approx(logz, abs=1e-13)
                best = sorted(range(VOCAB), key=lambda i: (-values[i], i))[:top]
                best = [i for i in best if values[i] > -math.inf]
                assert step["top_ids"] == best
                assert step["top_logits"] == [values[i] for i in best]


def test_a_dump_is_a_model(tmp_path: Path) -> None:
    """The dump opens as recorded logits, and the model says log Pr of what was recorded."""
    path = tmp_path / "r.npz"
    one, two = candidate(1), candidate(2, 3)
    with record(path) as recorder:
        recorder.add(prompt_ids=[1, 2], candidates=[one])
        recorder.add(prompt_ids=[3], candidates=[two])
    lm = logpr.load(f"logits:{path}")
    for prompt_ids, given_ in (([1, 2], one), ([3], two)):
        found = logpr.score(prompt_ids=prompt_ids, candidate_ids=given_["token_ids"], model=lm)
        rows = given_["logits"].astype(np.float64)
        expected = sum(
            row[token] - math.log(math.fsum(np.exp(row)))
            for row, token in zip(rows, given_["token_ids"], strict=True)
        )
        assert found.logprob == pytest.approx(expected, abs=1e-12)


def test_end_has_a_row_of_its_own(tmp_path: Path) -> None:
    """A row more predicts END: the model has it, and a compact step of id -1 has its whole mass."""
    one = candidate(1, 3)
    one["token_ids"] = one["token_ids"][:2]
    last = one["logits"][2].astype(float)
    end = math.log(math.exp(last[3]) + math.exp(last[5]))
    for name in FILES:
        with opened(tmp_path / name, end_ids=[3, 5]) as recorder:
            recorder.add(prompt_ids=[1], candidates=[one])
    lm = logpr.load(f"logits:{tmp_path / 'r.npz'}")
    assert lm.end_ids == (3, 5)
    found = logpr.score(prompt_ids=[1], candidate_ids=one["token_ids"], model=lm, end="stop")
    assert found.end_logprob == pytest.approx(end - math.log(math.fsum(np.exp(last))), abs=1e-12)
    step = json.loads((tmp_path / "r.jsonl").read_text())["candidates"][0]["steps"][2]
    assert step["token_id"] == -1
    assert step["logit"] == pytest.approx(end, abs=1e-12)


@pytest.mark.parametrize("name", FILES)
def test_step_by_step_is_the_same_as_at_once(tmp_path: Path, name: str) -> None:
    """Two candidates grown side by side, steps interleaved, leave what `add` leaves."""
    pair = [candidate(1), candidate(2)]
    lists = [[[0, 1], [2]], [[3], [4, 5]]]
    claims: dict[str, Any] = {"score": "-2.30", "token_scores": [-1.0, "-1.3"], "text": "é"}
    with opened(tmp_path / f"add-{name}") as recorder:
        both = [one | claims | {"shortlist_ids": own} for one, own in zip(pair, lists, strict=True)]
        recorder.add(id="q", prompt_ids=[1], candidates=both, chosen=1, fields={"label": 0})
    with (
        opened(tmp_path / f"step-{name}") as recorder,
        recorder.query(id="q", prompt_ids=[1], fields={"label": 0}) as query,
    ):
        growing = [query.candidate(text="é"), query.candidate()]
        for i in range(2):
            for made, one, own in zip(growing, pair, lists, strict=True):
                score = claims["token_scores"][i]
                made.step(one["token_ids"][i], one["logits"][i], shortlist_ids=own[i], score=score)
        growing[0].claim(score="-2.30")
        growing[1].claim(score="-2.30", text="é")
        query.choose(1)
    found = []
    for kind in ("add", "step"):
        path = tmp_path / f"{kind}-{name}"
        if path.suffix == ".npz":
            records_ = list(read_recorded(path))
            for one in records_[0]["candidates"]:
                one["logits"] = one["logits"].tolist()
            found.append(records_)
        else:
            found.append([json.loads(line) for line in path.read_text().splitlines()])
    assert found[0] == found[1]


@pytest.mark.parametrize("name", FILES)
def test_what_is_recorded_can_be_audited(tmp_path: Path, name: str) -> None:
    """The reader of claims takes the file as it is: ids, claims, evidence, choice and arm."""
    path = tmp_path / name
    one = candidate(1, score="-2.30", token_scores=["-1.2", "-1.10"], shortlist_ids=[[0, 1], [2]])
    with opened(path) as recorder:
        recorder.add(id="q", prompt_ids=[1], candidates=[one, candidate(2)], chosen=1, arm="A")
    (row,) = read_claims(str(path))
    assert (row.query.id, row.query.prompt_ids, row.chosen, row.arm) == ("q", (1,), 1, "A")
    claim = row.claims[0]
    assert claim.score is not None
    assert claim.score.text == "-2.30"
    assert [each.text for each in claim.token_scores or ()] == ["-1.2", "-1.10"]
    assert row.query.candidates[0].token_ids == tuple(one["token_ids"])
    if name == "r.npz":
        assert claim.shortlist_ids == ((0, 1), (2,))
        assert np.array_equal(row.query.candidates[0].logits or (), one["logits"])
    else:
        assert claim.steps is not None
        assert claim.steps[1].shortlist_ids == (2,)
        assert len(claim.steps) == 2


# What is taken.

ROW = np.asarray([0.5, -1.25, 3.0, 0.0, 1.0, 2.0, -4.0, 7.5])


@pytest.mark.parametrize(
    ("row", "dtype"),
    [
        pytest.param(ROW.tolist(), "float64", id="list"),
        pytest.param(ROW.astype(np.float32), "float32", id="float32"),
        pytest.param(ROW.astype(">f4"), "float32", id="big-endian"),
        pytest.param(np.stack([ROW, ROW], axis=1)[:, 0], "float64", id="strided"),
        pytest.param([int(2 * value) for value in ROW], "float64", id="ints"),
        pytest.param(torch.tensor(ROW), "float64", id="torch-float64"),
        pytest.param(torch.tensor(ROW).half(), "float16", id="torch-float16"),
        pytest.param(torch.tensor(ROW).bfloat16(), "float32", id="torch-bfloat16"),
        pytest.param(torch.tensor(ROW).requires_grad_(), "float64", id="torch-grad"),
        pytest.param(torch.tensor(ROW).to(torch.float8_e4m3fn), "float32", id="torch-float8"),
    ],
)
def test_rows_of_any_library(tmp_path: Path, row: Any, dtype: str) -> None:  # noqa: ANN401 - any
    """Lists, arrays and tensors of any type come back with their numbers, exactly."""
    path = tmp_path / "r.npz"
    with record(path) as recorder:
        recorder.add(prompt_ids=torch.tensor([1]), candidates=[{"token_ids": [7], "logits": [row]}])
        with recorder.query(prompt_ids=np.asarray([2])) as query:
            query.candidate().step(torch.tensor([[7]]), row)
    if isinstance(row, torch.Tensor):
        row = row.detach()
    expected = np.asarray([float(value) for value in row])
    for found in read_recorded(path):
        logits = found["candidates"][0]["logits"]
        assert logits.dtype == dtype
        assert np.array_equal(logits[0], expected)
        assert found["candidates"][0]["token_ids"] == [7]


class _OnDevice:
    """A tensor of bfloat16 somewhere else: as torch's, it has to be detached and brought over."""

    def __init__(self, done: tuple[str, ...] = ()) -> None:
        self.done = done

    def detach(self) -> _OnDevice:
        return _OnDevice((*self.done, "detach"))

    def cpu(self) -> _OnDevice:
        return _OnDevice((*self.done, "cpu"))

    def float(self) -> _OnDevice:
        return _OnDevice((*self.done, "float"))

    def numpy(self) -> np.ndarray:
        if self.done != ("detach", "cpu", "float"):
            raise TypeError
        return ROW.astype(np.float32)


def test_a_tensor_on_a_device_is_brought_over(tmp_path: Path) -> None:
    """It is detached, copied to the host in its own type, and only then widened."""
    path = tmp_path / "r.npz"
    with record(path) as recorder, recorder.query(prompt_ids=[1]) as query:
        query.candidate().step(7, _OnDevice())
    (found,) = read_recorded(path)
    assert np.array_equal(found["candidates"][0]["logits"], [ROW])


def test_recording_loads_no_framework(tmp_path: Path) -> None:
    """A process that records NumPy rows has not loaded torch."""
    code = (
        "import sys, numpy as np\n"
        "from logpr.auditing._record import record\n"
        f"with record({str(tmp_path / 'r.npz')!r}) as r:\n"
        "    r.add(prompt_ids=[1], candidates=[{'token_ids': [1], 'logits': np.zeros((1, 4))}])\n"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_a_dtype_is_kept_to(tmp_path: Path) -> None:
    """With a dtype rows are rounded to it; a logit that it cannot hold is refused by value."""
    path = tmp_path / "r.npz"
    one = candidate(1)
    with record(path, dtype="float16") as recorder:
        recorder.add(prompt_ids=[1], candidates=[one])
        large = {"token_ids": [0], "logits": [[70000.0, -math.inf]]}
        with pytest.raises(NumbersError, match=r"candidate 0, step 0: a logit of 70000\.0"):
            recorder.add(prompt_ids=[1], candidates=[large])
    (found,) = read_recorded(path)
    assert found["candidates"][0]["logits"].dtype == np.float16
    assert np.array_equal(found["candidates"][0]["logits"], one["logits"].astype(np.float16))


@pytest.mark.parametrize(
    ("score", "kept"),
    [
        ("-2.30", "-2.30"),
        (-2.3, -2.3),
        (3, 3),
        (Decimal("-2.30"), "-2.30"),
        (np.float32(-2.3), "-2.3"),
        (np.float32(-1e-7), "-0.0000001"),
        (np.float64(-2.3), -2.3),
        (torch.tensor(-2.3), "-2.3"),
        (torch.tensor(-2.3, dtype=torch.float64), -2.3),
        (-math.inf, "-Infinity"),
        (np.float32("nan"), "NaN"),
    ],
)
def test_claimed_numbers_keep_their_digits(tmp_path: Path, score: object, kept: object) -> None:
    """A claim has the digits that it was given with: no more than a float32 has, no fewer."""
    path = tmp_path / "r.jsonl"
    with record(path, compact=True) as recorder:
        recorder.add(
            prompt="x", candidates=[{"text": "y", "score": score, "token_scores": [score]}]
        )
    (found,) = json.loads(path.read_text())["candidates"]
    assert found == {"text": "y", "score": kept, "token_scores": [kept]}


def test_ties_and_impossible_tokens() -> None:
    """Of tied tokens the smaller ids are the best, and what cannot be is not among them."""
    row = np.asarray([1.0, 2.0, -np.inf, 2.0, 1.0, 1.0])
    step = compact_step(row, 2, top=3, end_ids=[], shortlist=[2, 0])
    assert step["top_ids"] == [1, 3, 0]
    assert step["logit"] == -math.inf
    assert step["shortlist_logits"] == [-math.inf, 1.0]
    assert compact_step(row, 2, top=9, end_ids=[])["top_ids"] == [1, 3, 0, 4, 5]


@given(
    hnp.arrays(np.float32, st.integers(500, 1600), elements=st.integers(-3, 3), fill=st.nothing()),
    st.integers(1, 600),
)
def test_the_best_of_a_long_row(row: np.ndarray, top: int) -> None:
    """A row of realistic length, full of ties, gives the same best tokens as sorting it whole."""
    expected = sorted(range(len(row)), key=lambda i: (-row[i], i))[:top]
    assert compact_step(row, 0, top=top, end_ids=[])["top_ids"] == expected


def test_rows_of_bfloat16_may_differ_by_its_rounding(tmp_path: Path) -> None:
    """One prefix computed twice in bfloat16 differs in its last bits; in float32 it may not."""
    rng = np.random.default_rng(0)
    row = torch.tensor(rng.normal(size=(1, 100)) * 4)
    near = row * (1 + 2**-7)
    for dtype, fits in ((torch.bfloat16, True), (torch.float32, False)):
        path = tmp_path / f"{dtype}.npz".removeprefix("torch.")
        with record(path) as recorder:
            for rows in (row, near):
                recorder.add(
                    prompt_ids=[1], candidates=[{"token_ids": [1], "logits": rows.to(dtype)}]
                )
        if fits:
            assert LogitsModel.from_file(path).vocab_size == 100
        else:
            with pytest.raises(NumbersError, match="differ by up to"):
                LogitsModel.from_file(path)
