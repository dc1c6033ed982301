"""Rows in, queries out: a lazy stream of records, none of which is lost without a word."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, TypeVar

from logpr._types import Bos, Boundary, End, JsonValue
from logpr._values import Query, jsonable
from logpr.errors import LogprError, QueryError, RecordError
from logpr.io._fault import RowFault, shown
from logpr.io.datasets import Dataset, is_dataset, open_dataset
from logpr.io.formats import Format, RawRow, Source, find_source, read_csv, read_jsonl
from logpr.io.ids import SeenIds
from logpr.io.mapping import check_mapping
from logpr.io.parquet import read_parquet
from logpr.io.shapes import recognise
from logpr.io.template import PromptTemplate

OnError: TypeAlias = Literal["stop", "skip"]
"""What a row that cannot be used does: end the run, or be put aside with its reason."""

_PEEK = 1000
_E = TypeVar("_E", bound=LogprError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One row as a query.

    Args:
        query: what is asked; its id is the row's, or the row's number.
        index: the row's number from 0, rows that cannot be used included.
        line: the line it begins on from 1 (Parquet: the row's number from 1).
        where: its place as messages name it, `claims.jsonl:7`.
        shape: the shape it was recognised by.
        sep: what was put before its candidates.
        fields: its further fields, carried along to the output.
        row: the row as it was read.
    """

    query: Query
    index: int
    line: int
    where: str
    shape: str
    sep: str
    fields: dict[str, Any]
    row: dict[str, Any]

    def located(self, error: _E) -> _E:
        """Return an error of scoring this record as the same error, with its place before it."""
        return type(error)(f"{self.where}: {error}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """A row put aside; where it could not be read, `row` is None and `text` what stood there."""

    index: int
    line: int
    error: str
    row: dict[str, Any] | None = None
    text: str | None = None

    def to_dict(self) -> dict[str, JsonValue]:
        """Return it as a line of the file of rejected rows."""
        kept = {"text": self.text} if self.row is None else {"row": jsonable(self.row)}
        return {"line": self.line, "error": self.error, **kept}


class RecordStream:
    """The records of one source, in order, read once; made by `read_records`.

    `rejects` receives each row put aside; without it a stream that skips refuses to run.
    """

    def __init__(
        self,
        source: Source,
        rows: Generator[RawRow],
        convert: Callable[[dict[str, Any], int, int], Record],
        *,
        on_error: OnError,
        identity: Callable[[], dict[str, str | int] | None],
        options: dict[str, JsonValue],
    ) -> None:
        self.source = source
        self.on_error: OnError = on_error
        self.identity = identity
        self.options = options
        self.rejects: Callable[[Rejected], None] | None = None
        self.shapes: Counter[str] = Counter()
        self.read = 0
        self.rejected = 0
        self._rows = rows
        self._index = 0
        self._convert = convert
        self._ahead: deque[Record | Rejected] = deque()

    def close(self) -> None:
        """Close the file, if reading has not come to its end."""
        self._rows.close()

    def __iter__(self) -> Iterator[Record]:
        """Yield the records; rows put aside go to `rejects`.

        Raises:
            RecordError: a row cannot be used (`on_error="stop"`), or there is none at all.
        """
        for _, records, rejected in self.windows(1):
            for row in rejected:
                self.put_aside(row)
            yield from records

    def windows(self, size: int) -> Iterator[tuple[int, list[Record], list[Rejected]]]:
        """Yield (number of the window, its records, its rows put aside).

        Window w holds the rows w·size … (w + 1)·size − 1 of the source, whatever became of them:
        the cuts do not depend on what else happens.
        """
        number = 0
        records: list[Record] = []
        rejected: list[Rejected] = []
        for outcome in self._outcomes():
            if isinstance(outcome, Record):
                self.shapes[outcome.shape] += 1
                records.append(outcome)
            else:
                rejected.append(outcome)
            if (outcome.index + 1) % size == 0:
                yield number, records, rejected
                number, records, rejected = number + 1, [], []
        if records or rejected:
            yield number, records, rejected

    def put_aside(self, row: Rejected) -> None:
        """Hand a rejected row to `rejects`, and count it."""
        if self.rejects is None:
            msg = "on_error='skip' puts rows aside, and nothing takes them; read through open_run"
            raise QueryError(msg)
        self.rejected += 1
        self.rejects(row)

    def peek(self) -> Record | None:
        """Return the first record without taking it, or None where the first 1,000 rows have none.

        Raises:
            RecordError: as iterating.
        """
        for known in self._ahead:
            if isinstance(known, Record):
                return known
        while len(self._ahead) < _PEEK and (outcome := self._next()) is not None:
            self._ahead.append(outcome)
            if isinstance(outcome, Record):
                return outcome
        return None

    def _outcomes(self) -> Iterator[Record | Rejected]:
        while True:
            outcome = self._ahead.popleft() if self._ahead else self._next()
            if outcome is None:
                break
            self.read += 1
            yield outcome
        if not self.read:
            msg = f"{self.source.name} is empty: it holds no record; give a file with one a row"
            raise RecordError(msg)

    def _next(self) -> Record | Rejected | None:
        raw = next(self._rows, None)
        if raw is None:
            return None
        index, self._index = self._index, self._index + 1
        try:
            if raw.fault is not None:
                raise raw.fault
            assert raw.row is not None, "a row is read, or has a fault"
            return self._convert(raw.row, index, raw.line)
        except RowFault as fault:
            error = fault.text(self.source.where(raw.line))
            if self.on_error == "stop":
                self.close()
                raise RecordError(error) from fault
            return Rejected(index=index, line=raw.line, error=error, row=raw.row, text=raw.text)


def read_records(
    source: str,
    *,
    format: Format | None = None,  # noqa: A002 - the option's own name
    mapping: Mapping[str, str] | None = None,
    template: str | None = None,
    sep: str | None = None,
    end: End | None = None,
    boundary: Boundary = "separate",
    bos: Bos = "auto",
    on_error: OnError = "stop",
) -> RecordStream:
    """Return the records of a file as a lazy stream.

    Args:
        source: a path (.jsonl, .csv, .tsv, .parquet; .gz after one of text), `-` for stdin, a
            folder that `datasets` saved, or `dataset:NAME[:SPLIT]`.
        format: where the name does not say it; stdin is JSON Lines.
        mapping: our name of a field -> the file's (`parse_mapping`).
        template: a Jinja template of the prompt, over the row's fields.
        sep: put before each candidate that is text alone, unless the prompt is empty; None takes
            the shape's own, "" or " ".
        end: for rows that do not say; None: `stop` after messages, else `open`.
        boundary: for rows that do not say.
        bos: for rows that do not say.
        on_error: whether a row that cannot be used ends the run or is put aside.

    Raises:
        MissingFileError: there is no such file.
        MissingExtraError: the source needs `datasets`, and it is not installed.
        InputError: the source cannot be read, or an option makes no sense.
    """
    mapping = dict(mapping or {})
    check_mapping(mapping)
    rendered = None if template is None else PromptTemplate(template)
    if sep is not None:
        require_text("--sep", sep)
    opened: Dataset | Source
    opened = open_dataset(source) if is_dataset(source) else find_source(source, format)
    found = opened.source if isinstance(opened, Dataset) else opened
    convert = Converter(found, mapping, rendered, sep, (end, boundary, bos))
    return RecordStream(
        found,
        opened.read() if isinstance(opened, Dataset) else rows_of(opened),
        convert,
        on_error=on_error,
        identity=opened.identity,
        options={
            "format": found.format,
            "map": jsonable(mapping),
            "template": template,
            "sep": sep,
            "end": end,
            "boundary": boundary,
            "bos": bos,
        },
    )


def require_text(option: str, text: str) -> None:
    """Raise QueryError where an option's text has no UTF-8 form."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        msg = f"{option} {text!r} is no Unicode text: {error.reason}; write it in UTF-8"
        raise QueryError(msg) from error


def rows_of(source: Source, *, constants: bool = False) -> Generator[RawRow]:
    """Return the rows of a file, by the reader of its format; `constants` as in `read_jsonl`."""
    if source.format == "csv":
        return read_csv(source)
    return (
        read_parquet(source)
        if source.format == "parquet"
        else read_jsonl(source, constants=constants)
    )


class Converter:
    """Turns rows into records, one after the other: it remembers their ids."""

    def __init__(
        self,
        source: Source,
        mapping: dict[str, str],
        template: PromptTemplate | None,
        sep: str | None,
        defaults: tuple[End | None, Boundary, Bos],
    ) -> None:
        # pydantic takes 100 ms, which `rank --prompt` and `--help` need not wait for.
        from logpr.io.rows import Defaults, query_of  # noqa: PLC0415

        self._source = source
        self._mapping = mapping
        self._template = template
        self._sep = sep
        self._query_of = query_of
        self._defaults = Defaults(end=defaults[0], boundary=defaults[1], bos=defaults[2])
        self._seen = SeenIds(source.where)

    def __call__(self, row: dict[str, Any], index: int, line: int) -> Record:
        """Return a row as a record.

        Raises:
            RowFault: the row cannot be used.
        """
        prompt = None
        if self._template is not None:
            aliases = {ours: row[theirs] for ours, theirs in self._mapping.items() if theirs in row}
            prompt = self._template.render({**aliases, **row})
        shape, shaped = recognise(
            row, mapping=self._mapping, textual=self._source.textual, prompt=prompt
        )
        sep = shape.sep if self._sep is None else self._sep
        query = self._query_of(
            shaped.fields, names=shaped.names, sep=sep, index=index, defaults=self._defaults
        )
        name = shaped.names.get("id", "id")
        earlier = self._seen.add(
            index if query.id is None else query.id, line, given="id" in shaped.fields
        )
        if earlier is not None:
            msg = (
                f"found {shown(query.id)}, the id of {earlier} already; give each record its own, "
                f"or take another field for it: --map id=FIELD (rows without one are numbered)"
            )
            raise RowFault(msg, name)
        return Record(
            query=query,
            index=index,
            line=line,
            where=self._source.where(line),
            shape=shape.name,
            sep=sep,
            fields={name: value for name, value in row.items() if name not in shaped.used},
            row=row,
        )
