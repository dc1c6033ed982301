"""Sound scorers that are easily accused: half precision, noise, means, small vocabularies, END."""

from __future__ import annotations

import hashlib
import math
import random
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

import pytest

import logpr
from logpr.auditing import faulty_scorer
from logpr.conformance import LAWS, Declares, toy_scorer
from logpr.conformance.mutants import EXACT
from logpr.conformance.targets.http import Url
from logpr.conformance.toy import Architecture
from logpr.errors import QueryError

Score = Callable[[str, Sequence[str]], list[float]]


def half(folder: str, dtype: str, end: str) -> Callable[[str, Sequence[str]], Any]:
    """Return a scorer of transformers in half precision, one sequence at a time."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    torch.set_num_threads(1)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    of = getattr(torch, dtype)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=of).eval()
    begins = [tokenizer.bos_token_id]
    adds = tokenizer("a").input_ids[:1] == begins

    def one(prompt: str, candidate: str) -> list[float]:
        bare = prompt.rstrip(" ")
        moved = prompt[len(bare) :] + candidate
        x, whole = (tokenizer(text).input_ids for text in (bare, bare + moved))
        y = whole[len(x) :]
        if whole[: len(x)] != x:
            y = tokenizer(moved, add_special_tokens=False).input_ids
        x = x if bare else begins
        if not bare and not adds:
            y = whole
        ends = [tokenizer.eos_token_id] * (end == "stop")
        if len(x + y) > model.config.max_position_embeddings:
            raise ValueError(len(x + y))
        with torch.no_grad():
            rows = model(torch.tensor([x + y])).logits[0].float().log_softmax(-1)
        return [float(rows[len(x) - 1 + at, token]) for at, token in enumerate([*y, *ends])]

    def score(prompt: str, candidates: Sequence[str]) -> Any:  # noqa: ANN401 - a pair
        tokens = [one(prompt, candidate) for candidate in candidates]
        return [sum(each) for each in tokens], tokens

    return score


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("architecture", ["gpt2", "llama"])
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_keeps_all(dtype: str, architecture: Architecture, seed: int) -> None:
    """What half precision does to the suite's models is within what is allowed for it."""
    end = "open" if seed == 1 else "stop"
    report = logpr.check(
        factory=lambda folder: half(folder, dtype, end),
        declares={"dtype": dtype, "per_token": True, "end": end},
        architecture=architecture,
        seed=seed,
        skip=["chunking", "long_sequence"],
        explain=False,
    )
    assert report.failed == report.error == report.blocked == ()


@pytest.mark.parametrize("seed", [7, 16, 20, 23, 26])
def test_a_wide_tolerance_hides_no_prompt(seed: int) -> None:
    """Scores that differ by less than half precision's tolerance differ all the same."""
    only = ["prompt_used"]
    declares = Declares(dtype="bfloat16")
    assert logpr.check(factory=toy_scorer, declares=declares, only=only, seed=seed).passed
    deaf = logpr.check(
        factory=lambda folder: (
            lambda prompt, ys: toy_scorer(folder)("a" * bool(prompt), ys)  # the same for all
        ),
        declares=declares,
        only=only,
        seed=seed,
        explain=False,
    )
    assert deaf.failed == ("prompt_used",)


def trembling(prompt: object, candidate: object, size: float) -> float:
    """Return a number within ± size that is always the same for the same texts."""
    digest = hashlib.sha256(repr((prompt, candidate)).encode()).digest()
    return size * (int.from_bytes(digest[:6]) / 2**47 - 1)


@pytest.mark.parametrize("seed", range(5))
def test_start_tokens_are_counted_in_half_precision(seed: int) -> None:
    """Where several counts of start tokens fit, the declared one is taken."""

    def make(folder: str) -> Score:
        plain = toy_scorer(folder)

        def score(prompt: str, candidates: Sequence[str]) -> list[float]:
            scores, tokens = plain(prompt, candidates)
            return [
                value + trembling(prompt, y, 0.4 * len(row))
                for value, row, y in zip(scores, tokens, candidates, strict=True)
            ]

        return score

    report = logpr.check(factory=make, declares={"dtype": "bfloat16"}, only=["bos_once"], seed=seed)
    assert report.passed == ("bos_once",)


SOUND = faulty_scorer(model="builtin")


def test_company_moves_half_precision_of_ones_own() -> None:
    """In half precision a score moves with its company, though the same call gives the same."""

    def score(prompt: str, candidates: Sequence[str]) -> list[float]:
        return [
            value + trembling((prompt, *candidates), y, 0.02 * (len(y.split()) + 1))
            for value, y in zip(SOUND(prompt, candidates), candidates, strict=True)
        ]

    said = logpr.check(score, declares={"dtype": "bfloat16"}, explain=False)
    unsaid = logpr.check(score, explain=False)
    assert said.failed == ()
    assert "batch_composition" in unsaid.failed


def test_end_in_the_list_is_no_token() -> None:
    """Under `stop` the last of the token scores may be END's, which has a future of its own."""
    lm = logpr.load("builtin")

    def score(prompt: str, candidates: Sequence[str]) -> Any:  # noqa: ANN401 - a pair
        query = logpr.Query.of(prompt, list(candidates), end="stop")
        (row,) = logpr.score_many([query], model=lm)
        tokens = [[*(each.token_logprobs or ()), each.end_logprob] for each in row]
        return [each.logprob for each in row], tokens

    declares = {"end": "stop", "per_token": True}
    report = logpr.check(score, declares=declares, only=["future_blind", "token_count"])
    assert report.passed == ("token_count", "future_blind")


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5])
def test_a_tiny_vocabulary_is_drawn_from(size: int) -> None:
    """Of two ids on there are cases, and of one there is an end too."""

    class Scorer:
        vocab_size = size

        def __call__(self, prompt: list[int], candidates: list[list[int]]) -> list[float]:
            if max(*prompt, *(token for each in candidates for token in each)) >= size:
                raise IndexError(size)
            weights = [1.0 + (prompt[-1] + 2 * token) % 5 for token in range(size)]
            return [math.log(weights[each[0]] / sum(weights)) for each in candidates]

    only = ["next_token_mass", "prompt_used"]
    report = logpr.check(Scorer(), declares={"ids": True}, only=only)
    assert report.passed == (("next_token_mass", "prompt_used") if size > 1 else ())


