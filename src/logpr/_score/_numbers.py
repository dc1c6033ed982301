"""Scores of candidates that bring their own numbers; no model is run."""

from __future__ import annotations

from logpr._engine import Job, run
from logpr._score._assemble import Facts, Scored, score_of
from logpr._score._jobs import Finish, Window, among_ids, among_logprob, split
from logpr._score._settings import Settings
from logpr._score.encode import end_ids_of, name_of
from logpr._score.given import check_token_logprobs, model_of_logits
from logpr._values import Candidate, Provenance, Query, Score
from logpr._version import __version__
from logpr.errors import ModelOutputError, NumbersError, QueryError
from logpr.models.base import Model

_LISTED = 5
"""How many candidates a warning names."""


def finish_given(query: Query, window: Window) -> list[Finish | None]:
    """Return how candidates are finished that bring their own numbers; None for the others."""
    out: list[Finish | None] = [None] * len(query.candidates)
    for index, candidate in enumerate(query.candidates):
        if candidate.token_logprobs is not None and candidate.logits is None:
            check_token_logprobs(query, candidate, index)
            _refuse_given(query, index, window.settings)
            out[index] = _fixed(_score_token_logprobs(query, candidate, index, window.model))
    if any(candidate.logits is not None for candidate in query.candidates):
        for index, scored in _score_logits(query, window):
            out[index] = _fixed(scored)
    return out


def _fixed(scored: Scored) -> Finish:
    return lambda _: scored


def _refuse_given(query: Query, index: int, settings: Settings, *, among: bool = False) -> None:
    """Refuse what numbers that came with a candidate cannot answer.

    `among`: whether they cover the vocabulary.
    """
    for asked, what in (
        (settings.neutral is not None, "rule pmi"),
        (settings.among is not None and not among, "rule vocab_subset"),
        (settings.joint, "joint"),
    ):
        if asked:
            msg = (
                f"{name_of(query, index)} brings its own numbers, from which {what} cannot be "
                f"told; leave them out and name a model (--model), or ask for another rule"
            )
            raise QueryError(msg)


def _given_warnings(query: Query, model: Model | None) -> tuple[str, ...]:
    if model is None:
        return ()
    if any(candidate.needs_model for candidate in query.candidates):
        return (_mixed(query),)
    note = (
        "given_numbers: the candidate's own numbers are used, and the model for nothing; leave out "
        "its token_logprobs or logits to have it scored by the model"
    )
    return (note,)


def _mixed(query: Query) -> str:
    given = [index for index, item in enumerate(query.candidates) if not item.needs_model]
    listed = ", ".join(map(str, given[:_LISTED]))
    more = f" and {len(given) - _LISTED} more" if len(given) > _LISTED else ""
    whose = f"candidate {listed}" if len(given) == 1 else f"candidates {listed}{more}"
    return (
        f"given_numbers: the numbers that {whose} brought stand beside the model's, and can be "
        f"compared with those only if they are of the same model; leave out token_logprobs and "
        f"logits to have all scored by the model"
    )


def _given_facts(
    query: Query, candidate: Candidate, index: int, provenance: Provenance, model: Model | None
) -> Facts:
    return Facts(
        index=index,
        text=candidate.text,
        prompt_ids=query.prompt_ids,
        token_ids=candidate.token_ids,
        token_texts=None,
        token_spans=None,
        verdict="given",
        policy=query.boundary,
        end=query.effective_end,
        prompt_covered=None,
        warnings=_given_warnings(query, model),
        provenance=provenance,
    )


def _score_token_logprobs(
    query: Query, candidate: Candidate, index: int, model: Model | None
) -> Scored:
    end = query.effective_end
    provenance = Provenance(
        model=None, boundary=query.boundary, end=end, bos=query.bos, logpr=__version__
    )
    score = score_of(
        _given_facts(query, candidate, index, provenance, model),
        candidate.token_logprobs or (),
        candidate.end_logprob if end == "stop" else None,
    )
    return Scored(score=score)


def _score_logits(query: Query, window: Window) -> list[tuple[int, Scored]]:
    settings = window.settings
    dump, ids = model_of_logits(query)
    end = query.effective_end
    end_ids = end_ids_of(query, model=window.model, settings=settings)
    chosen = [
        index for index, candidate in enumerate(query.candidates) if candidate.logits is not None
    ]
    _refuse_given(query, chosen[0], settings, among=True)
    among = among_ids(settings, dump)
    context = query.prompt_ids or ()
    jobs = [Job(context, ids[index], end_ids, among, name_of(query, index)) for index in chosen]
    try:
        results = run(dump, jobs, evidence=settings.asked)
    except ModelOutputError as error:
        raise NumbersError(str(error)) from error
    provenance = Provenance(
        model=dump.provenance,
        boundary=query.boundary,
        end=end,
        bos=query.bos,
        end_ids=end_ids,
        logpr=__version__,
    )
    out: list[tuple[int, Scored]] = []
    for index, job in zip(chosen, results, strict=True):
        logprobs, end_logprob = split(job, end_ids)
        score: Score = score_of(
            _given_facts(query, query.candidates[index], index, provenance, window.model),
            logprobs,
            end_logprob,
            job=job,
            model=dump,
        )
        share = among_logprob(job, ids[index], among, logprobs)
        out.append((index, Scored(score=score, among_logprob=share)))
    return out
