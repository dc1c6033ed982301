"""Where two candidates part: the first step at which they go on otherwise after the same tokens."""

from __future__ import annotations

import math

from logpr._values import Fork, Score

END = -1
"""Stands for END among token ids."""


def fork_of(first: Score, second: Score) -> Fork | None:
    """Return where two candidates part, or None where they do not share one context.

    Under `open` a candidate and its extension have no fork either, nor have candidates whose own
    numbers differ on the tokens that both begin with.
    """
    if (
        first.prompt_ids != second.prompt_ids
        or first.token_logprobs is None
        or second.token_logprobs is None
    ):
        return None
    left, right = outcomes(first), outcomes(second)
    if left is None or right is None:
        return None
    position = shared_tokens(first, second)
    if position == min(len(left), len(right)) or left[position] == right[position]:
        return None
    a, b = step_logprobs(first), step_logprobs(second)
    return Fork(
        position=position,
        shared="".join(step_text(first, i) for i in range(position)),
        first=step_text(first, position),
        second=step_text(second, position),
        gap_at_fork=a[position] - b[position],
        gap_after=math.fsum(a[position + 1 :]) - math.fsum(b[position + 1 :]),
    )


def shared_tokens(first: Score, second: Score) -> int:
    """Return how many outcomes both begin with after the same prompt, END counted.

    None where candidates brought numbers of their own that differ on them: what is shared gives 0
    to a gap, and those numbers would not.
    """
    left, right = outcomes(first), outcomes(second)
    if left is None or right is None or first.prompt_ids != second.prompt_ids:
        return 0
    pairs = enumerate(zip(left, right, strict=False))
    shared = next((i for i, (a, b) in pairs if a != b), min(len(left), len(right)))
    if "given" in (first.boundary, second.boundary):
        one, two = step_logprobs(first)[:shared], step_logprobs(second)[:shared]
        return shared if one == two else 0
    return shared


def outcomes(score: Score) -> tuple[int, ...] | None:
    """Return the token ids of a candidate, and END where it is scored."""
    if score.token_ids is None:
        return None
    return (*score.token_ids, END) if score.end_logprob is not None else score.token_ids


def step_logprobs(score: Score) -> tuple[float, ...]:
    """Return the log-probability of each outcome, END last where it is scored."""
    found = score.token_logprobs or ()
    return found if score.end_logprob is None else (*found, score.end_logprob)


def step_text(score: Score, position: int) -> str:
    """Return what people read of an outcome: the token's text, its id where it has none, END."""
    size = len(score.token_logprobs or score.token_ids or ())
    if position >= size:
        return "END"
    if score.token_texts is not None:
        return score.token_texts[position]
    return f"#{score.token_ids[position]}" if score.token_ids is not None else f"[{position + 1}]"
