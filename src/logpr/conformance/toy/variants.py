"""The models of the suite, by name: one drawn by lot, and what its variants make visible."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, Literal

import numpy as np

from logpr.conformance.toy import weights as w
from logpr.conformance.toy.pieces import BYTES, LETTERS, MERGING, Pieces
from logpr.conformance.toy.weights import Architecture, Weights
from logpr.errors import UnknownNameError


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """How a model of the suite is made, and what its folder says beside the weights.

    `adds_start`: whether its tokenizer puts the start token before a text. `generation`: further
    fields of generation_config.json.
    """

    name: str
    about: str
    pieces: Pieces = MERGING
    change: Callable[[Weights, Pieces], Weights] = lambda weights, _: weights
    adds_start: bool = True
    padding_side: Literal["left", "right"] = "right"
    dtype: Literal["float64", "bfloat16"] = "float64"
    generation: dict[str, Any] = field(default_factory=dict)


TENTH = 0
"""The token that has probability 0.1 after every context of the toy `tenth`."""


def _tenth(weights: Weights, pieces: Pieces) -> Weights:
    logits = np.full(pieces.vocab_size, math.log(0.9 / (pieces.vocab_size - 1)))
    logits[TENTH] = math.log(0.1)
    return w.unigram(weights, logits + 3.0)


HALF_LOGITS = (9.0, 8.9375, 5.0, 4.96875, 2.0, -1.0, 3.0, 0.5, 6.0, 7.0, -4.0, 1.0, 8.0, -2.0)
"""Exact in bfloat16; the first two differ by less than a log-probability near 0.7 can show in it
beside a log-normaliser near 9.8, and so tie where the log-softmax is taken in half precision."""


def _halves(weights: Weights, pieces: Pieces) -> Weights:
    return w.unigram(weights, np.resize(np.array(HALF_LOGITS), pieces.vocab_size))


VARIANTS: dict[str, Variant] = {
    variant.name: variant
    for variant in (
        Variant(name="toy", about="a dozen tokens"),
        Variant(
            name="shifted",
            about="toy with one vector added to all rows of its head",
            change=lambda weights, _: w.shifted(weights),
        ),
        Variant(
            name="dummy",
            about="toy with one more token that no text holds",
            pieces=replace(MERGING, unnamed=MERGING.unnamed + 1),
            change=lambda weights, _: w.with_dummy(weights),
        ),
        Variant(
            name="order1",
            about="toy without attention and positions",
            change=lambda weights, _: w.of_order_one(weights),
        ),
        Variant(
            name="letters",
            about="one letter a token, all mass on letters",
            pieces=LETTERS,
            change=w.without_specials,
        ),
        Variant(
            name="endings",
            about="one letter a token, and an end token that it gives",
            pieces=LETTERS,
            change=w.without_start,
        ),
        Variant(name="tenth", about="a token of probability 0.1 everywhere", change=_tenth),
        Variant(
            name="halves", about="bfloat16, with exact logits", change=_halves, dtype="bfloat16"
        ),
        Variant(
            name="startless", about="toy whose tokenizer adds no start token", adds_start=False
        ),
        Variant(name="padded_left", about="toy with padding on the left", padding_side="left"),
        Variant(
            name="sampling",
            about="toy whose generation config samples",
            generation={
                "do_sample": True,
                "temperature": 0.6,
                "top_k": 4,
                "top_p": 0.7,
                "repetition_penalty": 1.4,
            },
        ),
        Variant(name="bytes", about="every byte a token, merges inside characters", pieces=BYTES),
    )
}

_SAME_DRAW = {"dummy": MERGING}
"""Variants with another vocabulary that begin from the plain toy's draw."""


@cache
def weights_of(name: str, architecture: Architecture) -> Weights:
    """Return a variant's weights.

    Raises:
        UnknownNameError: no variant has that name.
    """
    variant = variant_of(name)
    begun = _SAME_DRAW.get(name, variant.pieces)
    label = {MERGING: "merging", LETTERS: "letters", BYTES: "bytes"}[begun]
    return variant.change(w.drawn(architecture, begun, f"{architecture} {label}"), variant.pieces)


def variant_of(name: str) -> Variant:
    """Return a variant by its name.

    Raises:
        UnknownNameError: there is none.
    """
    if name not in VARIANTS:
        msg = f"no model of the suite is called {name!r}; it has {', '.join(VARIANTS)}"
        raise UnknownNameError(msg)
    return VARIANTS[name]
