"""The seam to models: token ids in, one log-probability per edge out.

Conventions every backend keeps:
- a row of logits is used as the model's forward pass emits it, over its full vocabulary;
- the last projection and all after it accumulate in at least float32; what is returned is float64;
- END is one outcome with logit logsumexp(u[end_ids]); an END edge's favourite, rank, entropy and
  alternatives treat it as one outcome (shown as the first of the end ids);
- what a backend can do is its type: `Model`, `Predictive`, `Stepwise`, `Glimpsing`,
  `Unconditional`, `EncoderDecoder`, `Reusing`, `Refining`, `Halved`, `Sized`.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Float64, Int64

from logpr._types import FloatEdges, FloatPrefixesVocab, FloatVocab, IntEdges, IntNodes
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


@dataclass(frozen=True, slots=True)
class StepRows:
    """The next-token distributions of some prefixes, in the type that the model emitted them.

    log Pr(token) = values − logz. `unseen` is None where rows are whole. Else the model showed
    only its best tokens: the others are −inf in `values`, and no one of them has a larger
    log-probability than `unseen`: −inf of a row that shows them all. The arrays are their reader's
    own, to be written into.
    """

    values: Float[np.ndarray, "prefixes vocab"]
    logz: Float64[np.ndarray, " prefixes"]
    unseen: Float64[np.ndarray, " prefixes"] | None = None

    def copy(self) -> StepRows:
        """Return the same rows in arrays of their own."""
        unseen = None if self.unseen is None else self.unseen.copy()
        return StepRows(self.values.copy(), self.logz.copy(), unseen)


@runtime_checkable
class Stepper(Protocol):
    """Beginnings of continuations of one prompt, each a node that one token more goes on from.

    A node keeps its parent for as long as somebody holds it; keys and values that there is no room
    for are computed again when they are needed. Nodes are numbers; a number is given out again
    once its node is gone.
    """

    @property
    def root(self) -> int:
        """The node of the prompt itself; it is never let go."""
        ...

    @property
    def fed(self) -> int:
        """Tokens that went through the network so far, the prompt's among them."""
        ...

    @property
    def fed_again(self) -> int:
        """Of `fed`: those whose keys and values had been let go for lack of room."""
        ...

    @property
    def calls(self) -> int:
        """Forward passes so far."""
        ...

    @property
    def nbytes(self) -> int:
        """Memory that keys and values take now."""
        ...

    @property
    def peak_bytes(self) -> int:
        """The most memory that keys and values took."""
        ...

    def start(self) -> StepRows:
        """Return the distribution after the prompt: one row. The prompt is computed once."""
        ...

    def extend(self, parents: IntNodes, tokens: IntNodes) -> tuple[IntNodes, StepRows]:
        """Return a new node for each parent with one token more, and the rows after them.

        The caller holds each new node once.

        Raises:
            ContextLengthError: a path with its prompt is longer than the context.
            ModelOutputError: a row has no distribution.
        """
        ...

    def hold(self, nodes: IntNodes, times: IntNodes) -> None:
        """Hold each node so many times more."""
        ...

    def release(self, nodes: IntNodes) -> None:
        """Let each node go once, as often as it is listed; unheld ones without children end."""
        ...

    def path(self, node: int) -> tuple[int, ...]:
        """Return the tokens from the prompt, exclusive, to the node."""
        ...


@runtime_checkable
class Stepwise(Model, Protocol):
    """A model that goes on from many beginnings at once, each token through it once."""

    def stepper(self, prompt_ids: Sequence[int], *, kv_bytes: int) -> Stepper:
        """Return the beginnings of continuations of one prompt, none of them computed yet.

        Args:
            prompt_ids: what comes before, at least one token.
            kv_bytes: keys and values held at most, the prompt's and those of one call apart.
        """
        ...


@dataclass(frozen=True, slots=True)
class Glimpses:
    """The best next tokens after each prefix, and their log-probabilities under the whole row.

    Tokens that are not listed have no larger log-probability than the smallest listed one, nor
    than what the listed ones leave of the probability. A row may be shorter than the others: −1
    and −inf fill it up.
    """

    token_ids: Int64[np.ndarray, "prefixes k"]
    logprobs: Float64[np.ndarray, "prefixes k"]


@runtime_checkable
class Glimpsing(Model, Protocol):
    """A model that shows the best next tokens alone: an endpoint with `top_logprobs`."""

    def next_top(self, prefixes: Sequence[Sequence[int]]) -> Glimpses:
        """Return the best next tokens after each prefix of token ids."""
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
