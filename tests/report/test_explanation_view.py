"""An explanation, and the decisions of a file, in the terminal."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import RenderableType

import logpr
from logpr._explain import decisions_of
from logpr._values import Decisions
from logpr.models.table import TableModel
from logpr.report.html import explanation_page
from logpr.report.markdown import explanation as markdown
from logpr.report.numbers import signed
from logpr.report.terminal import decisions, explanation
from logpr.report.texts import ISOLATE, POP
from logpr.report.words.explanation import largest, names, warnings
from tests.report.explained import (
    NUMBERS,
    Numbers,
    a_candidate,
    an_explanation,
    of_numbers,
    of_text,
    three,
    worked_example,
)
from tests.report.printing import printed
from tests.report.test_texts_are_data import TEXTS

BARS = re.compile(r"([+-]\d+\.\d{3})(?: +[█▒│]+)?$")


def bars_in(shown: str) -> list[str]:
    """Return the figures of the waterfall, its gap last."""
    lines = shown.splitlines()
    begin = next(i for i, line in enumerate(lines) if line.startswith("Where the gap comes from"))
    end = next(i for i, line in enumerate(lines) if i > begin and line.startswith("gap "))
    found = [BARS.search(line) for line in lines[begin + 1 : end + 1]]
    return [match[1] for match in found if match]


def test_worked_example() -> None:
    """Worked example 1: who, by how much, where, what decided; raw logits say otherwise."""
    shown = printed(explanation(worked_example()))
    assert "‘␣A A’ beats ‘␣B B’ by 1.215 nats (3.37×).\n" in shown
    said = " ".join(shown.split())
    assert (
        "They fork at token 1: ‘␣A’ against ‘␣B’; the fork gives +1.000, the tails +0.215." in said
    )
    assert "‘␣A A’ is first under every rule: logprob, per_token, per_char" in said
    assert "A      -1.4119      0.0000         -1.4119  10.0000  11.4119\n" in shown
    assert "B      -2.6268     -2.0000         -0.6268  16.0000  18.6268\n" in shown
    assert "A - B  +1.2149     +2.0000         -0.7851\n" in shown
    assert (
        "Of the two, sums of raw logits would pick ‘␣B B’, 16.00 over 10.00: the other one." in said
    )
    assert bars_in(shown) == ["+1.000", "-1.099", "+1.314", "+1.215"]
    assert "A  ␣A│␣A│\nB  ␣B│␣B│\n" in shown


def test_worked_example_in_full() -> None:
    """The value behind that view has the figures that EXPLAIN.md gives, to the last digit."""
    value = worked_example()
    assert value.gap == pytest.approx(1.2148946116, abs=1e-9)
    assert value.fork is not None
    assert value.fork.gap_at_fork == 1.0
    assert math.fsum(bar.contribution for bar in largest(value)) == pytest.approx(
        value.gap, abs=1e-9
    )
    assert [split.logit_gap_sum for split in value.splits] == [0.0, 2.0]
    unsure = [split.top_surprisal_sum for split in value.splits]
    assert unsure == pytest.approx([1.4119071656, 0.6268017773], abs=1e-9)
    assert [split.logit for split in value.splits] == [10.0, 16.0]


def test_what_a_reader_asks_comes_in_order() -> None:
    """Verdict, parting, rules, waterfall, split, strips, tokens, influence, others, source."""
    shown = printed(explanation(three()), 100)
    heads = (
        "Prompt  The cat",
        "A  ␣warm mat\n",
        "‘␣warm mat’ beats",
        "They fork at token 2",
        "Who is first under each rule",
        "≠ ‘␣warm moon.’: per_char",
        "Where the gap comes from",
        "What decides",
        "From where they part",
        "Tokens of A",
        "Tokens of B",
        "What each part of the prompt does",
        "A against every other candidate",
        "log Pr: natural log (nats)",
        "Numerical noise of the gap",
        "builtin · float32",
    )
    places = [shown.index(head) for head in heads]
    assert places == sorted(places)


@settings(max_examples=60, deadline=None)
@given(numbers=NUMBERS)
def test_printed_bars_are_those_of_the_value(numbers: Numbers) -> None:
    """The waterfall's contributions sum to the gap, and it prints each of them, rounded."""
    value = of_numbers(numbers)
    bars = largest(value)
    assert math.fsum(bar.contribution for bar in bars) == pytest.approx(value.gap, abs=1e-9)
    shown = printed(explanation(value), 120)
    figures = [*(bar.contribution for bar in bars), value.gap]
    # A contribution under a thousandth is written as a power of ten.
    written = [signed(number) for number in figures]
    assert bars_in(shown) == [text for text in written if "e" not in text]


