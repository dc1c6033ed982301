"""Adapters: which packages are known, and what the suite finds of those that are installed."""

from __future__ import annotations

import importlib
import re
import warnings
from dataclasses import replace
from pathlib import Path

import pytest

import logpr
from logpr._values.check import CheckFailure
from logpr.conformance.adapters import ADAPTERS
from logpr.conformance.adapters._gguf import write_gguf
from logpr.conformance.toy import toy


def found_by(name: str, *only: str) -> logpr.CheckReport:
    """Return what a few checks find of an adapter's package, or skip where there is none."""
    adapter = ADAPTERS[name]
    if not adapter.installed:
        pytest.skip(f"{adapter.package} is not installed")
    torch = pytest.importorskip("torch")
    torch.set_num_threads(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what a package says of its own future
        return logpr.check(
            factory=adapter.factory(),
            declares=adapter.declares,
            name=name,
            only=only,
            time_limit=300.0,
        )


def failure(report: logpr.CheckReport, name: str) -> CheckFailure:
    """Return the failure of one check."""
    assert report.errors == ()
    return next(each for each in report.failures if each.check == name)


def test_every_adapter_names_a_function_and_a_version() -> None:
    """Modules of adapters can be imported without their packages, and no two share a name."""
    assert len({adapter.make for adapter in ADAPTERS.values()}) == len(ADAPTERS)
    for name, adapter in ADAPTERS.items():
        module, _, function = adapter.make.partition(":")
        assert callable(getattr(importlib.import_module(module), function)), name
        assert adapter.name == name
        assert adapter.about
        pinned = re.search(r"==[\d.]+$", adapter.package)
        assert pinned or adapter.package.startswith("logpr"), adapter.package


def test_a_package_that_is_absent_is_named_with_the_way_out() -> None:
    """What pip is to install, in the version that was checked."""
    absent = replace(ADAPTERS["minicons"], imports="no_such_package_is_installed")
    assert not absent.installed
    with pytest.raises(logpr.errors.MissingExtraError, match=r"pip install 'minicons==0\.3\.39'"):
        absent.factory()


def test_the_shared_row_of_the_harness_is_found() -> None:
    """Requests whose context and continuation make one text share a row, cut for one of them."""
    report = found_by("lm-eval", "repeat", "chain_rule", "nonpositive_finite")
    found = failure(report, "chain_rule")
    assert found.looks_like == ("row_reused",)
    assert found.reproduces == found.compared
    assert found.replay.endswith("@1"), "in one call alone"
    assert report.failed == ("chain_rule",)


def test_the_harness_feeds_other_letters_where_texts_merge() -> None:
    """A straddling token belongs to neither side."""
    report = found_by("lm-eval", "oracle", "boundary", "trailing_space")
    assert report.failed == ("boundary",)
    assert failure(report, "boundary").found != failure(report, "boundary").expected


def test_the_documented_perplexity_counts_a_token_too_few() -> None:
    """The loss is a mean over all labels behind the prompt; the page multiplies by one less."""
    report = found_by("transformers-perplexity", "oracle", "prompt_used")
    assert failure(report, "oracle").looks_like == ("loss_times_wrong_count",)


def test_transition_scores_are_log_probabilities_where_they_are_normalised() -> None:
    """By default they are logits, as documented: taken for log-probabilities they break laws."""
    laws = ("oracle", "token_count", "future_blind", "eos_inside", "sampling_neutral")
    assert found_by("transformers-transition-scores", *laws).passed == laws
    report = found_by("transformers-transition-scores:default", "oracle", "token_count")
    assert failure(report, "oracle").looks_like == ("raw_logit_sum",)
    assert report.passed == ("token_count",)


def test_minicons_leaves_no_token_where_texts_merge() -> None:
    """Its sum is then 0, its mean NaN; sums and means are right elsewhere."""
    for name, said in (("minicons", "0 for no token"), ("minicons:mean", "nan for no token")):
        report = found_by(name, "oracle", "chain_rule", "boundary")
        assert report.passed == ("oracle", "chain_rule")
        assert str(failure(report, "boundary").found).startswith(said)


def test_surprisal_has_two_start_tokens_and_no_end_token() -> None:
    """The zoo names both."""
    report = found_by("surprisal", "oracle")
    assert failure(report, "oracle").looks_like == ("bos_doubled", "vocab_rows_masked")


def test_an_echo_without_a_start_token_is_a_row_too_late() -> None:
    """Right where the tokenizer adds one."""
    if not ADAPTERS["llama-cpp-python"].installed:
        pytest.skip("llama-cpp-python is not installed")
    pytest.importorskip("gguf")
    report = found_by("llama-cpp-python", "oracle", "future_blind", "bos_once")
    assert report.passed == ("oracle", "future_blind")
    assert failure(report, "bos_once").model == "startless"


def test_left_padding_moves_a_perplexity(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the metric's script is there: evaluate takes it from the hub."""
    if not Path("perplexity/perplexity.py").is_file():
        pytest.skip("the metric `perplexity` lies on the hub: put perplexity/perplexity.py here")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    report = found_by("evaluate-perplexity", "oracle", "pad_side")
    assert report.passed == ("oracle",)
    assert report.failed == ("pad_side",)


def test_a_gguf_file_holds_what_the_folder_holds(tmp_path: Path) -> None:
    """Tensors in GGUF's order of sides, and every token."""
    gguf = pytest.importorskip("gguf")
    folder = logpr.conformance.write_folder(toy("startless"), tmp_path)
    reader = gguf.GGUFReader(write_gguf(folder, tmp_path / "model.gguf"))
    shapes = {tensor.name: tuple(map(int, tensor.shape)) for tensor in reader.tensors}
    assert shapes["token_embd.weight"] == (16, 14)  # GGUF writes the fastest side first
    assert shapes["blk.0.attn_qkv.weight"] == (16, 48)
    assert len(reader.fields["tokenizer.ggml.tokens"].data) == 14
    assert not reader.fields["tokenizer.ggml.add_bos_token"].contents()


def test_only_a_gpt2_is_written_as_gguf(tmp_path: Path) -> None:
    """A Llama's rotary rows stand in another order there."""
    pytest.importorskip("gguf")
    folder = logpr.conformance.write_folder(toy("toy", "llama"), tmp_path)
    with pytest.raises(ValueError, match="only a GPT-2"):
        write_gguf(folder, tmp_path / "model.gguf")
