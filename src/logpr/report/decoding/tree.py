"""The tree of beginnings that a search looked at, depth to the right: where each stands.

A canvas is as wide and as high as its tree needs, in units with the origin at the top left. The
likeliest child goes straight on, the others branch off below it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from rich.cells import cell_len

from logpr._values import Decoded, Decoding, TreeNode
from logpr.report.numbers import count, fixed, probability
from logpr.report.texts import clipped, visible

Shape: TypeAlias = Literal["finished", "expanded", "open", "pruned", "dropped", "more"]

SHAPES: tuple[Shape, ...] = ("expanded", "finished", "open", "pruned", "dropped")

MOST_NODES = 120
"""Beginnings and endings that are drawn: those on a path that has a name, then the likeliest."""

_ROW, _TOP, _LEFT = 26.0, 16.0, 14.0
_CHARACTER = 8.0
"""The width of a character of the font of tokens at 13 units."""
_SMALL = 7.7
_TEXT_AT = 10.0
_BETWEEN = 7.0
_EDGE = 34.0
_MOST_CELLS = 16
_MOST_TITLE = 300
MOST_TRACKS = 4
_THICKEST = 12.0
_APART = 3.5
"""By how much lines that run side by side keep apart."""


@dataclass(frozen=True, slots=True)
class Node:
    """One beginning, or the end of an output, and its label; `title` says more of it."""

    x: float
    y: float
    shape: Shape
    label: str
    ours: bool
    """The label is a word of ours (END, start), and no text of a token."""
    label_at: float
    figure: str
    figure_at: float
    title: str


@dataclass(frozen=True, slots=True)
class Edge:
    """From a beginning to one that is a token longer: a path of SVG, as thick as Pr is large."""

    path: str
    width: float
    shape: Shape


@dataclass(frozen=True, slots=True)
class Track:
    """The way of one decoder through the tree, beside the edges; `slot` is its colour."""

    name: str
    slot: int
    path: str


@dataclass(frozen=True, slots=True)
class Tree:
    """The picture: `hidden` beginnings of the value are not drawn, `shapes` are in it."""

    width: float
    height: float
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    tracks: tuple[Track, ...]
    shapes: tuple[Shape, ...]
    drawn: int
    hidden: int


@dataclass(slots=True)
class _Item:
    """A node of the value, or the END after it, on its way into the picture."""

    logprob: float
    shape: Shape
    text: str
    depth: int
    parent: _Item | None = None
    names: tuple[str, ...] = ()
    ours: bool = False
    children: list[_Item] = field(default_factory=list)
    left_out: int = 0
    kept: bool = False
    row: int = 0
    x: float = 0.0
    y: float = 0.0
    end: float = 0.0


def tree(value: Decoding, most: int = MOST_NODES) -> Tree | None:
    """Return the picture of a decoding's tree, or None where it holds none."""
    if not value.tree:
        return None
    items = _items(value)
    kept = _chosen(items, most)
    drawn = [*kept, *_summed(kept)]
    rows = _placed(drawn)
    width = _columns(drawn)
    shapes = {item.shape for item in kept}
    return Tree(
        width=round(width, 1),
        height=round(2 * _TOP + (rows - 1) * _ROW, 1),
        nodes=tuple(_node(item) for item in drawn),
        edges=tuple(_edge(item) for item in drawn if item.parent is not None),
        tracks=_tracks(kept),
        shapes=tuple(shape for shape in SHAPES if shape in shapes),
        drawn=len(kept),
        hidden=len(items) - len(kept),
    )


def _items(value: Decoding) -> list[_Item]:
    """Return every beginning of the tree, and after it its END where that was looked at."""
    found: list[_Item] = []
    places: list[_Item] = []
    has_end = {
        node.parent
        for node in value.tree
        if node.kind == "finished" and node.token_id is None and node.parent is not None
    }
    for at, node in enumerate(value.tree):
        parent = None if node.parent is None else places[node.parent]
        item = _of_node(node, parent)
        places.append(item)
        found.append(item)
        if node.end_logprob is not None and at not in has_end:
            logprob = node.logprob + node.end_logprob
            found.append(_Item(logprob, "finished", "END", item.depth + 1, item, ours=True))
    for item in found:
        if item.parent is not None:
            item.parent.children.append(item)
    _name_ends(value, places)
    return found


