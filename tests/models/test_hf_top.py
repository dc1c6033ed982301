"""Exact top-k by a model of transformers: what it counts is what goes through the embedding."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from transformers import PreTrainedModel

import logpr
from logpr._topk import MOST_EXTRA
from logpr.models.hf import products
from logpr.models.hf.encdec import HFEncoderDecoder
from logpr.models.hf.model import HFModel
from tests.models.encdec_models import random_encdec
from tests.models.hf_models import VOCAB, random_model

TOKEN_BYTES = 2 * 2 * 2 * 8 * 4
"""Layers, keys and values, key heads, width, bytes of float32."""

HEADER, OWN, LONG = 30, 40, 12
SPAN = 48

ROOMY = 220
"""Tokens that hold all of one query, and of another what lies in one span with the header."""


@pytest.fixture(autouse=True)
def _no_padding(monkeypatch: pytest.MonkeyPatch) -> None:
    """Count tokens alone, not the rows that fill up a product."""
    monkeypatch.setattr(products, "_ROWS", 1)


@contextmanager
def counted(module: PreTrainedModel) -> Iterator[list[int]]:
    """Yield the number of tokens of each forward pass inside the block."""
    out: list[int] = []

    def note(_: object, given: tuple[Any, ...]) -> None:
        out.append(given[0].numel())

    hook = module.get_input_embeddings().register_forward_pre_hook(note)
    try:
        yield out
    finally:
        hook.remove()


def some_queries(*, header: int = 0, count: int = 12) -> list[logpr.Query]:
    """Return queries with one short candidate, which wins, and long ones, which need not be read.

    All begin with the same `header` tokens, and go on each in its own way.
    """
    rng = np.random.default_rng(0)

    def some(length: int) -> list[int]:
        return rng.integers(3, VOCAB, length).tolist()

    shared = some(header)
    out: list[logpr.Query] = []
    for number in range(count):
        prompt = [*shared, number + 3, *some(OWN)]
        candidates = [some(2), *(some(LONG) for _ in range(8))]
        out.append(logpr.Query.of(prompt_ids=prompt, candidate_ids=candidates))
    return out


def a_model(module: PreTrainedModel, cache_tokens: int) -> HFModel:
    """Return a model that holds so many tokens, a span of them in doubt."""
    return HFModel.from_modules(
        module, cache_bytes=cache_tokens * TOKEN_BYTES, pack_tokens=SPAN, executor="forest"
    )


@pytest.mark.parametrize("cache_tokens", [0, 100, 250, 400, 100_000])
@pytest.mark.parametrize("header", [0, HEADER])
def test_tokens_fed_are_those_that_went_through(cache_tokens: int, header: int) -> None:
    """Of many queries too, whose prompts do not fit beside each other into what is held."""
    module = random_model("llama", max_position_embeddings=256)
    model = a_model(module, cache_tokens)
    queries = some_queries(header=header)
    with model.apart() as room:
        assert (room == 0) == (cache_tokens == 0)
        assert room <= cache_tokens
    with counted(module) as whole:
        full = list(logpr.rank_many(queries, model=model))
    with counted(module) as passed:
        found = list(logpr.rank_many(queries, model=model, top=1))
    said = sum(one.tokens_fed or 0 for one in found)
    everything = sum(one.tokens_full or 0 for one in found)
    assert [one.order for one in found] == [one.order[:1] for one in full]
    # What queries share goes through once, and each counts it.
    again = (len(queries) - 1) * header
    assert sum(whole) == everything - again
    assert sum(passed) <= said
    assert sum(passed) <= (1.0 + MOST_EXTRA) * sum(whole)
    if not header or cache_tokens >= ROOMY:
        assert sum(passed) == said - again
    if cache_tokens >= ROOMY:
        assert sum(passed) < 0.7 * sum(whole)


def test_one_query_that_does_not_fit_is_counted_too() -> None:
    """Whether all, some or nothing of it can be held: never less is said than was fed."""
    module = random_model("llama", max_position_embeddings=256)
    (query,) = some_queries(count=1)
    for cache_tokens in range(0, 300, 20):
        with counted(module) as passed:
            model = a_model(module, cache_tokens)
            with model.apart():
                pass  # the size of a token is known from here on
            passed.clear()
            found = logpr.rank(
                prompt_ids=query.prompt_ids,
                candidate_ids=[one.token_ids for one in query.candidates],
                model=model,
                top=1,
            )
        assert found.tokens_fed is not None
        assert found.tokens_full is not None
        assert sum(passed) <= found.tokens_fed <= (1.0 + MOST_EXTRA) * found.tokens_full


def test_room_is_what_a_token_takes() -> None:
    """Without a token run before, it is measured; what spans may block of it is left out."""
    module = random_model("llama", max_position_embeddings=256)
    with a_model(module, 1000).apart() as room:
        assert room == 1000 - SPAN
    with a_model(module, 20).apart() as room:
        assert room == 10
    with a_model(module, 1000).apart(keep=False) as room:
        assert room == 0
    plain = HFModel.from_modules(module, executor="plain")
    with plain.apart() as room:
        assert room == 0
    assert torch.get_num_threads() == 1


def test_an_encoder_reads_each_prompt_once() -> None:
    """Each round would read it again, so all candidates of an encoder–decoder model are whole."""
    module = random_encdec("t5")
    model = HFEncoderDecoder.from_modules(module)
    rng = np.random.default_rng(0)
    candidates = [rng.integers(3, VOCAB, length).tolist() for length in (2, *(20,) * 40)]
    query = logpr.Query.of(prompt_ids=rng.integers(3, VOCAB, 60).tolist(), candidate_ids=candidates)
    (full,) = logpr.rank_many([query], model=model)
    encoder = module.get_encoder()
    read: list[int] = []
    hook = encoder.register_forward_pre_hook(lambda *_: read.append(1))
    (found,) = logpr.rank_many([query], model=model, top=1)
    hook.remove()
    assert len(read) == 1
    assert found.order == full.order[:1]
    assert found.tokens_fed == found.tokens_full
