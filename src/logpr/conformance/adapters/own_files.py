"""logpr's files of numbers, a table and recorded logits: written for each call, then replayed.

Neither can hold a whole toy, so each call writes the rows of the contexts that it asks for, which
the folder's toy gives in closed form.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import final

import numpy as np
from jaxtyping import Int64

from logpr._score import score_many
from logpr._values import Query
from logpr.conformance.adapters.own import Answer, answer
from logpr.conformance.toy import Toy, toy
from logpr.conformance.toy.export import NAME
from logpr.errors import ModelLoadError
from logpr.models._load import load

Ids = tuple[int, ...]


@final
class Written:
    """Scores by a model file that is written for each call.

    Args:
        of: whose rows.
        kind: `table` or `logits`.
    """

    def __init__(self, of: Toy, kind: str) -> None:
        self._toy = of
        self._kind = kind
        self.vocab_size = of.pieces.vocab_size

    def many(self, queries: Sequence[Query]) -> list[Answer]:
        """Return the log-probability of each query's candidates, and of their tokens."""
        asked = list(dict.fromkeys(_asked(queries)))
        with tempfile.TemporaryDirectory(prefix="logpr-rows-") as folder:
            if self._kind == "table":
                name = f"table:{_write_table(self._toy, asked, Path(folder) / 'toy.json')}"
            else:
                name = f"logits:{_write_logits(self._toy, asked, Path(folder) / 'toy.npz')}"
            return [answer(scores) for scores in score_many(queries, model=load(name))]


def table(model_folder: str) -> Written:
    """Return logpr on tables of a toy's rows."""
    return Written(_toy_of(model_folder), "table")


def logits(model_folder: str) -> Written:
    """Return logpr on recorded logits of a toy."""
    return Written(_toy_of(model_folder), "logits")


def _toy_of(model_folder: str) -> Toy:
    """Return the toy that a folder holds.

    Raises:
        ModelLoadError: it holds another model.
    """
    path = Path(model_folder) / NAME
    if not path.is_file():
        msg = (
            f"{model_folder}: no {NAME}; rows are written from a toy's closed form, so give a "
            f"folder that the suite wrote: logpr check logpr:table"
        )
        raise ModelLoadError(msg)
    said = json.loads(path.read_text(encoding="utf-8"))
    return toy(said["variant"], said["architecture"])


def _asked(queries: Sequence[Query]) -> Iterator[tuple[Ids, Ids]]:
    """Yield the prompt and the tokens of each candidate."""
    for query in queries:
        for candidate in query.candidates:
            yield query.prompt_ids or (), candidate.token_ids or ()


def _write_table(of: Toy, asked: Sequence[tuple[Ids, Ids]], path: Path) -> Path:
    """Write a row for each context; one that the model cannot take gets none."""
    start = of.pieces.start_id
    starts = {prompt[:1] == (start,) for prompt, _ in asked}
    prefixes = dict.fromkeys(
        prompt + tokens[:place]
        for prompt, tokens in asked
        for place in range(len(tokens))
        if 0 < len(prompt) + place <= of.context_length
    )
    names = [f"t{token}" for token in range(of.pieces.vocab_size)]
    data = {
        "tokens": names,
        "end": [names[of.pieces.end_id]],
        "kind": "logits",
        "rows": {},
    }
    if starts == {True}:
        # A table's contexts are counted from the start token on, which they leave out.
        data["bos"] = names[start]
    if prefixes:
        rows = of.rows(prefixes)
        data["rows"] = {
            " ".join(names[token] for token in prefix[starts == {True} :]): row.tolist()
            for prefix, row in zip(prefixes, rows, strict=True)
        }
    path.write_text(json.dumps(data), encoding="utf-8")
    return path


def _write_logits(of: Toy, asked: Sequence[tuple[Ids, Ids]], path: Path) -> Path:
    """Write a row for each token of each continuation; what the model cannot take is left out."""
    kept = [
        (prompt, tokens)
        for prompt, tokens in asked
        if prompt and tokens and len(prompt) + len(tokens) <= of.context_length
    ]
    prefixes = [prompt + tokens[:place] for prompt, tokens in kept for place in range(len(tokens))]
    rows = of.rows(prefixes) if prefixes else np.empty((0, of.pieces.vocab_size))
    np.savez(
        path,
        prompt_ids=_flat([prompt for prompt, _ in kept]),
        prompt_offsets=_cuts([prompt for prompt, _ in kept]),
        token_ids=_flat([tokens for _, tokens in kept]),
        offsets=_cuts([tokens for _, tokens in kept]),
        logits=rows,
    )
    return path


def _flat(parts: Sequence[Ids]) -> Int64[np.ndarray, " tokens"]:
    return np.array([token for part in parts for token in part], dtype=np.int64)


def _cuts(parts: Sequence[Ids]) -> Int64[np.ndarray, " cuts"]:
    return np.cumsum([0, *map(len, parts)], dtype=np.int64)
