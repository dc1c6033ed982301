"""How memory grows with queries, and time with unique tokens: both on queries made as they go."""

from __future__ import annotations

import math
import os
import statistics
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.engine import plots, shapes
from benchmarks.engine.children import Child, Machine, write_model
from benchmarks.engine.scorers import OURS
from benchmarks.engine.vocabulary import vocab_of
from benchmarks.engine.workloads import Sizes, workload

_QUERIES = (100, 300, 1_000, 3_000, 10_000)
_TOKENS = (10_000, 30_000, 100_000, 300_000, 1_000_000)
_TOKENS_A_QUERY = 180
_MB = 2**20


def memory(
    machine: Machine, say: Callable[[str], None], *, large: str, most: int
) -> dict[str, Any]:
    """Return the peak above the weights for more and more queries, and for a large vocabulary.

    Args:
        machine: to run on.
        say: takes a line about progress.
        large: the shape whose `choices` are run.
        most: the largest number of queries.
    """
    streamed: dict[str, float] = {}
    with _folder(shapes.SHIPPED, machine) as folder:
        for count in _QUERIES:
            if count > most:
                break
            with Child(OURS, folder, machine) as child:
                answer = child.stream(count, prompt=20, candidate=8)
            held = streamed[str(count)] = answer.memory / _MB
            say(f"| {count:,} queries streamed | {answer.seconds:.1f} s | {held:.0f} MB |")
    with _folder(large, machine) as folder, Child(OURS, folder, machine) as child:
        answer = child.score(workload("choices", vocab=vocab_of(folder), sizes=Sizes()))
        choices = answer.memory / _MB
        say(f"| choices on {large} | {answer.seconds:.1f} s | {choices:.0f} MB |")
    return {"streamed_mb": streamed, "choices_mb": {large: choices}}


def linear(
    machine: Machine, say: Callable[[str], None], *, picture: Path, most: int
) -> dict[str, Any]:
    """Return seconds against unique tokens in one window, and the slope in logarithms.

    On stories260K where LOGPR_TEST_DATA has it, else on the shipped model.

    Args:
        machine: to run on.
        say: takes a line about progress.
        picture: the file to draw into.
        most: the largest number of unique tokens.
    """
    tokens: list[int] = []
    seconds: list[float] = []
    with _small_model(machine) as (name, folder), Child(OURS, folder, machine) as child:
        for wanted in _TOKENS:
            if wanted > most:
                break
            count = max(1, wanted // _TOKENS_A_QUERY)
            answer = child.stream(count, prompt=80, candidate=25, window=count)
            tokens.append(answer.fed)
            seconds.append(answer.seconds)
            say(
                f"| {answer.fed:,} tokens | {answer.seconds:.2f} s | {answer.memory / _MB:.0f} MB |"
            )
    slope = _slope(tokens, seconds)
    say(f"{name}: slope of log seconds against log tokens {slope:.3f}")
    plots.growth(tokens, seconds, slope, picture)
    return {"model": name, "tokens": tokens, "seconds": seconds, "slope": slope}


def _slope(tokens: Sequence[int], seconds: Sequence[float]) -> float:
    fit = statistics.linear_regression(list(map(math.log, tokens)), list(map(math.log, seconds)))
    return fit.slope


@contextmanager
def _small_model(machine: Machine) -> Iterator[tuple[str, Path]]:
    given = os.environ.get("LOGPR_TEST_DATA")
    stories = Path(given or ".") / "models" / "stories260K"
    if given and stories.is_dir():
        yield "stories260K", stories
    else:
        with _folder(shapes.SHIPPED, machine) as folder:
            yield shapes.SHIPPED, folder


@contextmanager
def _folder(shape: str, machine: Machine) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "model"
        write_model(shape, folder, machine)
        yield folder
