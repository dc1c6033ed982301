"""Check lm-evaluation-harness 0.4.13.

    pip install logpr "lm_eval[hf]==0.4.13"
    python check_lm_eval.py

Called as its tasks call it: `HFLM(pretrained=FOLDER).loglikelihood` of one request a candidate, all
requests of a check in one call. It declares natural logarithms, summed over the continuation, and
that spaces at the context's end go to the continuation.
"""

from __future__ import annotations

import sys

from rich import print as show

import logpr
from logpr.conformance.adapters import ADAPTERS

adapter = ADAPTERS["lm-eval"]
report = logpr.check(factory=adapter.factory(), declares=adapter.declares, name=adapter.name)
show(report)
sys.exit(report.exit_code)
