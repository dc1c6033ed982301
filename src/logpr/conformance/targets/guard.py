"""A stranger's code, called: timed, its words kept from ours, its failures told by their line."""

from __future__ import annotations

import contextvars
import ctypes
import io
import logging
import queue
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import dataclass, field
from typing import Any, final

from logpr.conformance.targets.base import ScorerError
from logpr.conformance.targets.blame import own_file, raised

_MOST_PRINTED = 8
_LONGEST = 200
_KEPT = 1 << 16
_MOST_SAID = 20
_LEFT = 0.5
"""Seconds that a call given up has to end in, while what it prints is still caught."""

_QUIET = (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning)
"""Python itself keeps these to itself: they are for whoever wrote the code, not for its users."""


@dataclass(slots=True)
class _Call:
    function: Callable[[], Any]
    context: contextvars.Context
    done: threading.Event = field(default_factory=threading.Event)
    value: Any = None
    error: BaseException | None = None


@final
class Guard:
    """Calls a stranger's functions, all in one thread of their own, which may be given up.

    One thread, since libraries keep state by thread (pools, gradients' modes, connections).

    Args:
        time_limit: seconds for a call.
        whose: a function or object whose file is the stranger's own, for the line that failed.
    """

    def __init__(self, time_limit: float, whose: object = None) -> None:
        self.time_limit = min(time_limit, threading.TIMEOUT_MAX)
        self.file = own_file(whose)
        self._calls: queue.SimpleQueue[_Call | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._said: list[str] = []
        self._hung: ScorerError | None = None

    def call(
        self, what: str, function: Callable[..., Any], *arguments: object, face: str = ""
    ) -> Any:  # noqa: ANN401 - a stranger's
        """Return what a function returns.

        Args:
            what: who is called, as the subject of a sentence: "the scorer".
            function: a stranger's.
            arguments: given to it as they are.
            face: how it is called, for one that takes something else: "score(prompt, candidates)".

        Raises:
            ScorerError: it raised, or was given up; once that happened, it is asked no more.
        """
        if self._hung is not None:
            raise self._hung
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="logpr-scorer", daemon=True)
            self._thread.start()
        with self._heard():
            call = _Call(lambda: function(*arguments), contextvars.copy_context())
            self._calls.put(call)
            try:
                ended = call.done.wait(self.time_limit)
            except BaseException:
                # Ctrl-C, while a stranger's code runs on in its thread.
                self._give_up(call)
                raise
            if not ended:
                self._give_up(call)
        if not ended:
            self._hung = ScorerError(
                kind="timed_out",
                message=f"{what} gave no answer within {self.time_limit:g} s and was given up; "
                f"give it longer with --time-limit (time_limit=), or look for what it waits for",
                fatal=True,
            )
            raise self._hung
        if call.error is not None:
            raise raised(what, call.error, self.file, face) from None
        return call.value

    def said(self) -> list[str]:
        """Return and forget the warnings, records and printed lines since the last call."""
        out, self._said = self._said, []
        return out

    def note(self, text: str) -> None:
        """Add something that was said to what `said` returns."""
        self._said.append(shortened(text))

    def close(self) -> None:
        """Let the thread end, once what it runs has ended."""
        if self._thread is not None:
            self._calls.put(None)
            self._thread = None

    def _work(self) -> None:
        # What the thread holds on to between calls would be kept alive by it.
        while (call := self._calls.get()) is not None:
            try:
                call.value = call.context.run(call.function)
            except BaseException as error:  # noqa: BLE001 - a stranger's code raises anything
                call.error = error
            call.done.set()
            del call

    def _give_up(self, call: _Call) -> None:
        """Ask the thread to end, so that a loop does not burn on beside the other checks.

        Code that waits outside Python ends when it comes back.
        """
        thread, self._thread = self._thread, None
        if thread is None or thread.ident is None or call.done.is_set():
            return
        self._calls.put(None)
        self._calls = queue.SimpleQueue()
        ctypes.pythonapi.PyThreadState_SetAsyncExc(
            ctypes.c_ulong(thread.ident), ctypes.py_object(SystemExit)
        )
        thread.join(_LEFT)

    @contextmanager
    def _heard(self) -> Iterator[None]:
        """Keep what is printed, warned of and logged while the block runs."""
        printed = Printed()
        told: dict[str, None] = {}
        with (
            redirect_stdout(printed.stream),
            warnings.catch_warnings(record=True) as caught,
            _records(told),
        ):
            warnings.simplefilter("always")
            for category in _QUIET:
                warnings.simplefilter("ignore", category)
            try:
                yield
            finally:
                for each in caught:
                    told[f"{each.category.__name__}: {each.message}"] = None
                self._said += [shortened(text) for text in list(told)[:_MOST_SAID]]
                self._said += printed.lines()


