"""`logpr demo`: its numbers against arithmetic done here, and its sentences against its numbers."""

from __future__ import annotations

import json
import math
import re
import runpy
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

import logpr
from logpr.cli.demos import SUMMARIES, Name, story
from logpr.models.base import Predictive
from logpr.report.demo_page import page
from logpr.report.demo_picture import svg
from logpr.report.terminal import stories
from logpr.report.terminal import story as view
from tests.cli.conftest import Cli
from tests.report.printing import printed
from tests.report.test_html import Reader

ROOT = Path(__file__).parents[2]
NAMES: tuple[Name, ...] = get_args(Name)
EXACT = {"abs": 1e-12, "rel": 0}
pytestmark = pytest.mark.usefixtures("_once")

_TOLD: dict[str, Any] = {}


@pytest.fixture
def _once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compute each story once for this file: nothing in one depends on the console."""

    def kept(name: Name) -> Any:  # noqa: ANN401 - as it comes
        if name not in _TOLD:
            _TOLD[name] = story(name)
        return _TOLD[name]

    monkeypatch.setattr("logpr.cli.demo.story", kept)


class PageReader(Reader):
    """Knows the elements of a document that have no end."""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag, and close it where nothing else does."""
        super().handle_starttag(tag, attrs)
        if tag in {"meta", "img"}:
            self.handle_endtag(tag)


def numbers(cli: Cli, name: str) -> dict[str, Any]:
    """Return what --json says."""
    ran = cli("demo", name, "--json")
    assert ran.code == 0
    assert ran.record["demo"] == name
    found: dict[str, Any] = ran.record["numbers"]
    return found


def told(cli: Cli, name: str) -> str:
    """Return the story on one line."""
    ran = cli("demo", name)
    assert (ran.code, ran.err) == (0, "")
    return " ".join(ran.out.split())


def softmax(row: list[float]) -> list[float]:
    """Return the probabilities of a row."""
    total = math.fsum(map(math.exp, row))
    return [math.exp(u) / total for u in row]


def share(row: list[float]) -> list[float]:
    """Return u / Σu."""
    return [u / math.fsum(row) for u in row]


def logz(row: list[float]) -> float:
    """Return the log-normaliser of a row."""
    return math.log(math.fsum(map(math.exp, row)))


def test_the_list(cli: Cli) -> None:
    """Alone it lists them, a sentence each."""
    out = cli("demo").out
    for name in NAMES:
        assert re.search(rf"^{name} +[\w/].*\.$", out, re.MULTILINE)
    listed = cli("demo", "--json").record["demos"]
    assert [each["name"] for each in listed] == list(NAMES) == list(SUMMARIES)


def test_raw_logits_numbers(cli: Cli) -> None:
    """Example 1: 10 against 16, −1.4119 against −2.6268, and 1.2149 = 1.000 + 0.215."""
    found = numbers(cli, "raw-logits")
    start, after_b = [10.0, 9.0, 0.0], [8.0, 7.0, 0.0]
    true = [10 - logz(start) - math.log(3), 9 - logz(start) + 7 - logz(after_b)]
    assert found["raw_sums"] == [10.0, 16.0]
    assert found["logprobs"] == pytest.approx(true, **EXACT)
    assert [round(value, 4) for value in found["logprobs"]] == [-1.4119, -2.6268]
    assert (found["raw_pick"], found["pick"]) == ("B B", "A A")
    assert found["gap"] == pytest.approx(true[0] - true[1], **EXACT)
    assert round(found["gap"], 4) == 1.2149
    assert found["gap_at_fork"] == pytest.approx(1.0, **EXACT)
    assert round(found["gap_after"], 3) == 0.215
    assert found["gap_at_fork"] + found["gap_after"] == pytest.approx(found["gap"], **EXACT)
    assert found["gap_in_logit_gap"] == pytest.approx(2.0, **EXACT)
    assert round(found["gap_in_top_surprisal"], 4) == -0.7851


def test_raw_logits_words(cli: Cli) -> None:
    """A shift of one row moves the sums so far that they pick the other, and no probability."""
    found, words = numbers(cli, "raw-logits"), told(cli, "raw-logits")
    assert found["raw_sums_moved"] == [20.0, 16.0]
    assert found["logprobs_moved"] == pytest.approx(found["logprobs"], **EXACT)
    assert "‘B B’ is picked, 16 over 10." in words
    assert "Now the sums pick ‘A A’." in words
    assert "‘A A’ beats ‘B B’ by 1.2149 nats (3.37×): +1.000 at the fork, +0.215 after it." in words
    assert "+2.000 since the tokens of ‘B B’ are farther" in words
    assert "-0.785 since the model was less sure on the way of ‘A A’" in words


