"""evaluate: the metric `perplexity`, which scores whole texts; a continuation is a difference."""

from __future__ import annotations

import math
from collections.abc import Callable


def make(model_folder: str) -> Callable[[str, list[str]], list[float]]:
    """Return log Pr(x y) − log Pr(x), each −n ln perplexity of the metric.

    n is the tokens of the text, of which the metric takes the mean. `evaluate.load` finds the
    metric on the hub, or in the folder ./perplexity.
    """
    import evaluate
    from transformers import AutoTokenizer

    metric = evaluate.load("perplexity", module_type="metric")
    tokenizer = AutoTokenizer.from_pretrained(model_folder)

    def totals(texts: list[str]) -> list[float]:
        found = metric.compute(model_id=model_folder, predictions=texts)["perplexities"]
        counts = [len(tokenizer(text, add_special_tokens=False).input_ids) for text in texts]
        return [
            -count * math.log(perplexity) for count, perplexity in zip(counts, found, strict=True)
        ]

    def score(prompt: str, candidates: list[str]) -> list[float]:
        """Return log Pr(y | x) of each candidate."""
        whole = totals([prompt + candidate for candidate in candidates])
        before = totals([prompt])[0] if prompt else 0.0
        return [each - before for each in whole]

    return score
