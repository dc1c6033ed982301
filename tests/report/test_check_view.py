"""A check in the terminal."""

from __future__ import annotations

import math
import re
import shlex
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from logpr._values import CheckReport
from logpr._values.check import CheckOutcome
from logpr.conformance.adapters import ADAPTERS
from logpr.report.terminal import check
from logpr.report.words import check as words
from logpr.report.words.replay import again
from tests.report.check_values import (
    BROKEN,
    CLEAN,
    CONVENTIONS,
    CRASHING,
    DECLARES,
    EMPTY,
    EVERY,
    EXPECTED,
    HUGE,
    LAWS,
    OUTCOMES,
    OWN,
    SLOW,
    STALE,
    UNJUDGED,
    UNSURE,
    a_failure,
    a_report,
    an_error,
    nasty,
)
from tests.report.printing import printed
from tests.report.test_texts_are_data import TEXTS


def shown(report: CheckReport, width: int = 80) -> str:
    """Return what the view prints."""
    return printed(check(report), width)


def in_one_line(report: CheckReport) -> str:
    """Return what the view prints, without the line breaks that its width makes."""
    return " ".join(shown(report).split())


def block(text: str, head: str) -> str:
    """Return the lines from one that begins with `head` to the next empty one."""
    return text.partition(f"\n{head}")[2].partition("\n\n")[0]


@pytest.mark.parametrize("name", EVERY)
def test_reports_come_back_from_json(name: str) -> None:
    """A report is what its dict and its JSON say, infinities and NaN among its numbers too."""
    report = EVERY[name]
    assert repr(CheckReport.from_dict(report.to_dict())) == repr(report)
    assert repr(CheckReport.from_json(report.to_json())) == repr(report)


def test_json_of_a_report() -> None:
    """Outcomes are lists of names, failures bring their fields, pairs are objects."""
    data = BROKEN.to_dict()
    assert data["failed"] == [
        "next_token_mass", "chain_rule", "prefix_monotone", "long_sequence", "batch_composition",
        "empty_inputs",
    ]  # fmt: skip
    assert data["error"] == ["unicode"]
    assert data["declares"] == {**dict(DECLARES), "unit": "bits"}
    failures = data["failures"]
    assert isinstance(failures, list)
    nan, endless = failures[1], failures[3]
    assert isinstance(nan, dict)
    assert isinstance(endless, dict)
    assert (nan["found"], endless["found"]) == ("NaN", "-Infinity")
    assert set(nan) >= {"statement", "found", "expected", "case", "looks_like", "replay"}


@pytest.mark.parametrize(
    ("report", "head"),
    [
        (CLEAN, "✓ passed  Keeps all 29 laws that apply."),
        (
            BROKEN,
            (
                "✗ failed  Breaks 4 laws that every log Pr(y | x) keeps (MUST), and 1 convention "
                "(SHOULD); gives no numbers in 1 check; 1 expected failure is stale."
            ),
        ),
        (
            CRASHING,
            "✗ failed  Gives no numbers in 31 checks; keeps the 1 law that could be judged.",
        ),
        (CONVENTIONS, "! passed  Breaks 2 conventions (SHOULD), and no law (MUST)."),
        (EXPECTED, "✓ passed  Keeps 32 of the 33 laws that apply; 1 failure was expected."),
        (
            STALE,
            "✗ failed  Keeps all 33 laws that apply; 2 expected failures are stale.",
        ),
        (UNSURE, "✓ passed  Keeps all 32 laws that could be judged."),
        (EMPTY, "? nothing judged  Nothing could be judged."),
        (UNJUDGED, "? nothing judged  Nothing could be judged."),
    ],
)
def test_the_verdict_is_the_first_line(report: CheckReport, head: str) -> None:
    """One sentence says what was found, and its word whether the exit code is 0."""
    assert in_one_line(report).startswith(" ".join(head.split()))
    assert head.startswith("✗") == (report.exit_code == 1)
    word = head.partition("  ")[0][2:]
    assert printed(check(report), encoding="ascii").startswith(f"[{word}]  ")


