"""The facts of a score: each figure with its name and what it is."""

from __future__ import annotations

from dataclasses import dataclass

from logpr._values import Score
from logpr.report.numbers import fixed, plural, probability
from logpr.report.words.parts import unit


@dataclass(frozen=True, slots=True)
class Fact:
    """A figure of a score; `value` is the number itself."""

    name: str
    value: float | None
    figure: str
    words: str


def facts(score: Score) -> tuple[Fact, ...]:
    """Return the figures that a score has."""
    ends = " and END" if score.end == "stop" else ""
    tokens = plural(score.tokens or 0, "token")
    given: list[tuple[str, float | None, str]] = [
        ("log Pr", score.logprob, f"nats; Pr {probability(score.logprob)}"),
        ("at least", score.lower, "nats; " + ("exact" if score.exact else "a lower bound")),
        ("at most", score.upper, "nats; " + ("exact" if score.exact else _upper(score))),
        ("per token", score.per_token, f"nats; {tokens}{ends}"),
        ("per char", score.per_char, f"nats; {plural(score.chars or 0, 'character')}"),
        ("per byte", score.per_byte, f"nats; {plural(score.bytes or 0, 'byte')}"),
        ("bits per byte", score.bits_per_byte, "bits; lower is likelier"),
        ("share", score.choice_prob, "Pr(this one | one of them)"),
        *((name, value, unit(name)) for name, value in score.rule_values),
        ("log Pr(END)", score.end_logprob, "nats; part of log Pr, no token"),
        ("log Pr(x)", score.prompt_logprob, "nats; the prompt alone"),
        ("log Pr(x, y)", score.joint_logprob, "nats; prompt and continuation"),
        ("joint boundary", score.joint_boundary_logprob, "nats; log Pr under boundary=joint"),
        ("noise", score.noise or None, "nats; numerical uncertainty of log Pr"),
    ]
    return tuple(
        Fact(name, value, fixed(value), words) for name, value, words in given if value is not None
    )


def _upper(score: Score) -> str:
    return "what its first tokens sum to" if score.pruned else "an upper bound"


def covered(score: Score) -> str:
    """Return what the first scored token takes from the prompt, or ""."""
    if not score.prompt_covered:
        return ""
    return (
        f"The first token scored also covers the last {plural(score.prompt_covered, 'byte')} of "
        f"the prompt (boundary={score.boundary_policy})."
    )


def token_names(score: Score) -> tuple[str, ...]:
    """Return what to call the tokens of a score that has no texts for them."""
    if score.token_ids is not None:
        return tuple(f"#{token}" for token in score.token_ids)
    return tuple(f"token {place}" for place, _ in enumerate(score.token_logprobs or (), start=1))
