"""minicons: conditional scores of an autoregressive model, summed or averaged."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Score = Callable[[str, list[str]], list[float]]


def make(model_folder: str) -> Score:
    """Return `conditional_score` with its reduction set to a sum."""
    scorer = _scorer(model_folder)

    def score(prompt: str, candidates: list[str]) -> list[float]:
        """Return log Pr(y | x) of each candidate."""
        prompts = [prompt] * len(candidates)
        found: list[float] = scorer.conditional_score(
            prompts, candidates, separator="", reduction=lambda tokens: tokens.sum(0).item()
        )
        return found

    return score


def make_mean(model_folder: str) -> Score:
    """Return `conditional_score` as it comes: a mean over y's tokens."""
    scorer = _scorer(model_folder)

    def score(prompt: str, candidates: list[str]) -> list[float]:
        """Return log Pr(y | x) ÷ tokens of y of each candidate."""
        prompts = [prompt] * len(candidates)
        found: list[float] = scorer.conditional_score(prompts, candidates, separator="")
        return found

    return score


def _scorer(model_folder: str) -> Any:  # noqa: ANN401 - the package has no types
    from minicons.scorer import IncrementalLMScorer

    return IncrementalLMScorer(model_folder, "cpu")