@settings(max_examples=30, deadline=None)
@given(numbers=NUMBERS, width=st.integers(60, 200))
def test_figures_of_the_waterfall_end_in_one_column(numbers: Numbers, width: int) -> None:
    """Signed numbers align, whatever the width and the lengths of the labels."""
    value = of_numbers(numbers)
    shown = printed(explanation(value), width)
    lines = shown.splitlines()
    begin = next(i for i, line in enumerate(lines) if line.startswith("Where the gap comes from"))
    rows = [match for line in lines[begin:] if (match := BARS.search(line))][: len(largest(value))]
    assert len({match.end(1) for match in rows}) == 1


def test_bars_begin_where_others_end() -> None:
    """The bars of worked example 1 float: up to 1, back to −0.1, up to the gap."""
    shown = printed(explanation(worked_example()))
    fork, back, up, gap = (
        next(line for line in shown.splitlines() if line.startswith(head))
        for head in ("fork ", "A 2 ", "B 2 ", "gap ")
    )
    assert fork.index("█") == gap.index("█")
    assert back.index("▒") == up.index("█") < fork.index("█")
    assert len(back) == len(fork)
    assert len(up) == len(gap)


def test_strips_align_by_bytes() -> None:
    """After the fork what stands under each other begins at the same byte, not the same token."""
    first = a_candidate([" a", " new", " cat", "!"], [-1.0] * 4)
    second = a_candidate([" a", " n", "e", "w", " dog"], [-2.0] * 5, ids=(0, 5, 6, 7, 8), index=1)
    lines = printed(explanation(an_explanation(first, second)), 100).splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith("From where they part"))
    one, two = lines[at + 1 : at + 3]
    assert one == "A  The a│␣new│  ␣cat│!│"
    assert two == "B  The a│␣n│e│w│␣dog│"


def test_strips_go_on_in_further_rows() -> None:
    """Long candidates go on under each other, and what is left out is counted."""
    texts = [f" w{place:02}" for place in range(90)]
    first = a_candidate(texts, [-1.0] * 90)
    second = a_candidate(texts, [-1.5] * 90, index=1, ids=range(100, 190))
    shown = printed(explanation(an_explanation(first, second)), 80)
    rows = [line for line in shown.splitlines() if re.match("[AB]  .*│$", line)]
    assert len(rows) == 8
    assert "and more of them: --html\n" in shown
    assert all(one[3:] == two[3:] for one, two in zip(rows[::2], rows[1::2], strict=True))


def test_long_candidates_show_their_tokens_from_the_fork_on() -> None:
    """Of long candidates twelve tokens are listed, and the rest is said to be elsewhere."""
    texts = [f" w{place:02}" for place in range(40)]
    first = a_candidate(texts, [-1.0] * 40)
    second = a_candidate(
        texts, [*[-1.0] * 20, *[-2.0] * 20], index=1, ids=[*range(20), *range(90, 110)]
    )
    shown = printed(explanation(an_explanation(first, second)), 100)
    assert "Tokens of B, from token 21 on\n" in shown
    assert shown.count("… and 8 more tokens: --json or --html\n") == 2
    assert shown.count("\n32  ␣w31") == 2
    assert "\n33  " not in shown


