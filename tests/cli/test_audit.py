"""`logpr audit`: verdicts and exit codes, pages, scorers, and what cannot be audited."""

from __future__ import annotations

import io
import itertools
import json
import math
import os
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import logpr
from logpr.auditing import faulty_scorer
from logpr.cli import _progress, audit
from logpr.io.claims import read_claims
from tests.cli.conftest import Cli, Ran

Lines = Callable[..., Path]
Claimed = Callable[..., Path]

ROOT = Path(__file__).parents[2]
TOKENS = ("A", "B", "C", "D", "E")
FIELDS = {
    *("verdict", "faults", "alternatives", "explained_rows", "rows_total", "flips"),
    *("max_residual", "expected_accidental_matches", "next_input", "rows"),
}
"""What the JSON of an audit has at the least."""


@pytest.fixture
def table(tmp_path: Path) -> str:
    """Return a model by name: five tokens, a row of its own after each of the first three."""
    rng = np.random.default_rng(7)
    rows = {
        " ".join(context): rng.normal(scale=2.0, size=len(TOKENS)).round(3).tolist()
        for size in range(4)
        for context in itertools.product(TOKENS, repeat=size)
    }
    path = tmp_path / "five.json"
    told = {"tokens": TOKENS, "bos": None, "end": [], "kind": "logits", "rows": rows}
    path.write_text(json.dumps({**told, "default": [0.0] * len(TOKENS)}), encoding="utf-8")
    return f"table:{path}"


PROMPTS = ("A", "B", "C", "D", "E", "A B")
CANDIDATES = (" A B", " C", " E D")


@pytest.fixture
def claimed(table: str, lines: Lines) -> Claimed:
    """Return a function that writes what a scorer with this fault claims, and returns the file."""

    def write(*faults: str, decimals: int = 5, **more: object) -> Path:
        scorer = faulty_scorer(*faults, model=table)
        rows = [
            {
                "prompt": prompt,
                "candidates": [
                    {"text": text, "score": f"{score:.{decimals}f}"}
                    for text, score in zip(CANDIDATES, scorer(prompt, CANDIDATES), strict=True)
                ],
                **more,
            }
            for prompt in PROMPTS
        ]
        return lines(*rows, name="claims.jsonl")

    return write


def _words(text: str) -> str:
    return " ".join(text.split())


def test_no_claims_audits_the_sample(cli: Cli) -> None:
    """`logpr audit` alone says that it audits its sample, names the fault, and exits 1."""
    ran = cli("audit")
    assert ran.code == 1
    assert "no CLAIMS: auditing the sample that ships with logpr" in ran.err
    assert "logpr audit CLAIMS --model MODEL" in ran.err
    words = _words(ran.out)
    assert "sums of raw logits, not log-probabilities: reproduced to the printed" in words
    assert "29 of 29" in words
    assert "3 of 8 decisions flip" in words


def test_the_sample_and_the_examples_are_what_scorers_give() -> None:
    """The claims that ship are numbers of the built-in model; the example is the sample itself."""
    example = (ROOT / "examples" / "claims.jsonl").read_text("utf-8")
    assert example == Path(audit.SAMPLE).read_text("utf-8")
    right = (ROOT / "examples" / "claims-ok.jsonl").read_text("utf-8")
    for text, faults in ((example, ["raw_logit_sum"]), (right, [])):
        scorer = faulty_scorer(*faults, model="builtin")
        rows = [json.loads(line) for line in text.splitlines()]
        assert len(rows) == 8
        assert all(len(row["candidates"]) in (3, 4) and "label" in row for row in rows)
        for row in rows:
            texts = [candidate["text"] for candidate in row["candidates"]]
            scores = [float(candidate["score"]) for candidate in row["candidates"]]
            assert scores == pytest.approx(scorer(row["prompt"], texts), abs=1e-4)


def test_correct_claims_exit_zero(cli: Cli) -> None:
    """The example of a right scorer is correct, in the terminal too."""
    ran = cli("audit", ROOT / "examples" / "claims-ok.jsonl", "--model", "builtin")
    assert ran.code == 0
    assert "log Pr(y | x), as declared" in _words(ran.out)
    assert ran.err == ""


@pytest.mark.parametrize(
    ("faults", "decimals", "verdict", "code"),
    [
        pytest.param([], 5, "correct", 0, id="correct"),
        pytest.param(["raw_logit_sum"], 5, "fault", 1, id="fault"),
        pytest.param(["in_bits"], 5, "other_definition", 1, id="unit"),
        pytest.param(["choice_prob"], 5, "other_definition", 1, id="choice-as-score"),
        pytest.param([], 0, "not_enough_precision", 2, id="whole-numbers"),
    ],
)
def test_the_exit_code_is_the_verdicts(  # noqa: PLR0917 - the cases' columns
    cli: Cli,
    table: str,
    claimed: Claimed,
    faults: list[str],
    decimals: int,
    verdict: str,
    code: int,
) -> None:
    """0 correct, 1 something was found, 2 it could not be judged; --json says which and why."""
    path = claimed(*faults, decimals=decimals)
    ran = cli("audit", path, "--model", table, "--json")
    assert ran.code == code
    assert ran.record["verdict"] == verdict
    assert set(ran.record) >= FIELDS
    assert ran.record["rows_total"] == len(ran.record["rows"]) == len(PROMPTS) * len(CANDIDATES)
    found = [fault["id"] for fault in ran.record["faults"]]
    assert found == (faults if code == 1 else [])
    assert ran.record == json.loads(logpr.audit(path, model=table).to_json())


