"""A scorer named on the command line: found, called, and blamed by the line it fails on."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any, NoReturn

from logpr._values import Query
from logpr.auditing.claims.scorers import ManyScorer, Scorer
from logpr.errors import LogprError, QueryError, UnknownNameError, WrongTypeError

_OPTION = "--scorer"
_MOST_NAMES = 8
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
    folder = str(Path.cwd())
    sys.path.insert(0, folder)
    try:
        yield _watched(name, _found(name))
    finally:
        if folder in sys.path:
            sys.path.remove(folder)


def _found(name: str) -> Any:  # noqa: ANN401 - a stranger's
    module_name, colon, attribute = name.partition(":")
    is_file = module_name.endswith(".py")
    if not colon or not attribute or is_file or not _is_dotted(module_name):
        msg = f"{_OPTION} {name!r} is not MODULE:NAME; write {_meant(module_name, attribute)}"
        raise QueryError(msg)
    importlib.invalidate_caches()
    try:
        with redirect_stdout(sys.stderr):
            found: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{module_name}.".startswith(f"{error.name}."):
            msg = (
                f"{_OPTION} {name}: there is no module {error.name}, installed or in the working "
                f"folder; check the name, or give the command where {_file_of(error.name)} stands"
            )
            raise UnknownNameError(msg) from error
        _failed(error, f"{_OPTION} {name}: importing {module_name} raised", _file(module_name))
    except LogprError:
        raise
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a stranger's module raises anything
        _failed(error, f"{_OPTION} {name}: importing {module_name} raised", _file(module_name))
    module = found
    for part in attribute.split("."):
        try:
            found = getattr(found, part)
        except AttributeError as error:
            msg = (
                f"{_OPTION} {name}: {module_name} ({_file(module_name)}) has no {attribute!r}; "
                f"it has {_callables(module)}"
            )
            raise UnknownNameError(msg) from error
    return found


def _is_dotted(name: str) -> bool:
    return all(part.isidentifier() for part in name.split("."))


def _meant(module_name: str, attribute: str) -> str:
    """Return what was probably meant: a file is named by its module."""
    path = module_name.removesuffix(".py").strip("./").replace(os.sep, ".")
    if _is_dotted(path):
        return f"{_OPTION} {path}:{attribute or 'score'}"
    return _WANTED


def _file_of(name: str) -> str:
    head = name.partition(".")[0]
    return f"{head}.py or {head}/"


def _file(module_name: str) -> str | None:
    # A module that failed as it was imported is in sys.modules no more.
    module = sys.modules.get(module_name)
    if module is not None:
        return getattr(module, "__file__", None)
    try:
        spec = importlib.util.find_spec(module_name)
    except (ImportError, ValueError):
        return None
    return None if spec is None else spec.origin


def _callables(module: object) -> str:
    own = getattr(module, "__name__", None)
    names = [
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and (callable(value) or isinstance(value, ManyScorer))
        and not isinstance(value, type)
        and getattr(value, "__module__", own) == own
    ]
    more = ", …" if len(names) > _MOST_NAMES else ""
    return ", ".join(names[:_MOST_NAMES]) + more if names else "nothing that can be called"


def _watched(name: str, found: Any) -> Scorer | ManyScorer:  # noqa: ANN401 - a stranger's
    """Return a scorer whose failures are told as the line that failed."""
    if isinstance(found, type):
        msg = (
            f"{_OPTION} {name} is a class; a scorer is a function or an object: write "
            f"SCORER = {found.__name__}() in its module, and give that"
        )
        raise WrongTypeError(msg)
    many = getattr(found, "many", None)
    if not callable(found) and not callable(many):
        msg = f"{_OPTION} {name} is {type(found).__name__}, and cannot be called; give {_WANTED}"
        raise WrongTypeError(msg)
    if inspect.iscoroutinefunction(found):
        msg = (
            f"{_OPTION} {name} is a coroutine; wrap it: def score(prompt, candidates): "
            f"return asyncio.run({name.rpartition(':')[2]}(prompt, candidates))"
        )
        raise WrongTypeError(msg)
    if callable(many):
        return _Many(name, many)

    def score(prompt: str, candidates: list[Any]) -> Any:  # noqa: ANN401 - a stranger's
        return _called(name, found, prompt, candidates)

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
        _failed(error, f"the scorer {name} raised", _file(name.partition(":")[0]))


def _failed(error: BaseException, what: str, file: str | None) -> NoReturn:
    """Raise what a stranger's code raised as one message with its own line."""
    frames = traceback.extract_tb(error.__traceback__)
    # Its own last line says more than one of a library below it.
    own = [frame for frame in frames if file is not None and frame.filename == file]
    frame = next(reversed(own or frames), None)
    place = ""
    if frame is not None and frame.filename != __file__ and not frame.filename.startswith("<"):
        line = f": {frame.line}" if frame.line else ""
        place = f"\n  {frame.filename}, line {frame.lineno}, in {frame.name}{line}"
    elif isinstance(error, SyntaxError) and error.filename is not None:
        place = f"\n  {error.filename}, line {error.lineno}"
    elif isinstance(error, TypeError):
        place = f"; give {_WANTED}"
    said = str(error)
    msg = f"{what} {type(error).__name__}{f': {said}' if said else ''}{place}"
    raise QueryError(msg) from error
