"""The harness with both of its backends for a folder: its own, and logpr's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from lm_eval import simple_evaluate
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager

import logpr
from logpr.integrations.lm_eval import LogprLM

torch.set_num_threads(1)

BUILTIN = Path(logpr.__file__).parent / "models" / "builtin_model"


def theirs(folder: Path | str, **options: Any) -> HFLM:  # noqa: ANN401
    """Return the harness's own backend, on the CPU in float32."""
    return HFLM(str(folder), device="cpu", dtype="float32", **options)


def ours(folder: Path | str, **options: Any) -> LogprLM:  # noqa: ANN401
    """Return logpr's backend for the same folder."""
    return LogprLM(str(folder), device="cpu", dtype="float32", **options)


def asked(kind: str, requests: Sequence[tuple[Any, ...]]) -> list[Instance]:
    """Return requests as the harness hands them to a backend."""
    return [Instance(kind, {}, args, index) for index, args in enumerate(requests)]


def truth(folder: Path | str, context_ids: Sequence[int], token_ids: Sequence[int]) -> float:
    """Return log Pr by one plain forward pass of transformers in float64: ids in, a sum out."""
    model = transformers.AutoModelForCausalLM.from_pretrained(str(folder), dtype=torch.float64)
    model.eval()
    fed = torch.tensor([[*context_ids, *token_ids][:-1]])
    with torch.no_grad():
        rows = model(fed).logits[0, len(context_ids) - 1 :].double().log_softmax(-1)
    return float(rows.gather(1, torch.tensor(token_ids)[:, None]).sum())


def evaluated(
    model: HFLM | LogprLM, tasks: Sequence[Mapping[str, Any]], *, limit: int | None = None
) -> dict[str, Any]:
    """Return the harness's results, with the samples of each task."""
    found: dict[str, Any] = simple_evaluate(
        model=model,
        tasks=[dict(task) for task in tasks],
        limit=limit,
        bootstrap_iters=0,
        # The tasks are whole; the harness would read thousands of files for the names of its own.
        task_manager=TaskManager(include_defaults=False),
    )
    return found


def answers(results: Mapping[str, Any], task: str) -> list[tuple[float, bool]]:
    """Return (log-probability, greedy) of every request of a task, in order."""
    samples = sorted(results["samples"][task], key=lambda sample: sample["doc_id"])
    return [
        (float(logprob), bool(greedy))
        for sample in samples
        for ((logprob, greedy),) in sample["resps"]
    ]


def choices(name: str, file: Path, cache: Path, **fields: Any) -> dict[str, Any]:  # noqa: ANN401
    """Return a multiple-choice task over a local file of JSON Lines."""
    return {
        "task": name,
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(file)}, "cache_dir": str(cache)},
        "test_split": "test",
        "output_type": "multiple_choice",
        "metric_list": [
            {"metric": metric, "aggregation": "mean", "higher_is_better": True}
            for metric in ("acc", "acc_norm")
        ],
        **fields,
    }


def hellaswag(file: Path, cache: Path) -> dict[str, Any]:
    """Return HellaSwag as the harness writes it: the endings go on from the query."""
    return choices(
        "hellaswag_local",
        file,
        cache,
        doc_to_text="{{query}}",
        doc_to_choice="{{endings}}",
        doc_to_target="{{label}}",
    )


def blimp(file: Path, cache: Path) -> dict[str, Any]:
    """Return a paradigm of BLiMP as the harness writes it: whole sentences after nothing."""
    return choices(
        "blimp_local",
        file,
        cache,
        doc_to_text="",
        doc_to_choice="{{[sentence_good, sentence_bad]}}",
        doc_to_target=0,
    )


def samples(name: str, file: Path, cache: Path, *, repeats: int) -> dict[str, Any]:
    """Return a task that goes on from each text of a file, sampled several times."""
    return {
        "task": name,
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(file)}, "cache_dir": str(cache)},
        "test_split": "test",
        "output_type": "generate_until",
        "doc_to_text": "{{text}}",
        "doc_to_target": "",
        "generation_kwargs": {"until": [], "temperature": 1.0, "max_gen_toks": 24},
        "repeats": repeats,
        "metric_list": [{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}],
    }
