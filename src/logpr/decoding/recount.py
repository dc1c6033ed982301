"""The outputs that a certificate speaks of, counted again: slow, in float64, without the search.

Nothing here is shared with what found the certificate. A beginning's bound is computed from the
formulas that the certificate names, its next-token distribution is asked for by its whole path, and
beginnings are gone through depth first.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from logpr._types import FloatPrefixesVocab, FloatVocab
from logpr._values import Certificate
from logpr.decoding.automaton import Automaton
from logpr.decoding.limits import Clock
from logpr.decoding.objective import objective_named
from logpr.models.base import Model, Predictive, Unconditional
from logpr.numerics import log1mexp, logsumexp
from logpr.tokens.trie import TokenTrie

Tokens = tuple[int, ...]

BATCH = 16
"""Prefixes that the model is asked about at once."""


@dataclass(frozen=True, slots=True)
class Recounted:
    """An output and its terms. `score` is what the certificate's objective makes of them."""

    token_ids: Tokens
    token_logprobs: tuple[float, ...]
    end_logprob: float | None
    score: float

    @property
    def logprob(self) -> float:
        """Return log Pr(y | x)."""
        return math.fsum([*self.token_logprobs, self.end_logprob or 0.0])


@dataclass(frozen=True, slots=True)
class _Beginning:
    token_ids: Tokens
    terms: tuple[float, ...]
    total: float
    state: int


