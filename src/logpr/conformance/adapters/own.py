"""logpr itself, on each of its executors and on its own Llama in NumPy."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias, final

from logpr._score import score_many
from logpr._values import Query, Score
from logpr.errors import ModelLoadError
from logpr.models._load import load
from logpr.models.base import Model

__all__ = ["Answer", "Own", "answer", "builtin", "cache", "forest", "make", "mask", "plain"]

Answer: TypeAlias = tuple[list[float], list[list[float]]]


@final
class Own:
    """Scores by `logpr.score_many`: queries share their prefixes.

    Args:
        model: from `logpr.load`.
    """

    def __init__(self, model: Model) -> None:
        self._model = model
        self.vocab_size = model.vocab_size

    def many(self, queries: Sequence[Query]) -> list[Answer]:
        """Return the log-probability of each query's candidates, and of their tokens."""
        return [answer(scores) for scores in score_many(queries, model=self._model)]


def make(model_folder: str) -> Own:
    """Return logpr on a folder, with the executor that it chooses."""
    return Own(load(model_folder, dtype="float64"))


def plain(model_folder: str) -> Own:
    """Return logpr on a folder, executor `plain`."""
    return Own(load(model_folder, dtype="float64", executor="plain"))


def cache(model_folder: str) -> Own:
    """Return logpr on a folder, executor `cache`."""
    return Own(load(model_folder, dtype="float64", executor="cache"))


def mask(model_folder: str) -> Own:
    """Return logpr on a folder, executor `mask`."""
    return Own(load(model_folder, dtype="float64", executor="mask"))


def forest(model_folder: str) -> Own:
    """Return logpr on a folder, executor `forest`."""
    return Own(load(model_folder, dtype="float64", executor="forest"))


def builtin(model_folder: str) -> Own:
    """Return logpr's Llama in NumPy on a folder.

    Raises:
        ModelLoadError: the folder holds another kind of model.
    """
    config = json.loads((Path(model_folder) / "config.json").read_text(encoding="utf-8"))
    if config.get("model_type") != "llama":
        msg = (
            f"{model_folder}: a {config.get('model_type')}, and logpr's NumPy model is a Llama; "
            f"check it on the suite's Llamas: architecture='llama', or --toy llama"
        )
        raise ModelLoadError(msg)
    return Own(load(f"builtin:{model_folder}"))


def answer(scores: Sequence[Score]) -> Answer:
    """Return candidates' scores, and their tokens', END's last where it is scored."""
    totals: list[float] = []
    tokens: list[list[float]] = []
    for score in scores:
        assert score.logprob is not None, "nothing was pruned"
        totals.append(score.logprob)
        ends = () if score.end_logprob is None else (score.end_logprob,)
        tokens.append([*(score.token_logprobs or ()), *ends])
    return totals, tokens
