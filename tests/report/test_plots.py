"""The pictures of an explanation: PNG and SVG, equal bytes for equal values, text as data."""

from __future__ import annotations

import importlib
import math
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from logpr._values import Explanation
from logpr.errors import MissingExtraError, QueryError
from logpr.report.numbers import signed
from logpr.report.texts import ISOLATE, POP
from logpr.report.words.explanation import largest
from tests.report.explained import (
    a_candidate,
    an_explanation,
    of_text,
    three,
    worked_example,
)

mpl = pytest.importorskip("matplotlib", reason='pip install "logpr[plot]"')
plots = importlib.import_module("logpr.report.plots")

SVG = "{http://www.w3.org/2000/svg}"
PARTS = pytest.mark.parametrize("name", ["waterfall", "curves", "explanation_plot"])


def texts(path: Path) -> list[str]:
    """Return the texts of an SVG, in the order in which they are drawn."""
    root = ET.fromstring(path.read_text("utf-8"))  # noqa: S314 - what was just written here
    return ["".join(item.itertext()) for item in root.iter(f"{SVG}text")]


def size_of(png: bytes) -> tuple[int, int]:
    """Return width and height of a PNG."""
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    return int.from_bytes(png[16:20]), int.from_bytes(png[20:24])


def test_worked_example(tmp_path: Path) -> None:
    """The picture of worked example 1 has its verdict, its bars and both log-probabilities."""
    plots.explanation_plot(worked_example(), tmp_path / "one.svg")
    found = texts(tmp_path / "one.svg")
    assert "‘␣A A’ beats ‘␣B B’ by 1.215 nats (3.37×)." in found
    assert (
        "They fork at token 1: ‘␣A’ against ‘␣B’; the fork gives +1.000, the tails +0.215." in found
    )
    assert (
        "Of the two, sums of raw logits would pick ‘␣B B’, 16.00 over 10.00: the other one."
        in found
    )
    assert {"fork ‘␣A’ against ‘␣B’", "A 2 ‘␣A’", "B 2 ‘␣B’", "gap"} <= set(found)
    assert [each for each in found if each in ("+1.000", "-1.099", "+1.314", "+1.215")] == [
        "+1.000", "-1.099", "+1.314", "+1.215",
    ]  # fmt: skip
    assert {"A ‘␣A A’: log Pr -1.412", "B ‘␣B B’: log Pr -2.627"} <= set(found)


def test_every_bar_has_its_number(tmp_path: Path) -> None:
    """Each bar of the waterfall is written beside it, and the bars sum to the gap."""
    first = a_candidate([f" a{i}" for i in range(20)], [-0.25 * i for i in range(20)])
    second = a_candidate([f" b{i}" for i in range(20)], [-0.2 * i for i in range(20)], index=1)
    value = an_explanation(first, second)
    plots.waterfall(value, tmp_path / "w.svg")
    found = texts(tmp_path / "w.svg")
    bars = largest(value)
    assert math.fsum(bar.contribution for bar in bars) == pytest.approx(value.gap, abs=1e-9)
    for number in (*(bar.contribution for bar in bars), value.gap):
        assert signed(number) in found
    assert not any("log Pr" in each for each in found)


