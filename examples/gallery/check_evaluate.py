"""Check the metric `perplexity` of evaluate 0.4.6.

    pip install "logpr[hf]" evaluate==0.4.6
    python check_evaluate.py

`evaluate.load` reads the metric from the hub. Where there is none, run this in a folder that holds
perplexity/perplexity.py of the release (metrics/perplexity in its sources).

The metric scores whole texts. A continuation is a difference of two of them,
log Pr(x y) − log Pr(x), each −n ln perplexity: that is ours, and so is what becomes of it where x
and y merge.
"""

from __future__ import annotations

import sys

from rich import print as show

import logpr
from logpr.conformance.adapters import ADAPTERS

ours = "a difference of two texts has no boundary: the adapter's doing, not the metric's"
adapter = ADAPTERS["evaluate-perplexity"]
report = logpr.check(
    factory=adapter.factory(),
    declares=adapter.declares,
    name=adapter.name,
    expected_failures={"boundary": ours, "trailing_space": ours},
)
show(report)
sys.exit(report.exit_code)
