"""From token ids to columns of the rows they are read in: a compact row has few, and not in place.

`ids` are those that the columns stand for, ascending, as `RowSource.columns` gives them; None where
every id is its own column.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TypeAlias

import numpy as np

from logpr.auditing.scene.rows import Columns
from logpr.auditing.scene.steps import Reading

Lists: TypeAlias = tuple[tuple[int, ...], ...]
"""Token ids, a list a step."""


def reading_in(ids: Columns | None, read: Reading) -> Reading:
    """Return a reading whose tokens are columns of its rows."""
    if ids is None:
        return read
    return replace(
        read,
        steps=tuple(replace(step, token=_column_of(ids, step.token)) for step in read.steps),
        end_ids=tuple(_column_of(ids, token) for token in read.end_ids),
    )


def lists_in(ids: Columns | None, lists: Lists) -> Lists:
    """Return lists of token ids as lists of columns."""
    if ids is None:
        return lists
    return tuple(tuple(_column_of(ids, token) for token in each) for each in lists)


def _column_of(ids: Columns, token: int) -> int:
    """Return the column of a token; END stays what it is, and what has none is in the next."""
    place = int(np.searchsorted(ids, token)) if token >= 0 else token
    return place if token < 0 or (place < len(ids) and ids[place] == token) else len(ids)
