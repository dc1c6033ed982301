"""When a search stops before it is done: time, expansions, memory, or somebody's Ctrl-C."""

from __future__ import annotations

import math
import re
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType

from logpr._values.decoding import Stopped
from logpr.errors import QueryError

_TIME = re.compile(r"^\s*(?P<number>\d+(\.\d*)?|\.\d+)\s*(?P<unit>ms|s|m|min|h)\s*$")
_NODES = re.compile(r"^\s*(?P<number>\d[\d_,]*)\s*(nodes?|expansions?)\s*$")
_SIZE = re.compile(r"^\s*(?P<number>\d+(\.\d*)?|\.\d+)\s*(?P<unit>[kmgt]i?b|b)\s*$", re.IGNORECASE)
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}
_LEAST_MEMORY = 2**24


@dataclass(frozen=True, slots=True)
class Budget:
    """How far a search may go; None is no bound."""

    seconds: float | None = None
    expansions: int | None = None

    @classmethod
    def of(cls, given: str | float | Budget | None) -> Budget:
        """Return the budget that is written as "30s", "5m", "10000 nodes", or both with a comma.

        Args:
            given: a number is seconds.

        Raises:
            QueryError: it is none of these.
        """
        if given is None or isinstance(given, Budget):
            return given or cls()
        if isinstance(given, (int, float)) and 0.0 <= given < math.inf:
            return cls(float(given))
        parts = str(given).split(",")
        seconds: float | None = None
        expansions: int | None = None
        for part in parts:
            if found := _TIME.match(part):
                seconds = float(found["number"]) * _SECONDS[found["unit"]]
            elif found := _NODES.match(part):
                expansions = int(re.sub("[_,]", "", found["number"]))
            else:
                msg = (
                    f"a budget is a time or a number of nodes, found {given!r}; e.g. "
                    f"budget='30s', '5m', '10000 nodes' (--budget 30s), or None for no bound "
                    f"(--budget none)"
                )
                raise QueryError(msg)
        return cls(seconds, expansions)


def memory_of(given: str | int) -> int:
    """Return the bytes that are written as "512MB" or "2GiB"; a number is bytes.

    Args:
        given: at least 16 MiB.

    Raises:
        QueryError: it is no size, or a smaller one.
    """
    found = _SIZE.match(given) if isinstance(given, str) else None
    if isinstance(given, str) and found:
        power = "bkmgt".index(found["unit"][0].lower())
        base = 1024 if "i" in found["unit"].lower() else 1000
        size = int(float(found["number"]) * base**power)
    elif isinstance(given, int):
        size = given
    else:
        size = 0
    if size < _LEAST_MEMORY:
        msg = f"memory is at least 16 MiB, found {given!r}; e.g. memory='512MB' (--memory 512MB)"
        raise QueryError(msg)
    return size


@dataclass(slots=True)
class Clock:
    """Says when a search is to stop, and how long it has run."""

    budget: Budget
    interrupted: bool = False
    within: Clock | None = None
    """The clock of what this is a part of: it stops the part as well."""
    _started: float = field(default_factory=time.perf_counter)

    @property
    def seconds(self) -> float:
        """Return how long it has run."""
        return time.perf_counter() - self._started

    def stop(self, expansions: int) -> Stopped | None:
        """Return why the search is to stop now; None lets it go on.

        Args:
            expansions: that were made.
        """
        if self.interrupted or (self.within is not None and self.within.interrupted):
            return "interrupted"
        budget = self.budget
        if budget.seconds is not None and self.seconds >= budget.seconds:
            return "budget"
        if budget.expansions is not None and expansions >= budget.expansions:
            return "budget"
        return None

    def part(self, share: float) -> Clock:
        """Return a clock for some share of the time that the budget has.

        Args:
            share: from 0 to 1.
        """
        seconds = self.budget.seconds
        return Clock(Budget(seconds=None if seconds is None else share * seconds), within=self)

    def left(self, expansions: int) -> int | None:
        """Return how many expansions the budget still has; None where it has no such bound.

        Args:
            expansions: that were made.
        """
        bound = self.budget.expansions
        return None if bound is None else max(bound - expansions, 0)


@contextmanager
def interruptible(clock: Clock) -> Iterator[None]:
    """Let the first Ctrl-C inside the block stop the clock; the second one is as everywhere else.

    A search that is told between two batches loses nothing, and answers with what it has. Python
    takes signals in the main thread alone: elsewhere this does nothing.

    Args:
        clock: that the search looks at.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGINT)
    if before is not signal.default_int_handler:  # somebody has plans of their own
        yield
        return

    def told(number: int, frame: FrameType | None) -> None:
        if clock.interrupted:
            signal.default_int_handler(number, frame)
        clock.interrupted = True

    signal.signal(signal.SIGINT, told)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
