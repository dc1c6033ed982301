"""The models that are timed: real shapes with random weights, and the one that ships.

Time does not depend on the weights, but agreement does: with a standard deviation of
width ** -0.5 attention is neither flat nor saturated, and logits have a variance of about one, so a
wrong mask or position shows.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_SEED = 7
_BIAS = 0.02

SHIPPED = "shipped"


def _gpt2() -> PreTrainedModel:
    import transformers  # noqa: PLC0415 - the parent process needs no framework

    # One position more than GPT-2 has: some peers also feed the last token of a corpus window.
    config = transformers.GPT2Config(vocab_size=50_257, n_positions=1025, **_no_specials())
    return transformers.GPT2LMHeadModel(config)


def _llama(vocab: int, **sizes: int) -> Callable[[], PreTrainedModel]:
    def build() -> PreTrainedModel:
        import transformers  # noqa: PLC0415

        shape: dict[str, Any] = {
            "hidden_size": 768,
            "intermediate_size": 2048,
            "num_hidden_layers": 12,
            "num_attention_heads": 12,
            "num_key_value_heads": 12,
            "max_position_embeddings": 2048,
            **sizes,
        }
        config = transformers.LlamaConfig(
            vocab_size=vocab, tie_word_embeddings=True, **shape, **_no_specials()
        )
        return transformers.LlamaForCausalLM(config)

    return build


def _no_specials() -> dict[str, Any]:
    return {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": None}


SHAPES: dict[str, Callable[[], PreTrainedModel]] = {
    "gpt2": _gpt2,
    "llama-32k": _llama(32_000),
    "llama-128k": _llama(128_000),
}
"""GPT-2 small, 124M; a Llama of 110M with 32,000 tokens; the same with 128,000, 183M."""

BILLIONS: dict[str, Callable[[], PreTrainedModel]] = {
    "llama-1b": _llama(
        128_256,
        hidden_size=2048,
        intermediate_size=8192,
        num_hidden_layers=16,
        num_attention_heads=32,
        num_key_value_heads=8,
    ),
    "llama-8b": _llama(
        128_256,
        hidden_size=4096,
        intermediate_size=14_336,
        num_hidden_layers=32,
        num_attention_heads=32,
        num_key_value_heads=8,
    ),
}
"""Shapes for a GPU."""

TINY: dict[str, Callable[[], PreTrainedModel]] = {
    "tiny": _llama(
        101,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
    ),
}
"""To try the benchmark itself."""

NAMES = (*SHAPES, SHIPPED, *BILLIONS, *TINY)


def write(name: str, folder: Path, *, dtype: str) -> None:
    """Write the model of that name into a folder, in the form that transformers loads.

    Args:
        name: one of `NAMES`.
        folder: is made; holds config.json and model.safetensors afterwards.
        dtype: of the weights.
    """
    import torch  # noqa: PLC0415 - the parent process needs no framework
    import transformers  # noqa: PLC0415

    if name == SHIPPED:
        source = shipped_folder()
        if dtype == "float32":
            shutil.copytree(source, folder)
            return
        model: Any = transformers.AutoModelForCausalLM.from_pretrained(source)
    else:
        build = {**SHAPES, **BILLIONS, **TINY}[name]
        with torch.device("meta"):
            model = build()
        model = model.to_empty(device="cpu")
        model.tie_weights()
        _fill(model)
    model.to(getattr(torch, dtype)).save_pretrained(folder)


def shipped_folder() -> Path:
    """Return the folder of the model that the package ships."""
    import logpr  # noqa: PLC0415

    return Path(logpr.__file__).parent / "models" / "builtin_model"


def _fill(model: PreTrainedModel) -> None:
    import torch  # noqa: PLC0415

    generator = torch.Generator().manual_seed(_SEED)
    spread = model.config.hidden_size**-0.5
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.dim() > 1:
                weight.normal_(0.0, spread, generator=generator)
            elif name.endswith("bias"):
                weight.normal_(0.0, _BIAS, generator=generator)
            else:
                weight.fill_(1.0)
