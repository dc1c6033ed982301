"""The same claims with one kind of evidence or another beside them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from logpr import Query
from tests.auditing.oracle import Change, Shortlists, claims
from tests.auditing.oracle_rows import Row, Rows
from tests.auditing.oracle_steps import Item, World, correct_steps, items_of

Record = dict[str, Any]


def items(asked: Sequence[Query], rows: Rows, *, end: str) -> list[Item]:
    """Return all candidates in ids, in file order."""
    return items_of(asked, World(rows=rows, end=end, boundary="separate", bos="auto"))


def read(item: Item, rows: Rows) -> list[tuple[int, Row]]:
    """Return each token of a candidate with the row that it is read in, END (-1) last."""
    return [(step.token, rows[step.prefix]) for step in correct_steps(item)]


def inline(item: Item, rows: Rows) -> Record:
    """Return whole rows of logits."""
    return {"logits": [row.u.tolist() for _, row in read(item, rows)]}


def logprobs(item: Item, rows: Rows) -> Record:
    """Return whole rows of log-probabilities."""
    return {"logprobs": [(row.u - row.z).tolist() for _, row in read(item, rows)]}


def steps(item: Item, rows: Rows, *, top: int = 12) -> Record:
    """Return the compact record: the chosen logit, logz, and so many of the largest."""
    out = []
    for token, row in read(item, rows):
        ids = row.order[:top]
        out.append(
            {
                "token_id": token,
                "logit": row.logit(token),
                "logz": row.z,
                "top_ids": ids,
                "top_logits": row.u[ids].tolist(),
            }
        )
    return {"steps": out}


KINDS = {"logits": inline, "logprobs": logprobs, "compact": steps}


def records(
    asked: Sequence[Query],
    changes: Sequence[Change],
    rows: Rows,
    *,
    kind: str | None,
    end: str = "open",
    decimals: int = 4,
    tokens: bool = False,
    shortlists: Shortlists | None = None,
    **declares: str,
) -> list[Record]:
    """Return records in ids with what was printed, and evidence of one kind beside it.

    Args:
        asked: what was scored.
        changes: by whom.
        rows: of the model.
        kind: logits, logprobs, compact; None for no evidence.
        end: declared.
        decimals: how many are printed.
        tokens: whether each step's score is printed too.
        shortlists: lists that are logged.
        declares: rule and unit.
    """
    found = claims(asked, changes, model=rows.model, rows=rows, end=end, shortlists=shortlists)
    out: list[Record] = []
    places = [0] * len(asked)
    for item in items(asked, rows, end=end):
        i = item.record
        if i == len(out):
            says = {"end": end, **declares}
            out.append(
                {
                    "id": i,
                    "prompt_ids": list(item.context),
                    "candidates": [],
                    "declares": says,
                }
            )
        assert tuple(out[i]["prompt_ids"]) == item.context, "one encoding a prompt"
        claim: Record = {
            "token_ids": list(item.tokens),
            "score": f"{found.scores[i][places[i]]:.{decimals}f}",
        }
        if tokens:
            claim["token_scores"] = [f"{v:.{decimals}f}" for v in found.tokens[i][places[i]]]
        if shortlists is not None:
            size = len(item.tokens) + (end == "stop")
            claim["shortlist_ids"] = [list(ids) for ids in shortlists[i][places[i]][:size]]
        if kind is not None:
            claim |= KINDS[kind](item, rows)
        out[i]["candidates"].append(claim)
        places[i] += 1
    return out


def dumped(asked: Sequence[Query], rows: Rows, path: Path, *, end: str = "open") -> Path:
    """Write the rows of all candidates as a file of recorded logits."""
    prompts: list[int] = []
    ids: list[int] = []
    prompt_cuts, cuts, table = [0], [0], []
    for item in items(asked, rows, end=end):
        prompts += item.context
        ids += item.tokens
        prompt_cuts.append(len(prompts))
        cuts.append(len(ids))
        table += [row.u for _, row in read(item, rows)]
    np.savez(
        path,
        prompt_ids=np.array(prompts),
        prompt_offsets=np.array(prompt_cuts),
        token_ids=np.array(ids),
        offsets=np.array(cuts),
        logits=np.stack(table),
        end_ids=np.array(rows.model.end_ids),
    )
    return path


def masses(item: Item, rows: Rows, lists: Sequence[Sequence[int]], *, forced: bool) -> list[float]:
    """Return the share of each step's distribution that its list holds, the token with it."""
    out = []
    for (token, row), ids in zip(read(item, rows), lists, strict=False):
        held = {*ids, *(row.ids(token) if forced else ())}
        out.append(math.exp(row.over(held) - row.z))
    return out
