"""logpr computes log Pr(y | x), ranks by it, and shows its evidence.

>>> import logpr
>>> lm = logpr.load("builtin")
>>> logpr.rank("The cat sat on the", [" mat.", " of."], model=lm).best
0
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from logpr import errors
from logpr._accuracy import AccuracyTally
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
    Certificate,
    CheckReport,
    Decoded,
    Decoding,
    Draw,
    Explanation,
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
    Verification,
)
from logpr._version import __version__
from logpr.models._load import load

if TYPE_CHECKING:
    from logpr import auditing, conformance, decoding
    from logpr._audit import audit
    from logpr._decode import decode
    from logpr._explain import explain
    from logpr.auditing._record import record
    from logpr.conformance.checking import check
    from logpr.conformance.parametrize import parametrize_with_checks

__all__ = [
    "Accuracy",
    "AccuracyReport",
    "AccuracyTally",
    "Alternative",
    "AuditReport",
    "Candidate",
    "Certificate",
    "CheckReport",
    "Decoded",
    "Decoding",
    "Draw",
    "Explanation",
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
    "Verification",
    "__version__",
    "audit",
    "auditing",
    "check",
    "conformance",
    "decode",
    "decoding",
    "errors",
    "explain",
    "length_penalty",
    "load",
    "next",
    "parametrize_with_checks",
    "pmi",
    "rank",
    "rank_many",
    "record",
    "score",
    "score_many",
    "score_turns",
    "vocab_subset",
]

_LATER = {
    "audit": "logpr._audit:audit",
    "auditing": "logpr.auditing:",
    "check": "logpr.conformance.checking:check",
    "conformance": "logpr.conformance:",
    "decode": "logpr._decode:decode",
    "decoding": "logpr.decoding:",
    "explain": "logpr._explain:explain",
    "parametrize_with_checks": "logpr.conformance.parametrize:parametrize_with_checks",
    "record": "logpr.auditing._record:record",
}
"""A third of the package that most programs never touch: it is imported when it is asked for."""


def __getattr__(name: str) -> Any:  # noqa: ANN401 - whatever the name stands for
    """Return what is imported late."""
    if name not in _LATER:
        msg = f"module 'logpr' has no attribute {name!r}"
        raise AttributeError(msg)
    module, _, attribute = _LATER[name].partition(":")
    found = importlib.import_module(module)
    return getattr(found, attribute) if attribute else found


def __dir__() -> list[str]:
    """Return the names that can be had, those that are imported late among them."""
    return list(__all__)
