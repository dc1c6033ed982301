"""The kill matrix: every fault is found, the closed form is not accused, no check idles."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from logpr._values.check import CheckOutcome
from logpr.auditing import FAULTS
from logpr.conformance.laws import LAWS
from logpr.conformance.matrix import CORRECT, MatrixRow, idle
from logpr.conformance.mutants import HABITS, Mutant, mutants, zoo_mutants

ROOT = Path(__file__).parents[2]
EVERY = {mutant.id: mutant for mutant in mutants()}

NEAREST = {
    "raw_logit_sum": "shift_invariance",
    "linear_normalisation": "next_token_mass",
    "shortlist_softmax": "dummy_vocabulary",
    "candidates_softmax": "candidate_independence",
    "choice_prob": "candidate_independence",
    "mean": "fixed_length_mass",
    "last_token_dropped": "fixed_length_mass",
    "eos_missing": "stop_mass",
    "row_reused": "chain_rule",
    "min_token": "chain_rule",
    "mean_probability": "prefix_monotone",
    "negated": "nonpositive_finite",
    "product_then_log": "long_sequence",
    "first_token_dropped": "token_count",
    "shifted_twice": "fork_identity",
    "wrong_axis": "future_blind",
    "prompt_included": "prompt_excluded",
    "prompt_dropped": "prompt_used",
    "pad_counted": "batch_composition",
    "left_pad_unmasked": "pad_side",
    "eos_as_pad_masked": "eos_inside",
    "window_restart": "chunking",
    "half_precision": "upcast",
    "bos_missing": "bos_once",
    "bos_doubled": "bos_once",
    "joint_boundary": "boundary",
    "space_lost": "trailing_space",
    "in_bits": "unit",
    "in_log10": "unit",
    "order_not_restored": "permutation",
    "duplicates_dropped": "duplicates",
    "dropout_left_on": "repeat",
    "generation_config_applied": "sampling_neutral",
    "spaces_folded": "byte_round_trip",
    "zero_for_empty": "empty_inputs",
    "silent_cut": "truncation",
    "ascii_only": "unicode",
    "composed": "unicode",
}
"""The check that is made for a fault, by the design's column "catches"."""


PROGRAM = """
import json
from logpr.conformance.matrix import kill_matrix
print(json.dumps({row.mutant.id: row.outcomes for row in kill_matrix()}))
"""


@cache
def found() -> dict[str, dict[str, CheckOutcome]]:
    """Return every outcome: the suite as its users run it, without the checker of types.

    Two thousand runs of a check would wait for it; the laws run under it in test_laws.
    """
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, check=True)
    rows: dict[str, dict[str, CheckOutcome]] = json.loads(done.stdout)
    return rows


def row(name: str) -> MatrixRow:
    """Return what every check says of a mutant, or of the closed form."""
    return MatrixRow(CORRECT if name == CORRECT.id else EVERY[name], found()[name])


def test_the_zoo_is_whole() -> None:
    """Every entry of the zoo has a scorer, and every check a fault that it is made for."""
    assert [mutant.id for mutant in zoo_mutants()] == list(FAULTS)
    assert set(NEAREST.values()) == set(LAWS) - {"oracle"}
    assert not {mutant.id for mutant in HABITS} & set(FAULTS)


def test_the_closed_form_is_not_accused() -> None:
    """The correct scorer passes every check that applies."""
    assert set(row("correct").outcomes.values()) == {"passed", "not_applicable"}


@pytest.mark.parametrize("mutant", EVERY.values(), ids=EVERY)
def test_every_fault_is_killed(mutant: Mutant) -> None:
    """At least one check fails on each fault, the one that is made for it among them."""
    killed = row(mutant.id).killed_by
    assert killed
    assert NEAREST.get(mutant.id, killed[0]) in killed
    assert "error" not in row(mutant.id).outcomes.values()


def test_the_pages_say_what_was_found() -> None:
    """docs/kill-matrix.json, which the pages are made of, holds these very outcomes."""
    kept = json.loads((ROOT / "docs" / "kill-matrix.json").read_text())
    for said in kept["rows"]:
        outcomes = row(said["id"]).outcomes
        assert outcomes == {check: said.get(check, "passed") for check in kept["checks"]}, said[
            "id"
        ]
    assert [said["id"] for said in kept["rows"]] == [CORRECT.id, *EVERY]


def test_no_check_idles() -> None:
    """Every check kills something."""
    assert idle([row(name) for name in EVERY]) == ()


def test_a_check_that_killed_nothing_would_be_seen() -> None:
    """The test above can fail: of the closed form alone, every check is idle."""
    assert idle([row("correct")]) == tuple(LAWS)
