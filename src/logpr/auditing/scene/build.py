"""From records of claims and the evidence at hand to a scene: candidates in ids, and their rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from logpr._score import Settings
from logpr._score.encode import check_query, encode_candidate, end_ids_of, fitted, name_of
from logpr._values import Candidate, Query
from logpr.auditing.claims.values import ClaimRow
from logpr.auditing.scene.compact import Compact, CompactRows, compact, end_id, known_logits
from logpr.auditing.scene.inline import Recorded, full_logprobs, inline_logits
from logpr.auditing.scene.rows import ModelRows, RecordedRows, RowSource
from logpr.auditing.scene.scene import Case, Material, Scene
from logpr.errors import NumbersError, QueryError
from logpr.models.base import EncoderDecoder, Model, Predictive
from logpr.tokens.base import Tokenizer

_EPS = float(np.finfo(np.float32).eps)
_ROUNDINGS = 16.0
"""A log-softmax in float32 over logits of this size, in units of its last place."""
_MOST_PADS = 5
_KEPT = 1 << 28
"""Bytes of a model's rows that are kept for the claims asked next."""


@dataclass(frozen=True, slots=True)
class Built:
    """A scene, and where its rows come from: "model", "logits", "logprobs" or "compact"."""

    scene: Scene
    evidence: str


def queries_as_declared(rows: Sequence[ClaimRow]) -> list[Query]:
    """Return the records' queries under what their claims are declared to be."""
    return [
        replace(
            row.query,
            end=row.declares.end or row.query.end,
            boundary=row.declares.boundary or row.query.boundary,
            bos=row.declares.bos or row.query.bos,
        )
        for row in rows
    ]


def build(rows: Sequence[ClaimRow], model: Model | None, settings: Settings) -> Built | None:
    """Return the scene of all candidates, or None where there is no evidence at all.

    A model is taken before what the records bring.

    Raises:
        QueryError: a record cannot be fed as declared, or the model shows no whole rows.
    """
    queries = queries_as_declared(rows)
    for row, query in zip(rows, queries, strict=True):
        if query.boundary == "marginal":
            msg = (
                f"{row.where}: boundary 'marginal' sums over spellings and has no steps to audit; "
                f"declare 'separate' or 'joint'"
            )
            raise QueryError(msg)
    if model is not None:
        return Built(_of_model(rows, queries, model, settings), "model")
    for evidence in ("logits", "logprobs", "compact"):
        found = _recordings(rows, queries, settings, evidence)
        if any(each is not None for each in found):
            return Built(_of_records(rows, queries, found, settings, evidence), evidence)
    return None


def _recordings(
    rows: Sequence[ClaimRow], queries: Sequence[Query], settings: Settings, evidence: str
) -> list[Recorded | Compact | None]:
    """Return what each candidate of the file brought of one kind of evidence."""
    out: list[Recorded | Compact | None] = []
    end = end_id(rows) if evidence == "compact" else 0
    for row, query in zip(rows, queries, strict=True):
        known = known_logits(row, end) if evidence == "compact" else {}
        has = any(candidate.logits is not None for candidate in query.candidates)
        has |= any(claim.logprobs is not None for claim in row.claims)
        ends = end_ids_of(query, model=None, settings=settings) if has else ()
        for place, (candidate, claim) in enumerate(zip(query.candidates, row.claims, strict=True)):
            where = f"{row.where}: {name_of(query, place)}"
            if evidence == "logits":
                out.append(inline_logits(query, candidate, where, ends))
            elif evidence == "logprobs":
                out.append(full_logprobs(query, candidate, claim, where=where, end_ids=ends))
            else:
                out.append(compact(query, claim, where=where, end=end, known=known))
    return out


def _source(
    rows: Sequence[ClaimRow], found: Sequence[Recorded | Compact | None], evidence: str
) -> RowSource:
    if evidence == "compact":
        return CompactRows(
            [each if isinstance(each, Compact) else None for each in found], top=_top(rows)
        )
    return RecordedRows(
        [each.model if isinstance(each, Recorded) else None for each in found],
        raw=evidence != "logprobs",
        rest=evidence != "logits",
    )


def _top(rows: Sequence[ClaimRow]) -> int:
    """Return how many of each compact step's largest logits are known."""
    return min(
        (
            len(step.top_logits)
            for row in rows
            for claim in row.claims
            for step in claim.steps or ()
        ),
        default=0,
    )