def test_verdicts_do_not_claim_too_much() -> None:
    """Where numbers are missing nothing is said of the laws that they would have been held to."""
    mixed = a_report({"pad_side": "failed", "unicode": "error"})
    assert words.verdict(mixed) == "Gives no numbers in 1 check; breaks 1 convention (SHOULD)."
    only: dict[str, CheckOutcome] = {name: "not_applicable" for name, _, _ in LAWS}
    one = a_report({**only, "chain_rule": "passed"})
    assert words.verdict(one) == "Keeps the 1 law that applies."
    foreseen = a_report({**only, "chain_rule": "failed"}, {"chain_rule": "issue 12"})
    assert words.verdict(foreseen) == ("1 failure was expected, and nothing else could be judged.")


@given(
    outcomes=st.lists(st.sampled_from(OUTCOMES), min_size=33, max_size=33),
    expected=st.sets(st.integers(0, 32), max_size=6),
)
def test_tallies_add_up(outcomes: list[CheckOutcome], expected: set[int]) -> None:
    """The second line counts each of the checks once, whatever became of them."""
    names = [name for name, _, _ in LAWS]
    report = a_report(dict(zip(names, outcomes, strict=True)), {names[at]: "x" for at in expected})
    said = words.tally(report)
    assert said.startswith("33 checks: ")
    assert sum(map(int, re.findall(r"(?:: |, )(\d+) ", said))) == 33
    for outcome in ("blocked", "inconclusive"):
        many = len(report.of(outcome))
        assert (f"{many} {outcome}" in said) == (many > 0)
    assert (f"{len(report.stale)} stale" in said) == bool(report.stale)


def test_a_failure_says_all_that_is_known() -> None:
    """Statement, numbers, by how much, the case, what it looks like, the command, the page."""
    assert block(shown(BROKEN), "✗ chain_rule") == (
        "  MUST\n"
        "  s(x, yz) = s(x, y) + s(xy, z)\n"
        '  number     s("ab", " cd")\n'
        "  found      -4.1269\n"
        "  expected   -5.2380\n"
        "  off by     1.111; 2.0e-5 is allowed\n"
        '  case       the toy, prompt "ab", candidates " c" and " cd"\n'
        "  cases      broken in 5 of 24; this is the smallest\n"
        "  looks like first_token_dropped: reproduces 24 of 24\n"
        "  again      logpr check my_package.my_module:make --factory \\\n"
        "             --declares unit=bits --replay chain_rule/toy/10.0.4/5/6@1\n"
        "  page       docs/checks.md#chain_rule"
    )


def test_failures_of_every_kind() -> None:
    """Words, NaN and infinities stand where a number would, with no difference made up."""
    found = shown(BROKEN)
    nan = block(found, "✗ prefix_monotone")
    assert "  found      nan\n  expected   at most -3.5\n  case " in nan
    assert "looks like first_token_dropped + mean: reproduces 20 of 24\n" in nan
    assert "  cases  " not in nan
    endless = block(found, "✗ long_sequence")
    assert "  found      -inf\n  expected   -4605.1702\n  case " in endless
    silent = block(found, "✗ empty_inputs  SHOULD")
    assert "  found      0.0, silently\n  expected   a value, or a clear error\n" in silent
    assert "off by" not in silent
    assert "looks like" not in silent


def test_numbers_show_that_they_differ() -> None:
    """Close numbers get the digits that tell them apart, long ones a power of ten."""
    assert "  found      1.0000341\n  expected   1.0000000\n  off by     3.410e-5; 2.0e-6 is" in (
        shown(BROKEN)
    )
    found = shown(HUGE)
    assert "  found      1.5000000e300\n  expected   -2.5000\n" in found
    assert "  found      -2.50000000100\n  expected   -2.50000000000\n" in found
    counts = a_failure(found=3.0, expected=4.0, difference=1.0, tolerance=0.0)
    assert [line.said for line in words.details(counts)[1:4]] == ["3", "4", "1.000"]


