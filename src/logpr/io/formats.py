"""Where rows come from: a file or stdin in one of three formats, read lazily, one row at a time.

Bounded memory: no reader holds more than one row (Parquet: one batch of rows). A row that cannot
be read is yielded with its fault, so that the caller may stop at it or put it aside; only damage
after which no further row can be found (a broken compressed file, a quote never closed) raises.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import json
import re
import sys
import zlib
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedIOBase
from pathlib import Path
from typing import Any, Literal, NoReturn, TypeAlias, cast

from logpr.errors import InputError, MissingFileError, QueryError, RecordError
from logpr.io._fault import RowFault, require_unicode_everywhere, shown

Format: TypeAlias = Literal["jsonl", "csv", "parquet"]

LONGEST_LINE = 1 << 29
"""Bytes of one row of text; a file without line ends would otherwise fill the memory."""

_SUFFIXES: dict[str, Format] = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".csv": "csv",
    ".tsv": "csv",
    ".parquet": "parquet",
    ".pq": "parquet",
}
_TO_UTF8 = "write the file in UTF-8: iconv -f LATIN1 -t UTF-8 old > new"
_SURROGATE_ESCAPE = re.compile(r"\\u[dD][89a-fA-F]")


@dataclass(frozen=True, slots=True)
class RawRow:
    """One row as the file has it: its fields, or the fault that kept them from being read.

    `line` counts from 1: the line that the row begins on, in Parquet the row's own number.
    """

    line: int
    row: dict[str, Any] | None
    text: str | None = None
    fault: RowFault | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """A place that rows are read from; `memory`: objects of the caller's, numbered from 0."""

    name: str
    format: Format | Literal["dataset", "memory"]
    path: Path | None = None

    @property
    def textual(self) -> bool:
        """Return whether every value of a row is text, numbers and lists included."""
        return self.format == "csv"

    def where(self, line: int) -> str:
        """Return the place of a row, as messages begin: `file:line`, or the row of a table."""
        if self.format == "memory":
            return f"{self.name} {line}"
        lines = self.format in ("jsonl", "csv")
        return f"{self.name}:{line}" if lines else f"{self.name}: row {line}"

    def identity(self) -> dict[str, str | int] | None:
        """Return what tells this input from another, or None where it cannot be read twice."""
        if self.path is None or not self.path.is_file():
            return None
        with self.path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        return {"bytes": self.path.stat().st_size, "sha256": digest}


def find_source(name: str, format: Format | None) -> Source:  # noqa: A002 - the option's own name
    """Return the source that a path or `-` names; nothing is read yet.

    Raises:
        MissingFileError: there is no such file.
        InputError: it is no file, or its name does not say its format.
    """
    if name == "-":
        if format == "parquet":
            msg = "Parquet is read from its end, which stdin has not; save it and give the file"
            raise QueryError(msg)
        return Source("<stdin>", format or "jsonl")
    path = Path(name)
    try:
        found, is_file = path.exists(), path.is_file()
    except (OSError, ValueError) as error:
        msg = (
            f"{shown(name)} cannot be a file: {error}; give the path of a .jsonl, .csv or .parquet"
        )
        raise InputError(msg) from error
    if not found:
        raise MissingFileError(_missing(path))
    if not is_file:
        msg = (
            f"{name} is a folder, and not one of a Hugging Face dataset; give one of its files, "
            f"such as {name.rstrip('/')}/data.jsonl, or dataset:{name} for a folder of data files"
        )
        raise InputError(msg)
    return Source(name, format or _format_of(path), path)


def _missing(path: Path) -> str:
    name = str(path)
    msg = f"there is no file {name if name.isprintable() else shown(name)}"
    folder = path.parent
    if not folder.is_dir():
        return f"{msg}: there is no folder {folder}; check the path"
    near = sorted(p.name for p in folder.iterdir() if p.suffix in _SUFFIXES or ".jsonl" in p.name)
    if near:
        listed = ", ".join(near[:8]) + (", …" if len(near) > 8 else "")  # noqa: PLR2004
        return f"{msg}; the folder {folder} has {listed}"
    return f"{msg}; check the path, give - for stdin, or dataset:ORG/NAME for a dataset of the hub"


