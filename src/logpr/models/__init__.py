"""Backends behind one seam; none knows another, each imports its framework alone."""

from __future__ import annotations

from logpr.models._load import load
from logpr.models.base import (
    NO_EVIDENCE,
    EdgeColumns,
    EdgeScores,
    EncoderDecoder,
    Evidence,
    Model,
    NextRows,
    Predictive,
    Unconditional,
)

__all__ = [
    "NO_EVIDENCE",
    "EdgeColumns",
    "EdgeScores",
    "EncoderDecoder",
    "Evidence",
    "Model",
    "NextRows",
    "Predictive",
    "Unconditional",
    "load",
]
