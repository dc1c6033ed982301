"""The file that is left of a recording: recorded logits, and what was claimed beside them.

prompt_ids, prompt_offsets, token_ids, offsets, logits, end_ids   as `logpr.models.logits` reads
claims  [bytes]  UTF-8 lines of JSON: first which recording it was, then one a record, without
                 the ids and rows that stand in the other arrays; each takes as many
                 continuations, in order, as it has candidates
"""

from __future__ import annotations

import io
import json
import os
import sys
import zipfile
from array import array
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol, final, runtime_checkable

import numpy as np
from numpy.lib import format as npy

from logpr.auditing._recording.given import Row
from logpr.auditing._recording.journal import Journal, part_of
from logpr.errors import InputError, MissingFileError, NumbersError, QueryError
from logpr.models.logits.dump import refuse_no_archive

_VERSION = 1
_IDS = ("prompt_ids", "prompt_offsets", "token_ids", "offsets", "end_ids")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """One record as it is stored: `claims` without ids and rows.

    `tokens` and `places` have one entry a candidate; `places` says where each of its rows is.
    """

    claims: dict[str, Any]
    prompt_ids: list[int]
    tokens: list[list[int]]
    places: list[Sequence[int]]
    dtype: np.dtype[Any]
    width: int
    ended: bool


@runtime_checkable
class _Source(Protocol):
    def stored(self) -> Iterator[Stored]: ...

    def row(self, place: int) -> Row: ...


@final
class _Journalled:
    """A journal, seen as records whose rows are in it."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self.row = journal.row

    def stored(self) -> Iterator[Stored]:
        for record in self._journal.stored():
            candidates = record["candidates"]
            own = {"token_ids", "places", "dtype", "width", "ended"}
            yield Stored(
                claims={
                    **{name: value for name, value in record.items() if name != "prompt_ids"},
                    "candidates": [
                        {name: value for name, value in item.items() if name not in own}
                        for item in candidates
                    ],
                },
                prompt_ids=record["prompt_ids"],
                tokens=[item["token_ids"] for item in candidates],
                places=[item["places"] for item in candidates],
                dtype=np.result_type(*(item["dtype"] for item in candidates)),
                width=candidates[0]["width"],
                ended=candidates[0]["ended"],
            )


@final
class Dump:
    """A file of recorded logits and claims, read record by record: rows stay on the disk.

    Raises:
        MissingFileError: it does not exist.
        NumbersError: it is no such file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        if not path.is_file():
            part = part_of(path)
            msg = f"{path} does not exist" + (
                f"; the recording was cut short: logpr.auditing.recover({str(path)!r}) makes it of "
                f"{part}"
                if part.is_file()
                else f"; record it: with logpr.record({str(path)!r}) as recorder"
            )
            raise MissingFileError(msg)
        refuse_no_archive(path)
        try:
            with path.open("rb") as opened, np.load(opened, allow_pickle=False) as arrays:
                self._ids = {name: arrays[name] for name in _IDS}
                lines = arrays["claims"].tobytes().splitlines()
            self._archive = zipfile.ZipFile(path)
        except Exception as error:  # zipfile, KeyError, struct: whatever another file provokes
            msg = (
                f"{path} holds no claims beside its logits ({error}); a file that logpr.record "
                f"wrote does. As evidence for claims of another file: --model logits:{path}"
            )
            raise NumbersError(msg) from error
        head = json.loads(lines[0])
        self.journal = str(head["journal"])
        self.end_ids = tuple(self._ids["end_ids"].tolist())
        self._claims = lines[1:]
        self.records = len(self._claims)
        self._rows: IO[bytes] = self._archive.open("logits.npy")
        read = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
        shape, _, self.dtype = read[npy.read_magic(self._rows)](self._rows)
        self._start = self._rows.tell()
        self.width = shape[1]
        self.ended = shape[0] != len(self._ids["token_ids"])

    def stored(self) -> Iterator[Stored]:
        """Yield the records in order."""
        cuts, prompt_cuts = self._ids["offsets"], self._ids["prompt_offsets"]
        i = row = 0
        for line in self._claims:
            claims = json.loads(line)
            tokens: list[list[int]] = []
            places: list[Sequence[int]] = []
            prompt_ids = self._ids["prompt_ids"][prompt_cuts[i] : prompt_cuts[i + 1]].tolist()
            for _ in claims["candidates"]:
                tokens.append(self._ids["token_ids"][cuts[i] : cuts[i + 1]].tolist())
                places.append(range(row, row + len(tokens[-1]) + self.ended))
                row += len(places[-1])
                i += 1
            yield Stored(
                claims=claims,
                prompt_ids=prompt_ids,
                tokens=tokens,
                places=places,
                dtype=self.dtype,
                width=self.width,
                ended=self.ended,
            )

    def row(self, place: int) -> Row:
        """Return one row of logits; in order, each is read once."""
        size = self.width * self.dtype.itemsize
        target = self._start + place * size
        if self._rows.tell() != target:
            self._rows.seek(target)
        return np.frombuffer(self._rows.read(size), dtype=self.dtype)

    def close(self) -> None:
        """Close the file."""
        self._rows.close()
        self._archive.close()


