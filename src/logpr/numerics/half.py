"""Rounding to the two 16-bit floats, nearest with ties to even."""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np
from jaxtyping import Float64

HalfType: TypeAlias = Literal["bfloat16", "float16"]
Array: TypeAlias = Float64[np.ndarray, "*_"]


def rounded(values: Array, dtype: HalfType) -> Array:
    """Return `values` as that type would hold them, in float64."""
    if dtype == "float16":
        with np.errstate(over="ignore"):
            return values.astype(np.float16).astype(np.float64)
    # bfloat16 is the upper half of a float32; adding this carries where the lower half rounds up.
    bits = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32)
    carry = np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))
    with np.errstate(over="ignore"):
        kept = (bits + carry) & np.uint32(0xFFFF0000)
    out = np.where(np.isfinite(values), kept.view(np.float32), values)
    return np.asarray(out, dtype=np.float64).reshape(np.shape(values))
