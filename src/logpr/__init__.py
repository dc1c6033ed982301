"""logpr computes log Pr(y | x), ranks by it, and shows its evidence.

>>> import logpr
>>> lm = logpr.load("builtin")
>>> logpr.rank("The cat sat on the", [" mat.", " of."], model=lm).best
0
"""

from __future__ import annotations

from logpr import auditing, errors
from logpr._accuracy import AccuracyTally
from logpr._audit import audit
from logpr._next import next_token as next  # noqa: A004 - the verb's name
from logpr._rank import rank, rank_many
from logpr._rules import Rule, Totals, length_penalty, pmi, vocab_subset
from logpr._score import Settings, score, score_many, score_turns
from logpr._values import (
    Accuracy,
    AccuracyReport,
    Alternative,
    AuditReport,
    Candidate,
    Draw,
    Fork,
    Message,
    ModelProvenance,
    NextToken,
    Outcome,
    Provenance,
    Query,
    Ranking,
    Score,
    TokenEvidence,
)
from logpr._version import __version__
from logpr.auditing._record import record
from logpr.models._load import load

__all__ = [
    "Accuracy",
    "AccuracyReport",
    "AccuracyTally",
    "Alternative",
    "AuditReport",
    "Candidate",
    "Draw",
    "Fork",
    "Message",
    "ModelProvenance",
    "NextToken",
    "Outcome",
    "Provenance",
    "Query",
    "Ranking",
    "Rule",
    "Score",
    "Settings",
    "TokenEvidence",
    "Totals",
    "__version__",
    "audit",
    "auditing",
    "errors",
    "length_penalty",
    "load",
    "next",
    "pmi",
    "rank",
    "rank_many",
    "record",
    "score",
    "score_many",
    "score_turns",
    "vocab_subset",
]
