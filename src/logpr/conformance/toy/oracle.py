"""A toy in process: its rows, its log-probabilities in closed form, and its reading of texts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal, TypeAlias, final

import numpy as np

from logpr._types import Bos, End, FloatTokensVocab, FloatVocab
from logpr.conformance.toy.forward import logits, logprobs
from logpr.conformance.toy.pieces import Pieces
from logpr.conformance.toy.variants import Variant, variant_of, weights_of
from logpr.conformance.toy.weights import CONTEXT, Architecture

Policy: TypeAlias = Literal["separate", "joint", "split", "verbatim"]
"""Where a prompt ends. `separate`, `joint`: DESIGN's. `split`: tok(x + y) cut where tok(x) ends.
`verbatim`: tok(x), tok(y) as they stand."""

_KEPT_LENGTH = 64
"""Longer prefixes are asked for once: their rows are not kept."""

_TRUTHS_KEPT = 4096

_TOGETHER = 1 << 22
"""Numbers of one batch's attention scores at most."""


@dataclass(frozen=True, slots=True)
class Truth:
    """What a candidate's log-probability is: token by token, and END where it is scored."""

    token_ids: tuple[int, ...]
    token_logprobs: tuple[float, ...]
    end_logprob: float | None = None

    @property
    def logprob(self) -> float:
        """Σ token_logprobs + end_logprob."""
        return float(np.sum(self.token_logprobs)) + (self.end_logprob or 0.0)


@final
class Toy:
    """A model of the suite, in process.

    Args:
        name: the variant's.
        architecture: which twin.
    """

    context_length = CONTEXT

    def __init__(self, name: str, architecture: Architecture = "gpt2") -> None:
        self.variant: Variant = variant_of(name)
        self.architecture = architecture
        self.weights = weights_of(name, architecture)
        self._rows: dict[tuple[int, ...], FloatVocab] = {}
        self._truths: dict[tuple[tuple[int, ...], tuple[int, ...], End], Truth] = {}

    @property
    def name(self) -> str:
        """The variant's."""
        return self.variant.name

    @property
    def pieces(self) -> Pieces:
        """Its vocabulary."""
        return self.variant.pieces

    def rows(self, prefixes: Iterable[Sequence[int]]) -> FloatTokensVocab:
        """Return the logits after each prefix of at least one token, a row each."""
        asked = [tuple(prefix) for prefix in prefixes]
        missing = {prefix for prefix in asked if prefix not in self._rows}
        fresh = self._computed(missing) if missing else {}
        return np.stack([fresh[p] if p in fresh else self._rows[p] for p in asked])

    def _computed(self, missing: set[tuple[int, ...]]) -> dict[tuple[int, ...], FloatVocab]:
        """Run what is missing, each prefix as part of the longest that goes on from it."""
        ordered = sorted(missing)
        hosts: dict[tuple[int, ...], tuple[int, ...]] = {}
        host: tuple[int, ...] = ()
        for prefix in reversed(ordered):
            # Sorted, whatever goes on from a prefix comes right after it.
            host = host if host[: len(prefix)] == prefix else prefix
            hosts[prefix] = host
        by_length: dict[int, list[tuple[int, ...]]] = {}
        for each in dict.fromkeys(hosts.values()):
            by_length.setdefault(len(each), []).append(each)
        whole: dict[tuple[int, ...], FloatTokensVocab] = {}
        for length, group in by_length.items():
            size = max(1, _TOGETHER // length**2)
            for start in range(0, len(group), size):
                part = group[start : start + size]
                found = logits(self.weights, np.array(part, dtype=np.int64))
                whole |= dict(zip(part, found, strict=True))
        out = {prefix: whole[host][len(prefix) - 1] for prefix, host in hosts.items()}
        self._rows |= {prefix: row for prefix, row in out.items() if len(prefix) <= _KEPT_LENGTH}
        return out

    def truth(
        self, context_ids: Sequence[int], token_ids: Sequence[int], end: End = "open"
    ) -> Truth:
        """Return log Pr of tokens after a context of at least one, and of END where it is asked.

        A sum over the rows that stand right before each token:

            log Pr(y | x) = Σ_i u^(i)[y_i] − logsumexp(u^(i))
        """
        asked = (tuple(context_ids), tuple(token_ids), end)
        if asked not in self._truths:
            if len(self._truths) > _TRUTHS_KEPT:
                self._truths.clear()
            self._truths[asked] = self._truth(*asked)
        return self._truths[asked]

    def _truth(self, context: tuple[int, ...], tokens: tuple[int, ...], end: End) -> Truth:
        steps = len(tokens) + (end == "stop")
        if not steps:
            return Truth((), ())
        prefixes = [context + tokens[:place] for place in range(steps)]
        found = logprobs(self.rows(prefixes))
        each = tuple(float(found[place, token]) for place, token in enumerate(tokens))
        last = float(found[-1, self.pieces.end_id]) if end == "stop" else None
        return Truth(tokens, each, last)

    def read(
        self, prompt: str, candidate: str, *, policy: Policy = "separate", bos: Bos = "auto"
    ) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Return (context, tokens) of a text as a boundary policy and a start token have it.

        An empty prompt leaves the start token alone before y, whatever the tokenizer adds.
        """
        encode = self.pieces.encode
        if policy == "separate":
            bare = prompt.rstrip(" ")
            moved = prompt[len(bare) :] + candidate
            before, both = encode(bare), encode(bare + moved)
            clean = both[: len(before)] == before
            context, tokens = before, both[len(before) :] if clean else encode(moved)
        elif policy == "joint":
            both = encode(prompt + candidate)
            reach, size = 0, len(prompt.encode())
            while reach < len(both) and size >= len(self.pieces.names[both[reach]]):
                size -= len(self.pieces.names[both[reach]])
                reach += 1
            context, tokens = both[:reach], both[reach:]
        elif policy == "split":
            cut = len(encode(prompt))
            both = encode(prompt + candidate)
            context, tokens = both[:cut], both[cut:]
        else:
            context, tokens = encode(prompt), encode(candidate)
        adds = self.variant.adds_start if bos == "auto" else bos == "always"
        start = (self.pieces.start_id,) if adds or (bos == "auto" and not context) else ()
        return start + context, tokens


@cache
def toy(name: str = "toy", architecture: Architecture = "gpt2") -> Toy:
    """Return a model of the suite; the same object for the same name.

    >>> from logpr.conformance.toy import toy
    >>> round(toy("tenth").truth([10], [0, 0]).logprob, 4)  # two tokens of probability 0.1
    -4.6052

    Raises:
        UnknownNameError: there is no such variant.
    """
    return Toy(name, architecture)
