"""The NumPy runtime behind the seam to models, with its noise measured against the plain run."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, TypeAlias, cast, final

import numpy as np
from jaxtyping import Float

from logpr._types import IntEdges, IntNodes
from logpr._values import ModelProvenance
from logpr.errors import ContextLengthError, EmptyContextError, ModelLoadError, QueryError
from logpr.models._digest import weights_digest
from logpr.models._head import joined, next_rows, reordered, score_nodes, score_rows
from logpr.models._options import LoadOptions, refuse_unused
from logpr.models._probe import largest_difference, plain_paths, probe_pack
from logpr.models._speed import SIDE, matmul_flops
from logpr.models._versions import library_versions
from logpr.models.base import NO_EVIDENCE, EdgeScores, Evidence, NextRows
from logpr.models.builtin.config import LlamaConfig, read_config, read_json
from logpr.models.builtin.packed import PathCache, states_of
from logpr.models.builtin.plain import plain_logits
from logpr.models.builtin.steps import LlamaStepper
from logpr.models.builtin.threads import threads_for
from logpr.models.builtin.weights import Weights, load_weights, rounded_weights, weight_files
from logpr.numerics.half import HalfType
from logpr.tokens.pack import ROOT, Pack
from logpr.tokens.tokenizer import FastTokenizer
from logpr.tokens.trie import TokenTrie

Executor: TypeAlias = Literal["packed", "plain"]
Rows: TypeAlias = Float[np.ndarray, "rows vocab"]

_SHIPPED = Path(__file__).parent.parent / "builtin_model"
_DTYPES = ("float32", "float64")

_MOST_STEM_BYTES = 2**28
"""Keys and values of a prompt that are kept from one `next_logits` to the next: 256 MiB."""


def open_builtin(rest: str, options: LoadOptions) -> LlamaModel:
    """Return the model of `builtin` (rest is empty) or `builtin:FOLDER`.

    Args:
        rest: a Llama-type folder; the shipped one where it is empty.
        options: dtype (float32, float64; auto is float32, for NumPy has no bfloat16), device (cpu)
            and executor (packed, plain) are taken.
    """
    refuse_unused(options, backend="builtin", takes=("dtype", "device", "executor"))
    dtype = "float32" if options.dtype == "auto" else options.dtype
    given = (
        ("dtype", dtype, _DTYPES),
        ("device", options.device, ("cpu",)),
        ("executor", options.executor, ("packed", "plain")),
    )
    for name, value, known in given:
        if value is not None and value not in known:
            msg = (
                f"the builtin backend runs in NumPy with {name} {' or '.join(known)}, found "
                f"{name}={value!r}; choose one of these or leave it out"
            )
            raise QueryError(msg)
    return LlamaModel.from_folder(
        Path(rest).expanduser() if rest else _SHIPPED,
        dtype=dtype or "float32",
        executor=cast("Executor", options.executor or "packed"),
        name=f"builtin:{rest}" if rest else "builtin",
    )


@final
class LlamaModel:
    """Implements `Predictive` and `Stepwise` for Llama-type folders, in float32 or float64.

    Args:
        weights: its arrays.
        config: its shape.
        name: what provenance calls it.
        tokenizer: None for a model of ids alone.
        end_ids: the end tokens it declares.
        executor: `packed`, or `plain`, one sequence at a time.
        files: the weight files, for their digest.
    """

    def __init__(
        self,
        weights: Weights,
        config: LlamaConfig,
        *,
        name: str,
        tokenizer: FastTokenizer | None = None,
        end_ids: tuple[int, ...] = (),
        executor: Executor = "packed",
        files: Sequence[Path] = (),
    ) -> None:
        self._weights = weights
        self._config = config
        self._name = name
        self._executor = executor
        self._files = tuple(files)
        # The last prompt of `next_logits`: searches ask many prefixes of one.
        self._stem: tuple[tuple[int, ...], PathCache] | None = None
        self.tokenizer = tokenizer
        self.end_ids = end_ids

    @classmethod
    def from_folder(
        cls,
        folder: str | Path,
        *,
        dtype: str = "float32",
        executor: Executor = "packed",
        name: str | None = None,
    ) -> LlamaModel:
        """Return the model of a Hugging Face folder of Llama type.

        Args:
            folder: config.json, safetensors, and where texts are to be scored tokenizer.json.
            dtype: float32 or float64, whatever the weights were saved in.
            executor: how packs run.
            name: what provenance calls it; the folder by default.

        Raises:
            MissingFileError: the folder does not exist.
            ModelLoadError: something in it is missing, corrupt or not computed here.
        """
        folder = Path(folder)
        config = read_config(folder)
        weights = load_weights(folder, config, np.dtype(dtype))
        has_tokenizer = (folder / "tokenizer.json").is_file()
        return cls(
            weights,
            config,
            name=f"builtin:{folder}" if name is None else name,
            tokenizer=FastTokenizer.from_folder(folder) if has_tokenizer else None,
            end_ids=_end_ids(folder, config),
            executor=executor,
            files=weight_files(folder),
        )

    def in_half(self, dtype: str) -> LlamaModel:
        """Return the same model with its weights rounded to bfloat16 or float16.

        Args:
            dtype: the type that the weights are rounded to; the arithmetic stays as it is.
        """
        return LlamaModel(
            rounded_weights(self._weights, cast("HalfType", dtype)),
            self._config,
            name=f"{self._name} in {dtype}",
            tokenizer=self.tokenizer,
            end_ids=self.end_ids,
            executor=self._executor,
        )

    @property
    def vocab_size(self) -> int:
        """Rows of the head."""
        return self._config.vocab

    @property
    def context_length(self) -> int:
        """`max_position_embeddings` of the configuration."""
        return self._config.context_length

    @property
    def matmul_weights(self) -> tuple[int, int]:
        """Weights that each token through the layers meets, and each row through the head."""
        layers = sum(
            layer.qkv.size + layer.out.size + layer.gate_up.size + layer.down.size
            for layer in self._weights.layers
        )
        return layers, self._weights.head.size

    def matmul_rate(self) -> float:
        """Return the FLOP/s of a plain matmul in the library, type and place of this model."""
        square = np.ones((SIDE, SIDE), dtype=self._weights.head.dtype)
        return matmul_flops(lambda: square @ square)

    @functools.cached_property
    def provenance(self) -> ModelProvenance:
        """What the model is; the first look measures its packing noise, a fraction of a second.

        `noise_precision` is 0: float32 is what it is measured against, and float64 errs less.
        """
        return ModelProvenance(
            model=self._name,
            backend="builtin",
            weights_digest=weights_digest(self._files) if self._files else None,
            tokenizer_digest=None if self.tokenizer is None else self.tokenizer.digest,
            dtype=str(self._weights.embedding.dtype),
            executor=self._executor,
            noise_packing=self._packing_noise(),
            versions=library_versions("numpy", "tokenizers"),
        )

    def edges(self, pack: Pack, *, evidence: Evidence = NO_EVIDENCE) -> EdgeScores:
        """Return the log-probability of every edge of `pack`.

        Raises:
            EmptyContextError: an edge at ROOT.
            ContextLengthError: a path is longer than the context.
            ModelOutputError: a row has nan or +inf.
        """
        self._check(pack)
        with threads_for(self._config.width):
            return (self._plain if self._executor == "plain" else self._packed)(pack, evidence)

    def next_logits(self, prefixes: Sequence[Sequence[int]]) -> NextRows:
        """Return the distribution after each prefix of token ids.

        What all prefixes share is fed once, and kept for the next call.

        Raises:
            EmptyContextError: a prefix is empty.
            ContextLengthError: a prefix is longer than the context.
            ModelOutputError: a row has nan or +inf.
        """
        if not prefixes:
            return next_rows(np.empty((0, self.vocab_size), dtype=self._weights.head.dtype))
        with threads_for(self._config.width):
            return self._next(prefixes)

    def stepper(self, prompt_ids: Sequence[int], *, kv_bytes: int) -> LlamaStepper:
        """Return the beginnings of continuations of one prompt, none of them computed yet.

        They are computed in batches, each token once, whatever the executor.

        Args:
            prompt_ids: what comes before, at least one token.
            kv_bytes: keys and values held at most, the prompt's and those of one pass apart.

        Raises:
            EmptyContextError: the prompt is empty.
            ContextLengthError: it is longer than the context.
        """
        return LlamaStepper(
            self._weights, self._config, prompt_ids, kv_bytes=kv_bytes, name=self._name
        )

    def _next(self, prefixes: Sequence[Sequence[int]]) -> NextRows:
        whole = [tuple(prefix) for prefix in prefixes]
        if self._executor == "plain":
            return next_rows(np.stack([self.plain(prefix)[-1] for prefix in whole]))
        if not all(whole):
            raise EmptyContextError(_NOTHING_BEFORE)
        # The last token of a prefix is always fed: its row is what is asked.
        shared = min(_shared(whole[0], prefix) for prefix in whole)
        stem_ids = whole[0][: min(shared, min(map(len, whole)) - 1)]
        stem = self._stem_of(stem_ids)
        trie = TokenTrie()
        asked = [trie.ask(prefix[len(stem_ids) :], (0,))[0] for prefix in whole]
        pack, place = trie.pack()
        self._check(pack, before=len(stem_ids))
        nodes = np.unique(pack.edge_nodes)
        states, _ = states_of(self._weights, self._config, pack, nodes, stem=stem)
        where = np.searchsorted(nodes, pack.edge_nodes[[place[edge] for edge in asked]])
        rows: Rows = states[where] @ self._weights.head.T
        return next_rows(rows)

    def plain(self, token_ids: Sequence[int]) -> Float[np.ndarray, "tokens vocab"]:
        """Return the logits after every token of one sequence, the slow and obvious way.

        In float64 this is the oracle that faster runs are held to.

        Args:
            token_ids: the sequence from its start.

        Raises:
            EmptyContextError: there is no token.
            ContextLengthError: there are more than the context holds.
        """
        if not token_ids:
            raise EmptyContextError(_NOTHING_BEFORE)
        trie = TokenTrie()
        trie.feed(token_ids)
        self._check(trie.pack()[0])
        with threads_for(self._config.width):
            return plain_logits(self._weights, self._config, token_ids)

    def _packed(self, pack: Pack, evidence: Evidence) -> EdgeScores:
        asked = np.unique(pack.edge_nodes)
        states, _ = states_of(self._weights, self._config, pack, asked)

        def rows_of(nodes: IntNodes) -> Rows:
            rows: Rows = states[np.searchsorted(asked, nodes)] @ self._weights.head.T
            return rows

        return score_nodes(rows_of, pack, evidence, vocab=self.vocab_size)

    def _plain(self, pack: Pack, evidence: Evidence) -> EdgeScores:
        if len(pack.edge_nodes) == 0:
            return self._packed(pack, evidence)
        parts: list[EdgeScores] = []
        edges: list[IntEdges] = []
        for path in plain_paths(pack):
            logits = plain_logits(self._weights, self._config, path.token_ids.tolist())
            rows, row_of_edge = np.unique(path.positions, return_inverse=True)
            tokens = pack.edge_tokens[path.edges]
            parts.append(score_rows(logits[rows], row_of_edge, tokens, pack.end_ids, evidence))
            edges.append(path.edges)
        return reordered(joined(parts), np.argsort(np.concatenate(edges)))

    def _packing_noise(self) -> float:
        if self._executor == "plain":
            return 0.0
        pack = probe_pack(self.vocab_size, self.context_length)
        with threads_for(self._config.width):
            packed, plain = self._packed(pack, NO_EVIDENCE), self._plain(pack, NO_EVIDENCE)
        return largest_difference(packed, plain)

    def _stem_of(self, token_ids: tuple[int, ...]) -> PathCache | None:
        """Return the keys and values of a path, from the last one asked where they agree."""
        known, cache = self._stem or ((), None)
        shared = _shared(known, token_ids)
        if cache is not None:
            cache = cache.first(shared)
        if shared < len(token_ids):
            trie = TokenTrie()
            trie.feed(token_ids[shared:])
            pack, _ = trie.pack()
            self._check(pack, before=shared)
            nothing = np.empty(0, dtype=np.int64)
            _, cache = states_of(self._weights, self._config, pack, nothing, stem=cache)
        if cache is not None and 2 * cache.keys.nbytes <= _MOST_STEM_BYTES:
            self._stem = (token_ids, cache)
        return cache

    def _check(self, pack: Pack, *, before: int = 0) -> None:
        if len(pack.edge_nodes) and pack.edge_nodes[0] == ROOT:
            raise EmptyContextError(_NOTHING_BEFORE)
        longest = before + int(pack.depths.max(initial=-1)) + 1
        if longest > self.context_length:
            msg = (
                f"{longest} tokens, and the context of {self._name} holds {self.context_length}; "
                f"shorten the prompt, or drop tokens from its left: truncate='left'"
            )
            raise ContextLengthError(msg)
        for ids in (pack.token_ids, np.maximum(pack.edge_tokens, 0), np.asarray(pack.end_ids)):
            assert ids.size == 0 or (ids.min() >= 0 and ids.max() < self.vocab_size), (
                "ids outside the vocabulary are refused before they come here"
            )


_NOTHING_BEFORE = (
    "the first token has nothing before it to be conditioned on; give a prompt, or a start token: "
    "bos='always'"
)


def _shared(a: Sequence[int], b: Sequence[int]) -> int:
    """Return how many tokens two sequences begin with in common."""
    for place, (left, right) in enumerate(zip(a, b, strict=False)):
        if left != right:
            return place
    return min(len(a), len(b))


def _end_ids(folder: Path, config: LlamaConfig) -> tuple[int, ...]:
    """Return the declared end tokens: of generation_config.json, else of config.json."""
    for name in ("generation_config.json", "config.json"):
        if not (folder / name).is_file():
            continue
        declared = read_json(folder / name).get("eos_token_id")
        if declared is None:
            continue
        ids = declared if isinstance(declared, list) else [declared]
        if not all(type(token) is int and 0 <= token < config.vocab for token in ids):
            msg = (
                f"{folder / name}: eos_token_id is {declared!r}; it has to be an id from 0 to "
                f"{config.vocab - 1}, or a list of them; mend the file"
            )
            raise ModelLoadError(msg)
        return tuple(dict.fromkeys(ids))
    return ()
