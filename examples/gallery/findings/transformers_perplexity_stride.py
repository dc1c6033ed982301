"""transformers 5.23.0: after its first window the documented perplexity counts a token too few.

python transformers_perplexity_stride.py FOLDER (toy); windows of 8 tokens, stride 1
"""

import sys

from transformers import AutoModelForCausalLM, AutoTokenizer

model = AutoModelForCausalLM.from_pretrained(sys.argv[1])
ids = AutoTokenizer.from_pretrained(sys.argv[1])("dabcdabbacdcabdbcaddab", return_tensors="pt")
rows = []
for begin in range(ids.input_ids.size(1) - 7):
    labels = ids.input_ids[:, begin : begin + 8].clone()
    labels[:, : -1 if begin else 0] = -100  # after the first window one token is new
    loss = model(ids.input_ids[:, begin : begin + 8], labels=labels).loss.item()
    # The page's num_loss_tokens, and the labels that the loss, shifted by one, is a mean of.
    rows.append((loss, int((labels != -100).sum()) - 1, int((labels[:, 1:] != -100).sum())))
for place, name in ((1, "the page counts"), (2, "the losses are of")):
    print(
        name, sum(row[place] for row in rows), "tokens:", sum(row[0] * row[place] for row in rows)
    )
