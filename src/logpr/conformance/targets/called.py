"""Scorers in this process: a function, an object with many(queries), and whatever makes one."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, final, get_args

from logpr._types import Boundary
from logpr._values import Candidate, Query
from logpr.conformance.declares import Declares
from logpr.conformance.targets.base import Answer, Request, ScorerError, Scoring, Text
from logpr.conformance.targets.guard import Guard
from logpr.conformance.targets.reading import answer_of, listed, shown
from logpr.errors import WrongTypeError

TIME_LIMIT = 60.0
"""Seconds for a call."""

_WANTED = "a scorer is score(prompt, candidates) -> list of scores, or an object with many(queries)"


@final
class Called:
    """A scorer that holds its own model.

    Args:
        scorer: score(prompt, candidates), or an object with `many(queries)`.
        declares: what it is given, and what its numbers are.
        time_limit: seconds for a call.
        name: what reports call it; its own by default.

    Raises:
        WrongTypeError: it is no scorer.
    """

    factory = False

    def __init__(
        self,
        scorer: object,
        *,
        declares: Declares | None = None,
        time_limit: float = TIME_LIMIT,
        name: str | None = None,
    ) -> None:
        self.name = name_of(scorer) if name is None else name
        fault = fault_of(scorer, "the scorer" if name is None else name)
        if fault is not None:
            raise WrongTypeError(fault)
        self._scorer = scorer
        self._declares = declares or Declares()
        self._time_limit = time_limit

    def open(self, folder: Path | None) -> Scoring:
        """Return the scorer, behind a guard."""
        assert folder is None, "it holds a model of its own"
        return Guarded(self._scorer, self._declares, Guard(self._time_limit, self._scorer))


@final
class Made:
    """A factory: make(model_folder) returns a scorer for the model in a transformers folder.

    Args:
        make: called with the folder's path as text.
        declares: what its scorers are given, and what their numbers are.
        time_limit: seconds for a call, and for the making.
        name: what reports call it; its own by default.

    Raises:
        WrongTypeError: it cannot be called.
    """

    factory = True

    def __init__(
        self,
        make: object,
        *,
        declares: Declares | None = None,
        time_limit: float = TIME_LIMIT,
        name: str | None = None,
    ) -> None:
        self.name = name_of(make) if name is None else name
        called = "the factory" if name is None else f"factory {name}"
        if not callable(make):
            msg = (
                f"{called} is {shown(make)} ({type(make).__name__}), and cannot be called; give "
                f"make(model_folder) -> scorer"
            )
            raise WrongTypeError(msg)
        if inspect.iscoroutinefunction(make):
            msg = f"{called} is a coroutine; give a plain function, def make(model_folder)"
            raise WrongTypeError(msg)
        self._make: Callable[..., Any] = make
        self._declares = declares or Declares()
        self._time_limit = time_limit

    def open(self, folder: Path | None) -> Scoring:
        """Return the scorer that is made for the model in `folder`.

        Raises:
            ScorerError: the factory raised, hung, or made no scorer.
        """
        assert folder is not None, "a factory makes its scorer for a folder"
        guard = Guard(self._time_limit, self._make)
        what = f"the factory {self.name}"
        try:
            scorer = guard.call(what, self._make, str(folder), face="make(model_folder)")
        except ScorerError:
            guard.close()
            raise
        fault = fault_of(scorer, f"what {what} returned")
        if fault is not None:
            guard.close()
            raise ScorerError(kind="wrong_shape", message=fault)
        return Guarded(scorer, self._declares, guard, made=True)


@final
class Guarded:
    """A scorer of this process that is asked."""

    def __init__(
        self,
        scorer: Any,  # noqa: ANN401 - a stranger's
        declares: Declares,
        guard: Guard,
        *,
        made: bool = False,
    ) -> None:
        self._scorer = scorer
        self._declares = declares
        self._guard = guard
        self._made = made
        self._many = attribute(scorer, "many")

    @property
    def together(self) -> bool:
        """Whether it has `many`."""
        return callable(self._many)

    @property
    def vocab_size(self) -> int | None:
        """The attribute of that name, where it is a whole number."""
        found = attribute(self._scorer, "vocab_size")
        return found if type(found) is int and found > 0 else None

    def ask(self, requests: Sequence[Request]) -> list[Answer]:
        """Return an answer for each request: of one call where it has `many`, else of one each."""
        if self.together:
            return self._ask_many(requests)
        return [self._ask_one(request) for request in requests]

    def said(self) -> list[str]:
        """Return and forget what it warned of, logged and printed."""
        return self._guard.said()

    def close(self) -> None:
        """Close what a factory made, where it can be closed, and let go of it."""
        close = attribute(self._scorer, "close")
        if self._made and callable(close):
            try:
                self._guard.call("the scorer's close()", close)
            except ScorerError as error:
                # All its numbers are there: what it says at the end changes none.
                self._guard.note(error.message)
        self._guard.close()

    def _ask_one(self, request: Request) -> Answer:
        candidates = [_given(each) for each in request.candidates]
        prompt = _given(request.prompt)
        face = "score(prompt, candidates)"
        came = self._guard.call("the scorer", self._scorer, prompt, candidates, face=face)
        _unchanged(prompt, _given(request.prompt), "prompt")
        _unchanged(candidates, [_given(each) for each in request.candidates], "candidates")
        return self._read(came, request, "the scorer")

    def _ask_many(self, requests: Sequence[Request]) -> list[Answer]:
        queries = [self._query(request) for request in requests]
        whose = "the scorer's many()"
        came = self._guard.call(whose, self._many, queries, face="many(queries)")
        _unchanged(queries, [self._query(request) for request in requests], "queries")
        number = "1 query" if len(requests) == 1 else f"{len(requests)} queries"
        rows = listed(came, whose, f"one entry for each of {number}", size=len(requests))
        return [
            self._read(row, request, f"{whose}, for query {place},")
            for place, (row, request) in enumerate(zip(rows, requests, strict=True))
        ]

    def _read(self, came: object, request: Request, whose: str) -> Answer:
        return answer_of(
            came,
            candidates=len(request.candidates),
            per_token=self._declares.per_token,
            whose=whose,
        )

    def _query(self, request: Request) -> Query:
        """Return a request as logpr's own verbs take it."""
        said = self._declares
        ids = not isinstance(request.prompt, str)
        return Query(
            prompt=None if ids else str(request.prompt),
            prompt_ids=tuple(map(int, request.prompt)) if ids else None,
            candidates=tuple(
                Candidate(text=each) if isinstance(each, str) else Candidate(token_ids=tuple(each))
                for each in request.candidates
            ),
            end=said.end,
            boundary=next(
                (each for each in get_args(Boundary) if each == said.boundary), "separate"
            ),
            bos=said.bos,
        )


