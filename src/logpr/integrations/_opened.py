"""A model as an evaluation names it, and what the harness has to know about it."""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from logpr import load
from logpr._score import as_exact_model
from logpr.errors import QueryError
from logpr.integrations._pairs import TextEncoder
from logpr.models.base import EncoderDecoder, Model
from logpr.tokens.base import Tokenizer

OWN = ("pretrained", "max_length", "add_bos_token", "prefix_token_id", "seed")
"""The harness's `model_args` that are not options of `logpr.load`."""

UNDECLARED_LENGTH = 2048
"""What the harness takes for the context of a model that declares none."""

_LOADS = tuple(name for name in inspect.signature(load).parameters if name != "name")


@dataclass(frozen=True, slots=True)
class Opened:
    """A model with its tokenizer, its name, and the conventions its texts are encoded by."""

    model: Model
    tokenizer: Tokenizer
    name: str
    encoder: TextEncoder
    max_length: int

    @property
    def end_id(self) -> int | None:
        """The token that ends a text: the tokenizer's, else the model's first."""
        if self.tokenizer.eos_id is not None:
            return self.tokenizer.eos_id
        return next(iter(self.model.end_ids), None)


def opened(
    pretrained: str | os.PathLike[str] | Model,
    options: Mapping[str, Any],
    *,
    max_length: int | None,
    add_bos_token: bool | None,
    prefix_token_id: int | None,
) -> Opened:
    """Return a model ready for the harness.

    Of a fast model with an exact twin it is the twin: the harness ranks the numbers by itself, and
    nobody asks again where it is close.

    Args:
        pretrained: a name as `logpr.load` takes it, or a model.
        options: of `logpr.load`.
        max_length: the longest sequence fed; by default the model's context, 2048 where it
            declares none.
        add_bos_token: whether a start token goes before a text; by default as the tokenizer does.
        prefix_token_id: what an empty context stands for; by default the start token, else the
            end token.

    Raises:
        QueryError: an unknown option, no tokenizer, or a length or an id outside the model's.
        LogprError: whatever `logpr.load` raises.
    """
    unknown = [name for name in options if name not in _LOADS]
    if unknown:
        msg = (
            f"model_args: there is no {unknown[0]!r}; there are {', '.join(OWN)}, and of "
            f"logpr.load {', '.join(_LOADS)}"
        )
        raise QueryError(msg)
    if isinstance(pretrained, str | os.PathLike):
        given, name = load(pretrained, **options), os.fspath(pretrained)
    elif options:
        msg = f"model_args: {', '.join(options)} is for loading, and the model given is loaded"
        raise QueryError(msg)
    else:
        given, name = pretrained, pretrained.provenance.model
    model = as_exact_model(given)
    assert model is not None, "a model was given"
    if isinstance(model, EncoderDecoder):
        msg = (
            f"{name} has an encoder, and the harness's requests are made for decoders alone here: "
            f"rank such a model by `logpr rank`, or use the harness's --model hf"
        )
        raise QueryError(msg)
    tokenizer = model.tokenizer
    if tokenizer is None:
        msg = f"{name} has no tokenizer, and the harness asks in text: take a model that has one"
        raise QueryError(msg)
    if prefix_token_id is not None and not 0 <= prefix_token_id < model.vocab_size:
        msg = (
            f"model_args: prefix_token_id={prefix_token_id} is outside the model's vocabulary of "
            f"{model.vocab_size}"
        )
        raise QueryError(msg)
    if prefix_token_id is None:
        prefix_token_id = tokenizer.eos_id if tokenizer.bos_id is None else tokenizer.bos_id
    return Opened(
        model=model,
        tokenizer=tokenizer,
        name=name,
        encoder=TextEncoder(
            tokenizer,
            adds_bos=tokenizer.adds_bos if add_bos_token is None else add_bos_token,
            prefix_id=prefix_token_id,
        ),
        max_length=_length(model.context_length, max_length),
    )


def _length(declared: int, asked: int | None) -> int:
    if asked is None:
        return UNDECLARED_LENGTH if declared == sys.maxsize else declared
    if not 1 <= asked <= declared:
        msg = f"model_args: max_length is from 1 to the model's context, {declared}; found {asked}"
        raise QueryError(msg)
    return asked
