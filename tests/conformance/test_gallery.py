"""The gallery: each script says what it ran, its report lies beside it, and findings reproduce."""

from __future__ import annotations

import ast
import re
import runpy
import sys
import warnings
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

from logpr.conformance import write_folder
from logpr.conformance.adapters import ADAPTERS
from logpr.conformance.toy import toy

GALLERY = Path(__file__).parents[2] / "examples" / "gallery"
SCRIPTS = sorted(GALLERY.glob("check_*.py"))
FINDINGS = sorted(path for path in (GALLERY / "findings").glob("*.py") if path.stem != "folder")
PEERS = {
    "lm_eval": ("lm_eval", "0.4.13"),
    "minicons": ("minicons", "0.3.39"),
    "surprisal": ("surprisal", "0.1.7"),
    "transformers": ("transformers", "5.23.0"),
    "evaluate": ("evaluate", "0.4.6"),
    "llama_cpp": ("llama-cpp-python", "0.3.36"),
}


def peer(path: Path) -> tuple[str, str]:
    """Return the package and the version that a script is about."""
    stem = path.stem.removeprefix("check_")
    return next(found for name, found in PEERS.items() if stem.startswith(name))


def pinned(*names: str) -> None:
    """Skip where the versions of a finding are not those installed: others may have mended it."""
    for name in names:
        package, wanted = PEERS[name]
        try:
            found = version(package)
        except PackageNotFoundError:
            pytest.skip(f"{package} is not installed")
        if found != wanted:
            pytest.skip(f"the finding is of {package} {wanted}, and {found} is installed")


def printed(
    name: str, model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> tuple[list[float], str]:
    """Return the numbers that a finding prints behind its colons, and all it prints."""
    write_folder(toy(model), tmp_path)
    argv, sys.argv = sys.argv, [name, str(tmp_path)]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what a package says of its own future
            runpy.run_path(str(GALLERY / "findings" / f"{name}.py"))
    finally:
        sys.argv = argv
    out = capsys.readouterr().out
    return [float(number) for number in re.findall(r"-?\d+\.\d+", out)], out


@pytest.mark.parametrize("path", SCRIPTS + FINDINGS, ids=lambda path: path.stem)
def test_a_script_says_its_version(path: Path) -> None:
    """The first line of its docstring names the package and the version that was run."""
    title = (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").splitlines()[0]
    if path.stem == "check_logpr":
        return
    assert peer(path)[1] in title


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_a_report_lies_beside_each_script(path: Path) -> None:
    """One a mode, with what it was run on; the adapter's version is the script's."""
    reports = sorted(GALLERY.glob(f"{path.stem}*.txt"))
    assert reports
    if path.stem == "check_logpr":
        return
    for report in reports:
        text = report.read_text(encoding="utf-8")
        (target,) = re.findall(r"^  target +(\S+)$", text, re.MULTILINE)
        assert ADAPTERS[target].package.endswith(f"=={peer(path)[1]}")
        assert "33 checks: " in text


@pytest.mark.parametrize("path", FINDINGS, ids=lambda path: path.stem)
def test_a_finding_is_ten_lines_of_the_package_alone(path: Path) -> None:
    """No logpr in it, and no more than ten statements beside its imports."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    body = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.stmt) and not isinstance(node, (ast.Import, ast.ImportFrom))
    ]
    assert len(body) - 1 <= 10, "the docstring is the one more"
    assert not re.search(r"^(import|from) logpr", path.read_text(encoding="utf-8"), re.MULTILINE)
    assert path.name in (GALLERY / "README.md").read_text(encoding="utf-8")


def test_one_request_depends_on_another(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """lm-evaluation-harness: the second of two numbers moves, the first does not."""
    pinned("lm_eval")
    (first, second, alone, other), _ = printed("lm_eval_shared_row", "toy", tmp_path, capsys)
    assert first == pytest.approx(alone, abs=1e-9)
    assert abs(second - other) > 1


def test_a_letter_is_not_fed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """lm-evaluation-harness: two texts, one number, one row of ids."""
    pinned("lm_eval")
    (first, second), out = printed("lm_eval_lost_letter", "toy", tmp_path, capsys)
    assert first == second
    assert out.count("([9, 0], [3])") == 2


def test_half_precision_is_in_the_softmax(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """lm-evaluation-harness: the closed form is that of softmax_dtype=float32."""
    pinned("lm_eval")
    (low, _, high, _), _ = printed("lm_eval_half_precision", "halves", tmp_path, capsys)
    truth = toy("halves").truth((toy("halves").pieces.start_id, 3), (0,)).logprob
    assert high == pytest.approx(truth, abs=1e-6)
    assert abs(low - truth) > 1e-4


def test_the_page_counts_no_token_of_a_window(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """transformers: with a stride of 1, nothing but the first window is counted."""
    pinned("transformers")
    (page, whole), out = printed("transformers_perplexity_stride", "toy", tmp_path, capsys)
    assert "counts 7 tokens" in out
    assert "are of 16 tokens" in out
    one = toy("toy")
    ids = (one.pieces.start_id, *one.pieces.encode("dabcdabbacdcabdbcaddab"))
    first = one.truth(ids[:1], ids[1:8]).logprob
    later = [one.truth(ids[at - 7 : at], ids[at : at + 1]).logprob for at in range(8, len(ids))]
    assert page == pytest.approx(-first, abs=1e-4)
    assert whole == pytest.approx(-first - sum(later), abs=1e-3)


def test_nothing_is_left_of_a_merged_candidate(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """minicons: a sum over no token, and a mean over none."""
    pinned("minicons")
    _, out = printed("minicons_no_token", "toy", tmp_path, capsys)
    assert "summed [0.0] and by default [nan]" in out


def test_an_empty_prefix_reads_other_rows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """minicons: what it says of a text by itself is the closed form, behind an empty prefix not."""
    pinned("minicons")
    numbers, _ = printed("minicons_empty_prefix", "startless", tmp_path, capsys)
    ids = toy("startless").pieces.encode("dab")
    assert numbers[1] == pytest.approx(toy("startless").truth(ids[:1], ids[1:]).logprob, abs=1e-9)
    assert abs(numbers[0] - numbers[1]) > 1


def test_surprisals_are_low_by_the_end_tokens_share(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """surprisal: what is missing is −log(1 − Pr(end)), and −log Pr is the closed form."""
    pinned("surprisal", "transformers")
    (given, whole, share), _ = printed("surprisal_end_token", "startless", tmp_path, capsys)
    one = toy("startless")
    truth = one.truth((one.pieces.start_id,), one.pieces.encode("d")).logprob
    assert whole == pytest.approx(-truth, abs=1e-4)
    assert whole - given == pytest.approx(share, abs=1e-4)


def test_two_start_tokens_are_fed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """surprisal: by default, where the tokenizer adds one."""
    pinned("surprisal")
    _, out = printed("surprisal_two_start_tokens", "toy", tmp_path, capsys)
    assert "['<s>', '<s>', 'd', 'ab']" in out
