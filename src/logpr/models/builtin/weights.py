"""Safetensors, single or sharded, to the arrays of one model, every tensor accounted for.

Projections that read the same input are stacked into one matrix, so that each is one matmul:
x @ qkv.T is [queries | keys | values], x @ gate_up.T is [gate | up].
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Float
from safetensors import SafetensorError, safe_open

from logpr.errors import ModelLoadError
from logpr.models.builtin.config import LlamaConfig, read_json
from logpr.numerics.half import HalfType, rounded

Array: TypeAlias = Float[np.ndarray, "*_"]

_FLOATS = ("F16", "BF16", "F32", "F64")
_INDEX = "model.safetensors.index.json"
_SINGLE = "model.safetensors"
_NOT_WEIGHTS = "rotary_emb.inv_freq"
"""Old checkpoints carry the frequencies, which the configuration says anyway."""


@dataclass(frozen=True, slots=True)
class Layer:
    """The arrays of one layer; biases are None where the model has none."""

    attention_norm: Float[np.ndarray, " width"]
    qkv: Float[np.ndarray, "qkv width"]
    qkv_bias: Float[np.ndarray, " qkv"] | None
    out: Float[np.ndarray, "width heads"]
    out_bias: Float[np.ndarray, " width"] | None
    mlp_norm: Float[np.ndarray, " width"]
    gate_up: Float[np.ndarray, "gate_up width"]
    gate_up_bias: Float[np.ndarray, " gate_up"] | None
    down: Float[np.ndarray, "width inner"]
    down_bias: Float[np.ndarray, " width"] | None


@dataclass(frozen=True, slots=True)
class Weights:
    """The arrays of a model; `head` is `embedding` itself where the two are tied."""

    embedding: Float[np.ndarray, "vocab width"]
    layers: tuple[Layer, ...]
    norm: Float[np.ndarray, " width"]
    head: Float[np.ndarray, "vocab width"]


def rounded_weights(weights: Weights, dtype: HalfType) -> Weights:
    """Return the weights as `dtype` would hold them, in the type that they have.

    Args:
        weights: of a model.
        dtype: bfloat16 or float16.
    """

    def half(array: Array) -> Array:
        return rounded(array.astype(np.float64), dtype).astype(array.dtype)

    layers = tuple(
        replace(
            layer,
            **{
                field.name: half(getattr(layer, field.name))
                for field in fields(layer)
                if getattr(layer, field.name) is not None
            },
        )
        for layer in weights.layers
    )
    embedding = half(weights.embedding)
    tied = weights.head is weights.embedding
    return Weights(
        embedding=embedding,
        layers=layers,
        norm=half(weights.norm),
        head=embedding if tied else half(weights.head),
    )


def weight_files(folder: Path) -> list[Path]:
    """Return the safetensors files of a model folder, in the order of their names.

    Args:
        folder: a model folder.

    Raises:
        ModelLoadError: there are none, or the index names a file that is not there.
    """
    if (folder / _INDEX).is_file():
        names = sorted(set(_weight_map(folder).values()))
        for name in names:
            if not (folder / name).is_file():
                msg = f"{folder / _INDEX} names {name}, which is not there; download it again"
                raise ModelLoadError(msg)
        return [folder / name for name in names]
    if (folder / _SINGLE).is_file():
        return [folder / _SINGLE]
    found = ", ".join(sorted(path.name for path in folder.iterdir())[:12]) or "nothing"
    msg = (
        f"{folder}: no {_SINGLE} and no {_INDEX}, found {found}; weights in another format are "
        f"converted by transformers: model.save_pretrained(FOLDER)"
    )
    raise ModelLoadError(msg)


def load_weights(folder: Path, config: LlamaConfig, dtype: np.dtype[Any]) -> Weights:
    """Return the weights of a model folder in one dtype.

    Args:
        folder: holds model.safetensors, or its shards and their index.
        config: decides which tensors there have to be, and their shapes.
        dtype: float32 or float64.

    Raises:
        ModelLoadError: a file is missing or corrupt, a tensor is missing, has another shape, is
            not floating-point, or belongs to no part of this model.
    """
    files = weight_files(folder)
    with ExitStack() as stack:
        store = _Store(files, stack, dtype)
        weights = _assemble(store, config)
        store.check_nothing_left(tied=config.tied)
    return weights


def _assemble(store: _Store, config: LlamaConfig) -> Weights:
    width, inner = config.width, config.inner
    queries, keys = config.heads * config.head_dim, config.kv_heads * config.head_dim
    embedding = store.stacked(["model.embed_tokens.weight"], [(config.vocab, width)])
    layers: list[Layer] = []
    for number in range(config.layers):
        at = f"model.layers.{number}"
        attention = [f"{at}.self_attn.{part}_proj" for part in ("q", "k", "v")]
        mlp = [f"{at}.mlp.{part}_proj" for part in ("gate", "up")]
        layer = Layer(
            attention_norm=store.stacked([f"{at}.input_layernorm.weight"], [(width,)]),
            qkv=store.stacked(
                [f"{name}.weight" for name in attention],
                [(queries, width), (keys, width), (keys, width)],
            ),
            qkv_bias=store.stacked(
                [f"{name}.bias" for name in attention], [(queries,), (keys,), (keys,)]
            )
            if config.qkv_bias
            else None,
            out=store.stacked([f"{at}.self_attn.o_proj.weight"], [(width, queries)]),
            out_bias=store.stacked([f"{at}.self_attn.o_proj.bias"], [(width,)])
            if config.out_bias
            else None,
            mlp_norm=store.stacked([f"{at}.post_attention_layernorm.weight"], [(width,)]),
            gate_up=store.stacked([f"{name}.weight" for name in mlp], [(inner, width)] * 2),
            gate_up_bias=store.stacked([f"{name}.bias" for name in mlp], [(inner,)] * 2)
            if config.mlp_bias
            else None,
            down=store.stacked([f"{at}.mlp.down_proj.weight"], [(width, inner)]),
            down_bias=store.stacked([f"{at}.mlp.down_proj.bias"], [(width,)])
            if config.mlp_bias
            else None,
        )
        layers.append(layer)
    norm = store.stacked(["model.norm.weight"], [(width,)])
    head = embedding
    if not config.tied:
        head = store.stacked(["lm_head.weight"], [(config.vocab, width)])
    return Weights(embedding=embedding, layers=tuple(layers), norm=norm, head=head)


class _Store:
    """The tensors of some files by name; remembers which were taken."""

    def __init__(self, files: Sequence[Path], stack: ExitStack, dtype: np.dtype[Any]) -> None:
        self._dtype = dtype
        self._where: dict[str, tuple[Path, Any]] = {}
        self._taken: set[str] = set()
        for path in files:
            try:
                file = stack.enter_context(safe_open(path, framework="numpy"))
            except (SafetensorError, OSError) as error:
                msg = f"{path}: corrupt or cut short: {error}; download it again"
                raise ModelLoadError(msg) from error
            self._where |= dict.fromkeys(file.keys(), (path, file))

    def stacked(self, names: Sequence[str], shapes: Sequence[tuple[int, ...]]) -> Array:
        """Return tensors one above the other, converted straight into one array."""
        rows = sum(shape[0] for shape in shapes)
        out = np.empty((rows, *shapes[0][1:]), dtype=self._dtype)
        start = 0
        for name, shape in zip(names, shapes, strict=True):
            out[start : start + shape[0]] = self._tensor(name, shape)
            start += shape[0]
        return out

    def check_nothing_left(self, *, tied: bool) -> None:
        """Raise where a tensor belongs to nothing: the model would not be the one it is here."""
        left = [
            name
            for name in self._where
            if name not in self._taken
            and not name.endswith(_NOT_WEIGHTS)
            and not (tied and name == "lm_head.weight")
        ]
        if left:
            path, _ = self._where[left[0]]
            msg = (
                f"{path}: {len(left)} tensors that config.json leaves no place for, the first "
                f"{left[0]!r}; mend config.json (attention_bias, mlp_bias, num_hidden_layers, "
                f"tie_word_embeddings), or load the folder with transformers: "
                f'pip install "logpr[hf]"'
            )
            raise ModelLoadError(msg)

    def _tensor(self, name: str, shape: tuple[int, ...]) -> Array:
        if name not in self._where:
            files = ", ".join(sorted({str(path) for path, _ in self._where.values()})) or "no file"
            msg = f"{files}: no tensor {name!r} of shape {shape}; download the weights again"
            raise ModelLoadError(msg)
        path, file = self._where[name]
        self._taken.add(name)
        part = file.get_slice(name)
        found, kind = tuple(part.get_shape()), part.get_dtype()
        if found != shape or kind not in _FLOATS:
            msg = (
                f"{path}: {name!r} is {kind} of shape {found}; config.json asks for floating-point "
                f"numbers of shape {shape}: the two files do not belong together"
            )
            raise ModelLoadError(msg)
        if kind == "BF16":
            return _bfloat16(path, name, shape)
        tensor: Array = file.get_tensor(name)
        return tensor


def _bfloat16(path: Path, name: str, shape: tuple[int, ...]) -> Array:
    """Return a bfloat16 tensor as float32, whose upper half it is; NumPy has no such dtype.

    The file's layout: eight bytes with the length of a JSON header, the header with each tensor's
    place, the tensors. `safe_open` has checked all of it.
    """
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        start, stop = json.loads(file.read(size))[name]["data_offsets"]
        file.seek(8 + size + start)
        halves = np.frombuffer(file.read(stop - start), dtype="<u2")
    return (halves.astype(np.uint32) << 16).view(np.float32).reshape(shape)


def _weight_map(folder: Path) -> Mapping[str, str]:
    found = read_json(folder / _INDEX).get("weight_map")
    if not isinstance(found, Mapping) or not _all_text(found.values()):
        msg = f"{folder / _INDEX}: no weight_map from tensor to file; download it again"
        raise ModelLoadError(msg)
    return found


def _all_text(values: Iterable[object]) -> bool:
    return all(isinstance(value, str) for value in values)
