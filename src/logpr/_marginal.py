"""The probability of a string, whatever its tokens: boundary `marginal`."""

from __future__ import annotations

import heapq
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TypeAlias

import numpy as np
from jaxtyping import Int64

from logpr._types import Bos, End, FloatPrefixesVocab, FloatVocab, Special
from logpr.errors import ContextLengthError, EmptyContextError, QueryError, TokenizationError
from logpr.models.base import Predictive, Unconditional
from logpr.numerics import logsumexp
from logpr.tokens._notes import start_token_added
from logpr.tokens._text import shorten
from logpr.tokens.base import Tokenizer
from logpr.tokens.boundary import encode

Tokens: TypeAlias = tuple[int, ...]

_BATCH = 32
"""Prefixes asked at once. Best-first is best with one; a model is with many."""

_ONE_DIGIT = 2.0**-53
"""In nats: two sums as close as this are one, but for rounding."""

_NEGLIGIBLE = 45.0
"""Nats below a sum at which an addend is lost: e^−45 is far under 2^−53."""

_VOCABULARIES_KEPT = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Marginal:
    """log Pr of a string: between `lower` and `upper`, which are one number where `exact`.

    Exact is a sum in which nothing is left out that would change a digit. `prefixes` is how many
    were expanded; `warnings` are as in an `Encoded`.
    """

    logprob: float
    lower: float
    upper: float
    exact: bool
    prefixes: int
    warnings: tuple[str, ...] = ()


def marginal(
    model: Predictive,
    prompt: str,
    continuation: str,
    *,
    bos: Bos = "auto",
    special: Special = "auto",
    end: End = "open",
    end_ids: tuple[int, ...] = (),
    budget: int = 256,
) -> Marginal:
    """Return log Pr of the string y after the string x, summed over the ways to spell it.

    log Pr = log Σ_{t ∈ C(r·y)} Pr(t | a') − log Σ_{t ∈ C(r)} Pr(t | a')

    with a' = tok(x) without its last token, r that token's text, and C(s) the token sequences
    whose text begins with s and whose text without the last token does not reach s. Under `stop`
    the first sum is over the sequences whose text is r·y, each followed by END. A prompt that is
    empty, or ends with a special token, is a' as a whole, and r is empty.

    The search expands the most probable prefix first, the tokenizer's own spelling before all. A
    prefix it leaves unexpanded may yet spell the whole string with all its probability, or not at
    all: that makes the bounds. Special tokens have no text and are in no spelling.

    Args:
        model: shows whole next-token distributions, and has a tokenizer.
        prompt: x.
        continuation: y; special-token strings in it are ordinary text.
        bos: whether a start token is put before x.
        special: whether special-token strings are parsed in x.
        end: what is asked of the output: that it begins with y, or that it is y.
        end_ids: the tokens that are END, under `stop`.
        budget: how many prefixes may be expanded, at least 1.

    Raises:
        QueryError: the model has no tokenizer, or the budget is not positive.
        EmptyContextError: a' is empty, and the model needs something before its first token.
        ContextLengthError: x and y are longer than the model's context.
        TokenizationError: lone surrogates, or a text that the tokenizer does not carry.
    """
    tokenizer = _tokenizer(model)
    task = _task(model, tokenizer, prompt, continuation, bos=bos, special=special)
    return _searched(model, task, tokenizer, end_ids if end == "stop" else None, budget)