@pytest.mark.parametrize(
    ("fault", "declared"),
    [("in_bits", "unit=bits"), ("mean", "rule=per_token"), ("in_bits", "unit=bits,end=open")],
)
def test_what_is_declared_is_no_fault(
    cli: Cli, table: str, claimed: Claimed, fault: str, declared: str
) -> None:
    """--declares says what the numbers are meant to be, as a row's own `declares` does."""
    path = claimed(fault)
    assert cli("audit", path, "--model", table).code == 1
    assert cli("audit", path, "--model", table, "--declares", declared).code == 0
    said = dict(part.split("=") for part in declared.split(","))
    assert cli("audit", claimed(fault, declares=said), "--model", table).code == 0


def test_decimals_say_what_a_float_hides(cli: Cli, lines: Lines) -> None:
    """-8.0 has one decimal as JSON prints it; --decimals 0 says that it was rounded to none."""
    candidates = [{"token_ids": [0], "logits": [[-8.4, 0.0]], "score": -8.0}]
    path = lines({"prompt_ids": [0], "candidates": candidates})
    for decimals, width in ((1, 0.1), (0, 1.0)):
        (row,) = cli("audit", path, "--decimals", str(decimals), "--json").record["rows"]
        assert row["high"] - row["low"] == pytest.approx(width, abs=1e-9)
        assert row["low"] + width / 2 == pytest.approx(-8.0, abs=1e-9)
    assert cli("audit", path, "--json").record["rows"][0]["low"] == pytest.approx(-8.05, abs=1e-9)


def test_numbers_alone_name_the_command(cli: Cli, claimed: Claimed) -> None:
    """Claims without evidence are not judged, and the command that judges them is written out."""
    path = claimed()
    ran = cli("audit", path, "--declares", "unit=nats")
    assert ran.code == 2
    assert f"logpr audit --model builtin --declares unit=nats {path}" in ran.err
    assert "model" in ran.out


def _hint(ran: Ran) -> list[str]:
    """Return the command that was written out, as a shell would pass it on."""
    (line,) = [line for line in ran.err.splitlines() if line.startswith("  logpr ")]
    return shlex.split(line)[1:]


def _completion(prompt: str, candidate: str, *, echo: bool = False) -> str:
    """Return what an endpoint of the built-in model would answer, its prompt echoed or not."""
    score = logpr.score(prompt, candidate, model="builtin")
    assert score.token_texts is not None
    assert score.token_logprobs is not None
    logprobs = {
        "tokens": [*[prompt] * echo, *score.token_texts],
        "token_logprobs": [*[None] * echo, *score.token_logprobs],
    }
    choice = {"index": 0, "text": prompt * echo + candidate, "logprobs": logprobs}
    return json.dumps({"id": "c", "object": "text_completion", "choices": [choice]})


def _claimed_once(candidate: str) -> dict[str, Any]:
    """Return a record of one candidate with the score that the built-in model gives it."""
    score = logpr.score("The cat sat on the", candidate, model="builtin").logprob
    candidates = [{"text": candidate, "score": f"{score:.4f}"}]
    return {"prompt": "The cat sat on the", "candidates": candidates}


def test_hints_work_as_typed(cli: Cli, lines: Lines) -> None:
    """What is written out after a verdict without evidence is a command that gives a verdict."""
    sent = "THE PROMPT AS IT WAS SENT"
    for name, prompted in (
        (lines(_claimed_once(" of."), name="claims.jsonl"), False),
        (lines(_completion(sent, " soft bed."), name="response.json"), True),
        (lines(_completion("The", " cat sat.", echo=True), name="echo.json"), False),
    ):
        ran = cli("audit", name)
        assert (ran.code, "--prompt" in _hint(ran)) == (2, prompted)
        again = cli(*_hint(ran), "--json")
        assert again.code == 0, again.err
        assert again.record["verdict"] == "correct"


