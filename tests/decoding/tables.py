"""Random decoding problems that are small enough to look at whole. All from the given generator."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import numpy as np
from jaxtyping import Int64

from logpr.decoding.objective import Objective
from logpr.decoding.space import Space
from logpr.models.table import TableModel

Kind: TypeAlias = Literal["logits", "probs", "logprobs"]

MOST_OUTPUTS = 20_000
SIZES = (40, 150, 500, 2_000, MOST_OUTPUTS)
ODDS = (0.35, 0.35, 0.2, 0.09, 0.01)
"""Problems up to each of the sizes: most are small."""

_LETTERS = "ABCDEFGH"


@dataclass(frozen=True)
class Problem:
    """One random problem."""

    model: TableModel
    prompt_ids: tuple[int, ...]
    space: Space


def random_problem(seed: int, *, missing: bool = True, most_outputs: int | None = None) -> Problem:
    """Return the problem of a seed: a table with whatever tables may have, and a space.

    Args:
        seed: of a generator of its own.
        missing: whether tables may leave probability to no token.
        most_outputs: see `random_space`.
    """
    rng = np.random.default_rng(seed)
    vocab = int(rng.integers(2, 7))
    model = random_table(
        rng,
        vocab=vocab,
        length=int(rng.integers(1, 4)),
        order=[None, 0, 1, 2][int(rng.integers(4))],
        ends=int(rng.choice([0, 1, 1, 1, 2, 2, 3])),
        ties=bool(rng.random() < 0.4),
        zeros=bool(rng.random() < 0.3),
        missing=bool(rng.random() < 0.25) and missing,
    )
    prompt = (int(rng.integers(vocab)),)
    return Problem(model, prompt, random_space(rng, model, most_outputs=most_outputs))


def random_table(
    rng: np.random.Generator,
    *,
    vocab: int = 4,
    length: int = 2,
    order: int | None = 1,
    ends: int = 1,
    ties: bool = False,
    zeros: bool = False,
    missing: bool = False,
    kind: Kind | None = None,
) -> TableModel:
    """Return a random conditional table.

    Args:
        rng: a generator.
        vocab: tokens, 2 to 8.
        length: tokens of the longest context that has a row of its own (at most `order`).
        order: how many last tokens decide; None for all.
        ends: end tokens, the last of the vocabulary; at most vocab − 1.
        ties: entries from three values alone, and rows that occur more than once.
        zeros: some outcomes cannot be, END among them.
        missing: rows leave some probability to no token.
        kind: what the rows are; random by default, never logits where some is missing.
    """
    kinds: tuple[Kind, ...] = ("probs", "logprobs") if missing else ("logits", "probs", "logprobs")
    drawn: Kind = kind or kinds[int(rng.integers(len(kinds)))]
    assert not (missing and drawn == "logits"), "logits leave nothing to no token"
    names = list(_LETTERS[:vocab])
    longest = length if order is None else min(length, order)
    contexts = [
        context for size in range(longest + 1) for context in itertools.product(names, repeat=size)
    ]
    if len(contexts) > 60:  # the rest has the default
        kept = sorted(rng.permutation(len(contexts))[:60].tolist())
        contexts = [contexts[place] for place in kept]
    sharpness = float(rng.choice([0.3, 1.0, 2.5]))
    logits = [_row(rng, vocab, sharpness, ties=ties, zeros=zeros) for _ in range(len(contexts) + 1)]
    if ties:  # rows that repeat make outputs that tie as a whole
        logits = [logits[int(rng.integers(max(1, len(logits) // 2)))] for _ in logits]
    rows = [_given(rng, row, drawn, missing=missing) for row in logits]
    return TableModel.from_dict(
        {
            "tokens": names,
            "end": names[vocab - min(ends, vocab - 1) :] if ends else [],
            "kind": drawn,
            "order": order,
            "rows": {" ".join(name): row for name, row in zip(contexts, rows, strict=False)},
            "default": rows[-1],
        }
    )


def _row(
    rng: np.random.Generator, vocab: int, sharpness: float, *, ties: bool, zeros: bool
) -> list[float]:
    drawn = rng.integers(-1, 2, vocab) if ties else rng.normal(size=vocab) * sharpness
    row = [float(value) for value in drawn.tolist()]
    if zeros:
        possible = rng.random(vocab) < 0.7
        possible[int(rng.integers(vocab))] = True
        row = [value if is_ else -math.inf for value, is_ in zip(row, possible, strict=True)]
    return row


def _given(
    rng: np.random.Generator, logits: list[float], kind: Kind, *, missing: bool
) -> list[float]:
    if kind == "logits":
        return logits
    weights = [math.exp(logit) for logit in logits]
    named = float(rng.choice([1.0, 0.9, 0.5])) if missing else 1.0
    # Below 1 by more than rounding: a table refuses rows above 1 + 1e-9, and so may others.
    total = math.fsum(weights) / (named * (1.0 - 1e-15))
    probs = [weight / total for weight in weights]
    if kind == "probs":
        return probs
    return [math.log(prob) if prob > 0.0 else -math.inf for prob in probs]


def random_space(
    rng: np.random.Generator, model: TableModel, *, most_outputs: int | None = None
) -> Space:
    """Return a random space of a model's outputs.

    Args:
        rng: a generator.
        model: whose end tokens are END, or all but one of them.
        most_outputs: outputs without a constraint, about; random by default, mostly a few hundred.
    """
    limit = most_outputs or int(rng.choice(SIZES, p=ODDS))
    vocab, declared = model.vocab_size, model.end_ids
    stop = bool(declared) and rng.random() < 0.75
    ends: tuple[int, ...] = ()
    if stop:
        ends = declared[1:] if len(declared) > 1 and rng.random() < 0.2 else declared
    tokens = [token for token in range(vocab) if token not in ends]
    longest = 1
    while longest < 6 and len(tokens) ** (longest + 1) <= limit:
        longest += 1
    longest = int(rng.integers(1, longest + 1)) if rng.random() < 0.3 else longest
    shortest = int(rng.integers(0, longest + 1)) if rng.random() < 0.4 else 0
    space = Space(
        end="stop" if stop else "open",
        end_ids=ends,
        min_tokens=shortest if stop else longest,
        max_tokens=longest,
        min_length="renormalise" if rng.random() < 0.5 else "restrict",
        objective=_objective(rng),
        bias=_bias(rng, tokens),
    )
    draw = rng.random()
    if draw < 0.2:
        return replace(space, constraint=_random_set(rng, tokens, space))
    if draw < 0.35:
        return replace(space, constraint=_random_automaton(rng, tokens))
    return space


def _objective(rng: np.random.Generator) -> Objective:
    alpha = float(rng.choice([0.0, 0.6, 1.0, 2.0]))
    choices = (
        Objective(),
        Objective(),
        Objective("per_token", 1.0),
        Objective("per_token", alpha),
        Objective("length_penalty", alpha),
    )
    return choices[int(rng.integers(len(choices)))]


def _bias(rng: np.random.Generator, tokens: Sequence[int]) -> tuple[tuple[int, float], ...]:
    if rng.random() < 0.7:
        return ()
    return tuple(
        (token, -float(rng.choice([0.0, 0.5, 1.0, 4.0]))) for token in tokens if rng.random() < 0.6
    )


@dataclass(frozen=True)
class Arrows:
    """An automaton written out: the arrows of each state, and the states an output may end in."""

    arrows: Mapping[int, Mapping[int, int]]
    ends: frozenset[int]
    name: str = "arrows"
    start: int = 0
    sequences: tuple[tuple[int, ...], ...] = ()
    """Of a finite set: what it holds."""

    def steps(
        self, state: int
    ) -> tuple[Int64[np.ndarray, " tokens"], Int64[np.ndarray, " tokens"]]:
        """Return the tokens that may follow, ascending, and the state after each."""
        pairs = sorted(self.arrows.get(state, {}).items())
        both = np.array(pairs, dtype=np.int64).reshape(-1, 2)
        return both[:, 0].copy(), both[:, 1].copy()

    def accepts(self, state: int) -> bool:
        """Return whether an output may end here."""
        return state in self.ends


def finite_set(sequences: Iterable[Sequence[int]]) -> Arrows:
    """Return the automaton of some sequences and no others: their trie."""
    arrows: dict[int, dict[int, int]] = {0: {}}
    ends: set[int] = set()
    held = tuple(tuple(sequence) for sequence in sequences)
    for sequence in held:
        state = 0
        for token in sequence:
            if token not in arrows[state]:
                arrows[len(arrows)] = {}
                arrows[state][token] = len(arrows) - 1
            state = arrows[state][token]
        ends.add(state)
    return Arrows(arrows, frozenset(ends), name="finite set", sequences=held)


def _random_set(rng: np.random.Generator, tokens: Sequence[int], space: Space) -> Arrows:
    """Return up to 12 sequences; some may be too long for the space, or too short."""
    fixed = space.end == "open" and rng.random() < 0.8
    sequences = []
    for _ in range(int(rng.integers(1, 13))):
        size = space.max_tokens if fixed else int(rng.integers(0, space.max_tokens + 2))
        sequences.append([int(token) for token in rng.choice(tokens, size)])
    return finite_set(sequences)


def _random_automaton(rng: np.random.Generator, tokens: Sequence[int]) -> Arrows:
    """Return a random automaton with cycles, of which all states lead to an end."""
    count = int(rng.integers(1, 6))
    arrows = {
        state: {token: int(rng.integers(count)) for token in tokens if rng.random() < 0.6}
        for state in range(count)
    }
    ends = {state for state in range(count) if rng.random() < 0.4}
    leading = set(ends)
    while grown := {
        state
        for state, steps in arrows.items()
        if state not in leading and leading & set(steps.values())
    }:
        leading |= grown
    if 0 not in leading:  # nothing is allowed but to end at once
        return Arrows({0: {}}, frozenset({0}))
    kept = {
        state: {token: after for token, after in arrows[state].items() if after in leading}
        for state in leading
    }
    return Arrows(kept, frozenset(ends))
