"""Check minicons 0.3.39.

    pip install logpr minicons==0.3.39
    python check_minicons.py [mean]

`IncrementalLMScorer.conditional_score(prompts, candidates, separator="")`: with its reduction set
to a sum; with `mean`, as it comes, the mean over the candidate's tokens that it documents.
"""

from __future__ import annotations

import sys

from rich import print as show

import logpr
from logpr.conformance.adapters import ADAPTERS

adapter = ADAPTERS["minicons:mean" if sys.argv[1:] == ["mean"] else "minicons"]
report = logpr.check(factory=adapter.factory(), declares=adapter.declares, name=adapter.name)
show(report)
sys.exit(report.exit_code)
