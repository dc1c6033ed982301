"""The suite's own models: tiny, exact, and exported so that any package can load them."""

from __future__ import annotations

from logpr.conformance.toy.oracle import Policy, Toy, Truth, toy
from logpr.conformance.toy.pieces import Pieces
from logpr.conformance.toy.variants import VARIANTS, Variant
from logpr.conformance.toy.weights import Architecture

__all__ = ["VARIANTS", "Architecture", "Pieces", "Policy", "Toy", "Truth", "Variant", "toy"]
