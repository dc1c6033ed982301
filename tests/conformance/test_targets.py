"""Scorers in this process: what comes back, what is refused, and what is kept apart."""

# ruff: noqa: ARG005, PLW0108, T201 - strangers' scorers: they take what they are given, and print

from __future__ import annotations

import json
import logging
import math
import sys
import threading
import time
import warnings
from collections.abc import Callable, Sequence
from decimal import Decimal
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import logpr
from logpr.conformance import toy_scorer, write_folder
from logpr.conformance.declares import Declares
from logpr.conformance.targets.base import Answer, Request, ScorerError, Target
from logpr.conformance.targets.called import Called, Made
from logpr.conformance.targets.named import target_named
from logpr.conformance.toy import toy
from logpr.errors import LogprError, MissingExtraError, QueryError, UnknownNameError, WrongTypeError

Returned = Any
"""Whatever a stranger's scorer returns."""

ASKED = Request("ab", (" c", "d"))


def asked(
    scorer: object, *requests: Request, time_limit: float = 5.0, **declared: Returned
) -> tuple[list[Answer], list[str]]:
    """Return a scorer's answers, and what it said beside them."""
    scoring = Called(scorer, declares=Declares(**declared), time_limit=time_limit).open(None)
    try:
        return scoring.ask(requests or (ASKED,)), scoring.said()
    finally:
        scoring.close()


def error(scorer: object, *requests: Request, **more: Returned) -> ScorerError:
    """Return the error that a scorer's call ends in."""
    with pytest.raises(ScorerError) as caught:
        asked(scorer, *requests, **more)
    return caught.value


def returning(value: Returned) -> Callable[[str, list[str]], Returned]:
    """Return a scorer that always returns this."""

    def score(prompt: str, candidates: list[str]) -> Returned:
        del prompt, candidates
        return value

    return score


@pytest.mark.parametrize(
    "value",
    [
        pytest.param([-1.5, -2], id="list"),
        pytest.param((-1.5, -2.0), id="tuple"),
        pytest.param(np.array([-1.5, -2], dtype=np.float32), id="array"),
        pytest.param([np.float16(-1.5), np.int64(-2)], id="scalars"),
        pytest.param(torch.tensor([-1.5, -2], dtype=torch.bfloat16), id="tensor"),
        pytest.param([torch.tensor(-1.5), torch.tensor(-2)], id="tensors"),
        pytest.param([Decimal("-1.5"), Fraction(-4, 2)], id="exact"),
    ],
)
def test_numbers_of_every_kind_are_taken(value: Returned) -> None:
    """As the float that each is."""
    ((answer,), _) = asked(returning(value))
    assert answer == Answer((-1.5, -2.0))
    assert all(type(score) is float for score in answer.scores)


def test_nan_and_infinities_are_numbers() -> None:
    """A law finds them; the guard hands them on."""
    ((answer,), _) = asked(returning([math.nan, -math.inf]))
    assert math.isnan(answer.scores[0])
    assert answer.scores[1] == -math.inf


@pytest.mark.parametrize("tokens", [[[1.0], [2.0, 3.0]], (np.ones(1), torch.tensor([2.0, 3.0]))])
@pytest.mark.parametrize("declared", [False, True])
def test_token_scores_are_taken_beside_scores(tokens: Returned, *, declared: bool) -> None:
    """Where they are declared, and where they come all the same."""
    ((answer,), _) = asked(returning(([1.0, 5.0], tokens)), per_token=declared)
    assert answer == Answer((1.0, 5.0), ((1.0,), (2.0, 3.0)))