@contextmanager
def _records(told: dict[str, None]) -> Iterator[None]:
    """Note log records of level WARNING and more, of loggers that hand none on too."""
    before = logging.getLogRecordFactory()

    def noted(*arguments: Any, **more: Any) -> logging.LogRecord:  # noqa: ANN401 - logging's own
        record = before(*arguments, **more)
        if record.levelno >= logging.WARNING and len(told) < _MOST_SAID:
            try:
                text = record.getMessage()
            except Exception:  # noqa: BLE001 - arguments that do not fit the message
                text = str(record.msg)
            told[text] = None
        return record

    logging.setLogRecordFactory(noted)
    try:
        yield
    finally:
        # Whoever set another one meanwhile keeps it.
        if logging.getLogRecordFactory() is noted:
            logging.setLogRecordFactory(before)


class _Bounded(io.RawIOBase):
    """Keeps the first bytes written to it, and counts lines."""

    def __init__(self) -> None:
        self.kept = bytearray()
        self.lines = 0
        self._last = b""

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:  # noqa: ANN401 - any buffer of bytes
        view = bytes(data)
        self.kept += view[: max(0, _KEPT - len(self.kept))]
        # A line begins where something follows the end of another.
        self.lines += (self._last + view[:-1]).count(b"\n") + (bool(view) and not self._last)
        self._last = view[-1:] or self._last
        return len(view)


class Printed:
    """What a stranger prints, in a stream of text that is no terminal; bounded."""

    def __init__(self) -> None:
        self._raw = _Bounded()
        self.stream = io.TextIOWrapper(
            io.BufferedWriter(self._raw), encoding="utf-8", errors="replace", write_through=True
        )

    def lines(self) -> list[str]:
        """Return the first lines, marked, and how many more there were."""
        # A scorer may have closed sys.stdout.
        with suppress(ValueError):
            self.stream.flush()
        found = bytes(self._raw.kept).decode("utf-8", "replace").split("\n")
        lines = Lines()
        for text in found[: self._raw.lines]:
            lines.add(text)
        # Those behind the first bytes were counted, and not kept.
        lines.add("", self._raw.lines - len(found[: self._raw.lines]))
        return lines.told()


class Lines:
    """Printed lines: the first few of them, and how many there were."""

    def __init__(self) -> None:
        self._first: list[str] = []
        self._count = 0

    def add(self, text: str, count: int = 1) -> None:
        """Add a line, or the first of so many."""
        self._count += count
        if text.strip() and len(self._first) < _MOST_PRINTED:
            self._first.append(shortened(text))

    def told(self) -> list[str]:
        """Return them as they are reported: each marked."""
        out = [f"printed: {text}" for text in self._first]
        more = self._count - len(self._first)
        if out and more > 0:
            out.append(f"printed: … and {more:,} more line{'s' if more != 1 else ''}")
        return out


def shortened(text: str) -> str:
    """Return a text as one line, cut where it is long."""
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 1]}…"
