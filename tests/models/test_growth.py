"""The trie behind a search: held nodes stay, slots are never shared, lost ones are fed again."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from logpr.models._growth import GROWTH_ROOT, NO_SLOT, Feed, Growth

Path = tuple[int, ...]


def ints(*numbers: int) -> np.ndarray:
    """Return an array of indices."""
    return np.array(numbers, dtype=np.int64)


class Backend:
    """A backend that keeps, for each slot, the path whose keys and values lie in it."""

    def __init__(self, growth: Growth) -> None:
        self.growth = growth
        self.pool: dict[int, Path] = {}

    def run(self, feed: Feed) -> list[Path]:
        """Let the rows of a pass through in their order; return the paths of the wanted ones."""
        assert len(set(feed.slots.tolist())) == len(feed)
        assert feed.slots.min() >= 0
        assert feed.slots.max() < self.growth.capacity
        paths: list[Path] = []
        for token, depth, slot, above in zip(
            feed.token_ids.tolist(),
            feed.depths.tolist(),
            feed.slots.tolist(),
            feed.ancestors.tolist(),
            strict=True,
        ):
            path = (*(self.pool[above[depth - 1]] if depth else ()), token)
            assert len(path) == depth + 1
            # Every ancestor is where it is said to be: written earlier in this pass or in another.
            assert [self.pool[place] for place in above[:depth]] == [
                path[: length + 1] for length in range(depth)
            ]
            assert set(above[depth:]) <= {NO_SLOT}
            self.pool[slot] = path
            paths.append(path)
        return [paths[row] for row in feed.wanted.tolist()]


class Histories(RuleBasedStateMachine):
    """Any history of growing, holding and letting go, beside a trie of plain dictionaries."""

    def __init__(self) -> None:
        super().__init__()
        self.paths: dict[int, Path] = {}
        self.parents: dict[int, int] = {}
        self.holds: dict[int, int] = {}
        self.ever_fed: set[int] = set()
        self.needed = 0

    @initialize(room=st.sampled_from((0, 1, 2, 3, 5, 8, 20, 1000)))
    def begin(self, room: int) -> None:
        """Start with some room; it is never none."""
        self.growth = Growth(room)
        self.backend = Backend(self.growth)
        assert self.growth.room == max(room, 1)

    @rule(data=st.data(), count=st.integers(0, 6), broken=st.integers(0, 5))
    def extend(self, data: st.DataObject, count: int, broken: int) -> None:
        """Grow some held nodes, or the root, by a token each; one pass in six breaks off."""
        held = [GROWTH_ROOT, *sorted(self.held())]
        one = st.tuples(st.sampled_from(held), st.integers(0, 2))
        drawn = data.draw(st.lists(one, min_size=count, max_size=count))
        parents, tokens = ints(*(pair[0] for pair in drawn)), ints(*(pair[1] for pair in drawn))
        nodes = self.growth.extend(parents, tokens).tolist()
        assert not {GROWTH_ROOT, *self.paths} & set(nodes), "a number in use was given out"
        assert len(set(nodes)) == count
        for node, (parent, token) in zip(nodes, drawn, strict=True):
            self.parents[node] = parent
            self.paths[node] = (*self.paths.get(parent, ()), token)
            self.holds[node] = 1
            self.ever_fed.discard(node)
        if count:
            self.feed(nodes, broken=broken == 0)
        if count and broken == 0:
            self.growth.release(ints(*nodes))
            self.let_go(nodes)

    @precondition(lambda self: self.holds)
    @rule(data=st.data())
    def again(self, data: st.DataObject) -> None:
        """Ask again for the row after a node that was fed before."""
        self.feed([data.draw(st.sampled_from(sorted(self.held() or self.holds)))], broken=False)

    @precondition(lambda self: self.holds)
    @rule(data=st.data(), times=st.integers(0, 3))
    def hold(self, data: st.DataObject, times: int) -> None:
        """Hold a node more often."""
        node = data.draw(st.sampled_from(sorted(self.holds)))
        self.growth.hold(ints(node), ints(times))
        self.holds[node] += times

    @precondition(lambda self: self.held())
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        """Let some nodes go, perhaps one of them as often as it is held."""
        listed = [node for node, times in self.holds.items() for _ in range(times)]
        nodes = data.draw(st.permutations(listed))[: data.draw(st.integers(1, len(listed)))]
        self.growth.release(ints(*nodes))
        self.let_go(nodes)

    @rule()
    def release_the_root(self) -> None:
        """Let the prompt go, which stays."""
        self.growth.release(ints(GROWTH_ROOT, GROWTH_ROOT))

    @invariant()
    def paths_are_right(self) -> None:
        """Every node that is there has its path and its depth."""
        for node, path in self.paths.items():
            assert self.growth.path(node) == path
            assert self.growth.deepest(ints(node)) == len(path) - 1

    @invariant()
    def slots_are_within_the_room(self) -> None:
        """Slots in use are those of nodes that are there, within the room or one pass's needs."""
        if not hasattr(self, "growth"):
            return
        used = self.growth.used_slots
        assert used <= len(self.paths)
        assert used <= max(self.growth.room, self.needed)
        assert used <= self.growth.peak <= self.growth.capacity

    def feed(self, nodes: list[int], *, broken: bool) -> None:
        """Run a pass over some nodes; if broken, nothing that can be read is left of it."""
        needed: set[int] = set()
        for node in nodes:
            at = node
            while at != GROWTH_ROOT:
                needed.add(at)
                at = self.parents[at]
        self.needed = max(self.needed, len(needed))
        fed, again = self.growth.fed, self.growth.fed_again
        feed = self.growth.feed(ints(*nodes))
        assert self.growth.fed - fed == len(feed)
        new = [node for node in nodes if node not in self.ever_fed]
        assert self.growth.fed_again - again == len(feed) - len(new)
        assert len(nodes) <= len(feed) <= len(needed)
        self.ever_fed |= needed
        if broken:
            for slot in feed.slots.tolist():
                self.backend.pool[slot] = (-1,)
            self.growth.forget(feed)
        else:
            assert self.backend.run(feed) == [self.paths[node] for node in nodes]

    def held(self) -> set[int]:
        """Return the nodes that are held by number."""
        return {node for node, times in self.holds.items() if times}

    def let_go(self, nodes: list[int]) -> None:
        """Do in the dictionaries what `release` does."""
        for node in nodes:
            self.holds[node] -= 1
        while ended := [
            node
            for node, times in self.holds.items()
            if times == 0 and node not in self.parents.values()
        ]:
            for node in ended:
                del self.holds[node], self.paths[node], self.parents[node]


