"""Logits of one step, from a model or from the caller, and what its outcomes are called."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from logpr._score._prompt import Prompt, prompt_of
from logpr._types import FloatVocab, Special
from logpr._values import Provenance, Query
from logpr._version import __version__
from logpr.errors import NumbersError, QueryError, TokenizationError
from logpr.models.base import Model, NextRows, Predictive


@dataclass(frozen=True, slots=True)
class Step:
    """Logits of one step and what its outcomes are called."""

    logits: FloatVocab
    from_logits: bool
    names: Sequence[str] | None
    model: Model | None
    prompt: str | None
    prompt_ids: tuple[int, ...] | None
    provenance: Provenance | None
    warnings: tuple[str, ...] = ()

    def text(self, token: int) -> str:
        if self.names is not None:
            return self.names[token]
        if self.model is None or self.model.tokenizer is None:
            return f"#{token}"
        if token >= self.model.tokenizer.vocab_size:
            return f"#{token}"
        return self.model.tokenizer.token_text(token)

    def find(self, name: str | int, option: str) -> int:
        """Return the id that a name stands for."""
        size = len(self.logits)
        if isinstance(name, int):
            if not 0 <= name < size:
                msg = f"{option}: token id {name} is outside the vocabulary of {size}"
                raise TokenizationError(msg)
            return name
        if self.names is not None:
            named = [place for place, known in enumerate(self.names) if known == name]
            if len(named) > 1:
                msg = f"{option}: {len(named)} outcomes are called {name!r}; name it by id"
                raise QueryError(msg)
            if named:
                return named[0]
            shown = ", ".join(repr(known) for known in list(self.names)[:12])
            msg = f"{option}: no outcome is called {name!r}; the names are {shown}"
            raise QueryError(msg)
        if self.model is not None and self.model.tokenizer is not None:
            ids = self.model.tokenizer.encode(name, parse_special=True, start=False)
            if len(ids) == 1:
                return ids[0]
            msg = (
                f"{option}: {name!r} is {len(ids)} tokens; name one token as the tokenizer writes "
                f"it (often with a leading space: {' ' + name.strip()!r}), or its id"
            )
            raise QueryError(msg)
        if name.lstrip("#").isdecimal():
            return self.find(int(name.lstrip("#")), option)
        msg = f"{option}: outcomes have no names here; use ids 0 to {size - 1}, or give names="
        raise QueryError(msg)


def given_step(logits: Iterable[float], names: Sequence[str] | None) -> Step:
    values = np.asarray(list(logits), dtype=np.float64)
    if values.size == 0:
        msg = "logits are empty; give one number an outcome, e.g. --logits 6,3,0.5,0.5"
        raise NumbersError(msg)
    check(values, "logits")
    if names is not None and len(names) != len(values):
        msg = f"{len(names)} names for {len(values)} logits; give one name an outcome"
        raise QueryError(msg)
    return Step(values, True, names, None, None, None, None)  # noqa: FBT003


def check(values: FloatVocab, what: str) -> None:
    for index, value in enumerate(values.tolist()):
        if math.isnan(value) or value == math.inf:
            msg = (
                f"{what}[{index}] is {value}, which gives no distribution; use a finite number "
                f"or -inf"
            )
            raise NumbersError(msg)
    if not np.any(values > -np.inf):
        msg = f"{what} give no outcome a probability above 0"
        raise NumbersError(msg)


def model_step(
    query: Query, model: Model | None, *, names: Sequence[str] | None, special: Special
) -> Step:
    if model is None:
        msg = (
            "a distribution needs a model or numbers: model=logpr.load('builtin') (--model), or "
            "logits=[6, 3, 0.5] (--logits)"
        )
        raise QueryError(msg)
    if names is not None:
        msg = "names= goes with logits=; a model's tokens have their own texts"
        raise QueryError(msg)
    prompt = prompt_of(query, model, special)
    if not isinstance(prompt.model, Predictive):
        msg = "this model scores given tokens but does not show whole next-token distributions"
        raise QueryError(msg)
    return _step_of(prompt.model.next_logits([prompt.fed]), query, model, prompt)


def _step_of(rows: NextRows, query: Query, model: Model, prompt: Prompt) -> Step:
    values = rows.logits[0] if rows.logits is not None else rows.logprobs[0]
    check(values, "the model's logits")
    provenance = Provenance(
        model=model.provenance,
        boundary=query.boundary,
        end="open",
        bos=query.bos,
        bos_count=prompt.bos_count,
        logpr=__version__,
    )
    from_logits = rows.logits is not None
    return Step(
        values, from_logits, None, model, query.prompt, prompt.ids, provenance, prompt.warnings
    )
