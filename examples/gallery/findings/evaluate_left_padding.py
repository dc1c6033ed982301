"""evaluate 0.4.6, metric perplexity: where padding is on the left, a text's depends on its company.

python evaluate_left_padding.py FOLDER (padded_left); beside ./perplexity where the hub is not there
"""

import sys

import evaluate

metric = evaluate.load("perplexity", module_type="metric")
for texts in (["ba"], ["ba", "cab cab cab"]):
    found = metric.compute(model_id=sys.argv[1], predictions=texts)["perplexities"]
    print(f"perplexity of 'ba' among {len(texts)} texts: {found[0]}")
