"""`logpr explain` and `logpr rank --explain`: what is explained, where it goes, what is refused."""

from __future__ import annotations

import json
import math
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import logpr
from logpr.cli import rank
from tests.cli.conftest import Cli, Ran
from tests.cli.test_verbs import TEMPLATE

Lines = Callable[..., Path]

ROWS: list[dict[str, Any]] = [
    {"id": "a", "prompt": "", "candidates": ["A A", "B B"], "label": 0},
    {"id": "b", "prompt": "B", "candidates": [" C", " A B", " A"], "label": 1},
    {"prompt": "A", "candidates": [" B B", " C A"]},
]
STORY = (
    "Once upon a time, there was a girl named Sara. She had a small dog. The dog liked to run. "
    "One day, the dog ran away."
)
CHAT = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello!"}]


@pytest.fixture
def chat(data_dir: Path, tmp_path: Path) -> str:
    """Return a small real model that is given a chat template, by name."""
    folder = tmp_path / "chat"
    shutil.copytree(data_dir / "models" / "stories260K", folder)
    config = folder / "tokenizer_config.json"
    told = json.loads(config.read_text("utf-8"))
    config.write_text(json.dumps({**told, "chat_template": TEMPLATE}), encoding="utf-8")
    return f"builtin:{folder}"


def refused(ran: Ran, *words: str) -> None:
    """Check that a command ended in exit code 2, printed nothing, and said some words."""
    assert ran.code == 2, ran.err
    assert ran.out == ""
    said = " ".join(ran.err.split())
    for word in words:
        assert word in said


def explained(ran: Ran) -> logpr.Explanation:
    """Return what a command printed with --json; its bars sum to its gap."""
    assert ran.code == 0, ran.err
    found = logpr.Explanation.from_dict(ran.record)
    total = math.fsum(bar.contribution for bar in found.bars)
    assert total == pytest.approx(found.gap, abs=1e-9)
    return found


def test_the_first_worked_example(cli: Cli, table: str) -> None:
    """The fork gives exactly 1, the tails the rest; raw logits pick the other one."""
    ran = cli("explain", "--model", table, "--prompt", "", "A A", "B B", "--json")
    found = explained(ran)
    assert found.fork is not None
    assert found.fork.gap_at_fork == pytest.approx(1.0, abs=1e-12)
    assert round(found.gap, 4) == 1.2149
    a, b = found.splits
    assert (round(a.logit_gap_sum, 9), round(a.top_surprisal_sum, 4)) == (0.0, 1.4119)
    assert (round(b.logit_gap_sum, 9), round(b.top_surprisal_sum, 4)) == (2.0, 0.6268)
    assert (a.logit, b.logit) == (10.0, 16.0)
    drawn = cli("explain", "--model", table, "--prompt", "", "A A", "B B").out
    assert "by 1.215 nats (3.37×)" in drawn
    assert "the fork gives +1.000, the tails +0.215" in drawn


def test_without_a_model_the_builtin_one_is_used_and_said(cli: Cli) -> None:
    """As with rank."""
    ran = cli("explain", "--prompt", "The cat sat on the", " warm mat", " plush rug", "--json")
    assert "using the built-in model" in ran.err
    assert explained(ran).splits != ()


def test_no_input_explains_a_record_of_the_sample(cli: Cli) -> None:
    """Its first one, or the one that is named; how to explain one's own is said."""
    ran = cli("explain", "--json")
    assert explained(ran).ranking.id == "cat"
    assert "logpr explain FILE --model MODEL --id ID" in ran.err
    assert explained(cli("explain", "--id", "rain", "--json")).ranking.id == "rain"


def test_two_others_than_the_first(cli: Cli, table: str) -> None:
    """--first and --second are indexes of candidates."""
    query = ("explain", "--model", table, "--prompt", "B", " C", " A B", " A", "--json")
    assert (explained(cli(*query)).first, explained(cli(*query)).second) == (2, 1)
    found = explained(cli(*query, "--first", "0", "--second", "1"))
    assert (found.first, found.second) == (0, 1)
    assert found.gap < 0
    assert explained(cli(*query, "--second", "0")).second == 0
    refused(cli(*query, "--first", "3"), "0 to 2", "found 3")
    refused(cli(*query, "--first", "1", "--second", "1"), "both candidate 1")


