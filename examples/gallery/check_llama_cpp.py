"""Check llama-cpp-python 0.3.36.

    pip install logpr llama-cpp-python==0.3.36 gguf==0.19.0
    python check_llama_cpp.py

`create_completion(prompt + candidate, echo=True, logprobs=1, max_tokens=1)`: the log-probabilities
of the tokens that `text_offset` puts behind the prompt. The suite's models are written as GGUF
files in float32; llama.cpp looks GELU up in a table of float16, so `dtype` is declared float16.
"""

from __future__ import annotations

import sys

from rich import print as show

import logpr
from logpr.conformance.adapters import ADAPTERS

ours = "a GGUF vocabulary is split before it merges, and the suite's is not: another tokenizer"
adapter = ADAPTERS["llama-cpp-python"]
report = logpr.check(
    factory=adapter.factory(),
    declares=adapter.declares,
    name=adapter.name,
    expected_failures={"unicode": ours},
)
show(report)
sys.exit(report.exit_code)
