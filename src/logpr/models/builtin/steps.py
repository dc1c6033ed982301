"""Many beginnings of continuations of one prompt, each token through the network once.

`_growth` says which tokens have to go through and where their keys and values lie, `passes` lets
them through in chunks, parents first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias, final

import numpy as np
from jaxtyping import Float, Float64

from logpr._types import IntNodes
from logpr.errors import ContextLengthError, EmptyContextError
from logpr.models._growth import GROWTH_ROOT, Growth
from logpr.models._head import next_rows
from logpr.models.base import StepRows
from logpr.models.builtin.config import LlamaConfig
from logpr.models.builtin.packed import states_of
from logpr.models.builtin.passes import Pools, times
from logpr.models.builtin.threads import threads_for
from logpr.models.builtin.weights import Weights
from logpr.tokens.trie import TokenTrie

Rows: TypeAlias = Float[np.ndarray, "prefixes vocab"]

CHUNK = 256
"""Rows that go through the layers together: matmuls at full rate, scratch that stays in a core's
cache."""

_HEAD_ENTRIES = 2**16
"""Logits whose exponentials are summed together."""


@final
class LlamaStepper:
    """Implements `Stepper` for Llama-type models.

    Args:
        weights: the model's arrays.
        config: its shape.
        name: what messages call the model.
        prompt_ids: what comes before, at least one token.
        kv_bytes: keys and values held at most, the prompt's and those of one pass apart.

    Raises:
        EmptyContextError: the prompt is empty.
        ContextLengthError: it is longer than the context.
    """

    def __init__(
        self,
        weights: Weights,
        config: LlamaConfig,
        prompt_ids: Sequence[int],
        *,
        kv_bytes: int,
        name: str,
    ) -> None:
        self._weights = weights
        self._config = config
        self._name = name
        self._prompt_ids = tuple(prompt_ids)
        if not self._prompt_ids:
            msg = (
                "the first token has nothing before it to be conditioned on; give a prompt, or a "
                "start token: bos='always'"
            )
            raise EmptyContextError(msg)
        self._check_length(0)
        self._check_ids(np.asarray(self._prompt_ids, dtype=np.int64))
        self._dtype = weights.embedding.dtype
        shared_width = config.kv_heads * config.head_dim
        slot_bytes = 2 * config.layers * shared_width * self._dtype.itemsize
        self._growth = Growth(max(0, kv_bytes) // slot_bytes)
        self._begun: tuple[Pools, StepRows] | None = None
        self._prompt_fed = 0
        self._peak_bytes = 0
        self._calls = 0

    @property
    def root(self) -> int:
        """The node of the prompt itself; it is never let go."""
        return GROWTH_ROOT

    @property
    def fed(self) -> int:
        """Tokens that went through the network so far, the prompt's among them."""
        return self._prompt_fed + self._growth.fed

    @property
    def fed_again(self) -> int:
        """Of `fed`: those whose keys and values had been let go for lack of room."""
        return self._growth.fed_again

    @property
    def calls(self) -> int:
        """Forward passes so far."""
        return self._calls

    @property
    def nbytes(self) -> int:
        """Memory that keys and values take now."""
        return 0 if self._begun is None else self._begun[0].nbytes

    @property
    def peak_bytes(self) -> int:
        """The most memory that keys and values took."""
        return self._peak_bytes

    def start(self) -> StepRows:
        """Return the distribution after the prompt: one row.

        Raises:
            ModelOutputError: it has nan or +inf.
        """
        return self._started()[1].copy()

    def extend(self, parents: IntNodes, tokens: IntNodes) -> tuple[IntNodes, StepRows]:
        """Return a new node for each parent with one token more, and the rows after them.

        The caller holds each new node once.

        Args:
            parents: nodes that are held, or the root.
            tokens: the one more of each.

        Raises:
            ContextLengthError: a path with its prompt is longer than the context.
            ModelOutputError: a row has nan or +inf.
        """
        self._check_length(self._growth.deepest(parents) + 2)
        self._check_ids(tokens)
        values = np.empty((len(tokens), self._config.vocab), dtype=self._dtype)
        logz = np.empty(len(tokens))
        pools, _ = self._started()
        nodes = self._growth.extend(parents, tokens)
        try:
            with threads_for(self._config.width):
                for first in range(0, len(nodes), CHUNK):
                    some = slice(first, first + CHUNK)
                    self._read(pools, nodes[some], values[some], logz[some])
            _check_rows(values, logz)
        except BaseException:
            # Ctrl-C among them: a search goes on from what it has.
            self._growth.release(nodes)
            raise
        return nodes, StepRows(values=values, logz=logz)

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
            node: that is held.
        """
        return self._growth.path(node)

    def _started(self) -> tuple[Pools, StepRows]:
        """Return the pools behind the prompt and the row after it; computed at the first look."""
        if self._begun is None:
            trie = TokenTrie()
            trie.feed(self._prompt_ids)
            pack, _ = trie.pack()
            last = np.asarray([len(pack) - 1])
            with threads_for(self._config.width):
                states, cache = states_of(self._weights, self._config, pack, last)
                values: Rows = states @ self._weights.head.T
                logz = np.empty(1)
                _normalise(values, logz)
            _check_rows(values, logz)
            pools = Pools(self._weights, self._config, cache)
            self._begun = pools, StepRows(values=values, logz=logz)
            self._prompt_fed = len(pack)
            self._calls += 1
            self._peak_bytes = pools.nbytes
        return self._begun

    def _read(
        self, pools: Pools, nodes: IntNodes, values: Rows, logz: Float64[np.ndarray, " prefixes"]
    ) -> None:
        """Feed some nodes, and what of their ancestors has to go again; write their rows."""
        feed = self._growth.feed(nodes)
        try:
            pools.make_room(self._growth.capacity)
            self._peak_bytes = max(self._peak_bytes, pools.nbytes)
            done = 0
            for first in range(0, len(feed), CHUNK):
                self._calls += 1
                states = pools.run(feed, slice(first, min(first + CHUNK, len(feed))))
                rows = values[done : done + len(states)]
                times(states, self._weights.head, rows)
                _normalise(rows, logz[done : done + len(states)])
                done += len(states)
        except BaseException:
            # Their slots hold nothing yet, and would be read as if they did.
            self._growth.forget(feed)
            raise

    def _check_length(self, more: int) -> None:
        longest = len(self._prompt_ids) + more
        if longest > self._config.context_length:
            msg = (
                f"{longest} tokens, and the context of {self._name} holds "
                f"{self._config.context_length}; shorten the prompt, or ask for fewer tokens after "
                f"it: max_new_tokens={max(self._config.context_length - len(self._prompt_ids), 0)}"
            )
            raise ContextLengthError(msg)

    def _check_ids(self, ids: IntNodes) -> None:
        assert ids.size == 0 or (ids.min() >= 0 and ids.max() < self._config.vocab), (
            "ids outside the vocabulary are refused before they come here"
        )


def _normalise(values: Rows, logz: Float64[np.ndarray, " prefixes"]) -> None:
    """Write the logsumexp of each row: exponentials in the rows' type, their sum in float64."""
    step = max(_HEAD_ENTRIES // values.shape[1], 1)
    with np.errstate(all="ignore"):
        for first in range(0, len(values), step):
            block = values[first : first + step]
            top = block.max(axis=1, keepdims=True)
            terms = block - top
            np.exp(terms, out=terms)
            total = terms.sum(axis=1, dtype=np.float64)
            logz[first : first + step] = top[:, 0] + np.log(total)


def _check_rows(values: Rows, logz: Float64[np.ndarray, " prefixes"]) -> None:
    if not np.isfinite(logz).all():
        next_rows(values)  # says which row, and what is wrong with it
