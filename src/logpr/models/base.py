"""The seam to models: token ids in, one log-probability per edge out.

Conventions every backend keeps:
- a row of logits is used as the model's forward pass emits it, over its full vocabulary;
- the last projection and all after it accumulate in at least float32; what is returned is float64;
- END is one outcome with logit logsumexp(u[end_ids]); an END edge's favourite, rank, entropy and
  alternatives treat it as one outcome (shown as the first of the end ids);
- what a backend can do is its type: `Model`, `Predictive`, `Unconditional`, `EncoderDecoder`,
  `Reusing`, `Refining`, `Halved`, `Sized`.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float64, Int64

from logpr._types import FloatEdges, FloatPrefixesVocab, FloatVocab, IntEdges
from logpr._values import ModelProvenance
from logpr.tokens.base import Tokenizer
from logpr.tokens.pack import Pack


@dataclass(frozen=True, slots=True)
class Evidence:
    """How much a backend says beside the log-probability.

    `columns` asks for rank, favourite and entropy of each edge's row; `alternatives` for that
    many of its best outcomes.
    """

    columns: bool = False
    alternatives: int = 0


NO_EVIDENCE = Evidence()


@dataclass(frozen=True, slots=True)
class EdgeColumns:
    """Evidence of each edge's row. `rank` is 1 + the number of strictly larger outcomes.

    `alternative_*` hold the k best outcomes, best first, ties by smaller id.
    """

    rank: IntEdges
    top_id: IntEdges
    top_logit: FloatEdges | None
    top_logprob: FloatEdges
    entropy: FloatEdges
    alternative_ids: Int64[np.ndarray, "edges k"]
    alternative_logprobs: Float64[np.ndarray, "edges k"]
    alternative_logits: Float64[np.ndarray, "edges k"] | None


@dataclass(frozen=True, slots=True)
class EdgeScores:
    """log Pr of each edge, float64, in the pack's edge order.

    logprob = logit − logz. `logit` and `logz` are None for backends that hold no logits.
    """

    logprob: FloatEdges
    logit: FloatEdges | None
    logz: FloatEdges | None
    columns: EdgeColumns | None = None


@dataclass(frozen=True, slots=True)
class NextRows:
    """Whole next-token distributions. `logits` is None for backends that hold none."""

    logprobs: FloatPrefixesVocab
    logits: FloatPrefixesVocab | None
    logz: Float64[np.ndarray, " prefixes"] | None


@runtime_checkable
class Model(Protocol):
    """Log-probability of every edge of a pack of prefixes. One call at a time: not thread-safe."""

    @property
    def tokenizer(self) -> Tokenizer | None:
        """The tokenizer, or None for a model of ids alone."""
        ...

    @property
    def vocab_size(self) -> int:
        """Rows of the head: ids run from 0 to vocab_size − 1."""
        ...

    @property
    def context_length(self) -> int:
        """The longest sequence of fed tokens that the model is made for."""
        ...

    @property
    def end_ids(self) -> tuple[int, ...]:
        """The end tokens that the model declares (generation config, tokenizer), or ()."""
        ...

    @property
    def provenance(self) -> ModelProvenance:
        """What the model is, how it runs, and its measured noise."""
        ...

    def edges(self, pack: Pack, *, evidence: Evidence = NO_EVIDENCE) -> EdgeScores:
        """Return the log-probability of every edge of `pack`.

        Raises:
            ModelOutputError: a row has no distribution (NaN, +inf).
            EmptyContextError: an edge at ROOT, and the model is not `Unconditional`.
        """
        ...


@runtime_checkable
class Predictive(Model, Protocol):
    """A model that also shows whole next-token distributions."""

    def next_logits(self, prefixes: Sequence[Sequence[int]]) -> NextRows:
        """Return the distribution after each prefix of token ids."""
        ...


@runtime_checkable
class Unconditional(Model, Protocol):
    """A model that gives the first token a probability with nothing before it (tables, dumps)."""

    def start_logprobs(self) -> FloatVocab:
        """Return the log-probabilities of the first token of a sequence."""
        ...


@runtime_checkable
class EncoderDecoder(Model, Protocol):
    """A model whose encoder reads x and whose decoder goes on with y: log Pr(y | x) all the same.

    Its packs name a source, the ids the encoder reads, for each root; what stands in the trie is
    the decoder's. `tokenizer`, `vocab_size`, `context_length` and `end_ids` are the decoder's too.
    """

    @property
    def decoder_start_ids(self) -> tuple[int, ...]:
        """What the decoder is fed before y: conditioned on, never scored. At least one token."""
        ...

    @property
    def source_tokenizer(self) -> Tokenizer | None:
        """The tokenizer of x; often the same as that of y."""
        ...

    @property
    def source_frame(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The special tokens that stand before and after x (T5: none, and `</s>`)."""
        ...

    @property
    def source_vocab_size(self) -> int:
        """Rows of the encoder's embedding: ids of x run from 0 to this, exclusive."""
        ...

    @property
    def source_length(self) -> int:
        """The longest x, frame included, that the encoder is made for."""
        ...

    def given(self, source_ids: Sequence[int]) -> Predictive:
        """Return the model of y alone, given one x: what `next` and searches go on from.

        Its contexts begin with `decoder_start_ids`, its packs name no source. The encoder runs
        once for all its calls.

        Args:
            source_ids: what the encoder reads, at least one token.

        Raises:
            EmptyContextError: there are no source ids.
            ContextLengthError: more than `source_length` of them.
        """
        ...


@runtime_checkable
class Reusing(Model, Protocol):
    """A model that keeps the keys and values of prefixes from one call of `edges` to the next."""

    def apart(self, *, keep: bool = True) -> AbstractContextManager[int]:
        """Keep what the calls inside the block compute away from what calls outside it compute.

            with model.apart() as held:
                ...

        Nothing that was held before is used inside; what the block held is dropped at its end, and
        what was held before is there again.

        `held` is a number of tokens. As long as the prefixes that the last calls went through have
        no more tokens than this together, the next call feeds none of them again (but a last token
        whose row is read). It is 0 where nothing is held from call to call: under `keep=False`, and
        by executors that reuse nothing.

        Args:
            keep: False holds nothing from call to call: each computes all that it needs.
        """
        ...


@runtime_checkable
class Refining(Model, Protocol):
    """A fast model with an exact twin.

    Its own numbers are within its `provenance.noise_per_token` of the twin's, token by token: a
    ranking asks the twin again about candidates that this much cannot tell from the best, and all
    else (single scores, next-token distributions) asks the twin alone.
    """

    @property
    def refined(self) -> Model:
        """The exact twin: same tokenizer, vocabulary and context; its noise is the smaller."""
        ...


@runtime_checkable
class Halved(Model, Protocol):
    """A model that can say what its numbers would be with weights in half precision."""

    def in_half(self, dtype: str) -> Predictive:
        """Return the same model, its weights rounded to `dtype`, what follows computed as before.

        Args:
            dtype: "bfloat16" or "float16".
        """
        ...


@runtime_checkable
class Sized(Model, Protocol):
    """A model whose work is known, so that its speed can be held against the machine's."""

    @property
    def matmul_weights(self) -> tuple[int, int]:
        """Weights that each token through the layers meets, and each row through the head."""
        ...

    def matmul_rate(self) -> float:
        """Return the FLOP/s of a plain matmul in the library, type and place of this model."""
        ...
