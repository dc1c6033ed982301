"""What `batch_invariant=True` costs: seconds on `choices` with it ÷ without."""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path

from benchmarks.engine.children import Child, Machine, write_model
from benchmarks.engine.scorers import OURS
from benchmarks.engine.vocabulary import vocab_of
from benchmarks.engine.workloads import Sizes, workload

_QUERIES = 16


def cost_ratio(shape: str, machine: Machine, sizes: Sizes, repeats: int) -> float:
    """Return the median ratio of runs in turn.

    Args:
        shape: of the model.
        machine: to run on.
        sizes: of the workload, of which 16 queries are run.
        repeats: pairs of runs.
    """
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "model"
        write_model(shape, folder, machine)
        work = workload("choices", vocab=vocab_of(folder), sizes=sizes).first(_QUERIES)
        with (
            Child(OURS, folder, machine) as free,
            Child(OURS, folder, machine, invariant=True) as invariant,
        ):
            return statistics.median(
                invariant.score(work).seconds / free.score(work).seconds for _ in range(repeats)
            )
