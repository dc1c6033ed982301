"""What a stranger's code raised, as one sentence with its own line, and whether it meant a "no"."""

from __future__ import annotations

import functools
import inspect
import opcode
import traceback
from types import TracebackType
from typing import Any

from logpr.conformance.targets.base import ScorerError
from logpr.errors import InputError

_RAISE = opcode.opmap["RAISE_VARARGS"]
_HERE = ("guard.py", "blame.py", "called.py")
_LONGEST = 1_000
_REFUSALS = (ValueError, TypeError, NotImplementedError)


def own_file(whose: object) -> str | None:
    """Return the file that a function, a method, an object or a class was written in."""
    found: Any = whose
    while isinstance(found, functools.partial):
        found = found.func
    found = inspect.unwrap(found) if callable(found) else found
    found = getattr(found, "__func__", found)
    code = getattr(found, "__code__", None)
    if code is not None:
        return str(code.co_filename)
    kind = found if isinstance(found, type) else type(found)
    try:
        return inspect.getsourcefile(kind)
    except (TypeError, OSError):
        return None


def raised(what: str, error: BaseException, file: str | None, face: str = "") -> ScorerError:
    """Return what was raised as an error of the suite.

    Args:
        what: who raised it, as the subject of a sentence: "the scorer".
        error: with its traceback.
        file: the stranger's own, whose last line says more than one of a library below it.
        face: how it is called, for a TypeError that arose as it was.
    """
    where = _line(error, file)
    said = said_by(error)
    name = type(error).__name__
    if isinstance(error, BaseExceptionGroup) and error.exceptions:
        first = error.exceptions[0]
        said = f"{said}: the first is {type(first).__name__}: {said_by(first)}"
    called = f"; it is called as {face}" if face and not where and name == "TypeError" else ""
    return ScorerError(
        kind="raised",
        message=f"{what} raised {name}{f': {said}' if said else ''}{called}",
        exception=name,
        refusal=bool(said) and refuses(error),
        where=where,
    )


def said_by(error: BaseException) -> str:
    """Return an exception's message; one that cannot be told is none."""
    try:
        text = str(error).strip()
    except Exception:  # noqa: BLE001 - a stranger's __str__
        return ""
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def refuses(error: BaseException) -> bool:
    """Return whether an exception reads as a deliberate "no" to what was given.

    It is a ValueError, a TypeError, a NotImplementedError or of their kind, and a `raise` stands
    where it came from: `max([])` and f(1, 2, 3) raise these too, and mean nothing by it. Of code
    that is no Python nothing is seen; a TypeError of such is taken for a bug.
    """
    if isinstance(error, InputError):
        return True
    if not isinstance(error, _REFUSALS):
        return False
    innermost = _innermost(error.__traceback__)
    if innermost is None or _is_ours(innermost.tb_frame.f_code.co_filename):
        return not isinstance(error, TypeError)
    return innermost.tb_frame.f_code.co_code[innermost.tb_lasti] == _RAISE


def _innermost(trace: TracebackType | None) -> TracebackType | None:
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace


def _line(error: BaseException, file: str | None) -> str | None:
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not _is_ours(frame.filename) and not frame.filename.startswith("<frozen")
    ]
    own = [frame for frame in frames if file is not None and frame.filename == file]
    if not (own or frames):
        if isinstance(error, SyntaxError) and error.filename is not None:
            return f"{error.filename}, line {error.lineno}"
        return None
    frame = (own or frames)[-1]
    line = f": {frame.line}" if frame.line else ""
    return f"{frame.filename}, line {frame.lineno}, in {frame.name}{line}"


def _is_ours(file: str) -> bool:
    folder = __file__.removesuffix("blame.py")
    return file.startswith(folder) and file.removeprefix(folder) in _HERE