@given(found=st.floats(), expected=st.floats(), tolerance=st.none() | st.floats())
def test_every_number_can_be_written(
    found: float, expected: float, tolerance: float | None
) -> None:
    """Two numbers that differ by more than 1e-11 are never written alike."""
    apart = abs(found - expected)
    item = a_failure(found=found, expected=expected, difference=apart, tolerance=tolerance)
    _, one, other, *_ = (line.said for line in words.details(item))
    assert len(one) < 40
    if math.isfinite(apart) and apart > 1e-11 and max(abs(found), abs(expected)) < 1e7:
        assert one != other


def test_laws_come_before_conventions() -> None:
    """A broken MUST is told before a broken SHOULD, whatever their order in the suite."""
    report = a_report({"pad_side": "failed", "unicode": "failed", "repeat": "failed"})
    assert [item.check for item in words.broken(report)] == ["unicode", "pad_side", "repeat"]
    found = shown(report)
    assert found.index("✗ unicode") < found.index("✗ pad_side")


def test_what_several_failures_look_like_is_said_at_once() -> None:
    """A likeness that failures share stands at the head; one of a single failure does not."""
    report = a_report({"chain_rule": "failed", "unicode": "failed"})
    assert "2 of 2 failures look like first_token_dropped.\n\n✗ chain_rule" in shown(report)
    assert words.cause(BROKEN) is None
    assert words.cause(CLEAN) is None


def test_errors_with_one_message_are_one_block() -> None:
    """31 checks that met the same exception are told once, by the exception's name."""
    found = shown(CRASHING)
    assert found.count("expected 2 columns, got 3") == 1
    told = block(found, "! raised ValueError in 31 checks\n")
    assert "  at         scorers.py:12\n" in told
    assert "  checks     oracle, shift_invariance, dummy_vocabulary" in told
    assert told.endswith("--replay oracle/toy/10.0.4/5")
    what = [an_error(name, message=f"score({name}) raised OSError: disk") for name in "abc"]
    (group,) = words.errors(a_report(errors=tuple(what)))
    assert (group.head, group.message) == (
        "raised OSError in 3 checks",
        "score(a) raised OSError: disk",
    )


def test_errors_of_every_kind() -> None:
    """Each kind has words of its own; one that is not known keeps its name."""
    heads = [group.head for group in words.errors(SLOW)]
    assert heads == [
        "ran out of time in 1 check",
        "changed its input in 1 check",
        "returned something of another shape in 1 check",
        "returned what is no number in 1 check",
    ]
    odd = a_report(errors=(an_error(kind="melted", message="raised its hands"),))
    assert [group.head for group in words.errors(odd)] == ["melted in 1 check"]
    unnamed = a_report(errors=(an_error(message="it raised <b>: x"),))
    assert [group.head for group in words.errors(unnamed)] == ["raised an exception in 1 check"]


def test_many_of_a_kind_are_cut_and_counted() -> None:
    """Five different errors and six notes are shown, and what is left is counted."""
    report = a_report(
        errors=tuple(an_error(message=f"it raised ValueError: {at}") for at in range(9)),
        notes=tuple(f"printed: {at}" for at in range(20)),
        failures=tuple(a_failure(replay=f"chain_rule/toy/{at}") for at in range(50)),
    )
    found = shown(report)
    assert "… and 4 more errors: --json lists them all\n" in found
    assert "    … and 14 more\n" in found
    assert "… and 10 more failures: --json lists them all\n" in found
    assert found.count("✗ chain_rule  MUST") == 40


