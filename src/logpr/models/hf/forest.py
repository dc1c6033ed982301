"""The executor `forest`: a whole piece in one row, attention along the paths of its trie."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, Int64

from logpr.errors import ModelOutputError
from logpr.models.hf.attention import NAME, planned
from logpr.models.hf.kept import Keys
from logpr.models.hf.plan import Past, Plan, plan_of
from logpr.models.hf.products import padding
from logpr.models.hf.tiles import ROWS, TilePlan, tile_plan
from logpr.models.hf.trunk import Trunk, attention
from logpr.tokens.pack import ROOT, Pack


@dataclass(frozen=True, slots=True)
class Forest:
    """Runs rows through `forest_attention`.

    `layers` is the number of attention calls a forward pass makes. With `tiled` every pass has
    `ROWS` rows, the last of them padding, and attention is in products of fixed shape. Without it,
    a few rows of padding keep the number of shapes small where products go through oneDNN.
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
        room: int = sys.maxsize,
    ) -> tuple[Float[torch.Tensor, "nodes width"], Keys | None]:
        """Return the state after each node, and the keys of the rows that are to be held.

        Args:
            pack: at least one node, where tiled at most `ROWS`; see `plan_of`.
            pasts: keys from before.
            keep: rows whose keys are to be held.
            everything: hold those of all rows.
            room: rows of a pass at most, those of padding among them.

        Raises:
            ModelOutputError: not every layer called the attention function.
        """
        device = self.trunk.device
        ids, positions = pack.token_ids, pack.depths
        plan: Plan | TilePlan
        real = len(pack)
        if self.tiled:
            kept = np.arange(len(pack)) if everything else keep
            plan = tile_plan(pack, device, pasts=pasts, keep=kept)
            ids, positions = (np.pad(one, (0, ROWS - len(one)), "edge") for one in (ids, positions))
        else:
            more = min(padding(real), max(0, room - real)) if self.trunk.shorter else 0
            if more:
                pack = _with_loners(pack, more)
                ids, positions = pack.token_ids, pack.depths
                keep, everything = (np.arange(real), False) if everything else (keep, False)
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
        return states[:real], meter.keys


def _with_loners(pack: Pack, count: int) -> Pack:
    """Return the pack with tokens at its end that nothing is above or below."""
    size = len(pack)
    return replace(
        pack,
        token_ids=np.pad(pack.token_ids, (0, count), "edge"),
        parents=np.pad(pack.parents, (0, count), constant_values=ROOT),
        depths=np.pad(pack.depths, (0, count)),
        ends=np.concatenate([pack.ends, np.arange(size + 1, size + count + 1)]),
    )
