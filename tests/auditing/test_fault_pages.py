"""The documentation of the zoo: a text for each entry, and a page made of it whose example runs."""

from __future__ import annotations

import ast
import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from logpr.auditing.faults import FAULTS
from logpr.auditing.faults._texts import page, words

ROOT = Path(__file__).parents[2]
TEXTS = ROOT / "src" / "logpr" / "auditing" / "faults" / "texts"
PAGES = ROOT / "docs" / "faults"
PIECES = ("used", "use", "code", "shows", "sentence")
PLACE = re.compile(r"\{(\w+)\}")
LONGEST = 60


def generator() -> ModuleType:
    """Return the script that writes the pages, as a module."""
    path = ROOT / "scripts" / "generate_fault_pages.py"
    spec = importlib.util.spec_from_file_location("generate_fault_pages", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


SCRIPT = generator()


def under(fault: str, heading: str) -> str:
    """Return what stands under a heading of a page."""
    after = page(fault)[1].split(f"## {heading}\n", 1)[1]
    return after.split("\n## ", 1)[0].strip("\n")


def indented(section: str) -> list[str]:
    """Return the indented lines of a section, formulas and code."""
    return [line.strip() for line in section.splitlines() if line.startswith("    ")]


def example(fault: str) -> str:
    """Return the code of a page's example."""
    (block,) = re.findall(r"```python\n(.*?)```", page(fault)[1], flags=re.DOTALL)
    assert isinstance(block, str)
    return block


def test_every_entry_has_a_text() -> None:
    """There are as many texts as entries, of the same names."""
    assert sorted(path.stem for path in TEXTS.glob("*.md")) == sorted(FAULTS)


@pytest.mark.parametrize("fault", FAULTS)
class TestText:
    """Each entry's text."""

    def test_pieces_are_lines(self, fault: str) -> None:
        """Reports put the pieces into sentences and lists: none is empty or broken over lines."""
        text = words(fault)
        for name in PIECES:
            piece = getattr(text, name)
            assert piece == piece.strip()
            assert piece
            assert "\n" not in piece
            assert not piece.endswith(".")

    def test_code_is_python(self, fault: str) -> None:
        """The corrected line of code parses."""
        assert ast.parse(words(fault).code).body

    def test_placeholders_are_parameters(self, fault: str) -> None:
        """A piece has places for the entry's own parameters, and for nothing else."""
        text = words(fault)
        names = {spec.name for spec in FAULTS[fault].parameters}
        for piece in PIECES:
            assert names.issuperset(PLACE.findall(getattr(text, piece))), piece

    def test_parameters_are_explained(self, fault: str) -> None:
        """The text says of each parameter what it does: in the formula, or by name below it."""
        told = {*PLACE.findall(words(fault).used), *re.findall(r"`(\w+)[`=]", page(fault)[1])}
        assert told.issuperset(spec.name for spec in FAULTS[fault].parameters)

    def test_headings(self, fault: str) -> None:
        """The headings are the same four on every page, but for when a choice is right."""
        second = "Why it is wrong" if FAULTS[fault].kind == "fault" else "When it is right"
        found = re.findall(r"^##+ (.*)$", page(fault)[1], flags=re.MULTILINE)
        assert found == ["What it does", second, "Example", "Use instead"]

    def test_formulas_agree(self, fault: str) -> None:
        """The page shows the formulas and the code that reports use."""
        text = words(fault)
        assert indented(under(fault, "What it does")) == [SCRIPT.by_name(text.used)]
        assert indented(under(fault, "Use instead")) == [SCRIPT.by_name(text.use), text.code]

    def test_example_states_its_output(self, fault: str) -> None:
        """There is one example, it states what it prints, and a scorer in it has the fault."""
        block = example(fault)
        assert "\n# -> " in block
        assert "# -> ?" not in block
        if "faulty_scorer(" in block:
            assert f'faulty_scorer("{fault}"' in block


def test_parameters_by_name() -> None:
    """A page has the name of each parameter, or its sign, where a report has the value."""
    assert SCRIPT.by_name("u/{T} + {epsilon} in {dtype}") == "u/T + ε in ⟨dtype⟩"


def test_pages_are_short() -> None:
    """A page is read at one sitting."""
    lengths = {path.name: len(path.read_text().splitlines()) for path in PAGES.glob("*.md")}
    del lengths["index.md"]
    assert max(lengths.values()) <= LONGEST, lengths


def test_pages_are_fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pages are what the generator writes."""
    monkeypatch.setattr(sys, "argv", ["generate_fault_pages.py", "--check"])
    assert SCRIPT.main() == 0


def test_stale_pages_are_found(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A page that differs, is missing, or belongs to no entry fails the check; writing mends it."""
    monkeypatch.setattr(SCRIPT, "FOLDER", tmp_path / "faults")
    monkeypatch.setattr(sys, "argv", ["generate_fault_pages.py"])
    assert SCRIPT.main() == 0
    (SCRIPT.FOLDER / "mean.md").write_text("# `mean`\n")
    (SCRIPT.FOLDER / "unshifted.md").unlink()
    (SCRIPT.FOLDER / "none_such.md").write_text("# `none_such`\n")
    monkeypatch.setattr(sys, "argv", ["generate_fault_pages.py", "--check"])
    assert SCRIPT.main() == 1
    told = capsys.readouterr().err
    assert [line.split()[0] for line in told.splitlines()] == [
        "docs/faults/mean.md",
        "docs/faults/none_such.md",
        "docs/faults/unshifted.md",
    ]
    monkeypatch.setattr(sys, "argv", ["generate_fault_pages.py"])
    assert SCRIPT.main() == 0
    monkeypatch.setattr(sys, "argv", ["generate_fault_pages.py", "--check"])
    assert SCRIPT.main() == 0


def test_links_lead_somewhere() -> None:
    """Each link of a page to another names a page that is there."""
    for path in PAGES.glob("*.md"):
        for target in re.findall(r"\]\(([\w./]+\.md)\)", path.read_text()):
            assert (path.parent / target).is_file(), (path.name, target)


def test_examples_are_run() -> None:
    """Pytest collects the example of every page: what they state is checked with the documents."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-q", "-n", "0", str(PAGES)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    collected = {line.split("::")[0] for line in done.stdout.splitlines() if "::" in line}
    wanted = {f"docs/faults/{fault}.md" for fault in FAULTS}
    assert wanted <= collected, done.stdout + done.stderr
