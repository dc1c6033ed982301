"""Reports of checks built by hand, as `check` would return them."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import get_args

from logpr._values import CheckError, CheckFailure, CheckReport, CheckResult
from logpr._values.check import CheckOutcome

OUTCOMES: tuple[CheckOutcome, ...] = get_args(CheckOutcome)

LAWS = (
    ("oracle", "MUST", "s equals the closed form"),
    ("shift_invariance", "MUST", "logits + c(context): s unchanged"),
    ("dummy_vocabulary", "MUST", "a new token with logit b: Δs = −Σ log(1+e^(b−logZ))"),
    ("candidate_independence", "MUST", "s(y) is the same alone and among others"),
    ("next_token_mass", "MUST", "Σ_v exp s(x, [v]) = 1"),
    ("fixed_length_mass", "MUST", "Σ exp s(x, y) over |y| = n is 1"),
    ("stop_mass", "MUST", "finished and unfinished mass add to 1"),
    ("chain_rule", "MUST", "s(x, yz) = s(x, y) + s(xy, z)"),
    ("prefix_monotone", "MUST", "s(x, yz) ≤ s(x, y)"),
    ("nonpositive_finite", "MUST", "every ℓ_t is at most 0 and finite"),
    ("long_sequence", "MUST", "2,000 tokens of probability 0.1: s = 2000·ln 0.1"),
    ("token_count", "MUST", "len(ℓ) = |y| and Σℓ = s"),
    ("fork_identity", "MUST", "s(a) − s(b) = u_a − u_b"),
    ("future_blind", "MUST", "editing y after t leaves ℓ up to t"),
    ("prompt_excluded", "MUST", "editing the early prompt of an order-1 model leaves s"),
    ("prompt_used", "MUST", "editing the prompt's last token moves s"),
    ("permutation", "MUST", "reordering requests reorders results"),
    ("batch_composition", "MUST", "s alone = s with longer and shorter company"),
    ("pad_side", "SHOULD", "left and right padding give the same s"),
    ("eos_inside", "MUST", "a real end token inside y counts"),
    ("duplicates", "MUST", "equal candidates in one call have equal scores"),
    ("repeat", "SHOULD", "the same call twice gives the same bits, or is within noise"),
    ("chunking", "MUST", "a long input in one or several windows: the same s"),
    ("upcast", "SHOULD", "s equals the float32 log-softmax of the same logits"),
    ("sampling_neutral", "MUST", "temperature, top-p and penalties change nothing"),
    ("bos_once", "MUST", "start tokens are fed as declared"),
    ("boundary", "MUST", "a merging pair follows the declared policy"),
    ("trailing_space", "SHOULD", '("x ", "y") follows the declared policy'),
    ("byte_round_trip", "MUST", "the ids that are fed decode to x + y"),
    ("empty_inputs", "SHOULD", "an empty prompt or candidate: a value or a clear error"),
    ("truncation", "MUST", "what is too long raises or is said, and y is whole"),
    ("unit", "MUST", "the ratio to the closed form is 1"),
    ("unicode", "MUST", "emoji, combining marks and split bytes are scored as any text"),
)
DECLARES = (
    ("unit", "nats"), ("aggregate", "sum"), ("end", "open"), ("per_token", "false"),
    ("ids", "false"), ("boundary", "separate"), ("bos", "auto"), ("dtype", "float32"),
)  # fmt: skip
NEEDS = {
    "stop_mass": "it is for end=stop, and end=open is declared",
    "token_count": "it needs per_token=true",
    "future_blind": "it needs per_token=true",
    "nonpositive_finite": "it needs per_token=true",
}


def a_failure(check: str = "chain_rule", **fields: object) -> CheckFailure:
    """Return a broken law with all that is known of it; any field can be replaced."""
    known: dict[str, object] = {
        "check": check,
        "severity": {name: severity for name, severity, _ in LAWS}.get(check, "MUST"),
        "statement": {name: said for name, _, said in LAWS}.get(check, "s = s"),
        "found": -4.126853,
        "expected": -5.237964,
        "difference": 1.111111,
        "tolerance": 2e-5,
        "what": 's("ab", " cd")',
        "case": 'the toy, prompt "ab", candidates " c" and " cd"',
        "model": "toy",
        "failed_cases": 5,
        "cases": 24,
        "looks_like": ("first_token_dropped",),
        "reproduces": 24,
        "compared": 24,
        "replay": f"{check}/toy/10.0.4/5/6@1",
        "page": f"docs/checks.md#{check}",
    }
    return CheckFailure(**(known | fields))  # type: ignore[arg-type]


def an_error(check: str = "chain_rule", **fields: object) -> CheckError:
    """Return a check that met an exception; any field can be replaced."""
    known: dict[str, object] = {
        "check": check,
        "severity": "MUST",
        "kind": "raised",
        "message": "score raised ValueError: expected 2 columns, got 3",
        "where": "scorers.py:12",
        "case": 'the toy, prompt "ab", candidate " c"',
        "replay": f"{check}/toy/10.0.4/5",
    }
    return CheckError(**(known | fields))  # type: ignore[arg-type]


def a_report(
    outcomes: dict[str, CheckOutcome] | None = None,
    because: dict[str, str] | None = None,
    why: dict[str, str] | None = None,
    **fields: object,
) -> CheckReport:
    """Return a report of all 33 checks, which passed but for those that are named.

    Args:
        outcomes: of checks.
        because: why checks are expected to fail.
        why: checks were not judged.
        fields: of the report, each in place of what follows from the above.
    """
    found = outcomes or {}
    reasons = because or {}
    results = tuple(
        CheckResult(
            check=name,
            severity=severity,  # type: ignore[arg-type]
            statement=statement,
            outcome=found.get(name, "passed"),
            why=(why or {}).get(name),
            cases=24,
            models=("toy",) if name != "prompt_excluded" else ("toy", "order1"),
            expected_because=reasons.get(name),
            page=f"docs/checks.md#{name}",
        )
        for name, severity, statement in LAWS
    )
    known: dict[str, object] = {
        "target": "my_package.my_module:make",
        "expected": tuple(n for n in reasons if found.get(n) == "failed"),
        "stale": tuple(n for n in reasons if found.get(n, "passed") == "passed"),
        "failures": tuple(
            a_failure(name, expected_because=reasons.get(name))
            for name, outcome in found.items()
            if outcome == "failed"
        ),
        "errors": tuple(an_error(name) for name, out in found.items() if out == "error"),
        "results": results,
        "declares": DECLARES,
        "architecture": "gpt2",
        "noise": 2.3e-7,
        "tolerance": 1e-5,
        "calls": 1284,
        "candidates": 5120,
        "seconds": 3.24,
        "versions": (("logpr", "0.3.0"), ("numpy", "2.3.4")),
    }
    known |= {
        outcome: tuple(each.check for each in results if each.outcome == outcome)
        for outcome in OUTCOMES
    }
    return CheckReport(**(known | fields))  # type: ignore[arg-type]


NEEDY: dict[str, CheckOutcome] = dict.fromkeys(NEEDS, "not_applicable")
CLEAN = a_report(NEEDY, why=NEEDS)

BROKEN = a_report(
    {
        **NEEDY,
        "oracle": "blocked",
        "chain_rule": "failed",
        "prefix_monotone": "failed",
        "next_token_mass": "failed",
        "fixed_length_mass": "blocked",
        "long_sequence": "failed",
        "empty_inputs": "failed",
        "batch_composition": "failed",
        "upcast": "inconclusive",
        "unicode": "error",
    },
    because={"batch_composition": "no mask, issue 12", "duplicates": "issue 7"},
    why={
        **NEEDS,
        "oracle": "unit failed",
        "fixed_length_mass": "next_token_mass failed",
        "upcast": "the noise, 0.0031 nats, is more than the 0.002 it looks for",
    },
    failures=(
        a_failure(),
        a_failure("prefix_monotone", found=math.nan, expected="at most -3.5", difference=None,
                  looks_like=("first_token_dropped", "mean"), reproduces=20, cases=1,
                  failed_cases=1),
        a_failure("next_token_mass", found=1.0000341, expected=1.0, difference=3.41e-5,
                  tolerance=2e-6, what='Σ over 12 ids of Pr after "ab"', looks_like=(),
                  reproduces=None, compared=None),
        a_failure("long_sequence", found=-math.inf, expected=-4605.170186, difference=math.inf,
                  looks_like=(), reproduces=None, compared=None),
        a_failure("empty_inputs", found="0.0, silently", expected="a value, or a clear error",
                  difference=None, tolerance=None, what='s("", "")', looks_like=()),
        a_failure("batch_composition", found=-7.5, expected=-7.25, difference=0.25,
                  expected_because="no mask, issue 12"),
    ),
    seed=7,
    declares=(("unit", "bits"), *DECLARES[1:]),
    notes=("printed: loading weights", "UserWarning: the input is too long, 2,100 tokens are kept"),
)  # fmt: skip

_FALLEN: dict[str, CheckOutcome] = dict.fromkeys((name for name, _, _ in LAWS[:31]), "error")
CRASHING = a_report(
    {**_FALLEN, "unit": "blocked"},
    why={"unit": "oracle could not be judged"},
    calls=31,
)
SLOW = a_report(
    {"chain_rule": "error", "repeat": "error", "unit": "error", "boundary": "error"},
    errors=(
        an_error(kind="timed_out", message="no answer within 60 s", where=None),
        an_error("repeat", kind="mutated_input", message="it emptied the list of candidates"),
        an_error("unit", kind="wrong_shape", message="3 numbers for 2 candidates: [1, 2, 3]"),
        an_error("boundary", kind="not_numbers", message="'-1.5', a text, is no number"),
    ),
)
CONVENTIONS = a_report({"pad_side": "failed", "repeat": "failed"})
EXPECTED = a_report({"chain_rule": "failed"}, {"chain_rule": "issue 12"})
STALE = a_report(because={"chain_rule": "issue 12", "unit": "issue 13"})
UNSURE = a_report({"upcast": "inconclusive"}, why={"upcast": "noise hides it"})
OWN = a_report(target="score", architecture=None, noise=None, tolerance=None, versions=())
EMPTY = CheckReport(target="score")
UNJUDGED = a_report(
    {name: "not_applicable" for name, _, _ in LAWS}, why={name: "no" for name, _, _ in LAWS}
)
HUGE = a_report(
    {"oracle": "failed", "unit": "failed"},
    failures=(
        a_failure("oracle", found=1.5e300, expected=-2.5, difference=1.5e300),
        a_failure("unit", found=-2.500000001, expected=-2.5, difference=1e-9, tolerance=1e-10),
    ),
)

EVERY = {
    "clean": CLEAN,
    "broken": BROKEN,
    "crashing": CRASHING,
    "slow": SLOW,
    "conventions": CONVENTIONS,
    "expected": EXPECTED,
    "stale": STALE,
    "unsure": UNSURE,
    "own": OWN,
    "empty": EMPTY,
    "unjudged": UNJUDGED,
    "huge": HUGE,
}


def nasty(text: str) -> CheckReport:
    """Return a report with `text` wherever something that is no word of ours can stand."""
    broken = a_failure(found=text, expected=text, what=text, case=text, model=text, replay=text,
                       page=text, statement=text, looks_like=(text,))  # fmt: skip
    expected = replace(broken, check="batch_composition", expected_because=text)
    return a_report(
        {"chain_rule": "failed", "batch_composition": "failed", "unicode": "error",
         "upcast": "blocked"},
        because={"batch_composition": text, "unit": text},
        why={"upcast": text},
        target=text,
        failures=(broken, expected),
        errors=(an_error("unicode", message=text, where=text, case=text, replay=text),),
        notes=(text, f"printed: {text}"),
        declares=(("unit", text),),
        versions=(("logpr", text),),
    )  # fmt: skip
