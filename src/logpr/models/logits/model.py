"""Recorded logits behind the seam to models: the row after a prefix is the one recorded there."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypeAlias, final

import numpy as np
from jaxtyping import Float

from logpr._types import FloatVocab, IntNodes
from logpr._values import ModelProvenance
from logpr.errors import NumbersError
from logpr.models._digest import bytes_digest, weights_digest
from logpr.models._head import next_rows, score_nodes
from logpr.models._options import LoadOptions, refuse_unused
from logpr.models._versions import library_versions
from logpr.models.base import NO_EVIDENCE, EdgeScores, Evidence, NextRows
from logpr.models.logits.dump import Recording, read_dump
from logpr.tokens.pack import ROOT, Pack

Row: TypeAlias = Float[np.ndarray, " vocab"]
Rows: TypeAlias = Float[np.ndarray, "rows vocab"]

_ROUNDINGS = 8
"""Two runs of one model differ by its rounding; two rows that differ by more contradict."""

_FLOAT32_ROUNDINGS = 128
"""In float32 company in a batch moves a row by more than its last rounding, and still by little."""

_BFLOAT16_EPS = 2.0**-7
_TELLING = 64
"""So many numbers are not all short by chance; three that a person typed may be."""

_SHOWN = 12


def open_logits(rest: str, options: LoadOptions) -> LogitsModel:
    """Return the model of `logits:FILE`.

    Args:
        rest: the file's path.
        options: `batch_invariant` is taken, and true in any case.
    """
    # Each row is read by itself: what else is asked changes no bit.
    refuse_unused(options, backend="logits", takes=("batch_invariant",))
    return LogitsModel.from_file(Path(rest).expanduser())


@final
class LogitsModel:
    """Implements `Model`, `Predictive` and `Unconditional` from rows that were recorded.

    A row is found by its whole prefix, prompt and tokens so far, whatever the continuation it was
    recorded for. Rows keep the dtype they came in and are scored in float64.

    Args:
        recordings: at least one.
        name: what messages and provenance call it.
        end_ids: the tokens that are END.
        digest: of what the rows were read from.

    Raises:
        NumbersError: recordings with nan or +inf, of unequal width, with ids beyond it, or with
            rows that contradict each other at one prefix.
    """

    __slots__ = ("_children", "_name", "_places", "_rows", "_tokens", "end_ids", "provenance")

    def __init__(
        self,
        recordings: Sequence[Recording],
        *,
        name: str,
        end_ids: tuple[int, ...] = (),
        digest: str | None = None,
    ) -> None:
        if not recordings:
            msg = f"{name}: no recorded logits; give at least one (prompt_ids, token_ids, rows)"
            raise NumbersError(msg)
        self._name = name
        self.end_ids = end_ids
        # Prefixes share one trie of (node, token) pairs, as TokenTrie's do; the root is ROOT.
        self._children: dict[tuple[int, int], int] = {}
        self._rows: list[Row] = []
        self._places: dict[int, tuple[int, str]] = {}
        width = recordings[0].rows.shape[1]
        for recording in recordings:
            _check(recording, width)
            self._add(recording)
        for token in end_ids:
            if not 0 <= token < width:
                msg = f"{name}: the end id {token} is outside the vocabulary of {width}"
                raise NumbersError(msg)
        self.provenance = ModelProvenance(
            model=name,
            backend="logits",
            weights_digest=digest,
            dtype=str(recordings[0].rows.dtype),
            executor="replay",
            versions=library_versions("numpy"),
        )

    @classmethod
    def from_file(cls, path: str | Path) -> LogitsModel:
        """Return the model of an `.npz` or `.safetensors` file (see `logpr.models.logits.dump`).

        Args:
            path: the file.

        Raises:
            MissingFileError: it does not exist.
            NumbersError: it is not of that format, or contradicts itself.
        """
        path = Path(path)
        recordings, end_ids = read_dump(path)
        return cls(
            recordings, name=f"logits:{path}", end_ids=end_ids, digest=weights_digest([path])
        )

    @classmethod
    def from_rows(
        cls,
        records: Iterable[tuple[Sequence[int], Sequence[int], object]],
        *,
        name: str = "logits",
        end_ids: Sequence[int] = (),
    ) -> LogitsModel:
        """Return the model of (prompt_ids, token_ids, rows) triples, as records carry them inline.

        Args:
            records: rows [tokens, vocab], row i predicting token i, and one row more where END
                is scored; anything that NumPy reads as numbers.
            name: what messages and provenance call it.
            end_ids: the tokens that are END.

        Raises:
            NumbersError: rows of the wrong shape, or that contradict each other at one prefix.
        """
        recordings = [
            _recording(f"{name}, candidate {i}", prompt_ids, token_ids, rows)
            for i, (prompt_ids, token_ids, rows) in enumerate(records)
        ]
        content = b"".join(
            repr((recording.prompt_ids, recording.token_ids)).encode() + recording.rows.tobytes()
            for recording in recordings
        )
        return cls(recordings, name=name, end_ids=tuple(end_ids), digest=bytes_digest(content))

    @property
    def tokenizer(self) -> None:
        """Recorded logits know ids alone."""
        return

    @property
    def vocab_size(self) -> int:
        """The width of a row."""
        return len(self._rows[0])

    @property
    def context_length(self) -> int:
        """No limit: what was recorded was short enough."""
        return sys.maxsize

    def edges(self, pack: Pack, *, evidence: Evidence = NO_EVIDENCE) -> EdgeScores:
        """Return the log-probability of every edge of `pack`.

        Raises:
            NumbersError: a prefix was not recorded.
        """
        found: dict[int, int | None] = {ROOT: ROOT}
        nodes = zip(pack.token_ids.tolist(), pack.parents.tolist(), strict=True)
        for node, (token, parent) in enumerate(nodes):
            found[node] = self._child(found[parent], token)

        def rows_of(asked: IntNodes) -> Rows:
            return np.stack([self._row(found[node], pack, node) for node in asked.tolist()])

        return score_nodes(rows_of, pack, evidence, vocab=self.vocab_size)

    def next_logits(self, prefixes: Sequence[Sequence[int]]) -> NextRows:
        """Return the row recorded after each prefix of token ids.

        Raises:
            NumbersError: a prefix was not recorded.
        """
        rows: list[Row] = []
        for prefix in prefixes:
            node: int | None = ROOT
            for token in prefix:
                node = self._child(node, token)
            if node is None or node not in self._places:
                raise NumbersError(self._missing(prefix))
            rows.append(self._rows[self._places[node][0]])
        return next_rows(np.stack(rows) if rows else np.empty((0, self.vocab_size)))

    def start_logprobs(self) -> FloatVocab:
        """Return the log-probabilities of the first token of a sequence.

        Raises:
            NumbersError: that row was not recorded.
        """
        first: FloatVocab = self.next_logits([()]).logprobs[0]
        return first

    def _child(self, node: int | None, token: int) -> int | None:
        return None if node is None else self._children.get((node, token))

    def _row(self, found: int | None, pack: Pack, node: int) -> Row:
        if found is None or found not in self._places:
            raise NumbersError(self._missing(pack.path(node)))
        return self._rows[self._places[found][0]]

    def _missing(self, prefix: Sequence[int]) -> str:
        known = 0
        node: int | None = ROOT
        for i, token in enumerate(prefix):
            node = self._child(node, token)
            if node is None:
                break
            known = i + 1
        return (
            f"{self._name}: no logits were recorded after the token ids {_ids(prefix)}; recordings "
            f"begin with {known} of these {len(prefix)} tokens. Record that row too, or load the "
            f"model itself"
        )

    def _add(self, recording: Recording) -> None:
        node = ROOT
        for token in recording.prompt_ids:
            node = self._children.setdefault((node, token), len(self._children))
        for i, row in enumerate(recording.rows):
            self._put(node, row, f"{recording.name}, row {i}")
            if i < len(recording.token_ids):
                token = recording.token_ids[i]
                node = self._children.setdefault((node, token), len(self._children))

    def _put(self, node: int, row: Row, name: str) -> None:
        if node not in self._places:
            self._places[node] = (len(self._rows), name)
            self._rows.append(row)
            return
        place, earlier = self._places[node]
        difference = _largest_difference(self._rows[place], row)
        if difference > _rounding(self._rows[place], row):
            msg = (
                f"{name} and {earlier} stand after the same token ids and differ by up to "
                f"{difference:.6g}; one model gives one row for one prefix: record them again, "
                f"without sampling settings, dropout or unmasked padding"
            )
            raise NumbersError(msg)


def _largest_difference(a: Row, b: Row) -> float:
    with np.errstate(invalid="ignore"):
        differences = np.where(a == b, 0.0, np.abs(a.astype(np.float64) - b))
    return float(differences.max())


def _rounding(a: Row, b: Row) -> float:
    """Return by how much two runs of one model may differ, in the coarser dtype of the two.

    Rows often were float32 before they were saved as float64, so no finer than that.
    """
    eps = max(_eps(row) for row in (a, b))
    size = max(float(np.abs(row[np.isfinite(row)]).max(initial=1.0)) for row in (a, b))
    single = float(np.finfo(np.float32).eps)
    return max(_ROUNDINGS * eps, _FLOAT32_ROUNDINGS * single) * size


def _eps(row: Row) -> float:
    if row.dtype == np.float32 and len(row) >= _TELLING:
        # NumPy has no bfloat16: it comes as float32 whose lower half is empty.
        bits = np.ascontiguousarray(row).view(np.uint32)
        if not np.any(bits & np.uint32(0xFFFF)):
            return _BFLOAT16_EPS
    return float(np.finfo(row.dtype).eps)


def _recording(
    name: str, prompt_ids: Sequence[int], token_ids: Sequence[int], rows: object
) -> Recording:
    try:
        array = np.asarray(rows)
    except ValueError as error:
        msg = f"{name}: its rows of logits are of unequal length; each covers the whole vocabulary"
        raise NumbersError(msg) from error
    if array.dtype.kind in "iu":
        array = array.astype(np.float64)
    if array.ndim == 1 and not token_ids:
        array = array[None]
    if array.ndim != 2 or array.dtype.kind != "f" or array.shape[1] == 0:  # noqa: PLR2004 - rows, vocab
        msg = (
            f"{name}: its logits are {array.dtype} of shape {array.shape}; they have to be numbers "
            f"[tokens, vocab]"
        )
        raise NumbersError(msg)
    if len(array) not in {len(token_ids), len(token_ids) + 1} or not len(array):
        msg = (
            f"{name}: {len(array)} rows of logits for {len(token_ids)} tokens; row i predicts "
            f"token i, and one more row predicts END"
        )
        raise NumbersError(msg)
    return Recording(name, tuple(map(int, prompt_ids)), tuple(map(int, token_ids)), array)


def _check(recording: Recording, width: int) -> None:
    rows = recording.rows
    if rows.shape[1] != width:
        msg = (
            f"{recording.name}: rows of {rows.shape[1]} logits, where the others have {width}; "
            f"rows cover one vocabulary"
        )
        raise NumbersError(msg)
    for token in (*recording.prompt_ids, *recording.token_ids):
        if not 0 <= token < width:
            msg = f"{recording.name}: the token id {token} is outside the vocabulary of {width}"
            raise NumbersError(msg)
    top = rows.max(axis=1)  # nan where a row has any
    bad = ~np.isfinite(top)
    if bad.any():
        row = int(np.argmax(bad))
        what = "nothing but -inf" if np.isneginf(top[row]) else "nan or +inf"
        if what != "nothing but -inf":
            place = int(np.argmax(~(rows[row] < np.inf)))
            what = f"{rows[row, place]} at token {place}"
        msg = (
            f"{recording.name}, row {row}: {what}; a row of logits is finite or -inf, not all -inf"
        )
        raise NumbersError(msg)


def _ids(prefix: Sequence[int]) -> str:
    shown = [str(token) for token in prefix[-_SHOWN:]]
    return f"({'… ' if len(prefix) > _SHOWN else ''}{', '.join(shown)})"
