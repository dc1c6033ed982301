"""Evidence of a scorer in production: what it computed and what it printed, for a later audit."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, TypeAlias, final

import numpy as np

from logpr._values._base import jsonable
from logpr.auditing._recording.candidate import CandidateRecorder
from logpr.auditing._recording.compact import CompactFile, mend_compact
from logpr.auditing._recording.dump import Dump, DumpFile, publish
from logpr.auditing._recording.given import check_id, ids_of
from logpr.auditing._recording.journal import Journal, part_of
from logpr.errors import MissingFileError, NumbersError, QueryError, WrongTypeError

__all__ = ["CandidateRecorder", "QueryRecorder", "Recorder", "read_recorded", "record", "recover"]

RowDtype: TypeAlias = Literal["float16", "float32", "float64"]

_OWN = frozenset({"id", "prompt", "prompt_ids", "messages", "candidates", "chosen", "arm"})


def record(
    path: str | Path,
    *,
    compact: bool = False,
    top: int = 50,
    dtype: RowDtype | None = None,
    end_ids: Iterable[int] | None = None,
    append: bool = False,
) -> Recorder:
    """Return a recorder of what a scorer computes, in a file that `logpr audit` reads.

    Whole rows go to an `.npz` that is also a model of recorded logits (`logits:FILE.npz`). Until
    the recorder is closed they stand in `FILE.npz.part`; where a crash has left one, recording
    under the same name goes on behind it. A compact record, a line of JSON in a `.jsonl`, keeps of
    each step the chosen logit, logz, the best tokens and the shortlist: no row, and no text unless
    it is given.

    Args:
        path: the file; it ends in `.npz`, or in `.jsonl` where `compact`.
        compact: keep a few numbers a step.
        top: how many of the best tokens a compact record keeps at each step.
        dtype: what whole rows are rounded to. None keeps each as it came (the file takes the
            widest), bfloat16 as float32.
        end_ids: the tokens that are END; needed where rows that predict END are recorded.
        append: go on behind a file that exists, which is refused otherwise.

    Raises:
        QueryError: the file exists, is being written, or an option does not go with the others.
        NumbersError: a file to append to is no recording.
        InputError: the file cannot be written.
    """
    place = Path(path)
    suffix = ".jsonl" if compact else ".npz"
    if place.suffix.lower() != suffix:
        other = "compact=False" if compact else "compact=True"
        msg = (
            f"record({str(path)!r}, compact={compact}): the file ends in {suffix}; give "
            f"{str(place.with_suffix(suffix))!r}, or {other}"
        )
        raise QueryError(msg)
    if top < 0:
        msg = f"top is {top}; give 0 to keep none of the best tokens, or a number above"
        raise QueryError(msg)
    if compact and dtype is not None:
        msg = f"dtype={dtype!r} is for whole rows, and compact=True keeps none; leave one out"
        raise QueryError(msg)
    ends = None if end_ids is None else tuple(ids_of(list(end_ids), "end_ids"))
    if compact:
        return Recorder(CompactFile(place, top=top, end_ids=ends or (), append=append))
    return Recorder(DumpFile(place, dtype=dtype, end_ids=ends, append=append))


@final
class Recorder:
    """What `record` returns: it takes records, from any thread, until it is closed.

    What `add` or the block of `query` has returned from is on the disk, whatever comes after.
    """

    __slots__ = ("_file", "_numbers", "_process")

    def __init__(self, file: CompactFile | DumpFile) -> None:
        self._file = file
        self._numbers = itertools.count()
        self._process = os.getpid()

    def add(
        self,
        *,
        candidates: Sequence[Mapping[str, Any]],
        prompt: str | None = None,
        prompt_ids: object = None,
        id: str | int | None = None,  # noqa: A002 - the field's name
        chosen: int | None = None,
        arm: str | None = None,
        fields: Mapping[str, Any] | None = None,
    ) -> None:
        """Record a query and its candidates at once.

        Args:
            candidates: of each what is at hand of `token_ids`, `logits` ([tokens, vocab], row i
                predicting token i, and one row more where END is scored), `score`, `token_scores`,
                `shortlist_ids` (a list a row) and `text`. Numbers may be text: "-2.30" has been
                printed with two decimals.
            prompt: its text, where there are no ids.
            prompt_ids: the ids that the first token was scored after, start token included.
            id: what the record is called.
            chosen: which candidate was taken; without it the one with the largest score.
            arm: the arm of an A/B test.
            fields: what else the record is to carry: `label`, `declares`, names of your own.

        Raises:
            QueryError: something is missing, or does not go with the rest.
            NumbersError: rows with nan or +inf, of unequal width, or without the chosen id.
            InputError: there is no room.
        """
        with self.query(prompt=prompt, prompt_ids=prompt_ids, id=id, arm=arm, fields=fields) as one:
            for given in candidates:
                one.candidate().fill(given)
            if chosen is not None:
                one.choose(chosen)

    def query(
        self,
        *,
        prompt: str | None = None,
        prompt_ids: object = None,
        id: str | int | None = None,  # noqa: A002 - the field's name
        arm: str | None = None,
        fields: Mapping[str, Any] | None = None,
    ) -> QueryRecorder:
        """Return a block that is recorded when it ends, for candidates that come step by step.

        A block that ends with an exception is not recorded. Arguments and errors: as `add`.
        """
        if os.getpid() != self._process:
            msg = (
                f"this recorder was opened by process {self._process}, and this is process "
                f"{os.getpid()}; open one in each process, with a path of its own: "
                f"logpr.record(f'dump-{{os.getpid()}}.npz')"
            )
            raise QueryError(msg)
        number = next(self._numbers)
        where = f"record {number}" if id is None else f"record {id!r}"
        if (prompt is None) == (prompt_ids is None):
            msg = f"{where}: give one of prompt and prompt_ids (an empty prompt is prompt_ids=[])"
            raise QueryError(msg)
        known: dict[str, Any] = {"id": id, "prompt": prompt, "arm": arm}
        if prompt_ids is not None:
            known["prompt_ids"] = ids_of(prompt_ids, f"{where}: prompt_ids")
        return QueryRecorder(
            self._file,
            where,
            {name: value for name, value in known.items() if value is not None},
            _extra(fields or {}, where),
        )

    def close(self) -> None:
        """Finish the file; called again it does nothing.

        Raises:
            InputError: there is no room; what was recorded is kept in the journal.
        """
        # A process that was forked off must not finish the file of the one it came from.
        if os.getpid() == self._process:
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # After an exception too: what was recorded before it is evidence.
        self.close()


@final
class QueryRecorder:
    """One query while its candidates come in; it is recorded when its `with` block ends."""

    __slots__ = ("_candidates", "_chosen", "_extra", "_fields", "_file", "_where")

    def __init__(
        self,
        file: CompactFile | DumpFile,
        where: str,
        fields: dict[str, Any],
        extra: dict[str, Any],
    ) -> None:
        self._file = file
        self._where = where
        self._fields = fields
        self._extra = extra
        self._chosen: int | None = None
        self._candidates: list[CandidateRecorder] = []

    def candidate(self, *, text: str | None = None) -> CandidateRecorder:
        """Return the next candidate; several may grow side by side."""
        where = f"{self._where}, candidate {len(self._candidates)}"
        made = CandidateRecorder(self._file, where, text=text)
        self._candidates.append(made)
        return made

    def choose(self, index: int) -> None:
        """Say which candidate was taken; without it, it is the one with the largest score."""
        self._chosen = index

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self._commit()

    def _commit(self) -> None:
        if not self._candidates:
            msg = f"{self._where}: no candidates; give at least one, or do not record it"
            raise QueryError(msg)
        fields = dict(self._fields)
        if self._chosen is not None:
            if not 0 <= self._chosen < len(self._candidates):
                msg = (
                    f"{self._where}: chosen is {self._chosen}, and there are "
                    f"{len(self._candidates)} candidates; give an index from 0 to "
                    f"{len(self._candidates) - 1}"
                )
                raise QueryError(msg)
            fields["chosen"] = self._chosen
        taken = [candidate.taken() for candidate in self._candidates]
        widths = {one.width for one in taken if one.width is not None}
        if len(widths) > 1:
            listed = " and ".join(map(str, sorted(widths)))
            msg = (
                f"{self._where}: rows of {listed} logits; the candidates of a record are scored "
                f"over one vocabulary: record each model's by itself"
            )
            raise NumbersError(msg)
        for width in widths:
            for place, token in enumerate(fields.get("prompt_ids", ())):
                check_id(token, width, self._where, f"prompt_ids[{place}],")
        self._file.commit({**fields, **self._extra}, taken)
        # Entered again, the block would record the same candidates twice.
        self._candidates = []


def _extra(fields: Mapping[str, Any], where: str) -> dict[str, Any]:
    clash = sorted(_OWN & set(fields))
    if clash:
        msg = f"{where}: fields holds {', '.join(clash)}; give it as {clash[0]}=…"
        raise QueryError(msg)
    try:
        plain: Any = jsonable(dict(fields))
    except TypeError as error:
        msg = f"{where}: fields cannot be written as JSON ({error}); give text, numbers and lists"
        raise WrongTypeError(msg) from error
    return dict(plain)


def recover(path: str | Path) -> int:
    """Finish a recording that was cut short; of one that was not, touch nothing.

    A journal `FILE.npz.part` becomes `FILE.npz`, behind the records that are there. A line of
    `FILE.jsonl` that was half written is cut off.

    Args:
        path: what was given to `record`.

    Returns:
        How many records the file holds.

    Raises:
        MissingFileError: there is neither a file nor a journal.
        QueryError: a recorder is still writing it.
    """
    place = Path(path)
    if place.suffix.lower() == ".jsonl":
        if not place.is_file():
            msg = f"{place} does not exist; give the path that logpr.record was given"
            raise MissingFileError(msg)
        return mend_compact(place)
    if part_of(place).is_file():
        return publish(place, Journal(part_of(place)))
    with closing(Dump(place)) as dump:
        return dump.records


def read_recorded(path: str | Path, *, rows: bool = True) -> Iterator[dict[str, Any]]:
    """Yield the records of an `.npz` that `record` wrote, one at a time.

    Each has `prompt_ids`, `candidates` (`token_ids`, `logits` [rows, vocab], and what was given of
    `score`, `token_scores`, `shortlist_ids`, `text`), and what was given of `id`, `chosen`, `arm`
    and further fields.

    Args:
        path: the file.
        rows: whether `logits` are read.

    Raises:
        MissingFileError: it does not exist.
        NumbersError: it holds no claims.
    """
    with closing(Dump(Path(path))) as dump:
        for stored in dump.stored():
            claims = dict(stored.claims)
            given = claims.pop("candidates")
            candidates = []
            for i, own in enumerate(given):
                candidate = {"token_ids": stored.tokens[i], **own}
                if rows:
                    candidate["logits"] = np.stack([dump.row(at) for at in stored.places[i]])
                candidates.append(candidate)
            yield {**claims, "prompt_ids": stored.prompt_ids, "candidates": candidates}