def test_the_rule_says_which_two(cli: Cli, table: str) -> None:
    """What is taken apart is log Pr all the same."""
    query = ("explain", "--model", table, "--prompt", "B", " C", " A B", " A", "--json")
    found = explained(cli(*query, "--rule", "per_token"))
    order = found.ranking.order
    assert (found.first, found.second) == order[:2]
    scores = [found.ranking.candidates[place].logprob or 0 for place in order[:2]]
    assert found.gap == pytest.approx(scores[0] - scores[1], abs=1e-12)


def test_own_numbers_need_no_model(cli: Cli) -> None:
    """Token log-probabilities on the line: bars, and no splits."""
    numbers = ("--token-logprobs=-0.9,-1.5", "--token-logprobs=-1.2,-1.1")
    found = explained(cli("explain", *numbers, "warm mat", "plush rug", "--json"))
    assert found.splits == ()
    assert found.gap == pytest.approx(0.1, abs=1e-12)


def test_a_sentence_that_names_her_moves_her(cli: Cli) -> None:
    """Left out, it takes 8 nats from the candidate with the name, next to none from the others."""
    candidates = (" Sara was sad.", " Tom was sad.", " Lily was sad.")
    found = explained(
        cli("explain", "--prompt", STORY, *candidates, "--influence", "sentences", "--json")
    )
    naming, dog, _, _ = found.influence
    assert naming.text.endswith("named Sara. ")
    assert naming.moved[0] > 7
    assert max(map(abs, naming.moved[1:])) < 1
    assert naming.gap is not None
    assert dog.gap is not None
    assert naming.gap > 7
    assert abs(dog.gap) < 0.5
    span = f"0:{len(naming.text)}"
    other = explained(cli("explain", "--prompt", STORY, *candidates, "--span", span, "--json"))
    assert other.influence[0].kind == "span"
    assert other.influence[0].moved == pytest.approx(naming.moved, abs=1e-3)


@pytest.mark.parametrize("span", ["3", "a:b", ":", "3-5"])
def test_a_span_is_two_numbers(cli: Cli, table: str, span: str) -> None:
    """Anything else is named, with a span that is one."""
    query = ("explain", "--model", table, "--prompt", "B", " C", " A")
    refused(cli(*query, "--span", span), f"--span {span}", "--span 0:12")


def test_parts_of_the_prompt_that_are_none(cli: Cli, table: str) -> None:
    """Spans out of range, two ways of cutting, turns of a text, parts of ids."""
    query = ("explain", "--model", table, "--prompt", "B", " C", " A")
    refused(cli(*query, "--span", "0:9"), "the prompt has 1 characters")
    refused(cli(*query, "--span", "0:1", "--influence", "sentences"), "give one")
    refused(cli(*query, "--influence", "turns"), "the prompt is a text", "--messages chat.json")
    ids = ("explain", "--model", table, "--prompt-ids", "1", "--candidate-ids", "2")
    refused(cli(*ids, "--candidate-ids", "0", "--influence", "sentences"), "only token ids")
    refused(cli(*query, "--influence", "words"), "sentences")


def test_turns_of_a_chat(cli: Cli, chat: str) -> None:
    """--influence turns leaves out turns; sentences of a chat are refused with the right word."""
    messages = json.dumps([*CHAT, {"role": "user", "content": "Bye"}])
    query = ("explain", "--model", chat, "--messages", messages, "See you.", "No.")
    found = explained(cli(*query, "--influence", "turns", "--json"))
    assert [(part.kind, part.start) for part in found.influence] == [
        ("turn", 0),
        ("turn", 1),
        ("turn", 2),
    ]
    assert found.ranking.end == "stop"
    refused(cli(*query, "--influence", "sentences"), "--influence turns in place of")


