"""Forward passes of a stepper: a prompt in parts, then rows that go on from many beginnings.

Each is bounded in rows, by a number that goes down where memory runs out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float
from torch import nn
from transformers import PretrainedConfig, PreTrainedModel
from transformers.pytorch_utils import Conv1D

from logpr._types import IntNodes
from logpr.errors import ModelOutputError
from logpr.models._growth import Feed
from logpr.models.hf.attention import NAME, planned
from logpr.models.hf.forest import Forest
from logpr.models.hf.kept import Keys
from logpr.models.hf.memory import out_of_memory
from logpr.models.hf.plan import Past
from logpr.models.hf.products import padding
from logpr.models.hf.step_attention import Slots, step_plan
from logpr.models.hf.trunk import Trunk, attention
from logpr.tokens.pack import Pack

_LEAST = 32
"""Rows of the shortest pass that memory errors lead to."""

_FEW = 8
"""A pass of fewer than 32 rows is padded to a multiple of it only: a beam should not pay for 32."""

_WORTH = 2**20
"""Multiplications of a product from which on oneDNN makes up for the time that calling it takes."""


class Passes:
    """Runs a network over a prompt, and over what goes on from it.

    `calls` counts the forward passes, `rows` are those of a pass at most.

    Args:
        forest: runs the prompt; not tiled.
        rows: of a pass at most.
    """

    __slots__ = ("_forest", "_switch", "_trunks", "calls", "rows")

    def __init__(self, forest: Forest, *, rows: int) -> None:
        self._forest = forest
        self._switch = _Switch(forest.trunk.model)
        self._trunks: dict[int, tuple[Trunk, bool]] = {}
        self.rows = rows
        self.calls = 0

    def read(self, prompt: IntNodes) -> tuple[Float[torch.Tensor, "1 width"], Keys]:
        """Return the state after a prompt, and its keys, fed a bounded number of tokens at a time.

        Args:
            prompt: at least one token.

        Raises:
            ModelOutputError: there is no memory for few tokens, or a layer attends by itself.
        """
        held: list[Keys] = []
        at = 0
        while True:
            part = prompt[at : at + self.rows]
            try:
                states, keys = self._forest.run(
                    _chain(part, at),
                    pasts=tuple(_pasts(held, len(part))),
                    everything=True,
                    room=self.rows,
                )
            except Exception as error:
                if not out_of_memory(error):
                    raise
                self._fewer(error)
                continue
            assert keys is not None, "everything is kept"
            held.append(keys)
            at += len(part)
            self.calls += 1
            if at == len(prompt):
                return states[-1:], _joined(held)

    def states(self, feed: Feed, slots: Slots) -> Iterator[Float[torch.Tensor, "_ width"]]:
        """Yield the states of the rows that are wanted, a bounded number of rows in a pass.

        Args:
            feed: at least one row.
            slots: enough of them.

        Raises:
            ModelOutputError: there is no memory for few tokens, or a layer attends by itself.
        """
        first = int(feed.wanted[0])  # those before it are fed again, and not read
        at = 0
        while at < len(feed):
            some = slice(at, min(at + self.rows, len(feed)))
            try:
                states = self._pass(feed, some, slots)
            except Exception as error:
                if not out_of_memory(error):
                    raise
                self._fewer(error)
                continue
            self.calls += 1
            if some.stop > first:
                yield states[max(first - at, 0) :]
            at = some.stop

    def _pass(self, feed: Feed, some: slice, slots: Slots) -> Float[torch.Tensor, "_ width"]:
        real = some.stop - some.start
        trunk, more = self._trunk(real)
        plan = step_plan(
            slots,
            feed.slots[some],
            feed.ancestors[some],
            feed.depths[some],
            size=real + more,
            device=trunk.device,
        )
        positions = feed.depths[some] + slots.length
        ids = feed.token_ids[some]
        if more:
            ids, positions = (np.pad(one, (0, more), "edge") for one in (ids, positions))
        with self._switch.on(), planned(plan) as meter:
            states = trunk(ids, positions=positions)
        if meter.calls != self._forest.layers:
            msg = (
                f"packed attention was called {meter.calls} times in {self._forest.layers} layers: "
                f"some layer attends by its own code; use executor='plain'"
            )
            raise ModelOutputError(msg)
        return states[:real]

    def _trunk(self, rows: int) -> tuple[Trunk, int]:
        """Return the network whose layers go by what is fastest for some rows, and its padding."""
        more = padding(rows)
        if rows + more <= _LEAST:
            more = min(more, -rows % _FEW)
        size = rows + more
        if size not in self._trunks:
            trunk = self._forest.trunk
            chosen = tuple(one for one in trunk.shorter if _is_worth(one[0], size))
            products = any(isinstance(module, _PRODUCTS) for module, _ in chosen)
            self._trunks[size] = replace(trunk, shorter=chosen), products
        trunk, products = self._trunks[size]
        return trunk, more if products else 0

    def _fewer(self, error: Exception) -> None:
        """Feed half as many rows from now on: memory ran out."""
        if self.rows <= _LEAST:
            msg = (
                f"there is no memory for {self.rows} tokens at once: give less, or a smaller "
                f"model, or another dtype"
            )
            raise ModelOutputError(msg) from error
        self.rows = max(_LEAST, self.rows // 2)


_PRODUCTS = (nn.Linear, Conv1D)


def _is_worth(module: nn.Module, rows: int) -> bool:
    """Return whether a layer is worth its shorter way for so many rows."""
    return not isinstance(module, _PRODUCTS) or module.weight.numel() * rows >= _WORTH


class _Switch:
    """Hands a model's attention over to `NAME` and takes it back: cheaply, after the first time."""

    __slots__ = ("_configs", "_model")

    def __init__(self, model: PreTrainedModel) -> None:
        self._model = model
        self._configs: tuple[PretrainedConfig, ...] = ()

    @contextmanager
    def on(self) -> Iterator[None]:
        """Run the block with `NAME`.

        Raises:
            ValueError: the model does not let its attention be chosen.
        """
        if not self._configs:
            # The way that transformers has for it walks through all modules, each time.
            with attention(self._model, NAME):
                self._configs = tuple(_configs(self._model))
        own = [config._attn_implementation for config in self._configs]  # noqa: SLF001 - as `attention`
        try:
            for config in self._configs:
                config._attn_implementation = NAME  # noqa: SLF001 - as above
            yield
        finally:
            for config, name in zip(self._configs, own, strict=True):
                config._attn_implementation = name  # noqa: SLF001 - as above


