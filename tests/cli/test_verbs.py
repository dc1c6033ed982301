"""What the verbs print beside rankings of files: notes, help, scores, steps, diagnoses."""

from __future__ import annotations

import json
import math
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import logpr
from logpr.cli import rank
from logpr.models.builtin import LlamaModel
from tests.cli.conftest import Cli

VERBS = ("rank", "score", "next", "decode", "audit", "doctor")


@pytest.mark.parametrize("verb", VERBS)
def test_help_teaches(cli: Cli, verb: str) -> None:
    """Each verb's help ends with examples of that verb."""
    ran = cli(verb, "--help")
    assert ran.code == 0
    _, _, examples = ran.out.partition("Examples:")
    assert f"logpr {verb}" in examples


@pytest.mark.parametrize("verb", VERBS)
def test_help_names_every_dtype_and_executor(cli: Cli, verb: str) -> None:
    """The values that may be given are those that the backend knows."""
    loading = pytest.importorskip("logpr.models.hf.loading", reason="needs torch, transformers")
    words = set(re.findall(r"\w+", cli(verb, "--help").out))
    assert {*loading.DTYPES, "auto", *loading.EXECUTORS} <= words


def test_the_bare_command_shows_its_verbs(cli: Cli) -> None:
    """`logpr` alone is its help, and no error."""
    ran = cli()
    assert ran.code == 0
    assert not [verb for verb in VERBS if verb not in ran.out]


def test_version(cli: Cli) -> None:
    """--version is the package's."""
    assert cli("--version").out == f"logpr {logpr.__version__}\n"


def test_options_are_spelt_as_keywords(cli: Cli) -> None:
    """Every keyword of `logpr.rank` and `logpr.Settings` that a line can hold is an option."""
    shown = cli("rank", "--help").out
    words = {*logpr.rank.__annotations__, *logpr.Settings.__annotations__}
    for word in words - {"candidates", "return", "joint"}:
        assert f"--{word.replace('_', '-')}" in shown, word


def test_the_sample_is_a_file_of_records() -> None:
    """The sample that ships is readable by anyone: prompts, candidates, labels, a cat on a mat."""
    rows = [json.loads(line) for line in Path(rank.SAMPLE).read_text("utf-8").splitlines()]
    assert 6 <= len(rows) <= 8
    assert all(len(row["candidates"]) in (3, 4) and "label" in row for row in rows)
    assert "The cat sat on the" in {row["prompt"] for row in rows}


@pytest.fixture
def stories(data_dir: Path) -> str:
    """Return a small real model by name."""
    return f"builtin:{data_dir / 'models' / 'stories260K'}"


def test_rank_alone_ranks_the_sample(cli: Cli, stories: str) -> None:
    """Without input the sample is ranked, which is said, with a table and a short explanation."""
    ran = cli("rank", "--model", stories)
    assert ran.code == 0
    assert "no input" in ran.err
    assert "The cat sat on the" in ran.out
    assert "beats" in ran.out
    assert "8 queries" in ran.out
    assert "acc_norm" in ran.out


