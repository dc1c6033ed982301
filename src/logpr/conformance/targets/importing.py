"""A stranger's object by its name, `pkg.mod:fn`: imported, or why it cannot be."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any, NoReturn

from logpr.errors import LogprError, QueryError, UnknownNameError

_MOST_NAMES = 8


@contextmanager
def working_folder() -> Iterator[None]:
    """Let modules of the working folder be found; they may import others late, while it is used."""
    folder = str(Path.cwd())
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        if folder in sys.path:
            sys.path.remove(folder)


def is_dotted(name: str) -> bool:
    """Return whether a name can be a module's."""
    return all(part.isidentifier() for part in name.split("."))


def found(name: str, *, typed: str, wanted: str) -> Any:  # noqa: ANN401 - a stranger's
    """Return what `pkg.mod:fn` names.

    Args:
        name: module and object.
        typed: what stands before it where it is typed: "--scorer".
        wanted: what is to be given, in words: "--scorer pkg.mod:fn, where fn(…) returns …".

    Raises:
        UnknownNameError: there is no such module, or nothing of that name in it.
        QueryError: the name is not MODULE:NAME, or its module raises as it is imported.
    """
    module_name, colon, attribute = name.partition(":")
    is_file = module_name.endswith(".py")
    if not colon or not attribute or is_file or not is_dotted(module_name):
        path = module_name.removesuffix(".py").strip("./").replace(os.sep, ".")
        # A file is named by its module.
        meant = f"{typed} {path}:{attribute or 'score'}" if is_dotted(path) else wanted
        msg = f"{typed} {name!r} is not MODULE:NAME; write {meant}"
        raise QueryError(msg)
    module = _imported(module_name, f"{typed} {name}")
    value = module
    for part in attribute.split("."):
        try:
            value = getattr(value, part)
        except AttributeError as error:
            msg = (
                f"{typed} {name}: {module_name} ({file_of(module_name)}) has no {attribute!r}; "
                f"it has {_callables(module)}"
            )
            raise UnknownNameError(msg) from error
    return value


def _imported(module_name: str, whose: str) -> Any:  # noqa: ANN401 - a stranger's
    importlib.invalidate_caches()
    try:
        with redirect_stdout(sys.stderr):
            return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{module_name}.".startswith(f"{error.name}."):
            head = error.name.partition(".")[0]
            msg = (
                f"{whose}: there is no module {error.name}, installed or in the working folder; "
                f"check the name, or give the command where {head}.py or {head}/ stands"
            )
            raise UnknownNameError(msg) from error
        failed(error, f"{whose}: importing {module_name} raised", file_of(module_name))
    except LogprError:
        raise
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a stranger's module raises anything
        failed(error, f"{whose}: importing {module_name} raised", file_of(module_name))


def file_of(module_name: str) -> str | None:
    """Return the file of a module, imported or not."""
    # A module that failed as it was imported is in sys.modules no more.
    module = sys.modules.get(module_name)
    if module is not None:
        return getattr(module, "__file__", None)
    try:
        spec = importlib.util.find_spec(module_name)
    except (ImportError, ValueError):
        return None
    return None if spec is None else spec.origin


def failed(
    error: BaseException,
    what: str,
    file: str | None,
    *,
    ours: Sequence[str] = (),
    wanted: str | None = None,
) -> NoReturn:
    """Raise what a stranger's code raised as one message with its own line.

    Args:
        error: what came.
        what: the beginning of the message, up to the error's type.
        file: the stranger's, whose last line says more than one of a library below it.
        ours: files whose lines say nothing.
        wanted: said of a TypeError that arose before the stranger's code was reached.

    Raises:
        QueryError: always.
    """
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if file is not None and frame.filename == file]
    frame = next(reversed(own or frames), None)
    known = {__file__, *ours}
    place = ""
    if frame is not None and frame.filename not in known and not frame.filename.startswith("<"):
        line = f": {frame.line}" if frame.line else ""
        place = f"\n  {frame.filename}, line {frame.lineno}, in {frame.name}{line}"
    elif isinstance(error, SyntaxError) and error.filename is not None:
        place = f"\n  {error.filename}, line {error.lineno}"
    elif isinstance(error, TypeError) and wanted is not None:
        place = f"; give {wanted}"
    said = str(error)
    msg = f"{what} {type(error).__name__}{f': {said}' if said else ''}{place}"
    raise QueryError(msg) from error


def _callables(module: object) -> str:
    own = getattr(module, "__name__", None)
    names = [
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and (callable(value) or callable(getattr(value, "many", None)))
        and not isinstance(value, type)
        and getattr(value, "__module__", own) == own
    ]
    more = ", …" if len(names) > _MOST_NAMES else ""
    return ", ".join(names[:_MOST_NAMES]) + more if names else "nothing that can be called"
