"""Folders of transformers models: what is loaded, and what is refused and in which words."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models

from logpr.errors import (
    MissingExtraError,
    ModelLoadError,
    QueryError,
    UnknownNameError,
)
from logpr.models._load import load
from logpr.models.base import Model, Predictive
from tests.models.strategies import llama_folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a random Llama's folder, ids only."""
    assert torch.get_num_threads() > 0
    return llama_folder(tmp_path / "llama", num_hidden_layers=2)


def edit(folder: Path, **fields: object) -> None:
    """Change fields of a folder's config."""
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields), encoding="utf-8")


def rewrite(folder: Path, tensors: dict[str, torch.Tensor]) -> None:
    """Write a folder's weights anew."""
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def test_a_folder_is_a_model_of_the_seam(folder: Path) -> None:
    """A folder loads in float32 with its declared limits, and says where its numbers come from."""
    model = load(folder)
    assert isinstance(model, Model)
    assert isinstance(model, Predictive)
    assert (model.vocab_size, model.context_length, model.end_ids) == (11, 64, (2,))
    assert model.tokenizer is None
    provenance = model.provenance
    assert provenance.model == str(folder)
    assert (provenance.backend, provenance.dtype, provenance.device) == (
        "transformers",
        "float32",
        "cpu",
    )
    assert provenance.weights_digest is not None
    assert dict(provenance.versions)["torch"] == torch.__version__


def test_generation_config_names_the_end(folder: Path) -> None:
    """Several end ids of the generation config go before the config's one; foreign ids do not."""
    fields = {"eos_token_id": [4, 2, 4, 99]}
    (folder / "generation_config.json").write_text(json.dumps(fields), encoding="utf-8")
    assert load(folder).end_ids == (4, 2)


@pytest.mark.parametrize("dtype", ["float64", "bfloat16", "float16"])
def test_dtype_is_a_word(folder: Path, dtype: str) -> None:
    """The dtype asked for is the one that runs, and is near float32."""
    low, wide = load(folder, dtype=dtype), load(folder)
    assert low.provenance.dtype == dtype
    assert isinstance(low, Predictive)
    assert isinstance(wide, Predictive)
    a, b = (model.next_logits([[1, 5, 3]]).logprobs for model in (low, wide))
    np.testing.assert_allclose(a, b, rtol=0, atol=0.2)


def test_a_tokenizer_that_is_there_is_loaded(folder: Path) -> None:
    """With tokenizer files the model has a tokenizer; with damaged ones it is refused."""
    vocab = {"<unk>": 0, "a": 1, "b": 2}
    level = models.WordLevel(vocab, unk_token="<unk>")
    Tokenizer(level).save(str(folder / "tokenizer.json"))
    tokenizer = load(folder).tokenizer
    assert tokenizer is not None
    assert tokenizer.encode("b", parse_special=False) == (2,)
    (folder / "tokenizer.json").write_text("{", encoding="utf-8")
    with pytest.raises(ModelLoadError, match="cannot be loaded"):
        load(folder)


def test_missing_tensors_are_refused_by_name(folder: Path) -> None:
    """transformers would fill a missing tensor with noise; here it is named, and refused."""
    tensors = load_file(folder / "model.safetensors")
    del tensors["model.layers.1.mlp.up_proj.weight"]
    rewrite(folder, tensors)
    with pytest.raises(
        ModelLoadError, match=r"lack 1 of the tensors.*layers\.1\.mlp\.up_proj\.weight"
    ):
        load(folder)


def test_tensors_of_another_shape_are_refused_by_name(folder: Path) -> None:
    """A config that disagrees with the weights is refused, with both shapes."""
    edit(folder, intermediate_size=18)
    with pytest.raises(
        ModelLoadError, match=r"another shape.*down_proj\.weight \(12, 20\) for \(12, 18\)"
    ):
        load(folder)


def test_tensors_that_are_not_used_are_a_warning(folder: Path) -> None:
    """Weights that the config does not call for are named: it may have lost a layer."""
    edit(folder, num_hidden_layers=1)
    with pytest.warns(UserWarning, match=r"hold 9 tensors.*layers\.1\.input_layernorm\.weight"):
        load(folder)


