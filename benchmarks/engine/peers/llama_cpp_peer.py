"""llama.cpp: batches of many sequences, a shared prefix by sequence copy, its lower-level API.

A header that all prompts share is decoded once; each prompt once, for all its candidates; equal
candidates up to their last token once. Logits are asked for only where a row is read. Several
prompts, then all their candidates, go in one batch.
"""

from __future__ import annotations

import ctypes
import importlib.metadata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import llama_cpp
import numpy as np
import torch

from benchmarks.engine.peers import gguf_file
from benchmarks.engine.peers.batches import open_model
from benchmarks.engine.scorers import Loading
from benchmarks.engine.workloads import Asked, Ids

_BATCH = 2048
"""Tokens in one call of decode."""

_GROUP = 1024
"""Tokens of the prompts and candidates that are in the cache together: every token's attention
looks over all of them."""

_CELLS = 6144
"""Of the cache: a header, a group, and the longest batch."""

_LOGITS_BYTES = 2**28
"""Of the rows asked for in one call."""

_F32 = 0
_NO_FLASH = 0


@dataclass(slots=True)
class _Row:
    """The tokens asked for after one fed token: places in the answers."""

    asked: list[int] = field(default_factory=list)
    places: list[tuple[int, int]] = field(default_factory=list)


@dataclass(slots=True)
class _Batch:
    """Tokens to decode: id, position, sequence, and the row to read where there is one."""

    tokens: list[tuple[int, int, int, _Row | None]] = field(default_factory=list)

    def add(self, ids: Ids, start: int, sequence: int, rows: Sequence[_Row | None]) -> None:
        """Add the ids of one sequence from a position on."""
        self.tokens.extend(
            (token, start + i, sequence, row)
            for i, (token, row) in enumerate(zip(ids, rows, strict=True))
        )


