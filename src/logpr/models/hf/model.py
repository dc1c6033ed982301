"""A causal language model of transformers behind the seam to models."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import torch
from transformers import PreTrainedModel

from logpr._values import ModelProvenance
from logpr.errors import (
    ContextLengthError,
    EmptyContextError,
    TokenizationError,
    UnknownNameError,
)
from logpr.models._head import next_rows
from logpr.models._options import LoadOptions
from logpr.models._prefix_steps import PrefixSteps
from logpr.models.base import NO_EVIDENCE, EdgeScores, Evidence, NextRows, Stepper
from logpr.models.hf.cached import Cached
from logpr.models.hf.company import invariant_length
from logpr.models.hf.declared import context_length_of, declared_end_ids
from logpr.models.hf.devices import exact_float32, matmul_rate
from logpr.models.hf.fixed import FixedHead
from logpr.models.hf.halved import halved
from logpr.models.hf.head import Head
from logpr.models.hf.invariant import NAME as INVARIANT
from logpr.models.hf.invariant import Invariant
from logpr.models.hf.kept import PrefixStore
from logpr.models.hf.memory import named_lack
from logpr.models.hf.packed import Packed
from logpr.models.hf.pieces import Executor
from logpr.models.hf.precision import Decision
from logpr.models.hf.probe import EXECUTORS, Tried, choose
from logpr.models.hf.scoring import score_pack
from logpr.models.hf.spans import Spanned
from logpr.models.hf.steps import ForestSteps, Limits
from logpr.models.hf.trials import check_asked, on_random_tokens, provenance_of
from logpr.models.hf.trunk import Trunk, embedding, quiet
from logpr.models.hf.verify import check_causal, find_head
from logpr.tokens.base import Tokenizer
from logpr.tokens.pack import ROOT, Pack
from logpr.tokens.trie import pack_of_sequences

_ROWS = 64
"""Rows of whole logits that are projected at once."""

CACHE_BYTES = 2**28
"""Keys and values of prefixes held from call to call."""


class HFModel:
    """A model of transformers, `Predictive` and `Stepwise`: by `from_modules` or `logpr.load`."""

    __slots__ = (
        "_context_length",
        "_decision",
        "_end_ids",
        "_executor",
        "_head",
        "_probe_report",
        "_provenance",
        "_store",
        "_tokenizer",
        "_trunk",
        "_vocab_size",
    )

    def __init__(
        self,
        *,
        trunk: Trunk,
        head: Head,
        executor: Executor,
        tokenizer: Tokenizer | None,
        vocab_size: int,
        context_length: int,
        provenance: ModelProvenance,
        probe_report: tuple[Tried, ...],
        cache_bytes: int | None = None,
    ) -> None:
        self._trunk = trunk
        self._head = head
        self._executor = executor
        self._tokenizer = tokenizer
        self._vocab_size = vocab_size
        self._context_length = context_length
        self._end_ids = declared_end_ids(trunk.model, vocab_size)
        self._provenance = provenance
        self._probe_report = probe_report
        self._decision: Decision | None = None
        self._store = PrefixStore(CACHE_BYTES if cache_bytes is None else cache_bytes)
        if isinstance(executor, Spanned):
            executor.store = self._store

    @classmethod
    def from_modules(
        cls,
        model: PreTrainedModel,
        tokenizer: Tokenizer | None = None,
        *,
        name: str | None = None,
        executor: str | None = None,
        digest: str | None = None,
        pack_tokens: int | None = None,
        kv_bytes: int | None = None,
        cache_bytes: int | None = None,
        batch_invariant: bool = False,
    ) -> HFModel:
        """Return the model around a module in memory, after probing it.

        Args:
            model: on its device and in its dtype; is put into evaluation mode.
            tokenizer: or None for ids alone.
            name: for provenance; the class by default.
            executor: the one to use; by default the first that the probe finds right.
            digest: of the weights; computed from the tensors by default.
            pack_tokens: tokens of a forward pass at most.
            kv_bytes: keys and values held of the prefix in work; a longer one is fed again.
            cache_bytes: keys and values of prefixes held from call to call; 0 holds none.
            batch_invariant: give a sequence the same bits alone and in any company.

        Raises:
            ModelLoadError: it is no causal language model, or the executor is not right for it, or
                batch invariance cannot be kept.
            ModelOutputError: its forward pass gives no numbers.
            QueryError: a bound within which nothing can run, or one that does not go with
                batch_invariant.
            UnknownNameError: no executor is called that.
        """
        if executor is not None and executor not in EXECUTORS:
            msg = f"no executor is called {executor!r}; there are {', '.join(EXECUTORS)}"
            raise UnknownNameError(msg)
        options = LoadOptions(
            executor=executor,
            pack_tokens=pack_tokens,
            kv_bytes=kv_bytes,
            cache_bytes=cache_bytes,
            batch_invariant=batch_invariant,
        )
        model.eval()  # type: ignore[no-untyped-call]
        context_length = context_length_of(model)
        with quiet(), exact_float32():
            trunk, head, outcomes = find_head(model, context_length=context_length)
            ids = min(outcomes, len(embedding(model)))
            check_causal(trunk, vocab_size=ids, context_length=context_length)
            with on_random_tokens(model):
                choice = choose(
                    trunk,
                    head,
                    vocab_size=ids,
                    context_length=context_length,
                    forced=executor,
                    tiled=batch_invariant,
                )
                if batch_invariant:
                    head = FixedHead.like(head)
                    context_length = invariant_length(
                        choice, head, model, vocab_size=ids, context_length=context_length
                    )
        if not batch_invariant:
            check_asked(executor, choice, model)
        provenance = provenance_of(
            model,
            choice,
            name=name,
            digest=digest,
            tokenizer_digest=None if tokenizer is None else tokenizer.digest,
            device=trunk.device,
            executor=INVARIANT if batch_invariant else choice.executor.name,
        )
        return cls(
            trunk=trunk,
            head=head,
            executor=_within(choice.executor, options),
            tokenizer=tokenizer,
            vocab_size=outcomes,
            context_length=context_length,
            provenance=provenance,
            probe_report=choice.tried,
            cache_bytes=cache_bytes,
        )

    @contextmanager
    def apart(self, *, keep: bool = True) -> Iterator[int]:
        """Keep what the calls inside the block compute away from what calls outside it compute.

        Keys and values of earlier calls are not used inside; those of the block are dropped at its
        end, and the earlier ones are there again. The block is told of how many tokens of prefixes
        it holds keys and values for sure (`Reusing`).

        Args:
            keep: False holds nothing from call to call: each computes all that it needs.
        """
        executor, room = self._executor, self._store.room
        if not isinstance(executor, Spanned):
            yield 0
            return
        with executor.storing(PrefixStore(room) if keep else None):
            yield executor.surely_held(room) if keep else 0

    def forget(self) -> None:
        """Drop the keys and values that are held of prefixes of earlier calls."""
        self._store.clear()

    @property
    def tokenizer(self) -> Tokenizer | None:
        """Return the tokenizer, or None for ids alone."""
        return self._tokenizer

    @property
    def vocab_size(self) -> int:
        """Return the number of outcomes: rows of the head."""
        return self._vocab_size

    @property
    def fed_ids(self) -> int:
        """Return the number of ids that can be fed: rows of the embedding, at most the outcomes."""
        return min(self._vocab_size, self._trunk.outcomes)

    @property
    def context_length(self) -> int:
        """Return the longest sequence of fed tokens that the model is made for."""
        return self._context_length

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

    @property
    def decision(self) -> Decision | None:
        """Return why dtype='auto' came to this model; None where the dtype was given."""
        return self._decision

    def decided(self, decision: Decision) -> HFModel:
        """Return the same model with the reason for its dtype.

        Args:
            decision: what dtype='auto' came to.
        """
        out = copy.copy(self)
        out._decision = decision  # noqa: SLF001 - a copy of its own
        return out

    @property
    def matmul_weights(self) -> tuple[int, int]:
        """Weights that each token through the layers meets, and each row through the head.

        Of a mixture of experts all are counted, used or not.
        """
        model = self._trunk.model
        head = model.get_output_embeddings()  # type: ignore[no-untyped-call]
        layers = sum(
            weight.numel()
            for module in model.modules()
            if module is not head and not isinstance(module, torch.nn.Embedding)
            for weight in module.parameters(recurse=False)
            if weight.dim() > 1
        )
        return layers, self._vocab_size * embedding(model).shape[1]

    def in_half(self, dtype: str) -> HFModel:
        """Return the same model in half precision, weights and arithmetic, on a copy of its module.

        Args:
            dtype: "bfloat16" or "float16".

        Raises:
            ModelLoadError: there is no room for the copy, or its forward pass fails.
            ModelOutputError: it gives no numbers in that type.
        """
        return HFModel.from_modules(
            halved(self._trunk.model, getattr(torch, dtype)),
            self._tokenizer,
            name=f"{self._provenance.model} in {dtype}",
            executor="plain",
            cache_bytes=0,
        )

    def matmul_rate(self) -> float:
        """Return the FLOP/s of a plain matmul in the library, type and place of this model."""
        return matmul_rate(self._trunk.model.dtype, self._trunk.device)

    def edges(self, pack: Pack, *, evidence: Evidence = NO_EVIDENCE) -> EdgeScores:
        """Return the log-probability of every edge of `pack`."""
        self._check(pack)
        return score_pack(self._executor, self._head, pack, evidence)

    @exact_float32()
    @named_lack()
    def next_logits(self, prefixes: Sequence[Sequence[int]]) -> NextRows:
        """Return the distribution after each prefix of token ids."""
        if not prefixes:
            nothing = np.empty((0, self._vocab_size))
            return NextRows(nothing, logits=nothing, logz=np.empty(0))
        pack, asked = pack_of_sequences(prefixes, [(0,)] * len(prefixes))
        self._check(pack)
        rows: list[torch.Tensor] = []
        edges: list[int] = []
        for states in self._executor.states(pack):
            rows.append(states.rows[torch.from_numpy(states.row_of_edge).to(states.rows.device)])
            edges.extend(states.edges.tolist())
        place = {edge: row for row, edge in enumerate(edges)}
        chosen = torch.cat(rows)[torch.tensor([place[edge] for (edge,) in asked])]
        logits = [self._head.logits(chosen[i : i + _ROWS]) for i in range(0, len(chosen), _ROWS)]
        return next_rows(torch.cat(logits).cpu().numpy())

    def stepper(self, prompt_ids: Sequence[int], *, kv_bytes: int) -> Stepper:
        """Return the beginnings of continuations of one prompt, none of them computed yet.

        Each token goes through the network once where the executor is `forest`; else (and where
        the same bits are promised in any company) every prefix is asked about whole.

        Args:
            prompt_ids: what comes before, at least one token.
            kv_bytes: keys and values held at most, the prompt's and those of one call apart.
        """
        executor = self._executor
        if not isinstance(executor, Spanned) or isinstance(executor, Invariant):
            return PrefixSteps(self, prompt_ids)
        limits = Limits(
            name=self._provenance.model,
            outcomes=self._vocab_size,
            fed_ids=self.fed_ids,
            context_length=self._context_length,
            rows=executor.budget,
        )
        return ForestSteps(executor.forest, self._head, limits, prompt_ids, kv_bytes=kv_bytes)

    def _check(self, pack: Pack) -> None:
        if (pack.edge_nodes == ROOT).any():
            msg = (
                "there is no token before the first one asked about, and this model needs one: "
                "give a prompt, or bos='always'"
            )
            raise EmptyContextError(msg)
        longest = int(pack.depths.max(initial=-1)) + 1
        if longest > self._context_length:
            msg = (
                f"a sequence of {longest} tokens is longer than the context of "
                f"{self._provenance.model}, {self._context_length} tokens: give less, or "
                f"truncate='left'"
            )
            raise ContextLengthError(msg)
        assert not pack.sources, "a source, and no encoder to read it"
        largest = int(pack.token_ids.max(initial=0))
        if largest >= self.fed_ids:
            msg = (
                f"token id {largest} cannot be fed: {self._provenance.model} has embeddings of "
                f"{self.fed_ids} ids"
            )
            raise TokenizationError(msg)


def _within(executor: Executor, options: LoadOptions) -> Executor:
    """Return the executor within the bounds that were asked for.

    A piece for `mask` holds whole paths, and `plain` runs whole sequences; neither holds keys.
    """
    tokens, room = options.pack_tokens, options.kv_bytes
    if isinstance(executor, Spanned):
        executor.budget = tokens or executor.budget
        executor.kept_bytes = room or executor.kept_bytes
    elif isinstance(executor, Cached):
        return replace(executor, tokens=tokens or executor.tokens, room=room or executor.room)
    elif isinstance(executor, Packed):
        return replace(executor, budget=tokens or executor.budget)
    return executor