@pytest.mark.parametrize("name", ["ranked.jsonl", "ranked.parquet"])
def test_turns_of_a_chat_that_was_ranked(cli: Cli, chat: str, lines: Lines, name: str) -> None:
    """The messages are in the record, and the same model says the same of each turn."""
    path = lines({"id": "c", "messages": CHAT[:1], "candidates": ["Hello!", "No."]})
    cli("rank", path, "--model", chat, "-o", name, "--evidence")
    asked = ("--id", "c", "--model", chat, "--influence", "turns", "--json")
    theirs = explained(cli("explain", path, *asked))
    ours = explained(cli("explain", name, *asked))
    assert ours.ranking.prompt == theirs.ranking.prompt == "Hi"
    assert ours.influence[0].note == theirs.influence[0].note
    assert ours.gap == pytest.approx(theirs.gap, abs=1e-3)


def test_one_candidate_leads_nobody(cli: Cli, table: str, lines: Lines) -> None:
    """On the line, in a file (with its place), and beside a ranking, which is not printed."""
    refused(cli("explain", "--model", table, "--prompt", "B", " C"), "one candidate")
    path = lines({"id": "x", "prompt": "B", "candidates": [" C"]})
    refused(cli("explain", path, "--model", table, "--id", "x"), f"{path}:1: one candidate")
    command = ("rank", "--model", table, "--prompt", "B", " C", "--explain", "why.html")
    refused(cli(*command), "one candidate")
    assert not Path("why.html").exists()


def test_a_record_of_a_file(cli: Cli, lines: Lines, table: str) -> None:
    """By its id, or by its number where it has none."""
    path = lines(*ROWS)
    found = explained(cli("explain", path, "--model", table, "--id", "b", "--json"))
    assert (found.ranking.id, found.ranking.label) == ("b", 1)
    assert found.splits != ()
    assert explained(cli("explain", path, "--model", table, "--id", "2", "--json")).first == 0


def test_an_unknown_id_names_some_that_exist(cli: Cli, lines: Lines, table: str) -> None:
    """The nearest ones first, of records and of rankings."""
    rows = [{**ROWS[0], "id": f"question-{number}"} for number in range(9)]
    path = lines(*rows)
    near = ("'question-1'", "and 4 more", "--id question-")
    refused(cli("explain", path, "--model", table, "--id", "qestion-1"), *near)
    cli("rank", path, "--model", table, "-o", "ranked.jsonl", "--tokens")
    refused(cli("explain", "ranked.jsonl", "--id", "qestion-1"), *near)


def test_a_file_without_a_model(cli: Cli, lines: Lines) -> None:
    """The words of rank, and the command as it should be typed."""
    path = lines(*ROWS)
    for more in ((), ("--id", "b")):
        ran = cli("explain", path, *more)
        refused(ran, "its candidates need a model, and none was named", "--model builtin")
        said = cli("rank", path).err.splitlines()[-2]
        place = f"{path}:2" if more else f"{path}:1"
        assert said.replace(f"{path}:1", place) in ran.err.splitlines()


def test_rows_that_bring_their_numbers_need_none(cli: Cli, lines: Lines) -> None:
    """As with rank."""
    row = {
        "id": "n",
        "candidates": [
            {"text": "warm mat", "token_logprobs": [-0.9, -1.5]},
            {"text": "plush rug", "token_logprobs": [-1.2, -1.1]},
        ],
    }
    path = lines(row)
    found = explained(cli("explain", path, "--id", "n", "--json"))
    assert (found.first, found.splits) == (1, ())
    # Ranked, it has all that can be had: no model is recommended.
    cli("rank", path, "-o", "ranked.jsonl", "--tokens")
    ran = cli("explain", "ranked.jsonl", "--id", "n", "--json")
    assert ran.err == ""
    assert explained(ran).bars == found.bars
    assert cli("explain", path, "--json").record["total"] == 1


def test_rows_that_cannot_be_used(cli: Cli, lines: Lines, table: str) -> None:
    """They stop the search, or are counted; in an index they are put aside."""
    path = lines({"id": "bad"}, *ROWS)
    command = ("explain", path, "--model", table)
    refused(cli(*command, "--id", "b"), f"{path}:1: no shape is known")
    ran = cli(*command, "--id", "b", "--on-error", "skip", "--json")
    assert explained(ran).ranking.id == "b"
    assert "rows before it that cannot be used: 1" in ran.err
    index = cli(*command, "--on-error", "skip", "--json")
    assert index.record["total"] == 3
    assert "1 row was put aside" in index.err
    assert Path("in.jsonl.rejected.jsonl").exists()


