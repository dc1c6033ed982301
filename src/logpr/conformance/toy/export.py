"""The toys as files that any package can load: a transformers folder, and a conditional table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors

from logpr.conformance.toy.oracle import Toy
from logpr.conformance.toy.oracle import toy as toy_named
from logpr.conformance.toy.pieces import END, START, Pieces
from logpr.conformance.toy.weights import CONTEXT, HEADS, INNER, LAYERS, WIDTH, tensors
from logpr.errors import MissingFileError

NAME_FILE = "toy.json"
"""Beside the weights: which model of the suite a folder holds."""

NAME = "toy.json"
"""Says in a toy's folder which one it is: for whoever serves its closed form, not its weights."""


def write_folder(toy: Toy, folder: Path) -> Path:
    """Write a toy as a transformers folder: weights, configs and a real tokenizer; return it.

    `AutoModelForCausalLM` and `AutoTokenizer` load it, and so does whatever is built on them.

    Args:
        toy: a model of the suite.
        folder: made where it is absent.
    """
    folder.mkdir(parents=True, exist_ok=True)
    half = toy.variant.dtype == "bfloat16"
    # NumPy has no bfloat16: its values are kept in float32, and the config names the dtype.
    dtype = np.float32 if half else np.float64
    arrays = {
        name: np.ascontiguousarray(value, dtype=dtype)
        for name, value in tensors(toy.weights).items()
    }
    save_file(arrays, str(folder / "model.safetensors"), metadata={"format": "pt"})
    _json(folder / "config.json", _config(toy))
    special = {"bos_token_id": toy.pieces.start_id, "eos_token_id": toy.pieces.end_id}
    _json(folder / "generation_config.json", {**special, **toy.variant.generation})
    tokenizer_of(toy.pieces, adds_start=toy.variant.adds_start).save(str(folder / "tokenizer.json"))
    _json(folder / NAME, {"variant": toy.name, "architecture": toy.architecture})
    names = {"bos_token": START.decode(), "eos_token": END.decode(), "pad_token": END.decode()}
    _json(
        folder / "tokenizer_config.json",
        {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "padding_side": toy.variant.padding_side,
            "clean_up_tokenization_spaces": False,
            "model_max_length": CONTEXT,
            **names,
        },
    )
    _json(folder / NAME_FILE, {"variant": toy.name, "architecture": toy.architecture})
    return folder


def toy_of(folder: str | Path) -> Toy:
    """Return the toy that a folder of the suite holds, in process.

    Raises:
        MissingFileError: the folder is none that `write_folder` wrote.
    """
    path = Path(folder) / NAME_FILE
    if not path.is_file():
        msg = f"{folder} is no model of the suite: no {NAME_FILE}; write it with write_folder"
        raise MissingFileError(msg)
    said = json.loads(path.read_text(encoding="utf-8"))
    return toy_named(said["variant"], said["architecture"])


def tokenizer_of(pieces: Pieces, *, adds_start: bool) -> Tokenizer:
    """Return the pieces as a tokenizer of the `tokenizers` library, byte-level as GPT-2's is."""
    spelled = _byte_letters()

    def name(piece: bytes) -> str:
        return "".join(spelled[byte] for byte in piece)

    vocab = {name(piece): token for token, piece in enumerate(pieces.names[: pieces.start_id])}
    merges = [(name(left), name(right)) for left, right in pieces.merges]
    backend = Tokenizer(models.BPE(vocab=vocab, merges=merges))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.decoder = decoders.ByteLevel()
    start = START.decode()
    backend.add_special_tokens(
        [AddedToken(each.decode(), special=True, normalized=False) for each in (START, END)]
    )
    if adds_start:
        backend.post_processor = processors.TemplateProcessing(
            single=f"{start} $A",
            pair=f"{start} $A $B",
            special_tokens=[(start, pieces.start_id)],
        )
    return backend


def _byte_letters() -> list[str]:
    """Return the printable character that stands for each byte in byte-level vocabularies.

    Bytes that print stand for themselves, the others for characters from U+0100 on, in order.
    """
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    out, beyond = [], 0
    for byte in range(256):
        if byte in printable:
            out.append(chr(byte))
        else:
            out.append(chr(0x100 + beyond))
            beyond += 1
    return out


def _config(toy: Toy) -> dict[str, Any]:
    size = toy.weights.head.shape[0]
    common: dict[str, Any] = {
        "vocab_size": size,
        "bos_token_id": toy.pieces.start_id,
        "eos_token_id": toy.pieces.end_id,
        "tie_word_embeddings": False,
        "dtype": toy.variant.dtype,
    }
    if toy.architecture == "gpt2":
        return common | {
            "model_type": "gpt2",
            "architectures": ["GPT2LMHeadModel"],
            "n_embd": WIDTH,
            "n_layer": LAYERS,
            "n_head": HEADS,
            "n_inner": INNER,
            "n_positions": CONTEXT,
            "activation_function": "gelu_new",
            "layer_norm_epsilon": 1e-5,
        }
    return common | {
        "model_type": "llama",
        "architectures": ["LlamaForCausalLM"],
        "hidden_size": WIDTH,
        "intermediate_size": INNER,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "num_key_value_heads": HEADS,
        "head_dim": WIDTH // HEADS,
        "max_position_embeddings": CONTEXT,
        "hidden_act": "silu",
        "rms_norm_eps": 1e-5,
        "rope_theta": 10_000.0,
        "attention_bias": False,
        "mlp_bias": False,
    }


def _json(path: Path, data: dict[str, Any]) -> None:
    path.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")


def write_table(toy: Toy, path: Path) -> Path:
    """Write a toy of order 1 as a table file (`logpr.load("table:FILE.json")`); return its path.

    A row is that after a token; the empty context has the row after the start token, which is a
    token like others here. Tokens are named by their ids: a table reads words, and a toy's tokens
    are no words.

    Args:
        toy: `order1`, or a toy whose rows are all the same.
        path: a .json file.
    """
    pieces = toy.pieces
    names = [f"t{token}" for token in range(pieces.vocab_size)]
    rows = toy.rows([(token,) for token in range(pieces.vocab_size)])
    table = {
        "tokens": names,
        "end": [names[pieces.end_id]],
        "kind": "logits",
        "order": 1,
        "rows": {name: list(map(float, row)) for name, row in zip(names, rows, strict=True)}
        | {"": list(map(float, rows[pieces.start_id]))},
    }
    _json(path, table)
    return path
