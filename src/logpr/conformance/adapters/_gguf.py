"""A GPT-2 of transformers' format as a GGUF file, in float32, for llama.cpp."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file

from logpr.errors import MissingExtraError

_PARTS = {
    "attn_norm": "ln_1",
    "attn_qkv": "attn.c_attn",
    "attn_output": "attn.c_proj",
    "ffn_norm": "ln_2",
    "ffn_up": "mlp.c_fc",
    "ffn_down": "mlp.c_proj",
}
"""A layer's tensors: GGUF's names, and transformers'."""

_WHOLE = {
    "token_embd.weight": "transformer.wte.weight",
    "position_embd.weight": "transformer.wpe.weight",
    "output_norm.weight": "transformer.ln_f.weight",
    "output_norm.bias": "transformer.ln_f.bias",
    "output.weight": "lm_head.weight",
}


def write_gguf(folder: Path, file: Path) -> Path:
    """Write the model of a folder as a GGUF file; return it.

    Args:
        folder: with config.json, model.safetensors, and a byte-level tokenizer.json.
        file: to be written.

    Raises:
        MissingExtraError: the package gguf is not installed.
        ValueError: the model is no GPT-2.
    """
    try:
        import gguf
    except ImportError as error:
        msg = f"llama.cpp reads GGUF files, and {error.name} writes them: pip install gguf"
        raise MissingExtraError(msg) from error

    config = _json(folder / "config.json")
    if config["model_type"] != "gpt2":
        msg = f"{folder}: a {config['model_type']}, and only a GPT-2 is written as GGUF here"
        raise ValueError(msg)
    out = gguf.GGUFWriter(file, "gpt2")
    out.add_context_length(config["n_positions"])
    out.add_embedding_length(config["n_embd"])
    out.add_feed_forward_length(config["n_inner"])
    out.add_block_count(config["n_layer"])
    out.add_head_count(config["n_head"])
    out.add_layer_norm_eps(config["layer_norm_epsilon"])
    out.add_file_type(gguf.LlamaFileType.ALL_F32)
    _add_tokenizer(out, folder, config, gguf.TokenType)
    weights = load_file(folder / "model.safetensors")

    def add(name: str, value: Any) -> None:  # noqa: ANN401 - an array
        out.add_tensor(name, np.ascontiguousarray(value, dtype=np.float32))

    for name, source in _WHOLE.items():
        add(name, weights[source])
    for layer in range(config["n_layer"]):
        for name, source in _PARTS.items():
            stem, origin = f"blk.{layer}.{name}", f"transformer.h.{layer}.{source}"
            # transformers' GPT-2 keeps matrices [in, out], GGUF [out, in]; norms have no sides.
            add(f"{stem}.weight", weights[f"{origin}.weight"].T)
            add(f"{stem}.bias", weights[f"{origin}.bias"])
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()
    return file


def _add_tokenizer(out: Any, folder: Path, config: dict[str, Any], kinds: Any) -> None:  # noqa: ANN401 - gguf's
    """Write the vocabulary, its merges, and whether a start token is put first."""
    data = _json(folder / "tokenizer.json")
    size = config["vocab_size"]
    names, types = [f"[UNUSED{token}]" for token in range(size)], [kinds.UNUSED] * size
    for name, token in data["model"]["vocab"].items():
        names[token], types[token] = name, kinds.NORMAL
    for added in data["added_tokens"]:
        names[added["id"]], types[added["id"]] = added["content"], kinds.CONTROL
    out.add_tokenizer_model("gpt2")
    out.add_tokenizer_pre("gpt-2")
    out.add_token_list(names)
    out.add_token_types(types)
    merges = [" ".join(pair) for pair in data["model"]["merges"]]
    # llama.cpp takes no vocabulary without merges: this one joins what no text holds.
    out.add_token_merges(merges or [" ".join(added["content"] for added in data["added_tokens"])])
    out.add_bos_token_id(config["bos_token_id"])
    out.add_eos_token_id(config["eos_token_id"])
    out.add_add_bos_token(data["post_processor"] is not None)
    out.add_add_eos_token(False)  # noqa: FBT003 - gguf's own signature


def _json(file: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return found
