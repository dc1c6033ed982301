"""The sentences of a ranking: who beats whom, by how much, where they part, who wins elsewhere."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from logpr._topk import least_spared
from logpr._values import Ranking, Score
from logpr.report.numbers import count, fixed, plural, probability, signed, times
from logpr.report.texts import clipped, ids_text
from logpr.report.words.parts import Quoted, Sentence, rule_of, unit

_MOST_IDS = 80
"""Characters of a list of ids in a sentence."""
_STANDS = "a tie, and the input order stands."


def rule_value(score: Score, rule: str) -> float | None:
    """Return a candidate's number under `rule`, or None where it has none."""
    values: dict[str, float | None] = {
        "logprob": score.logprob,
        "per_token": score.per_token,
        "per_char": score.per_char,
        "per_byte": score.per_byte,
        "bits_per_byte": score.bits_per_byte,
        "choice_prob": score.choice_prob,
        **dict(score.rule_values),
    }
    return values.get(rule)


def listed(ranking: Ranking) -> list[Score]:
    """Return the candidates as a view lists them: those in order, then the others, best first.

    Under `top` those are the whole ones that are none of the k best, and the dropped ones, by what
    they are at most.
    """
    rest = set(range(len(ranking.candidates))) - set(ranking.order)
    places = [*ranking.order, *sorted(rest, key=lambda i: (-_most(ranking.candidates[i]), i))]
    return [ranking.candidates[place] for place in places]


def _most(score: Score) -> float:
    known = score.upper if score.pruned else score.logprob
    return -math.inf if known is None else known


def _bound(score: Score) -> float:
    """Return what a candidate's log Pr is at most; a bound is as far off as its noise says."""
    return _most(score) + score.noise if score.pruned else _most(score)


def bounded(score: Score, places: int = 4) -> str:
    """Return log Pr, or for a dropped candidate what it is at most."""
    return f"≤ {fixed(score.upper, places)}" if score.pruned else fixed(score.logprob, places)


def bounded_probability(score: Score) -> str:
    """Return Pr, or for a dropped candidate what it is at most."""
    if score.pruned:
        return f"≤ {probability(score.upper)}"
    return probability(score.logprob)


def dropped(ranking: Ranking) -> Sentence:
    """Return what `top` spared and what it left open, or () where no token goes through a model."""
    if ranking.top is None or not ranking.tokens_full:
        return ()
    number = sum(score.pruned for score in ranking.candidates)
    took = (
        f"{count(ranking.tokens_fed)} tokens went through the model, instead of "
        f"{count(ranking.tokens_full)}."
    )
    if not number:
        said = f"No candidate was dropped on the way: {_why_none(ranking)}."
        return (said if ranking.tokens_fed == ranking.tokens_full else f"{said} {took}",)
    were = "candidate was" if number == 1 else "candidates were"
    best = "be the best" if ranking.top == 1 else f"be among the {count(ranking.top)} best"
    said = (
        f"{count(number)} {were} dropped, whose first tokens prove that they cannot {best}: "
        f"{took} Shares, and who wins under other rules, are not known."
    )
    return (said,)


def _why_none(ranking: Ranking) -> str:
    if ranking.top is not None and ranking.top >= len(ranking.candidates):
        return "as many are wanted as there are"
    full = ranking.tokens_full or 0
    least = least_spared(full)
    proves = "their first tokens do not prove that any is beaten"
    if (ranking.tokens_fed or 0) > full:  # a round was made, and what it fed was fed again
        return proves
    if _beyond_the_first(ranking) < least:
        return f"fewer than {count(least)} tokens could be spared"
    return f"{proves}, or to ask for them first would have cost more"


def _beyond_the_first(ranking: Ranking) -> int:
    """Return how many tokens at most are fed for more than the first token of each candidate."""
    last = 1 if ranking.end == "stop" else 0  # END is asked for after the last token
    fed = {
        (score.prompt_ids, score.token_ids[:size])
        for score in ranking.candidates
        if score.token_ids is not None and score.boundary != "given"
        for size in range(1, len(score.token_ids) + last)
    }
    return len(fed)


def lower_wins(ranking: Ranking) -> bool:
    """Return whether the ranking's rule prefers small numbers.

    A caller's own rule is not known here by name; then the order of the values says it.
    """
    rule = rule_of(ranking.rule)
    if rule is not None:
        return not rule.higher_wins
    found = (rule_value(ranking.candidates[index], ranking.rule) for index in ranking.order)
    values = [value for value in found if value is not None]
    return len(values) > 1 and not ranking.tie and values[0] < values[-1]


def name(score: Score, rivals: Sequence[Score] = ()) -> Sentence:
    """Return what to call a candidate in a sentence; told apart by index from equal texts."""
    if score.text is None:
        words = f"candidate {score.index}"
        if score.token_ids is None:
            return (words,)
        return (f"{words} ({clipped(ids_text(score.token_ids), _MOST_IDS)})",)
    if any(rival.text == score.text and rival.index != score.index for rival in rivals):
        return (Quoted(score.text), f" (candidate {score.index})")
    return (Quoted(score.text),)


