"""The laws: each a statement, the cases it is tried on, and a function `check_<id>`."""

from __future__ import annotations

from logpr.conformance.laws._law import Drawing, Law
from logpr.conformance.laws.company import COMPANY
from logpr.conformance.laws.formula import FORMULA
from logpr.conformance.laws.mass import MASS
from logpr.conformance.laws.prompts import PROMPTS
from logpr.conformance.laws.sums import SUMS
from logpr.conformance.laws.texts import TEXTS

__all__ = ["LAWS", "Drawing", "Law"]

_ORDER = (
    *("oracle", "shift_invariance", "dummy_vocabulary", "candidate_independence"),
    *("next_token_mass", "fixed_length_mass", "stop_mass", "chain_rule", "prefix_monotone"),
    *("nonpositive_finite", "long_sequence", "token_count", "fork_identity", "future_blind"),
    *("prompt_excluded", "prompt_used", "permutation", "batch_composition", "pad_side"),
    *("eos_inside", "duplicates", "repeat", "chunking", "upcast", "sampling_neutral"),
    *("bos_once", "boundary", "trailing_space", "byte_round_trip", "empty_inputs"),
    *("truncation", "unit", "unicode"),
)

_ALL = {law.id: law for group in (FORMULA, MASS, SUMS, COMPANY, PROMPTS, TEXTS) for law in group}

LAWS: dict[str, Law] = {name: _ALL[name] for name in _ORDER}
"""Every check, by its id, in the order in which reports list them."""

assert len(LAWS) == len(_ALL), "every law has its place"
