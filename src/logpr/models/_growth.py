"""The trie that a search grows behind one prompt, and the slots its keys and values lie in.

A node is one token after its parent; the root is the prompt. Nodes are held by number and by their
children; what nobody holds ends at once, and its number and slot are given out again. A slot is
one token's place in a backend's arrays of keys and values. Where there are more nodes than room,
slots that were not used for longest are taken back, and `feed` lists the tokens that have to go
through the network again.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64

from logpr._types import IntNodes

GROWTH_ROOT = 0
NO_SLOT = -1

_NO_OWNER = -1
_FOR_EVER = 2**62
_SLACK = 16
"""One part in so many of the room is cleared beyond what is needed, so that clearing is rare."""


@dataclass(frozen=True, slots=True)
class Feed:
    """The rows of one forward pass, parents before children.

    Row i is token `token_ids[i]`, `depths[i]` tokens after the prompt (0: the first one), and its
    keys and values go to `slots[i]`. It sees the prompt, itself, and `ancestors[i]`: the slots of
    the tokens between, from the first one on, filled up with NO_SLOT at the end. Slots among the
    ancestors may be those of earlier rows of the same pass. `wanted` are the rows that are read.
    """

    token_ids: IntNodes
    depths: IntNodes
    slots: IntNodes
    ancestors: Int64[np.ndarray, "nodes depths"]
    wanted: Int64[np.ndarray, " wanted"]

    def __len__(self) -> int:
        """Return the number of tokens that go through the network."""
        return len(self.token_ids)


class _Stack:
    """Numbers to be given out: the last one in is the first one out."""

    __slots__ = ("_numbers", "_size")

    def __init__(self) -> None:
        self._numbers: IntNodes = np.empty(64, dtype=np.int64)
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def push(self, numbers: IntNodes) -> None:
        """Add some numbers."""
        size = self._size + len(numbers)
        if size > len(self._numbers):
            self._numbers = _longer(self._numbers, max(size, 2 * len(self._numbers)), 0)
        self._numbers[self._size : size] = numbers
        self._size = size

    def pop(self, count: int) -> IntNodes:
        """Return so many of the numbers; there are as many."""
        self._size -= count
        return self._numbers[self._size : self._size + count].copy()


class Growth:
    """Nodes of a growing trie, and a slot for each that was fed and is held.

    Args:
        room: slots in use at most, those that one `feed` needs apart.
    """

    __slots__ = (
        "_clock",
        "_depths",
        "_free_nodes",
        "_free_slots",
        "_owners",
        "_parents",
        "_refs",
        "_slots",
        "_tokens",
        "_used",
        "fed",
        "fed_again",
        "peak",
        "room",
        "used_slots",
    )

    def __init__(self, room: int) -> None:
        self.room = max(room, 1)
        self.used_slots = 0
        self.peak = 0
        self.fed = 0
        self.fed_again = 0
        self._clock = 0
        self._parents: IntNodes = np.zeros(1, dtype=np.int64)
        self._tokens: IntNodes = np.full(1, -1, dtype=np.int64)
        self._depths: IntNodes = np.full(1, -1, dtype=np.int64)
        # The root stays whatever is let go.
        self._refs: IntNodes = np.full(1, _FOR_EVER, dtype=np.int64)
        # The root's is NO_SLOT for ever: the prompt's keys and values lie elsewhere.
        self._slots: IntNodes = np.full(1, NO_SLOT, dtype=np.int64)
        # When a node was last needed: 0 for nodes that were never fed.
        self._used: IntNodes = np.zeros(1, dtype=np.int64)
        # The node of each slot, NO_OWNER where it is free: the other way round of `_slots`.
        self._owners: IntNodes = np.empty(0, dtype=np.int64)
        self._free_nodes = _Stack()
        self._free_slots = _Stack()

    @property
    def capacity(self) -> int:
        """Slots that there are: the length that the backend's arrays have to have."""
        return len(self._owners)

    def deepest(self, nodes: IntNodes) -> int:
        """Return the largest depth of some nodes: −1 of the root, and of none.

        Args:
            nodes: that are held, or the root.
        """
        return int(self._depths[nodes].max(initial=-1))

    def extend(self, parents: IntNodes, tokens: IntNodes) -> IntNodes:
        """Return a new node for each parent with one token more, held once.

        Args:
            parents: nodes that are held.
            tokens: the one more of each.
        """
        count = len(parents)
        if count > len(self._free_nodes):
            self._grow(count - len(self._free_nodes))
        nodes = self._free_nodes.pop(count)
        self._parents[nodes] = parents
        self._tokens[nodes] = tokens
        self._depths[nodes] = self._depths[parents] + 1
        self._refs[nodes] = 1
        self._slots[nodes] = NO_SLOT
        self._used[nodes] = 0
        np.add.at(self._refs, parents, 1)
        return nodes

    def feed(self, nodes: IntNodes) -> Feed:
        """Return what has to go through the network for the rows after some nodes.

        They get slots, and so do those of their ancestors that have none any more.

        Args:
            nodes: each once; not the root, and none of them an ancestor of another.
        """
        self._clock += 1
        above = self._above(nodes)
        bare = above[(self._slots[above] == NO_SLOT) & (above != GROWTH_ROOT)]
        rows, ancestors = nodes, above
        if len(bare):
            missing = np.unique(bare)
            missing = missing[np.argsort(self._depths[missing], kind="stable")]
            rows = np.concatenate([missing, nodes])
            ancestors = np.concatenate([self._above(missing, above.shape[1]), above])
        self.fed += len(rows)
        self.fed_again += int(np.count_nonzero(self._used[rows]))
        self._used[above] = self._clock
        self._used[nodes] = self._clock
        self._give_slots(rows)
        return Feed(
            token_ids=self._tokens[rows],
            depths=self._depths[rows],
            slots=self._slots[rows],
            ancestors=self._slots[ancestors],
            wanted=np.arange(len(rows) - len(nodes), len(rows)),
        )

    def forget(self, feed: Feed) -> None:
        """Take back the slots of a pass that broke off: nothing that can be read lies in them.

        Args:
            feed: what was to go through the network, and nothing was fed since.
        """
        self._free(feed.slots)

    def hold(self, nodes: IntNodes, times: IntNodes) -> None:
        """Hold each node so many times more.

        Args:
            nodes: each once.
            times: at least 0 each.
        """
        self._refs[nodes] += times

    def release(self, nodes: IntNodes) -> None:
        """Let each node go once, as often as it is listed; what nobody holds ends.

        Args:
            nodes: that are held.
        """
        np.subtract.at(self._refs, nodes, 1)
        over = nodes[self._refs[nodes] == 0]
        while len(over):
            over = np.unique(over)
            slots = self._slots[over]
            self._free(slots[slots != NO_SLOT])
            self._free_nodes.push(over)
            parents = self._parents[over]
            np.subtract.at(self._refs, parents, 1)
            over = parents[self._refs[parents] == 0]

    def path(self, node: int) -> tuple[int, ...]:
        """Return the tokens from the prompt, exclusive, to a node.

        Args:
            node: that is held.
        """
        out: list[int] = []
        while node != GROWTH_ROOT:
            out.append(int(self._tokens[node]))
            node = int(self._parents[node])
        return tuple(reversed(out))

    def _above(self, nodes: IntNodes, width: int | None = None) -> Int64[np.ndarray, "nodes width"]:
        """Return the ancestors of each node from the prompt on, the root filling up the end."""
        depths = self._depths[nodes]
        deepest = int(depths.max(initial=0)) if width is None else width
        # Written line by line, and read as it is gathered.
        out = np.full((deepest, len(nodes)), GROWTH_ROOT, dtype=np.int64)
        at = self._parents[nodes]
        if deepest and len(nodes) and int(depths.min()) == deepest:
            for line in reversed(range(deepest)):
                out[line] = at
                at = self._parents[at]
        else:
            for line in reversed(range(deepest)):
                here = self._depths[at] == line
                out[line] = np.where(here, at, GROWTH_ROOT)
                at = np.where(here, self._parents[at], at)
        return out.T

    def _give_slots(self, nodes: IntNodes) -> None:
        """Give each node a slot, taking others' back where there is no room."""
        bare = nodes[self._slots[nodes] == NO_SLOT]
        over = self.used_slots + len(bare) - self.room
        if over > 0:
            self._take_back(over + self.room // _SLACK)
        lacking = len(bare) - len(self._free_slots)
        if lacking > 0:
            # At once to twice as many, within the room: backends copy their arrays when this grows.
            have = self.capacity
            more = max(lacking, min(have, self.room - have))
            self._owners = _longer(self._owners, have + more, _NO_OWNER)
            # The smallest come out first: arrays are filled from their beginning.
            self._free_slots.push(np.arange(have, have + more)[::-1])
        slots = self._free_slots.pop(len(bare))
        self._slots[bare] = slots
        self._owners[slots] = bare
        self.used_slots += len(bare)
        self.peak = max(self.peak, self.used_slots)

    def _take_back(self, count: int) -> None:
        """Take back slots: those not used for longest first, of a path its end first."""
        held = self._owners[self._owners != _NO_OWNER]
        held = held[self._used[held] < self._clock]
        order = np.lexsort((-self._depths[held], self._used[held]))[:count]
        self._free(self._slots[held[order]])

    def _free(self, slots: IntNodes) -> None:
        self._slots[self._owners[slots]] = NO_SLOT
        self._owners[slots] = _NO_OWNER
        self._free_slots.push(slots)
        self.used_slots -= len(slots)

    def _grow(self, lacking: int) -> None:
        size = len(self._parents)
        more = max(lacking, size)
        for name in ("_parents", "_tokens", "_depths", "_refs", "_used"):
            setattr(self, name, _longer(getattr(self, name), size + more, 0))
        self._slots = _longer(self._slots, size + more, NO_SLOT)
        self._free_nodes.push(np.arange(size, size + more)[::-1])


def _longer(numbers: IntNodes, size: int, fill: int) -> Int64[np.ndarray, " longer"]:
    """Return a copy of that size, filled up at its end."""
    out = np.full(size, fill, dtype=np.int64)
    out[: len(numbers)] = numbers
    return out
