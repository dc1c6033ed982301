"""The compact record: a line a record, a few numbers a step, no row of logits."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any, TypeAlias, final

import numpy as np
from jaxtyping import Int64

from logpr._types import END
from logpr._values._base import jsonable
from logpr.auditing._recording.given import Row, Taken
from logpr.auditing._recording.growing import Growing
from logpr.errors import QueryError
from logpr.numerics import logsumexp

Step: TypeAlias = dict[str, Any]

_BLOCK = 2**16
_COLUMNS = 512


@final
class CompactFile:
    """The lines that compact records are written to, each on the disk before `commit` returns.

    Args:
        path: the file.
        top: how many of a row's best tokens are kept.
        end_ids: the tokens that are END.
        append: go on behind the lines that are there.
    """

    def __init__(self, path: Path, *, top: int, end_ids: tuple[int, ...], append: bool) -> None:
        self._top = top
        self.end_ids = end_ids
        self._lock = threading.Lock()
        self._file = Growing(path)
        if self._file.end and not append:
            self._file.close()
            msg = (
                f"{path} exists; logpr.record({str(path)!r}, compact=True, append=True) goes on "
                f"behind its last line, or give another path"
            )
            raise QueryError(msg)
        _mend(self._file)

    def keep(self, row: Row, token_id: int | None, shortlist: list[int] | None, where: str) -> Step:
        """Return what is kept of one step."""
        del where
        return compact_step(
            row, token_id, top=self._top, end_ids=list(self.end_ids), shortlist=shortlist
        )

    def commit(self, fields: dict[str, Any], candidates: list[Taken]) -> None:
        """Write one record and return when it is on the disk.

        Raises:
            InputError: there is no room.
        """
        record = {**fields, "candidates": [_as_json(taken) for taken in candidates]}
        line = json.dumps(jsonable(record), allow_nan=False) + "\n"
        with self._lock:
            self._file.write(line.encode())
            self._file.commit()

    def close(self) -> None:
        """Close the file; without a line in it, it goes."""
        with self._lock:
            self._file.sealed = True
            if self._file.end:
                self._file.close()
            else:
                self._file.remove()


def mend_compact(path: Path) -> int:
    """Cut off a last line that a crash left half written, and return how many lines there are."""
    file = Growing(path)
    try:
        _mend(file)
        starts = range(0, file.end, _BLOCK)
        return sum(file.read(start, _BLOCK).count(b"\n") for start in starts)
    finally:
        file.close()


def _mend(file: Growing) -> None:
    start, tail = file.end, b""
    while start and b"\n" not in tail:
        size = min(_BLOCK, start)
        start -= size
        tail = file.read(start, size) + tail
    tail = tail[tail.rfind(b"\n") + 1 :]
    if not tail:
        return
    try:
        json.loads(tail)
    except ValueError:
        file.cut(file.end - len(tail))
    else:
        file.write(b"\n")  # whole, but for its end: an editor may have saved it so


def compact_step(
    row: Row,
    token_id: int | None,
    *,
    top: int,
    end_ids: list[int],
    shortlist: list[int] | None = None,
) -> Step:
    """Return the compact record of one step, every number a float64 of the row as it was given.

    `token_id` None asks for END: the id -1, with the logsumexp of the end ids' logits.

    Args:
        row: logits [vocab].
        token_id: the token that was chosen.
        top: how many of the best tokens are kept, best first, ties by smaller id; −inf is not.
        end_ids: the tokens that are END.
        shortlist: the ids that the scorer had to choose from.
    """
    if row.dtype == np.float16:
        row = row.astype(np.float32)  # the same numbers, which a processor can compute with
    best = _best(row, min(top, len(row)))
    out: Step = {
        "token_id": END if token_id is None else token_id,
        "logit": float(logsumexp(row[end_ids]) if token_id is None else row[token_id]),
        "logz": float(logsumexp(row)),
        "top_ids": best.tolist(),
        "top_logits": row[best].astype(np.float64).tolist(),
    }
    if shortlist is not None:
        out["shortlist_ids"] = shortlist
        out["shortlist_logits"] = row[np.asarray(shortlist, dtype=np.int64)].astype(float).tolist()
    return out


def _best(row: Row, count: int) -> Int64[np.ndarray, " best"]:
    if count == 0:
        return np.empty(0, dtype=np.int64)
    maxima = row
    if len(row) >= _COLUMNS > count:
        # Each column's maximum is an entry of its own, so the count-th largest of them is no larger
        # than the count-th largest entry, and is found in a fraction of the time.
        maxima = row[: len(row) // _COLUMNS * _COLUMNS].reshape(-1, _COLUMNS).max(axis=0)
    least = np.partition(maxima, len(maxima) - count)[len(maxima) - count]
    near = np.flatnonzero(row >= least if least > -np.inf else row > -np.inf)
    return near[np.argsort(-row[near], kind="stable")[:count]]


def _as_json(taken: Taken) -> dict[str, Any]:
    out = taken.claimed()
    if taken.token_ids is not None:
        out["token_ids"] = taken.token_ids
    if taken.kept:
        out["steps"] = taken.kept
    elif taken.shortlist_ids is not None:
        out["shortlist_ids"] = taken.shortlist_ids
    return out
