"""Files that are written beside what a command prints: looked at before anything is computed."""

from __future__ import annotations

from pathlib import Path

from logpr.errors import InputError, MissingFileError, QueryError


def beside(
    option: str, name: str, example: str, *, source: str | None = None, called: str = "the input"
) -> Path:
    """Return where a page or a picture goes.

    Args:
        option: as it is typed, for messages.
        name: that was given.
        example: a name that would do.
        source: the input, which must not be overwritten.
        called: what the input is, for messages.

    Raises:
        QueryError: stdout, where a file is wanted.
        InputError: it cannot be a file, or is one that must stay.
        MissingFileError: its folder does not exist.
    """
    path = Path(name)
    if name == "-":
        msg = f"{option} - : a page is a file beside the report; write {option} {example}"
        raise QueryError(msg)
    try:
        taken = path.exists()
    except (OSError, ValueError) as error:
        msg = f"{option} {name!r} cannot be a file: {error}; write {option} {example}"
        raise InputError(msg) from error
    if not path.parent.is_dir():
        msg = f"{option} {path}: there is no folder {path.parent}; make it, or name another file"
        raise MissingFileError(msg)
    if path.is_dir():
        msg = f"{option} {path} is a folder; give a file in it: {option} {path / example}"
        raise InputError(msg)
    if taken and not path.is_file():
        msg = f"{option} {path} is no ordinary file, and is not replaced; write {option} {example}"
        raise InputError(msg)
    if taken and source is not None and Path(source).exists() and path.samefile(source):
        msg = f"{option} {path} is {called} itself; name another one: {option} {example}"
        raise InputError(msg)
    return path
