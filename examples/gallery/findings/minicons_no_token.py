"""minicons 0.3.39: a candidate that merges into the prompt has probability 1, or NaN.

python minicons_no_token.py FOLDER (toy: a and b are one token where they meet)
"""

import sys

from minicons.scorer import IncrementalLMScorer

lm = IncrementalLMScorer(sys.argv[1], "cpu")
summed = lm.conditional_score("a", "b", separator="", reduction=lambda tokens: tokens.sum(0).item())
mean = lm.conditional_score("a", "b", separator="")
print("log Pr('b' | 'a'): summed", summed, "and by default", mean)
print("log Pr('c' | 'a'):", lm.conditional_score("a", "c", separator=""))