def test_a_hint_for_ids_names_no_model_of_ours(cli: Cli, lines: Lines) -> None:
    """Ids of another vocabulary are nothing for the built-in model."""
    triples = [[-1.5, 90000, " mat"]]
    meta = {"output_token_logprobs": triples, "prompt_tokens": 4}
    ran = cli("audit", lines(json.dumps({"text": " mat", "meta_info": meta}), name="sg.json"))
    assert ran.code == 2
    assert _hint(ran)[1:5] == ["--model", "MODEL", "--prompt", "THE PROMPT AS IT WAS SENT"]
    row = {"prompt_ids": [90000], "candidates": [{"token_ids": [7], "score": -1.5}]}
    assert _hint(cli("audit", lines(row)))[1:3] == ["--model", "MODEL"]


def test_a_response_that_no_model_can_judge(cli: Cli, lines: Lines) -> None:
    """A token without a number: the reason is said, and no command that would fail on it."""
    chat = json.loads((ROOT / "examples" / "response.json").read_text("utf-8"))
    chat["choices"][0]["logprobs"]["token_logprobs"] = [-0.9, None]
    ran = cli("audit", lines(json.dumps(chat), name="null.json"))
    assert ran.code == 2
    assert "a model could not judge them: " in ran.err
    assert "logpr audit --model" not in ran.err


@pytest.mark.parametrize("name", ["numbers.txt", "column.csv", "list.json", "-"])
def test_nothing_but_numbers(cli: Cli, name: str) -> None:
    """A column of numbers is looked at; what they lack to be judged is written out."""
    text = {
        "column.csv": "my scores\n-2.30\n-4.12\n0.00\n",
        "list.json": '["-2.30", "-4.12", "0.00"]',
    }.get(name, "-2.30\n-4.12\n0.00\n")
    if name != "-":
        Path(name).write_text(text, encoding="utf-8")
    ran = cli("audit", name, "--json", stdin=text)
    assert (ran.code, ran.record["verdict"]) == (2, "not_enough_evidence"), ran.err
    found = [(row["printed"], row["text"], row["index"]) for row in ran.record["rows"]]
    assert found == [("-2.30", None, 0), ("-4.12", None, 1), ("0.00", None, 2)]
    assert "the prompt that it came after and the text that it is of" in ran.err
    # What is shown, a record and a command, is what works.
    shown = next(line for line in ran.err.splitlines() if '{"prompt"' in line)
    record = json.loads(shown[shown.index("{") :])
    (row,) = read_claims([record], needs_prompt=True)
    assert (row.query.prompt, row.query.candidates[0].text) == ("The cat sat on the", " warm mat")
    assert _hint(ran) == ["audit", "claims.jsonl", "--model", "builtin"]
    ran = cli("audit", name, "--model", "builtin", stdin=text)
    assert ran.code == 2
    assert "nothing that says what they are of" in ran.err


def test_numbers_that_accuse_themselves(cli: Cli) -> None:
    """What no log-probability can be is said of a bare column too."""
    Path("numbers.txt").write_text("17.6827\n11.7379\n-7.5822\n", encoding="utf-8")
    ran = cli("audit", "numbers.txt", "--json")
    assert (ran.code, ran.record["verdict"]) == (1, "unexplained")
    assert [each["id"] for each in ran.record["findings"] if each["accuses"]] == ["positive_value"]
    assert logpr.audit([17.6827, 11.7379, -7.5822]).verdict == "unexplained"


def test_a_file_without_a_claim(cli: Cli, lines: Lines, table: str) -> None:
    """Records without any score are no claims; the ways to give one are written out."""
    ran = cli("audit", lines({"prompt": "A", "candidates": [" B"]}), "--model", table)
    assert ran.code == 2
    assert "nothing was claimed" in ran.err
    assert "--map score=" in ran.err


def test_a_prompt_is_missing(cli: Cli, lines: Lines) -> None:
    """Candidates without their prompt: no command is written out that would refuse them."""
    ran = cli("audit", lines({"candidates": [{"text": " mat", "score": -2.5}]}))
    assert ran.code == 2
    assert "give each number the prompt that it came after, one record a line" in ran.err