@pytest.mark.parametrize(
    ("value", "says"),
    [
        pytest.param(None, "returned None; wanted is a list.*is there a return", id="none"),
        pytest.param({" c": 1}, "in the order of the candidates", id="dict"),
        pytest.param({1.0, 2.0}, "a set has no order", id="set"),
        pytest.param("12", r"returned '12' \(str\); wanted is a list", id="text"),
        pytest.param(-1.0, r"return \[score\]", id="number"),
        pytest.param(iter([1.0]), r"return list\(…\) of it", id="iterator"),
        pytest.param([1.0], r"returned 1 number, \[1.0\]; wanted is a list of 2", id="few"),
        pytest.param([1.0] * 3, "returned 3 numbers", id="many"),
        pytest.param([[1.0], [2.0]], "a list stands at place 0.*flat list", id="nested"),
        pytest.param(np.ones((2, 1)), "a list stands at place 0", id="column"),
        pytest.param(([1.0, 2.0], [[1.0]]), "token scores.*1 of them", id="short-tokens"),
        pytest.param(([1.0, 2.0], [[1.0], None]), "of candidate 1, returned None", id="no-tokens"),
    ],
)
def test_wrong_shapes(value: Returned, says: str) -> None:
    """What came, what is wanted, and the way out."""
    found = error(returning(value))
    assert found.kind == "wrong_shape"
    with pytest.raises(ScorerError, match=says):
        raise found


def test_no_pair_where_token_scores_are_declared() -> None:
    """Two scores are no pair of scores and token scores."""
    found = error(returning([1.0, 2.0]), per_token=True)
    assert found.kind == "wrong_shape"
    assert "per_token is declared, so wanted is a pair" in found.message
    assert "is there a return" in error(returning(None), per_token=True).message


@pytest.mark.parametrize("value", ["-1.0", None, True, 1j, object(), np.bool_(1), 10**400])
def test_what_is_no_number(value: Returned) -> None:
    """A text, a flag, a complex number, an object; with its place, and without an address."""
    found = error(returning([1.0, value]))
    assert found.kind == "not_numbers"
    assert "at place 1" in found.message
    assert "0x" not in found.message


def test_a_coroutine_is_told_as_such() -> None:
    """Before it is called where that can be seen, else by what came; and nothing warns."""

    async def score(prompt: str, candidates: list[str]) -> list[float]:
        del prompt
        return [0.0 for _ in candidates]

    class Later:
        async def __call__(self, prompt: str, candidates: list[str]) -> list[float]:
            return await score(prompt, candidates)

    for each in (score, Later()):
        with pytest.raises(WrongTypeError, match=r"is a coroutine; wrap it: .*asyncio\.run"):
            Called(each)
    assert "await it" in error(lambda prompt, candidates: score(prompt, candidates)).message


class Nothing:
    """No scorer."""


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (Nothing, r"is a class; .*give Nothing\(\)"),
        (Nothing(), "a scorer is"),
        (3, r"is 3 \(int\)"),
    ],
)
def test_what_is_no_scorer(given: Returned, says: str) -> None:
    """It is refused before anything is called."""
    with pytest.raises(WrongTypeError, match=says):
        Called(given)


def refusing(prompt: str, candidates: list[str]) -> list[float]:
    """Say a clear no."""
    del candidates
    msg = f"cannot score {prompt!r}"
    raise ValueError(msg)


def test_an_exception_is_told_with_its_line() -> None:
    """The type, the message, the scorer's own last line; and whether it meant it."""
    found = error(refusing)
    assert (found.kind, found.exception, found.fatal) == ("raised", "ValueError", False)
    assert found.message == "the scorer raised ValueError: cannot score 'ab'"
    assert found.refusal
    assert found.where is not None
    assert found.where.startswith(__file__)
    assert found.where.endswith("in refusing: raise ValueError(msg)")
    assert error(partial(refusing)).where == found.where


def library(prompt: str, candidates: list[str]) -> list[float]:
    """Fail in a library that is called."""
    del prompt, candidates
    return list(json.loads("{"))


def test_the_scorers_own_line_says_more_than_a_librarys() -> None:
    """Its last line, not the library's."""
    where = error(library).where
    assert where is not None
    assert where.endswith('in library: return list(json.loads("{"))')


def _raise(kind: Callable[..., BaseException], *arguments: object) -> Callable[..., Returned]:
    def score(prompt: str, candidates: list[str]) -> Returned:
        del prompt, candidates
        raise kind(*arguments)

    return score


