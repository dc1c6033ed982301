"""The weights of a folder as a GGUF file, of Llama or GPT-2 type, without a tokenizer."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
import torch
from transformers import PreTrainedModel

_LLAMA = {
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
_GPT2 = {
    "ln_1": "attn_norm",
    "ln_2": "ffn_norm",
    "attn.c_attn": "attn_qkv",
    "attn.c_proj": "attn_output",
    "mlp.c_fc": "ffn_up",
    "mlp.c_proj": "ffn_down",
}


def write(model: PreTrainedModel, path: Path) -> None:
    """Write the model's configuration and weights, in the dtype that the weights have.

    Args:
        model: a `LlamaForCausalLM` or `GPT2LMHeadModel` in float32 or bfloat16.
        path: of the file.

    Raises:
        ValueError: another architecture.
    """
    kind = model.config.model_type
    if kind not in {"llama", "gpt2"}:
        msg = f"GGUF is written here for llama and gpt2, found {kind!r}; leave llama.cpp out"
        raise ValueError(msg)
    writer = gguf.GGUFWriter(path, kind)
    _write_config(writer, model)
    names = _llama_tensors(model) if kind == "llama" else _gpt2_tensors(model)
    for name, tensor in names.items():
        _add(writer, name, tensor.detach())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _write_config(writer: gguf.GGUFWriter, model: PreTrainedModel) -> None:
    config = model.config
    writer.add_vocab_size(config.vocab_size)
    writer.add_tokenizer_model("no_vocab")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_head_count(config.num_attention_heads)
    if config.model_type == "gpt2":
        writer.add_feed_forward_length(config.n_inner or 4 * config.hidden_size)
        writer.add_layer_norm_eps(config.layer_norm_epsilon)
        return
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_dimension_count(config.hidden_size // config.num_attention_heads)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])


def _llama_tensors(model: PreTrainedModel) -> dict[str, torch.Tensor]:
    state = model.state_dict()
    config = model.config
    out = {
        "token_embd.weight": state["model.embed_tokens.weight"],
        "output_norm.weight": state["model.norm.weight"],
    }
    if not config.tie_word_embeddings:
        out["output.weight"] = state["lm_head.weight"]
    heads = {"attn_q": config.num_attention_heads, "attn_k": config.num_key_value_heads}
    for layer in range(config.num_hidden_layers):
        for theirs, name in _LLAMA.items():
            weight = state[f"model.layers.{layer}.{theirs}.weight"]
            if name in heads:
                weight = _interleaved(weight, heads[name])
            out[f"blk.{layer}.{name}.weight"] = weight
    return out


def _interleaved(weight: torch.Tensor, heads: int) -> torch.Tensor:
    """Return the rows of each head reordered from halves (i, i + d/2) to neighbours (2i, 2i + 1).

    GGUF's Llama rotates neighbours, transformers' rotates halves.
    """
    size = weight.shape[0] // heads
    parts = weight.reshape(heads, 2, size // 2, weight.shape[1])
    return parts.swapaxes(1, 2).reshape(weight.shape)


def _gpt2_tensors(model: PreTrainedModel) -> dict[str, torch.Tensor]:
    state = model.state_dict()
    out = {
        "token_embd.weight": state["transformer.wte.weight"],
        "position_embd.weight": state["transformer.wpe.weight"],
        "output_norm.weight": state["transformer.ln_f.weight"],
        "output_norm.bias": state["transformer.ln_f.bias"],
    }
    for layer in range(model.config.num_hidden_layers):
        for theirs, name in _GPT2.items():
            weight = state[f"transformer.h.{layer}.{theirs}.weight"]
            # Its linear layers lie as [inner, outer].
            out[f"blk.{layer}.{name}.weight"] = weight.T if weight.dim() > 1 else weight
            out[f"blk.{layer}.{name}.bias"] = state[f"transformer.h.{layer}.{theirs}.bias"]
    return out


def _add(writer: gguf.GGUFWriter, name: str, tensor: torch.Tensor) -> None:
    if tensor.dtype == torch.bfloat16 and tensor.dim() > 1 and name != "position_embd.weight":
        bits = tensor.contiguous().view(torch.uint8).numpy()
        kind = gguf.GGMLQuantizationType.BF16
        writer.add_tensor(name, bits, raw_shape=bits.shape, raw_dtype=kind)
    else:  # vectors are float32 in every GGUF file
        writer.add_tensor(name, np.ascontiguousarray(tensor.float().numpy()))
