"""llama-cpp-python 0.3.36: without a start token, echoed log-probabilities are read a row too late.

python llama_cpp_no_start_token.py FOLDER/model.gguf (startless)
"""

import sys

from llama_cpp import Llama

lm = Llama(sys.argv[1], n_ctx=256, logits_all=True, verbose=False)
echo = lm.create_completion("dab", max_tokens=1, echo=True, logprobs=1)["choices"][0]["logprobs"]
ids = lm.tokenize(b"dab", add_bos=False)
rows = lm.logits_to_logprobs(lm.scores)
print("token 1 by the echo:                ", echo["token_logprobs"][1])
print("token 1 in the row after token 0:   ", rows[0][ids[1]])
print("token 1 in the row after itself:    ", rows[1][ids[1]])
