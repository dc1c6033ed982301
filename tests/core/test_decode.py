"""The verb `decode`: what it answers, what it refuses, and that its answers can be checked."""

from __future__ import annotations

import json
import math
import os
import signal
import threading
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import T5Config, T5ForConditionalGeneration

import logpr
from logpr._values import Decoding, Moment
from logpr.decoding.verifier import verify
from logpr.errors import ContextLengthError, QueryError, UnknownNameError, WrongTypeError
from logpr.models._prefix_steps import PrefixSteps
from logpr.models.base import Model, Stepwise
from logpr.models.hf.encdec import HFEncoderDecoder
from logpr.models.table import TableModel

TIGHT = 1e-9


def table(**changes: Any) -> TableModel:  # noqa: ANN401 - parts of a table
    """Return a model on which greedy walks past the best output.

    After x it takes a (0.5) and then has to choose among many; b (0.4) ends at once.
    """
    data: dict[str, Any] = {
        "tokens": ["x", "a", "b", "c", "."],
        "end": ["."],
        "kind": "probs",
        "order": 1,
        "rows": {
            "": [1, 0, 0, 0, 0],
            "x": [0, 0.5, 0.4, 0, 0.1],
            "a": [0.2, 0.2, 0.2, 0.2, 0.2],
            "b": [0, 0, 0, 0.1, 0.9],
            "c": [0, 0.5, 0.5, 0, 0],
            ".": [1, 0, 0, 0, 0],
        },
    }
    return TableModel.from_dict(data | changes)


def decoded(**options: Any) -> Decoding:  # noqa: ANN401 - options of decode
    """Return the decoding of x, with its certificate verified."""
    model = options.pop("model", None) or table()
    found = logpr.decode(**({"prompt": "x", "model": model, "max_new_tokens": 4} | options))
    outputs = [one.token_ids for one in found.nbest] if found.certificate.threshold else None
    assert verify(found.certificate, model=model, outputs=outputs).verified is not False
    assert found.certificate.mass.total == pytest.approx(1.0, abs=TIGHT)
    return found


def test_it_finds_what_greedy_walks_past() -> None:
    """Pr(b .) = 0.36; greedy's "a" leads nowhere as probable."""
    found = decoded(n=3)
    assert found.best is not None
    assert found.greedy is not None
    assert found.best.text == " b"
    assert found.best.logprob == pytest.approx(math.log(0.36), abs=TIGHT)
    assert found.best.end_logprob == pytest.approx(math.log(0.9), abs=TIGHT)
    assert "mode" in found.best.names
    assert found.greedy.token_ids != found.best.token_ids
    assert found.certificate.status == "optimal"
    assert found.certificate.gap == 0.0
    assert found.certificate.at_most_better == 0
    assert found.certificate.nbest_proven == 3
    logprobs = [one.logprob for one in found.nbest]
    assert logprobs == sorted(logprobs, reverse=True)
    assert found.nbest[0] == found.best


def test_the_number_is_that_of_score() -> None:
    """What `logpr score` says of the same tokens, END included."""
    model = table()
    found = decoded(model=model)
    assert found.best is not None
    score = logpr.score("x", " b", model=model, end="stop")
    assert found.best.logprob == score.logprob
    assert found.best.token_logprobs == score.token_logprobs
    assert math.fsum([*found.best.token_logprobs, found.best.end_logprob or 0.0]) == (
        pytest.approx(found.best.logprob, abs=1e-12)
    )


def test_it_becomes_json_and_comes_back() -> None:
    """All fields that DECODE names are there, and nothing is lost."""
    found = decoded(n=2, explain=True)
    data = json.loads(found.to_json())
    assert {"method", "objective", "best", "nbest", "greedy", "certificate"} <= set(data)
    assert {"text", "token_ids", "logprob"} <= set(data["best"])
    assert {"status", "lower", "upper", "gap", "expansions", "mass"} <= set(data["certificate"])
    assert Decoding.from_json(found.to_json()) == found