def fault_of(scorer: object, name: str) -> str | None:
    """Return what is wrong with something that is to be a scorer, and the way out; or None."""
    if isinstance(scorer, type):
        return (
            f"{name} is a class; {_WANTED}: give {scorer.__name__}(), or, where it is made for a "
            f"model's folder, the class as a factory"
        )
    many = attribute(scorer, "many")
    found = many if callable(many) else scorer
    if not callable(found):
        line = f". On the command line: logpr check {scorer}" if type(scorer) is str else ""
        return f"{name} is {shown(scorer)} ({type(scorer).__name__}); {_WANTED}{line}"
    call = getattr(found, "__call__", None)  # noqa: B004 - an object whose call is a coroutine too
    if inspect.iscoroutinefunction(found) or inspect.iscoroutinefunction(call):
        return (
            f"{name} is a coroutine; wrap it: def score(prompt, candidates): return "
            f"asyncio.run(…(prompt, candidates))"
        )
    return None


def attribute(scorer: object, name: str) -> Any:  # noqa: ANN401 - a stranger's
    """Return what an object has under a name; None where it has nothing, or raises."""
    try:
        return getattr(scorer, name, None)
    except Exception:  # noqa: BLE001 - a stranger's property
        return None


def name_of(scorer: object) -> str:
    """Return what a function or an object is called: `module:name`."""
    kind = scorer if hasattr(scorer, "__qualname__") else type(scorer)
    module, name = getattr(kind, "__module__", None), getattr(kind, "__qualname__", str(kind))
    return f"{module}:{name}" if module else str(name)


def _given(text: Text) -> str | list[int]:
    """Return a text or ids as a scorer is given them: fresh, so that nothing of ours changes."""
    return text if isinstance(text, str) else list(text)


def _unchanged(found: object, before: object, what: str) -> None:
    """Refuse what a scorer did to a list that it was given: whoever gave it will use it again."""
    try:
        same = bool(found == before)
    except Exception:  # noqa: BLE001 - a stranger's object stands there now
        same = False
    if not same:
        msg = (
            f"the scorer changed the list of {what} that it was given, {_change(found, before)}; "
            f"work on a copy: list({what})"
        )
        raise ScorerError(kind="mutated_input", message=msg)


def _change(found: object, before: object) -> str:
    """Return how a list was changed, without what is in it: the same fault is told alike."""
    if isinstance(found, list) and isinstance(before, list):
        if len(found) != len(before):
            return "which is longer now" if len(found) > len(before) else "which is shorter now"
        if all(item in before for item in found):
            return "which is in another order now"
    return "which holds other items now"