def _format_of(path: Path) -> Format:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] == ".gz":
        suffixes.pop()
    if suffixes and suffixes[-1] in _SUFFIXES:
        return _SUFFIXES[suffixes[-1]]
    msg = (
        f"{path}: its name does not say what it holds; known are {', '.join(_SUFFIXES)} (and .gz "
        f"after one of text); say it with --format jsonl, --format csv or --format parquet"
    )
    raise InputError(msg)


@contextmanager
def open_bytes(source: Source) -> Iterator[BufferedIOBase]:
    """Yield the source's bytes, decompressed where its name ends in .gz.

    Raises:
        InputError: it may not be read.
    """
    if source.path is None:
        yield cast("BufferedIOBase", sys.stdin.buffer)
        return
    try:
        if source.path.suffix.lower() == ".gz":
            file: BufferedIOBase = gzip.GzipFile(source.path, "rb")
        else:
            file = source.path.open("rb")
    except OSError as error:
        _unreadable(source, error)
    with file:
        yield file


def _unreadable(source: Source, error: Exception) -> NoReturn:
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    msg = f"{source.name} cannot be read: {reason}; check its permissions, or that it is whole"
    raise RecordError(msg) from error


def _lines(source: Source, file: BufferedIOBase) -> Iterator[tuple[int, bytes]]:
    number = 0
    while True:
        number += 1
        try:
            line = file.readline(LONGEST_LINE + 1)
        except (OSError, EOFError, zlib.error) as error:
            # gzip's own errors are OSError, a file cut short is EOFError.
            _unreadable(source, error)
        if not line:
            return
        if len(line) > LONGEST_LINE:
            msg = (
                f"{source.where(number)}: the line is longer than {LONGEST_LINE >> 20} MiB; "
                f"one record stands on one line: is this file of another format (--format)?"
            )
            raise RecordError(msg)
        if number == 1:
            line = _without_mark(source, line)
        yield number, line


def _without_mark(source: Source, line: bytes) -> bytes:
    if line.startswith((b"\xff\xfe", b"\xfe\xff")):
        msg = (
            f"{source.where(1)}: the file is written in UTF-16; write it in UTF-8: "
            f"iconv -f UTF-16 -t UTF-8 {source.name} > utf8{Path(source.name).suffix}"
        )
        raise RecordError(msg)
    return line.removeprefix(b"\xef\xbb\xbf")


def read_jsonl(source: Source, *, constants: bool = False) -> Generator[RawRow]:
    """Yield the objects of JSON Lines; blank lines, a BOM and CRLF are passed over.

    Args:
        source: what is read.
        constants: whether NaN, Infinity and -Infinity, which are no JSON, are numbers.
    """
    decoder = _LENIENT if constants else _DECODER
    with open_bytes(source) as file:
        for number, line in _lines(source, file):
            if not line.strip():
                continue
            try:
                row = _object_of(line.rstrip(b"\r\n"), decoder)
            except RowFault as fault:
                yield RawRow(number, None, line.decode(errors="backslashreplace").rstrip(), fault)
            else:
                yield RawRow(number, row)


def _object_of(line: bytes, decoder: json.JSONDecoder) -> dict[str, Any]:
    try:
        text = line.decode()
    except UnicodeDecodeError as error:
        msg = (
            f"byte 0x{line[error.start]:02x} at position {error.start + 1} is no UTF-8 "
            f"({error.reason}); {_TO_UTF8}"
        )
        raise RowFault(msg) from error
    try:
        value = decoder.decode(text)
    except json.JSONDecodeError as error:
        raise RowFault(_malformed(text, error)) from error
    except RecursionError as error:
        msg = "the JSON is nested too deeply to be read; a record is nested a few levels deep"
        raise RowFault(msg) from error
    except ValueError as error:
        # A number of thousands of digits: Python refuses to convert it.
        msg = f"a number cannot be read: {error}; write it shorter or as a string"
        raise RowFault(msg) from error
    if not isinstance(value, dict):
        msg = (
            f"a row is an object, found {shown(value)}; write "
            f'{{"prompt": "The cat sat on the", "candidates": [" warm mat", " plush rug"]}}'
        )
        raise RowFault(msg)
    if _SURROGATE_ESCAPE.search(text):
        require_unicode_everywhere(value)
    return value


