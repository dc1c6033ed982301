"""The verb audit: which computation made these numbers, and what it did to the decisions."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from logpr._score import Settings, as_exact_model
from logpr._types import Bos, Boundary, End
from logpr._values import AuditReport, Query
from logpr.auditing.claims.printed import printed
from logpr.auditing.claims.scorers import ManyScorer, Scorer
from logpr.auditing.claims.values import Claim, ClaimRow, Declares, Printed
from logpr.auditing.reporting.report import Options, audit_rows
from logpr.auditing.responses.claims import claim_rows
from logpr.auditing.responses.report import responses_report
from logpr.auditing.search.identify import Progress
from logpr.auditing.search.measure import halves_of
from logpr.errors import (
    InputError,
    MissingFileError,
    QueryError,
    UnknownNameError,
    WrongTypeError,
)
from logpr.io._fault import shown
from logpr.io.claims import declares_of, read_claims
from logpr.io.datasets import is_dataset
from logpr.io.formats import Format, find_source
from logpr.io.responses import is_response, read_responses
from logpr.io.stream import Record, read_records
from logpr.models.base import Model


def audit(
    claims: str | Path | Iterable[object],
    *,
    model: Model | str | None = None,
    scorer: Scorer | ManyScorer | None = None,
    declares: Declares | Mapping[str, str] | None = None,
    decimals: int | None = None,
    prompt: str | None = None,
    end: End | None = None,
    boundary: Boundary = "separate",
    bos: Bos = "auto",
    end_ids: Sequence[int] | None = None,
    format: Format | None = None,  # noqa: A002 - the option's own name
    map: Mapping[str, str] | None = None,  # noqa: A002 - the option's own name
    template: str | None = None,
    sep: str | None = None,
    progress: Progress = lambda *_: None,
) -> AuditReport:
    """Return which computation made these numbers: log Pr(y | x), a known fault, or another one.

    >>> import logpr
    >>> claims = [{"prompt": "The cat sat on the", "candidates": [" mat.", " soft bed.", " of."],
    ...            "scores": ["-6.15", "-3.28", "-11.61"]}]
    >>> print(logpr.audit(claims, model="builtin").sentence)  # doctest: +SKIP

    Args:
        claims: a file of records whose candidates bring a `score` (or `token_scores`), a recording
            (`logpr.record`), a recorded API response, or a list of records, rankings or queries.
        model: from `logpr.load`, or a name that it takes. Without one the evidence is what the
            records bring: logits, full log-probabilities, a compact record, or nothing but the
            numbers.
        scorer: runs on the records, and what it returns is audited: score(prompt, candidates), or
            an object with `many(queries)`.
        declares: what the numbers are said to be: rule, end, boundary, bos, unit.
        decimals: digits after the point, where the numbers do not show them.
        prompt: what an API response answered to, where the response does not repeat it.
        end: for records that do not say, as in `score`.
        boundary: for records that do not say.
        bos: for records that do not say.
        end_ids: the end tokens, in place of those the model declares.
        format: of the file, where its name does not say it.
        map: our name of a field -> the file's; `score` names the column of claims.
        template: a Jinja template of the prompt.
        sep: put before each candidate that is text alone.
        progress: called with (what is done, how much, of how much).

    Returns:
        the report; `report.verdict`, `report.faults`, `report.exit_code`.

    Raises:
        InputError: claims that cannot be read, or fed as declared.
        ModelError: the model failed.
    """
    said = declares if isinstance(declares, Declares) else declares_of(declares or {})
    settings = Settings(end_ids=None if end_ids is None else tuple(end_ids))
    source = str(claims) if isinstance(claims, Path) else claims
    if isinstance(source, str) and source.endswith(".npz") and model is None:
        model = f"logits:{source}"
    loaded = as_exact_model(model)
    options = Options(settings=settings, halves=halves_of(loaded), progress=progress)
    if isinstance(source, (str, dict)) and _is_response(source, format):
        responses = read_responses(source)
        if loaded is None:
            return responses_report(responses)
        rows = claim_rows(responses, prompt=prompt)
        return audit_rows(rows, loaded, options)
    if prompt is not None:
        msg = "prompt is what an API response answered to; records of claims have their own"
        raise QueryError(msg)
    if scorer is not None:
        if not isinstance(source, str):
            msg = "a scorer runs on the records of a file; give its path"
            raise WrongTypeError(msg)
        stream = read_records(
            source,
            format=format,
            mapping=map,
            template=template,
            sep=sep,
            end=end,
            boundary=boundary,
            bos=bos,
        )
        return audit_rows(_scored(list(stream), scorer, said), loaded, options)
    rows = read_claims(
        source,
        format=format,
        mapping=map,
        template=template,
        sep=sep,
        end=end,
        boundary=boundary,
        bos=bos,
        declares=said,
        decimals=decimals,
        needs_prompt=loaded is not None,
    )
    return audit_rows(rows, loaded, options)


def _is_response(source: str | dict[str, Any], format: Format | None) -> bool:  # noqa: A002 - as above
    if source == "-" or (isinstance(source, str) and is_dataset(source)):
        return False
    try:
        return is_response(source)
    except MissingFileError:
        assert isinstance(source, str), "a document is no file"
        # The reader of records knows what is near.
        find_source(source, format)
        raise


def _scored(
    records: Sequence[Record], scorer: Scorer | ManyScorer, declares: Declares
) -> tuple[ClaimRow, ...]:
    """Return what a scorer says of records, as claims."""
    declared = [_declared(record, declares) for record in records]
    if isinstance(scorer, ManyScorer):
        answers: Sequence[Any] = scorer.many([record.query for record in records])
        _require_listed(answers, "the scorer's many", "one entry a record", len(records))
    else:
        answers = [_answer(scorer, record.query, record.where) for record in records]
    return tuple(
        _claims_of(record, answer, each)
        for record, answer, each in zip(records, answers, declared, strict=True)
    )


def _declared(record: Record, base: Declares) -> Declares:
    given = record.fields.get("declares")
    if given is None:
        return base
    try:
        return declares_of(given, base)
    except UnknownNameError as error:
        raise record.located(error) from error


def _answer(scorer: Scorer, query: Query, where: str) -> Any:  # noqa: ANN401 - a stranger's
    try:
        return scorer(_prompt(query), _texts(query))
    except InputError as error:
        msg = f"{where}: {error}"
        raise type(error)(msg) from error


def _require_listed(found: Any, whose: str, wanted: str, size: int | None = None) -> None:  # noqa: ANN401 - a stranger's
    if not _is_listed(found):
        msg = f"{whose} returned {shown(found)}; wanted is a list, {wanted}"
        raise WrongTypeError(msg)
    if size is not None and len(found) != size:
        msg = f"{whose} returned a list of {len(found)}; wanted is one of {size}, {wanted}"
        raise QueryError(msg)


def _is_listed(value: object) -> bool:
    # Tensors and arrays too; one without axes has a length that raises.
    try:
        return not isinstance(value, (str, bytes, Mapping)) and len(value) >= 0  # type: ignore[arg-type]
    except TypeError:
        return False


def _prompt(query: Query) -> str:
    if query.prompt is None:
        msg = (
            "a scorer is called with a prompt's text, and this record has none; give the prompt as "
            "text, or a scorer with many(queries)"
        )
        raise QueryError(msg)
    return query.prompt


def _texts(query: Query) -> list[Any]:
    return [
        list(candidate.token_ids or ()) if candidate.text is None else candidate.text
        for candidate in query.candidates
    ]


def _claims_of(record: Record, answer: Any, declares: Declares) -> ClaimRow:  # noqa: ANN401 - a stranger's
    from logpr.io._claim_values import lower_wins  # noqa: PLC0415 - pydantic, 100 ms

    # Two scores in a tuple are no scores with their tokens.
    paired = isinstance(answer, tuple) and len(answer) == 2 and all(map(_is_listed, answer))  # noqa: PLR2004 - scores and token scores
    given, tokens = answer if paired else (answer, None)
    query, where = record.query, record.where
    size = len(query.candidates)
    whose = f"{where}: the scorer"
    _require_listed(given, whose, "one score a candidate", size)
    if tokens is not None:
        _require_listed(tokens, whose, "one list of token scores a candidate", size)
        for found in tokens:
            _require_listed(found, whose, "one score a token")
    scores = [_number(score, f"{where}, score {place}") for place, score in enumerate(given)]
    claims = tuple(
        Claim(
            score=score,
            token_scores=None
            if tokens is None
            else tuple(_number(value, f"{where}, token scores {place}") for value in tokens[place]),
        )
        for place, score in enumerate(scores)
    )
    values = [score.value for score in scores]
    finite = [value for value in values if not math.isnan(value)]
    best = min if lower_wins(declares) else max
    chosen = values.index(best(finite)) if finite else None
    arm = record.fields.get("arm")
    return ClaimRow(
        query=query,
        claims=claims,
        where=where,
        declares=declares,
        chosen=chosen,
        arm=None if arm is None else str(arm),
        fields=record.fields,
    )


def _number(value: object, where: str) -> Printed:
    # Tensors and NumPy numbers become the float that they are.
    try:
        return printed(value if isinstance(value, (str, int)) else float(value))  # type: ignore[arg-type]
    except (TypeError, ValueError) as error:
        msg = f"{where} is {value!r}, no number"
        raise WrongTypeError(msg) from error