TestHistories = Histories.TestCase
TestHistories.settings = settings(max_examples=60, stateful_step_count=25)


def grown(growth: Growth, *paths: Path) -> np.ndarray:
    """Return the ends of some paths, each token on its way fed at once."""
    ends: list[int] = []
    for path in paths:
        node = GROWTH_ROOT
        for token in path:
            (new,) = growth.extend(ints(node), ints(token))
            growth.feed(ints(new))
            if node != GROWTH_ROOT:
                growth.release(ints(node))
            node = int(new)
        ends.append(node)
    return ints(*ends)


def test_lost_ancestors_go_through_again_parents_first() -> None:
    """With room for two, the way to a node that waited is fed again, and counted."""
    growth = Growth(2)
    first, second = grown(growth, (1, 2, 3), (4, 5, 6))
    assert growth.fed >= 6
    before = growth.fed, growth.fed_again
    new = growth.extend(ints(first), ints(7))
    feed = growth.feed(new)
    assert feed.token_ids.tolist() == [1, 2, 3, 7]
    assert feed.depths.tolist() == [0, 1, 2, 3]
    assert feed.wanted.tolist() == [3]
    assert (growth.fed - before[0], growth.fed_again - before[1]) == (4, 3)
    assert growth.used_slots == 4, "what one pass needs stays for it, beyond the room"
    assert growth.path(int(second)) == (4, 5, 6)


def test_a_common_ancestor_is_fed_again_once() -> None:
    """Two nodes on one lost stem have it fed once."""
    growth = Growth(2)
    stem, _ = grown(growth, (1, 2), (3, 4))
    feed = growth.feed(growth.extend(ints(stem, stem, GROWTH_ROOT), ints(5, 6, 7)))
    assert feed.token_ids.tolist() == [1, 2, 5, 6, 7]
    assert feed.ancestors[feed.wanted].tolist() == [
        [feed.slots[0], feed.slots[1]],
        [feed.slots[0], feed.slots[1]],
        [NO_SLOT, NO_SLOT],
    ]


def test_what_waited_longest_goes_first_and_of_a_path_its_end() -> None:
    """Room for three: the older path loses its last token and keeps its first."""
    growth = Growth(3)
    old, _ = grown(growth, (1, 2), (3,))
    growth.feed(growth.extend(ints(GROWTH_ROOT), ints(4)))
    feed = growth.feed(growth.extend(ints(old), ints(5)))
    assert feed.token_ids.tolist() == [2, 5]


@pytest.mark.parametrize("room", [1, 10, 100, 10_000])
def test_arrays_grow_rarely_and_within_the_room(room: int) -> None:
    """Capacity doubles, ends at the room, and slots are taken back in lots."""
    growth = Growth(room)
    sizes: list[int] = []
    for token in range(1000):
        growth.feed(growth.extend(ints(GROWTH_ROOT), ints(token)))
        sizes.append(growth.capacity)
    assert max(sizes) == min(room, 1024)
    assert len(set(sizes)) <= 11
    assert growth.fed_again == 0


def test_numbers_are_given_out_again() -> None:
    """A search that lets go what it grew needs no more numbers for its thousandth step."""
    growth = Growth(100)
    seen: set[int] = set()
    for token in range(200):
        nodes = growth.extend(ints(*[GROWTH_ROOT] * 5), ints(*range(token, token + 5)))
        growth.feed(nodes)
        seen.update(nodes.tolist())
        growth.release(nodes)
        assert growth.used_slots == 0
    assert len(seen) <= 10
    assert growth.peak == 5
