"""`logpr rank`: candidates in order of log Pr(y | x), from the command line or a file."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import typer

import logpr
from logpr._rank import check_top
from logpr._rules import Rule, rule_named
from logpr._score import WINDOW
from logpr._score._settings import DEFAULT_ALTERNATIVES, DEFAULT_MARGINAL_BUDGET
from logpr._types import JsonValue
from logpr._values import Query, Ranking, jsonable
from logpr.cli import _options as opt
from logpr.cli._asked import Asked
from logpr.cli._beside import beside
from logpr.cli._explained import index_of, write_index_of_run, write_page
from logpr.cli._files import (
    FileOptions,
    announce,
    identity,
    require_model,
    running,
    worked,
)
from logpr.cli._lists import ids_of, tokens_of
from logpr.cli._model import BUILTIN, ModelChoice
from logpr.cli._say import emit, say, shown
from logpr.cli._tally import Tally
from logpr.errors import RecordError
from logpr.io import RecordStream, Run, record_of
from logpr.io.writers import write_whole
from logpr.models.base import Model
from logpr.report.terminal import rankings_summary

SAMPLE = str(Path(__file__).with_name("sample.jsonl"))
_DECISIVE = ("evidence", "alternatives", "truncate", "special", "end_ids", "marginal_budget")

EXAMPLES = (
    "logpr rank",
    "logpr rank --prompt 'The cat sat on the' ' warm mat' ' plush rug'",
    "logpr rank --token-logprobs=-0.9,-1.5 --token-logprobs=-1.2,-1.1 'warm mat' 'plush rug'",
    "logpr rank questions.jsonl --model builtin",
    "logpr rank --prompt A ' '{little,big,old,red}' '{girl,hedgehog,crocodile} --top 1",
    "logpr rank questions.jsonl --model ./my-model -o ranked.parquet --by subject",
    "logpr rank table.csv --map prompt=context,candidates=options --model builtin",
    "cat questions.jsonl | logpr rank - --model builtin --json",
    "logpr rank questions.jsonl --model builtin --explain decisions.html",
)


def rank(
    context: typer.Context,
    inputs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="FILE | CANDIDATE",
            help="A file of records (- is stdin); after --prompt: its candidates. None: a sample.",
            show_default=False,
        ),
    ] = None,
    *,
    prompt: opt.Prompt = None,
    prompt_ids: opt.PromptIds = None,
    messages: opt.Messages = None,
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
    rule: opt.Rule = "logprob",
    neutral: opt.Neutral = "",
    among: opt.Among = None,
    top: opt.Top = None,
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
    by: opt.By = None,
    window: opt.Window = WINDOW,
    restart: opt.Restart = False,
    output: opt.Output = None,
    json: opt.Json = False,
    tokens: opt.Tokens = False,
    evidence: opt.Evidence = False,
    alternatives: opt.Alternatives = DEFAULT_ALTERNATIVES,
    show: opt.Show = 1,
    explain: Annotated[
        str | None,
        typer.Option(
            metavar="FILE.html",
            help="Also write why the first is first, as a page; of a file an index, the most "
            "surprising decisions first.",
            rich_help_panel=opt.OUTPUT,
        ),
    ] = None,
) -> None:
    """Rank the candidates of a prompt by log Pr(candidate | prompt).

    A FILE has a record a row: prompt and candidates (with a label, accuracy is reported), or one
    of the shapes that other projects use. With no input at all, a sample that ships with logpr is
    ranked by the built-in model.
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
    chosen = rule_named(rule, neutral=neutral, among=None if among is None else tokens_of(among))
    check_top(top, chosen)
    settings = logpr.Settings(
        evidence=evidence,
        alternatives=alternatives,
        truncate=truncate,
        special=special,
        end_ids=None if end_ids is None else ids_of(end_ids, "--end-ids"),
        marginal_budget=marginal_budget,
    )
    ranker = Ranker(rule=chosen, settings=settings, tokens=tokens or evidence, top=top)
    if asked.on_the_line:
        page = None if explain is None else beside("--explain", explain, "why.html")
        query = asked.query()
        needed = any(candidate.needs_model for candidate in query.candidates)
        lm = choice.load() if needed else choice.load_named(context)
        (ranking,) = ranker.rank([query], lm)
        why = None if page is None else logpr.explain(ranking, model=lm, settings=settings)
        _one(ranking, query, tokens=ranker.tokens, json=json)
        if page is not None and why is not None:
            write_page(why, page)
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
    index = (
        None if explain is None else beside("--explain", explain, "decisions.html", source=source)
    )
    if source is None:
        say(
            "no input: ranking the sample that ships with logpr by the built-in model. Your own:\n"
            "  logpr rank --prompt PROMPT CANDIDATE CANDIDATE ...\n"
            "  logpr rank FILE --model MODEL"
        )
        choice = replace(choice, model=choice.model or BUILTIN)
    stream = files.open(source or SAMPLE, end=end, boundary=boundary, bos=bos)
    if source is not None:
        announce(stream)
        if model is None:
            require_model(context, stream, source)
    lm = choice.load_named(context)
    _many(stream, ranker, lm, files, by=by, show=show, index=index)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranker:
    """How queries are ranked. `tokens`: whether what comes out says each token."""

    rule: Rule
    settings: logpr.Settings
    tokens: bool
    top: int | None = None

    def rank(self, queries: Sequence[Query], model: Model | None) -> list[Ranking]:
        """Return the rankings of queries that share one window."""
        return list(
            logpr.rank_many(
                queries,
                model=model,
                rule=self.rule,
                top=self.top,
                settings=self.settings,
                window=max(1, len(queries)),
            )
        )

    def decisive(self) -> dict[str, JsonValue]:
        """Return all that decides the bytes of the output, beside the model and the input."""
        chosen = {name: jsonable(getattr(self.settings, name)) for name in _DECISIVE}
        return {
            "verb": "rank",
            "logpr": logpr.__version__,
            "rule": self.rule.name,
            "neutral": self.rule.neutral,
            "among": jsonable(self.rule.among),
            "tokens": self.tokens,
            "top": self.top,
            **chosen,
        }


