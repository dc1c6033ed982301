"""A GGUF file behind the seam to models: llama.cpp's logits, one sequence after the other."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, TypeAlias, cast, final

import numpy as np
from jaxtyping import Float

from logpr._types import IntEdges
from logpr._values import ModelProvenance
from logpr.errors import (
    ContextLengthError,
    EmptyContextError,
    MissingFileError,
    ModelLoadError,
    QueryError,
)
from logpr.models._digest import weights_digest
from logpr.models._head import joined, next_rows, reordered, score_rows
from logpr.models._options import LoadOptions, refuse_unused
from logpr.models._probe import largest_difference, plain_paths, probe_pack
from logpr.models._versions import library_versions
from logpr.models.base import NO_EVIDENCE, EdgeScores, Evidence, NextRows
from logpr.models.gguf._tokens import GgufTokenizer
from logpr.models.gguf.runner import Runner
from logpr.tokens.base import Tokenizer
from logpr.tokens.pack import ROOT, Pack
from logpr.tokens.tokenizer import FastTokenizer

Executor: TypeAlias = Literal["prefix", "plain"]

_TOKENIZER = "#tokenizer="


def open_gguf(rest: str, options: LoadOptions) -> GgufModel:
    """Return the model of `gguf:FILE.gguf` or `gguf:FILE.gguf#tokenizer=FOLDER`.

    Args:
        rest: the file, and where its own tokenizer is not to be used the folder of another.
        options: device (cpu) and executor (prefix, plain) are taken.

    Raises:
        QueryError: an option, or no file is named.
        MissingFileError: the file or the folder does not exist.
        MissingExtraError: llama-cpp-python is not installed.
        ModelLoadError: the file is no model, or the tokenizer is another's.
    """
    refuse_unused(options, backend="gguf", takes=("device", "executor"))
    given = (
        ("device", options.device, ("cpu",)),
        ("executor", options.executor, ("prefix", "plain")),
    )
    for name, value, known in given:
        if value is not None and value not in known:
            msg = (
                f"the gguf backend runs with {name} {' or '.join(known)}, found {name}={value!r}; "
                f"choose one of these or leave it out"
            )
            raise QueryError(msg)
    file, named, folder = rest.partition(_TOKENIZER)
    if not file or (named and not folder):
        what = f"no folder behind {_TOKENIZER}" if file else "no file"
        msg = f"gguf: names {what}; give gguf:FILE.gguf or gguf:FILE.gguf{_TOKENIZER}FOLDER"
        raise QueryError(msg)
    return GgufModel.from_file(
        Path(file).expanduser(),
        tokenizer_folder=Path(folder).expanduser() if folder else None,
        executor=cast("Executor", options.executor or "prefix"),
    )


@final
class GgufModel:
    """Implements `Model` and `Predictive` for GGUF files.

    Args:
        runner: of the file.
        file: where it is.
        tokenizer: None for a model of ids alone.
        executor: `prefix`, which keeps keys and values of what a sequence shares with the one
            before it, or `plain`, each sequence by itself.
    """

    def __init__(
        self,
        runner: Runner,
        file: Path,
        *,
        tokenizer: Tokenizer | None = None,
        executor: Executor = "prefix",
    ) -> None:
        self._runner = runner
        self._file = file
        self._name = f"gguf:{file}"
        self._executor = executor
        self.tokenizer = tokenizer
        self.end_ids = runner.end_ids

    @classmethod
    def from_file(
        cls, file: Path, *, tokenizer_folder: Path | None = None, executor: Executor = "prefix"
    ) -> GgufModel:
        """Return the model of a GGUF file.

        Args:
            file: of a model that predicts the next token.
            tokenizer_folder: holds the tokenizer.json of the model that the file was made from;
                without it the file's own is used where it is byte-level BPE, and no other.
            executor: how sequences run.

        Raises:
            MissingFileError: the file or the folder does not exist.
            MissingExtraError: llama-cpp-python is not installed.
            ModelLoadError: the file is no model, or the tokenizer is another's.
        """
        if not file.is_file():
            msg = f"there is no file {str(file)!r}; give the path of a GGUF file: gguf:FILE.gguf"
            raise MissingFileError(msg)
        runner = Runner(file)
        tokenizer: Tokenizer | None = None
        if tokenizer_folder is not None:
            theirs = FastTokenizer.from_folder(tokenizer_folder)
            _require_same_pieces(runner, theirs, file, tokenizer_folder)
            tokenizer = theirs
        elif runner.is_byte_level:
            tokenizer = GgufTokenizer(runner, file)
        return cls(runner, file, tokenizer=tokenizer, executor=executor)

    @property
    def vocab_size(self) -> int:
        """Rows of the head."""
        return self._runner.vocab_size

    @property
    def context_length(self) -> int:
        """The context that the file declares."""
        return self._runner.context_length

    @functools.cached_property
    def provenance(self) -> ModelProvenance:
        """What the model is; the first look measures its packing noise on a random trie.

        `noise_precision` is 0: the weights of the file are the model, and what llama.cpp rounds
        beside them (it multiplies quantised weights with quantised activations) is part of how
        it computes any sequence.
        """
        return ModelProvenance(
            model=self._name,
            backend="gguf",
            weights_digest=weights_digest((self._file,)),
            tokenizer_digest=None if self.tokenizer is None else self.tokenizer.digest,
            dtype=self._runner.dtype,
            executor=self._executor,
            noise_packing=self._packing_noise(),
            versions=library_versions("numpy", "llama-cpp-python"),
        )

    def edges(self, pack: Pack, *, evidence: Evidence = NO_EVIDENCE) -> EdgeScores:
        """Return the log-probability of every edge of `pack`.

        Raises:
            EmptyContextError: an edge at ROOT.
            ContextLengthError: a path is longer than the context.
            ModelOutputError: a row has nan or +inf.
            ModelError: llama.cpp failed.
        """
        return self._edges(pack, evidence, reuse=self._executor == "prefix")

    def next_logits(self, prefixes: Sequence[Sequence[int]]) -> NextRows:
        """Return the distribution after each prefix of token ids.

        What a prefix shares with the one before it (in sorted order) is not fed again.

        Raises:
            EmptyContextError: a prefix is empty.
            ContextLengthError: a prefix is longer than the context.
            ModelOutputError: a row has nan or +inf.
            ModelError: llama.cpp failed.
        """
        rows: Float[np.ndarray, "prefixes vocab"] = np.empty(
            (len(prefixes), self.vocab_size), dtype=np.float32
        )
        for prefix in prefixes:
            self._check(len(prefix))
        for place in sorted(range(len(prefixes)), key=lambda each: tuple(prefixes[each])):
            prefix = prefixes[place]
            last = np.array([len(prefix) - 1])
            for _, found in self._runner.rows(prefix, last, reuse=self._executor == "prefix"):
                rows[place] = found[0]
        return next_rows(rows)

    def _edges(self, pack: Pack, evidence: Evidence, *, reuse: bool) -> EdgeScores:
        if len(pack.edge_nodes) and pack.edge_nodes[0] == ROOT:
            self._check(0)
        self._check(max(1, int(pack.depths.max(initial=-1)) + 1))
        parts: list[EdgeScores] = []
        order: list[IntEdges] = []
        for path in plain_paths(pack):
            asked = np.unique(path.positions)
            for positions, rows in self._runner.rows(path.token_ids.tolist(), asked, reuse=reuse):
                here = np.isin(path.positions, positions)
                edges = path.edges[here]
                row_of_edge = np.searchsorted(positions, path.positions[here])
                tokens = pack.edge_tokens[edges]
                parts.append(score_rows(rows, row_of_edge, tokens, pack.end_ids, evidence))
                order.append(edges)
        if not parts:
            nothing = np.empty(0, dtype=np.int64)
            rows = np.empty((0, self.vocab_size), dtype=np.float32)
            return score_rows(rows, nothing, nothing, pack.end_ids, evidence)
        return reordered(joined(parts), np.argsort(np.concatenate(order)))

    def _packing_noise(self) -> float:
        if self._executor == "plain":
            return 0.0
        pack = probe_pack(self.vocab_size, self.context_length)
        kept = self._edges(pack, NO_EVIDENCE, reuse=True)
        return largest_difference(kept, self._edges(pack, NO_EVIDENCE, reuse=False))

    def _check(self, size: int) -> None:
        if not size:
            msg = (
                "the first token has nothing before it to be conditioned on; give a prompt, or a "
                "start token: bos='always'"
            )
            raise EmptyContextError(msg)
        if size > self.context_length:
            msg = (
                f"{size} tokens, and the context of {self._name} holds {self.context_length}; "
                f"shorten the prompt, or drop tokens from its left: truncate='left'"
            )
            raise ContextLengthError(msg)


def _require_same_pieces(
    runner: Runner, tokenizer: FastTokenizer, file: Path, folder: Path
) -> None:
    """Refuse a tokenizer whose tokens are not the file's, by the text of each.

    Raises:
        ModelLoadError: it has more tokens, or one of another text.
    """
    if tokenizer.vocab_size > runner.vocab_size:
        msg = (
            f"{folder} has {tokenizer.vocab_size} tokens, and {file} has {runner.vocab_size}; "
            f"give the tokenizer of the model that the file was made from"
        )
        raise ModelLoadError(msg)
    for token in range(tokenizer.vocab_size):
        if token in tokenizer.special_ids or not runner.is_text(token):
            continue
        own, theirs = tokenizer.token_bytes(token), runner.piece(token)
        if own != theirs:
            msg = (
                f"token {token} is {own!r} in {folder} and {theirs!r} in {file}; give the "
                f"tokenizer of the model that the file was made from"
            )
            raise ModelLoadError(msg)
