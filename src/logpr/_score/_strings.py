"""Scores of strings, over all their spellings: boundary `marginal`."""

from __future__ import annotations

from dataclasses import replace

from logpr import _marginal
from logpr._score._assemble import Facts, Scored, score_of
from logpr._score._jobs import Finish, Window
from logpr._score._settings import Settings
from logpr._score._sources import check_sourced, encode_sourced, fitted_sourced
from logpr._score.encode import name_of, needs_text
from logpr._values import Candidate, Provenance, Query
from logpr._version import __version__
from logpr.errors import QueryError
from logpr.models.base import EncoderDecoder, Predictive


def plan_marginal(
    query: Query, candidate: Candidate, index: int, end_ids: tuple[int, ...], window: Window
) -> Finish:
    model, settings = window.model, window.settings
    where = name_of(query, index)
    if not isinstance(model, Predictive | EncoderDecoder):
        msg = (
            f"{where}: boundary 'marginal' needs whole next-token distributions, which this "
            f"model does not show"
        )
        raise QueryError(msg)
    if query.prompt is None or candidate.text is None or candidate.token_ids is not None:
        msg = f"{where}: boundary 'marginal' is about strings; give prompt and candidate as text"
        raise QueryError(msg)
    if settings.joint or settings.neutral is not None or settings.among is not None:
        msg = (
            f"{where}: boundary 'marginal' goes with the standing rules only; use "
            f"boundary='separate'"
        )
        raise QueryError(msg)
    if settings.truncate is not None:
        msg = f"{where}: truncate does not go with boundary 'marginal'; shorten the prompt"
        raise QueryError(msg)
    needs_text(model.tokenizer, query, index)
    if isinstance(model, EncoderDecoder):
        found = _below_source(model, query, candidate.text, end_ids, settings, where)
    else:
        found = _marginal.marginal(
            model,
            query.prompt,
            candidate.text,
            bos=query.bos,
            special=settings.special,
            end=query.effective_end,
            end_ids=end_ids,
            budget=settings.marginal_budget,
        )
    end = query.effective_end
    facts = Facts(
        index=index,
        text=candidate.text,
        prompt_ids=None,
        token_ids=None,
        token_texts=None,
        token_spans=None,
        verdict=None,
        policy="marginal",
        end=end,
        prompt_covered=None,
        warnings=found.warnings,
        provenance=Provenance(
            model=model.provenance,
            boundary="marginal",
            end=end,
            bos=query.bos,
            end_ids=end_ids,
            logpr=__version__,
        ),
    )
    score = score_of(facts, (found.logprob,), None)
    tokens = (
        len(model.tokenizer.encode(candidate.text, parse_special=False, start=False))
        if model.tokenizer
        else 0
    )
    score = replace(
        score,
        per_token=None,
        tokens=None,
        token_logprobs=None,
        lower=found.lower,
        upper=found.upper,
        exact=found.exact,
        noise=(found.upper - found.lower) + model.provenance.noise_per_token * (tokens + 1),
    )
    return lambda _: Scored(score=score)


def _below_source(  # noqa: PLR0917 - a plan's own arguments
    model: EncoderDecoder,
    query: Query,
    y: str,
    end_ids: tuple[int, ...],
    settings: Settings,
    where: str,
) -> _marginal.Marginal:
    """Return the probability of the string y, given an x that the encoder reads."""
    check_sourced(query, where)
    encoded = encode_sourced(query.prompt or "", y, model=model, settings=settings)
    encoded = fitted_sourced(
        encoded, query.effective_end, model=model, settings=settings, where=where
    )
    found = _marginal.marginal_after(
        model.given(encoded.source_ids),
        model.decoder_start_ids,
        y,
        end=query.effective_end,
        end_ids=end_ids,
        budget=settings.marginal_budget,
    )
    return replace(found, warnings=encoded.warnings)
