"""`logpr next`: the distribution of one step, from a model or from numbers alone."""

from __future__ import annotations

from typing import Annotated

import typer

import logpr
from logpr.cli import _options as opt
from logpr.cli._command import given, spelled
from logpr.cli._lists import (
    ids_of,
    messages_of,
    names_of,
    numbers_of,
    settings_of,
    token_of,
    tokens_of,
)
from logpr.cli._model import ModelChoice
from logpr.cli._say import emit, shown
from logpr.errors import QueryError

EXAMPLES = (
    "logpr next 'The cat sat on the'",
    "logpr next --logits 6,3,0.5,0.5 --names mat,rug,floor,chair",
    "logpr next --logits 6,3,0.5,0.5 --names mat,rug,floor,chair --shift 10",
    "logpr next --logits 4,4,2 --names A,B,C --set C=12",
    "logpr next 'The cat sat on the' --among ' mat, floor' --grad ' mat'",
    "logpr next 'The cat sat on the' --temperature 0.7 --draw 5 --seed 1",
)

STEP = "The step"


def next_token(
    context: typer.Context,
    prompt: Annotated[
        str | None, typer.Argument(help="The prompt x.", show_default=False, metavar="PROMPT")
    ] = None,
    *,
    prompt_ids: opt.PromptIds = None,
    messages: opt.Messages = None,
    logits: Annotated[
        str | None,
        typer.Option(
            metavar="6,3,0.5,0.5",
            help="One number an outcome (-inf: masked); no model is needed.",
            rich_help_panel=opt.ASKED,
        ),
    ] = None,
    names: Annotated[
        str | None,
        typer.Option(
            metavar="mat,rug,…", help="What the outcomes are called.", rich_help_panel=opt.ASKED
        ),
    ] = None,
    model: opt.Model = None,
    dtype: opt.Dtype = None,
    device: opt.Device = None,
    executor: opt.Executor = None,
    adapter: opt.Adapter = None,
    trust_remote_code: opt.TrustRemoteCode = False,
    batch_invariant: opt.BatchInvariant = False,
    k: Annotated[
        int,
        typer.Option("--k", "-k", min=1, help="How many outcomes to show.", rich_help_panel=STEP),
    ] = 10,
    among: opt.Among = None,
    shift: Annotated[
        float,
        typer.Option(
            help="Added to every logit: nothing changes but the logits.", rich_help_panel=STEP
        ),
    ] = 0.0,
    set: Annotated[  # noqa: A002 - the option's name
        list[str] | None,
        typer.Option(
            metavar="C=12", help="A logit to replace; may be repeated.", rich_help_panel=STEP
        ),
    ] = None,
    temperature: Annotated[
        float,
        typer.Option(help="softmax(u / temperature): another distribution.", rich_help_panel=STEP),
    ] = 1.0,
    draw: Annotated[
        int,
        typer.Option(
            min=0, help="Samples to draw, with their probabilities.", rich_help_panel=STEP
        ),
    ] = 0,
    seed: Annotated[int, typer.Option(min=0, help="Of the samples.", rich_help_panel=STEP)] = 0,
    grad: Annotated[
        str | None,
        typer.Option(
            metavar="TOKEN",
            help="The gradient of its log-probability by each logit: 1[k = y] - p_k.",
            rich_help_panel=STEP,
        ),
    ] = None,
    bos: opt.Bos = "auto",
    special: opt.Special = "auto",
    json: opt.Json = False,
) -> None:
    """Show Pr(next token | prompt), or what given logits make of it.

    Softmax over all outcomes: p_k = exp(u_k) / sum of exp(u_j).
    """
    choice = ModelChoice(
        model=model,
        dtype=dtype,
        device=device,
        executor=executor,
        adapter=adapter,
        trust_remote_code=trust_remote_code,
        batch_invariant=batch_invariant,
    )
    prompts = given(context, "prompt", "prompt_ids", "messages", "logits")
    if len(prompts) != 1:
        said = " and ".join(
            "PROMPT" if name == "prompt" else spelled(context, name) for name in prompts
        )
        found = f"found {said}" if prompts else "found none"
        msg = (
            f"next takes one prompt, or --logits, {found}; write one of:\n"
            f"  {EXAMPLES[0]}\n  {EXAMPLES[1]}"
        )
        raise QueryError(msg)
    if logits is None:
        lm = choice.load()
    else:
        beside = given(context, *opt.OF_MODELS)
        if beside:
            name = spelled(context, beside[0])
            msg = f"{name} is for a model, and --logits need none; leave it out"
            raise QueryError(msg)
        lm = None
    step = logpr.next(
        prompt,
        messages=None if messages is None else messages_of(messages, "--messages"),
        prompt_ids=None if prompt_ids is None else ids_of(prompt_ids, "--prompt-ids"),
        logits=None if logits is None else numbers_of(logits, "--logits"),
        names=None if names is None else names_of([names]),
        model=lm,
        k=k,
        among=None if among is None else tokens_of(among),
        shift=shift,
        set=None if set is None else settings_of(set, "--set"),
        temperature=temperature,
        draw=draw,
        seed=seed,
        grad=None if grad is None else token_of(grad),
        bos=bos,
        special=special,
    )
    if json:
        emit(step.to_dict())
    else:
        shown(step)
