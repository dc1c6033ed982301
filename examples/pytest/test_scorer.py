"""A test for each of some laws: python -m pytest examples/pytest."""

import logpr
from examples.check.scorer import make
from logpr.conformance import Check


@logpr.parametrize_with_checks(
    factories=[make],
    architecture="llama",
    only=["oracle", "chain_rule", "repeat", "unit"],
    expected_failures={"chain_rule": "issue 12", "repeat": "issue 9"},
)
def test_scorer(check: Check) -> None:
    """Run one check."""
    check()