def marginal_after(
    model: Predictive,
    start_ids: Tokens,
    continuation: str,
    *,
    end: End = "open",
    end_ids: tuple[int, ...] = (),
    budget: int = 256,
) -> Marginal:
    """Return log Pr of the string y after tokens that stand for no text, x being in an encoder.

    log Pr = log Σ_{t ∈ C(y)} Pr(t | start): nothing of x is spelled anew. y is what its tokens
    spell: with the space that some tokenizers put before every text. The rest is as in `marginal`.

    Args:
        model: shows whole next-token distributions given x, and has a tokenizer.
        start_ids: what the decoder is fed before y.
        continuation: y; special-token strings in it are ordinary text.
        end: what is asked of the output: that it begins with y, or that it is y.
        end_ids: the tokens that are END, under `stop`.
        budget: how many prefixes may be expanded, at least 1.

    Raises:
        QueryError: the model has no tokenizer, or the budget is not positive.
        ContextLengthError: y is longer than the decoder holds.
        TokenizationError: lone surrogates, or a text that the tokenizer has no tokens for.
    """
    tokenizer = _tokenizer(model)
    own = tokenizer.encode(continuation, parse_special=False)
    if tokenizer.unk_id in own:
        msg = (
            f"boundary='marginal' sums over the spellings of a text, and a part of "
            f"{shorten(continuation)} has none in this vocabulary; use boundary='separate'"
        )
        raise TokenizationError(msg)
    if len(start_ids) + len(own) > model.context_length:
        msg = (
            f"the continuation is {len(own)} tokens, and the decoder holds {model.context_length} "
            f"with the {len(start_ids)} that it starts from; shorten the continuation"
        )
        raise ContextLengthError(msg)
    task = _Task(start_ids, b"".join(map(tokenizer.token_bytes, own)), 0, own, ())
    return _searched(model, task, tokenizer, end_ids if end == "stop" else None, budget)


def _tokenizer(model: Predictive) -> Tokenizer:
    if model.tokenizer is None:
        msg = (
            "boundary='marginal' sums over the spellings of a text, and this model has no "
            "tokenizer; use boundary='separate' with prompt_ids and candidate_ids"
        )
        raise QueryError(msg)
    return model.tokenizer


def _searched(
    model: Predictive, task: _Task, tokenizer: Tokenizer, end_ids: Tokens | None, budget: int
) -> Marginal:
    if budget < 1:
        msg = f"marginal_budget is how many prefixes may be expanded, at least 1; found {budget}"
        raise QueryError(msg)
    search = _Search(model, task, spellings(tokenizer, model.vocab_size), end_ids)
    return search.result(search.run(budget))


@dataclass(frozen=True, slots=True)
class _Task:
    """What is summed: after `context`, the spellings of `text`, given that they reach `given`."""

    context: Tokens
    text: bytes
    given: int
    own: Tokens
    """The tokenizer's own spelling of `text`, tried before all others."""
    warnings: tuple[str, ...]


def _task(
    model: Predictive, tokenizer: Tokenizer, x: str, y: str, *, bos: Bos, special: Special
) -> _Task:
    special = "auto" if special == "parse" else special
    before = encode(tokenizer, x, "", boundary="joint", bos=bos, special=special)
    both = encode(tokenizer, x, y, boundary="joint", bos=bos, special=special)
    context, warnings = before.context_ids, both.warnings
    rest = tokenizer.token_bytes(context[-1]) if x else b""
    if rest:
        context = context[:-1]
        text = rest + tokenizer.normalise(y, start=False).encode()
    else:
        text = b"".join(map(tokenizer.token_bytes, both.token_ids))
    if not context and bos == "auto" and tokenizer.bos_id is not None:
        context = (tokenizer.bos_id,)
        note = start_token_added(tokenizer)
        warnings += () if note in warnings else (note,)
    if not context and not isinstance(model, Unconditional):
        msg = (
            "under boundary='marginal' the prompt's last token is spelled anew, and nothing "
            "stands before it to condition on; give a longer prompt, bos='always' with a model "
            "that declares a start token, or boundary='separate'"
        )
        raise EmptyContextError(msg)
    own = _own_spelling(tokenizer, (*both.context_ids, *both.token_ids), text)
    if own is None:
        own = (*before.context_ids[-1:], *tokenizer.encode(y, parse_special=False, start=False))
    if len(context) + len(own) > model.context_length:
        msg = (
            f"prompt and continuation are {len(context) + len(own)} tokens, the model's context "
            f"is {model.context_length}; shorten the prompt"
        )
        raise ContextLengthError(msg)
    return _Task(context, text, len(rest), own, warnings)


