"""A scorer named on the command line: found, called, and blamed by the line it fails on."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from typing import Any

from logpr._values import Query
from logpr.auditing.claims.scorers import ManyScorer, Scorer
from logpr.conformance.targets.importing import failed, file_of, found, working_folder
from logpr.errors import LogprError, WrongTypeError

_OPTION = "--scorer"
_WANTED = f"{_OPTION} pkg.mod:fn, where fn(prompt, candidates) returns a score for each candidate"


@contextmanager
def scorer_named(name: str) -> Iterator[Scorer | ManyScorer]:
    """Yield the scorer that `pkg.mod:fn` names; modules of the working folder are found too.

    What it prints goes to stderr, so that results stand alone on stdout. It may import its modules
    late, so their folder stays on the path as long as it is used.

    Raises:
        UnknownNameError: there is no such module, or nothing of that name in it.
        WrongTypeError: what it names is no scorer.
        QueryError: the name is not MODULE:NAME, or its module raises as it is imported.
    """
    with working_folder():
        yield _watched(name, found(name, typed=_OPTION, wanted=_WANTED))


def _watched(name: str, given: Any) -> Scorer | ManyScorer:  # noqa: ANN401 - a stranger's
    """Return a scorer whose failures are told as the line that failed."""
    if isinstance(given, type):
        msg = (
            f"{_OPTION} {name} is a class; a scorer is a function or an object: write "
            f"SCORER = {given.__name__}() in its module, and give that"
        )
        raise WrongTypeError(msg)
    many = getattr(given, "many", None)
    if not callable(given) and not callable(many):
        msg = f"{_OPTION} {name} is {type(given).__name__}, and cannot be called; give {_WANTED}"
        raise WrongTypeError(msg)
    if inspect.iscoroutinefunction(given):
        msg = (
            f"{_OPTION} {name} is a coroutine; wrap it: def score(prompt, candidates): "
            f"return asyncio.run({name.rpartition(':')[2]}(prompt, candidates))"
        )
        raise WrongTypeError(msg)
    if callable(many):
        return _Many(name, many)

    def score(prompt: str, candidates: list[Any]) -> Any:  # noqa: ANN401 - a stranger's
        return _called(name, given, prompt, candidates)

    return score


class _Many:
    """A scorer that is given all queries at once."""

    def __init__(self, name: str, many: Callable[..., Any]) -> None:
        self._name = name
        self._many = many

    def many(self, queries: Sequence[Query]) -> Sequence[Sequence[float]]:
        """Return what the scorer says of all queries."""
        out: Sequence[Sequence[float]] = _called(self._name, self._many, queries)
        return out


def _called(name: str, function: Callable[..., Any], *arguments: object) -> Any:  # noqa: ANN401 - a stranger's
    try:
        with redirect_stdout(sys.stderr):
            return function(*arguments)
    except LogprError:
        raise
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a stranger's scorer raises anything
        failed(
            error,
            f"the scorer {name} raised",
            file_of(name.partition(":")[0]),
            ours=(__file__,),
            wanted=_WANTED,
        )
