"""From an evaluation's texts to token ids, by the conventions of lm-evaluation-harness.

They differ from logpr's own (`boundary`, `bos`): numbers are to be held against those of the
harness's other backends, so the ids have to be theirs. Nothing here imports that library.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from logpr.errors import ContextLengthError, EmptyContextError, TokenizationError
from logpr.tokens.base import Tokenizer

_SHOWN = 60


@dataclass(frozen=True, slots=True)
class Pair:
    """A continuation after a context, in token ids."""

    context_ids: tuple[int, ...]
    token_ids: tuple[int, ...]

    @property
    def ids(self) -> tuple[int, ...]:
        """All ids in order; the last of them is asked about and never fed."""
        return self.context_ids + self.token_ids


@dataclass(frozen=True, slots=True)
class TextEncoder:
    """Encodes texts as the harness's Hugging Face backend does.

    Args:
        tokenizer: the model's.
        adds_bos: whether a start token is put before a text.
        prefix_id: what an empty context stands for, None where the model has no such token.
    """

    tokenizer: Tokenizer
    adds_bos: bool
    prefix_id: int | None

    def encode(self, text: str, *, add_bos: bool | None = None) -> tuple[int, ...]:
        """Return the ids of a text, special-token strings parsed.

        Args:
            text: any.
            add_bos: whether a start token goes first; by default as `adds_bos` says, and never
                before a text that begins with the prefix token's own string.
        """
        if add_bos is None:
            add_bos = self.adds_bos and not self._begins_with_prefix(text)
        ids = self.tokenizer.encode(text, parse_special=True)
        if not add_bos:
            return ids
        start = self.tokenizer.bos_id
        if start is None:
            msg = (
                "add_bos_token=True puts a start token before each text, and this tokenizer "
                "declares none: leave it out"
            )
            raise EmptyContextError(msg)
        return (start, *ids)

    def context(self, text: str) -> tuple[int, ...]:
        """Return the ids of what a text is written after; the prefix token for an empty one.

        Raises:
            EmptyContextError: an empty context, and no token that it could stand for.
        """
        ids = self.encode(text)
        if ids:
            return ids
        if self.prefix_id is None:
            msg = (
                "an empty context stands for a start or end token, and this model declares "
                "neither: give prefix_token_id=ID in --model_args"
            )
            raise EmptyContextError(msg)
        return (self.prefix_id,)

    def pairs(self, requests: Iterable[tuple[str, str]]) -> Iterator[Pair]:
        """Yield the ids of each (context, continuation), in order.

        White space at the end of the context goes to the continuation; then the continuation is
        tok(context + continuation) without its first len(tok(context)) ids. An empty context
        stands for the prefix token.

        Raises:
            TokenizationError: the tokenizer leaves nothing of a continuation.
        """
        # Choices of one question follow each other: their context is encoded once.
        known: tuple[str, tuple[int, ...]] | None = None
        for given_context, given_continuation in requests:
            kept = len(given_context.rstrip())
            context = given_context[:kept]
            continuation = given_context[kept:] + given_continuation
            if not context:
                yield self._after_prefix(continuation)
                continue
            if known is None or known[0] != context:
                known = (context, self.encode(context))
            ids = self.encode(context + continuation)[len(known[1]) :]
            if continuation and not ids:
                end = context[-_SHOWN:]
                msg = (
                    f"the tokenizer makes one token of the end of the context {end!r} and of "
                    f"the whole continuation {continuation!r}, so no token is left to score: end "
                    f"the context at a space (doc_to_text, target_delimiter)"
                )
                raise TokenizationError(msg)
            yield Pair(known[1], ids)

    def _after_prefix(self, continuation: str) -> Pair:
        ids = self.encode(continuation, add_bos=False)
        if self.prefix_id is None:
            return Pair((), ids)
        if ids[:1] == (self.prefix_id,):
            return Pair(ids[:1], ids[1:])
        return Pair((self.prefix_id,), ids)

    def _begins_with_prefix(self, text: str) -> bool:
        if self.prefix_id is None:
            return False
        name = self.tokenizer.token_text(self.prefix_id)
        return bool(name) and text.startswith(name)


def fitted(pair: Pair, max_length: int) -> Pair:
    """Return a pair cut from the left to its last `max_length` + 1 ids: the last is not fed.

    Args:
        pair: a context and a continuation.
        max_length: the longest sequence that is fed.

    Raises:
        ContextLengthError: the continuation alone is longer than `max_length`.
    """
    if len(pair.token_ids) > max_length:
        msg = (
            f"a continuation of {len(pair.token_ids)} tokens is longer than max_length, "
            f"{max_length}: score such texts by output_type: loglikelihood_rolling, or take a "
            f"model with a longer context"
        )
        raise ContextLengthError(msg)
    over = len(pair.context_ids) + len(pair.token_ids) - (max_length + 1)
    return pair if over <= 0 else Pair(pair.context_ids[over:], pair.token_ids)