def test_greedy(cli: Cli) -> None:
    """Example 2: −2.4 against −2.3; the greedy path gains at the fork and loses on the total."""
    found, words = numbers(cli, "greedy"), told(cli, "greedy")
    totals = dict(zip(found["replies"], found["logprobs"], strict=True))
    assert (found["greedy"], found["pick"]) == ("warm mat", "plush rug")
    assert found["greedy_logprobs"] == [-0.9, -1.5]
    assert totals["warm mat"] == pytest.approx(-0.9 - 1.5, **EXACT)
    assert totals["plush rug"] == pytest.approx(-1.2 - 1.1, **EXACT)
    assert max(totals, key=totals.__getitem__) == "plush rug"
    assert found["gap"] == pytest.approx(0.1, **EXACT)
    assert found["gap_at_fork"] == pytest.approx(-0.3, **EXACT)
    assert found["gap_after"] == pytest.approx(0.4, **EXACT)
    assert "Of these four ‘plush rug’ is the best, -2.3 over -2.4." in words
    assert "(1.11×): -0.300 at the fork, +0.400 after it." in words


def test_linear_against_softmax(cli: Cli) -> None:
    """Example 3: exp over the sum of exp; a shift and a raised logit."""
    found, words = numbers(cli, "linear"), told(cli, "linear")
    plain = [2.0, 1.0, 0.1]
    assert found["softmax"] == pytest.approx(softmax(plain), **EXACT)
    assert [round(prob, 3) for prob in found["softmax"]] == [0.659, 0.242, 0.099]
    assert found["linear"] == pytest.approx(share(plain), **EXACT)
    assert sorted(found["linear"]) == sorted(found["linear"], reverse=True)[::-1]
    assert found["softmax_moved"] == pytest.approx(found["softmax"], **EXACT)
    assert found["linear_moved"] == pytest.approx(share([12.0, 11.0, 10.1]), **EXACT)
    assert round(found["softmax_peaked"][0], 3) == 0.945
    before, after = found["softmax_raised"]
    assert after == pytest.approx(softmax([4.0, 4.0, 12.0]), **EXACT)
    assert after[0] / after[1] == before[0] / before[1] == 1.0
    assert after[0] < 0.001 < before[0]
    assert "softmax of 2, 1, 0.1 is 0.659, 0.242, 0.099." in words
    assert "u / Σu leaves them 20.0% each" in words
    assert "the first has 94.5%, by u / Σu 60.0%" in words


def test_linear_breaks(cli: Cli) -> None:
    """Example 6: over 0.99, a negative sum, and a product of two negative factors."""
    found, words = numbers(cli, "linear"), told(cli, "linear")
    sure, negative = [1.0, 0.004, 0.004], [-3.0, -1.0, -1.0]
    assert found["linear_sure"] == pytest.approx(share(sure), **EXACT)
    assert found["linear_sure"][0] > 0.99
    assert found["softmax_sure"] == pytest.approx(softmax(sure), **EXACT)
    # The list of demos states it too.
    assert f"{found['softmax_sure'][0]:.2f}" in SUMMARIES["linear"]
    assert found["negative_sum"] < 0
    assert found["linear_negative"] == pytest.approx(share(negative), **EXACT)
    assert int(np.argmax(found["linear_negative"])) == int(np.argmin(negative))
    assert found["softmax_negative"] == pytest.approx(softmax(negative), **EXACT)
    factors = [-1.0 / 2.0, -0.8 / 1.6]
    assert found["factors"] == pytest.approx(factors, **EXACT)
    assert found["product"] == pytest.approx(math.prod(factors), **EXACT)
    assert found["product_log_of_other"] == "NaN"
    first, second = softmax([3.0, -1.0, 0.0]), softmax([2.0, -0.8, 0.4])
    assert found["probs"] == pytest.approx([first[1] * second[1], first[1] * second[0]], **EXACT)
    assert found["probs"][1] > found["probs"][0]
    assert (found["verdict"], found["faults"]) == ("fault", ["linear_normalisation"])
    assert found["explained_rows"] == found["rows_total"] == 6
    assert "0.9921 is claimed where softmax says 0.5751." in words
    assert "-3, -1, -1 sum to -5." in words


