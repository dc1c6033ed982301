"""`logpr decode`: the most probable output, and a certificate of it."""

from __future__ import annotations

import typer

import logpr
from logpr._values import Decoding
from logpr.cli import _decode_options as of
from logpr.cli import _options as opt
from logpr.cli._certificate import CertificateFile
from logpr.cli._command import given, spelled
from logpr.cli._decoded import Places, check_early, checked, finish, hopeless
from logpr.cli._lists import biases_of, choices_of, ids_of, messages_of, schema_of
from logpr.cli._model import ModelChoice
from logpr.cli._progress import Searching
from logpr.errors import QueryError

EXAMPLES = (
    "logpr decode 'The cat sat on the' --end-ids 15",
    "logpr decode 'The cat sat on the' --end-ids 15 -n 5 --explain",
    "logpr decode 'The cat sat on the' --end open --min-new-tokens 3 --max-new-tokens 3",
    "logpr decode 'The cat sat on the' --end-ids 15 --method threshold --threshold 0.01",
    "logpr decode 'The cat sat on the' --end-ids 15 --choice ' mat' --choice ' couch' -n 2",
    "logpr decode 'Tim has a red' --regex ' (ball|car|hat)[.!]' --verify",
    "logpr decode 'The cat sat on the' --end-ids 15 --method beam --objective per_token",
    "logpr decode 'The cat sat on the' --method sample -n 5 --temperature 0.8 --seed 1",
    "logpr decode PROMPT --model ./my-model --budget 10m --html decoding.html -o decoding.json",
    "logpr decode --certificate decoding.json --model ./my-model",
)

_PROMPTS = ("prompt", "prompt_ids", "messages", "certificate")
_OF_A_CHECK = (*opt.OF_MODELS, "certificate", "budget", "verify", "json", "output")
"""Parameters that mean something where nothing is searched."""


def decode(
    context: typer.Context,
    prompt: of.Prompt = None,
    *,
    prompt_ids: of.PromptIds = None,
    messages: of.Messages = None,
    certificate: of.CertificateFile = None,
    bos: of.Bos = "auto",
    special: of.Special = "auto",
    model: opt.Model = None,
    dtype: opt.Dtype = None,
    device: opt.Device = None,
    executor: opt.Executor = None,
    adapter: opt.Adapter = None,
    trust_remote_code: opt.TrustRemoteCode = False,
    batch_invariant: opt.BatchInvariant = False,
    method: of.Method = "exact",
    n: of.Count = 1,
    width: of.Width = None,
    threshold: of.Threshold = None,
    objective: of.Objective = "logprob",
    budget: of.Budget = "30s",
    tolerance: of.Tolerance = 0.0,
    memory: of.Memory = "512MB",
    compare: of.Compare = True,
    end: of.End = "stop",
    end_ids: of.EndIds = None,
    max_new_tokens: of.MaxNewTokens = None,
    min_new_tokens: of.MinNewTokens = None,
    min_length: of.MinLength = "restrict",
    choice: of.Choice = None,
    choices: of.Choices = None,
    regex: of.Regex = None,
    json_schema: of.JsonSchema = None,
    bias: of.Bias = None,
    temperature: of.Temperature = 1.0,
    top_k: of.TopK = None,
    top_p: of.TopP = None,
    seed: of.Seed = 0,
    explain: of.Explain = False,
    verify: of.Verify = False,
    json: of.Json = False,
    html: opt.Html = None,
    output: of.Output = None,
) -> None:
    """Decode a prompt: the output y with the largest log Pr(y | x), and what is proven of it.

    log Pr of a beginning bounds all that it leads to, so a beginning below the best output needs
    no second look, and where none is left above it the best is proven. Stopped before that, by
    --budget or Ctrl-C, the answer is the best so far and a bound that no output exceeds.

    Exit code 0: done, with a proof or a gap. 1: --verify or --certificate found a claim that does
    not hold. 2: the input cannot be used, or --certificate was not settled within the budget. 3:
    the model failed. 130: Ctrl-C, after the best so far was printed.
    """
    _check_prompts(context)
    _check_constraints(context)
    lasting = None if budget.strip().lower() == "none" else budget
    places = Places.of(html=html, output=output, json=json, source=certificate)
    model_choice = ModelChoice(
        model=model,
        dtype=dtype,
        device=device,
        executor=executor,
        adapter=adapter,
        trust_remote_code=trust_remote_code,
        batch_invariant=batch_invariant,
    )
    if certificate is not None:
        _check_again(context)
        file = CertificateFile.read(certificate)
        lm = model_choice.load_named(context)
        if lm is None:
            raise QueryError(file.needs_model())
        finish(None, file.verify(lm, budget=lasting), places)
        return
    texts = choices_of(choice, choices)
    schema = None if json_schema is None else schema_of(json_schema, "--json-schema")
    chat = None if messages is None else messages_of(messages, "--messages")
    given_ids = None if prompt_ids is None else ids_of(prompt_ids, "--prompt-ids")
    ends = None if end_ids is None else ids_of(end_ids, "--end-ids")
    check_early(budget=lasting, memory=memory, objective=objective)
    lm = model_choice.load()
    with Searching(
        hopeless(
            objective if method == "exact" else None,
            longest=max_new_tokens,
            tolerance=tolerance,
            budget=lasting,
        )
    ) as progress:
        found: Decoding = logpr.decode(
            prompt,
            messages=chat,
            prompt_ids=given_ids,
            model=lm,
            method=method,
            n=n,
            width=width,
            threshold=threshold,
            objective=objective,
            end=end,
            end_ids=ends,
            bos=bos,
            special=special,
            max_new_tokens=max_new_tokens,
            min_new_tokens=min_new_tokens,
            min_length=min_length,
            choices=texts,
            regex=regex,
            json_schema=schema,
            bias=None if bias is None else biases_of(bias, "--bias", lm),
            budget=lasting,
            tolerance=tolerance,
            memory=memory,
            temperature=temperature,
            top_k=top_k,
            top_p=top_p,
            seed=seed,
            compare=compare,
            explain=explain,
            progress=progress,
        )
    seen = checked(found, lm, budget=lasting) if verify else None
    finish(found, seen, places, interrupted=verify and seen is None)


def _check_prompts(context: typer.Context) -> None:
    prompts = given(context, *_PROMPTS)
    if len(prompts) == 1:
        return
    said = " and ".join(
        "PROMPT" if name == "prompt" else spelled(context, name) for name in prompts
    )
    found = f"found {said}" if prompts else "found none"
    msg = (
        f"decode takes one prompt, or --certificate, {found}; write one of:\n"
        f"  {EXAMPLES[0]}\n  logpr decode --messages chat.json --model ./my-model\n"
        f"  {EXAMPLES[-1]}"
    )
    raise QueryError(msg)


def _check_constraints(context: typer.Context) -> None:
    typed = given(context, "choice", "choices", "regex", "json_schema")
    if len(typed) > 1 and typed != ["choice", "choices"]:
        names = " and ".join(spelled(context, name) for name in typed)
        msg = f"{names}: outputs have one constraint; leave out all but one"
        raise QueryError(msg)


def _check_again(context: typer.Context) -> None:
    """Refuse what would mean nothing: a certificate says itself what was searched."""
    names = [parameter.name or "" for parameter in context.command.params]
    idle = given(context, *(name for name in names if name not in _OF_A_CHECK))
    if idle:
        msg = (
            f"{spelled(context, idle[0])} is for a search, and --certificate FILE looks at one "
            f"that was made; leave it out"
        )
        raise QueryError(msg)
