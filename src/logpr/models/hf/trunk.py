"""The network up to the states that its head reads: one call, one row of tokens."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from logging import ERROR
from typing import Any, cast

import torch
from jaxtyping import Float, Int64
from torch import nn
from transformers import PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput
from transformers.utils import logging

from logpr._types import IntNodes
from logpr.models.hf.fused import Forward, running

Mask = torch.Tensor | Mapping[str, torch.Tensor]


@dataclass(frozen=True, slots=True)
class Trunk:
    """What is called for states: the base model, or the whole model where its head is part of it.

    With `whole` the states are the model's own logits. With a `source` it is the decoder of an
    encoder–decoder model, which attends to these states of the encoder: `given` makes one.
    `shorter` are the layers that run by a shorter way than their own (`fused`).
    """

    model: PreTrainedModel
    whole: bool = False
    source: Float[torch.Tensor, "1 tokens width"] | None = None
    shorter: tuple[tuple[nn.Module, Forward], ...] = ()

    def given(self, source_ids: Sequence[int]) -> Trunk:
        """Return the decoder after the encoder has read x.

        Args:
            source_ids: x, at least one token.
        """
        ids = torch.tensor([list(source_ids)], device=self.device)
        with torch.inference_mode(), running(self.shorter):
            out = self.model.get_encoder()(input_ids=ids)
        return replace(self, source=out.last_hidden_state)

    @property
    def device(self) -> torch.device:
        """Return where token ids are to be put."""
        return embedding(self.model).device

    @property
    def config(self) -> PretrainedConfig:
        """Return the part of the config that speaks of text."""
        return self.model.config.get_text_config()

    @property
    def takes_positions(self) -> bool:
        """Return whether the model declares a parameter for positions (siblings share theirs)."""
        # A whole model may hand it on to its base model among other keywords.
        modules = (self.module, self.model.base_model)
        return any("position_ids" in inspect.signature(one.forward).parameters for one in modules)

    @property
    def outcomes(self) -> int:
        """Return the number of ids that can be fed: rows of the embedding that reads them."""
        if self.source is None:
            return len(embedding(self.model))
        return len(embedding(self.model.get_decoder()))  # type: ignore[no-untyped-call]

    @property
    def module(self) -> nn.Module:
        """Return what is called."""
        if self.whole:
            return self.model
        if self.source is not None:
            return cast("nn.Module", self.model.get_decoder())  # type: ignore[no-untyped-call]
        return self.model.base_model

    def inputs(self, token_ids: Int64[torch.Tensor, "batch tokens"]) -> dict[str, Any]:
        """Return what is called with: ids, and the states of the encoder.

        Args:
            token_ids: on the device.
        """
        if self.source is None:
            return {"input_ids": token_ids}
        read = self.source.expand(len(token_ids), -1, -1)
        if self.whole:
            # By its class: some models take a tuple apart in their own ways.
            named = BaseModelOutput(last_hidden_state=read)
            return {"decoder_input_ids": token_ids, "encoder_outputs": named}
        return {"input_ids": token_ids, "encoder_hidden_states": read}

    def __call__(
        self, token_ids: IntNodes, *, positions: IntNodes | None = None, mask: Mask | None = None
    ) -> Float[torch.Tensor, "nodes width"]:
        """Return the state after each token of one row.

        Args:
            token_ids: the row.
            positions: of each token; 0, 1, 2 … by default.
            mask: of which token sees which, in the form that the model takes.
        """
        device = self.device
        given = self.inputs(torch.from_numpy(token_ids).to(device)[None])
        if positions is not None:
            given["position_ids"] = torch.from_numpy(positions).to(device)[None]
        if mask is not None:
            given["attention_mask"] = mask
        out = self.run(given, use_cache=False)
        states: torch.Tensor = out.logits if self.whole else out.last_hidden_state
        return states[0]

    def run(self, given: Mapping[str, Any], *, use_cache: bool) -> Any:  # noqa: ANN401 - a model's own output
        """Return what the model gives.

        Args:
            given: inputs, and whatever else the model takes.
            use_cache: whether it is to return its cache.
        """
        with torch.inference_mode(), running(self.shorter):
            return self.module(**given, use_cache=use_cache)


def embedding(model: PreTrainedModel) -> Float[torch.Tensor, "vocab width"]:
    """Return the weights of the input embedding.

    Args:
        model: any.
    """
    return cast("nn.Embedding", model.get_input_embeddings()).weight


@contextmanager
def attention(model: PreTrainedModel, name: str) -> Iterator[None]:
    """Run the block with the attention function `name`; the model's own comes back after it.

    Raises:
        ValueError: the model does not let its attention be chosen.
    """
    own = model.config._attn_implementation  # noqa: SLF001 - transformers has no public reader
    with quiet():
        model.set_attn_implementation(name)
    try:
        if model.config._attn_implementation != name:  # noqa: SLF001 - as above
            msg = "its attention cannot be replaced (it does not go through AttentionInterface)"
            raise ValueError(msg)
        yield
    finally:
        if own != name:
            with quiet():
                model.set_attn_implementation(own)


@contextmanager
def quiet() -> Iterator[None]:
    """Keep transformers from writing to stderr inside the block: what matters is raised instead."""
    level = logging.get_verbosity()
    bars = logging.is_progress_bar_enabled()
    logging.set_verbosity(ERROR)
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]