def test_a_model_that_was_not_named_is_said(
    cli: Cli, stories: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """--prompt without --model takes the built-in model, and says so."""
    folder = stories.removeprefix("builtin:")
    named: list[str] = []

    def load(name: str, **_: object) -> LlamaModel:
        named.append(name)
        return LlamaModel.from_folder(folder)

    monkeypatch.setattr(logpr, "load", load)
    ran = cli("rank", "--prompt", "The cat", " sat", " ate")
    assert ran.code == 0
    assert named == ["builtin"]
    assert "built-in model" in ran.err
    assert "built-in model" in cli("next", "The cat").err
    assert "built-in model" not in cli("rank", "--token-logprobs=-1").err


def test_tokens_shows_each_candidate(cli: Cli, table: str) -> None:
    """--tokens adds the tokens of every candidate, in the terminal and in JSON."""
    command = ("rank", "--model", table, "--prompt", "", "A A", "B B")
    assert "Continuation" not in cli(*command).out
    assert cli(*command, "--tokens").out.count("Continuation") == 2
    assert "token_ids" not in cli(*command, "--json").record["candidates"][0]
    candidate = cli(*command, "--tokens", "--json").record["candidates"][0]
    assert candidate["token_ids"] == [0, 0]
    assert math.fsum(candidate["token_logprobs"]) == pytest.approx(candidate["logprob"], abs=1e-12)


def test_score_joint_obeys_the_chain_rule(cli: Cli, table: str) -> None:
    """--joint: log Pr(x, y) = log Pr(x) + log Pr(y | x)."""
    ran = cli("score", "--model", table, "--prompt", "B", " A", "--joint", "--json")
    (candidate,) = ran.record["candidates"]
    whole = candidate["prompt_logprob"] + candidate["logprob"]
    assert candidate["joint_logprob"] == pytest.approx(whole, abs=1e-12)
    first, second = [10, 9, 0], [8, 7, 0]
    truth = 9 + 8 - sum(math.log(math.fsum(map(math.exp, row))) for row in (first, second))
    assert whole == pytest.approx(truth, abs=1e-12)


def test_score_evidence(cli: Cli, table: str) -> None:
    """--evidence adds logit, log-normaliser, rank, favourite and entropy of each token."""
    ran = cli("score", "--model", table, "--prompt", "", "B B", "--evidence", "--json")
    (candidate,) = ran.record["candidates"]
    assert candidate["logit"] == [9.0, 7.0]
    assert candidate["rank"] == [2, 2]
    assert [len(best) for best in candidate["alternatives"]] == [3, 3]


def test_ids_on_the_line(cli: Cli, table: str) -> None:
    """--prompt-ids and --candidate-ids are the same query as the texts they stand for."""
    texts = cli("rank", "--model", table, "--prompt", "B", " A", " B", "--json").record
    ids = cli(
        *("rank", "--model", table, "--prompt-ids", "1", "--candidate-ids", "0"),
        *("--candidate-ids", "1", "--json"),
    ).record
    assert [c["logprob"] for c in ids["candidates"]] == [c["logprob"] for c in texts["candidates"]]


def test_end_ids_on_the_line(cli: Cli) -> None:
    """Under --end stop, --end-logprob is part of the sum."""
    ran = cli("rank", "--token-logprobs=-1,-2", "--end-logprob=-0.5", "--end", "stop", "--json")
    assert ran.record["candidates"][0]["logprob"] == pytest.approx(-3.5, abs=1e-12)
    assert ran.record["candidates"][0]["end_logprob"] == -0.5


CHAT = [
    {"role": "user", "content": "Hi"},
    {"role": "assistant", "content": "Hello!"},
    {"role": "user", "content": "Bye"},
    {"role": "assistant", "content": "See you."},
]


@pytest.mark.parametrize(
    ("chat", "says"),
    [
        pytest.param("[1]", "message 0 is 1", id="no-message"),
        pytest.param('{"a": 1}', "no list of messages", id="no-list"),
        pytest.param("[{", "malformed", id="no-json"),
        pytest.param("missing.json", "there is no file missing.json", id="missing"),
        pytest.param(json.dumps(CHAT[:1]), "no assistant turn", id="no-turn"),
    ],
)
def test_messages_that_cannot_be_scored(cli: Cli, table: str, chat: str, says: str) -> None:
    """Messages are a JSON list with an assistant turn, or the message says what is wrong."""
    ran = cli("score", "--model", table, "--messages", chat)
    assert ran.code == 2
    assert says in ran.err


def test_next_shows_a_subset_a_gradient_and_draws(cli: Cli) -> None:
    """--among, --grad and --draw are computed from the distribution that is shown."""
    ran = cli(
        *("next", "--logits", "2,1,0", "--names", "a,b,c", "--among", "a,b", "--grad", "b"),
        *("--draw", "5", "--seed", "3", "--json"),
    )
    record = ran.record
    shares = [outcome["among_prob"] for outcome in record["outcomes"]]
    assert shares == pytest.approx([1 / (1 + math.exp(-1)), 1 / (1 + math.e), 0.0], abs=1e-12)
    gradient = {outcome["text"]: outcome["grad"] for outcome in record["outcomes"]}
    assert math.fsum(gradient.values()) == pytest.approx(0.0, abs=1e-12)
    assert gradient["b"] > 0 > gradient["a"]
    assert len(record["draws"]) == 5


def test_next_of_a_model(cli: Cli, table: str) -> None:
    """A prompt and a model give the distribution of its next token."""
    record = cli("next", "B", "--model", table, "--json").record
    assert [outcome["text"] for outcome in record["outcomes"]] == ["A", "B", "C"]
    assert record["outcomes"][0]["logit"] == 8.0


def test_doctor_checks_a_model(cli: Cli, stories: str) -> None:
    """The arithmetic is exact, missing extras come with their install line, a model is measured."""
    ran = cli("doctor", "--model", stories, "--json")
    checks = {check["name"]: check for check in ran.record["checks"]}
    assert ran.code == (0 if ran.record["ok"] else 3)
    assert checks["arithmetic"]["verdict"] == "ok"
    assert checks["arithmetic"]["error"] <= 1e-12
    for extra in ("hf", "datasets"):
        absent = checks[extra]["verdict"] == "absent"
        assert checks[extra].get("install") == (f'pip install "logpr[{extra}]"' if absent else None)
    assert checks["model"]["provenance"]["model"] == stories
    assert checks["noise"]["noise_packing"] < 1e-3
    assert checks["speed"]["tokens_per_second"] > 0
    assert 0 < checks["speed"]["fraction_of_matmul"] < 1


def test_doctor_fails_where_the_model_does(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """A built-in model that does not load is a failed check, and exit code 3."""

    def load(*_: object, **__: object) -> None:
        msg = "its weights are gone"
        raise logpr.errors.ModelLoadError(msg)

    monkeypatch.setattr(logpr, "load", load)
    ran = cli("doctor", "--json")
    assert ran.code == 3
    failed = [check for check in ran.record["checks"] if check["verdict"] == "failed"]
    assert [(check["name"], check["says"]) for check in failed] == [
        ("builtin", "its weights are gone")
    ]


def test_a_bug_is_said_to_be_one() -> None:
    """An exception that nobody meant ends with exit code 70 and a line, not a traceback."""
    program = (
        "import logpr.cli, logpr\n"
        "def broken(*a, **k): raise ZeroDivisionError('so')\n"
        "logpr.next = broken\n"
        "import sys; sys.argv = ['logpr', 'next', '--logits', '1,2']\n"
        "logpr.cli.main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, encoding="utf-8", check=False
    )
    assert done.returncode == 70
    assert "this is a bug in logpr: ZeroDivisionError: so" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_reader_that_leaves_is_no_error(lines: Callable[..., Path]) -> None:
    """Where stdout is closed early the program ends in silence."""
    row = {"prompt": "", "candidates": [{"text": "A" * 5000, "token_logprobs": [-1]}]}
    path = lines(*[row] * 200)
    program = (
        f"{sys.executable} -c 'from logpr.cli import main; main()' rank {path} --json | head -c 9"
    )
    done = subprocess.run(
        ["/bin/sh", "-c", program],
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert done.stdout == '{"id": 0,'
    assert "Broken" not in done.stderr
    assert "Traceback" not in done.stderr


def test_a_narrow_old_terminal(table: str) -> None:
    """Views and JSON survive a terminal of ASCII."""
    program = "from logpr.cli import main; main()"
    arguments = ["rank", "--model", table, "--prompt", "", "A A", "B B"]
    for more in ([], ["--json"]):
        done = subprocess.run(
            [sys.executable, "-c", program, *arguments, *more],
            capture_output=True,
            check=True,
            env={"PYTHONIOENCODING": "ascii", "PATH": "/usr/bin", "COLUMNS": "60"},
        )
        assert done.stdout.isascii()


TEMPLATE = (
    "{% for m in messages %}{{ m['role'] }}:\n{{ m['content'] }}</s>\n{% endfor %}"
    "{% if add_generation_prompt %}assistant:\n{% endif %}"
)


@pytest.fixture
def chat(data_dir: Path, tmp_path: Path) -> str:
    """Return a small real model that is given a chat template, by name."""
    folder = tmp_path / "chat"
    shutil.copytree(data_dir / "models" / "stories260K", folder)
    config = folder / "tokenizer_config.json"
    told = json.loads(config.read_text("utf-8"))
    config.write_text(json.dumps({**told, "chat_template": TEMPLATE}), encoding="utf-8")
    return f"builtin:{folder}"


def test_turns_of_a_conversation(cli: Cli, chat: str) -> None:
    """--turns all scores every assistant turn given all before it; last, only the last."""
    Path("chat.json").write_text(json.dumps(CHAT), encoding="utf-8")
    command = ("score", "--model", chat, "--json", "--messages")
    every = cli(*command, "chat.json", "--turns", "all").records
    assert [record["candidates"][0]["text"] for record in every] == ["Hello!", "See you."]
    (last,) = cli(*command, "-", stdin=json.dumps({"messages": CHAT})).records
    assert last["id"] == every[1]["id"] == 1
    total = every[1]["candidates"][0]["logprob"]  # the same in another pack: to float32's noise
    assert last["candidates"][0]["logprob"] == pytest.approx(total, abs=1e-3)
    # A message ends by its end token, so the score is of exactly this turn.
    assert last["end"] == "stop"
    assert last["candidates"][0]["end_logprob"] < 0
    (given,) = cli(*command, json.dumps(CHAT[:3]), "See you.").records
    assert given["candidates"][0]["logprob"] == pytest.approx(total, abs=1e-3)


def test_messages_are_ranked_after(cli: Cli, chat: str) -> None:
    """rank --messages takes its candidates as next turns."""
    ran = cli("rank", "--model", chat, "--messages", json.dumps(CHAT[:1]), "Hello!", "No.")
    assert ran.code == 0
    assert "is exactly" in " ".join(ran.out.split())


def test_sep_joins_on_the_command_line(cli: Cli, table: str) -> None:
    """--sep ' ' stands between prompt and candidates, as the warning about joins says."""
    joined = cli("rank", "--model", table, "--prompt", "A", "--sep", " ", "B", "C", "--json")
    spaced = cli("rank", "--model", table, "--prompt", "A", " B", " C", "--json")
    assert joined.record == spaced.record
    first = cli("rank", "--model", table, "--prompt", "", "--sep", " ", "B", "C", "--json")
    assert [item["text"] for item in first.record["candidates"]] == ["B", "C"]
