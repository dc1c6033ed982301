"""llama.cpp behind a few calls: a file loaded, tokens fed, logits of the positions asked for.

Keys and values are kept in float32, and attention is the plain one: what a file's weights make of
a sequence is computed with nothing rounded that need not be.
"""

from __future__ import annotations

import ctypes
import logging
import os
import weakref
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, final

import numpy as np
from jaxtyping import Float32

from logpr._types import IntNodes
from logpr.errors import MissingExtraError, ModelError, ModelLoadError

_FIRST_ROOM = 2048
"""Tokens that the cache has room for at first: it grows with what is asked, up to the context."""

_MULTIPLE = 256
_MOST_BATCH = 512
_MOST_ENTRIES = 2**25
"""Logits of one pass: 128 MiB."""

_F32 = 0
_PLAIN_ATTENTION = 0
"""Numbers that llama.h gives them."""

_LONGEST_TEXT = 256
_DTYPES = {"all F32": "float32", "F16": "float16", "BF16": "bfloat16"}


def library() -> Any:  # noqa: ANN401 - an untyped module
    """Return llama-cpp-python, told to print errors alone.

    Raises:
        MissingExtraError: it is not installed, or older than the calls made here.
    """
    try:
        import llama_cpp
    except ImportError as error:
        msg = (
            'GGUF files are run by llama-cpp-python, not installed here: pip install "logpr[gguf]"'
        )
        raise MissingExtraError(msg) from error
    if not hasattr(llama_cpp, "llama_memory_seq_rm"):
        found = getattr(llama_cpp, "__version__", "of an unknown version")
        msg = (
            f"the llama-cpp-python installed here ({found}) is from before llama.cpp's memory "
            f"calls of 2025: pip install -U llama-cpp-python"
        )
        raise MissingExtraError(msg)
    # It prints what it logs, by the level of this logger.
    logging.getLogger("llama-cpp-python").setLevel(logging.CRITICAL)
    return llama_cpp