def test_stdin_is_bounded(cli: Cli, claimed: Claimed, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stdin is read up to a size, as files of responses are; the way out is a file."""
    monkeypatch.setattr(audit, "LARGEST", 1 << 20)
    ran = cli("audit", "-", "--decimals", "2", stdin="-1.25\n" * 200_000)
    assert ran.code == 2
    assert "stdin has more than 1 MiB" in ran.err
    assert _hint(ran) == ["audit", "--decimals", "2", "claims.jsonl"]
    assert cli("audit", "-", stdin=claimed().read_text("utf-8")).code == 2


@pytest.mark.parametrize("name", ["noise.npz", "empty.npz", "objects.npz"])
@pytest.mark.parametrize("more", [[], ["--model", "builtin"]])
def test_what_is_no_recording(cli: Cli, name: str, more: list[str]) -> None:
    """Bytes called .npz are refused in words of ours, with what makes one."""
    if name == "objects.npz":
        np.savez(name, logits=np.array([{}], dtype=object))
    else:
        Path(name).write_bytes(b"\x80\x04noise" * 90 if name == "noise.npz" else b"")
    ran = cli("audit", name, *more)
    assert ran.code == 2
    assert "allow_pickle" not in ran.err
    assert name in ran.err
    assert "np.savez" in ran.err or "logpr.record" in ran.err


def test_claims_that_are_all_equal(cli: Cli, lines: Lines, table: str) -> None:
    """It is not for want of digits alone that nothing can be told from them."""
    candidates = [{"text": text, "score": "0"} for text in CANDIDATES]
    ran = cli("audit", lines({"prompt": "A", "candidates": candidates}), "--model", table)
    assert ran.code == 2
    assert "? equal numbers" in ran.out
    assert "These 3 scores are all 0, and equal numbers tell no computations" in _words(ran.out)
    assert "too few digits" not in ran.out


def test_evidence_in_the_records_needs_no_model(cli: Cli, lines: Lines) -> None:
    """Logits beside token_ids are enough."""
    rng = np.random.default_rng(3)
    rows = []
    for prompt in range(4):
        logits = rng.normal(size=6)
        logprobs = logits - math.log(math.fsum(np.exp(logits)))
        candidates = [
            {"token_ids": [token], "logits": [logits.tolist()], "score": f"{logprobs[token]:.6f}"}
            for token in range(3)
        ]
        rows.append({"prompt_ids": [prompt], "candidates": candidates})
    ran = cli("audit", lines(*rows), "--json")
    assert (ran.code, ran.record["evidence"]) == (0, "logits")


def test_a_recording_is_audited_without_a_model(cli: Cli, tmp_path: Path) -> None:
    """What `logpr.record` wrote, whole or compact, holds claims and evidence."""
    rng = np.random.default_rng(5)
    for name, compact in (("dump.npz", False), ("steps.jsonl", True)):
        with logpr.record(tmp_path / name, compact=compact) as recorder:
            for number in range(6):
                logits = rng.normal(size=(2, 9))
                total = logits[0, 1] + logits[1, 2]
                one = {"token_ids": [1, 2], "logits": logits, "score": f"{total:.6f}"}
                recorder.add(id=number, prompt_ids=[number], candidates=[one])
        ran = cli("audit", name, "--json")
        assert ran.code == 1, ran.err
        assert [fault["id"] for fault in ran.record["faults"]] == ["raw_logit_sum"]


def test_claims_on_stdin(cli: Cli, table: str, claimed: Claimed) -> None:
    """- reads records; a recorded API response is recognised there as it is in a file."""
    text = claimed("raw_logit_sum").read_text("utf-8")
    ran = cli("audit", "-", "--model", table, "--json", stdin=text)
    assert [fault["id"] for fault in ran.record["faults"]] == ["raw_logit_sum"]
    response = (ROOT / "examples" / "response.json").read_text("utf-8")
    ran = cli("audit", "-", "--json", stdin=response)
    assert (ran.code, ran.record["evidence"]) == (2, "response")
    assert ran.record == cli("audit", ROOT / "examples" / "response.json", "--json").record
    assert "logpr audit --model builtin --prompt 'THE PROMPT AS IT WAS SENT' --json -" in ran.err


def test_other_names_for_fields(cli: Cli, table: str, claimed: Claimed, lines: Lines) -> None:
    """--map, --template and --sep read somebody else's file, its column of scores too."""
    rows = [json.loads(line) for line in claimed("mean").read_text("utf-8").splitlines()]
    theirs = lines(
        *(
            {
                "x": row["prompt"],
                "ys": [candidate["text"].strip() for candidate in row["candidates"]],
                "nums": [candidate["score"] for candidate in row["candidates"]],
            }
            for row in rows
        ),
        name="theirs.txt",
    )
    ran = cli(
        *("audit", theirs, "--model", table, "--format", "jsonl", "--template", "{{ x }}"),
        *("--map", "candidates=ys,scores=nums", "--sep", " ", "--json"),
    )
    assert ran.code == 1, ran.err
    assert [fault["id"] for fault in ran.record["faults"]] == ["mean"]


def test_the_page(cli: Cli, table: str, claimed: Claimed, tmp_path: Path) -> None:
    """--html writes a whole page beside the terminal's report, says where, and leaves no scraps."""
    path = claimed("raw_logit_sum")
    plain = cli("audit", path, "--model", table)
    Path("page.html").write_text("old", encoding="utf-8")
    ran = cli("audit", path, "--model", table, "--html", "page.html")
    assert (ran.code, ran.out) == (1, plain.out)
    assert "logpr: wrote the page to page.html" in ran.err
    page = Path("page.html").read_text("utf-8")
    assert page.lower().startswith("<!doctype html>")
    assert page.rstrip().endswith("</html>")
    assert "raw_logit_sum" in page
    assert not [path for path in tmp_path.iterdir() if path.name.startswith("page.html.")]


@pytest.mark.parametrize(
    ("target", "says"),
    [
        pytest.param(
            ".", "--html . is a folder; give a file in it: --html audit.html", id="folder"
        ),
        pytest.param("no/page.html", "there is no folder no", id="no-folder"),
        pytest.param("claims.jsonl", "is the file of claims itself", id="claims"),
        pytest.param("-", "write --html audit.html", id="stdout"),
        pytest.param("x" * 5000, "cannot be a file", id="too-long"),
    ],
)
def test_a_page_that_has_no_place(
    cli: Cli, claimed: Claimed, monkeypatch: pytest.MonkeyPatch, target: str, says: str
) -> None:
    """It is refused before anything is computed, and nothing is overwritten."""
    path = claimed()
    before = path.read_bytes()
    monkeypatch.setattr(logpr, "load", None)
    ran = cli("audit", path, "--model", "builtin", "--html", target)
    assert ran.code == 2
    assert says in ran.err
    assert ran.out == ""
    assert path.read_bytes() == before


SCORERS = """
import sys
from logpr.auditing import faulty_scorer
RAW = faulty_scorer("raw_logit_sum", model={model!r})
def raw(prompt, candidates):
    print("I talk")
    return RAW(prompt, candidates)
def tensors(prompt, candidates):
    import numpy as np
    return np.array(RAW(prompt, candidates))
def with_tokens(prompt, candidates):
    return RAW(prompt, candidates), RAW.tokens(prompt, candidates)
PERPLEXITY = faulty_scorer("perplexity", model={model!r})
def few(prompt, candidates): return [1.0]
def one(prompt, candidates): return 1.0
def none(prompt, candidates): pass
def named(prompt, candidates): return dict.fromkeys(candidates, 1.0)
def words(prompt, candidates): return ["many"] * len(candidates)
def fails(prompt, candidates):
    return inner()
def inner():
    return float("x")
def leaves(prompt, candidates): sys.exit(4)
def nothing(): return []
async def later(prompt, candidates): return []
class Kind:
    def many(self, queries): return [[1.0]]
KIND = Kind()
NUMBER = 3
"""


@pytest.fixture
def scorers(tmp_path: Path, table: str) -> str:
    """Return the name of a module of scorers in the working folder; no other test has that name."""
    name = f"scorers_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text(SCORERS.format(model=table), encoding="utf-8")
    return name


@pytest.mark.parametrize("function", ["raw", "RAW", "RAW.__call__", "tensors", "with_tokens"])
def test_a_scorer_is_run_and_audited(
    cli: Cli, table: str, claimed: Claimed, scorers: str, function: str
) -> None:
    """--scorer takes a function or an object with `many`; what it prints is kept off stdout."""
    before = list(sys.path)
    path = claimed()
    ran = cli("audit", path, "--scorer", f"{scorers}:{function}", "--model", table, "--json")
    assert ran.code == 1, ran.err
    assert [fault["id"] for fault in ran.record["faults"]] == ["raw_logit_sum"]
    assert ("I talk" in ran.err) is (function == "raw")
    assert sys.path == before


def test_the_best_of_a_scorer_is_what_it_declares(
    cli: Cli, table: str, claimed: Claimed, scorers: str
) -> None:
    """The smallest perplexity is the one chosen, so right perplexities flip nothing."""
    ran = cli(
        *("audit", claimed(), "--scorer", f"{scorers}:PERPLEXITY", "--model", table, "--json"),
        *("--declares", "unit=perplexity"),
    )
    assert (ran.code, ran.record["flips"]) == (0, 0)
    assert ran.record["damage"]["decisions"] == len(PROMPTS)
    path = claimed(declares={"unit": "perplexity"}, arm="A")
    rows = cli("audit", path, "--scorer", f"{scorers}:PERPLEXITY", "--model", table, "--json")
    assert rows.code == 0
    assert [arm["arm"] for arm in rows.record["arms"]] == ["A"]


def test_a_scorer_alone(cli: Cli, claimed: Claimed, scorers: str) -> None:
    """Without CLAIMS it is run on the sample's prompts; without a model it is told to name one."""
    Path("letters.py").write_text("def score(prompt, candidates): return [-1.5, -2.5, -3.5]\n")
    path = claimed(declares={"unit": "dB"})
    ran = cli("audit", path, "--scorer", "letters:score")
    assert ran.code == 2
    assert "claims.jsonl:1: declares.unit: found 'dB'" in ran.err
    path = claimed()
    ran = cli("audit", path, "--scorer", "letters:score")
    assert ran.code == 2
    assert f"logpr audit --model MODEL --scorer letters:score {path}" in ran.err
    ran = cli("audit", "--scorer", f"{scorers}:few")
    assert ran.code == 2
    assert "run on the prompts of the sample" in ran.err
    assert "claims.jsonl:1: the scorer returned a list of 1; wanted is one of 4" in ran.err


@pytest.mark.parametrize(
    ("function", "says"),
    [
        pytest.param("few", ["claims.jsonl:1", "a list of 1; wanted is one of 3"], id="count"),
        pytest.param("one", ["claims.jsonl:1", "returned 1.0"], id="number"),
        pytest.param("none", ["claims.jsonl:1", "returned None"], id="nothing"),
        pytest.param("named", ["claims.jsonl:1", "returned {"], id="object"),
        pytest.param("words", ["claims.jsonl:1, score 0 is 'many'"], id="text"),
        pytest.param("KIND", ["a list of 1; wanted is one of 6"], id="count-of-many"),
        pytest.param(
            "fails",
            ["claims.jsonl:1", "ValueError: could not", "in inner: return float", ", line 22"],
            id="raises",
        ),
        pytest.param("leaves", ["claims.jsonl:1", "SystemExit: 4", "sys.exit(4)"], id="leaves"),
        pytest.param("nothing", ["TypeError", "fn(prompt, candidates)"], id="arguments"),
        pytest.param("later", ["is a coroutine", "asyncio.run"], id="coroutine"),
        pytest.param("Kind", ["is a class", "SCORER = Kind()"], id="class"),
        pytest.param("NUMBER", ["is int, and cannot be called"], id="uncallable"),
        pytest.param("absent", ["has no 'absent'; it has raw, tensors, with_tokens"], id="absent"),
    ],
)
def test_a_scorer_that_cannot_be_used(  # noqa: PLR0917 - its fixtures
    cli: Cli, table: str, claimed: Claimed, scorers: str, function: str, says: Sequence[str]
) -> None:
    """The message names the record and what came back, or the scorer's own line that failed."""
    ran = cli("audit", claimed(), "--scorer", f"{scorers}:{function}", "--model", table)
    assert ran.code == 2
    assert not [word for word in says if word not in ran.err], ran.err
    assert ran.out == ""


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("nowhere.inner:score", None, "there is no module nowhere, installed or in the working"),
        ("loose_module", None, "is not MODULE:NAME; write --scorer loose_module:score"),
        ("./loose_module.py:fn", None, "write --scorer loose_module:fn"),
        (":fn", None, "is not MODULE:NAME; write --scorer pkg.mod:fn"),
        (
            "broken_a:fn",
            "import not_there_at_all\n",
            "line 1, in <module>: import not_there_at_all",
        ),
        ("broken_b:fn", "x = = 1\n", "raised SyntaxError"),
        ("broken_c:fn", "\nraise ValueError('no weights')\n", "raised ValueError: no weights"),
        ("broken_d:fn", "raise SystemExit(1)\n", "raised SystemExit: 1"),
    ],
)
def test_a_module_without_a_scorer(
    cli: Cli, claimed: Claimed, name: str, text: str | None, says: str
) -> None:
    """A name that leads nowhere, and a module that fails, are told apart."""
    if text is not None:
        Path(f"{name.partition(':')[0]}.py").write_text(text, encoding="utf-8")
    ran = cli("audit", claimed(), "--scorer", name)
    assert ran.code == 2
    assert says in ran.err


