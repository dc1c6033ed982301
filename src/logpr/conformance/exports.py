"""The toys as scorers in this process: the closed form, for tests and for a first look."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from logpr._types import Bos, End
from logpr.conformance.toy.export import toy_of
from logpr.conformance.toy.oracle import Policy


def toy_scorer(
    model_folder: str | Path,
    *,
    end: End = "open",
    policy: Policy = "separate",
    bos: Bos = "auto",
) -> Callable[
    [str | Sequence[int], Sequence[str | Sequence[int]]], tuple[list[float], list[list[float]]]
]:
    """Return the correct scorer of a model of the suite: its closed form.

    Args:
        model_folder: as `check` hands it to a factory.
        end: whether END is scored.
        policy: where the prompt ends.
        bos: whether a start token is put first.

    Raises:
        MissingFileError: the folder holds no model of the suite.
    """
    toy = toy_of(model_folder)

    def score(
        prompt: str | Sequence[int], candidates: Sequence[str | Sequence[int]]
    ) -> tuple[list[float], list[list[float]]]:
        truths = []
        for candidate in candidates:
            if isinstance(prompt, str) and isinstance(candidate, str):
                context, tokens = toy.read(prompt, candidate, policy=policy, bos=bos)
            else:
                context, tokens = tuple(map(int, prompt)), tuple(map(int, candidate))
            if len(context) + len(tokens) > toy.context_length:
                msg = f"{len(context) + len(tokens)} tokens; the model has {toy.context_length}"
                raise ValueError(msg)
            if not context:
                msg = "nothing stands before the first token; give a prompt, or a start token"
                raise ValueError(msg)
            truths.append(toy.truth(context, tokens, end))
        return [each.logprob for each in truths], [list(each.token_logprobs) for each in truths]

    return score