def _malformed(text: str, error: json.JSONDecodeError) -> str:
    msg = f"the JSON is malformed at column {error.colno}: {error.msg}"
    near = text[max(0, error.pos - 20) : error.pos + 20].strip()
    msg = f"{msg} (near {near!r})" if near else f"{msg} (the line ends too early)"
    if text.lstrip().startswith("["):
        return f"{msg}; one JSON array is no JSON Lines: jq -c '.[]' old.json > new.jsonl"
    if text.strip() == "{":
        return f"{msg}; one object stands on one line: jq -c . old.json > new.jsonl"
    return f"{msg}; mend the line, or put it aside with --on-error skip"


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    row = dict(pairs)
    if len(row) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for place, name in enumerate(names) if name in names[:place])
        msg = f"the name {twice!r} stands twice in one object; leave one of them out"
        raise RowFault(msg)
    return row


def _constant(name: str) -> NoReturn:
    msg = f'{name} is no JSON number; write it as the string "{name}"'
    raise RowFault(msg)


_DECODER = json.JSONDecoder(object_pairs_hook=_pairs, parse_constant=_constant)
_LENIENT = json.JSONDecoder(object_pairs_hook=_pairs)


def read_csv(source: Source) -> Generator[RawRow]:
    """Yield the rows of CSV (.tsv: tab-separated) under its header; every value is text."""
    tab = any(suffix.lower() == ".tsv" for suffix in Path(source.name).suffixes)
    # The module's own limit of 128 KiB a cell is global; it is raised, never lowered.
    csv.field_size_limit(max(csv.field_size_limit(), LONGEST_LINE))
    with open_bytes(source) as file:
        # Bytes that are no UTF-8 become surrogates here and a fault of their row below.
        texts = (line.decode(errors="surrogateescape") for _, line in _lines(source, file))
        reader = csv.reader(texts, delimiter="\t" if tab else ",", strict=True)
        header: list[str] | None = None
        while True:
            line = reader.line_num + 1
            try:
                cells = next(reader, None)
            except csv.Error as error:
                if header is None or "end of data" in str(error) or "limit" in str(error):
                    msg = (
                        f"{source.where(line)}: the CSV is malformed: {error} (the row runs to "
                        f"line {reader.line_num}); close its quotes, and double those inside text"
                    )
                    raise RecordError(msg) from error
                msg = f"the CSV is malformed: {error}; mend the row, or --on-error skip"
                yield RawRow(line, None, None, RowFault(msg))
                continue
            if cells is None:
                return
            if not cells:
                continue
            if header is None:
                header = _header(source, cells, line)
                continue
            yield _csv_row(header, cells, line)


def _header(source: Source, cells: list[str], line: int) -> list[str]:
    if not all(map(_is_unicode, cells)):
        msg = f"{source.where(line)}: the header is no UTF-8; {_TO_UTF8}"
        raise RecordError(msg)
    twice = {name for name in cells if cells.count(name) > 1}
    if twice:
        msg = f"{source.where(line)}: the header names {min(twice)!r} twice; rename one column"
        raise RecordError(msg)
    return cells


def _csv_row(header: list[str], cells: list[str], line: int) -> RawRow:
    text = ",".join(cells).encode(errors="surrogateescape").decode(errors="backslashreplace")
    if len(cells) != len(header):
        msg = (
            f"the row has {len(cells)} cells and the header {len(header)}; put a cell that holds "
            f'commas or line ends in quotes: "…"'
        )
        return RawRow(line, None, text, RowFault(msg))
    row = dict(zip(header, cells, strict=True))
    for name, cell in row.items():
        if not _is_unicode(cell):
            msg = f"the cell is no UTF-8; {_TO_UTF8}"
            return RawRow(line, None, text, RowFault(msg, name))
    return RawRow(line, row)


def _is_unicode(text: str) -> bool:
    # Quick for the usual case; a surrogate is how a byte that is no UTF-8 was read.
    return text.isascii() or not any("\udc80" <= letter <= "\udcff" for letter in text)
