"""How far an evaluation is: on stderr, and only where that is a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


@contextmanager
def bar(name: str, total: int, *, disable: bool) -> Iterator[Callable[[], None]]:
    """Draw a bar; yield what moves it on by one.

    Args:
        name: what is counted.
        total: how many there are.
        disable: draw nothing, on a terminal neither.
    """
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        disable=disable or not sys.stderr.isatty(),
        redirect_stdout=False,
        redirect_stderr=False,
    ) as progress:
        task = progress.add_task(name, total=total)
        yield lambda: progress.advance(task)