@final
class DumpFile:
    """A dump that is being recorded: a journal beside it until it is closed.

    Args:
        path: the dump.
        end_ids: the tokens that are END; None takes those of what is there already.
        dtype: what rows are rounded to; None keeps each as it came.
        append: go on behind the records that are there.

    Raises:
        QueryError: it exists and `append` was not said, or has other end ids.
        NumbersError: it exists and is no recording.
    """

    def __init__(
        self, path: Path, *, end_ids: tuple[int, ...] | None, dtype: str | None, append: bool
    ) -> None:
        self._path = path
        part = part_of(path)
        if path.exists() and not append:
            msg = (
                f"{path} exists; logpr.record({str(path)!r}, append=True) goes on behind its last "
                f"record, or give another path"
            )
            raise QueryError(msg)
        before = None
        if path.exists():
            with closing(Dump(path)) as before:
                if end_ids not in {None, before.end_ids}:
                    msg = (
                        f"{path} was recorded with end_ids={list(before.end_ids)}, and they are "
                        f"now {list(end_ids or ())}; give the same, or another path"
                    )
                    raise QueryError(msg)
                end_ids = before.end_ids
        self._journal = Journal(part, end_ids=end_ids, dtype=dtype)
        if before is not None:
            if before.journal == self._journal.id:
                # The last recording ended between putting its file in place and removing this.
                self._journal.restart(before.end_ids)
            self._journal.follow(before.width, ended=before.ended)
        self.end_ids = self._journal.end_ids
        self.keep = self._journal.keep
        self.commit = self._journal.commit

    def close(self) -> None:
        """Turn the journal into the dump.

        Raises:
            InputError: there is no room; the journal is kept.
        """
        self._journal.seal()
        publish(self._path, self._journal)


def publish(path: Path, journal: Journal) -> int:
    """Turn a journal into its file, behind the records it holds already, and remove the journal.

    A reader sees the old file or the whole new one. Cut short, it can be called again.

    Returns:
        How many records the file holds.

    Raises:
        InputError: there is no room; the journal is kept.
    """
    held = 0
    try:
        if path.exists():
            with closing(Dump(path)) as before:
                held = before.records
                # Else it is in there already: the end came between renaming and removing.
                if before.journal != journal.id and journal.records:
                    _write(path, [before, _Journalled(journal)], journal)
                    held += journal.records
        elif journal.records:
            _write(path, [_Journalled(journal)], journal)
            held = journal.records
        journal.remove()
    except OSError as error:
        msg = (
            f"{path} cannot be written: {error.strerror}; all that was recorded is in "
            f"{part_of(path)}: make room and run logpr.auditing.recover({str(path)!r})"
        )
        raise InputError(msg) from error
    finally:
        journal.close()
    return held


def _write(path: Path, sources: Sequence[_Source], journal: Journal) -> None:
    ids = {name: array("q") for name in ("prompt_ids", "token_ids")}
    cuts = {name: array("q", [0]) for name in ("prompt_offsets", "offsets")}
    head = json.dumps({"claims": _VERSION, "journal": journal.id}).encode() + b"\n"
    size, rows, width = len(head), 0, 0
    dtype: np.dtype[Any] | None = None
    for stored in _all(sources):
        size += len(_line(stored))
        dtype = stored.dtype if dtype is None else np.result_type(dtype, stored.dtype)
        width = stored.width
        for tokens, places in zip(stored.tokens, stored.places, strict=True):
            ids["prompt_ids"].extend(stored.prompt_ids)
            ids["token_ids"].extend(tokens)
            cuts["prompt_offsets"].append(len(ids["prompt_ids"]))
            cuts["offsets"].append(len(ids["token_ids"]))
            rows += len(places)
    temporary = path.with_name(f"{path.name}.tmp")
    with temporary.open("wb") as file:
        with zipfile.ZipFile(file, "w") as archive:
            for name, flat in {**ids, **cuts, "end_ids": journal.end_ids}.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                    npy.write_array(member, np.asarray(flat, dtype=np.int64), allow_pickle=False)
            with archive.open("claims.npy", "w", force_zip64=True) as member:
                member.write(_header(np.dtype(np.uint8), (size,)))
                member.write(head)
                for stored in _all(sources):
                    member.write(_line(stored))
            with archive.open("logits.npy", "w", force_zip64=True) as member:
                member.write(_header(np.dtype(dtype), (rows, width)))
                for source in sources:
                    for stored in source.stored():
                        for places in stored.places:
                            for place in places:
                                member.write(source.row(place).astype(dtype).tobytes())
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    if sys.platform != "win32":  # which opens no folders
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            # The name has to be on the disk before the journal is gone from it.
            os.fsync(folder)
        finally:
            os.close(folder)


def _all(sources: Sequence[_Source]) -> Iterator[Stored]:
    for source in sources:
        yield from source.stored()


def _line(stored: Stored) -> bytes:
    return json.dumps(stored.claims).encode() + b"\n"


def _header(dtype: np.dtype[Any], shape: tuple[int, ...]) -> bytes:
    head = {"descr": npy.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    out = io.BytesIO()
    npy.write_array_header_1_0(out, head)
    return out.getvalue()