def test_a_scorer_needs_texts(cli: Cli, table: str, lines: Lines, scorers: str) -> None:
    """A record whose prompt is ids is located; a scorer with `many` would take it."""
    path = lines({"prompt_ids": [0], "candidate_ids": [[1], [2]]})
    ran = cli("audit", path, "--scorer", f"{scorers}:tensors", "--model", table)
    assert ran.code == 2
    assert "in.jsonl:1: a scorer is called with a prompt's text" in ran.err
    taken = cli("audit", path, "--scorer", f"{scorers}:RAW", "--model", table, "--json")
    assert taken.record["rows_total"] == 2


GOOD: dict[str, Any] = {"prompt": "A", "candidates": [" B", " C"], "scores": [-1.5, -2.5]}


def _row(**fields: object) -> dict[str, Any]:
    return {**GOOD, **fields}


@pytest.mark.parametrize(
    ("row", "says"),
    [
        pytest.param('{"prompt": "A",', ["malformed", "column"], id="malformed"),
        pytest.param(_row(scores=[-1.5]), ["'scores'", "1 for 2 candidates"], id="count"),
        pytest.param(_row(scores=["-1.x", -1]), ["'scores[0]'", "'-1.x'", "-2.30"], id="number"),
        pytest.param(
            _row(scores=["12.3%", -1.5]),
            ["'scores'", "'12.3%'", "'-1.5'", "one unit"],
            id="percent",
        ),
        pytest.param(
            _row(declares={"unit": "dB"}), ["'declares.unit'", "'dB'", "nats"], id="unit-of-row"
        ),
        pytest.param(
            _row(declares={"unit": "bits"}), ["in.jsonl:1", "'bits'", "one file"], id="mixed-units"
        ),
        pytest.param(_row(chosen=7), ["'chosen'", "7", "0 to 1"], id="chosen"),
        pytest.param(_row(id="first"), ["'id'", "'first'", "in.jsonl:1"], id="duplicate-id"),
        pytest.param(
            {
                "prompt_ids": [0],
                "candidates": [{"token_ids": [1, 2], "logits": [[1.0, 2.0, 3.0]], "score": -1.5}],
            },
            ["'candidates[0]'", "1 rows of logits and 2 token_ids"],
            id="evidence-of-other-tokens",
        ),
        pytest.param(
            {
                "prompt_ids": [0],
                "candidates": [
                    {"token_ids": [1], "logits": [[1.0, 2.0]], "score": -1.5},
                    {"token_ids": [1], "logits": [[1.0, 2.0, 3.0]], "score": -1.5},
                ],
            },
            ["'candidates[1].logits'", "3 entries", "2"],
            id="vocabularies",
        ),
    ],
)
def test_claims_that_cannot_be_read(
    cli: Cli, lines: Lines, table: str, row: dict[str, Any] | str, says: Sequence[str]
) -> None:
    """File, line, field, value and the way out; exit code 2 and nothing on stdout."""
    ran = cli("audit", lines(_row(id="first"), row), "--model", table)
    assert ran.code == 2
    assert "in.jsonl:2" in ran.err
    assert not [word for word in says if word not in ran.err], ran.err
    assert ran.out == ""


