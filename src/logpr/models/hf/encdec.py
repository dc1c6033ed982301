"""An encoder–decoder model of transformers behind the seam: x to the encoder, y to the decoder."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from transformers import PretrainedConfig, PreTrainedModel

from logpr._values import ModelProvenance
from logpr.errors import (
    ContextLengthError,
    EmptyContextError,
    ModelLoadError,
    UnknownNameError,
)
from logpr.models.base import NO_EVIDENCE, EdgeScores, Evidence
from logpr.models.hf.declared import declared_end_ids
from logpr.models.hf.devices import exact_float32
from logpr.models.hf.encdec_probe import EXECUTORS, Under, choose, some_source
from logpr.models.hf.head import Head
from logpr.models.hf.memory import named_lack
from logpr.models.hf.model import HFModel
from logpr.models.hf.probe import Tried
from logpr.models.hf.scoring import score_pack
from logpr.models.hf.sourced import BySource
from logpr.models.hf.trials import check_asked, on_random_tokens, provenance_of
from logpr.models.hf.trunk import Trunk, embedding, quiet
from logpr.models.hf.verify import check_causal, find_head
from logpr.tokens.base import Tokenizer
from logpr.tokens.pack import ROOT, Pack
from logpr.tokens.seq2seq import Frame, Sides

_NO_LIMIT = sys.maxsize


class HFEncoderDecoder:
    """A model of transformers that is an `EncoderDecoder`: T5, BART, Marian and their like.

    Made by `from_modules` or `logpr.load`.
    """

    __slots__ = (
        "_end_ids",
        "_executor",
        "_head",
        "_lengths",
        "_probe_report",
        "_provenance",
        "_sides",
        "_start_ids",
        "_trunk",
        "_vocab_size",
    )

    def __init__(
        self,
        *,
        trunk: Trunk,
        head: Head,
        executor: BySource,
        sides: Sides | None,
        start_ids: tuple[int, ...],
        vocab_size: int,
        lengths: tuple[int, int],
        provenance: ModelProvenance,
        probe_report: tuple[Tried, ...],
    ) -> None:
        self._trunk = trunk
        self._head = head
        self._executor = executor
        self._sides = sides
        self._start_ids = start_ids
        self._vocab_size = vocab_size
        self._lengths = lengths
        self._end_ids = declared_end_ids(trunk.model, vocab_size)
        self._provenance = provenance
        self._probe_report = probe_report

    @classmethod
    def from_modules(
        cls,
        model: PreTrainedModel,
        sides: Sides | None = None,
        *,
        name: str | None = None,
        executor: str | None = None,
        digest: str | None = None,
        pack_tokens: int | None = None,
        kv_bytes: int | None = None,
    ) -> HFEncoderDecoder:
        """Return the model around a module in memory, after probing it.

        Args:
            model: on its device and in its dtype; is put into evaluation mode.
            sides: its tokenizers, or None for ids alone.
            name: for provenance; the class by default.
            executor: `cache` or `plain`; by default the first that the probe finds right.
            digest: of the weights; computed from the tensors by default.
            pack_tokens: tokens of a forward pass of the decoder at most.
            kv_bytes: keys and values that wait for their turn; what has to go for others is fed
                again. (None are held from call to call.)

        Raises:
            ModelLoadError: its decoder is not causal or declares no start token, or the executor
                is not right for it.
            ModelOutputError: its forward pass gives no numbers.
            UnknownNameError: no executor is called that, or none that runs such a model.
        """
        if executor is not None and executor not in EXECUTORS:
            msg = (
                f"an encoder–decoder model runs by {' or '.join(EXECUTORS)}, and executor="
                f"{executor!r} is neither; leave it out"
            )
            raise UnknownNameError(msg)
        model.eval()  # type: ignore[no-untyped-call]
        start_ids = start_ids_of(model, sides)
        lengths = lengths_of(model)
        source_vocab = len(embedding(model))
        with quiet(), exact_float32():
            some = some_source(source_vocab, lengths[0])
            trunk, head, outcomes = find_head(model, context_length=lengths[1], source_ids=some)
            ids = min(outcomes, trunk.outcomes)
            check_causal(trunk, vocab_size=ids, context_length=lengths[1])
            with on_random_tokens(model):
                choice = choose(
                    trunk, head, vocabs=(source_vocab, ids), lengths=lengths, forced=executor
                )
        check_asked(executor, choice, model)
        provenance = provenance_of(
            model,
            choice,
            name=name,
            digest=digest,
            tokenizer_digest=None if sides is None else sides.digest,
            device=trunk.device,
            executor=choice.executor.name,
        )
        return cls(
            trunk=trunk,
            head=head,
            executor=BySource(
                choice.executor.name,
                choice.executor.trunk if isinstance(choice.executor, BySource) else trunk,
                Under(choice.executor.name, tokens=pack_tokens, room=kv_bytes),
            ),
            sides=sides,
            start_ids=start_ids,
            vocab_size=outcomes,
            lengths=lengths,
            provenance=provenance,
            probe_report=choice.tried,
        )

    @property
    def tokenizer(self) -> Tokenizer | None:
        """Return the tokenizer of y, or None for ids alone."""
        return None if self._sides is None else self._sides.target

    @property
    def source_tokenizer(self) -> Tokenizer | None:
        """Return the tokenizer of x, or None for ids alone."""
        return None if self._sides is None else self._sides.source

    @property
    def source_frame(self) -> Frame:
        """Return the special tokens that stand before and after x."""
        return ((), ()) if self._sides is None else self._sides.frame

    @property
    def decoder_start_ids(self) -> tuple[int, ...]:
        """Return what the decoder is fed before y."""
        return self._start_ids

    @property
    def vocab_size(self) -> int:
        """Return the number of outcomes: rows of the head."""
        return self._vocab_size

    @property
    def source_vocab_size(self) -> int:
        """Return the rows of the encoder's embedding."""
        return len(embedding(self._trunk.model))

    @property
    def context_length(self) -> int:
        """Return the longest sequence of fed tokens that the decoder is made for."""
        return self._lengths[1]

    @property
    def source_length(self) -> int:
        """Return the longest x that the encoder is made for."""
        return self._lengths[0]

    @property
    def end_ids(self) -> tuple[int, ...]:
        """Return the end tokens of the generation config, else of the config."""
        return self._end_ids

    @property
    def provenance(self) -> ModelProvenance:
        """Return what the model is, how it runs, and its measured noise."""
        return self._provenance

    @property
    def probe_report(self) -> tuple[Tried, ...]:
        """Return each executor's trial at load: taken or not, how far off, why."""
        return self._probe_report

    def edges(self, pack: Pack, *, evidence: Evidence = NO_EVIDENCE) -> EdgeScores:
        """Return the log-probability of every edge of `pack`."""
        if (pack.edge_nodes == ROOT).any():
            msg = (
                "there is no token before the first one asked about, and a decoder needs one: "
                "begin with decoder_start_ids"
            )
            raise EmptyContextError(msg)
        if len(pack) and not pack.sources:
            msg = "this pack names no source, and the encoder needs something to read: give x"
            raise EmptyContextError(msg)
        for source in pack.sources:
            self._check_source(source)
        longest = int(pack.depths.max(initial=-1)) + 1
        if longest > self.context_length:
            msg = (
                f"a continuation is {longest} tokens with what the decoder starts from, longer "
                f"than the decoder of {self._provenance.model} holds, {self.context_length}: give "
                f"less"
            )
            raise ContextLengthError(msg)
        return score_pack(self._executor, self._head, pack, evidence)

    def given(self, source_ids: Sequence[int]) -> HFModel:
        """Return the model of y alone, given one x."""
        self._check_source(source_ids)
        with exact_float32(), named_lack():
            trunk = self._executor.trunk.given(source_ids)
        return HFModel(
            trunk=trunk,
            head=self._head,
            executor=self._executor.under(trunk),
            tokenizer=self.tokenizer,
            vocab_size=self._vocab_size,
            context_length=self.context_length,
            provenance=self._provenance,
            probe_report=self._probe_report,
        )

    def _check_source(self, source_ids: Sequence[int]) -> None:
        if not source_ids:
            msg = "the encoder has nothing to read: give one token of x at least"
            raise EmptyContextError(msg)
        if len(source_ids) > self.source_length:
            msg = (
                f"the prompt is {len(source_ids)} tokens, longer than the encoder of "
                f"{self._provenance.model} holds, {self.source_length}: give less, or "
                f"truncate='left'"
            )
            raise ContextLengthError(msg)
        assert max(source_ids) < self.source_vocab_size, "an id outside the encoder's vocabulary"


