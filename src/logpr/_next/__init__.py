"""The distribution of one step, from a model or from numbers alone."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from logpr._next._step import Step, check, given_step, model_step
from logpr._score import as_exact_model
from logpr._types import Bos, FloatVocab, Special
from logpr._values import Draw, Message, NextToken, Outcome, Query
from logpr.errors import QueryError
from logpr.models.base import Model
from logpr.numerics import entropy, log1mexp, log_softmax, logsumexp

__all__ = ["next_token"]


def next_token(
    prompt: str | None = None,
    *,
    messages: Iterable[Mapping[str, str] | Message] | None = None,
    prompt_ids: Iterable[int] | None = None,
    logits: Iterable[float] | None = None,
    names: Sequence[str] | None = None,
    model: Model | str | None = None,
    k: int = 10,
    among: Sequence[str | int] | None = None,
    shift: float = 0.0,
    set: Mapping[str | int, float] | None = None,  # noqa: A002 - the option's word everywhere
    temperature: float = 1.0,
    draw: int = 0,
    seed: int = 0,
    grad: str | int | None = None,
    bos: Bos = "auto",
    special: Special = "auto",
) -> NextToken:
    """Return Pr(next token | x) = softmax(u) over the full vocabulary, from a model or from logits.

    Args:
        prompt: x as text; or `messages`, or `prompt_ids`; or none of them with `logits`.
        logits: one number an outcome (−inf allowed: a masked outcome); no model is needed.
        names: what the outcomes of `logits` are called.
        model: from `logpr.load`, or a name that it takes.
        k: how many of the best outcomes to return (outcomes named by other options come too).
        among: also the share of each outcome within this named subset: another quantity.
        shift: a constant added to every logit; nothing changes but the logits themselves.
        set: logits to replace, by outcome.
        temperature: softmax(u / temperature): another distribution than the model's own.
        draw: how many samples to take, each with its probability; `seed` makes them repeatable.
        grad: the outcome y for which ∂ log p(y) / ∂ u_k = 1[k = y] − p_k is given.

    Raises:
        InputError: see the message.
        ModelError: the model failed.
    """
    _check_options(k=k, draw=draw, seed=seed, temperature=temperature, shift=shift)
    _check_lists(names=names, among=among)
    if logits is not None:
        if prompt is not None or messages is not None or prompt_ids is not None:
            msg = "give a prompt or logits, not both"
            raise QueryError(msg)
        step = given_step(logits, names)
    else:
        query = Query.of(prompt, messages=messages, prompt_ids=prompt_ids, bos=bos)
        step = model_step(query, as_exact_model(model), names=names, special=special)
    if not step.from_logits and (set or shift != 0.0 or temperature != 1.0):
        msg = (
            "this model holds probabilities and no logits, so there is nothing for set, shift or "
            "temperature to act on; use a table of kind logits, or logits="
        )
        raise QueryError(msg)
    changed = np.array(step.logits)
    touched = [step.find(name, "set") for name in set or {}]
    for index, value in zip(touched, (set or {}).values(), strict=True):
        if math.isnan(value) or value == math.inf:
            msg = f"set: a logit is a finite number or -inf, found {value}"
            raise QueryError(msg)
        changed[index] = value
    with np.errstate(over="ignore"):
        shifted = changed + shift
        rounded = step.from_logits and _moved(changed, shifted)
        changed = shifted
        if step.from_logits:
            check(changed / temperature, "the logits, after set, shift and temperature:")
    return _view(
        replace(
            step,
            logits=changed,
            warnings=(*step.warnings, _ROUNDED) if rounded else step.warnings,
        ),
        k=k,
        among=None if among is None else [step.find(name, "among") for name in among],
        shift=shift,
        temperature=temperature,
        draw=draw,
        seed=seed,
        grad=None if grad is None else step.find(grad, "grad"),
        touched=touched,
    )


_ROUNDED = (
    "shift: float64 cannot hold these logits plus a constant so large, and rounding changed the "
    "distribution; a shift changes nothing where it is exact"
)


def _moved(before: FloatVocab, after: FloatVocab) -> bool:
    """Return whether a shift changed the distribution, which only rounding can."""
    with np.errstate(invalid="ignore"):
        difference = np.abs(log_softmax(after) - log_softmax(before))
    return bool(np.any(difference > _SHIFT_TOLERANCE))


_SHIFT_TOLERANCE = 1e-9


def _check_options(*, k: int, draw: int, seed: int, temperature: float, shift: float) -> None:
    if k < 1 or draw < 0 or seed < 0:
        msg = f"k is at least 1, draw and seed at least 0; found k={k}, draw={draw}, seed={seed}"
        raise QueryError(msg)
    if not (math.isfinite(temperature) and temperature > 0):
        msg = f"temperature is a positive number, found {temperature}; 1 is the model's own"
        raise QueryError(msg)
    if not math.isfinite(shift):
        msg = f"shift is a finite number, found {shift}"
        raise QueryError(msg)


def _check_lists(*, names: Sequence[str] | None, among: Sequence[str | int] | None) -> None:
    for name, given in (("names", names), ("among", among)):
        if isinstance(given, str):
            msg = f"{name} is a list; found the single {given!r}; write [{given!r}]"
            raise QueryError(msg)
    if among is not None and not among:
        msg = "among is empty; name at least one outcome, or leave it out"
        raise QueryError(msg)


def _view(
    step: Step,
    *,
    k: int,
    among: list[int] | None,
    shift: float,
    temperature: float,
    draw: int,
    seed: int,
    grad: int | None,
    touched: list[int],
) -> NextToken:
    u = step.logits
    scaled = u / temperature
    # Probabilities that were given are used as given: mass missing from them stays missing.
    logprobs = log_softmax(scaled) if step.from_logits else u
    probs = np.exp(logprobs)
    best = np.argsort(-logprobs, kind="stable")
    # Rank is 1 + the number strictly larger, so equal outcomes share one.
    ranks = 1 + np.searchsorted(np.sort(-logprobs), -logprobs, side="left")
    shown = list(dict.fromkeys([*best[:k].tolist(), *(among or ()), *touched]))
    if grad is not None and grad not in shown:
        shown.append(grad)
    shown.sort(key=lambda token: (ranks[token], token))
    subset = None if among is None else list(dict.fromkeys(among))
    inside = None if subset is None else float(logsumexp(logprobs[subset]))
    if inside == -math.inf:
        msg = "among: none of these outcomes is possible, so they have no shares; name another"
        raise QueryError(msg)
    outcomes: list[Outcome] = []
    for token in shown:
        share = (
            None
            if subset is None or inside is None
            else (float(logprobs[token]) - inside if token in subset else -math.inf)
        )
        outcomes.append(
            Outcome(
                id=token,
                text=step.text(token),
                logit=float(u[token]) if step.from_logits else None,
                exp=_exp(float(scaled[token])) if step.from_logits else None,
                prob=float(probs[token]),
                logprob=float(logprobs[token]),
                rank=int(ranks[token]),
                among_prob=None if share is None else math.exp(share),
                among_logprob=share,
                grad=None
                if grad is None
                else ((1.0 if token == grad else 0.0) - float(probs[token])) / temperature,
            )
        )
    rng = np.random.default_rng(seed)
    drawn = rng.choice(len(probs), size=draw, p=probs / probs.sum()).tolist() if draw else []
    warnings = list(step.warnings)
    mass = float(probs.sum())
    if draw and mass < 1.0 - _MASS_TOLERANCE:
        warnings.append(
            f"draws: the table names outcomes for {mass:.3g} of the probability; samples are drawn "
            f"among those, each shown with its own probability"
        )
    if temperature != 1.0:
        warnings.append(
            f"temperature: softmax(u / {temperature:g}) is another distribution than the model's "
            f"own; scores and rankings use temperature 1"
        )
    return NextToken(
        prompt=step.prompt,
        prompt_ids=step.prompt_ids,
        vocab=len(u),
        logz=float(logsumexp(scaled)) if step.from_logits else None,
        entropy=float(entropy(scaled)) if step.from_logits else _entropy(logprobs),
        temperature=temperature,
        shift=shift,
        among=None if subset is None else tuple(step.text(token) for token in subset),
        among_mass=None if inside is None else math.exp(inside),
        grad_token=None if grad is None else step.text(grad),
        outcomes=tuple(outcomes),
        shown_mass=math.fsum(outcome.prob for outcome in outcomes),
        draws=tuple(
            Draw(id=token, text=step.text(token), prob=float(probs[token])) for token in drawn
        ),
        warnings=tuple(warnings),
        provenance=step.provenance,
    )


_MASS_TOLERANCE = 1e-9
"""Probabilities typed in by hand sum to 1 within this."""


def _entropy(logprobs: FloatVocab) -> float:
    """Return the entropy of a row of probabilities; mass missing from it is one more outcome."""
    rest = float(log1mexp(min(float(logsumexp(logprobs)), 0.0)))
    return float(entropy(np.append(logprobs, rest)))


def _exp(value: float) -> float:
    try:
        return math.exp(value)
    except OverflowError:  # the figure is for looking at; the arithmetic never forms it
        return math.inf
