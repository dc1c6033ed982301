"""What cannot be used: one clear message on stderr, nothing on stdout, the right exit code."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Cli

Lines = Callable[..., Path]

GOOD = {"prompt": "A", "candidates": [" B", " C"]}
LOGITS = {"text": "A", "token_ids": [0], "logits": [[1.0, 2.0]]}


def _row(**fields: object) -> dict[str, Any]:
    return {**GOOD, **fields}


@pytest.mark.parametrize(
    ("row", "says"),
    [
        pytest.param('{"prompt": "A",', ["malformed", "column", "--on-error skip"], id="malformed"),
        pytest.param("[1, 2]", ["[1, 2]", "a row is an object"], id="no-object"),
        pytest.param(_row(prompt=7), ["'prompt'", "a text is wanted", "7"], id="prompt-type"),
        pytest.param(_row(candidates="B"), ["'candidates'", "'B'"], id="candidates-type"),
        pytest.param(_row(candidates=[" B", 3]), ["candidates[1]", "3"], id="candidate-type"),
        pytest.param(_row(candidates=[]), ["'candidates'", "at least one"], id="zero-candidates"),
        pytest.param(_row(label=5), ["'label'", "5", "0 to 1"], id="label-range"),
        pytest.param(_row(id="first"), ["'id'", "'first'", "in.jsonl:1"], id="duplicate-id"),
        pytest.param(
            {"prompt": "", "candidates": [""]}, ["empty", "nothing to score"], id="both-empty"
        ),
        pytest.param(
            '{"prompt": "A \\ud800", "candidates": [" B"]}', ["\\ud800", "'prompt'"], id="surrogate"
        ),
        pytest.param(
            {"prompt_ids": [0], "candidate_ids": [[1], [99]]},
            ["candidate 1", "99", "vocabulary of 3"],
            id="id-outside",
        ),
        pytest.param(
            {"prompt": "", "candidates": [{**LOGITS, "logits": [["NaN", 2.0]]}]},
            ["logits", "nan"],
            id="nan-logits",
        ),
        pytest.param(
            {"prompt": "", "candidates": [{**LOGITS, "logits": [["Infinity", 2.0]]}]},
            ["logits", "inf"],
            id="inf-logits",
        ),
        pytest.param(
            {"prompt": "", "candidates": [LOGITS, {**LOGITS, "logits": [[1.0, 2.5]]}]},
            ["prefix", "0.5"],
            id="contradicting-logits",
        ),
        pytest.param(
            {"prompt": "", "candidates": [{"text": "A", "token_logprobs": [0.5]}]},
            ["token_logprobs[0]", "0.5"],
            id="no-logprob",
        ),
        pytest.param({"question": "Q"}, ["question", "--map"], id="no-shape"),
    ],
)
def test_a_bad_row_stops_the_run(
    cli: Cli, lines: Lines, table: str, row: dict[str, Any] | str, says: list[str]
) -> None:
    """The message names file, line and value; exit code 2, and no output file is left."""
    path = lines(_row(id="first"), row)
    ran = cli("rank", path, "--model", table, "-o", "out.jsonl")
    assert ran.code == 2
    message = ran.err.splitlines()[-1]
    assert "in.jsonl:2" in message
    assert not [word for word in says if word not in message], message
    assert ran.out == ""
    assert not Path("out.jsonl").exists()


@pytest.mark.parametrize(
    ("row", "says"),
    [
        pytest.param('{"prompt": "A",', "malformed", id="unreadable"),
        pytest.param(_row(candidates=[]), "at least one", id="unusable"),
        pytest.param(_row(candidates=[" B", " Q"]), "'Q'", id="unscorable"),
    ],
)
def test_skipping_loses_nothing(
    cli: Cli, lines: Lines, table: str, row: dict[str, Any] | str, says: str
) -> None:
    """Every row is in the output or in the side file with its reason; exit code 0."""
    path = lines(_row(id="a"), row, _row(id="b"))
    ran = cli("rank", path, "--model", table, "-o", "out.jsonl", "--on-error", "skip")
    assert ran.code == 0
    ids = [json.loads(line)["id"] for line in Path("out.jsonl").read_text().splitlines()]
    assert ids == ["a", "b"]
    (rejected,) = map(json.loads, Path("out.jsonl.rejected.jsonl").read_text().splitlines())
    assert rejected["line"] == 2
    assert says in rejected["error"]
    assert rejected.get("row") == row or rejected.get("text") == row
    assert "1 row was put aside" in ran.err
    assert "out.jsonl.rejected.jsonl" in ran.err


def test_a_missing_file(cli: Cli) -> None:
    """A path that is not there is named, with what is."""
    Path("there.jsonl").touch()
    ran = cli("rank", "missing.jsonl", "--model", "builtin")
    assert ran.code == 2
    assert "missing.jsonl" in ran.err
    assert "there.jsonl" in ran.err


def test_an_empty_file(cli: Cli, lines: Lines, table: str) -> None:
    """A file without a record is an error, not an empty result."""
    ran = cli("rank", lines(), "--model", table)
    assert ran.code == 2
    assert "in.jsonl is empty" in ran.err


def test_a_file_needs_a_model(cli: Cli, lines: Lines) -> None:
    """A file whose rows bring no numbers gets the command that names a model."""
    ran = cli("rank", lines(GOOD), "--rule", "per_byte")
    assert ran.code == 2
    assert "in.jsonl:1" in ran.err
    assert "logpr rank --model builtin --rule per_byte" in ran.err


def test_a_later_row_needs_a_model(cli: Cli, lines: Lines) -> None:
    """A row without numbers among rows with them is located, and says what it lacks."""
    given = {"prompt": "", "candidates": [LOGITS]}
    ran = cli("rank", lines(given, given, GOOD), "--json")
    assert ran.code == 2
    assert "in.jsonl:3" in ran.err
    assert "--model" in ran.err


@pytest.mark.parametrize("verb", ["rank", "score"])
def test_the_forgotten_prompt(cli: Cli, verb: str) -> None:
    """Arguments without --prompt get the corrected command, quoted for a shell."""
    ran = cli(verb, "The cat", " it's", "b", "--end", "stop")
    assert ran.code == 2
    assert f"""  logpr {verb} --prompt 'The cat' --end stop ' it'"'"'s' b\n""" in ran.err


def test_a_prompt_where_a_file_is_wanted(cli: Cli) -> None:
    """One argument that is no path is taken for a prompt, and corrected."""
    ran = cli("rank", "The cat sat on the")
    assert ran.code == 2
    assert "logpr rank --prompt 'The cat sat on the'" in ran.err


def test_several_files(cli: Cli, lines: Lines) -> None:
    """Two files are not taken for a prompt and a candidate."""
    first, second = lines(GOOD, name="a.jsonl"), lines(GOOD, name="b.jsonl")
    ran = cli("rank", first, second)
    assert ran.code == 2
    assert "one FILE" in ran.err
    assert "--prompt" not in ran.err


def test_a_prompt_without_candidates(cli: Cli) -> None:
    """A prompt alone is answered with a command that has candidates."""
    ran = cli("rank", "--prompt", "The cat")
    assert ran.code == 2
    assert "logpr rank --prompt 'The cat' ' warm mat'" in ran.err


def test_an_unknown_rule(cli: Cli, table: str) -> None:
    """An unknown rule is answered with the rules there are."""
    ran = cli("rank", "--prompt", "A", " B", "--model", table, "--rule", "mean")
    assert ran.code == 2
    assert "'mean'" in ran.err
    assert "per_byte" in ran.err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        pytest.param(["--end", "never"], "never", id="end"),
        pytest.param(["--boundary", "soft"], "soft", id="boundary"),
        pytest.param(["--wat"], "--wat", id="unknown-option"),
        pytest.param(["--end-ids", "two"], "'two'", id="end-ids"),
        pytest.param(["--among", "Z", "--rule", "vocab_subset"], "Z", id="among"),
        pytest.param(["--neutral", "A"], "neutral is for the rule pmi", id="neutral-unused"),
        pytest.param(["--among", "A"], "among is for the rule vocab_subset", id="among-unused"),
        pytest.param(["--candidate-ids", "9" * 5000], "is no token id", id="id-too-long"),
        pytest.param(["--candidate-ids", "9" * 18], "outside", id="id-large"),
        pytest.param(["--map", "prompt=x"], "--map is for a FILE", id="file-option"),
        pytest.param(["-o", "x.jsonl"], "--json > FILE", id="output"),
        pytest.param(["--prompt-ids", "1"], "--prompt and --prompt-ids", id="two-prompts"),
    ],
)
def test_an_option_that_means_nothing(
    cli: Cli, table: str, arguments: list[str], says: str
) -> None:
    """No option is dropped in silence: a wrong or useless one is named, with exit code 2."""
    ran = cli("rank", "--model", table, "--prompt", "A", *arguments, " B", " C")
    assert ran.code == 2
    assert says in ran.err
    assert ran.out == ""


def test_model_options_need_a_model(cli: Cli) -> None:
    """--dtype beside given numbers is refused, for there is no model to run."""
    ran = cli("rank", "--token-logprobs=-1", "--dtype", "float64")
    assert ran.code == 2
    assert "--dtype" in ran.err


@pytest.mark.parametrize("rule", ["pmi", "vocab_subset"])
def test_a_rule_that_given_numbers_cannot_answer(cli: Cli, rule: str) -> None:
    """log-probabilities alone tell neither a neutral prompt's nor a subset's: no table of nulls."""
    among = ["--among", "A"] if rule == "vocab_subset" else []
    ran = cli("rank", "--rule", rule, *among, "--token-logprobs=-1", "--token-logprobs=-2")
    assert ran.code == 2
    assert f"rule {rule} cannot be told" in ran.err
    assert ran.out == ""


def test_given_numbers_beside_a_model_are_named(cli: Cli, lines: Lines, table: str) -> None:
    """Numbers that rows bring are used before a model's, and the record says so."""
    path = lines({"prompt": "A", "candidates": [{"text": " B", "token_logprobs": [-0.5]}]})
    ran = cli("rank", path, "--model", table, "--json")
    (warning,) = ran.record["warnings"]
    assert ran.record["candidates"][0]["logprob"] == -0.5
    assert warning.startswith("given_numbers:")
    assert cli("rank", path, "--json").record["warnings"] == []


