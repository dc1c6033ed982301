"""What a check is: a law, the cases it is tried on, and when it says anything."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from logpr._types import End
from logpr._values.check import Severity
from logpr.conformance.bench import Bench, CannotJudgeError, Compared
from logpr.conformance.case import OWN, Case, Part

Need: TypeAlias = Literal["factory", "per_token", "text"]

Judge: TypeAlias = Callable[[Bench, Case], Iterable[Compared]]
Draw: TypeAlias = Callable[[Bench, "Drawing"], Iterator[Case]]
Smaller: TypeAlias = Callable[[Case], Iterator[Case]]

_TRIES = 400

_EFFECT = 0.01
"""Nats a token that are looked for: where noise is larger, nothing can be told."""

MOVED = 1e-6
"""Nats a token by which a score of a scorer's own model has moved: what float32 can tell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Law:
    """A check of the suite.

    `models`: the suite's, the first of which names its cases. `own`: whether it is also told from
    a scorer's own model. `after`: checks without which it says nothing. `least`: tokens that each
    part of a case keeps as it is shrunk; `smaller` shrinks what parts do not show. `numbers`: the
    lowest and highest that each number of a case may be.
    """

    id: str
    statement: str
    catches: str
    check: Judge
    cases: Draw
    severity: Severity = "MUST"
    applies: tuple[End, ...] = ("open", "stop")
    needs: tuple[Need, ...] = ()
    after: tuple[str, ...] = ()
    models: tuple[str, ...] = ("toy",)
    own: bool = False
    least: tuple[int, ...] = ()
    numbers: tuple[tuple[int, int], ...] = ()
    valid: Callable[[Bench, Case], bool] | None = None
    smaller: Smaller = Case.smaller

    @property
    def page(self) -> str:
        """Where it is explained."""
        return f"docs/checks.md#{self.id}"

    def stands(self, bench: Bench, case: Case) -> bool:
        """Return whether a case, shrunk or typed by hand, is one of this law."""
        if len(case.numbers) != len(self.numbers):
            return False
        ranges = zip(case.numbers, self.numbers, strict=True)
        if not all(low <= number <= high for number, (low, high) in ranges):
            return False
        if any(number < 0 for part in case.parts for number in part):
            return False
        if self.valid is not None:
            return self.valid(bench, case)
        if len(case.parts) != len(self.least):
            return False
        sizes = zip(case.parts, self.least, strict=True)
        return all(len(part) >= least for part, least in sizes) and bench.alphabet(
            case.model
        ).clean(case.parts)


class Drawing:
    """Draws the parts of one law's cases by lot, the same for the same seed.

    Args:
        bench: whose alphabets.
        law: its id.
        seed: of the run.
    """

    def __init__(self, bench: Bench, law: str, seed: int) -> None:
        self._bench = bench
        self.rng = np.random.default_rng([seed, *law.encode()])

    def parts(
        self, model: str, *sizes: tuple[int, int], without: Part = (), holding: Part = ()
    ) -> tuple[Part, ...]:
        """Return parts of these sizes (lowest, highest) that meet cleanly, one after the other.

        Args:
            model: whose alphabet.
            sizes: of each part.
            without: numbers that no part may hold.
            holding: numbers that the last part holds, in its middle.
        """
        alphabet = self._bench.alphabet(model)
        pool = [number for number in alphabet.plain if number not in without]
        for _ in range(_TRIES):
            lengths = [int(self.rng.integers(low, high + 1)) for low, high in sizes]
            drawn = self._joined(pool, lengths, model, holding)
            if drawn is not None and alphabet.clean(drawn):
                return drawn
        msg = f"no clean parts of {sizes} were found on {model}"
        raise AssertionError(msg)

    def several(
        self, model: str, prompt: tuple[int, int], *sizes: tuple[int, int], without: Part = ()
    ) -> tuple[Part, ...]:
        """Return a prompt and candidates, each of which goes on from it cleanly, all different."""
        (first,) = self.parts(model, prompt, without=without)
        alphabet = self._bench.alphabet(model)
        out: list[Part] = [first]
        for size in sizes:
            for _ in range(_TRIES):
                (part,) = self.parts(model, size, without=without)
                if part not in out[1:] and alphabet.clean((first, part)):
                    out.append(part)
                    break
            else:
                return self.several(model, prompt, *sizes, without=without)
        return tuple(out)

    def _joined(
        self, pool: list[int], lengths: list[int], model: str, holding: Part
    ) -> tuple[Part, ...] | None:
        """Return parts grown token by token, each clean behind the one before."""
        alphabet = self._bench.alphabet(model)
        out: list[Part] = []
        last: int | None = None
        for place, length in enumerate(lengths):
            part: list[int] = []
            inside = holding if place == len(lengths) - 1 else ()
            middle = length // 2
            while len(part) < length + len(inside):
                wanted = inside[len(part) - middle : len(part) - middle + 1]
                forced = wanted[0] if wanted and len(part) >= middle else None
                for _ in range(_TRIES):
                    number = forced if forced is not None else int(self.rng.choice(pool))
                    ends = len(part) + 1 == length + len(inside)
                    tried = (number,) if last is None else (last, number)
                    # A part's last token must not end in a space; the others may.
                    if alphabet.meets(tried, ends=ends):
                        break
                    if forced is not None:
                        return None
                else:
                    return None
                part.append(number)
                last = number
            out.append(tuple(part))
        return tuple(out)


def stands_apart(bench: Bench, case: Case) -> bool:
    """Return whether each candidate of a case goes on cleanly from its prompt by itself."""
    if len(case.parts) < 2:  # noqa: PLR2004 - a prompt and a candidate
        return False
    prompt, *candidates = case.parts
    alphabet = bench.alphabet(case.model)
    return bool(prompt) and all(part and alphabet.clean((prompt, part)) for part in candidates)


def require_room(bench: Bench) -> None:
    """Refuse to judge long sequences by numbers that cannot hold them.

    Raises:
        CannotJudgeError: probabilities are declared.
    """
    if bench.declares.unit == "probability":
        msg = "a probability of so many tokens is no float64"
        raise CannotJudgeError(msg)


def toy_or_own(bench: Bench) -> str:
    """Return the plain toy, or the scorer's own model where it is made for no other."""
    return "toy" if bench.target.factory else OWN


def where(law: Law, bench: Bench) -> str | None:
    """Return the model that a law's cases are on, or None where it cannot be told."""
    if bench.target.factory:
        return law.models[0]
    return OWN if law.own else None


def equal(  # noqa: PLR0917 - what is compared, then how many tokens are in it
    bench: Bench,
    model: str,
    what: str,
    found: float,
    expected: float,
    tokens: int,
) -> Compared:
    """Return two sums over so many tokens that are to be equal."""
    return Compared(
        what,
        found,
        expected,
        bench.tolerance(model, tokens),
        effect=_EFFECT * max(1, tokens),
        floor=bench.floor(model, tokens),
    )
