"""Stdin looked at before it is read: what it holds decides which reader gets it."""

from __future__ import annotations

import io
import sys
from typing import Any

from logpr.io.formats import LONGEST_LINE


class _Rejoined(io.RawIOBase):
    """A line that was read from stdin, and what is left there."""

    def __init__(self, head: bytes) -> None:
        super().__init__()
        self._head = head
        # Held on to: where nobody holds a text stream any more, it closes its bytes.
        self._rest = sys.stdin

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401 - whatever bytes go into
        chunk = self._head[: len(buffer)] or self._rest.buffer.read(len(buffer))
        self._head = self._head[len(chunk) :]
        buffer[: len(chunk)] = chunk
        return len(chunk)


def peeked_stdin() -> bytes:
    """Return the first line of stdin, which stays in it."""
    line = sys.stdin.buffer.readline(LONGEST_LINE + 1)
    rejoined = io.BufferedReader(_Rejoined(line))
    sys.stdin = io.TextIOWrapper(rejoined, encoding="utf-8")
    return line
