"""`python -m logpr.integrations.lm_eval` where lm-evaluation-harness is not installed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SAYS = "lm-evaluation-harness is needed (No module named 'lm_eval'): pip install \"logpr[lm-eval]\""


@pytest.fixture
def without(tmp_path: Path) -> Path:
    """Return a folder to start Python in, where the harness cannot be imported."""
    blocked = "raise ModuleNotFoundError(\"No module named 'lm_eval'\", name='lm_eval')\n"
    (tmp_path / "lm_eval.py").write_text(blocked)
    return tmp_path


def python(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python in a folder, which is the first that it imports from."""
    return subprocess.run(
        [sys.executable, *arguments], cwd=folder, capture_output=True, encoding="utf-8", check=False
    )


def test_the_command_says_what_to_install(without: Path) -> None:
    """One line as of logpr's own commands, and their exit code for what is not installed."""
    done = python(without, "-m", "logpr.integrations.lm_eval", "--model", "logpr")
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"logpr: {SAYS}\n")


def test_the_model_says_what_to_install(without: Path) -> None:
    """In Python it is an ImportError of logpr's, at the name that cannot be had."""
    program = (
        "from logpr.errors import MissingExtraError\n"
        "try:\n"
        "    from logpr.integrations.lm_eval import LogprLM\n"
        "except MissingExtraError as error:\n"
        "    print(error)\n"
        "import logpr.integrations.lm_eval as plugin\n"
        "print(hasattr(plugin, 'Logpr'))\n"
    )
    done = python(without, "-c", program)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{SAYS}\nFalse\n", "")
