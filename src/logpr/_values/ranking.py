"""A prompt's candidates in order, and whether the numbers can tell the first two apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from logpr._types import End
from logpr._values._base import Value
from logpr._values.provenance import Provenance
from logpr._values.score import Score


@dataclass(frozen=True, slots=True, kw_only=True)
class Fork(Value):
    """Where the winner and the runner-up part.

    gap = log Pr(first) − log Pr(second) = gap_at_fork + gap_after, in nats; the tokens before
    `position` are shared and contribute exactly 0. At the fork both see the same context, so
    gap_at_fork is also the difference of two logits of one row.
    """

    position: int
    shared: str
    first: str
    second: str
    gap_at_fork: float
    gap_after: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking(Value):
    """Candidates in the caller's order, and `order`: their indexes, best first, by `rule`.

    `margin` is the first's lead over the second and `noise` the numerical uncertainty of that
    lead, both in the rule's unit; `tie` is margin <= noise, and then the input order stands.
    With one candidate `margin` is None. `winners` says who is first under each standing rule.

    With `top` = k, `order` holds the k best alone. Where candidates were dropped, `winners` knows
    the one rule, no `choice_prob` is known, and with k = 1 `margin` is None unless the runner-up
    happens to be whole. `tokens_fed` is how many tokens this query puts through the network by
    itself, `tokens_full` how many it would with no candidate dropped.
    """

    id: str | int | None = None
    rule: str
    end: End
    best: int
    order: tuple[int, ...]
    margin: float | None
    noise: float | None
    tie: bool
    label: int | None = None
    fork: Fork | None = None
    winners: tuple[tuple[str, int | None], ...] = ()
    warnings: tuple[str, ...] = ()
    prompt: str | None = None
    candidates: tuple[Score, ...]
    top: int | None = None
    tokens_fed: int | None = None
    tokens_full: int | None = None
    higher_wins: bool = True
    """The direction of `rule`."""
    provenance: Provenance | None = None

    _pairs: ClassVar[tuple[str, ...]] = ("winners",)
    _rich_view: ClassVar[str | None] = "logpr.report.terminal:ranking"
    _html_view: ClassVar[str | None] = "logpr.report.html:ranking"

    @property
    def winner(self) -> Score:
        """Return the candidate that is first under the rule."""
        return self.candidates[self.best]
