"""What every test stands on: enforced axis names, fixed seeds, real data where there is any."""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Iterator
from pathlib import Path

import jaxtyping
import numpy as np
import pytest
from hypothesis import settings

from tests import checker

# Before logpr is imported: from here on its annotations are checked at every call, so that
# Float64[np.ndarray, "tokens vocab"] is a fact about the array that came.
assert "logpr" not in sys.modules, "logpr came before its import hook"
jaxtyping.jaxtyped = checker.jaxtyped  # type: ignore[assignment]  # what the hook writes calls it
jaxtyping.install_import_hook("logpr", f"{checker.__name__}.checked")

settings.register_profile("ci", deadline=None, derandomize=True, database=None, print_blob=True)
settings.register_profile("thorough", deadline=None, database=None, max_examples=2000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))

DATA = "LOGPR_TEST_DATA"


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Return the folder of real models, tokenizers and evaluation sets, or skip."""
    named = os.environ.get(DATA)
    if not named:
        pytest.skip(f"real models and evaluation sets are needed; set {DATA} to their folder")
    folder = Path(named)
    # A wrong path must not look like a machine without data.
    assert folder.is_dir(), f"{DATA}={named} is no folder"
    return folder


@pytest.fixture
def unchecked() -> Iterator[None]:
    """Call the package as users do, with no checker before its own: for cases of misuse."""
    jaxtyping.config.update("jaxtyping_disable", True)  # noqa: FBT003 - its signature
    yield
    jaxtyping.config.update("jaxtyping_disable", False)  # noqa: FBT003 - as above


@pytest.fixture
def rng() -> np.random.Generator:
    """Return a generator with a fixed seed."""
    return np.random.default_rng(0)


@pytest.fixture(autouse=True)
def _seeds() -> None:
    """Fix the global generators too: code under test may reach for them."""
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002 - the global one is the point
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)
