"""Random small encoder–decoder models, their tokenizers, and what transformers says of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from jaxtyping import Float64
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import AutoModelForSeq2SeqLM, PreTrainedModel, PreTrainedTokenizerFast

from tests.tokens.trained import CORPUS

# These products are too small to share out: with several threads each would wait for the others.
torch.set_num_threads(1)

VOCAB = 97

_T5: dict[str, Any] = {
    "vocab_size": VOCAB,
    "d_model": 32,
    "d_kv": 8,
    "d_ff": 64,
    "num_layers": 2,
    "num_decoder_layers": 2,
    "num_heads": 4,
    "pad_token_id": 0,
    "eos_token_id": 1,
    "decoder_start_token_id": 0,
}
_BART: dict[str, Any] = {
    "vocab_size": VOCAB,
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 64,
    "decoder_ffn_dim": 64,
    "max_position_embeddings": 64,
}
_MARIAN = _BART | {"pad_token_id": 90, "decoder_start_token_id": 90, "eos_token_id": 0}

CONFIGS: dict[str, tuple[str, dict[str, Any]]] = {
    "t5": ("T5Config", _T5),
    "t5 v1.1": (
        "T5Config",
        _T5 | {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False},
    ),
    "umt5": ("UMT5Config", _T5),
    "bart": ("BartConfig", _BART),
    "mbart": ("MBartConfig", _BART),
    "pegasus": ("PegasusConfig", _BART),
    "marian": ("MarianConfig", _MARIAN | {"scale_embedding": True}),
    "marian, two vocabularies": (
        "MarianConfig",
        _MARIAN
        | {
            "share_encoder_decoder_embeddings": False,
            "tie_word_embeddings": False,
            "decoder_vocab_size": 91,
        },
    ),
}


def random_encdec(
    family: str, *, dtype: torch.dtype = torch.float32, **changes: object
) -> PreTrainedModel:
    """Return a model whose weights are wide enough that x and y's beginning matter to it."""
    name, fields = CONFIGS[family]
    config = getattr(transformers, name)(**(fields | changes))
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(0)
        model = AutoModelForSeq2SeqLM.from_config(config)
        for parameter in model.parameters():
            if parameter.dim() > 1:
                torch.nn.init.normal_(parameter, std=parameter.shape[-1] ** -0.5)
        added = getattr(model, "final_logits_bias", None)
        if added is not None:
            added.normal_()
            added[0, 3] = -torch.inf
    return model.to(dtype).eval()  # type: ignore[no-any-return]


def own_logprobs(
    model: PreTrainedModel, source: list[int], fed: list[int]
) -> Float64[np.ndarray, "tokens vocab"]:
    """Return log Pr of every token after each one fed to the decoder: no code of the package."""
    with torch.inference_mode():
        out = model(
            input_ids=torch.tensor([source]), decoder_input_ids=torch.tensor([fed]), use_cache=False
        )
    logprobs: np.ndarray = out.logits[0].double().log_softmax(dim=-1).numpy()
    return logprobs


def t5_tokenizer() -> PreTrainedTokenizerFast:
    """T5's kind: words apart, ▁ before each, `</s>` after a text, and unknown characters."""
    backend = Tokenizer(models.Unigram())
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.WhitespaceSplit(),
            pre_tokenizers.Metaspace(prepend_scheme="always", split=True),
        ]
    )
    backend.decoder = decoders.Metaspace(prepend_scheme="always", split=True)
    backend.train_from_iterator(
        CORPUS,
        trainers.UnigramTrainer(
            vocab_size=120,
            special_tokens=["<pad>", "</s>", "<unk>", "<extra_id_0>"],
            unk_token="<unk>",
            show_progress=False,
        ),
    )
    backend.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", 1)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
        additional_special_tokens=["<extra_id_0>"],
    )


def bart_tokenizer() -> PreTrainedTokenizerFast:
    """BART's kind: bytes, no space of its own, `<s>` before a text and `</s>` after it."""
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.train_from_iterator(
        CORPUS,
        trainers.BpeTrainer(
            vocab_size=320,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            special_tokens=["<s>", "<pad>", "</s>", "<unk>"],
            show_progress=False,
        ),
    )
    backend.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        bos_token="<s>",
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
    )


def encdec_folder(folder: Path, family: str, **changes: object) -> Path:
    """Write a random model with a tokenizer trained here; return its folder."""
    tokenizer = t5_tokenizer() if family.startswith("t5") else bart_tokenizer()
    model = random_encdec(family, vocab_size=len(tokenizer), **changes)
    if isinstance(getattr(model, "final_logits_bias", None), torch.Tensor):
        model.final_logits_bias[0, 3] = 0.0
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
