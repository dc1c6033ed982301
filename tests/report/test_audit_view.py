"""An audit in the terminal."""

from __future__ import annotations

import math
import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from logpr._values import AuditAlternative, AuditReport, Damage, FaultFound, MixedGroup
from logpr.auditing.reporting.sentence import sentence
from logpr.auditing.search.judge import Judgement
from logpr.auditing.search.panel import Values
from logpr.report.html import audit_page
from logpr.report.terminal import audit
from logpr.report.words import audit as words
from logpr.report.words import evidence
from tests.report.audit_values import (
    AMBIGUOUS,
    BARE,
    CORRECT,
    CORRECTION,
    DAMAGE,
    EVERY,
    FREQUENCIES,
    LENGTHS,
    MIXED,
    NEXT_INPUT,
    NON_FINITE,
    NOT_ENOUGH,
    RAW,
    TEMPERATURE,
    a_fault,
    a_flip,
    a_row,
)
from tests.report.printing import printed
from tests.report.test_texts_are_data import TEXTS


def shown(report: AuditReport, width: int = 100) -> str:
    """Return what the view prints."""
    return printed(audit(report), width)


def in_one_line(report: AuditReport) -> str:
    """Return what the view prints, without the line breaks that its width makes."""
    return " ".join(shown(report).split())


def test_verdict_comes_first() -> None:
    """The first line is the verdict's word and sentence, the second the changes it names."""
    lines = shown(a_fault()).splitlines()
    assert lines[0] == f"✗ fault  {a_fault().sentence}"
    assert lines[1] == "shortlist_without_target(k=50, per=request) (normalise, fault)"


@pytest.mark.parametrize(
    ("report", "head"),
    [
        (CORRECT, "✓ correct"),
        (a_fault(verdict="other_definition"), "≠ another quantity"),
        (AMBIGUOUS, "? ambiguous"),
        (MIXED, "✗ unexplained"),
        (BARE, "? too few digits"),
        (NOT_ENOUGH, "? too little evidence"),
    ],
)
def test_every_verdict_has_its_word(report: AuditReport, head: str) -> None:
    """No verdict is told by its colour or sign alone."""
    assert shown(report).startswith(f"{head}  {report.sentence[:20]}")
    ascii_head = f"[{head[2:]}]  "
    assert printed(audit(report), encoding="ascii").startswith(ascii_head)


def test_sections_stand_in_their_order() -> None:
    """The decisions come before the rows, those before the formula, the evidence and labels."""
    found = shown(replace(MIXED, next_input=NEXT_INPUT))
    places = [
        found.index(f"\n{title}")
        for title in (
            "What explains which claims",
            "What would tell them apart",
            "What it did to the decisions",
            "Arms",
            "Claimed, reproduced and true (nats)",
            "Token by token",
            "Formula",
            "Evidence",
            "Labels",
        )
    ]
    assert places == sorted(places)


def test_damage() -> None:
    """Flips are listed with what they cost, the costliest first, and drifts in plain words."""
    found = in_one_line(a_fault())
    assert "2 of 20 decisions flip: the true numbers take another candidate." in found
    costly = (
        "≠ ‘q1’: ‘␣plush rug’ (2 tokens) was taken; ‘␣warm mat’ (2 tokens) is better by 1.215 nats "
        "(3.37×); the label is the one taken."
    )
    assert costly in found
    assert found.index(costly) < found.index("≠ ‘q7’")
    assert "better by 0.050 nats (1.05×); the label is the better one." in found
    assert "The claimed winners run 2.1 tokens longer than the true ones (8.3 against 6.2" in found
    assert "With each further token claimed − true changes by +0.420 nats (corr" in found
    assert "winners' tokens are 2.00× as common as those of the true ones." in found
    assert "With each tenfold of token frequency claimed − true changes by -0.500 nats" in found


def test_many_flips_are_cut_and_counted() -> None:
    """Five flips are listed, the rest is counted."""
    damage = replace(DAMAGE, flips=tuple(a_flip(id=f"q{at}") for at in range(12)), decisions=12)
    found = shown(a_fault(damage=damage))
    assert found.count("was taken;") == 5
    assert "… and 7 more" in found