@pytest.mark.parametrize(
    ("scorer", "refusal"),
    [
        pytest.param(_raise(ValueError, "no"), True, id="value"),
        pytest.param(_raise(TypeError, "no ids"), True, id="type"),
        pytest.param(_raise(NotImplementedError, "no"), True, id="not-implemented"),
        pytest.param(_raise(UnicodeError, "no"), True, id="subclass"),
        pytest.param(_raise(logpr.errors.ContextLengthError, "long"), True, id="ours"),
        pytest.param(_raise(ValueError), False, id="silent"),
        pytest.param(_raise(ValueError, "  "), False, id="blank"),
        pytest.param(_raise(RuntimeError, "no"), False, id="runtime"),
        pytest.param(_raise(KeyError, "no"), False, id="key"),
        pytest.param(_raise(logpr.errors.ModelError, "broke"), False, id="model"),
        pytest.param(lambda prompt, candidates: [max([])], False, id="builtin"),
        pytest.param(lambda prompt, candidates: refusing(prompt), False, id="bug"),  # type: ignore[call-arg]
        pytest.param(lambda prompt, candidates: len(3), False, id="builtin-type"),
        pytest.param(lambda prompt: [1.0], False, id="arity"),
        pytest.param(lambda prompt, candidates: np.zeros(3).reshape(2), False, id="numpy"),
    ],
)
def test_a_refusal_is_a_no_that_was_meant(
    scorer: Callable[..., Returned], *, refusal: bool
) -> None:
    """A ValueError of its kind with a message, raised by a `raise`; not what a bug raises."""
    found = error(scorer)
    assert found.kind == "raised"
    assert found.refusal is refusal


def test_a_scorer_of_other_arguments_is_told_how_it_is_called() -> None:
    """Its own line cannot be: it was never reached."""
    message = error(lambda prompt: [1.0]).message
    assert message.endswith("it is called as score(prompt, candidates)")


class MuteError(Exception):
    """An exception whose message cannot be told."""

    def __str__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize(
    ("kind", "arguments", "says"),
    [
        (SystemExit, (3,), "SystemExit: 3"),
        (KeyboardInterrupt, (), "KeyboardInterrupt"),
        (MemoryError, (), "MemoryError"),
        (MuteError, (), "MuteError"),
        (
            BaseExceptionGroup,
            ("both", [ValueError("a"), SystemExit(1)]),
            "both (2 sub-exceptions): the first is ValueError: a",
        ),
    ],
)
def test_whatever_is_raised_is_told(
    kind: Callable[..., BaseException], arguments: tuple[object, ...], says: str
) -> None:
    """And none of it comes through."""
    found = error(_raise(kind, *arguments))
    assert found.message.endswith(says)
    assert not found.refusal


