"""A causal language model as a network that goes on from the cache of what it has read."""

from __future__ import annotations

import inspect
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int64

from logpr.models.hf.trunk import Trunk

_PARAMETERS = ("past_key_values", "cache_params", "state")
"""What architectures call the cache that they take and return."""


@dataclass(frozen=True, slots=True)
class Decoder:
    """Calls a trunk with the cache of the tokens before.

    Neither positions nor a mask are given: a model then counts from the length of its cache.
    """

    trunk: Trunk

    def __call__(
        self, token_ids: Int64[np.ndarray, "batch tokens"], cache: object
    ) -> tuple[Float[torch.Tensor, "batch tokens width"], object]:
        """Return the state after each token, and the cache of all tokens so far.

        Args:
            token_ids: the next tokens of each row.
            cache: of the tokens before them, changed in place; None at the start.

        Raises:
            ValueError: the model takes no cache, returns none, or no state for each token.
        """
        trunk = self.trunk
        name = self._parameter()
        given = trunk.inputs(torch.from_numpy(token_ids).to(trunk.device)) | {name: cache}
        out = trunk.run(given, use_cache=True)
        after = getattr(out, name, None)
        if after is None:
            msg = f"the model returns no {name}"
            raise ValueError(msg)
        states: torch.Tensor = out.logits if trunk.whole else out.last_hidden_state
        if states.shape[:2] != token_ids.shape:
            msg = f"the model returns states {tuple(states.shape)} for ids {token_ids.shape}"
            raise ValueError(msg)
        return states, after

    def _parameter(self) -> str:
        taken = inspect.signature(self.trunk.module.forward).parameters
        for name in _PARAMETERS:
            if name in taken:
                return name
        msg = f"the model takes none of {', '.join(_PARAMETERS)}, so it cannot go on from a prefix"
        raise ValueError(msg)
