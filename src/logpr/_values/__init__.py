"""The nouns: frozen, slotted, hashable values of plain data; no framework types, no behaviour."""

from __future__ import annotations

from logpr._values._base import Value, jsonable
from logpr._values.accuracy import Accuracy, AccuracyReport
from logpr._values.audit import (
    ArmReport,
    AuditAlternative,
    AuditReport,
    AuditRow,
    Correction,
    Damage,
    Drift,
    FaultFound,
    Finding,
    Flip,
    MixedGroup,
    NextInput,
    ShortlistStep,
    Untested,
)
from logpr._values.check import CheckError, CheckFailure, CheckReport, CheckResult
from logpr._values.decoding import (
    Certificate,
    Claim,
    Constraint,
    Decoded,
    Decoding,
    MassLedger,
    Moment,
    TreeNode,
    Verification,
)
from logpr._values.explanation import (
    Bar,
    Curve,
    Decision,
    Decisions,
    Explanation,
    Gap,
    Influence,
    Segment,
    Split,
)
from logpr._values.next_token import Draw, NextToken, Outcome
from logpr._values.provenance import ModelProvenance, Provenance
from logpr._values.query import Candidate, Message, Query
from logpr._values.ranking import Fork, Ranking
from logpr._values.score import Alternative, Score, TokenEvidence

__all__ = [
    "Accuracy",
    "AccuracyReport",
    "Alternative",
    "ArmReport",
    "AuditAlternative",
    "AuditReport",
    "AuditRow",
    "Bar",
    "Candidate",
    "Certificate",
    "CheckError",
    "CheckFailure",
    "CheckReport",
    "CheckResult",
    "Claim",
    "Constraint",
    "Correction",
    "Curve",
    "Damage",
    "Decision",
    "Decisions",
    "Decoded",
    "Decoding",
    "Draw",
    "Drift",
    "Explanation",
    "FaultFound",
    "Finding",
    "Flip",
    "Fork",
    "Gap",
    "Influence",
    "MassLedger",
    "Message",
    "MixedGroup",
    "ModelProvenance",
    "Moment",
    "NextInput",
    "NextToken",
    "Outcome",
    "Provenance",
    "Query",
    "Ranking",
    "Score",
    "Segment",
    "ShortlistStep",
    "Split",
    "TokenEvidence",
    "TreeNode",
    "Untested",
    "Value",
    "Verification",
    "jsonable",
]
