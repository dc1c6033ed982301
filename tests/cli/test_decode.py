"""`logpr decode`: what it prints and writes, how it is stopped, and certificates from files."""

from __future__ import annotations

import inspect
import json
import math
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import logpr
from logpr._values import Decoding, Moment, Verification
from logpr.cli import decode
from logpr.cli._decoded import hopeless
from logpr.cli._progress import Searching
from logpr.report.terminal import decoding_live
from logpr.report.terminal._pen import View
from tests.cli.conftest import Cli

ROWS: dict[str, Any] = {
    "tokens": ["A", "B", "E"],
    "bos": None,
    "end": ["E"],
    "kind": "probs",
    "order": 1,
    "rows": {
        "": [0.6, 0.3, 0.1],
        "A": [0.4, 0.4, 0.2],
        "B": [0.05, 0.05, 0.9],
        "E": [0.2, 0.2, 0.6],
    },
}
"""Greedy takes A and then A again; "B" has 0.27, "A B" 0.216, "A" 0.12, the empty output 0.1."""

BEST = 0.27
WHOLE = ("--prompt-ids", "", "--max-new-tokens", "3")


@pytest.fixture
def mat(tmp_path: Path) -> str:
    """Return the table model of this file by name."""
    path = tmp_path / "mat.json"
    path.write_text(json.dumps(ROWS), encoding="utf-8")
    return f"table:{path}"


def written(cli: Cli, model: str, *arguments: str, name: str = "out.json") -> dict[str, Any]:
    """Return what a search that succeeds writes to a file."""
    ran = cli("decode", *WHOLE, "--model", model, "-o", name, *arguments)
    assert ran.code == 0, ran.err
    found: dict[str, Any] = json.loads(Path(name).read_text("utf-8"))
    return found


def test_the_best_is_found_and_proven(cli: Cli, mat: str) -> None:
    """The terminal begins with the verdict; JSON has the fields that are promised."""
    ran = cli("decode", *WHOLE, "--model", mat)
    assert ran.code == 0
    assert f"optimum {math.log(BEST):.2f} (proven" in ran.out.splitlines()[0]
    record = cli("decode", *WHOLE, "--model", mat, "-n", "3", "--json").record
    assert {"method", "objective", "best", "nbest", "greedy", "certificate"} <= set(record)
    assert [one["token_ids"] for one in record["nbest"]] == [[1], [0, 1], [0]]
    assert record["best"]["logprob"] == pytest.approx(math.log(BEST), abs=1e-12)
    assert record["certificate"]["status"] == "optimal"
    assert "verification" not in record
    value = Decoding.from_dict(record)
    assert value.certificate.nbest_proven == 3


def test_the_file_is_what_is_printed(cli: Cli, mat: str) -> None:
    """-o writes the decoding, whole, and leaves no other file; --html a page with it."""
    found = written(cli, mat, "--html", "out.html", "--verify")
    assert Verification.from_dict(found.pop("verification")).verified is True
    assert Decoding.from_dict(found).best is not None
    assert sorted(path.name for path in Path().iterdir()) == ["mat.json", "out.html", "out.json"]
    assert Path("out.html").read_text("utf-8").lstrip().lower().startswith("<!doctype html>")


def test_every_keyword_is_an_option(cli: Cli) -> None:
    """What `logpr.decode` takes is spelt the same here, but for what a line cannot hold."""
    shown = cli("decode", "--help").out
    words = set(logpr.decode.__annotations__) - {"prompt", "progress", "choice_ids", "return"}
    for word in words:
        assert f"--{word.replace('_', '-')}" in shown, word


def test_defaults_are_those_of_python() -> None:
    """An option that is left out means what the keyword left out means."""
    python, typed = inspect.signature(logpr.decode), inspect.signature(decode.decode)
    same = set(python.parameters) & set(typed.parameters)
    assert len(same) > 20
    for name in same:
        assert typed.parameters[name].default == python.parameters[name].default, name