def test_the_index_of_a_file(cli: Cli, lines: Lines, table: str) -> None:
    """All decisions, the disputed ones first; in the terminal, as JSON and as a page."""
    command = ("explain", lines(*ROWS), "--model", table)
    ran = cli(*command, "--json", "--html", "all.html")
    assert ran.code == 0
    found = ran.record
    assert (found["total"], found["labelled"], found["rule"]) == (3, 2, "logprob")
    assert {each["id"] for each in found["decisions"]} == {"a", "b", 2}
    assert found["decisions"][0]["id"] == "b"
    assert Path("all.html").read_text("utf-8").startswith("<!")
    assert "3 rankings" in cli(*command).out


@pytest.mark.parametrize(
    "option",
    [
        ("--first", "1"),
        ("--influence", "sentences"),
        ("--span", "0:1"),
        ("--plot", "x.svg"),
        ("--markdown", "-"),
    ],
)
def test_options_of_one_ranking_need_an_id(
    cli: Cli, lines: Lines, table: str, option: tuple[str, str]
) -> None:
    """Of records and of rankings."""
    path = lines(*ROWS)
    refused(cli("explain", path, "--model", table, *option), option[0], "--id ID")
    cli("rank", path, "--model", table, "-o", "ranked.jsonl")
    refused(cli("explain", "ranked.jsonl", *option), option[0], "--id ID")


@pytest.mark.parametrize("name", ["ranked.jsonl", "ranked.parquet"])
def test_rankings_with_evidence_need_no_model(
    cli: Cli, lines: Lines, table: str, name: str
) -> None:
    """What rank wrote with --evidence explains as the record itself does."""
    path = lines(*ROWS)
    cli("rank", path, "--model", table, "-o", name, "--evidence")
    for wanted in ("a", "b", "2"):
        theirs = explained(cli("explain", path, "--model", table, "--id", wanted, "--json"))
        ran = cli("explain", name, "--id", wanted, "--json")
        ours = explained(ran)
        assert ran.err == ""
        for part in ("first", "second", "gap", "noise", "tie", "fork", "bars", "pairs", "splits"):
            assert getattr(ours, part) == getattr(theirs, part), part
        assert ours.curves == theirs.curves
        assert ours.segments == theirs.segments
        assert ours.provenance == theirs.provenance
        assert ours.ranking.winners == theirs.ranking.winners


def test_rankings_and_the_model_that_ranked(cli: Cli, lines: Lines) -> None:
    """Without evidence in the file the model is asked; also where there are no tokens in it."""
    path = lines({"id": "s", "prompt": STORY, "candidates": [" Sara was sad.", " Tom was sad."]})
    theirs = explained(cli("explain", path, "--model", "builtin", "--id", "s", "--json"))
    cli("rank", path, "--model", "builtin", "-o", "ranked.jsonl", "--tokens")
    alone = cli("explain", "ranked.jsonl", "--id", "s", "--json")
    assert "written without --evidence" in alone.err
    assert explained(alone).splits == ()
    command = ("explain", "ranked.jsonl", "--id", "s", "--model", "builtin", "--json")
    ours = explained(cli(*command, "--influence", "sentences"))
    assert ours.gap == pytest.approx(theirs.gap, abs=1e-4)
    assert [part.part for part in ours.bars] == [part.part for part in theirs.bars]
    assert len(ours.splits) == 2
    assert len(ours.influence) == 4
    rows = Path("ranked.jsonl").read_text("utf-8").splitlines()
    bare = [json.loads(row) for row in rows]
    for record in bare:
        for candidate in record["candidates"]:
            for name in ("token_ids", "token_texts", "token_logprobs"):
                del candidate[name]
    lines(*bare, name="ranked.jsonl")
    refused(cli("explain", "ranked.jsonl", "--id", "s"), "no numbers of their tokens", "--model")
    assert len(explained(cli(*command)).splits) == 2


def test_rankings_and_another_model(cli: Cli, lines: Lines, table: str) -> None:
    """Its numbers are not those of the file: refused, with the model that ranked by name."""
    other = json.loads(Path(table.removeprefix("table:")).read_text("utf-8"))
    other["rows"][""] = [1, 9, 0]
    Path("other.json").write_text(json.dumps(other), encoding="utf-8")
    cli("rank", lines(*ROWS), "--model", table, "-o", "ranked.jsonl", "--evidence")
    ran = cli("explain", "ranked.jsonl", "--id", "a", "--model", "table:other.json")
    refused(ran, "ranked.jsonl:1: candidate 0: this model gives log Pr", f"it was '{table}'")