@pytest.mark.parametrize(
    ("scores", "code", "finding"),
    [
        pytest.param(["-1.00", "-1.00", "-1.00"], 2, "all_equal", id="all-equal"),
        pytest.param(["nan", "-1.00", "-2.00"], 1, "nan_values", id="nan"),
        pytest.param(["inf", "-inf", "-1.00"], 1, "infinite_values", id="infinite"),
        pytest.param(["12.3%", "80.1%", "7.6%"], 1, "percent", id="percentages"),
    ],
)
def test_strange_numbers_are_findings(
    cli: Cli, lines: Lines, scores: list[str], code: int, finding: str
) -> None:
    """They are audited like any, in the terminal and in strict JSON, and pointed at."""
    row = {"prompt": "A", "candidates": list(CANDIDATES), "scores": scores}
    path = lines(row, row)
    ran = cli("audit", path, "--json")
    assert finding in [found["id"] for found in ran.record["findings"]]
    assert [row["printed"] for row in ran.record["rows"]] == scores * 2
    json.loads(ran.out, parse_constant=pytest.fail)
    assert ran.code == cli("audit", path).code == code


def test_strange_numbers_beside_evidence(cli: Cli, lines: Lines) -> None:
    """NaN and infinite claims are given by no formula, where what is true is finite."""
    logits = [[0.5, -0.25, -1.5, 0.75]]
    candidates = [
        {"token_ids": [token], "logits": logits, "score": score}
        for token, score in enumerate(["nan", "inf", "-inf", "-1.00000"])
    ]
    ran = cli("audit", lines({"prompt_ids": [0], "candidates": candidates}))
    assert ran.code == 1
    assert "none of" in _words(ran.out)


