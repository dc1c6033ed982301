"""`--top` on the command line: what it refuses, writes, counts, and goes on from."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import logpr
from tests.cli.conftest import Cli

Lines = Callable[..., Path]

LONG = [
    " C " + " ".join("ABC"[(number >> place) % 3] for place in range(12)) for number in range(9)
]
"""Candidates that fall at their first token: after B an A is 3,000 times as probable as a C."""


def row(number: int) -> dict[str, Any]:
    """Return a record whose first is " A", at some place among the long ones."""
    at = number % len(LONG)
    candidates = [*LONG[:at], " A", *LONG[at:]]
    return {"id": f"q{number}", "prompt": "B", "candidates": candidates, "label": at}


def test_another_rule_is_refused(cli: Cli, table: str) -> None:
    """With a rule under which nothing is proven: exit code 2, and why."""
    query = ("--prompt", "B", " A", " C")
    ran = cli("rank", "--model", table, "--top", "1", "--rule", "per_token", *query)
    assert ran.code == 2
    assert "top goes with the rule logprob alone" in ran.err
    assert "leave out top (--top)" in ran.err
    assert ran.out == ""


@pytest.mark.parametrize("typed", ["0", "-1", "best"])
def test_what_is_no_count_is_refused(cli: Cli, table: str, typed: str) -> None:
    """Less than one, or no number: exit code 2, and the option by name."""
    ran = cli("rank", "--model", table, f"--top={typed}", "--prompt", "B", " A", " C")
    assert ran.code == 2
    assert "--top" in ran.err
    assert ran.out == ""


def test_the_summary_says_what_was_spared(cli: Cli, lines: Lines, table: str) -> None:
    """Tokens fed and tokens of the full rankings stand in the table's foot and in the counts."""
    command = ("rank", lines(row(0), row(1)), "--model", table, "--top", "1")
    ran = cli(*command, "--show", "0")
    assert ran.code == 0
    counts = cli(*command, "-o", "out.jsonl", "--json").record
    fed, full = counts["tokens_fed"], counts["tokens_full"]
    assert (counts["top"], counts["queries"]) == (1, 2)
    assert 0 < fed < full
    words = " ".join(ran.out.split())
    assert f"(top=1): {fed} tokens went through the model, instead of {full}" in words
    assert [one["rule"] for one in counts["accuracy"]["overall"]] == ["logprob"]


@pytest.mark.parametrize("suffix", ["jsonl", "parquet", "csv"])
def test_every_format_holds_the_dropped(cli: Cli, lines: Lines, table: str, suffix: str) -> None:
    """Dropped candidates are written with their bound; the first is that of the full ranking."""
    path = lines(row(3))
    command = ("rank", path, "--model", table, "--tokens")
    truth = cli(*command, "--top", "1", "--json").record
    pruned = [item["index"] for item in truth["candidates"] if item["pruned"]]
    assert len(pruned) == len(LONG)
    assert truth["order"] == cli(*command, "--json").record["order"][:1]
    assert cli(*command, "--top", "1", "-o", f"out.{suffix}").code == 0
    out = path.with_name(f"out.{suffix}")
    if suffix == "csv":
        with out.open(encoding="utf-8", newline="") as file:
            cells = list(csv.DictReader(file))
        assert [int(cell["index"]) for cell in cells if cell["pruned"] == "true"] == pruned
        assert [float(cell["upper"]) for cell in cells if cell["upper"]] == [
            item["upper"] for item in truth["candidates"] if item["pruned"]
        ]
        assert [cell["place"] for cell in cells] == ["", "", "", "1", *[""] * 6]
        assert {(cell["top"], cell["tokens_fed"]) for cell in cells} == {("1", "1")}
        again = cli("rank", out, "--model", table)
        assert again.code == 2
        assert "a table that logpr wrote" in again.err
        return
    if suffix == "jsonl":
        assert json.loads(out.read_text("utf-8")) == truth
    # What was dropped has no numbers, and another model's do not go beside those of this one.
    for model in ((), ("--model", table), ("--model", "builtin")):
        again = cli("rank", out, *model, "--json")
        assert (again.code, again.out) == (2, "")
        words = " ".join(again.err.split())
        assert (
            "a record that logpr wrote with --top 1, and candidates 0, 1, 2, 4, 5 and 4 more"
            in (words)
        )
        assert "give the file that it was made from, or write it without --top" in words
        assert "--model builtin" not in words
    assert cli("rank", path, "--model", table, "--tokens", "-o", f"whole{suffix}.jsonl").code == 0
    assert cli("rank", path.with_name(f"whole{suffix}.jsonl"), "--json").code == 0