@pytest.mark.parametrize(
    ("arguments", "best"),
    [
        (("--method", "beam", "--width", "2"), [1]),
        (("--method", "threshold", "--threshold", "0.2"), [1]),
        (("--choice", "A", "--choice", "A B"), [0, 1]),
        (("--min-new-tokens", "2"), [0, 1]),
        (("--end", "open", "--min-new-tokens", "2", "--max-new-tokens", "2"), [1, 2]),
        (("--bias", "B=-3"), [0]),
        (("--bias", "#1=-3"), [0]),
        (("--objective", "per_token"), [0, 1]),
        (("--end-ids", "1"), []),
    ],
)
def test_options_reach_the_search(
    cli: Cli, mat: str, arguments: tuple[str, ...], best: list[int]
) -> None:
    """Each changes which output is the best one."""
    prompt = WHOLE[:2] if "--max-new-tokens" in arguments else WHOLE
    ran = cli("decode", *prompt, "--model", mat, "--json", *arguments)
    assert ran.code == 0, ran.err
    assert ran.record["best"]["token_ids"] == best


def test_choices_come_from_a_file(cli: Cli, mat: str) -> None:
    """A line each, beside those of --choice; blank lines and stdin too."""
    Path("choices.txt").write_text("A\n\nA B\n", encoding="utf-8")
    command = ("decode", *WHOLE, "--model", mat, "-n", "3", "--json")
    (one, two) = (
        cli(*command, "--choices", "choices.txt", "--choice", "B").record,
        cli(*command, "--choices", "-", stdin="A\nA B\nB\n").record,
    )
    assert [each["token_ids"] for each in one["nbest"]] == [[1], [0, 1], [0]]
    assert one["nbest"] == two["nbest"]