def test_explain_says_where_greedy_parted() -> None:
    """The gap of the explanation is the distance to the optimum."""
    rows = {
        "": [1, 0, 0, 0, 0],
        "x": [0, 0.5, 0.4, 0, 0.1],
        "a": [0, 0, 0, 0.4, 0.6],
        "b": [0, 0, 0, 0.1, 0.9],
        "c": [0, 0.5, 0.5, 0, 0],
    }
    found = decoded(model=table(rows=rows), explain=True)
    assert found.best is not None
    assert found.greedy is not None
    assert found.explanation is not None
    assert found.explanation.gap == pytest.approx(
        found.best.logprob - found.greedy.logprob, abs=TIGHT
    )
    assert found.explanation.fork is not None
    assert decoded(explain=True, method="greedy").explanation is None


def test_the_empty_output_has_its_rank() -> None:
    """Pr(END | x) = 0.1: behind b (0.36) and a (0.1, longer and no better)."""
    found = decoded(n=10)
    empty = next(one for one in (*found.nbest, *found.compared) if "empty" in one.names)
    assert empty.logprob == pytest.approx(math.log(0.1), abs=TIGHT)
    ranked = sorted(found.nbest, key=lambda one: -one.logprob)
    better = sum(one.logprob > empty.logprob + TIGHT for one in ranked)
    assert found.empty_rank is not None
    least, most = found.empty_rank
    assert least <= 1 + better <= (most or math.inf)


def test_threshold_finds_all_and_says_so() -> None:
    """Every output with Pr >= 0.05, no other."""
    found = decoded(method="threshold", threshold=0.05)
    assert found.certificate.status == "optimal"
    assert all(one.logprob >= math.log(0.05) - TIGHT for one in found.nbest)
    more = decoded(n=20)
    wanted = [one.token_ids for one in more.nbest if one.logprob >= math.log(0.05)]
    assert [one.token_ids for one in found.nbest] == wanted


@pytest.mark.parametrize("method", ["sample", "sample_without_replacement"])
def test_draws_carry_both_probabilities(method: Any) -> None:  # noqa: ANN401 - a method
    """log Pr under the model and log q under what was drawn from; equal seeds draw the same."""
    one = decoded(method=method, n=4, seed=3, temperature=0.7)
    again = decoded(method=method, n=4, seed=3, temperature=0.7)
    assert one.nbest == again.nbest
    assert len(one.nbest) == 4
    for draw in one.nbest:
        assert draw.proposal_logprob is not None
        assert draw.proposal_logprob <= 0.0
        assert (draw.gumbel is not None) == (method == "sample_without_replacement")
    assert one.certificate.status == "gap"
    assert one.certificate.upper < 0.0


def test_choices_are_what_rank_would_rank() -> None:
    """The best of a finite set is the winner of `rank` under `stop`, with the same number."""
    model = table()
    choices = [" a", " b c", " b", " a a"]
    found = decoded(model=model, choices=choices, n=4)
    ranking = logpr.rank("x", choices, model=model, end="stop")
    assert found.best is not None
    assert found.best.token_ids == ranking.candidates[ranking.best].token_ids
    assert [one.token_ids for one in found.nbest] == [
        ranking.candidates[place].token_ids
        for place in ranking.order
        if (ranking.candidates[place].logprob or 0.0) > -math.inf
    ]
    assert found.certificate.mass.excluded > 0.0
    low, high = found.best.logprob_given_constraint or (0.0, 0.0)
    exact = ranking.candidates[ranking.best].choice_prob
    assert exact is not None
    assert low - TIGHT <= math.log(exact) <= high + TIGHT


def test_a_regex_holds_the_text() -> None:
    """Only outputs whose whole text matches; nothing else is the answer."""
    found = decoded(regex=" a( [ab])+", n=3)
    assert found.best is not None
    assert all((one.text or "").startswith(" a ") for one in found.nbest)
    none = decoded(regex="nothing like it")
    assert none.certificate.status == "infeasible"
    assert none.best is None


def test_under_open_the_length_is_fixed() -> None:
    """Exactly so many tokens, end tokens among them as ordinary ones."""
    found = decoded(end="open", min_new_tokens=2, max_new_tokens=2, n=3)
    assert all(len(one.token_ids) == 2 for one in found.nbest)
    assert found.best is not None
    assert found.best.logprob == pytest.approx(math.log(0.36), abs=TIGHT)  # b and "."
    assert found.best.end_logprob is None
    with pytest.raises(QueryError, match="shortest one always wins"):
        logpr.decode("x", model=table(), end="open", max_new_tokens=3)


