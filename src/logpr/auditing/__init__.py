"""Which computation made these numbers: the zoo of faults, and the search for the one that fits.

>>> from logpr.auditing import FAULTS
>>> FAULTS["shortlist_softmax"].stage, FAULTS["shortlist_softmax"].kind
('normalise', 'fault')
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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

_ROOMS = {
    "logpr.auditing._faulty": ("FaultyScorer", "faulty_scorer"),
    "logpr.auditing._record": ("read_recorded", "recover"),
    "logpr.auditing.claims.values": ("Claim", "ClaimRow", "CompactStep", "Declares", "Printed"),
    "logpr.auditing.faults": ("FAULTS", "STAGES", "Fault"),
}


def __getattr__(name: str) -> Any:  # noqa: ANN401 - whatever the name stands for
    """Return a name from its room: a reader of claims need not load the whole zoo."""
    for room, names in _ROOMS.items():
        if name in names:
            return getattr(importlib.import_module(room), name)
    msg = f"module 'logpr.auditing' has no attribute {name!r}"
    raise AttributeError(msg)


def __dir__() -> list[str]:
    """Return the names that can be had."""
    return list(__all__)
