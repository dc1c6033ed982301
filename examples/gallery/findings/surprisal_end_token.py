"""surprisal 0.1.7: the end token's share is given to all other tokens.

python surprisal_end_token.py FOLDER (startless)
"""

import math
import sys

import torch
from surprisal import AutoHuggingFaceModel

lm = AutoHuggingFaceModel.from_pretrained(sys.argv[1], model_class="causal")
given = lm.surprise("d")[0].surprisals[0]
start, token = lm.tokenizer.bos_token_id, lm.tokenizer("d").input_ids[-1]
row = lm.model(torch.tensor([[start]])).logits[0, -1].log_softmax(-1).tolist()
print("surprisal of 'd' at the start:", given, "and -log Pr:", -row[token])
print("-log(1 - Pr(end token)):", -math.log1p(-math.exp(row[lm.tokenizer.eos_token_id])))