def test_end_is_a_word_of_ours() -> None:
    """Under stop, END is an outcome with a row, a place in the strip and its own evidence."""
    first = a_candidate([" a"], [-1.0], end=-0.5)
    second = a_candidate([" a", "b"], [-1.0, -2.0], index=1, ids=(0, 9), end=-0.25)
    shown = printed(explanation(an_explanation(first, second, end="stop")), 100)
    assert "They fork at token 2: END against ‘b’" in shown
    assert "A  The a│END│\nB  The a│b│  END│\n" in shown
    row = next(line for line in shown.splitlines() if line.startswith("2  END"))
    assert " ".join(row.split()) == "2 END – -0.5000 0.4000 0.1000 1.0000 3.0000 2 #9"


def test_without_evidence_there_is_no_split() -> None:
    """A ranking without evidence is explained by what is known of it."""
    blank = dict.fromkeys(
        ("logit", "logz", "rank", "top_id", "top_logit", "top_logprob", "entropy", "alternatives")
    )
    first = replace(a_candidate([" a"], [-1.0]), **blank)  # type: ignore[arg-type]
    second = replace(a_candidate([" b"], [-2.0], index=1), **blank)  # type: ignore[arg-type]
    shown = printed(explanation(an_explanation(first, second)), 100)
    assert "What decides" not in shown
    assert "favourite" not in shown
    assert bars_in(shown) == ["+1.000", "+1.000"]


def test_probability_zero() -> None:
    """An impossible candidate has an infinite bar without a drawing, and the view says why."""
    first = a_candidate([" a", "c"], [-1.0, -1.0])
    second = a_candidate([" b", "d"], [-1.5, -math.inf], index=1)
    shown = printed(explanation(an_explanation(first, second)), 100)
    assert "‘␣ac’ beats ‘␣bd’, which has probability 0.\n" in shown
    assert re.search(r"^B 2 ‘d’ +\+inf$", shown, re.MULTILINE)
    assert re.search(r"^gap +\+inf$", shown, re.MULTILINE)
    assert "! impossible: " in shown


def test_two_impossible_candidates() -> None:
    """Two candidates of probability 0 are equal; nothing is divided by nothing."""
    first = a_candidate([" a"] * 12, [-math.inf] * 12)
    second = a_candidate([" b"] * 12, [-math.inf] * 12, index=1)
    shown = printed(explanation(an_explanation(first, second)), 100)
    assert "have the same log Pr.\n" in shown
    assert re.search(r"^gap +\+0\.000", shown, re.MULTILINE)


def test_tie() -> None:
    """A gap within the noise is no lead."""
    first = replace(a_candidate([" a"], [-1.0]), noise=1e-3)
    second = replace(a_candidate([" b"], [-1.0005], index=1), noise=1e-3)
    shown = " ".join(printed(explanation(an_explanation(first, second))).split())
    assert "within the numerical noise of 0.002: neither leads." in shown
    assert "Numerical noise of the gap: 0.0020 nats." in shown


def test_another_rule_than_log_pr_is_said() -> None:
    """Who is first by another rule may be behind in log Pr, which is what is taken apart."""
    words = "The ranking is by per_token; what is explained is the gap in log Pr."
    value = of_text("x")
    assert words not in " ".join(printed(explanation(value)).split())
    other = replace(value, ranking=replace(value.ranking, rule="per_token"))
    assert words in " ".join(printed(explanation(other)).split())
    assert words.replace("_", "\\_") in markdown(other)
    assert words in explanation_page(other)


def test_ids_without_texts_are_cut() -> None:
    """A sentence names a candidate of a thousand ids by the first of them."""
    value = of_text("x")
    bare = tuple(
        replace(score, text=None, token_ids=(7,) * 1000) for score in value.ranking.candidates
    )
    cut = replace(value, ranking=replace(value.ranking, candidates=bare))
    assert max(map(len, markdown(cut).splitlines())) < 600
    assert "(ids 7 7" in "".join(map(str, names(cut)[0]))
    assert len("".join(map(str, names(cut)[0]))) < 120