def test_lengths(cli: Cli) -> None:
    """Example 4, and the fewest cheap tokens after which the mean prefers the longer reply."""
    found, words = numbers(cli, "lengths"), told(cli, "lengths")
    assert found["logprobs"] == pytest.approx([-1.1, -3.6], **EXACT)
    assert found["per_token"] == pytest.approx([-0.55, -1.2], **EXACT)
    cheap, more = found["further_token"], found["further_tokens"]
    means = [(-3.6 + cheap * number) / (3 + number) for number in range(more + 1)]
    assert means[-1] > -0.55 > means[-2]
    assert found["per_token_further"] == pytest.approx([-0.55, means[-1]], **EXACT)
    assert found["logprobs_further"] == pytest.approx([-1.1, -3.6 + cheap * more], **EXACT)
    ends = found["end_logprobs"]
    assert found["logprobs_stop"] == pytest.approx([-1.1 + ends[0], -3.6 + ends[1]], **EXACT)
    assert found["pick_stop"] == 1
    assert found["margin_stop"] == pytest.approx(1.4, **EXACT)
    assert f"After {more} more tokens the mean prefers it." in words
    assert "from -3.60 to -3.80" in words
    assert "The longer reply wins by 1.4000 nats" in words


def test_shortlist_numbers(cli: Cli) -> None:
    """Example 5, computed once more from the model's rows: claims, masses, winners, flips."""
    found = numbers(cli, "shortlist")
    lm = logpr.load("builtin")
    assert isinstance(lm, Predictive)
    claims, excess, best, taken, steps = [], [], [], [], []
    first: list[float] = []
    later: list[float] = []
    for record in drawn():
        true = logpr.rank(record["prompt"], record["candidates"], model=lm)
        sums = []
        for score in true.candidates:
            context, tokens = score.prompt_ids or (), score.token_ids or ()
            rows = lm.next_logits([(*context, *tokens[:at]) for at in range(len(tokens))]).logprobs
            listed = np.argsort(-rows[0], kind="stable")[:50]
            masses = np.exp(rows[:, listed]).sum(axis=1)
            mine = [float(row[token]) for row, token in zip(rows, tokens, strict=True)]
            steps += [value - math.log(mass) for value, mass in zip(mine, masses, strict=True)]
            sums.append(math.fsum(steps[len(steps) - len(tokens) :]))
            first.append(float(masses[0]))
            later += masses[1:].tolist()
            excess.append((len(tokens), sums[-1] - (score.logprob or 0.0)))
        claims.append(sums)
        taken.append((int(np.argmax(sums)), true.candidates[int(np.argmax(sums))].tokens))
        best.append((true.best, true.candidates[true.best].tokens))
    assert found["decisions"] == len(claims) == 16
    assert found["flips"] == sum(one[0] != two[0] for one, two in zip(taken, best, strict=True)) > 8
    assert found["winners_list"] == [sum(each[0] == at for each in taken) for at in range(4)]
    assert found["winners"] == [sum(each[0] == at for each in best) for at in range(4)]
    assert found["mean_tokens_list"] == np.mean([size for _, size in taken])
    assert found["mean_tokens"] == np.mean([size for _, size in best])
    assert found["mean_tokens_list"] > 2 * found["mean_tokens"]
    assert (found["steps"], found["steps_above_0"]) == (len(steps), sum(v > 0 for v in steps))
    assert found["largest_step"] == pytest.approx(max(steps), abs=1e-4)
    assert found["mass_first"] == pytest.approx(float(np.median(first)), abs=1e-6)
    assert found["mass_later"] == pytest.approx(float(np.median(later)), abs=1e-6)
    # The numbers that are audited have four digits.
    slope = np.polyfit(*np.array(excess).T, 1)[0]
    assert found["nats_a_token"] == pytest.approx(slope, abs=1e-3)
    assert found["excess_less_mass"] < 1e-4
    assert found["verdict"] == "fault"
    assert found["faults"] == ["shortlist_without_target"]
    assert found["parameters"] == [{"per": "request", "k": 50}]


def test_shortlist_words(cli: Cli) -> None:
    """One step by hand is +1.69, and what is said is what was counted."""
    found, words = numbers(cli, "shortlist"), told(cli, "shortlist")
    assert found["one_step"] == pytest.approx(5 - logz([3.0, 2.0]), **EXACT)
    assert "Its score is +1.69:" in words
    assert f"{found['flips']} of {found['decisions']} decisions flip" in words
    assert f"{found['steps_above_0']} of {found['steps']} steps lie above 0" in words
    assert f"the claim rises over log Pr by {found['nats_a_token']:.2f} nats" in words
    assert "reproduced to the printed digits, 64 of 64" in words


