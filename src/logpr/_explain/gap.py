"""The exact decomposition of a gap: what is shared, the fork, the tails."""

from __future__ import annotations

import math
from collections.abc import Iterator

from logpr._pair import fork_of, shared_tokens, step_logprobs, step_text
from logpr._values import Bar, Gap, Score


def gap_of(first: Score, second: Score) -> Gap:
    """Return log Pr(first) − log Pr(second) and its parts; both have been scored.

    Two candidates of probability 0 are equal, and their gap is 0.
    """
    assert first.logprob is not None, "who was dropped has no gap"
    assert second.logprob is not None, "who was dropped has no gap"
    left, right = step_logprobs(first), step_logprobs(second)
    shared = shared_tokens(first, second)
    fork = fork_of(first, second)
    begin = shared if fork is None else fork.position + 1
    whole = not left or not right
    gap = 0.0 if first.logprob == second.logprob else first.logprob - second.logprob
    noise = first.noise + second.noise
    return Gap(
        first=first.index,
        second=second.index,
        gap=gap,
        noise=noise,
        tie=abs(gap) <= noise,
        fork=fork,
        shared=shared,
        tail_first=first.logprob if whole else math.fsum(left[begin:]),
        tail_second=second.logprob if whole else math.fsum(right[begin:]),
    )


def bars_of(first: Score, second: Score) -> tuple[Bar, ...]:
    """Return the contributions to the gap, in the order of the texts; they sum to it.

    What both begin with is one bar of exactly 0, the fork one of both; after it, and where there is
    none, each token is a bar of its own: of the first with its sign, of the second with the other.
    """
    return tuple(_bars(first, second))


def _bars(first: Score, second: Score) -> Iterator[Bar]:
    fork = fork_of(first, second)
    shared = shared_tokens(first, second)
    if shared:
        text = "".join(step_text(first, place) for place in range(shared))
        yield Bar(part="shared", index=None, position=0, text=text, contribution=0.0)
    if fork is not None:
        yield Bar(
            part="fork",
            index=None,
            position=fork.position,
            text=f"{fork.first} | {fork.second}",
            contribution=fork.gap_at_fork,
        )
    begin = shared if fork is None else fork.position + 1
    for score, sign in ((first, 1.0), (second, -1.0)):
        steps = step_logprobs(score)
        if not steps and score.logprob:
            # Under boundary "marginal" there are no tokens, only the whole.
            yield Bar(
                part="whole",
                index=score.index,
                position=None,
                text=score.text,
                contribution=sign * score.logprob,
            )
        for place, logprob in enumerate(steps):
            if place >= begin:
                yield Bar(
                    part="tail" if shared or fork is not None else "whole",
                    index=score.index,
                    position=place,
                    text=step_text(score, place),
                    contribution=sign * logprob,
                )