def _one(ranking: Ranking, query: Query, *, tokens: bool, json: bool) -> None:
    if json:
        emit(record_of(ranking, tokens=tokens, query=query))
    else:
        _draw(ranking, tokens=tokens)


def _draw(ranking: Ranking, *, tokens: bool) -> None:
    shown(ranking, *((ranking.candidates[place] for place in ranking.order) if tokens else ()))


def _many(
    stream: RecordStream,
    ranker: Ranker,
    model: Model | None,
    files: FileOptions,
    *,
    by: str | None,
    show: int,
    index: Path | None,
) -> None:
    tally = Tally(by=by)
    decisive = {**ranker.decisive(), **identity(model)}
    with running(stream, files, decisive) as run:
        tally.resume(run.state)
        rankings = _written(run, ranker, model, files, tally, show=show)
        if index is None or run.resumed_records:
            found = None
            deque(rankings, maxlen=0)
        else:
            found = index_of(rankings)
    _report(tally, files)
    if index is not None:
        write_index_of_run(found, index, output=run.target, resumed=run.resumed_records)


def _written(
    run: Run, ranker: Ranker, model: Model | None, files: FileOptions, tally: Tally, *, show: int
) -> Iterator[Ranking]:
    """Yield each ranking once its record is written and counted."""

    def keep() -> None:
        run.state = tally.state()

    for record, ranking in worked(run, lambda queries: ranker.rank(queries, model), keep):
        try:
            group = tally.group_of(record)
        except RecordError as error:
            run.reject(record, error)
            continue
        run.write(
            record_of(ranking, tokens=ranker.tokens, query=record.query, fields=record.fields)
        )
        if files.target is None and tally.rankings.queries < show:
            _draw(ranking, tokens=ranker.tokens)
            shown("")
        tally.add(ranking, group)
        run.provenance = tally.provenance
        yield ranking


def _report(tally: Tally, files: FileOptions) -> None:
    """Say what happened in all: on stdout, unless the records stand there."""
    found = tally.accuracy.report()
    if files.json and files.output is not None and not files.rows_on_stdout:
        emit({**tally.counts(), "accuracy": None if found is None else found.to_dict()})
    else:
        summary = rankings_summary(tally.rankings, accuracy=found, provenance=tally.provenance)
        shown(summary, stderr=files.rows_on_stdout)
    if found is not None and files.output not in (None, "-"):
        path = Path(f"{files.output}.accuracy.json")
        write_whole(path, found.to_json(indent=2) + "\n")
        say(f"wrote the accuracies to {path}")
    if files.target is None and tally.rankings.queries > len(tally.rankings.shown):
        say("all of them, as records: -o FILE.jsonl, or --json")