def test_rankings_of_sums_alone(cli: Cli, lines: Lines, table: str) -> None:
    """They have an index; one of them cannot be taken apart, and the ways out are said."""
    cli("rank", lines(*ROWS), "--model", table, "-o", "ranked.jsonl")
    assert cli("explain", "ranked.jsonl", "--json").record["total"] == 3
    ran = cli("explain", "ranked.jsonl", "--id", "a")
    refused(ran, "ranked.jsonl:1", "--evidence", "explain the file that was ranked")
    ran = cli("explain", "ranked.jsonl", "--id", "a", "--model", table)
    refused(ran, "the record has no prompt", "--tokens")


def test_the_index_of_rankings_is_that_of_the_file(cli: Cli, lines: Lines, table: str) -> None:
    """The same counts and decisions, whether ranked now or before."""
    path = lines(*ROWS)
    cli("rank", path, "--model", table, "-o", "ranked.jsonl", "--tokens")
    now = cli("explain", path, "--model", table, "--json").record
    before = cli("explain", "ranked.jsonl", "--json").record
    assert before == now
    piped = cli("explain", "-", "--json", stdin=Path("ranked.jsonl").read_text("utf-8")).record
    # What they rest on stands in a file beside, which a pipe has not.
    assert piped == {**now, "provenance": None}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--rule", "per_token"), "--rule says how records are read and ranked"),
        (("--map", "prompt=x"), "--map says how records are read and ranked"),
        (("--model", "builtin"), "an index of ranked.jsonl asks none"),
        (("--special", "text", "--id", "a"), "asks the model that ranked"),
        (("--influence", "sentences", "--id", "a"), "logpr explain --model MODEL"),
        (("--dtype", "float32", "--id", "a"), "add --model MODEL"),
    ],
)
def test_options_that_rankings_have_no_use_for(
    cli: Cli, lines: Lines, table: str, options: tuple[str, ...], words: str
) -> None:
    """Named, with the way out; nothing is ignored without a word."""
    cli("rank", lines(*ROWS), "--model", table, "-o", "ranked.jsonl", "--tokens")
    refused(cli("explain", "ranked.jsonl", *options), words)


