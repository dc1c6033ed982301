"""surprisal 0.1.7: a tokenizer that adds a start token gets two.

python surprisal_two_start_tokens.py FOLDER (toy)
"""

import sys

from surprisal import AutoHuggingFaceModel

lm = AutoHuggingFaceModel.from_pretrained(sys.argv[1], model_class="causal")
fed = []
lm.model.register_forward_pre_hook(lambda _, __, given: fed.append(given), with_kwargs=True)
for use_bos_token in (True, False):
    print(lm.surprise("dab", use_bos_token=use_bos_token)[0])
    print("fed:", lm.tokenizer.convert_ids_to_tokens(fed[-1]["input_ids"][0]))
