"""HellaSwag and BLiMP through lm-evaluation-harness, by its own backend and by logpr's.

Both backends get the same requests of the same tasks over local files. Rows that differ by more
than 0.001 nats are decided by a plain forward pass of transformers in float64. Seconds are those of
`loglikelihood`, tokenising included, loading not; each run is cold: nothing is held of one before.

    python benchmarks/lm_eval_tasks.py --data FOLDER [--model FOLDER]
"""

from __future__ import annotations

import argparse
import logging
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import torch
import transformers
from lm_eval.api.instance import Instance

import logpr
from logpr.integrations.lm_eval import LogprLM
from logpr.models.base import Reusing
from tests.integrations.harness import BUILTIN, blimp, choices, evaluated, hellaswag, theirs

APART = 1e-3
"""Nats: rows further apart than this are decided by float64."""


@dataclass
class Recorded:
    """A backend's requests, answers and seconds, as the harness asked for them."""

    requests: list[Instance]
    answers: list[tuple[float, bool]]
    seconds: list[float]


def recording(model: Any) -> Recorded:  # noqa: ANN401 - either backend
    """Keep what goes in and out of a backend's `loglikelihood`."""
    kept = Recorded([], [], [])
    inner: Callable[..., list[tuple[float, bool]]] = model.loglikelihood

    def loglikelihood(requests: list[Instance], **options: Any) -> list[tuple[float, bool]]:  # noqa: ANN401
        started = time.perf_counter()
        kept.answers = inner(requests, **options | {"disable_tqdm": True})
        kept.seconds.append(time.perf_counter() - started)
        kept.requests = requests
        return kept.answers

    model.loglikelihood = loglikelihood
    return kept


def truth(
    model: transformers.PreTrainedModel, before: Sequence[int], after: Sequence[int]
) -> float:
    """Return log Pr by one plain forward pass in float64."""
    with torch.no_grad():
        rows = model(torch.tensor([[*before, *after][:-1]])).logits[0, len(before) - 1 :]
    picked = rows.double().log_softmax(-1).gather(1, torch.tensor(after)[:, None])
    return float(picked.sum())


def shared_rows(pairs: Sequence[tuple[Sequence[int], Sequence[int]]]) -> int:
    """Count rows whose ids, the last left out, are another row's, split in another place."""
    splits: dict[tuple[int, ...], set[int]] = {}
    keys = [tuple([*before, *after][:-1]) for before, after in pairs]
    for key, (before, _) in zip(keys, pairs, strict=True):
        splits.setdefault(key, set()).add(len(before))
    return sum(len(splits[key]) > 1 for key in keys)


def whole_sentence(file: Path, cache: Path) -> dict[str, Any]:
    """Return a paradigm of BLiMP as whole sentences, with no space put before them."""
    return {**blimp(file, cache), "task": "blimp_whole", "target_delimiter": ""}


def last_word(file: Path, cache: Path) -> dict[str, Any]:
    """Return a paradigm of BLiMP scored at its last word alone, after the words before it."""
    return choices(
        "blimp_last_word",
        file,
        cache,
        doc_to_text="{{sentence_good.rsplit(' ', 1)[0]}}",
        doc_to_choice="{{[sentence_good.rsplit(' ', 1)[1], sentence_bad.rsplit(' ', 1)[1]]}}",
        doc_to_target=0,
    )


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default=os.environ.get("LOGPR_TEST_DATA"), help="test data")
    parser.add_argument("--model", default=str(BUILTIN), help="a folder (default: the built-in)")
    parser.add_argument("--limit", type=int, default=200, help="items a task (default 200)")
    parser.add_argument("--batch-size", type=int, default=8, help="of the harness's own backend")
    parser.add_argument("--repeat", type=int, default=1, help="runs; the median time is shown")
    parser.add_argument("--threads", type=int, default=1)
    asked = parser.parse_args()
    if asked.data is None:
        parser.error("give --data FOLDER, or set LOGPR_TEST_DATA")
    torch.set_num_threads(asked.threads)
    logging.disable(logging.WARNING)
    files = Path(asked.data) / "eval"
    swag = files / "hellaswag" / "hellaswag_val_first1000.jsonl"
    pairs = files / "blimp" / "regular_plural_subject_verb_agreement_1.jsonl"
    whole = files / "blimp" / "determiner_noun_agreement_1.jsonl"
    print(
        f"{platform.machine()}, {asked.threads} thread(s), torch {torch.__version__}, "
        f"{Path(asked.model).name}, {asked.limit} items a task, batch {asked.batch_size}"
    )
    with tempfile.TemporaryDirectory() as folder:
        cache = Path(folder)
        runs = {
            "HellaSwag": [hellaswag(swag, cache)],
            "BLiMP, whole sentences": [blimp(pairs, cache)],
            "BLiMP, whole and last word": [whole_sentence(whole, cache), last_word(whole, cache)],
        }
        for title, tasks in runs.items():
            compare(title, tasks, asked)


