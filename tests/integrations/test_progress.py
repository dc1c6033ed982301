"""Bars are drawn on a terminal's stderr, and nowhere else."""

from __future__ import annotations

import io
import sys

import pytest

from logpr.integrations._progress import bar


class Terminal(io.StringIO):
    """A stderr that says it is a terminal."""

    def isatty(self) -> bool:
        """Say yes."""
        return True


@pytest.mark.parametrize(
    ("stream", "disable", "drawn"),
    [(Terminal(), False, True), (Terminal(), True, False), (io.StringIO(), False, False)],
)
def test_where_bars_are_drawn(
    monkeypatch: pytest.MonkeyPatch, stream: io.StringIO, *, disable: bool, drawn: bool
) -> None:
    """A file, a pipe, or a harness that wants no bars gets none."""
    monkeypatch.setattr(sys, "stderr", stream)
    with bar("loglikelihood", 3, disable=disable) as advance:
        for _ in range(3):
            advance()
    assert ("3/3" in stream.getvalue()) == drawn
    assert bool(stream.getvalue()) == drawn
