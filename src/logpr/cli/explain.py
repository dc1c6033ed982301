"""`logpr explain`: why one candidate leads another, on the line, in a file, or in rankings."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

import logpr
from logpr._rules import rule_named
from logpr._score import WINDOW
from logpr._score._settings import DEFAULT_ALTERNATIVES, DEFAULT_MARGINAL_BUDGET
from logpr.cli import _options as opt
from logpr.cli._asked import Asked
from logpr.cli._explained import Pairing, Places
from logpr.cli._explainer import Explainer
from logpr.cli._files import FileOptions, announce
from logpr.cli._lists import ids_of, tokens_of
from logpr.cli._model import ModelChoice
from logpr.cli.rank import SAMPLE, Ranker
from logpr.io.datasets import is_dataset
from logpr.io.rankings import open_rankings

EXAMPLES = (
    "logpr explain",
    "logpr explain --prompt 'The cat sat on the' ' warm mat' ' plush rug' --html why.html",
    "logpr explain --influence sentences --prompt 'Tim was sad. Lily ran.' ' Tim' ' Lily'",
    "logpr explain questions.jsonl --model ./my-model --id q1 --plot why.svg",
    "logpr explain questions.jsonl --model ./my-model --html decisions.html",
    "logpr explain ranked.jsonl --id q1 --markdown -",
    "logpr explain ranked.parquet",
)


def explain(
    context: typer.Context,
    inputs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="FILE | CANDIDATE",
            help="A file of records, or of rankings that logpr rank wrote (- is stdin); after "
            "--prompt: its candidates. None: a sample.",
            show_default=False,
        ),
    ] = None,
    *,
    id: Annotated[  # noqa: A002 - the record's own field name
        str | None,
        typer.Option(
            metavar="ID",
            help="The record of the FILE to explain. Left out: an index of all, the most "
            "surprising decisions first.",
            rich_help_panel=opt.FILE,
        ),
    ] = None,
    first: Annotated[
        int | None,
        typer.Option(
            metavar="I",
            help="Index of the candidate to explain, from 0; left out, the winner.",
            rich_help_panel=opt.EXPLAINED,
        ),
    ] = None,
    second: Annotated[
        int | None,
        typer.Option(
            metavar="J",
            help="Index of the candidate to hold it against; left out, the runner-up.",
            rich_help_panel=opt.EXPLAINED,
        ),
    ] = None,
    influence: Annotated[
        Literal["sentences", "turns"] | None,
        typer.Option(
            help="How far each sentence of the prompt, or each turn of a chat, moves the "
            "candidates: log Pr with it less log Pr without it.",
            rich_help_panel=opt.EXPLAINED,
        ),
    ] = None,
    span: Annotated[
        list[str] | None,
        typer.Option(
            metavar="START:END",
            help="The same for these characters of the prompt; may be repeated.",
            rich_help_panel=opt.EXPLAINED,
        ),
    ] = None,
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
    alternatives: Annotated[
        int,
        typer.Option(
            min=0,
            help="How many best tokens to list at each position.",
            rich_help_panel=opt.OUTPUT,
        ),
    ] = DEFAULT_ALTERNATIVES,
    json: opt.Json = False,
    html: opt.Html = None,
    plot: Annotated[
        str | None,
        typer.Option(
            metavar="FILE.svg",
            help="Also write the bars and the curves as a picture, .svg or .png.",
            rich_help_panel=opt.OUTPUT,
        ),
    ] = None,
    markdown: Annotated[
        str | None,
        typer.Option(
            metavar="FILE.md",
            help="Also write it as Markdown, for a pull request; - is stdout.",
            rich_help_panel=opt.OUTPUT,
        ),
    ] = None,
) -> None:
    """Explain why one candidate leads another: the fork, the tails, and what each token gives.

    The gap of two log-probabilities is the sum of its parts, exactly: 0 for the tokens that both
    begin with, the fork where they part, and the tokens after it. The rule says which two are
    first; what is taken apart is always log Pr.

    A FILE is one of records, of which --id names one, or one that logpr rank wrote (with
    --evidence it has all that is shown; with --model the model is asked again). Without --id the
    whole FILE is shown, the most surprising decisions first.
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
        evidence=True,
        alternatives=alternatives,
        truncate=truncate,
        special=special,
        end_ids=None if end_ids is None else ids_of(end_ids, "--end-ids"),
        marginal_budget=marginal_budget,
    )
    chosen = rule_named(rule, neutral=neutral, among=None if among is None else tokens_of(among))
    source = None if asked.on_the_line else asked.file()
    verb = Explainer(
        context=context,
        ranker=Ranker(rule=chosen, settings=settings, tokens=True),
        pairing=Pairing.of(first=first, second=second, influence=influence, span=span or ()),
        places=Places.of(html=html, plot=plot, markdown=markdown, json=json, source=source),
        choice=choice,
    )
    if asked.on_the_line:
        verb.of_the_line(asked)
        return
    files = FileOptions(
        format=format,
        map=map,
        template=template,
        sep=sep,
        on_error=on_error,
        rejects=rejects,
        window=window,
        restart=False,
        output=None,
        json=False,
    )
    ranked = None if source is None or is_dataset(source) else open_rankings(source, format)
    if ranked is not None:
        verb.of_rankings(ranked, id)
        return
    stream = files.open(source or SAMPLE, end=end, boundary=boundary, bos=bos)
    if source is None:
        verb.of_the_sample(stream, id)
        return
    announce(stream)
    if id is None:
        verb.of_file(stream, files, source)
    else:
        verb.of_record(stream, id, source)