def test_nan_in_the_weights_is_refused_by_name(folder: Path) -> None:
    """Some attention kernels turn nan into 0 without a word, so weights are looked at."""
    tensors = load_file(folder / "model.safetensors")
    tensors["model.layers.0.self_attn.q_proj.weight"][0] = float("nan")
    rewrite(folder, tensors)
    with pytest.raises(ModelLoadError, match=r"1 tensors.*q_proj\.weight"):
        load(folder)


def test_damaged_folders_are_refused(folder: Path) -> None:
    """No weights, cut weights, no config and a cut config are each refused with their name."""
    weights = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(weights[: len(weights) // 2])
    with pytest.raises(ModelLoadError, match="llama' cannot be loaded: SafetensorError"):
        load(folder)
    (folder / "model.safetensors").unlink()
    with pytest.raises(ModelLoadError, match=r"no file named model\.safetensors"):
        load(folder)
    (folder / "config.json").write_text("{", encoding="utf-8")
    with pytest.raises(ModelLoadError, match="not a valid JSON file"):
        load(folder)
    (folder / "config.json").unlink()
    with pytest.raises(ModelLoadError, match=r"no config\.json"):
        load(folder)


def test_a_name_that_is_neither_here_nor_on_the_hub_says_both(tmp_path: Path) -> None:
    """A bare name is no folder and then a hub id; both are said, and the ways out."""
    done = subprocess.run(
        [sys.executable, "-m", "logpr", "next", "x", "--model", "nosuch"],
        cwd=tmp_path,
        env=os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 3
    for words in (
        "there is no folder 'nosuch' here, so it was taken for a hub id",
        "the hub could not be reached or has no such model (",
        "'./nosuch'",
        "HF_HUB_OFFLINE=1 to look in the local cache alone",
    ):
        assert words in done.stderr
    assert "check the folder" not in done.stderr


@pytest.mark.parametrize(
    ("model_type", "architecture", "words"),
    [
        ("bert", "BertForMaskedLM", "not a causal language model"),
        ("llama", "LlamaForSequenceClassification", "not a causal language model"),
        ("t5", "T5EncoderModel", "not a causal language model"),
        ("bart", "BartForSequenceClassification", "not a causal language model"),
        ("whisper", "WhisperForConditionalGeneration", "reads something else than text"),
        ("woods", "WoodsForCausalLM", "does not recognize this architecture"),
    ],
)
def test_other_kinds_of_model_are_refused(
    folder: Path, model_type: str, architecture: str, words: str
) -> None:
    """Masked models, classifiers, encoders, models of speech and unknown ones say what they are."""
    edit(folder, model_type=model_type, architectures=[architecture])
    with pytest.raises(ModelLoadError, match=words):
        load(folder)


def test_code_that_comes_with_a_model_does_not_run(folder: Path) -> None:
    """Remote code is refused unless it is asked for; the message says how."""
    auto = {"AutoConfig": "code.C", "AutoModelForCausalLM": "code.M"}
    edit(folder, model_type="woods", auto_map=auto)
    (folder / "code.py").write_text("raise SystemExit('it ran')", encoding="utf-8")
    with pytest.raises(ModelLoadError, match="trust_remote_code=True"):
        load(folder)


def test_options_that_do_not_exist_are_errors(folder: Path) -> None:
    """An unknown dtype, executor or device is an error that names those there are."""
    with pytest.raises(UnknownNameError, match="did you mean 'float32'"):
        load(folder, dtype="float23")
    with pytest.raises(UnknownNameError, match="did you mean 'forest'"):
        load(folder, executor="forrest")
    with pytest.raises(QueryError, match="device 'cuda:97' cannot be used"):
        load(folder, device="cuda:97")


def test_an_adapter_needs_peft(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where peft is not installed an adapter says what to install; it is never dropped."""
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(MissingExtraError, match="peft"):
        load(folder, adapter=str(folder / "adapter"))


def test_the_face_of_the_backend_loads_no_torch() -> None:
    """Naming the backend is light: torch comes with the first model."""
    code = "import sys, logpr.models.hf; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
