"""Claims in: records whose candidates bring the numbers that some scorer printed for them."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Generator, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from logpr._types import Bos, Boundary, End
from logpr._values import Candidate
from logpr.auditing.claims.printed import MOST_DECIMALS
from logpr.auditing.claims.values import Claim, ClaimRow, Declares, is_claimed
from logpr.errors import NumbersError, RecordError, UnknownNameError, WrongTypeError
from logpr.io._claim_fields import is_claim, take
from logpr.io._claim_numbers import WRITE, rows_of_numbers, source_of_numbers
from logpr.io._claim_records import rows_of_records
from logpr.io._fault import RowFault, shown
from logpr.io.datasets import Dataset, is_dataset, open_dataset
from logpr.io.formats import Format, RawRow, Source, find_source
from logpr.io.mapping import check_mapping, listed
from logpr.io.stream import Converter, require_text, rows_of
from logpr.io.template import PromptTemplate

if TYPE_CHECKING:
    from logpr.io._claim_fields import Taken

_RECORDED = ".npz"
_PUT_ASIDE = re.compile(r",? or (?:put (?:it|the row) aside with )?--on-error skip")


def declares_of(given: Mapping[str, Any], base: Declares | None = None) -> Declares:
    """Return {"rule": "per_token", …} as `Declares`; what is left out is as in `base`.

    Raises:
        UnknownNameError: a key, or a value, stands for nothing.
    """
    from logpr.io._claim_values import declared_by  # noqa: PLC0415 - pydantic, as below

    try:
        return declared_by(given, "declares", base or Declares())
    except RowFault as fault:
        field = "" if fault.field is None else f"{fault.field}: "
        raise UnknownNameError(field + fault.message) from fault


def read_claims(
    source: str | Iterable[object],
    *,
    format: Format | None = None,  # noqa: A002 - the option's own name
    mapping: Mapping[str, str] | None = None,
    template: str | None = None,
    sep: str | None = None,
    end: End | None = None,
    boundary: Boundary = "separate",
    bos: Bos = "auto",
    declares: Declares | None = None,
    decimals: int | None = None,
    needs_prompt: bool = False,
) -> tuple[ClaimRow, ...]:
    """Return all records of a file of claims; the arguments are those of `iter_claims`."""
    return tuple(
        iter_claims(
            source,
            format=format,
            mapping=mapping,
            template=template,
            sep=sep,
            end=end,
            boundary=boundary,
            bos=bos,
            declares=declares,
            decimals=decimals,
            needs_prompt=needs_prompt,
        )
    )


def iter_claims(
    source: str | Iterable[object],
    *,
    format: Format | None = None,  # noqa: A002 - the option's own name
    mapping: Mapping[str, str] | None = None,
    template: str | None = None,
    sep: str | None = None,
    end: End | None = None,
    boundary: Boundary = "separate",
    bos: Bos = "auto",
    declares: Declares | None = None,
    decimals: int | None = None,
    needs_prompt: bool = False,
) -> Iterator[ClaimRow]:
    """Yield the records of a file of claims, read one at a time.

    A record has a shape that `read_records` knows. Each candidate may bring `score` (or
    `logprob`), `token_scores` (or `token_logprobs`, then `end_logprob` for END), numbers or texts;
    beside texts they stand in lists: `scores`, `token_scores` (or score_0, score_1, …). A
    candidate without a number, or null, is one that nothing was claimed for; so may all of a row's
    be, but not all of the file's. Infinite numbers and NaN are claims too. Evidence: `logits` or
    `logprobs` (rows over the vocabulary, with `token_ids`), `shortlist_ids`, `steps`. Per row:
    `declares`, `chosen`, `arm`. What logpr itself wrote is read as it is: its `logprob` and
    `token_logprobs` are the claims.

    `declares` of the rows yielded says `end`, `boundary` and `bos` in full, and the query says the
    same: the row's `declares` goes before the row's own fields, these before the arguments. A row
    without a prompt has a query without one: numbers alone can be looked at too. A row that has
    claims and neither a prompt nor candidates, and a file of nothing but numbers (one a line, one
    column, a JSON list: one record), has candidates without text and ids.

    Args:
        source: as in `read_records`; an .npz that `logpr.record` wrote; or records as dicts,
            `Ranking`, `Query` or (prompt, candidates, scores), called "record 0" in messages; or
            numbers.
        format: as in `read_records`.
        mapping: as in `read_records`, and the names of claims: {"score": "my_column"}, whether
            the row has that field or its candidates.
        template: as in `read_records`.
        sep: as in `read_records`.
        end: as in `read_records`.
        boundary: as in `read_records`.
        bos: as in `read_records`.
        declares: what the numbers are declared to be, for rows that do not say.
        decimals: how many digits after the point the numbers were rounded to, where what was
            written does not show it.
        needs_prompt: whether a row without a prompt is refused, unless it brings evidence.

    Raises:
        MissingFileError: there is no such file.
        MissingExtraError: the source needs `datasets`, and it is not installed.
        RecordError: a row cannot be used; says file, line, field and value.
        InputError: the source cannot be read, or an option makes no sense.
    """
    mapping = dict(mapping or {})
    check_mapping(mapping, claims=True)
    if decimals is not None and (isinstance(decimals, bool) or not 0 <= decimals <= MOST_DECIMALS):
        msg = f"--decimals is {decimals}; give the digits after the point: 0, 1, 2, …"
        raise NumbersError(msg)
    if sep is not None:
        require_text("--sep", sep)
    base = Declares() if declares is None else declares_of(dataclasses.asdict(declares))
    found, rows = _opened(source, format, mapping, templated=template is not None)
    reader = _Reader(
        found,
        mapping,
        None if template is None else PromptTemplate(template),
        sep,
        (base.end or end, base.boundary or boundary, base.bos or bos),
        declares=base,
        decimals=decimals,
        needs_prompt=needs_prompt,
    )
    return _read(found, rows, reader)


def _read(source: Source, rows: Generator[RawRow], reader: _Reader) -> Iterator[ClaimRow]:
    index, first, claimed = -1, "", False
    for index, raw in enumerate(rows):
        try:
            if raw.fault is not None:
                raise raw.fault
            assert raw.row is not None, "a row is read, or has a fault"
            row = reader(raw.row, index, raw.line)
            first = first or row.where
            claimed = claimed or any(map(is_claimed, row.claims))
            yield row
        except RowFault as fault:
            rows.close()
            # Claims are read whole or not at all: a row put aside would change the verdict.
            said = _PUT_ASIDE.sub("", fault.text(source.where(raw.line)))
            raise RecordError(said) from fault
    if index < 0:
        name = "the list of claims" if source.format == "memory" else source.name
        msg = f"{name} is empty: it holds no record; give one with a claim a candidate"
        raise RecordError(msg)
    if not claimed:
        records = "" if index == 0 else f" in any of {index + 1} records"
        msg = (
            f'{first}: nothing was claimed{records}: add "score" to its candidates '
            '({"text": " warm mat", "score": -2.40}) or "scores", one a candidate, or say which '
            "field it is: --map score=FIELD"
        )
        raise RecordError(msg)


def _opened(
    source: str | Iterable[object],
    format: Format | None,  # noqa: A002 - the option's own name
    mapping: dict[str, str],
    *,
    templated: bool,
) -> tuple[Source, Generator[RawRow]]:
    if not isinstance(source, str):
        if isinstance(source, (Mapping, bytes)) or not isinstance(source, Iterable):
            msg = f"claims are a path, or a list of records; found {shown(source)}; write [record]"
            raise WrongTypeError(msg)
        return Source("record", "memory"), rows_of_records(source)
    if is_dataset(source):
        opened: Dataset = open_dataset(source)
        return opened.source, opened.read()
    if source.lower().endswith(_RECORDED):
        from logpr.auditing._record import read_recorded  # noqa: PLC0415 - for this format alone

        return Source(f"{source}: record", "memory"), rows_of_records(read_recorded(source))
    numbers = None if templated else source_of_numbers(source, format, mapping)
    if numbers is not None:
        mapping.clear()  # it named the column of numbers, and nothing else is there
        return numbers, rows_of_numbers(numbers)
    found = find_source(source, format)
    # A faulty scorer's numbers may be ones that JSON lacks, and Python writes them all the same.
    return found, rows_of(found, constants=True)


class _Reader:
    """Turns rows into claims, one after the other: it remembers their ids."""

    def __init__(
        self,
        source: Source,
        mapping: Mapping[str, str],
        template: PromptTemplate | None,
        sep: str | None,
        defaults: tuple[End | None, Boundary, Bos],
        *,
        declares: Declares,
        decimals: int | None,
        needs_prompt: bool,
    ) -> None:
        self._source = source
        self._mapping = dict(mapping)
        self._templated = template is not None
        self._declares = declares
        self._decimals = decimals
        self._needs_prompt = needs_prompt
        plain = {
            name: field for name, field in self._mapping.items() if not is_claim(name, mapping)
        }
        self._convert = Converter(source, plain, template, sep, defaults)

    def __call__(self, row: dict[str, Any], index: int, line: int) -> ClaimRow:
        """Return a row as claims.

        Raises:
            RowFault: the row cannot be used.
        """
        # pydantic takes 100 ms, which `--help` need not wait for.
        from logpr.io import _claim_values as values  # noqa: PLC0415

        left, taken = take(
            row, self._mapping, textual=self._source.textual, templated=self._templated
        )
        record = self._convert(left, index, line)
        claims = values.claims_of(taken, record.query, self._decimals)
        query = record.query
        declares = self._declares
        if taken.output:
            declares = dataclasses.replace(declares, rule="logprob", unit="nats")
        declares = dataclasses.replace(
            declares,
            end=query.end,
            boundary="marginal" if taken.marginal else query.boundary,
            bos=query.bos,
        )
        if "declares" in taken.row:
            declares = values.declared_by(*taken.row["declares"], declares)
        query = dataclasses.replace(
            query,
            prompt=None if taken.unprompted else query.prompt,
            candidates=(Candidate(),) * taken.bare if taken.bare else query.candidates,
            end=declares.end,
            boundary=declares.boundary or query.boundary,
            bos=declares.bos or query.bos,
        )
        known = map(_has_evidence, claims, query.candidates)
        if taken.unprompted and self._needs_prompt and not all(known):
            raise RowFault(_no_prompt(row, taken))
        return ClaimRow(
            query=query,
            claims=claims,
            where=record.where,
            declares=dataclasses.replace(declares, end=query.effective_end),
            chosen=values.chosen_of(taken, claims, declares),
            arm=values.arm_of(taken),
            fields={name: value for name, value in record.fields.items() if name not in taken.used},
        )


def _has_evidence(claim: Claim, candidate: Candidate) -> bool:
    rows = (candidate.logits, claim.logprobs, claim.steps)
    return any(evidence is not None for evidence in rows)


def _no_prompt(row: Mapping[str, Any], taken: Taken) -> str:
    if taken.bare:
        return (
            f"there are numbers and nothing that says what they are of, and a model is given; "
            f"write {WRITE}, or leave out the model: the numbers alone are looked at then"
        )
    if taken.output:
        return (
            "this is a record that logpr wrote, without its prompt; write it with --tokens, which "
            "keeps the prompt, or give no model: the numbers alone are looked at then"
        )
    return (
        f"there is no prompt among its fields ({listed(row)}), and a model is given; add "
        f'"prompt", say which field it is (--map prompt=FIELD), or leave out the model'
    )
