"""A whole file of rankings in one page: the most surprising decisions, rule flips, length drift."""

from __future__ import annotations

import heapq
import math
from collections import defaultdict
from collections.abc import Iterable

from logpr._values import Decision, Decisions, Provenance, Ranking
from logpr.errors import QueryError

_MOST = 200
"""Decisions that are kept of a file, however many it has."""
_MOST_TEXT = 2_000
"""Characters of a prompt and of a candidate that a line keeps."""


def decisions_of(rankings: Iterable[Ranking], *, most: int = _MOST) -> Decisions:
    """Return what a file of rankings shows; read once, in memory that its size does not matter to.

    First come decisions with another label than winner or with other winners under other rules,
    then the others; within each the most surprising first.

    Args:
        rankings: in file order, all by one rule.
        most: decisions to keep.

    Raises:
        QueryError: there are none, or they are by several rules.
    """
    tally = _Tally(most)
    for number, ranking in enumerate(rankings):
        tally.add(number, ranking)
    return tally.made()


class _Tally:
    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: list[tuple[tuple[bool, float, int], Decision]] = []
        self._rule: str | None = None
        self._provenance: Provenance | None = None
        self._total = self._ties = self._right = self._labelled = 0
        self._flips: dict[str, int] = {}
        self._tokens: dict[str, list[int]] = defaultdict(lambda: [0, 0])
        self._all = [0, 0]

    def add(self, number: int, ranking: Ranking) -> None:
        """Count one ranking, and keep it where it is among the first."""
        if self._rule is None:
            self._rule, self._provenance = ranking.rule, ranking.provenance
        if ranking.rule != self._rule:
            msg = (
                f"ranking {number} is by {ranking.rule!r} and those before it by {self._rule!r}; "
                f"one page shows rankings by one rule"
            )
            raise QueryError(msg)
        found = _decision(number, ranking)
        self._total += 1
        self._ties += found.tie
        if found.right is not None:
            self._labelled += 1
            self._right += found.right
        for rule, index in ranking.winners:
            self._flips.setdefault(rule, 0)
            self._flips[rule] += rule in found.flips
            size = None if index is None else ranking.candidates[index].tokens
            if size is not None:
                self._tokens[rule][0] += size
                self._tokens[rule][1] += 1
        for score in ranking.candidates:
            if score.tokens is not None:
                self._all[0] += score.tokens
                self._all[1] += 1
        disputed = bool(found.flips) or found.right is False
        surprise = -1.0 if found.surprise is None else found.surprise
        item = ((disputed, surprise, -number), found)
        if len(self._kept) < self._most:
            heapq.heappush(self._kept, item)
        else:
            heapq.heappushpop(self._kept, item)

    def made(self) -> Decisions:
        """Return what was counted."""
        if self._rule is None:
            msg = "there is no ranking to explain: the file has no record"
            raise QueryError(msg)
        ordered = sorted(self._kept, key=lambda item: item[0], reverse=True)
        return Decisions(
            rule=self._rule,
            total=self._total,
            ties=self._ties,
            right=self._right if self._labelled else None,
            labelled=self._labelled,
            decisions=tuple(found for _, found in ordered),
            flips=tuple(self._flips.items()),
            drift=tuple(
                (rule, total / count) for rule, (total, count) in self._tokens.items() if count
            ),
            mean_tokens=self._all[0] / self._all[1] if self._all[1] else None,
            provenance=self._provenance,
        )


def _decision(number: int, ranking: Ranking) -> Decision:
    scores = ranking.candidates
    best = scores[ranking.best]
    second = scores[ranking.order[1]] if len(ranking.order) > 1 else None
    label = ranking.label if ranking.label is not None and ranking.label < len(scores) else None
    share = (best if label is None else scores[label]).choice_prob
    return Decision(
        id=ranking.id,
        number=number,
        prompt=_clipped(ranking.prompt, end=True),
        best=_clipped(best.text),
        second=None if second is None else _clipped(second.text),
        margin=ranking.margin,
        noise=ranking.noise,
        tie=ranking.tie,
        surprise=None if share is None else math.inf if share == 0 else 0.0 - math.log(share),
        flips=tuple(rule for rule, who in ranking.winners if who not in (None, ranking.best)),
        right=None if label is None else label == ranking.best,
        tokens=(best.tokens, None if second is None else second.tokens),
    )


def _clipped(text: str | None, *, end: bool = False) -> str | None:
    if text is None or len(text) <= _MOST_TEXT:
        return text
    return text[-_MOST_TEXT:] if end else text[:_MOST_TEXT]