def test_words_of_decisions() -> None:
    """One decision, none that flips, and no decision at all each have their sentence."""
    none = replace(DAMAGE, flips=())
    assert words.decisions(a_fault(damage=none)) == (
        "None of 20 decisions flips: the true numbers take the same candidates."
    )
    one = Damage(decisions=1, flips=())
    assert words.decisions(a_fault(damage=one)) == (
        "The one decision stands: the true numbers take the same candidate."
    )
    assert words.decisions(a_fault(damage=Damage(decisions=0, flips=()))) is None
    assert words.decisions(a_fault(damage=None)) is None
    assert "What it did" not in shown(a_fault(damage=None))


def test_words_of_flips() -> None:
    """What is not known is left out; a loss without end is said without a number."""
    bare = a_flip(chosen_text=None, best_text=None, chosen_tokens=None, best_tokens=1, label=7)
    assert words.flip(a_fault(), bare) == (
        "candidate 1", "", " was taken; ", "candidate 0", " (1 token)",
        " is better by 0.200 nats (1.22×)", "; the label is neither", ".",
    )  # fmt: skip
    per_token = a_fault(declared=(("rule", "per_token"),))
    assert " is better by 0.200 nats a token" in words.flip(per_token, a_flip())
    endless = words.flip(a_fault(), a_flip(nats=math.inf))
    assert " has the higher Pr: that of the one taken is 0" in endless


def test_words_of_drifts() -> None:
    """Winners that are shorter, as long, rarer or as common are called so."""
    report = a_fault()
    for claimed, said in (
        (4.2, "The claimed winners run 2.0 tokens shorter than the true ones (4.2 against 6.2"),
        (6.21, "The claimed winners are as long as the true ones (6.2 tokens)."),
    ):
        assert words.drift(report, replace(LENGTHS, chosen=claimed)).startswith(said)
    for often, said in (
        (1.0, "The claimed winners' tokens are 10.0× as rare as those of the true ones."),
        (2.0, "The claimed winners' tokens are as common as those of the true ones."),
    ):
        assert words.drift(report, replace(FREQUENCIES, chosen=often)).startswith(said)
    unknown = replace(LENGTHS, chosen=None, correlation=None)
    assert words.drift(report, unknown) == (
        "With each further token claimed − true changes by +0.420 nats."
    )
    assert words.drift(report, replace(unknown, slope=None)) == ""


def test_rows() -> None:
    """Rows of flipped decisions come first, then the largest departure; printed as they were."""
    lines = shown(a_fault()).splitlines()
    top = next(at for at, line in enumerate(lines) if line.startswith("id  candidate"))
    assert [line.split() for line in lines[top + 2 : top + 6]] == [
        ["q1", "␣plush", "rug", "2", "-1.50", "-1.4973", "-2.6000", "taken"],
        ["q1", "␣warm", "mat", "2", "-2.40", "-1.4973", "-2.4000", "better"],
        ["q7", "␣plush", "rug", "2", "-2.30", "-1.4973", "-2.4000", "taken"],
        ["q1", "␣hat", "2", "-9.00", "-9.0000", "-9.1000"],
    ]


def test_rows_by_departure() -> None:
    """Without flips the order is that of |claimed − true|, what has neither last."""
    rows = (
        a_row(index=0, claimed=None, token_claimed=None, text="unknown"),
        a_row(index=1, claimed=-2.5, text="near"),
        a_row(index=2, claimed=None, text="by tokens"),
        a_row(index=3, claimed=math.nan, text="nan"),
        a_row(index=4, claimed=-9.0, text="far"),
        a_row(index=5, claimed=-math.inf, true=-math.inf, text="both -inf"),
    )
    order = [row.text for row in words.telling(a_fault(rows=rows, damage=None))]
    assert order == ["nan", "far", "by tokens", "near", "unknown", "both -inf"]