def test_a_single_claim(cli: Cli, table: str, lines: Lines) -> None:
    """One number with enough digits is judged; with one digit it is not."""
    (score,) = faulty_scorer(model=table)("A", [" B C"])
    for digits, code in ((9, 0), (0, 2)):
        path = lines({"prompt": "A", "candidates": [" B C"], "scores": [f"{score:.{digits}f}"]})
        assert cli("audit", path, "--model", table).code == code


@pytest.mark.parametrize("name", ["missing.jsonl", "missing.json"])
def test_a_missing_file(cli: Cli, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """A path that is not there is named, with what is, before a model is loaded."""
    Path("there.jsonl").touch()
    monkeypatch.setattr(logpr, "load", None)
    for more in (["--model", "builtin"], ["--prompt", "A"]):
        ran = cli("audit", name, *more)
        assert ran.code == 2
        assert f"there is no file {name}" in ran.err
        assert "there.jsonl" in ran.err
    with pytest.raises(logpr.errors.MissingFileError, match=r"has there\.jsonl"):
        logpr.audit(name)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        pytest.param("folder", "folder is a folder", id="folder"),
        pytest.param("x" * 5000, "cannot be a file", id="too-long"),
        pytest.param("note.txt", "--format jsonl", id="no-format"),
    ],
)
def test_what_is_no_file_of_claims(cli: Cli, name: str, says: str) -> None:
    """A folder, a name too long for a file, a name that says no format."""
    Path("folder").mkdir()
    Path("note.txt").write_text("hi", encoding="utf-8")
    ran = cli("audit", name, "--model", "builtin")
    assert ran.code == 2
    assert says in ran.err


def test_a_model_that_fails(cli: Cli, claimed: Claimed, tmp_path: Path) -> None:
    """Weights that are not there are the model's failure: exit code 3."""
    (tmp_path / "model").mkdir()
    ran = cli("audit", claimed(), "--model", "builtin:model")
    assert ran.code == 3
    assert "model" in ran.err


