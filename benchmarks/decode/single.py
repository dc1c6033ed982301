"""Best-first search that looks at one beginning at a time, as one writes it with transformers.

Each beginning keeps the past keys and values of its own path; the tensors of its parent are not
copied, since a cache grows by making new ones. Before there is an output to beat, the search goes
straight down the most probable tokens; from then on a child is kept only where it may still win.
"""

from __future__ import annotations

import copy
import heapq
import itertools
import time
from dataclasses import dataclass, field

import numpy as np
import torch
from transformers import DynamicCache, PreTrainedModel

from benchmarks.decode.texts import Ids
from logpr._types import FloatVocab


@dataclass(frozen=True, slots=True)
class Proven:
    """The best output, its log-probability, and what finding and proving it took."""

    token_ids: Ids
    logprob: float
    nodes: int
    seconds: float

    @property
    def rate(self) -> float:
        """Return the nodes a second."""
        return self.nodes / self.seconds


@dataclass(order=True, slots=True)
class _Open:
    """A beginning that is to be gone on with: `cache` is that of the beginning before it."""

    order: tuple[float, int]
    logprob: float = field(compare=False)
    token_ids: Ids = field(compare=False)
    cache: DynamicCache = field(compare=False)


def best_of(
    model: PreTrainedModel, prompt_ids: Ids, *, length: int, most_nodes: int | None = None
) -> Proven | None:
    """Return the most probable continuation of a fixed length; None if the budget ends before.

    Args:
        model: with a cache of past keys and values.
        prompt_ids: what comes before.
        length: tokens of the continuation.
        most_nodes: next-token distributions that are computed at most, the prompt's among them.
    """
    started = time.perf_counter()
    opened: list[_Open] = []
    numbers = itertools.count()
    best = -np.inf
    best_ids: Ids = ()
    cache = DynamicCache(config=model.config)
    fed: Ids = prompt_ids
    here: Ids = ()
    logprob, nodes = 0.0, 0
    while nodes != most_nodes:
        steps = logprob + _next(model, fed, cache)
        nodes += 1
        deeper: _Open | None = None
        if len(here) == length - 1:
            token = int(steps.argmax())
            if steps[token] > best:
                best, best_ids = float(steps[token]), (*here, token)
        else:
            for token in np.flatnonzero(steps > best).tolist():
                g = float(steps[token])
                child = _Open((-g, next(numbers)), g, (*here, token), cache)
                heapq.heappush(opened, child)
            if best == -np.inf:
                deeper = min((one for one in opened if one.cache is cache), default=None)
        if deeper is not None:
            opened.remove(deeper)
            heapq.heapify(opened)
        elif opened and opened[0].logprob > best:
            deeper = heapq.heappop(opened)
        else:
            return Proven(best_ids, best, nodes, time.perf_counter() - started)
        cache = _branched(deeper.cache)
        fed, here, logprob = deeper.token_ids[-1:], deeper.token_ids, deeper.logprob
    return None


def _next(model: PreTrainedModel, token_ids: Ids, cache: DynamicCache) -> FloatVocab:
    with torch.inference_mode():
        out = model(torch.tensor([token_ids]), past_key_values=cache, logits_to_keep=1)
        row: FloatVocab = out.logits[0, -1].double().log_softmax(dim=-1).numpy()
    return row


def _branched(cache: DynamicCache) -> DynamicCache:
    """Return a cache that grows apart from another one, whose tensors it shares until it does."""
    out = copy.copy(cache)
    out.layers = [copy.copy(layer) for layer in cache.layers]
    return out