def test_what_it_prints_warns_and_logs_is_kept_apart(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing of it reaches stdout; all of it is said, bounded, and once."""

    def score(prompt: str, candidates: list[str]) -> list[float]:
        print("scoring", prompt)
        for number in range(100):
            print(number)
        sys.stdout.buffer.write(b"\xff bytes\n")
        warnings.warn("too long, cut", stacklevel=1)
        warnings.warn("too long, cut", stacklevel=1)
        warnings.warn("for programmers", DeprecationWarning, stacklevel=1)
        quiet = logging.getLogger("quiet library")
        quiet.propagate = False
        quiet.addHandler(logging.NullHandler())
        quiet.warning("%d tokens were cut", 3)
        quiet.info("not this")
        return [0.0 for _ in candidates]

    (_, said) = asked(score)
    assert said[:4] == [
        "3 tokens were cut",
        "UserWarning: too long, cut",
        "printed: scoring ab",
        "printed: 0",
    ]
    assert said[-1] == "printed: … and 94 more lines"
    assert len(said) == 11
    assert capsys.readouterr().out == ""


def test_what_was_said_is_forgotten() -> None:
    """Each call's own, and nothing is left of a call before."""
    texts = ["first", "", "third"]

    def score(prompt: str, candidates: list[str]) -> list[float]:
        del prompt
        print(texts.pop(0), end="")
        return [0.0 for _ in candidates]

    scoring = Called(score).open(None)
    found = []
    for _ in range(3):
        scoring.ask([ASKED])
        found.append(scoring.said())
    scoring.close()
    assert found == [["printed: first"], [], ["printed: third"]]
    assert logging.getLogRecordFactory() is logging.LogRecord


@pytest.mark.parametrize(
    ("change", "says"),
    [
        pytest.param(lambda given: given.append("x"), "candidates .* longer", id="append"),
        pytest.param(lambda given: given.pop(), "candidates .* shorter", id="pop"),
        pytest.param(lambda given: given.reverse(), "candidates .* another order", id="reverse"),
        pytest.param(lambda given: given.__setitem__(0, "x"), "candidates .* other", id="set"),
    ],
)
def test_input_that_was_changed(change: Callable[[list[str]], object], says: str) -> None:
    """It is told, and the request itself stays as it was."""

    def score(prompt: str, candidates: list[str]) -> list[float]:
        del prompt
        change(candidates)
        return [0.0, 0.0]

    request = Request("ab", (" c", "d"))
    found = error(score, request)
    assert found.kind == "mutated_input"
    with pytest.raises(ScorerError, match=says):
        raise found
    assert request == ASKED


def test_ids_that_were_changed() -> None:
    """A prompt of ids is a list too."""

    def score(prompt: list[int], candidates: list[list[int]]) -> list[float]:
        prompt += candidates[0]
        return [0.0]

    found = error(score, Request((1, 2), ((3,),)), ids=True)
    assert found.kind == "mutated_input"
    assert "list of prompt" in found.message


def test_a_hanging_scorer_is_given_up(capsys: pytest.CaptureFixture[str]) -> None:
    """In time; a loop ends, what it prints meets nothing of ours, and it is asked no more."""
    ended = threading.Event()

    def score(prompt: str, candidates: list[str]) -> list[float]:
        del prompt, candidates
        try:
            while True:
                print("still working")
        finally:
            ended.set()

    scoring = Called(score, time_limit=0.2).open(None)
    started = time.monotonic()
    with pytest.raises(ScorerError, match=r"no answer within 0\.2 s") as caught:
        scoring.ask([ASKED])
    assert time.monotonic() - started < 5
    assert (caught.value.kind, caught.value.fatal) == ("timed_out", True)
    assert ended.wait(5)
    started = time.monotonic()
    with pytest.raises(ScorerError, match="no answer"):
        scoring.ask([ASKED])
    assert time.monotonic() - started < 0.1
    assert any("still working" in text for text in scoring.said())
    scoring.close()
    assert capsys.readouterr().out == ""


def test_all_calls_are_made_in_one_thread() -> None:
    """The factory's too: libraries keep state by thread."""
    threads = []

    def make(folder: str) -> Callable[..., Returned]:
        del folder

        def score(prompt: str, candidates: list[str]) -> list[float]:
            del prompt
            threads.append(threading.get_ident())
            return [0.0 for _ in candidates]

        threads.append(threading.get_ident())
        return score

    scoring = Made(make).open(Path())
    scoring.ask([ASKED, ASKED])
    scoring.close()
    assert len(threads) == 3
    assert len(set(threads)) == 1
    assert threads[0] != threading.get_ident()


class Many:
    """A scorer that is given all queries at once."""

    vocab_size = 12

    def __init__(self, answer: Callable[[list[logpr.Query]], Returned]) -> None:
        self._answer = answer

    def many(self, queries: list[logpr.Query]) -> Returned:
        """Return what it was made with."""
        return self._answer(queries)


def test_many_queries_of_one_call() -> None:
    """logpr's own queries, with what is declared; an answer each, in their order."""
    seen: list[logpr.Query] = []

    def answer(queries: list[logpr.Query]) -> Returned:
        seen.extend(queries)
        return [[float(len(query.candidates))] * len(query.candidates) for query in queries]

    scorer = Many(answer)
    scoring = Called(scorer, declares=Declares(end="stop", boundary="joint")).open(None)
    assert scoring.together
    assert scoring.vocab_size == 12
    answers = scoring.ask([ASKED, Request("", ("z",))])
    assert answers == [Answer((2.0, 2.0)), Answer((1.0,))]
    assert [(query.prompt, query.end, query.boundary) for query in seen] == [
        ("ab", "stop", "joint"),
        ("", "stop", "joint"),
    ]
    assert [each.text for each in seen[0].candidates] == [" c", "d"]
    by_ids = Called(scorer, declares=Declares(ids=True)).open(None)
    by_ids.ask([Request((1, 2), ((3,),))])
    assert (seen[2].prompt_ids, seen[2].candidates[0].token_ids) == ((1, 2), (3,))


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (lambda queries: None, "many.* returned None"),
        (lambda queries: [], "returned 0 of them.*one entry for each of 1 query"),
        (lambda queries: [[1.0]], "many.*, for query 0, returned 1 number"),
        (lambda queries: queries.clear(), "changed the list of queries"),
    ],
)
def test_many_that_answers_otherwise(answer: Callable[..., Returned], says: str) -> None:
    """It is told which query is meant."""
    with pytest.raises(ScorerError, match=says):
        asked(Many(answer))


