"""surprisal: the surprisal of a phrase after a prefix, in nats."""

from __future__ import annotations

from collections.abc import Callable


def make(model_folder: str) -> Callable[[str, list[str]], list[float]]:
    """Return minus `extract_surprisal` of a causal model."""
    from surprisal import AutoHuggingFaceModel

    model = AutoHuggingFaceModel.from_pretrained(model_folder, model_class="causal")

    def score(prompt: str, candidates: list[str]) -> list[float]:
        """Return −surprisal of each candidate after the prompt."""
        return [-float(found) for found in model.extract_surprisal(candidates, prefix=prompt)]

    return score