def _own_spelling(tokenizer: Tokenizer, ids: Tokens, text: bytes) -> Tokens | None:
    tail = b""
    for first in range(len(ids), -1, -1):
        if len(tail) >= len(text):
            return ids[first:] if tail == text else None
        tail = tokenizer.token_bytes(ids[first - 1]) + tail
    return None


@dataclass(frozen=True, slots=True)
class Spellings:
    """A vocabulary sorted by its tokens' bytes: those that begin alike stand together.

    Attributes:
        texts: the bytes of each token that has any, in order.
        ids: the token of each place.
        longest: the length of the longest.
    """

    texts: tuple[bytes, ...]
    ids: Int64[np.ndarray, " tokens"]
    longest: int

    def beginning_with(self, text: bytes) -> Int64[np.ndarray, " tokens"]:
        """Return the tokens whose bytes begin with `text`."""
        last = text + b"\xff" * self.longest
        return self.ids[bisect_left(self.texts, text) : bisect_right(self.texts, last)]

    def within(self, text: bytes) -> Iterator[tuple[int, int]]:
        """Yield (token, its length) for each token whose bytes `text` begins with."""
        for size in range(1, min(len(text), self.longest) + 1):
            piece = text[:size]
            place = bisect_left(self.texts, piece)
            # Several tokens may have the same bytes: a letter, and the byte that it is.
            while place < len(self.texts) and self.texts[place] == piece:
                yield int(self.ids[place]), size
                place += 1


@lru_cache(maxsize=_VOCABULARIES_KEPT)
def spellings(tokenizer: Tokenizer, vocab_size: int) -> Spellings:
    """Return a tokenizer's sorted vocabulary below `vocab_size`, special tokens left out."""
    special = tokenizer.special_ids
    pairs = sorted(
        (text, token)
        for token in range(min(tokenizer.vocab_size, vocab_size))
        if token not in special and (text := tokenizer.token_bytes(token))
    )
    texts = tuple(text for text, _ in pairs)
    ids = np.asarray([token for _, token in pairs], dtype=np.int64)
    return Spellings(texts, ids, max(map(len, texts), default=0))


