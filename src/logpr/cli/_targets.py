"""What `logpr check` is given, as targets of the suite; imported by whoever checks something."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import logpr
from logpr.cli._say import say
from logpr.conformance.adapters import ADAPTERS
from logpr.conformance.declares import Declares
from logpr.conformance.targets.called import Called
from logpr.conformance.targets.importing import working_folder
from logpr.conformance.targets.named import Named, target_named

_STDOUT, _STDERR = 1, 2


@contextmanager
def typed(
    text: str,
    *,
    declared: Mapping[str, str],
    factory: bool,
    time_limit: float,
    api_model: str | None,
) -> Iterator[Named]:
    """Yield what a TARGET stands for; modules of the working folder are found meanwhile."""
    with working_folder():
        yield target_named(
            text,
            declared=declared,
            factory=factory,
            time_limit=time_limit,
            api_model=api_model,
            known=ADAPTERS,
        )


@contextmanager
def stdout_apart() -> Iterator[None]:
    """Send to stderr what code outside Python, and programs that a scorer starts, print to stdout.

    What Python prints is caught where the scorer is called.
    """
    sys.stdout.flush()
    try:
        kept = os.dup(_STDOUT)
    except OSError:
        # It was closed by whoever started us.
        yield
        return
    try:
        os.dup2(_STDERR, _STDOUT)
        yield
    finally:
        os.dup2(kept, _STDOUT)
        os.close(kept)


@contextmanager
def ourselves(time_limit: float) -> Iterator[Named]:
    """Yield logpr itself on the built-in model, and say that it is checked."""
    say(
        "no TARGET: checking logpr itself, on the built-in model. Your own:\n"
        "  logpr check pkg.mod:score, with score(prompt, candidates) -> list of scores"
    )
    declares = Declares(per_token=True)
    name = "logpr, built-in model"
    target = Called(_Ourselves(), declares=declares, time_limit=time_limit, name=name)
    yield Named(target=target, declares=declares)


class _Ourselves:
    """logpr's own scores of the built-in model."""

    def __init__(self) -> None:
        self._model = logpr.load("builtin")
        self.vocab_size = self._model.vocab_size

    def many(self, queries: Iterable[logpr.Query]) -> list[tuple[list[Any], list[Any]]]:
        """Return scores and token scores of each query's candidates."""
        return [
            ([score.logprob for score in row], [score.token_logprobs for score in row])
            for row in logpr.score_many(queries, model=self._model)
        ]
