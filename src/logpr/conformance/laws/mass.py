"""Laws of mass: probabilities of everything that can come next sum to 1."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence

import numpy as np

from logpr.conformance.bench import Bench, CannotJudgeError, Compared, Scored
from logpr.conformance.case import OWN, Case, Part
from logpr.conformance.laws._law import Drawing, Law

_LONGEST = 3
_FINISHED = 2
_PRECISE = 0.05
"""Mass allowed for a token at most: each row's is 1 in any precision, whatever its logits are."""

_MOST_OWN = 4_096
"""Ids of a scorer's own vocabulary that are asked for one by one."""


def mass(scored: Sequence[Scored]) -> float:
    """Return Σ exp s; inf where it has no end, NaN where a score is."""
    with np.errstate(over="ignore"):
        return float(np.exp(np.array([each.total for each in scored])).sum())


def _tolerance(bench: Bench, model: str, tokens: int) -> float:
    """Return the mass by which a sum over sequences of so many tokens may be off."""
    return max(bench.floor(model, tokens), min(bench.tolerance(model, tokens), _PRECISE * tokens))


def _vocabulary(bench: Bench, model: str) -> Part:
    """Return all that can come next: ids of the whole head, or every letter."""
    if model != OWN:
        pieces = bench.toy(model).pieces
        return tuple(range(pieces.vocab_size)) if bench.declares.ids else pieces.ordinary
    size = bench.vocab_size
    if not bench.declares.ids or size is None or size > _MOST_OWN:
        msg = (
            "it enumerates the vocabulary, and of the scorer's own model none is known: give a "
            "factory, or a scorer of ids with an attribute vocab_size up to 4,096"
        )
        raise CannotJudgeError(msg)
    return tuple(range(size))


def _next_cases(bench: Bench, draw: Drawing) -> Iterator[Case]:
    model = "letters" if bench.target.factory else OWN
    for _ in range(3 if bench.target.factory else 1):
        yield Case("next_token_mass", model, draw.parts(model, (1, 4)))
    if bench.target.factory and bench.declares.ids:
        # With rows that no token has, and special tokens.
        yield Case("next_token_mass", "toy", draw.parts("toy", (1, 4)))


def check_next_token_mass(bench: Bench, case: Case) -> Iterator[Compared]:
    """Σ_v exp s(x, [v]) = 1 over the whole vocabulary."""
    (prompt,) = case.parts
    every = [(token,) for token in _vocabulary(bench, case.model)]
    scored = bench.score(case.model, prompt, *every)
    what = f"Σ exp s over {len(every)} next tokens after {bench.words(case.model, prompt)[2:-1]}"
    yield Compared(
        what,
        mass(scored),
        1.0,
        _tolerance(bench, case.model, 2),
        effect=0.01,
        floor=bench.floor(case.model, 2),
    )


def _fixed_cases(bench: Bench, draw: Drawing) -> Iterator[Case]:
    del bench
    for length in range(1, _LONGEST + 1):
        yield Case("fixed_length_mass", "letters", draw.parts("letters", (1, 3)), (length,))


def check_fixed_length_mass(bench: Bench, case: Case) -> Iterator[Compared]:
    """Σ exp s over all y of one length is 1."""
    (prompt,), (length,) = case.parts, case.numbers
    letters = bench.toy(case.model).pieces.ordinary
    every = list(itertools.product(letters, repeat=length))
    scored = bench.score(case.model, prompt, *every)
    what = (
        f"Σ exp s over all {len(every)} continuations of {length} tokens after "
        f"{bench.words(case.model, prompt)[2:-1]}"
    )
    yield Compared(what, mass(scored), 1.0, _tolerance(bench, case.model, length + 1))


def _stop_cases(bench: Bench, draw: Drawing) -> Iterator[Case]:
    del bench
    for _ in range(2):
        yield Case("stop_mass", "endings", draw.parts("endings", (1, 3)))


def check_stop_mass(bench: Bench, case: Case) -> Iterator[Compared]:
    """Σ exp s over what ends within two tokens, and the mass of what does not, make 1.

    The mass that is unfinished after two tokens, and that of an empty y, are the closed form's.
    """
    (prompt,) = case.parts
    toy = bench.toy(case.model)
    letters = toy.pieces.ordinary
    finished = [
        y for size in range(1, _FINISHED + 1) for y in itertools.product(letters, repeat=size)
    ]
    scored = bench.score(case.model, prompt, *finished)
    context = bench.read(case.model, prompt, (letters[0],))[0]
    empty = math.exp(toy.truth(context, (), "stop").logprob)
    longer = sum(
        math.exp(toy.truth(context, y).logprob)
        for y in itertools.product(letters, repeat=_FINISHED + 1)
    )
    what = (
        f"Σ exp s over all {len(finished)} outputs of 1 to {_FINISHED} tokens after "
        f"{bench.words(case.model, prompt)[2:-1]}, beside {empty + longer:.6f} of others"
    )
    tolerance = _tolerance(bench, case.model, _FINISHED + 1)
    yield Compared(what, mass(scored), 1.0 - empty - longer, tolerance)


MASS = (
    Law(
        id="next_token_mass",
        statement="Σ_v exp s(x, [v]) = 1 over the whole vocabulary",
        catches="linear normalisation, missing rows",
        check=check_next_token_mass,
        cases=_next_cases,
        applies=("open",),
        models=("letters",),
        own=True,
        least=(1,),
    ),
    Law(
        id="fixed_length_mass",
        statement="Σ exp s over all y of n tokens is 1, n = 1, 2, 3",
        catches="mean, dropped tokens",
        check=check_fixed_length_mass,
        cases=_fixed_cases,
        applies=("open",),
        needs=("factory",),
        models=("letters",),
        least=(1,),
        numbers=((1, _LONGEST),),
    ),
    Law(
        id="stop_mass",
        statement="finished and unfinished mass make 1, y over tokens that do not end",
        catches="END forgotten or counted twice",
        check=check_stop_mass,
        cases=_stop_cases,
        applies=("stop",),
        needs=("factory",),
        models=("endings",),
        least=(1,),
    ),
)
"""Laws of mass."""