def test_expected_and_stale_failures() -> None:
    """An expected failure says its reason and numbers, a stale one the way out."""
    found = shown(BROKEN)
    assert (
        "\nExpected failures\n"
        "~ batch_composition  no mask, issue 12\n"
        '  found -7.5000, expected -7.2500, of s("ab", " cd")\n'
    ) in found
    assert "✗ batch_composition" not in found
    assert (
        "\nStale: expected to fail, and passed\n"
        "  - duplicates passes, and was expected to fail (issue 7): take it out of\n"
        "    expected_failures (on the command line, --expect-failure)\n"
    ) in found
    gone = replace(EXPECTED, failures=())
    assert "~ chain_rule  issue 12\n" in shown(gone)


def test_what_was_not_judged() -> None:
    """Each outcome is one line; checks of one reason share it."""
    found = block(shown(BROKEN, 120), "Not judged\n")
    assert found.splitlines() == [
        "blocked (2): oracle (unit failed); fixed_length_mass (next_token_mass failed)",
        (
            "not applicable (4): stop_mass (it is for end=stop, and end=open is declared); "
            "nonpositive_finite, token_count,"
        ),
        "future_blind (it needs per_token=true)",
        "inconclusive (1): upcast (the noise, 0.0031 nats, is more than the 0.002 it looks for)",
    ]
    bare = a_report({"upcast": "blocked", "unit": "blocked"})
    assert "blocked (2): upcast, unit\n" in shown(bare)


@pytest.mark.parametrize(("encoding", "signs"), [("utf-8", "✓✗!≠~⊘?–"), ("ascii", "+x!*~#?-")])
def test_every_check_has_its_sign(encoding: str, signs: str) -> None:
    """All 33 stand in columns with a sign of their outcome, and a legend says what signs mean."""
    lines = printed(check(BROKEN), 80, encoding).splitlines()
    begin = lines.index("Every check") + 1
    strip = "  ".join(lines[begin : begin + 11])
    known = dict(reversed(cell) for cell in re.findall(r"(\S) (\w+)", strip))
    assert set(known) == {name for name, _, _ in LAWS}
    signs_of = dict(zip(words.LOOKS, signs, strict=True))
    for result in BROKEN.results:
        assert known[result.check] == signs_of[words.state(BROKEN, result)]
    legend = " ".join(lines[begin + 11 : begin + 13])
    for name, sign in signs_of.items():
        assert f"{sign} {words.LOOKS[name].word}" in legend
    assert len(set(signs)) == len(words.LOOKS)


def test_what_it_rests_on() -> None:
    """Target, models, declarations, tolerance, noise, work, seed and versions end the report."""
    found = in_one_line(BROKEN)
    for said in (
        "target my_package.my_module:make",
        "models toy, order1 of the suite's own (gpt2)",
        "declares unit=bits, aggregate=sum, end=open, per_token=false,",
        "tolerance 1.0e-5 nats a token; noise, measured by asking twice: 2.3e-7 nats",
        "asked 1,284 calls, 5,120 candidates, 3.2 s; seed 7",
        "versions logpr 0.3.0, numpy 2.3.4",
        "numbers s is a sum over tokens in nats, whatever is declared",
        "- printed: loading weights",
    ):
        assert said in found
    own = in_one_line(OWN)
    assert "models the scorer's own alone" in own
    assert "tolerance" not in own
    assert "versions" not in own
    assert "numbers s is" not in own


def test_a_clean_report_is_short() -> None:
    """What keeps every law takes a screen, and shows no failure."""
    lines = shown(CLEAN).splitlines()
    assert len(lines) <= 30
    assert not any(line.startswith("✗") for line in lines[1:])
    assert "replay" not in shown(CLEAN)