def test_a_model_without_end_tokens_is_told_what_to_do() -> None:
    """It cannot stop: the error names both ways out."""
    model = table(end=[])
    with pytest.raises(QueryError, match="end_ids"):
        logpr.decode("x", model=model, max_new_tokens=3)


def test_objectives_are_divided_as_they_say() -> None:
    """Scores are the formulas, of the best under each."""
    for name, divide in (
        ("per_token", lambda n: n + 1.0),
        ("per_token(0.5)", lambda n: (n + 1.0) ** 0.5),
        ("length_penalty(0.6)", lambda n: ((5.0 + n) / 6.0) ** 0.6),
    ):
        found = decoded(objective=name, n=3)
        assert found.certificate.status == "optimal"
        for one in found.nbest:
            assert one.score == pytest.approx(one.logprob / divide(len(one.token_ids)), abs=TIGHT)


def test_min_length_by_both_names() -> None:
    """`restrict` leaves probabilities as they are; `renormalise` shares END's."""
    kept = decoded(min_new_tokens=2)
    assert kept.best is not None
    assert len(kept.best.token_ids) >= 2
    assert kept.certificate.mass.excluded > 0.0
    shared = decoded(min_new_tokens=2, min_length="renormalise")
    assert shared.best is not None
    assert shared.certificate.mass.excluded == pytest.approx(0.0, abs=TIGHT)
    assert shared.best.score > kept.best.score


def test_a_bias_lowers_and_never_raises() -> None:
    """Below 0 the bound holds; above it the search is refused with the reason."""
    found = decoded(bias={2: -5.0})
    assert found.best is not None
    assert 2 not in found.best.token_ids
    with pytest.raises(QueryError, match="nothing can be proven"):
        logpr.decode("x", model=table(), bias={2: 0.5})


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"method": "viterbi"}, "no method is called"),
        ({"objective": "ppl"}, "no objective is called"),
        ({"objective": "length_penalty(-1)"}, "from 0 to 40"),
        ({"threshold": 0.1}, "method='threshold'"),
        ({"method": "threshold"}, "threshold=0.01"),
        ({"temperature": 0.5}, "method='sample'"),
        ({"method": "beam", "n": 9}, "width=9"),
        ({"method": "greedy", "n": 2}, "method='exact'"),
        ({"budget": "soon"}, "10000 nodes"),
        ({"memory": "3"}, "512MB"),
        ({"n": 0}, "at least 1"),
        ({"tolerance": -1.0}, "nats"),
        ({"tolerance": 1.0, "method": "sample"}, "method='exact'"),
        ({"explain": True, "method": "sample_without_replacement"}, "method='exact'"),
        ({"min_length": "renormalise"}, "min_new_tokens=4"),
        ({"max_new_tokens": 2, "min_new_tokens": 3}, "min_new_tokens"),
        ({"regex": "a", "choices": [" a"]}, "one constraint"),
        ({"choices": " a"}, "choices is a list"),
        ({"end_ids": [77]}, "outside the model's vocabulary"),
        ({"bias": {99: -1.0}}, "outside the model's vocabulary"),
        ({"bias": {4: -1.0}}, "end token"),
        ({"method": "threshold", "threshold": 0.1, "objective": "per_token"}, "Pr"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_what_cannot_be_meant_is_refused(options: dict[str, Any], said: str) -> None:
    """Each error says what was found, and what to type instead."""
    with pytest.raises((QueryError, UnknownNameError, logpr.errors.InputError), match=said):
        logpr.decode("x", model=table(), **options)


def test_a_prompt_that_fills_the_context_is_refused() -> None:
    """With the number of tokens that there is room for."""
    lm = logpr.load("builtin")
    with pytest.raises(ContextLengthError, match="max_new_tokens="):
        logpr.decode(prompt_ids=[0] * 1020, model=lm, max_new_tokens=64)


def test_a_budget_is_kept_and_the_answer_sound() -> None:
    """Stopped after 30 expansions: bounds, a gap, and what a proof would take."""
    lm = logpr.load("builtin")
    moments: list[Moment] = []
    found = logpr.decode(
        "Once upon a time", model=lm, max_new_tokens=8, budget="60 nodes", progress=moments.append
    )
    proof = found.certificate
    assert proof.stopped == "budget"
    assert proof.expansions <= 60
    assert proof.status == "gap"
    assert proof.lower <= proof.upper <= 0.0
    assert proof.mass.total == pytest.approx(1.0, abs=TIGHT)
    assert any("a proof may need" in said for said in found.warnings)
    # Neither greedy nor the beam came to an end: that is likely what is wrong.
    assert any("no_end" in said and "end_ids" in said for said in found.warnings)
    assert moments
    uppers = [moment.upper for moment in moments]
    assert all(after <= before for before, after in pairwise(uppers))
    assert found.tree
    assert found.peak_bytes < 512_000_000


def test_ctrl_c_gives_the_best_so_far(request: pytest.FixtureRequest) -> None:
    """The first one ends the search between two batches; the handler is put back."""
    lm = logpr.load("builtin")
    # Whoever starts the tests in the background has it ignored.
    outer = signal.signal(signal.SIGINT, signal.default_int_handler)
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, outer))
    told = threading.Event()

    def interrupt(moment: Moment) -> None:
        if moment.expansions > 50 and not told.is_set():
            told.set()
            os.kill(os.getpid(), signal.SIGINT)

    started = time.perf_counter()
    found = logpr.decode(
        "Once upon a time", model=lm, max_new_tokens=30, budget="50s", progress=interrupt
    )
    assert found.certificate.stopped == "interrupted"
    assert found.certificate.status == "gap"
    assert found.certificate.mass.total == pytest.approx(1.0, abs=TIGHT)
    assert time.perf_counter() - started < 60.0
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_little_memory_changes_the_work_and_not_the_answer(data_dir: Path) -> None:
    """Keys and values make room and are computed again; records are dropped with their bound."""
    lm = logpr.load(f"builtin:{data_dir / 'models' / 'stories260K'}")
    text = "Once upon a time, there was a little girl named Lily. She"
    options: dict[str, Any] = {
        "model": lm, "end": "open", "min_new_tokens": 9, "max_new_tokens": 9, "budget": None,
    }  # fmt: skip
    much = logpr.decode(text, **options, memory="512MB")
    little = logpr.decode(text, **options, memory="16MiB")
    assert much.best is not None
    assert little.best is not None
    assert much.certificate.status == "optimal"
    assert little.peak_bytes <= 2**24
    assert little.best.token_ids == much.best.token_ids
    assert little.certificate.upper >= much.certificate.lower - 1e-4
    assert verify(much.certificate, model=lm).verified


