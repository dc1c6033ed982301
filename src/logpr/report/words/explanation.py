"""The sentences and the bars of an explanation: who leads, where they part, what decides."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from logpr._pair import outcomes
from logpr._values import Bar, Explanation, Gap, Score
from logpr.report.numbers import figure, fixed, plural, signed, times
from logpr.report.words.parts import Quoted, Sentence
from logpr.report.words.ranking import name

MOST_BARS = 8
"""Bars of single tokens in a waterfall; the others are one."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A bar of the waterfall as it is drawn: `bars` of them in one."""

    label: Sentence
    contribution: float
    bars: int = 1


def pair(value: Explanation) -> tuple[Score, Score]:
    """Return the two candidates that are explained."""
    scores = value.ranking.candidates
    return scores[value.first], scores[value.second]


def names(value: Explanation) -> tuple[Sentence, Sentence]:
    """Return what to call the two, told apart from all others of the ranking."""
    rivals = value.ranking.candidates
    first, second = pair(value)
    return name(first, rivals), name(second, rivals)


def verdict(value: Explanation) -> Sentence:
    """Return who leads whom by how much, by log Pr, or that noise leaves it open."""
    first, second = names(value)
    if value.gap == 0:
        return (*first, " and ", *second, " have the same log Pr.")
    if math.isinf(value.gap):
        alive, dead = (first, second) if value.gap > 0 else (second, first)
        return (*alive, " beats ", *dead, ", which has probability 0.")
    if value.tie:
        words = (
            f" differ by {fixed(abs(value.gap), 3)} nats, within the numerical noise of "
            f"{fixed(value.noise, 3)}: neither leads."
        )
        return (*first, " and ", *second, words)
    ahead, behind = (first, second) if value.gap > 0 else (second, first)
    size = abs(value.gap)
    return (*ahead, " beats ", *behind, f" by {fixed(size, 3)} nats ({times(size)}).")


def parting(value: Explanation) -> Sentence:
    """Return where the two part, and what the fork and the tails give."""
    first, second = pair(value)
    gap = _gap(value)
    tails = gap.tail_first - gap.tail_second
    if value.fork is not None:
        at = value.fork
        return (
            f"They fork at token {at.position + 1}: ",
            _outcome(at.first, first, at.position),
            " against ",
            _outcome(at.second, second, at.position),
            f"; the fork gives {_given(at.gap_at_fork)}, the tails {_given(tails)}.",
        )
    one, two = outcomes(first), outcomes(second)
    known = first.token_logprobs is not None and second.token_logprobs is not None
    if first.prompt_ids != second.prompt_ids or one is None or two is None or not known:
        return _apart(first, second)
    if gap.shared < min(len(one), len(two)):
        return (
            "The numbers that they brought differ on tokens that both begin with: no step is",
            " common to them, and whole sequences are compared.",
        )
    if one == two:
        return ("Their tokens are the same: there is no step at which they part.",)
    longer = first if len(one) > len(two) else second
    return (
        "There is no fork: one begins with all of the other, and the gap is the tail of ",
        *name(longer, value.ranking.candidates),
        f", {signed(tails)}. Under end 'open' a prefix always leads.",
        " Finished outputs are compared with end='stop' (--end stop).",
    )


def _apart(first: Score, second: Score) -> Sentence:
    """Return why two have no step in common that could be known."""
    if (first.boundary == "given") != (second.boundary == "given"):
        return (
            "One of them brought its own numbers, and what they came after is not known: whole",
            " sequences are compared.",
        )
    if first.prompt_ids != second.prompt_ids:
        return (
            "They were scored after different tokens of the prompt (a merged boundary): there is",
            " no step at which they part, and whole sequences are compared.",
        )
    if first.boundary_policy == "marginal" or second.boundary_policy == "marginal":
        return ("Under boundary 'marginal' all spellings are summed: there is no step to part at.",)
    return ("No ids are known of both, so whole sequences are compared.",)


def raw(value: Explanation) -> Sentence:
    """Return what sums of raw logits would have said, or () where that is not known.

    A constant added to every logit of a step changes that sum and no probability.
    """
    if len(value.splits) != 2 or any(each.logit is None for each in value.splits):  # noqa: PLR2004 - a pair
        return ()
    first, second = names(value)
    one, two = (each.logit or 0.0 for each in value.splits)
    figures = f"{fixed(max(one, two), 2)} over {fixed(min(one, two), 2)}"
    picked = first if one > two else second
    if one == two:
        return ("By sums of raw logits the two are even: ", figures, ".")
    # Where neither leads there is no other one.
    other = not value.tie and (one > two) != (value.gap > 0)
    words = f", {figures}" + (": the other one." if other else ".")
    return ("Of the two, sums of raw logits would pick ", *picked, words)


