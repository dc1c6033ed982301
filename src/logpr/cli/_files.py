"""A file of records: read, worked on window by window, written so that it can be resumed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import typer

from logpr._types import Bos, Boundary, End, JsonValue
from logpr._values import Query
from logpr.cli._command import corrected
from logpr.cli._progress import Meter
from logpr.cli._say import say
from logpr.errors import InputError, QueryError
from logpr.io import Record, RecordStream, Run, describe, open_run, parse_mapping, read_records
from logpr.io.formats import Format
from logpr.io.stream import OnError
from logpr.models.base import Model

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class FileOptions:
    """How a file is read, and where its results go."""

    format: Format | None
    map: str | None
    template: str | None
    sep: str | None
    on_error: OnError
    rejects: str | None
    window: int
    restart: bool
    output: str | None
    json: bool

    @property
    def target(self) -> str | None:
        """Return where records are written: a file, "-" for stdout, or None for views alone."""
        return "-" if self.output is None and self.json else self.output

    @property
    def rows_on_stdout(self) -> bool:
        """Return whether stdout is taken by records, so that everything else goes to stderr."""
        return self.target == "-"

    def open(self, source: str, *, end: End | None, boundary: Boundary, bos: Bos) -> RecordStream:
        """Return the records of `source`."""
        return read_records(
            source,
            format=self.format,
            mapping=None if self.map is None else parse_mapping(self.map),
            template=self.template,
            sep=self.sep,
            end=end,
            boundary=boundary,
            bos=bos,
            on_error=self.on_error,
        )


def announce(stream: RecordStream) -> None:
    """Say the recognised shape, and the first prompt and candidate with their boundary."""
    for line in describe(stream).splitlines():
        say(line)


def require_model(context: typer.Context, stream: RecordStream, source: str) -> None:
    """Refuse a file whose rows need a model where none was named.

    Raises:
        QueryError: with the command as it should be typed.
    """
    record = stream.peek()
    if record is not None:
        require_model_for(context, record, source)


def require_model_for(context: typer.Context, record: Record, source: str) -> None:
    """Refuse a record that needs a model where none was named.

    Raises:
        QueryError: with the command as it should be typed.
    """
    if not any(item.needs_model for item in record.query.candidates):
        return
    command = corrected(context, [source], {"model": "builtin"})
    msg = (
        f"{record.where}: its candidates need a model, and none was named (rows that bring their "
        f"own logits or token_logprobs do not); say which, for instance the built-in one:\n"
        f"  {command}"
    )
    raise QueryError(msg)


def identity(model: Model | None) -> dict[str, JsonValue]:
    """Return what of a model decides the numbers, for a run to know itself by."""
    if model is None:
        return {"model": None}
    told = model.provenance
    return {
        "model": told.model,
        "weights": told.weights_digest,
        "tokenizer": told.tokenizer_digest,
        "dtype": told.dtype,
        "refines": told.refines,
        "device": told.device,
        "executor": told.executor,
    }


@contextmanager
def running(
    stream: RecordStream, options: FileOptions, decisive: Mapping[str, JsonValue]
) -> Iterator[Run]:
    """Yield the run that writes the results, and say at its end what was put aside.

    `decisive` is all that decides the output's bytes beside the input and how it is read.
    """
    with open_run(
        stream,
        options.target,
        options=decisive,
        rejects=options.rejects,
        window=options.window,
        restart=options.restart,
    ) as run:
        if run.resumed_records:
            say(
                f"going on after {run.resumed_records} records of an unfinished run of {run.target}"
            )
        try:
            yield run
        except KeyboardInterrupt:
            if run.resumable:
                say(f"finished windows are kept: the same command goes on in {run.target}.part")
            raise
    if run.rejected:
        rows = "row was" if run.rejected == 1 else "rows were"
        say(f"{run.rejected} {rows} put aside, each with its reason: {run.rejects_path}")
    if run.target is not None:
        say(f"wrote {run.records} records to {run.target}")


def worked(
    run: Run,
    work: Callable[[Sequence[Query]], Sequence[T]],
    after: Callable[[], None] = lambda: None,
) -> Iterator[tuple[Record, T]]:
    """Yield each record that is left to do with its result; one that fails is put aside, or raised.

    A window shares its prefixes. Where it fails, its records are tried one by one, so that the
    error names its row and the others are done. `after` is called at the end of each window, just
    before what was written is made safe.
    """
    with Meter.of(run.stream.source) as meter:
        for window in run:
            if window:
                yield from _of_window(run, window, work)
            after()
            meter.advance(run.stream.read)


def _of_window(
    run: Run, window: Sequence[Record], work: Callable[[Sequence[Query]], Sequence[T]]
) -> Iterator[tuple[Record, T]]:
    if len(window) > 1:
        try:
            results = work([record.query for record in window])
        except InputError:
            pass  # of one of them: which one is found below
        else:
            yield from zip(window, results, strict=True)
            return
    for record in window:
        try:
            (result,) = work([record.query])
        except InputError as error:
            run.reject(record, error)
        else:
            yield record, result
