"""The journal of a recording with whole rows: what a kill leaves of it is what was recorded.

A file of frames: kind, length and checksum of what follows, then that. A frame `e`, `f` or `d` is
one row of float16, float32 or float64; `c` is a record as JSON, which names its rows by where their
frames begin; `h`, the first, says which recording it is. A row that no record names counts for
nothing: its candidate was not finished.
"""

from __future__ import annotations

import json
import struct
import threading
import uuid
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeAlias, final

import numpy as np

from logpr._values._base import jsonable
from logpr.auditing._recording.given import Row, Taken
from logpr.auditing._recording.growing import Bytes, Growing
from logpr.errors import InputError, NumbersError, QueryError

Place: TypeAlias = tuple[int, str]
"""Where a row's frame begins, and the row's type."""

_VERSION = 1
_FRAME = struct.Struct("<cQI")
_HEAD_MAX = 4096
"""The first frame is shorter than that, whatever the end ids."""


def part_of(path: Path) -> Path:
    """Return the name of the journal that becomes `path`."""
    return path.with_name(f"{path.name}.part")


@final
class Journal:
    """Rows and records, each on the disk in the order it came.

    Args:
        path: the journal; where it is one, a frame cut short by a crash is cut off and it goes on.
        end_ids: the tokens that are END; None takes those it was begun with.
        dtype: what rows are rounded to; None keeps each as it came.

    Raises:
        InputError: it cannot be opened, or is no journal.
        QueryError: another process is writing it, or it was begun with other end ids.
    """

    def __init__(
        self, path: Path, *, end_ids: tuple[int, ...] | None = None, dtype: str | None = None
    ) -> None:
        self._dtype = None if dtype is None else np.dtype(dtype)
        self._lock = threading.Lock()
        self._width: int | None = None
        self._ended: bool | None = None
        self.records = 0
        self._file = Growing(path)
        try:
            self._begin(end_ids)
        except BaseException:
            self._file.close()
            raise

    def _begin(self, end_ids: tuple[int, ...] | None) -> None:
        head: dict[str, Any] | None = None
        end = 0
        for start, kind, content in self._frames():
            if kind == "h":
                head = json.loads(content)
            elif kind == "c":
                self._count(json.loads(content))
            end = start + _FRAME.size + len(content)
        if head is None:
            # A crash may have left the first frame unfinished, and then there is nothing to lose.
            if self._file.end > _HEAD_MAX or self._file.read(0, 1) not in {b"", b"h", b"\0"}:
                raise self._unknown()
            self.restart(end_ids or ())
            return
        self._file.cut(end)
        if head.get("journal") != _VERSION:
            raise self._unknown()
        self.id = str(head["id"])
        self.end_ids = tuple(head["end_ids"])
        if end_ids is not None and end_ids != self.end_ids:
            msg = (
                f"{self._file.path} was begun with end_ids={list(self.end_ids)}, and they are now "
                f"{list(end_ids)}; give the same to go on, or logpr.auditing.recover(path) to turn "
                f"it into its file first"
            )
            raise QueryError(msg)

    def _unknown(self) -> InputError:
        msg = (
            f"{self._file.path} is no journal of a recording that this version wrote; move it "
            f"away, or record under another name"
        )
        return InputError(msg)

    def restart(self, end_ids: tuple[int, ...]) -> None:
        """Drop everything and begin a recording anew."""
        self._file.cut(0)
        self._width, self._ended, self.records = None, None, 0
        self.id, self.end_ids = uuid.uuid4().hex, end_ids
        head = {"journal": _VERSION, "id": self.id, "end_ids": list(end_ids)}
        self._frame("h", json.dumps(head).encode())

    def keep(
        self, row: Row, token_id: int | None, shortlist: list[int] | None, where: str
    ) -> Place:
        """Write one row, and return where it is.

        Raises:
            NumbersError: its numbers are too large for the dtype that was asked for.
            InputError: there is no room.
        """
        del token_id, shortlist
        if self._dtype is not None and row.dtype != self._dtype:
            with np.errstate(over="ignore"):
                narrow = row.astype(self._dtype)
            if np.isinf(narrow.max()) or np.isneginf(narrow).sum() != np.isneginf(row).sum():
                msg = (
                    f"{where}: a logit of {row[np.argmax(np.isinf(narrow) & np.isfinite(row))]} is "
                    f"too large for {self._dtype}; leave dtype out of logpr.record to keep rows as "
                    f"they come"
                )
                raise NumbersError(msg)
            row = narrow
        with self._lock:
            return self._frame(row.dtype.char, row.data.cast("B")), row.dtype.char

    def commit(self, fields: dict[str, Any], candidates: list[Taken]) -> None:
        """Write one record, and return when it and its rows are on the disk.

        Raises:
            NumbersError: its rows do not go with those of earlier records.
            QueryError: a candidate has no rows, or no prompt ids.
            InputError: there is no room.
        """
        if "prompt_ids" not in fields:
            msg = (
                f"{candidates[0].where}: whole rows are found again by the ids before them, and it "
                f"has no prompt_ids; give prompt_ids=tokenizer(prompt), or record compact=True"
            )
            raise QueryError(msg)
        record = {**fields, "candidates": [_as_json(taken) for taken in candidates]}
        with self._lock:
            width, ended = self._width, self._ended
            for taken in candidates:
                self._check(taken, width, ended=ended)
                width, ended = taken.width, taken.ended
            content = json.dumps(jsonable(record), allow_nan=False)
            self._frame("c", content.encode())
            self._file.commit()
            self._count(record)

    def _check(self, taken: Taken, width: int | None, *, ended: bool | None) -> None:
        if not taken.kept:
            msg = (
                f"{taken.where}: no rows of logits; give logits, a row a token, or record "
                f"compact=True, where a candidate may have its scores alone"
            )
            raise QueryError(msg)
        if width not in (None, taken.width):
            msg = (
                f"{taken.where}: rows of {taken.width} logits, and those recorded before have "
                f"{width}; a file holds one vocabulary: give the other model's rows a "
                f"recorder of their own"
            )
            raise NumbersError(msg)
        if ended not in (None, taken.ended):
            msg = (
                f"{taken.where}: {'a' if taken.ended else 'no'} row that predicts END, and the "
                f"candidates recorded before have {'none' if taken.ended else 'one'}; give it for "
                f"every candidate of the file or for none"
            )
            raise QueryError(msg)

    def _count(self, record: dict[str, Any]) -> None:
        self.records += 1
        for candidate in record["candidates"]:
            self.follow(candidate["width"], ended=candidate["ended"])

    def follow(self, width: int, *, ended: bool) -> None:
        """Hold what comes against rows of this width, with or without one that predicts END."""
        self._width, self._ended = width, ended

    def stored(self) -> Iterator[dict[str, Any]]:
        """Yield the records as they were written, in order."""
        start = 0
        while start < self._file.end:
            kind, size, _ = _FRAME.unpack(self._file.read(start, _FRAME.size))
            start += _FRAME.size
            if kind == b"c":
                yield json.loads(self._file.read(start, size))
            start += size

    def row(self, place: int) -> Row:
        """Return the row whose frame begins at `place`."""
        kind, size, _ = _FRAME.unpack(self._file.read(place, _FRAME.size))
        return np.frombuffer(self._file.read(place + _FRAME.size, size), dtype=kind.decode())

    def seal(self) -> None:
        """Take nothing more."""
        with self._lock:
            self._file.sealed = True

    def close(self) -> None:
        """Close it, so that another recorder can go on."""
        self._file.close()

    def remove(self) -> None:
        """Close and remove it: all of it is in its file."""
        self._file.remove()

    def _frame(self, kind: str, content: Bytes) -> int:
        head = _FRAME.pack(kind.encode(), len(content), zlib.crc32(content))
        if kind in "hc":  # one write: a kill then leaves all of it or nothing
            return self._file.write(head + bytes(content))
        return self._file.write(head, content)

    def _frames(self) -> Iterator[tuple[int, str, bytes]]:
        """Yield the whole frames from the beginning: behind the first broken one nothing counts."""
        start = 0
        while len(head := self._file.read(start, _FRAME.size)) == _FRAME.size:
            kind, size, checksum = _FRAME.unpack(head)
            if kind not in b"hcefd" or size > self._file.end - start - _FRAME.size:
                return
            content = self._file.read(start + _FRAME.size, size)
            if zlib.crc32(content) != checksum:
                return
            yield start, kind.decode(), content
            start += _FRAME.size + size


def _as_json(taken: Taken) -> dict[str, Any]:
    out = {
        **taken.claimed(),
        "token_ids": taken.token_ids or [],
        "places": [place for place, _ in taken.kept],
        "dtype": np.result_type(*(kind for _, kind in taken.kept)).name if taken.kept else None,
        "width": taken.width,
        "ended": taken.ended,
    }
    if taken.shortlist_ids is not None:
        out["shortlist_ids"] = taken.shortlist_ids
    return out
