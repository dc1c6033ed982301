"""The model that a command names, or the built-in one where none is needed to be named."""

from __future__ import annotations

from dataclasses import dataclass

import typer

import logpr
from logpr.cli._command import given, spelled
from logpr.cli._options import OF_MODELS
from logpr.cli._say import say
from logpr.errors import QueryError
from logpr.models.base import Model

BUILTIN = "builtin"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelChoice:
    """What --model and the options beside it say."""

    model: str | None
    dtype: str | None = None
    device: str | None = None
    executor: str | None = None
    adapter: str | None = None
    trust_remote_code: bool = False
    batch_invariant: bool = False

    def load(self) -> Model:
        """Return the model; the built-in one, which is said, where none was named."""
        if self.model is None:
            say("no --model: using the built-in model, a small one (--model builtin says the same)")
        return logpr.load(
            BUILTIN if self.model is None else self.model,
            dtype=self.dtype,
            device=self.device,
            executor=self.executor,
            adapter=self.adapter,
            trust_remote_code=self.trust_remote_code,
            batch_invariant=self.batch_invariant,
        )

    def load_named(self, context: typer.Context) -> Model | None:
        """Return the model, or None where none was named.

        Raises:
            QueryError: options of a model without a model.
        """
        if self.model is not None:
            return self.load()
        beside = given(context, *OF_MODELS)
        if beside:
            name = spelled(context, beside[0])
            msg = f"{name} says how a model runs, and none is named; add --model MODEL"
            raise QueryError(msg)
        return None