def test_given_numbers_beside_the_models_are_told(cli: Cli, lines: Lines, table: str) -> None:
    """Of a row that mixes them the model is named, in the view, the record and the provenance."""
    given = {"text": " B", "token_logprobs": [-0.5]}
    alone = {"prompt": "A", "candidates": [given]}
    path = lines(alone, {"prompt": "A", "candidates": [given, " C"]})
    warning = cli("rank", path, "--model", table, "--json").records[1]["warnings"][0]
    assert "the numbers that candidate 0 brought stand beside the model's" in warning
    assert "only if they are of the same model" in warning
    shown = cli("rank", path, "--model", table, "--show", "2").out
    assert shown.count("no model") == 1  # of the first row alone, and not of the file
    for verb, window in (("rank", "1"), ("rank", "9"), ("score", "1"), ("score", "9")):
        out = path.with_name(f"{verb}{window}.jsonl")
        command = (verb, path, "--model", table, "--window", window, "-o", out)
        assert cli(*command).code == 0
        told = json.loads(path.with_name(f"{out.name}.provenance.json").read_text("utf-8"))
        assert told["model"]["model"] == table
    many = [given] * 7
    path = lines({"prompt": "A", "candidates": [" C", *many]})
    (warning,) = cli("rank", path, "--model", table, "--json").record["warnings"]
    assert "candidates 1, 2, 3, 4, 5 and 2 more brought" in warning