def decided(value: Explanation) -> Sentence:
    """Return what the shift-invariant split says of the gap, or () where there is none."""
    if value.gap_split is None:
        return ()
    farther, unsure = value.gap_split
    if math.isnan(farther) or math.isnan(unsure):
        return ()  # both are impossible
    return (
        f"Of the gap, {signed(farther)} is how far their tokens are from the model's favourites",
        f" (logit_gap), {signed(unsure)} how unsure the model was along the way (top_surprisal).",
    )


def ruled(value: Explanation) -> Sentence:
    """Return what ranks, where it is not what is taken apart, else ()."""
    if value.ranking.rule == "logprob":
        return ()
    return (f"The ranking is by {value.ranking.rule}; what is explained is the gap in log Pr.",)


def largest(value: Explanation, most: int = MOST_BARS) -> tuple[Shown, ...]:
    """Return the waterfall: what is shared, the fork, the largest tokens, then the others.

    The contributions sum to the gap.
    """
    singles = [bar for bar in value.bars if bar.part in ("tail", "whole")]
    places = sorted(range(len(singles)), key=lambda place: -abs(singles[place].contribution))
    kept = set(places if len(places) <= most + 1 else places[:most])
    # In the order of the texts, so that a waterfall reads like them.
    drawn = [bar for bar in value.bars if bar.part in ("shared", "fork")]
    drawn += [bar for place, bar in enumerate(singles) if place in kept]
    rest = [bar for place, bar in enumerate(singles) if place not in kept]
    out = [Shown(_label(value, bar), bar.contribution) for bar in drawn]
    if rest:
        words = plural(len(rest), "other token")
        # Not fsum: it raises where one token of each is impossible, and then there is no sum.
        others = [bar.contribution for bar in rest]
        finite = all(map(math.isfinite, others))
        out.append(Shown((words,), math.fsum(others) if finite else sum(others), len(rest)))
    return tuple(out)


def _label(value: Explanation, bar: Bar) -> Sentence:
    if bar.part == "shared":
        return ("shared ", Quoted(bar.text or ""))
    first, second = pair(value)
    if bar.part == "fork" and value.fork is not None:
        at = value.fork
        return (
            "fork ",
            _outcome(at.first, first, at.position),
            " against ",
            _outcome(at.second, second, at.position),
        )
    owner = first if bar.index == first.index else second
    letter = "A" if owner is first else "B"
    if bar.position is None:
        return (f"{letter} as a whole",)
    return (f"{letter} {bar.position + 1} ", _outcome(bar.text or "", owner, bar.position))


def _outcome(text: str, score: Score, position: int) -> str | Quoted:
    # After its last token a candidate goes on with END, which is an outcome and no text.
    size = len(score.token_logprobs or ())
    return text if position >= size and score.end_logprob is not None else Quoted(text)


def _given(nats: float) -> str:
    # Where both are impossible the difference is of two infinities.
    return "nothing that can be told" if math.isnan(nats) else signed(nats)


def _gap(value: Explanation) -> Gap:
    return next(each for each in value.pairs if each.second == value.second)


def influence_words(value: Explanation) -> Sequence[Sentence]:
    """Return for each part of the prompt what leaving it out does to the gap."""
    first, second = names(value)
    out: list[Sentence] = []
    for number, part in enumerate(value.influence, 1):
        if part.gap is None:
            out.append((f"{part.kind} {number}: ", part.note or "not scored"))
        elif part.gap == 0:
            out.append((f"{part.kind} {number} moves neither more than the other.",))
        else:
            towards = first if part.gap > 0 else second
            words = f"{part.kind} {number} speaks for "
            out.append((words, *towards, f" by {fixed(abs(part.gap), 3)} nats."))
    return out


def strongest(value: Explanation) -> Sentence:
    """Return which part of the prompt moves the gap most, or () where none was left out."""
    known = [abs(part.gap) if part.gap is not None else -1.0 for part in value.influence]
    if max(known, default=-1.0) < 0:
        return ()
    return influence_words(value)[known.index(max(known))]


def noise_words(value: Explanation) -> str:
    """Return how far numerical noise may move the gap."""
    return f"Numerical noise of the gap: {figure(value.noise, 2)} nats."


def warnings(value: Explanation) -> tuple[str, ...]:
    """Return every warning of the explanation and of its ranking once."""
    return tuple(dict.fromkeys([*value.warnings, *value.ranking.warnings]))
