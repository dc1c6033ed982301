"""Which computation made these numbers: the zoo of faults, and the search for the one that fits.

>>> from logpr.auditing import FAULTS
>>> FAULTS["shortlist_softmax"].stage, FAULTS["shortlist_softmax"].kind
('normalise', 'fault')
"""

from __future__ import annotations

from logpr.auditing._faulty import FaultyScorer, faulty_scorer
from logpr.auditing._record import read_recorded, recover
from logpr.auditing.claims.values import Claim, ClaimRow, CompactStep, Declares, Printed
from logpr.auditing.faults import FAULTS, STAGES, Fault

__all__ = [
    "FAULTS",
    "STAGES",
    "Claim",
    "ClaimRow",
    "CompactStep",
    "Declares",
    "Fault",
    "FaultyScorer",
    "Printed",
    "faulty_scorer",
    "read_recorded",
    "recover",
]