def test_many_candidates() -> None:
    """Sixty-four candidates: the closest twenty are listed, the others counted."""
    scores = [a_candidate([f" c{i}"], [-1.0 - i], index=i) for i in range(64)]
    value = an_explanation(scores[0], scores[1], candidates=tuple(scores), order=tuple(range(64)))
    shown = printed(explanation(value), 80)
    assert "A against every other candidate, the smallest gap first\n" in shown
    assert re.search(r"^␣c20 +\+20\.000", shown, re.MULTILINE)
    assert "… and 43 more candidates: --json or --html\n" in shown


def test_warnings_once_each() -> None:
    """A warning that ranking and candidates share is shown once."""
    value = of_text("x")
    both = replace(value, ranking=replace(value.ranking, warnings=value.warnings))
    assert warnings(both) == ("lossy: x",)
    assert printed(explanation(both)).count("! lossy: x\n") == 1


def test_influence_that_could_not_be_had() -> None:
    """A part that cannot be left out says why, and has dashes for numbers."""
    value = three()
    part = replace(value.influence[0], moved=(), gap=None, note="nothing is left of the prompt")
    shown = printed(explanation(replace(value, influence=(part,))), 100)
    assert re.search(r"^sentence 1  The cat sat.␣ +– +– +–$", shown, re.MULTILINE)
    assert "sentence 1: nothing is left of the prompt\n" in shown


def views(text: str) -> RenderableType:
    """Return the view of an explanation with `text` wherever a text can stand."""
    return explanation(of_text(text))


def files(text: str) -> RenderableType:
    """Return the view of a file's decisions with `text` wherever a text can stand."""
    return decisions(decisions_of([of_text(text).ranking]))


VIEWS = pytest.mark.parametrize("view", [views, files])


@VIEWS
@settings(max_examples=40, deadline=None)
@given(text=TEXTS, width=st.sampled_from((24, 60, 80, 200)))
def test_nothing_reaches_the_terminal_but_characters(
    view: Callable[[str], RenderableType], text: str, width: int
) -> None:
    """Output has no control character, keeps within its width, and closes what it isolates."""
    for line in printed(view(text), width).splitlines():
        assert line.replace(ISOLATE, "").replace(POP, "").isprintable()
        assert cell_len(line) <= width
        assert line.count(ISOLATE) == line.count(POP)


@VIEWS
@settings(max_examples=20, deadline=None)
@given(text=TEXTS)
def test_a_coloured_terminal_gets_only_our_styles(
    view: Callable[[str], RenderableType], text: str
) -> None:
    """With colour, the only escape sequences are styles."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", printed(view(text), colour=True))
    assert plain.replace(ISOLATE, "").replace(POP, "").replace("\n", "").isprintable()


@VIEWS
@settings(max_examples=20, deadline=None)
@given(text=TEXTS)
def test_ascii_consoles_get_ascii(view: Callable[[str], RenderableType], text: str) -> None:
    """Where the output's encoding is not UTF-8, every text is escaped."""
    assert printed(view(text), encoding="ascii").replace("\n", "").isprintable()


def test_signs_are_seen_without_colour() -> None:
    """No escape sequence without a terminal; bars up and down differ by their characters."""
    shown = printed(explanation(worked_example()))
    assert "\x1b" not in shown
    assert "█" in shown
    assert "▒" in shown
    ascii_only = printed(explanation(worked_example()), encoding="ascii")
    assert re.search(r"-1\.099 +-+$", ascii_only, re.MULTILINE)
    assert re.search(r"\+1\.314 +\++$", ascii_only, re.MULTILINE)


