"""What attends to what in one packed row: whole runs and small subtrees, and what lies above them.

A row of tokens in depth-first order is cut into
- runs: chains of tokens, causal within themselves;
- bushes: small subtrees, each under a mask of its own paths;
and above these lie longer runs of the same row, and keys that were computed before it. Each is seen
whole by all of its descendants, and those are a slice of the row.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Int64

from logpr._types import IntNodes
from logpr.models.hf.kept import Keys
from logpr.tokens.pack import Pack

_BUSH = 128
"""Tokens of a subtree that is attended to under one mask: more would mostly be masked."""

_STEP = 8
"""Bushes are padded to multiples of it, so that many of them make one batch."""


@dataclass(frozen=True, slots=True, eq=False)
class Above:
    """Keys that a slice of the row sees whole: a run of the row itself, or tokens `kept` before it.

    `depths` are the positions of the keys, on the host.
    """

    rows: slice
    keys: slice
    depths: IntNodes
    kept: Keys | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Bushes:
    """Subtrees of about one size: the places of their tokens, and who sees whom.

    A short one is padded: its last token stands again in the places left over, which see only
    themselves. `real` are the places that count, in the flattened batch, and `rows` where in the
    row they go.
    """

    places: Int64[torch.Tensor, "bushes tokens"]
    seen: Bool[torch.Tensor, "bushes tokens tokens"]
    real: Int64[torch.Tensor, " rows"]
    rows: Int64[torch.Tensor, " rows"]


@dataclass(frozen=True, slots=True, eq=False)
class Parts:
    """The cuts of a row. `own` holds, for each length of run, the places of all runs that long."""

    own: tuple[Int64[torch.Tensor, "_ _"], ...]
    bushes: tuple[Bushes, ...]
    above: tuple[Above, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Past:
    """Keys computed before the row, of tokens on one path: rows `rows` see them all."""

    keys: Keys
    places: slice
    first_depth: int
    rows: slice


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """How the tokens of one row attend.

    `pack` is the row, `pasts` are keys from before; `parts` cuts the row up, when it is first
    called; `keep` are the rows whose keys are to be held, `everything` that all are.
    """

    pack: Pack
    pasts: tuple[Past, ...]
    parts: Callable[[], Parts]
    keep: Int64[torch.Tensor, " rows"] | None = None
    everything: bool = False

    @property
    def size(self) -> int:
        """Return the number of tokens in the row."""
        return len(self.pack)

    @property
    def depths(self) -> IntNodes:
        """Return the position of every token, on the host."""
        return self.pack.depths

    @property
    def deepest(self) -> int:
        """Return the last position of the row."""
        return int(self.pack.depths.max())


def plan_of(
    pack: Pack,
    device: torch.device,
    *,
    pasts: Sequence[Past] = (),
    keep: Int64[np.ndarray, " rows"] | None = None,
    everything: bool = False,
) -> Plan:
    """Return how the rows of a pack attend.

    Args:
        pack: at least one node. A node whose parent is not in the row has the parent ROOT, and a
            depth that is not 0.
        device: where the queries will be.
        pasts: keys from before.
        keep: rows whose keys are to be held.
        everything: hold those of all rows.
    """
    given = tuple(pasts)
    return Plan(
        pack=pack,
        pasts=given,
        # Not before it is asked for: attention by blocks never cuts the row up.
        parts=functools.cache(functools.partial(_parts, pack, device, given)),
        keep=None if keep is None else torch.from_numpy(keep).to(device),
        everything=everything,
    )


def _parts(pack: Pack, device: torch.device, pasts: tuple[Past, ...]) -> Parts:
    """Cut a row up."""
    runs: dict[int, list[int]] = {}
    bushes: dict[int, list[tuple[int, int]]] = {}
    above: list[Above] = [
        Above(
            past.rows,
            past.places,
            np.arange(past.first_depth, past.first_depth + past.places.stop - past.places.start),
            past.keys,
        )
        for past in pasts
    ]
    done = 0
    for start, stop in pack.segments():
        if start < done:
            continue  # inside a bush
        whole = int(pack.ends[start])
        if whole > stop and whole - start <= _BUSH:
            bushes.setdefault(-(-(whole - start) // _STEP), []).append((start, whole))
            done = whole
            continue
        runs.setdefault(stop - start, []).append(start)
        if whole > stop:
            above.append(Above(slice(stop, whole), slice(start, stop), pack.depths[start:stop]))
    own = tuple(
        torch.from_numpy(np.add.outer(starts, np.arange(length))).to(device)
        for length, starts in runs.items()
    )
    return Parts(
        own=own,
        bushes=tuple(_bushes(pack, spans, device) for spans in bushes.values()),
        above=tuple(above),
    )


def _bushes(pack: Pack, spans: list[tuple[int, int]], device: torch.device) -> Bushes:
    size = max(end - start for start, end in spans)
    starts = np.array([start for start, _ in spans])
    sizes = np.array([end - start for start, end in spans])
    offsets = np.arange(size)
    inside = offsets[None, :] < sizes[:, None]
    places = starts[:, None] + np.minimum(offsets[None, :], sizes[:, None] - 1)
    ends = np.where(inside, pack.ends[places] - starts[:, None], 0)
    query, key = offsets[:, None], offsets[None, :]
    seen = (key <= query)[None] & (query[None] < ends[:, None, :])
    seen |= np.eye(size, dtype=np.bool_)[None]
    return Bushes(
        places=torch.from_numpy(places).to(device),
        seen=torch.from_numpy(seen).to(device),
        real=torch.from_numpy(np.flatnonzero(inside)).to(device),
        rows=torch.from_numpy(places[inside]).to(device),
    )
