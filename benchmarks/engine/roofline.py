"""The time that the matrix products alone would take, at the rate each reaches by itself.

ideal = Σ over kinds of matmul of FLOPs ÷ rate, FLOPs = 2 · inner · outer · count · tokens (rows of
the head in place of tokens), rate measured at [1024, inner] × [inner, outer]. Attention and
element-wise work are not counted. The rate is that of the faster of the two libraries that torch
has for float32 on a CPU; beside it stands the rate of torch.mm, which every model of transformers
runs at unless its layers are replaced.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.engine.minimum import Work

if TYPE_CHECKING:
    from transformers import PreTrainedModel

ROWS = 1024
"""Tokens in the product that a rate is measured on."""

BY_MM = " by torch.mm"
"""After the name of a kind: its rate by torch.mm, whatever else is faster."""

_LEAST_SECONDS = 0.25
_LEAST_RUNS = 2
_MOST_RUNS = 20


@dataclass(frozen=True, slots=True)
class Matmul:
    """A kind of product: [tokens, inner] × [inner, outer], `count` times a token or row of head.

    `by_row` says that the weights lie as [inner, outer] (GPT-2), not as [outer, inner].
    """

    inner: int
    outer: int
    count: int
    head: bool = False
    by_row: bool = False

    @property
    def key(self) -> str:
        """Return the name that its rate goes by."""
        return f"{self.inner}x{self.outer}{' by row' if self.by_row else ''}"

    def flops(self, work: Work) -> float:
        """Return the floating-point operations of this kind that some work needs."""
        return (
            2.0 * self.inner * self.outer * self.count * (work.rows if self.head else work.tokens)
        )


def ideal_seconds(
    work: Work, matmuls: Iterable[Matmul], rates: Mapping[str, float], *, by: str = ""
) -> float:
    """Return Σ FLOPs ÷ rate.

    Args:
        work: tokens and rows.
        matmuls: the kinds.
        rates: FLOP/s by `Matmul.key`, and by that with `BY_MM` after it.
        by: `BY_MM` for the rates of torch.mm.
    """
    return sum(kind.flops(work) / rates[kind.key + by] for kind in matmuls)


def best_rates(measured: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """Return each kind's highest rate of several measurements, the hardest to reach."""
    out: dict[str, float] = {}
    for rates in measured:
        for key, rate in rates.items():
            out[key] = max(rate, out.get(key, 0.0))
    return out


def matmuls_of(model: PreTrainedModel) -> tuple[Matmul, ...]:
    """Return the kinds of product in a model of plain linear layers, its head last."""
    from torch import nn  # noqa: PLC0415 - the parent process needs no torch
    from transformers.pytorch_utils import Conv1D  # noqa: PLC0415

    head: nn.Linear = model.get_output_embeddings()  # type: ignore[no-untyped-call]
    counts: dict[tuple[int, int, bool], int] = {}
    for module in model.modules():
        if module is head or not isinstance(module, (nn.Linear, Conv1D)):
            continue
        by_row = isinstance(module, Conv1D)
        first, second = module.weight.shape
        kind = (first, second, True) if by_row else (second, first, False)
        counts[kind] = counts.get(kind, 0) + 1
    outer, inner = head.weight.shape
    layers = tuple(
        Matmul(inner=i, outer=o, count=count, by_row=by_row)
        for (i, o, by_row), count in counts.items()
    )
    return (*layers, Matmul(inner=inner, outer=outer, count=1, head=True))


def measured_rates(matmuls: Iterable[Matmul], *, dtype: str, device: str) -> dict[str, float]:
    """Return the FLOP/s of each kind of product, by the faster library and by torch.mm alone.

    Of each the fastest of some runs.

    Args:
        matmuls: the kinds.
        dtype: such as "float32".
        device: such as "cpu".
    """
    import torch  # noqa: PLC0415 - the parent process needs no torch

    from logpr.models.hf.products import linear  # noqa: PLC0415

    out: dict[str, float] = {}
    options = {"dtype": getattr(torch, dtype), "device": device}
    for kind in matmuls:
        left = torch.randn(ROWS, kind.inner, **options)
        shape = (kind.inner, kind.outer) if kind.by_row else (kind.outer, kind.inner)
        right = torch.randn(*shape, **options)
        right = right if kind.by_row else right.T
        result = torch.empty(ROWS, kind.outer, **options)
        by_mm = _fastest(functools.partial(torch.mm, left, right, out=result), device)
        fastest = min(by_mm, _fastest(functools.partial(linear, left, right.T), device))
        flops = 2.0 * ROWS * kind.inner * kind.outer
        out[kind.key], out[kind.key + BY_MM] = flops / fastest, flops / by_mm
    return out


def _fastest(multiply: Callable[[], object], device: str) -> float:
    times: list[float] = []
    while len(times) <= _LEAST_RUNS or (sum(times) < _LEAST_SECONDS and len(times) < _MOST_RUNS):
        started = time.perf_counter()
        multiply()
        if device != "cpu":
            import torch  # noqa: PLC0415 - the parent process needs no torch

            torch.cuda.synchronize()
        times.append(time.perf_counter() - started)
    return min(times[1:])  # the first touches its pages
