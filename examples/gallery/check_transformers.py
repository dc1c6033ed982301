"""Check two ways to a log-probability that the documentation of transformers 5.23.0 shows.

    pip install "logpr[hf]" transformers==5.23.0
    python check_transformers.py perplexity | transition-scores | transition-scores:default

`perplexity`: the sliding-window recipe of the page "Perplexity of fixed-length models", with the
prompt's labels at -100 as the page sets those of context; its `nll_sum`, which it calls the total
negative log-likelihood, is the score. `transition-scores`: `compute_transition_scores` with
`normalize_logits=True` of a generation that can write nothing but the candidate. `:default`: the
same without `normalize_logits`, which it documents as "transition scores (logits)": what its
numbers are where they are taken for log-probabilities.
"""

from __future__ import annotations

import sys

from rich import print as show

import logpr
from logpr.conformance.adapters import ADAPTERS

adapter = ADAPTERS[f"transformers-{sys.argv[1] if sys.argv[1:] else 'perplexity'}"]
report = logpr.check(factory=adapter.factory(), declares=adapter.declares, name=adapter.name)
show(report)
sys.exit(report.exit_code)
