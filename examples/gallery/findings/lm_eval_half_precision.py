"""lm-evaluation-harness 0.4.13: on a bfloat16 model the log-softmax is taken in bfloat16.

python lm_eval_half_precision.py FOLDER (halves: logits 9 and 8.9375 after every context)
"""

import sys

from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM

for softmax_dtype in (None, "float32"):
    lm = HFLM(pretrained=sys.argv[1], device="cpu", softmax_dtype=softmax_dtype)
    asks = [Instance("loglikelihood", {}, ("d", answer), 0) for answer in ("a", "b")]
    scores = [score for score, _ in lm.loglikelihood(asks, disable_tqdm=True)]
    print(f"softmax_dtype={softmax_dtype}: log Pr('a' | 'd'), log Pr('b' | 'd') =", scores)
