"""A file that only grows, written by one process at a time, that loses nothing once written."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path
from typing import TypeAlias, final

from logpr.errors import InputError, QueryError

if sys.platform != "win32":
    import fcntl

Bytes: TypeAlias = bytes | memoryview


@final
class Growing:
    """An open file that is read anywhere and written at its end.

    Nothing is buffered: what was written outlives a killed process, what was committed outlives
    the machine. Not safe from two threads.

    Args:
        path: where it is; made where it does not exist.

    Raises:
        InputError: it cannot be opened.
        QueryError: another process is writing it.
    """

    __slots__ = ("_file", "end", "path", "sealed")

    def __init__(self, path: Path) -> None:
        self.path = path
        self.sealed = False
        self._file = self._opened()
        # Whoever held the lock may have removed the file between opening it and locking it here.
        while not self._is_at_its_path():
            self._file.close()
            self._file = self._opened()
        self.end = self._file.seek(0, os.SEEK_END)

    def _opened(self) -> io.FileIO:
        try:
            # Not "wb": another process may be writing it, and must not find it empty.
            file = io.FileIO(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666), "r+b")
        except OSError as error:
            msg = (
                f"{self.path} cannot be written: {error.strerror}; record into a folder that "
                f"exists and may be written"
            )
            raise InputError(msg) from error
        if sys.platform != "win32":
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                file.close()
                msg = (
                    f"{self.path} is being written by another process, or by another recorder of "
                    f"this one; give each a path of its own"
                )
                raise QueryError(msg) from error
        return file

    def _is_at_its_path(self) -> bool:
        try:
            there = self.path.stat()
        except FileNotFoundError:
            return False
        return os.path.samestat(there, os.fstat(self._file.fileno()))

    def write(self, *pieces: Bytes) -> int:
        """Write all pieces behind the last, or nothing of them, and return where they begin.

        Raises:
            InputError: there is no room, or the place has gone.
            QueryError: the file is sealed.
        """
        if self.sealed:
            msg = (
                f"{self.path.name.removesuffix('.part')}: this recorder is closed; record inside "
                f"its `with` block, or open another: logpr.record(path, append=True)"
            )
            raise QueryError(msg)
        start = self.end
        try:
            for piece in pieces:
                rest = memoryview(piece).cast("B")
                while rest:
                    rest = rest[self._file.write(rest) :]
        except OSError as error:
            self.cut(start)
            msg = (
                f"{self.path} cannot be written: {error.strerror}; what was recorded before is "
                f"safe: make room and go on"
            )
            raise InputError(msg) from error
        except BaseException:
            # Interrupted between two pieces: half a line would spoil every line behind it.
            self.cut(start)
            raise
        self.end = self._file.tell()
        return start

    def commit(self) -> None:
        """Bring what was written to the disk."""
        os.fsync(self._file.fileno())

    def read(self, start: int, size: int) -> bytes:
        """Return `size` bytes from `start`, or what there is of them."""
        self._file.seek(start)
        parts = []
        while size and (part := self._file.read(size)):
            parts.append(part)
            size -= len(part)
        self._file.seek(self.end)
        return b"".join(parts)

    def cut(self, size: int) -> None:
        """Leave the first `size` bytes, and go on behind them."""
        self._file.truncate(size)
        self.end = self._file.seek(size)

    def close(self) -> None:
        """Close the file, keeping what was written; nothing more is taken."""
        self.sealed = True
        if sys.platform != "win32" and not self._file.closed:
            # A process that was forked off shares the lock, and would keep it while it lives.
            fcntl.flock(self._file, fcntl.LOCK_UN)
        self._file.close()

    def remove(self) -> None:
        """Close the file and remove it."""
        if sys.platform == "win32":  # which removes no open file
            self.close()
            self.path.unlink(missing_ok=True)
            return
        # While it is locked: after that it may be another process's.
        self.path.unlink(missing_ok=True)
        self.close()
