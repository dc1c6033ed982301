"""Random small models of many architectures, and what transformers itself says of a pack."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import transformers
from jaxtyping import Float64
from transformers import AutoModelForCausalLM, PreTrainedModel

from logpr.tokens.pack import ROOT, Pack

# These products are too small to share out: with several threads each would wait for the others.
torch.set_num_threads(1)

VOCAB = 97

_COMMON: dict[str, Any] = {
    "vocab_size": VOCAB,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 96,
    "pad_token_id": None,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
_GPT: dict[str, Any] = {
    "vocab_size": VOCAB,
    "n_embd": 32,
    "n_layer": 2,
    "n_head": 4,
    "n_positions": 96,
    "bos_token_id": 0,
    "eos_token_id": 0,
}
_SIMPLE = {key: value for key, value in _COMMON.items() if key != "num_key_value_heads"}
_BLOOM = {"vocab_size": VOCAB, "hidden_size": 32, "n_layer": 2, "n_head": 4}
_FALCON = {
    "vocab_size": VOCAB,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 96,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
_EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}
_RECURRENT = {"vocab_size": VOCAB, "hidden_size": 32, "num_hidden_layers": 2, "state_size": 8}

CONFIGS: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("LlamaConfig", _COMMON),
    "gpt2": ("GPT2Config", _GPT),
    "gpt_neox": ("GPTNeoXConfig", _SIMPLE),
    "mistral": ("MistralConfig", _COMMON | {"sliding_window": 8}),
    "gemma2": ("Gemma2Config", _COMMON | {"head_dim": 8, "sliding_window": 8}),
    "qwen3": ("Qwen3Config", _COMMON | {"head_dim": 8}),
    "opt": ("OPTConfig", _SIMPLE | {"ffn_dim": 64, "word_embed_proj_dim": 32, "pad_token_id": 1}),
    "bloom": ("BloomConfig", _BLOOM),
    "gptj": ("GPTJConfig", _GPT | {"rotary_dim": 4}),
    "gpt_oss": (
        "GptOssConfig",
        _COMMON
        | {"head_dim": 8, "sliding_window": 8, "num_local_experts": 4, "num_experts_per_tok": 2}
        | {"max_position_embeddings": 131_072},
    ),
    "cohere": ("CohereConfig", _COMMON),
    "granite": ("GraniteConfig", _COMMON | {"logits_scaling": 3.0}),
    "qwen2": ("Qwen2Config", _COMMON),
    "qwen3_moe": ("Qwen3MoeConfig", _COMMON | _EXPERTS | {"head_dim": 8}),
    "gemma3": ("Gemma3TextConfig", _COMMON | {"head_dim": 8, "sliding_window": 8}),
    "phi": ("PhiConfig", _COMMON),
    "phi3": ("Phi3Config", _COMMON),
    "olmo2": ("Olmo2Config", _COMMON),
    "smollm3": ("SmolLM3Config", _COMMON),
    "stablelm": ("StableLmConfig", _COMMON),
    "deepseek_v3": (
        "DeepseekV3Config",
        _COMMON
        | {"num_key_value_heads": 4, "kv_lora_rank": 8, "q_lora_rank": 16, "v_head_dim": 8}
        | {"qk_rope_head_dim": 4, "qk_nope_head_dim": 8, "first_k_dense_replace": 1}
        | {"n_routed_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}
        | {"n_shared_experts": 1, "n_group": 2, "topk_group": 1},
    ),
    "falcon_rotary": ("FalconConfig", _FALCON | {"alibi": False, "multi_query": True}),
    "falcon_alibi": ("FalconConfig", _FALCON | {"alibi": True, "multi_query": False}),
    "falcon_new": (
        "FalconConfig",
        _FALCON | {"alibi": False, "new_decoder_architecture": True, "num_kv_heads": 2},
    ),
    "codegen": ("CodeGenConfig", _GPT | {"rotary_dim": 4}),
    "xglm": (
        "XGLMConfig",
        {"vocab_size": VOCAB, "d_model": 32, "ffn_dim": 64, "num_layers": 2, "attention_heads": 4}
        | {"max_position_embeddings": 96},
    ),
    "gpt_neo": (
        "GPTNeoConfig",
        {"vocab_size": VOCAB, "hidden_size": 32, "num_layers": 2, "num_heads": 4, "window_size": 8}
        | {"attention_types": [[["global", "local"], 1]], "max_position_embeddings": 96}
        | {"bos_token_id": 0, "eos_token_id": 0},
    ),
    "mpt": (
        "MptConfig",
        {"vocab_size": VOCAB, "d_model": 32, "n_heads": 4, "n_layers": 2, "max_seq_len": 96},
    ),
    "qwen3_next": (
        "Qwen3NextConfig",
        _COMMON
        | _EXPERTS
        | {"layer_types": ["linear_attention", "full_attention"], "head_dim": 8}
        | {"linear_num_value_heads": 4, "linear_num_key_heads": 2, "linear_key_head_dim": 8}
        | {"linear_value_head_dim": 8, "shared_expert_intermediate_size": 16},
    ),
    "jamba": (
        "JambaConfig",
        _COMMON
        | {"attn_layer_period": 2, "attn_layer_offset": 1, "mamba_d_state": 8}
        | {"expert_layer_period": 2, "expert_layer_offset": 1}
        | {"num_experts": 4, "num_experts_per_tok": 2},
    ),
    "falcon_h1": (
        "FalconH1Config",
        _COMMON
        | {"mamba_d_ssm": 32, "mamba_n_heads": 4, "mamba_d_head": 8, "mamba_d_state": 8}
        | {"mamba_n_groups": 1, "mamba_chunk_size": 16},
    ),
    "lfm2": ("Lfm2Config", _COMMON | {"layer_types": ["conv", "full_attention"]}),
    "mamba": ("MambaConfig", _RECURRENT),
    "mamba2": (
        "Mamba2Config",
        _RECURRENT | {"num_heads": 8, "head_dim": 8, "n_groups": 2, "chunk_size": 16},
    ),
    "rwkv": (
        "RwkvConfig",
        {"vocab_size": VOCAB, "hidden_size": 32, "num_hidden_layers": 2, "context_length": 96},
    ),
    "openai_gpt": ("OpenAIGPTConfig", _GPT),
}


def random_model(
    family: str, *, dtype: torch.dtype = torch.float32, **changes: object
) -> PreTrainedModel:
    """Return a model whose weights are wide enough that its context matters to it."""
    name, fields = CONFIGS[family]
    config = getattr(transformers, name)(**(fields | changes))
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(config)
        for parameter in model.parameters():
            if parameter.dim() > 1:
                torch.nn.init.normal_(parameter, std=parameter.shape[-1] ** -0.5)
    return model.to(dtype).eval()  # type: ignore[no-any-return]


def own_logits(model: PreTrainedModel, ids: list[int]) -> Float64[np.ndarray, "tokens vocab"]:
    """Return the logits of one sequence as the model's own forward pass emits them."""
    with torch.inference_mode():
        out: np.ndarray = model(torch.tensor([ids]), use_cache=False).logits[0].double().numpy()
    return out


def own_logprobs(model: PreTrainedModel, pack: Pack) -> Float64[np.ndarray, " edges"]:
    """Return log Pr of each edge, each path of the trie run by itself: no code of the package."""
    out = np.full(len(pack.edge_nodes), np.nan)
    for leaf in range(len(pack)):
        if pack.ends[leaf] > leaf + 1:
            continue
        nodes = [leaf]
        while pack.parents[nodes[-1]] != ROOT:
            nodes.append(int(pack.parents[nodes[-1]]))
        nodes.reverse()
        logits = torch.from_numpy(own_logits(model, pack.token_ids[nodes].tolist()))
        logprobs = logits.log_softmax(dim=-1).numpy()
        for row, node in enumerate(nodes):
            here = np.flatnonzero(pack.edge_nodes == node)
            out[here] = logprobs[row, pack.edge_tokens[here]]
    return out
