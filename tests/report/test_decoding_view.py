"""A decoding, a certificate and a second look at it, in the terminal and in words."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from logpr._values import Decoding, MassLedger, Moment, Verification
from logpr.report.html import decoding_page
from logpr.report.terminal import certificate, decoding, decoding_live, verification
from logpr.report.terminal._ledger import apportioned
from logpr.report.words.decoding import live_line, verdict
from logpr.report.words.outputs import rank_words
from tests.report.decodings import (
    A_GREEDY,
    EVERY,
    LEDGER,
    MODE,
    OPTIMUM,
    a_certificate,
    a_decoded,
    a_decoding,
    a_verification,
    by_beam,
    by_sampling,
    by_threshold,
    explained,
    greedy_is_best,
    infeasible,
    nasty,
    not_proven,
    nothing_finished,
    under_constraint,
    unfinished,
)
from tests.report.printing import printed
from tests.report.test_texts_are_data import TEXTS


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (a_decoding(), "Greedy: not optimal: -2.70; optimum -1.53 (proven, 212 expansions)"),
        (greedy_is_best(), "Greedy is optimal: -1.53 (proven, 212 expansions)"),
        (a_decoding(greedy=None), "Optimum -1.53 (proven, 212 expansions)"),
        (
            unfinished(),
            "Best found -1.53; nothing exceeds -0.21 (gap 1.32 nats after 30 s; not proven)",
        ),
        (
            nothing_finished(),
            "Nothing finished; nothing that ends exceeds -0.75 (after 30 s; not proven)",
        ),
        (
            by_beam(proven=True),
            (
                "beam-5 is optimal: -1.53; proven by its own bounds at no further cost "
                "(212 expansions)"
            ),
        ),
        (
            by_beam(proven=False),
            "beam-5: -1.53; nothing exceeds -0.21 (gap 1.32 nats after 1.60 s; not proven)",
        ),
        (by_threshold(complete=True), "All 4 outputs with Pr ≥ 0.05 found; together 47.3%"),
        (
            by_threshold(complete=False),
            (
                "4 outputs with Pr ≥ 0.05 found, together 47.3%; at most 3 may be missing "
                "(after 1.60 s)"
            ),
        ),
        (
            by_sampling(),
            "Drawn: log Pr -3.10 under the model, log q -1.50 under what it was drawn from",
        ),
        (
            by_sampling(replaced=False, drawn=3),
            (
                "3 outputs drawn without replacement, in the order of log q + Gumbel noise; the "
                "likeliest: log Pr -1.53 under the model, log q -2.50 under what it was drawn from"
            ),
        ),
        (
            infeasible(),
            (
                "No output of at most 12 tokens before END has a probability above 0 "
                "(proven, 212 expansions)"
            ),
        ),
        (infeasible(threshold=0.5), "No output has Pr ≥ 0.5 (proven, 212 expansions)"),
    ],
)  # fmt: skip
def test_the_first_line_is_the_verdict(value: Decoding, said: str) -> None:
    """Every method and every status has its sentence, and it comes first."""
    assert verdict(value) == said
    assert printed(decoding(value), 200).startswith(f"{said}\n")


def test_optimal_within() -> None:
    """A gap that is proven small names itself; what rounding may explain is called noise."""
    within = a_certificate(status="optimal_within", upper=OPTIMUM + 0.01, gap=0.01, tolerance=0.02)
    said = verdict(a_decoding(certificate=within))
    assert said == (
        "Greedy: not optimal: -2.70; optimum within 0.010 nats -1.53 (proven, 212 expansions)"
    )
    noisy = replace(within, gap=1e-6, upper=OPTIMUM + 1e-6)
    assert "within the numerical noise of 2.5e-6 nats" in verdict(a_decoding(certificate=noisy))


def test_close_numbers_are_told_apart() -> None:
    """Two scores that two decimals would not tell apart are written with more."""
    near = replace(A_GREEDY, score=OPTIMUM - 0.0004, logprob=OPTIMUM - 0.0004)
    said = verdict(a_decoding(greedy=near, compared=()))
    assert said.startswith("Greedy: not optimal: -1.533; optimum -1.532 ")


def test_greedy_is_as_good_or_not_allowed() -> None:
    """An equal score is a tie; a score above the proven optimum is no output that was asked for."""
    tied = replace(A_GREEDY, score=OPTIMUM)
    assert verdict(a_decoding(greedy=tied)).startswith("Greedy is optimal, as is another output: ")
    above = replace(A_GREEDY, score=OPTIMUM + 1.0)
    assert verdict(a_decoding(greedy=above)).startswith("Greedy: not allowed here: -0.53; optimum")


def test_objectives_are_named() -> None:
    """What is not log Pr itself is named where it stands, and so is what it divides by."""
    best = replace(MODE, score=-1.2)
    proof = a_certificate(objective="length_penalty(0.6)", lower=-1.2, upper=-1.2)
    value = a_decoding(
        objective="length_penalty(0.6)", best=best, nbest=(best,), greedy=None, certificate=proof
    )
    assert verdict(value) == "Optimum -1.20 by length_penalty(0.6) (proven, 212 expansions)"
    shown = printed(decoding(value), 120)
    assert "The best, by length_penalty(0.6)\n" in shown
    assert "log Pr(y | x) / ((5 + n) / 6)^0.6, where n counts the tokens without END" in shown
    assert "-1.2000  -1.5325  21.6%" in shown


def test_outputs() -> None:
    """The n best stand in order with their sums; those of other decoders below, with names."""
    lines = printed(decoding(a_decoding())).splitlines()
    assert "1  ␣soft rug   END  -1.5325  21.6%  21.6%       2  mode" in lines
    assert "2  (empty)     END  -2.3026  10.0%  31.6%       0  empty" in lines
    assert "3  ␣warm rug   END  -2.4079   9.0%  40.6%       2  beam-5" in lines
    assert "   ␣warm mat,  END  -2.6956   6.7%              3  greedy" in lines
    assert "   ␣warm mat   END  -3.1011   4.5%              2  sample" in lines
    assert "The empty output (END at once): log Pr -2.3026, Pr 10.0%, rank 2." in lines


@pytest.mark.parametrize(
    ("rank", "said"),
    [((3, 3), "rank 3"), ((3, 41), "rank 3 to 41"), ((3, None), "rank at least 3")],
)
def test_the_rank_of_the_empty_output(rank: tuple[int, int | None], said: str) -> None:
    """It may be known as an interval, in the sentence; in the table where it is one number."""
    assert rank_words(rank) == said
    shown = printed(decoding(a_decoding(nbest=(MODE,), empty_rank=rank)), 100)
    assert f"Pr 10.0%, {said}.\n" in shown
    cell = "3  (empty)" if said == "rank 3" else "(empty)"
    assert any(line.lstrip().startswith(cell) for line in shown.splitlines())


def test_cut_outputs_are_never_finished_ones() -> None:
    """What was cut says so, in its row and in words, and has neither rank nor sum."""
    shown = printed(decoding(unfinished()), 100)
    row = next(line for line in shown.splitlines() if "warm mat," in line)
    assert row.split() == ["␣warm", "mat,", "cut", "at", "3", "-2.1848", "11.3%", "3", "greedy"]
    assert "greedy: cut at 3 tokens, not ended. Its log Pr is that of a beginning" in shown
    cut = a_decoded((" warm", " mat", ","), finished=False, names=("greedy",))
    proven = a_decoding(greedy=cut, compared=(cut,))
    assert verdict(proven).startswith("Greedy: cut at 3 tokens, not ended; optimum -1.53 ")
    first = a_decoding(method="greedy", best=None, nbest=(), greedy=cut, certificate=not_proven())
    assert verdict(first).startswith("Greedy: cut at 3 tokens, not ended; nothing that ends")
    assert "Try longer outputs: max_new_tokens=24 (--max-new-tokens 24)" in printed(decoding(first))


def test_a_cut_best_is_no_best() -> None:
    """What greedy, a beam or a draw left unfinished is called cut, never best or optimal."""
    cut = a_decoded((" warm", " mat", ","), finished=False, proposal_logprob=-2.5)
    proof = not_proven(max_new_tokens=3)
    for method, said in (
        ("greedy", "Greedy: cut at 3 tokens, not ended; nothing that ends exceeds -0.21"),
        ("beam", "beam-5: cut at 3 tokens, not ended; nothing that ends exceeds -0.21"),
        ("sample", "Drawn, cut at 3 tokens, not ended: log Pr -2.18 under the model, log q -2.50"),
    ):
        value = a_decoding(
            method=method, width=5, best=cut, nbest=(cut,), greedy=None, compared=(),
            certificate=proof,
        )  # fmt: skip
        assert verdict(value).startswith(said)
        shown = printed(decoding(value), 100)
        assert "1 output, none of which ended\n" in shown
        assert "1 output: cut at 3 tokens, not ended. Its log Pr is that of a beginning" in shown
        assert "best" not in next(line for line in shown.splitlines() if "␣warm mat," in line)
    two = a_decoding(method="sample", nbest=(cut, MODE), best=MODE, compared=(), certificate=proof)
    assert verdict(two).startswith(
        "2 outputs drawn, 1 of them cut at 3 tokens, not ended; the likeliest that ended: log Pr "
    )


def test_cut_outputs_do_not_count() -> None:
    """A cut output among the n best takes no rank and adds nothing to the sum."""
    cut = a_decoded((" warm", " mat", ","), finished=False)
    shown = printed(decoding(a_decoding(nbest=(MODE, cut, A_GREEDY), compared=())))
    row = next(line for line in shown.splitlines() if "2  ␣warm mat," in line)
    assert row.split()[-3:-1] == ["28.3%", "3"]


def test_typical_samples() -> None:
    """How far below the best a typical sample lies is said as a ratio."""
    shown = printed(decoding(a_decoding()), 120)
    assert "A typical sample has Pr 4.5%, 4.80× below the best" in shown


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (under_constraint(), "lies between -1.0325 and -0.9325 (Pr 35.6% to 39.4%)"),
        (under_constraint(sharp=True), "of the best is -1.0325 (Pr 35.6%)."),
    ],
)
def test_the_share_among_what_is_allowed(value: Decoding, said: str) -> None:
    """Under a constraint the Pr given it is an interval, or one number where all was seen."""
    shown = printed(decoding(value), 250)
    assert f"log Pr(y | x, y in C) {said}" in shown.replace("of the best lies", "lies")
    assert "the whole text fits the regular expression ‘␣(soft|warm) rug’" in shown


def test_masses_of_texts() -> None:
    """The Pr of a text has a column where other spellings of it were found, and only there."""
    spelt = replace(MODE, string_mass=0.25)
    assert "text Pr" in printed(decoding(a_decoding(nbest=(spelt,), best=spelt)), 100)
    alone = replace(MODE, string_mass=math.exp(OPTIMUM))
    assert "text Pr" not in printed(decoding(a_decoding(nbest=(alone,), best=alone)), 100)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (infeasible(), "Try other end tokens: end_ids=[…] (--end-ids …)"),
        (infeasible(threshold=0.5), "Try a lower threshold: threshold=0.05 (--threshold 0.05)"),
        (
            infeasible(constraint=under_constraint().certificate.constraint),
            "Try another constraint than this regex",
        ),
        (nothing_finished(), "Try more time: budget='300s' (--budget 300s)"),
        (
            nothing_finished(stopped="finished", largest_dropped=-1.0),
            "\n  Try more room for what was let go: memory='2GB' (--memory 2GB)",
        ),
        (
            nothing_finished(stopped="finished", largest_dropped=-math.inf),
            "\n  Try longer outputs: max_new_tokens=24 (--max-new-tokens 24)\nPrompt",
        ),
    ],
)
def test_ways_out(value: Decoding, said: str) -> None:
    """Where there is no output the view says what to type."""
    assert said in printed(decoding(value), 120)


def test_a_certificate_alone() -> None:
    """Its view has the bound, the gap, the work, the length it covers, and the ledger."""
    shown = printed(certificate(not_proven()), 120)
    for line in (
        "status         gap: not proven",
        "bound          -0.2125, which no output exceeds",
        "gap            1.320 nats",
        "could beat it  at most 5 other outputs",
        "longer ones    not covered: max_new_tokens=24 (--max-new-tokens 24) covers more",
        "largest left   by their bound: open -0.2125, dropped -1.2825, truncated -4.5000",
        "epsilon        2.5e-6 nats: what numerical noise may move the scores by",
    ):
        assert f"{line}\n" in shown
    assert "212 expansions, 18 forward passes, 1,204 tokens fed, 30 of them again" in shown
    assert "12 tokens, then END, one outcome made of ids 2 9 (end=stop); END is not count" in shown
    assert "? unnamed 1.0e-4\nsum 1.000000\n" in shown
    proven = printed(certificate(a_certificate()), 100)
    assert "longer ones    beaten too: the claim holds for any length\n" in proven
    assert "could beat it  no other output\n" in proven
    assert "largest left" not in proven
    assert printed(a_certificate()) == printed(certificate(a_certificate()))


def test_drawing_claims_nothing() -> None:
    """Of what was drawn no bound, no gap and no length is claimed."""
    shown = printed(decoding(by_sampling()), 100)
    assert "status     nothing is claimed: drawing proves nothing of the best output\n" in shown
    assert "bound  " not in shown
    assert "longer ones" not in shown
    assert "212 expansions" in shown


def test_least_lengths_and_biases() -> None:
    """What a least length does to shorter outputs, and what was added to scores, is said."""
    proof = a_certificate(min_new_tokens=2, bias=((17, -1.0),))
    shown = printed(certificate(proof), 200)
    assert "2 tokens, restrict: shorter outputs are left out" in shown
    assert "token 17 -1.0000" in shown
    shown = printed(certificate(replace(proof, min_length="renormalise")), 200)
    assert "2 tokens, renormalise: END is masked before" in shown
    assert "exactly 12 tokens of any kind (end=open)" in printed(
        certificate(a_certificate(end="open", end_ids=())), 100
    )


@pytest.mark.parametrize(
    ("changes", "called"),
    [
        ({"bias": ((12, -1.0),)}, "log Pr + bias"),
        ({"min_new_tokens": 2, "min_length": "renormalise"}, "renormalised log Pr"),
    ],
)
def test_scores_that_are_not_log_pr_have_a_column(
    changes: Mapping[str, object], called: str
) -> None:
    """Who is ranked by other numbers than log Pr sees them, and what they are called."""
    value = a_decoding()
    proof = a_certificate(**changes)
    best = replace(value.nbest[0], score=-9.25)
    other = replace(value, certificate=proof, best=best, nbest=(best, *value.nbest[1:]))
    header = re.compile(r"^ *output .* score ", re.MULTILINE)
    assert not header.search(printed(value, 120))
    assert header.search(printed(other, 120))
    for shown in (printed(other, 120), decoding_page(other)):
        assert "-9.2500" in shown
        assert f"by {called}" in shown
    assert "token 12 -1.0000" in printed(replace(other, method="sample"), 120) or not proof.bias


def test_a_ledger_that_lost_something_says_so() -> None:
    """A sum that is not 1 is a warning, never a rounding."""
    assert "sum 1.000000\n" in printed(certificate(a_certificate()))
    lost = a_certificate(mass=replace(LEDGER, pruned=0.5))
    assert "sum 0.978500, which is not 1: some probability is not accounted for" in printed(
        certificate(lost), 120
    )


@given(st.lists(st.floats(0, 1), min_size=1, max_size=7), st.integers(7, 60))
def test_something_is_never_drawn_as_nothing(shares: list[float], cells: int) -> None:
    """The parts fill the bar exactly, each that holds something has a cell, no other has."""
    taken = apportioned(shares, cells)
    assert [bool(size) for size in taken] == [share > 0 for share in shares]
    assert sum(taken) == (cells if any(shares) else 0)


def test_the_ledger_is_in_proportion() -> None:
    """Half of the probability takes half of the bar."""
    half = a_certificate(mass=MassLedger(finished=0.5, pruned=0.25, dropped=0.25))
    bar = next(line for line in printed(certificate(half)).splitlines() if line.startswith("█"))
    assert bar == "█" * 30 + "░" * 15 + "▚" * 15


@pytest.mark.parametrize(
    ("verified", "said", "word"),
    [
        (True, "Verified: all 2 claims hold (340 expansions)", "✓ yes"),
        (False, "Refuted: 1 of 2 claims does not hold (340 expansions)", "✗ no"),
        (None, "Not settled: 2 of 3 claims hold and none fails (340 expansions)", "? unsettled"),
    ],
)
def test_verification(verified: bool | None, said: str, word: str) -> None:  # noqa: FBT001 - the field
    """The verdict comes first, each claim says how it came out, and what refutes it is shown."""
    value: Verification = a_verification(verified=verified)
    shown = printed(verification(value), 120)
    assert shown.startswith(said)
    assert f"{word} " in shown
    assert ("The certificate says that this output cannot be" in shown) == (verified is False)
    assert ("Output  ␣soft rug\n" in shown) == (verified is False)
    assert printed(value) == printed(verification(value))


def test_the_live_line() -> None:
    """Best, bound, gap, open beginnings, speed and time stand on one line."""
    moment = Moment(seconds=2.0, expansions=840, lower=-3.42, upper=-2.1, open=1204)
    said = live_line(moment)
    assert said == "best -3.42 · bound -2.10 · gap 1.32 · 1,204 open · 420 nodes/s · 2.00 s"
    assert printed(decoding_live(moment)) == f"{said}\n"
    early = Moment(seconds=0.0, expansions=0, lower=-math.inf, upper=0.0, open=1)
    assert live_line(early) == "nothing ended yet · bound 0.00 · 1 open · 0.00 s"
    assert printed(decoding_live(moment), 30).count("\n") == 1


def test_an_explanation_stands_below() -> None:
    """Where greedy's loss was explained, the explanation's own view follows."""
    shown = printed(decoding(explained()), 100)
    assert shown.index("What is proven") < shown.index("Why the greedy output lost to the best")
    assert "Where the gap comes from, in nats" in shown
    assert "Why the greedy" not in printed(decoding(a_decoding()))


@pytest.mark.parametrize("width", [24, 40, 80, 120])
@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
@pytest.mark.parametrize("name", EVERY)
def test_every_width_and_encoding(name: str, width: int, encoding: str) -> None:
    """No line is wider than the console or ends in spaces, and ASCII stays ASCII."""
    shown = printed(decoding(EVERY[name]), width, encoding)
    for line in shown.splitlines():
        assert cell_len(line) <= width
        assert line == line.rstrip()
    if encoding == "ascii":
        assert shown.isascii()
    if EVERY[name].best is not None:
        assert "21.6%" in shown or "4.5%" in shown or width < 40


@settings(max_examples=30)
@given(text=TEXTS, width=st.sampled_from((24, 60, 80)))
def test_nothing_reaches_the_terminal_but_characters(text: str, width: int) -> None:
    """A text wherever one can stand is shown, and never obeyed."""
    shown = printed(decoding(nasty(text)), width)
    for line in shown.splitlines():
        assert line.replace("\u2068", "").replace("\u2069", "").isprintable()
        assert cell_len(line) <= width
        assert line.count("\u2068") == line.count("\u2069")


def test_values_show_themselves() -> None:
    """Rich prints a decoding through its own view, and a decoding is itself again from JSON."""
    value = a_decoding()
    assert printed(value) == printed(decoding(value))
    assert Decoding.from_json(value.to_json()) == value