@dataclass(slots=True)
class _Search:
    """Prefixes that spell a beginning of the text, and the probability found behind them."""

    model: Predictive
    task: _Task
    vocabulary: Spellings
    end_ids: tuple[int, ...] | None
    open: dict[Tokens, tuple[float, int]] = field(default_factory=lambda: {(): (0.0, 0)})
    """Prefixes not expanded: the log-probability of each, and how many bytes it spells."""
    queue: list[tuple[float, Tokens]] = field(default_factory=lambda: [(0.0, ())])
    spelled: list[float] = field(default_factory=list)
    reached: list[float] = field(default_factory=list)
    """log-probabilities of the ways found to spell the text, and to reach the given part."""

    def __post_init__(self) -> None:
        """Count what needs no step: nothing is given, nothing is to be spelled."""
        if not self.task.given:
            self.reached.append(0.0)
            if not self.task.text and self.end_ids is None:
                self.spelled.append(0.0)
                self.open.clear()

    def run(self, budget: int) -> int:
        """Expand up to `budget` prefixes; return how many it took."""
        own = self.task.own
        size = len(own) + (1 if self.end_ids is not None else 0)
        done = self._expand([own[:i] for i in range(min(size, budget))])
        while done < budget and not self._settled():
            batch: list[Tokens] = []
            while self.queue and len(batch) < min(_BATCH, budget - done):
                _, prefix = heapq.heappop(self.queue)
                if prefix in self.open:
                    batch.append(prefix)
            done += self._expand(batch)
        return done

    def _settled(self) -> bool:
        """Return whether all that is queued, were it to spell the text, would change no digit."""
        while self.queue and self.queue[0][1] not in self.open:
            heapq.heappop(self.queue)  # it was on the tokenizer's own way
        if not self.queue:
            return True
        most = float(np.log(len(self.queue))) - self.queue[0][0]
        return most < _sum(self.spelled) - _NEGLIGIBLE

    def _expand(self, prefixes: Sequence[Tokens]) -> int:
        if not prefixes:
            return 0
        rows = _rows(self.model, [(*self.task.context, *prefix) for prefix in prefixes])
        done = 0
        for prefix, row in zip(prefixes, rows, strict=True):
            found = self.open.pop(prefix, None)
            if found is None:  # the tokenizer's own spelling is impossible from here on
                break
            self._visit(prefix, row, *found)
            done += 1
        return done

    def _visit(self, prefix: Tokens, row: FloatVocab, logprob: float, size: int) -> None:
        task = self.task
        rest = task.text[size:]
        if size < task.given:
            going = self.vocabulary.beginning_with(task.text[size : task.given])
            self.reached.append(logprob + _mass(row, going))
        if self.end_ids is None:
            if rest:
                self.spelled.append(logprob + _mass(row, self.vocabulary.beginning_with(rest)))
        elif not rest:
            ends = np.asarray(self.end_ids, dtype=np.int64)
            self.spelled.append(logprob + _mass(row, ends))
        for token, length in self.vocabulary.within(rest):
            if length == len(rest) and self.end_ids is None:
                continue  # counted already, among the tokens that begin with the rest
            after = logprob + float(row[token])
            if after > -np.inf:
                longer = (*prefix, token)
                self.open[longer] = (after, size + length)
                if len(task.context) + len(longer) <= self.model.context_length:
                    heapq.heappush(self.queue, (-after, longer))

    def result(self, prefixes: int) -> Marginal:
        """Return what has been found so far, with its bounds.

        Unexpanded prefixes that have not reached the given part add to both sums, the others to
        the first alone; all of it spells the text for the upper bound, none for the lower.
        """
        task = self.task
        short = [logprob for logprob, size in self.open.values() if size < task.given]
        long = [logprob for logprob, size in self.open.values() if size >= task.given]
        found, given = _sum(self.spelled), _sum(self.reached)
        all_given = _sum([given, *short])
        if all_given == -np.inf:
            msg = (
                "the model gives the end of this prompt no probability however it is spelled, so "
                "nothing can be conditioned on it under boundary='marginal'; use "
                "boundary='separate'"
            )
            raise QueryError(msg)
        lower = found - all_given
        upper = _sum([found, *short, *long]) - all_given
        # A probability is at most 1; the rounding of two sums may say otherwise by a hair.
        logprob = min(0.0, lower if given == -np.inf else found - given)
        exact = not self.open or upper - lower < _ONE_DIGIT
        return Marginal(
            logprob=logprob,
            lower=logprob if exact else min(lower, logprob),
            upper=logprob if exact else max(min(upper, 0.0), logprob),
            exact=exact,
            prefixes=prefixes,
            warnings=task.warnings,
        )


def _sum(logprobs: Sequence[float]) -> float:
    return float(logsumexp(np.asarray(logprobs, dtype=np.float64)))


def _mass(row: FloatVocab, tokens: Int64[np.ndarray, " tokens"]) -> float:
    return float(logsumexp(row[tokens]))


def _rows(model: Predictive, prefixes: Sequence[Tokens]) -> FloatPrefixesVocab:
    if prefixes[0]:
        return model.next_logits(prefixes).logprobs
    # Only the first of a search's prefixes can be empty, and then the model is `Unconditional`.
    assert isinstance(model, Unconditional)
    first = model.start_logprobs()[None]
    rest = prefixes[1:]
    return np.concatenate([first, model.next_logits(rest).logprobs]) if rest else first
