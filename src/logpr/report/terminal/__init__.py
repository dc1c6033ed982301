"""Views of values in the terminal. Each returns something that Rich can print.

They take the console's width, drop columns before they cut numbers, and need neither colour nor
more than ASCII where the output has none.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from logpr._values import (
    AccuracyReport,
    AuditReport,
    Certificate,
    CheckReport,
    Decisions,
    Decoding,
    Explanation,
    Moment,
    NextToken,
    Provenance,
    Ranking,
    Score,
    Verification,
)
from logpr.report.demo import Story
from logpr.report.terminal import (
    _accuracy,
    _audit,
    _check,
    _decisions,
    _decoding,
    _demo,
    _explanation,
    _next,
    _provenance,
    _ranking,
    _score,
    _summary,
)
from logpr.report.terminal._pen import View
from logpr.report.terminal._summary import RankingsTally

__all__ = [
    "RankingsTally",
    "accuracy",
    "audit",
    "certificate",
    "check",
    "decisions",
    "decoding",
    "decoding_live",
    "explanation",
    "next_token",
    "provenance",
    "ranking",
    "rankings_summary",
    "score",
    "stories",
    "story",
    "verification",
]


def accuracy(value: AccuracyReport) -> View:
    """Return the accuracies under every rule, and for each group."""
    return View(partial(_accuracy.draw, value))


def audit(value: AuditReport) -> View:
    """Return the verdict on claimed numbers, what they did to the decisions, and the evidence."""
    return View(partial(_audit.draw, value))


def certificate(value: Certificate) -> View:
    """Return what a certificate claims, of which outputs, and where the probability went."""
    return View(partial(_decoding.draw_certificate, value))


def check(value: CheckReport) -> View:
    """Return which laws a scorer breaks, each with its smallest case, and what was not judged."""
    return View(partial(_check.draw, value))


def decisions(value: Decisions) -> View:
    """Return the decisions of a file: the most surprising ones, and where rules disagree."""
    return View(partial(_decisions.draw, value))


def decoding(value: Decoding) -> View:
    """Return whether greedy is optimal, the outputs that were found, and what is proven of them."""
    return View(partial(_decoding.draw, value))


def decoding_live(moment: Moment) -> View:
    """Return the one line that says how far a search is."""
    return View(partial(_decoding.draw_live, moment))


def explanation(value: Explanation) -> View:
    """Return why one candidate leads another: who, by how much, where they part, what decided."""
    return View(partial(_explanation.draw, value))


def next_token(value: NextToken) -> View:
    """Return the outcomes of one step, with bars."""
    return View(partial(_next.draw, value))


def provenance(value: Provenance) -> View:
    """Return what numbers rest on, a fact a line."""
    return View(partial(_provenance.draw, value))


def ranking(value: Ranking) -> View:
    """Return the table of candidates and the short explanation of their order."""
    return View(partial(_ranking.draw, value))


def rankings_summary(
    tally: RankingsTally,
    *,
    accuracy: AccuracyReport | None = None,
    provenance: Provenance | None = None,
) -> View:
    """Return a few rankings on a line each, and the counts of all that the tally has seen."""
    return View(partial(_summary.draw, tally, accuracy, provenance))


def score(value: Score) -> View:
    """Return a continuation's total, its ratios and its tokens."""
    return View(partial(_score.draw, value))


def stories(value: Sequence[tuple[str, str]]) -> View:
    """Return the names of worked examples, each with what it is about."""
    return View(partial(_demo.draw_list, value))


def story(value: Story) -> View:
    """Return a worked example, a step at a time."""
    return View(partial(_demo.draw, value))


def verification(value: Verification) -> View:
    """Return whether a certificate holds, claim by claim, and the output that refutes it."""
    return View(partial(_decoding.draw_verification, value))
