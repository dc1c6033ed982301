"""What is drawn of a candidate: its splits, its curve, and its tokens beside another's by bytes."""

from __future__ import annotations

import itertools
import math

from logpr._pair import step_logprobs
from logpr._values import Curve, Score, Segment, Split


def split(score: Score) -> Split | None:
    """Return −log Pr of each token as logit_gap + top_surprisal; None without evidence."""
    steps = step_logprobs(score)
    # Of no tokens there is no column, and nothing to be told.
    tops = () if score.token_logprobs == () else score.top_logprob
    if tops is None or (score.end_logprob is not None and score.end_evidence is None):
        return None
    best = list(tops)
    logit, logz = list(score.logit or ()), list(score.logz or ())
    if score.end_evidence is not None:
        best.append(score.end_evidence.top_logprob)
        logit.append(score.end_evidence.logit)
        logz.append(score.end_evidence.logz)
    if len(best) != len(steps):
        return None
    # u_max − u_y is log p_max − log p_y: of one row the normaliser falls out. Taken so, the two
    # parts sum to −log p to the last bit, and models that show no logits have them too.
    gaps = tuple(
        top - own if own > -math.inf else math.inf for top, own in zip(best, steps, strict=True)
    )
    unsure = tuple(0.0 - top for top in best)
    emitted = all(each is not None for each in (*logit, *logz)) and len(logit) == len(steps)
    return Split(
        index=score.index,
        logit_gap=gaps,
        top_surprisal=unsure,
        logit_gap_sum=math.fsum(gaps),
        top_surprisal_sum=math.fsum(unsure),
        logit=math.fsum(each for each in logit if each is not None) if emitted else None,
        logz=math.fsum(each for each in logz if each is not None) if emitted else None,
    )


def curve(score: Score) -> Curve | None:
    """Return log Pr(y_1 … y_i | x) against its bytes; None where no bytes are known."""
    steps = step_logprobs(score)
    if score.token_spans is None or not steps:
        return None
    ends = [end for _, end in score.token_spans]
    if score.end_logprob is not None:
        ends.append(ends[-1] if ends else 0)
    return Curve(
        index=score.index,
        bytes=(0, *ends),
        logprob=(0.0, *itertools.accumulate(steps)),
    )


def segments(first: Score, second: Score) -> tuple[Segment, ...]:
    """Return both candidates' tokens cut where tokens of both begin; () where no bytes are known.

    Tokens without bytes of their own (of a character that is not whole yet) go with those before.
    """
    if first.token_spans is None or second.token_spans is None:
        return ()
    left = [end for _, end in first.token_spans]
    right = [end for _, end in second.token_spans]
    cuts = sorted(set(left) & set(right))
    most = max([*left, *right], default=0)
    if not cuts or cuts[-1] < most:
        cuts.append(most)
    out: list[Segment] = []
    start, one, two = 0, 0, 0
    for cut in cuts:
        upto_one = one + sum(end <= cut for end in left[one:])
        upto_two = two + sum(end <= cut for end in right[two:])
        out.append(Segment(start=start, end=cut, first=(one, upto_one), second=(two, upto_two)))
        start, one, two = cut, upto_one, upto_two
    return tuple(out)
