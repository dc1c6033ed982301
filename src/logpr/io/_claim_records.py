"""Records that are objects of the caller's, as the rows that a file would hold."""

from __future__ import annotations

import itertools
from collections.abc import Generator, Iterable, Mapping
from typing import Any

import numpy as np

from logpr._values import Query, Ranking
from logpr.io._claim_numbers import is_number
from logpr.io._fault import RowFault, shown
from logpr.io.formats import RawRow
from logpr.io.outputs import query_row, record_of

_SCORES = ("scores", "token_scores", "token_logprobs")


def rows_of_records(records: Iterable[object]) -> Generator[RawRow]:
    """Yield the caller's records as rows, numbered from 0; numbers alone are one record."""
    rest = iter(records)
    for first in rest:
        if is_number(_plain(first)):
            yield RawRow(0, {"scores": [_plain(item) for item in (first, *rest)]})
            return
        records = itertools.chain((first,), rest)
        break
    for number, record in enumerate(records):
        try:
            yield RawRow(number, _row(record))
        except RowFault as fault:
            yield RawRow(number, None, None, fault)


def _row(record: object) -> dict[str, Any]:
    if isinstance(record, Ranking):
        return _ranking_row(record)
    if isinstance(record, Query):
        return dict(query_row(record))
    if isinstance(record, Mapping):
        return {str(name): _plain(value, str(name)) for name, value in record.items()}
    if isinstance(record, tuple) and len(record) == 3:  # noqa: PLR2004 - prompt, candidates, scores
        names = ("prompt", "candidates", "scores")
        return {name: _plain(value, name) for name, value in zip(names, record, strict=True)}
    msg = (
        f"a record is a dict, a logpr.Ranking, a logpr.Query or (prompt, candidates, scores), or "
        f"all of them are numbers, "
        f'found {shown(record)}; write {{"prompt": "The cat sat on the", "candidates": '
        f'[{{"text": " warm mat", "score": -2.4}}]}}'
    )
    raise RowFault(msg)


def _ranking_row(ranking: Ranking) -> dict[str, Any]:
    row: dict[str, Any] = record_of(ranking, tokens=True)
    policies = {score.boundary_policy for score in ranking.candidates}
    if len(policies) == 1:
        row["boundary"] = policies.pop()
    contexts = {score.prompt_ids for score in ranking.candidates if score.token_ids is not None}
    if ranking.prompt is None and len(contexts) == 1 and None not in contexts:
        # A ranking keeps no messages and no ids that it was asked with, but those that were fed.
        row |= {"prompt_ids": list(contexts.pop() or ()), "bos": "never"}
        row["candidates"] = [{**item, "boundary": "given"} for item in row["candidates"]]
    return row


def _plain(value: Any, name: str = "") -> Any:  # noqa: ANN401 - whatever the caller has
    """Return lists and numbers of any library as Python's own; other things as they are."""
    if isinstance(value, (np.float32, np.float16)):
        # At the shortest repr of their own width: they have fewer digits than a float.
        return float(str(value))
    if isinstance(value, np.ndarray) and name in _SCORES:
        return _plain(list(value), name)
    if isinstance(value, Mapping):
        return {str(name): _plain(item, str(name)) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item, name) for item in value]
    return value.tolist() if hasattr(value, "tolist") else value
