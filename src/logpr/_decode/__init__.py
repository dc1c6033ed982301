"""Decode: the output that maximises an objective, and what is proven about it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from logpr._decode._options import Options
from logpr._decode._request import constraint_of, method_named, request_of
from logpr._decode._run import run
from logpr._types import Bos, End, Special
from logpr._values import Decoding, Message, Moment, Query
from logpr._values.decoding import Method, MinLength
from logpr.decoding.limits import Budget, memory_of
from logpr.models.base import Model

__all__ = ["decode"]

DEFAULT_BUDGET = "30s"
DEFAULT_MEMORY = "512MB"


def decode(
    prompt: str | None = None,
    *,
    messages: Iterable[Mapping[str, str] | Message] | None = None,
    prompt_ids: Iterable[int] | None = None,
    model: Model | str | None = None,
    method: Method = "exact",
    n: int = 1,
    width: int | None = None,
    threshold: float | None = None,
    objective: str = "logprob",
    end: End = "stop",
    end_ids: Sequence[int] | None = None,
    bos: Bos = "auto",
    special: Special = "auto",
    max_new_tokens: int | None = None,
    min_new_tokens: int | None = None,
    min_length: MinLength = "restrict",
    choices: Iterable[str] | None = None,
    choice_ids: Iterable[Sequence[int]] | None = None,
    regex: str | None = None,
    json_schema: Mapping[str, object] | str | None = None,
    bias: Mapping[int, float] | None = None,
    budget: str | float | Budget | None = DEFAULT_BUDGET,
    tolerance: float = 0.0,
    memory: str | int = DEFAULT_MEMORY,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    seed: int = 0,
    compare: bool = True,
    explain: bool = False,
    progress: Callable[[Moment], None] | None = None,
) -> Decoding:
    """Return ŷ = argmax_y log Pr(y | x) over outputs y, with a certificate.

    log Pr of a beginning bounds that of all it leads to, so every beginning above the best output
    is expanded, and no other. Stopped before that (`budget`, Ctrl-C) it returns the best so far and
    a bound that no output exceeds.

    Args:
        prompt: x as text; or `messages`, or `prompt_ids`.
        model: from `logpr.load`, or a name that it takes; it has to show next-token distributions.
        method: "exact"; "greedy" and "beam" (as transformers' `generate` chooses, with what that
            proves); "threshold" (every y with Pr(y | x) >= `threshold`); "sample" and
            "sample_without_replacement" (`n` draws).
        n: how many best outputs, each proven, or how many draws.
        width: of the beam; 5 for "beam", 20 for the beam that "exact" begins with.
        threshold: a probability, for method "threshold".
        objective: "logprob", "per_token", "per_token(alpha)" or "length_penalty(alpha)".
        end: "stop": y is followed by END, one outcome for all end tokens. "open": y is exactly
            `min_new_tokens` = `max_new_tokens` tokens.
        end_ids: the end tokens, in place of those the model declares.
        bos: "auto", "always" or "never": whether a start token is fed before x.
        special: whether special-token strings in x are parsed.
        max_new_tokens: |y| at most, END not counted; 64 by default, or the longest choice.
        min_new_tokens: |y| at least.
        min_length: "restrict" leaves shorter outputs out; "renormalise" masks END before that
            length, and the other tokens share its probability.
        choices: texts, one of which y has to be, each tokenised as `rank` would.
        choice_ids: the same as token ids.
        regex: that the whole text of y matches.
        json_schema: that the text of y fulfils, as a mapping or JSON text.
        bias: nats, at most 0, that each use of a token adds to the score.
        budget: "30s", "10000 nodes", both with a comma, or None for no bound. Time counts what the
            search is compared with, nodes do not.
        tolerance: nats between best and bound at which the search may stop.
        memory: for keys, values, rows and records: "512MB", "2GiB", or bytes.
        temperature: of draws: q is proportional to Pr^(1 / temperature).
        top_k: draw from this many best outcomes of each step.
        top_p: draw from the fewest outcomes of each step that have this much probability.
        seed: of draws.
        compare: also greedy, beam-5, a sample and the empty output, each with its log-probability,
            and the tree of the most probable beginnings, for its picture.
        explain: also why the greedy output lost to the best one, where it did.
        progress: is told where the search is, after every batch.

    Raises:
        InputError: what is asked cannot be meant; says each way out.
        ModelError: the model failed.
    """
    query = Query.of(prompt, messages=messages, prompt_ids=prompt_ids, end=end, bos=bos)
    options = Options(
        method=method_named(method),
        count=n,
        width=width,
        threshold=threshold,
        budget=Budget.of(budget),
        tolerance=tolerance,
        memory=memory_of(memory),
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        seed=seed,
        compare=compare,
        explain=explain,
        progress=progress,
    )
    request = request_of(
        query,
        model,
        objective=objective,
        end_ids=end_ids,
        special=special,
        max_new_tokens=max_new_tokens,
        min_new_tokens=min_new_tokens,
        min_length=min_length,
        constraint=constraint_of(
            choices=choices, choice_ids=choice_ids, regex=regex, json_schema=json_schema
        ),
        choices=choices,
        bias=bias,
    )
    return run(request, options)