class Recount:
    """The space of a certificate, read from its fields alone.

    Args:
        certificate: says which outputs there are and how they are scored.
        model: whose distributions are asked for.
        automaton: of the certificate's constraint.
    """

    def __init__(self, certificate: Certificate, model: Model, automaton: Automaton | None) -> None:
        objective = objective_named(certificate.objective)
        self._kind, self._alpha = objective.kind, objective.alpha
        self._certificate = certificate
        self._model = model
        self._automaton = automaton
        self._ended = certificate.end == "stop"
        self._bias: FloatVocab = np.zeros(model.vocab_size)
        for token, nats in certificate.bias:
            self._bias[token] = nats
        self.expansions = 0
        self.largest_longer = -math.inf
        """The largest total of a beginning with one token more than outputs have."""
        self.finished = False
        """Whether the last count came to its end."""

    @property
    def is_plain(self) -> bool:
        """Return whether the score is the log-probability itself, biases apart."""
        return self._kind == "logprob" or self._alpha == 0.0

    def length_fits(self, token_ids: Tokens) -> bool:
        """Return whether an output may have so many tokens."""
        longest = self._certificate.max_new_tokens
        shortest = self._certificate.min_new_tokens if self._ended else longest
        return shortest <= len(token_ids) <= longest

    def misplaced(self, token_ids: Tokens) -> int | None:
        """Return the first token that no output holds: an end token, an id out of range."""
        ends = self._certificate.end_ids if self._ended else ()
        return next(
            (k for k in token_ids if k in ends or not 0 <= k < self._model.vocab_size), None
        )

    def is_allowed(self, token_ids: Tokens) -> bool:
        """Return whether the constraint allows an output."""
        if self._automaton is None:
            return True
        state = self._automaton.start
        for token in token_ids:
            after = self._after(state).get(token)
            if after is None:
                return False
            state = after
        return self._automaton.accepts(state)

    def scored(self, token_ids: Tokens) -> Recounted:
        """Return the log-probabilities of one output, by the model's `edges`.

        Where END is masked and the others share its probability, whole rows are asked for.

        Args:
            token_ids: an output, or what is said to be one.

        Raises:
            ModelError: the model does not score given tokens.
        """
        prompt, ends = self._certificate.prompt_ids, self._certificate.end_ids
        trie = TokenTrie()
        asked = trie.ask(prompt, token_ids, with_end=self._ended)
        pack, place = trie.pack(end_ids=ends if self._ended else ())
        logprobs = self._model.edges(pack).logprob
        terms = [float(logprobs[place[edge]]) for edge in asked]
        end = terms.pop() if self._ended else None
        if self._renormalised:
            early = [token_ids[:length] for length in range(self._certificate.min_new_tokens)]
            early = early[: len(token_ids)]
            rows, _ = self._steps(early)
            for step in range(len(early)):
                terms[step] = float(rows[step, token_ids[step]])
        return self._recounted(token_ids, tuple(terms), end)

    def above(self, limit: float, clock: Clock) -> Iterator[Recounted]:
        """Yield every output with a score above `limit`, in no order.

        Every beginning is looked at whose bound exceeds it, the best of those at hand first. Where
        the clock stops it, `finished` stays False.

        Args:
            limit: a score.
            clock: with the budget.

        Raises:
            ModelOutputError: a row has no distribution.
            ContextLengthError: a beginning is longer than the context.
        """
        assert isinstance(self._model, Predictive), "whole distributions are needed"
        self.finished = False
        start = 0 if self._automaton is None else self._automaton.start
        stack = [_Beginning((), (), 0.0, start)]
        while stack:
            left = clock.left(self.expansions)
            if clock.stop(self.expansions) is not None:
                return
            count = min(BATCH, len(stack), BATCH if left is None else left)
            batch = [stack.pop() for _ in range(count)]
            rows, ends = self._steps([beginning.token_ids for beginning in batch])
            self.expansions += count
            longer: list[tuple[float, _Beginning]] = []
            for place, beginning in enumerate(batch):
                yield from self._ending(beginning, float(ends[place]), limit)
                found = self._longer(beginning, rows[place], limit)
                if self._ended or len(beginning.token_ids) + 1 < self._certificate.max_new_tokens:
                    longer += found
                else:
                    yield from self._whole(found, limit)
            longer.sort(key=lambda pair: pair[0])
            stack += [beginning for _, beginning in longer]
        self.finished = True

    @property
    def _renormalised(self) -> bool:
        return self._ended and self._certificate.min_length == "renormalise"

    def _ending(self, beginning: _Beginning, end: float, limit: float) -> Iterator[Recounted]:
        if not self._ended or end == -math.inf:
            return
        if len(beginning.token_ids) < self._certificate.min_new_tokens:
            return
        if self._automaton is not None and not self._automaton.accepts(beginning.state):
            return
        found = self._recounted(beginning.token_ids, beginning.terms, end)
        if found.score > limit:
            yield found

    def _whole(
        self, found: Sequence[tuple[float, _Beginning]], limit: float
    ) -> Iterator[Recounted]:
        for _, beginning in found:
            if self._automaton is None or self._automaton.accepts(beginning.state):
                output = self._recounted(beginning.token_ids, beginning.terms, None)
                if output.score > limit:
                    yield output

    def _longer(
        self, beginning: _Beginning, row: FloatVocab, limit: float
    ) -> list[tuple[float, _Beginning]]:
        """Return each beginning with one token more whose bound is above `limit`, and the bound."""
        after = None if self._automaton is None else self._after(beginning.state)
        if after is not None:
            allowed = np.full(len(row), -np.inf)
            allowed[list(after)] = row[list(after)]
            row = allowed
        totals = np.minimum(beginning.total + (row + self._bias), beginning.total)
        if self._ended and len(beginning.token_ids) == self._certificate.max_new_tokens:
            self.largest_longer = max(self.largest_longer, float(totals.max()))
            return []
        divisor = self._divisor(self._certificate.max_new_tokens)
        bounds = totals / divisor
        return [
            (
                float(bounds[token]),
                _Beginning(
                    (*beginning.token_ids, token),
                    (*beginning.terms, float(row[token])),
                    float(totals[token]),
                    0 if after is None else after[token],
                ),
            )
            for token in np.flatnonzero(bounds > limit).tolist()
        ]

    def _steps(self, paths: Sequence[Tokens]) -> tuple[FloatPrefixesVocab, list[float]]:
        """Return log Pr of all tokens after some beginnings, end tokens −inf, and of END."""
        model, prompt = self._model, self._certificate.prompt_ids
        assert isinstance(model, Predictive), "whole distributions are needed"
        logits: FloatPrefixesVocab | None = None
        if not prompt and paths == [()] and isinstance(model, Unconditional):
            rows = model.start_logprobs()[None].copy()
        else:
            found = model.next_logits([(*prompt, *path) for path in paths])
            rows, logits = found.logprobs.copy(), found.logits
        if not self._ended:
            return rows, [-math.inf] * len(paths)
        columns = list(self._certificate.end_ids)
        ends = logsumexp(rows[:, columns]).tolist()
        rows[:, columns] = -np.inf
        for place, path in enumerate(paths):
            if self._renormalised and len(path) < self._certificate.min_new_tokens:
                if logits is not None:
                    rest = logits[place].copy()
                    rest[columns] = -np.inf
                    total = float(logsumexp(rest))
                    rows[place] = rest - total if total > -math.inf else -np.inf
                else:
                    rows[place] -= float(log1mexp(min(ends[place], 0.0)))
                    rows[place][np.isnan(rows[place])] = -np.inf
        return rows, ends

    def _recounted(
        self, token_ids: Tokens, terms: tuple[float, ...], end: float | None
    ) -> Recounted:
        bias = [float(self._bias[token]) for token in token_ids if token < len(self._bias)]
        total = math.fsum([*terms, end or 0.0, *bias])
        if self._kind == "length_penalty" and not token_ids:
            return Recounted(token_ids, terms, end, -math.inf)
        score = total / self._divisor(len(token_ids))
        return Recounted(token_ids, terms, end, score)

    def _divisor(self, length: int) -> float:
        """Return what a total is divided by for an output of so many tokens."""
        if self.is_plain:
            return 1.0
        if self._kind == "per_token":
            return math.pow(length + (1 if self._ended else 0), self._alpha)
        return math.pow((5.0 + length) / 6.0, self._alpha)

    def _after(self, state: int) -> dict[int, int]:
        assert self._automaton is not None
        tokens, after = self._automaton.steps(state)
        return dict(zip(tokens.tolist(), after.tolist(), strict=True))
