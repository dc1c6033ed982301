"""Queries as they come: prompts and candidates cut from what a model tells.

All randomness comes from the generator that is passed in, but for the stories, which are a model's
own for good.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator
from functools import lru_cache
from typing import TypeAlias, cast

import numpy as np

from logpr import Query
from logpr.errors import TokenizationError
from logpr.models.base import Predictive, Unconditional
from logpr.tokens.base import Tokenizer
from logpr.tokens.boundary import encode

Drawn: TypeAlias = np.random.Generator

_STORIES, _STORY = 4, 90
_FOREIGN = ("é", " café", " naïve", "…", " “no”", " 東京", " – so", " über")
_DRAWS = 400


@lru_cache(maxsize=4)
def _stories(key: Hashable) -> tuple[tuple[int, ...], ...]:
    """Return stories that a model tells, without their start token."""
    model = cast("Predictive", key)
    tokenizer = tokenizer_of(model)
    rng = np.random.default_rng(20)
    start = () if tokenizer.bos_id is None else (tokenizer.bos_id,)
    assert start or isinstance(model, Unconditional), "a story needs something to begin with"
    paths = [start] * _STORIES
    for _ in range(_STORY):
        rows = model.next_logits(paths).logprobs.copy()
        rows[:, sorted({*tokenizer.special_ids, *model.end_ids, *start})] = -math.inf
        # Gumbel's trick: the largest of noisy log-probabilities is a sample.
        best = (rows + rng.gumbel(size=rows.shape)).argmax(axis=1)
        paths = [(*path, int(token)) for path, token in zip(paths, best, strict=True)]
    return tuple(path[len(start) :] for path in paths)


def random_queries(
    rng: Drawn,
    model: Predictive,
    n_candidates: int,
    *,
    end: str | None = None,
    boundary: str = "separate",
) -> list[Query]:
    """Return records of 2 to 5 candidates each, this many in all (at least 2).

    Prompts of 3 to 30 tokens are cut from what the model tells. Candidates have 1 to 8: what
    really comes next, pieces of other places, the truth with another end (a shared prefix), now
    and then a cut inside a word (a merged boundary), a prompt that ends in a space, and characters
    outside ASCII.

    Args:
        rng: a generator.
        model: with a tokenizer.
        n_candidates: in all.
        end: of all records.
        boundary: of all records.
    """
    out: list[Query] = []
    for size in _sizes(rng, n_candidates):
        prompt, truth = _cut(rng, model, boundary)
        texts: list[str] = []
        if out and rng.random() < 0.2:
            again = _split_elsewhere(rng, model, out[int(rng.integers(len(out)))], boundary)
            if again is not None:
                prompt, truth = again
                texts.append(truth)
        while len(texts) < size:
            text = _candidate(rng, model, truth)
            if text not in texts and _fits(model, prompt, text, boundary):
                texts.append(text)
        out.append(
            Query.of(prompt, texts, id=f"q{len(out)}", end=end, boundary=boundary)  # type: ignore[arg-type]
        )
    return out


def _sizes(rng: Drawn, total: int) -> Iterator[int]:
    while total:
        size = total if total <= 3 else min(int(rng.integers(2, 6)), total)
        size -= total - size == 1
        yield size
        total -= size


def _cut(rng: Drawn, model: Predictive, boundary: str) -> tuple[str, str]:
    """Return a prompt and what really comes next."""
    tokenizer = tokenizer_of(model)
    stories = _stories(cast("Hashable", model))
    for _ in range(_DRAWS):
        story = stories[rng.integers(len(stories))]
        begin = int(rng.integers(0, len(story) - 40))
        stop = begin + int(rng.integers(3, 29))
        whole, prompt = (
            tokenizer.decode(story[begin : stop + 9]),
            tokenizer.decode(story[begin:stop]),
        )
        after = whole[len(prompt) :]
        if not whole.startswith(prompt) or "\ufffd" in whole or len(after) < 6:
            continue
        if rng.random() < 0.15:
            # Inside a word: the boundary merges more often than not.
            move = int(rng.integers(1, 4))
            prompt, after = prompt + after[:move], after[move:]
        elif rng.random() < 0.15 and after.startswith(" "):
            prompt, after = prompt + " ", after[1:]
        if prompt.strip() and _fits(model, prompt, after[:3], boundary):
            return prompt, after
    msg = "no prompt was found in this model's stories"
    raise AssertionError(msg)


def _split_elsewhere(
    rng: Drawn, model: Predictive, query: Query, boundary: str
) -> tuple[str, str] | None:
    """Return a prompt that ends inside a candidate of a query, and the rest of that candidate."""
    text = query.candidates[int(rng.integers(len(query.candidates)))].text
    assert query.prompt is not None
    assert text is not None
    found = encode(tokenizer_of(model), query.prompt, text, boundary=boundary)  # type: ignore[arg-type]
    ends = [stop for _, stop in (found.token_spans or ())[:-1]]
    if not ends or found.text != text:
        return None
    place = ends[int(rng.integers(len(ends)))]
    try:
        head, rest = text.encode()[:place].decode(), text.encode()[place:].decode()
    except UnicodeDecodeError:
        return None
    prompt = query.prompt + head
    return (prompt, rest) if _fits(model, prompt, rest, boundary) else None


def _candidate(rng: Drawn, model: Predictive, truth: str) -> str:
    tokenizer = tokenizer_of(model)
    stories = _stories(cast("Hashable", model))
    story = stories[rng.integers(len(stories))]
    size = int(rng.integers(1, 9))
    begin = int(rng.integers(0, len(story) - 9))
    other = tokenizer.decode(story[: begin + size])[len(tokenizer.decode(story[:begin])) :]
    words = truth[: int(rng.integers(1, 28))]
    kind = rng.random()
    if kind < 0.35:
        text = words
    elif kind < 0.55:
        text = words[: int(rng.integers(1, 12))] + other
    else:
        text = other
    if rng.random() < 0.08:
        text += _FOREIGN[rng.integers(len(_FOREIGN))]
    return text


def _fits(model: Predictive, prompt: str, text: str, boundary: str) -> bool:
    if not text.strip() or "\ufffd" in text:
        return False
    try:
        found = encode(tokenizer_of(model), prompt, text, boundary=boundary)  # type: ignore[arg-type]
    except TokenizationError:
        return False
    return 1 <= len(found.token_ids) <= 8 and 3 <= len(found.context_ids) <= 31


def tokenizer_of(model: Predictive) -> Tokenizer:
    """Return a model's tokenizer, which it must have."""
    assert model.tokenizer is not None, "queries are texts"
    return model.tokenizer
