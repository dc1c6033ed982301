"""The documentation of the suite: a text for each check, and pages that say what is so."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from logpr.auditing.faults import FAULTS
from logpr.conformance.laws import LAWS
from logpr.conformance.matrix import CORRECT, MatrixRow, kill_matrix
from logpr.conformance.mutants import mutants

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
HEADINGS = ["What it says", "Why every scorer keeps it", "When it fails", "Mend", "Kills"]
LINK = re.compile(r"\]\(([\w./-]+)?(?:#([\w-]+))?\)")


def script(name: str) -> ModuleType:
    """Return a script as a module."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


SCRIPT = script("generate_check_pages")
CHECKS = (DOCS / "checks.md").read_text()
KEPT: dict[str, MatrixRow] = {row.mutant.id: row for row in SCRIPT.stored()}


def section(check: str) -> str:
    """Return a check's section of the page."""
    return CHECKS.split(f"\n## {check}\n", 1)[1].split("\n## ", 1)[0]


def anchors(path: Path) -> set[str]:
    """Return the places of a page that can be linked to."""
    heads = re.findall(r"^#+ (.*)$", path.read_text(), flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads}


def run(monkeypatch: pytest.MonkeyPatch, *options: str) -> int:
    """Run the script; return its exit code."""
    monkeypatch.setattr(sys, "argv", ["generate_check_pages.py", *options])
    code = SCRIPT.main()
    assert isinstance(code, int)
    return code


@pytest.fixture
def copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a copy of the documents that the script writes to."""
    docs = tmp_path / "docs"
    shutil.copytree(DOCS / "_checks", docs / "_checks")
    for name in ("checks.md", "kill-matrix.md", "kill-matrix.json"):
        shutil.copy(DOCS / name, docs / name)
    monkeypatch.setattr(SCRIPT, "DOCS", docs)
    monkeypatch.setattr(SCRIPT, "TEXTS", docs / "_checks")
    return docs


def test_every_check_has_a_text() -> None:
    """There are as many texts as checks, of the same names; those of the pages begin with _."""
    found = {path.stem for path in SCRIPT.TEXTS.glob("*.md") if not path.stem.startswith("_")}
    assert found == set(LAWS)


@pytest.mark.parametrize("check", LAWS)
class TestSection:
    """Each check's section."""

    def test_headings(self, check: str) -> None:
        """The headings are the same in every section, in one order."""
        found = re.findall(r"^\*\*([A-Z].*?)\.?\*\*", section(check), flags=re.MULTILINE)
        assert found == HEADINGS

    def test_says_what_the_suite_says(self, check: str) -> None:
        """Statement, severity, what it stands on and its models are those of the law."""
        law, text = LAWS[check], " ".join(section(check).split())
        assert f"> {law.statement} {law.severity}. For a factory" in text
        assert ("on its own model." in text) == law.own
        assert all(f"`{name}`" in text for name in (*law.models, *law.after))
        assert law.page == f"docs/checks.md#{check}"

    def test_kills_are_the_matrix(self, check: str) -> None:
        """What the section says of how many it kills is what was kept."""
        found = sum(check in row.killed_by for row in KEPT.values())
        assert f"**Kills** {found} of {len(KEPT) - 1}:" in section(check)

    def test_is_short(self, check: str) -> None:
        """A section is read at one look."""
        assert len(section(check).splitlines()) <= 60


def test_what_is_kept_is_whole() -> None:
    """An outcome is kept of every scorer and every check."""
    assert list(KEPT) == [CORRECT.id, *(mutant.id for mutant in mutants())]
    assert all(list(row.outcomes) == list(LAWS) for row in KEPT.values())


def test_what_is_kept_is_so() -> None:
    """A row that is run again comes out as it is kept."""
    chosen = [each for each in mutants() if each.id == "candidates_softmax"]
    for row in kill_matrix(chosen):
        assert row.outcomes == KEPT[row.mutant.id].outcomes


