"""Greedy and sampled text, its stops, and options that are refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import logpr
from logpr.errors import QueryError
from logpr.integrations._generation import WIDTH, Generation, generate, read_options, request_seeds
from logpr.models.base import Predictive
from logpr.models.table import TableModel

CYCLE: dict[str, Any] = {
    "tokens": ["A", "B", "C"],
    "kind": "probs",
    "order": 1,
    "rows": {"A": [0.2, 0.5, 0.3], "B": [0.1, 0.2, 0.7], "C": [0.6, 0.3, 0.1]},
    "default": [1, 0, 0],
}


def written(
    model: Predictive,
    contexts: list[tuple[int, ...]],
    options: Generation | list[Generation],
    *,
    end_ids: frozenset[int] = frozenset(),
    seeds: list[np.random.SeedSequence] | None = None,
) -> list[str]:
    """Return the texts in the order of their contexts."""
    each = options if isinstance(options, list) else [options] * len(contexts)
    grown = dict(
        generate(
            model,
            contexts,
            each,
            end_ids=end_ids,
            seeds=seeds or np.random.SeedSequence(0).spawn(len(contexts)),
        )
    )
    assert sorted(grown) == list(range(len(contexts)))
    return [grown[index] for index in range(len(contexts))]


@pytest.fixture
def cycle() -> TableModel:
    """Return a model whose most likely next letters go A B C A B C."""
    return TableModel.from_dict(CYCLE)


def test_greedy_takes_the_most_likely(cycle: TableModel) -> None:
    """Token by token the favourite, as many as asked for, whatever grows beside it."""
    contexts = [(0,), (1,), (2,)] * WIDTH
    lengths = [1 + index % 7 for index in range(len(contexts))]
    options = [Generation(max_new_tokens=length) for length in lengths]
    for (first,), length, text in zip(
        contexts, lengths, written(cycle, contexts, options), strict=True
    ):
        assert text.split() == ["ABC"[(first + 1 + i) % 3] for i in range(length)]


def test_a_stop_string_ends_a_text(cycle: TableModel) -> None:
    """Nothing from the first stop on is in the text, wherever its tokens end."""
    for until, text in [((" A",), "B C"), (("C A", "B C A B"), "B "), (("Z",), "B C A B C A")]:
        options = Generation(until=until, max_new_tokens=6)
        assert written(cycle, [(0,)], options) == [text]


def test_an_end_token_ends_a_text(cycle: TableModel) -> None:
    """An end token is fed to nothing and is not in the text."""
    assert written(cycle, [(0,)], Generation(), end_ids=frozenset({2})) == ["B"]


def test_samples_have_the_model_s_frequencies(cycle: TableModel) -> None:
    """Drawn tokens come as often as softmax(log Pr / temperature) says, within 5 deviations."""
    draws = 4000
    options = Generation(max_new_tokens=1, temperature=0.5)
    texts = written(cycle, [(0,)] * draws, options)
    weights = np.array([0.2, 0.5, 0.3]) ** 2
    for letter, prob in zip("ABC", weights / weights.sum(), strict=True):
        spread = 5 * (prob * (1 - prob) / draws) ** 0.5
        assert texts.count(letter) / draws == pytest.approx(prob, abs=spread)


@pytest.mark.parametrize(
    ("options", "drawn"),
    [
        ({"top_k": 1}, {"B"}),
        ({"top_k": 2}, {"B", "C"}),
        ({"top_p": 0.5}, {"B"}),
        ({"top_p": 0.51}, {"B", "C"}),
        ({"top_p": 0.9}, {"A", "B", "C"}),
        ({}, {"A", "B", "C"}),
    ],
)
def test_cut_distributions_hold_the_best(
    cycle: TableModel, options: dict[str, Any], drawn: set[str]
) -> None:
    """top_k keeps that many, top_p the fewest whose probability reaches it."""
    sampled = Generation(max_new_tokens=1, temperature=1.0, **options)
    assert set(written(cycle, [(0,)] * 200, sampled)) == drawn


def test_a_sample_depends_on_its_seed_alone(cycle: TableModel) -> None:
    """The same seed writes the same text in any company; another seed another."""
    seeds = np.random.SeedSequence(7).spawn(3)
    options = Generation(max_new_tokens=30, temperature=1.0)
    together = written(cycle, [(0,)] * 3, options, seeds=seeds)
    assert written(cycle, [(0,)], options, seeds=[np.random.SeedSequence(7).spawn(3)[2]]) == [
        together[2]
    ]
    assert len(set(together)) == 3


def test_a_seed_is_its_request_s() -> None:
    """Task, context, options and the seed make it, and the count of equal ones: nothing else."""
    options = Generation(temperature=1.0)
    asked = ("one", "Once", options)

    def states(*requests: tuple[str | None, str, Generation], seed: int = 1) -> list[int]:
        return [int(one.generate_state(1)[0]) for one in request_seeds(seed, requests)]

    first, second = states(asked, asked)
    others: list[tuple[str | None, str, Generation]] = [
        ("two", "Once", options),
        (None, "Once", options),
        ("one", "Once upon", options),
        ("one", "Once", Generation(temperature=0.9)),
        ("one", "Once", Generation(temperature=1.0, until=("a",))),
    ]
    assert states(*others, asked, *others, asked)[len(others) :: len(others) + 1] == [first, second]
    different = [first, second, *states(*others), *states(asked, seed=2)]
    assert len(set(different)) == len(different)


def test_special_tokens_are_not_text() -> None:
    """A start or end token that is written leaves nothing in the text, and an end token ends it."""
    model = logpr.load("builtin")
    assert isinstance(model, Predictive)
    tokenizer = model.tokenizer
    assert tokenizer is not None
    context = (0, *tokenizer.encode("The cat sat on the", parse_special=True))
    (whole,) = written(model, [context], Generation(max_new_tokens=5))
    ids = tokenizer.encode(whole, parse_special=False, start=False)
    (ended,) = written(model, [context], Generation(max_new_tokens=5), end_ids=frozenset({ids[2]}))
    assert ended == tokenizer.decode(ids[:2])
    # After the end of a story this model writes its start token.
    (after,) = written(model, [(0, 1)], Generation(max_new_tokens=3))
    first = int(model.next_logits([(0, 1)]).logprobs[0].argmax())
    assert first in tokenizer.special_ids
    assert "<|" not in after


def test_options_of_tasks_are_read() -> None:
    """What tasks of the harness write: greedy by default, sampling where a temperature asks it."""
    assert read_options({}) == Generation()
    assert read_options({"until": "\n", "do_sample": False, "temperature": 0.0}) == Generation(
        until=("\n",)
    )
    assert read_options({"until": ["a", ""], "max_gen_toks": 5}) == Generation(
        until=("a",), max_new_tokens=5
    )
    assert read_options({"max_new_tokens": 5, "max_gen_toks": 6}).max_new_tokens == 6
    assert read_options({"temperature": 0.7, "top_p": 0.9, "top_k": 50}) == Generation(
        temperature=0.7, top_p=0.9, top_k=50
    )
    assert read_options({"do_sample": True, "temperature": 1}).temperature == 1.0
    assert read_options({"do_sample": False, "temperature": 0.7, "top_p": 0.9}) == Generation()
    assert read_options({"num_beams": 1, "repetition_penalty": 1.0, "top_k": 0}) == Generation()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"num_beams": 4}, r"num_beams=4 is not supported \(but at 1\)"),
        ({"repetition_penalty": 1.1}, "repetition_penalty=1.1 is not supported"),
        ({"min_p": 0.1}, "min_p=0.1 is not supported; there are until"),
        ({"do_sample": True}, "needs a temperature above 0, found none; give temperature=1.0"),
        ({"do_sample": "yes"}, "do_sample is true or false, found 'yes'"),
        ({"temperature": -1}, "temperature is 0 or more, found -1"),
        ({"temperature": "hot"}, "temperature is a number, found 'hot'"),
        ({"max_gen_toks": 0}, "max_gen_toks is a whole number of tokens, at least 1; found 0"),
        ({"temperature": 1, "top_p": 1.5}, "top_p is above 0 and at most 1, found 1.5"),
        ({"temperature": 1, "top_k": 2.5}, "top_k is a whole number"),
        ({"until": [1]}, r"until is a string or a list of strings, found \[1\]"),
    ],
)
def test_options_that_are_not_done_are_refused(given: dict[str, Any], message: str) -> None:
    """An option is never dropped in silence: its name, its value, and the way out are said."""
    with pytest.raises(QueryError, match=message):
        read_options(given)
