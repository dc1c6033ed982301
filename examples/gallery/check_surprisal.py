"""Check surprisal 0.1.7.

    pip install logpr "surprisal[transformers]==0.1.7"
    python check_surprisal.py

Minus `extract_surprisal(candidates, prefix=prompt)` of a causal model. It declares natural
logarithms, one start token before the text (`use_bos_token=True`), and that a token which straddles
the prompt's end counts.
"""

from __future__ import annotations

import sys

from rich import print as show

import logpr
from logpr.conformance.adapters import ADAPTERS

adapter = ADAPTERS["surprisal"]
report = logpr.check(factory=adapter.factory(), declares=adapter.declares, name=adapter.name)
show(report)
sys.exit(report.exit_code)