@PARTS
@pytest.mark.parametrize("kind", ["png", "svg"])
def test_equal_values_give_equal_bytes(
    name: str, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A value read back from JSON gives the same file, on another day and under another style."""
    draw: Callable[[Explanation, Path], None] = getattr(plots, name)
    value = three()
    draw(value, tmp_path / f"one.{kind}")
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1000000000")
    with mpl.rc_context({"font.size": 30, "axes.facecolor": "pink", "svg.hashsalt": "other"}):
        before = dict(mpl.rcParams)
        draw(Explanation.from_json(value.to_json()), tmp_path / f"two.{kind}")
        assert dict(mpl.rcParams) == before
    one, two = (tmp_path.joinpath(f"{each}.{kind}").read_bytes() for each in ("one", "two"))
    assert one == two
    draw(replace(value, gap=value.gap + 1), tmp_path / f"three.{kind}")
    if name != "curves":
        assert tmp_path.joinpath(f"three.{kind}").read_bytes() != one


def test_a_png_has_some_size(tmp_path: Path) -> None:
    """A PNG is as wide as a page, and grows with what it holds."""
    plots.waterfall(worked_example(), str(tmp_path / "low.PNG"))
    plots.explanation_plot(worked_example(), tmp_path / "high.png")
    low, high = (size_of(tmp_path.joinpath(each).read_bytes()) for each in ("low.PNG", "high.png"))
    assert low[0] == high[0] == 1440
    assert low[1] < high[1] < 1440


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("$x_1$", "$x_1$"),
        ("a$b", "a$b"),
        (r"$\frac$", r"$\frac$"),
        ("a\nb\t", "a⏎b⇥"),
        ("<b>&amp;", "<b>&amp;"),
        ("\x1b[31m\x00", r"\x1b[31m\x00"),
        ("\udc80", "<0x80>"),
        ("\ud800\ufffe", r"\ud800\ufffe"),
        ("日本", "日本"),
        ("שלום", f"{ISOLATE}שלום{POP}"),
        ("_x", "_x"),
    ],
)
def test_texts_are_data(text: str, said: str, tmp_path: Path) -> None:
    """No formula, no markup, no control character: every token is written as what it is."""
    plots.explanation_plot(of_text(text), tmp_path / "p.svg")
    found = texts(tmp_path / "p.svg")
    assert f"A 2 ‘{said}’" in found
    assert any(each.startswith("B ‘") and f"{said}b’" in each for each in found) or ISOLATE in said


def test_a_png_draws_any_text(tmp_path: Path) -> None:
    """No text is a formula or a glyph that the font lacks: either would be a warning, an error."""
    plots.explanation_plot(of_text("$\\frac$ 日本 שלום \n\x1b\ud800"), tmp_path / "p.png")
    assert size_of(tmp_path.joinpath("p.png").read_bytes())[0] == 1440


def test_long_texts_are_cut(tmp_path: Path) -> None:
    """Candidates of two thousand tokens and long tokens leave room for the bars."""
    first = a_candidate(["a" * 50] * 2000, [-1.0] * 2000)
    second = a_candidate(["b" * 50] * 2000, [-1.5] * 2000, index=1)
    plots.explanation_plot(an_explanation(first, second), tmp_path / "long.svg")
    found = texts(tmp_path / "long.svg")
    assert f"fork ‘{'a' * 11}…’ against ‘{'b' * 11}…’" in found
    assert max(map(len, found)) < 110
    assert tmp_path.joinpath("long.svg").stat().st_size < 1_000_000


def test_impossible_candidates(tmp_path: Path) -> None:
    """What is infinite has its number and no bar; the line ends where it falls."""
    first = a_candidate([" a", "c"], [-1.0, -1.0])
    second = a_candidate([" b", "d"], [-1.5, -math.inf], index=1)
    plots.explanation_plot(an_explanation(first, second), tmp_path / "p.svg")
    found = texts(tmp_path / "p.svg")
    assert found.count("+inf") == 2
    assert "B ‘␣bd’: log Pr -inf (impossible further on)" in found
    third = a_candidate([" a"], [-math.inf])
    fourth = a_candidate([" b"], [-math.inf], index=1)
    plots.explanation_plot(an_explanation(third, fourth), tmp_path / "q.svg")
    assert "nan" in texts(tmp_path / "q.svg")


def test_without_bytes_there_are_no_curves(tmp_path: Path) -> None:
    """The picture is then the waterfall; the curves alone are refused, with the way out."""
    value = replace(worked_example(), curves=())
    plots.explanation_plot(value, tmp_path / "whole.svg")
    plots.waterfall(worked_example(), tmp_path / "fall.svg")
    assert tmp_path.joinpath("whole.svg").read_bytes() == tmp_path.joinpath("fall.svg").read_bytes()
    with pytest.raises(QueryError, match="draw the waterfall alone"):
        plots.curves(value, tmp_path / "c.svg")


def test_one_curve_keeps_its_letter(tmp_path: Path) -> None:
    """Where bytes are known of the second alone, the line is B's."""
    value = worked_example()
    plots.curves(replace(value, curves=value.curves[1:]), tmp_path / "c.svg")
    found = texts(tmp_path / "c.svg")
    assert any(each.startswith("B ‘␣B B’") for each in found)
    assert not any(each.startswith("A ‘") for each in found)


@PARTS
def test_other_formats_are_refused(name: str, tmp_path: Path) -> None:
    """A path that ends otherwise is an error with both ways out, and nothing is written."""
    path = tmp_path / "plot.pdf"
    with pytest.raises(QueryError, match=r"plot\.pdf' is no picture .*end it with \.png or \.svg"):
        getattr(plots, name)(worked_example(), path)
    assert not path.exists()


def test_without_matplotlib_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the library the error is the line that installs it."""
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.delitem(sys.modules, "logpr.report.plots")
    with pytest.raises(MissingExtraError, match=r'pip install "logpr\[plot\]"'):
        importlib.import_module("logpr.report.plots")


def test_no_screen_is_needed_or_touched(tmp_path: Path) -> None:
    """Drawing asks for no window and loads no pyplot, whatever backend is set."""
    program = (
        "import sys; from logpr.report import plots; from logpr._values import Explanation; "
        "plots.explanation_plot(Explanation.from_json(open(sys.argv[1]).read()), sys.argv[2]); "
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    source = tmp_path / "value.json"
    source.write_text(worked_example().to_json(), "utf-8")
    subprocess.run(
        [sys.executable, "-c", program, str(source), str(tmp_path / "p.png")],
        check=True,
        env={"MPLBACKEND": "tkagg", "PATH": "", "HOME": str(tmp_path)},
    )
    assert size_of((tmp_path / "p.png").read_bytes())[0] == 1440