def test_many_rows_are_cut_and_counted() -> None:
    """Eight rows are shown; what is left is said."""
    rows = tuple(a_row(index=at, token_claimed=None, token_reproduced=None) for at in range(30))
    assert "… and 22 more claims\n" in shown(a_fault(rows=rows))


def test_tokens() -> None:
    """Claimed tokens stand beside true ones, with the excess and mass of the implied list."""
    lines = [line.split() for line in shown(a_fault()).splitlines()]
    assert [
        "1",
        "␣plush",
        "-1.8100",
        "-1.8085",
        "-2.1000",
        "+0.290",
        "74.8%",
        "50",
        "███████▌",
    ] in (lines)
    assert ["2", "␣rug", "0.3100", "0.3112", "-0.5000", "+0.810", "44.5%", "–", "████▌"] in lines
    assert "Over 3 steps the implied normaliser covers 44.5% to 98.0%" in in_one_line(a_fault())


def test_tokens_of_uneven_columns() -> None:
    """A column that is short or absent is null where it has nothing; long ones are cut."""
    row = a_row(token_texts=None, token_claimed=(None, -1.0, -2.0), token_reproduced=(-1.0,),
                token_logprobs=None)  # fmt: skip
    steps = words.steps(a_fault(shortlist=()), row, 10)
    assert [(step.text, step.claimed, step.reproduced, step.true) for step in steps] == [
        ("token 1", None, -1.0, None),
        ("token 2", -1.0, None, None),
        ("token 3", -2.0, None, None),
    ]
    named = words.steps(a_fault(), row, 1)
    assert [step.text for step in named] == [" plush"]
    long = a_row(token_claimed=(-1.0,) * 40)
    assert "… and 24 more tokens\n" in shown(a_fault(rows=(long,)))


def test_formula() -> None:
    """The formula used, the one to use, every line of the code and the page are there."""
    found = shown(a_fault())
    assert f"  used  {CORRECTION.used}\n  use   {CORRECTION.use}\n" in found
    assert (
        "  code  logz = torch.logsumexp(logits, dim=-1)\n        score = (logits[y] - logz).sum()\n"
        in found
    )
    assert f"  page  {CORRECTION.page}\n" in found


def test_evidence() -> None:
    """Intervals, noise, residual, chance, rivals, fingerprints and the untested are told."""
    found = in_one_line(a_fault())
    for said in (
        "At hand: model. Declared: rule logprob, end open, unit nats.",
        "The printed digits leave each claim an interval 0.01 wide.",
        "Numerical noise, measured on the evidence: 2.3e-6.",
        "40 of 40 claims lie in their intervals; the worst is 0.00470 nats from its reproduction.",
        "Matches to be expected by chance among 312 computations tried: 1.2e-14.",
        "- per_byte: gives the same numbers on this input: it cannot be told apart - per_char: fit",
        "temperature(T=0.699 to 0.701) + mean 12 of 40 0.3000 what was declared 3 of 40 1.1000",
        "- values above 0 (3 claims; a mark of raw_logit_sum, shortlist_without_target). Corre",
        "- raw_logit_sum, temperature: logits: --model, or recorded rows",
        "! merged: the boundary is inside a token",
    ):
        assert said in found


def test_many_computations_that_reproduce_them() -> None:
    """The first few are shown, one of each kind before its parameters; the rest are counted."""

    def standing(name: str, at: int) -> AuditAlternative:
        change = FaultFound(id=name, stage="mask", kind="fault", parameters=(("k", at),))
        return AuditAlternative(changes=(change,), stands=True, same=True, explained=1, tested=1)

    names = ["a", "a", "a", "b", "a", "b", "c"]
    report = replace(CORRECT, alternatives=tuple(map(standing, names, range(27))) * 4)
    found = shown(report)
    lines = [line.strip(" -").partition(":")[0] for line in found.splitlines() if "(k=" in line]
    assert lines == ["a(k=0)", "b(k=3)", "c(k=6)", "a(k=1)", "a(k=2)"]
    assert "    … and 23 more: --json lists them all\n" in found
    page = audit_page(report)
    assert "<summary>23 more computations</summary>" in page
    assert page.partition("<summary>23 more")[0].count("(k=") == 5
    assert page.partition("<h2>The report")[0].count("(k=") == 28