def test_nothing_dropped_is_read_as_it_was_asked(cli: Cli, lines: Lines, table: str) -> None:
    """Where all are whole, nothing of what --top found is taken for the caller's."""
    path = lines({"prompt": "B", "candidates": [" A", " C"]})
    command = ("rank", path, "--model", table, "--tokens")
    assert cli(*command, "--top", "1", "-o", "out.jsonl").code == 0
    again = cli("rank", path.with_name("out.jsonl"), "--tokens", "--json").record
    full = cli(*command, "--json").record
    assert again["order"] == full["order"]
    assert set(again) == set(full)
    assert {name for item in again["candidates"] for name in item} == (
        {name for item in full["candidates"] for name in item} - {"token_texts"}
    )


def test_what_was_dropped_is_refused_without_tokens_too(cli: Cli, lines: Lines, table: str) -> None:
    """A record without its prompt is not sent to --tokens alone, only to be refused again."""
    assert cli("rank", lines(row(0)), "--model", table, "--top", "1", "-o", "out.jsonl").code == 0
    again = cli("rank", "out.jsonl", "--model", table)
    assert again.code == 2
    assert "write it without --top (and with --tokens)" in " ".join(again.err.split())


def test_marginal_is_refused_of_no_candidate(cli: Cli, table: str) -> None:
    """The message is about the options, and names no candidate."""
    ran = cli(
        "rank", "--model", table, "--top", "1", "--boundary", "marginal", "--prompt", "B", " A"
    )
    assert ran.code == 2
    assert "top drops a candidate" in ran.err
    assert "candidate 0" not in ran.err


def test_the_example_of_the_help_drops(cli: Cli) -> None:
    """What the help shows for --top has something to show."""
    heads, tails = ("little", "big", "old", "red"), ("girl", "hedgehog", "crocodile")
    words = [f" {head} {tail}" for head in heads for tail in tails]
    assert (
        "--prompt A ' '{little,big,old,red}' '{girl,hedgehog,crocodile} --top 1"
        in cli("rank", "--help").out
    )
    ran = cli("rank", "--prompt", "A", *words, "--top", "1")
    assert ran.code == 0
    assert "11 candidates were dropped" in ran.out


def test_an_output_without_tokens_is_called_so(cli: Cli, lines: Lines, table: str) -> None:
    """Written without --tokens it has no prompt, and says how to keep it, in Parquet too."""
    path = lines({"prompt": "B", "candidates": [" A", " C"]})
    for name in ("out.jsonl", "out.parquet"):
        assert cli("rank", path, "--model", table, "--top", "1", "-o", name).code == 0
        again = cli("rank", name, "--model", table)
        assert again.code == 2
        assert "write it with --tokens" in again.err


def test_a_stopped_run_goes_on(
    cli: Cli, lines: Lines, table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped between windows, the same command ends with the same bytes and the same counts."""
    path = lines(*map(row, range(12)))
    command = ("rank", path, "--model", table, "--window", "4", "--json", "--top", "2", "-o")
    whole = cli(*command, "whole.jsonl")
    assert whole.code == 0
    calls = 0
    real = logpr.rank_many

    def failing(*arguments: object, **options: object) -> object:
        nonlocal calls
        calls += 1
        if calls > 2:
            raise KeyboardInterrupt
        return real(*arguments, **options)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(logpr, "rank_many", failing)
        assert cli(*command, "parts.jsonl").code == 130
    other = cli(*command, "parts.jsonl", "--top", "1")
    assert other.code == 2
    assert "top was 2 and is 1" in other.err
    resumed = cli(*command, "parts.jsonl")
    assert resumed.code == 0
    assert "going on after 8 records" in resumed.err
    assert resumed.record == whole.record
    for suffix in ("", ".accuracy.json", ".provenance.json"):
        parts, one = (path.with_name(f"{name}.jsonl{suffix}") for name in ("parts", "whole"))
        assert parts.read_bytes() == one.read_bytes()
