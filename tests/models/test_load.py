"""From a name to a model: the right backend, only that one, and a way out of every wrong name."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

from logpr.errors import (
    MissingExtraError,
    MissingFileError,
    ModelLoadError,
    QueryError,
    UnknownNameError,
)
from logpr.models import _load, load
from logpr.models._options import LoadOptions
from logpr.models.table import TableModel
from tests.models.strategies import llama_folder

TABLE = "tokens: [A, B]\nkind: logits\ndefault: [0, 1]\n"


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, LoadOptions]]:
    """Return the calls that `load` makes of backends, none of which runs."""
    calls: list[tuple[str, str, LoadOptions]] = []
    table = some_model()

    def open_(backend: str, rest: str, options: LoadOptions) -> object:
        calls.append((backend, rest, options))
        return table

    monkeypatch.setattr(_load, "_open", open_)
    return calls


def some_model() -> TableModel:
    """Return some model."""
    return TableModel.from_dict({"tokens": ["A"], "kind": "logits", "default": [0]})


@pytest.mark.parametrize(
    ("name", "backend", "rest"),
    [
        ("builtin", "builtin:open_builtin", ""),
        ("builtin:some/folder", "builtin:open_builtin", "some/folder"),
        ("table:t.yaml", "table:open_table", "t.yaml"),
        ("logits:a:b.npz", "logits:open_logits", "a:b.npz"),
        ("gguf:m.gguf", "gguf:open_gguf", "m.gguf"),
        ("https://host/v1#model=m", "openai:open_endpoint", "https://host/v1#model=m"),
        ("gpt2", "hf:open_hf", "gpt2"),
        ("org/name-1.5", "hf:open_hf", "org/name-1.5"),
    ],
)
def test_each_name_has_its_backend(
    opened: list[tuple[str, str, LoadOptions]], name: str, backend: str, rest: str
) -> None:
    """A scheme goes to its backend with what follows it, a hub id to transformers."""
    load(name, dtype="float32")
    assert opened == [(f"logpr.models.{backend}", rest, LoadOptions(dtype="float32"))]


def test_a_folder_goes_to_transformers(
    opened: list[tuple[str, str, LoadOptions]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder that exists is a model's, as text or path, even if it is called builtin."""
    monkeypatch.chdir(tmp_path)
    for name in ("builtin", "table:x", "my model"):
        Path(name).mkdir()
        (Path(name) / "config.json").touch()
        load(Path(name))
    load("my model")
    assert [rest for _, rest, _ in opened] == ["builtin", "table:x", "my model", "my model"]
    assert {backend for backend, _, _ in opened} == {"logpr.models.hf:open_hf"}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("tabel:t.yaml", "no kind of model is called 'tabel:'"),
        ("tabel:t.yaml", "'table:t.yaml' perhaps, or builtin"),
        ("mlx:m.npz", "give builtin, builtin:FOLDER, table:FILE.yaml, logits:FILE.npz"),
        ("ftp://localhost:8000", "no kind of model is called 'ftp:'"),
    ],
)
def test_unknown_schemes_list_the_known_ones(name: str, words: str) -> None:
    """A scheme that stands for nothing is a LookupError with the forms that exist."""
    with pytest.raises(UnknownNameError, match=re.escape(words)):
        load(name)


@pytest.mark.parametrize("name", ["./none", "/none/such", "a/b/c", "~/none", "two words", "../x"])
def test_a_path_to_nothing_is_a_missing_file(name: str) -> None:
    """What is shaped like a path and no hub id is not looked for on the hub."""
    with pytest.raises(MissingFileError, match="there is no file or folder"):
        load(name)
    with pytest.raises(MissingFileError):
        load(Path(name))


