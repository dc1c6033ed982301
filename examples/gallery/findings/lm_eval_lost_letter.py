"""lm-evaluation-harness 0.4.13: where prompt and continuation merge, letters are not fed at all.

python lm_eval_lost_letter.py FOLDER (toy: a and b are one token where they meet)
"""

import sys

from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM

lm = HFLM(pretrained=sys.argv[1], device="cpu")
for pair in [("a", "bd"), ("a", "d")]:
    ((score, _),) = lm.loglikelihood([Instance("loglikelihood", {}, pair, 0)], disable_tqdm=True)
    print(f"log Pr({pair[1]!r} | {pair[0]!r}) = {score}, fed", lm._encode_pair(*pair))
