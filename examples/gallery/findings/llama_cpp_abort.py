"""llama-cpp-python 0.3.36: a text that is too long ends the process where n_ctx=0.

python llama_cpp_abort.py FOLDER/model.gguf (toy: a context of 2,100, which is no multiple of 256)
"""

import sys

from llama_cpp import Llama

lm = Llama(sys.argv[1], n_ctx=0, verbose=False)
print("the model's context:", lm.metadata["gpt2.context_length"], "and what is taken:", lm.n_ctx())
print("next: a text of 2,200 tokens", flush=True)
print(lm.create_completion("d" * 2200, max_tokens=1))
