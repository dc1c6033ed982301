"""`logpr score`: log Pr(y | x) of given continuations, token by token."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import typer
from rich.text import Text

import logpr
from logpr._score import WINDOW
from logpr._score._settings import DEFAULT_ALTERNATIVES, DEFAULT_MARGINAL_BUDGET
from logpr._types import JsonValue
from logpr._values import Query, Score, jsonable
from logpr.cli import _options as opt
from logpr.cli._asked import Asked
from logpr.cli._command import corrected, given
from logpr.cli._files import (
    FileOptions,
    announce,
    identity,
    require_model,
    running,
    worked,
)
from logpr.cli._lists import ids_of
from logpr.cli._model import ModelChoice
from logpr.cli._say import emit, say, shown
from logpr.errors import QueryError
from logpr.io import RecordStream, score_record_of
from logpr.models.base import Model
from logpr.tokens.chat import assistant_turns

_DECISIVE = (
    *("evidence", "alternatives", "truncate", "special", "end_ids", "marginal_budget", "joint"),
)

EXAMPLES = (
    "logpr score --prompt 'The cat sat on the' ' warm mat'",
    "logpr score --prompt 'The cat sat on the' ' warm mat' --evidence",
    "logpr score --prompt 'The cat sat on the' ' warm mat' --joint --json",
    "logpr score --messages chat.json --turns all --model ./my-chat-model",
    "logpr score claims.jsonl --model builtin -o scored.jsonl --tokens",
)


def score(
    context: typer.Context,
    inputs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="FILE | CANDIDATE",
            help="A file of records (- is stdin); after --prompt: the continuations to score.",
            show_default=False,
        ),
    ] = None,
    *,
    prompt: opt.Prompt = None,
    prompt_ids: opt.PromptIds = None,
    messages: opt.Messages = None,
    turns: Annotated[
        Literal["last", "all"],
        typer.Option(
            help="Of --messages without a candidate: which assistant turns are scored.",
            rich_help_panel=opt.ASKED,
        ),
    ] = "last",
    candidate_ids: opt.CandidateIds = None,
    token_logprobs: opt.TokenLogprobs = None,
    end_logprob: opt.EndLogprob = None,
    model: opt.Model = None,
    dtype: opt.Dtype = None,
    device: opt.Device = None,
    executor: opt.Executor = None,
    adapter: opt.Adapter = None,
    trust_remote_code: opt.TrustRemoteCode = False,
    batch_invariant: opt.BatchInvariant = False,
    joint: Annotated[
        bool,
        typer.Option(
            "--joint", help="Also log Pr(x) and log Pr(x, y).", rich_help_panel=opt.MEANING
        ),
    ] = False,
    end: opt.End = None,
    end_ids: opt.EndIds = None,
    boundary: opt.Boundary = "separate",
    bos: opt.Bos = "auto",
    special: opt.Special = "auto",
    truncate: opt.Truncate = None,
    marginal_budget: opt.MarginalBudget = DEFAULT_MARGINAL_BUDGET,
    map: opt.Map = None,  # noqa: A002 - the option's name
    template: opt.Template = None,
    sep: opt.Sep = None,
    format: opt.Format = None,  # noqa: A002 - the option's name
    on_error: opt.OnError = "stop",
    rejects: opt.Rejects = None,
    window: opt.Window = WINDOW,
    restart: opt.Restart = False,
    output: opt.Output = None,
    json: opt.Json = False,
    tokens: opt.Tokens = False,
    evidence: opt.Evidence = False,
    alternatives: opt.Alternatives = DEFAULT_ALTERNATIVES,
    show: opt.Show = 1,
) -> None:
    """Score continuations of a prompt: log Pr(continuation | prompt), token by token.

    The sum starts at the continuation's first token, and each term is normalised over the model's
    whole vocabulary.
    """
    asked = Asked(
        context=context,
        inputs=tuple(inputs or ()),
        prompt=prompt,
        prompt_ids=prompt_ids,
        messages=messages,
        candidate_ids=tuple(candidate_ids or ()),
        token_logprobs=tuple(token_logprobs or ()),
        end_logprob=tuple(end_logprob or ()),
        end=end,
        boundary=boundary,
        bos=bos,
        sep=sep,
    )
    choice = ModelChoice(
        model=model,
        dtype=dtype,
        device=device,
        executor=executor,
        adapter=adapter,
        trust_remote_code=trust_remote_code,
        batch_invariant=batch_invariant,
    )
    settings = logpr.Settings(
        evidence=evidence,
        alternatives=alternatives,
        truncate=truncate,
        special=special,
        end_ids=None if end_ids is None else ids_of(end_ids, "--end-ids"),
        joint=joint,
        marginal_budget=marginal_budget,
    )
    scorer = Scorer(settings=settings, tokens=tokens or evidence)
    of_turns = messages is not None and not (asked.inputs or candidate_ids or token_logprobs)
    if given(context, "turns") and not of_turns:
        msg = "--turns says which turns of --messages are scored, where no candidate is given"
        raise QueryError(msg)
    if asked.on_the_line:
        query = asked.query()
        queries = _turns(query, turns) if of_turns else [query]
        needed = any(item.needs_model for query in queries for item in query.candidates)
        lm = choice.load() if needed else choice.load_named(context)
        _said(queries, scorer.score(queries, lm), tokens=scorer.tokens, json=json)
        return
    files = FileOptions(
        format=format,
        map=map,
        template=template,
        sep=sep,
        on_error=on_error,
        rejects=rejects,
        window=window,
        restart=restart,
        output=output,
        json=json,
    )
    source = asked.file()
    if source is None:
        command = corrected(context, [" warm mat"], {"prompt": "The cat sat on the"})
        msg = f"nothing to score: give a FILE, or a prompt and what comes after it:\n  {command}"
        raise QueryError(msg)
    stream = files.open(source, end=end, boundary=boundary, bos=bos)
    announce(stream)
    if model is None:
        require_model(context, stream, source)
    _many(stream, scorer, choice.load_named(context), files, show=show)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scorer:
    """How queries are scored. `tokens`: whether what comes out says each token."""

    settings: logpr.Settings
    tokens: bool

    def score(self, queries: Sequence[Query], model: Model | None) -> list[tuple[Score, ...]]:
        """Return the scores of the candidates of queries that share one window."""
        return list(
            logpr.score_many(
                queries, model=model, settings=self.settings, window=max(1, len(queries))
            )
        )

    def decisive(self) -> dict[str, JsonValue]:
        """Return all that decides the bytes of the output, beside the model and the input."""
        chosen = {name: jsonable(getattr(self.settings, name)) for name in _DECISIVE}
        return {"verb": "score", "logpr": logpr.__version__, "tokens": self.tokens, **chosen}


def _turns(query: Query, turns: Literal["last", "all"]) -> list[Query]:
    found = assistant_turns(query.messages or ())
    if not found:
        msg = (
            "--messages hold no assistant turn to score; end them with one, or write the candidate "
            "after the options"
        )
        raise QueryError(msg)
    return [
        Query.of(
            messages=before,
            candidates=(content,),
            end=query.end,
            boundary=query.boundary,
            bos=query.bos,
            id=number,
        )
        for number, (before, content) in enumerate(found)
    ][0 if turns == "all" else -1 :]


def _said(
    queries: Sequence[Query], rows: Sequence[tuple[Score, ...]], *, tokens: bool, json: bool
) -> None:
    if json:
        for query, row in zip(queries, rows, strict=True):
            emit(score_record_of(row, id=query.id, tokens=tokens, query=query))
    else:
        shown(*(score for row in rows for score in row))


def _many(
    stream: RecordStream, scorer: Scorer, model: Model | None, files: FileOptions, *, show: int
) -> None:
    count = 0
    decisive = {**scorer.decisive(), **identity(model)}
    with running(stream, files, decisive) as run:
        for record, scores in worked(run, lambda queries: scorer.score(queries, model)):
            run.write(
                score_record_of(
                    scores,
                    id=record.query.id,
                    tokens=scorer.tokens,
                    query=record.query,
                    fields=record.fields,
                )
            )
            if files.target is None and count < show:
                shown(Text(f"{record.where}, id {record.query.id}"), *scores, Text())
            count += 1
            # Of candidates that brought their numbers no model is known.
            asked = [score for score in scores if score.boundary != "given"]
            if run.provenance is None or run.provenance.model is None:
                run.provenance = (asked or scores)[0].provenance
        records = run.records
    if files.target is None:
        more = f", {count - show} of them not shown" if count > show else ""
        say(f"scored {records} records{more}; all of them: -o FILE.jsonl, or --json")
    elif files.json and not files.rows_on_stdout:
        emit({"records": records, "rejected": run.rejected})
