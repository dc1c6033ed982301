"""The executor `forest`: a whole piece in one row, attention along the paths of its trie."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int64

from logpr.errors import ModelOutputError
from logpr.models.hf.attention import NAME, planned
from logpr.models.hf.kept import Keys
from logpr.models.hf.plan import Past, Plan, plan_of
from logpr.models.hf.tiles import ROWS, TilePlan, tile_plan
from logpr.models.hf.trunk import Trunk, attention
from logpr.tokens.pack import Pack


@dataclass(frozen=True, slots=True)
class Forest:
    """Runs rows through `forest_attention`.

    `layers` is the number of attention calls a forward pass makes. With `tiled` every pass has
    `ROWS` rows, the last of them padding, and attention is in products of fixed shape.
    """

    trunk: Trunk
    layers: int
    tiled: bool = False

    def __call__(self, pack: Pack) -> Float[torch.Tensor, "nodes width"]:
        """Return the state after each node.

        Args:
            pack: at least one node.

        Raises:
            ModelOutputError: not every layer called the attention function.
        """
        return self.run(pack)[0]

    def run(
        self,
        pack: Pack,
        *,
        pasts: Sequence[Past] = (),
        keep: Int64[np.ndarray, " rows"] | None = None,
        everything: bool = False,
    ) -> tuple[Float[torch.Tensor, "nodes width"], Keys | None]:
        """Return the state after each node, and the keys of the rows that are to be held.

        Args:
            pack: at least one node, where tiled at most `ROWS`; see `plan_of`.
            pasts: keys from before.
            keep: rows whose keys are to be held.
            everything: hold those of all rows.

        Raises:
            ModelOutputError: not every layer called the attention function.
        """
        device = self.trunk.device
        ids, positions = pack.token_ids, pack.depths
        plan: Plan | TilePlan
        if self.tiled:
            kept = np.arange(len(pack)) if everything else keep
            plan = tile_plan(pack, device, pasts=pasts, keep=kept)
            ids, positions = (np.pad(one, (0, ROWS - len(one)), "edge") for one in (ids, positions))
        else:
            plan = plan_of(pack, device, pasts=pasts, keep=keep, everything=everything)
        model = self.trunk.model
        with attention(model, NAME), planned(plan) as meter:
            states = self.trunk(ids, positions=positions)
        if meter.calls != self.layers:
            msg = (
                f"packed attention was called {meter.calls} times in {self.layers} layers: some "
                f"layer attends by its own code; use executor='plain'"
            )
            raise ModelOutputError(msg)
        return states[: len(pack)], meter.keys
