"""logpr is checked as anyone is: every law that applies, on each backend and executor."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import logpr
from logpr.conformance import LAWS, Declares
from logpr.conformance.adapters import ADAPTERS
from logpr.conformance.adapters.own import Own
from logpr.conformance.toy import Architecture

UNTELLABLE = {"logpr:cache", "logpr:mask", "logpr:forest"}
"""Asked for by name: on a model that no context changes logpr tells no executor right, and says so,
so that `order1` cannot be loaded. The executor that it chooses by itself there is `plain`."""

TEXTS = {"bos_once", "boundary", "trailing_space", "byte_round_trip", "unicode"}

RUNS: list[tuple[str, Architecture]] = [
    ("logpr", "gpt2"),
    ("logpr", "llama"),
    ("logpr:plain", "gpt2"),
    ("logpr:cache", "gpt2"),
    ("logpr:mask", "gpt2"),
    ("logpr:forest", "gpt2"),
    ("logpr:builtin", "llama"),
    ("logpr:table", "gpt2"),
    ("logpr:logits", "gpt2"),
]


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    """Keep small products off the thread pool."""
    torch = pytest.importorskip("torch")
    torch.set_num_threads(1)


def checked(name: str, architecture: Architecture, **changes: object) -> logpr.CheckReport:
    """Return the report of one adapter of logpr's own."""
    adapter = ADAPTERS[name]
    return logpr.check(
        factory=adapter.factory(),
        declares=replace(adapter.declares, **changes),  # type: ignore[arg-type] # as the test says
        architecture=architecture,
        name=name,
        skip=["prompt_excluded"] if name in UNTELLABLE else (),
        time_limit=300.0,
    )


@pytest.mark.parametrize(("name", "architecture"), RUNS)
def test_every_law_that_applies_is_kept(name: str, architecture: Architecture) -> None:
    """Of the whole suite nothing fails, and what does not apply is what cannot."""
    report = checked(name, architecture)
    assert (report.failures, report.errors, report.blocked, report.inconclusive) == ((), (), (), ())
    left_out = {"stop_mass"} | (TEXTS if ADAPTERS[name].declares.ids else set())
    assert set(report.not_applicable) == left_out
    asked = set(LAWS) - ({"prompt_excluded"} if name in UNTELLABLE else set())
    assert set(report.passed) == asked - left_out
    assert report.exit_code == 0


@pytest.mark.parametrize(("name", "architecture"), [("logpr", "gpt2"), ("logpr:builtin", "llama")])
def test_exact_outputs_keep_every_law(name: str, architecture: Architecture) -> None:
    """With END in the sum: `stop_mass` is told, the laws of open outputs do not apply."""
    report = checked(name, architecture, end="stop")
    assert (report.failures, report.errors, report.blocked, report.inconclusive) == ((), (), (), ())
    assert "stop_mass" in report.passed
    assert set(report.not_applicable) == {
        name for name, law in LAWS.items() if "stop" not in law.applies
    }


def test_an_executor_that_cannot_be_told_right_is_refused(tmp_path: Path) -> None:
    """Why `prompt_excluded` is left out above: `order1` is refused by name, and runs plain."""
    folder = logpr.conformance.write_folder(logpr.conformance.toy.toy("order1"), tmp_path)
    with pytest.raises(logpr.errors.ModelLoadError, match="one token of context is worth"):
        logpr.load(folder, dtype="float64", executor="cache")
    assert logpr.load(folder, dtype="float64").provenance.executor == "plain"


def test_the_numpy_llama_refuses_another_model(tmp_path: Path) -> None:
    """A GPT-2 is named, and the way out."""
    folder = logpr.conformance.write_folder(logpr.conformance.toy.toy("toy"), tmp_path)
    with pytest.raises(logpr.errors.ModelLoadError, match="--toy llama"):
        ADAPTERS["logpr:builtin"].factory()(str(folder))


def test_rows_of_an_unknown_folder_are_refused(tmp_path: Path) -> None:
    """Tables and recorded logits are written from a toy, so the folder has to be one's."""
    for name in ("logpr:table", "logpr:logits"):
        with pytest.raises(logpr.errors.ModelLoadError, match=r"no toy\.json"):
            ADAPTERS[name].factory()(str(tmp_path))


@pytest.mark.parametrize("ids", [False, True], ids=["texts", "ids"])
@pytest.mark.parametrize("backend", ["hf", "builtin"])
def test_a_trained_model_keeps_the_laws_that_need_no_oracle(
    data_dir: Path, backend: str, *, ids: bool
) -> None:
    """stories260K as a bare scorer: what holds of any model holds of it."""
    folder = str(data_dir / "models" / "stories260K")
    model = logpr.load(f"builtin:{folder}" if backend == "builtin" else folder)
    report = logpr.check(
        Own(model), declares=Declares(per_token=True, ids=ids), time_limit=300.0, name=backend
    )
    assert (report.failures, report.errors, report.blocked, report.inconclusive) == ((), (), (), ())
    told = {name for name, law in LAWS.items() if law.own and "open" in law.applies}
    # Without ids nobody can enumerate what comes next; with them there are no texts.
    told -= TEXTS if ids else {"next_token_mass"}
    assert set(report.passed) >= told