def test_a_factory_makes_a_scorer_for_a_folder(tmp_path: Path) -> None:
    """It is called with the folder as text, and what it made is closed at the end."""
    folder = write_folder(toy("toy"), tmp_path / "toy")
    closed = []

    class Scorer:
        def __init__(self, model_folder: str) -> None:
            assert type(model_folder) is str
            self._score = toy_scorer(model_folder)

        def __call__(self, prompt: str, candidates: list[str]) -> Returned:
            return self._score(prompt, candidates)

        def close(self) -> None:
            closed.append(True)
            msg = "cannot be closed"
            raise OSError(msg)

    target = Made(Scorer, declares=Declares(per_token=True))
    assert isinstance(target, Target)
    assert target.factory
    assert target.name.endswith("Scorer")
    scoring = target.open(folder)
    assert scoring.vocab_size is None
    (answer,) = scoring.ask([Request("ab", ("dd",))])
    truth = toy("toy").truth(*toy("toy").read("ab", "dd"))
    assert answer.token_scores == (truth.token_logprobs,)
    scoring.close()
    assert closed == [True]


@pytest.mark.parametrize(
    ("make", "kind", "says"),
    [
        (lambda folder: None, "wrong_shape", "what the factory .* returned is None"),
        (lambda folder: Nothing, "wrong_shape", "is a class"),
        (lambda: None, "raised", r"it is called as make\(model_folder\)"),
        (lambda folder: open(folder), "raised", "the factory .* raised"),  # noqa: PTH123, SIM115 - a stranger's
    ],
)
def test_a_factory_that_makes_none(make: Callable[..., Returned], kind: str, says: str) -> None:
    """It is an error of the scorer's, with the factory's name."""
    with pytest.raises(ScorerError, match=says) as caught:
        Made(make).open(Path("/nowhere"))
    assert caught.value.kind == kind


def test_a_factory_that_hangs() -> None:
    """The time limit holds for the making too."""
    with pytest.raises(ScorerError, match=r"the factory .* gave no answer") as caught:
        Made(lambda folder: time.sleep(3), time_limit=0.1).open(Path())
    assert caught.value.fatal


@pytest.mark.parametrize("given", [3, None])
def test_what_is_no_factory(given: object) -> None:
    """It is refused at once."""
    with pytest.raises(WrongTypeError, match="cannot be called"):
        Made(given)


def test_vocab_size_is_believed_where_it_is_a_number() -> None:
    """And where it is none, nothing is known."""
    for given, wanted in ((300, 300), (True, None), ("300", None), (-1, None)):
        scorer = Many(lambda queries: [])
        scorer.vocab_size = given  # type: ignore[assignment]
        assert Called(scorer).open(None).vocab_size == wanted


