"""minicons 0.3.39: after an empty prefix the wrong rows are read.

python minicons_empty_prefix.py FOLDER (startless: its tokenizer adds no start token)
"""

import sys

from minicons.scorer import IncrementalLMScorer

lm = IncrementalLMScorer(sys.argv[1], "cpu")
total = {"reduction": lambda tokens: tokens.sum(0).item()}
for text in ("dab", "dabc", "dabcd"):
    given = lm.conditional_score("", text, separator="", **total)
    print(text, "after an empty prefix:", given, "by itself:", lm.sequence_score(text, **total))
