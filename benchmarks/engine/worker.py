"""The child process: one scorer, one folder of weights, requests in and answers out as JSON lines.

A fresh process for each scorer keeps their memory, threads and imports apart. Weights are touched
once before "ready", so that what memory grows by afterwards is not the weights.
"""

from __future__ import annotations

import argparse
import ctypes
import dataclasses
import gc
import json
import os
import sys
import time
from pathlib import Path
from typing import IO, Any

from benchmarks.engine import scorers, shapes
from benchmarks.engine.workloads import Asked


def main() -> None:
    """Answer requests until the input ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scorer")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--invariant", action="store_true")
    parser.add_argument("--write", metavar="SHAPE", help="write the model into the folder first")
    given = parser.parse_args()
    # Frameworks print; only answers may go where the parent reads.
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    import torch  # noqa: PLC0415 - after the output is safe

    torch.set_num_threads(given.threads)
    if given.write:
        shapes.write(given.write, given.folder, dtype=given.dtype)
        return
    loading = scorers.Loading(
        folder=given.folder,
        dtype=given.dtype,
        device=given.device,
        threads=given.threads,
        invariant=given.invariant,
    )
    scorer = scorers.load(given.scorer, loading)
    for _ in range(2):  # the first call of some kernels builds them
        scorer.score([Asked((5, 6, 7), ((8, 9), (9, 8)))], None)
    release()
    _answer(out, {"about": dict(scorer.about()), "cuda_bytes": _cuda_bytes(given.device)})
    serve(scorer, out, given.device)


def serve(scorer: scorers.Scorer, out: IO[str], device: str) -> None:
    """Answer each line of standard input."""
    for line in sys.stdin:
        request: dict[str, Any] = json.loads(line)
        if request["do"] == "rates":
            ours: Any = scorer
            matmuls = [dataclasses.asdict(one) for one in ours.matmuls()]
            _answer(out, {"rates": ours.rates(), "matmuls": matmuls})
        else:
            _answer(out, _score(scorer, request, device))


def _score(scorer: scorers.Scorer, request: dict[str, Any], device: str) -> dict[str, Any]:
    queries = [
        Asked(tuple(prompt), tuple(map(tuple, candidates)))
        for prompt, candidates in request.get("queries", ())
    ]
    fed = scorer.fed
    ours: Any = scorer
    gc.collect()
    _synchronize(device, reset=True)
    started = time.perf_counter()
    if request["do"] == "stream":
        scores = ours.stream(request["count"], **request["options"])
    else:
        scores = scorer.score(queries, request["top"])
    _synchronize(device)
    seconds = time.perf_counter() - started
    answer = {
        "seconds": seconds,
        "scores": scores,
        "fed": scorer.fed - fed,
        "cuda_peak": _cuda_peak(device),
    }
    release()
    return answer


def release() -> None:
    """Give freed memory back, so that one request's does not count for the next."""
    gc.collect()
    if sys.platform == "linux":
        ctypes.CDLL(None).malloc_trim(0)


def _synchronize(device: str, *, reset: bool = False) -> None:
    if device != "cpu":
        import torch  # noqa: PLC0415

        torch.cuda.synchronize()
        if reset:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()


def _cuda_bytes(device: str) -> int:
    if device == "cpu":
        return 0
    import torch  # noqa: PLC0415

    return torch.cuda.memory_allocated()


def _cuda_peak(device: str) -> int:
    if device == "cpu":
        return 0
    import torch  # noqa: PLC0415

    return torch.cuda.max_memory_allocated()


def _answer(out: IO[str], answer: dict[str, Any]) -> None:
    out.write(json.dumps(answer) + "\n")
    out.flush()


if __name__ == "__main__":
    main()