def test_a_row_without_its_group_is_put_aside(cli: Cli, lines: Lines, table: str) -> None:
    """--by a field that a row lacks is that row's fault alone."""
    path = lines({**GOOD, "label": 0, "kind": "x"}, {**GOOD, "label": 1})
    arguments = ("rank", path, "--model", table, "--by", "kind")
    stopped = cli(*arguments, "-o", "out.jsonl")
    assert stopped.code == 2
    assert f"{path}:2: field 'kind' is not there" in stopped.err
    skipped = cli(*arguments, "-o", "out.jsonl", "--on-error", "skip")
    assert skipped.code == 0
    assert len(path.with_name("out.jsonl").read_text(encoding="utf-8").splitlines()) == 1
    aside = path.with_name("out.jsonl.rejected.jsonl").read_text(encoding="utf-8")
    assert json.loads(aside)["line"] == 2


@pytest.mark.skipif(sys.platform == "win32", reason="closes streams the way a POSIX shell does")
@pytest.mark.parametrize("closed", ["0<&-", ">&-", "2>&-"])
def test_a_closed_stream_is_no_bug(closed: str) -> None:
    """A program started without one of its streams still ends by its own exit code."""
    command = f'"$1" -m logpr rank --token-logprobs=-1 --json {closed}'
    ran = subprocess.run(
        ["/bin/sh", "-c", command, "sh", sys.executable],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0
    assert ran.stderr == ""
    assert (ran.stdout == "") is (closed == ">&-")


def test_numbers_of_another_count(cli: Cli) -> None:
    """Texts and --token-logprobs come in pairs."""
    ran = cli("rank", "--token-logprobs=-1", "--token-logprobs=-2", "one")
    assert ran.code == 2
    assert "1 texts and 2 --token-logprobs" in ran.err


@pytest.mark.parametrize("typed", ["0.5", "nan", "x"])
def test_numbers_that_are_no_logprobs(cli: Cli, typed: str) -> None:
    """A value above 0, NaN, or no number at all is refused."""
    ran = cli("rank", f"--token-logprobs={typed}")
    assert ran.code == 2
    assert typed in ran.err


@pytest.mark.parametrize("typed", ["1,nan", "1,inf", "-inf,-inf", "", "1;2"])
def test_logits_without_a_distribution(cli: Cli, typed: str) -> None:
    """NaN, +inf, nothing but −inf and nothing at all give no distribution."""
    ran = cli("next", "--logits", typed)
    assert ran.code == 2
    assert "logits" in ran.err


def test_next_takes_one_prompt(cli: Cli) -> None:
    """No prompt, or a prompt and logits, are answered with examples."""
    assert cli("next").code == 2
    ran = cli("next", "The cat", "--logits", "1,2")
    assert ran.code == 2
    assert "PROMPT and --logits" in ran.err


def test_one_and_empty_candidates_are_allowed(cli: Cli, table: str) -> None:
    """One candidate has no margin; an empty one is certain under `open`, and has no ratios."""
    one = cli("rank", "--model", table, "--prompt", "A", " B", "--json").record
    assert one["margin"] is None
    record = cli("rank", "--model", table, "--prompt", "A", " B", "", "--json").record
    assert record["candidates"][1]["logprob"] == 0.0
    assert record["candidates"][1]["per_token"] is None
    assert record["best"] == 1


@pytest.fixture
def stories(data_dir: Path) -> Path:
    """Return a small real model's folder."""
    return data_dir / "models" / "stories260K"


def test_letters_that_meet_are_warned_of(cli: Cli, stories: Path) -> None:
    """Where "the" and "warm" would read "thewarm", a warning names the fix."""
    ran = cli("rank", "--model", f"builtin:{stories}", "--prompt", "the", "warm", "cat", "--json")
    assert ran.code == 0
    (warning,) = [text for text in ran.record["warnings"] if text.startswith("no_separator")][:1]
    assert "--sep ' '" in warning


def test_a_megabyte_of_prompt(cli: Cli, lines: Lines, stories: Path) -> None:
    """More than the context is an error that names --truncate left, which then works."""
    command = ("rank", "in.jsonl", "--model", f"builtin:{stories}", "--json")
    lines({"prompt": "The cat sat. " * 80_000, "candidates": [" He", " She"]})
    ran = cli(*command)
    assert ran.code == 2
    assert "in.jsonl:1" in ran.err
    assert "--truncate left" in ran.err
    lines({"prompt": "The cat sat. " * 800, "candidates": [" He", " She"]})
    cut = cli(*command, "--truncate", "left")
    assert cut.code == 0
    assert any(text.startswith("truncated") for text in cut.record["warnings"])


@pytest.mark.parametrize("damage", ["missing", "corrupt"])
def test_a_damaged_model(cli: Cli, stories: Path, tmp_path: Path, damage: str) -> None:
    """Missing or corrupt weights are the model's failure: exit code 3, and the file is named."""
    folder = tmp_path / "model"
    shutil.copytree(stories, folder)
    weights = folder / "model.safetensors"
    if damage == "missing":
        weights.unlink()
    else:
        weights.write_bytes(weights.read_bytes()[: weights.stat().st_size // 2])
    ran = cli("rank", "--model", f"builtin:{folder}", "--prompt", "The", " cat", " dog")
    assert ran.code == 3
    assert "safetensors" in ran.err


def test_a_missing_model(cli: Cli) -> None:
    """A model that is not there is bad input."""
    ran = cli("rank", "--model", "./nowhere", "--prompt", "The", " cat")
    assert ran.code == 2
    assert "nowhere" in ran.err


@pytest.mark.parametrize("typed", ["4096", "9" * 18])
def test_an_id_outside_a_vocabulary_of_text(cli: Cli, typed: str) -> None:
    """A tokenizer is never asked for an id that the model has not, however large."""
    ran = cli("rank", "--model", "builtin", "--prompt", "a", "--candidate-ids", typed)
    assert ran.code == 2
    assert f"candidate 0: token id {typed} at position 0 of the candidate is outside" in ran.err


@pytest.mark.parametrize(
    ("option", "value", "needed"),
    [
        ("--end-ids", "1", "--end stop"),
        ("--marginal-budget", "9", "--boundary marginal"),
        ("--alternatives", "3", "--evidence"),
    ],
)
def test_an_option_without_use_is_refused(cli: Cli, option: str, value: str, needed: str) -> None:
    """Where a query on the command line has no use for an option, it says what it goes with."""
    query = ("rank", "--model", "builtin", "--prompt", "The cat", " sat", " ran")
    ran = cli(*query, option, value)
    assert ran.code == 2
    assert f"{option} goes with {needed}" in ran.err
    assert cli(*query, option, value, *needed.split()).code == 0
