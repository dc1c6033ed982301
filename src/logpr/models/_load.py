"""From a name to a model. Backends are named by lazy strings; only the chosen one is imported."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import os
import re
from pathlib import Path
from typing import Any, cast

from logpr.errors import (
    MissingExtraError,
    MissingFileError,
    ModelLoadError,
    QueryError,
    UnknownNameError,
)
from logpr.models._options import LoadOptions
from logpr.models.base import Model

_BACKENDS = {
    "builtin": "logpr.models.builtin:open_builtin",
    "table": "logpr.models.table:open_table",
    "logits": "logpr.models.logits:open_logits",
    "gguf": "logpr.models.gguf:open_gguf",
    "http": "logpr.models.openai:open_endpoint",
    "https": "logpr.models.openai:open_endpoint",
}
_URLS = ("http", "https")
"""Schemes that are part of the name."""

_TRANSFORMERS = "logpr.models.hf:open_hf"
_RUNS_IN_NUMPY = "logpr.models.builtin:runs_in_numpy"

_FORMS = (
    "builtin, builtin:FOLDER, table:FILE.yaml, logits:FILE.npz, gguf:FILE.gguf, "
    "http://HOST:PORT/v1#tokenizer=FOLDER, the folder of a model, or a hub id like 'org/name'"
)

# Two letters at least, so that a drive of Windows ("C:\…") is a path.
_SCHEME = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]+):(.*)$", re.DOTALL)
_HUB_ID = re.compile(r"^[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?$")

_FILES = {
    ".yaml": "table",
    ".yml": "table",
    ".json": "table",
    ".npz": "logits",
    ".safetensors": "logits",
    ".gguf": "gguf",
}
"""The scheme that a file's ending suggests."""


def load(
    name: str | os.PathLike[str],
    *,
    dtype: str | None = None,
    device: str | None = None,
    executor: str | None = None,
    adapter: str | None = None,
    trust_remote_code: bool = False,
    pack_tokens: int | None = None,
    kv_bytes: int | None = None,
    cache_bytes: int | None = None,
    batch_invariant: bool = False,
) -> Model:
    """Return the model that `name` stands for.

    Args:
        name: `builtin` (the small model that ships with the package), `builtin:FOLDER` (any
            Llama-type folder, run in NumPy), `table:FILE.yaml`, `logits:FILE.npz`, `gguf:FILE.gguf`
            (llama.cpp), `http://HOST:PORT/v1#tokenizer=FOLDER` (an OpenAI-compatible completions
            endpoint), or the folder or hub id of a transformers model.
        dtype: the precision of its arithmetic, such as `float32`; the backend's own by default.
        device: where it runs, such as `cuda`.
        executor: how packs run, such as `plain`; by default the first of `forest`, `mask`,
            `cache`, `plain` that gives the model's own numbers.
        adapter: a PEFT adapter's folder or hub id.
        trust_remote_code: whether code that comes with the model may run.
        pack_tokens: tokens of one forward pass at most (transformers; 1,024 on a CPU). `mask` does
            not cut a path, and `plain` runs one whole sequence at a time, whatever it says.
        kv_bytes: memory for keys and values of the prefix in work (transformers; 1 GiB on a CPU).
        cache_bytes: memory for keys and values of prefixes, held from call to call so that a
            prompt is not paid twice (transformers; 256 MiB); 0 holds none.
        batch_invariant: a sequence gets the same bits alone and in any company, order, window or
            state of the cache (transformers; costs some speed).

    Raises:
        UnknownNameError: the scheme before ":" is not one of the known.
        MissingFileError: the name is a path, and nothing is there.
        MissingExtraError: the backend's framework is not installed.
        ModelLoadError: the folder or file is there, and is no model; or the hub has none.
        QueryError: an option that the backend, or this model, does not take.
        WrongTypeError: `pack_tokens`, `kv_bytes` or `cache_bytes` is no whole number.
    """
    options = LoadOptions(
        dtype=dtype,
        device=device,
        executor=executor,
        adapter=adapter,
        trust_remote_code=trust_remote_code,
        pack_tokens=pack_tokens,
        kv_bytes=kv_bytes,
        cache_bytes=cache_bytes,
        batch_invariant=batch_invariant,
    )
    if not isinstance(name, str):
        return _load_path(Path(name), options)
    if not name:
        msg = f"the model's name is empty; give {_FORMS}"
        raise QueryError(msg)
    if name == "builtin":
        return _open(_BACKENDS["builtin"], "", options)
    scheme = _SCHEME.match(name)
    if scheme is not None:
        if scheme[1] in _BACKENDS:
            rest = name if scheme[1] in _URLS else scheme[2]
            return _open(_BACKENDS[scheme[1]], rest, options)
        if not Path(name).exists():
            near = difflib.get_close_matches(scheme[1], _BACKENDS, n=1)
            hint = f"'{near[0]}:{scheme[2]}' perhaps, or " if near else ""
            msg = f"no kind of model is called '{scheme[1]}:' (in {name!r}); give {hint}{_FORMS}"
            raise UnknownNameError(msg)
    path = Path(name).expanduser()
    if path.exists() or _HUB_ID.match(name) is None or path.suffix.lower() in _FILES:
        return _load_path(path, options)
    if difflib.get_close_matches(name.lower(), ["builtin"], n=1, cutoff=0.75):
        msg = f"no model is called {name!r}; give 'builtin' perhaps, or {_FORMS}"
        raise UnknownNameError(msg)
    return _load_transformers(name, None, options)


def _load_path(path: Path, options: LoadOptions) -> Model:
    kind = _FILES.get(path.suffix.lower())
    if path.is_dir():
        if not (path / "config.json").exists():
            msg = (
                f"{path}: no config.json; a model folder holds config.json, *.safetensors and the "
                f"files of its tokenizer; give the folder that holds them, or {_FORMS}"
            )
            raise ModelLoadError(msg)
        return _load_transformers(str(path), path, options)
    hint = "" if kind is None else f"; a file like this is loaded as '{kind}:{path}'"
    if path.exists():
        msg = f"{str(path)!r} is a file, and a model is a folder{hint}; or give {_FORMS}"
        raise QueryError(msg)
    msg = f"there is no file or folder {str(path)!r}{hint}; give {_FORMS}"
    raise MissingFileError(msg)


def _load_transformers(name: str, folder: Path | None, options: LoadOptions) -> Model:
    missing = [
        module for module in ("torch", "transformers") if importlib.util.find_spec(module) is None
    ]
    if missing:
        msg = (
            f"loading {name!r} needs {' and '.join(missing)}, not installed here: "
            f'pip install "logpr[hf]"'
        )
        if folder is not None and _resolve(_RUNS_IN_NUMPY)(folder):
            msg += f"; or run this Llama-type folder without them: 'builtin:{name}'"
        raise MissingExtraError(msg)
    return _open(_TRANSFORMERS, name, options)


def _open(backend: str, rest: str, options: LoadOptions) -> Model:
    return cast("Model", _resolve(backend)(rest, options))


def _resolve(backend: str) -> Any:  # noqa: ANN401 - whatever the lazy string names
    module, _, function = backend.partition(":")
    return getattr(importlib.import_module(module), function)
