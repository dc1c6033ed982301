"""Check logpr itself, on every backend and executor.

pip install "logpr[hf]"
python check_logpr.py
"""

from __future__ import annotations

import sys

import logpr
from logpr.conformance.adapters import ADAPTERS

# On `order1`, which no context changes, no executor can be told right, and logpr refuses one that
# is asked for by name: the law on that model is left out for these.
CHOSEN = ("logpr:cache", "logpr:mask", "logpr:forest")

worst = 0
for adapter in ADAPTERS.values():
    if not adapter.name.startswith("logpr"):
        continue
    report = logpr.check(
        factory=adapter.factory(),
        declares=adapter.declares,
        name=adapter.name,
        architecture=adapter.architecture or "gpt2",
        skip=["prompt_excluded"] if adapter.name in CHOSEN else (),
    )
    print(
        f"{adapter.name:15} {len(report.passed):2} passed, {len(report.failed)} failed, "
        f"{len(report.error)} errors, {len(report.not_applicable)} do not apply"
    )
    worst = max(worst, report.exit_code)
sys.exit(worst)
