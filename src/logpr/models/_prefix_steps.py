"""Beginnings grown with a model that keeps nothing: every prefix is asked about whole.

The slow, obvious `Stepper`, right for any model that is `Predictive` or `Glimpsing`: tables, dumps,
endpoints, and networks that can go on from a prefix in no other way.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64

from logpr._types import IntNodes
from logpr.errors import ContextLengthError, EmptyContextError, ModelOutputError
from logpr.models._evidence import MASS_TOLERANCE
from logpr.models._growth import GROWTH_ROOT, Growth
from logpr.models.base import Glimpses, Glimpsing, NextRows, Predictive, StepRows, Unconditional
from logpr.numerics import logsumexp

_CHUNK = 2**22
"""Entries of rows that are asked for at once: 32 MiB in float64, whatever the vocabulary."""

_OVERSTATED = 1e-5
"""What a server's float32 log-probabilities may have too much of together."""

_MOST = 1024
"""Prefixes in a question at most."""


class PrefixSteps:
    """A `Stepper` over `next_logits`: it holds paths, and no keys and values.

    `fed` counts every token of every prefix that was asked about, the prompt's each time;
    `fed_again` all of them that an earlier question had. (A model whose prefixes share their stems
    inside a call, or that keeps them from call to call, computes fewer.)

    Args:
        model: any that shows next-token distributions, whole or their best tokens alone.
        prompt_ids: what comes before; may be empty where the model is `Unconditional`.
    """

    __slots__ = ("_calls", "_first", "_growth", "_model", "_new", "_prompt", "fed")

    def __init__(self, model: Predictive | Glimpsing, prompt_ids: Sequence[int]) -> None:
        self._model = model
        self._prompt = tuple(prompt_ids)
        self._growth = Growth(1)  # no slot is ever asked for
        self._first: StepRows | None = None
        self._calls = 0
        self._new = 0
        self.fed = 0

    @property
    def root(self) -> int:
        """Return the node of the prompt itself."""
        return GROWTH_ROOT

    @property
    def fed_again(self) -> int:
        """Return the tokens of prefixes that an earlier question had."""
        return self.fed - self._new

    @property
    def calls(self) -> int:
        """Return the number of questions to the model."""
        return self._calls

    @property
    def nbytes(self) -> int:
        """Return 0: no keys and values are held."""
        return 0

    @property
    def peak_bytes(self) -> int:
        """Return 0: no keys and values are held."""
        return 0

    def start(self) -> StepRows:
        """Return the distribution after the prompt: one row.

        Raises:
            EmptyContextError: the prompt is empty, and the model is not `Unconditional`.
            ContextLengthError: the prompt is longer than the context.
            ModelOutputError: the row has no distribution.
        """
        if self._first is None:
            self._first = self._started()
        return self._first.copy()

    def _started(self) -> StepRows:
        if self._prompt:
            self._check_length(len(self._prompt))
            self._new += len(self._prompt)
            return self._rows([self._prompt])
        if not isinstance(self._model, Unconditional):
            msg = (
                "there is no token before the first one asked about, and this model needs one: "
                "give a prompt, or bos='always'"
            )
            raise EmptyContextError(msg)
        self._calls += 1
        return _step_rows(NextRows(self._model.start_logprobs()[None], logits=None, logz=None))

    def extend(self, parents: IntNodes, tokens: IntNodes) -> tuple[IntNodes, StepRows]:
        """Return a new node for each parent with one token more, and the rows after them.

        Args:
            parents: nodes that are held, or the root.
            tokens: the one more of each.

        Raises:
            ContextLengthError: a path with its prompt is longer than the context.
            TokenizationError: the model cannot be fed a token.
            ModelOutputError: a row has no distribution.
        """
        nodes = self._growth.extend(parents, tokens)
        try:
            paths = [self._prompt + self._growth.path(int(node)) for node in nodes]
            self._check_length(max(map(len, paths), default=0))
            rows = self._rows(paths)
        except BaseException:
            # Nobody was told of them, so nobody could let them go.
            self._growth.release(nodes)
            raise
        self._new += len(nodes)
        return nodes, rows

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

    def _check_length(self, longest: int) -> None:
        if longest > self._model.context_length:
            msg = (
                f"a sequence of {longest} tokens is longer than the context of "
                f"{self._model.provenance.model}, {self._model.context_length} tokens: give less, "
                f"or a smaller max_new_tokens"
            )
            raise ContextLengthError(msg)

    def _rows(self, paths: Sequence[tuple[int, ...]]) -> StepRows:
        """Ask about prefixes, a bounded number at a time."""
        size = max(1, min(_MOST, _CHUNK // self._model.vocab_size))
        parts: list[StepRows] = []
        for start in range(0, max(1, len(paths)), size):
            chunk = paths[start : start + size]
            self.fed += sum(map(len, chunk))
            self._calls += bool(chunk)
            parts.append(self._asked(chunk))
        if len(parts) == 1:
            return parts[0]
        values = np.concatenate([part.values for part in parts])
        logz = np.concatenate([part.logz for part in parts])
        unseen = [part.unseen for part in parts if part.unseen is not None]
        return StepRows(values, logz, np.concatenate(unseen) if unseen else None)

    def _asked(self, prefixes: Sequence[tuple[int, ...]]) -> StepRows:
        model = self._model
        if isinstance(model, Predictive):
            return _step_rows(model.next_logits(prefixes))
        return _seen_rows(model.next_top(prefixes), model.vocab_size)


def _step_rows(found: NextRows) -> StepRows:
    if found.logits is not None and found.logz is not None:
        return StepRows(found.logits, found.logz)
    mass = logsumexp(found.logprobs)
    _check_mass(mass)
    return StepRows(found.logprobs, np.zeros(len(found.logprobs)))


def _check_mass(mass: Float64[np.ndarray, " prefixes"]) -> None:
    bad = ~(mass <= MASS_TOLERANCE)  # not >, which nan would pass
    if bad.any():
        prefix = int(np.argmax(bad))
        msg = (
            f"prefix {prefix}: its row of log-probabilities has the total probability "
            f"{np.exp(mass[prefix]):.12g}, and no distribution has more than 1"
        )
        raise ModelOutputError(msg)


def _seen_rows(found: Glimpses, vocab: int) -> StepRows:
    """Return rows that hold the best tokens alone, and what bounds the others.

    One that is not listed has at most the smallest listed probability, and at most all that the
    listed ones leave.
    """
    listed = found.token_ids >= 0
    values = np.full((len(listed), vocab), -np.inf)
    rows, places = np.nonzero(listed)
    values[rows, found.token_ids[rows, places]] = found.logprobs[rows, places]
    mass = logsumexp(values)
    _check_mass(mass)
    with np.errstate(divide="ignore"):
        left = np.log(np.maximum(-np.expm1(np.minimum(mass, 0.0)), 0.0) + _OVERSTATED)
    smallest = np.where(listed, found.logprobs, 0.0).min(axis=1, initial=0.0)
    whole = np.count_nonzero(listed, axis=1) == vocab
    unseen = np.where(whole, -np.inf, np.minimum(left, smallest))
    return StepRows(values, np.zeros(len(values)), unseen)
