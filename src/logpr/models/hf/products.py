"""Products with float32 weights on a CPU, by whichever of torch's two libraries is the faster.

torch multiplies float32 matrices on x86 through MKL, which takes its widest instructions on Intel's
processors alone. oneDNN, which torch ships too, takes them wherever they are: on an AMD EPYC with
AVX-512 (Zen 5) products of 1,024 rows are 2.1 to 2.4 times as fast.

The choice hangs on the processor and not on a stopwatch: arithmetic that depends on one would give
other bits on another day.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import nn

_ROWS = 32
"""A multiple of it are the rows of a product."""

Rows = Float[torch.Tensor, "*batch inner"]
Weight = Float[torch.Tensor, "outer inner"]
Bias = Float[torch.Tensor, " outer"]
Out = Float[torch.Tensor, "*batch outer"]


def linear(rows: Rows, weight: Weight, bias: Bias | None = None) -> Out:
    """Return rows Wᵀ + b by the faster library, outside of autograd.

    Args:
        rows: of the dtype of the weight.
        weight: any; may be a transposed view.
        bias: of the same dtype.
    """
    if takes(weight) and rows.dtype == torch.float32 and rows.numel() > 0:
        return _by_onednn(rows, weight, bias)
    return nn.functional.linear(rows, weight, bias)


def padding(rows: int) -> int:
    """Return how many rows are added to a product, so that few shapes are met.

    oneDNN makes and keeps a program for each shape, some 100 KiB each, up to 1,024 of them.

    Args:
        rows: without them.
    """
    return -rows % _ROWS if _is_faster() else 0


def takes(weight: torch.Tensor) -> bool:
    """Return whether products with a weight go through oneDNN: in float32, where it is faster.

    Args:
        weight: of a layer, on its device.
    """
    # Of a matrix that lies otherwise oneDNN has a slow, plain loop.
    dense = weight.is_contiguous() or weight.T.is_contiguous()
    return weight.device.type == "cpu" and weight.dtype == torch.float32 and dense and _is_faster()


def _by_onednn(rows: Rows, weight: Weight, bias: Bias | None) -> Out:
    operator = torch.ops.mkldnn._linear_pointwise  # noqa: SLF001 - torch has no public one
    out: torch.Tensor = operator(rows.contiguous(), weight, bias, "none", [], "")
    return out


@functools.cache
def _is_faster() -> bool:
    """Return whether oneDNN has wider instructions than MKL here, and computes the same."""
    # Older versions of torch do not tell.
    has: Mapping[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    return _is_wider(has) and _is_right()


def _is_wider(has: Mapping[str, object]) -> bool:
    """Return whether a processor has AVX-512, and is not one that MKL uses it on.

    Args:
        has: what torch says of it.
    """
    return bool(has.get("avx512_f")) and "Intel" not in str(has.get("cpu_name", "Intel"))


def _is_right() -> bool:
    # Whatever torch's defaults are: the answer is kept for the process.
    draw = functools.partial(
        torch.randn,
        generator=torch.Generator("cpu").manual_seed(0),
        device="cpu",
        dtype=torch.float32,
    )
    rows, weight, bias = draw((3, 8)), draw((5, 8)), draw((5,))
    try:
        with torch.inference_mode():
            ours = [_by_onednn(rows, weight, given) for given in (None, bias)]
            own = [nn.functional.linear(rows, weight, given) for given in (None, bias)]
    except (AttributeError, TypeError, RuntimeError):  # another version of torch
        return False
    return all(map(functools.partial(torch.allclose, atol=1e-5), ours, own))