def test_spellings_of_one_text_are_summed() -> None:
    """The text ab in one token and in two: the string has the mass of both."""
    model = TableModel.from_dict(
        {
            "tokens": ["x", "a", "b", "."],
            "end": ["."],
            "kind": "probs",
            "order": 1,
            "rows": {
                "": [1, 0, 0, 0],
                "x": [0, 0.4, 0.3, 0.3],
                "a": [0, 0, 0.5, 0.5],
                "b": [0, 0, 0, 1],
            },
        }
    )
    found = logpr.decode("x", model=model, n=4, max_new_tokens=3)
    for one in found.nbest:
        same = [other for other in found.nbest if other.text == one.text]
        assert one.string_mass == pytest.approx(sum(math.exp(each.logprob) for each in same))


def test_an_encoder_reads_the_prompt_once() -> None:
    """The decoder's outputs are searched, scored and verified like any other model's."""
    torch.manual_seed(0)
    config = T5Config(
        vocab_size=20, d_model=16, d_kv=8, d_ff=32, num_layers=2, num_heads=2,
        decoder_start_token_id=0, eos_token_id=1, pad_token_id=0, initializer_factor=2.0,
    )  # fmt: skip
    lm = HFEncoderDecoder.from_modules(T5ForConditionalGeneration(config).eval())
    found = logpr.decode(prompt_ids=[5, 6, 7, 1], model=lm, max_new_tokens=3, explain=True, n=2)
    assert found.certificate.status == "optimal"
    assert found.best is not None
    score = logpr.score(
        prompt_ids=[5, 6, 7, 1], candidate_ids=found.best.token_ids, model=lm, end="stop"
    )
    assert score.logprob == pytest.approx(found.best.logprob, abs=1e-5)
    assert verify(found.certificate, model=lm).verified


