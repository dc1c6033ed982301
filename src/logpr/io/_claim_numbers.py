"""A file of nothing but numbers: one a line, one column of a CSV, or a JSON list."""

from __future__ import annotations

import json
import re
import sys
import zlib
from collections.abc import Generator, Mapping
from io import BufferedIOBase
from pathlib import Path
from typing import Any, BinaryIO, TypeGuard

from logpr.auditing.claims.printed import printed
from logpr.errors import LogprError, RecordError
from logpr.io._fault import shown
from logpr.io.formats import Format, RawRow, Source, open_bytes

LARGEST = 1 << 24
"""Bytes of one file of numbers: some two million of them, which are all held at once."""

_SNIFFED = 1 << 16
"""Bytes that are looked at to tell numbers from other files."""

_BINARY = (".npz", ".parquet", ".pq")
_LIKE_A_NUMBER = re.compile(r"[-+−]?[.,]?\d[-+−.,%eE\s\d]*")
_MARK = b"\xef\xbb\xbf"

WRITE = (
    'one record a line: {"prompt": "The cat sat on the", "candidates": [{"text": " warm mat", '
    '"score": "-2.30"}]}'
)
"""What says of a number what it is of."""


def is_number(value: object) -> TypeGuard[str | int | float]:
    """Return whether a value is a number, or text that prints one."""
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        return False
    try:
        printed(value)
    except LogprError:
        return False
    return True


def source_of_numbers(
    name: str,
    format: Format | None,  # noqa: A002 - the option's own name
    mapping: Mapping[str, str] | None = None,
) -> Source | None:
    """Return a file as a source where it begins as numbers alone do; None for any other.

    Stdin is looked at only where it can be read again. A column's name may be the one that
    `mapping` gives for the scores.
    """
    if format == "parquet" or name.lower().endswith(_BINARY):
        return None
    source = Source("<stdin>", "jsonl") if name == "-" else Source(name, "jsonl", Path(name))
    try:
        head = _head_of(source)
    except (OSError, EOFError, ValueError, zlib.error, LogprError):
        return None  # the reader of records says what is wrong with it
    lines = [line for line in map(_cell, head.removeprefix(_MARK).splitlines()) if line]
    if not lines:
        return None
    if lines[0].startswith("["):
        found = _begins_as_a_list(" ".join(lines), whole=len(head) < _SNIFFED)
        return source if found and not mapping else None
    if is_number(lines[0]):
        return None if mapping else source
    named = {lines[0]} >= set((mapping or {}).values())
    return source if named and len(lines) > 1 and is_number(lines[1]) else None


def _head_of(source: Source) -> bytes:
    if source.path is None:
        if not sys.stdin.seekable():
            return b""
        head = sys.stdin.buffer.read(_SNIFFED)
        sys.stdin.buffer.seek(0)
        return head
    if not source.path.is_file():
        return b""
    with open_bytes(source) as file:
        return file.read(_SNIFFED)


def _cell(line: bytes) -> str:
    text = line.decode(errors="replace").strip()
    quoted = len(text) > 1 and text[0] == text[-1] == '"'
    return text[1:-1].strip() if quoted else text


def _begins_as_a_list(text: str, *, whole: bool) -> bool:
    """Return whether a JSON list begins with a number; of a short one, whether it is whole."""
    if whole:
        try:
            items = json.loads(text, parse_float=str, parse_int=str, parse_constant=str)
        except (ValueError, RecursionError):
            return False
        return isinstance(items, list) and any(map(is_number, items)) and all(map(_entry, items))
    first = text[1:].partition(",")[0].strip().strip('"')
    return is_number(first)


def _entry(item: object) -> bool:
    return item is None or is_number(item)


def rows_of_numbers(source: Source) -> Generator[RawRow]:
    """Yield the one record of a file that `source_of_numbers` found: its numbers as `scores`.

    Raises:
        RecordError: the file is too large, cannot be read, or has something else among its
            numbers.
    """
    data = _bytes_of(source)
    try:
        text = data.removeprefix(_MARK).decode()
    except UnicodeDecodeError as error:
        msg = f"{source.name}: byte 0x{data[error.start]:02x} is no UTF-8; write it in UTF-8"
        raise RecordError(msg) from error
    listed = text.lstrip().startswith("[")
    yield RawRow(1, {"scores": _of_list(source, text) if listed else _of_lines(source, text)})


def _bytes_of(source: Source) -> bytes:
    try:
        with open_bytes(source) as file:
            data = bounded(file, LARGEST)
    except (OSError, EOFError, zlib.error) as error:
        msg = f"{source.name} cannot be read: {error}; check that it is whole, and its rights"
        raise RecordError(msg) from error
    if data is None:
        msg = (
            f"{source.name}: it has more than {LARGEST >> 20} MiB, the most that is read of "
            f"numbers alone; audit a part: head -n 1000000 {source.name} > part.txt"
        )
        raise RecordError(msg)
    return data


def bounded(file: BinaryIO | BufferedIOBase, most: int) -> bytes | None:
    """Return all bytes of a file, or None where it has more than `most`."""
    data = file.read(most + 1)
    return None if len(data) > most else data


def _of_list(source: Source, text: str) -> list[Any]:
    try:
        items = json.loads(text, parse_float=str, parse_int=str, parse_constant=str)
    except (ValueError, RecursionError) as error:
        msg = f"{source.name}: the JSON is malformed: {error}; a list of numbers is [-2.30, -1.15]"
        raise RecordError(msg) from error
    for place, item in enumerate(items):
        if not _entry(item):
            msg = (
                f"{source.name}: entry {place} is {shown(item)}, and those before it are numbers; "
                f"leave it out, or write {WRITE}"
            )
            raise RecordError(msg)
    return list(items)


def _is_name(cell: str) -> bool:
    """Return whether a first line names the column: no number, read or not, is a name."""
    return cell != "null" and not is_number(cell) and _LIKE_A_NUMBER.fullmatch(cell) is None


def _of_lines(source: Source, text: str) -> list[str | None]:
    found: list[str | None] = []
    first = True
    # Not splitlines: the separators of Unicode end no line of a file.
    for number, line in enumerate(text.split("\n"), 1):
        cell = _cell(line.encode())
        if not cell:
            continue
        header, at_top, first = first and _is_name(cell), first, False
        if header:
            continue
        if cell != "null" and not is_number(cell):
            around = "after" if at_top else "before"
            msg = (
                f"{source.where(number)}: {shown(cell)} is no number, and the lines {around} it "
                f"are; numbers alone stand one a line (null where there is none). To say what "
                f"each is of, write {WRITE}"
            )
            raise RecordError(msg)
        found.append(None if cell == "null" else cell)
    return found