def _of_model(
    rows: Sequence[ClaimRow], queries: Sequence[Query], model: Model, settings: Settings
) -> Scene:
    if isinstance(model, EncoderDecoder) or not isinstance(model, Predictive):
        raise QueryError(_unreadable(model))
    cases: list[Case] = []
    for record, (row, query) in enumerate(zip(rows, queries, strict=True)):
        check_query(query)
        ends = end_ids_of(query, model=model, settings=settings)
        for place, candidate in enumerate(query.candidates):
            where = f"{row.where}: {name_of(query, place)}"
            encoded = encode_candidate(query, candidate, place, model=model, settings=settings)
            encoded = fitted(
                encoded, query.effective_end, model=model, settings=settings, where=where
            )
            _check_logits(candidate, model, where)
            text = encoded.text if model.tokenizer is not None else candidate.text
            plain = query.messages is None and candidate.token_ids is None
            cases.append(
                Case(
                    number=len(cases),
                    record=record,
                    place=place,
                    material=Material(
                        encoded.context_ids,
                        encoded.token_ids,
                        ends,
                        None if text is None else len(text),
                        None if text is None else len(text.encode(errors="replace")),
                    ),
                    prompt=query.prompt if plain else None,
                    text=candidate.text if plain else None,
                    shown=candidate.text if text is None else text,
                    token_texts=encoded.token_texts,
                    merged=encoded.verdict == "merged",
                    lists=row.claims[place].shortlist_ids,
                )
            )
    tokenizer = model.tokenizer
    # The claims have noise of their own, as large as the evidence's.
    noise = max(2.0 * model.provenance.noise_per_token, _ROUNDINGS * _EPS)
    return Scene(
        cases=tuple(cases),
        source=ModelRows(model, keep=_KEPT),
        noise=noise,
        tokenizer=tokenizer,
        end_ids=settings.end_ids or model.end_ids,
        pad_ids=_pads(tokenizer, model.vocab_size),
        special_ids=_special(tokenizer, model.vocab_size),
        longest_sequence=min(model.context_length, 1 << 40),
    )


def _unreadable(model: Model) -> str:
    """Return why a model's rows are no evidence, and what is instead."""
    why = (
        "is an encoder-decoder, and an audit tries formulas of models that read x and y as one "
        "sequence"
        if isinstance(model, EncoderDecoder)
        else "shows no whole rows of logits after a prefix, which an audit reads"
    )
    return (
        f"{model.provenance.model!r} {why}; record the rows that the scorer read "
        f"(logpr.record('run.npz')) and audit the recording: logpr.audit('run.npz')"
    )


def _check_logits(candidate: Candidate, model: Model, where: str) -> None:
    """Refuse logits of a record beside a model whose rows are of another size."""
    if candidate.logits and len(candidate.logits[0]) != model.vocab_size:
        msg = (
            f"{where}: its rows of logits have {len(candidate.logits[0])} entries, and the model's "
            f"vocabulary {model.vocab_size}; leave out the model (--model) to audit against the "
            f"recorded logits, or the logits to audit against the model"
        )
        raise NumbersError(msg)


def _of_records(
    rows: Sequence[ClaimRow],
    queries: Sequence[Query],
    found: Sequence[Recorded | Compact | None],
    settings: Settings,
    evidence: str,
) -> Scene:
    cases: list[Case] = []
    for record, (row, query) in enumerate(zip(rows, queries, strict=True)):
        for place, candidate in enumerate(query.candidates):
            mine = found[len(cases)]
            text = candidate.text
            cases.append(
                Case(
                    number=len(cases),
                    record=record,
                    place=place,
                    material=Material(
                        query.prompt_ids or (),
                        candidate.token_ids or () if mine is None else mine.token_ids,
                        () if mine is None else mine.end_ids,
                        None if text is None else len(text),
                        None if text is None else len(text.encode(errors="replace")),
                    ),
                    shown=text,
                    lists=row.claims[place].shortlist_ids or _logged(row, place),
                    owner=len(cases),
                )
            )
    return Scene(
        cases=tuple(cases),
        source=_source(rows, found, evidence),
        noise=_ROUNDINGS * _EPS,
        end_ids=settings.end_ids or (),
        pad_ids=(0,),
        special_ids=settings.end_ids or (),
    )


def _logged(row: ClaimRow, place: int) -> tuple[tuple[int, ...], ...] | None:
    steps = row.claims[place].steps
    if not steps or all(step.shortlist_ids is None for step in steps):
        return None
    return tuple(step.shortlist_ids or () for step in steps)


def _pads(tokenizer: Tokenizer | None, vocab: int) -> tuple[int, ...]:
    """Return the ids that batches are padded with in people's code: declared ones, and 0."""
    found = [0]
    if tokenizer is not None:
        found += [
            token
            for token in (tokenizer.eos_id, tokenizer.bos_id, tokenizer.unk_id)
            if token is not None
        ]
        special = sorted(tokenizer.special_ids)
        found += special if len(special) <= _MOST_PADS else []
    return tuple(token for token in dict.fromkeys(found) if token < vocab)[:_MOST_PADS]


def _special(tokenizer: Tokenizer | None, vocab: int) -> tuple[int, ...]:
    ids = () if tokenizer is None else tokenizer.special_ids
    return tuple(sorted(token for token in ids if token < vocab))
