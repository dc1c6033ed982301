"""lm-evaluation-harness 0.4.13: one request's number depends on the requests beside it.

python lm_eval_shared_row.py FOLDER (toy)
"""

import sys

from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM

lm = HFLM(pretrained=sys.argv[1], device="cpu")
asks = [Instance("loglikelihood", {}, pair, 0) for pair in [("bad", "ad"), ("bada", "d")]]
together = [score for score, _ in lm.loglikelihood(asks, disable_tqdm=True)]
alone = [lm.loglikelihood([ask], disable_tqdm=True)[0][0] for ask in asks]
print("log Pr('ad' | 'bad') and log Pr('d' | 'bada')")
print("in one call:", together)
print("one by one: ", alone)
