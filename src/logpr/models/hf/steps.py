"""Many beginnings of one prompt grown at once: each token goes through the network once.

The prompt's keys and values are computed at the start; those of every token after it are left in a
slot. A call feeds the new tokens, and such of their ancestors as had to leave their slots, as one
row of tokens: positions say where in its path each stands, attention is along that path.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float64

from logpr._types import IntNodes
from logpr.errors import ContextLengthError, EmptyContextError, TokenizationError
from logpr.models._growth import GROWTH_ROOT, Growth
from logpr.models._head import next_rows
from logpr.models.base import StepRows
from logpr.models.hf.devices import exact_float32
from logpr.models.hf.forest import Forest
from logpr.models.hf.head import Head
from logpr.models.hf.memory import named_lack
from logpr.models.hf.step_attention import Slots
from logpr.models.hf.step_passes import Passes

_LOGITS = 2**24
"""Logits that are made at once: 64 MiB in float32."""

_BLOCK = 2**16
"""Logits whose exponentials are summed at once on a CPU: half a megabyte stays in its caches."""

_WIDE_BLOCK = 2**24
"""The same elsewhere."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What may be fed: ids below `fed_ids`, sequences up to `context_length`, to the model `name`.

    `outcomes` are the ids that it gives a probability, `rows` those of a pass at most.
    """

    name: str
    outcomes: int
    fed_ids: int
    context_length: int
    rows: int


class ForestSteps:
    """A `Stepper` through the attention function of `forest`.

    Args:
        forest: runs the prompt; not tiled.
        head: of the same model.
        limits: of the model.
        prompt_ids: what comes before.
        kv_bytes: of keys and values behind the prompt, those of one call apart.
    """

    __slots__ = (
        "_first",
        "_growth",
        "_head",
        "_kv_bytes",
        "_limits",
        "_passes",
        "_prompt",
        "_prompt_fed",
        "_slots",
    )

    def __init__(
        self,
        forest: Forest,
        head: Head,
        limits: Limits,
        prompt_ids: Sequence[int],
        *,
        kv_bytes: int,
    ) -> None:
        self._passes = Passes(forest, rows=limits.rows)
        self._head = head
        self._limits = limits
        self._prompt = np.asarray(prompt_ids, dtype=np.int64)
        self._kv_bytes = kv_bytes
        self._growth = Growth(1)  # room as soon as a token's bytes are known
        self._slots: Slots | None = None
        self._first: StepRows | None = None
        self._prompt_fed = 0

    @property
    def root(self) -> int:
        """Return the node of the prompt itself."""
        return GROWTH_ROOT

    @property
    def fed(self) -> int:
        """Return the tokens that went through the network so far, the prompt's among them."""
        return self._prompt_fed + self._growth.fed

    @property
    def fed_again(self) -> int:
        """Return how many of them had gone through it before, and had left their slots."""
        return self._growth.fed_again

    @property
    def calls(self) -> int:
        """Return the forward passes so far."""
        return self._passes.calls

    @property
    def nbytes(self) -> int:
        """Return the memory of keys and values, slots that are free now among them."""
        return 0 if self._slots is None else self._slots.nbytes

    @property
    def peak_bytes(self) -> int:
        """Return the same: slots are used again, and never given back."""
        return self.nbytes

    @exact_float32()
    @named_lack()
    def start(self) -> StepRows:
        """Return the distribution after the prompt: one row.

        Raises:
            EmptyContextError: the prompt is empty.
            ContextLengthError: it is longer than the context.
            TokenizationError: it has a token that cannot be fed.
            ModelOutputError: the row has no distribution.
        """
        if self._first is not None:
            return self._first.copy()
        if not len(self._prompt):
            msg = (
                "there is no token before the first one asked about, and this model needs one: "
                "give a prompt, or bos='always'"
            )
            raise EmptyContextError(msg)
        self._check(self._prompt, len(self._prompt))
        state, prompt = self._passes.read(self._prompt)
        self._prompt_fed += len(self._prompt)
        self._slots = Slots(prompt)
        self._growth = Growth(self._kv_bytes // self._slots.token_bytes)
        self._first = self._distributions([state])
        return self._first.copy()

    @exact_float32()
    @named_lack()
    def extend(self, parents: IntNodes, tokens: IntNodes) -> tuple[IntNodes, StepRows]:
        """Return a new node for each parent with one token more, and the rows after them.

        Args:
            parents: nodes that are held, or the root.
            tokens: the one more of each.

        Raises:
            ContextLengthError: a path with its prompt is longer than the context.
            TokenizationError: a token cannot be fed.
            ModelOutputError: a row has no distribution.
        """
        assert self._slots is not None, "start() comes first"
        growth = self._growth
        if not len(parents):
            return parents, StepRows(np.empty((0, self._limits.outcomes)), np.empty(0))
        self._check(tokens, len(self._prompt) + growth.deepest(parents) + 2)
        nodes = growth.extend(parents, tokens)
        states: list[torch.Tensor] = []
        size = self._passes.rows  # it may go down on the way
        try:
            for start in range(0, len(nodes), size):
                feed = growth.feed(nodes[start : start + size])
                try:
                    self._slots.fit(growth.capacity)
                    states.extend(self._passes.states(feed, self._slots))
                except BaseException:
                    # An interrupted pass leaves slots that nothing was written to.
                    growth.forget(feed)
                    raise
            return nodes, self._distributions(states)
        except BaseException:
            # Nobody was told of them, so nobody could let them go.
            growth.release(nodes)
            raise

    def hold(self, nodes: IntNodes, times: IntNodes) -> None:
        """Hold each node so many times more.

        Args:
            nodes: each once.
            times: at least 0 each.
        """
        self._growth.hold(nodes, times)

    def release(self, nodes: IntNodes) -> None:
        """Let each node go once, as often as it is listed; unheld ones without children end.

        Args:
            nodes: that are held.
        """
        self._growth.release(nodes)

    def path(self, node: int) -> tuple[int, ...]:
        """Return the tokens from the prompt, exclusive, to the node.

        Args:
            node: that is held, or the root.
        """
        return self._growth.path(node)

    def _check(self, tokens: IntNodes, longest: int) -> None:
        limits = self._limits
        if longest > limits.context_length:
            msg = (
                f"a sequence of {longest} tokens is longer than the context of {limits.name}, "
                f"{limits.context_length} tokens: give less, or a smaller max_new_tokens"
            )
            raise ContextLengthError(msg)
        bad = tokens[(tokens < 0) | (tokens >= limits.fed_ids)]
        if len(bad):
            msg = (
                f"token id {bad[0]} cannot be fed: {limits.name} has embeddings of "
                f"{limits.fed_ids} ids"
            )
            raise TokenizationError(msg)

    def _distributions(self, states: Sequence[torch.Tensor]) -> StepRows:
        """Return the rows that the head gives for states."""
        with torch.inference_mode():
            together = states[0] if len(states) == 1 else torch.cat(list(states))
            size = max(1, _LOGITS // self._head.vocab_of(together))
            parts: list[np.ndarray] = []
            sums: list[np.ndarray] = []
            for start in range(0, len(together), size):
                logits = self._head.logits(together[start : start + size])
                parts.append(logits.cpu().numpy())
                sums.append(_logz(logits))
        values = parts[0] if len(parts) == 1 else np.concatenate(parts)
        logz = np.concatenate(sums)
        bad = np.flatnonzero(~np.isfinite(logz))
        if len(bad):
            next_rows(values[: bad[0] + 1])  # says what is wrong with it
        return StepRows(values, logz)


def _logz(logits: Float[torch.Tensor, "prefixes vocab"]) -> Float64[np.ndarray, " prefixes"]:
    """Return m + log1p(Σ exp(u − m) over all but one maximum m), in float64."""
    if not logits.is_cuda:
        logits = logits.cpu()  # not every device has float64
    size = _BLOCK if logits.device.type == "cpu" else _WIDE_BLOCK
    step = max(1, size // logits.shape[1])
    sums: list[torch.Tensor] = []
    for start in range(0, len(logits), step):
        block = logits[start : start + step]
        top, at = block.max(dim=1, keepdim=True)
        # The maximum's own term is the 1 of log1p: in the sum it would swallow small others.
        terms = (block.double() - top).exp_().scatter_(1, at, 0.0)
        sums.append(terms.sum(dim=1).log1p_().add_(top[:, 0]))
    out: Float64[np.ndarray, " prefixes"] = torch.cat(sums).cpu().numpy()
    return out
