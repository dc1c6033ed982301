"""How far a run over a file is: on stderr, and only where that is a terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from logpr._values import Moment
from logpr.cli._say import say
from logpr.io.formats import Source
from logpr.report.terminal import decoding_live

_CHUNK = 1 << 20
_EVERY_SECONDS = 0.1


class _Rate(ProgressColumn):
    """Records a second."""

    def render(self, task: Task) -> Text:
        return Text("" if task.speed is None else f"{task.speed:,.0f}/s", "dim")


class Meter:
    """A progress bar that begins with the first window's end, so that it disturbs no view."""

    def __init__(self, bar: Progress | None, total: int | None) -> None:
        self._bar = bar
        self._total = total
        self._task: TaskID | None = None

    @classmethod
    def of(cls, source: Source) -> Self:
        """Return the meter of a file; one that draws nothing where stderr is no terminal."""
        if not sys.stderr.isatty():
            return cls(None, None)
        bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            _Rate(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        return cls(bar, _rows(source))

    def __enter__(self) -> Self:
        """Begin; nothing is drawn yet."""
        return self

    def advance(self, read: int) -> None:
        """Show that `read` records were read so far."""
        if self._bar is None:
            return
        if self._task is None:
            self._task = self._bar.add_task("records", total=self._total)
            self._bar.start()
        self._bar.update(self._task, completed=read)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Wipe the bar."""
        if self._bar is not None and self._task is not None:
            self._bar.stop()


class Trying:
    """A line that says what is being tried; told as `progress(what, done, total)`."""

    def __init__(self) -> None:
        self._line: Progress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        """Begin; nothing is drawn before something is tried."""
        if sys.stderr.isatty():
            self._line = Progress(
                SpinnerColumn(),
                TextColumn("trying {task.description}"),
                TimeElapsedColumn(),
                console=Console(stderr=True),
                transient=True,
                redirect_stdout=False,
                redirect_stderr=False,
            )
        return self

    def __call__(self, what: str, done: int, total: int) -> None:
        """Show what is tried now, and how much of it is done."""
        if self._line is None:
            return
        count = f"{done:,} of {total:,}" if done else f"{total:,}"
        says = f"{what} ({count})" if total else what
        if self._task is None:
            self._task = self._line.add_task(says, total=None)
            self._line.start()
        self._line.update(self._task, description=says)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Wipe the line."""
        if self._line is not None and self._task is not None:
            self._line.stop()


class Searching:
    """A line that says how far a search is, and, once, that it will hardly end.

    Args:
        warning: what to say of a moment, on stderr wherever that goes; None where nothing is.
    """

    def __init__(self, warning: Callable[[Moment], str | None]) -> None:
        self._warning = warning
        self._warned = False
        self._live: Live | None = None
        self._drawn = -_EVERY_SECONDS
        self._seen = False

    def __enter__(self) -> Self:
        """Begin; nothing is drawn before the search is somewhere."""
        self._seen = sys.stderr.isatty()
        return self

    def __call__(self, moment: Moment) -> None:
        """Show where the search is, ten times a second at most."""
        words = None if self._warned else self._warning(moment)
        if words is not None:
            self._warned = True
            self._wipe()
            say(words)
        now = time.monotonic()
        if not self._seen or now - self._drawn < _EVERY_SECONDS:
            return
        self._drawn = now
        if self._live is None:
            self._live = Live(
                console=Console(stderr=True),
                auto_refresh=False,
                transient=True,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._live.start()
        self._live.update(decoding_live(moment), refresh=True)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Wipe the line."""
        self._wipe()

    def _wipe(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None


def _rows(source: Source) -> int | None:
    """Return how many lines a plain file of JSON Lines has; None where counting is not so quick."""
    path = source.path
    if path is None or source.format != "jsonl" or path.suffix.lower() == ".gz":
        return None
    count, last = 0, b"\n"
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            count += chunk.count(b"\n")
            last = chunk[-1:]
    return count + (last != b"\n")