def test_a_schema_is_a_file_or_itself(cli: Cli, mat: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both reach the verb as one mapping."""
    seen: list[object] = []

    def stop(*_: object, **options: object) -> None:
        seen.append(options["json_schema"])
        raise KeyboardInterrupt

    monkeypatch.setattr(logpr, "decode", stop)
    text = '{"type": "boolean"}'
    Path("schema.json").write_text(text, encoding="utf-8")
    for given in (text, "schema.json"):
        assert cli("decode", "x", "--model", mat, "--json-schema", given).code == 130
    assert seen == [{"type": "boolean"}] * 2


def test_draws_are_those_of_a_seed(cli: Cli, mat: str) -> None:
    """The same seed, the same draws; each with log q of what it was drawn from."""
    command = ("decode", *WHOLE, "--model", mat, "--method", "sample", "-n", "8", "--json")
    one, same, other = (
        [tuple(each["token_ids"]) for each in cli(*command, "--seed", seed).record["nbest"]]
        for seed in ("1", "1", "2")
    )
    assert one == same != other
    record = cli(*command, "--temperature", "0.5", "--top-k", "2").record
    assert all(each["proposal_logprob"] is not None for each in record["nbest"])


def test_explain_says_why_greedy_lost(cli: Cli, mat: str) -> None:
    """With --explain alone."""
    command = ("decode", "A", "--model", mat, "--end", "open", "--json")
    lengths = ("--min-new-tokens", "2", "--max-new-tokens", "2")
    assert cli(*command, *lengths).record["explanation"] is None
    record = cli(*command, *lengths, "--explain").record
    greedy, best = record["greedy"], record["best"]
    assert greedy["token_ids"] != best["token_ids"]
    assert record["explanation"]["gap"] == pytest.approx(
        best["logprob"] - greedy["logprob"], abs=1e-9
    )


def test_the_built_in_model_is_said(cli: Cli) -> None:
    """Without --model; a proof that the built-in one can give is given."""
    ran = cli(
        "decode", "The cat sat on the", "--end-ids", "15", "--max-new-tokens", "6", "--verify"
    )
    assert ran.code == 0
    assert "built-in model" in ran.err
    assert ran.out.startswith("Greedy: not optimal")
    assert "Verified" in ran.out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "found none"),
        (("x", "--prompt-ids", "1"), "found PROMPT and --prompt-ids"),
        (("x", "--choice", "A", "--regex", "A"), "--choice and --regex"),
        (("x", "--budget", "soon"), "(--budget 30s)"),
        (("x", "--memory", "1MB"), "(--memory 512MB)"),
        (("x", "--objective", "best"), "length_penalty(ALPHA)"),
        (("x", "--end-ids", "1,y"), "--end-ids 1,5,9"),
        (("x", "--json-schema", "none.json"), "there is no file none.json"),
        (("x", "--json-schema", "[1]"), "found list, no schema"),
        (("x", "--json-schema", '{"a": }'), "the JSON is malformed"),
        (("x", "--choices", "none.txt"), "one choice a line"),
        (("x", "--choices", "empty.txt"), "there is no choice in it"),
        (("x", "-o", "-"), "write --json"),
        (("x", "-o", "none/out.json"), "there is no folder none"),
        (("x", "-o", "a", "--html", "a"), "both name a"),
    ],
)
def test_bad_input_is_refused_before_a_model_is_loaded(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], said: str
) -> None:
    """Exit code 2, what is wrong, and what to type; no traceback and nothing on stdout."""
    monkeypatch.setattr(logpr, "load", lambda *_, **__: pytest.fail("a model was loaded"))
    Path("empty.txt").write_text(" \n", encoding="utf-8")
    ran = cli("decode", *arguments)
    assert ran.code == 2
    assert said in ran.err
    assert not ran.out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--bias", "B"), "write --bias #7=-2"),
        (("--bias", "A B=-1"), "is 2 tokens"),
        (("--bias", "B=-1", "--bias", "#1=-1"), "sets token #1 twice"),
        (("--bias", "B=1"), "at most 0"),
        (("--end", "open"), "--min-new-tokens 12"),
        (("--threshold", "0.1"), "--method threshold"),
        (("--method", "greedy", "--width", "3"), "--method beam"),
        (("--method", "greedy", "-n", "3"), "--method exact"),
        (("--method", "sample", "--explain"), "--method exact"),
        (("--method", "sample", "--tolerance", "1"), "--method exact"),
        (("--min-length", "renormalise"), "--min-new-tokens 4"),
    ],
)
def test_what_cannot_be_meant_names_the_option(
    cli: Cli, mat: str, arguments: tuple[str, ...], said: str
) -> None:
    """Exit code 2 and what to type."""
    ran = cli("decode", *WHOLE[:2], "--model", mat, *arguments)
    assert ran.code == 2
    assert said in ran.err


LONG = 30
SIZE = 6


def chain(path: Path) -> tuple[str, float]:
    """Write a chain of random steps; return its name and the largest log Pr of LONG tokens.

    By dynamic programming, which knows nothing of searches.
    """
    draw = np.random.default_rng(7)
    logits = draw.normal(size=(SIZE + 1, SIZE)).round(3)
    names = [f"t{number}" for number in range(SIZE)]
    table = {
        "tokens": names,
        "bos": None,
        "end": [],
        "kind": "logits",
        "order": 1,
        "rows": dict(zip(["", *names], logits.tolist(), strict=True)),
    }
    path.write_text(json.dumps(table), encoding="utf-8")
    steps = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    best = steps[0]
    for _ in range(LONG - 1):
        best = (best[:, None] + steps[1:]).max(axis=0)
    return f"table:{path}", float(best.max())


ENDLESS = ("--end", "open", "--min-new-tokens", str(LONG), "--max-new-tokens", str(LONG))


@pytest.mark.skipif(os.name != "posix", reason="a process is interrupted as POSIX does it")
def test_ctrl_c_gives_the_best_so_far(tmp_path: Path) -> None:
    """Exit code 130; the JSON is whole on stdout and in the file, and its bounds hold the truth."""
    model, truth = chain(tmp_path / "chain.json")
    out, page = tmp_path / "out.json", tmp_path / "out.html"
    command = ["decode", "--prompt-ids", "", "--model", model, *ENDLESS, "--budget", "none"]
    command += ["--json", "-o", str(out), "--html", str(page), "--verify"]
    with subprocess.Popen(
        [sys.executable, "-m", "logpr", *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        warned = process.stderr.readline()  # it searches, and says that it will go on for long
        process.send_signal(signal.SIGINT)
        printed, said = process.communicate(timeout=60)
    assert "may not be proven soon" in warned
    assert "no --budget stops it. Ctrl-C" in warned
    assert process.returncode == 130
    assert "interrupted: this is the best so far" in said
    assert "was not looked at again" in said
    record = json.loads(printed)
    assert record == json.loads(out.read_text("utf-8"))
    assert page.stat().st_size > 1000
    proof = Decoding.from_dict(record).certificate
    assert (proof.status, proof.stopped) == ("gap", "interrupted")
    assert proof.lower - 1e-9 <= truth <= proof.upper + 1e-9
    assert proof.mass.total == pytest.approx(1.0, abs=1e-9)


def test_a_budget_ends_with_a_gap(cli: Cli, tmp_path: Path) -> None:
    """Exit code 0: the gap is the answer."""
    model, truth = chain(tmp_path / "chain.json")
    command = ("decode", "--prompt-ids", "", "--model", model, *ENDLESS, "--json")
    record = cli(*command, "--budget", "500 nodes").record
    proof = record["certificate"]
    assert (proof["status"], proof["stopped"]) == ("gap", "budget")
    assert proof["lower"] - 1e-9 <= truth <= proof["upper"] + 1e-9
    ran = cli(*command, "--budget", "0.2s")
    assert ran.code == 0
    assert ran.record["certificate"]["stopped"] == "budget"


def moment(lower: float, upper: float, seconds: float = 1.0) -> Moment:
    """Return where a search is."""
    return Moment(seconds=seconds, expansions=1000, lower=lower, upper=upper, open=9)


def test_a_hopeless_search_is_said_once_it_is_known() -> None:
    """Below log Pr = -12, with a gap, a speed, and the objective that the estimate is about."""
    warn = hopeless("logprob", longest=9, tolerance=0.5, budget="30s")
    assert warn(moment(-11.9, -5.0)) is None
    assert warn(moment(-math.inf, -5.0)) is None
    assert warn(moment(-14.0, -13.6)) is None
    assert warn(moment(-14.0, -5.0, seconds=0.1)) is None
    assert warn(replace(moment(-14.0, -5.0), expansions=1)) is None
    assert warn(replace(moment(-14.0, -5.0, seconds=6.0), expansions=1)) is not None
    said = warn(moment(-14.0, -5.0))
    assert said is not None
    assert "1.2e+07 expansions" in said
    assert "it stops at --budget 30s. Ctrl-C gives the best so far" in said
    assert "--budget 10m goes on longer" in said
    for objective in ("per_token", None):
        other = hopeless(objective, longest=9, tolerance=0.0, budget="30s")
        assert other(moment(-14.0, -5.0)) is None


def test_the_live_line_is_throttled_and_wiped(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On a terminal alone, ten times a second at most, and nothing of it is left."""
    now = [0.0]
    monkeypatch.setattr("logpr.cli._progress.time.monotonic", lambda: now[0])
    with Searching(lambda _: None) as quiet:
        quiet(moment(-4.0, -3.0))
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("FORCE_COLOR", "1")
    drawn: list[Moment] = []

    def drawing(one: Moment) -> View:
        drawn.append(one)
        return decoding_live(one)

    monkeypatch.setattr("logpr.cli._progress.decoding_live", drawing)
    with Searching(lambda one: "hopeless" if one.lower < -12.0 else None) as line:
        for step in range(40):
            now[0] = step * 0.025
            line(moment(-13.0 if step > 20 else -4.0, -3.0))
    assert 9 <= len(drawn) <= 11
    err = capsys.readouterr().err
    assert err.count("logpr: hopeless") == 1
    assert "best -4.00" in err
    assert err.endswith("\x1b[2K")


# What --certificate reads: files that anybody may have written.


def test_a_certificate_is_looked_at_again(cli: Cli, mat: str) -> None:
    """Of a file that -o wrote, of what --json prints, and of the certificate alone."""
    whole = written(cli, mat)
    Path("bare.json").write_text(json.dumps(whole["certificate"]), encoding="utf-8")
    line = cli("decode", *WHOLE, "--model", mat, "--json").out
    for name, stdin in (("out.json", None), ("bare.json", None), ("-", line)):
        ran = cli("decode", "--certificate", name, "--model", mat, stdin=stdin)
        assert ran.code == 0, ran.err
        assert ran.out.startswith("Verified")
    command = ("decode", "--certificate", "out.json", "--model", mat, "--json", "-o", "seen.json")
    record = cli(*command).record
    assert record["verification"]["verified"] is True
    assert record == json.loads(Path("seen.json").read_text("utf-8"))


def test_all_outputs_above_a_threshold_are_looked_at(cli: Cli, mat: str) -> None:
    """The list is part of the claim: one output less of it is refuted."""
    found = written(cli, mat, "--method", "threshold", "--threshold", "0.2", "--verify")
    assert found["verification"]["verified"] is True
    assert len(found["nbest"]) == 2
    del found["nbest"][1]
    Path("less.json").write_text(json.dumps(found), encoding="utf-8")
    command = ("decode", "--model", mat, "--certificate")
    assert cli(*command, "out.json").code == 0
    assert cli(*command, "less.json").code == 1


def test_a_claim_that_does_not_hold_ends_with_1(
    cli: Cli, mat: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From a file, and after a search whose certificate lies; one that is not settled with 2."""
    found = written(cli, mat)
    proof = found["certificate"]
    low = math.log(0.12)
    found["certificate"] = {**proof, "token_ids": [0], "lower": low, "upper": low, "gap": 0.0}
    Path("lie.json").write_text(json.dumps(found), encoding="utf-8")
    command = ("decode", "--certificate", "lie.json", "--model", mat)
    ran = cli(*command)
    assert ran.code == 1
    assert "The certificate says that this output cannot be" in ran.out
    assert cli(*command, "--json").record["verification"]["verified"] is False
    undecided = cli("decode", "--certificate", "out.json", "--model", mat, "--budget", "1 node")
    assert undecided.code == 2
    assert "Not settled" in undecided.out
    real = logpr.decode

    def lying(prompt: str | None, **options: Any) -> Decoding:  # noqa: ANN401 - as they come
        value: Decoding = real(prompt, **options)
        return Decoding.from_dict({**value.to_dict(), "certificate": found["certificate"]})

    monkeypatch.setattr(logpr, "decode", lying)
    searched = cli("decode", *WHOLE, "--model", mat, "--verify", "-o", "lying.json")
    assert searched.code == 1
    assert json.loads(Path("lying.json").read_text("utf-8"))["verification"]["verified"] is False
    assert cli("decode", *WHOLE, "--model", mat).code == 0


def test_ctrl_c_while_a_certificate_is_looked_at_keeps_the_answer(
    cli: Cli, mat: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The search is done, and what it found is printed."""

    def stopped(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("logpr.decoding.verifier.verify", stopped)
    ran = cli("decode", *WHOLE, "--model", mat, "--verify", "--json")
    assert ran.code == 130
    assert ran.record["certificate"]["status"] == "optimal"
    assert "it stands as it was made" in ran.err


def test_a_certificate_needs_its_model(cli: Cli, mat: str) -> None:
    """By name, since another one would refute what it never claimed; no option of a search."""
    written(cli, mat)
    ran = cli("decode", "--certificate", "out.json")
    assert ran.code == 2
    assert "logpr decode --certificate out.json --model" in ran.err
    idle = cli("decode", "--certificate", "out.json", "--model", mat, "-n", "3")
    assert idle.code == 2
    assert "--n is for a search" in idle.err
    both = cli("decode", "x", "--certificate", "out.json", "--model", mat)
    assert both.code == 2
    over = cli("decode", "--certificate", "out.json", "--model", mat, "-o", "out.json")
    assert over.code == 2
    assert "is the certificate itself" in over.err


def test_other_weights_are_said(cli: Cli, mat: str) -> None:
    """The digests differ, and the file says of which model it is."""
    found = written(cli, mat)
    found["provenance"]["model"].update(weights_digest="sha256:0", model="another\x1b[2J")
    Path("other.json").write_text(json.dumps(found), encoding="utf-8")
    digest = cli("decode", "--certificate", "other.json", "--model", mat)
    assert "\x1b" not in digest.err
    assert digest.code == 0
    named = cli("decode", "--certificate", "other.json")
    assert "\x1b" not in named.err


def spoilt(**fields: object) -> dict[str, Any]:
    """Return fields that replace those of a certificate."""
    return dict(fields)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        (spoilt(status="proven"), "Certificate.status"),
        (spoilt(lower="low"), "Certificate.lower"),
        (spoilt(prompt_ids=[99]), "prompt_ids: token id 99"),
        (spoilt(end_ids=[-1]), "end_ids: token id -1"),
        (spoilt(end_ids=[]), "end_ids: there is none"),
        (spoilt(bias=[[99, -1.0]]), "bias: token id 99"),
        (spoilt(bias=[[1, "NaN"]]), "bias: token 1 has nan"),
        (spoilt(max_new_tokens=10**12), "max_new_tokens"),
        (spoilt(max_new_tokens=10**400), "a number of 401 digits"),
        (spoilt(lower=10**400), "a number of 401 digits"),
        (spoilt(max_new_tokens=0, min_new_tokens=0), "max_new_tokens"),
        (spoilt(min_new_tokens=9), "min_new_tokens: 9"),
        (spoilt(token_ids=[0] * 10**6), "outputs of 1000000 tokens"),
        (spoilt(objective="best"), "no objective is called 'best'"),
        (spoilt(constraint={"kind": "regex", "source": "("}), "no regular expression"),
        (spoilt(constraint={"kind": "choice_ids", "sequences": [[99]]}), "99"),
        (spoilt(extra=1), "has no field 'extra'"),
        (spoilt(mass={"finished": "Infinity", "open": "-Infinity"}), "mass.finished"),
        (spoilt(mass={"finished": 1e308, "open": 1e308}), "mass.finished"),
    ],
)
def test_a_malformed_certificate_is_refused(
    cli: Cli, mat: str, fields: dict[str, Any], said: str
) -> None:
    """Exit code 2; the file and the field, in one line."""
    found = written(cli, mat)
    found["certificate"].update(fields)
    Path("bad.json").write_text(json.dumps(found), encoding="utf-8")
    ran = cli("decode", "--certificate", "bad.json", "--model", mat)
    assert ran.code == 2
    assert said in ran.err
    assert len(ran.err) < 1000


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"", "malformed"),
        (b'{"certificate": ', "bad.json:1"),
        (b"[]", "found list"),
        (b"{}", "Certificate lacks"),
        (b'{"certificate": 3}', "found int"),
        (b'{"lower": NaN}', "NaN is no JSON"),
        (b"[" * 100_000, "cannot be read"),
        (b"\xff\xfe{", "cannot be read"),
        (b"1" * 5000, "cannot be read"),
    ],
)
def test_what_is_no_json_is_refused(cli: Cli, mat: str, text: bytes, said: str) -> None:
    """Exit code 2 and the file by name, whatever it holds."""
    Path("bad.json").write_bytes(text)
    ran = cli("decode", "--certificate", "bad.json", "--model", mat)
    assert ran.code == 2
    assert said in ran.err
    assert "bad.json" in ran.err


def test_a_list_that_is_none_is_refused(cli: Cli, mat: str) -> None:
    """Under a threshold the outputs are read too."""
    found = written(cli, mat, "--method", "threshold", "--threshold", "0.2")
    for nbest, said in (
        (3, "nbest: there is no list"),
        ([{"token_ids": ["a"]}], "nbest.0.token_ids"),
        ([{"token_ids": [99]}], "nbest.0: token id 99"),
    ):
        Path("bad.json").write_text(json.dumps({**found, "nbest": nbest}), encoding="utf-8")
        ran = cli("decode", "--certificate", "bad.json", "--model", mat)
        assert ran.code == 2
        assert said in ran.err


def test_a_missing_or_endless_certificate_is_refused(
    cli: Cli, mat: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No such file, and one that is larger than any certificate."""
    ran = cli("decode", "--certificate", "none.json", "--model", mat)
    assert ran.code == 2
    assert "there is no file none.json" in ran.err
    written(cli, mat)
    monkeypatch.setattr("logpr.cli._certificate._MOST_BYTES", 1000)
    large = cli("decode", "--certificate", "out.json", "--model", mat)
    assert large.code == 2
    assert "and is not read" in large.err