def test_a_picture_without_matplotlib(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """The extra to install is said before the model is even looked for."""
    monkeypatch.delitem(sys.modules, "logpr.report.plots", raising=False)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    query = ("explain", "--model", "table:absent.json", "--prompt", "", "A A", "B B")
    refused(cli(*query, "--plot", "why.svg"), "matplotlib", 'pip install "logpr[plot]"')


def test_pages_pictures_and_markdown(cli: Cli, table: str) -> None:
    """Each is written where it is asked for, and said on stderr; stdout has the view alone."""
    pytest.importorskip("matplotlib")
    query = ("explain", "--model", table, "--prompt", "", "A A", "B B")
    ran = cli(*query, "--html", "why.html", "--plot", "why.svg", "--markdown", "why.md")
    assert ran.code == 0
    assert [line.rpartition(" ")[2] for line in ran.err.splitlines()] == [
        "why.html",
        "why.svg",
        "why.md",
    ]
    assert Path("why.html").read_text("utf-8").startswith("<!")
    assert "<svg" in Path("why.svg").read_text("utf-8")
    markdown = Path("why.md").read_text("utf-8")
    assert "by 1.215 nats" in markdown
    assert cli(*query, "--markdown", "-").out == markdown
    refused(cli(*query, "--markdown", "-", "--json"), "both take stdout")


@pytest.mark.parametrize(
    ("option", "words"),
    [
        (("--html", "absent/why.html"), "there is no folder absent"),
        (("--html", "."), "is a folder"),
        (("--html", "-"), "a page is a file"),
        (("--plot", "why.gif"), "--plot why.svg"),
        (("--plot", "absent/why.svg"), "there is no folder absent"),
        (("--markdown", "absent/why.md"), "there is no folder absent"),
    ],
)
def test_files_that_cannot_be_written(cli: Cli, option: tuple[str, str], words: str) -> None:
    """Said before anything is computed: the model is not even looked for."""
    query = ("explain", "--model", "table:absent.json", "--prompt", "", "A A", "B B")
    refused(cli(*query, *option), words)


def test_the_input_is_not_overwritten(cli: Cli, lines: Lines, table: str) -> None:
    """By a page of explain or of rank."""
    path = lines(*ROWS)
    before = path.read_bytes()
    refused(cli("explain", path, "--model", table, "--html", path), "is the input itself")
    refused(cli("rank", path, "--model", table, "--explain", path), "is the input itself")
    assert path.read_bytes() == before


def test_options_of_files_on_the_line(cli: Cli, table: str) -> None:
    """--id names a record of a file; on the line there is none."""
    query = ("explain", "--model", table, "--prompt", "B", " C", " A")
    refused(cli(*query, "--id", "x"), "--id is for a FILE")
    refused(cli("explain", "absent.jsonl", "--id", "x"), "there is no file absent.jsonl")


def test_rank_writes_the_page_beside(cli: Cli, table: str) -> None:
    """The ranking is as without it; the page is that of explain."""
    query = ("--model", table, "--prompt", "", "A A", "B B")
    ran = cli("rank", *query, "--explain", "why.html")
    assert ran.code == 0
    assert ran.out == cli("rank", *query).out
    assert "wrote the page to why.html" in ran.err
    cli("explain", *query, "--html", "own.html")
    assert "1.215 nats" in Path("why.html").read_text("utf-8")
    assert "logit_gap" in Path("why.html").read_text("utf-8")


def test_rank_writes_the_index_of_a_file(cli: Cli, lines: Lines, table: str) -> None:
    """With and without an output; the records are as without it."""
    path = lines(*ROWS)
    command = ("rank", path, "--model", table)
    ran = cli(*command, "-o", "out.jsonl", "--explain", "all.html")
    assert ran.code == 0
    assert "wrote the page of 3 rankings to all.html" in ran.err
    records = Path("out.jsonl").read_bytes()
    cli(*command, "-o", "plain.jsonl")
    assert Path("plain.jsonl").read_bytes() == records
    ran = cli(*command, "--explain", "other.html")
    assert Path("other.html").read_bytes() == Path("all.html").read_bytes()


def test_the_index_of_a_run_that_went_on(
    cli: Cli, lines: Lines, table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has all records, those of the earlier process too; from CSV they cannot be read back."""
    path = lines(*({**ROWS[0], "id": f"q{number}"} for number in range(6)))
    command = ("rank", path, "--model", table, "--window", "2")
    for name, written in (("out.jsonl", True), ("out.parquet", True), ("out.csv", False)):
        output = ("-o", name, "--explain", f"{name}.html")
        calls = 0
        real = rank.Ranker.rank

        def stopping(*arguments: Any) -> Any:  # noqa: ANN401 - of Ranker.rank
            nonlocal calls
            calls += 1
            if calls == 2:
                raise KeyboardInterrupt
            return real(*arguments)  # noqa: B023 - called in this turn of the loop alone

        with monkeypatch.context() as patched:
            patched.setattr(rank.Ranker, "rank", stopping)
            assert cli(*command, *output).code == 130
        assert not Path(f"{name}.html").exists()
        ran = cli(*command, *output)
        assert ran.code == 0
        assert "going on after 2 records" in ran.err
        assert Path(f"{name}.html").exists() == written
        if written:
            assert f"wrote the page of 6 rankings to {name}.html" in ran.err
        else:
            assert "no page was written: 2 records were ranked by an earlier process" in ran.err


def test_no_record_to_rank_is_no_page(cli: Cli, lines: Lines, table: str) -> None:
    """All rows put aside: the run is whole, and the page is not written."""
    path = lines({"id": "bad"})
    ran = cli("rank", path, "--model", table, "--on-error", "skip", "--explain", "x.html")
    assert ran.code == 0
    assert "no page was written to x.html" in ran.err
    ran = cli("explain", path, "--model", table, "--on-error", "skip", "--html", "x.html")
    assert ran.code == 2
    assert "nothing to show" in ran.err
    assert not Path("x.html").exists()