def _of_node(node: TreeNode, parent: _Item | None) -> _Item:
    depth = 0 if parent is None else parent.depth + 1
    is_end = node.token_id is None and parent is not None
    # Of models without a tokenizer only the id is known.
    ours = parent is None or is_end or not node.text
    text = "start" if parent is None else "END" if is_end else node.text or f"#{node.token_id}"
    return _Item(node.logprob, node.kind, text, depth, parent, node.names, ours)


def _name_ends(value: Decoding, places: Sequence[_Item]) -> None:
    """Lead the way of an output that ended on to its END."""
    ids: dict[tuple[int, ...], _Item] = {}
    known: dict[int, tuple[int, ...]] = {}
    for at, (node, item) in enumerate(zip(value.tree, places, strict=True)):
        before = () if node.parent is None else known[node.parent]
        known[at] = before if node.token_id is None else (*before, node.token_id)
        if node.parent is None or node.token_id is not None:
            ids[known[at]] = item
    for name, output in _named(value).items():
        last = ids.get(output.token_ids)
        if last is None or name not in last.names or not output.finished:
            continue
        for end in last.children:
            if end.ours and name not in end.names:
                end.names = (*end.names, name)


def _named(value: Decoding) -> dict[str, Decoded]:
    """Return the output of each name; the best is also the mode's, and the greedy one is known."""
    out: dict[str, Decoded] = {}
    if value.greedy is not None:
        out["greedy"] = value.greedy
    for output in (*value.nbest, *value.compared):
        for name in output.names:
            out.setdefault(name, output)
    if value.best is not None:
        out.setdefault("mode", value.best)
        out.setdefault("best", value.best)
    return out


def _chosen(items: Sequence[_Item], most: int) -> list[_Item]:
    """Return what is drawn, parents before children, and count what their parents go without."""
    first = sorted(items, key=lambda item: (not item.names, -item.logprob, item.depth))
    left = most
    for item in first:
        chain: list[_Item] = []
        here: _Item | None = item
        while here is not None and not here.kept:
            chain.append(here)
            here = here.parent
        # Who has a name is drawn whatever it takes.
        if left < len(chain) and not item.names:
            break
        for each in chain:
            each.kept = True
        left -= len(chain)
    for item in items:
        if not item.kept and item.parent is not None and item.parent.kept:
            item.parent.left_out += 1
    return [item for item in items if item.kept]


def _summed(kept: Sequence[_Item]) -> list[_Item]:
    """Order the children that are drawn, and count the others in one line after them."""
    out: list[_Item] = []
    for item in kept:
        item.children = sorted(
            (each for each in item.children if each.kept), key=lambda each: -each.logprob
        )
        if item.left_out:
            text = f"… {count(item.left_out)} more"
            rest = _Item(-math.inf, "more", text, item.depth + 1, item, ours=True)
            item.children.append(rest)
            out.append(rest)
    return out


def _placed(drawn: Sequence[_Item]) -> int:
    """Give every item its row, and return how many rows there are.

    A subtree moves up until, in one of its columns, it stands right under what is above it. The
    first child keeps its parent's row, so the edges of two parents never cross.
    """
    below: dict[int, int] = {}
    spans: dict[int, dict[int, tuple[int, int]]] = {}
    for item in reversed(drawn):  # children come before their parents
        span = {item.depth: (0, 0)}
        for child in item.children:
            its = spans.pop(id(child))
            shared = [depth for depth in its if depth in span]
            child.row = max((span[depth][1] + 1 - its[depth][0] for depth in shared), default=0)
            _lower(span, its, child.row)
        spans[id(item)] = span
    for item in drawn:
        if item.parent is None:
            item.row = max(below.values(), default=0)
            for depth, (_, last) in spans[id(item)].items():
                below[depth] = item.row + last + 1
        else:
            item.row += item.parent.row
        item.y = _TOP + item.row * _ROW
    return 1 + max(item.row for item in drawn)