@pytest.mark.parametrize("name", ["table", "builtin", "folder"])
def test_a_row_that_was_written_into_is_whole_when_it_is_asked_for_again(
    name: str, request: pytest.FixtureRequest
) -> None:
    """Several searches begin at one prompt: what the first rules out the next one has to see."""
    models: dict[str, Callable[[], Model]] = {
        "table": table,
        "builtin": lambda: logpr.load("builtin"),
        "folder": lambda: logpr.load(
            request.getfixturevalue("data_dir") / "models" / "stories260K"
        ),
    }
    model = models[name]()
    prompt = [0] if name == "table" else [1, 5, 9]
    stepper = (
        model.stepper(prompt, kv_bytes=2**20)
        if isinstance(model, Stepwise)
        else PrefixSteps(model, prompt)  # type: ignore[arg-type]
    )
    first = stepper.start()
    kept, calls = first.values.copy(), stepper.calls
    first.values[:] = -math.inf
    assert np.array_equal(stepper.start().values, kept)
    assert stepper.calls == calls
    found = logpr.decode(prompt_ids=prompt, model=model, end_ids=[4], max_new_tokens=2, n=3)
    empty = next(one for one in (*found.nbest, *found.compared) if "empty" in one.names)
    assert empty.logprob == pytest.approx(
        logpr.score(
            prompt_ids=prompt, candidate_ids=[], model=model, end="stop", end_ids=[4]
        ).logprob
    )
    assert found.empty_rank is not None


def test_an_output_at_the_threshold_is_not_missed() -> None:
    """Pr(b) is the threshold itself: stopped before b was looked at, that is a gap."""
    rows = {
        "": [1, 0, 0, 0, 0],
        "x": [0, 0.5, 0.25, 0, 0.25],
        "a": [0, 0.5, 0, 0, 0.5],
        "b": [0, 0, 0, 0, 1],
        "c": [0, 0.5, 0.5, 0, 0],
    }
    options: dict[str, Any] = {"model": table(rows=rows), "method": "threshold", "threshold": 0.25}
    early = decoded(**options, budget="2 nodes", compare=False)
    assert (2,) not in [one.token_ids for one in early.nbest]
    assert early.certificate.status == "gap"
    assert (early.certificate.at_most_better or 0) >= 1
    whole = decoded(**options)
    assert {one.token_ids for one in whole.nbest} == {(), (1,), (2,)}
    assert whole.certificate.status == "optimal"


def test_a_beam_is_certified_for_what_it_returns() -> None:
    """Beams order by one end token: what both together make better is passed over, and bounds."""
    rows = {
        "": [1, 0, 0, 0, 0],
        "x": [0, 0.5, 0.5, 0, 0],
        "a": [0, 0.2, 0, 0.5, 0.3],
        "b": [0, 0.3, 0.1, 0.6, 0],
    }
    model = table(tokens=["x", "a", "b", ".", "!"], end=[".", "!"], rows=rows)
    found = decoded(model=model, method="beam", width=2, max_new_tokens=3)
    assert found.best is not None
    assert found.best.token_ids == (2,)
    assert found.certificate.token_ids == found.best.token_ids
    assert found.certificate.lower == pytest.approx(math.log(0.3), abs=TIGHT)
    assert found.certificate.upper == pytest.approx(math.log(0.4), abs=TIGHT)
    assert found.certificate.status == "gap"
    assert (found.certificate.at_most_better or 0) >= 1
    assert decoded(model=model, method="beam", width=2, n=2).certificate.status == "optimal"


def test_what_a_beam_ends_and_lets_go_is_a_rival() -> None:
    """The empty output has less than five longer ones by each end token, and more by both."""
    data = {"": [0.0, 0.155, 0.4, 0.445]}
    model = table(tokens=["x", "a", ".", "!"], end=[".", "!"], order=0, rows=data)
    found = decoded(model=model, method="beam", objective="per_token(2)", max_new_tokens=6)
    assert found.certificate.lower < math.log(0.845)
    assert found.certificate.upper == pytest.approx(math.log(0.845), abs=TIGHT)
    assert (found.certificate.at_most_better or 0) >= 1
    assert found.certificate.mass.dropped >= 0.845 - TIGHT