def test_shortlist_texts_are_the_models_own() -> None:
    """The replies that ship are those that the example draws."""
    program = runpy.run_path(str(ROOT / "examples" / "shortlist_case.py"))
    fresh = program["rankings_of"](logpr.load("builtin"), "lengths", len(drawn()))
    assert [record["candidates"] for record in drawn()] == [
        [score.text for score in ranking.candidates] for ranking in fresh
    ]
    assert [record["prompt"] for record in drawn()] == [ranking.prompt for ranking in fresh]


def drawn() -> list[dict[str, Any]]:
    """Return the prompts and replies that ship."""
    text = (ROOT / "src/logpr/cli/demos/shortlist.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.parametrize("name", NAMES)
def test_every_console(cli: Cli, name: Name) -> None:
    """A story keeps to the width, needs no colour, and says all in ASCII where it must."""
    numbers(cli, name)
    shown = view(_TOLD[name])
    for width in (24, 40, 80, 120):
        assert max(map(len, printed(shown, width).splitlines())) <= width
    plain = printed(shown, 80, "ascii")
    assert "\\" not in plain
    assert "\x1b" in printed(shown, colour=True)
    assert "\x1b" not in printed(shown)
    for step in _TOLD[name].steps:
        assert step.heading in printed(shown)
    assert max(map(len, printed(stories(list(SUMMARIES.items())), 40).splitlines())) <= 40


@pytest.mark.parametrize("name", NAMES)
def test_pages_are_whole_and_keep_to_themselves(cli: Cli, tmp_path: Path, name: Name) -> None:
    """--html writes one document with the picture in it; it runs nothing and fetches nothing."""
    ran = cli("demo", name, "--html", "story.html")
    assert ran.code == 0
    assert "wrote the page to story.html" in ran.err
    written = (tmp_path / "story.html").read_text(encoding="utf-8")
    assert written == page(_TOLD[name])
    found = PageReader()
    found.feed(written)
    found.close()
    assert found.open == []
    assert written.lstrip().startswith("<!DOCTYPE html>")
    assert not {"script", "link", "iframe", "object", "base", "form", "image"} & set(found.tags)
    assert re.findall(r'src="(.{5})', written) == ["data:"]
    assert "url(" not in written
    assert "http" not in re.sub(r"<meta[^>]*>", "", written)
    assert found.tags.count("h1") == found.tags.count("main") == 1
    assert found.tags.count("caption") == found.tags.count("table") > 0
    words = " ".join("".join(found.words).split())
    for step in _TOLD[name].steps:
        assert all(" ".join(said.split()) in words for said in (*step.says, *step.after))
    assert _TOLD[name].lesson in words


@pytest.mark.parametrize("name", ["raw-logits", "greedy"])
def test_pages_end_with_the_explanation(cli: Cli, name: Name) -> None:
    """Where a gap is taken apart, the page shows the explanation in full."""
    numbers(cli, name)
    assert 'class="logpr' in page(_TOLD[name]).partition("in full</h2>")[2]


def test_the_picture_of_the_readme(cli: Cli, tmp_path: Path) -> None:
    """`logpr demo raw-logits --picture FILE.svg` draws it, byte for byte."""
    assert cli("demo", "raw-logits", "--picture", "fresh.svg").code == 0
    kept = ROOT / "docs" / "pictures" / "raw-logits.svg"
    assert (tmp_path / "fresh.svg").read_bytes() == kept.read_bytes()


@pytest.mark.parametrize("name", NAMES)
def test_pictures_mark_both_picks(cli: Cli, name: Name) -> None:
    """A picture marks one bar in each panel, the longest: the wrong way's and log Pr's."""
    numbers(cli, name)
    picture = _TOLD[name].picture
    drawing = svg(picture)
    assert drawing.count('<rect class="wrong"') == drawing.count('<rect class="right"') == 1
    for panel in (picture.wrong, picture.right):
        assert panel.bars[panel.best].share == max(bar.share for bar in panel.bars) == 1.0
    assert f"<title>{picture.title.replace('&', '&amp;')}</title>" in drawing


def test_what_is_refused(cli: Cli) -> None:
    """A page of no demo, no such demo, no such folder: exit code 2 and the way out."""
    ran = cli("demo", "--html", "x.html")
    assert ran.code == 2
    assert "--html is of one demo; name it: logpr demo raw-logits --html FILE" in ran.err
    ran = cli("demo", "raw")
    assert ran.code == 2
    assert "raw-logits" in ran.err
    ran = cli("demo", "greedy", "--picture", "none/here.svg")
    assert ran.code == 2
    assert "--picture none/here.svg: there is no folder none" in ran.err