def _lower(span: dict[int, tuple[int, int]], its: dict[int, tuple[int, int]], rows: int) -> None:
    """Add to the first and last row of each column those of a subtree that is so far down."""
    for depth, (first, last) in its.items():
        top = span[depth][0] if depth in span else first + rows
        span[depth] = (top, last + rows)


def _columns(drawn: Sequence[_Item]) -> float:
    """Give every item its column, wide enough for the labels in it, and return the whole width."""
    widths: dict[int, float] = {}
    for item in drawn:
        figure = _BETWEEN + _SMALL * len(_figure(item)) if _figure(item) else 0.0
        item.end = _TEXT_AT + _CHARACTER * cell_len(_label(item)) + figure
        widths[item.depth] = max(widths.get(item.depth, 0.0), item.end)
    starts: dict[int, float] = {}
    x = _LEFT
    for depth in sorted(widths):
        starts[depth] = x
        x += widths[depth] + _EDGE
    for item in drawn:
        item.x = starts[item.depth]
        item.end += item.x
    return x - _EDGE + _LEFT


def _label(item: _Item) -> str:
    return item.text if item.ours else visible(clipped(item.text, _MOST_CELLS))


def _figure(item: _Item) -> str:
    return "" if item.shape == "more" or item.depth == 0 else probability(item.logprob)


def _node(item: _Item) -> Node:
    label = _label(item)
    label_at = item.x + _TEXT_AT
    return Node(
        x=round(item.x, 1),
        y=round(item.y, 1),
        shape=item.shape,
        label=label,
        ours=item.ours,
        label_at=round(label_at, 1),
        figure=_figure(item),
        figure_at=round(label_at + _CHARACTER * cell_len(label) + _BETWEEN, 1),
        title=_title(item),
    )


def _title(item: _Item) -> str:
    """Return all that is known of an item, in words."""
    if item.shape == "more":
        return f"{item.text} that are not drawn"
    names = f"; on the way of {', '.join(map(visible, item.names))}" if item.names else ""
    said = "END" if item.text == "END" and item.ours else (
        "nothing yet" if item.parent is None else f"‘{visible(clipped(item.text, _MOST_TITLE))}’"
    )  # fmt: skip
    return (
        f"{said}: log Pr {fixed(item.logprob)}, Pr {probability(item.logprob)}, {item.shape}{names}"
    )


def _edge(item: _Item) -> Edge:
    share = 0.0 if item.shape == "more" else min(1.0, math.exp(min(0.0, item.logprob)))
    return Edge(
        path=_path(item),
        width=round(1.0 + (_THICKEST - 1.0) * share, 2),
        shape=item.shape,
    )


def _path(item: _Item, aside: float = 0.0) -> str:
    """Return the line from the end of the parent's label to an item, `aside` of the middle."""
    parent = item.parent
    assert parent is not None, "the root has no edge"
    left, right = parent.end + 4.0, item.x - 6.0
    bend = item.x - _EDGE + 4.0
    top, low = parent.y + aside, item.y + aside
    if item.y == parent.y:
        return f"M{left:.1f} {top:.1f}H{right:.1f}"
    middle = (bend + right) / 2
    return (
        f"M{left:.1f} {top:.1f}H{bend:.1f}"
        f"C{middle:.1f} {top:.1f} {middle:.1f} {low:.1f} {right:.1f} {low:.1f}"
    )


def _tracks(kept: Sequence[_Item]) -> tuple[Track, ...]:
    """Return the ways that have names: the best first, then greedy, then beams, then the others."""
    on_edges = (item for item in kept if item.parent is not None)
    names = sorted(dict.fromkeys(name for item in on_edges for name in item.names), key=_standing)
    shown = names[:MOST_TRACKS]
    middle = (len(shown) - 1) / 2
    return tuple(
        Track(
            name=name,
            slot=slot,
            path="".join(
                _path(item, (slot - middle) * _APART)
                for item in kept
                if name in item.names and item.parent is not None
            ),
        )
        for slot, name in enumerate(shown)
    )


def _standing(name: str) -> int:
    order = ("mode", "best", "greedy")
    if name in order:
        return order.index(name)
    return len(order) if name.startswith("beam") else len(order) + 1