def test_a_constraint_renormalised_has_its_interval() -> None:
    """Pr(y | x, y in C) is of the search's own normaliser: all of C is known, so it is a number."""
    options: dict[str, Any] = {"choices": [" a", " b"], "min_new_tokens": 1, "n": 2}
    found = decoded(**options, min_length="renormalise", max_new_tokens=1)
    given = [one.logprob_given_constraint for one in found.nbest]
    assert all(pair is not None for pair in given)
    shares = [math.exp(pair[1]) for pair in given if pair is not None]
    assert sum(shares) == pytest.approx(1.0, abs=TIGHT)
    # a: 5/9 · 0.2, b: 4/9 · 0.9, END after x shared out.
    assert max(shares) == pytest.approx(0.36 / (0.1 + 0.36), abs=TIGHT)


def test_within_a_tolerance_nothing_is_called_the_mode() -> None:
    """Nobody knows whether it is: something better may be left within the nats that were given."""
    loose = decoded(tolerance=20.0, compare=False)
    assert loose.certificate.status in ("optimal_within", "gap")
    assert loose.best is not None
    assert "mode" not in loose.best.names
    biased = decoded(bias={2: -5.0})
    assert all("mode" not in one.names for one in (*biased.nbest, *biased.compared))


def test_the_rank_of_the_empty_output_counts_what_was_not_kept() -> None:
    """1640 outputs are better than it, more than are kept; its rank may not be said to be less."""
    words = [f"w{number}" for number in range(40)]
    model = TableModel.from_dict(
        {
            "tokens": ["x", *words, "."],
            "end": ["."],
            "kind": "probs",
            "order": 1,
            "rows": {"": [1, *[0] * 41], "x": [0, *[(1 - 1e-9) / 40] * 40, 1e-9]},
            "default": [0, *[0.999 / 40] * 40, 0.001],
        }
    )
    found = logpr.decode("x", model=model, max_new_tokens=2, budget=None)
    assert found.certificate.status == "optimal"
    assert found.empty_rank is not None
    least, most = found.empty_rank
    assert least <= 1641
    assert most is None or most >= 1641


def test_choices_take_the_spaces_at_the_end_of_the_prompt() -> None:
    """As in `rank`: they are fed after the prompt without them, with the same numbers."""
    model = logpr.load("builtin")
    choices = ["there", "he"]
    found = logpr.decode("Once upon a time ", model=model, choices=choices, n=2, budget=None)
    ranking = logpr.rank("Once upon a time ", choices, model=model, end="stop")
    assert found.best is not None
    assert found.best.text == ranking.candidates[ranking.best].text
    assert found.best.logprob == ranking.candidates[ranking.best].logprob
    assert (
        found.certificate.prompt_ids
        == logpr.decode(
            "Once upon a time", model=model, choices=[" there"], budget=None
        ).certificate.prompt_ids
    )


def test_a_budget_in_seconds_may_be_any_number() -> None:
    """Python writes small ones with an exponent."""
    assert decoded(budget=1e-5, compare=False).certificate.stopped == "budget"
    with pytest.raises(QueryError, match="found inf"):
        logpr.decode("x", model=table(), budget=math.inf)


def test_a_space_at_the_end_of_a_prompt_is_warned_of() -> None:
    """It is fed, and most tokenizers would put it at the front of the next word."""
    assert not any("no_end" in said for said in decoded().warnings)
    spaced = logpr.decode("x ", model=table(), max_new_tokens=3)
    assert any("trailing_space" in said for said in spaced.warnings)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("end_ids", [15, "."])
def test_end_ids_are_a_list(end_ids: Any) -> None:  # noqa: ANN401 - somebody's mistake
    """A single one, or a text, is told how to write it."""
    with pytest.raises(WrongTypeError, match=r"end_ids=\[15\]"):
        logpr.decode("x", model=table(), end_ids=end_ids)


def test_choices_longer_than_the_default_are_no_less_possible() -> None:
    """The longest choice is the longest output where nothing else is asked."""
    rows = {name: [0.0, 0.9, 0.0, 0.0, 0.1] for name in ("x", "a", "b", "c")}
    model = table(rows=rows | {"": [1, 0, 0, 0, 0], ".": [1, 0, 0, 0, 0]})
    found = logpr.decode("x", model=model, choices=[" a" * 70, " a b"])
    assert found.best is not None
    assert len(found.best.token_ids) == 70


def test_a_verification_says_of_what() -> None:
    """Which output, after which prompt, by which model; and what it leaves aside."""
    model = table()
    said = verify(logpr.decode("x", model=model, max_new_tokens=3).certificate, model=model)
    assert "' b' after ' x' is optimal, by table" in said.subject