def _configs(model: PreTrainedModel) -> Iterator[PretrainedConfig]:
    """Yield each config of the model whose attention is `NAME` now, the outer before the inner."""
    seen: set[int] = set()
    for module in model.modules():
        config = getattr(module, "config", None)
        if isinstance(config, PretrainedConfig) and id(config) not in seen:
            seen.add(id(config))
            if config._attn_implementation == NAME:  # noqa: SLF001 - as above
                yield config


def _chain(tokens: IntNodes, first: int) -> Pack:
    """Return a part of the prompt as a pack that asks nothing."""
    count = len(tokens)
    nothing = np.empty(0, dtype=np.int64)
    steps = np.arange(count)
    return Pack(
        token_ids=tokens,
        parents=steps - 1,
        depths=steps + first,
        ends=np.full(count, count),
        edge_nodes=nothing,
        edge_tokens=nothing,
    )


def _pasts(held: Sequence[Keys], rows: int) -> Iterator[Past]:
    first = 0
    for keys in held:
        count = keys.layers[0][0].shape[2]
        yield Past(keys, slice(0, count), first, slice(0, rows))
        first += count


def _joined(held: Sequence[Keys]) -> Keys:
    if len(held) == 1:
        return held[0]
    layers = zip(*(keys.layers for keys in held), strict=True)
    return Keys(
        tuple(
            (torch.cat([key for key, _ in parts], dim=2), torch.cat([v for _, v in parts], dim=2))
            for parts in layers
        )
    )