@pytest.mark.parametrize(
    ("claimed", "word", "says"),
    [
        ([math.nan] * 3, "no numbers", "None of these 3 scores is a number: NaN says nothing"),
        ([math.nan], "no numbers", "This score is not a number: NaN says nothing of what"),
        ([-2.5] * 2, "equal numbers", "These 2 scores are all -2.5, and equal numbers tell no"),
        ([-2.5], "too few digits", "This score is printed with too few digits"),
        ([-2.5, -2.0], "too few digits", "These 2 scores are printed with too few digits"),
        ([math.nan, -2.0], "too few digits", "These 2 scores are printed with too few digits"),
    ],
)
def test_why_digits_are_too_few(claimed: list[float], word: str, says: str) -> None:
    """NaN is no number and equal numbers tell nothing apart: more digits would not help."""
    rows = tuple(a_row(claimed=value, printed=f"{value}") for value in claimed)
    unclaimed = a_row(claimed=None, printed=None)
    report = replace(BARE, rows=(*rows, unclaimed), rows_total=len(claimed))
    none = np.zeros(0)
    base = Values(none, none, none.astype(bool))
    assert sentence(report, Judgement("not_enough_precision", base, ())).startswith(says)
    assert words.mark(report).word == word


def test_evidence_of_mixed_digits() -> None:
    """Where claims were printed differently, their widths are a range."""
    rows = (a_row(), a_row(low=-1.55, high=-1.45), a_row(low=None), a_row(low=-math.inf, high=0.0))
    assert "intervals 0.01 to 0.1 wide (median 0.055)." in evidence.facts(a_fault(rows=rows))[1]
    zero = evidence.facts(a_fault(noise=0.0, rows=(), max_residual=None, hypotheses=0))
    assert zero[1:] == (
        "No numerical noise was allowed for.",
        "Matches to be expected by chance: 1.2e-14.",
    )
    tried = a_fault(expected_accidental_matches=None, hypotheses=1)
    assert evidence.facts(tried)[-1] == "1 computation tried."


def test_computed_in() -> None:
    """A scorer of another precision is told so, also where all is correct."""
    found = in_one_line(replace(CORRECT, computed_in="bfloat16"))
    assert "Computed in bfloat16: with weights of that precision the numbers agree." in found


def test_labels() -> None:
    """Where the truth itself prefers another candidate than the label, no scorer is blamed."""
    found = in_one_line(a_fault())
    assert "The label is the claimed winner in 12 of 20 labelled decisions, the true winner in" in (
        found
    )
    assert "In 5 the correct log Pr itself prefers another candidate than the label: no sc" in found
    assert len(words.labels(a_fault(damage=replace(DAMAGE, label_disagrees=0)))) == 1
    assert words.labels(a_fault(damage=replace(DAMAGE, labelled=0))) == ()


def test_correct_is_short() -> None:
    """A report that found nothing wrong takes a dozen lines and shows no row."""
    found = shown(CORRECT)
    assert len(found.splitlines()) <= 12
    assert "plush" not in found
    assert "Reproduces the claims too:\n  - per_byte: gives the same numbers" in found
    assert "no scoring bug" in found


def test_mixed_claims_and_arms() -> None:
    """Each group has its computation, its claims and what they have in common; each arm a row."""
    found = shown(MIXED)
    assert "  - 2 claims: raw_logit_sum (q1 #0, candidate 3)\n" in found
    assert "  - 1 claim: what was declared (q2 #0)\n" in found
    assert "  - 9 claims: nothing that was tried (q0 #0, q1 #1, q2 #2, q3 #3, q4 #4, q5 #5, …)" in (
        found
    )
    assert "    All of these end in a merged boundary.\n" in found
    assert "taken, not explained\n" in found
    assert "B           10      2                –                –   10 of 20\n" in found