MODULE = """
import math

def score(prompt, candidates):
    return [-1.0 for _ in candidates]

def make(model_folder):
    return score

class Scorer:
    def __init__(self, model_folder):
        pass

number = 3
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the name of a module that can be imported."""
    (tmp_path / "strange_scorers.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    return "strange_scorers"


def test_names_of_functions(module: str) -> None:
    """A scorer, a factory, a class as a factory; under the name as it was typed."""
    named = target_named(f"{module}:score", declared={"unit": "bits", "per_token": "true"})
    assert named.declares == Declares(unit="bits", per_token=True)
    assert (named.target.name, named.target.factory) == (f"{module}:score", False)
    for name in ("make", "Scorer"):
        assert target_named(f"{module}:{name}", factory=True).target.factory


class FakeAdapter:
    """A package as `logpr.conformance.adapters` describes one."""

    make = "strange_scorers:make"
    package = "logpr[hf]==1"
    declares = Declares(dtype="float64", boundary="split")
    architecture = "llama"


def test_names_of_packages(module: str) -> None:
    """They declare what they document; what is typed comes first."""
    del module
    named = target_named(
        "strange", declared={"boundary": "joint"}, known={"strange": FakeAdapter()}
    )
    assert named.declares == Declares(dtype="float64", boundary="joint")
    assert (named.target.factory, named.architecture) == (True, "llama")
    missing = FakeAdapter()
    missing.package = "no-such-package[x]>=2"
    with pytest.raises(MissingExtraError, match=r"run: pip install 'no-such-package\[x\]>=2'"):
        target_named("strange", known={"strange": missing})


def test_names_of_commands_and_urls() -> None:
    """A command by its space, by `cmd:`, or as a program; a URL by how it begins."""
    python = sys.executable
    for text in (f"{python} x.py", f"cmd:{python}", python):
        assert target_named(text).target.name == text
        assert not target_named(text).target.factory
    assert target_named(f"{python} x.py {{model}}").target.factory
    assert target_named("HTTP://127.0.0.1:1/v1").target.name.lower() == "http://127.0.0.1:1/v1"


@pytest.mark.parametrize(
    ("text", "more", "kind", "says"),
    [
        ("minicon", {}, UnknownNameError, r"'minicon' names no scorer.*mean strange-minicons"),
        ("x.py:score", {}, QueryError, "write logpr check x:score"),
        ("nowhere_at_all:score", {}, UnknownNameError, "there is no module nowhere_at_all"),
        ("strange_scorers:scor", {}, UnknownNameError, "it has score, make"),
        ("strange_scorers:number", {}, WrongTypeError, r"is 3 \(int\)"),
        ("strange_scorers:Scorer", {}, WrongTypeError, "is a class"),
        ("strange_scorers:make", {}, QueryError, "logpr check --factory strange_scorers:make"),
        ("strange_scorers:score", {"factory": True}, QueryError, "logpr check strange_scorers:sc"),
        ("strange_scorers.py", {}, UnknownNameError, "write logpr check strange_scorers:score"),
        ("no-such-program at all", {}, UnknownNameError, "no program 'no-such-program'"),
        ("cmd:", {}, QueryError, "the command is empty"),
        ("cmd:'x", {}, QueryError, "cannot be split into words"),
        ("http://h/v1", {"factory": True}, QueryError, "is a URL"),
        ("cmd:cat", {"factory": True}, QueryError, "write {model} where its folder"),
        ("cmd:cat", {"api_model": "m"}, QueryError, "--api-model names a model of a URL"),
        ("cmd:cat", {"declared": {"units": "bits"}}, UnknownNameError, "under 'units'"),
    ],
)
def test_names_that_stand_for_nothing(
    module: str, text: str, more: dict[str, Returned], kind: type[LogprError], says: str
) -> None:
    """With what is near, and how it is written."""
    del module
    with pytest.raises(kind, match=says):
        target_named(text, known={"strange-minicons": FakeAdapter()}, **more)


def test_ask_of_nothing_is_nothing() -> None:
    """No requests, no answers."""
    scoring = Called(returning([])).open(None)
    requests: Sequence[Request] = []
    assert scoring.ask(requests) == []
