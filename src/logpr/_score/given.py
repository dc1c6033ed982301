"""Scores from numbers that came with the candidate: its token log-probabilities or its logits."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from logpr._score.encode import name_of
from logpr._values import Candidate, Query
from logpr.errors import NumbersError, QueryError
from logpr.models.logits import LogitsModel

ROUNDING = 1e-6
"""How far above zero a printed log-probability of (nearly) one may lie."""


def check_token_logprobs(query: Query, candidate: Candidate, index: int) -> None:
    """Refuse numbers that cannot be log-probabilities.

    Raises:
        NumbersError: a value is NaN or above zero.
        QueryError: their number is not the number of tokens, or END is missing.
    """
    where = name_of(query, index)
    values = candidate.token_logprobs or ()
    if candidate.token_ids is not None and len(candidate.token_ids) != len(values):
        msg = (
            f"{where}: {len(values)} token_logprobs for {len(candidate.token_ids)} token_ids; "
            f"give one a token (END goes into end_logprob)"
        )
        raise QueryError(msg)
    named = [(f"token_logprobs[{i}]", value) for i, value in enumerate(values)]
    if candidate.end_logprob is not None:
        named.append(("end_logprob", candidate.end_logprob))
    for name, value in named:
        if math.isnan(value) or value > ROUNDING:
            msg = (
                f"{where}: {name} is {value}, which is no log-probability (they are at most 0); "
                f"if these are logits, give them as 'logits', one row of the vocabulary a token"
            )
            raise NumbersError(msg)
    if query.effective_end == "stop" and candidate.end_logprob is None:
        msg = f"{where}: end is 'stop' and there is no end_logprob; give it, or use end='open'"
        raise QueryError(msg)


def model_of_logits(query: Query) -> tuple[LogitsModel, list[tuple[int, ...]]]:
    """Return the query's inline logits as a model, and the token ids of each candidate.

    Candidates without logits get ().

    Raises:
        QueryError: logits without token_ids, or their rows are not one a token.
        NumbersError: rows contradict each other at one prefix.
    """
    rows: list[tuple[tuple[int, ...], tuple[int, ...], np.ndarray]] = []
    ids: list[tuple[int, ...]] = []
    for index, candidate in enumerate(query.candidates):
        if candidate.logits is None:
            ids.append(())
            continue
        where = name_of(query, index)
        if candidate.token_ids is None:
            msg = f"{where}: logits need token_ids beside them (which entry of each row was chosen)"
            raise QueryError(msg)
        check_rows(
            candidate.logits,
            len(candidate.token_ids),
            end_scored=query.effective_end == "stop",
            where=where,
        )
        table = np.asarray(candidate.logits, dtype=np.float64)
        if len(candidate.logits) == 0:
            table = table.reshape(0, 0)
        if table.shape[0]:
            for position, token in enumerate(candidate.token_ids):
                if not 0 <= token < table.shape[1]:
                    msg = (
                        f"{where}: token id {token} at position {position} is outside the logits' "
                        f"vocabulary of {table.shape[1]} (ids 0 to {table.shape[1] - 1})"
                    )
                    raise NumbersError(msg)
            rows.append((query.prompt_ids or (), candidate.token_ids, table))
        ids.append(candidate.token_ids)
    name = "logits of the record" if query.id is None else f"logits of record {query.id!r}"
    return LogitsModel.from_rows(rows, name=name), ids


def check_rows(
    logits: Sequence[Sequence[float]], tokens: int, *, end_scored: bool, where: str
) -> None:
    """Refuse rows of unequal width, in the wrong number, or with NaN or +inf."""
    wanted = (tokens + 1,) if end_scored else (tokens, tokens + 1)
    if len(logits) not in wanted:
        expected = f"{tokens + 1} (the last predicts END)" if end_scored else f"{tokens}"
        msg = (
            f"{where}: {len(logits)} rows of logits for {tokens} token_ids; expected {expected}: "
            f"row i predicts token i"
        )
        raise QueryError(msg)
    for i, row in enumerate(logits):
        if len(row) != len(logits[0]):
            msg = f"{where}: logits[{i}] has {len(row)} entries, logits[0] has {len(logits[0])}"
            raise NumbersError(msg)
        for j, value in enumerate(row):
            if math.isnan(value) or value == math.inf:
                msg = (
                    f"{where}: logits[{i}][{j}] is {value}, which gives no distribution; "
                    f"logits are finite (or -Infinity for a masked token)"
                )
                raise NumbersError(msg)