class LlamaCpp:
    """A context with a float32 cache where the weights are float32, else its default."""

    def __init__(self, loading: Loading) -> None:
        self.fed = 0
        path = loading.folder / "model.gguf"
        if not path.exists():
            gguf_file.write(open_model(loading), path)
        self._silence = llama_cpp.llama_log_callback(lambda *_: None)
        llama_cpp.llama_log_set(self._silence, ctypes.c_void_p(0))
        llama_cpp.llama_backend_init()
        on_model = llama_cpp.llama_model_default_params()
        on_model.n_gpu_layers = 0 if loading.device == "cpu" else 999
        self._weights = llama_cpp.llama_model_load_from_file(str(path).encode(), on_model)
        if not self._weights:
            msg = f"llama.cpp could not load {path}"
            raise RuntimeError(msg)
        self._sequences = llama_cpp.llama_max_parallel_sequences()
        options = llama_cpp.llama_context_default_params()
        options.n_ctx = _CELLS
        options.n_batch = _BATCH
        options.n_seq_max = self._sequences
        options.kv_unified = True  # a sequence copy then shares cells
        options.n_threads = options.n_threads_batch = loading.threads
        if loading.dtype == "float32":
            options.type_k = options.type_v = _F32
            # Its flash attention rounds to float16: sums then differ by 5e-3 from the reference.
            options.flash_attn_type = _NO_FLASH
        self._context = llama_cpp.llama_init_from_model(self._weights, options)
        if not self._context:
            msg = f"llama.cpp made no context of {_CELLS} cells"
            raise RuntimeError(msg)
        self._memory = llama_cpp.llama_get_memory(self._context)
        vocab = llama_cpp.llama_model_get_vocab(self._weights)
        self._vocab = llama_cpp.llama_vocab_n_tokens(vocab)
        self._batch = llama_cpp.llama_batch_init(_BATCH, 0, 1)
        self._rows = max(1, min(_BATCH, _LOGITS_BYTES // (4 * self._vocab)))

    def score(self, queries: Sequence[Asked], top: int | None) -> list[list[float | None]]:
        """Return the sums over the candidates' tokens."""
        del top
        self._answers = [np.zeros(len(query.candidates)) for query in queries]
        llama_cpp.llama_memory_clear(self._memory, False)  # noqa: FBT003 - a C function
        header = _common([query.prompt for query in queries])
        if header:
            start = _Batch()
            start.add(header, 0, 0, [None] * len(header))
            self._decode(start)
        group: list[int] = []
        size = 0
        for number, query in enumerate(queries):
            own = len(query.prompt) - len(header)
            own += sum(len(body) for body in {one[:-1] for one in query.candidates})
            if group and (
                size + own > _GROUP
                or len(group) + sum(len(queries[q].candidates) for q in [*group, number]) + 1
                >= self._sequences
            ):
                self._group(queries, group, len(header))
                group, size = [], 0
            group.append(number)
            size += own
        self._group(queries, group, len(header))
        return [[float(one) for one in answers] for answers in self._answers]

    def _group(self, queries: Sequence[Asked], group: Sequence[int], header: int) -> None:
        """Score some queries: a batch of their prompts, then batches of their candidates."""
        prompts = _Batch()
        for sequence, q in enumerate(group, start=1):
            query = queries[q]
            row = _Row(
                [candidate[0] for candidate in query.candidates],
                [(q, c) for c in range(len(query.candidates))],
            )
            self._copy(0, sequence)
            rest = query.prompt[header:]
            prompts.add(rest, header, sequence, [*[None] * (len(rest) - 1), row])
        self._decode(prompts)
        bodies = _Batch()
        first = free = len(group) + 1
        for sequence, q in enumerate(group, start=1):
            query = queries[q]
            for body, rows in _bodies(q, query).items():
                if free == self._sequences or len(bodies.tokens) + len(body) > _BATCH:
                    self._decode(bodies)
                    for used in range(first, free):
                        llama_cpp.llama_memory_seq_rm(self._memory, used, -1, -1)
                    bodies, free = _Batch(), first
                self._copy(sequence, free)
                bodies.add(body, len(query.prompt), free, rows)
                free += 1
        self._decode(bodies)
        for used in range(1, self._sequences):
            llama_cpp.llama_memory_seq_rm(self._memory, used, -1, -1)

    def _copy(self, source: int, target: int) -> None:
        llama_cpp.llama_memory_seq_cp(self._memory, source, target, -1, -1)

    def _decode(self, batch: _Batch) -> None:
        """Run tokens in as few calls as the limits of tokens and rows allow."""
        start = rows = 0
        for at, (_, _, _, row) in enumerate(batch.tokens):
            if at - start == _BATCH or (row is not None and rows == self._rows):
                self._call(batch.tokens[start:at])
                start, rows = at, 0
            rows += row is not None
        if batch.tokens[start:]:
            self._call(batch.tokens[start:])

    def _call(self, tokens: Sequence[tuple[int, int, int, _Row | None]]) -> None:
        batch = self._batch
        batch.n_tokens = len(tokens)
        read: list[_Row] = []
        for i, (token, position, sequence, row) in enumerate(tokens):
            batch.token[i] = token
            batch.pos[i] = position
            batch.n_seq_id[i] = 1
            batch.seq_id[i][0] = sequence
            batch.logits[i] = row is not None
            if row is not None:
                read.append(row)
        self.fed += len(tokens)
        status = llama_cpp.llama_decode(self._context, batch)
        if status != 0:
            msg = f"llama_decode of {len(tokens)} tokens returned {status}"
            raise RuntimeError(msg)
        if not read:
            return
        pointer = llama_cpp.llama_get_logits(self._context)
        logits = np.ctypeslib.as_array(pointer, shape=(len(read), self._vocab))
        logz = torch.from_numpy(logits).logsumexp(1).numpy()
        for row, values, whole in zip(read, logits, logz, strict=True):
            found = values[row.asked].astype(np.float64) - np.float64(whole)
            for (q, c), value in zip(row.places, found, strict=True):
                self._answers[q][c] += value

    def about(self) -> Mapping[str, str]:
        """Return its version."""
        return {"llama-cpp-python": importlib.metadata.version("llama-cpp-python")}


def _bodies(q: int, query: Asked) -> dict[Ids, list[_Row]]:
    """Return for each distinct candidate less its last token what is asked for after each token."""
    out: dict[Ids, list[_Row]] = {}
    for c, candidate in enumerate(query.candidates):
        body = candidate[:-1]
        if not body:
            continue
        rows = out.setdefault(body, [_Row() for _ in body])
        for row, token in zip(rows, candidate[1:], strict=True):
            row.asked.append(token)
            row.places.append((q, c))
    return out


def _common(prompts: Sequence[Ids]) -> Ids:
    """Return the longest prefix of all prompts that leaves each its last token."""
    if len(prompts) < 2:  # noqa: PLR2004 - nothing to share
        return ()
    first = prompts[0]
    size = min(len(prompt) for prompt in prompts) - 1
    while any(prompt[:size] != first[:size] for prompt in prompts):
        size -= 1
    return first[:size]


def load(loading: Loading) -> LlamaCpp:
    """Return the scorer."""
    return LlamaCpp(loading)
