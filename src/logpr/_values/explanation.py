"""Why one candidate leads another: a gap in parts that sum to it, and what else bears on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, TypeAlias

from logpr._values._base import Value
from logpr._values.provenance import Provenance
from logpr._values.ranking import Fork, Ranking

PartKind: TypeAlias = Literal["shared", "fork", "tail", "whole"]
ContextKind: TypeAlias = Literal["sentence", "turn", "span"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar(Value):
    """One contribution to a gap, in nats; above 0 it speaks for the first candidate.

    `part` is what it is of: the tokens that both begin with ("shared", exactly 0), the step at
    which they part ("fork"), one token after it ("tail"), or one token of candidates that have no
    step in common ("whole"). `index` is the candidate whose token it is, None where it is both's;
    `position` the token's number in it, END one after the last, None for a whole sequence.
    """

    part: PartKind
    index: int | None
    position: int | None
    text: str | None
    contribution: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap(Value):
    """log Pr(first) − log Pr(second) in nats, and where it comes from.

    gap = 0 (shared) + gap_at_fork + tail_first − tail_second, where a tail is the log-probability
    of what follows the fork. Without a fork (other tokens of the prompt were fed, or under `open`
    one is a prefix of the other) the tails are all that is not shared.
    """

    first: int
    second: int
    gap: float
    noise: float
    tie: bool
    fork: Fork | None
    shared: int
    """Tokens that both begin with, after the same prompt."""
    tail_first: float
    tail_second: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Split(Value):
    """−log Pr of each token of a candidate in two parts that no constant added to logits moves.

    −log p = logit_gap + top_surprisal: logit_gap = u_max − u_y >= 0, how far the token is from the
    favourite, and top_surprisal = logZ − u_max = −log p_max in [0, log V], how unsure the model
    was. Columns over the tokens, END last where it is scored. `logit` and `logz` are the sums of
    both as the model emitted them, None where it shows none.
    """

    index: int
    logit_gap: tuple[float, ...]
    top_surprisal: tuple[float, ...]
    logit_gap_sum: float
    top_surprisal_sum: float
    logit: float | None
    logz: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve(Value):
    """Cumulative log-probability of a candidate after so many bytes of it; it begins at (0, 0).

    Under `stop` the last two points have the same bytes: END takes none.
    """

    index: int
    bytes: tuple[int, ...]
    logprob: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment(Value):
    """Bytes `start` to `end` of both candidates, and which tokens of each they are.

    Segments begin where tokens of both begin: after the fork tokens are laid side by side by their
    bytes, never by their number. Where only one goes on, the other's range is empty.
    """

    start: int
    end: int
    first: tuple[int, int]
    second: tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Influence(Value):
    """What a part of the prompt does: log Pr with it less log Pr without it.

    `start` and `end` are characters of the prompt, for a turn its number among the messages and
    the next. `moved` has a number for each candidate, in nats: above 0 the part speaks for it.
    `gap` is how far it moves the gap between the two that are explained. `note` says why it could
    not be left out, and then there are no numbers.
    """

    kind: ContextKind
    start: int
    end: int
    text: str
    moved: tuple[float, ...] = ()
    gap: float | None = None
    note: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation(Value):
    """Why `first` leads `second` by log Pr(y | x), in nats.

    `gap` = Σ of the contributions of `bars`. `pairs` holds the first against every other candidate
    that was scored. `splits` and `curves` are of the two, first and second; `splits` is empty
    where no evidence was at hand. `influence` is empty unless it was asked for.
    """

    ranking: Ranking
    first: int
    second: int
    gap: float
    noise: float
    tie: bool
    fork: Fork | None
    bars: tuple[Bar, ...]
    pairs: tuple[Gap, ...]
    splits: tuple[Split, ...] = ()
    segments: tuple[Segment, ...] = ()
    curves: tuple[Curve, ...] = ()
    influence: tuple[Influence, ...] = ()
    warnings: tuple[str, ...] = ()
    provenance: Provenance | None = None

    _rich_view: ClassVar[str | None] = "logpr.report.terminal:explanation"
    _html_view: ClassVar[str | None] = "logpr.report.html:explanation"

    @property
    def gap_split(self) -> tuple[float, float] | None:
        """Return what logit_gap and top_surprisal give to the gap, which they sum to.

        Above 0 they speak for the first; None without `splits`.
        """
        if len(self.splits) != 2:  # noqa: PLR2004 - a pair
            return None
        one, two = self.splits
        return (
            two.logit_gap_sum - one.logit_gap_sum,
            two.top_surprisal_sum - one.top_surprisal_sum,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision(Value):
    """One ranking of a file, in a line.

    `surprise` = −log of the share (`choice_prob`) of the labelled candidate, of the winner where
    none is labelled: 0 where all the mass among the candidates is on it. `flips` are the rules
    under which another candidate is first. `tokens` are those of the winner and the runner-up.
    """

    id: str | int | None
    number: int
    """Of the record in its file, from 0."""
    prompt: str | None
    best: str | None
    second: str | None
    margin: float | None
    noise: float | None
    tie: bool
    surprise: float | None
    flips: tuple[str, ...]
    right: bool | None
    """Whether the labelled candidate is first; None without a label."""
    tokens: tuple[int | None, int | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Decisions(Value):
    """A file of rankings: the most surprising first, how often rules disagree, and length drift.

    `decisions` are the first of them, `total` is how many there are. `flips` counts for each rule
    the rankings with another winner. `drift` is for each rule the mean number of tokens of its
    winners. `mean_tokens` is that of all candidates.
    """

    rule: str
    total: int
    ties: int
    right: int | None
    labelled: int
    decisions: tuple[Decision, ...]
    flips: tuple[tuple[str, int], ...]
    drift: tuple[tuple[str, float], ...]
    mean_tokens: float | None
    provenance: Provenance | None = None

    _pairs: ClassVar[tuple[str, ...]] = ("flips", "drift")
    _rich_view: ClassVar[str | None] = "logpr.report.terminal:decisions"
    _html_view: ClassVar[str | None] = "logpr.report.html:decisions"
