"""The part of the tree of outputs that is worth a picture: the most probable beginnings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from logpr._decode._request import Request
from logpr._score._assemble import text_of
from logpr._values import TreeNode
from logpr._values.decoding import NodeKind
from logpr.decoding.batch import Batch, root_batch
from logpr.decoding.outcomes import read, states_after
from logpr.decoding.space import Space
from logpr.models.base import Stepper

Tokens = tuple[int, ...]

_SHOWN = 60
"""Beginnings in a picture, those on the paths of named outputs beside."""

_CHILDREN = 4
"""Children looked at of each."""

_EXPANDED = 4
"""Beginnings of a level that are expanded off the paths."""


@dataclass(slots=True)
class _Node:
    """A beginning, the place of the one before it, and whose path it is on."""

    token_ids: Tokens
    logprob: float
    parent: int | None
    names: tuple[str, ...]
    end_logprob: float | None = None


@dataclass(frozen=True, slots=True)
class _Child:
    """A beginning that is one token longer than that of a batch's row."""

    node: _Node
    row: int
    token: int


def tree_of(
    request: Request,
    stepper: Stepper,
    paths: Mapping[str, Tokens],
    *,
    lower: float,
    opened: Sequence[tuple[float, Tokens]],
    dropped: Sequence[tuple[float, Tokens]],
) -> tuple[TreeNode, ...]:
    """Return the most probable beginnings, and those on the way to named outputs.

    Args:
        request: the outputs.
        stepper: of the prompt.
        paths: outputs by their names; their beginnings are in the picture whatever they have.
        lower: score of the best output: beginnings with no higher bound were pruned.
        opened: bounds and tokens of beginnings that are open.
        dropped: of those that were let go.
    """
    nodes = _grown(request, stepper, paths)
    still_open = {token_ids for _, token_ids in opened}
    let_go = {token_ids for _, token_ids in dropped}
    tokenizer = request.prompt.model.tokenizer

    def kind(node: _Node) -> NodeKind:
        if node.token_ids in still_open:
            return "open"
        if node.token_ids in let_go:
            return "dropped"
        if not request.space.ended and len(node.token_ids) == request.space.max_tokens:
            return "finished"
        bound = request.space.objective.bounds(
            np.array([node.logprob]), longest=request.space.max_tokens, ended=request.space.ended
        )
        return "expanded" if bound[0] > lower else "pruned"

    return tuple(
        TreeNode(
            parent=node.parent,
            token_id=node.token_ids[-1] if node.token_ids else None,
            text=text_of(node.token_ids[-1], tokenizer) if node.token_ids else "",
            logprob=node.logprob,
            kind=kind(node),
            names=node.names,
            end_logprob=node.end_logprob,
        )
        for node in nodes
    )


def _grown(request: Request, stepper: Stepper, paths: Mapping[str, Tokens]) -> list[_Node]:
    """Expand level by level: every beginning on a path, and the most probable of the others."""
    space = request.space
    nodes = [_Node((), 0.0, None, tuple(paths))]
    batch = root_batch(space, stepper.root, stepper.start())
    stepper.hold(batch.nodes, np.array([1]))
    places = [0]
    while places:
        level = _children(batch, [nodes[place] for place in places], places, paths)
        for place, end in zip(places, batch.outcomes.end.tolist(), strict=True):
            nodes[place].end_logprob = end if end > -np.inf else None
        room = max(_SHOWN - len(nodes), 0)
        off = sorted(
            (one for one in level if not one.node.names), key=lambda one: -one.node.logprob
        )
        level = [one for one in level if one.node.names] + off[:room]
        first = len(nodes)
        nodes += [one.node for one in level]
        chosen = _chosen(space, level)
        if chosen:
            batch = _extended(space, stepper, batch, [level[place] for place in chosen])
        places = [first + place for place in chosen]
    stepper.release(batch.nodes)
    return nodes


def _children(
    batch: Batch, nodes: list[_Node], places: list[int], paths: Mapping[str, Tokens]
) -> list[_Child]:
    """Return the best children of each beginning, and those on a path."""
    out: list[_Child] = []
    logprobs = batch.outcomes.logprobs()
    for row, (node, place) in enumerate(zip(nodes, places, strict=True)):
        length = len(node.token_ids)
        on = {
            name: path[length]
            for name, path in paths.items()
            if name in node.names and len(path) > length
        }
        best = np.argsort(-logprobs[row], kind="stable")[:_CHILDREN].tolist()
        for token in dict.fromkeys([*on.values(), *best]):
            step = float(logprobs[row, token])
            if step > -np.inf:
                names = tuple(name for name in on if on[name] == token)
                child = _Node((*node.token_ids, token), node.logprob + step, place, names)
                out.append(_Child(child, row, token))
    return out


def _chosen(space: Space, level: list[_Child]) -> list[int]:
    """Return which of a level's beginnings are expanded."""
    last = space.max_tokens - (0 if space.ended else 1)
    if not level or len(level[0].node.token_ids) > last:
        return []
    on_paths = [place for place, one in enumerate(level) if one.node.names]
    best = sorted(range(len(level)), key=lambda place: -level[place].node.logprob)[:_EXPANDED]
    return list(dict.fromkeys([*on_paths, *best]))


def _extended(space: Space, stepper: Stepper, batch: Batch, level: list[_Child]) -> Batch:
    rows = np.array([one.row for one in level])
    tokens = np.array([one.token for one in level])
    nodes, found = stepper.extend(batch.nodes[rows], tokens)
    stepper.release(batch.nodes)
    lengths, states = batch.lengths[rows] + 1, batch.states[rows]
    if space.constraint is not None:
        states = states_after(space.constraint, states, tokens)
    logprobs = np.array([one.node.logprob for one in level])
    return Batch(nodes, lengths, logprobs, logprobs, states, read(space, found, lengths, states))
