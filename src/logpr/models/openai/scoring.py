"""Edges of a pack by an endpoint: each asked token at the end of a sequence that is echoed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import numpy as np

from logpr._types import END, FloatEdges
from logpr.errors import QueryError
from logpr.models.base import Glimpses
from logpr.models.openai.asking import Ids
from logpr.numerics import logsumexp
from logpr.tokens.pack import ROOT, Pack

Outcomes: TypeAlias = Mapping[Ids, float]
"""The log-probability of the last token of each sequence, given those before it."""


def asked_of(pack: Pack) -> list[tuple[Ids, Ids]]:
    """Return the prefix of each edge, and the tokens whose probabilities it is the sum of.

    Raises:
        QueryError: an edge asks for END and there are no end ids.
    """
    paths: dict[int, Ids] = {}
    ends = tuple(dict.fromkeys(pack.end_ids))
    out: list[tuple[Ids, Ids]] = []
    for node, token in zip(pack.edge_nodes.tolist(), pack.edge_tokens.tolist(), strict=True):
        if token == END and not ends:
            msg = "an edge asks for END and no token is an end token: give end_ids=(…)"
            raise QueryError(msg)
        if node not in paths:
            paths[node] = () if node == ROOT else pack.path(node)
        out.append((paths[node], ends if token == END else (token,)))
    return out


def longest_of(asked: Sequence[tuple[Ids, Ids]]) -> list[Ids]:
    """Return the sequences to be echoed for all that is asked: none is the beginning of another."""
    wanted = sorted({(*prefix, token) for prefix, tokens in asked for token in tokens})
    return [
        each
        for place, each in enumerate(wanted)
        # Sorted, what goes on from a sequence comes right after it.
        if place + 1 == len(wanted) or wanted[place + 1][: len(each)] != each
    ]


def outcomes_of(sequences: Sequence[Ids], logprobs: Sequence[Sequence[float]]) -> dict[Ids, float]:
    """Return what the echoes of sequences say of each of their beginnings' last tokens."""
    out: dict[Ids, float] = {}
    for sequence, found in zip(sequences, logprobs, strict=True):
        for size, value in enumerate(found, start=2):
            out.setdefault(sequence[:size], value)
    return out


def summed(asked: Sequence[tuple[Ids, Ids]], outcomes: Outcomes) -> FloatEdges:
    """Return log Pr of each edge: of END, logsumexp over its tokens."""
    out = np.empty(len(asked))
    for place, (prefix, tokens) in enumerate(asked):
        each = np.array([[outcomes[*prefix, token] for token in tokens]])
        out[place] = each[0, 0] if len(tokens) == 1 else logsumexp(each)[0]
    return out


def outcomes_listed(
    asked: Sequence[tuple[Ids, Ids]], next_top: Callable[[Sequence[Ids]], Glimpses], *, name: str
) -> dict[Ids, float]:
    """Return the same from lists of the best next tokens, where all that is asked is listed.

    Raises:
        QueryError: a token that is asked is not among the best.
    """
    prefixes = list(dict.fromkeys(prefix for prefix, _ in asked))
    found = next_top(prefixes)
    out: dict[Ids, float] = {}
    for prefix, ids, logprobs in zip(prefixes, found.token_ids, found.logprobs, strict=True):
        for token, value in zip(ids.tolist(), logprobs.tolist(), strict=True):
            out[*prefix, token] = value
    for prefix, tokens in asked:
        for token in tokens:
            if (*prefix, token) not in out:
                msg = (
                    f"{name} does not score tokens that are given (it echoes no log-probabilities "
                    f"of a prompt), and token {token} is not among the best after {len(prefix)} "
                    f"tokens that it lists; load the model itself by its folder or hub id, or "
                    f"serve it by vLLM, which scores prompts"
                )
                raise QueryError(msg)
    return out
