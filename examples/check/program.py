"""A scorer as a program: requests on stdin, scores on stdout, JSON Lines.

    logpr check 'python examples/check/program.py {model}' --toy llama --declares boundary=split

{model} stands for the folder of the model, and is the first argument here.
"""

from __future__ import annotations

import json
import sys

from mended import make

score = make(sys.argv[1])
for line in sys.stdin:
    asked = json.loads(line)
    try:
        answer = {"scores": score(asked["prompt"], asked["candidates"])}
    except ValueError as error:
        answer = {"error": str(error)}
    print(json.dumps({"id": asked["id"], **answer}), flush=True)
