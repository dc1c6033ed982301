"""dtype='auto': rankings in bfloat16 where that is faster, decided in float32 where they are close.

Two models of the same checkpoint stand side by side. Weights stored in float32 are held in both
dtypes (6 bytes a weight); weights stored in bfloat16 once, and float32 means the same bits widened
layer by layer as they are used (2 bytes a weight, and one layer); weights stored in float16 once as
they are and once in bfloat16 (4 bytes).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch
from safetensors import safe_open
from transformers import PreTrainedModel

from logpr._values import ModelProvenance
from logpr.models._probe import largest_difference, probe_pack
from logpr.models._speed import best_seconds
from logpr.models.base import NO_EVIDENCE, EdgeScores, Evidence, Model, NextRows
from logpr.models.hf.model import HFModel
from logpr.models.hf.precision import Decision, is_low, matmul_rates, widened
from logpr.models.hf.probe import Tried
from logpr.tokens.base import Tokenizer
from logpr.tokens.pack import Pack

AUTO = "auto"
"""What `dtype=` calls it."""

LEAST_GAIN = 1.5
"""How many times faster bfloat16 is at least: what is close goes through the network twice."""

Read = Callable[[torch.dtype | None], PreTrainedModel]
Build = Callable[[PreTrainedModel], HFModel]


class Widened:
    """A model of low dtype that computes in float32 with the same weights: `Predictive`."""

    __slots__ = ("_module", "_own", "_provenance")

    def __init__(self, own: HFModel, module: PreTrainedModel) -> None:
        """Take a model over, which is not to be used otherwise: its prefixes are float32's.

        Args:
            own: around `module`.
            module: of low dtype.
        """
        self._own = own
        self._module = module
        used = next(one for one in own.probe_report if one.executor == own.provenance.executor)
        # The trial of an executor is run widened, so this is what packing does in float32.
        packing = used.largest_difference or 0.0
        self._provenance = replace(
            own.provenance, dtype="float32", noise_packing=packing, noise_precision=0.0
        )

    @property
    def tokenizer(self) -> Tokenizer | None:
        """Return the tokenizer, or None for ids alone."""
        return self._own.tokenizer

    @property
    def vocab_size(self) -> int:
        """Return the number of outcomes."""
        return self._own.vocab_size

    @property
    def context_length(self) -> int:
        """Return the longest sequence of fed tokens that the model is made for."""
        return self._own.context_length

    @property
    def end_ids(self) -> tuple[int, ...]:
        """Return the declared end tokens."""
        return self._own.end_ids

    @property
    def provenance(self) -> ModelProvenance:
        """Return what the model is, and float32 as its dtype."""
        return self._provenance

    @contextmanager
    def apart(self, *, keep: bool = True) -> Iterator[int]:  # noqa: ARG002 - as the seam says
        """Nothing is held from call to call anyway: what is held of the model is bfloat16."""
        yield 0

    def edges(self, pack: Pack, *, evidence: Evidence = NO_EVIDENCE) -> EdgeScores:
        """Return the log-probability of every edge of `pack`."""
        with widened(self._module), self._own.apart(keep=False):
            return self._own.edges(pack, evidence=evidence)

    def next_logits(self, prefixes: Sequence[Sequence[int]]) -> NextRows:
        """Return the distribution after each prefix of token ids."""
        with widened(self._module), self._own.apart(keep=False):
            return self._own.next_logits(prefixes)

    def in_half(self, dtype: str) -> HFModel:
        """Return the same model in half precision, weights and arithmetic.

        Raises:
            ModelError: there is no room for it, or it gives no numbers.
        """
        return self._own.in_half(dtype)


class RefiningModel:
    """A model in bfloat16 with its twin in float32: `Refining`, `Predictive`, `Sized`, `Reusing`.

    Its own numbers are bfloat16's.
    """

    __slots__ = ("_decision", "_fast", "_provenance", "_refined")

    def __init__(
        self, fast: HFModel, refined: HFModel | Widened, *, noise: float, decision: Decision
    ) -> None:
        """Join two models of one checkpoint.

        Args:
            fast: in bfloat16.
            refined: in float32.
            noise: the largest difference between them, in nats a token.
            decision: why there are two.
        """
        self._fast = fast
        self._refined = refined
        self._decision = decision
        self._provenance = replace(
            fast.provenance,
            weights_digest=refined.provenance.weights_digest,
            noise_precision=noise,
            refines=refined.provenance.dtype,
        )

    @property
    def refined(self) -> Model:
        """Return the twin in float32."""
        return self._refined

    @property
    def decision(self) -> Decision:
        """Return why there are two."""
        return self._decision

    @property
    def tokenizer(self) -> Tokenizer | None:
        """Return the tokenizer, or None for ids alone."""
        return self._fast.tokenizer

    @property
    def vocab_size(self) -> int:
        """Return the number of outcomes."""
        return self._fast.vocab_size

    @property
    def context_length(self) -> int:
        """Return the longest sequence of fed tokens that the model is made for."""
        return self._fast.context_length

    @property
    def end_ids(self) -> tuple[int, ...]:
        """Return the declared end tokens."""
        return self._fast.end_ids

    @property
    def provenance(self) -> ModelProvenance:
        """Return what the model is; its dtype is bfloat16, `refines` float32."""
        return self._provenance

    @property
    def probe_report(self) -> tuple[Tried, ...]:
        """Return each executor's trial in bfloat16."""
        return self._fast.probe_report

    @property
    def matmul_weights(self) -> tuple[int, int]:
        """Weights that each token through the layers meets, and each row through the head."""
        return self._fast.matmul_weights

    def matmul_rate(self) -> float:
        """Return the FLOP/s of a plain matmul in bfloat16."""
        return self._fast.matmul_rate()

    @contextmanager
    def apart(self, *, keep: bool = True) -> Iterator[int]:
        """Keep what the calls inside the block compute away from what calls outside it compute.

        The block is told of how many tokens of prefixes it holds keys and values in bfloat16 for
        sure (`Reusing`).

        Args:
            keep: False holds nothing from call to call: each computes all that it needs.
        """
        with self._fast.apart(keep=keep) as held, self._refined.apart(keep=keep):
            yield held

    def forget(self) -> None:
        """Drop the keys and values that are held of prefixes of earlier calls."""
        self._fast.forget()
        if isinstance(self._refined, HFModel):
            self._refined.forget()

    def edges(self, pack: Pack, *, evidence: Evidence = NO_EVIDENCE) -> EdgeScores:
        """Return the log-probability of every edge of `pack`, in bfloat16."""
        return self._fast.edges(pack, evidence=evidence)

    def next_logits(self, prefixes: Sequence[Sequence[int]]) -> NextRows:
        """Return the distribution after each prefix of token ids, in bfloat16."""
        return self._fast.next_logits(prefixes)