@pytest.mark.parametrize("named", ["in.jsonl", "-"])
def test_an_empty_file(cli: Cli, lines: Lines, table: str, named: str) -> None:
    """Nothing to audit is an error, not a verdict."""
    lines()
    ran = cli("audit", named, "--model", table, stdin="")
    assert ran.code == 2
    assert "is empty: it holds no record" in ran.err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        pytest.param(["--declares", "rule=mean"], ["'mean'", "per_token"], id="rule"),
        pytest.param(["--declares", "unit=dB"], ["declares.unit", "'dB'", "nats"], id="unit"),
        pytest.param(["--declares", "formula=x"], ["'formula'", "rule, end"], id="key"),
        pytest.param(["--declares", "bits"], ["'bits'", "rule=per_token,unit=bits"], id="shape"),
        pytest.param(["--declares", "end=open,end=stop"], ["end twice"], id="twice"),
        pytest.param(
            ["--declares", "end=stop", "--end", "open"],
            ["--end open and --declares end=stop"],
            id="contradiction",
        ),
        pytest.param(["--decimals", "-1"], ["--decimals is -1"], id="decimals"),
        pytest.param(["--decimals", "some"], ["--decimals", "valid integer"], id="no-decimals"),
        pytest.param(["--map", "scroe=x"], ["'scroe'", "score"], id="map"),
        pytest.param(["--prompt", "A"], ["API response"], id="prompt"),
        pytest.param(["--end-ids", "two"], ["--end-ids", "'two'"], id="end-ids"),
        pytest.param(["--dtype", "float64"], ["--dtype", "--model MODEL"], id="model-option"),
        pytest.param(["--model", "./nowhere"], ["nowhere"], id="model"),
        pytest.param(["--wat"], ["--wat"], id="unknown"),
    ],
)
def test_an_option_that_means_nothing(
    cli: Cli, lines: Lines, arguments: list[str], says: Sequence[str]
) -> None:
    """A wrong or useless option is named, with exit code 2."""
    ran = cli("audit", lines(GOOD), *arguments)
    assert ran.code == 2
    assert not [word for word in says if word not in ran.err], ran.err
    assert ran.out == ""


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["response.json", "--declares", "unit=bits"], "--declares is for records of claims"),
        (["response.json", "--map", "score=x"], "--map is for records of claims"),
        (["response.json", "--prompt", "A"], "--prompt goes with a model"),
        (["dump.npz", "--template", "{{ x }}"], "--template is for files of records"),
        (["--declares", "unit=bits"], "none are given; write\n  logpr audit --declares unit=bits"),
        (["--model", "./mine"], "logpr audit CLAIMS --model ./mine"),
    ],
)
def test_an_option_beside_what_has_no_use_for_it(cli: Cli, arguments: list[str], says: str) -> None:
    """Responses, recordings and the sample say themselves how they are read."""
    response = (ROOT / "examples" / "response.json").read_text("utf-8")
    Path("response.json").write_text(response, encoding="utf-8")
    ran = cli("audit", *arguments)
    assert ran.code == 2
    assert says in ran.err
    assert ran.out == ""


def test_help_says_which_verb_is_for_what(cli: Cli) -> None:
    """audit is about numbers: not about code, nor about the installation and a model."""
    words = _words(cli("audit", "--help").out)
    assert "about numbers that a scorer printed: not about a scorer's code" in words
    assert "logpr doctor" in words
    assert words.count("logpr audit ") >= 5


def test_every_keyword_is_an_option(cli: Cli) -> None:
    """What `logpr.audit` takes, the command line takes under the same name."""
    shown = cli("audit", "--help").out
    for word in set(logpr.audit.__annotations__) - {"claims", "return", "progress"}:
        assert f"--{word.replace('_', '-')}" in shown, word


def test_progress_is_drawn_on_terminals_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is being tried stands on stderr while it is tried, and is wiped."""
    read, write = os.openpty()
    monkeypatch.setenv("TERM", "xterm")
    with open(write, "w", encoding="utf-8") as terminal:  # noqa: PTH123 - a descriptor
        monkeypatch.setattr(_progress.sys, "stderr", terminal)
        with _progress.Trying() as trying:
            trying("pairs of changes", 0, 1234)
        print("after", file=terminal, flush=True)
        drawn = ""
        while "after" not in drawn:
            drawn += os.read(read, 1 << 16).decode()
    os.close(read)
    before, _, wiped = drawn.partition("trying pairs of changes (1,234)")
    assert "after" not in before
    assert "\x1b[2K" in wiped  # the line is empty again before anything else stands on it
    monkeypatch.setattr(_progress.sys, "stderr", io.StringIO())
    with _progress.Trying() as trying:
        trying("pairs of changes", 0, 1234)
    assert not sys.stderr.getvalue()  # type: ignore[attr-defined]
