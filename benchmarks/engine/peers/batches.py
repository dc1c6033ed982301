"""What the peers on transformers share: the model of a folder, rows in a batch, tokens fed."""

from __future__ import annotations

from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerFast

from benchmarks.engine.scorers import Loading

_MOST_ROWS = 8
_LOGITS_BYTES = 2**30
"""The whole logits of a batch are held at once, several times over: beyond this a machine swaps."""


def open_model(loading: Loading) -> PreTrainedModel:
    """Return the model of the folder, in evaluation mode, as transformers runs it by default."""
    model: Any = AutoModelForCausalLM.from_pretrained(
        loading.folder, dtype=getattr(torch, loading.dtype), local_files_only=True
    )
    opened: PreTrainedModel = model.to(loading.device).eval()
    return opened


def vocab_size(model: PreTrainedModel) -> int:
    """Return the number of rows of the model's embedding, which is its head's too."""
    embedding: Any = model.get_input_embeddings()
    return len(embedding.weight)


def batch_rows(longest: int, vocab: int) -> int:
    """Return how many sequences go in a batch: 8, fewer where their logits would not fit.

    Args:
        longest: tokens in the longest sequence.
        vocab: entries of a row of logits, four bytes each.
    """
    rows = _MOST_ROWS
    while rows > 1 and rows * longest * vocab * 4 > _LOGITS_BYTES:
        rows //= 2
    return rows


def count_fed(model: PreTrainedModel, counter: Any) -> None:  # noqa: ANN401 - any with `fed`
    """Add to `counter.fed` the ids that go into the embedding, at every call."""

    def hook(_module: object, given: tuple[torch.Tensor, ...]) -> None:
        counter.fed += given[0].numel()

    model.get_input_embeddings().register_forward_pre_hook(hook)


def ids_tokenizer(vocab: int) -> PreTrainedTokenizerFast:
    """Return a tokenizer whose text "t5 t7" is the ids 5, 7.

    Args:
        vocab: number of ids.
    """
    words = models.WordLevel({f"t{i}": i for i in range(vocab)}, unk_token="t0")  # noqa: S106 - a token of text
    tokenizer = Tokenizer(words)
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    special = {"bos_token": "t1", "eos_token": "t2", "pad_token": "t0"}
    make: Any = PreTrainedTokenizerFast
    wrapped: PreTrainedTokenizerFast = make(tokenizer_object=tokenizer, **special)
    return wrapped