def test_next_input() -> None:
    """The input that would decide is shown as data, with what each survivor would print."""
    found = shown(AMBIGUOUS)
    assert "  Prompt     The cat sat on the\n  Candidate  ␣café\n" in found
    assert "  - per_char would give -0.5100\n  - per_byte would give –\n" in found


def test_without_anything_to_compare_with() -> None:
    """Without evidence there is no table of empty columns, only what would fill it."""
    found = shown(NOT_ENOUGH)
    assert "Claimed" not in found
    assert "logits: --model, or recorded rows" in found


def test_non_finite() -> None:
    """Infinities and NaN are spelt out, long numbers are powers of ten, no slope is made up."""
    found = shown(NON_FINITE)
    assert "-inf" in found
    assert "1.0000e22" in found
    assert "changes by" not in found


def test_parameters() -> None:
    """Intervals, lists, half-open intervals and words are written as they are read."""
    change = FaultFound(
        id="x",
        stage="encode",
        kind="fault",
        parameters=(("T", (0.5, math.inf)), ("ids", (3, 4)), ("many", tuple(range(9))),
                    ("p", (0.9, 0.9)), ("form", "gnmt"), ("e", 1e-7), ("i", math.inf)),
    )  # fmt: skip
    assert words.called((change,)) == (
        "x(T=0.5 or more, ids=[3, 4], many=[0, 1, 2, 3, 4, 5, …], p=0.9, form=gnmt, e=1e-07, i=inf)"
    )
    assert words.called((RAW, TEMPERATURE)) == "raw_logit_sum + temperature(T=0.699 to 0.701)"


@pytest.mark.parametrize("width", [24, 40, 80, 120])
@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
@pytest.mark.parametrize("name", EVERY)
def test_every_width(name: str, width: int, encoding: str) -> None:
    """No line is wider than the console or beyond its encoding."""
    found = printed(audit(EVERY[name]), width, encoding)
    assert all(cell_len(line) <= width for line in found.splitlines())
    assert found.isascii() or encoding == "utf-8"


def nasty(text: str) -> AuditReport:
    """Return a report with `text` wherever a text can stand."""
    return a_fault(
        sentence=text,
        rows=(a_row(id=text, text=text, printed=text, token_texts=(text, text)),),
        damage=replace(DAMAGE, flips=(a_flip(id=text, chosen_text=text, best_text=text),)),
        correction=replace(CORRECTION, used=text, use=text, code=text, page=text),
        next_input=replace(NEXT_INPUT, says=text, prompt=text, candidate=text,
                           predictions=((text, 1.0),)),
        groups=(MixedGroup(changes=None, rows=((text, 1),), common=(text,)),),
        arms=(replace(MIXED.arms[0], arm=text),),
        findings=(replace(a_fault().findings[0], says=text),),
        untested=(replace(a_fault().untested[0], needs=text),),
        shortlist=(replace(a_fault().shortlist[0], id=text, token=text),),
        declared=((text, text),),
        evidence=text,
        warnings=(text,),
    )  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(text=TEXTS, width=st.sampled_from((24, 60, 120)))
def test_texts_are_data(text: str, width: int) -> None:
    """No text reaches the terminal as anything but characters, whatever it holds."""
    found = printed(audit(nasty(text)), width)
    for line in found.splitlines():
        assert line.replace("\u2068", "").replace("\u2069", "").isprintable()
        assert cell_len(line) <= width
    assert printed(audit(nasty(text)), encoding="ascii").replace("\n", "").isprintable()
    coloured = printed(audit(nasty(text)), colour=True)
    assert "\x1b" not in re.sub(r"\x1b\[[0-9;]*m", "", coloured)


def test_megabytes_of_text_take_a_few_lines() -> None:
    """A prompt of ten megabytes and a candidate as long are cut before they are drawn."""
    long = "word " * 2_000_000
    report = replace(AMBIGUOUS, rows=(a_row(text=long),),
                     next_input=replace(NEXT_INPUT, prompt=long, candidate=long))  # fmt: skip
    assert len(shown(report)) < 5000


def test_values_show_themselves() -> None:
    """Rich finds the view through the value itself."""
    assert printed(CORRECT) == printed(audit(CORRECT))
