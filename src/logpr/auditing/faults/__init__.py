"""The zoo: every known way in which scorers go wrong, or answer another question, as formulas."""

from __future__ import annotations

from logpr.auditing.faults import align, context, encode, mask, scores, totals
from logpr.auditing.faults._entry import Axis, Change, Fault, ParameterSpec

__all__ = ["FAULTS", "STAGES", "Axis", "Change", "Fault", "ParameterSpec"]

STAGES = ("encode", "context", "align", "normalise", "mask", "aggregate", "unit")

FAULTS: dict[str, Fault] = {
    entry.id: entry
    for entry in (
        *encode.ENTRIES,
        *context.ENTRIES,
        *align.ENTRIES,
        *scores.ENTRIES,
        *mask.ENTRIES,
        *totals.AGGREGATES,
        *totals.UNITS,
    )
}
"""Entries by id, in the order of their stages."""