def test_matrix_page_tells_what_is_wrong() -> None:
    """A mutant alive, the correct scorer accused and an idle check are said, in bold."""
    rows = [
        MatrixRow(row.mutant, dict.fromkeys(LAWS, "failed" if name == "correct" else "passed"))
        for name, row in KEPT.items()
    ]
    told = " ".join(SCRIPT.matrix_page(rows).split())
    assert "**Not killed: [`bos_missing`](faults/bos_missing.md)," in told
    assert "**The correct scorer is accused by [`oracle`](checks.md#oracle)," in told
    assert "**Checks that kill nothing: [`oracle`](checks.md#oracle)," in told
    assert "**" not in SCRIPT.matrix_page(list(KEPT.values()))


def test_matrix_page_has_every_fault_and_check() -> None:
    """Each fault has a line of the grid and of a table; each check is named by what it kills."""
    told = SCRIPT.matrix_page(list(KEPT.values()))
    grid = told.split("```text\n")[1].split("```")[0].splitlines()
    assert [line.split()[0] for line in grid[2:]] == list(KEPT)
    width = len(grid[1]) - len(LAWS)
    for line, row in zip(grid[2:], KEPT.values(), strict=True):
        killed = [name for name, sign in zip(LAWS, line[width:], strict=False) if sign in "XE"]
        assert killed == list(row.killed_by)
    for fault in FAULTS:
        assert f"| [`{fault}`](faults/{fault}.md) |" in told
    for check in LAWS:
        assert f"[`{check}`](checks.md#{check})" in told


def test_rows_come_back_as_they_were_kept(copied: Path) -> None:
    """What is written is what is read."""
    rows = list(KEPT.values())
    (copied / "kill-matrix.json").write_text(SCRIPT.matrix_json(rows))
    assert [(row.mutant.id, row.outcomes) for row in SCRIPT.stored()] == [
        (row.mutant.id, row.outcomes) for row in rows
    ]


def test_pages_are_fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pages are what the generator writes."""
    assert run(monkeypatch, "--check") == 0


def test_picture_is_fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """The picture is what is kept, drawn; each killed fault is a square of its line."""
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    drawn = script("make_kill_matrix_picture").drawing()
    assert (DOCS / "pictures" / "kill-matrix.svg").read_text() == drawn
    squares = sum(len(row.killed_by) for row in KEPT.values())
    in_legend = 2
    assert len(re.findall(r'<rect class="(?:killed|alone)"', drawn)) == squares + in_legend


def test_stale_pages_are_found(
    copied: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A page that differs or is missing, and a text of no check, fail; writing mends the pages."""
    (copied / "checks.md").write_text("# Checks\n")
    (copied / "kill-matrix.md").unlink()
    (copied / "_checks" / "none_such.md").write_text("Room: t.\n")
    assert run(monkeypatch, "--check") == 1
    told = capsys.readouterr().err
    assert [line.split()[0] for line in told.splitlines()] == [
        "docs/checks.md",
        "docs/kill-matrix.md",
        "docs/_checks/none_such.md",
    ]
    (copied / "_checks" / "none_such.md").unlink()
    assert run(monkeypatch) == 0
    assert run(monkeypatch, "--check") == 0


def test_what_is_not_kept_is_found(
    copied: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A scorer without a row, and a check without a text, are named."""
    rows = [row for name, row in KEPT.items() if name != "mean"]
    (copied / "kill-matrix.json").write_text(SCRIPT.matrix_json(rows))
    assert run(monkeypatch, "--check") == 1
    assert "kill-matrix.json lacks mean; run: make kill-matrix" in capsys.readouterr().err
    (copied / "_checks" / "unit.md").unlink()
    assert run(monkeypatch, "--check") == 1
    assert "docs/_checks has no text of unit" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["check.md", "checks.md", "kill-matrix.md"])
def test_links_lead_somewhere(name: str) -> None:
    """Each link of a page names a page that is there, and a place on it."""
    page = DOCS / name
    for file, place in LINK.findall(page.read_text()):
        target = (DOCS / file) if file else page
        assert target.is_file(), (name, file)
        assert not place or place in anchors(target), (name, file, place)


def test_the_list_says_the_same() -> None:
    """`logpr check --list` prints each check's statement, as its section has it."""
    done = subprocess.run(
        [sys.executable, "-m", "logpr", "check", "--list", "--json"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for check, law in LAWS.items():
        assert f'"check": "{check}"' in done.stdout.replace('":"', '": "')
        assert law.statement.replace('"', '\\"') in done.stdout