def test_a_mean_of_ones_own_is_held_to_what_needs_no_sum() -> None:
    """Means of equal texts are compared, though their tokens cannot be counted."""
    mean = faulty_scorer("mean", model="builtin")
    apart = {"candidate_independence", "prompt_used", "permutation", "batch_composition"}
    judged = apart | {"nonpositive_finite", "duplicates", "repeat", "byte_round_trip", "unicode"}
    declares = {"aggregate": "mean"}
    assert set(logpr.check(mean, declares=declares).passed) == judged

    def unsorted(prompt: str, candidates: Sequence[str]) -> list[float]:
        return mean(prompt, sorted(candidates, key=len))

    report = logpr.check(unsorted, declares=declares, explain=False)
    assert {"candidate_independence", "permutation"} <= set(report.failed)


def test_a_replay_knows_the_noise() -> None:
    """A case alone is held to the noise that the whole suite would have measured."""
    rng = random.Random(0)  # noqa: S311 - no secret

    def score(prompt: str, candidates: Sequence[str]) -> list[float]:
        return [
            value - 0.001 * rng.random() * (len(y.split()) + 1)
            for value, y in zip(SOUND(prompt, candidates), candidates, strict=True)
        ]

    for case in ("30.30.18.18.17/16.20.34/31", "4/32.31.19/21", "28.19/11/33.24.25"):
        report = logpr.check(score, replay=f"chain_rule/own/{case}@0")
        assert report.passed == ("chain_rule",)
        assert [result.check for result in report.results] == ["chain_rule"]


def test_a_replay_of_another_declaration_does_not_apply() -> None:
    """A case of `stop` says nothing about a scorer that declares `open`."""
    report = logpr.check(factory=toy_scorer, declares=EXACT, replay="stop_mass/endings/0")
    assert report.not_applicable == ("stop_mass",)


@pytest.mark.parametrize(
    "case",
    ["stop_mass/endings/0/1", "fixed_length_mass/letters/0", "fixed_length_mass/letters/0@99",
     "long_sequence/tenth/1", "long_sequence/tenth/1@-5", "chunking/toy", "chunking/toy@5",
     "chunking/toy@1200.5.-1", "chunking/toy@2000.200.1", "truncation/toy", "truncation/toy@3000",
     "trailing_space/toy/-99/3", "unicode/bytes/-999/4", "boundary/toy/-99/3",
     "next_token_mass/toy/1/2", "chain_rule/toy/1/2/3", "oracle/toy/1/2@1"],
)  # fmt: skip
def test_a_case_of_another_shape_is_refused(case: str) -> None:
    """An id with too few parts, or numbers out of range, is refused in words."""
    with pytest.raises(QueryError, match="is no case of"):
        logpr.check(factory=toy_scorer, declares=EXACT, replay=case)


@pytest.mark.parametrize("name", ["unit", "upcast", "bos_once"])
def test_what_cannot_be_judged_twice_is_told(name: str) -> None:
    """A scorer that breaks a law once, and then gives what nothing can be said of, is reported."""
    assert name in LAWS

    def make(folder: str) -> Callable[..., list[float]]:
        plain, calls = toy_scorer(folder), iter(range(10_000))

        def score(prompt: str, candidates: Sequence[str]) -> list[float]:
            scores, _ = plain(prompt, candidates)
            if next(calls):
                return [-7.0 * at for at, _ in enumerate(scores, 1)]
            if name == "bos_once":  # as with no start token
                return toy_scorer(folder, bos="never")(prompt, candidates)[0]
            return [value * (2 if name == "unit" else 1.01) for value in scores]

        return score

    report = logpr.check(factory=make, declares={"dtype": "float64"}, only=[name])
    assert report.failed == (name,)
    assert report.failures[0].found == "not kept"


def test_a_property_that_raises_is_none() -> None:
    """What a scorer's own attributes raise is no error of ours, nor a number that is none."""

    class Odd:
        @property
        def many(self) -> object:
            raise RuntimeError

        def __call__(self, prompt: str, candidates: list[str]) -> list[float]:
            return SOUND(prompt, candidates)

    assert logpr.check(Odd(), only=["repeat"]).passed == ("repeat",)
    report = logpr.check(lambda _, ys: [Decimal("sNaN")] * len(ys), only=["repeat"])
    assert report.error == ("repeat",)
    assert "sNaN" in report.errors[0].message


@pytest.mark.parametrize("url", ["http://me:secret@host:port/v1?key=secret", "http://a:secret@/v1"])
def test_a_password_in_a_url_is_not_shown(url: str) -> None:
    """A URL that is none is shown without what may be secret in it."""
    with pytest.raises(QueryError, match="is no URL") as caught:
        Url(url)
    assert "secret" not in str(caught.value)


def test_no_check_at_all_is_refused() -> None:
    """A run of nothing finds nothing, and is no good news."""
    with pytest.raises(QueryError, match="no check is left"):
        logpr.check(factory=toy_scorer, only=[])
    with pytest.raises(QueryError, match="no check is left"):
        logpr.check(factory=toy_scorer, only=["unit"], skip=["unit"])
