"""What docs/lm-eval.md shows is what is printed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip(
    "lm_eval", reason='lm-evaluation-harness is needed: pip install "logpr[lm-eval]"'
)

ROOT = Path(__file__).parents[2]


def test_the_documented_run_prints_the_documented_table(tmp_path: Path) -> None:
    """The example over six questions, as a clone's user types it, without torch."""
    page = (ROOT / "docs" / "lm-eval.md").read_text(encoding="utf-8")
    found = re.search(
        r"```sh\npython (-m \S.*builtin.*)\n```\n\n```text\n(.*?)```", page, re.DOTALL
    )
    assert found is not None
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    done = subprocess.run(
        [sys.executable, *found[1].split()],
        cwd=tmp_path,
        capture_output=True,
        encoding="utf-8",
        env={**os.environ, "HF_HOME": str(tmp_path)},  # so that no earlier run has left its data
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n\n")[0].rstrip() == found[2].rstrip()