def open_auto(
    read: Read, build: Build, *, in_float32: Callable[[], bool]
) -> HFModel | RefiningModel:
    """Return a model in bfloat16 that refines in float32; where it gains little, one in float32.

    Args:
        read: the checkpoint in a dtype; None is its own.
        build: the model around a module, probed.
        in_float32: tells, after the first `read`, whether the weights are stored in float32,
            whatever the config says.

    Raises:
        ModelLoadError: as `read` and `build` do.
    """
    own = read(None)
    if is_low(own.dtype) and in_float32():
        own = read(torch.float32)
    rates = matmul_rates(own)
    if rates.gain < LEAST_GAIN:
        reason = (
            f"float32 throughout: a matmul is {rates.gain:.2g} times as fast in bfloat16, and at "
            f"least {LEAST_GAIN:g} times would pay"
        )
        return build(_in_float32(own, read)).decided(Decision("float32", reason, rates))
    if is_low(own.dtype):
        refined: HFModel | Widened = Widened(build(own), own)
    else:
        own = _in_float32(own, read)
        refined = build(own)
    fast = build(own if own.dtype == torch.bfloat16 else read(torch.bfloat16))
    noise, speeds = compared(fast, refined)
    gain = speeds[1] / speeds[0]
    if gain < LEAST_GAIN:
        reason = (
            f"float32 throughout: the whole model is {gain:.2g} times as fast in bfloat16, and at "
            f"least {LEAST_GAIN:g} times would pay"
        )
        decision = Decision("float32", reason, rates, speeds)
        whole = refined if isinstance(refined, HFModel) else build(_in_float32(own, read))
        return whole.decided(decision)
    reason = f"bfloat16, {gain:.2g} times as fast, and float32 where it is close"
    decision = Decision("bfloat16", reason, rates, speeds)
    return RefiningModel(fast, refined, noise=noise, decision=decision)


def _in_float32(own: PreTrainedModel, read: Read) -> PreTrainedModel:
    return own if own.dtype == torch.float32 else read(torch.float32)


def compared(fast: HFModel, refined: HFModel | Widened) -> tuple[float, tuple[float, float]]:
    """Return the largest difference in nats a token, and tokens/s of float32 and of bfloat16.

    Args:
        fast: in bfloat16.
        refined: in float32, of the same checkpoint.
    """
    pack = probe_pack(fast.fed_ids, fast.context_length)
    found: list[EdgeScores] = []
    speeds: list[float] = []
    for model in (refined, fast):

        def run(model: HFModel | Widened = model) -> None:
            with model.apart():
                found.append(model.edges(pack))

        speeds.append(len(pack) / best_seconds(run, repeat=2))
    return largest_difference(found[-1], found[0]), (speeds[0], speeds[1])


def stored_in_float32(files: Sequence[Path]) -> bool:
    """Return whether most bytes of some weight files are float32 numbers.

    A config may declare a lower dtype than its weights are stored in; read in that one they would
    lose their digits before they are widened again.

    Args:
        files: safetensors; others do not say without being read.
    """
    sizes: dict[str, int] = {}
    for file in files:
        if file.suffix != ".safetensors":
            continue
        with safe_open(file, framework="pt") as tensors:
            for name in tensors.keys():  # noqa: SIM118 - it is no mapping
                part = tensors.get_slice(name)
                count = 1
                for length in part.get_shape():
                    count *= length
                sizes[part.get_dtype()] = sizes.get(part.get_dtype(), 0) + count
    return bool(sizes) and max(sizes, key=lambda dtype: sizes[dtype]) == "F32"
