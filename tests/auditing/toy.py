"""A model small enough to be audited a thousand times: merges, moved spaces, letters of two bytes.

Its rows are drawn by lot for each whole prefix, so that no two prefixes have the same one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from logpr import Candidate, Query
from logpr._types import FloatVocab
from logpr._values import ModelProvenance
from logpr.errors import TokenizationError
from logpr.models._head import next_rows
from logpr.models.base import NO_EVIDENCE, EdgeScores, Evidence, NextRows
from logpr.tokens.pack import Pack
from tests.auditing.oracle import Shortlists
from tests.test_marginal import END, Letters

PIECES = (
    *" abcdeé.",
    *(f" {letter}" for letter in "abcdeé"),
    *("ab", "bc", "cd", "de", "ea", "aé", "ce", "dd"),
    *(" ab", " bc", " cde", " dead", " bead", " cab", " bade", " aéc"),
    *("cab", "bed", "ade", "ace", "...", "é.", "eed", "ded", "bb", "ac"),
)
TEMPLATE = (
    "{% for message in messages %}{{ message['content'] + '. ' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'ab.' }}{% endif %}"
)


class Strict(Letters):
    """Pieces that refuse a text with other letters, as tokenizers without bytes do."""

    def encode(self, text: str, *, parse_special: bool, start: bool = True) -> tuple[int, ...]:
        """Cut the longest piece off the front, again and again."""
        unknown = set(text) - set("".join(self.pieces))
        if unknown:
            msg = f"{sorted(unknown)} are in no piece"
            raise TokenizationError(msg)
        return super().encode(text, parse_special=parse_special, start=start)


@dataclass(frozen=True, eq=False)
class Toy:
    """A model whose logits are drawn by lot for each prefix, always the same.

    `scale` is their spread, `level` their mean: no logit that is a log-probability.
    """

    tokenizer: Letters = field(default_factory=lambda: Strict(PIECES, chat_template=TEMPLATE))
    seed: int = 0
    end_ids: tuple[int, ...] = (END,)
    scale: float = 2.0
    level: float = 0.7
    context_length: int = 64
    drawn: dict[tuple[int, ...], FloatVocab] = field(default_factory=dict)

    @property
    def vocab_size(self) -> int:
        """The tokenizer's."""
        return self.tokenizer.vocab_size

    @property
    def provenance(self) -> ModelProvenance:
        """A name, and no noise."""
        return ModelProvenance(model="toy", backend="test")

    def edges(self, pack: Pack, *, evidence: Evidence = NO_EVIDENCE) -> EdgeScores:
        """Nobody asks: an audit reads rows."""
        raise NotImplementedError

    def row(self, prefix: tuple[int, ...]) -> FloatVocab:
        """Return the logits after a prefix."""
        if prefix not in self.drawn:
            rng = np.random.default_rng([self.seed, *prefix])
            self.drawn[prefix] = rng.normal(self.level, self.scale, self.vocab_size)
        return self.drawn[prefix]

    def next_logits(self, prefixes: Sequence[Sequence[int]]) -> NextRows:
        """Return the rows after prefixes of one token at least."""
        assert all(prefixes), "nothing to condition on"
        return next_rows(np.stack([self.row(tuple(prefix)) for prefix in prefixes]))


class Startless(Toy):
    """A toy that needs nothing before the first token."""

    def start_logprobs(self) -> FloatVocab:
        """Return the row of a sequence's first token."""
        first: FloatVocab = self.next_logits([()]).logprobs[0]
        return first

    def next_logits(self, prefixes: Sequence[Sequence[int]]) -> NextRows:
        """Return the rows after prefixes, the empty one too."""
        return next_rows(np.stack([self.row(tuple(prefix)) for prefix in prefixes]))


def queries(
    seed: int,
    count: int = 12,
    *,
    ids: bool = False,
    pieces: tuple[str, ...] = PIECES,
    longest: int = 5,
    **said: Any,  # noqa: ANN401 - Query.of's own: end, boundary, bos
) -> list[Query]:
    """Return records of 2 to 4 candidates, so many candidates in all.

    Args:
        seed: of all that is drawn.
        count: of candidates.
        ids: whether some candidates come as token ids.
        pieces: what texts are made of.
        longest: how many pieces a candidate has at most.
        said: end, boundary and bos of all.
    """
    rng = np.random.default_rng([77, seed])
    out: list[Query] = []

    def text(low: int, high: int) -> str:
        return "".join(pieces[i] for i in rng.integers(0, len(pieces), rng.integers(low, high + 1)))

    while count:
        size = count if count <= 3 else int(rng.integers(2, 5))
        size -= count - size == 1
        prompt = text(2, 7) + rng.choice(["", "", " "])
        found: dict[str, None] = {}
        while len(found) < size:
            found[text(1, longest)] = None
        given: list[Candidate] = [Candidate(text=each) for each in found]
        if ids and rng.random() < 0.3:
            given[0] = Candidate(token_ids=tuple(rng.integers(2, len(pieces), 3).tolist()))
        out.append(Query.of(prompt, given, id=f"q{len(out)}", **said))
        count -= size
    return out


def lists(seed: int, asked: Sequence[Query], vocab: int, *, steps: int = 16) -> Shortlists:
    """Return so many random lists of ids for each candidate: what a record logs, and some more."""
    rng = np.random.default_rng([78, seed])
    return [
        [
            [
                sorted({int(i) for i in rng.integers(0, vocab, rng.integers(1, 12))})
                for _ in range(steps)
            ]
            for _ in query.candidates
        ]
        for query in asked
    ]