def headline(ranking: Ranking) -> str:
    """Return how many candidates there are and what ranks them."""
    many = plural(len(ranking.candidates), "candidate")
    if len(ranking.candidates) == 1:
        return many
    lower = " (lower wins)" if lower_wins(ranking) else ""
    called = "log Pr" if ranking.rule == "logprob" else ranking.rule
    if ranking.top is not None and ranking.top < len(ranking.candidates):
        best = "the best" if ranking.top == 1 else f"the {count(ranking.top)} best"
        return f"{many}, {best} by {called}"
    return f"{many}, ranked by {called}{lower}"


def verdict(ranking: Ranking) -> Sentence:
    """Return who beats whom, by how much, or why that cannot be said."""
    scores = listed(ranking)
    if len(scores) == 1:
        return ("One candidate: there is nothing to compare it with.",)
    first, second = name(scores[0], scores), name(scores[1], scores)
    margin = ranking.margin
    if margin is None:
        if rule_value(scores[0], ranking.rule) is None:
            return (f"No candidate has a {ranking.rule}: {_STANDS}",)
        if ranking.top is not None:
            return (*first, _least_lead(_most(scores[0]) - max(map(_bound, scores[1:]))))
        return (*first, " wins: ", *second, f" has no {ranking.rule}, and so ranks last.")
    pair = len(scores) == 2  # noqa: PLR2004
    if ranking.tie:
        # Of three or more that are tied, the margin need not be that of the two listed first.
        tied: Sentence = (*first, " and ", *second) if pair else ("The leaders",)
        return (*tied, _tie(ranking, margin))
    rival: Sentence = second if pair else ("the runner-up ", *second)
    return (*first, " beats ", *rival, _lead(ranking.rule, margin))


def _least_lead(nats: float) -> str:
    if math.isinf(nats):
        return " is the best: the others have probability 0."
    nats = math.floor(nats * 1000) / 1000  # rounded up it would not be the least
    if nats <= 0:
        return " is the best."
    return f" is the best, at least {fixed(nats, 3)} nats ({times(nats)}) ahead of the others."


def _tie(ranking: Ranking, margin: float) -> str:
    if margin == 0:
        return f" have the same {ranking.rule}: {_STANDS}"
    difference, noise = fixed(margin, 3), fixed(ranking.noise, 3)
    return (
        f" differ by {difference} {unit(ranking.rule)}, within the numerical noise of {noise}: "
        f"{_STANDS}"
    )


def _lead(rule: str, margin: float) -> str:
    if math.isinf(margin):
        return ", which has probability 0."
    if rule == "choice_prob":
        return f" by {fixed(margin * 100, 1)} percentage points."
    words = f" by {fixed(margin, 3)} {unit(rule)}"
    # Only the difference of two log-probabilities of the same kind is a ratio of probabilities.
    return f"{words} ({times(margin)})." if rule in ("logprob", "vocab_subset") else f"{words}."


def fork(ranking: Ranking) -> Sentence:
    """Return where the first two part and what that gives, or () where there is no fork.

    With top = 1 and several tied with the first, who of them is second is not told.
    """
    at = ranking.fork
    first, *others = listed(ranking)
    if at is None or (len(ranking.order) == 1 and ranking.tie and len(others) > 1):
        return ()
    of = "" if ranking.rule == "logprob" else " of their difference in log Pr"
    second = others[0]
    return (
        f"They part at token {at.position + 1}: ",
        _token(at.first, first, at.position),
        " against ",
        _token(at.second, second, at.position),
        f"; the fork gives {signed(at.gap_at_fork)}, the rest {signed(at.gap_after)}{of}.",
    )


def _token(text: str, score: Score, position: int) -> str | Quoted:
    # After its last token a candidate goes on with END, which is an outcome and no text.
    ended = score.token_ids is not None and position >= len(score.token_ids)
    return text if ended else Quoted(text)


def label(ranking: Ranking) -> Sentence:
    """Return where the labelled candidate came, or () where none is labelled."""
    if ranking.label is None or not 0 <= ranking.label < len(ranking.candidates):
        return ()
    labelled = name(ranking.candidates[ranking.label], ranking.candidates)
    if ranking.label not in ranking.order:
        best = "the best" if len(ranking.order) == 1 else f"among the best {len(ranking.order)}"
        return ("The label is ", *labelled, f": not {best}.")
    place = ranking.order.index(ranking.label) + 1
    return ("The label is ", *labelled, f": ranked {place} of {len(ranking.candidates)}.")


@dataclass(frozen=True, slots=True)
class Winner:
    """One candidate and the rules under which it is first; `flip`: it is not the ranking's own."""

    name: Sentence
    rules: tuple[str, ...]
    flip: bool


def winners(ranking: Ranking) -> tuple[Winner, ...]:
    """Return who is first under each rule, the ranking's own winner first."""
    if len(ranking.candidates) == 1 or any(score.pruned for score in ranking.candidates):
        return ()
    found = list(dict.fromkeys(index for _, index in ranking.winners))
    found.sort(key=lambda index: (index != ranking.best, index is None))
    return tuple(
        Winner(
            name=("nobody",) if who is None else name(ranking.candidates[who], ranking.candidates),
            rules=tuple(rule for rule, index in ranking.winners if index == who),
            flip=who is not None and who != ranking.best,
        )
        for who in found
    )


def warnings(ranking: Ranking) -> tuple[str, ...]:
    """Return every warning once: the ranking's, then those that only its candidates carry."""
    own = [(text, score) for score in ranking.candidates for text in score.warnings]
    return tuple(dict.fromkeys([*ranking.warnings, *(text for text, _ in own)]))
