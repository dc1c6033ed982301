"""A conditional table behind the seam to models: Pr(next token | context) looked up, in float64."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeAlias, final

import numpy as np
from jaxtyping import Float64

from logpr._types import FloatVocab
from logpr._values import ModelProvenance
from logpr.errors import NumbersError
from logpr.models._digest import bytes_digest
from logpr.models._head import next_logprob_rows, next_rows, score_nodes
from logpr.models._options import LoadOptions, refuse_unused
from logpr.models._versions import library_versions
from logpr.models.base import NO_EVIDENCE, EdgeScores, Evidence, NextRows
from logpr.models.table.reading import read_data
from logpr.models.table.spec import Table, table_of
from logpr.tokens.pack import ROOT, Pack
from logpr.tokens.tokenizer import WordTokenizer

Context: TypeAlias = tuple[int, ...] | None
"""What a row is looked up by; None is a context that no key of the table can equal."""

FloatRowsVocab: TypeAlias = Float64[np.ndarray, "rows vocab"]


def open_table(rest: str, options: LoadOptions) -> TableModel:
    """Return the model of `table:FILE`.

    Args:
        rest: the file's path.
        options: `batch_invariant` is taken, and true in any case.
    """
    # Each row is read by itself: what else is asked changes no bit.
    refuse_unused(options, backend="table", takes=("batch_invariant",))
    return TableModel.from_file(Path(rest).expanduser())


@final
class TableModel:
    """Implements `Model`, `Predictive` and `Unconditional` from a table of rows.

    A context is all tokens so far, or the last `order` of them, without the start token, whose
    own probability is 1: with or without it the first token is read in the row of "".
    """

    __slots__ = ("_longest", "_name", "_table", "_tokenizer", "provenance")

    def __init__(self, table: Table, *, name: str, digest: str) -> None:
        self._table = table
        self._name = name
        self._longest = max(map(len, table.places), default=0)
        self._tokenizer = WordTokenizer(
            table.tokens,
            bos=None if table.bos_id is None else table.tokens[table.bos_id],
            end=tuple(table.tokens[token] for token in table.end_ids),
        )
        self.provenance = ModelProvenance(
            model=name,
            backend="table",
            weights_digest=digest,
            tokenizer_digest=self._tokenizer.digest,
            versions=library_versions("numpy"),
        )

    @classmethod
    def from_dict(cls, data: Mapping[str, object], *, name: str = "table") -> TableModel:
        """Return the table of plain data: the keys of a table file.

        Args:
            data: tokens, kind, rows, and where wanted bos, end, order, default.
            name: what messages and provenance call it.

        Raises:
            NumbersError: it is no table.
        """
        text = json.dumps(data, default=str)
        return cls(table_of(data, name), name=name, digest=bytes_digest(text.encode()))

    @classmethod
    def from_file(cls, path: str | Path) -> TableModel:
        """Return the table of a YAML or JSON file.

        Args:
            path: the file.

        Raises:
            MissingFileError: it does not exist.
            NumbersError: it is malformed, or no table.
        """
        path = Path(path)
        data, raw = read_data(path)
        return cls(table_of(data, str(path)), name=f"table:{path}", digest=bytes_digest(raw))

    @property
    def tokenizer(self) -> WordTokenizer:
        """The table's own tokens, as words."""
        return self._tokenizer

    @property
    def vocab_size(self) -> int:
        """The tokens, and one more for a start token that is not among them."""
        return len(self._table.tokens)

    @property
    def context_length(self) -> int:
        """No limit."""
        return sys.maxsize

    @property
    def end_ids(self) -> tuple[int, ...]:
        """The tokens under `end` in the file."""
        return self._table.end_ids

    def edges(self, pack: Pack, *, evidence: Evidence = NO_EVIDENCE) -> EdgeScores:
        """Return the log-probability of every edge of `pack`.

        Raises:
            NumbersError: a context has no row, and there is no default.
        """
        places = self._places(pack)
        return score_nodes(
            lambda nodes: self._table.rows[[places[node] for node in nodes.tolist()]],
            pack,
            evidence,
            vocab=self.vocab_size,
            logits=self._table.logits,
        )

    def next_logits(self, prefixes: Sequence[Sequence[int]]) -> NextRows:
        """Return the row after each prefix of token ids.

        Raises:
            NumbersError: a context has no row, and there is no default.
        """
        places: list[int] = []
        for prefix in prefixes:
            context: Context = ()
            for position, token in enumerate(prefix):
                context = self._after(context, token, position)
            place = self._place(context)
            if place is None:
                raise NumbersError(self._missing(prefix))
            places.append(place)
        rows: FloatRowsVocab = self._table.rows[np.asarray(places, dtype=np.int64)]
        return next_rows(rows) if self._table.logits else next_logprob_rows(rows)

    def start_logprobs(self) -> FloatVocab:
        """Return the log-probabilities of the first token of a sequence."""
        first: FloatVocab = self.next_logits([()]).logprobs[0]
        return first

    def _places(self, pack: Pack) -> dict[int, int]:
        """Return the row of each node that is asked, walking the pack once, parents first."""
        contexts: dict[int, Context] = {ROOT: ()}
        nodes = zip(
            pack.token_ids.tolist(), pack.parents.tolist(), pack.depths.tolist(), strict=True
        )
        for node, (token, parent, position) in enumerate(nodes):
            contexts[node] = self._after(contexts[parent], token, position)
        out: dict[int, int] = {}
        for node in dict.fromkeys(pack.edge_nodes.tolist()):
            place = self._place(contexts[node])
            if place is None:
                raise NumbersError(self._missing(pack.path(node)))
            out[node] = place
        return out

    def _after(self, context: Context, token: int, position: int) -> Context:
        """Return the context with one more token; None once no row of the table can match."""
        table = self._table
        if context is None or (position == 0 and token == table.bos_id):
            return context
        longer = (*context, token)
        if table.order is not None:
            return longer[max(0, len(longer) - table.order) :]
        # Longer than every key: no row matches, and going on would cost the square of the length.
        return longer if len(longer) <= self._longest else None

    def _place(self, context: Context) -> int | None:
        default = self._table.default
        return default if context is None else self._table.places.get(context, default)

    def _missing(self, path: Sequence[int]) -> str:
        table = self._table
        tokens = path[1:] if path and path[0] == table.bos_id else path
        if table.order is not None:
            tokens = tokens[max(0, len(tokens) - table.order) :]
        key = " ".join(table.tokens[token] for token in tokens)
        return (
            f"{self._name} has no row for the context {key!r}: add {key!r}: […] under rows, or "
            f"default: […] for every context that is not listed"
        )
