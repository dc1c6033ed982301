"""Conformance: laws that every scorer must keep, run against anyone's.

>>> from logpr.conformance import LAWS
>>> LAWS["chain_rule"].statement
's(x, yz) = s(x, y) + s(xy, z), within one call too'
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from logpr.conformance.declares import Declares
    from logpr.conformance.exports import toy_scorer
    from logpr.conformance.laws import LAWS, Law
    from logpr.conformance.parametrize import Check
    from logpr.conformance.toy.export import write_folder, write_table

__all__ = ["LAWS", "Check", "Declares", "Law", "toy_scorer", "write_folder", "write_table"]

_ROOMS = {
    "Check": "logpr.conformance.parametrize",
    "LAWS": "logpr.conformance.laws",
    "Declares": "logpr.conformance.declares",
    "Law": "logpr.conformance.laws",
    "toy_scorer": "logpr.conformance.exports",
    "write_folder": "logpr.conformance.toy.export",
    "write_table": "logpr.conformance.toy.export",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401 - whatever the name stands for
    """Return a name from its room: whoever declares something need not load every law."""
    if name not in _ROOMS:
        msg = f"module 'logpr.conformance' has no attribute {name!r}"
        raise AttributeError(msg)
    return getattr(importlib.import_module(_ROOMS[name]), name)


def __dir__() -> list[str]:
    """Return the names that can be had."""
    return list(__all__)