@final
class Runner:
    """A GGUF file in llama.cpp, and the sequence whose keys and values it holds.

    Args:
        file: of a model that predicts the next token.

    Raises:
        MissingExtraError: llama-cpp-python is not installed.
        ModelLoadError: llama.cpp does not load the file, or it is of another kind of model.
    """

    def __init__(self, file: Path) -> None:
        self._lib = lib = library()
        self._file = file
        lib.llama_backend_init()
        params = lib.llama_model_default_params()
        params.n_gpu_layers = 0
        model = lib.llama_model_load_from_file(os.fsencode(file), params)
        if model is None:
            msg = (
                f"llama.cpp cannot load {file}: the file is cut short or no GGUF file, or of an "
                f"architecture newer than the llama-cpp-python installed; copy it again from "
                f"where it came from, or: pip install -U llama-cpp-python"
            )
            raise ModelLoadError(msg)
        self._model = model
        # What is made later is freed earlier: a context before its model.
        weakref.finalize(self, lib.llama_model_free, model)
        self._vocab = lib.llama_model_get_vocab(model)
        if lib.llama_model_has_encoder(model) or not lib.llama_model_has_decoder(model):
            msg = (
                f"{file} is of a model with an encoder, and GGUF files are read as models that "
                f"predict the next token; load its folder through transformers"
            )
            raise ModelLoadError(msg)
        self.vocab_size: int = lib.llama_vocab_n_tokens(self._vocab)
        self.context_length: int = lib.llama_model_n_ctx_train(model)
        self._batch_size = max(1, min(_MOST_BATCH, _MOST_ENTRIES // self.vocab_size))
        self._batch = lib.llama_batch_init(self._batch_size, 0, 1)
        weakref.finalize(self, lib.llama_batch_free, self._batch)
        self._context: Any = None
        self._free_context: Any = None
        self._room = 0
        self._held: list[int] = []
        self.fed = 0
        """Tokens that went through the network so far."""

    @property
    def dtype(self) -> str:
        """What the weights are stored in, such as "float32" or "Q4_K - Medium"."""
        text = ctypes.create_string_buffer(_LONGEST_TEXT)
        self._lib.llama_model_desc(self._model, text, _LONGEST_TEXT)
        # architecture, size, type: "llama 7B Q4_K - Medium".
        kind = text.value.decode("utf-8", "replace").split(" ", 2)[-1]
        return _DTYPES.get(kind, kind)

    @property
    def end_ids(self) -> tuple[int, ...]:
        """The tokens that llama.cpp ends a generation at."""
        return tuple(
            token
            for token in range(self.vocab_size)
            if self._lib.llama_vocab_is_eog(self._vocab, token)
        )

    def piece(self, token: int) -> bytes:
        """Return what llama.cpp writes for a token, a special one's name among them."""
        size = _LONGEST_TEXT
        while True:
            text = ctypes.create_string_buffer(size)
            # Nothing is stripped from its left, and special tokens are written.
            wrote = self._lib.llama_token_to_piece(self._vocab, token, text, size, 0, True)  # noqa: FBT003 - its signature
            if wrote >= 0:
                return text.raw[:wrote]
            size = -wrote

    def is_text(self, token: int) -> bool:
        """Return whether a token stands for text: it is not a control token, nor one unused."""
        unused_or_control = (
            self._lib.LLAMA_TOKEN_ATTR_UNUSED
            | self._lib.LLAMA_TOKEN_ATTR_CONTROL
            | self._lib.LLAMA_TOKEN_ATTR_UNKNOWN
        )
        return not self._lib.llama_vocab_get_attr(self._vocab, token) & unused_or_control

    def is_special(self, token: int) -> bool:
        """Return whether a token is a control token, or the one for what is unknown."""
        special = self._lib.LLAMA_TOKEN_ATTR_CONTROL | self._lib.LLAMA_TOKEN_ATTR_UNKNOWN
        return bool(self._lib.llama_vocab_get_attr(self._vocab, token) & special)

    def strips(self, token: int) -> tuple[bool, bool]:
        """Return whether a token swallows the white space on its left, and on its right."""
        attr = self._lib.llama_vocab_get_attr(self._vocab, token)
        lib = self._lib
        return bool(attr & lib.LLAMA_TOKEN_ATTR_LSTRIP), bool(attr & lib.LLAMA_TOKEN_ATTR_RSTRIP)

    @property
    def is_byte_level(self) -> bool:
        """Whether the file's tokenizer is byte-level BPE, as GPT-2's."""
        kind = self._lib.llama_vocab_type(self._vocab)
        return bool(kind == self._lib.LLAMA_VOCAB_TYPE_BPE)

    @property
    def chat_template(self) -> str | None:
        """The template that renders messages, where the file has one."""
        found = self._lib.llama_model_chat_template(self._model, None)
        return None if found is None else found.decode("utf-8", "replace")

    def declared(self) -> tuple[int | None, int | None, bool]:
        """Return the start token, the end token, and whether the first is put before a text."""
        bos, eos = self._lib.llama_vocab_bos(self._vocab), self._lib.llama_vocab_eos(self._vocab)
        adds = bos >= 0 and bool(self._lib.llama_vocab_get_add_bos(self._vocab))
        return (bos if bos >= 0 else None), (eos if eos >= 0 else None), adds

    def tokenised(self, text: bytes) -> list[int]:
        """Return llama.cpp's tokens of ordinary text: no special token in it, none put around it.

        Args:
            text: at least one byte.
        """
        # A token is at least a byte.
        ids = (self._lib.llama_token * len(text))()
        count = self._lib.llama_tokenize(
            self._vocab,
            text,
            len(text),
            ids,
            len(text),
            False,  # noqa: FBT003 - its signature
            False,  # noqa: FBT003 - as above
        )
        assert count >= 0, "there is room for as many tokens as bytes"
        return list(ids[:count])

    def rows(
        self, token_ids: Sequence[int], asked: IntNodes, *, reuse: bool
    ) -> Iterator[tuple[IntNodes, Float32[np.ndarray, "nodes vocab"]]]:
        """Yield positions of a sequence and the logits after them, a bounded number at a time.

        Args:
            token_ids: the sequence, no longer than the context.
            asked: positions in it, ascending and distinct.
            reuse: whether keys and values of the last sequence are used where both begin alike.

        Raises:
            ModelError: llama.cpp failed.
        """
        ids = list(token_ids)
        self._make_room(len(ids))
        # What is asked has to be fed: its logits are not kept.
        keep = self._kept(ids, int(asked[0])) if reuse else self._kept(ids, 0)
        stop = int(asked[-1]) + 1
        for start in range(keep, stop, self._batch_size):
            end = min(stop, start + self._batch_size)
            wanted = asked[(asked >= start) & (asked < end)]
            self._feed(ids[start:end], start, set(wanted.tolist()))
            if wanted.size:
                yield wanted, self._logits(wanted - start)

    def _feed(self, token_ids: Sequence[int], start: int, wanted: set[int]) -> None:
        batch = self._batch
        batch.n_tokens = len(token_ids)
        for place, token in enumerate(token_ids):
            batch.token[place] = token
            batch.pos[place] = start + place
            batch.n_seq_id[place] = 1
            batch.seq_id[place][0] = 0
            batch.logits[place] = start + place in wanted
        code = self._lib.llama_decode(self._context, batch)
        if code != 0:
            self._forget()
            msg = (
                f"llama.cpp failed on {self._file} with code {code}, at tokens {start} to "
                f"{start + len(token_ids) - 1} of a sequence; where memory is short, give a "
                f"shorter prompt"
            )
            raise ModelError(msg)
        self._held += token_ids
        self.fed += len(token_ids)

    def _logits(self, places: IntNodes) -> Float32[np.ndarray, "nodes vocab"]:
        out = np.empty((len(places), self.vocab_size), dtype=np.float32)
        for row, place in zip(out, places.tolist(), strict=True):
            found = self._lib.llama_get_logits_ith(self._context, place)
            row[:] = np.ctypeslib.as_array(found, shape=(self.vocab_size,))
        return out

    def _kept(self, ids: Sequence[int], most: int) -> int:
        """Keep the keys and values of what a sequence begins with, `most` tokens of it at most."""
        keep = 0
        for held, token in zip(self._held[:most], ids, strict=False):
            if held != token:
                break
            keep += 1
        memory = self._lib.llama_get_memory(self._context)
        # A state that is no list of keys (Mamba) cannot go back to an earlier token.
        if keep == 0 or not self._lib.llama_memory_seq_rm(memory, 0, keep, -1):
            self._forget()
            return 0
        del self._held[keep:]
        return keep

    def _forget(self) -> None:
        self._lib.llama_memory_clear(self._lib.llama_get_memory(self._context), True)  # noqa: FBT003 - its signature
        self._held = []

    def _make_room(self, length: int) -> None:
        """Have a cache that holds so many tokens: a larger one starts empty."""
        if self._context is not None and length <= self._room:
            return
        room = max(_FIRST_ROOM, self._room)
        while room < length:
            room *= 2
        room = min(room, -(-self.context_length // _MULTIPLE) * _MULTIPLE)
        params = self._lib.llama_context_default_params()
        params.n_ctx = room
        params.n_batch = params.n_ubatch = min(self._batch_size, room)
        params.type_k = params.type_v = _F32
        params.offload_kqv = params.op_offload = False
        params.swa_full = True
        # Attention in one pass would keep values in float16.
        params.flash_attn_type = _PLAIN_ATTENTION
        params.n_threads = params.n_threads_batch = max(1, (os.cpu_count() or 2) // 2)
        if self._free_context is not None:
            self._free_context()
        self._context, self._held, self._room = None, [], 0
        context = self._lib.llama_init_from_model(self._model, params)
        if context is None:
            msg = (
                f"llama.cpp has no memory for {room} tokens of {self._file}; give shorter prompts, "
                f"or a file with fewer layers"
            )
            raise ModelError(msg)
        self._context, self._room = context, room
        self._free_context = weakref.finalize(self, self._lib.llama_free, context)
