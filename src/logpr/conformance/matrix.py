"""The kill matrix: every known way to go wrong, against every check."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from logpr._values.check import CheckOutcome
from logpr.conformance.checking import check
from logpr.conformance.exports import toy_scorer
from logpr.conformance.laws import LAWS
from logpr.conformance.mutants import Mutant, mutants

CORRECT = Mutant(id="correct", about="the closed form", make=toy_scorer)
"""The scorer that breaks no law."""


@dataclass(frozen=True, slots=True)
class MatrixRow:
    """A scorer that is wrong in a known way, and what each check said of it."""

    mutant: Mutant
    outcomes: dict[str, CheckOutcome]

    @property
    def killed_by(self) -> tuple[str, ...]:
        """The checks that failed; `error` kills too: a scorer that gives no numbers is found."""
        return tuple(
            name for name, outcome in self.outcomes.items() if outcome in ("failed", "error")
        )


def matrix_row(mutant: Mutant) -> MatrixRow:
    """Run the whole suite on one scorer of known fault, by what it declares."""
    report = check(factory=mutant.make, declares=mutant.declares, explain=False)
    return MatrixRow(mutant, {result.check: result.outcome for result in report.results})


def kill_matrix(
    of: Iterable[Mutant] | None = None, *, progress: Callable[[str], object] = lambda _: None
) -> list[MatrixRow]:
    """Return what every check says of the correct scorer, and of every mutant.

    Args:
        of: the mutants; all by default, the correct scorer first.
        progress: told each mutant's id.
    """
    out = []
    for mutant in (CORRECT, *mutants()) if of is None else of:
        progress(mutant.id)
        out.append(matrix_row(mutant))
    return out


def idle(rows: Iterable[MatrixRow]) -> tuple[str, ...]:
    """Return the checks that kill nothing."""
    killers = {name for row in rows for name in row.killed_by}
    return tuple(name for name in LAWS if name not in killers)
