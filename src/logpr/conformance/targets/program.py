"""A program that answers lines with lines: fed and read at once, timed, and ended with its like."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import time
import weakref
from collections import deque
from collections.abc import Mapping, Sequence
from typing import IO, Any, final

from logpr.conformance.targets.base import ScorerError
from logpr.conformance.targets.guard import Lines, shortened
from logpr.errors import QueryError

_CHUNK = 1 << 16
_LONGEST = 1 << 24
"""Bytes of one line at most."""

_QUOTED = 5
_MOST_SAID = 20
_GRACE = 2.0
_GAP = 0.05
_LOOK = 1.0


@final
class Program:
    """A program, started when it is first asked, and again where it died after an answer.

    All is done in the thread that asks: what it wrote to stderr before an answer has been read
    when the answer has.

    Args:
        words: the command.
        time_limit: seconds for a call.
    """

    def __init__(self, words: Sequence[str], time_limit: float) -> None:
        if os.name != "posix":
            msg = "a command is run on POSIX systems; give a Python function or a URL here"
            raise QueryError(msg)
        self._words = list(words)
        self._time_limit = time_limit
        self._process: subprocess.Popen[bytes] | None = None
        self._rest = {"stdout": bytearray(), "stderr": bytearray()}
        self._printed = Lines()
        self._stderr: dict[str, None] = {}
        self._last: deque[str] = deque(maxlen=_QUOTED)
        self._answered = False
        self._finish: weakref.finalize[Any, Any] | None = None

    def ask(self, lines: Mapping[int, str]) -> dict[int, dict[str, Any]]:
        """Return the answer to each line, an object with its number as `id`.

        Raises:
            ScorerError: it died, or gave no answer in time.
        """
        process = self._process or self._start()
        assert process.stdin is not None, "it was opened with one"
        unsent = memoryview("".join(f"{line}\n" for line in lines.values()).encode())
        found: dict[int, dict[str, Any]] = {}
        deadline = time.monotonic() + self._time_limit
        with selectors.DefaultSelector() as streams:
            for stream, name in self._pipes(process):
                streams.register(stream, selectors.EVENT_READ, name)
            streams.register(process.stdin, selectors.EVENT_WRITE, "stdin")
            while not lines.keys() <= found.keys():
                left = deadline - time.monotonic()
                if left <= 0:
                    raise self._late(len(lines), len(found))
                ready = {key.data: key.fileobj for key, _ in streams.select(min(left, _LOOK))}
                if not ready and process.poll() is not None:
                    # What it started holds its pipes open.
                    raise self._died(process)
                if "stdin" in ready:
                    unsent = unsent[_written(process.stdin, unsent) :]
                    if not unsent:
                        streams.unregister(process.stdin)
                # Before stdout: what was said on the way to an answer comes before it.
                for name in ("stderr", "stdout"):
                    if name in ready and not self._take(name, ready[name], lines, found):
                        streams.unregister(ready[name])
                        if name == "stdout" and not lines.keys() <= found.keys():
                            raise self._died(process)
        self._answered = True
        return found

    def said(self) -> list[str]:
        """Return and forget what it said since the last call."""
        if self._process is not None:
            for stream, name in self._pipes(self._process):
                while self._is_readable(stream) and self._take(name, stream, {}, {}):
                    pass
        out = [*self._stderr, *self._printed.told()]
        self._stderr, self._printed = {}, Lines()
        return out

    def close(self) -> None:
        """End its stdin; end the program, and what it started, where it does not end by itself."""
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None, "it was opened with one"
        with contextlib.suppress(OSError):
            process.stdin.close()
        deadline = time.monotonic() + _GRACE
        # It may have more to say before it ends, and must not wait for a reader.
        while process.poll() is None and time.monotonic() < deadline:
            for stream, _ in self._pipes(process):
                while self._is_readable(stream) and _read(stream):
                    pass
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_GAP)
        self._end(process)

    def _start(self) -> subprocess.Popen[bytes]:
        try:
            process = subprocess.Popen(  # noqa: S603 - the user's own command, without a shell
                self._words,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                # Python programs write each line as they print it.
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
                start_new_session=True,
                bufsize=0,
            )
        except OSError as error:
            msg = f"the command cannot be run: {error}"
            raise ScorerError(kind="died", message=msg, fatal=True) from None
        for stream in (process.stdin, process.stdout, process.stderr):
            assert stream is not None, "it was opened with them"
            os.set_blocking(stream.fileno(), False)
        self._process = process
        self._answered = False
        self._last.clear()
        for rest in self._rest.values():
            rest.clear()
        # A session of its own hears no Ctrl-C: whatever ends us has to end it.
        self._finish = weakref.finalize(self, _kill, process)
        return process

    @staticmethod
    def _pipes(process: subprocess.Popen[bytes]) -> list[tuple[IO[bytes], str]]:
        assert process.stdout is not None, "it was opened with one"
        assert process.stderr is not None, "as above"
        return [(process.stderr, "stderr"), (process.stdout, "stdout")]

    @staticmethod
    def _is_readable(stream: IO[bytes]) -> bool:
        with selectors.DefaultSelector() as streams:
            streams.register(stream, selectors.EVENT_READ)
            return bool(streams.select(0))

    def _take(
        self,
        name: str,
        stream: Any,  # noqa: ANN401 - what a selector hands back
        asked: Mapping[int, str],
        found: dict[int, dict[str, Any]],
    ) -> bool:
        """Read what there is of a stream; return False where it has ended."""
        data = _read(stream)
        if data is None:
            return True
        rest = self._rest[name]
        rest += data
        if data and b"\n" not in data:
            if len(rest) > _LONGEST:
                raise self._endless(name)
            return True
        *lines, last = rest.split(b"\n")
        if not data and last:
            lines.append(last)
            last = bytearray()
        self._rest[name] = bytearray(last)
        for line in lines:
            text = line.decode("utf-8", "replace").rstrip("\r")
            if name == "stderr":
                self._note(text)
            else:
                self._sort(text, asked, found)
        return bool(data)

    def _note(self, text: str) -> None:
        if text.strip():
            self._last.append(shortened(text))
            if len(self._stderr) < _MOST_SAID:
                self._stderr[shortened(text)] = None

    def _sort(self, text: str, asked: Mapping[int, str], found: dict[int, dict[str, Any]]) -> None:
        """Put a line to the answers, where it is one."""
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            value = None
        if not isinstance(value, dict) or "id" not in value:
            if text.strip():
                self._printed.add(text)
            return
        number = value["id"]
        # An answer to a call that was given up is nothing that was printed.
        if type(number) is int and number in asked:
            found.setdefault(number, value)
        elif type(number) is not int:
            self._printed.add(text)

    def _endless(self, name: str) -> ScorerError:
        process, self._process = self._process, None
        if process is not None:
            self._end(process)
        msg = f"the command wrote a line of more than {_LONGEST >> 20} MiB to {name}"
        return ScorerError(kind="wrong_shape", message=msg, fatal=True)

    def _late(self, asked: int, answered: int) -> ScorerError:
        process, self._process = self._process, None
        if process is not None:
            self._end(process)
        msg = (
            f"the command answered {answered} of {asked} requests within {self._time_limit:g} s "
            f"and was ended; does it write a line for each before its stdin ends, and flush it? "
            f"Else give it longer with --time-limit (time_limit=){self._quoted()}"
        )
        return ScorerError(kind="timed_out", message=msg, fatal=True)

    def _died(self, process: subprocess.Popen[bytes]) -> ScorerError:
        self._process = None
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE)
        for stream, name in self._pipes(process):
            while self._is_readable(stream) and self._take(name, stream, {}, {}):
                pass
        code = process.returncode
        if code is None:
            how = "closed its stdout"
        elif code < 0:
            how = f"was ended by signal {_signal_name(-code)}"
        else:
            how = f"ended with exit code {code}"
        self._end(process)
        return ScorerError(
            kind="died",
            message=f"the command {how} before it answered{self._quoted()}",
            # One that dies of a single request may do well with others.
            fatal=not self._answered,
        )

    def _quoted(self) -> str:
        return f"; its last lines: {' | '.join(self._last)}" if self._last else ""

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        if self._finish is not None:
            self._finish.detach()
            self._finish = None
        _kill(process)


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End a program and all that it started, and let go of its pipes."""
    # The group outlives its first process where that left others behind.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_GRACE)
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream is not None:
            with contextlib.suppress(OSError):
                stream.close()


def _written(stream: IO[bytes], data: memoryview) -> int:
    try:
        return os.write(stream.fileno(), data[:_CHUNK])
    except BlockingIOError:
        return 0
    except OSError:
        # It closed its stdin; that it died, or answers all the same, is seen on its stdout.
        return len(data)


def _read(stream: IO[bytes]) -> bytes | None:
    """Return what there is, b"" at the end; None where there is nothing yet."""
    try:
        return os.read(stream.fileno(), _CHUNK)
    except BlockingIOError:
        return None


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)
