"""Turn the samples that lm-evaluation-harness logs into claims for `logpr audit`.

    lm_eval --model hf --model_args pretrained=FOLDER --tasks TASK --log_samples --output_path out
    python examples/audit_lm_eval.py out/*/samples_*.jsonl > claims.jsonl
    logpr audit claims.jsonl --model FOLDER

One record for each question whose answers are scored by their log-likelihood; where its answers
have prompts of their own, one for each answer.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def records(sample: dict[str, Any], name: str) -> Iterator[dict[str, Any]]:
    """Yield the claims of one logged sample; none where no continuation was scored."""
    asked = [(args["arg_0"], args.get("arg_1")) for args in sample["arguments"].values()]
    if not all(isinstance(text, str) for _, text in asked):
        return
    scores = [resps[0][0] for resps in sample["resps"]]
    identity, label = f"{name}/{sample['doc_id']}", str(sample["target"])
    prompts = {prompt for prompt, _ in asked}
    if len(prompts) > 1:
        for place, ((prompt, text), score) in enumerate(zip(asked, scores, strict=True)):
            record = {"prompt": prompt, "candidates": [text], "scores": [score]}
            yield {"id": f"{identity}/{place}", **record}
        return
    texts = [text for _, text in asked]
    record = {"id": identity, "prompt": prompts.pop(), "candidates": texts, "scores": scores}
    if label.isdigit() and int(label) < len(texts):
        record["label"] = int(label)
    yield record


for file in map(Path, sys.argv[1:]):
    task = file.stem.removeprefix("samples_").rsplit("_", 1)[0]
    for line in file.read_text(encoding="utf-8").splitlines():
        for one in records(json.loads(line), task):
            print(json.dumps(one, ensure_ascii=False))