@pytest.mark.parametrize(
    ("target", "command"),
    [
        ("my_package.my_module:make", "logpr check my_package.my_module:make --factory"),
        ("minicons", "logpr check minicons"),
        ("logpr:plain", "logpr check logpr:plain"),
        ("http://127.0.0.1:8000/v1", "logpr check http://127.0.0.1:8000/v1"),
        ("python score.py {model}", "logpr check 'python score.py {model}'"),
        ("./score --fast", "logpr check './score --fast'"),
        ("cmd:score", "logpr check cmd:score"),
        ("score", None),
        ("__main__:make", None),
        ("my_module:Scorer", "logpr check my_module:Scorer --factory"),
        ("tests.test_x:test_y.<locals>.make", None),
        ("<lambda>", None),
        ("my best scorer", None),
    ],
)
def test_the_command_that_runs_a_case_again(target: str, command: str | None) -> None:
    """What can be typed is a command, quoted for the shell; what cannot is a call."""
    adapter = ADAPTERS.get(target)
    declares = DECLARES if adapter is None else adapter.declares.pairs()
    found = again(a_report(target=target, declares=declares), "unit/toy/9.0/-/2@1")
    if command is None:
        assert found == ("logpr.check(…, replay='unit/toy/9.0/-/2@1')",)
    else:
        assert " ".join(found) == f"{command} --replay unit/toy/9.0/-/2@1"


def test_the_command_says_what_is_not_usual() -> None:
    """Another architecture and other declarations are repeated; a bare scorer is no factory."""
    declares = (("unit", "bits"), *DECLARES[1:-1], ("dtype", "float64"))
    report = a_report(target="a.b:make", architecture="llama", declares=declares)
    replay = "x y; rm -rf '*'"
    assert again(report, replay) == (
        "logpr check a.b:make",
        "--factory",
        "--toy llama",
        "--declares unit=bits,dtype=float64",
        f"--replay {shlex.quote(replay)}",
    )
    assert again(replace(OWN, target="a.b:score"), "unit/own/1") == (
        "logpr check a.b:score",
        "--replay unit/own/1",
    )


@pytest.mark.parametrize("width", [40, 60, 80, 100])
def test_commands_can_be_pasted(width: int) -> None:
    """A command that is broken over lines says so to the shell, and holds all its words."""
    lines = shown(BROKEN, width).splitlines()
    at = next(at for at, line in enumerate(lines) if line.startswith("  again"))
    kept = [lines[at].removeprefix("  again")]
    while kept[-1].endswith("\\"):
        at += 1
        kept.append(lines[at])
    if width >= 80:
        given = " ".join(part.removesuffix("\\").strip() for part in kept)
        assert given == " ".join(again(BROKEN, "chain_rule/toy/10.0.4/5/6@1"))
    assert all(cell_len(line) <= width for line in lines)


@pytest.mark.parametrize("width", [24, 40, 80, 120])
@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
@pytest.mark.parametrize("name", EVERY)
def test_every_width_and_encoding(name: str, encoding: str, width: int) -> None:
    """No line is wider than the console, and none ends in spaces."""
    found = printed(check(EVERY[name]), width, encoding)
    for line in found.splitlines():
        assert cell_len(line) <= width
        assert line == line.rstrip()


@settings(max_examples=60, deadline=None)
@given(text=TEXTS, width=st.sampled_from((24, 60, 80)))
def test_texts_are_data(text: str, width: int) -> None:
    """Whatever a scorer says reaches the terminal as characters, within the width."""
    for line in printed(check(nasty(text)), width).splitlines():
        assert line.replace("\u2068", "").replace("\u2069", "").isprintable()
        assert cell_len(line) <= width
        assert line.count("\u2068") == line.count("\u2069")
    ascii_only = printed(check(nasty(text)), width, "ascii")
    assert ascii_only.replace("\n", "").isprintable()
    plain = re.sub(r"\x1b\[[0-9;]*m", "", printed(check(nasty(text)), width, colour=True))
    assert "\x1b" not in plain


def test_large_reports_are_bounded() -> None:
    """A message of ten megabytes takes a few lines."""
    found = shown(nasty("word " * 2_000_000))
    assert len(found) < 30_000
    assert "…" in found


def test_a_report_prints_itself() -> None:
    """Rich and notebooks find the views of a report."""
    assert printed(BROKEN, 80) == shown(BROKEN)
    page = BROKEN._repr_html_()
    assert page is not None
    assert "chain_rule" in page
