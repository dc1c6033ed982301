"""A window of queries, scored together: encode all, ask once, assemble all."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from logpr._engine import Job, JobScores, run
from logpr._score._assemble import Facts, Scored, dropped_score, score_of
from logpr._score._jobs import Finish, Plan, Window, among_ids, among_logprob, split
from logpr._score._numbers import finish_given
from logpr._score._settings import Settings
from logpr._score._strings import plan_marginal
from logpr._score.encode import (
    check_ids,
    check_query,
    encode_candidate,
    encode_pair,
    end_ids_of,
    fitted,
    name_of,
)
from logpr._types import End
from logpr._values import Candidate, Provenance, Query
from logpr._version import __version__
from logpr.errors import EmptyContextError, QueryError
from logpr.models.base import EncoderDecoder, Model, Unconditional
from logpr.numerics import exact_sum
from logpr.tokens.boundary import Encoded


def score_window(
    queries: Sequence[Query],
    *,
    model: Model | None,
    settings: Settings,
    only: Sequence[Collection[int]] | None = None,
) -> list[tuple[Scored, ...]]:
    """Return the scores of every query's candidates, in order; shared prefixes are computed once.

    `only` names, for each query, the candidates to score; the others are left out of its row.

    Raises:
        InputError: a query cannot be scored; the message names query, candidate and way out.
        ModelOutputError: the model returned no distribution; names query, candidate and position.
    """
    window = Window(model=model, settings=settings)
    wanted = [None] * len(queries) if only is None else only
    rows = [
        plan_query(query, window, only=chosen)
        for query, chosen in zip(queries, wanted, strict=True)
    ]
    results: list[JobScores] = []
    if window.jobs and model is not None:
        results = run(model, window.jobs, evidence=settings.asked)
    return [tuple(plan.finish(results) for plan in row) for row in rows]


def plan_query(query: Query, window: Window, *, only: Collection[int] | None = None) -> list[Plan]:
    """Return how each candidate of a query is scored, after adding its jobs to the window.

    `only` names the candidates that are; all by default.
    """
    check_query(query)
    out: list[Plan] = []
    for index, (candidate, given) in enumerate(
        zip(query.candidates, finish_given(query, window), strict=True)
    ):
        if only is not None and index not in only:
            continue
        first = len(window.jobs)
        finish = given if given is not None else _plan(query, candidate, index, window)
        out.append(Plan(finish, range(first, len(window.jobs))))
    return out


def _plan(query: Query, candidate: Candidate, index: int, window: Window) -> Finish:
    """Return how to finish a candidate that needs the model, after adding its jobs."""
    model, settings = window.model, window.settings
    where = name_of(query, index)
    if model is None:
        msg = (
            f"{where} needs a model: give model=logpr.load('builtin') or another (--model), or "
            f"the candidate's own 'token_logprobs' or 'logits'"
        )
        raise QueryError(msg)
    end = query.effective_end
    end_ids = end_ids_of(query, model=model, settings=settings)
    if query.boundary == "marginal":
        return plan_marginal(query, candidate, index, end_ids, window)
    encoded = encode_candidate(query, candidate, index, model=model, settings=settings)
    if settings.joint:
        encoded = _started(encoded, model, where)
    encoded = fitted(encoded, end, model=model, settings=settings, where=where)
    among = among_ids(settings, model)
    main = window.ask(
        Job(encoded.context_ids, encoded.token_ids, end_ids, among, where, encoded.source_ids)
    )
    joint_boundary: int | None = None
    if encoded.joint is not None:
        other = fitted(encoded.joint, end, model=model, settings=settings, where=where)
        check_ids(other, model, where)
        joint_boundary = window.ask(
            Job(other.context_ids, other.token_ids, end_ids, (), f"{where} (joint)")
        )
    neutral: int | None = None
    if settings.neutral is not None:
        continuation = encoded.token_ids if candidate.text is None else (encoded.text or "")
        plain = encode_pair(
            settings.neutral,
            continuation if candidate.token_ids is None else encoded.token_ids,
            replace(query, messages=None, prompt=settings.neutral, prompt_ids=None),
            index,
            model=model,
            settings=settings,
        )
        plain = fitted(plain, end, model=model, settings=settings, where=f"{where} (neutral)")
        neutral = window.ask(
            Job(
                plain.context_ids,
                plain.token_ids,
                end_ids,
                (),
                f"{where} (neutral)",
                plain.source_ids,
            )
        )
    prompt: int | None = None
    if settings.joint:
        start = min(encoded.bos_count, 1)
        prompt = window.ask(
            Job(
                encoded.context_ids[:start],
                encoded.context_ids[start:],
                (),
                (),
                f"{where} (its prompt)",
            )
        )
    facts = _facts(
        query, candidate, index=index, encoded=encoded, end=end, end_ids=end_ids, model=model
    )

    def finish(results: list[JobScores]) -> Scored:
        job = results[main]
        if not job.whole:
            questions = len(encoded.token_ids) + bool(end_ids)
            noise = model.provenance.noise_per_token * questions
            return Scored(score=dropped_score(facts, exact_sum(job.logprobs), noise))
        logprobs, end_logprob = split(job, end_ids)
        warnings = facts.warnings
        joint_value: float | None = None
        if joint_boundary is not None:
            joint_value = exact_sum(results[joint_boundary].logprobs)
            warnings = tuple(
                f"{warning}; under boundary 'joint' its log-probability is {joint_value:.4f}"
                if warning.startswith("merged_boundary:")
                else warning
                for warning in warnings
            )
        score = score_of(
            replace(facts, warnings=warnings),
            logprobs,
            end_logprob,
            noise_per_token=model.provenance.noise_per_token,
            job=job,
            model=model,
            joint_boundary_logprob=joint_value,
            prompt_logprob=None if prompt is None else exact_sum(results[prompt].logprobs),
        )
        return Scored(
            score=score,
            neutral_logprob=None if neutral is None else exact_sum(results[neutral].logprobs),
            among_logprob=among_logprob(job, encoded.token_ids, among, logprobs),
        )

    return finish


def _started(encoded: Encoded, model: Model, where: str) -> Encoded:
    """Return `encoded` with a start token, so that log Pr(x) has something to stand on."""
    if isinstance(model, EncoderDecoder):
        msg = (
            f"{where}: an encoder–decoder model gives log Pr(y | x) and no log Pr(x), for x is "
            f"only read; leave out joint=True (--joint)"
        )
        raise QueryError(msg)
    if encoded.bos_count or isinstance(model, Unconditional):
        return encoded
    bos = None if model.tokenizer is None else model.tokenizer.bos_id
    if bos is None:
        msg = (
            f"{where}: log Pr(x) needs a start token before x, and this model declares none; "
            f"leave out joint=True (--joint)"
        )
        raise EmptyContextError(msg)
    note = (
        "start_token_added: the model's start token is fed before x, so that log Pr(x) has a start"
    )
    joint = encoded.joint
    return replace(
        encoded,
        context_ids=(bos, *encoded.context_ids),
        bos_count=1,
        warnings=(*encoded.warnings, note),
        joint=None
        if joint is None
        else replace(joint, context_ids=(bos, *joint.context_ids), bos_count=1),
    )


def _facts(
    query: Query,
    candidate: Candidate,
    *,
    index: int,
    encoded: Encoded,
    end: End,
    end_ids: tuple[int, ...],
    model: Model,
) -> Facts:
    text = encoded.text if encoded.text is not None else candidate.text
    return Facts(
        index=index,
        text=text,
        prompt_ids=encoded.source_ids or encoded.context_ids,
        token_ids=encoded.token_ids,
        token_texts=encoded.token_texts,
        token_spans=encoded.token_spans,
        verdict=encoded.verdict,
        policy=query.boundary,
        end=end,
        prompt_covered=encoded.prompt_covered,
        warnings=encoded.warnings,
        provenance=Provenance(
            model=model.provenance,
            boundary=query.boundary,
            end=end,
            bos=query.bos,
            bos_count=encoded.bos_count,
            end_ids=end_ids,
            logpr=__version__,
        ),
    )