def start_ids_of(model: PreTrainedModel, sides: Sides | None) -> tuple[int, ...]:
    """Return what a decoder is fed before y: its start token, then what is forced to follow it.

    BART's outputs begin with `<s>`, those of a translator into many languages with the language:
    by the generation config, else as the tokenizer begins a text to be learnt.

    Args:
        model: any.
        sides: its tokenizers.

    Raises:
        ModelLoadError: no start token is declared.
    """
    start = _declared(model, "decoder_start_token_id")
    if start is None:
        start = _declared(model, "bos_token_id")
    if start is None:
        msg = (
            f"{type(model).__name__} does not say what its decoder starts from: put "
            f"decoder_start_token_id into its generation_config.json"
        )
        raise ModelLoadError(msg)
    forced = _declared(model, "forced_bos_token_id")
    if forced is not None:
        return (start, forced)
    before = () if sides is None else sides.target_before
    return (start,) if before == (start,) else (start, *before)


def _declared(model: PreTrainedModel, name: str) -> int | None:
    for config in (model.generation_config, model.config):
        value = getattr(config, name, None)
        if isinstance(value, int):
            return value
    return None


def lengths_of(model: PreTrainedModel) -> tuple[int, int]:
    """Return the longest x and the longest fed y of a model; sys.maxsize where there is no limit.

    (T5's positions are relative: the `n_positions` of its config is the length it was trained at.)

    Args:
        model: any.
    """
    return _length(model.config, "encoder"), _length(model.config, "decoder")


def _length(config: PretrainedConfig, side: str) -> int:
    part = getattr(config, side, None)
    for one in (part if isinstance(part, PretrainedConfig) else config, config):
        for name in (f"max_{side}_position_embeddings", "max_position_embeddings"):
            value = getattr(one, name, None)
            if isinstance(value, int) and value > 0:
                return value
    return _NO_LIMIT