def compare(title: str, tasks: Sequence[Mapping[str, Any]], asked: argparse.Namespace) -> None:
    """Run tasks through both backends, and print what they say and how long they take."""
    own = theirs(asked.model, batch_size=asked.batch_size)
    model = logpr.load(asked.model, device="cpu", dtype="float32")
    assert isinstance(model, Reusing), "what a folder is loaded as"
    mine = LogprLM(model)
    kept_own, kept_mine = recording(own), recording(mine)
    for _ in range(asked.repeat):
        results_own = evaluated(own, tasks, limit=asked.limit)
        # The harness's backend starts anew each time; so does this, without an earlier run's keys.
        with model.apart():
            results_mine = evaluated(mine, tasks, limit=asked.limit)
    ids = [
        own._encode_pair(*one.args)  # noqa: SLF001 - the harness's own conventions
        if one.args[0]
        else ([own.prefix_token_id], own.tok_encode(one.args[1], add_special_tokens=False))
        for one in kept_own.requests
    ]
    differences = [
        abs(a[0] - b[0]) for a, b in zip(kept_own.answers, kept_mine.answers, strict=True)
    ]
    apart = [index for index, difference in enumerate(differences) if difference > APART]
    agreeing = [difference for difference in differences if difference <= APART]
    print(f"\n{title}: {len(differences)} rows, {shared_rows(ids)} of them split in two places")
    print(f"  rows within {APART}: {len(agreeing)}, the furthest {max(agreeing, default=0):.1e}")
    greedy = sum(a[1] != b[1] for a, b in zip(kept_own.answers, kept_mine.answers, strict=True))
    print(f"  rows with another is_greedy: {greedy}")
    if apart:
        exact = transformers.AutoModelForCausalLM.from_pretrained(asked.model, dtype=torch.float64)
        wanted = {index: truth(exact.eval(), *ids[index]) for index in apart}
        for name, kept in (("harness", kept_own), ("logpr", kept_mine)):
            off = [index for index in apart if abs(kept.answers[index][0] - wanted[index]) > APART]
            print(f"  rows apart: {len(apart)}, of which {name} is off float64 in {len(off)}")
        for index in apart[:3]:
            print(
                f"    {kept_own.requests[index].args!r}: harness {kept_own.answers[index][0]:.4f}, "
                f"logpr {kept_mine.answers[index][0]:.4f}, float64 {wanted[index]:.4f}"
            )
    for task in tasks:
        for metric in ("acc", "acc_norm"):
            a, b = (
                results["results"][task["task"]][f"{metric},none"]
                for results in (results_own, results_mine)
            )
            print(f"  {task['task']} {metric}: harness {a:.4f}, logpr {b:.4f}")
    slow, fast = (statistics.median(kept.seconds) for kept in (kept_own, kept_mine))
    print(f"  seconds: harness {slow:.2f}, logpr {fast:.2f}, ratio {slow / fast:.2f}")


if __name__ == "__main__":
    main()