def test_the_shades_have_a_legend() -> None:
    """With colour the strips are shaded by surprisal, and that is said; without, neither."""
    shown = printed(explanation(worked_example()), colour=True)
    assert "The shade is -log Pr of a token, from 0 to 10 nats." in shown
    assert re.search(r"\x1b\[38;2;0;0;0;48;2;[\d;]+m␣B", shown)
    assert "shade" not in printed(explanation(worked_example()))


def test_right_to_left_texts_keep_to_themselves() -> None:
    """Hebrew tokens are isolated, each for itself, so that strips and tables stay in order."""
    shown = printed(explanation(of_text("שלום")), 100)
    assert f"A  {ISOLATE}שלום{POP}│{ISOLATE}שלום{POP}│{ISOLATE}שלום{POP}│\n" in shown


def test_values_show_themselves() -> None:
    """Rich prints the values through their own views."""
    value = worked_example()
    assert printed(value) == printed(explanation(value))
    found = decisions_of([value.ranking])
    assert printed(found) == printed(decisions(found))


def a_file() -> Decisions:
    """Return the decisions of a file of twelve rankings."""
    ranking = three().ranking
    return decisions_of(
        [replace(ranking, id=f"q{place}", label=0 if place else 1) for place in range(12)]
    )


def test_decisions() -> None:
    """Totals, labels, flips and lengths under each rule, then the most surprising ten."""
    shown = printed(decisions(a_file()), 100)
    assert "12 rankings by log Pr.\n" in shown
    assert "The label is first in 11 of 12 (91.7%).\n" in shown
    assert "per_char          12  100.0%               3.00\n" in shown
    assert "logprob            0    0.0%               3.00\n" in shown
    assert "All candidates have 3.33 tokens on average.\n" in shown
    rows = [line for line in shown.splitlines() if re.match(r"q\d", line)]
    assert len(rows) == 10
    assert rows[0].startswith("q0 ")
    assert "not the label, 3 rules flip" in rows[0]
    assert "… and 2 more: --json or --html\n" in shown
    assert "builtin · float32" in shown


def test_decisions_without_ids_and_texts() -> None:
    """A record is called by its number from 0, and no number stands for a text."""
    ranking = three().ranking
    bare = tuple(replace(score, text=None) for score in ranking.candidates)
    shown = printed(decisions(decisions_of([replace(ranking, id=None, candidates=bare)])), 80)
    (row,) = (line for line in shown.splitlines() if "rules flip" in line)
    assert row.split()[:3] == ["0", "–", "–"]


def test_decisions_without_labels_count_ties() -> None:
    """Without labels nothing is right or wrong; ties are counted and marked."""
    ranking = replace(three().ranking, tie=True)
    shown = printed(decisions(decisions_of([ranking])), 80)
    assert "1 ranking by log Pr; 1 tie within numerical noise.\n" in shown
    assert "The label" not in shown
    assert "tie, 3 rules flip" in shown


def test_the_end_stands_where_they_part() -> None:
    """Where END is the fork it is beside the other's token there, not under the other's END."""
    table = {
        "tokens": ["A", "B", "."],
        "end": ["."],
        "kind": "probs",
        "rows": {"": [1, 0, 0], "A": [0, 0.6, 0.4], "A B": [0, 0, 1]},
    }
    model = TableModel.from_dict(table)
    ranking = logpr.rank(
        prompt_ids=[], candidate_ids=[[0, 1], [0]], model=model, end="stop", evidence=True
    )
    shown = printed(explanation(logpr.explain(ranking)))
    first = next(line for line in shown.splitlines() if line.startswith("A  ") and "END" in line)
    second = next(line for line in shown.splitlines() if line.startswith("B  ") and "END" in line)
    assert first.count("│") == 3
    assert [each.strip() for each in first[3:].split("│")][1:3] == ["␣B", "END"]
    assert [each.strip() for each in second[3:].split("│")][1:] == ["END", ""]
    # Both begin where the fork is.
    assert first.index("␣B") == second.index("END")
