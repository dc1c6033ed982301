"""A toy as a model of logpr's own seam: what the zoo's faulty scorers run on."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import final

from logpr._values import ModelProvenance
from logpr.conformance.toy.export import tokenizer_of
from logpr.conformance.toy.oracle import Toy, toy
from logpr.conformance.toy.weights import Architecture
from logpr.models._head import next_rows
from logpr.models.base import NO_EVIDENCE, EdgeScores, Evidence, NextRows
from logpr.tokens.pack import Pack
from logpr.tokens.tokenizer import FastTokenizer


@final
class ToyModel:
    """Implements `Predictive` by the closed form."""

    def __init__(self, of: Toy) -> None:
        self._toy = of
        self.tokenizer = FastTokenizer.from_backend(
            tokenizer_of(of.pieces, adds_start=of.variant.adds_start),
            bos_token="<s>",  # noqa: S106 - a token of text
            eos_token="</s>",  # noqa: S106 - as above
        )
        self.vocab_size = of.pieces.vocab_size
        self.context_length = of.context_length
        self.end_ids = (of.pieces.end_id,)
        self.provenance = ModelProvenance(model=f"toy:{of.name}", backend="conformance")

    def edges(self, pack: Pack, *, evidence: Evidence = NO_EVIDENCE) -> EdgeScores:
        """Whoever runs on a toy asks for rows."""
        raise NotImplementedError

    def next_logits(self, prefixes: Sequence[Sequence[int]]) -> NextRows:
        """Return the rows after prefixes of one token at least."""
        return next_rows(self._toy.rows(prefixes))


@cache
def toy_model(name: str = "toy", architecture: Architecture = "gpt2") -> ToyModel:
    """Return a model of the suite at logpr's seam; the same object for the same name."""
    return ToyModel(toy(name, architecture))