def test_a_file_says_how_it_is_loaded(tmp_path: Path) -> None:
    """A table or a dump named without its scheme gets the corrected name, there or not."""
    path = tmp_path / "t.yaml"
    with pytest.raises(MissingFileError, match=re.escape(f"is loaded as 'table:{path}'")):
        load(path)
    path.write_text(TABLE, encoding="utf-8")
    with pytest.raises(QueryError, match=re.escape(f"is loaded as 'table:{path}'")):
        load(str(path))
    with pytest.raises(MissingFileError, match=r"is loaded as 'logits:none\.npz'"):
        load("none.npz")
    assert load(f"table:{path}").vocab_size == 2


def test_a_folder_that_is_no_model_says_what_one_holds(
    opened: list[tuple[str, str, LoadOptions]], tmp_path: Path
) -> None:
    """It is refused before any backend is asked."""
    folder = tmp_path / "empty"
    folder.mkdir()
    with pytest.raises(ModelLoadError) as found:
        load(folder)
    words = "empty: no config.json; a model folder holds config.json, *.safetensors and the files"
    assert words in str(found.value)
    assert not opened


def test_an_empty_name_is_refused() -> None:
    """The empty name gets the list of forms."""
    with pytest.raises(QueryError, match="the model's name is empty; give builtin"):
        load("")


def test_a_missing_framework_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without torch the install line is given, and for a Llama folder the way that needs none."""
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "torch" else find(name)
    )
    with pytest.raises(MissingExtraError, match=r'needs torch, .*pip install "logpr\[hf\]"') as one:
        load("org/name")
    assert "builtin:" not in str(one.value)
    folder = llama_folder(tmp_path / "llama")
    with pytest.raises(MissingExtraError, match=re.escape(f"'builtin:{folder}'")):
        load(folder)
    other = llama_folder(tmp_path / "gpt2", architectures=["GPT2LMHeadModel"])
    with pytest.raises(MissingExtraError) as raised:
        load(other)
    assert "builtin:" not in str(raised.value)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"dtype": "bfloat16"}, "dtype float32 or float64, found dtype='bfloat16'"),
        ({"device": "cuda"}, "device cpu, found device='cuda'"),
        ({"executor": "forest"}, "executor packed or plain, found executor='forest'"),
        ({"adapter": "x"}, "takes dtype, device, executor, found adapter='x'"),
        ({"trust_remote_code": True}, "found trust_remote_code=True"),
    ],
)
def test_options_without_effect_are_refused(
    tmp_path: Path, options: dict[str, object], words: str
) -> None:
    """The NumPy runtime takes what it can do, and drops nothing in silence."""
    with pytest.raises(QueryError, match=re.escape(words)):
        load(f"builtin:{llama_folder(tmp_path)}", **options)  # type: ignore[arg-type] - wrong ones


def modules_after(code: str) -> set[str]:
    """Return the modules of a fresh process that has run `code`."""
    done = subprocess.run(
        [sys.executable, "-c", f"{code}; import sys; print('\\n'.join(sys.modules))"],
        check=True,
        capture_output=True,
        text=True,
    )
    return set(done.stdout.split())


def test_only_the_chosen_backend_is_imported(tmp_path: Path) -> None:
    """A table loads no other backend and no framework; the NumPy runtime loads no torch."""
    path = tmp_path / "t.yaml"
    path.write_text(TABLE, encoding="utf-8")
    loaded = modules_after(f"from logpr.models import load; load('table:{path}')")
    assert "logpr.models.table" in loaded
    assert not loaded & {"torch", "transformers", "logpr.models.hf", "logpr.models.builtin"}
    folder = llama_folder(tmp_path / "llama")
    loaded = modules_after(f"from logpr.models import load; load('builtin:{folder}').provenance")
    assert "logpr.models.builtin" in loaded
    assert not loaded & {"torch", "transformers", "logpr.models.hf", "yaml"}


@pytest.mark.parametrize("name", ["built-in", "buildin", "Builtin"])
def test_a_misspelt_builtin_is_no_hub_id(name: str) -> None:
    """A near miss of `builtin` is named as such, before any hub is asked."""
    with pytest.raises(UnknownNameError, match="give 'builtin' perhaps"):
        load(name)
